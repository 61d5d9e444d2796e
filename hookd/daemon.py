"""Builds the daemon from its parts and keeps the order of starting and stopping, which is that of `Daemon._stages`.

The store is opened before the first stage and closed after the last. A stop waits for nothing that may not end: not for
a disk that hangs, nor for a thread that looks a name up or loads a configuration.

Must never: hold logic of intake or delivery.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import uvloop

from hookd import __version__
from hookd import config as configuration
from hookd.api.routes import routes
from hookd.api.services import Services
from hookd.config import Loaded
from hookd.config.generation import CurrentConfig, Generation
from hookd.config.reload import Reloader
from hookd.delivery import retention
from hookd.delivery.clock_steps import watch_clock
from hookd.delivery.http import Sender
from hookd.delivery.worker import Worker
from hookd.domain.clock import Clock, ClockStepDetector
from hookd.domain.definitions import Config, Revision
from hookd.domain.errors import ListenFailed, SocketsUnfit, StoreFailed, StoreUnreachable, StoreUnusable
from hookd.domain.reload_result import ReloadResult
from hookd.domain.value_class import value_class
from hookd.intake.pipeline import Intake
from hookd.malloc import give_large_blocks_back
from hookd.observability import log
from hookd.observability.log_tail import LogTail
from hookd.observability.metrics import Metrics
from hookd.prctl import refuse_dumps
from hookd.server.activation import ListenTarget, adopt, listen_targets
from hookd.server.served_certificate import ServedCertificates
from hookd.server.sockets import Listeners
from hookd.server.systemd import Notifier, passed_descriptors, passed_to_another
from hookd.sources.config_events import ConfigEvents
from hookd.sources.operator_event_publisher import OperatorEventPublisher
from hookd.sources.scheduler import Scheduler
from hookd.sources.spool.reader import SpoolReader
from hookd.stages import (
    Background,
    Delivering,
    Listening,
    Publishing,
    Readiness,
    Sending,
    Stage,
    Tasks,
    end_with_store,
    feed_watchdog,
)
from hookd.store.contract import Store
from hookd.store.open import open_store

GC_THRESHOLD = 20_000
"""New objects between two collections of the youngest generation: requests make few cycles, looking is what costs."""

STORE_S = 5.0
"""How long past the grace a stop waits for the store; what a disk has not taken by then is as after a crash."""

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_STORE = 74
EXIT_STORE_LATER = 75
EXIT_CONFIG = 78


def run(path: Path, loaded: Loaded) -> int:
    """Run the daemon until SIGTERM or SIGINT.

    Args:
        path: the configuration's file or directory.
        loaded: what was found there.

    Returns:
        The process's exit code: 0 after a clean stop, 78 for an invalid configuration or sockets of systemd's that do
        not fit it, 74 for an unusable store, 75 for one that cannot be reached now, 1 when an address cannot be
        listened on (spec 8).
    """
    refuse_dumps()
    give_large_blocks_back()
    if loaded.config is None:
        for diagnostic in loaded.diagnostics:
            sys.stderr.write(f"{diagnostic}\n")
        return EXIT_CONFIG
    log.configure(level=loaded.config.daemon.log_level, form=loaded.config.daemon.log_format)
    for warning in loaded.config.warnings:
        log.warning("config.warning", finding=warning)
    try:
        revision = configuration.revision_of(path, loaded.hash, loaded.sources)
        uvloop.run(Daemon(path, loaded.config, revision).main())
    except StoreUnreachable as exc:
        return _fail(exc, EXIT_STORE_LATER)
    except StoreUnusable as exc:
        return _fail(exc, EXIT_STORE)
    except SocketsUnfit as exc:
        return _fail(exc, EXIT_CONFIG)
    except ListenFailed as exc:
        return _fail(exc, EXIT_FAILED)
    return EXIT_OK


def _prepare(sender: Sender, certificates: ServedCertificates, new: Config) -> None:
    """Ready a configuration, in a thread, before it comes into force."""
    sender.prepare(new.webhooks.values())
    certificates.look()


async def _end(code: int) -> None:
    """End the process without waiting for threads, and without a moment at which a second signal would kill it."""
    await asyncio.sleep(0)  # the log's last lines are written in the loop's next turn
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _fail(exc: Exception, code: int) -> int:
    sys.stderr.write(f"hookd: {exc}\n")
    return code


@value_class
class _Parts:
    """What a daemon is made of."""

    store: Store
    clock_steps: ClockStepDetector
    sender: Sender
    publisher: OperatorEventPublisher
    config_events: ConfigEvents
    worker: Worker
    reloader: Reloader
    scheduler: Scheduler
    spool: SpoolReader
    certificates: ServedCertificates
    log_tail: LogTail
    services: Services


class Daemon:
    """One running hookd."""

    def __init__(
        self,
        path: Path,
        config: Config,
        revision: Revision | None = None,
        env: Mapping[str, str] = os.environ,
    ) -> None:
        self._path = path
        self._env = env
        self._metrics = Metrics(__version__)
        self._current_config = CurrentConfig(
            Generation.of(config, number=1, now=Clock().now(), revision=revision)
        )
        self._current_config.on_swap(self._configure_log)
        self._notifier = Notifier(env)
        self._stopping = asyncio.Event()
        self._ending = asyncio.Event()
        self._running: _Parts | None = None

    async def main(self) -> None:
        """Start, serve, stop, and end the process.

        Raises:
            SocketsUnfit, StoreUnusable, ListenFailed: it cannot start.
        """
        self._watch_signals()
        working = asyncio.create_task(self._work())
        overdue = asyncio.create_task(self._overdue())
        await asyncio.wait({working, overdue}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            log.error("store.left", waited_s=overdue.result())
            await _end(EXIT_OK if self._stopping.is_set() else EXIT_FAILED)
        try:
            working.result()
        except StoreFailed as exc:  # what hangs in a thread may not keep the process, which is started again
            await _end(_fail(exc, EXIT_FAILED))
        log.info("daemon.stopped")
        await _end(EXIT_OK)

    async def _overdue(self) -> float:
        """Return when a stop has taken longer than it may; how long it was, in seconds."""
        begun = [asyncio.create_task(event.wait()) for event in (self._stopping, self._ending)]
        await asyncio.wait(begun, return_when=asyncio.FIRST_COMPLETED)
        waits_s = self._grace_s() if self._running is None else self._grace_s() + STORE_S
        await asyncio.sleep(waits_s)
        return waits_s

    def _grace_s(self) -> float:
        """How long attempts under way are given; no time where hookd ends because a part of it has failed."""
        if not self._stopping.is_set():
            return 0.0
        return self._current_config.generation.config.daemon.shutdown_grace_s

    async def _work(self) -> None:
        """Start every stage, serve until a stop is asked for, and stop them in the reverse order."""
        targets = self._listen_targets()
        daemon = self._current_config.generation.config.daemon
        try:
            store = await open_store(
                daemon.store,
                in_process=daemon.store_process,
                on_commit=self._metrics.commit_duration.observe,
                stopping=self._stopping,
            )
        except StoreUnreachable:
            if self._stopping.is_set():
                return
            raise
        gc.freeze()  # what is there now stays; the collector need not walk it again and again
        gc.set_threshold(GC_THRESHOLD)
        async with AsyncExitStack() as started:
            started.push_async_callback(store.close)
            tasks, parts = Tasks(), self._parts(store, await store.clock_seen())
            for stage in self._stages(parts, tasks, targets):
                await stage.start()
                started.push_async_callback(stage.stop)
            self._running = parts
            try:
                await tasks.until(self._stopping)
            finally:
                self._ending.set()

    def _stages(self, parts: _Parts, tasks: Tasks, targets: Sequence[ListenTarget]) -> tuple[Stage, ...]:
        """In the order of their start, and the reverse order of their stop."""
        store, config, clock = parts.store, self._current_config, parts.store.clock
        listeners = Listeners(
            routes(parts.services), clock, f"hookd/{__version__}", certificates=parts.certificates
        )
        background = (
            parts.reloader.run,
            partial(retention.run, store, config, clock, retention.ClockGuard(parts.clock_steps)),
            parts.scheduler.run,
            partial(watch_clock, parts.clock_steps, clock),
            parts.spool.run,
            parts.certificates.run,
            partial(feed_watchdog, self._notifier, store),
            partial(end_with_store, store),
        )
        return (
            Sending(parts.sender, config),
            tasks,
            Listening(listeners, targets, parts.services, store, parts.log_tail),
            Publishing(parts.publisher, tasks),
            Delivering(parts.worker, tasks, self._grace_s),
            Background(background, tasks),
            Readiness(
                self._notifier,
                config,
                listeners,
                parts.services,
                on_ready=parts.config_events.started,
                stopping=self._stopping,
            ),
        )

    def _parts(self, store: Store, last_seen_at: float | None) -> _Parts:
        """Make the parts and connect them; nothing runs yet."""
        config, clock, metrics = self._current_config, store.clock, self._metrics
        clock_steps = ClockStepDetector(now=clock.now(), mono=clock.monotonic(), last_seen_at=last_seen_at)
        sender, intake = Sender(clock), Intake(store, clock, metrics)
        publisher = OperatorEventPublisher(store, intake, config, clock)
        emit = publisher.publish
        config_events = ConfigEvents(config, emit)
        worker = Worker(store, sender, config, metrics, clock_steps=clock_steps, emit=emit)
        intake.seat_by(worker.seating)
        scheduler = Scheduler(store, intake, config, clock, clock_steps=clock_steps, emit=emit)
        certificates = ServedCertificates()
        spool = SpoolReader(intake, config, clock, metrics)
        reloader = Reloader(
            self._path,
            config,
            clock,
            metrics,
            prepare=partial(_prepare, sender, certificates),
            renewed=certificates.take_renewed,
            began=self._notifier.reloading,
            ended=partial(self._reloaded, config_events),
        )
        log_tail = LogTail(clock)
        log.follow(log_tail.put)
        services = Services(
            intake=intake,
            store=store,
            current_config=config,
            reload=reloader,
            clock=clock,
            metrics=metrics,
            log_tail=log_tail,
            lanes=worker,
            schedule_fault=scheduler.fault,
            restart_needed=reloader.restart_needed,
            spool=spool.state,
            started_at=clock.now(),
        )
        return _Parts(
            store=store,
            clock_steps=clock_steps,
            sender=sender,
            publisher=publisher,
            config_events=config_events,
            worker=worker,
            reloader=reloader,
            scheduler=scheduler,
            spool=spool,
            certificates=certificates,
            log_tail=log_tail,
            services=services,
        )

    def _listen_targets(self) -> list[ListenTarget]:
        """Where to listen: the configuration's entries, and what systemd has passed."""
        if (pid := passed_to_another(self._env)) is not None:
            log.warning("listener.ignored", detail="sockets were passed to another process", pid=pid)
        listen = self._current_config.generation.config.daemon.listen
        return listen_targets(listen, adopt(passed_descriptors(self._env)))

    def _configure_log(self) -> None:
        daemon = self._current_config.generation.config.daemon
        log.configure(level=daemon.log_level, form=daemon.log_format)

    def _watch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        loop.add_signal_handler(signal.SIGINT, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _reload(self) -> None:
        if self._running is not None:
            self._running.reloader.ask()

    def _reloaded(self, config_events: ConfigEvents, result: ReloadResult) -> None:
        config_events.reloaded(result)
        if result.ok:
            self._notifier.ready(f"serving {configuration.summary(self._current_config.generation.config)}")
        else:
            self._notifier.ready(
                f"the configuration on disk is refused, the old one is in force: {result.faults[0]}"
            )
