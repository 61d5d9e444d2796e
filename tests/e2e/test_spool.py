"""The spool, with the real process: an event is posted or spooled, and taken in once (spec 11)."""

import asyncio
import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.e2e.conftest import Running
from tests.e2e.spooled import (
    DAEMON,
    RULES,
    UNPRIVILEGED,
    UP,
    allow,
    ids,
    left_in,
    put,
    until_empty,
    until_error,
    until_gone,
    until_left,
    until_settled,
    until_there,
    write,
)
from tests.kit.commands import emit, hookd
from tests.kit.daemon import DaemonProcess
from tests.kit.receiver import Receiver
from tests.kit.strace import Injection, under
from tests.kit.tools import needs

REMEDY = "or name another: --spool=DIR, $HOOKD_SPOOL or daemon.spool"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    directory = tmp_path / "spool"
    directory.mkdir()
    return directory


class TestEmit:
    async def test_a_daemon_that_answers_is_posted_to(
        self, tmp_path: Path, spool: Path, receiver: Receiver, running: Running
    ) -> None:
        await running(RULES.format(url=receiver.url), daemon=DAEMON)
        ended = await emit(tmp_path, "vm", "up", "--spool")
        assert (ended.code, ended.err) == (0, "")
        await receiver.wait_for(1)
        assert ids(receiver) == [ended.out.split()[0]]
        assert not left_in(spool)

    async def test_a_refusal_is_not_spooled(
        self, tmp_path: Path, spool: Path, receiver: Receiver, running: Running
    ) -> None:
        await running(RULES.format(url=receiver.url), daemon=DAEMON)
        ended = await emit(tmp_path, "vm", "sideways", "--spool")
        assert ended.code == 1
        assert 'unknown event of type vm "sideways"' in ended.err
        assert not left_in(spool)

    @pytest.mark.promise
    async def test_without_a_daemon_it_is_spooled_and_taken_in_later(
        self, tmp_path: Path, spool: Path, receiver: Receiver
    ) -> None:
        write(tmp_path, receiver)
        first = await emit(tmp_path, "vm", "up", "--spool", "--data", '{\n"n": 1.10}')
        second = await emit(tmp_path, "vm", "up", "--spool", "--id", "mine")
        assert (first.code, second.code) == (0, 0)
        kept = left_in(spool)
        assert [file.suffix for file in kept] == [".json", ".json"]
        assert {file.stat().st_mode & 0o777 for file in kept} == {0o640}
        assert b'"data":{\n"n": 1.10}' in kept[0].read_bytes()
        event_id = json.loads(kept[0].read_bytes())["id"]
        assert first.out == f"{event_id}  (spooled)\n"
        assert first.err == (
            f"hookd: hookd is not reachable at {tmp_path}/h.sock: No such file or directory; "
            f"the event is spooled in {kept[0]}, to be taken in when hookd runs\n"
        )
        async with DaemonProcess(tmp_path) as daemon:
            await receiver.wait_for(2)
            await until_settled(daemon, spool)
            assert sorted(ids(receiver)) == sorted([event_id, "mine"])
            assert (await daemon.get("/v1/events/mine"))["type"] == "vm"
            assert await daemon.metric('hookd_spool_files_total{result="taken"}') == 2

    async def test_a_file_of_events_is_spooled_too(
        self, tmp_path: Path, spool: Path, receiver: Receiver
    ) -> None:
        write(tmp_path, receiver)
        lines = b'{"type": "vm", "event": "up", "id": "a"}\n\n  {"type": "vm", "event": "up"}\n'
        (tmp_path / "events").write_bytes(lines)
        ended = await emit(tmp_path, "--file", str(tmp_path / "events"), "--spool", "--json")
        assert ended.code == 0
        [kept] = left_in(spool)
        assert json.loads(ended.out) == {"events": [], "spooled": [str(kept)]}
        assert f"2 events are spooled in {kept}, to be taken in when hookd runs" in ended.err
        assert kept.suffix == ".ndjson"
        given = [json.loads(line)["id"] for line in kept.read_bytes().splitlines()]
        async with DaemonProcess(tmp_path):
            await receiver.wait_for(2)
            await until_empty(spool)
        assert sorted(ids(receiver)) == sorted(given)
        assert given[0] == "a"

    async def test_a_file_larger_than_an_event_may_be_is_taken_in(
        self, tmp_path: Path, spool: Path, receiver: Receiver
    ) -> None:
        (tmp_path / "hookd.yaml").write_text(
            DAEMON.replace("spool: spool", "spool: spool, limits: {event_size: 2KiB}")
            + RULES.format(url=receiver.url)
        )
        lines = [json.dumps({"type": "vm", "event": "down", "data": {"n": n}}) for n in range(500)]
        (tmp_path / "events").write_text("\n".join(lines))
        assert (await emit(tmp_path, "--file", str(tmp_path / "events"), "--spool")).code == 0
        put(spool, "long.ndjson", b'\n{"a": "' + b"x" * 2048 + b'"}\n')
        async with DaemonProcess(tmp_path) as daemon:
            await until_empty(spool)
            assert await daemon.metric('hookd_events_total{result="accepted"}') == 500
        [reason] = (spool / "rejected").glob("*.reason")
        assert reason.read_text().startswith("line 2 is larger than 2048 bytes (daemon.limits.event_size)\n")

    async def test_a_line_that_is_no_event_is_told_before_it_is_spooled(
        self, tmp_path: Path, spool: Path, receiver: Receiver
    ) -> None:
        write(tmp_path, receiver)
        (tmp_path / "events").write_bytes(b'{"type": "vm", "event": "up"}\n[1]\n')
        ended = await emit(tmp_path, "--file", str(tmp_path / "events"), "--spool")
        assert ended.code == 1
        assert ended.err.splitlines() == [
            "hookd: lines 1 to 2 refused, nothing after them was sent",
            "line 2: not a JSON object",
        ]
        assert not left_in(spool)

    async def test_a_frozen_daemon_and_a_late_acceptance_make_no_second_event(
        self, tmp_path: Path, spool: Path, receiver: Receiver, running: Running
    ) -> None:
        daemon = await running(RULES.format(url=receiver.url), daemon=DAEMON)
        daemon.signal(signal.SIGSTOP)
        try:
            ended = await emit(tmp_path, "vm", "up", "--spool")
            assert ended.code == 0
            assert f"no answer from {tmp_path}/h.sock within 2 s; the event is spooled in" in ended.err
            assert len(left_in(spool)) == 1
        finally:
            daemon.signal(signal.SIGCONT)
        await until_empty(spool)
        assert await daemon.metric('hookd_events_total{result="accepted"}') == 1
        assert await daemon.metric('hookd_events_total{result="duplicate"}') == 1
        await receiver.wait_for(1)
        listed = (await daemon.get("/v1/deliveries"))["deliveries"]
        assert len(listed) == 1
        await daemon.delivery_when(listed[0]["id"], "delivered")
        assert ids(receiver) == [ended.out.split()[0]]

    async def test_no_spool_is_told_with_what_helps(self, tmp_path: Path, receiver: Receiver) -> None:
        write(tmp_path, receiver)
        ended = await emit(tmp_path, "vm", "up", "--spool")
        assert (ended.code, ended.out) == (3, "")
        assert ended.err.splitlines() == [
            f"hookd: hookd is not reachable at {tmp_path}/h.sock: No such file or directory",
            f"the event could not be spooled in {tmp_path}/spool: no such file or directory",
            f"make it: `install -d -m 3730 -o hookd -g hookd-emit {tmp_path}/spool`; {REMEDY}",
        ]

    @pytest.mark.parametrize("way", ["option", "environment"])
    async def test_the_option_and_the_environment_name_the_spool(
        self, way: str, tmp_path: Path, spool: Path, receiver: Receiver
    ) -> None:
        write(tmp_path, receiver)
        other = tmp_path / "other"
        other.mkdir()
        option = f"--spool={other}" if way == "option" else "--spool"
        env = {"HOOKD_SPOOL": str(other if way == "environment" else spool)}
        ended = await emit(tmp_path, option, "vm", "up", env=env)
        assert ended.code == 0
        assert len(left_in(other)) == 1
        assert not left_in(spool)


class TestTakingIn:
    async def test_what_cannot_be_taken_in_is_moved_aside_with_its_reason(
        self, spool: Path, receiver: Receiver, running: Running
    ) -> None:
        daemon = await running(RULES.format(url=receiver.url), daemon=DAEMON)
        await daemon.post({**UP, "id": "taken"})
        put(spool, "1-half.json", b'{"type": "vm", "event": "u')
        put(spool, "2-type.json", {"type": "vn", "event": "up", "id": "2"})
        no_ids = b'\n{"type": "vm", "event": "up"}\n{"type": "vm", "event": "up", "id": null}\n'
        put(spool, "3-no-id.ndjson", no_ids)
        put(spool, "11-two.ndjson", b'{"type": "vm", "event": "up", "id": "a"}\n\n{"id": "b"}\n')
        put(spool, "12-cut.ndjson", b'{"type": "vm", "event": "up", "id": "a"}\n{"type": "vm"')
        put(spool, "13-conflict.ndjson", b'\n{"type": "vm", "event": "down", "id": "taken"}\n')
        put(spool, "14-not.json", b"{'a': 1}")
        put(spool, "15-nil.json", b"")
        put(spool, "4-conflict.json", {**UP, "id": "taken", "data": {"n": 1}})
        put(spool, "5-empty.ndjson", b"")
        put(spool, "6.txt", UP)
        with (spool / "7-huge.json").open("wb") as huge:
            huge.truncate(3 << 30)
        put(spool, "name\x1b\udcff.json", b"1")
        put(spool, "n" * 240 + ".json", b"1")
        put(spool, "good.json", {**UP, "id": "good"})
        spooled = await until_settled(daemon, spool)
        await receiver.wait_for(2)
        assert sorted(ids(receiver)) == ["good", "taken"]
        rejected = spool / "rejected"
        reasons = {file.name.removesuffix(".reason"): file.read_text() for file in rejected.glob("*.reason")}
        assert reasons.pop("name\x1b\udcff.json") == reasons.pop("n" * 200)
        remedy = f"\nfix it and move it back into {spool} under its name, or remove it\n"
        assert {name: reason.removesuffix(remedy) for name, reason in reasons.items()} == {
            "1-half.json": "the file ends in the middle (line 1, column 27)",
            "2-type.json": '/type: unknown type "vn"; valid: vm',
            "3-no-id.ndjson": "line 2: /id: is required: without an id it could be taken in twice\n"
            "line 3: /id: is required: without an id it could be taken in twice",
            "4-conflict.json": "event id 'taken' is already taken by an event with other content",
            "5-empty.ndjson": "the file is empty",
            "6.txt": "the name must end in .json (an event or an array) or .ndjson (one event a line)",
            "7-huge.json": "the file is larger than 1048576 bytes (daemon.limits.event_size)",
            "11-two.ndjson": "line 3: /type: is required\nline 3: /event: is required",
            "12-cut.ndjson": "the file ends in the middle (line 2, column 14)",
            "13-conflict.ndjson": "line 2: event id 'taken' is already taken by an event with other content",
            "14-not.json": "the file is not strict JSON: "
            "Expecting property name enclosed in double quotes at line 1, column 2",
            "15-nil.json": "the file is empty",
        }
        logged = daemon.log.read_text()
        assert f'"path": "{rejected}/1-half.json"' in logged
        assert (rejected / "1-half.json").read_bytes() == b'{"type": "vm", "event": "u'
        assert spooled == {"path": str(spool), "waiting": 0, "rejected": 14, "skipped": [], "error": None}
        assert await daemon.metric('hookd_spool_files_total{result="rejected"}') == 14
        assert await daemon.metric("hookd_spool_rejected") == 14

    async def test_what_was_rejected_before_is_not_replaced(
        self, spool: Path, receiver: Receiver, running: Running
    ) -> None:
        await running(RULES.format(url=receiver.url), daemon=DAEMON)
        for content in (b"first", b"second"):
            put(spool, "x.json", content)
            await until_empty(spool)
        assert (spool / "rejected/x.json").read_bytes() == b"first"
        assert (spool / "rejected/2-x.json").read_bytes() == b"second"
        assert (spool / "rejected/2-x.json.reason").is_file()

    async def test_what_is_no_regular_file_is_left_alone(
        self, tmp_path: Path, spool: Path, receiver: Receiver, running: Running
    ) -> None:
        (spool / "1-link.json").symlink_to("/etc/passwd")
        os.mkfifo(spool / "2-fifo.json")
        (spool / "3-directory.json").mkdir()
        put(spool / "3-directory.json", "a.json", {**UP, "id": "inside"})
        (spool / "4\x1b.reason").mkdir()
        daemon = await running(RULES.format(url=receiver.url), daemon=DAEMON)
        odd = ["1-link.json", "2-fifo.json", "3-directory.json", "4\\x1b.reason"]
        for name in ("a.json", "b.json"):  # a look each
            put(spool, name, {**UP, "id": name})
            await until_gone(spool, name)
        await receiver.wait_for(2)
        assert sorted(ids(receiver)) == ["a.json", "b.json"]
        spooled = (await daemon.get("/v1/status"))["spool"]
        assert spooled == {"path": str(spool), "waiting": 0, "rejected": 0, "skipped": odd, "error": None}
        assert daemon.log.read_text().count("spool.skipped") == 1
        assert (
            "left alone in the spool, since they are no regular files: 1-link.json, 2-fifo.json"
            in (await hookd("status", "--socket", tmp_path / "h.sock")).out
        )

    async def test_rejected_is_not_followed_elsewhere(
        self, tmp_path: Path, spool: Path, receiver: Receiver, running: Running
    ) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (spool / "rejected").symlink_to(elsewhere)
        daemon = await running(RULES.format(url=receiver.url), daemon=DAEMON)
        put(spool, "a.json", b"1")
        put(spool, "b.json", {**UP, "id": "good"})
        await receiver.wait_for(1)
        await until_there(spool / "rejected", "a.json")
        assert not left_in(elsewhere)
        assert not (spool / "rejected").is_symlink()
        spooled = (await daemon.get_when("/v1/status", lambda now: now["spool"]["skipped"]))["spool"]
        assert spooled["skipped"] == ["rejected.foreign"]
        assert daemon.log.read_text().count("spool.foreign") == 1

    async def test_the_directory_may_come_and_go_and_change(
        self, tmp_path: Path, receiver: Receiver, running: Running
    ) -> None:
        daemon = await running(RULES.format(url=receiver.url), daemon=DAEMON)
        for count, name in enumerate(("spool", "spool", "other"), start=1):
            directory = tmp_path / name
            if name == "other":
                config = (DAEMON + RULES.format(url=receiver.url)).replace("spool: spool", "spool: other")
                (tmp_path / "hookd.yaml").write_text(config)
                status, answer = await daemon.request("POST", "/v1/reload")
                assert (status, answer["restart_needed"]) == (200, [])
            directory.mkdir()
            put(directory, "x.json", {**UP, "id": f"e{count}"})
            await receiver.wait_for(count)
            await until_empty(directory)
            shutil.rmtree(directory)
        assert ids(receiver) == ["e1", "e2", "e3"]

    @needs("strace")
    async def test_thousands_of_files_hold_nobody_up(
        self, tmp_path: Path, spool: Path, receiver: Receiver
    ) -> None:
        count = 2500
        write(tmp_path, receiver)
        for number in range(count):
            put(spool, f"{number:05d}.json", {"type": "vm", "event": "down", "id": f"n{number}"})
        slow = under("unlinkat:delay_enter=1000")  # 1 ms for each file: 2.5 s at least
        async with DaemonProcess(tmp_path, wrap=slow) as daemon:
            # READY does not wait for the first look.
            await daemon.get_when("/v1/status", lambda now: now["spool"]["waiting"])
            status, _ = await daemon.post({**UP, "id": "meanwhile"})
            waiting = (await daemon.get("/v1/status"))["spool"]["waiting"]
            assert status == 202
            await receiver.wait_for(1)
            await until_settled(daemon, spool, within_s=60)
            assert waiting > 0
            assert await daemon.metric('hookd_events_total{result="accepted"}') == count + 1
            assert await daemon.metric("hookd_spool_waiting") == 0
            newest = (await daemon.get("/v1/events?limit=3"))["events"]
            assert next(event["id"] for event in newest if event["id"] != "meanwhile") == f"n{count - 1}"

    async def test_what_the_pending_limit_keeps_out_waits(
        self, spool: Path, receiver: Receiver, running: Running
    ) -> None:
        daemon_section = DAEMON.replace("spool: spool", "spool: spool, limits: {pending: 1}")
        daemon = await running(RULES.format(url=receiver.url), daemon=daemon_section)
        await daemon.request("POST", "/v1/webhooks/w/pause")
        await daemon.post({**UP, "id": "first"})
        put(spool, "x.json", {**UP, "id": "second"})
        assert await until_error(daemon, "too many") == {
            "path": str(spool),
            "waiting": 1,
            "rejected": 0,
            "skipped": [],
            "error": "too many deliveries are waiting (daemon.limits.pending)",
        }
        for name in ("y.txt", "z.txt"):  # a turn each
            put(spool, name, UP)
            await until_there(spool / "rejected", name)
        assert daemon.log.read_text().count("spool.waiting") == 1
        assert await daemon.metric('hookd_events_total{result="unavailable"}') == 1
        await daemon.request("POST", "/v1/webhooks/w/resume")
        await receiver.wait_for(2)
        await until_empty(spool)
        assert ids(receiver) == ["first", "second"]
        assert await daemon.metric('hookd_events_total{result="accepted"}') == 2
        assert (await daemon.get("/v1/status"))["spool"]["error"] is None

    @needs("strace")
    async def test_killed_between_commit_and_removal_it_is_taken_in_once(
        self, tmp_path: Path, spool: Path, receiver: Receiver
    ) -> None:
        write(tmp_path, receiver)
        killed = "unlinkat:signal=KILL:error=EINTR"
        daemon = DaemonProcess(tmp_path)
        try:
            await daemon.start()
            async with Injection(daemon.pid, killed, paths=places(spool)):
                put(spool, "x.json", {**UP, "id": "once"})
                await daemon.ended()
            assert (spool / "x.json").exists()
            await daemon.start()
            assert (await daemon.get("/v1/events/once"))["id"] == "once"
            await until_empty(spool)
            assert await daemon.metric('hookd_events_total{result="duplicate"}') == 1
            [delivery] = (await daemon.get("/v1/deliveries"))["deliveries"]
            await daemon.delivery_when(delivery["id"], "delivered", within_s=40)
        finally:
            await daemon.close()
        assert {request.id for request in receiver.requests} == {delivery["id"]}

    @needs("strace")
    async def test_what_cannot_be_removed_is_not_taken_in_again(
        self, tmp_path: Path, spool: Path, receiver: Receiver
    ) -> None:
        write(tmp_path, receiver)
        kept = "unlinkat:error=EPERM"
        daemon = DaemonProcess(tmp_path, wrap=under(kept, paths=places(spool)))
        try:
            await daemon.start()
            put(spool, "x.json", {**UP, "id": "once"})
            put(spool, "y.json", {**UP, "id": "other"})
            fault = "its events are taken in: operation not permitted"
            await until_left(daemon, 2)
            left = f"x.json cannot be removed, though {fault}; remove it"
            assert (await until_error(daemon, left))["waiting"] == 2
            async with asyncio.timeout(15):  # two looks later
                looks = daemon.log.read_text().count("spool.left")
                put(spool, "z.json", b"1")
                await until_there(spool / "rejected", "z.json")
            assert daemon.log.read_text().count("spool.left") == looks
            assert await daemon.metric('hookd_events_total{result="accepted"}') == 2
            assert await daemon.metric('hookd_events_total{result="duplicate"}') == 0
        finally:
            await daemon.close()

    async def test_what_may_not_be_read_is_moved_aside(
        self, tmp_path: Path, spool: Path, receiver: Receiver
    ) -> None:
        write(tmp_path, receiver)
        daemon = DaemonProcess(tmp_path, wrap=UNPRIVILEGED)
        try:
            await daemon.start()
            put(spool, "x.json", {**UP, "id": "x"}, mode=0)
            await until_empty(spool)
        finally:
            await daemon.close()
        group = (spool / "rejected/x.json").stat().st_gid
        assert (spool / "rejected/x.json.reason").read_text().splitlines()[0] == (
            f"the file cannot be read by hookd: permission denied (its mode is 0000, its group {group})"
        )

    async def test_a_directory_that_cannot_be_written_to_is_left_alone(
        self, tmp_path: Path, spool: Path, receiver: Receiver
    ) -> None:
        write(tmp_path, receiver)
        put(spool, "x.json", {**UP, "id": "once"})
        allow(spool, 0o555)
        daemon = DaemonProcess(tmp_path, wrap=UNPRIVILEGED)
        try:
            await daemon.start()
            fault = f"{spool} cannot be written to by hookd, so that nothing could be removed from it"
            assert (await until_error(daemon, fault))["waiting"] == 1
            allow(spool, 0o755)
            await receiver.wait_for(1)
            await until_empty(spool)
        finally:
            allow(spool, 0o755)
            await daemon.close()


def places(spool: Path) -> list[Path]:
    """Where calls that remove `x.json` or `y.json` from the spool are seen."""
    return [spool, spool / "x.json", spool / "y.json"]
