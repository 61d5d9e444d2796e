"""Builds the daemon from its parts and keeps the order of starting and stopping.

Start: configuration, store, sender, worker, listeners, READY. Stop: no new work (503), attempts get their grace,
results are recorded, listeners, client and store are closed. A stop waits for nothing that may not end: not for a disk
that hangs, nor for a thread that looks a name up or loads a configuration.

Must never: hold logic of intake or delivery.
"""

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import uvloop

from hookd import __version__
from hookd import config as configuration
from hookd.api.admin import AdminRoutes
from hookd.api.events import EventRoutes
from hookd.api.services import Services
from hookd.api.tail import TailRoutes
from hookd.config import Loaded
from hookd.config.generation import CurrentConfig, Generation
from hookd.config.reload import Reloader
from hookd.delivery import retention
from hookd.delivery.clock_steps import watch as watch_clock
from hookd.delivery.http import Sender
from hookd.delivery.worker import Worker
from hookd.domain.clock import Clock, ClockStepDetector
from hookd.domain.definitions import Config, Revision, UnixListen
from hookd.domain.errors import ListenFailed, SocketsUnfit, StoreUnavailable, StoreUnusable
from hookd.domain.operator_events import ConfigApplied, ConfigRejected, DaemonStarted
from hookd.domain.reload_result import ReloadResult
from hookd.intake.pipeline import Intake
from hookd.observability import log
from hookd.observability.log_tail import LogTail
from hookd.observability.metrics import Metrics
from hookd.server.activation import ListenTarget, adopt, listen_targets
from hookd.server.router import Router
from hookd.server.sockets import Listeners
from hookd.server.systemd import Notifier, passed_descriptors, passed_to_another
from hookd.sources.operator_event_publisher import OperatorEventPublisher
from hookd.sources.scheduler import Scheduler
from hookd.sources.spool.reader import SpoolReader
from hookd.store.contract import Store
from hookd.store.open import open_store

GC_THRESHOLD = 20_000
"""New objects between two collections of the youngest generation: requests make few cycles, looking is what costs."""

RECORDING_S = 1.0
"""At most this much of the grace, and at most a tenth of it, is kept for recording how the attempts ended."""

STORE_S = 5.0
"""How long past the grace a stop waits for the store; what a disk has not taken by then is as after a crash."""

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_STORE = 74
EXIT_CONFIG = 78


def run(path: Path, loaded: Loaded) -> int:
    """Run the daemon until SIGTERM or SIGINT.

    Args:
        path: the configuration's file or directory.
        loaded: what was found there.

    Returns:
        The process's exit code: 0 after a clean stop, 78 for an invalid configuration or sockets of systemd's that do
        not fit it, 74 for an unusable store, 1 when an address cannot be listened on (spec 8).
    """
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
    except StoreUnusable as exc:
        return _fail(exc, EXIT_STORE)
    except SocketsUnfit as exc:
        return _fail(exc, EXIT_CONFIG)
    except ListenFailed as exc:
        return _fail(exc, EXIT_FAILED)
    return EXIT_OK


async def _end(code: int) -> None:
    """End the process without waiting for threads, and without a moment at which a second signal would kill it."""
    await asyncio.sleep(0)  # the log's last lines are written in the loop's next turn
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _fail(exc: Exception, code: int) -> int:
    sys.stderr.write(f"hookd: {exc}\n")
    return code


class Daemon:
    """One running hookd."""

    def __init__(
        self,
        path: Path,
        config: Config,
        revision: Revision | None = None,
        env: Mapping[str, str] = os.environ,
    ) -> None:
        self._clock = Clock()
        self._path = path
        self._metrics = Metrics(__version__)
        self._current_config = CurrentConfig(
            Generation.of(config, number=1, now=self._clock.now(), revision=revision)
        )
        self._notify = Notifier(env)
        self._stop = asyncio.Event()
        self._serving = False
        self._reloader: Reloader | None = None
        self._publisher: OperatorEventPublisher | None = None
        self._config = config
        self._told_number = self._current_config.generation.number
        self._told_rejected = False
        self._env = env

    async def main(self) -> None:
        """Start, serve, stop, and end the process.

        Raises:
            SocketsUnfit, StoreUnusable, ListenFailed: it cannot start.
        """
        self._watch_signals()
        working = asyncio.create_task(self._work())
        overdue = asyncio.create_task(self._overdue())
        await asyncio.wait({working, overdue}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
            log.info("daemon.stopped")
        else:
            log.error("store.left", waited_s=overdue.result())
        await _end(EXIT_OK)

    async def _overdue(self) -> float:
        """Return when a stop has taken longer than it may; how long it was, in seconds."""
        await self._stop.wait()
        grace_s = self._current_config.generation.config.daemon.shutdown_grace_s
        waits_s = grace_s + STORE_S if self._serving else grace_s
        await asyncio.sleep(waits_s)
        return waits_s

    async def _work(self) -> None:
        listening = self._places()
        store = await open_store(self._config.daemon.store, on_commit=self._metrics.commit_duration.observe)
        self._clock = store.clock
        sender = Sender(self._clock)
        gc.freeze()  # what is there now stays; the collector need not walk it again and again
        gc.set_threshold(GC_THRESHOLD)
        try:
            await sender.open()
            await asyncio.to_thread(sender.prepare, self._config.webhooks.values())
            await self._serve(store, sender, listening)
        finally:
            await sender.close()
            await store.close()

    async def _serve(self, store: Store, sender: Sender, listening: Sequence[ListenTarget]) -> None:
        clock_steps = ClockStepDetector(
            now=self._clock.now(), mono=self._clock.monotonic(), last_seen_at=await store.clock_seen()
        )
        guard = retention.ClockGuard(clock_steps)
        intake = Intake(store, self._clock, self._metrics)
        publisher = self._publisher = OperatorEventPublisher(store, intake, self._current_config, self._clock)
        worker = Worker(
            store,
            sender,
            self._current_config,
            self._clock,
            self._metrics,
            clock_steps=clock_steps,
            emit=publisher.publish,
        )
        reloader = Reloader(
            self._path,
            self._current_config,
            self._clock,
            self._metrics,
            prepare=lambda config: sender.prepare(config.webhooks.values()),
            began=self._notify.reloading,
            ended=self._reloaded,
        )
        scheduler = Scheduler(
            store,
            intake,
            self._current_config,
            self._clock,
            clock_steps=clock_steps,
            emit=publisher.publish,
        )
        spool = SpoolReader(intake, self._current_config, self._clock, self._metrics)
        feed = LogTail(self._clock)
        log.follow(feed.put)
        services = Services(
            intake=intake,
            store=store,
            current_config=self._current_config,
            reload=reloader,
            clock=self._clock,
            metrics=self._metrics,
            feed=feed,
            lane_states=worker.lane_states,
            schedule_fault=scheduler.fault,
            restart_needed=reloader.restart_needed,
            spool=spool.state,
            started_at=self._clock.now(),
        )
        listeners = Listeners(_routes(services), self._clock, f"hookd/{__version__}")
        self._current_config.on_swap(self._logging_changed)
        await self._open_listeners(listeners, listening)  # before the group, which would wrap its refusal
        async with asyncio.TaskGroup() as group:
            working = group.create_task(worker.run())
            publishing = group.create_task(publisher.run())
            try:
                services.listening = tuple(listeners.addresses)
                background = [
                    group.create_task(reloader.run()),
                    group.create_task(retention.run(store, self._current_config, self._clock, guard)),
                    group.create_task(scheduler.run()),
                    group.create_task(watch_clock(clock_steps, self._clock)),
                    group.create_task(spool.run()),
                    group.create_task(self._feed_watchdog(store)),
                ]
                self._reloader = reloader
                self._serving = True
                if not self._stop.is_set():
                    self._say_ready(listeners)
                    publisher.publish(self._started())
                await self._stop.wait()
            except BaseException:
                working.cancel()
                publishing.cancel()
                raise
            self._notify.stopping()
            if listeners.socket_activated:  # clients count on them: events are taken in to the end
                listeners.disable_keep_alive()
            else:
                services.stopping = True
            for task in background:
                task.cancel()
            await self._drain(worker)
            publisher.stop()
            await publishing
            with suppress(StoreUnavailable):
                await store.flush()  # what was posted before the stop is committed now, and answered
            feed.close()
            await listeners.close()
            await working

    def _places(self) -> list[ListenTarget]:
        """Where to listen: the configuration's entries, and what systemd has passed."""
        if (pid := passed_to_another(self._env)) is not None:
            log.warning("listener.ignored", detail="sockets were passed to another process", pid=pid)
        return listen_targets(self._config.daemon.listen, adopt(passed_descriptors(self._env)))

    async def _open_listeners(self, listeners: Listeners, listening: Sequence[ListenTarget]) -> None:
        try:
            for place in listening:
                if isinstance(place.listen, UnixListen) and place.passed is None:
                    with suppress(OSError):
                        Path(place.listen.path).parent.mkdir(mode=0o755)
                await listeners.open(place)
        except ListenFailed:
            await listeners.close()
            raise

    async def _drain(self, worker: Worker) -> None:
        grace_s = self._current_config.generation.config.daemon.shutdown_grace_s
        log.info("daemon.stopping", grace_s=grace_s)
        interrupted = await worker.drain(grace_s - min(RECORDING_S, grace_s / 10))
        if interrupted:
            log.warning("attempts.interrupted", count=interrupted)

    def _say_ready(self, listeners: Listeners) -> None:
        config, ref = self._current_config.generation.config, self._current_config.generation.ref
        log.info(
            "daemon.ready",
            version=__version__,
            pid=os.getpid(),
            listen=listeners.addresses,
            config=config.path,
            number=ref.number,
            hash=ref.hash,
            commit=ref.commit,
            dirty=ref.dirty,
            store=config.daemon.store.target,
        )
        self._notify.ready(f"serving {configuration.summary(config)}")

    def _logging_changed(self) -> None:
        daemon = self._current_config.generation.config.daemon
        log.configure(level=daemon.log_level, form=daemon.log_format)

    def _watch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        loop.add_signal_handler(signal.SIGINT, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _reload(self) -> None:
        if self._reloader is not None:
            self._reloader.ask()

    def _started(self) -> DaemonStarted:
        config = self._current_config.generation.config
        return DaemonStarted(socket.gethostname(), __version__, config.path, config.hash)

    def _reloaded(self, verdict: ReloadResult) -> None:
        current = self._current_config.generation
        if self._publisher is not None:
            if not verdict.ok:
                self._publisher.publish(ConfigRejected(current.config.path, verdict.faults))
            elif self._told_rejected or current.number != self._told_number:
                self._publisher.publish(_applied(current, verdict))
        self._told_number, self._told_rejected = current.number, not verdict.ok
        if verdict.ok:
            self._notify.ready(f"serving {configuration.summary(self._current_config.generation.config)}")
        else:
            self._notify.ready(
                f"the configuration on disk is refused, the old one is in force: {verdict.faults[0]}"
            )

    async def _feed_watchdog(self, store: Store) -> None:
        """Feed systemd's watchdog from the event loop, and only while the store's thread answers too."""
        interval_s = self._notify.watchdog_interval_s()
        while interval_s is not None:
            await store.heartbeat()
            self._notify.alive()
            await asyncio.sleep(interval_s)


def _applied(generation: Generation, verdict: ReloadResult) -> ConfigApplied:
    config = generation.config
    return ConfigApplied(config.path, generation.number, config.hash, verdict.changes, verdict.restart_needed)


def _routes(services: Services) -> Router:
    router = Router()
    EventRoutes(services).register(router)
    AdminRoutes(services).register(router)
    TailRoutes(services).register(router)
    return router
