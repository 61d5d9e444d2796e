"""Option types and groups of options that several commands share.

A value that does not fit ends with argparse's message and exit code 2 (spec 8).

Must never: import more than the start of `hookd emit` can bear.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress

from hookd.domain.json_text import json_fault
from hookd.domain.text import is_utf8, printable, shown, without_surrogates

TYPE_CHECKING = False  # the checker's True; importing `typing` would be a tenth of all that `hookd emit` does
if TYPE_CHECKING:
    from typing import Any, NoReturn


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal. argparse makes one for each option, and would load `shutil` for it."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    """As `shutil.get_terminal_size` has them: what `$COLUMNS` says, else the terminal's, else 80."""
    with suppress(ValueError):
        if (said := int(os.environ.get("COLUMNS", "0"))) > 0:
            return said
    with suppress(AttributeError, ValueError, OSError):
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80  # type: ignore[union-attr]
    return 80


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints cannot drive the terminal and whose options are not abbreviated."""

    def __init__(self, **settings: Any) -> None:
        self._bare: dict[str, str] = {}
        super().__init__(formatter_class=_Help, allow_abbrev=False, **settings)

    def add_bare_or_valued(self, option: str, bare: str, **settings: Any) -> None:
        """Add an option that stands alone or with `=VALUE`; alone it means `bare`.

        Unlike `nargs="?"` it never takes the next word, which may be a positional argument.
        """
        self._bare[option] = f"{option}={bare}"
        self.add_argument(option, **settings)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse; `add_bare_or_valued`'s options get their values."""
        words = list(sys.argv[1:] if args is None else args)
        end = words.index("--") if "--" in words else len(words)
        words[:end] = [self._bare.get(word, word) for word in words[:end]]
        return super().parse_known_args(words, namespace)

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        super().error(printable(message))


def text(value: str) -> str:
    """An argument that can be sent: what the shell handed over must have been UTF-8."""
    if not is_utf8(value):
        raise argparse.ArgumentTypeError("not valid UTF-8")
    return value


def sent_text(name: str) -> Callable[[str], str]:
    """The type of an argument that is sent as it is; `name` is what it is called in a warning.

    A program that reports a failure cannot always say how its words are encoded, and the report matters more: bytes
    that are not UTF-8 become U+FFFD, with a warning.
    """

    def sendable(value: str) -> str:
        if is_utf8(value):
            return value
        warn_of_replaced(name, value)
        return without_surrogates(value)

    return sendable


def sent_id(value: str) -> str:
    """The type of an event's id, in which replaced bytes must not make two ids one: a hash of them keeps them apart."""
    if is_utf8(value):
        return value
    from hashlib import sha256

    warn_of_replaced("--id", value)
    return f"{without_surrogates(value)}-{sha256(value.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"


def warn_of_replaced(where: str, value: str) -> None:
    """Report on standard error that bytes are sent as U+FFFD."""
    print(
        f"hookd: warning: {where}: bytes that are not UTF-8 are sent as U+FFFD: {shown(value)}",
        file=sys.stderr,
    )


def json_object(value: str) -> str:
    """The text of a JSON object. It is sent as it is written, so that numbers keep every digit."""
    try:
        content = json.loads(without_surrogates(value), parse_constant=_no_constant)
    except RecursionError:
        raise argparse.ArgumentTypeError("nested too deeply") from None
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {json_fault(error)}") from None
    if not isinstance(content, dict):
        raise argparse.ArgumentTypeError('must be a JSON object, such as {"size": 3}')
    return sent_text("--data")(value)


def _no_constant(name: str) -> NoReturn:
    raise argparse.ArgumentTypeError(f"not JSON: {name} is not a JSON value")


def whole_number(value: str) -> int:
    """A number from 0 up."""
    if not (value.isascii() and value.isdecimal() and len(value) < 10):
        raise argparse.ArgumentTypeError(f"{value!r} is not a whole number from 0 up")
    return int(value)


def duration(value: str) -> float:
    """Seconds of a duration, or of a plain number of them."""
    from hookd.domain.durations import parse_duration

    try:
        return parse_duration(value.strip(), bare="s")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_wide(parser: argparse.ArgumentParser) -> None:
    """Add `--wide`."""
    parser.add_argument(
        "--wide", action="store_true", help="leave nothing out, also where the terminal is too narrow"
    )


def add_occurrence(parser: argparse.ArgumentParser) -> None:
    """Add the options that describe what an event happened to, and its data."""
    parser.add_argument(
        "--object", metavar="NAME", type=sent_text("--object"), help="the name of the object it happened to"
    )
    parser.add_argument("--object-id", metavar="ID", type=sent_text("--object-id"), help="the object's id")
    parser.add_argument(
        "--tag",
        metavar="TAG",
        type=sent_text("--tag"),
        action="append",
        default=[],
        help="a tag of the object; may be repeated",
    )
    parser.add_argument(
        "--data", metavar="JSON", type=json_object, help="a JSON object, for ${data.…} in messages"
    )


def occurrence(options: argparse.Namespace, **fields: str | None) -> bytes:
    """The JSON body for `add_occurrence`'s options and further fields; what was not given is left out."""
    about = {"id": options.object_id, "name": options.object, "tags": options.tag}
    content = {**fields, "object": {name: value for name, value in about.items() if value}}
    members = [f"{json.dumps(name)}:{json.dumps(value)}" for name, value in content.items() if value]
    if options.data is not None:
        members.append(f'"data":{options.data}')
    return ("{" + ",".join(members) + "}").encode()
