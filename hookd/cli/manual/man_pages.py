"""The man pages hookd(1) and hookd.yaml(5), written from the commands' parsers and the configuration's schema.

Must never: say what neither of them says, or what `command_reference` does not list.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from hookd import __version__
from hookd.cli.manual import roff
from hookd.cli.manual.command_reference import (
    ENVIRONMENT,
    EXIT_CODES,
    FILES,
    Argument,
    CommandEntry,
    command_entries,
)
from hookd.cli.manual.key_reference import Key, key_sections
from hookd.cli.options import Parser

HOOKD_1 = "hookd.1"
HOOKD_YAML_5 = "hookd.yaml.5"

MAN_PAGES = (HOOKD_1, HOOKD_YAML_5)

_SOURCE = f"hookd {__version__}"

EXAMPLE = """\
webhooks:
  ops-slack:
    url: {env: SLACK_URL}
tasks:
  sync-failed:
    webhook: ops-slack
    message: {text: "Sync of ${NAME} failed: ${data.reason:-no reason given}"}
events:
  failed:
    type: outgoing_sync
    event: error
    tag: production
    task: sync-failed
"""
"""A configuration that hookd.yaml(5) ends with."""


def man_page(name: str, commands: Mapping[str, str], parser_of: Callable[[str], Parser]) -> str:
    """The page in roff; `name` is one of `MAN_PAGES`."""
    lines = _hookd_1(command_entries(commands, parser_of)) if name == HOOKD_1 else _hookd_yaml_5()
    return roff.document(lines)


def _hookd_1(entries: Iterable[CommandEntry]) -> Iterator[str]:
    entries = tuple(entries)
    yield roff.title("hookd", 1, _SOURCE)
    yield roff.heading("NAME")
    yield r"hookd \- a durable webhook sender for one machine"
    yield roff.heading("SYNOPSIS")
    yield from roff.literal(["hookd COMMAND [options]", "hookd help [TOPIC]"])
    yield roff.heading("DESCRIPTION")
    yield from roff.paragraph(
        "hookd takes in events on a local socket, matches them with rules, stores a delivery for each task that a rule"
        " fires, and sends it over HTTP, again and again until it arrives or its retries are used up. `hookd run` is"
        " the daemon; the other commands talk to it or read the configuration."
    )
    yield from roff.paragraph("`hookd COMMAND --help` prints a command's part of this page.")
    yield roff.heading("COMMANDS")
    for entry in entries:
        yield from _command(entry)
    yield roff.heading("WHERE THE DAEMON IS")
    yield from roff.paragraph("Every command that talks to the daemon has these options.")
    yield from _arguments(next(entry.address for entry in entries if entry.address))
    yield roff.heading("EXIT STATUS")
    yield from _table({str(code): meaning for code, meaning in EXIT_CODES.items()})
    yield roff.heading("ENVIRONMENT")
    yield from _table(ENVIRONMENT)
    yield roff.heading("FILES")
    yield from _table(FILES)
    yield roff.heading("SEE ALSO")
    yield r"\fBhookd.yaml\fR(5); \fBhookd help\fR lists the pages of the documentation."


def _command(entry: CommandEntry) -> Iterator[str]:
    yield roff.subheading(f"hookd {entry.name}")
    yield from roff.literal(entry.usage)
    for paragraph in entry.paragraphs:
        yield from roff.paragraph(paragraph)
    yield from _arguments(entry.arguments)
    if entry.address:
        yield from roff.paragraph("Also the options of WHERE THE DAEMON IS.")
    yield from roff.paragraph("Example:")
    yield from roff.literal(entry.examples)


def _arguments(arguments: Iterable[Argument]) -> Iterator[str]:
    for argument in arguments:
        yield from roff.item(argument.spelling, argument.meaning)


def _table(rows: Mapping[str, str]) -> Iterator[str]:
    for term, meaning in rows.items():
        yield from roff.item(term, meaning)


def _hookd_yaml_5() -> Iterator[str]:
    from hookd.config import schema_text

    yield roff.title("hookd.yaml", 5, _SOURCE)
    yield roff.heading("NAME")
    yield r"hookd.yaml \- configuration of hookd"
    yield roff.heading("SYNOPSIS")
    yield from roff.literal(["/etc/hookd/hookd.yaml", "./hookd.yaml"])
    yield roff.heading("DESCRIPTION")
    yield from roff.paragraph(
        "What hookd sends, where and when. It is one file, or a directory whose *.yaml and *.yml are all read."
        " `hookd check` finds what is wrong with it, `hookd help configuration` explains it with examples."
    )
    for section in key_sections(schema_text()):
        yield roff.heading(f"{section.name}:")
        yield from roff.paragraph(section.meaning)
        for key in section.keys:
            yield from roff.item(key.path, key.meaning, *_facts(key))
    yield roff.heading("EXAMPLE")
    yield from roff.literal(EXAMPLE.splitlines())
    yield roff.heading("SEE ALSO")
    yield r"\fBhookd\fR(1)"


def _facts(key: Key) -> Iterator[str]:
    yield f"Value: {key.takes}"
    if key.default:
        yield f"Default: {key.default}"
    if key.required:
        yield "Required."
