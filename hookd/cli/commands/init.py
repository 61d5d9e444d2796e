"""`hookd init`: writes a configuration to start from, and its tests (spec 8).

Must never: write over a file, or write one of the two without the other.
"""

import argparse
import os
from contextlib import ExitStack
from importlib import resources
from pathlib import Path

from hookd.cli.failure import Failure
from hookd.domain.text import error_text, printable

DESCRIPTION = """Write a commented hookd.yaml and hookd.test.yaml into DIR, which is created if it does not exist.

They work as they are, with `hookd check`, `hookd test` and `hookd run`. If one of them exists already, neither is
written."""
EXAMPLE = "hookd init ~/hooks"

FILES = ("hookd.yaml", "hookd.test.yaml")
"""What is written, from `hookd/cli/starter`."""

_MODE = 0o644
_DIRECTORY_MODE = 0o755
"""Whatever the umask: a config that anybody may write to is not read, nor one in such a directory."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take where to write."""
    parser.add_argument(
        "directory", metavar="DIR", type=Path, help="where to write; . is the current directory"
    )


def run(options: argparse.Namespace) -> int:
    """Write them."""
    directory: Path = options.directory
    write_starter(directory)
    for name in FILES:
        print(printable(f"wrote {directory / name}"))
    there = [] if directory.resolve() == Path.cwd() else [printable(f"  cd {directory}")]
    print(
        "next:",
        *there,
        "  hookd check      what is wrong with the config",
        "  hookd test       does it do what hookd.test.yaml says?",
        "  hookd receive    a test receiver, in a terminal of its own",
        "  hookd run        the daemon, in another",
        sep="\n",
    )
    return 0


def write_starter(directory: Path) -> None:
    """Write both files, or none.

    Raises:
        Failure: one of them is there already, which is named, or `directory` cannot be written to.
    """
    if directory.exists() and not directory.is_dir():
        raise Failure(f"{directory} is not a directory; nothing was written")
    paths = [directory / name for name in FILES]
    taken = [str(path) for path in paths if os.path.lexists(path)]
    if taken:
        raise _taken(taken)
    try:
        for place in (*reversed(directory.parents), directory):
            if not place.exists():
                place.mkdir(_DIRECTORY_MODE, exist_ok=True)
        with ExitStack() as undoing:
            for path in paths:
                _write(path)
                undoing.callback(path.unlink, missing_ok=True)
            undoing.pop_all()
    except FileExistsError as error:
        raise _taken([str(error.filename)]) from None
    except OSError as error:
        raise Failure(f"{error.filename or directory}: {error_text(error)}", "nothing was written") from None


def _write(path: Path) -> None:
    """Make the file, which must not be there, and fill it."""
    content = (resources.files("hookd.cli") / "starter" / path.name).read_bytes()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError:
        path.unlink()
        raise


def _taken(taken: list[str]) -> Failure:
    verb = "is" if len(taken) == 1 else "are"
    return Failure(
        f"{' and '.join(taken)} {verb} there already; nothing was written",
        "name another directory, or move the old file out of the way",
    )
