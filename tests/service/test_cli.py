"""The command line as a whole: help, wrong usage, exit codes, output that cannot harm a terminal."""

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hookd import __version__
from hookd.cli.main import COMMANDS, main, parser_of
from hookd.cli.output.terminal import Table, as_json, columns_of, fitted, pretty_body, visible_block
from hookd.domain.text import printable

HOOKD = [sys.executable, "-m", "hookd"]

HEAVY = {
    "aiohttp", "asyncio", "dataclasses", "email", "hookd.config", "hookd.domain.definitions", "http.client", "inspect",
    "jsonschema", "shutil", "ssl", "structlog", "typing", "unicodedata", "urllib.parse", "uvloop", "yaml",
}  # fmt: skip


def hookd(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HOOKD, *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, **environment},
    )


def ending(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, output and errors of a command that ends by SystemExit, as argparse makes it."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    said = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, said.out, said.err


def test_the_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"hookd {__version__}\n"
    assert ending(["--version"], capsys) == (0, f"hookd {__version__}\n", "")


def test_help_lists_each_command_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ending(["--help"], capsys)
    assert code == 0
    for name, purpose in COMMANDS.items():
        assert any(line.split(maxsplit=1) == [name, purpose] for line in out.splitlines())


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ending([name, "--help"], capsys)
    assert code == 0
    assert f"usage: hookd {name}" in out
    assert f"example:\n  hookd {name}" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "a command is missing: one of run, check"),
        (["emitt"], "did you mean emit?"),
        (["nonsense"], "unknown command 'nonsense': one of run, check"),
        (["--socket", "x", "status"], "a command comes first"),
        (["version", "--loud"], "unrecognized arguments: --loud"),
        (["version", "\x1b[2J"], r"unrecognized arguments: \x1b[2J"),
        (["emit"], "TYPE and EVENT are required"),
        (["emit", "a", "b", "--dat", "{}"], "unrecognized arguments: --dat"),
        (["emit", "a", "b", "--data", "[1]"], "must be a JSON object"),
        (["emit", "a", "b", "--data", "{"], "not JSON"),
        (["emit", "a", "b", "--data", '{"a": NaN}'], "NaN is not a JSON value"),
        (["emit", "a", "b", "--data", '{"a":' + "[" * 100_000], "nested too deeply"),
        (["emit", "a", "b", "--data", '{"a"'], "not JSON: Expecting ':' delimiter at line 1, column 5\n"),
        (["emit", "a", "b", "--data", '{"a": ' + "9" * 5000], "not JSON: an integer has too many digits\n"),
        (["pause", "\udcff"], "not valid UTF-8"),
        (["emit", "a", "--file", "x"], "--file stands alone"),
        (["emit", "--file", "x", "--tag", "t"], "--file stands alone"),
        (["deliveries", "--state", "lost"], "pending"),
        (["deliveries", "--since", "yesterday"], "neither an instant such as"),
        (["deliveries", "--since", "2026-01-01"], "neither an instant such as"),
        (["retry"], "Ids, or a filter such as --state dead"),
        (["retry", "--dry-run"], "Ids, or a filter such as --state dead"),
        (["retry", "d1", "--state", "dead"], "ids cannot be combined"),
        (["retry", "d1", "--dry-run"], "ids cannot be combined"),
        (["retry", "--state", "sending"], "choose from 'dead', 'cancelled', 'delivered', 'pending'"),
        (["retry", "--since", "yesterday"], "neither an instant such as"),
        (["cancel"], "required: ID"),
        (["pause"], "required: WEBHOOK"),
        (["resume", "a", "b"], "unrecognized arguments: b"),
        (["send", "--message", "x"], "required: WEBHOOK"),
        (["rearm"], "required: TASK"),
        (["deliveries", "--limit", "-1"], "not a whole number"),
        (["status", "--url", "ftp://x"], "is not an address such as"),
        (["status", "--url", "http://u:p@x"], "is not an address such as"),
        (["status", "--url", "http://x:99999"], "is not an address such as"),
        (["status", "--url", "http://x", "--socket", "y"], "not allowed with"),
        (["check", "a", "-c", "b"], "not allowed with"),
        (["check", "--store", "--portable"], "not allowed with"),
        (["init"], "required: DIR"),
        (["test", "a", "b"], "unrecognized arguments: b"),
        (["receive", "--listen", "9099"], "is not HOST:PORT"),
        (["receive", "--status", "99"], "is not a status from 200 to 599"),
        (["receive", "--delay", "soon"], "is not a duration"),
        (["receive", "--header", "Bad Header: x"], "is not a header"),
        (["receive", "--hang", "--reset"], "not allowed with"),
    ],
)
def test_wrong_usage_ends_with_2(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ending(words, capsys)
    assert (code, out) == (2, "")
    assert told in err
    assert "\x1b" not in err


def test_values_outside_the_choices_list_the_choices(capsys: pytest.CaptureFixture[str]) -> None:
    _, _, err = ending(["deliveries", "--state", "lost"], capsys)
    assert all(state in err for state in ("pending", "sending", "delivered", "dead", "cancelled"))


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain ünicode 漢字 🙂", "plain ünicode 漢字 🙂"),
        ("a\nb\rc\td", r"a\nb\rc\td"),
        ("\x1b[31mred\x9b0m\x7f", r"\x1b[31mred\x9b0m\x7f"),
        ("\u202egnp.exe\u2066\u200f", r"\u202egnp.exe\u2066\u200f"),
        ("\u2028\u2029\ufeff\ud800", r"\u2028\u2029\ufeff\ud800"),
        ("\U000e0001", r"\U000e0001"),
    ],
)
def test_what_is_not_printable_is_escaped(raw: str, shown: str) -> None:
    assert printable(raw) == shown


def test_json_output_is_printable_ascii() -> None:
    shown = as_json({"a\x1b": "\u202e\x7f\x9b\n"})
    assert all(line.isascii() and line.isprintable() for line in shown.split("\n"))
    assert json.loads(shown) == {"a\x1b": "\u202e\x7f\x9b\n"}


def test_no_line_of_a_block_can_pass_for_a_line_of_ours() -> None:
    assert visible_block("a\r\nstate      delivered\x1b") == [r"  | a\r", r"  | state      delivered\x1b"]


def test_a_body_that_is_json_is_indented_and_any_other_is_kept() -> None:
    assert pretty_body('{"a":"ü"}') == '{\n  "a": "ü"\n}'
    assert pretty_body("{not json") == "{not json"
    assert pretty_body("[" * 100_000) == "[" * 100_000


def test_wide_characters_take_two_columns_and_combining_ones_none() -> None:
    assert columns_of("漢字a") == 5
    assert columns_of("e\u0301") == 1
    assert fitted("漢字漢字", 6) == "漢字… "


def test_a_table_fits_its_width_by_cutting_what_may_be_cut() -> None:
    rows = [("id-1234567890", "x" * 50, "y" * 30), ("id-2", "漢" * 20, "z")]
    table = Table(("ID", "A", "B"), rows, shrinkable=(1, 2), width=50)
    lines = [table.head(), *map(table.row, rows)]
    assert all(columns_of(line) <= 50 for line in lines)
    assert "id-1234567890" in lines[1]
    assert "…" in lines[1]
    assert len({line.index(cell) for line, cell in zip(lines, ("ID", "id-1", "id-2"), strict=True)}) == 1


def test_emit_imports_nothing_heavy(tmp_path: Path) -> None:
    script = (
        "import sys; from hookd.cli.main import main; "
        f"code = main(['emit', 'a', 'b', '--socket', {str(tmp_path / 'none')!r}]); "
        "print(code, *sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    code, *modules = ran.stdout.split()
    assert code == "3"
    assert HEAVY.isdisjoint(modules)


@pytest.mark.parametrize("columns", ["", "0", "x", "60", "132", "-5"])
def test_help_is_as_wide_as_argparse_makes_it(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    usual = parser_of("deliveries")
    usual.formatter_class = argparse.RawDescriptionHelpFormatter
    assert parser_of("deliveries").format_help() == usual.format_help()


def test_a_reader_that_goes_away_ends_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run([*HOOKD, "version"], stdout=writing, stderr=subprocess.PIPE, timeout=30, check=False)
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (141, b"")


def test_output_that_nobody_wants_is_no_failure() -> None:
    ran = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *HOOKD, "version"],
        stderr=subprocess.PIPE,
        timeout=30,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_output_that_cannot_be_written_is_a_failure() -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run([*HOOKD, "version"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ran.returncode == 1
    assert "No space left" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_output_in_a_poor_encoding_is_escaped_rather_than_refused(tmp_path: Path) -> None:
    ran = hookd("show", "ü", "--socket", str(tmp_path / "ü"), PYTHONIOENCODING="ascii")
    assert ran.returncode == 3
    assert r"\xfc" in ran.stderr


def test_ctrl_c_ends_with_130_and_no_traceback(tmp_path: Path) -> None:
    fifo = tmp_path / "events"
    os.mkfifo(fifo)
    with subprocess.Popen(
        [*HOOKD, "emit", "--file", str(fifo), "--socket", "x"], stderr=subprocess.PIPE, stdout=subprocess.PIPE
    ) as running:
        writer = fifo.open("wb")  # returns once the command reads, so it is under way
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
        writer.close()
    assert (running.returncode, err) == (130, b"")
    assert out == b"taken: 0 events, 0 deliveries\n"


def test_the_daemon_is_imported_without_a_look_at_the_systems_authorities() -> None:
    """aiohttp's own contexts, which nothing uses, trust nobody then; those made later trust the system's."""
    code = (
        "import ssl, json\n"
        "from hookd.cli.commands.run import _no_authorities_read\n"
        "read = ssl.SSLContext.set_default_verify_paths\n"
        "with _no_authorities_read():\n"
        "    import hookd.daemon\n"
        "from aiohttp import connector\n"
        "own = connector._SSL_CONTEXT_VERIFIED\n"
        "print(json.dumps([own.cert_store_stats(), own.verify_mode, own.check_hostname,\n"
        "    ssl.SSLContext.set_default_verify_paths == read]))\n"
    )
    told = json.loads(subprocess.check_output([sys.executable, "-c", code]))
    assert told == [{"x509": 0, "crl": 0, "x509_ca": 0}, 2, True, True]
