"""`kill -9` at any moment: what was answered 202 arrives; duplicates only with the same id and bytes.

`HOOKD_KILLS=200 python -m pytest -m "" tests/e2e/test_kill.py` for more than the default 20.
"""

import os
import random
from pathlib import Path

import pytest

from tests.chaos.crash.kills import kill_at_random

KILLS = int(os.environ.get("HOOKD_KILLS", "20"))


@pytest.mark.parametrize("kills", [pytest.param(3, marks=pytest.mark.promise), KILLS])
async def test_nothing_acknowledged_is_lost(tmp_path: Path, kills: int) -> None:
    found = await kill_at_random(tmp_path, kills=kills, chance=random.Random(7))
    print(found.figures)
    assert not found.violations
