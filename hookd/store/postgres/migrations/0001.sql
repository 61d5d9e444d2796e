-- Version 1: what several hookd processes share: events, deliveries, the queue, and the functions that change them.
--
-- Instants are microseconds since the epoch by the database's clock. A delivery's state is 0 pending, 1 sending,
-- 2 delivered, 3 dead, 4 cancelled. `events`, `deliveries`, `attempts` and `finished` are only inserted into and
-- deleted from by retention; `queue` alone is updated, and it is as small as what waits: a delivery is in exactly one
-- of `queue` and `finished`.
--
-- Every change is one call of a function whose name ends in its version, so that programs of two versions can share
-- the database. Functions look rows up by key or by lane alone: the statistics of a table that empties and fills are
-- never right, so each forbids the plans that a wrong estimate would lead to.

CREATE TABLE meta (
  version         int NOT NULL,
  compatible_from int NOT NULL    -- the oldest version of the schema whose programs can still use this one
);

INSERT INTO meta (version, compatible_from) VALUES (1, 1);

CREATE SEQUENCE node_ids;

-- One row for each process that runs.
CREATE TABLE nodes (
  id         bigint PRIMARY KEY DEFAULT nextval('node_ids'),
  name       text NOT NULL,
  version    text NOT NULL,
  schema     int NOT NULL,
  generation text NOT NULL DEFAULT '',    -- hash of its configuration
  started_at bigint NOT NULL,
  seen_at    bigint NOT NULL
) WITH (fillfactor = 50);

-- Webhooks by name. `low_at`: nothing of the lane is due before, as its last claim found.
CREATE TABLE lanes (
  id             int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  webhook        text COLLATE "C" NOT NULL UNIQUE,
  hold_until     bigint NOT NULL DEFAULT 0,
  paused_at      bigint,
  reported_at    bigint,
  reported_until bigint,
  low_at         bigint NOT NULL DEFAULT 0,
  looked_at      bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 200);

CREATE SEQUENCE event_seqs;

CREATE TABLE events (
  seq         bigint PRIMARY KEY,
  id          text COLLATE "C" NOT NULL UNIQUE,
  kind        text NOT NULL,
  type        text NOT NULL,
  event       text NOT NULL,
  object      text,               -- JSON, as text: jsonb refuses \u0000
  time        text,
  data        text,
  digest      bytea,
  received_at bigint NOT NULL,
  trace       text,
  deliveries  int NOT NULL,
  batch       bigint NOT NULL     -- random; tells a process whether a batch whose answer it lost was stored
);

CREATE INDEX events_lone ON events (received_at) WHERE deliveries = 0;

CREATE SEQUENCE delivery_seqs;

CREATE TABLE deliveries (
  seq        bigint PRIMARY KEY,
  id         text COLLATE "C" NOT NULL UNIQUE,
  event_seq  bigint NOT NULL,
  lane       int NOT NULL,
  task       text NOT NULL,
  rule       text NOT NULL,
  created_at bigint NOT NULL,
  body       bytea NOT NULL
);

ALTER TABLE deliveries ALTER body SET STORAGE EXTERNAL;    -- no work on compression where events are taken in
CREATE INDEX deliveries_event ON deliveries (event_seq, seq);

CREATE TABLE queue (
  seq         bigint PRIMARY KEY,
  lane        int NOT NULL,
  due_at      bigint NOT NULL,    -- when it may next be claimed, or when the lease of its attempt ends
  state       smallint NOT NULL DEFAULT 0,
  attempt     int NOT NULL DEFAULT 0,
  failures    int NOT NULL DEFAULT 0,
  token       bigint,             -- random, one for each claim
  node        bigint,
  claimed_at  bigint,
  last_status int,
  last_error  text NOT NULL DEFAULT ''
) WITH (
  fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_scale_factor = 0.05,
  autovacuum_analyze_scale_factor = 0.05
);

CREATE INDEX queue_due ON queue (lane, due_at, seq);
CREATE INDEX queue_lane ON queue (lane, seq);
CREATE INDEX queue_sending ON queue (lane) INCLUDE (due_at) WHERE state = 1;

CREATE TABLE finished (
  seq         bigint PRIMARY KEY,
  lane        int NOT NULL,
  state       smallint NOT NULL,
  finished_at bigint NOT NULL,
  attempt     int NOT NULL,
  failures    int NOT NULL,
  last_status int,
  last_error  text NOT NULL,
  detail      text NOT NULL
);

CREATE INDEX finished_at ON finished (state, finished_at);
CREATE INDEX finished_dead ON finished (seq) WHERE state = 3;

CREATE TABLE attempts (
  delivery_seq bigint NOT NULL,
  number       int NOT NULL,
  started_at   bigint NOT NULL,
  duration_s   float8 NOT NULL,
  status       int,
  reason       text NOT NULL,
  error        text NOT NULL,
  response     bytea NOT NULL,
  insecure     boolean NOT NULL,
  resent       boolean NOT NULL,
  generation   int,
  node         bigint,            -- which process recorded it; null where it was cut off
  PRIMARY KEY (delivery_seq, number)
);

CREATE TABLE generations (
  seq      int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  number   int NOT NULL,
  hash     text NOT NULL,
  revision text NOT NULL,         -- git's name of the commit, empty where there is none
  dirty    boolean NOT NULL,
  UNIQUE (hash, revision, dirty, number)
);

CREATE TABLE spent (
  task        text COLLATE "C" NOT NULL,
  digest      text COLLATE "C" NOT NULL,
  spent_at    bigint NOT NULL,
  delivery_id text NOT NULL,
  PRIMARY KEY (task, digest)
);

CREATE TABLE schedules (
  key         text COLLATE "C" PRIMARY KEY,
  dealt_until bigint NOT NULL,
  generation  text NOT NULL,      -- hash of the configuration that watched it last
  watched_at  bigint NOT NULL
) WITH (fillfactor = 50);

-- What each process has added to the counts, by its connection: no two writers share a row, the sum is exact.
-- Lane 0 counts what is finished.
CREATE TABLE counts (
  lane       int NOT NULL,
  node       bigint NOT NULL,
  connection smallint NOT NULL,
  unfinished bigint NOT NULL DEFAULT 0,
  delivered  bigint NOT NULL DEFAULT 0,
  dead       bigint NOT NULL DEFAULT 0,
  cancelled  bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (lane, node, connection)
) WITH (fillfactor = 50);

CREATE TABLE clock (
  seen_at bigint NOT NULL
);

-- What the database's clock shows.
CREATE FUNCTION now_v1() RETURNS bigint LANGUAGE sql VOLATILE AS $$
  SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
$$;

-- The keys of lanes by their names, in the same order; new ones are made.
CREATE FUNCTION lanes_of_v1(p_webhooks text[]) RETURNS int[] LANGUAGE plpgsql VOLATILE
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
  v_lanes int[];
BEGIN
  SELECT array_agg((SELECT id FROM lanes WHERE webhook = n.name) ORDER BY n.place) INTO v_lanes
  FROM unnest(p_webhooks) WITH ORDINALITY AS n (name, place);
  IF array_position(v_lanes, NULL) IS NULL THEN
    RETURN v_lanes;
  END IF;
  INSERT INTO lanes (webhook) SELECT n.name FROM unnest(p_webhooks) AS n (name) ORDER BY n.name
  ON CONFLICT (webhook) DO NOTHING;
  SELECT array_agg((SELECT id FROM lanes WHERE webhook = n.name) ORDER BY n.place) INTO v_lanes
  FROM unnest(p_webhooks) WITH ORDINALITY AS n (name, place);
  RETURN v_lanes;
END $$;

-- A commit must be on the disk before its answer, whatever the role's or the database's default.
CREATE FUNCTION durable_v1() RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF current_setting('synchronous_commit') = 'off' THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;
END $$;

-- Adds to this process's counts.
CREATE FUNCTION count_v1(
  p_node bigint, p_connection smallint, p_lanes int[], p_unfinished int[], p_delivered int, p_dead int, p_cancelled int
) RETURNS void LANGUAGE plpgsql VOLATILE
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET jit = off AS $$
BEGIN
  INSERT INTO counts AS c (lane, node, connection, unfinished)
  SELECT n.lane, p_node, p_connection, n.more FROM unnest(p_lanes, p_unfinished) AS n (lane, more) WHERE n.more <> 0
  ON CONFLICT (lane, node, connection) DO UPDATE SET unfinished = c.unfinished + excluded.unfinished;
  IF p_delivered <> 0 OR p_dead <> 0 OR p_cancelled <> 0 THEN
    INSERT INTO counts AS c (lane, node, connection, delivered, dead, cancelled)
    VALUES (0, p_node, p_connection, p_delivered, p_dead, p_cancelled)
    ON CONFLICT (lane, node, connection) DO UPDATE SET
      delivered = c.delivered + excluded.delivered, dead = c.dead + excluded.dead,
      cancelled = c.cancelled + excluded.cancelled;
  END IF;
END $$;

-- Lets claims see what is due earlier than they would look.
CREATE FUNCTION lower_v1(p_lanes int[], p_due bigint[]) RETURNS void LANGUAGE plpgsql VOLATILE
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
  v_found int;
BEGIN
  SELECT count(*) INTO v_found FROM unnest(p_lanes, p_due) AS n (lane, due)
  CROSS JOIN LATERAL (SELECT low_at FROM lanes WHERE id = n.lane) AS l WHERE l.low_at - 30000000 > n.due;
  IF v_found > 0 THEN
    UPDATE lanes AS l SET low_at = least(l.low_at, n.due)
    FROM (
      SELECT g.lane, min(g.due) AS due FROM unnest(p_lanes, p_due) AS g (lane, due) GROUP BY g.lane ORDER BY g.lane
    ) AS n
    WHERE l.id = n.lane AND l.low_at - 30000000 > n.due;
  END IF;
END $$;

-- Stores events with their deliveries, all or nothing. HK001: something is kept, spent or dealt with that the caller
-- did not know of; it looks, and asks again for what is left.
CREATE FUNCTION enqueue_v1(
  p_node bigint, p_batch bigint, p_webhooks text[], p_unfinished int[],
  e_id text[], e_kind text[], e_type text[], e_event text[], e_object text[], e_time text[], e_data text[],
  e_digest bytea[], e_received bigint[], e_trace text[], e_deliveries int[],
  d_id text[], d_event int[], d_lane int[], d_task text[], d_rule text[], d_created bigint[], d_body bytea[],
  s_task text[], s_digest text[], s_at bigint[], s_delivery text[],
  m_key text[], m_first bigint[], m_last bigint[],
  r_webhook text[], r_at bigint[], r_until bigint[]
) RETURNS bigint LANGUAGE plpgsql VOLATILE
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET jit = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  v_lanes int[];
  v_events bigint[];
  v_seqs bigint[];
  v_count int;
BEGIN
  PERFORM durable_v1();
  IF cardinality(m_key) > 0 THEN
    PERFORM 1 FROM schedules WHERE key = ANY (m_key) ORDER BY key FOR UPDATE;
    SELECT count(*) INTO v_count FROM unnest(m_key, m_first) AS m (key, first)
    CROSS JOIN LATERAL (SELECT dealt_until FROM schedules WHERE key = m.key) AS s WHERE s.dealt_until >= m.first;
    IF v_count > 0 THEN
      RAISE EXCEPTION 'a moment is dealt with' USING ERRCODE = 'HK001';
    END IF;
    UPDATE schedules AS s SET dealt_until = m.last FROM unnest(m_key, m_last) AS m (key, last) WHERE s.key = m.key;
  END IF;
  v_events := ARRAY(SELECT nextval('event_seqs') FROM generate_series(1, cardinality(e_id)));
  INSERT INTO events (
    seq, id, kind, type, event, object, time, data, digest, received_at, trace, deliveries, batch)
  SELECT e.seq, e.id, e.kind, e.type, e.event, e.object, e.time, e.data, e.digest, e.received, e.trace, e.deliveries,
    p_batch
  FROM unnest(
    v_events, e_id, e_kind, e_type, e_event, e_object, e_time, e_data, e_digest, e_received, e_trace, e_deliveries
  ) AS e (seq, id, kind, type, event, object, time, data, digest, received, trace, deliveries)
  ORDER BY e.id COLLATE "C"
  ON CONFLICT (id) DO NOTHING;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  IF v_count < cardinality(e_id) THEN
    RAISE EXCEPTION 'an event is kept' USING ERRCODE = 'HK001';
  END IF;
  IF cardinality(s_task) > 0 THEN
    INSERT INTO spent (task, digest, spent_at, delivery_id)
    SELECT s.task, s.digest, s.at, s.delivery FROM unnest(s_task, s_digest, s_at, s_delivery)
      AS s (task, digest, at, delivery)
    ORDER BY s.task COLLATE "C", s.digest COLLATE "C"
    ON CONFLICT (task, digest) DO NOTHING;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    IF v_count < cardinality(s_task) THEN
      RAISE EXCEPTION 'a task is spent' USING ERRCODE = 'HK001';
    END IF;
  END IF;
  IF cardinality(r_webhook) > 0 THEN
    PERFORM lanes_of_v1(r_webhook);
    PERFORM 1 FROM lanes WHERE webhook = ANY (r_webhook) ORDER BY id FOR NO KEY UPDATE;
    UPDATE lanes AS l SET reported_at = r.at, reported_until = greatest(coalesce(l.reported_until, 0), r.until)
    FROM unnest(r_webhook, r_at, r_until) AS r (webhook, at, until) WHERE l.webhook = r.webhook;
  END IF;
  IF cardinality(d_id) > 0 THEN
    v_lanes := lanes_of_v1(p_webhooks);
    v_seqs := ARRAY(SELECT nextval('delivery_seqs') FROM generate_series(1, cardinality(d_id)));
    INSERT INTO deliveries (seq, id, event_seq, lane, task, rule, created_at, body)
    SELECT d.seq, d.id, v_events[d.event], v_lanes[d.lane], d.task, d.rule, d.created, d.body
    FROM unnest(v_seqs, d_id, d_event, d_lane, d_task, d_rule, d_created, d_body)
      AS d (seq, id, event, lane, task, rule, created, body);
    INSERT INTO queue (seq, lane, due_at)
    SELECT d.seq, v_lanes[d.lane], d.created FROM unnest(v_seqs, d_lane, d_created) AS d (seq, lane, created);
    PERFORM lower_v1(v_lanes, array_fill((SELECT min(at) FROM unnest(d_created) AS d (at)), ARRAY[cardinality(v_lanes)]));
    PERFORM count_v1(p_node, 0::smallint, v_lanes, p_unfinished, 0, 0, 0);
  END IF;
  RETURN now_v1();
END $$;

-- What is kept of these events, spent of these tasks and dealt with of these schedules, to plan a batch by.
CREATE FUNCTION kept_v1(p_ids text[]) RETURNS TABLE (
  event_id text, digest bytea, batch bigint, delivery_id text, task text, webhook text
) LANGUAGE sql STABLE
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET jit = off AS $$
  SELECT e.id, e.digest, e.batch, d.id, d.task, d.webhook
  FROM unnest(p_ids) AS n (id)
  CROSS JOIN LATERAL (SELECT seq, id, digest, batch FROM events WHERE id = n.id) AS e
  LEFT JOIN LATERAL (
    SELECT d.seq, d.id, d.task, (SELECT l.webhook FROM lanes AS l WHERE l.id = d.lane) AS webhook
    FROM deliveries AS d WHERE d.event_seq = e.seq
  ) AS d ON true
  ORDER BY e.seq, d.seq
$$;

-- Leases due deliveries: rows with a `seq` are leases; those without tell of a lane when it is next due, or until when
-- it is refused. A lane's row is locked, waiting, in the order of ids: two processes that want the same lanes take turns.
CREATE FUNCTION claim_v1(
  p_node bigint, p_token bigint, p_now bigint, p_webhooks text[], p_slots int[], p_lease bigint[], p_concurrency int[]
) RETURNS TABLE (
  want int, seq bigint, attempt int, failures int, id text, event_id text, task text, body bytea, trace text,
  was_sending boolean, due bigint, wait bigint, at bigint
) LANGUAGE plpgsql VOLATILE
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_sort = off SET jit = off SET plan_cache_mode = force_generic_plan SET lock_timeout = '2s' AS $$
#variable_conflict use_column
DECLARE
  v_now bigint := least(p_now, now_v1());
  v_want int[] := '{}';
  v_lane int[] := '{}';
  v_room int[] := '{}';
  v_lease bigint[] := '{}';
  v_low bigint[] := '{}';
  v_whole boolean[] := '{}';
  v_lane_row record;
  v_count int;
BEGIN
  PERFORM durable_v1();
  PERFORM 1 FROM lanes WHERE webhook = ANY (p_webhooks) ORDER BY lanes.id FOR NO KEY UPDATE;
  -- A statement of its own: it sees what others committed while the locks were waited for.
  FOR v_lane_row IN
    SELECT w.place::int AS want, w.slots, w.lease, w.concurrency, l.id AS lane, l.hold_until, l.paused_at, l.low_at,
      l.looked_at < v_now - 60000000 OR l.looked_at > v_now AS whole
    FROM unnest(p_webhooks, p_slots, p_lease, p_concurrency) WITH ORDINALITY
      AS w (webhook, slots, lease, concurrency, place)
    CROSS JOIN LATERAL (SELECT * FROM lanes WHERE webhook = w.webhook) AS l
  LOOP
    IF v_lane_row.paused_at IS NOT NULL OR v_lane_row.hold_until > v_now THEN
      want := v_lane_row.want;
      wait := CASE WHEN v_lane_row.paused_at IS NULL THEN v_lane_row.hold_until ELSE 9223372036854775807 END;
      at := v_now;
      RETURN NEXT;
    ELSE
      v_count := v_lane_row.slots;
      IF v_lane_row.concurrency IS NOT NULL THEN
        SELECT least(v_count, greatest(0, v_lane_row.concurrency - count(*)))::int INTO v_count FROM queue AS q
        WHERE q.lane = v_lane_row.lane AND q.state = 1 AND q.due_at > v_now;
      END IF;
      v_want := v_want || v_lane_row.want;
      v_lane := v_lane || v_lane_row.lane;
      v_room := v_room || greatest(0, v_count);
      v_lease := v_lease || v_lane_row.lease;
      v_low := v_low || CASE WHEN v_lane_row.whole THEN 0 ELSE v_lane_row.low_at - 30000000 END;
      v_whole := v_whole || v_lane_row.whole;
    END IF;
  END LOOP;
  RETURN QUERY
  WITH picked AS MATERIALIZED (
    SELECT w.want, w.lease, q.* FROM unnest(v_want, v_lane, v_room, v_lease, v_low) AS w (want, lane, room, lease, low)
    CROSS JOIN LATERAL (
      SELECT q.seq, q.due_at, q.state, q.attempt, q.failures, q.claimed_at FROM queue AS q
      WHERE q.lane = w.lane AND q.due_at >= w.low AND q.due_at <= v_now
      ORDER BY q.due_at, q.seq LIMIT w.room FOR UPDATE SKIP LOCKED
    ) AS q
    LIMIT 1000
  ), cut_off AS (
    INSERT INTO attempts (
      delivery_seq, number, started_at, duration_s, reason, error, response, insecure, resent)
    SELECT p.seq, p.attempt, p.claimed_at, greatest(0, p.due_at - p.claimed_at) / 1e6, 'interrupted',
      'interrupted: the answer was not recorded', '', false, false
    FROM picked AS p WHERE p.state = 1
  ), leased AS (
    UPDATE queue AS q SET state = 1, attempt = p.attempt + 1, token = p_token, node = p_node, claimed_at = v_now,
      due_at = v_now + p.lease
    FROM picked AS p WHERE q.seq = p.seq
  )
  SELECT p.want, p.seq, p.attempt + 1, p.failures, d.id, e.id, d.task, d.body, e.trace, p.state = 1, NULL::bigint,
    NULL::bigint, v_now
  FROM picked AS p
  CROSS JOIN LATERAL (SELECT d.id, d.task, d.body, d.event_seq FROM deliveries AS d WHERE d.seq = p.seq) AS d
  CROSS JOIN LATERAL (SELECT e.id, e.trace FROM events AS e WHERE e.seq = d.event_seq) AS e;
  FOR v_lane_row IN
    SELECT w.want, w.lane, w.whole, (
      SELECT q.due_at FROM queue AS q WHERE q.lane = w.lane AND q.due_at >= w.low ORDER BY q.due_at, q.seq LIMIT 1
    ) AS next
    FROM unnest(v_want, v_lane, v_low, v_whole) AS w (want, lane, low, whole)
  LOOP
    UPDATE lanes AS l SET low_at = least(v_now, coalesce(v_lane_row.next, v_now)),
      looked_at = CASE WHEN v_lane_row.whole THEN v_now ELSE l.looked_at END
    WHERE l.id = v_lane_row.lane
      AND (v_lane_row.whole OR abs(l.low_at - least(v_now, coalesce(v_lane_row.next, v_now))) > 1000000);
    want := v_lane_row.want;
    seq := NULL;
    due := v_lane_row.next;
    wait := NULL;
    at := v_now;
    RETURN NEXT;
  END LOOP;
END $$;

-- Records attempts and what follows from them, of leases that are still held; returns the places of those.
CREATE FUNCTION settle_v1(
  p_node bigint, g_seq bigint[], g_token bigint[], g_number int[], g_now bigint[], g_state smallint[],
  g_failures int[], g_due bigint[], g_hold bigint[], g_detail text[],
  g_started bigint[], g_duration float8[], g_status int[], g_reason text[], g_error text[], g_response bytea[],
  g_insecure boolean[], g_resent boolean[], g_generation int[]
) RETURNS int[] LANGUAGE plpgsql VOLATILE
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET jit = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  v_held int[];
  v_lanes int[];
  v_ended int[];
  v_delivered int;
  v_dead int;
  v_again int[];
  v_due bigint[];
  v_holds boolean;
BEGIN
  PERFORM durable_v1();
  WITH held AS MATERIALIZED (
    SELECT g.*, q.lane
    FROM unnest(
      g_seq, g_token, g_number, g_now, g_state, g_failures, g_due, g_hold, g_detail, g_started, g_duration, g_status,
      g_reason, g_error, g_response, g_insecure, g_resent, g_generation
    ) WITH ORDINALITY AS g (
      seq, token, number, now, state, failures, due, hold, detail, started, duration, status, reason, error, response,
      insecure, resent, generation, place
    )
    CROSS JOIN LATERAL (
      SELECT q.lane, q.state, q.token, q.attempt FROM queue AS q WHERE q.seq = g.seq FOR UPDATE
    ) AS q
    WHERE q.state = 1 AND q.token = g.token AND q.attempt = g.number
  ), recorded AS (
    INSERT INTO attempts (
      delivery_seq, number, started_at, duration_s, status, reason, error, response, insecure, resent, generation, node)
    SELECT h.seq, h.number, h.started, h.duration, h.status, h.reason, h.error, h.response, h.insecure, h.resent,
      h.generation, p_node
    FROM held AS h
  ), ended AS (
    INSERT INTO finished (seq, lane, state, finished_at, attempt, failures, last_status, last_error, detail)
    SELECT h.seq, h.lane, h.state, h.now, h.number, h.failures, h.status, h.error, h.detail FROM held AS h
    WHERE h.due IS NULL
  ), gone AS (
    DELETE FROM queue AS q USING held AS h WHERE q.seq = h.seq AND h.due IS NULL
  ), again AS (
    UPDATE queue AS q SET state = 0, failures = h.failures, due_at = h.due, token = NULL, node = NULL,
      claimed_at = NULL, last_status = h.status, last_error = h.error
    FROM held AS h WHERE q.seq = h.seq AND h.due IS NOT NULL
  )
  SELECT array_agg(h.place::int), coalesce(array_agg(h.lane) FILTER (WHERE h.due IS NULL), '{}'),
    count(*) FILTER (WHERE h.state = 2), count(*) FILTER (WHERE h.state = 3),
    coalesce(array_agg(h.lane) FILTER (WHERE h.due IS NOT NULL), '{}'),
    coalesce(array_agg(h.due) FILTER (WHERE h.due IS NOT NULL), '{}'), bool_or(h.hold IS NOT NULL)
  INTO v_held, v_ended, v_delivered, v_dead, v_again, v_due, v_holds FROM held AS h;
  IF v_holds THEN
    PERFORM 1 FROM lanes AS l WHERE l.id IN (
      SELECT q.lane FROM unnest(v_held) AS p (place)
      CROSS JOIN LATERAL (SELECT d.lane FROM deliveries AS d WHERE d.seq = g_seq[p.place]) AS q
      WHERE g_hold[p.place] IS NOT NULL
    ) ORDER BY l.id FOR NO KEY UPDATE;
    UPDATE lanes AS l SET hold_until = greatest(l.hold_until, h.until) FROM (
      SELECT q.lane, max(g_hold[p.place]) AS until FROM unnest(v_held) AS p (place)
      CROSS JOIN LATERAL (SELECT d.lane FROM deliveries AS d WHERE d.seq = g_seq[p.place]) AS q
      WHERE g_hold[p.place] IS NOT NULL GROUP BY q.lane
    ) AS h WHERE l.id = h.lane;
  END IF;
  IF cardinality(v_again) > 0 THEN
    PERFORM lower_v1(v_again, v_due);
  END IF;
  IF cardinality(v_ended) > 0 THEN
    SELECT array_agg(e.lane), array_agg(-e.more) INTO v_lanes, v_ended
    FROM (SELECT n.lane, count(*)::int AS more FROM unnest(v_ended) AS n (lane) GROUP BY n.lane) AS e;
    PERFORM count_v1(p_node, 1::smallint, v_lanes, v_ended, v_delivered, v_dead, 0);
  END IF;
  RETURN coalesce(v_held, '{}');
END $$;

-- Which of these attempts were recorded by a process: how it learns what became of a batch whose answer it lost.
CREATE FUNCTION recorded_v1(p_node bigint, g_seq bigint[], g_number int[]) RETURNS int[] LANGUAGE sql STABLE
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET jit = off AS $$
  SELECT coalesce(array_agg(g.place::int), '{}') FROM unnest(g_seq, g_number) WITH ORDINALITY AS g (seq, number, place)
  CROSS JOIN LATERAL (
    SELECT 1 FROM attempts AS a WHERE a.delivery_seq = g.seq AND a.number = g.number AND a.node = p_node
  ) AS a
$$;

-- Gives back what was claimed and not sent; returns the keys of those whose lease was still held.
CREATE FUNCTION release_v1(g_seq bigint[], g_token bigint[], g_number int[], p_why text) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET jit = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  v_held bigint[];
  v_lanes int[];
  v_due bigint[];
BEGIN
  PERFORM durable_v1();
  WITH held AS MATERIALIZED (
    SELECT q.* FROM unnest(g_seq, g_token, g_number) AS g (seq, token, number)
    CROSS JOIN LATERAL (
      SELECT q.seq, q.lane, q.state, q.token, q.attempt, q.claimed_at, q.due_at FROM queue AS q
      WHERE q.seq = g.seq FOR UPDATE
    ) AS q
    WHERE q.state = 1 AND q.token = g.token AND q.attempt = g.number
  ), recorded AS (
    INSERT INTO attempts (
      delivery_seq, number, started_at, duration_s, reason, error, response, insecure, resent)
    SELECT h.seq, h.attempt, h.claimed_at, 0, 'interrupted', p_why, '', false, false FROM held AS h
  ), back AS (
    UPDATE queue AS q SET state = 0, due_at = least(h.due_at, h.claimed_at), token = NULL, node = NULL,
      claimed_at = NULL, last_status = NULL, last_error = p_why
    FROM held AS h WHERE q.seq = h.seq
  )
  SELECT coalesce(array_agg(h.seq), '{}'), array_agg(h.lane), array_agg(h.claimed_at) INTO v_held, v_lanes, v_due
  FROM held AS h;
  IF cardinality(v_held) > 0 THEN
    PERFORM lower_v1(v_lanes, v_due);
  END IF;
  RETURN v_held;
END $$;

-- Gives back everything that a process holds, or that one of its claims took.
CREATE FUNCTION end_leases_v1(p_node bigint, p_token bigint, p_why text) RETURNS int LANGUAGE plpgsql VOLATILE
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
  v_seqs bigint[];
  v_tokens bigint[];
  v_numbers int[];
BEGIN
  SELECT array_agg(q.seq), array_agg(q.token), array_agg(q.attempt) INTO v_seqs, v_tokens, v_numbers
  FROM (SELECT * FROM queue WHERE state = 1 AND node = p_node AND (p_token IS NULL OR token = p_token) ORDER BY seq) AS q;
  RETURN cardinality(release_v1(coalesce(v_seqs, '{}'), coalesce(v_tokens, '{}'), coalesce(v_numbers, '{}'), p_why));
END $$;

-- Lets leases that are still held end later; returns their keys.
CREATE FUNCTION renew_v1(g_seq bigint[], g_token bigint[], g_number int[], g_end bigint[]) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET jit = off AS $$
DECLARE
  v_held bigint[];
BEGIN
  PERFORM durable_v1();
  WITH held AS (
    UPDATE queue AS q SET due_at = g.until FROM unnest(g_seq, g_token, g_number, g_end) AS g (seq, token, number, until)
    WHERE q.seq = g.seq AND q.state = 1 AND q.token = g.token AND q.attempt = g.number RETURNING q.seq
  )
  SELECT coalesce(array_agg(h.seq), '{}') INTO v_held FROM held AS h;
  RETURN v_held;
END $$;

-- Makes the pending delivery of a webhook that is due first due now; whether one was later.
CREATE FUNCTION make_due_v1(p_webhook text, p_now bigint) RETURNS boolean LANGUAGE plpgsql VOLATILE
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_sort = off SET jit = off AS $$
DECLARE
  v_lane int;
  v_seq bigint;
  v_due bigint;
BEGIN
  PERFORM durable_v1();
  SELECT id INTO v_lane FROM lanes WHERE webhook = p_webhook;
  SELECT q.seq, q.due_at INTO v_seq, v_due FROM queue AS q WHERE q.lane = v_lane AND q.state = 0
  ORDER BY q.due_at, q.seq LIMIT 1 FOR UPDATE;
  IF v_seq IS NULL OR v_due <= p_now THEN
    RETURN false;
  END IF;
  UPDATE queue SET due_at = p_now WHERE seq = v_seq;
  PERFORM lower_v1(ARRAY[v_lane], ARRAY[p_now]);
  RETURN true;
END $$;

-- Makes deliveries due that are in the state that is expected of each (null: in any); one under way is left alone.
-- Returns for each that is kept the state that it was in, its webhook, and whether it is due now.
CREATE FUNCTION retry_v1(p_node bigint, p_seqs bigint[], p_states smallint[], p_now bigint) RETURNS TABLE (
  seq bigint, state smallint, webhook text, done boolean
) LANGUAGE plpgsql VOLATILE
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET jit = off AS $$
#variable_conflict use_column
DECLARE
  v_lanes int[];
  v_more int[];
  v_counted int[];
  v_waiting bigint[];
  v_finished bigint[];
BEGIN
  PERFORM durable_v1();
  PERFORM 1 FROM unnest(p_seqs) AS g (seq) CROSS JOIN LATERAL (
    SELECT 1 FROM queue AS q WHERE q.seq = g.seq FOR UPDATE) AS q;
  PERFORM 1 FROM unnest(p_seqs) AS g (seq) CROSS JOIN LATERAL (
    SELECT 1 FROM finished AS f WHERE f.seq = g.seq FOR UPDATE) AS f;
  RETURN QUERY
  SELECT g.seq, coalesce(q.state, f.state), l.webhook,
    coalesce(q.state, f.state) <> 1 AND (g.expected IS NULL OR g.expected = coalesce(q.state, f.state))
  FROM unnest(p_seqs, p_states) AS g (seq, expected)
  LEFT JOIN LATERAL (SELECT q.lane, q.state FROM queue AS q WHERE q.seq = g.seq) AS q ON true
  LEFT JOIN LATERAL (SELECT f.lane, f.state FROM finished AS f WHERE f.seq = g.seq) AS f ON true
  CROSS JOIN LATERAL (SELECT l.webhook FROM lanes AS l WHERE l.id = coalesce(q.lane, f.lane)) AS l;
  SELECT array_agg(g.seq) INTO v_waiting FROM unnest(p_seqs, p_states) AS g (seq, expected)
  CROSS JOIN LATERAL (SELECT q.state FROM queue AS q WHERE q.seq = g.seq) AS q
  WHERE q.state = 0 AND coalesce(g.expected, 0) = 0;
  SELECT array_agg(g.seq) INTO v_finished FROM unnest(p_seqs, p_states) AS g (seq, expected)
  CROSS JOIN LATERAL (SELECT f.state FROM finished AS f WHERE f.seq = g.seq) AS f
  WHERE coalesce(g.expected, f.state) = f.state;
  UPDATE queue AS q SET due_at = least(q.due_at, p_now) WHERE q.seq = ANY (v_waiting);
  WITH gone AS (
    DELETE FROM finished AS f WHERE f.seq = ANY (v_finished) RETURNING f.*
  ), back AS (
    INSERT INTO queue (seq, lane, due_at, attempt, last_status, last_error)
    SELECT g.seq, g.lane, p_now, g.attempt, g.last_status, g.last_error FROM gone AS g
  ), summed AS (
    SELECT g.lane, count(*)::int AS more FROM gone AS g GROUP BY g.lane
  )
  SELECT (SELECT array_agg(s.lane) FROM summed AS s), (SELECT array_agg(s.more) FROM summed AS s),
    ARRAY[count(*) FILTER (WHERE g.state = 2), count(*) FILTER (WHERE g.state = 3), count(*) FILTER (WHERE g.state = 4)]
  INTO v_lanes, v_more, v_counted FROM gone AS g;
  PERFORM count_v1(p_node, 2::smallint, coalesce(v_lanes, '{}'), coalesce(v_more, '{}'), -v_counted[1], -v_counted[2],
    -v_counted[3]);
  SELECT array_agg(DISTINCT d.lane) INTO v_lanes FROM unnest(coalesce(v_waiting, '{}') || coalesce(v_finished, '{}')) AS g (seq)
  CROSS JOIN LATERAL (SELECT d.lane FROM deliveries AS d WHERE d.seq = g.seq) AS d;
  PERFORM lower_v1(coalesce(v_lanes, '{}'), array_fill(p_now, ARRAY[coalesce(cardinality(v_lanes), 0)]));
END $$;

-- Ends a pending delivery; returns the state that it was in and its webhook.
CREATE FUNCTION cancel_v1(p_node bigint, p_id text, p_now bigint) RETURNS TABLE (state smallint, webhook text)
LANGUAGE plpgsql VOLATILE
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
  v_seq bigint;
  v_lane int;
  v_state smallint;
BEGIN
  PERFORM durable_v1();
  SELECT d.seq, d.lane INTO v_seq, v_lane FROM deliveries AS d WHERE d.id = p_id;
  IF v_seq IS NULL THEN
    RETURN;
  END IF;
  SELECT q.state INTO v_state FROM queue AS q WHERE q.seq = v_seq FOR UPDATE;
  IF v_state IS NULL THEN
    SELECT f.state INTO v_state FROM finished AS f WHERE f.seq = v_seq;
  ELSIF v_state = 0 THEN
    WITH gone AS (DELETE FROM queue AS q WHERE q.seq = v_seq RETURNING q.*)
    INSERT INTO finished (seq, lane, state, finished_at, attempt, failures, last_status, last_error, detail)
    SELECT g.seq, g.lane, 4, p_now, g.attempt, g.failures, g.last_status, g.last_error, '' FROM gone AS g;
    PERFORM count_v1(p_node, 2::smallint, ARRAY[v_lane], ARRAY[-1], 0, 0, 1);
  END IF;
  RETURN QUERY SELECT v_state, l.webhook FROM lanes AS l WHERE l.id = v_lane AND v_state IS NOT NULL;
END $$;

-- Parks a webhook, unless it is already; whether it was not.
CREATE FUNCTION pause_v1(p_webhook text, p_now bigint) RETURNS boolean LANGUAGE plpgsql VOLATILE
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
  v_lanes int[] := lanes_of_v1(ARRAY[p_webhook]);
BEGIN
  PERFORM durable_v1();
  UPDATE lanes SET paused_at = p_now WHERE id = v_lanes[1] AND paused_at IS NULL;
  RETURN FOUND;
END $$;

CREATE FUNCTION resume_v1(p_webhook text) RETURNS boolean LANGUAGE plpgsql VOLATILE
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET jit = off AS $$
BEGIN
  PERFORM durable_v1();
  UPDATE lanes SET paused_at = NULL WHERE webhook = p_webhook AND paused_at IS NOT NULL;
  RETURN FOUND;
END $$;

CREATE FUNCTION lift_hold_v1(p_webhook text, p_now bigint) RETURNS boolean LANGUAGE plpgsql VOLATILE
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET jit = off AS $$
BEGIN
  PERFORM durable_v1();
  UPDATE lanes SET hold_until = p_now WHERE webhook = p_webhook AND hold_until > p_now;
  RETURN FOUND;
END $$;

CREATE FUNCTION reset_one_shot_v1(p_task text, p_digest text) RETURNS boolean LANGUAGE plpgsql VOLATILE
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET jit = off AS $$
BEGIN
  PERFORM durable_v1();
  DELETE FROM spent WHERE task = p_task AND digest = p_digest;
  RETURN FOUND;
END $$;

-- Watches schedules, and forgets the others where no other process runs; returns up to when each is dealt with.
-- A process counts as running for a minute after it was last seen.
CREATE FUNCTION watch_v1(p_node bigint, p_keys text[], p_generation text, p_since bigint, p_now bigint) RETURNS TABLE (
  key text, dealt_until bigint
) LANGUAGE plpgsql VOLATILE
SET search_path = @schema@, pg_temp SET jit = off AS $$
#variable_conflict use_column
BEGIN
  PERFORM durable_v1();
  INSERT INTO schedules AS s (key, dealt_until, generation, watched_at)
  SELECT k.key, least(p_since, p_now), p_generation, now_v1() FROM unnest(p_keys) AS k (key) ORDER BY k.key COLLATE "C"
  ON CONFLICT (key) DO UPDATE SET dealt_until = least(s.dealt_until, p_now), generation = excluded.generation,
    watched_at = excluded.watched_at;
  IF NOT EXISTS (SELECT 1 FROM nodes WHERE id <> p_node AND seen_at > now_v1() - 60000000) THEN
    DELETE FROM schedules AS s WHERE NOT EXISTS (SELECT 1 FROM unnest(p_keys) AS k (key) WHERE k.key = s.key);
  ELSE
    DELETE FROM schedules WHERE watched_at < now_v1() - 604800000000;
  END IF;
  RETURN QUERY SELECT s.key, s.dealt_until FROM schedules AS s WHERE s.key = ANY (p_keys);
END $$;

-- Never a little back: another process may just have stored a later moment.
CREATE FUNCTION note_alive_v1(p_generation text, p_now bigint) RETURNS void LANGUAGE plpgsql VOLATILE
SET search_path = @schema@, pg_temp SET jit = off AS $$
BEGIN
  PERFORM durable_v1();
  UPDATE schedules SET dealt_until = p_now WHERE key IN (
    SELECT key FROM schedules WHERE generation = p_generation AND (dealt_until < p_now OR dealt_until > p_now + 60000000)
    ORDER BY key FOR UPDATE);
END $$;

-- Brings the instants of the next waiting deliveries above a key back; returns the last of them, null at the end.
CREATE FUNCTION set_back_v1(p_by bigint, p_now bigint, p_after bigint, p_limit int) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET jit = off AS $$
DECLARE
  v_last bigint;
  v_count int;
BEGIN
  PERFORM durable_v1();
  SELECT max(n.seq), count(*) INTO v_last, v_count
  FROM (SELECT seq FROM queue WHERE seq > p_after ORDER BY seq LIMIT p_limit) AS n;
  UPDATE queue AS q SET due_at = greatest(p_now, q.due_at - p_by)
  WHERE q.seq > p_after AND q.seq <= v_last AND q.due_at > p_now;
  UPDATE lanes SET low_at = 0, looked_at = 0 WHERE low_at <> 0;
  IF v_count = p_limit THEN
    RETURN v_last;
  END IF;
  UPDATE lanes SET hold_until = greatest(p_now, hold_until - p_by) WHERE hold_until > p_now;
  UPDATE events SET received_at = p_now WHERE seq = (SELECT max(seq) FROM events) AND received_at > p_now;
  PERFORM set_clock_v1(p_now);
  RETURN NULL;
END $$;

CREATE FUNCTION set_clock_v1(p_now bigint) RETURNS void LANGUAGE sql VOLATILE
SET search_path = @schema@, pg_temp AS $$
  DELETE FROM clock;
  INSERT INTO clock (seen_at) VALUES (p_now);
$$;

-- Notes what the clock shows; never earlier than was noted.
CREATE FUNCTION note_clock_v1(p_now bigint) RETURNS void LANGUAGE plpgsql VOLATILE
SET search_path = @schema@, pg_temp AS $$
BEGIN
  UPDATE clock SET seen_at = greatest(seen_at, p_now);
  IF NOT FOUND THEN
    INSERT INTO clock (seen_at) VALUES (p_now);
  END IF;
END $$;

-- Deletes finished deliveries past their time, with their attempts, and events that are left without any.
CREATE FUNCTION prune_v1(p_node bigint, p_delivered_before bigint, p_dead_before bigint, p_limit int) RETURNS int
LANGUAGE plpgsql VOLATILE
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET jit = off AS $$
DECLARE
  v_gone int := 0;
  v_state int;
  v_counts int[] := '{0,0,0}';
  v_seqs bigint[];
  v_events bigint[];
  v_count int;
BEGIN
  PERFORM durable_v1();
  FOREACH v_state IN ARRAY ARRAY[2, 4, 3] LOOP
    v_seqs := ARRAY(
      SELECT f.seq FROM finished AS f
      WHERE f.state = v_state AND f.finished_at < CASE v_state WHEN 3 THEN p_dead_before ELSE p_delivered_before END
      ORDER BY f.finished_at LIMIT p_limit - v_gone FOR UPDATE SKIP LOCKED);
    CONTINUE WHEN cardinality(v_seqs) = 0;
    DELETE FROM attempts WHERE delivery_seq = ANY (v_seqs);
    DELETE FROM finished WHERE seq = ANY (v_seqs);
    WITH gone AS (DELETE FROM deliveries WHERE seq = ANY (v_seqs) RETURNING event_seq)
    SELECT array_agg(DISTINCT g.event_seq) INTO v_events FROM gone AS g;
    DELETE FROM events AS e WHERE e.seq = ANY (v_events)
      AND NOT EXISTS (SELECT 1 FROM deliveries AS d WHERE d.event_seq = e.seq);
    v_gone := v_gone + cardinality(v_seqs);
    v_counts[v_state - 1] := cardinality(v_seqs);
  END LOOP;
  PERFORM count_v1(p_node, 2::smallint, '{}', '{}', -v_counts[1], -v_counts[2], -v_counts[3]);
  DELETE FROM events WHERE seq IN (
    SELECT e.seq FROM events AS e WHERE e.deliveries = 0 AND e.received_at < p_delivered_before
    ORDER BY e.received_at LIMIT p_limit - v_gone);
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_gone + v_count;
END $$;

-- Adds a process, and takes the counts of those that are gone over into node 0.
CREATE FUNCTION join_v1(p_name text, p_version text, p_schema int) RETURNS bigint LANGUAGE plpgsql VOLATILE
SET search_path = @schema@, pg_temp AS $$
DECLARE
  v_node bigint;
  v_gone bigint[];
BEGIN
  PERFORM durable_v1();
  PERFORM pg_advisory_xact_lock(hashtext('hookd.join.' || current_schema()));
  WITH gone AS (DELETE FROM nodes WHERE seen_at < now_v1() - 3600000000 RETURNING id)
  SELECT array_agg(id) INTO v_gone FROM gone;
  PERFORM fold_v1(n.id) FROM unnest(v_gone) AS n (id);
  INSERT INTO nodes (name, version, schema, started_at, seen_at) VALUES (p_name, p_version, p_schema, now_v1(), now_v1())
  RETURNING id INTO v_node;
  RETURN v_node;
END $$;

CREATE FUNCTION fold_v1(p_node bigint) RETURNS void LANGUAGE sql VOLATILE
SET search_path = @schema@, pg_temp AS $$
  WITH gone AS (DELETE FROM counts WHERE node = p_node RETURNING *)
  INSERT INTO counts AS c (lane, node, connection, unfinished, delivered, dead, cancelled)
  SELECT g.lane, 0, 0, sum(g.unfinished), sum(g.delivered), sum(g.dead), sum(g.cancelled) FROM gone AS g
  GROUP BY g.lane ORDER BY g.lane
  ON CONFLICT (lane, node, connection) DO UPDATE SET
    unfinished = c.unfinished + excluded.unfinished, delivered = c.delivered + excluded.delivered,
    dead = c.dead + excluded.dead, cancelled = c.cancelled + excluded.cancelled;
$$;

-- Removes a process that ends: what it still holds is due again, its counts are node 0's.
CREATE FUNCTION leave_v1(p_node bigint, p_why text, p_now bigint) RETURNS void LANGUAGE plpgsql VOLATILE
SET search_path = @schema@, pg_temp AS $$
BEGIN
  PERFORM durable_v1();
  PERFORM end_leases_v1(p_node, NULL, p_why);
  PERFORM note_clock_v1(p_now);
  DELETE FROM nodes WHERE id = p_node;
  PERFORM fold_v1(p_node);
END $$;

-- Notes that a process runs; returns what the clock shows, null where the process is not known any more.
CREATE FUNCTION seen_v1(p_node bigint) RETURNS bigint LANGUAGE plpgsql VOLATILE
SET search_path = @schema@, pg_temp AS $$
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  UPDATE nodes SET seen_at = now_v1() WHERE id = p_node;
  RETURN CASE WHEN FOUND THEN now_v1() END;
END $$;

-- A tiny durable write: whether anything can be written.
CREATE FUNCTION probe_v1(p_node bigint) RETURNS bigint LANGUAGE plpgsql VOLATILE
SET search_path = @schema@, pg_temp AS $$
BEGIN
  PERFORM durable_v1();
  UPDATE nodes SET seen_at = now_v1() WHERE id = p_node;
  RETURN now_v1();
END $$;

-- The key of a generation of the configuration; of those that nobody names any more the latest 10,000 are kept.
CREATE FUNCTION generation_v1(p_number int, p_hash text, p_revision text, p_dirty boolean) RETURNS int
LANGUAGE plpgsql VOLATILE
SET search_path = @schema@, pg_temp AS $$
DECLARE
  v_key int;
BEGIN
  SELECT seq INTO v_key FROM generations
  WHERE hash = p_hash AND revision = p_revision AND dirty = p_dirty AND number = p_number;
  IF v_key IS NULL THEN
    INSERT INTO generations (number, hash, revision, dirty) VALUES (p_number, p_hash, p_revision, p_dirty)
    ON CONFLICT (hash, revision, dirty, number) DO NOTHING;
    SELECT seq INTO v_key FROM generations
    WHERE hash = p_hash AND revision = p_revision AND dirty = p_dirty AND number = p_number;
    DELETE FROM generations WHERE seq <= v_key - 10000;
  END IF;
  RETURN v_key;
END $$;

-- What waits, lane by lane: when the next is due, what other processes have counted, holds and pauses.
CREATE FUNCTION waiting_v1(p_node bigint) RETURNS TABLE (
  webhook text, due bigint, others bigint, hold_until bigint, paused_at bigint
) LANGUAGE sql STABLE
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET jit = off AS $$
  SELECT l.webhook, (
      SELECT q.due_at FROM queue AS q WHERE q.lane = l.id AND q.due_at >= l.low_at - 30000000
      ORDER BY q.due_at, q.seq LIMIT 1),
    (SELECT sum(c.unfinished)::bigint FROM counts AS c WHERE c.lane = l.id AND c.node <> p_node), l.hold_until, l.paused_at
  FROM lanes AS l
$$;

-- How many deliveries wait for each webhook, how many of them are being sent, and since when the oldest waits.
CREATE FUNCTION lanes_v1(p_webhooks text[]) RETURNS TABLE (
  webhook text, pending bigint, sending bigint, oldest_at bigint
) LANGUAGE sql STABLE
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET jit = off AS $$
  SELECT n.webhook, n.pending, (SELECT count(*) FROM queue AS q WHERE q.lane = n.id AND q.state = 1), (
    SELECT d.created_at FROM deliveries AS d
    WHERE d.seq = (SELECT q.seq FROM queue AS q WHERE q.lane = n.id ORDER BY q.seq LIMIT 1))
  FROM (
    SELECT l.id, l.webhook, (SELECT sum(c.unfinished)::bigint FROM counts AS c WHERE c.lane = l.id) AS pending
    FROM lanes AS l WHERE p_webhooks IS NULL OR l.webhook = ANY (p_webhooks)
  ) AS n
  WHERE n.pending > 0
$$;

CREATE FUNCTION totals_v1() RETURNS TABLE (
  unfinished bigint, sending bigint, delivered bigint, dead bigint, cancelled bigint
) LANGUAGE sql STABLE
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET jit = off AS $$
  SELECT coalesce(sum(c.unfinished), 0)::bigint, (SELECT count(*) FROM queue AS q WHERE q.state = 1),
    coalesce(sum(c.delivered), 0)::bigint, coalesce(sum(c.dead), 0)::bigint, coalesce(sum(c.cancelled), 0)::bigint
  FROM counts AS c
$$;

-- Looks at the next deliveries below a key and returns those that match, the newest first. The first row is none: its
-- `seq` is where the next step goes on below, null at the end.
CREATE FUNCTION deliveries_v1(
  p_before bigint, p_step int, p_limit int, p_state smallint, p_webhook text, p_task text, p_event text,
  p_since bigint, p_until bigint
) RETURNS TABLE (
  seq bigint, id text, event_id text, kind text, rule text, task text, webhook text, state smallint, attempt int,
  failures int, created_at bigint, due_at bigint, finished_at bigint, detail text, last_status int, last_error text,
  trace text
) LANGUAGE plpgsql STABLE
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET jit = off AS $$
#variable_conflict use_column
DECLARE
  v_lane int := (SELECT l.id FROM lanes AS l WHERE l.webhook = p_webhook);
  v_event bigint;
  v_seqs bigint[];
BEGIN
  IF p_event IS NOT NULL THEN
    v_event := (SELECT e.seq FROM events AS e WHERE e.id = p_event);
    v_seqs := ARRAY(SELECT d.seq FROM deliveries AS d WHERE d.event_seq = v_event AND d.seq < p_before
      ORDER BY d.event_seq DESC, d.seq DESC LIMIT p_step);
  ELSIF p_state IN (0, 1) AND p_webhook IS NOT NULL THEN
    v_seqs := ARRAY(SELECT q.seq FROM queue AS q WHERE q.lane = v_lane AND q.seq < p_before
      ORDER BY q.lane DESC, q.seq DESC LIMIT p_step);
  ELSIF p_state IN (0, 1) THEN
    v_seqs := ARRAY(SELECT q.seq FROM queue AS q WHERE q.seq < p_before ORDER BY q.seq DESC LIMIT p_step);
  ELSIF p_state = 3 THEN
    v_seqs := ARRAY(SELECT f.seq FROM finished AS f WHERE f.state = 3 AND f.seq < p_before
      ORDER BY f.seq DESC LIMIT p_step);
  ELSE
    v_seqs := ARRAY(SELECT d.seq FROM deliveries AS d WHERE d.seq < p_before ORDER BY d.seq DESC LIMIT p_step);
  END IF;
  IF cardinality(v_seqs) = p_step THEN
    seq := v_seqs[p_step];
  END IF;
  RETURN NEXT;
  RETURN QUERY
  SELECT d.seq, d.id, e.id, e.kind, d.rule, d.task, l.webhook, coalesce(q.state, f.state),
    coalesce(q.attempt, f.attempt), coalesce(q.failures, f.failures), d.created_at, q.due_at, f.finished_at,
    coalesce(f.detail, ''), coalesce(q.last_status, f.last_status), coalesce(q.last_error, f.last_error), e.trace
  FROM unnest(v_seqs) AS n (seq)
  CROSS JOIN LATERAL (
    SELECT d.seq, d.id, d.event_seq, d.lane, d.rule, d.task, d.created_at FROM deliveries AS d WHERE d.seq = n.seq
  ) AS d
  LEFT JOIN LATERAL (SELECT * FROM queue AS q WHERE q.seq = n.seq) AS q ON true
  LEFT JOIN LATERAL (SELECT * FROM finished AS f WHERE f.seq = n.seq) AS f ON true
  CROSS JOIN LATERAL (SELECT e.id, e.kind, e.trace FROM events AS e WHERE e.seq = d.event_seq) AS e
  CROSS JOIN LATERAL (SELECT l.webhook FROM lanes AS l WHERE l.id = d.lane) AS l
  WHERE (p_state IS NULL OR coalesce(q.state, f.state) = p_state)
    AND (p_webhook IS NULL OR l.webhook = p_webhook) AND (p_task IS NULL OR d.task = p_task)
    AND (p_since IS NULL OR d.created_at >= p_since) AND (p_until IS NULL OR d.created_at < p_until)
  LIMIT p_limit;
END $$;

-- What died before an instant and stands in no report, and when each webhook was reported on last.
CREATE FUNCTION unreported_v1(p_before bigint, p_within bigint, p_limit int) RETURNS TABLE (
  webhook text, reported_at bigint, id text, event_id text, task text, died_at bigint
) LANGUAGE plpgsql STABLE
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET jit = off AS $$
#variable_conflict use_column
DECLARE
  v_lately bigint;
  v_since bigint;
BEGIN
  v_lately := coalesce(
    (SELECT max(f.finished_at) FROM finished AS f WHERE f.state = 3 AND f.finished_at < p_before), p_before) - p_within;
  RETURN QUERY SELECT l.webhook, l.reported_at, NULL::text, NULL::text, NULL::text, NULL::bigint FROM lanes AS l
  WHERE l.reported_at >= v_lately;
  v_since := (SELECT min(l.reported_until) FROM lanes AS l WHERE l.reported_at >= v_lately);
  RETURN QUERY
  SELECT l.webhook, NULL::bigint, d.id, (SELECT e.id FROM events AS e WHERE e.seq = d.event_seq), d.task, f.finished_at
  FROM finished AS f
  CROSS JOIN LATERAL (
    SELECT l.webhook FROM lanes AS l
    WHERE l.id = f.lane AND l.reported_at >= v_lately AND f.finished_at > l.reported_until
  ) AS l
  CROSS JOIN LATERAL (SELECT d.id, d.event_seq, d.task FROM deliveries AS d WHERE d.seq = f.seq) AS d
  WHERE f.state = 3 AND f.finished_at > v_since AND f.finished_at < p_before
  ORDER BY f.finished_at DESC LIMIT p_limit;
END $$;

-- When the latest of what is dead now died.
CREATE FUNCTION last_died_v1() RETURNS bigint LANGUAGE sql STABLE
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET jit = off AS $$
  SELECT f.finished_at FROM finished AS f WHERE f.state = 3 ORDER BY f.finished_at DESC LIMIT 1
$$;
