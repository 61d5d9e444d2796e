"""The command line (spec 8): finds the command, builds its parser alone, runs it, returns its exit code.

A new command is a module in `hookd.cli.commands` and a line in `COMMANDS`. Such a module has
`DESCRIPTION`, `EXAMPLE`, `arguments(parser)` and `run(options) -> exit code`.

Must never: import what a command needs before it is that command's turn; `hookd emit` starts through
here.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from hookd import __version__
from hookd.cli.failure import Failure
from hookd.cli.options import Parser
from hookd.domain.text import error_text, near, printable

TYPE_CHECKING = False  # the checker's True; importing `typing` would be a tenth of all that `hookd emit` does
if TYPE_CHECKING:
    from typing import Protocol

    class Command(Protocol):
        """What a module of `hookd.cli.commands` offers."""

        DESCRIPTION: str
        EXAMPLE: str

        def arguments(self, parser: Parser) -> None:
            """Add the command's arguments."""
            ...

        def run(self, options: object) -> int:
            """Do it; the exit code."""
            ...


COMMANDS = {
    "run": "run the daemon in the foreground",
    "check": "find what is wrong with a config",
    "test": "check that the config sends what its tests expect",
    "init": "write a config to start from, and its tests",
    "schema": "print the config's JSON Schema",
    "emit": "post an event, or a file of events",
    "trigger": "run a task now",
    "send": "send a message to a webhook, to try it out",
    "explain": "show what an event would send, and which rules just miss it",
    "schedules": "list schedules and their next moments",
    "types": "list the types and events that rules and events may name",
    "status": "is everything all right, and if not, what to do",
    "deliveries": "list deliveries",
    "tail": "print what happens, as it happens",
    "show": "show a delivery, its body and its attempts",
    "retry": "send deliveries again",
    "cancel": "end deliveries that wait",
    "pause": "hold back the deliveries of a webhook",
    "resume": "end the pause of a webhook",
    "rearm": "let a one-shot task that is spent run again",
    "reload": "make the daemon read its config again",
    "diff": "compare a config with the one in force: on disk, elsewhere, or of a commit",
    "store": "show the database of daemon.store, or bring its tables forward",
    "completion": "print a script that completes commands in bash, zsh or fish",
    "receive": "a test receiver: print what arrives, answer as asked",
    "demo": "show the whole thing working, on temporary state",
    "help": "print a page of the documentation, or a command's help",
    "version": "print the version",
}
"""Every command, in the order of `hookd --help`, and what it is for."""

COMPLETE = "__complete"
"""What the scripts of `hookd completion` call; no command for people."""

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells have it."""

PIPE_CLOSED = 141
"""Exit code where the reader of our output went away: 128 + SIGPIPE."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the command that `words` (default: the process's arguments) ask for and return its exit code.

    Raises:
        SystemExit: wrong usage (2), or help or the version were asked for (0).
    """
    _open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _exit_code(list(sys.argv[1:] if words is None else words))
        print(end="", flush=True)
    except BrokenPipeError:
        code = PIPE_CLOSED
        _discard_output()
    except OSError as error:
        code = _said(Failure(": ".join(filter(None, (str(error.filename or ""), error_text(error))))))
        _discard_output()
    return code


def _open_standard_streams() -> None:
    """Put the null device where a standard stream is closed, as by `2>&-`.

    Its number would be given to the next file or socket, into which would then go what is printed; and hookd could not
    print at all.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 - for as long as the process lives
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115 - likewise


def _exit_code(words: list[str]) -> int:
    try:
        return _run(words)
    except Failure as failure:
        return _said(failure)
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(words: list[str]) -> int:
    if words[:1] == [COMPLETE]:
        from hookd.cli.completion import answer

        return answer(words[1:], COMMANDS, _top_parser(), parser_of)
    if not words or words[0] not in COMMANDS:
        _end_at_top(words)
    return _command(words[0]).run(parser_of(words[0]).parse_args(words[1:]))


def _command(name: str) -> Command:
    command: Command = importlib.import_module(f"hookd.cli.commands.{name}")
    return command


def parser_of(name: str) -> Parser:
    """The parser of a command."""
    command = _command(name)
    parser = Parser(
        prog=f"hookd {name}", description=command.DESCRIPTION, epilog=f"example:\n  {command.EXAMPLE}"
    )
    command.arguments(parser)
    return parser


def _top_parser() -> Parser:
    """The parser of what can stand in place of a command."""
    listing = "\n".join(f"  {name:<12}{purpose}" for name, purpose in COMMANDS.items())
    parser = Parser(
        prog="hookd",
        usage="hookd COMMAND [options]",
        description="A durable webhook sender for one machine.",
        epilog=f"commands:\n{listing}\n\n`hookd COMMAND --help` explains one; `hookd help` lists the documentation.",
    )
    parser.add_argument("--version", action="version", version=f"hookd {__version__}")
    return parser


def _end_at_top(words: list[str]) -> None:
    """End with the help, the version, or what is wrong: no command stands first."""
    parser = _top_parser()
    _, others = parser.parse_known_args(words)
    parser.error(_complaint(others))


def _complaint(words: list[str]) -> str:
    choices = f"one of {', '.join(COMMANDS)}"
    if not words:
        return f"a command is missing: {choices}"
    if words[0].startswith("-"):
        return f"a command comes first, its options after it: {choices}"
    meant = near(words[0], COMMANDS, most=2)
    hint = f"; did you mean {' or '.join(meant)}?" if meant else ""
    return (
        f"unknown command {words[0]!r}{hint} It must be {choices}"
        if meant
        else f"unknown command {words[0]!r}: {choices}"
    )


def _said(failure: Failure) -> int:
    for number, line in enumerate(failure.lines):
        print(f"hookd: {printable(line)}" if number == 0 else printable(line), file=sys.stderr)
    return failure.code


def _discard_output() -> None:
    """Send what is still buffered nowhere, so that the interpreter does not complain at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
