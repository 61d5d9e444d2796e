"""Every block of the documentation is run by something; configurations are loaded as they stand there."""

import re
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from hookd.cli.main import COMMANDS, parser_of
from hookd.config import Severity
from hookd.config.loader import load
from tests.bench import __main__ as bench
from tests.chaos import __main__ as chaos
from tests.docs import pages
from tests.docs.blocks import in_session, runner
from tests.docs.pages import Block

CONFIGS = [
    block
    for block in pages.all_blocks()
    if block.language == "yaml"
    and runner(block) == "loader"
    and not block.words.get("file", "").endswith(".test.yaml")
]
COMMAND = re.compile(r"`(hookd [^`]+)`")
PLACEHOLDERS = {"COMMAND", "TOPIC", "DIR"}


def test_every_block_is_run_by_something() -> None:
    counted = Counter(runner(block) for block in pages.all_blocks())
    assert set(counted) == {"loader", "session", "generated", "its own test"}
    assert sum(counted.values()) > 100


@pytest.mark.parametrize("language", ["sh", "yaml", "text", "toml", ""])
def test_a_block_that_nothing_runs_is_found(language: str) -> None:
    block = Block("docs/x.md", 3, language, {"name": "nobody-asks-for-" + "this"}, "")
    assert not in_session(block)
    with pytest.raises(ValueError, match=r"docs/x\.md:3: nothing runs this block"):
        runner(block)


@pytest.mark.parametrize("block", CONFIGS, ids=str)
def test_a_configuration_loads(block: Block, tmp_path: Path) -> None:
    text = block.text + _stubs(yaml.safe_load(block.text)) if "part" in block.words else block.text
    (tmp_path / "hookd.yaml").write_text(text, encoding="utf-8")
    env = dict.fromkeys(re.findall(r"\{env: (\w+)\}", text), "http://127.0.0.1:9/")
    env["HOOKD_STORE"] = "postgresql://hookd@db1/hookd"
    for name in re.findall(r"\{(?:file|credential): ([\w-]+)\}", text):
        (tmp_path / name).write_text("s3cret\n")
    found = load(tmp_path / "hookd.yaml", env={**env, "CREDENTIALS_DIRECTORY": str(tmp_path)})
    faults = [str(diagnostic) for diagnostic in found.diagnostics if diagnostic.severity is Severity.ERROR]
    assert (faults != []) == ("broken" in block.words), faults


def _stubs(part: dict[str, Any]) -> str:
    """YAML that defines what a part names and does not define."""
    rules = [*part.get("events", {}).values(), *part.get("schedules", {}).values()]
    tasks = {rule["task"] for rule in rules} - part.get("tasks", {}).keys()
    webhooks = {task["webhook"] for task in part.get("tasks", {}).values()} - part.get("webhooks", {}).keys()
    made: dict[str, Any] = {
        "webhooks": {name: {"url": "http://127.0.0.1:9/"} for name in webhooks | {"stub"}}
    }
    if tasks:
        made["tasks"] = {name: {"webhook": "stub"} for name in tasks}
    return yaml.safe_dump(made)


@pytest.mark.parametrize("page", [*pages.PAGES, "CHANGELOG.md"])
def test_a_command_in_a_sentence_exists(page: str) -> None:
    for written in COMMAND.findall(
        re.sub(r"```.*?^ *```", "", pages.text_of(page), flags=re.MULTILINE | re.DOTALL)
    ):
        _, name, *words = shlex.split(written.replace("…", " "))
        if name.startswith("-") or name in PLACEHOLDERS:
            continue
        assert name.partition("|")[0] in COMMANDS, written
        options = {word.partition("=")[0] for word in words if word.startswith("-") and word != "-"}
        assert options <= parser_of(name)._option_string_actions.keys(), written


def test_every_command_that_proves_something_exists() -> None:
    text = pages.text_of("docs/proofs.md")
    assert set(re.findall(r"`python -m tests\.bench (\w+)", text)) == bench.BENCHES.keys()
    proved = re.findall(r"\| `([a-z]+)(?: --short --seed \d+)?` \|$", text, re.MULTILINE)
    assert set(proved) == chaos.PROOFS.keys()
    named = re.findall(r"(?<=[ `])tests/[\w/.]+", text)
    assert [path for path in named if not (pages.TOP / path).exists()] == []
    assert len(named) > 3


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower().replace("`", "")).replace(" ", "-")


@pytest.mark.parametrize("page", pages.PAGES)
def test_a_link_leads_somewhere(page: str) -> None:
    here = pages.TOP / page
    for target in re.findall(r"\]\(([^)\s]+)\)", pages.text_of(page)):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        found = (here.parent / file if file else here).resolve()
        assert found.is_file(), target
        headings = re.findall(r"^#+ (.+)$", found.read_text(encoding="utf-8"), re.MULTILINE)
        assert not anchor or anchor in set(map(slug, headings)), target


def test_the_readme_is_short() -> None:
    assert pages.text_of("README.md").count("\n") <= 250


@pytest.mark.parametrize("page", [page for page in pages.PAGES if page != "README.md"])
def test_the_readme_names_every_page(page: str) -> None:
    assert f"]({page})" in pages.section("README.md", "Where to read on")
