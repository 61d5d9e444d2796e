"""`python -m tests.chaos [PROOF …] [--short] [--seed N]`: drive the real daemon through faults, count, and judge.

Prints one JSON object for each proof, and ends with 1 if a promise was broken.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

from tests.chaos.proof import Findings, Options

PROOFS = {
    "soak": "random faults under load, then three books are reconciled (the default)",
    "mutants": "the soak against daemons with a fault built in: each must be caught",
    "crash": "SIGKILL at random and at every system call that matters; the order of fsync and 202",
    "disk": "full, failing, read-only and slow disks; damaged files; migrations cut off",
    "backlog": "a million pending deliveries",
    "receivers": "every status, hostile answers, dead names",
    "isolation": "receivers that hang beside healthy ones; the breaker",
    "intake": "overload, slow clients, floods, fuzz",
    "reload": "writers of every kind, reloads with deliveries in flight, hostile files",
    "time": "steps of the wall clock, a frozen process",
    "stop": "SIGTERM under load, twice, and while blocked",
    "secrets": "canary values through every error path; doors that must be shut",
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description=__doc__,
        epilog="\n".join(f"{name:10} {what}" for name, what in PROOFS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "proof", nargs="*", choices=[*PROOFS, "all", []], help="default: soak; all: every one"
    )
    parser.add_argument("--short", action="store_true", help="a version of less than a minute each")
    parser.add_argument("--seed", type=int, default=None, help="repeat the run that printed it")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if given.seed is None else given.seed
    names = list(PROOFS) if "all" in given.proof else given.proof or ["soak"]
    if unknown := set(names) - PROOFS.keys():
        parser.error(f"no proof {', '.join(sorted(unknown))}; there are {', '.join(PROOFS)}, all")
    broken = [name for name in names if not _run(name, seed=seed, short=given.short)]
    return int(bool(broken))


def _run(name: str, *, seed: int, short: bool) -> bool:
    print(f"{name}: seed {seed}", file=sys.stderr, flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hookd-chaos-") as directory:
        prove = import_module(f"tests.chaos.{name}").prove
        found: Findings = asyncio.run(prove(Options(Path(directory), seed, short)))
    took_s = round(time.monotonic() - began, 1)
    report = {"proof": name, "seed": seed, "took_s": took_s, **found.figures, "violations": found.violations}
    print(json.dumps(report, indent=2), flush=True)
    return not found.violations


if __name__ == "__main__":
    sys.exit(main())
