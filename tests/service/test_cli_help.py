"""`hookd help`: the pages of the documentation, a command's help, and man pages that `man` and mandoc accept."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hookd import config, daemon
from hookd.cli import failure, main
from hookd.cli.main import COMMANDS, parser_of
from hookd.cli.manual import man_pages, roff, topics
from hookd.cli.manual.command_reference import ENVIRONMENT, EXIT_CODES, command_entries
from hookd.cli.manual.key_reference import key_sections
from hookd.cli.manual.man_pages import HOOKD_1, HOOKD_YAML_5, MAN_PAGES, man_page
from hookd.config.loader import load
from tests.docs import pages
from tests.kit.tools import needs

PACKAGE = pages.TOP / "hookd"
MACROS = {".TH", ".SH", ".SS", ".PP", ".TP", ".br", ".nf", ".fi", ".RS", ".RE"}


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main.main(["help", *words]) == 0
    return capsys.readouterr().out


def test_it_lists_every_page_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys)
    assert re.findall(r"^  (\S+)  +\S.{10,90}$", out, re.MULTILINE) == sorted(
        page.removeprefix("docs/").removesuffix(".md") for page in pages.PAGES if page != "README.md"
    )


@pytest.mark.parametrize("topic", topics.topics())
def test_it_prints_a_page_without_what_is_there_for_tests(
    topic: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = printed(capsys, topic)
    text = pages.text_of(f"docs/{topic}.md")
    assert out.startswith(text[:60])
    assert out.endswith(text[-30:].rpartition("```")[2])
    assert "<!--" not in out
    assert not re.search(r"^```\w+ ", out, re.MULTILINE)


def test_the_pages_of_an_installed_hookd_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(pages.TOP / "docs", tmp_path / "docs")
    (tmp_path / "docs" / "delivery.md").write_text("# Delivery\n\nAs installed. More.\n")
    monkeypatch.setattr("hookd.cli.manual.topics.resources.files", lambda _package: tmp_path)
    topics._pages.cache_clear()
    try:
        assert topics.topics()["delivery"] == "As installed"
    finally:
        topics._pages.cache_clear()


def test_the_wheel_holds_the_pages() -> None:
    assert '"docs" = "hookd/docs"\n' in pages.text_of("pyproject.toml")


@pytest.mark.parametrize("name", COMMANDS)
def test_of_a_command_it_prints_the_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, name) == parser_of(name).format_help()


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("delivry", '; did you mean "delivery"?'),
        ("emitt", '; did you mean "emit"?'),
        ("\x1b", ""),
        ("x" * 300, ""),
    ],
)
def test_a_near_miss(word: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["help", word]) == 1
    said = capsys.readouterr().err
    assert said.startswith("hookd: there is no page or command ")
    assert said.splitlines()[0].endswith(f'"{hint}')
    assert said.splitlines()[1:] == ["`hookd help` lists the pages, `hookd --help` the commands"]
    assert "\x1b" not in said


def test_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--man", "hookd.2"], ["delivery", "--man", "hookd.1"]):
        with pytest.raises(SystemExit) as ended:
            main.main(["help", *words])
        assert ended.value.code == 2
    assert "hookd.1" in capsys.readouterr().err


@pytest.fixture(params=MAN_PAGES)
def page(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> str:
    return printed(capsys, "--man", request.param)


def test_nothing_in_a_man_page_is_taken_for_a_request(page: str) -> None:
    requests = [line.split()[0] for line in page.splitlines() if line.startswith((".", "'"))]
    assert set(requests) <= MACROS
    assert page.startswith(".TH HOOKD")
    assert set(re.findall(r"\\(?:f.|\(..|.)", page)) <= {r"\fB", r"\fR", r"\(aq", r"\-", r"\e", r"\&"}
    assert "\\fBhookd" in page


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (".SH x", [r"\&.SH x"]),
        ("a `b-c` d's \\n", [r"a \fBb\-c\fR d\(aqs \en"]),
        ("x" * 78 + " .y", ["x" * 78, r"\&.y"]),
    ],
)
def test_text_is_escaped(text: str, lines: list[str]) -> None:
    assert roff.prose(text) == lines


def words_of(page: str) -> str:
    """What it says, without its escapes."""
    return re.sub(r"\\f.|\\&", "", page).replace(r"\-", "-").replace(r"\(aq", "'").replace(r"\e", "\\")


def test_hookd_1_has_every_command_option_and_exit_code() -> None:
    text = words_of(man_page(HOOKD_1, COMMANDS, parser_of))
    for entry in command_entries(COMMANDS, parser_of):
        part = text.partition(f".SS hookd {entry.name}\n")[2].partition("\n.SS ")[0]
        spelled = [each.spelling for each in (*entry.arguments, *entry.address)]
        options = {word for words in spelled for word in re.findall(r"(?:^|, )(--?[a-z-]+)", words)}
        assert options == parser_of(entry.name)._option_string_actions.keys() - {"-h", "--help"}
        assert (
            re.findall(r"^\.TP\n(.*)", part, re.MULTILINE)[: len(entry.arguments)]
            == spelled[: len(entry.arguments)]
        )
        for example in entry.examples:
            assert f"\n{example}\n" in part
    for code in EXIT_CODES:
        assert f".TP\n{code}\n" in text
    for option in ("--socket PATH", "--url URL", "--token-env NAME"):
        assert text.count(f".TP\n{option}\n") == 1


def test_hookd_yaml_5_has_every_key_of_the_schema() -> None:
    text = words_of(man_page(HOOKD_YAML_5, COMMANDS, parser_of))
    sections = key_sections(config.schema_text())
    assert [section.name for section in sections] == [
        "daemon",
        "types",
        "webhooks",
        "tasks",
        "events",
        "schedules",
    ]
    keys = [key for section in sections for key in section.keys]
    assert len(keys) > 70
    for key in keys:
        assert f".TP\n{key.path}\n" in text
        assert key.takes
        assert key.meaning
    for path in ("daemon.listen[].tls.cert", "webhooks.NAME.auth.password", "webhooks.NAME.signing.secrets"):
        assert path in {key.path for key in keys}


def test_the_example_of_hookd_yaml_5_is_valid(tmp_path: Path) -> None:
    (tmp_path / "hookd.yaml").write_text(man_pages.EXAMPLE)
    found = load(tmp_path / "hookd.yaml", env={"SLACK_URL": "https://slack.example/"})
    assert [str(diagnostic) for diagnostic in found.diagnostics] == []
    assert man_pages.EXAMPLE in words_of(man_page(HOOKD_YAML_5, COMMANDS, parser_of))


def test_the_exit_codes_are_those_of_the_program() -> None:
    codes = {
        0, failure.REFUSED, failure.USAGE, failure.UNREACHABLE, failure.WAITING, main.INTERRUPTED, main.PIPE_CLOSED,
        daemon.EXIT_OK, daemon.EXIT_FAILED, daemon.EXIT_STORE, daemon.EXIT_STORE_LATER, daemon.EXIT_CONFIG,
    }  # fmt: skip
    assert EXIT_CODES.keys() == codes


def test_the_environment_variables_are_those_of_the_program() -> None:
    sources = [path for path in PACKAGE.rglob("*.py") if path.name != "command_reference.py"]
    read = {
        name
        for path in sources
        for name in re.findall(r"\"([A-Z]+_[A-Z_]*(?:HOOKD|DIRECTORY)|HOOKD_[A-Z]+)\"", path.read_text())
    }
    assert read == ENVIRONMENT.keys()


@needs("man", package="man-db")
def test_man_has_no_warning(page: str, tmp_path: Path) -> None:
    (tmp_path / "page").write_text(page, encoding="utf-8")
    shown = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", tmp_path / "page"],
        env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MANPAGER": "cat"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stderr == ""
    assert shown.stdout.count("\n") > 200


@needs("mandoc")
def test_mandoc_has_no_complaint_but_the_date(page: str) -> None:
    lint = ["mandoc", "-Tlint", "-Wwarning"]
    found = subprocess.run(lint, input=page, capture_output=True, text=True, check=False).stdout
    assert [line for line in found.splitlines() if "missing date" not in line] == []
