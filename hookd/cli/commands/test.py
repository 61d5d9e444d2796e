"""`hookd test`: whether the config sends what its test files say, offline (spec 8).

Must never: talk to the daemon, send anything, or read a secret.
"""

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hookd.cli.config_option import add_config, read_config
from hookd.cli.failure import REFUSED, Failure
from hookd.cli.options import add_json
from hookd.cli.output.terminal import as_json, shortened
from hookd.domain.text import printable

if TYPE_CHECKING:
    from hookd.config.yaml.diagnostics import Diagnostic
    from hookd.config.yaml.files import ConfigFiles
    from hookd.dryrun import CaseResult, Mismatch

DESCRIPTION = """Check that the config sends what its tests expect: every *.test.yaml below PATH is run.

Nothing is sent, the daemon is not asked, and no secret is read: in tests a reference to one stands for itself, as
env:NAME, file:PATH or credential:NAME. The exit code is 0 if every case passed, else 1."""
EXAMPLE = """hookd test
  hookd test -v -c /etc/hookd/hookd.yaml alerts.test.yaml"""

LONGEST_LINE = 1000
"""Characters of a line about a difference."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take where the tests are, and which config."""
    parser.add_argument(
        "path",
        metavar="PATH",
        nargs="?",
        type=Path,
        help="a *.test.yaml, or a directory of them (default: the config's directory); a config, or a directory that "
        "also holds the *.yaml of one, means the tests in its directory",
    )
    add_config(parser)
    add_json(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="also list the cases that passed")


def run(options: argparse.Namespace) -> int:
    """Run the tests; 0 where every case passed."""
    from hookd.config.generation import Generation
    from hookd.dryrun import judge, read_cases

    options.config = config_path(options.path, options.config)
    config = read_config(options, portable=True)
    if config is None:
        return REFUSED
    listing = test_files(options.path, options.config)
    cases, diagnostics = read_cases(listing.files, config)
    diagnostics += _unreadable(listing)
    generation = Generation.of(config, number=1, now=0)
    verdicts = [judge(case, generation) for case in cases]
    if options.json:
        print(as_json(as_object(verdicts, diagnostics)))
    else:
        for line in report_lines(verdicts, diagnostics, verbose=options.verbose):
            print(printable(line))
    return REFUSED if diagnostics or not all(verdict.passed for verdict in verdicts) else 0


def config_path(tests: Path | None, config: Path | None) -> Path:
    """The config that is tested: the one that is named, else the directory's own, else the usual one.

    Raises:
        Failure: there is none.
    """
    from hookd.config import default_path
    from hookd.config.yaml.files import is_test, list_tree

    if tests is not None and not os.path.lexists(tests):
        raise Failure(f"{tests} does not exist", "it would be a test file, or a directory of them")
    if config is not None:
        return config
    if tests is not None and (list_tree(tests).files if tests.is_dir() else not is_test(tests.name)):
        return tests
    usual = default_path()
    if not os.path.lexists(usual) and not os.environ.get("HOOKD_CONFIG"):
        raise Failure(
            f"there is no config here: neither hookd.yaml nor {usual}",
            "name it by -c PATH or $HOOKD_CONFIG, or write one to start from by `hookd init DIR`",
        )
    return usual


def test_files(tests: Path | None, config: Path) -> "ConfigFiles":
    """The test files, sorted.

    Raises:
        Failure: there are none.
    """
    from hookd.config.yaml.files import is_test, list_tree

    place = tests if tests is not None and tests != config else config if config.is_dir() else config.parent
    listing = list_tree(place, is_test)
    if not listing.files and not listing.refused:
        raise Failure(
            f"there is no *.test.yaml below {place}",
            f"it would test the config {config}; `hookd init DIR` writes an example of one",
        )
    return listing


def report_lines(
    verdicts: "Sequence[CaseResult]", diagnostics: "Sequence[Diagnostic]", *, verbose: bool
) -> Iterator[str]:
    """What is wrong with the files, each case that failed (or, `verbose`, each), and how many."""
    from hookd.domain.text import counted

    yield from map(str, diagnostics)
    for verdict in verdicts:
        case = verdict.case
        if verdict.passed and verbose:
            yield f"ok {case.path}:{case.line}: {case.name}"
        elif not verdict.passed:
            yield f"FAILED {case.path}:{case.line}: {case.name}"
            for difference in verdict.differences:
                yield from (shortened(line, LONGEST_LINE) for line in _difference_lines(difference))
    passed = sum(verdict.passed for verdict in verdicts)
    faults = f", {counted(len(diagnostics), 'problem')} in test files" if diagnostics else ""
    yield f"{passed} passed, {len(verdicts) - passed} failed{faults}"


def as_object(verdicts: "Sequence[CaseResult]", diagnostics: "Sequence[Diagnostic]") -> dict[str, Any]:
    """The same for tools."""
    from hookd.cli.commands.check import diagnostic_object

    passed = sum(verdict.passed for verdict in verdicts)
    return {
        "passed": passed,
        "failed": len(verdicts) - passed,
        "findings": [diagnostic_object(diagnostic) for diagnostic in diagnostics],
        "cases": [
            {
                "path": verdict.case.path,
                "line": verdict.case.line,
                "name": verdict.case.name,
                "passed": verdict.passed,
                "differences": [_difference_object(difference) for difference in verdict.differences],
            }
            for verdict in verdicts
        ],
    }


def _unreadable(listing: "ConfigFiles") -> "list[Diagnostic]":
    from hookd.config.yaml.diagnostics import Diagnostic, Severity, shown_path

    return [
        Diagnostic(shown_path(place), 1, 1, "file", Severity.ERROR, error.reason)
        for place, error in listing.refused
    ]


def _difference_lines(one: "Mismatch") -> Iterator[str]:
    about = f" ({one.about})" if one.about else ""
    if one.lines:
        yield f"  {one.where}{about}:"
    else:
        yield (
            f"  {one.where}{about}: not sent"
            if one.where
            else f"  not expected{about}: sent, by the rule {one.rule}"
        )
    yield from (f"    {line}" for line in (*one.lines, *one.reasons))


def _difference_object(one: "Mismatch") -> dict[str, Any]:
    return {
        "where": one.where,
        "about": one.about,
        "diff": list(one.lines),
        "reasons": list(one.reasons),
        "rule": one.rule,
    }
