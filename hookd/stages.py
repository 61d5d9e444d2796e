"""The parts of the daemon that are started and stopped, each with what its start and its stop mean.

A stop waits for nothing that may not end by itself, but for the store; how long that may take the daemon decides.

Must never: know the order of the stages; `daemon` has it.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from hookd import __version__
from hookd import config as configuration
from hookd.api.services import Services
from hookd.config.generation import CurrentConfig
from hookd.delivery.http import Sender
from hookd.delivery.worker import Worker
from hookd.domain.definitions import UnixListen
from hookd.domain.errors import ListenFailed, StoreUnavailable
from hookd.domain.value_class import value_class
from hookd.observability import log
from hookd.observability.log_tail import LogTail
from hookd.server.activation import ListenTarget
from hookd.server.sockets import Listeners
from hookd.server.systemd import Notifier
from hookd.sources.operator_event_publisher import OperatorEventPublisher
from hookd.store.contract import Store

RECORDING_S = 1.0
"""At most this much of the grace, and at most a tenth of it, is kept for recording how the attempts ended."""

Work = Coroutine[Any, Any, None]


class Stage(Protocol):
    """A part of the daemon. It is stopped when everything that was started after it has stopped."""

    async def start(self) -> None:
        """Return when what is started next may count on it."""
        ...

    async def stop(self) -> None:
        """Return when nothing needs what was started before it any more."""
        ...


class Tasks:
    """The daemon's tasks: other stages begin them and ask them to end, this one waits for that."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def begin(self, work: Work) -> asyncio.Task[None]:
        """Let it run beside the others."""
        task = asyncio.create_task(work)
        task.add_done_callback(self._note_end)
        self._tasks.add(task)
        return task

    def _note_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (exc := task.exception()) is not None and not self._failure.done():
            self._failure.set_exception(exc)

    async def until(self, stop: asyncio.Event) -> None:
        """Return when a stop is asked for. Raises what the first task that fails raises, if one does before."""
        asked = asyncio.create_task(stop.wait())
        ends: set[asyncio.Future[Any]] = {asked, self._failure}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure.done():
            self._failure.result()

    async def start(self) -> None:
        """Nothing is to be done."""

    async def stop(self) -> None:
        """Return when all have ended. Raises what one of them raised."""
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._raise_failure()


@value_class
class Sending:
    """The HTTP client, with what it has to prepare for the webhooks in force."""

    sender: Sender
    current_config: CurrentConfig

    async def start(self) -> None:
        """Make ready for attempts."""
        await self.sender.open()
        webhooks = self.current_config.generation.config.webhooks.values()
        await asyncio.to_thread(self.sender.prepare, webhooks)

    async def stop(self) -> None:
        """Close every connection."""
        await self.sender.close()


@value_class
class Listening:
    """The API on its sockets."""

    listeners: Listeners
    targets: Sequence[ListenTarget]
    services: Services
    store: Store
    log_tail: LogTail

    async def start(self) -> None:
        """Accept clients. Raises ListenFailed; then nothing is left open."""
        try:
            for target in self.targets:
                if isinstance(target.listen, UnixListen) and target.passed is None:
                    with suppress(OSError):
                        Path(target.listen.path).parent.mkdir(mode=0o755)
                await self.listeners.open(target)
        except ListenFailed:
            await self.listeners.close()
            raise
        self.services.listeners = self.listeners.states

    async def stop(self) -> None:
        """Let go of the clients once what they posted before the stop is committed, and answered."""
        with suppress(StoreUnavailable):
            await self.store.flush()
        self.log_tail.close()
        await self.listeners.close()


@dataclass(slots=True)
class Publishing:
    """The publisher of operator events: it stops after everything that emits any."""

    publisher: OperatorEventPublisher
    tasks: Tasks
    _task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to publish."""
        self._task = self.tasks.begin(self.publisher.run())

    async def stop(self) -> None:
        """Return when what was emitted is taken in, or logged as dropped."""
        self.publisher.stop()
        if self._task is not None:
            await asyncio.wait({self._task})


@value_class
class Delivering:
    """The worker; `grace_s` says how long a stop gives attempts under way."""

    worker: Worker
    tasks: Tasks
    grace_s: Callable[[], float]

    async def start(self) -> None:
        """Begin to deliver."""
        self.tasks.begin(self.worker.run())

    async def stop(self) -> None:
        """Give attempts under way their grace, and record how they ended."""
        grace_s = self.grace_s()
        log.info("daemon.stopping", grace_s=grace_s)
        interrupted = await self.worker.drain(grace_s - min(RECORDING_S, grace_s / 10))
        if interrupted:
            log.warning("attempts.interrupted", count=interrupted)


@value_class
class Background:
    """What goes on by itself until it is cancelled: sources of events, reloads, housekeeping."""

    works: Sequence[Callable[[], Work]]
    tasks: Tasks
    _begun: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self) -> None:
        """Begin all of them."""
        self._begun.extend(self.tasks.begin(work()) for work in self.works)

    async def stop(self) -> None:
        """Cancel them. What they still have to note is waited for at the end: attempts get their grace first."""
        for task in self._begun:
            task.cancel()


@value_class
class Readiness:
    """What hookd says of itself to the service manager, in the log and to its clients: it serves, or no longer does."""

    notifier: Notifier
    current_config: CurrentConfig
    listeners: Listeners
    services: Services
    on_ready: Callable[[], None]
    stopping: asyncio.Event

    async def start(self) -> None:
        """Say that intake works, unless a stop was asked for meanwhile."""
        if self.stopping.is_set():
            return
        config, ref = self.current_config.generation.config, self.current_config.generation.ref
        log.info(
            "daemon.ready",
            version=__version__,
            pid=os.getpid(),
            listen=self.listeners.addresses,
            config=config.path,
            number=ref.number,
            hash=ref.hash,
            commit=ref.commit,
            dirty=ref.dirty,
            store=config.daemon.store.target,
        )
        if cut_off := (await self.services.store.describe()).cut_off:
            log.warning("attempts.interrupted", count=cut_off)
        self.notifier.ready(f"serving {configuration.summary(config)}")
        self.on_ready()

    async def stop(self) -> None:
        """Take no new work; but from clients of a passed socket, which count on it, to the end."""
        self.notifier.stopping()
        if self.listeners.socket_activated:
            self.listeners.disable_keep_alive()
        else:
            self.services.stopping = True


async def feed_watchdog(notifier: Notifier, store: Store) -> None:
    """Feed systemd's watchdog from the event loop, and only while the store answers too."""
    interval_s = notifier.watchdog_interval_s()
    while interval_s is not None:
        await store.heartbeat()
        notifier.alive()
        await asyncio.sleep(interval_s)


async def end_with_store(store: Store) -> None:
    """Raise StoreFailed when the store can do nothing more: a new process opens it anew."""
    failure = await store.until_failed()
    log.error("store.failed", error=str(failure), exc_info=failure.__cause__)
    raise failure
