"""The books of a proof that kills: what was posted, what was acknowledged, what arrived, what the daemon recorded.

Every event has a mark of its own, which its deliveries carry; each event fires both tasks. What is posted is written
down before it is sent, so that whatever arrives can be told from what nobody asked for.

Must never: import anything of `hookd`. Called by: the proofs `crash` and `stop`.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.kit.daemon import DaemonProcess
from tests.kit.receiver import Received

GONE = (OSError, RuntimeError, aiohttp.ClientError)
"""What a request to a killed daemon ends with."""

TASKS = ("one", "two")

CONFIG = """
daemon:
  listen: [{{unix: h.sock}}]
  store: h.db
  store_process: {store_process}
  log: {{level: warning}}
  shutdown_grace: {grace}
webhooks:
  w: {{url: {url}, timeout: {timeout}, backoff: [100ms], retries: 20, concurrency: {concurrency}}}
tasks:
  one: {{webhook: w, message: {{mark: "${{data.mark}}", task: "${{TASK}}"}}}}
  two: {{webhook: w, message: {{mark: "${{data.mark}}", task: "${{TASK}}"}}}}
events:
  e: {{type: load, event: tick, task: [one, two]}}
"""

LEASE_S = 18.0
"""How long a delivery whose attempt a kill cut off waits, with a `timeout` of 3 seconds (spec 14)."""

Record = Mapping[str, Any]


def write_config(
    directory: Path,
    url: str,
    *,
    grace_s: float = 20,
    timeout_s: float = 3,
    concurrency: int = 20,
    store_process: str = "auto",
) -> None:
    """Write `hookd.yaml`: two tasks, which each event fires, on one webhook."""
    text = CONFIG.format(
        url=url, grace=grace_s, timeout=timeout_s, concurrency=concurrency, store_process=store_process
    )
    (directory / "hookd.yaml").write_text(text)


@dataclass
class Books:
    """What is known about one store.

    Attributes:
        posted: marks, each noted before it was sent.
        acknowledged: the deliveries of answered events, with the body each must arrive with.
        recorded: deliveries that the daemon once said were delivered, with how often they had arrived by then.
        batches: the event ids of batches that were never answered.
        faults: what was wrong with an answer.
    """

    posted: set[str] = field(default_factory=set)
    acknowledged: dict[str, bytes] = field(default_factory=dict)
    recorded: dict[str, int] = field(default_factory=dict)
    batches: list[tuple[str, ...]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def event(self, mark: str, *, given_id: bool = False) -> dict[str, Any]:
        """A new event, noted as posted; its id, if it has one, is the mark."""
        self.posted.add(mark)
        return {"type": "load", "event": "tick", "data": {"mark": mark}, **({"id": mark} if given_id else {})}

    async def post(
        self, daemon: DaemonProcess, *events: dict[str, Any], again: bool = False, close: bool = False
    ) -> int:
        """Post one event, or several as a batch, and note the receipt; returns the status.

        Args:
            daemon: where.
            events: made by `event`.
            again: they may have been stored before.
            close: on a connection of its own.

        Raises:
            GONE: there was no answer.
        """
        body: Any = events[0] if len(events) == 1 else list(events)
        headers = {"Connection": "close"} if close else {}
        if len(events) > 1:
            self.batches.append(tuple(event["id"] for event in events))
        status, answer = await daemon.request("POST", "/v1/events", body=body, headers=headers)
        if status not in ({200, 202} if again else {202}):
            if status != 503:
                self.faults.append(f"{status} for {body}: {answer}")
            return status
        receipts = answer["events"] if len(events) > 1 else [answer]
        for event, receipt in zip(events, receipts, strict=True):
            self._note(event, receipt)
        return status

    def _note(self, event: Mapping[str, Any], receipt: Mapping[str, Any]) -> None:
        made = {each["task"]: each["id"] for each in receipt["deliveries"]}
        if sorted(made) != sorted(TASKS):
            self.faults.append(f"{event} was answered with deliveries for {sorted(made)}")
        for task, delivery in made.items():
            self.acknowledged[delivery] = body_of(event["data"]["mark"], task)

    def note_recorded(self, records: Iterable[Record], requests: Sequence[Received]) -> None:
        """From now on nothing that is recorded as delivered may arrive again."""
        arrived = Counter(request.id for request in requests)
        for record in records:
            if record["state"] == "delivered":
                self.recorded.setdefault(record["id"], arrived[record["id"]])

    def audit(self, requests: Sequence[Received], records: Iterable[Record]) -> list[str]:
        """What should not have been, once everything has ended."""
        return [
            *self.faults,
            *self._arrivals(requests),
            *self._endings(requests, {record["id"]: record for record in records}),
        ]

    def _arrivals(self, requests: Sequence[Received]) -> list[str]:
        """Everything that arrived was posted, under one id, and each id brings the same bytes."""
        expected = {body_of(mark, task) for mark in self.posted for task in TASKS}
        bodies, ids = defaultdict(set), defaultdict(set)
        for request in requests:
            bodies[request.id].add(request.body)
            ids[request.body].add(request.id)
        wrong = [f"{key} arrived with {len(seen)} bodies" for key, seen in bodies.items() if len(seen) > 1]
        wrong += [
            f"{key} brings what was never posted: {seen!r}"
            for key, seen in bodies.items()
            if not seen <= expected
        ]
        wrong += [
            f"{body!r} arrived under several ids: {sorted(seen)}"
            for body, seen in ids.items()
            if len(seen) > 1
        ]
        wrong += [f"acknowledged, but lost: {key}" for key in self.acknowledged.keys() - bodies.keys()]
        wrong += [
            f"{key} was acknowledged for {body!r} and brought {bodies[key]}"
            for key, body in self.acknowledged.items()
            if key in bodies and bodies[key] != {body}
        ]
        return wrong

    def _endings(self, requests: Sequence[Received], records: Mapping[str, Record]) -> list[str]:
        """Everything stored is delivered, each arrival stands behind a recorded attempt, batches are whole."""
        arrived = Counter(request.id for request in requests)
        wrong = [f"arrived, but is not stored: {key}" for key in arrived.keys() - records.keys()]
        wrong += [
            f"acknowledged, but is not stored: {key}" for key in self.acknowledged.keys() - records.keys()
        ]
        wrong += [
            f"{key} ended {record['state']}"
            for key, record in records.items()
            if record["state"] != "delivered"
        ]
        wrong += [
            f"{key} arrived {arrived[key]} times in {record['attempt']} attempts"
            for key, record in records.items()
            if arrived[key] > record["attempt"]
        ]
        wrong += [
            f"{key} was recorded as delivered and sent again"
            for key, count in self.recorded.items()
            if arrived[key] != count
        ]
        stored = {record["cause"]["event_id"] for record in records.values()}
        wrong += [
            f"the batch {batch} was stored in part"
            for batch in self.batches
            if 0 < len(stored & set(batch)) < len(batch)
        ]
        return wrong


def body_of(mark: str, task: str) -> bytes:
    """The bytes that a task makes of an event."""
    return json.dumps({"mark": mark, "task": task}).encode()
