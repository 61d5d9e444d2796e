"""`hookd diff`: what the config on disk would change, by name and field (spec 8).

The daemon compares: it alone has the environment, files and credentials that the config refers to.

Must never: show the value of a secret, or change anything.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from hookd.cli.client import address
from hookd.cli.commands.reload import SIGNS, restart_lines, section_head
from hookd.cli.failure import REFUSED, Failure
from hookd.cli.options import add_json, text
from hookd.cli.output.generation_words import generation_words
from hookd.cli.output.terminal import as_json, shortened
from hookd.domain.text import printable

DESCRIPTION = """Compare a config with the one in force, by name and field, and how many deliveries wait for each
webhook that differs: the daemon's own on disk; or PATH, such as another checkout; or a commit of the repository
that the daemon's own is in. It is what a reload would do if that stood there. Of a secret, only that it changed
is shown. The daemon reads secrets, and changes nothing.

A config with errors is reported as by `hookd check`, with exit code 1."""
EXAMPLE = """hookd diff --exit-code
  hookd diff /srv/checkout/hookd
  hookd diff --rev origin/main"""

TIMEOUT_S = 60.0
LONGEST_VALUE = 300
"""Characters of a value that are shown; `--json` has all."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take what is compared, what the exit code says, and where the daemon is."""
    parser.add_argument(
        "path",
        metavar="PATH",
        nargs="?",
        type=Path,
        help="the config to compare (default: that of --config, else the daemon's own on disk)",
    )
    parser.add_argument(
        "--rev",
        metavar="COMMIT",
        type=text,
        help="compare a commit of the repository that the daemon's config is in: a branch, tag or hash",
    )
    parser.add_argument("--exit-code", action="store_true", help="exit with 1 if anything differs")
    add_json(parser)
    address.add_options(parser)
    parser.set_defaults(refuse=parser.error)


def run(options: argparse.Namespace) -> int:
    """Ask and print; 1 where the config on disk is invalid, or with `--exit-code` where it differs."""
    if options.rev is not None and options.path is not None:
        options.refuse("PATH and --rev exclude each other")
    client, order = address.from_options(options), _order(options)
    answer = client.send("/v1/config/diff", json.dumps(order).encode(), timeout_s=TIMEOUT_S)
    what = options.rev or order.get("path")
    print(as_json(answer) if options.json else "\n".join(lines_of(answer, what)))
    return REFUSED if not answer["valid"] or (options.exit_code and answer["differs"]) else 0


def _order(options: argparse.Namespace) -> dict[str, str]:
    """What the daemon is asked to compare; of a path also the hash, which shows that we can read it.

    Raises:
        Failure: PATH is not there, or we cannot read it.
    """
    from hookd.config import tree_hash, why_unread

    if options.rev is not None:
        return {"rev": options.rev}
    if options.path is None and options.config is None:
        return {}
    path = address.config_path(str(options.path or options.config)).absolute()
    if why := why_unread(path):
        if options.path is not None:
            raise Failure(why)
        return {"path": str(path)}  # the daemon may be able to, if it is its own
    return {"path": str(path), "hash": tree_hash(path)}


def lines_of(answer: Mapping[str, Any], what: str | None = None) -> list[str]:
    """The comparison for people; `what` was compared where it is not what is on disk."""
    if not answer["valid"]:
        return [diagnostic_line(diagnostic) for diagnostic in answer["findings"]]
    in_force, on_disk = answer["in_force"], answer["on_disk"]
    sections = groupby(answer["changes"], key=lambda change: change["section"])
    changed = [line for section, changes in sections for line in _section_lines(section, list(changes))]
    label = "on disk" if what is None else "compared"
    only_text = what is None and in_force["hash"] != on_disk["hash"]
    same = "nothing differs but the files' text" if only_text else "nothing differs"
    return [
        printable(f"in force  {generation_words(in_force)}"),
        printable(f"{label:<10}{', '.join(filter(None, (what, generation_words(on_disk))))}"),
        *(changed or [same]),
        *restart_lines(answer["restart_needed"]),
    ]


def diagnostic_line(diagnostic: Mapping[str, Any]) -> str:
    """A diagnostic as `hookd check` prints it."""
    from hookd.config import Diagnostic, Severity

    return printable(str(Diagnostic(**{**diagnostic, "severity": Severity(diagnostic["severity"])})))


def _section_lines(section: str, changes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    counts = {kind: sum(change["change"] == kind for change in changes) for kind, _ in SIGNS}
    signs = dict(SIGNS)
    yield section_head(section, counts)
    for change in changes:
        waiting = change.get("waiting", 0)
        wait = f" ({waiting} {'waits' if waiting == 1 else 'wait'})" if waiting else ""
        yield printable(f"  {signs[change['change']]} {change['name']}{wait}")
        for field in change["fields"]:
            yield printable(f"      {field['field']}: {_change(field['old'], field['new'])}")


def _change(old: Any, new: Any) -> str:
    was, now = _reference(old), _reference(new)
    if was is None or now is None:
        return f"{_shown(old)} → {_shown(new)}"
    if was != now:
        return f"changed ({was or 'literal'} → {now or 'literal'})"
    return f"changed (the value of {was})" if was else "changed"


def _reference(value: Any) -> str | None:
    """Where a secret comes from: `env NAME`, …, or nowhere, a literal; None for what is no secret."""
    if isinstance(value, dict) and value.keys() == {"secret"}:
        given = str(value["secret"])
        return given if " " in given else ""
    return None


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    shown = _shown_value(value)
    text = shown if isinstance(shown, str) and shown else json.dumps(shown, ensure_ascii=False)
    return shortened(text, LONGEST_VALUE)


def _shown_value(value: Any) -> Any:
    """The value with a few words in place of each secret."""
    if (reference := _reference(value)) is not None:
        return f"({reference or 'hidden'})"
    if isinstance(value, dict):
        return {key: _shown_value(each) for key, each in value.items()}
    return [_shown_value(each) for each in value] if isinstance(value, list) else value
