"""Loading in a child process: the same result, and hostile files that neither stop nor kill who asks."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hookd import config
from hookd.config import Loaded, isolated, loader
from hookd.config.isolated import LONGEST_S

GOOD = Path(__file__).parents[1] / "configs" / "good"


def message(loaded: Loaded) -> str:
    assert loaded.config is None
    assert len(loaded.diagnostics) == 1
    return str(loaded.diagnostics[0])


def aside_of(tmp_path: Path, content: str) -> str:
    """The one diagnostic about a file of this content, shown as `x.yaml`."""
    (tmp_path / "x.yaml").write_text(content)
    started = time.monotonic()
    found = message(config.isolated_load(tmp_path / "x.yaml"))
    assert time.monotonic() - started < 8
    return found.replace(f"{tmp_path}/", "")


@pytest.mark.parametrize("name", ["minimal.yaml", "merge-keys.yaml", "split", "empty.yaml", "rules.yaml"])
def test_the_result_is_the_same_as_in_process(name: str) -> None:
    assert config.isolated_load(GOOD / name) == config.load(GOOD / name, env=os.environ)


def test_findings_and_warnings_come_across(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("A_URL", "https://h.example/s3cret")
    insecure = "webhooks:\n  a: {url: {env: A_URL}, allow_insecure_certificates: true}\n"
    Path("x.yaml").write_text(insecure)
    good = config.isolated_load(Path("x.yaml"))
    assert good.config is not None
    assert good.config.webhooks["a"].url.value == "https://h.example/s3cret"
    assert [str(diagnostic) for diagnostic in good.diagnostics] == list(good.config.warnings)
    assert good.diagnostics == config.load(Path("x.yaml"), env=os.environ).diagnostics
    Path("x.yaml").write_text(insecure + "".join(f"  b{number}: {{}}\n" for number in range(250)))
    bad = config.isolated_load(Path("x.yaml"))
    assert bad.config is None
    assert len(bad.diagnostics) == 251


def test_many_definitions_come_in_small_frames(tmp_path: Path) -> None:
    lines = "".join(f"  hook-{number}: {{url: http://127.0.0.1/{number}}}\n" for number in range(1050))
    (tmp_path / "x.yaml").write_text("webhooks:\n" + lines)
    found = config.isolated_load(tmp_path / "x.yaml").config
    assert found is not None
    assert found == config.load(tmp_path / "x.yaml", env=os.environ).config
    assert config.summary(found) == "1050 webhooks, 0 tasks, 0 events, 0 schedules"


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 9) + "]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (bomb(9), "x.yaml:6:20: a5[2]: aliases expand to more than 250000 values"),
        (
            "a: &a " + "x" * 1_000_000 + "\nb: [" + "*a, " * 100 + "]",
            "aliases expand to more than 250000 values",
        ),
        ("[" * 200_000, "nest"),  # our bound or libyaml's, whichever is met first
        ("a: " + "{a: " * 200_000, "nested deeper than 100 levels"),
        ("- " * 200_000, "nested deeper than 100 levels"),
        (
            "a: &a [" + "[" * 60 + "]" * 60 + "]\nb: " + "[" * 60 + "*a" + "]" * 60,
            "nested deeper than 100 levels by",
        ),
        (
            "a: !!python/object/apply:os.system ['true']",
            "a tag (!…) is not allowed; quote text that begins with !",
        ),
    ],
    ids=[
        "alias-bomb",
        "alias-of-long-text",
        "brackets",
        "braces",
        "dashes",
        "alias-into-depth",
        "python-tag",
    ],
)
def test_hostile_yaml_gets_a_clear_error(content: str, expected: str, tmp_path: Path) -> None:
    assert expected in aside_of(tmp_path, content)


@pytest.mark.parametrize("kind", ["fifo", "device", "sparse"])
def test_what_would_block_or_never_end_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(1 << 30)
    assert "x.yaml:1:1: file: is " in message(config.isolated_load(path))


def test_a_file_that_needs_too_much_memory_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("- [[], [], [], [], [], []]\n" * 50_000)
    found = message(config.isolated_load(tmp_path / "x.yaml", wall_s=60, memory_bytes=100 << 20))
    assert found == f"{tmp_path}/x.yaml:1:1: file: loading needs more than 100 MiB of memory"


def test_a_load_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(
        "webhooks:\n" + "".join(f"  h{n}: {{url: 'http://h/{n}'}}\n" for n in range(60_000))
    )
    started = time.monotonic()
    found = message(config.isolated_load(tmp_path / "x.yaml", wall_s=0.6))
    assert time.monotonic() - started < 3
    assert found == f"{tmp_path}/x.yaml:1:1: file: loading takes longer than 0.6 seconds"


def test_a_load_that_burns_cpu_is_ended(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(
        "webhooks:\n" + "".join(f"  h{n}: {{url: 'http://h/{n}'}}\n" for n in range(60_000))
    )
    command = [
        sys.executable,
        "-c",
        isolated._CODE,
        str(tmp_path / "x.yaml"),
        "1",
        str(1 << 30),
        isolated._PACKAGES,
    ]
    child = subprocess.run(command, capture_output=True, check=False)
    assert child.returncode == -signal.SIGXCPU
    assert not child.stderr


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (-signal.SIGXCPU, "loading takes more than 9 seconds of CPU time"),
        (-signal.SIGSEGV, "loading was ended by SIGSEGV"),
        (1, "loading ended without a result (exit code 1)"),
    ],
)
def test_the_death_of_the_child_is_explained(code: int, expected: str) -> None:
    assert isolated._cause(code, 9, 1 << 30) == expected


def test_a_failure_inside_is_told_without_its_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "hookd-broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import hookd.config.loader as l\ndef f(*a, **k): raise KeyError('s3cret')\nl.parse = f\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(broken))
    (tmp_path / "x.yaml").touch()
    found = message(config.isolated_load(tmp_path / "x.yaml"))
    assert found.endswith("x.yaml:1:1: file: loading failed inside hookd: KeyError at sitecustomize.py:2")


def test_a_module_in_the_current_directory_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "yaml.py").write_text("raise SystemExit(7)\n")
    monkeypatch.chdir(tmp_path)
    assert config.isolated_load(GOOD / "minimal.yaml").config is not None


def test_importing_the_package_does_not_import_the_validator() -> None:
    code = (
        "import sys; from hookd.config import first_unix_socket, isolated_load\n"
        "print([n for n in ('jsonschema', 'ssl', 'aiohttp', 'asyncio', 'zoneinfo') if n in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


def test_the_child_does_not_import_the_daemon() -> None:
    code = (
        "import sys, hookd.config.isolated_child\n"
        "print([n for n in ('aiohttp', 'asyncio', 'sqlite3') if n in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


def test_without_descriptors_nothing_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("webhooks: {}\n")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        found = message(config.isolated_load(path))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert found.endswith("file: loading cannot begin: Too many open files")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("types:\n  a:\n    events: [" + ", ".join(f"{{a: {n}}}" for n in range(30_000)) + "]\n", "types.a.events"),
        ("types:\n  a:\n    events: [" + ", ".join(f"e{n}" for n in range(60_000)) + ", e7]\n", '"e7" stands'),
        ("webhooks:\n  ? " + "k" * 1_000_000 + "\n  :\n" + "".join(f"    x{n}: 1\n" for n in range(3000)), "kkk…"),
        ("a:\n" + "- 1\n" * 500_001, "holds more than 500,000 values"),
    ],
    ids=["mappings-where-texts-belong", "one-of-many-twice", "long-name", "many-values"],
)  # fmt: skip
def test_what_used_to_take_quadratic_time_or_memory(content: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(content)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    diagnostics = config.isolated_load(tmp_path / "x.yaml", wall_s=60).diagnostics
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert any(expected in str(diagnostic) for diagnostic in diagnostics)
    took_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert took_s < LONGEST_S, "of the processor: how long it took in all is the machine's business"


def test_very_many_findings_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "MOST_DIAGNOSTICS", 3)
    (tmp_path / "x.yaml").write_text("webhooks:\n" + "  a: {url: http://h}\n" * 6)
    diagnostics = config.load(tmp_path / "x.yaml", env={}).diagnostics
    assert len(diagnostics) == 4
    assert str(diagnostics[-1]).endswith("x.yaml:5:3: file: and 2 more problems, which are not listed")


def test_no_process_to_be_had_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.yaml").write_text("webhooks: {}\n")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    assert "loading cannot begin: No such file" in message(config.isolated_load(tmp_path / "x.yaml"))
