"""The config under git: which commit is in force, which made an attempt, and what is on disk besides (spec 8, 10)."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.config_files import unsettled
from tests.kit.daemon import DaemonProcess
from tests.kit.receiver import Received, Receiver, response
from tests.kit.waiting import until

DAEMON = "daemon: {listen: [{unix: ../h.sock}], store: ../h.db, log: {format: json}}\n"


def rules(url: str, more: str = "") -> str:
    return (
        f"webhooks: {{ops: {{url: {url}{more}}}}}\n"
        "tasks: {t: {webhook: ops, triggers: [{type: vm, event: 'on'}]}}\n"
    )


def git(tree: Path, *words: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(["git", *identity, *words], cwd=tree, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(tree: Path) -> str:
    git(tree, "add", "-A")
    git(tree, "commit", "-qm", "c")
    return git(tree, "rev-parse", "HEAD")


@pytest.fixture
def tree(tmp_path: Path, receiver: Receiver) -> Path:
    tree = tmp_path / "conf"
    tree.mkdir()
    git(tree, "init", "-q")
    (tree / "daemon.yaml").write_text(DAEMON)
    (tree / "w.yaml").write_text(rules(receiver.url))
    commit(tree)
    return tree


@pytest.fixture
async def daemon(tmp_path: Path, tree: Path) -> AsyncIterator[DaemonProcess]:
    async with DaemonProcess(tmp_path, config=tree) as daemon:
        yield daemon


async def in_force(daemon: DaemonProcess) -> dict[str, Any]:
    config = (await daemon.get("/v1/status"))["config"]
    return {key: config[key] for key in ("number", "hash", "commit", "dirty")}


async def becomes(daemon: DaemonProcess, **wanted: Any) -> dict[str, Any]:
    async def look() -> Any:
        found = await in_force(daemon)
        return found if wanted.items() <= found.items() else None

    return await until(look)


def logged(daemon: DaemonProcess, fact: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in daemon.log.read_text().splitlines()]
    found = [line for line in lines if line["event"] == fact]
    return [{key: line[key] for key in ("number", "hash", "commit", "dirty")} for line in found]


async def sent(daemon: DaemonProcess) -> str:
    """The id of a delivery that was made and delivered."""
    _, receipt = await daemon.post({"type": "vm", "event": "on", "object": "o"})
    delivery_id = str(receipt["deliveries"][0]["id"])
    await daemon.delivery_when(delivery_id, "delivered")
    return delivery_id


async def made_by(daemon: DaemonProcess, delivery_id: str) -> list[Any]:
    return [each["generation"] for each in (await daemon.get(f"/v1/deliveries/{delivery_id}"))["attempts"]]


async def test_a_generation_wherever_it_is_told(
    tree: Path, daemon: DaemonProcess, receiver: Receiver
) -> None:
    first = await in_force(daemon)
    assert first == {**first, "number": 1, "commit": git(tree, "rev-parse", "HEAD"), "dirty": False}
    assert len(first["hash"]) == 12
    assert logged(daemon, "daemon.ready") == [first]
    one = await sent(daemon)

    (tree / "w.yaml").write_text(rules(receiver.url, ", timeout: 20"))
    second = await becomes(daemon, number=2)
    assert second == {**second, "commit": first["commit"], "dirty": True}
    assert second["hash"] != first["hash"]
    assert logged(daemon, "config.reloaded") == [second]
    two = await sent(daemon)
    config = await daemon.get("/v1/config")
    assert {key: config[key] for key in second} == second

    head = commit(tree)
    code, answer = await daemon.request("POST", "/v1/reload")
    third = {**second, "commit": head, "dirty": False}
    assert (code, {key: answer[key] for key in third}) == (200, third)
    assert await in_force(daemon) == third
    assert logged(daemon, "config.committed") == [third]
    three = await sent(daemon)

    await daemon.kill()
    git(tree, "checkout", "-q", first["commit"])
    await daemon.start()
    assert await in_force(daemon) == first
    assert [await made_by(daemon, each) for each in (one, two, three)] == [[first], [second], [third]]


async def test_a_commit_of_what_is_in_force_is_noticed(tree: Path, daemon: DaemonProcess) -> None:
    """At the latest by the look every 30 s; here by one that a file beside the config brings about."""
    (tree / "w.yaml").write_text(rules("http://127.0.0.1:9/"))
    before = await becomes(daemon, number=2)
    head = commit(tree)
    (tree / "README").write_text("")
    assert await becomes(daemon, commit=head) == {**before, "commit": head, "dirty": False}
    assert logged(daemon, "config.reloaded") == [before]


async def test_a_refused_commit_is_not_told_as_in_force(tree: Path, daemon: DaemonProcess) -> None:
    before = await in_force(daemon)
    (tree / "w.yaml").write_text("webhooks: 3\n")
    commit(tree)
    code, _ = await daemon.request("POST", "/v1/reload")
    assert code == 422
    assert await in_force(daemon) == before


async def test_an_attempt_belongs_to_the_generation_it_began_with(
    tree: Path, daemon: DaemonProcess, receiver: Receiver
) -> None:
    answer = asyncio.Event()

    async def slow(_request: Received) -> bytes:
        await answer.wait()
        return response(500 if len(receiver.requests) == 1 else 200)

    receiver.reply = slow
    first = await in_force(daemon)
    _, receipt = await daemon.post({"type": "vm", "event": "on", "object": "o"})
    await receiver.wait_for(1)
    (tree / "w.yaml").write_text(rules(receiver.url, ", backoff: [1]"))
    second = await becomes(daemon, number=2)
    answer.set()
    delivery_id = receipt["deliveries"][0]["id"]
    await daemon.request("POST", f"/v1/deliveries/{delivery_id}/retry")
    await daemon.delivery_when(delivery_id, "delivered")
    assert await made_by(daemon, delivery_id) == [first, second]


async def test_without_git(tmp_path: Path, tree: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "python").symlink_to(sys.executable)
    async with DaemonProcess(tmp_path, config=tree, env={"PATH": str(tools)}) as daemon:
        found = await in_force(daemon)
        assert found == {**found, "number": 1, "commit": None, "dirty": None}
        assert logged(daemon, "daemon.ready") == [found]
        assert len(daemon.log.read_text().splitlines()) == 1


class TestDiff:
    """The command knows none of the daemon's secrets, and compares them all the same."""

    @staticmethod
    async def diff(daemon: DaemonProcess, *words: str) -> tuple[int | None, list[str]]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "hookd", "diff", "--socket", str(daemon.socket), *words,
            stdout=asyncio.subprocess.PIPE, cwd="/",
        )  # fmt: skip
        out, _ = await process.communicate()
        return process.returncode, out.decode().splitlines()

    async def test_what_differs(self, tmp_path: Path, tree: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("http://127.0.0.1:9/one")
        config = "webhooks: {ops: {url: {env: OPS}}, old: {url: {file: ../secret}, enabled: false}}\n"
        (tree / "w.yaml").write_text(
            config + "tasks: {t: {webhook: old, triggers: [{type: vm, event: 'on'}]}}\n"
        )
        head = commit(tree)
        env = {"OPS": "http://127.0.0.1:9/"}
        async with DaemonProcess(tmp_path, config=tree, env=env) as daemon:
            for _ in range(2):
                await daemon.post({"type": "vm", "event": "on", "object": "o"})
            before = await in_force(daemon)
            force = f"in force  number 1, hash {before['hash']}, commit {head[:12]}"
            assert await self.diff(daemon, "--exit-code") == (
                0,
                [force, f"on disk   hash {before['hash']}, commit {head[:12]}", "nothing differs"],
            )

            async with unsettled(tree):
                secret.write_text("http://127.0.0.1:9/two")
                code, lines = await self.diff(daemon)
            assert code == 0
            assert lines[0] == force
            assert lines[2:] == [
                "webhooks +0 ~1 -0",
                "  ~ old (2 wait)",
                "      url: changed (the value of file ../secret)",
            ]

            await daemon.request("POST", "/v1/reload")
            second = await becomes(daemon, number=2)
            async with unsettled(tree):
                (tree / "w.yaml").write_text(
                    "webhooks: {ops: {url: {env: OPS}, timeout: 20}, new: {url: {env: OPS}}}\n"
                )
                code, lines = await self.diff(daemon, "--exit-code")
            assert code == 1
            assert lines[0] == f"in force  number 2, hash {second['hash']}, commit {head[:12]}"
            assert lines[1].endswith(f", commit {head[:12]}, dirty")
            assert lines[2:] == [
                "webhooks +1 ~1 -1",
                "  + new",
                "  ~ ops",
                "      timeout: 15s → 20s",
                "  - old (2 wait)",
                "tasks +0 ~0 -1",
                "  - t",
            ]
            assert "127.0.0.1" not in "".join(lines)

    async def test_what_a_restart_would_bring(self, tree: Path, daemon: DaemonProcess) -> None:
        (tree / "daemon.yaml").write_text(DAEMON.replace("h.db", "other.db"))
        await becomes(daemon, number=2)
        code, lines = await self.diff(daemon, "--exit-code")
        assert code == 1
        assert lines[2:] == [
            "daemon +0 ~1 -0",
            "  ~ daemon",
            f"      store: {tree.parent}/h.db → {tree.parent}/other.db",
            "restart needed for daemon.store: `systemctl restart hookd`",
        ]

    async def test_an_invalid_config(self, tree: Path, daemon: DaemonProcess) -> None:
        before = await in_force(daemon)
        (tree / "z.yaml").write_text("webhooks: {x: {url: {env: NO_SUCH_THING}}}\n")
        line = "conf/z.yaml:1:27: webhooks.x.url.env: the environment variable NO_SUCH_THING is not set"
        assert await self.diff(daemon) == (1, [line])
        code, lines = await self.diff(daemon, "--json")
        answer = json.loads("\n".join(lines))
        assert (code, answer["valid"], answer["in_force"]) == (1, False, before)
        assert [diagnostic["where"] for diagnostic in answer["findings"]] == ["webhooks.x.url.env"]
        assert await in_force(daemon) == before

    async def test_another_checkout(self, tmp_path: Path, tree: Path) -> None:
        (tree / "w.yaml").write_text("webhooks: {ops: {url: {env: OPS}}}\n")
        other = tmp_path / "a" / "checkout"
        env = {"OPS": "http://127.0.0.1:9/"}
        async with DaemonProcess(tmp_path, config=tree, env=env) as daemon:
            before = await in_force(daemon)
            shutil.copytree(tree, other)
            assert (await self.diff(daemon, str(other), "--exit-code"))[0] == 0
            for place in other.glob("*.yaml"):
                place.write_text(
                    place.read_text().replace("h.db", "new.db").replace("{env: OPS}", "{env: OPS2}")
                )
            code, lines = await self.diff(daemon, str(other))
            assert (code, lines) == (
                1, ["a/checkout/w.yaml:1:29: webhooks.ops.url.env: the environment variable OPS2 is not set"],
            )  # fmt: skip
            (other / "w.yaml").write_text("webhooks: {ops: {url: {env: OPS}, timeout: 20}}\n")
            wanted = [
                "webhooks +0 ~1 -0", "  ~ ops", "      timeout: 15s → 20s",
                "daemon +0 ~1 -0", "  ~ daemon", f"      store: {tree.parent}/h.db → {tree.parent}/new.db",
                "restart needed for daemon.store: `systemctl restart hookd`",
            ]  # fmt: skip
            for words in ((str(other),), ("-c", str(other))):
                code, lines = await self.diff(daemon, *words, "--exit-code")
                assert code == 1
                assert lines[1].startswith(f"compared  {other}, hash ")
                assert lines[2:] == wanted
            assert await in_force(daemon) == before

    async def test_a_commit(self, tree: Path, daemon: DaemonProcess) -> None:
        head = git(tree, "rev-parse", "HEAD")
        git(tree, "checkout", "-qb", "other")
        (tree / "w.yaml").write_text("webhooks: {new: {url: 'http://127.0.0.1:9/'}}\n")
        later = commit(tree)
        git(tree, "checkout", "-q", head)
        await becomes(daemon, commit=head)
        code, lines = await self.diff(daemon, "--rev", "other")
        assert code == 0
        assert lines[1].startswith("compared  other, hash ")
        assert lines[1].endswith(f", commit {later[:12]}")
        assert "  + new" in lines
        assert (await self.diff(daemon, "--rev", "HEAD", "--exit-code"))[0] == 0

    async def test_what_the_caller_cannot_read_is_not_told(
        self, tmp_path: Path, daemon: DaemonProcess
    ) -> None:
        hidden = tmp_path / "hidden.yaml"
        hidden.write_text("webhooks: {s3cret: {}}\n")
        for order in (
            {"path": str(hidden)}, {"path": str(hidden), "hash": "0" * 12}, {"path": "/etc/passwd", "hash": "0" * 12},
        ):  # fmt: skip
            code, problem = await daemon.request("POST", "/v1/config/diff", body=order)
            assert code == 409
            assert "s3cret" not in json.dumps(problem)
            assert "root:x" not in json.dumps(problem)

    @pytest.mark.parametrize(
        ("order", "pointer"),
        [
            ({"path": "conf"}, "/path"), ({"path": "/etc", "hash": "x"}, "/hash"), ({"rev": "-x"}, "/rev"),
            ({"rev": "a", "path": "/etc"}, "/rev"), ({"paths": "/etc"}, "/paths"), ({"rev": 3}, "/rev"),
        ],
    )  # fmt: skip
    async def test_a_wrong_body_is_refused(
        self, daemon: DaemonProcess, order: dict[str, Any], pointer: str
    ) -> None:
        code, problem = await daemon.request("POST", "/v1/config/diff", body=order)
        assert (code, [fault["pointer"] for fault in problem["errors"]]) == (422, [pointer])
        code, _ = await daemon.request("GET", "/v1/config/diff")
        assert code == 405


def give_away(tree: Path) -> None:
    for place in (tree, *tree.rglob("*")):
        os.chown(place, 12345, 12345)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_the_config_of_another_user(tmp_path: Path, tree: Path) -> None:
    head = git(tree, "rev-parse", "HEAD")
    give_away(tree)
    async with DaemonProcess(tmp_path, config=tree) as daemon:
        found = await in_force(daemon)
        assert (found["commit"], found["dirty"]) == (head, False)
