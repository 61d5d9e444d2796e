"""Which hookd a benchmark runs: this build, with its store in one process or in one of its own, and an older build.

`--base PYTHON` names the Python of a venv with an older build: make a venv, install the release in it, and give its
`bin/python`. What is measured of several builds takes turns, so that a busy machine is as busy for each.
"""

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Build:
    """A hookd to measure: the Python that has it, and a line of its configuration."""

    python: str = sys.executable
    daemon: str = ""


ONE_PROCESS = Build(daemon="store_process: false")
STORE_PROCESS = Build(daemon="store_process: true")


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be asked for."""
    parser.add_argument("--only", nargs="+", metavar="BUILD", help="of one_process, store_process, base")
    parser.add_argument("--base", metavar="PYTHON", help="the Python of a venv with an older build")


def asked_for(asked: argparse.Namespace) -> dict[str, Build]:
    """What is to be compared."""
    found = {"one_process": ONE_PROCESS, "store_process": STORE_PROCESS}
    if asked.base:
        found["base"] = Build(python=asked.base)
    return {name: build for name, build in found.items() if name in (asked.only or [name])}


def ratio(own: Sequence[float], other: Sequence[float]) -> float:
    """The median of the ratios in the same round."""
    return round(statistics.median(a / b for a, b in zip(own, other, strict=True)), 3)


def medians(rows: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Of each build's rounds, with the ratio of each figure to the older build's."""
    found: dict[str, dict[str, float]] = {}
    for name, own in rows.items():
        found[name] = {key: round(statistics.median(row[key] for row in own), 3) for key in own[0]}
        if "base" in rows and name != "base":
            base = rows["base"]
            found[name] |= {
                f"{key}_to_base": ratio([row[key] for row in own], [row[key] for row in base])
                for key in own[0]
            }
    return found
