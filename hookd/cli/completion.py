"""What can stand at the end of a command line that is being typed (spec 8, `completion`).

argcomplete takes the line apart and asks the parser of the command that stands on it, so that nothing here can drift
from the commands; names come from the daemon, else from the config. `hookd __complete SHELL LINE` prints the candidates
for the scripts of `hookd completion`: one a line, for zsh and fish with a tab and what it is behind it.

Must never: take long, change anything, or complain: the user has only pressed a key.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from argcomplete.completers import BaseCompleter
from argcomplete.finders import ExclusiveCompletionFinder
from argcomplete.lexers import split_line

from hookd.cli.options import Parser

FILES = 3
"""Exit code where the name of a file can stand there: the shell knows those itself."""

DAEMON_S = 0.3
"""The longest wait for the daemon; then names come from the config."""

RECENT = 30
"""Deliveries that are offered by their ids."""

_PATHS = ("PATH", "FILE", "DIR")
_ADDRESS = ("socket", "url", "token_env", "config")


class _FileWanted(Exception):
    """The name of a file can stand there."""


def answer(
    words: Sequence[str],
    commands: Mapping[str, str],
    top: Parser,
    parser_of: Callable[[str], Parser],
    *,
    end: Callable[[int], object] = os._exit,
) -> int:
    """Print what can stand there, for a shell; the exit code where there is nothing to print.

    Args:
        words: the shell's name, the line up to the cursor, and of bash the characters at which it breaks words.
        commands: every command and what it is for.
        top: the parser of what can stand in place of a command.
        parser_of: makes a command's parser; only that of the command on the line is made.
        end: ends the process when all is printed; by default at once, which saves the time that argcomplete takes.
    """
    try:
        _tell_argcomplete(*words)
        _, current, _, typed, _ = split_line(words[1])
        command = typed[1] if len(typed) > 1 else ""
        if command and command not in commands:
            return 1
        parser = parser_of(command) if command else top
        if not command:
            parser.add_argument("command")
        finder = CommandLineFinder()
        finder.only_positional = "--" in typed
        dashes = finder.only_positional or (current.startswith("-") and "=" in current)
        finder(
            parser,
            always_complete_options=False,
            default_completer=ValueCompleter(commands, command, dashes=dashes),
            output_stream=sys.stdout,
            exit_method=end,
        )
    except _FileWanted:
        return FILES
    except Exception:  # noqa: BLE001 - a key was pressed in a shell: nothing may be said there
        return 1
    return 0


def _tell_argcomplete(shell: str, line: str, breaks: str = "") -> None:
    """Say in the environment, where argcomplete reads it, what the shell has said."""
    first = (
        "2" if len(split_line(line)[3]) > 1 else "1"
    )  # a command's parser knows only what stands behind it
    os.environ |= {"COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE": first}
    os.environ |= {"_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_SUPPRESS_SPACE": "1"}
    if shell == "bash":
        os.environ |= {"_ARGCOMPLETE_SHELL": "bash", "_ARGCOMPLETE_COMP_WORDBREAKS": breaks}
    else:  # zsh quotes words by itself, as fish does
        os.environ |= {"_ARGCOMPLETE_SHELL": "fish", "_ARGCOMPLETE_DFS": "\t"}


class CommandLineFinder(ExclusiveCompletionFinder):
    """Argcomplete's finder, with what it leaves open.

    Attributes:
        only_positional: `--` was typed.
    """

    only_positional = False

    def _init_debug_stream(self) -> None:
        """Leave file descriptor 9 alone."""

    def collect_completions(
        self,
        active_parsers: list[argparse.ArgumentParser],
        parsed_args: argparse.Namespace,
        cword_prefix: str,
    ) -> list[str]:
        """After `--` nothing is an option; and where nothing else can stand, the options are offered."""
        if self.only_positional:
            active_parsers[-1].prefix_chars = ""
        found = super().collect_completions(active_parsers, parsed_args, cword_prefix)
        assert isinstance(self.default_completer, ValueCompleter)
        if found or cword_prefix or self.only_positional or self.default_completer.asked:
            return found
        self.always_complete_options = "long"
        return super().collect_completions(active_parsers, parsed_args, cword_prefix)

    def quote_completions(
        self, completions: list[str], cword_prequote: str, last_wordbreak_pos: int | None
    ) -> list[str]:
        """Between double quotes bash keeps the backslash before an exclamation mark: it stands outside of them."""
        quoted = super().quote_completions(completions, cword_prequote, last_wordbreak_pos)
        return [word.replace("\\!", '"\\!"') for word in quoted] if cword_prequote == '"' else quoted


class ValueCompleter(BaseCompleter):
    """What can stand in place of an argument, or as the value of an option, that has no fixed choices.

    Attributes:
        asked: whether there was such a place.
    """

    def __init__(self, commands: Mapping[str, str], command: str, *, dashes: bool) -> None:
        """For a command among all of them; `dashes`: a word that begins with one is taken as it is."""
        self.asked = False
        self._commands = commands
        self._command = command
        self._dashes = dashes
        self._names: Mapping[str, Any] | None = None

    def __call__(
        self,
        *,
        prefix: str,
        action: argparse.Action,
        parser: argparse.ArgumentParser,
        parsed_args: argparse.Namespace,
    ) -> Mapping[str, str]:
        """Each word, and what it is."""
        del prefix, parser
        self.asked = True
        if action.metavar in _PATHS:
            raise _FileWanted
        return {
            word: purpose
            for word, purpose in self._named(action, parsed_args)
            if (word + purpose).isprintable() and (self._dashes or not word.startswith("-"))
        }

    def _named(self, action: argparse.Action, typed: argparse.Namespace) -> Iterator[tuple[str, str]]:
        match action.dest, bool(action.option_strings):
            case "command", False:
                yield from self._commands.items()
            case "webhook" | "task" as kind, _:
                yield from ((name, kind) for name in self._known(typed)[f"{kind}s"])
            case "type", False:
                yield from ((name, "type") for name in self._known(typed)["types"])
            case "event", False:
                yield from ((name, "event") for name in self._known(typed)["types"].get(typed.type, ()))
            case "topic", False:
                from hookd.cli.manual.topics import topics

                yield from {**topics(), **self._commands}.items()
            case "id" | "ids", False:
                yield from self._deliveries(typed)
            case dest, True if dest.endswith("_env"):
                yield from ((name, "environment variable") for name in sorted(os.environ))

    def _known(self, typed: argparse.Namespace) -> Mapping[str, Any]:
        """`webhooks` and `tasks`, and the events of each of `types`: as the daemon, else the config, knows them."""
        from pathlib import Path

        from hookd.cli.failure import Failure

        if self._names is None:
            try:
                self._names = _ask(typed, "/v1/names")
            except Failure:
                from hookd.config import default_path, names_at

                self._names = names_at(Path(typed.config) if typed.config else default_path())
        return self._names

    def _deliveries(self, typed: argparse.Namespace) -> Iterator[tuple[str, str]]:
        """The latest deliveries; of `cancel` those that can be cancelled."""
        query = {"limit": str(RECENT), **({"state": "pending"} if self._command == "cancel" else {})}
        for each in _ask(typed, "/v1/deliveries", query)["deliveries"]:
            yield each["id"], f"{each['state']}, {each['task'] or 'sent by hand'} to {each['webhook']}"


def _ask(typed: argparse.Namespace, path: str, query: Mapping[str, str] | None = None) -> Any:
    """Ask the daemon that is where the words that were typed say."""
    from hookd.cli.client import address

    options = argparse.Namespace(**{name: getattr(typed, name, None) for name in _ADDRESS})
    return address.from_options(options).get(path, query, timeout_s=DAEMON_S)
