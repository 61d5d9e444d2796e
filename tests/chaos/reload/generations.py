"""A configuration of many files that belong together: each carries the number of its generation.

Every prefix of a file is valid YAML or nearly so, and files of two generations are valid together: what is applied too
early is seen, not refused. Used by: `writers`, `writing`.
"""

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Files = Mapping[str, str]
"""Content by name."""

BEARABLE_S = 0.45
"""A pause that is shorter than the quiet time (spec 7); longer ones cannot be told from an end (spec 14)."""


@dataclass
class Generations:
    """The complete states that were ever written.

    Attributes:
        daemon: the text of the file that stays the same.
        most: how many files a state has at most.
        firing: every so many files' task has a rule.
        names: the tasks of each generation.
    """

    daemon: str
    most: int
    firing: int
    chance: random.Random
    names: dict[int, frozenset[str]] = field(default_factory=dict)

    def next(self) -> tuple[int, Files]:
        """A new generation: other content in every file, and some files come or go."""
        number = len(self.names) + 1
        tasks = [f"t{n:03}" for n in range(self.most) if self.chance.random() > 0.03 or not n]
        self.names[number] = frozenset(tasks)
        return number, {"daemon.yaml": self.daemon} | {
            f"{task}.yaml": self._file(task, number) for task in tasks
        }

    def fires(self, number: int) -> int:
        """How many deliveries one event makes."""
        return sum(int(task[1:]) % self.firing == 0 for task in self.names[number])

    def of(self, config: Any) -> int | None:
        """The generation that a configuration in force (`GET /v1/config`) is, whole and unmixed; None: it is none."""
        told = {task["description"] for task in config["tasks"].values()}
        if len(told) != 1:
            return None
        number = int(told.pop().removeprefix("generation ") or 0)
        return number if self.names.get(number) == frozenset(config["tasks"]) else None

    def _file(self, task: str, number: int) -> str:
        rule = (
            "    triggers:\n      - {type: tick, event: tock}\n" if int(task[1:]) % self.firing == 0 else ""
        )
        return (
            f"tasks:\n  {task}:\n    webhook: w\n    description: generation {number}\n"
            f'    message: {{generation: {number}, n: "${{data.n}}"}}\n{rule}'
            + "# filling\n"
            * self.chance.randrange(200)
        )


class Pen:
    """Remembers the longest pause between two changes, for those the machine made longer than was meant."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._at = time.monotonic()
        self.longest_s = 0.0

    def moved(self) -> None:
        """Something was changed just now."""
        now = time.monotonic()
        self.longest_s = max(self.longest_s, now - self._at)
        self._at = now

    def pause(self) -> None:
        """Wait for a while that is no end."""
        self.moved()
        time.sleep(self._chance.uniform(0.02, 0.3))
        self.moved()


@dataclass
class Place:
    """Where the files are.

    Attributes:
        root: a directory for what lies beside.
        link: the configuration's path, a symlink to the tree.
        chance: what a writer's choices come from.
    """

    root: Path
    chance: random.Random
    counted: int = 0

    @property
    def link(self) -> Path:
        return self.root / "conf"

    @property
    def tree(self) -> Path:
        return self.link.resolve()

    def beside(self, name: str) -> Path:
        """A path that does not exist yet."""
        self.counted += 1
        return self.root / f"{name}-{self.counted}"

    def begin(self, files: Files) -> None:
        """The first state, before anybody reads it."""
        tree = self.beside("tree")
        fill(tree, files)
        self.link.symlink_to(tree.name)


def fill(directory: Path, files: Files) -> None:
    """A new directory with these files."""
    directory.mkdir()
    for name, content in files.items():
        (directory / name).write_text(content)
