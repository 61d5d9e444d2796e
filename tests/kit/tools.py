"""Programs that are not Python: where they are, and the mark of the tests that need them."""

import os
import shutil
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T", bound=Callable[..., object])

_PATH = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/bin:/usr/local/sbin"


def found(program: str) -> str:
    """Where a program is; fails where it is not installed."""
    path = shutil.which(program, path=_PATH)
    assert path is not None, f"{program} is not installed"
    return path


def needs(*programs: str, package: str = "") -> Callable[[T], T]:
    """Mark a test `tools`, and skip it where a program is missing.

    Args:
        programs: their names, or paths.
        package: what Debian calls the package, where it has another name.
    """
    missing = [name for name in programs if shutil.which(name, path=_PATH) is None]
    reason = f"not installed (Debian: {package or ' '.join(missing)}): {', '.join(missing)}"

    def mark(test: T) -> T:
        return pytest.mark.tools(pytest.mark.skipif(bool(missing), reason=reason)(test))  # type: ignore[no-any-return]

    return mark
