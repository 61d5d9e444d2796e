"""The conformance table of docs/proofs.md and the tests say the same."""

import re
from pathlib import Path

from tests.docs import pages

FOLDER = Path(__file__).parent
ROW = re.compile(r"^\| ([RX])(\d+) \| [^|]+ \| (`[^|]+`) \|$", re.MULTILINE)
ASKED = {f"R{number}" for number in range(1, 53)} | {f"X{number}" for number in range(1, 13) if number != 11}


def told() -> dict[str, set[str]]:
    return {
        letter + number: set(re.findall(r"`(\w+)`", files))
        for letter, number, files in ROW.findall(pages.text_of("docs/proofs.md"))
    }


def found() -> dict[str, set[str]]:
    files: dict[str, set[str]] = {}
    for path in FOLDER.glob("test_*.py"):
        for test in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8")):
            for letter, number in re.findall(r"(?<=_)([rx])(\d+)(?=_|$)", test):
                files.setdefault(f"{letter.upper()}{int(number)}", set()).add(path.stem)
    return files


def test_every_requirement_is_in_the_table() -> None:
    assert set(told()) == ASKED


def test_the_table_names_the_tests_there_are() -> None:
    assert told() == found()
