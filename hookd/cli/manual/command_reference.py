"""The commands as values: what each takes and does, read from the parsers that run them.

The man page and docs/commands.md are written from these, so neither can drift from the commands.

Must never: run a command, or depend on the terminal.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping

from hookd.cli.options import Parser
from hookd.domain.value_class import value_class

ADDRESS = "where the daemon is"
"""The group of options that every command has which talks to the daemon; it is described once."""

EXIT_CODES: Mapping[int, str] = {
    0: "done",
    1: "refused or failed: an invalid configuration, a rejected event, no such name or id",
    2: "wrong usage: an unknown option, or a value that it does not take",
    3: "the daemon cannot be reached",
    4: "`hookd emit --wait`: a delivery still waits",
    74: "`hookd run`: the store cannot be used",
    75: "`hookd run`: the store's server cannot be reached now",
    78: "`hookd run`: the configuration is invalid, or does not fit the sockets that systemd passes",
    130: "ended by Ctrl-C",
    141: "the reader of the output has gone away",
}
"""What a command may end with."""

ENVIRONMENT: Mapping[str, str] = {
    "HOOKD_CONFIG": "the configuration, where `--config` is not given",
    "HOOKD_SOCKET": "the daemon's Unix socket, where neither `--socket` nor `--url` is given",
    "HOOKD_SPOOL": "the directory for `hookd emit --spool`, where the option names none",
    "HOOKD_DUMPABLE": "`1` lets debuggers of hookd's own user into `hookd run`, and core files be written",
    "CREDENTIALS_DIRECTORY": "where `{credential: NAME}` is read; systemd sets it",
    "STATE_DIRECTORY": "where the store is, unless `daemon.store` says otherwise; systemd sets it",
    "RUNTIME_DIRECTORY": "where the Unix socket is, unless `daemon.listen` says otherwise; systemd sets it",
}
"""The environment variables that count, besides those that a configuration names in `{env: NAME}`."""

FILES: Mapping[str, str] = {
    "/etc/hookd/hookd.yaml": "the configuration, where nothing else is named and `./hookd.yaml` is not there",
    "/run/hookd/hookd.sock": "the Unix socket, unless the configuration names another",
    "/var/lib/hookd/hookd.db": "the store of the systemd service",
    "/var/spool/hookd": "the spool, unless `daemon.spool` names another",
}
"""The files of an installation."""


@value_class
class Argument:
    """A positional argument or an option: how it is written, and what it means."""

    spelling: str
    meaning: str


@value_class
class CommandEntry:
    """A command.

    Attributes:
        usage: one line for each way to call it.
        paragraphs: its description.
        arguments: its own, positional ones first.
        address: those that say where the daemon is; empty where it does not talk to the daemon.
        examples: command lines.
    """

    name: str
    purpose: str
    usage: tuple[str, ...]
    paragraphs: tuple[str, ...]
    arguments: tuple[Argument, ...]
    address: tuple[Argument, ...]
    examples: tuple[str, ...]


def command_entries(
    commands: Mapping[str, str], parser_of: Callable[[str], Parser]
) -> tuple[CommandEntry, ...]:
    """Every command, in the order of `commands`."""
    return tuple(_entry(name, purpose, parser_of(name)) for name, purpose in commands.items())


def _entry(name: str, purpose: str, parser: Parser) -> CommandEntry:
    own: list[Argument] = []
    address: list[Argument] = []
    for group in parser._action_groups:  # noqa: SLF001 - argparse has no public way to list a parser's arguments
        into = address if group.title == ADDRESS else own
        into.extend(_argument(action, parser) for action in group._group_actions if action.dest != "help")  # noqa: SLF001
    _, _, examples = (parser.epilog or "").partition("\n")
    return CommandEntry(
        name=name,
        purpose=purpose,
        usage=tuple(_usage(parser)),
        paragraphs=tuple(" ".join(part.split()) for part in (parser.description or "").split("\n\n")),
        arguments=tuple(own),
        address=tuple(address),
        examples=tuple(line.strip() for line in examples.splitlines()),
    )


def _usage(parser: Parser) -> Iterator[str]:
    if parser.usage:
        yield from (line.strip() for line in parser.usage.splitlines())
        return
    actions = parser._get_positional_actions()  # noqa: SLF001 - likewise
    yield " ".join([parser.prog, "[options]", *map(_placeholder, actions)])


def _placeholder(action: argparse.Action) -> str:
    name = _value(action)
    return {"?": f"[{name}]", "*": f"[{name}...]", "+": f"{name}..."}.get(str(action.nargs), name)


def _argument(action: argparse.Action, parser: Parser) -> Argument:
    meaning = (action.help or "") % {**vars(action), "prog": parser.prog, "choices": _choices(action)}
    if not action.option_strings:
        return Argument(_value(action), meaning)
    names = ", ".join(action.option_strings)
    if action.nargs == 0:
        return Argument(names, meaning)
    value = _value(action)
    return Argument(f"{names}{'' if value.startswith('[=') else ' '}{value}", meaning)


def _value(action: argparse.Action) -> str:
    if action.metavar is not None:
        return str(action.metavar)
    return (
        "{" + _choices(action).replace(" ", "") + "}" if action.choices is not None else action.dest.upper()
    )


def _choices(action: argparse.Action) -> str:
    return ", ".join(map(str, action.choices or ()))
