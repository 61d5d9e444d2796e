"""Keeps the configuration in force equal to the files: watch, load aside, look twice, swap (spec 7).

A reload is all or nothing. Directories are watched, never single files; the events only ring a bell, what counts is
the content. Half-written files that are valid YAML differ from final ones by the quiet time and the second look.

Must never: touch deliveries, or apply a tree that is still changing.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from watchfiles import Change, awatch

from hookd import config as configuration
from hookd.config import Loaded, Severity
from hookd.config.candidate import Candidate, load_checkout, load_commit
from hookd.config.diff import Comparison, compare, differences
from hookd.config.generation import CurrentConfig, Generation
from hookd.domain.clock import Clock
from hookd.domain.definitions import Config, DaemonDef, Revision
from hookd.domain.errors import CandidateRefused
from hookd.domain.reload_result import Changes, ReloadResult
from hookd.observability import log
from hookd.observability.metrics import Metrics

DEBOUNCE_S = 0.5
"""A tree is read when it has been quiet this long, and read again this long after."""

LONGEST_DEBOUNCE_S = 2.5
"""A tree that never gets quiet is looked at this often all the same; the second look decides."""

VERDICT_S = 9.0
"""There is a verdict this long after the first sign of a change, also on files that do not stop changing."""

SHORTEST_LOAD_S = 2.0
"""A load is given at least this long, however late it begins."""

MOST_FAULTS = 100
"""Faults a verdict tells, in the log, in `status` and to who asked; `hookd check` lists all of them."""

REHASH_S = 30.0
"""The content is compared this often without any sign of a change (inotify can overflow in silence)."""

RESTART_KEYS = ("listen", "store", "store_process")


class Reloader:
    """Applies changes of the configuration's files. One instance for a daemon."""

    def __init__(
        self,
        path: Path,
        current_config: CurrentConfig,
        clock: Clock,
        metrics: Metrics,
        *,
        prepare: Callable[[Config], None],
        renewed: Callable[[], Sequence[str]] = tuple,
        began: Callable[[], None],
        ended: Callable[[ReloadResult], None],
    ) -> None:
        """Watch `path` and keep `current_config` equal to it.

        Args:
            path: the configuration's file or directory.
            current_config: where a new generation is swapped in.
            clock: tells when.
            metrics: counts reloads.
            prepare: readies a configuration, in a thread, before it is swapped in.
            renewed: the listeners that serve another certificate since this was asked last.
            began: called when a reload begins.
            ended: called with its verdict.
        """
        self._path = path
        self._current_config = current_config
        self._clock = clock
        self._metrics = metrics
        self._prepare = prepare
        self._renewed = renewed
        self._began = began
        self._ended = ended
        self._asked = False
        self._blind = False
        self._next: asyncio.Task[ReloadResult] | None = None
        self._started_with = current_config.generation.config.daemon
        self._last = ReloadResult(at=current_config.generation.loaded_at)
        self._seen = current_config.generation.config.hash
        self._sources = current_config.generation.config.sources
        self._bell = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._comparing = asyncio.Lock()
        self._measure(current_config.generation.config, current_config.generation.loaded_at)

    @property
    def last(self) -> ReloadResult:
        """The latest verdict; at first, that of the start."""
        return self._last

    async def run(self) -> None:
        """Watch and rehash until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._follow())

    def ask(self) -> None:
        """Reload soon, whatever the watcher has seen; asking often asks once."""
        self._asked = True
        self._bell.set()

    async def request(self) -> ReloadResult:
        """Reload now and return the verdict; requests made while a reload goes on share the next one."""
        if self._next is None:
            self._next = asyncio.create_task(self._requested())
        return await asyncio.shield(self._next)

    async def _requested(self) -> ReloadResult:
        async with self._one_at_a_time:
            self._next = None
            return await self._reload(self._clock.monotonic())

    async def compare_with_disk(self) -> Comparison:
        """What is on disk beside what is in force; nothing is changed. One at a time."""
        return await self._compare(lambda _: self._on_disk())

    async def compare_with_checkout(self, path: Path, yaml_hash: str | None) -> Comparison:
        """What a reload would do if this file or directory stood in place of the daemon's own.

        Args:
            path: absolute.
            yaml_hash: as `load_checkout` takes it; of the daemon's own path it is not asked for.

        Raises:
            CandidateRefused: it cannot be read, or not for the one who asks.
        """
        if await asyncio.to_thread(_is_same, path, self._path):
            return await self.compare_with_disk()
        if yaml_hash is None:
            raise CandidateRefused(
                f"hookd answers about {path} only if `hash` is that of its YAML files, as `hookd diff PATH` sends it"
            )
        return await self._compare(lambda in_force: load_checkout(path, yaml_hash, in_force))

    async def compare_with_commit(self, revision: str) -> Comparison:
        """What a reload would do if this commit of the configuration's repository were checked out.

        Raises:
            CandidateRefused: there is no such commit, or it cannot be read.
        """
        return await self._compare(lambda in_force: load_commit(self._path, revision, in_force))

    def _on_disk(self) -> Candidate:
        loaded = configuration.isolated_load(self._path)
        return Candidate(loaded, configuration.revision_of(self._path, loaded.hash, loaded.sources))

    async def _compare(self, load: Callable[[Config], Candidate]) -> Comparison:
        async with self._comparing:
            generation = self._current_config.generation
            candidate = await asyncio.to_thread(load, generation.config)
            return await asyncio.to_thread(self._compared, candidate, self._current_config.generation)

    def _compared(self, candidate: Candidate, generation: Generation) -> Comparison:
        loaded, revision = candidate.loaded, candidate.revision
        seen = Comparison(
            in_force=generation.ref,
            hash=loaded.hash,
            commit=revision.commit if revision else None,
            dirty=revision.dirty if revision else None,
            diagnostics=loaded.diagnostics,
        )
        if loaded.config is None:
            return seen
        return replace(
            seen,
            valid=True,
            differences=differences(_in_effect(generation.config, self._started_with), loaded.config),
            restart_needed=_restart_needed(self._started_with, loaded.config.daemon),
        )

    def restart_needed(self) -> tuple[str, ...]:
        """Keys of `daemon:` on disk that only a restart puts into force."""
        return _restart_needed(self._started_with, self._current_config.generation.config.daemon)

    async def _watch(self) -> None:
        """Ring the bell whenever anything in the watched directories changes."""
        while True:
            directories = await self._directories()
            if directories:
                try:
                    await self._watch_once(directories)
                    self._blind = False
                except (OSError, RuntimeError, ExceptionGroup) as exc:  # such as of a name that is not UTF-8
                    self._say_blind(exc)
                self._bell.set()
            await asyncio.sleep(DEBOUNCE_S)

    def _say_blind(self, exc: Exception) -> None:
        """Say once that no watch is to be had; the bell rings without one all the same, so that content decides."""
        if not self._blind:
            log.warning("config.watch_failed", path=str(self._path), error=type(exc).__name__)
        self._blind = True

    async def _watch_once(self, directories: frozenset[Path]) -> None:
        """Watch until these are no longer the directories to watch."""
        watching = False
        async for changes in awatch(
            *directories,
            watch_filter=self._is_foreign,
            debounce=int(DEBOUNCE_S * 1000),
            rust_timeout=int(DEBOUNCE_S * 1000),
            yield_on_timeout=True,
            recursive=False,
        ):
            if changes or not watching:
                watching = True
                self._bell.set()  # the first time, for what changed before the watch began
                if await self._directories() != directories:
                    return

    async def _directories(self) -> frozenset[Path]:
        return await asyncio.to_thread(_existing_directories, self._path)

    def _is_foreign(self, _change: Change, path: str) -> bool:
        """Whether a changed file is not the store's own, which may lie beside the configuration."""
        return path not in self._started_with.store.files

    async def _follow(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(REHASH_S):
                    await self._bell.wait()
            begun_at = self._clock.monotonic()
            await self._quiet()
            async with self._one_at_a_time:
                if self._asked or await self._hash() != self._seen:
                    self._asked = False
                    await self._reload(begun_at)
                else:
                    await self._ask_git(self._current_config.generation.config)

    async def _quiet(self) -> None:
        """Return when the bell has been silent for a while, or has not been for a long one."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_DEBOUNCE_S):
                while self._bell.is_set():
                    self._bell.clear()
                    await asyncio.sleep(DEBOUNCE_S)

    async def _hash(self) -> str:
        return await asyncio.to_thread(configuration.tree_hash, self._path, self._sources)

    async def _reload(self, begun_at: float) -> ReloadResult:
        """Load aside, judge, and tell.

        Args:
            begun_at: when the first sign of the change was seen, on the monotonic clock.
        """
        self._began()
        try:
            self._last = await self._judge(await self._settled(begun_at + VERDICT_S))
        except Exception as exc:  # noqa: BLE001 - whatever a file can bring about, the daemon goes on without it
            self._seen = ""
            self._last = self._refuse([f"{self._path}: the reload failed inside hookd: {type(exc).__name__}"])
        self._ended(self._last)
        return self._last

    async def _settled(self, give_up_at: float) -> Loaded | None:
        """What two looks agree on; None for files that do not stop changing."""
        while True:
            looked_at = self._clock.monotonic()
            wall_s = max(give_up_at - looked_at - 2 * DEBOUNCE_S, SHORTEST_LOAD_S)
            loaded = await asyncio.to_thread(configuration.isolated_load, self._path, wall_s=wall_s)
            await asyncio.sleep(DEBOUNCE_S)
            again = await asyncio.to_thread(configuration.tree_hash, self._path, loaded.sources)
            if again == loaded.hash:
                return loaded
            now = self._clock.monotonic()
            if now + (now - looked_at) > give_up_at:
                return None

    async def _judge(self, loaded: Loaded | None) -> ReloadResult:
        if loaded is None:
            self._seen = ""
            return self._refuse([f"{self._path}: the files keep changing; reload when they are whole"])
        self._seen, self._sources = loaded.hash, loaded.sources
        if loaded.config is None:
            return self._refuse(faults_of(loaded))
        return await self._apply(loaded.config)

    def _refuse(self, faults: Sequence[str]) -> ReloadResult:
        now = self._clock.now()
        self._metrics.reloads["rejected"].inc()
        self._metrics.config_rejected(now)
        log.error("config.rejected", path=str(self._path), faults=list(faults))
        return ReloadResult(at=now, faults=tuple(faults))

    async def _apply(self, config: Config) -> ReloadResult:
        old = self._current_config.generation
        number = old.number + 1
        known = old.revision if config.hash == old.config.hash else None
        generation = await asyncio.to_thread(self._ready, config, number, known)
        changes = await asyncio.to_thread(compare, old.config, config)
        told = {**changes, "certificates": Changes(changed=tuple(self._renewed()))}
        restart = _restart_needed(self._started_with, config.daemon)
        now = self._clock.now()
        if any(changes.values()) or config.hash != old.config.hash:
            self._current_config.swap(generation)
            log.info(
                "config.reloaded",
                **asdict(generation.ref),
                **{section: str(change) for section, change in told.items() if change},
            )
        else:
            self._take_note(generation.revision)
            if not self._last.ok:
                log.info("config.mended", **asdict(self._current_config.generation.ref))
        self._metrics.reloads["applied"].inc()
        self._measure(config, now)
        for warning in config.warnings:
            log.warning("config.warning", finding=warning)
        if restart:
            log.warning("config.restart_needed", keys=list(restart))
        return ReloadResult(at=now, changes=told, restart_needed=restart)

    def _measure(self, config: Config, at: float) -> None:
        rules = (rule.place for rule in config.event_rules() if rule.where is not None)
        self._metrics.config_applied(config.hash, at, webhooks=config.webhooks, rules=rules)

    def _ready(self, config: Config, number: int, known: Revision | None) -> Generation:
        self._prepare(config)
        revision = configuration.revision_of(self._path, config.hash, config.sources, known)
        return Generation.of(config, number=number, now=self._clock.now(), revision=revision)

    async def _ask_git(self, config: Config) -> None:
        """Follow commits that change nothing of what is in force, such as that of an edit in force already."""
        known = self._current_config.generation.revision
        self._take_note(
            await asyncio.to_thread(configuration.revision_of, self._path, config.hash, config.sources, known)
        )

    def _take_note(self, revision: Revision | None) -> None:
        if revision != self._current_config.generation.revision:
            self._current_config.set_commit(revision)
            log.info("config.committed", **asdict(self._current_config.generation.ref))


def faults_of(loaded: Loaded) -> list[str]:
    """The first errors of a load, and how many more there are."""
    errors = [diagnostic for diagnostic in loaded.diagnostics if diagnostic.severity is Severity.ERROR]
    told = [str(diagnostic) for diagnostic in errors[:MOST_FAULTS]]
    more = len(errors) - len(told)
    return [*told, f"and {more:,} more; hookd check lists them"] if more else told


def _existing_directories(path: Path) -> frozenset[Path]:
    return frozenset(d for d in configuration.watch_dirs(path) if d.is_dir())


def _is_same(path: Path, own: Path) -> bool:
    try:
        return path.samefile(own)
    except OSError:
        return False


def _in_effect(config: Config, started_with: DaemonDef) -> Config:
    """The configuration with what a restart alone would change as it was at the start."""
    kept = {key: getattr(started_with, key) for key in RESTART_KEYS}
    return replace(config, daemon=replace(config.daemon, **kept))


def _restart_needed(started_with: DaemonDef, wanted: DaemonDef) -> tuple[str, ...]:
    return tuple(
        f"daemon.{key}" for key in RESTART_KEYS if getattr(started_with, key) != getattr(wanted, key)
    )
