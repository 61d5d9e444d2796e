"""`hookd status`, `deliveries`, `show`, `reload`: how the daemon's answers are shown."""

import json
import re
from argparse import ArgumentTypeError
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hookd.cli.filters import parse_moment
from hookd.cli.main import main
from hookd.cli.options import duration
from hookd.cli.output.health import Concern, concerns, notes
from hookd.cli.output.terminal import columns_of, rows_of
from hookd.domain.durations import format_span
from tests.kit.fake_daemon import Asked, Canned, FakeDaemon, problem, serving
from tests.kit.terminal import shown_in_terminal, terminal_of

SHORT = "0198f2c76f0e7c1b9d55"
WHOLE = f"dlv_{SHORT}0a8e5b7f3c21"

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDaemon]:
    with serving(tmp_path / "d.sock") as stub:
        monkeypatch.setenv("HOOKD_SOCKET", stub.socket)
        yield stub


def delivery(**changes: Any) -> dict[str, Any]:
    return {
        "id": "0198f2c7-6f0e-7c1b-9d55-0a8e5b7f3c21",
        "event_id": "e1",
        "task": "page",
        "task_description": "",
        "webhook": "ops",
        "state": "delivered",
        "parked": None,
        "held_until": None,
        "cause": {"kind": "event", "event_id": "e1", "rule": "events.prod"},
        "attempt": 1,
        "failures": 0,
        "created_at": "2026-01-02T03:04:05.123456Z",
        "due_at": None,
        "finished_at": "2026-01-02T03:04:06.5Z",
        "detail": "",
        "last_status": 200,
        "last_error": "",
        "trace_id": None,
        **changes,
    }


def lane(**changes: Any) -> dict[str, Any]:
    return {
        "name": "ops",
        "parked": None,
        "pending": 0,
        "in_flight": 0,
        "oldest_age_s": None,
        "held_until": None,
        "slowed_to_per_s": None,
        "breaker": "closed",
        "next_probe_at": None,
        "insecure": False,
        "last_result": {
            "at": "2026-01-02T03:04:05Z",
            "status": 200,
            "reason": "ok",
            "error": "",
            "duration_s": 1,
        },
        **changes,
    }


def listener(listen: str, **certificate: Any) -> dict[str, Any]:
    known = {"path": "/c.pem", "error": None, **certificate} if certificate else None
    kinds = {kind: {"count": 0, "last_at": None} for kind in ("past_limit", "tls_failed", "no_request")}
    connections = {"open": 1, "most": 1000, "unserved": kinds}
    return {"listen": listen, "certificate": known, "connections": connections}


def unserved(**counts: tuple[int, str]) -> dict[str, Any]:
    """A listener with so many connections that were not served, the latest at that instant."""
    found = listener("http://127.0.0.1:8420")
    found["connections"]["unserved"] |= {
        kind: {"count": count, "last_at": last_at} for kind, (count, last_at) in counts.items()
    }
    return found


def spent(task: str) -> dict[str, Any]:
    return {"task": task, "spent_at": "2026-01-02T03:04:05.5Z", "delivery_id": "d1"}


def status(**changes: Any) -> dict[str, Any]:
    whole = {
        "version": "0.1.0",
        "pid": 42,
        "started_at": "2026-01-02T03:04:05Z",
        "uptime_s": 90061.5,
        "config": {
            "path": "/etc/hookd",
            "number": 3,
            "hash": "0123456789ab",
            "loaded_at": "2026-01-02T03:04:05.5Z",
            "last_reload": None,
            "warnings": [],
            "restart_needed": [],
        },
        "listen": ["unix:/run/hookd/hookd.sock", "http://127.0.0.1:8420"],
        "listeners": [listener("unix:/run/hookd/hookd.sock"), listener("http://127.0.0.1:8420")],
        "store": {"path": "/var/lib/hookd/hookd.db", "size_bytes": 3 << 20, "error": None},
        "deliveries": {"pending": 0, "sending": 0, "delivered": 7, "dead": 0, "cancelled": 0},
        "last_died_at": None,
        "schedules": {"error": None},
        "limits": {"pending": 10},
        "webhooks": [lane()],
        "spent": [],
        "spool": {"path": "/var/spool/hookd", "waiting": 0, "rejected": 0, "skipped": [], "error": None},
        "stopping": False,
    }
    for place, value in changes.items():
        section, _, key = place.partition("__")
        if key:
            whole[section] = {**whole[section], key: value}  # type: ignore[dict-item]
        else:
            whole[section] = value
    return whole


def lines_of(kinds: Sequence[Concern]) -> list[str]:
    return [line for kind in kinds for line in kind.at_most(3)]


def refused(*faults: str) -> dict[str, Any]:
    return {"ok": False, "at": "2026-01-02T03:04:05Z", "faults": list(faults)}


class TestStatus:
    @pytest.mark.parametrize(("dirty", "ending"), [(False, ""), (True, ", dirty")])
    def test_the_commit_of_the_config(
        self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str], *, dirty: bool, ending: str
    ) -> None:
        given = status()
        given["config"]["dirty"] = dirty
        given["config"]["commit"] = "0123456789abcdef" * 2 + "01234567"
        daemon.answers["GET /v1/status"] = Canned(200, given)
        assert main(["status"]) == 0
        told = "config      /etc/hookd, number 3, hash 0123456789ab, commit 0123456789ab"
        assert told + ending in capsys.readouterr().out.splitlines()

    def test_a_healthy_daemon(self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
        daemon.answers["GET /v1/status"] = Canned(200, status())
        assert main(["status"]) == 0
        assert capsys.readouterr().out.splitlines() == [
            "everything is all right",
            "",
            "hookd       0.1.0, pid 42, up 1d 1h",
            "config      /etc/hookd, number 3, hash 0123456789ab",
            "loaded      2026-01-02T03:04:05Z",
            "listen      unix:/run/hookd/hookd.sock, http://127.0.0.1:8420",
            "store       /var/lib/hookd/hookd.db, 3.0 MiB",
            "deliveries  0 pending, 0 sending, 7 delivered, 0 dead, 0 cancelled",
            "",
            "WEBHOOK  STATE  WAITING  UNDER WAY  OLDEST  LAST RESULT",
            "ops      ok     0        0          -       200",
        ]

    def test_a_certificate_of_more_than_two_weeks_is_all_right_and_its_end_is_shown(
        self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        listeners = [listener("https://[::]:1", ends_at="2026-01-17T04:05:07.9Z"), listener("http://[::]:2")]
        given = status(listeners=listeners, listen=["https://[::]:1", "http://[::]:2"])
        daemon.answers["GET /v1/status"] = Canned(200, given)
        assert main(["status", "--check"]) == 0
        told = capsys.readouterr().out.splitlines()
        assert "listen      https://[::]:1 (certificate until 2026-01-17T04:05:07Z), http://[::]:2" in told

    def test_connections_that_were_not_served_have_a_line(
        self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        long_ago = "2026-01-03T03:00:00Z"
        listeners = [unserved(past_limit=(1, long_ago), no_request=(2, long_ago))]
        listeners.append(unserved(no_request=(3, long_ago), tls_failed=(4, long_ago)))
        daemon.answers["GET /v1/status"] = Canned(200, status(listeners=listeners))
        assert main(["status", "--check"]) == 0
        told = "1 past the limit, 4 without a TLS handshake, 5 without a request"
        assert f"connections not served since the start: {told}" in capsys.readouterr().out.splitlines()

    def test_the_spool_has_a_line_where_something_is_in_it(
        self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        daemon.answers["GET /v1/status"] = Canned(200, status(spool__waiting=3, spool__rejected=1))
        assert main(["status"]) == 0
        assert "spool       /var/spool/hookd, 3 waiting, 1 rejected" in capsys.readouterr().out.splitlines()

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"stopping": True}, "hookd is stopping"),
            ({"store__error": "disk full"}, "the store cannot be written (disk full)"),
            (
                {"config__last_reload": refused("a.yaml:1:2: w: no")},
                "a.yaml:1:2: w: no",
            ),
            ({"config__restart_needed": ["daemon.store"]}, "daemon.store changed: it takes effect after"),
            (
                {"config__restart_needed": ["daemon.listen", "daemon.store"]},
                "daemon.listen, daemon.store changed: they take effect after `systemctl restart hookd`",
            ),
            (
                {"schedules__error": "schedules.nightly: too many deliveries"},
                "schedules are late (schedules.nightly: too many deliveries)",
            ),
            (
                {"deliveries__pending": 8},
                "8 deliveries wait, the limit is 10: past it, events are answered 503",
            ),
            (
                {"deliveries__pending": 8, "deliveries__sending": 2},
                "10 deliveries wait, the limit is 10: events are answered 503",
            ),
            ({"deliveries__pending": 11}, "daemon.limits.pending"),
            (
                {"listeners": [listener("https://[::]:1", ends_at="2026-01-13T04:05:06.5Z")]},
                "the certificate of https://[::]:1 ends at 2026-01-13T04:05:06Z, in 10d",
            ),
            (
                {"listeners": [listener("https://[::]:1", ends_at="2026-01-17T04:05:06Z")]},
                "  renew /c.pem; hookd serves what is put there by itself",
            ),
            (
                {"listeners": [listener("https://[::]:1", ends_at="2026-01-03T04:05:06Z")]},
                "the certificate of https://[::]:1 has ended at 2026-01-03T04:05:06Z: clients refuse it",
            ),
            (
                {"listeners": [listener("https://[::]:1", ends_at="2026-09-03T04:05:06Z", error="no PEM")]},
                "the new certificate of https://[::]:1 is not served: no PEM",
            ),
            (
                {"listeners": [listener("https://[::]:1", ends_at=None, error="no PEM")]},
                "  fix /c.pem; it is looked at every second. Until then the one before is served, to -",
            ),
            (
                {"listeners": [unserved(past_limit=(12, "2026-01-03T04:00:00.5Z"))]},
                "12 connections to http://127.0.0.1:8420 refused, the latest at 2026-01-03T04:00:00Z: 1000 were",
            ),
            (
                {"spool__error": "the store cannot write now", "spool__waiting": 1},
                "the spool: the store cannot write now (1 file waits)",
            ),
            ({"spool__error": "/s cannot be read: no"}, "the spool: /s cannot be read: no"),
            (
                {"spool__path": "/a b", "spool__rejected": 1},
                "1 file of the spool was rejected: `head '/a b'/rejected/*.reason` says why",
            ),
            ({"spool__rejected": 2}, "  fix and move them back into /var/spool/hookd, or remove them"),
            (
                {"deliveries__dead": 2, "last_died_at": "2026-01-02T04:06:06.5Z"},
                "2 dead, the latest since 2026-01-02T04:06:06Z: `hookd deliveries --state dead`",
            ),
            ({"webhooks": [lane(parked="breaker")]}, "ops: 0 wait, its receiver is down"),
            ({"webhooks": [lane(pending=1, parked="gone")]}, "ops: 1 waits, the webhook is no longer"),
            ({"webhooks": [lane(pending=2, parked="disabled")]}, "ops: 2 wait, `enabled: false`"),
            (
                {"webhooks": [lane(name="a b", pending=2, parked="paused")]},
                "`hookd resume 'a b'` lets it send",
            ),
            (
                {"webhooks": [lane(pending=2, oldest_age_s=7260.0, last_result=None)]},
                "the oldest for 2h 1m; last result: none yet; ",
            ),
            (
                {"webhooks": [lane(pending=2, oldest_age_s=7260.0, slowed_to_per_s=0.052)]},
                "the oldest for 2h 1m; its receiver limits its rate (about 3/m); last result: 200; ",
            ),
            (
                {"webhooks": [lane(name="a b", pending=2, oldest_age_s=7260.0)]},
                "`hookd deliveries --state pending --webhook 'a b'` lists them, `hookd show ID` says why",
            ),
        ],
    )
    def test_what_is_not_all_right_is_told(self, changes: dict[str, Any], told: str) -> None:
        assert any(told in line for line in lines_of(concerns(status(**changes))))
        assert notes(status(**changes)) == []

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"config__warnings": ["a.yaml:1:1: warning: x"]}, "a.yaml:1:1: warning: x"),
            (
                {"webhooks": [lane(pending=2, held_until="2026-01-02T03:04:05.9Z")]},
                "ops: 2 wait, the receiver asked for a pause until 2026-01-02T03:04:05Z",
            ),
            (
                {"webhooks": [lane(pending=180, slowed_to_per_s=4.87)]},
                "ops: 180 wait, its receiver limits its rate (about 5/s)",
            ),
            (
                {"webhooks": [lane(pending=1, slowed_to_per_s=1 / 600)]},
                "ops: 1 waits, its receiver limits its rate (about 6/h)",
            ),
            (
                {"deliveries__dead": 1, "last_died_at": "2026-01-02T04:04:05Z"},
                "1 dead, the latest since 2026-01-02T04:04:05Z: `hookd deliveries --state dead` lists them",
            ),
        ],
    )
    def test_what_mends_itself_or_is_meant_is_but_a_note(self, changes: dict[str, Any], told: str) -> None:
        assert lines_of(notes(status(**changes))) == [told]
        assert concerns(status(**changes)) == []

    @pytest.mark.parametrize(
        ("changes", "code", "first"),
        [
            ({}, 0, ["everything is all right"]),
            ({"config__warnings": ["w"]}, 0, ["all right; worth knowing:", "- w"]),
            ({"config__restart_needed": ["daemon.store"]}, 1, ["needs attention:"]),
        ],
    )
    def test_check_tells_by_its_exit_code(
        self,
        changes: dict[str, Any],
        code: int,
        first: list[str],
        daemon: FakeDaemon,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        daemon.answers["GET /v1/status"] = Canned(200, status(**changes))
        assert main(["status"]) == 0
        assert main(["status", "--check", "--json"]) == code
        capsys.readouterr()
        assert main(["status", "--check"]) == code
        assert capsys.readouterr().out.splitlines()[: len(first)] == first

    @pytest.mark.parametrize(
        "changes",
        [
            {"config__last_reload": {"ok": True, "at": "2026-01-02T03:04:05Z", "faults": []}},
            {"webhooks": [lane(parked="disabled")]},
            {"deliveries__pending": 6, "deliveries__sending": 1},
            {"spent": [spent("once")]},
            {"webhooks": [lane(pending=5, in_flight=5, oldest_age_s=3.0)]},
        ],
    )
    def test_what_is_usual_is_no_concern(self, changes: dict[str, Any]) -> None:
        assert concerns(status(**changes)) == []

    @pytest.mark.parametrize("columns", [30, 60, 80, 200])
    def test_it_never_takes_more_than_40_rows(
        self,
        daemon: FakeDaemon,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        columns: int,
    ) -> None:
        terminal_of(monkeypatch, columns=columns)
        lanes = [lane(name=f"hook-{n}-{'x' * 80}\x1b", pending=n, parked="gone") for n in range(300)]
        trouble = status(
            webhooks=lanes,
            spent=[spent(f"{n}{'y' * 60}\x1b") for n in range(300)],
            config__warnings=["a\nb" * 90] * 50,
            config__restart_needed=["d"] * 50,
            config__last_reload=refused(*["f" * 500] * 100),
            listen=[f"http://127.0.0.1:{n}" for n in range(100)],
        )
        daemon.answers["GET /v1/status"] = Canned(200, trouble)
        assert main(["status"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert rows_of(lines, columns) <= 40
        assert all(len(line) <= 400 and line.isprintable() for line in lines)
        facts_at = lines.index("") + 1
        assert all(columns_of(line) <= columns for line in lines[facts_at:-1])
        if columns >= 80:
            assert any("hook-299-" in line for line in lines[:facts_at])
            assert any(line.endswith(": `hookd rearm TASK` lets one run once more") for line in lines)
        assert re.match(r"and \d+ more webhooks, \d+ need attention, \d+ waiting: ", lines[-1])

    @pytest.mark.parametrize(("rows", "again"), [(10, True), (24, True), (30, False)])
    def test_the_verdict_of_a_page_longer_than_the_terminal_is_seen_at_its_end(
        self,
        daemon: FakeDaemon,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        rows: int,
        *,
        again: bool,
    ) -> None:
        terminal_of(monkeypatch, columns=80, rows=rows)
        lanes = [lane(name=f"hook-{number}", parked="paused", pending=3) for number in range(10)]
        daemon.answers["GET /v1/status"] = Canned(200, status(webhooks=lanes))
        assert main(["status"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert rows_of(lines, 80) <= 40
        assert lines[0] == "needs attention:"
        seen = lines[-(rows - 1) :]
        assert ("needs attention:" in seen and seen[-1].startswith("- ")) is again

    @pytest.mark.process
    def test_in_a_real_terminal(self, daemon: FakeDaemon) -> None:
        lanes = [lane(name=f"hook-{number}") for number in range(30)]
        daemon.answers["GET /v1/status"] = Canned(200, status(webhooks=lanes))
        assert shown_in_terminal("status", columns=80, rows=16)[-1] == "everything is all right"
        assert shown_in_terminal("status", columns=80, rows=50)[-1].startswith("and 20 more webhooks")

    def test_no_kind_of_trouble_hides_another(
        self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        terminal_of(monkeypatch, columns=80)
        lanes = [
            *(lane(name=f"p{n}", pending=900 - n, parked="paused") for n in range(250)),
            *(lane(name=f"b{n}", pending=9, parked="breaker") for n in range(3)),
            lane(name="slow", pending=1, oldest_age_s=3603.0, last_result=None),
        ]
        faults = [f"/etc/hookd/hookd.yaml:{n}:3: webhooks.w{n}: unknown key" for n in range(100)]
        trouble = status(
            webhooks=lanes,
            config__last_reload=refused(*faults),
            config__warnings=[f"w{n}" for n in range(9)],
            spool__rejected=2,
            deliveries__dead=1,
            last_died_at="2026-01-03T04:04:05Z",
        )
        daemon.answers["GET /v1/status"] = Canned(200, trouble)
        assert main(["status"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert rows_of(lines, 80) <= 40
        told = lines[: lines.index("")]
        for remedy in (
            "`hookd check` finds them as well",
            "more: `hookd check` lists them",
            "fix and move them back",
            "`hookd resume p0` lets it send",
            "more of these webhooks",
            "its receiver is down",
            "`hookd deliveries --state pending --webhook slow` lists them, `hookd show ID` says why",
            "`hookd retry --state dead` sends them again",
            "- w0",
        ):
            assert any(remedy in line for line in told), remedy

    def test_of_each_kind_a_few_are_told_and_how_many_more_there_are(
        self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lanes = [lane(name=f"w{n}", pending=9 - n, parked="gone") for n in range(5)]
        trouble = status(webhooks=lanes, config__last_reload=refused(*"abcde"))
        daemon.answers["GET /v1/status"] = Canned(200, trouble)
        assert main(["status"]) == 0
        gone = "the webhook is no longer in the config; bring it back to send"
        assert capsys.readouterr().out.splitlines()[:12] == [
            "needs attention:",
            "- the config on disk was refused at 2026-01-02T03:04:05Z, the old one is in force",
            "  fix these; `hookd check` finds them as well:",
            "  a",
            "  b",
            "  c",
            "  and 2 more: `hookd check` lists them",
            f"- w0: 9 wait, {gone}",
            f"- w1: 8 wait, {gone}",
            f"- w2: 7 wait, {gone}",
            "- and 2 more of these webhooks",
            "",
        ]
        [kind, *_] = concerns(
            status(config__last_reload=refused("a", "b", "and 900 more; hookd check lists them"))
        )
        assert kind.at_most(1)[-1] == "  and more: `hookd check` lists them"

    def test_spent_tasks_are_listed(self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
        daemon.answers["GET /v1/status"] = Canned(200, status(spent=[spent("once"), spent("first\nboot")]))
        assert main(["status"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "everything is all right"
        assert lines[8] == (
            r"spent       once (2026-01-02T03:04:05Z), first\nboot (2026-01-02T03:04:05Z): "
            "`hookd rearm TASK` lets one run once more"
        )

    def test_json_is_the_answer(self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
        daemon.answers["GET /v1/status"] = Canned(200, status())
        assert main(["status", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == status()


class TestDeliveries:
    def test_a_table(self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
        waiting = {"state": "pending", "finished_at": None}
        listed = [
            delivery(),
            delivery(id="d2", **waiting, due_at="2026-01-02T03:05:00.1Z", last_status=503, attempt=2),
            delivery(id="d3", **waiting, parked="gone", last_status=None, attempt=0, task=""),
            delivery(id="d4", state="dead", detail="410 Gone\x1b[2J\nd9  delivered"),
            delivery(id="d5", state="sending", finished_at=None),
            delivery(id="d6", **waiting, held_until="2026-01-02T04:05:00.1Z", last_status=503, attempt=2),
        ]
        daemon.answers["GET /v1/deliveries"] = Canned(200, {"deliveries": listed, "cursor": None})
        assert main(["deliveries"]) == 0
        said = capsys.readouterr()
        made = "2026-01-02T03:04:05Z"
        assert [re.split(r" {2,}", line) for line in said.out.splitlines()] == [
            ["ID", "STATE", "WEBHOOK", "TASK", "ATTEMPTS", "CREATED", "NEXT OR LAST"],
            [listed[0]["id"], "delivered", "ops", "page", "1", made, "2026-01-02T03:04:06Z, 200"],
            ["d2", "pending", "ops", "page", "2", made, "next 2026-01-02T03:05:00Z, last: 503"],
            ["d3", "pending (gone)", "ops", "-", "0", made, "waits"],
            ["d4", "dead", "ops", "page", "1", made, r"410 Gone\x1b[2J\nd9", "delivered"],
            ["d5", "sending", "ops", "page", "1", made, "under way"],
            ["d6", "pending", "ops", "page", "2", made, "held until 2026-01-02T04:05:00Z, last: 503"],
        ]
        assert said.err == ""

    @pytest.mark.parametrize("columns", [40, 60, 80, 100, 132])
    def test_a_row_is_one_line_of_a_terminal(
        self,
        daemon: FakeDaemon,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        columns: int,
    ) -> None:
        terminal_of(monkeypatch, columns=columns)
        dead = delivery(id=WHOLE, webhook="w" * 30, task="漢" * 20, state="dead", detail="x" * 200)
        parked = delivery(id=WHOLE, webhook="w", state="pending", parked="breaker", finished_at=None)
        daemon.answers["GET /v1/deliveries"] = Canned(200, {"deliveries": [dead, parked], "cursor": None})
        assert main(["deliveries"]) == 0
        head, *rows = capsys.readouterr().out.splitlines()
        assert all(columns_of(line) <= columns for line in (head, *rows))
        assert all(row.startswith(f"{SHORT}  ") for row in rows)
        assert ("CREATED" in head, "ATTEMPTS" in head) == (columns >= 132, columns >= 132)
        if columns >= 60:
            assert "WEBHOOK" in head
            assert "NEXT OR LAST" in head or "NEXT O" in head
        assert main(["deliveries", "--wide"]) == 0
        assert capsys.readouterr().out.splitlines()[1].startswith(f"{WHOLE}  dead ")

    @pytest.mark.process
    @pytest.mark.parametrize("columns", [60, 80, 120])
    def test_in_a_real_terminal(self, daemon: FakeDaemon, columns: int) -> None:
        listed = [
            delivery(id=WHOLE, webhook="a-long-name-of-a-webhook", last_error="e" * 99, last_status=None)
        ]
        daemon.answers["GET /v1/deliveries"] = Canned(200, {"deliveries": listed * 3, "cursor": None})
        lines = shown_in_terminal("deliveries", columns=columns, rows=24)
        assert len(lines) == 4
        assert all(columns_of(line) <= columns for line in lines)
        assert SHORT in lines[1]
        assert WHOLE in shown_in_terminal("deliveries", "--wide", columns=columns, rows=24)[1]

    def test_the_filters_go_to_the_daemon(
        self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        daemon.answers["GET /v1/deliveries"] = Canned(200, {"deliveries": [], "cursor": None})
        daemon.answers["GET /v1/events/e"] = Canned(200, {"id": "e"})
        daemon.answers["GET /v1/config"] = Canned(200, {"webhooks": {"ops & co": {}}, "tasks": {"tü": {}}})
        words = ["--state", "dead", "--webhook", "ops & co", "--task", "tü", "--event", "e", "--limit", "7"]
        until = ["--until", "2126-01-02T04:04:05.25+01:00", "--since", "2h"]
        assert main(["deliveries", *words, *until]) == 0
        asked = daemon.asked[0].query
        since = datetime.fromisoformat(asked.pop("since"))
        assert 7200 <= (datetime.now(UTC) - since).total_seconds() < 7260
        assert asked == {
            "state": "dead",
            "webhook": "ops & co",
            "task": "tü",
            "event": "e",
            "until": "2126-01-02T03:04:05.250000Z",
            "limit": "7",
        }
        assert capsys.readouterr().out == "no deliveries match\n"

    @pytest.mark.parametrize(
        ("words", "limits", "listed"),
        [
            ([], ["50"], 50),
            (["--limit", "250"], ["200", "50"], 250),
            (["--limit", "0"], ["200", "200", "200"], 450),
            (["--limit", "450"], ["200", "200", "50"], 450),
        ],
    )
    def test_it_pages_up_to_the_limit(
        self,
        words: list[str],
        limits: list[str],
        listed: int,
        daemon: FakeDaemon,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        daemon.answers["GET /v1/deliveries"] = _paged(450)
        assert main(["deliveries", *words]) == 0
        said = capsys.readouterr()
        assert [asked.query["limit"] for asked in daemon.asked] == limits
        assert [line.split()[0] for line in said.out.splitlines()[1:]] == [f"d{n}" for n in range(listed)]
        assert said.err == ("there may be more: --limit 0 lists all\n" if listed < 450 else "")

    @pytest.mark.parametrize("words", [[], ["--json"]])
    def test_a_short_or_empty_page_is_not_the_end(
        self, words: list[str], daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        parts: list[Any] = [([], "9"), ([delivery(id="d1")], "8"), ([], "7"), ([delivery(id="d2")], None)]

        def answer(asked: Asked) -> Canned:
            listed, cursor = parts[len(daemon.asked) - 1]
            return Canned(200, {"deliveries": listed, "cursor": cursor})

        daemon.answers["GET /v1/deliveries"] = answer
        assert main(["deliveries", *words]) == 0
        said = capsys.readouterr()
        ids = [item["id"] for item in json.loads(said.out)] if words else re.findall(r"(?m)^d[0-9]", said.out)
        assert ids == ["d1", "d2"]
        assert said.err == "looking further back in the history; this may take a while ...\n"
        assert [(asked.query["limit"], asked.query.get("cursor")) for asked in daemon.asked] == [
            ("50", None),
            ("50", "9"),
            ("49", "8"),
            ("49", "7"),
        ]

    @pytest.mark.parametrize("count", [0, 1, 450])
    def test_json_is_one_list(
        self, count: int, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        daemon.answers["GET /v1/deliveries"] = _paged(count)
        assert main(["deliveries", "--limit", "0", "--json"]) == 0
        assert [item["id"] for item in json.loads(capsys.readouterr().out)] == [f"d{n}" for n in range(count)]


def _paged(count: int) -> Any:
    """An answer that lists `count` deliveries in pages, as the daemon does."""

    def answer(asked: Asked) -> Canned:
        start = int(asked.query.get("cursor", "0"))
        end = min(count, start + int(asked.query["limit"]))
        listed = [delivery(id=f"d{number}") for number in range(start, end)]
        return Canned(200, {"deliveries": listed, "cursor": str(end) if end < count else None})

    return answer


class TestShow:
    ATTEMPT: Mapping[str, Any] = {
        "number": 1,
        "started_at": "2026-01-02T03:04:05.1Z",
        "duration_s": 0.25,
        "status": 503,
        "reason": "status",
        "error": "answered 503",
        "response": "busy\nstate      delivered\x1b]0;x\x07",
        "insecure": True,
    }

    def test_an_attempt_that_was_sent_twice(
        self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        attempts = [{**self.ATTEMPT, "insecure": False, "resent": True}]
        daemon.answers["GET /v1/deliveries/d1"] = Canned(200, delivery(body="", attempts=attempts))
        assert main(["show", "d1"]) == 0
        assert "0.250s  503  sent twice  answered 503" in capsys.readouterr().out

    def test_an_attempt_tells_which_config_made_it(
        self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        first = {"number": 2, "hash": "0123456789ab", "commit": "c" * 40, "dirty": True}
        second = {"number": 3, "hash": "ba9876543210", "commit": None, "dirty": None}
        attempts = [
            {**self.ATTEMPT, "number": number, "response": "busy", "generation": generation}
            for number, generation in enumerate((first, second, None), start=1)
        ]
        daemon.answers["GET /v1/deliveries/d1"] = Canned(200, delivery(body="", attempts=attempts))
        assert main(["show", "d1"]) == 0
        lines = capsys.readouterr().out.splitlines()
        told = "  2026-01-02T03:04:05Z  0.250s  503  certificate not checked  answered 503"
        assert lines[lines.index("attempts") + 1 : lines.index("body") - 1] == [
            f"  1{told}",
            "     config number 2, hash 0123456789ab, commit cccccccccccc, dirty",
            "     | busy",
            f"  2{told}",
            "     config number 3, hash ba9876543210",
            "     | busy",
            f"  3{told}",
            "     | busy",
        ]

    def test_a_delivery_with_its_attempts(
        self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        late = {"number": 2, "status": None, "reason": "timeout", "error": "late", "response": ""}
        attempts = [self.ATTEMPT, {**self.ATTEMPT, **late, "insecure": False}]
        ending = {
            "state": "dead",
            "attempt": 2,
            "failures": 2,
            "detail": "retries used up",
            "trace_id": "0af7",
        }
        shown = delivery(
            **ending, task_description="Calls\x1b", body=json.dumps({"text": "ü"}), attempts=attempts
        )
        daemon.answers["GET /v1/deliveries/d%2F1"] = Canned(200, shown)
        assert main(["show", "d/1"]) == 0
        assert capsys.readouterr().out.splitlines() == [
            "delivery   0198f2c7-6f0e-7c1b-9d55-0a8e5b7f3c21",
            "state      dead",
            "why        retries used up",
            "webhook    ops",
            "task       page",
            r"           Calls\x1b",
            "cause      event e1 events.prod",
            "trace      0af7",
            "created    2026-01-02T03:04:05Z",
            "finished   2026-01-02T03:04:06Z",
            "counted    2 of 2 attempts count as failed",
            "",
            "attempts",
            "  1  2026-01-02T03:04:05Z  0.250s  503  certificate not checked  answered 503",
            "     | busy",
            r"     | state      delivered\x1b]0;x\x07",
            "  2  2026-01-02T03:04:05Z  0.250s  timeout  late",
            "",
            "body",
            "  | {",
            '  |   "text": "ü"',
            "  | }",
        ]

    @pytest.mark.parametrize(
        ("reasons", "failures", "told"),
        [
            (
                ("status", "status", "timeout"),
                1,
                "1 of 3 attempts count as failed since the last retry by hand",
            ),
            (("status", "interrupted", "local", "ok"), 1, "1 of 4 attempts count as failed"),
        ],
    )
    def test_a_retry_by_hand_forgets_failures(
        self,
        reasons: tuple[str, ...],
        failures: int,
        told: str,
        daemon: FakeDaemon,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        attempts = [{**self.ATTEMPT, "reason": reason, "response": ""} for reason in reasons]
        shown = delivery(attempt=len(attempts), failures=failures, body="", attempts=attempts)
        daemon.answers["GET /v1/deliveries/d1"] = Canned(200, shown)
        assert main(["show", "d1"]) == 0
        assert f"counted    {told}" in capsys.readouterr().out.splitlines()

    def test_one_that_has_not_been_tried(
        self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        due = {"state": "pending", "parked": "paused", "due_at": "2026-01-02T03:04:05Z", "finished_at": None}
        waiting = delivery(**due, body="plain\x1b\ntext", attempts=[])
        daemon.answers["GET /v1/deliveries/d1"] = Canned(200, waiting)
        assert main(["show", "d1"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert "state      pending (parked: paused)" in lines
        assert "due        2026-01-02T03:04:05Z" in lines
        assert "attempts   none yet" in lines
        assert lines[-2:] == [r"  | plain\x1b", "  | text"]

    def test_json_is_the_answer(self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
        shown = delivery(body="\x1b\x9b", attempts=[self.ATTEMPT])
        daemon.answers["GET /v1/deliveries/d1"] = Canned(200, shown)
        assert main(["show", "d1", "--json"]) == 0
        out = capsys.readouterr().out
        assert json.loads(out) == shown
        assert all(line.isascii() and line.isprintable() for line in out.splitlines())

    def test_no_such_id(self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
        daemon.answers["GET /v1/deliveries/d1"] = problem(404, "there is no delivery 'd1'")
        daemon.answers["GET /v1/deliveries"] = Canned(200, {"deliveries": [], "cursor": None})
        assert main(["show", "d1"]) == 1
        assert capsys.readouterr() == (
            "",
            "hookd: there is no delivery 'd1'\n`hookd deliveries` lists them\n",
        )

    def test_a_mistyped_id_names_the_near_one(
        self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        typed = delivery()["id"].replace("7c1b", "7c1d")
        daemon.answers[f"GET /v1/deliveries/{typed}"] = problem(404, "there is none")
        listed = [delivery(id="0198f2c7-0000-0000-0000-000000000000"), delivery()]
        daemon.answers["GET /v1/deliveries"] = Canned(200, {"deliveries": listed, "cursor": None})
        assert main(["show", typed]) == 1
        assert capsys.readouterr().err.splitlines()[1] == f"did you mean: {delivery()['id']}"

    @pytest.mark.parametrize(
        ("cause", "told"),
        [
            (("event", "e1", "tasks.page.triggers[0]"), "event e1 tasks.page.triggers[0]"),
            (
                ("schedule", "schedules.nightly@2026-01-02T03:00:00Z", "schedules.nightly"),
                "schedule schedules.nightly@2026-01-02T03:00:00Z",
            ),
            (("trigger", "evt_1", ""), "trigger by hand, evt_1"),
            (("send", "evt_1", ""), "send by hand, evt_1"),
        ],
    )
    def test_the_cause_is_told(
        self,
        cause: tuple[str, str, str],
        told: str,
        daemon: FakeDaemon,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        shown = delivery(
            cause=dict(zip(("kind", "event_id", "rule"), cause, strict=True)), body="", attempts=[]
        )
        daemon.answers["GET /v1/deliveries/d1"] = Canned(200, shown)
        assert main(["show", "d1"]) == 0
        assert f"cause      {told}" in capsys.readouterr().out.splitlines()


class TestReload:
    NOTHING: Mapping[str, Any] = {"added": [], "changed": [], "removed": []}

    def test_what_changed_is_named(self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
        changes = {
            "webhooks": {"added": ["new\x1b"], "changed": ["a", "b"], "removed": []},
            "tasks": self.NOTHING,
            "events": {"added": [], "changed": [], "removed": ["old"]},
        }
        answer = {"number": 4, "hash": "0123456789ab", "changes": changes, "restart_needed": ["daemon.store"]}
        daemon.answers["POST /v1/reload"] = Canned(200, answer)
        assert main(["reload"]) == 0
        assert capsys.readouterr().out.splitlines() == [
            "in force: config number 4, hash 0123456789ab",
            "webhooks +1 ~2 -0",
            r"  + new\x1b",
            "  ~ a",
            "  ~ b",
            "events +0 ~0 -1",
            "  - old",
            "restart needed for daemon.store: `systemctl restart hookd`",
        ]
        assert main(["reload", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == answer

    def test_nothing_changed(self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
        answer = {
            "number": 4,
            "hash": "0123456789ab",
            "changes": {"tasks": self.NOTHING},
            "restart_needed": [],
        }
        daemon.answers["POST /v1/reload"] = Canned(200, answer)
        assert main(["reload"]) == 0
        assert capsys.readouterr().out.splitlines()[1] == "nothing changed"

    def test_a_refused_config_is_told_with_its_places(
        self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        faults = ["a.yaml:3:5: tasks.t.webhook: no such webhook", "b.yaml:1:1: yaml: \x1bbroken"]
        daemon.answers["POST /v1/reload"] = problem(
            422,
            "the configuration was refused",
            errors=[{"pointer": "", "message": fault} for fault in faults],
        )
        assert main(["reload"]) == 1
        assert capsys.readouterr().err.splitlines() == [
            "hookd: the configuration was refused",
            "a.yaml:3:5: tasks.t.webhook: no such webhook",
            r"b.yaml:1:1: yaml: \x1bbroken",
        ]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10", 10),
        ("1.5s", 1.5),
        ("250ms", 0.25),
        ("5m", 300),
        ("2h", 7200),
        ("7d", 604800),
        ("1w", 604800),
        (" 1s ", 1),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-5s", "1h30m", "5 m", "1y", "1e3", "٣s", "99999999999d"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="is not a duration"):
        duration(text)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2h", "2026-01-02T01:04:05Z"),
        ("0s", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("2026-01-02t03:04:05.5z", "2026-01-02T03:04:05.500000Z"),
        ("2026-01-02 03:04:05-05:00", "2026-01-02T08:04:05Z"),
    ],
)
def test_moments(text: str, instant: str) -> None:
    assert parse_moment(text, NOW.timestamp()) == instant


@pytest.mark.parametrize(
    "text", ["now", "2026-01-02", "2026-01-02T03:04:05", "2026-13-02T03:04:05Z", "999999999d"]
)
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match="neither an instant"):
        parse_moment(text, NOW.timestamp())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.9, "0s"),
        (59, "59s"),
        (60, "1m"),
        (3605, "1h 5s"),
        (7260, "2h 1m"),
        (90061, "1d 1h"),
        (-5, "0s"),
    ],
)
def test_spans(seconds: float, text: str) -> None:
    assert format_span(seconds) == text
