"""A command that runs proofs and prints what they saw: `python -m tests.chaos`, `python -m tests.attack`.

Must never: judge; a proof's own violations do.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from tests.chaos.proof import Findings, Options


def run_proofs(package: str, description: str | None, proofs: Mapping[str, str], default: str) -> int:
    """Run what the command line asks for, one after the other.

    Args:
        package: where the proofs are modules with `async def prove(options) -> Findings`.
        description: for `--help`.
        proofs: what each shows, by name.
        default: what runs where none is named: one of them, or `all`.

    Returns:
        The exit code: 1 if a promise was broken.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {package}",
        description=description,
        epilog="\n".join(f"{name:10} {what}" for name, what in proofs.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "proof", nargs="*", choices=[*proofs, "all", []], help=f"default: {default}; all: every one"
    )
    parser.add_argument("--short", action="store_true", help="a version of less than a minute each")
    parser.add_argument("--seed", type=int, default=None, help="repeat the run that printed it")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if given.seed is None else given.seed
    asked = given.proof or [default]
    names = list(proofs) if "all" in asked else asked
    broken = [name for name in names if not _run(package, name, seed=seed, short=given.short)]
    return int(bool(broken))


def _run(package: str, name: str, *, seed: int, short: bool) -> bool:
    print(f"{name}: seed {seed}", file=sys.stderr, flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hookd-proof-") as directory:
        prove = import_module(f"{package}.{name}").prove
        found: Findings = asyncio.run(prove(Options(Path(directory), seed, short)))
    took_s = round(time.monotonic() - began, 1)
    report = {"proof": name, "seed": seed, "took_s": took_s, **found.figures, "violations": found.violations}
    print(json.dumps(report, indent=2), flush=True)
    return not found.violations
