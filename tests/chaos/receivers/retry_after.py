"""`Retry-After`: what it may ask for, on which statuses, and that the whole webhook waits (spec 5, 14)."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import product
from typing import Any

from tests.chaos.proof import Findings, Options
from tests.chaos.receivers.stage import Record, WebhookStage, receiver_of, webhook
from tests.kit.receiver import Exchange, Script, answer, response

DAY_S = 86_400.0
STEP_S = 60.0
"""The pause of the backoff: shorter than what is asked for, so that the larger can be told."""

JITTER = 0.2
SLACK_S = 2.0
"""A date has whole seconds, and the record is written after the answer."""

HEEDED = (429, 503)
OTHERS = (301, 404, 408, 413, 500, 502, 504)


def _in_an_hour(form: str = "") -> tuple[str, float]:
    """A date in an hour, and its instant in seconds since the epoch."""
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    return at.strftime(form) if form else format_datetime(at, usegmt=True), at.timestamp()


def _date(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


def table() -> dict[str, tuple[tuple[str, ...], float | None]]:
    """Values of the header, and for how many seconds they ask, or until which instant; None: they are ignored."""
    once: dict[str, tuple[str, float | None]] = {
        "zero": ("0", 0.0),
        "many-zeros": ("0" * 40, 0.0),
        "minus": ("-1", None),
        "plus": ("+1000", None),
        "1e9": ("1e9", None),
        "nan": ("nan", None),
        "inf": ("inf", None),
        "infinity": ("Infinity", None),
        "fraction": ("1000.5", None),
        "hex": ("0x3e8", None),
        "underscore": ("1_000", None),
        "arabic": ("\u0661\u0660\u0660\u0660", None),
        "superscript": ("1000²", None),
        "with-unit": ("1000s", None),
        "list": ("1000, 2000", None),
        "empty": ("", None),
        "garbage": ("\x80\xff soon", None),
        "long-garbage": ("1" * 7000 + "x", None),
        "blanks-around": ("  1000\t", 1000.0),
        "1000": ("1000", 1000.0),
        "a-day": ("86400", DAY_S),
        "more-than-a-day": ("86401", DAY_S),
        "a-milliard": ("1000000000", DAY_S),
        "beyond-64-bits": ("9" * 30, DAY_S),
        "beyond-a-float": ("9" * 5000, DAY_S),
        "date-past": (_date(-3600), 0.0),
        "date-long-past": ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        "date-future": _in_an_hour(),
        "date-tomorrow": (_date(2 * DAY_S), DAY_S),
        "date-year-9999": ("Fri, 31 Dec 9999 23:59:59 GMT", DAY_S),
        "date-rfc850": _in_an_hour("%A, %d-%b-%y %H:%M:%S GMT"),
        "date-asctime": _in_an_hour("%a %b %e %H:%M:%S %Y"),
        "date-no-such-day": ("Mon, 30 Feb 2099 00:00:00 GMT", None),
        "date-no-such-hour": ("Tue, 01 Dec 2099 25:00:00 GMT", None),
        "date-year-0": ("Sat, 01 Jan 0000 00:00:00 GMT", None),
        "date-other-zone": ("Tue, 01 Dec 2099 00:00:00 +0200", None),
        "date-rfc3339": ("2099-12-01T00:00:00Z", None),
        "date-cut-off": ("Tue, 01 Dec 2099", None),
    }
    values: dict[str, tuple[tuple[str, ...], float | None]] = {
        name: ((value,), asked_s) for name, (value, asked_s) in once.items()
    }
    values |= {f"{name}-twice": ((value, value), asked_s) for name, (value, asked_s) in once.items()}
    values |= {
        f"{first}-and-{second}": ((once[first][0], once[second][0]), _larger(once[first][1], once[second][1]))
        for first, second in (
            ("zero", "1000"), ("1000", "zero"), ("minus", "1000"), ("1000", "nan"), ("1e9", "garbage"),
            ("1000", "date-future"), ("date-future", "1000"), ("date-past", "1000"), ("1000", "beyond-64-bits"),
        )
    }  # fmt: skip
    return values


def _larger(first: float | None, second: float | None) -> float | None:
    asked = [each for each in (first, second) if each is not None]
    return max(asked) if asked else None


def _saying(status: int, values: Sequence[str]) -> Script:
    lines = b"".join(b"Retry-After: " + value.encode(errors="surrogateescape") + b"\r\n" for value in values)
    whole = f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n".encode() + lines + b"\r\n"

    async def script(exchange: Exchange) -> None:
        await exchange.send(whole)

    return script


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _misjudged(record: Record, asked_s: float | None) -> str:
    """What is wrong with the instant of the next attempt; empty when it is right."""
    if record["state"] != "pending" or len(record["attempts"]) != 1:
        return f"it is {record['state']} after {len(record['attempts'])} attempts: {record['last_error']}"
    attempt = record["attempts"][0]
    answered_at = _seconds(attempt["started_at"]) + attempt["duration_s"]
    pause_s = _seconds(record["due_at"]) - answered_at
    if (asked_s or 0.0) > DAY_S:
        asked_s = (asked_s or 0.0) - answered_at
    least, most = STEP_S, STEP_S * (1 + JITTER)
    if (asked_s or 0.0) > least:
        least, most = max(least, asked_s or 0.0), max(most, asked_s or 0.0)
    if least - SLACK_S <= pause_s <= most + SLACK_S:
        return ""
    return f"the next attempt is due {pause_s:.1f} s after the first, not {least:g} to {most:g} s"


async def _prove_table(options: Options, found: Findings) -> None:
    values = table()
    others = OTHERS if not options.short else OTHERS[:3]
    cases = {
        f"{status}-{name}": (status, *asked)
        for (name, asked), status in product(values.items(), (*HEEDED, *others))
    }
    scripts = {name: _saying(status, lines) for name, (status, lines, _) in cases.items()}
    async with receiver_of(scripts) as receiver:
        hooks = {
            name: webhook(receiver.to(f"/{name}"), retries=1, backoff=[STEP_S], timeout=30) for name in cases
        }
        async with WebhookStage(options.place("retry-after"), hooks) as stage:
            ids = await stage.send_to(cases)
            records = await asyncio.gather(
                *(stage.record_when(each, lambda record: record["attempts"]) for each in ids.values())
            )
            lanes = {lane["name"]: lane for lane in (await stage.daemon.get("/v1/webhooks"))["webhooks"]}
    held = 0
    for name, record in zip(ids, records, strict=True):
        status, _, asked_s = cases[name]
        heeded = asked_s if status in HEEDED else None
        if wrong := _misjudged(record, heeded):
            found.violations.append(f"retry-after, {name}: {wrong}")
        is_held = lanes[name]["held_until"] is not None
        held += is_held
        found.expect(
            is_held == bool(heeded), f"retry-after, {name}: held_until is {lanes[name]['held_until']}"
        )
    found.figures["retry_after"] = (
        f"{len(records)} answers judged by the due time, {held} of them held their webhook"
    )


async def _prove_hold(options: Options, found: Findings) -> None:
    """The first answer asks for time; the second delivery of the same webhook must not arrive before it is over."""
    asked_s = 3.0
    cases = {f"{status}-asks": status for status in (*HEEDED, 500, 200)}
    arrivals: dict[str, list[float]] = {name: [] for name in cases}

    def first_asks(name: str, status: int) -> Script:
        async def script(exchange: Exchange) -> None:
            arrivals[name].append(time.monotonic())
            await (answer(200) if len(arrivals[name]) > 1 else asking(status))(exchange)

        return script

    def asking(status: int) -> Script:
        async def script(exchange: Exchange) -> None:
            await exchange.send(response(status, f"Retry-After: {asked_s:g}"))

        return script

    async with receiver_of({name: first_asks(name, status) for name, status in cases.items()}) as receiver:
        hooks: Mapping[str, Any] = {
            name: webhook(receiver.to(f"/{name}"), retries=0, concurrency=1) for name in cases
        }
        async with WebhookStage(options.place("hold"), hooks) as stage:
            first = await stage.send_to(cases)
            for each in first.values():
                await stage.record_when(each, lambda record: record["attempts"])
            await stage.outcomes(cases)
    for name, status in cases.items():
        after_s = arrivals[name][1] - arrivals[name][0]
        waits = status in HEEDED
        found.expect(
            (asked_s <= after_s < 2 * asked_s) if waits else (after_s < asked_s),
            f"retry-after, {name}: the webhook's second delivery arrived {after_s:.2f} s after the first",
        )
        found.figures[f"second_delivery_after_{status}_s"] = round(after_s, 2)


async def prove(options: Options, found: Findings) -> None:
    """The table by due times, then the hold by arrivals."""
    await _prove_table(options, found)
    await _prove_hold(options, found)
