"""Every command that a page shows, run in order on a stage of its own, with a real daemon."""

from pathlib import Path

import pytest

from tests.docs import pages
from tests.docs.blocks import in_session
from tests.docs.session import Session, console, matches
from tests.kit.tools import needs

SESSIONS = [page for page in pages.PAGES if any(map(in_session, pages.blocks(page)))]
OWN_DAEMON = "README.md"
"""The page that starts one itself, on the example."""


@needs("curl")
@pytest.mark.process
@pytest.mark.parametrize("page", SESSIONS)
async def test_what_it_shows_works(page: str, short_path: Path) -> None:
    async with Session(short_path, daemon=page != OWN_DAEMON) as session:
        if page == OWN_DAEMON:
            session.file("config.example.yaml", pages.text_of("config.example.yaml"))
        for block in filter(in_session, pages.blocks(page)):
            await session.play(block)


def test_a_console_block_is_read() -> None:
    text = "$ a b\n$ c\nout\n[3]\nmore\n$ d\nx\n[1]\n"
    assert console(text) == [("a b", "", 0), ("c", "out\n[3]\nmore\n", 0), ("d", "x\n", 1)]


@pytest.mark.parametrize(
    ("shown", "seen", "same"),
    [
        ("a\n", "a\n", True),
        ("a\n", "a\nb\n", False),
        ("a …\n", "a (b) c\n", True),
        ("…\nz\n", "x\ny\nz\n", True),
        ("x\n…\n", "x\n", True),
        ("x.\n", "xy\n", False),
        ("dlv_" + "0" * 32 + "\n", "dlv_" + "a" * 32 + "\n", True),
        ("2026-01-02T03:04:05Z\n", "2027-11-12T13:14:15.161718Z\n", True),
    ],
)
def test_output_is_compared(shown: str, seen: str, same: bool) -> None:
    assert matches(shown, seen) == same
