"""The scripts of `hookd completion` in real shells on a real terminal: what is typed, what a command then gets."""

import os
import pty
import select
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.kit.fake_daemon import Canned, serving

pytestmark = pytest.mark.tools

PROMPT = "hk> "
WITHIN_S = 20.0

STRANGE = 'my $HOME `id` "quoted" it\'s \\ a:b=c!d & ;(x) ünï'
CONFIG = """\
webhooks:
  ops-slack: {url: "http://127.0.0.1:1/"}
  'STRANGE': {url: "http://127.0.0.1:1/"}
tasks:
  notify: {webhook: ops-slack}
"""

STARTS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
SETUPS = {
    "bash": "source ./completion",
    "zsh": "autoload -Uz compinit && compinit -u -D && source ./completion",
    "fish": "source ./completion; function fish_prompt; echo -n 'hk> '; end; function fish_greeting; end",
}


def install(shell: str, directory: Path, kept: Path) -> None:
    """Put the shell's `completion`, and a `bin/hookd` that completes for real and else keeps its arguments, there."""
    program = directory / "bin" / "hookd"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        f"if sys.argv[1] == '__complete':\n"
        f"    os.execv(sys.executable, [sys.executable, '-m', 'hookd', *sys.argv[1:]])\n"
        f"with open({str(kept)!r} + '.new', 'w') as kept:\n"
        f"    kept.write('\\0'.join(sys.argv[1:]))\n"
        f"os.rename({str(kept)!r} + '.new', {str(kept)!r})\n"
    )
    program.chmod(0o755)
    made = subprocess.run(
        [sys.executable, "-m", "hookd", "completion", shell], capture_output=True, check=True
    )
    (directory / "completion").write_bytes(made.stdout)


class Shell:
    """An interactive shell on a terminal, with a `hookd` that completes for real and else keeps its arguments."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name, self.directory = name, directory
        self.kept = directory / "args"
        install(name, directory, self.kept)
        self.seen = ""

    def __enter__(self) -> Self:
        pid, self.terminal = pty.fork()
        if pid == 0:
            home = str(self.directory)
            env = {**os.environ, "HOME": home, "PS1": PROMPT, "TERM": "xterm", "LC_ALL": "C.UTF-8"}
            env |= {
                "PATH": f"{home}/bin:{os.environ['PATH']}",
                "XDG_DATA_HOME": home,
                "XDG_CONFIG_HOME": home,
            }
            env |= {"PYTHONPATH": str(Path(__file__).parents[2])}
            os.chdir(home)
            os.execvpe(STARTS[self.name][0], STARTS[self.name], env)
        self.pid = pid
        self.type(SETUPS[self.name] + "; echo rea''dy\r")
        self.until("ready")
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        os.close(self.terminal)

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def until(self, text: str) -> None:
        """Read the screen until it shows a text."""
        end = time.monotonic() + WITHIN_S
        while text not in self.seen:
            assert time.monotonic() < end, self.seen
            self._read(0.1)
        self.seen = self.seen.partition(text)[2]

    def arguments(self, line: str) -> list[str]:
        """What `hookd` gets when this is typed and Enter is pressed."""
        self.kept.unlink(missing_ok=True)
        self.type(line + "\r")
        end = time.monotonic() + WITHIN_S
        while not self.kept.exists():
            assert time.monotonic() < end, self.seen
            self._read(0.02)
        return self.kept.read_text().split("\0")

    def _read(self, wait_s: float) -> None:
        if select.select([self.terminal], [], [], wait_s)[0]:
            self.seen += os.read(self.terminal, 65536).decode(errors="replace")


@pytest.fixture(params=list(STARTS))
def shell(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    config = tmp_path / "hookd.yaml"
    config.write_text(CONFIG.replace("STRANGE", STRANGE.replace("'", "''")))
    (tmp_path / "some file.ndjson").write_text("")
    monkeypatch.setenv("HOOKD_CONFIG", str(config))
    monkeypatch.setenv("HOOKD_SOCKET", str(tmp_path / "d.sock"))
    with Shell(request.param, tmp_path) as running:
        yield running


def test_what_is_completed_arrives_as_it_is(shell: Shell) -> None:
    assert shell.arguments("hookd pau\tops\t") == ["pause", "ops-slack"]
    assert shell.arguments("hookd deliveries --sta\tdea\t--web\tops\t") == [
        "deliveries", "--state", "dead", "--webhook", "ops-slack",
    ]  # fmt: skip
    assert shell.arguments("hookd trigger n\t") == ["trigger", "notify"]
    assert shell.arguments("hookd completion fi\t") == ["completion", "fish"]
    assert shell.arguments("hookd emit --file some\t") == ["emit", "--file", "some file.ndjson"]
    assert shell.arguments("hookd emit --file=some\t") == ["emit", "--file=some file.ndjson"]


def test_a_strange_name_arrives_as_it_is(shell: Shell) -> None:
    assert shell.arguments("hookd pause my\t") == ["pause", STRANGE]
    assert shell.arguments("hookd deliveries --webhook=my\t") == ["deliveries", f"--webhook={STRANGE}"]
    assert shell.arguments("hookd pause 'my\t") == ["pause", STRANGE]
    if shell.name != "fish":  # fish goes on in single quotes only
        assert shell.arguments('hookd pause "my\t') == ["pause", STRANGE]


def test_it_completes_wherever_the_command_stands(shell: Shell) -> None:
    assert shell.arguments("true; hookd pause o\t") == ["pause", "ops-slack"]
    assert shell.arguments("true | hookd pause o\t") == ["pause", "ops-slack"]
    assert shell.arguments("A=1 hookd pause o\t") == ["pause", "ops-slack"]
    assert shell.arguments("~/bin/hookd pause o\t") == ["pause", "ops-slack"]


def test_no_file_is_offered_where_a_name_stands(shell: Shell) -> None:
    assert shell.arguments("hookd pause some\t") == ["pause", "some"]


def test_the_daemon_is_asked_first_and_its_absence_is_not_told(shell: Shell) -> None:
    assert shell.arguments("hookd pause nosuch\t") == ["pause", "nosuch"]
    assert "reachable" not in shell.seen
    with serving(shell.directory / "d.sock") as daemon:
        daemon.answers["GET /v1/names"] = Canned(200, {"webhooks": ["live one"], "tasks": [], "types": {}})
        listed = [{"id": "dlv_7", "state": "dead", "task": "t", "webhook": "w"}]
        daemon.answers["GET /v1/deliveries"] = Canned(200, {"deliveries": listed})
        assert shell.arguments("hookd resume l\t") == ["resume", "live one"]
        assert shell.arguments("hookd retry d\t") == ["retry", "dlv_7"]


@pytest.mark.parametrize(
    ("words", "replies"),
    [
        (["hookd", "pause", ""], ["ops-slack", "my\\ hook"]),
        (["hookd", "pause", "my"], ["my\\ hook"]),
        (["hookd", "send", "--message", "a b", "op"], ["ops-slack"]),
        (["hookd", "pau"], ["pause"]),
        (["hookd", "emit", "--file", ""], []),
    ],
)
def test_bash_completes_words_where_there_is_no_line(
    words: list[str], replies: list[str], tmp_path: Path
) -> None:
    install("bash", tmp_path, tmp_path / "args")
    config = tmp_path / "hookd.yaml"
    config.write_text("webhooks: {ops-slack: , my hook: }")
    quoted = shlex.join([*words, "and what is behind the cursor"])
    script = (
        f"set -u; source ./completion; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _hookd;"
        r""" printf '%s\n' ${COMPREPLY[@]+"${COMPREPLY[@]}"}"""
    )
    env = {
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
        "HOOKD_CONFIG": str(config),
        "HOOKD_SOCKET": str(tmp_path / "d.sock"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    command = ["bash", "--norc", "--noprofile", "-c", script]
    ran = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=False, text=True)
    assert (ran.stdout.split("\n")[:-1], ran.stderr) == (replies or [""], "")
