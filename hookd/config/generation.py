"""One generation of the configuration made ready for use, and the one reference that a reload swaps.

What acts on the configuration takes `current_config.generation` once, at the start of an event or an attempt, and
passes it down.

Must never: load anything, or change a generation that is in force.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

from hookd.domain.definitions import Config, Revision, TaskDef
from hookd.domain.deliveries import GenerationRef
from hookd.domain.value_class import value_class
from hookd.rules.matcher import Matcher
from hookd.rules.templates import Renderer


@value_class
class Generation:
    """A configuration with what is derived from it.

    Attributes:
        ref: what names it wherever it is reported.
        loaded_at: when it came into force, seconds since the epoch.
    """

    ref: GenerationRef
    config: Config
    loaded_at: float
    matcher: Matcher
    timezone: ZoneInfo
    _renderers: dict[str, Renderer] = field(default_factory=dict, repr=False, compare=False)

    @property
    def number(self) -> int:
        """Counts the generations of this process, from 1."""
        return self.ref.number

    @property
    def revision(self) -> Revision | None:
        """The commit that its files come from, as far as is known."""
        if self.ref.commit is None:
            return None
        return Revision(self.ref.commit, dirty=bool(self.ref.dirty))

    def renderer_of(self, task: TaskDef) -> Renderer:
        """What fills the messages of a task; of one of its own, it is made when it is first asked for, and kept."""
        renderer = self._renderers.get(task.name)
        if renderer is None:
            renderer = Renderer(task.template)
            if self.config.tasks.get(task.name) is task:
                self._renderers[task.name] = renderer
        return renderer

    @classmethod
    def of(cls, config: Config, *, number: int, now: float, revision: Revision | None = None) -> "Generation":
        """Derive everything from a configuration; takes CPU time in proportion to its size, so call it in a thread.

        Raises:
            ConditionError: a `where` does not compile, which `config` does not let through.
        """
        return cls(
            ref=_ref(number, config.hash, revision),
            config=config,
            loaded_at=now,
            matcher=Matcher(config.event_rules()),
            timezone=ZoneInfo(config.daemon.timezone),
        )


def _ref(number: int, content: str, revision: Revision | None) -> GenerationRef:
    if revision is None:
        return GenerationRef(number, content)
    return GenerationRef(number, content, revision.commit, revision.dirty)


@dataclass(slots=True)
class CurrentConfig:
    """Names the generation in force and calls listeners when it is swapped."""

    generation: Generation
    _listeners: list[Callable[[], None]] = field(default_factory=list)

    def on_swap(self, listener: Callable[[], None]) -> None:
        """Call `listener` (which must not raise) after every swap."""
        self._listeners.append(listener)

    def swap(self, generation: Generation) -> None:
        """Put a generation into force."""
        self.generation = generation
        for listener in self._listeners:
            listener()

    def set_commit(self, revision: Revision | None) -> None:
        """Put another commit to the generation in force: what it does stays, so nothing is reported."""
        ref = self.generation.ref
        self.generation = replace(self.generation, ref=_ref(ref.number, ref.hash, revision))
