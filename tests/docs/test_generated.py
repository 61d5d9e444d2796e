"""The parts of the documentation that are written from the program are those that `python -m tests.docs` writes."""

import pytest

from tests.docs import pages
from tests.docs.generated import GENERATED, current


@pytest.mark.parametrize("page", GENERATED)
def test_it_is_current(page: str) -> None:
    assert pages.text_of(page) == current(page), "`python -m tests.docs` writes it anew"
