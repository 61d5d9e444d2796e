"""`hookd test`: what is run, what is said, and the exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest

from hookd.cli.main import main

CONFIG = """
webhooks: {w: {url: {env: UNSET_URL}, headers: {X-Route: a}}}
tasks: {t: {webhook: w, message: {text: "${NAME} is on", n: "${data.n}"}}}
events: {e: {type: vm, event: powered, tag: production, task: t}}
"""
GOOD = """\
cases:
  - name: production
    event: {type: vm, event: powered, object: {name: web, tags: [production]}}
    expect: [{task: t, url: env:UNSET_URL, body: {text: web is on, n: null}}]
"""
BAD = """\
cases:
  - name: other
    event: {type: vm, event: powered, object: web}
    expect: [{task: t}]
  - name: "wrong \\e[2J"
    event: {type: vm, event: powered, object: {name: web, tags: [production]}, data: {n: "1\\u202e"}}
    expect: [{task: t, method: PUT, headers: {X-Route: [a, b]}, body: {text: web is on, n: 1.0}}]
  - name: extra
    event: {type: vm, event: powered, object: {name: web, tags: [production]}}
    expect: []
"""
FAILED = """\
FAILED bad.test.yaml:2: other
  expect[0] (task "t"): not sent
    events.e: asks for the tag "production", the event has no tags
FAILED bad.test.yaml:5: wrong \\x1b[2J
  expect[0] (task "t", webhook "w"):
    --- expected
    +++ got
    @@ -1,13 +1,10 @@
     {
       "body": {
    -    "n": 1.0,
    +    "n": "1\\u202e",
         "text": "web is on"
       },
       "headers": {
    -    "X-Route": [
    -      "a",
    -      "b"
    -    ]
    +    "X-Route": "a"
       },
    -  "method": "PUT"
    +  "method": "POST"
     }
FAILED bad.test.yaml:8: extra
  not expected (task "t", webhook "w"): sent, by the rule events.e
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a config and a good test, which is the current one."""
    monkeypatch.chdir(tmp_path)
    for name in ("HOOKD_CONFIG", "UNSET_URL"):
        monkeypatch.delenv(name, raising=False)
    Path("hookd.yaml").write_text(CONFIG)
    Path("good.test.yaml").write_text(GOOD)
    return tmp_path


def ran(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["test", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_passing_is_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys) == (0, "1 passed, 0 failed\n", "")
    assert ran(capsys, "-v") == (0, "ok good.test.yaml:2: production\n1 passed, 0 failed\n", "")


def test_each_difference_is_readable(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.test.yaml").write_text(BAD)
    assert ran(capsys) == (1, f"{FAILED}1 passed, 3 failed\n", "")


def test_json_says_the_same(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.test.yaml").write_text(BAD)
    Path("c.test.yaml").write_text("cases: 1\n")
    code, out, err = ran(capsys, "--json")
    assert (code, err) == (1, "")
    assert out.isascii()
    told: dict[str, Any] = json.loads(out)
    assert (told["passed"], told["failed"]) == (1, 3)
    assert [(case["path"], case["line"], case["passed"]) for case in told["cases"]] == [
        ("bad.test.yaml", 2, False),
        ("bad.test.yaml", 5, False),
        ("bad.test.yaml", 8, False),
        ("good.test.yaml", 2, True),
    ]
    other, wrong, extra = (case["differences"] for case in told["cases"][:3])
    assert other == [
        {
            "where": "expect[0]",
            "about": 'task "t"',
            "diff": [],
            "reasons": ['events.e: asks for the tag "production", the event has no tags'],
            "rule": "",
        }
    ]
    assert [(one["where"], one["diff"][:2]) for one in wrong] == [("expect[0]", ["--- expected", "+++ got"])]
    assert [(one["where"], one["rule"]) for one in extra] == [("", "events.e")]
    assert told["findings"] == [
        {
            "path": "c.test.yaml",
            "line": 1,
            "column": 8,
            "where": "cases",
            "severity": "error",
            "message": "must be a list with at least one entry, not 1",
        }
    ]


def test_a_faulty_file_fails_the_run_and_the_others_still_run(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("sub").mkdir()
    Path("sub/c.test.yaml").write_text("cases: 1\n")
    Path("sub/dangling.test.yaml").symlink_to("nowhere")
    assert ran(capsys) == (
        1,
        (
            "sub/c.test.yaml:1:8: cases: must be a list with at least one entry, not 1\n"
            "sub/dangling.test.yaml:1:1: file: is a symlink to nothing\n"
            "1 passed, 0 failed, 2 problems in test files\n"
        ),
        "",
    )


def test_a_place_that_is_not_looked_through_fails_the_run(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hookd.config.yaml.files._MAX_ENTRIES", 1)
    code, out, _ = ran(capsys, "-c", "hookd.yaml")
    assert code == 1
    assert out.startswith(".:1:1: file: brings the configuration to more than 1 files and directories")


def test_an_invalid_config_is_told_as_check_does(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("hookd.yaml").write_text(CONFIG.replace("task: t", "task: s"))
    told = 'hookd.yaml:4:63: events.e.task: there is no task "s" (tasks: t)\n'
    assert ran(capsys) == (1, told, "")
    assert ran(capsys, "--json") == (1, "", told)


def test_without_a_config_it_says_how_to_name_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if Path("/etc/hookd/hookd.yaml").exists():
        pytest.skip("this machine has a config of its own")
    Path("hookd.yaml").unlink()
    assert ran(capsys) == (
        1,
        "",
        (
            "hookd: there is no config here: neither hookd.yaml nor /etc/hookd/hookd.yaml\n"
            "name it by -c PATH or $HOOKD_CONFIG, or write one to start from by `hookd init DIR`\n"
        ),
    )


def test_without_tests_it_says_where_it_looked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("good.test.yaml").unlink()
    told = (
        "hookd: there is no *.test.yaml below .\n"
        "it would test the config hookd.yaml; `hookd init DIR` writes an example of one\n"
    )
    assert ran(capsys) == (1, "", told)
    assert ran(capsys, "none")[2].startswith("hookd: none does not exist\n")


def test_which_tests_and_which_config(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = here / "other"
    (other / "deep").mkdir(parents=True)
    (other / "parts.yml").write_text(CONFIG.replace("is on", "is up"))
    (other / "deep" / "x.test.yaml").write_text(GOOD.replace("is on", "is up"))
    (other / ".hidden.test.yaml").write_text("cases: 1\n")
    passed = (0, "1 passed, 0 failed\n", "")
    assert ran(capsys, "good.test.yaml") == passed
    assert ran(capsys, "hookd.yaml")[0] == 1  # the tests beside it, and below, are for either of the two
    assert ran(capsys, "other") == passed  # a directory with a config is that config
    assert ran(capsys, "-c", "other") == passed  # and its tests are the default
    assert ran(capsys, "other/parts.yml") == passed
    assert ran(capsys, "-c", "hookd.yaml", "other")[0] == 1  # the config that is named wins
    assert ran(capsys, "other/deep")[0] == 1  # no config there: the usual one
    assert ran(capsys, "-c", "other/parts.yml", "other/deep") == passed
    monkeypatch.setenv("HOOKD_CONFIG", "other")
    assert ran(capsys) == passed
    assert ran(capsys, "other/deep/x.test.yaml") == passed


def test_nothing_depends_on_this_machine(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNSET_URL", "http://127.0.0.1:1/s3cret")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert ran(capsys)[0] == 0
    Path("good.test.yaml").write_text(GOOD.replace("env:UNSET_URL", "http://127.0.0.1:1/s3cret"))
    code, out, _ = ran(capsys)
    assert code == 1
    assert '    +  "url": "env:UNSET_URL"\n' in out


def test_a_long_line_is_cut(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("good.test.yaml").write_text(GOOD.replace("web is on", "x" * 100_000))
    code, out, _ = ran(capsys)
    assert code == 1
    assert max(map(len, out.splitlines())) == 1000


def test_nothing_is_left_behind(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(here.iterdir())
    ran(capsys)
    assert sorted(here.iterdir()) == before


def test_check_asks_for_no_secret_where_it_is_portable(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check"]) == 1
    assert "the environment variable UNSET_URL is not set" in capsys.readouterr().out
    assert main(["check", "--strict", "--portable"]) == 0
    assert capsys.readouterr().out == "ok: 1 webhook, 1 task, 1 event, 0 schedules\n"


def test_the_schema_of_tests_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--test"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "hookd tests"
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "hookd configuration"
