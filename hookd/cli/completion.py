"""What can stand at the end of a command line that is being typed (spec 8, `completion`).

Found out from the commands' own parsers, so that it cannot drift from them; names come from the daemon, else from the
config. `hookd __complete SHELL …` prints it for the scripts of `hookd completion`: a line `words` or `files`, then
one candidate a line, a tab, what it is.

Must never: take long, change anything, or complain: whoever presses a key has asked for nothing else.
"""

import argparse
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from hookd.cli.options import Parser
from hookd.cli.output.terminal import shortened

DAEMON_S = 0.3
"""The longest wait for the daemon; then names come from the config."""

RECENT = 30
"""Deliveries that are offered by their ids."""

_LONGEST_PURPOSE = 80
_PATHS = ("PATH", "FILE", "DIR")
_ADDRESS = ("socket", "url", "token_env", "config")


class Candidate(NamedTuple):
    """One thing that can stand there, and what it is."""

    word: str
    purpose: str = ""


@dataclass(slots=True)
class Typed:
    """What the words before the one that is being typed have brought.

    Attributes:
        values: of options and positional arguments, by destination.
        waiting: the option whose value comes next.
        only_positional: `--` was typed.
        position: how many positional arguments there are.
    """

    values: dict[str, str] = field(default_factory=dict)
    options: set[str] = field(default_factory=set)
    waiting: argparse.Action | None = None
    only_positional: bool = False
    position: int = 0


@dataclass(slots=True)
class Offer:
    """What can stand there; `files`: names of files instead."""

    candidates: list[Candidate] = field(default_factory=list)
    files: bool = False


def offer(words: Sequence[str], commands: Mapping[str, str], parser_of: Callable[[str], Parser]) -> Offer:
    """What can stand in place of the last word, by the words before it (the program's name left out)."""
    *before, current = words
    if not before:
        top = [Candidate("--help"), Candidate("--version")] if current.startswith("-") else []
        return Offer(top or [Candidate(name, purpose) for name, purpose in commands.items()])
    if before[0] not in commands:
        return Offer()
    parser = parser_of(before[0])
    typed = _typed(parser, before[1:])
    names = CompletionNames(typed.values)
    if typed.waiting is not None:
        return _no_option(_values(typed.waiting, names, before[0]))
    if current.startswith("-") and not typed.only_positional:
        return _options(parser, typed, current, names, before[0])
    positional = _positional(parser, typed.position)
    if positional is None:
        return Offer() if typed.only_positional else _options(parser, typed, current, names, before[0])
    found = _values(positional, names, before[0])
    return found if typed.only_positional else _no_option(found)


def _no_option(found: Offer) -> Offer:
    """What remains as a word of its own: one that begins with a dash would be taken for an option."""
    return Offer([each for each in found.candidates if not each.word.startswith("-")], found.files)


def _typed(parser: Parser, words: Sequence[str]) -> Typed:
    typed = Typed()
    for word in words:
        name, equals, value = word.partition("=")
        action = None if typed.only_positional else _by_name(parser).get(name if equals else word)
        if typed.waiting is not None:
            typed.values[typed.waiting.dest] = word
            typed.waiting = None
        elif word == "--" and not typed.only_positional:
            typed.only_positional = True
        elif action is not None:
            typed.options.add(action.dest)
            if equals:
                typed.values[action.dest] = value
            elif action.nargs != 0:
                typed.waiting = action
        elif not word.startswith("-") or word == "-" or typed.only_positional:
            positional = _positional(parser, typed.position)
            typed.values[positional.dest if positional else ""] = word
            typed.position += 1
    return typed


def _by_name(parser: Parser) -> Mapping[str, argparse.Action]:
    return parser._option_string_actions  # noqa: SLF001 - argparse has no public way to list a parser's options


def _positional(parser: Parser, position: int) -> argparse.Action | None:
    """The positional argument at a position; one that takes many has all that follow."""
    actions = parser._get_positional_actions()  # noqa: SLF001 - likewise
    if position < len(actions):
        return actions[position]
    return actions[-1] if actions and actions[-1].nargs in {"*", "+"} else None


def _options(parser: Parser, typed: Typed, current: str, names: "CompletionNames", command: str) -> Offer:
    """The options that may still come, or the values of one that is written with `=`."""
    name, equals, _ = current.partition("=")
    if equals:
        action = _by_name(parser).get(name)
        found = Offer() if action is None or action.nargs == 0 else _values(action, names, command)
        return Offer(
            [Candidate(f"{name}={word}", purpose) for word, purpose in found.candidates], found.files
        )
    open_to = {
        option: action
        for option, action in _by_name(parser).items()
        if action.dest not in typed.options or isinstance(action.default, list)
    }
    longest = {action.dest: option for option, action in open_to.items()}
    shown = (
        open_to if current.startswith("-") else {longest[dest]: open_to[longest[dest]] for dest in longest}
    )
    formatter = parser._get_formatter()  # noqa: SLF001 - likewise: it fills in %(choices)s
    return Offer([Candidate(option, _purpose(formatter, action)) for option, action in shown.items()])


def _purpose(formatter: argparse.HelpFormatter, action: argparse.Action) -> str:
    told = formatter._expand_help(action) if action.help else ""  # noqa: SLF001 - likewise
    return shortened(" ".join(told.split()), _LONGEST_PURPOSE)


def _values(action: argparse.Action, names: "CompletionNames", command: str) -> Offer:
    if action.choices is not None:
        return Offer([Candidate(str(choice)) for choice in action.choices])
    if action.metavar in _PATHS:
        return Offer(files=True)
    return Offer(list(_named(action, names, command)))


def _named(action: argparse.Action, names: "CompletionNames", command: str) -> Iterator[Candidate]:
    match action.dest, bool(action.option_strings):
        case "webhook", _:
            yield from (Candidate(name, "webhook") for name in names.found["webhooks"])
        case "task", _:
            yield from (Candidate(name, "task") for name in names.found["tasks"])
        case "type", False:
            yield from (Candidate(name, "type") for name in names.found["types"])
        case "event", False:
            events = names.found["types"].get(names.typed.get("type", ""), ())
            yield from (Candidate(name, "event") for name in events)
        case (("id" | "ids"), False):
            yield from names.deliveries("pending" if command == "cancel" else None)
        case dest, True if dest.endswith("_env"):
            yield from (Candidate(name, "environment variable") for name in sorted(os.environ))


class CompletionNames:
    """The names that the daemon, or the config, knows; asked for when they are needed, and at most once."""

    def __init__(self, typed: Mapping[str, str]) -> None:
        """Ask where the words that were typed say that the daemon is."""
        self.typed = typed
        self._options = argparse.Namespace(**{name: typed.get(name) for name in _ADDRESS})

    @cached_property
    def found(self) -> Mapping[str, Any]:
        """`webhooks` and `tasks`, and the events of each of `types`."""
        from pathlib import Path

        from hookd.cli.errors import Failure

        try:
            names: Mapping[str, Any] = self._ask("/v1/names")
        except Failure:
            from hookd.config import default_path, names_at

            config = self.typed.get("config")
            names = names_at(Path(config) if config else default_path())
        return names

    def deliveries(self, state: str | None) -> Iterator[Candidate]:
        """The latest deliveries in a state (None: in any)."""
        query = {"limit": str(RECENT), **({"state": state} if state else {})}
        for each in self._ask("/v1/deliveries", query)["deliveries"]:
            yield Candidate(
                each["id"], f"{each['state']}, {each['task'] or 'sent by hand'} to {each['webhook']}"
            )

    def _ask(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        from hookd.cli.client import address

        return address.from_options(self._options).get(path, query, timeout_s=DAEMON_S)


def answer(words: Sequence[str], commands: Mapping[str, str], parser_of: Callable[[str], Parser]) -> int:
    """Print what can stand there, for a shell; 1 and nothing where that cannot be found out.

    Args:
        words: `bash`, the characters at which bash breaks words, the program, the line up to the cursor; or another
            shell's name and the line's words without the program's, the last up to the cursor.
        commands: every command and what it is for.
        parser_of: makes a command's parser.
    """
    try:
        if words[0] == "bash":
            _answer_bash(*words[1:], commands=commands, parser_of=parser_of)
        else:
            _print(offer(words[1:], commands, parser_of))
    except Exception:  # noqa: BLE001 - a key was pressed in a shell: nothing may be said there
        return 1
    return 0


def _answer_bash(
    breaks: str, line: str, *, commands: Mapping[str, str], parser_of: Callable[[str], Parser]
) -> None:
    from hookd.cli.bashline import parse

    parsed = parse(line, breaks)
    found = offer(parsed.words, commands, parser_of)
    _print(
        Offer(
            [
                Candidate(parsed.rest_of(candidate.word))
                for candidate in found.candidates
                if candidate.word.startswith(parsed.words[-1])
            ],
            found.files,
        )
    )


def _print(found: Offer) -> None:
    print("files" if found.files else "words")
    for word, purpose in found.candidates:
        if (word + purpose).isprintable():
            print(word, purpose, sep="\t" if purpose else "", end="\n")
