"""The harness proves itself: each of these daemons has a fault built in, and the soak must catch each.

A mutant is a copy of the program with a few lines replaced. The soak runs on it until a violation shows of the
kind that this fault must lead to; `sign` says which.

Must never: touch the program itself.
"""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import soak
from tests.chaos.proof import Findings, Options

SETTLE_S = 40.0
"""An attempt that a crash cut off goes again after 18 s."""

PROGRAM = Path(__file__).parents[2]


@dataclass(frozen=True)
class Patch:
    """A text that stands once in a file of `hookd/`, and what replaces it."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """A daemon with a fault.

    Attributes:
        name: the fault.
        patches: how it is built in.
        actions: what the nemesis does to it, a part of the soak's actions, again and again.
        sign: what a violation it leads to says.
        short: whether the short version runs it.
    """

    name: str
    patches: tuple[Patch, ...]
    actions: tuple[str, ...]
    sign: str
    short: bool = True


_COMMIT = """            self._run(_sort(batch), change, check_all=check_all)
"""
_NO_RENEWAL = Patch("delivery/leases.py", "        if now < self._renew_at:\n", "        if now >= 0:\n")

MUTANTS = (
    Mutant(
        "answers before the commit",
        (
            Patch(
                "store/sqlite/engine.py",
                _COMMIT,
                _COMMIT
                + """            for call in batch:
                if isinstance(call, Enqueue) and call.error is None:
                    call.future.get_loop().call_soon_threadsafe(call.resolve)
""",
            ),
        ),
        ("power cut", "kill in a commit", "failing disk"),
        "knows nothing of it|was answered .*, then",
    ),
    Mutant(
        "does not wait for the disk (synchronous=OFF)",
        (Patch("store/sqlite/open.py", '"synchronous=FULL"', '"synchronous=OFF"'),),
        ("power cut",),
        "does not start|knows nothing of it|was answered .*, then",
    ),
    Mutant(
        "does not wait for the disk (synchronous=NORMAL)",
        (Patch("store/sqlite/open.py", '"synchronous=FULL"', '"synchronous=NORMAL"'),),
        ("power cut",),
        "does not start|knows nothing of it|was answered .*, then",
        short=False,
    ),
    Mutant(
        "forgets to fence (and to renew its leases)",
        (
            _NO_RENEWAL,
            Patch(
                "store/sqlite/settle.py",
                "            call.result = held.get(seq) == call.lease.attempt\n",
                "            call.result = True\n",
            ),
            Patch(
                "store/sqlite/settle.py",
                "                del held[seq]\n",
                "                held.pop(seq, None)\n",
            ),
            Patch("store/sqlite/attempts.py", "INSERT INTO attempts", "INSERT OR IGNORE INTO attempts"),
        ),
        ("clock set ahead",),
        "repeated after it was delivered",
    ),
    Mutant(
        "forgets to renew its leases",
        (_NO_RENEWAL,),
        ("clock set ahead",),
        "repeated while it was under way",
        short=False,
    ),
    Mutant(
        "drops what waits when it reloads",
        (
            Patch(
                "delivery/worker.py",
                "        current_config.on_swap(self._wake.set)\n",
                """        current_config.on_swap(lambda: asyncio.ensure_future(self._drop()) and self._wake.set())

    async def _drop(self):
        await self._store._write(lambda connection, _: connection.execute("DELETE FROM deliveries WHERE state = 0"))
""",
            ),
        ),
        ("receiver down", "edit", "webhook removed"),
        r"knows nothing of it|then \(\) \(duplicate: True\)",
    ),
    Mutant(
        "cancels attempts when it reloads",
        (
            Patch(
                "delivery/worker.py",
                "        current_config.on_swap(self._wake.set)\n",
                "        current_config.on_swap(lambda: [task.cancel() for task in self._under_way._tasks.values()])\n",
            ),
        ),
        ("edit",),
        "repeated after hookd had cut it off",
        short=False,
    ),
    Mutant(
        "settles before it sends",
        (
            Patch(
                "delivery/attempt_runs.py",
                "            try:\n                attempt.on_wire = self._sender.begin(",
                """            try:
                self._record(
                    attempt, Outcome(Reason.OK, 200), Settlement(State.DELIVERED, counted=False), self._clock.now()
                )
                attempt.on_wire = self._sender.begin(""",
            ),
        ),
        ("kill", "receiver down"),
        "called delivered, and no receiver took it|never arrived",
    ),
    Mutant(
        "has no idempotency",
        (
            Patch(
                "intake/event_format.py",
                "            id=self.make_id() if given_id is None else given_id,\n",
                "            id=self.make_id(),\n",
            ),
            Patch(
                "intake/event_format.py",
                "            digest=None if given_id is None else",
                "            digest=None if True else",
            ),
        ),
        ("kill",),
        "was answered .*, then|made 2 deliveries",
    ),
    Mutant(
        "answers 202 when the commit fails",
        (
            Patch(
                "intake/pipeline.py",
                "            if isinstance(outcome, Exception):\n",
                """            if isinstance(outcome, StoreUnavailable):
                outcome = _pretended(batch)
            if isinstance(outcome, Exception):
""",
            ),
            Patch(
                "intake/pipeline.py",
                "        except HookdError as error:\n",
                """        except StoreUnavailable:
            return _pretended(batch)
        except HookdError as error:
""",
            ),
            Patch(
                "intake/pipeline.py",
                "def _tell(event",
                """def _pretended(batch):
    from hookd.domain.events import DeliveryRef
    return tuple(
        Receipt(s.event.id, False, tuple(DeliveryRef(d.id, d.task, d.webhook) for d in s.deliveries))
        for s in batch
    )


def _tell(event""",
            ),
        ),
        ("failing disk", "full disk"),
        r"knows nothing of it|was answered .*, then .*duplicate: False",
        short=False,
    ),
    Mutant(
        "forgets what was under way at a crash",
        (
            Patch(
                "store/sqlite/claim.py",
                "        WHERE webhook = ? AND due_at IS NOT NULL\n",
                "        WHERE webhook = ? AND due_at IS NOT NULL AND state = 0\n",
            ),
        ),
        ("kill",),
        "still wait|is still sending",
        short=False,
    ),
    Mutant(
        "gives each attempt an id of its own",
        (
            Patch(
                "delivery/attempt_runs.py",
                "=lease.delivery_id,\n                    body=lease.body,\n",
                '=f"{lease.delivery_id}-{lease.attempt}",\n                    body=lease.body,\n',
            ),
        ),
        ("edit",),
        "hookd knows nothing of it|made . deliveries",
        short=False,
    ),
)


async def prove(options: Options) -> Findings:
    found = Findings()
    chosen = [mutant for mutant in MUTANTS if mutant.short or not options.short]
    caught: dict[str, str] = {}
    for index, mutant in enumerate(chosen):
        violations = await _soaked(mutant, options, options.place(str(index)))
        signs = [text for text in violations if re.search(mutant.sign, text)]
        if signs:
            caught[mutant.name] = signs[0][:200]
        else:
            found.violations.append(f"not caught: a daemon that {mutant.name}; seen: {violations[:3]}")
    found.figures = {"mutants_caught": len(caught), "mutants": len(chosen), "caught_by": caught}
    return found


async def _soaked(mutant: Mutant, options: Options, place: Path) -> Sequence[str]:
    """The violations that a soak of this mutant shows."""
    program = place / "program"
    build(mutant, program)
    directory = place / "soak"
    directory.mkdir()
    chance = options.chance()
    plan = list(mutant.actions) * 16  # it ends where the fault shows
    env = {"PYTHONPATH": str(program)}
    result = await soak.run(
        directory, chance, plan, env=env, until=re.compile(mutant.sign), settle_s=SETTLE_S
    )
    return result.reckoning.violations


def build(mutant: Mutant, program: Path) -> None:
    """Copy hookd and build the fault in.

    Raises:
        ValueError: a text to be replaced does not stand there once: the program has changed, and the mutant must too.
    """
    shutil.copytree(PROGRAM / "hookd", program / "hookd", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(PROGRAM / "schema", program / "schema")
    for patch in mutant.patches:
        path = program / "hookd" / patch.file
        text = path.read_text()
        if text.count(patch.old) != 1:
            raise ValueError(
                f"{mutant.name}: {text.count(patch.old)} places in {patch.file} say {patch.old!r}"
            )
        path.write_text(text.replace(patch.old, patch.new))
