"""The end of a scene: everything that waited is let go, and the books are closed.

Must never: take part in the scene before its end. Called by: `steps`, `freeze`.
"""

import asyncio

from tests.chaos.time.scene import CONCURRENCY, RATE, Scene

MINUTES_TO_ONCE_S = 2400.0
"""From a scene's first time to the moment of its schedule `once`."""

WINDOW_S = 3.0
"""The receiver's view of a rate is blurred by a busy machine; a flood is not."""

_WAITED_FOR = ("retry", "held", "hang", "limited", "paused", "broken")


async def finish(made: Scene, *, reached_s: float, restarts: int) -> dict[str, int]:
    """Let everything go, wait for it, and judge.

    Args:
        made: the scene.
        reached_s: how far ahead of its first time the clock has been.
        restarts: how often the daemon was started again.

    Returns: what was counted.
    """
    daemon = made.stage.daemon
    attempts_before_heal = dict(made.books.most)
    made.healed = True
    made.answer.set()
    await daemon.request("POST", "/v1/webhooks/paused/resume")
    made.write(broken="corrected")
    answered, verdict = await daemon.request("POST", "/v1/reload")
    made.expect(answered == 200, f"the reload at the end was answered {answered}: {verdict}")
    await made.until("the end of all that waited", lambda: made.all_served(*_WAITED_FOR), within_s=90)
    await made.until("the record of the end", lambda: _nothing_waits(made), within_s=30)
    _judge_requests(made, restarts)
    _judge_bounds(made, restarts, attempts_before_heal)
    _judge_moments(made, reached_s)
    await _judge_records(made)
    _judge_log(made)
    total = sum(map(len, made.made.values()))
    return {
        "deliveries": total,
        "requests": sum(map(len, made.books.came.values())),
        "moments_fired": len(made.books.fired),
        "time_stamps": made.stamped,
        "stuck": sum(not made.books.served[one] for kind in _WAITED_FOR for one in made.made[kind]),
    }


async def _nothing_waits(made: Scene) -> bool:
    """Only a tick may be on its way."""
    sums = await made.sums()
    return sums["pending"] + sums["sending"] <= 1


def _judge_requests(made: Scene, restarts: int) -> None:
    books = made.books
    hang = set(made.made["hang"])  # their answers may go to a daemon that is dead: judged by requests below
    served = {one: count for one, count in books.served.items() if one not in hang}
    again = [one for one, count in served.items() if count > 1 and not _cut_off(made, one)]
    made.expect(not again, f"{len(again)} deliveries were served twice: {again[:3]}")
    made.expect(not books.wrong, f"{len(books.wrong)} requests were wrong: {books.wrong[:3]}")
    twice = [one for one in made.made["hang"] if len(books.came[one]) > 1 + restarts]
    made.expect(not twice, f"{len(twice)} attempts under way were made twice: {twice[:3]}")


def _cut_off(made: Scene, one: str) -> bool:
    """Whether a kill may have come between the answer and its record."""
    return any(ended - 3 < at <= ended for at in made.books.came[one] for ended in made.ended_at)


def _judge_bounds(made: Scene, restarts: int, most: dict[str, int]) -> None:
    books, lasted_s = made.books, asyncio.get_running_loop().time() - made.began_at
    for target, bound in (("retry", CONCURRENCY), ("held", CONCURRENCY), ("broken", 1), ("limited", 10)):
        allowed = bound * (1 + bool(restarts))  # what a killed daemon had open ends a moment later
        made.expect(most.get(target, 0) <= allowed, f"{most[target]} requests at once to /{target}")
    burst = books.within("limited", WINDOW_S)
    made.expect(burst <= RATE * WINDOW_S + 10, f"{burst} requests to /limited in {WINDOW_S:g} s")
    rounds = 2 + lasted_s / made.backoff_s + made.steps
    floods = [one for one in made.made["retry"] if len(books.came[one]) > rounds]
    made.expect(not floods, f"{len(floods)} deliveries were attempted more than {rounds:.0f} times")
    held = len(books.arrivals["held"])
    made.expect(held <= 2 * CONCURRENCY * rounds, f"{held} requests to /held in {rounds:.0f} rounds")
    probes = len(books.arrivals["broken"])
    allowed_probes = 11 * (1 + restarts) + lasted_s / 30 + 1
    made.expect(
        probes <= allowed_probes, f"{probes} requests to /broken, at most {allowed_probes:.0f} expected"
    )


def _judge_moments(made: Scene, reached_s: float) -> None:
    books, lasted_s = made.books, asyncio.get_running_loop().time() - made.began_at
    twice = [moment for moment, ids in books.fired.items() if len(ids) > 1]
    made.expect(not twice, f"{len(twice)} moments fired twice: {twice[:3]}")
    seconds, minutes = books.fired_by("tick-second"), books.fired_by("tick-cron")
    allowed = 1.25 * lasted_s + 2 * made.steps + 5
    made.expect(0 < seconds <= allowed, f"{seconds} firings of every second in {lasted_s:.0f} s")
    made.expect(minutes <= lasted_s / 60 + 2 + made.steps, f"{minutes} firings of every minute")
    once, skipped = books.fired_by("tick-at"), books.fired_by("tick-skip")
    wanted = int(reached_s > MINUTES_TO_ONCE_S)
    made.expect(once == wanted, f"a single moment fired {once} times, not {wanted}")
    made.expect(skipped == 0, f"moments to skip fired {skipped} times")


async def _judge_records(made: Scene) -> None:
    daemon = made.stage.daemon
    sums = await made.sums()
    made.expect(sums["dead"] == 0, f"{sums['dead']} deliveries are dead")
    total = sum(map(len, made.made.values()))
    made.expect(sums["delivered"] >= total, f"history holds {sums['delivered']} of {total} deliveries")
    listed = [each["id"] for each in await made.stage.daemon.listed()]
    posted = [one for one in made.accepted if one in made.ours]
    seen = [one for one in reversed(listed) if one in made.ours]
    made.expect(seen == posted, "the listing is not in the order in which deliveries were taken in")
    for kind in _WAITED_FOR:
        for one in made.made[kind][:5]:
            answered, record = await daemon.request("GET", f"/v1/deliveries/{one}")
            made.expect(answered == 200, f"the history of {one} is gone")
            attempts = record.get("attempts", [])
            numbers = [each["number"] for each in attempts]
            made.expect(numbers == sorted(set(numbers)), f"{one} has the attempts {numbers}")
            late = [each["duration_s"] for each in attempts if not 0 <= each["duration_s"] < 600]
            made.expect(not late, f"{one} has attempts of {late} s")


def _judge_log(made: Scene) -> None:
    lines = made.stage.log
    errors = [line for line in lines if line["level"] == "error"]
    made.expect(not errors, f"{len(errors)} errors were logged: {errors[:2]}")
    negative = [line for line in lines if line.get("duration_s", 0) < 0]
    made.expect(not negative, f"{len(negative)} negative durations were logged: {negative[:2]}")
