"""The parts of the documentation that are written from the program: the commands and the configuration's keys.

`python -m tests.docs` writes them; a test says that they are current. Each stands between a marker, which names that
command, and the end of the page.
"""

import re
from collections.abc import Iterator, Mapping

from hookd.cli.main import COMMANDS, parser_of
from hookd.cli.manual.command_reference import (
    ENVIRONMENT,
    EXIT_CODES,
    FILES,
    Argument,
    CommandEntry,
    command_entries,
)
from hookd.cli.manual.key_reference import Key, key_sections
from hookd.config import schema_text
from tests.docs import pages

_VARIABLE = re.compile(r'\$+\{(?:"[^"]*"|[^}\s"])*\}|\$+\{|\$[A-Z_]+')

MARKER = "<!-- {}: python -m tests.docs -->\n"


def current(page: str) -> str:
    """The page with its generated part as it should be."""
    kind, lines = {
        "docs/commands.md": ("commands", _commands()),
        "docs/configuration.md": ("keys", _keys()),
    }[page]
    marker = MARKER.format(kind)
    written, found, _ = pages.text_of(page).partition(marker)
    assert found
    return written + marker + "\n" + "\n".join(lines) + "\n"


GENERATED = ("docs/commands.md", "docs/configuration.md")


def _commands() -> Iterator[str]:
    entries = command_entries(COMMANDS, parser_of)
    yield "## Which commands are there?\n"
    yield from _table(
        ("command", "what it does"), ((f"[`{e.name}`](#hookd-{e.name})", e.purpose) for e in entries)
    )
    yield "\n## What do the exit codes mean?\n"
    yield from _named("code", {str(code): meaning for code, meaning in EXIT_CODES.items()})
    yield "\n## Which environment variables count?\n"
    yield from _named("variable", ENVIRONMENT)
    yield "\n## Which files are used?\n"
    yield from _named("file", FILES)
    yield "\n## Which options say where the daemon is?\n"
    yield from _arguments(next(entry.address for entry in entries if entry.address))
    for entry in entries:
        yield from _command(entry)


def _command(entry: CommandEntry) -> Iterator[str]:
    yield f"\n## hookd {entry.name}\n"
    yield from ("```text usage", *entry.usage, "```")
    for paragraph in entry.paragraphs:
        yield f"\n{paragraph}"
    if entry.arguments:
        yield ""
        yield from _arguments(entry.arguments)
    if entry.address:
        yield "\nIt also takes [the options that say where the daemon is](#which-options-say-where-the-daemon-is)."
    yield "\nExample:\n"
    yield from ("```sh example", *entry.examples, "```")


def _arguments(arguments: tuple[Argument, ...]) -> Iterator[str]:
    yield from _table(("option", "meaning"), ((f"`{each.spelling}`", each.meaning) for each in arguments))


def _keys() -> Iterator[str]:
    for number, section in enumerate(key_sections(schema_text())):
        prefix = (
            f"{section.name}.NAME." if f"{section.name}.NAME." in section.keys[0].path else f"{section.name}."
        )
        yield f"{'' if number == 0 else chr(10)}### {prefix.removesuffix('.')}\n"
        yield f"{section.meaning}\n"
        yield from _table(("key", "value", "default", "meaning"), (_key(key, prefix) for key in section.keys))


def _key(key: Key, prefix: str) -> tuple[str, ...]:
    default = "required" if key.required else f"`{key.default}`" if key.default else ""
    return f"`{key.path.removeprefix(prefix)}`", key.takes, default, key.meaning


def _named(what: str, rows: Mapping[str, str]) -> Iterator[str]:
    yield from _table((what, "meaning"), ((f"`{name}`", meaning) for name, meaning in rows.items()))


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(_marked(cell).replace("|", r"\|") for cell in row) + " |"


def _marked(text: str) -> str:
    """Text with its variables as code, where they are not yet: what is between two `$` may be shown as a formula."""
    parts = text.split("`")
    return "`".join(
        part if number % 2 else _VARIABLE.sub(r"`\g<0>`", part) for number, part in enumerate(parts)
    )
