"""`hookd completion` and what it asks: candidates out of the parsers, names out of the daemon or the config."""

import io
import os
import shlex
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookd.cli.commands.deliveries import STATES
from hookd.cli.completion import FILES, CommandLineFinder, answer
from hookd.cli.main import COMMANDS, _top_parser, main, parser_of
from hookd.cli.manual.topics import topics
from hookd.config import names_at
from tests.kit.fake_daemon import Canned, problem, serving

BREAKS = " \t\n\"'><=;|&(:"
CONFIG = """\
webhooks: {ops: {url: x}, "a b": }
tasks: {page: {webhook: ops}}
types:
  vm: {events: [powered_on, powered_off]}
  alarm:
"""


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "hookd.yaml"
    path.write_text(CONFIG)
    monkeypatch.setenv("HOOKD_CONFIG", str(path))
    monkeypatch.setenv("HOOKD_SOCKET", str(tmp_path / "d.sock"))
    return path


def asked(shell: str, line: str, *breaks: str) -> tuple[int, str]:
    """The exit code and what is printed for a line with the cursor at its end."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
        patch.setattr(os, "environ", {**os.environ})
        words = (shell, line, *breaks)
        return answer(words, COMMANDS, _top_parser(), parser_of, end=lambda _: None), printed.getvalue()


def offered(*words: str) -> dict[str, str]:
    """The candidates for the last word, each with its purpose."""
    code, found = asked("fish", f"hookd {shlex.join(words[:-1])} {words[-1]}".replace("  ", " "))
    assert code in {0, 1}
    return {word: purpose for word, _, purpose in (line.partition("\t") for line in found.splitlines())}


def words_of(*words: str) -> list[str]:
    return list(offered(*words))


@pytest.mark.parametrize(
    ("typed", "candidates"),
    [
        ([""], list(COMMANDS)),
        (["-"], ["-h", "--help", "--version"]),
        (["nosuch", ""], []),
        (["pause", ""], ["ops", "a b"]),
        (["pause", "ops", "--"], None),
        (["send", "--message", "hi", ""], ["ops", "a b"]),
        (["trigger", ""], ["page"]),
        (["rearm", "--json", ""], ["page"]),
        (["deliveries", "--state", ""], [*STATES]),
        (["deliveries", "--state=d"], [f"--state={s}" for s in STATES if s.startswith("d")]),
        (["deliveries", "--webhook", ""], ["ops", "a b"]),
        (["deliveries", "--task=p"], ["--task=page"]),
        (["deliveries", "--limit", ""], []),
        (["emit", ""], ["vm", "alarm"]),
        (["emit", "vm", ""], ["powered_on", "powered_off"]),
        (["emit", "--tag", "t", "vm", ""], ["powered_on", "powered_off"]),
        (["emit", "alarm", ""], []),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["check", "--format", ""], ["text", "json"]),
        (["help", ""], [*topics(), *COMMANDS]),
        (["help", "--man", ""], ["hookd.1", "hookd.yaml.5"]),
        (["version", ""], ["--help"]),
        (["version", "--", ""], []),
    ],
)  # fmt: skip
def test_what_can_stand_there(typed: list[str], candidates: list[str] | None) -> None:
    found = words_of(*typed)
    assert found == candidates if candidates is not None else "--socket" in found


@pytest.mark.parametrize(
    "typed",
    [
        ["emit", "--file", ""],
        ["emit", "--file=x"],
        ["explain", ""],
        ["check", ""],
        ["run", "-c", ""],
        ["status", "--socket", ""],
        ["status", "--config=a"],
    ],
)
def test_paths_are_files(typed: list[str]) -> None:
    assert asked("zsh", f"hookd {' '.join(typed)}") == (FILES, "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_every_command_is_offered_and_no_other(command: str) -> None:
    assert words_of(command, "-") == list(parser_of(command)._option_string_actions)


def test_every_argument_that_takes_a_name_or_a_path_is_known() -> None:
    for command in COMMANDS:
        for action in parser_of(command)._get_positional_actions():
            if action.metavar in {"WEBHOOK", "TASK"}:
                assert words_of(command, ""), f"{command} {action.metavar}"


def test_an_option_is_offered_once_but_for_those_that_repeat() -> None:
    assert "--json" not in words_of("status", "--json", "-")
    assert "--tag" in words_of("emit", "--tag", "a", "-")
    assert "--state" not in words_of("deliveries", "--state=dead", "-")


def test_purposes_are_those_of_the_help() -> None:
    purposes = offered("deliveries", "--")
    assert purposes["--webhook"] == "only those to this webhook"
    assert purposes["--state"].startswith("only those in this state: pending, sending")
    assert offered("") == COMMANDS


def test_a_name_that_begins_with_a_dash_is_offered_where_it_can_be_written(config: Path) -> None:
    config.write_text("webhooks: {ops: , -dash: }")
    assert words_of("pause", "") == ["ops"]
    assert words_of("pause", "--", "") == ["ops", "-dash"]
    assert words_of("pause", "--", "-") == ["-dash"]
    assert words_of("deliveries", "--webhook", "") == ["ops"]
    assert words_of("deliveries", "--webhook=") == ["--webhook=ops", "--webhook=-dash"]


def test_names_come_from_the_daemon_where_it_answers(tmp_path: Path) -> None:
    with serving(tmp_path / "d.sock") as daemon:
        daemon.answers["GET /v1/names"] = Canned(200, {"webhooks": ["live"], "tasks": [], "types": {}})
        assert words_of("pause", "") == ["live"]
        daemon.answers["GET /v1/names"] = problem(503, "no")
        assert words_of("pause", "") == ["ops", "a b"]
        listed = [{"id": "dlv_1", "state": "pending", "task": "", "webhook": "w"}]
        daemon.answers["GET /v1/deliveries"] = Canned(200, {"deliveries": listed})
        assert offered("cancel", "") == {"dlv_1": "pending, sent by hand to w"}
        assert daemon.asked[-1].query["state"] == "pending"
        assert words_of("show", "d") == ["dlv_1"]
        assert "state" not in daemon.asked[-1].query


def test_the_daemon_and_the_config_that_were_typed_are_asked(tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("webhooks: {elsewhere: }")
    assert words_of("pause", "-c", str(other), "") == ["elsewhere"]
    with serving(tmp_path / "other.sock") as daemon:
        daemon.answers["GET /v1/names"] = Canned(200, {"webhooks": ["live"], "tasks": [], "types": {}})
        assert words_of("pause", f"--socket={daemon.socket}", "") == ["live"]


@pytest.mark.parametrize(
    "content", ["", "{", "[1]", "webhooks: 3", "webhooks: [a]\ntasks: {1: }", "a: &a [*a]"]
)
def test_a_broken_config_gives_what_it_has(content: str, config: Path) -> None:
    config.write_text(content)
    assert set(names_at(config)) == {"webhooks", "tasks", "types"}


TYPES = "types:\n  vm: {events: [up, down]}\n  disk:\n    events:\n    - full\n"


def test_a_file_that_is_not_valid_yaml_hides_no_other(config: Path, tmp_path: Path) -> None:
    directory = tmp_path / "config"
    directory.mkdir()
    (directory / "a.yaml").write_text("webhooks: {broken: {}}\ntasks:\n  page: {webhook: ops\n")
    (directory / "b.yaml").write_text(f'webhooks: {{ops: &ops , "it\'s": *ops, 1: }}\n{TYPES}')
    assert names_at(directory) == {
        "webhooks": ["ops", "it's"],
        "tasks": [],
        "types": {"vm": ["up", "down"], "disk": ["full"]},
    }


@pytest.mark.parametrize("odd", ["", '"\\u00e9', "a" + " " * 70_000 + "b", "\xe9" * 70_000, '"' * 70_000])
def test_of_a_large_config_the_beginning_is_read(odd: str, config: Path) -> None:
    many = "".join(f"  w{number:04}: {{url: 'http://127.0.0.1/é'}}\n" for number in range(2500))
    config.write_text(f"{TYPES}webhooks:\n{many}  {odd}")
    assert config.stat().st_size > 64 << 10
    found = names_at(config)["webhooks"]
    assert 1000 < len(found) < 2000
    assert found == [f"w{number:04}" for number in range(len(found))]
    if len(odd) > 64 << 10:
        config.write_text(f"webhooks:\n  only: {{}}\n  {odd}")
        assert names_at(config)["webhooks"] == ["only"]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["bash"],
        ["bash", ""],
        ["zsh", "hookd"],
        ["zsh", "hookd cancel "],
        ["bash", "hookd pause 'a", BREAKS],
        ["fish", "hookd pause --url :: "],
        ["fish", "x; y "],
    ],
)
def test_nothing_is_ever_complained_about(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", {**os.environ})
        patch.setattr(answer, "__kwdefaults__", {"end": lambda _: None})
        assert main(["__complete", *words]) in {0, 1}
    said = capsys.readouterr()
    assert said.err == ""


def test_it_is_no_command_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "__complete" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "inserted"),
    [
        ("./x/hookd  pause  o", "ops"),
        ("hookd pause a\\ b", "a\\ b"),
        ("hookd pause 'a b", "a b"),
        ('hookd send --message "a \\"b\\c" o', "ops"),
        ("hookd pause o'p'", "ops"),
        ("hookd deliveries --webhook=o", "ops"),
        ("hookd deliveries --webhook o", "ops"),
    ],
)
def test_a_line_of_bash_is_understood(line: str, inserted: str) -> None:
    assert asked("bash", line, BREAKS) == (0, inserted)


PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF).filter(str.isprintable), min_size=1)


@given(word=PRINTABLE, opening=st.sampled_from(["", "'", '"']))
@settings(max_examples=40, deadline=None)
def test_what_is_inserted_is_the_word_in_bash(word: str, opening: str) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    finder = CommandLineFinder(append_space=False)
    (rest,) = finder.quote_completions([word], opening, None)
    line = f"printf %s {opening}{rest}{opening}"
    ran = subprocess.run([bash, "-c", line], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"})
    assert ran.stdout.decode() == word


def test_the_answer_has_no_line_that_is_not_printable(config: Path) -> None:
    config.write_text('webhooks: {"a\\tb": , "c\\e[2J": , "good": }')
    ran = subprocess.run(
        [sys.executable, "-m", "hookd", "__complete", "fish", "hookd pause "],
        capture_output=True,
        check=True,
        text=True,
    )
    assert ran.stdout == "good\twebhook"
