"""`hookd emit`, `hookd trigger`: what is posted, and what is said about the answer."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hookd.cli.client.batches import batches
from hookd.cli.client.spool_writer import with_id
from hookd.cli.main import main
from tests.kit.fake_daemon import Asked, Canned, FakeDaemon, problem, serving

DELIVERIES = [
    {"id": "d1", "task": "page", "webhook": "ops"},
    {"id": "d2", "task": "keep\x1b[2J", "webhook": "archive"},
]
RECEIPT = {"id": "e1", "duplicate": False, "deliveries": DELIVERIES}


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDaemon]:
    with serving(tmp_path / "d.sock") as stub:
        monkeypatch.setenv("HOOKD_SOCKET", stub.socket)
        yield stub


@pytest.mark.parametrize(
    ("words", "body"),
    [
        ([], {}),
        (["--object", "web-01"], {"object": {"name": "web-01"}}),
        (["--object-id", "7", "--tag", "a", "--tag", "b"], {"object": {"id": "7", "tags": ["a", "b"]}}),
        (["--tag", "a"], {"object": {"tags": ["a"]}}),
        (["--id", "x-1", "--data", '{"n": 1}'], {"id": "x-1", "data": {"n": 1}}),
        (["--object", "ü\n"], {"object": {"name": "ü\n"}}),
        (["--data", "{}"], {"data": {}}),
    ],
)
def test_the_options_become_an_event(words: list[str], body: dict[str, Any], daemon: FakeDaemon) -> None:
    daemon.answers["POST /v1/events"] = Canned(202, RECEIPT)
    assert main(["emit", "vm", "on", *words]) == 0
    assert daemon.asked[0].json == {"type": "vm", "event": "on", **body}
    assert daemon.asked[0].headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("words", "sent", "warned"),
    [
        (["emit", "vm", "on", "--object", "db-\udce9"], {"object": {"name": "db-\ufffd"}}, "--object: "),
        (["emit", "vm", "on", "--tag", "\udcff"], {"object": {"tags": ["\ufffd"]}}, "--tag: "),
        (["emit", "vm", "on", "--data", '{"m": "\udcfc"}'], {"data": {"m": "\ufffd"}}, "--data: "),
        (["emit", "v\udcffm", "on"], {"type": "v\ufffdm"}, "TYPE: "),
        (["trigger", "t", "--object-id", "\udcff"], {"object": {"id": "\ufffd"}}, "--object-id: "),
        (["send", "w", "--message", "\udcff"], {"message": "\ufffd"}, "--message: "),
    ],
)
def test_bytes_that_are_not_utf8_are_replaced_with_a_warning(
    words: list[str],
    sent: dict[str, Any],
    warned: str,
    daemon: FakeDaemon,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for path in ("/v1/events", "/v1/tasks/t/trigger", "/v1/webhooks/w/send"):
        daemon.answers[f"POST {path}"] = Canned(202, {"id": "e1", "duplicate": False, "deliveries": []})
    assert main(words) == 0
    assert sent.items() <= daemon.asked[0].json.items()
    assert f"hookd: warning: {warned}bytes that are not UTF-8 are sent as U+FFFD: " in capsys.readouterr().err


def test_ids_that_differ_in_bytes_that_are_not_utf8_stay_two(daemon: FakeDaemon) -> None:
    daemon.answers["POST /v1/events"] = Canned(202, RECEIPT)
    for given in ("a\udcff", "a\udcfe", "a\udcff"):
        assert main(["emit", "vm", "on", "--id", given]) == 0
    first, second, again = (asked.json["id"] for asked in daemon.asked)
    assert first == again != second
    assert first.startswith("a\ufffd-")


def test_data_is_sent_as_it_is_written(daemon: FakeDaemon) -> None:
    daemon.answers["POST /v1/events"] = Canned(202, RECEIPT)
    data = '{"a": 1.10000000000000000001, "a": 2e999}'
    assert main(["emit", "vm", "on", "--data", data]) == 0
    assert daemon.asked[0].body.endswith(b'"data":' + data.encode() + b"}")


def test_the_id_and_the_deliveries_are_printed(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers["POST /v1/events"] = Canned(202, RECEIPT)
    assert main(["emit", "vm", "on"]) == 0
    said = "e1\n  d1  page → ops\n  d2  keep\\x1b[2J → archive\n"
    assert capsys.readouterr().out == said


@pytest.mark.parametrize(
    ("receipt", "said"),
    [
        (
            {"id": "e1", "duplicate": False, "deliveries": []},
            "e1  (nothing is sent: no rule matches, or its task is off or spent)\n",
        ),
        ({"id": "e1", "duplicate": True, "deliveries": []}, "e1  (taken before: nothing new is sent)\n"),
    ],
)
def test_what_is_special_about_an_event_is_told(
    receipt: dict[str, Any], said: str, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers["POST /v1/events"] = Canned(200, receipt)
    assert main(["emit", "vm", "on"]) == 0
    assert capsys.readouterr().out == said


@pytest.mark.parametrize("words", [["emit", "vm", "on"], ["trigger", "nightly report/1"]])
def test_json_prints_the_answer_in_ascii(
    words: list[str], daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers["POST /v1/events"] = Canned(202, RECEIPT)
    daemon.answers["POST /v1/tasks/nightly%20report%2F1/trigger"] = Canned(202, RECEIPT)
    assert main([*words, "--json"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out) == RECEIPT
    assert "\x1b" not in out


def test_trigger_sends_what_the_message_is_filled_with(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers["POST /v1/tasks/t%C3%BC/trigger"] = Canned(202, RECEIPT)
    assert main(["trigger", "tü", "--object", "o", "--data", '{"a": 1}']) == 0
    assert daemon.asked[0].json == {"object": {"name": "o"}, "data": {"a": 1}}
    assert capsys.readouterr().out.startswith("e1\n  d1  page → ops\n")


class TestFile:
    def test_the_lines_are_posted_as_they_are(
        self, daemon: FakeDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        daemon.answers["POST /v1/events"] = _taking
        path = tmp_path / "events.ndjson"
        path.write_bytes(b'{"n": 1}\r\n\n  \n{"n":2}')
        assert main(["emit", "--file", str(path)]) == 0
        assert daemon.asked[0].body == b'{"n": 1}\n{"n":2}\n'
        assert daemon.asked[0].headers["Content-Type"] == "application/x-ndjson"
        assert capsys.readouterr().out == "taken: 2 events, 4 deliveries\n"

    @pytest.mark.parametrize(
        ("content", "sent"),
        [
            (b'[{"n": 1}, {"n":2}]', b'{"n": 1}\n{"n":2}\n'),
            (b'\n[\n  {"n": 1,\r\n   "m": [1,\n 2]},\n  {"n": "]\\n,{\xc3\xbc"}\n]\n', None),
            (b'{\n  "n": 1.10\n}\n{\n\t"n": {\n}\n}\n', b'{ "n": 1.10 }\n{ "n": { } }\n'),
            (b'{"a": "{",\n"b": 1}', b'{"a": "{", "b": 1}\n'),
            (b'[{"n": 1}]\n[]\n[{"n": 2}]', b'{"n": 1}\n{"n": 2}\n'),
            (b"[]", b""),
            (b'{"n": "{["}\n{"n": 2}', b'{"n": "{["}\n{"n": 2}\n'),
            (b'[{"n": "caf\xe9"}]', '{"n": "caf\ufffd"}\n'.encode()),
        ],
    )
    def test_an_array_and_objects_over_several_lines_are_events_too(
        self, content: bytes, sent: bytes | None, daemon: FakeDaemon, tmp_path: Path
    ) -> None:
        daemon.answers["POST /v1/events"] = _taking
        path = tmp_path / "events.json"
        path.write_bytes(content)
        assert main(["emit", "--file", str(path)]) == 0
        posted = b"".join(asked.body for asked in daemon.asked)
        if sent is not None:
            assert posted == sent
        else:
            assert [json.loads(line) for line in posted.splitlines()] == json.loads(content)

    def test_a_refused_event_is_named_by_the_line_that_it_begins_on(
        self, daemon: FakeDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        fault = {"pointer": "/1/type", "message": "odd"}
        daemon.answers["POST /v1/events"] = problem(422, "odd", errors=[fault])
        path = tmp_path / "events.json"
        path.write_text('[\n  {\n    "n": 1\n  },\n\n  {"n": 2}\n]\n')
        assert main(["emit", "--file", str(path)]) == 1
        assert capsys.readouterr().err.splitlines() == [
            "hookd: lines 2 to 6 refused, nothing after them was sent",
            "line 6: /type: odd",
        ]

    @pytest.mark.parametrize(
        ("content", "place"),
        [
            ('[\n  {"n": 1},\n  {"n": 2}', "line 3, column 11: Expecting ',' delimiter"),
            ('[{"n": 1},\n]', "line 2, column 1: Expecting value"),
            ('\n{\n  "n": 1,\n  n: 2\n}', "line 4, column 3: Expecting property name"),
            ("[" * 100_000, "not JSON that hookd takes"),
        ],
    )
    def test_a_document_that_is_not_json_is_refused_before_anything_is_sent(
        self, content: str, place: str, daemon: FakeDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "events.json"
        path.write_text(content)
        assert main(["emit", "--file", str(path)]) == 1
        said = capsys.readouterr().err
        assert f"hookd: {path}: {place}" in said
        assert "nothing was sent" in said
        assert not daemon.asked

    def test_standard_input(
        self, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        daemon.answers["POST /v1/events"] = _taking
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"{}\n")))
        assert main(["emit", "--file", "-", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"events": [RECEIPT]}

    def test_a_large_file_goes_in_parts(
        self, daemon: FakeDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        daemon.answers["POST /v1/events"] = _taking
        path = _lines(tmp_path, 1201)
        assert main(["emit", "--file", str(path)]) == 0
        assert [asked.body.count(b"\n") for asked in daemon.asked] == [500, 500, 201]
        assert capsys.readouterr().out == "taken: 1201 events, 2402 deliveries\n"

    def test_duplicates_are_counted(
        self, daemon: FakeDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        daemon.answers["POST /v1/events"] = Canned(200, {"events": [RECEIPT, {**RECEIPT, "duplicate": True}]})
        assert main(["emit", "--file", str(_lines(tmp_path, 2))]) == 0
        assert capsys.readouterr().out == "taken: 2 events (1 of them taken before), 2 deliveries\n"

    def test_a_refused_part_is_told_by_its_lines_and_ends_it(
        self, daemon: FakeDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def answer(asked: Asked) -> Canned:
            if b'"n": 700' not in asked.body:
                return _taking(asked)
            errors = [
                {"pointer": "/199/type", "message": "unknown"},
                {"pointer": "/200", "message": "not JSON"},
                {"pointer": "/type", "message": "odd"},
            ]
            return problem(422, "2 of 500 events are invalid", errors=errors)

        daemon.answers["POST /v1/events"] = answer
        path = _lines(tmp_path, 1500)
        assert main(["emit", "--file", str(path)]) == 1
        assert len(daemon.asked) == 2
        said = capsys.readouterr()
        assert said.out == "taken: 500 events, 1000 deliveries\n"
        assert said.err.splitlines() == [
            "hookd: lines 501 to 1000 refused, nothing after them was sent",
            "line 700: /type: unknown",
            "line 701: not JSON",
            "/type: odd",
        ]

    def test_a_refusal_without_faults_says_how_its_lines_count(
        self, daemon: FakeDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        daemon.answers["POST /v1/events"] = problem(400, "not strict JSON at line 2")
        path = tmp_path / "events.ndjson"
        path.write_text("\n\n{}\n{\n")
        assert main(["emit", "--file", str(path)]) == 1
        assert capsys.readouterr().err.splitlines() == [
            "hookd: lines 3 to 4 refused, nothing after them was sent: not strict JSON at line 2",
            "a line named in that message counts from line 3 on, without blank ones",
        ]

    def test_a_part_that_is_too_large_for_this_daemon_is_halved(
        self, daemon: FakeDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def answer(asked: Asked) -> Canned:
            return problem(413, "too large") if asked.body.count(b"\n") > 3 else _taking(asked)

        daemon.answers["POST /v1/events"] = answer
        assert main(["emit", "--file", str(_lines(tmp_path, 10))]) == 0
        assert [asked.body.count(b"\n") for asked in daemon.asked] == [10, 5, 2, 3, 5, 2, 3]
        assert capsys.readouterr().out == "taken: 10 events, 20 deliveries\n"

    def test_a_single_event_that_is_too_large_is_refused(
        self, daemon: FakeDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        daemon.answers["POST /v1/events"] = problem(413, "too large")
        assert main(["emit", "--file", str(_lines(tmp_path, 1))]) == 1
        assert "line 1 refused, nothing after them was sent: too large" in capsys.readouterr().err

    def test_an_unreachable_daemon_is_told_with_the_lines_in_doubt(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = ["emit", "--file", str(_lines(tmp_path, 3)), "--socket", str(tmp_path / "none")]
        assert main(words) == 3
        said = capsys.readouterr()
        assert said.out == "taken: 0 events, 0 deliveries\n"
        assert "lines 1 to 3 and what follows were not confirmed" in said.err

    @pytest.mark.parametrize("spools", [False, True])
    def test_bytes_that_are_not_utf8_are_replaced_in_their_line(
        self, spools: bool, daemon: FakeDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        daemon.answers["POST /v1/events"] = Canned(202, {"events": [RECEIPT]})
        path = tmp_path / "events.ndjson"
        path.write_bytes(b'{"n": "\xc3\xbc"}\n{"n": "caf\xe9"}\n')
        words = ["emit", "--file", str(path)]
        if spools:
            (tmp_path / "spool").mkdir()
            words += [f"--spool={tmp_path / 'spool'}", "--socket", str(tmp_path / "none")]
        assert main(words) == 0
        body = next((tmp_path / "spool").iterdir()).read_bytes() if spools else daemon.asked[0].body
        assert [json.loads(line)["n"] for line in body.splitlines()] == ["ü", "caf\ufffd"]
        assert f"hookd: warning: {path}, line 2: bytes that are not UTF-8" in capsys.readouterr().err

    def test_a_file_that_is_not_there_fails(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["emit", "--file", str(tmp_path / "none")]) == 1
        assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sizes", "parts"),
    [
        ([], []),
        ([4, 4], [[4, 4]]),
        ([4, 4, 1], [[4, 4], [1]]),
        ([1, 1, 1, 1], [[1, 1, 1], [1]]),
        ([20], [[20]]),
        ([1, 20, 1], [[1], [20], [1]]),
    ],
)
def test_parts_stay_below_both_bounds(sizes: list[int], parts: list[list[int]]) -> None:
    lines = [(number, b"x" * size) for number, size in enumerate(sizes, start=1)]
    made = list(batches(lines, most_bytes=10, most_events=3))
    assert [[len(content) for _, content in part] for part in made] == parts
    assert [line for part in made for line in part] == lines


def reads(file: Path, user: int) -> bool:
    """Whether a user who is in its group, and comes to it, may read it."""
    command = ["setpriv", f"--reuid={user}", f"--regid={user}", f"--groups={file.stat().st_gid}"]
    return subprocess.run([*command, "test", "-r", file.name], check=False, cwd=file.parent).returncode == 0


class TestSpool:
    @pytest.fixture
    def spool(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        directory = tmp_path / "spool"
        directory.mkdir()
        monkeypatch.setenv("HOOKD_SPOOL", str(directory))
        return directory

    def test_the_id_is_fixed_before_the_first_try(self, daemon: FakeDaemon, spool: Path) -> None:
        daemon.answers["POST /v1/events"] = problem(503, "stopping")
        assert main(["emit", "vm", "on", "--spool"]) == 0
        [kept] = spool.iterdir()
        assert daemon.asked[0].body == kept.read_bytes()
        assert daemon.asked[0].json["id"].startswith("evt_")

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422])
    def test_a_refusal_is_not_spooled(self, status: int, daemon: FakeDaemon, spool: Path) -> None:
        daemon.answers["POST /v1/events"] = problem(status, "no")
        assert main(["emit", "vm", "on", "--spool"]) == 1
        assert not list(spool.iterdir())

    @pytest.mark.parametrize(
        ("owner", "mode", "readers"),
        [
            (0, 0o3730, []),  # the daemon's user is the writer
            (4321, 0o3730, [4321]),
            (4321, 0o2770, [4321, 4322]),  # whose the daemon is cannot be told: the group reads it
        ],
    )
    @pytest.mark.skipif(os.geteuid() != 0, reason="gives a directory to another user")
    def test_other_members_of_its_group_cannot_read_it(
        self, owner: int, mode: int, readers: list[int], daemon: FakeDaemon, spool: Path
    ) -> None:
        daemon.answers["POST /v1/events"] = problem(503, "stopping")
        os.chown(spool, owner, 4321)
        spool.chmod(mode)
        assert main(["emit", "vm", "on", "--spool"]) == 0
        [kept] = spool.iterdir()
        assert [user for user in (4321, 4322) if reads(kept, user)] == readers

    @pytest.mark.process
    def test_words_that_are_not_utf8_are_spooled(self, spool: Path) -> None:
        words = [b"emit", b"backup", b"failed", b"--object=db-\xe9", b'--data={"m": "\xff"}', b"--spool"]
        command = [sys.executable.encode(), b"-m", b"hookd", *words, b"--socket=/nowhere.sock"]
        ended = subprocess.run(
            command, env={**os.environ, "HOOKD_SPOOL": str(spool)}, capture_output=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        [kept] = spool.iterdir()
        event = json.loads(kept.read_bytes())
        assert event["object"] == {"name": "db-\ufffd"}
        assert event["data"] == {"m": "\ufffd"}

    def test_a_file_is_posted_until_nobody_answers_and_then_spooled(
        self, daemon: FakeDaemon, spool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        daemon.answers["POST /v1/events"] = lambda asked: (
            _taking(asked) if len(daemon.asked) == 1 else problem(503, "busy")
        )
        assert main(["emit", "--file", str(_lines(tmp_path, 1201)), "--spool"]) == 0
        said = capsys.readouterr()
        assert said.out == "taken: 500 events, 1000 deliveries; spooled: 701 events\n"
        assert len(daemon.asked) == 2
        kept = sorted(spool.iterdir())
        assert said.err == (
            f"hookd: busy; 701 events are spooled in 2 files beside {kept[0]}, to be taken in when hookd runs\n"
        )
        numbers = [json.loads(line)["n"] for file in kept for line in file.read_bytes().splitlines()]
        assert numbers == list(range(501, 1202))

    def test_a_directory_that_cannot_be_written_to_is_told(
        self, daemon: FakeDaemon, spool: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        daemon.answers["POST /v1/events"] = problem(503, "busy")
        spool.rmdir()
        spool.write_bytes(b"")
        assert main(["emit", "vm", "on", "--spool"]) == 3
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.splitlines() == [
            "hookd: busy",
            f"the event could not be spooled in {spool}: not a directory",
            "fix that, or name another directory: --spool=DIR, $HOOKD_SPOOL or daemon.spool",
        ]

    def test_half_a_file_is_never_left(
        self, daemon: FakeDaemon, spool: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        daemon.answers["POST /v1/events"] = problem(503, "busy")
        monkeypatch.setattr("os.fsync", full)
        assert main(["emit", "vm", "on", "--spool"]) == 3
        assert not list(spool.iterdir())

    @pytest.mark.parametrize("line", [b'{"a": 1, "id": "x"}', b'{"id": 7}'])
    def test_an_id_that_is_there_stays(self, line: bytes) -> None:
        assert with_id(line) == line

    def test_an_id_that_is_null_is_none(self) -> None:
        made = json.loads(with_id('{"id": null, "n": 1.5, "s": "ü"}'.encode()))
        assert made.pop("id").startswith("evt_")
        assert made == {"n": 1.5, "s": "ü"}
        with pytest.raises(ValueError, match="a key stands twice"):
            with_id(b'{"id": null, "n": 1, "n": 2}')

    @pytest.mark.parametrize("line", [b"{}", b'{ "n": 1.10 }', b' {"n": 1.10}'])
    def test_an_id_is_put_in_front_of_what_was_written(self, line: bytes) -> None:
        made = with_id(line)
        assert json.loads(made) == {"id": json.loads(made)["id"], **json.loads(line)}
        assert made.endswith(line.strip()[1:])

    @pytest.mark.parametrize("line", [b"[]", b"1", b"{", b"\xef\xbb\xbf{}", b"\xff", b"[" * 100_000])
    def test_what_is_no_object_gets_none(self, line: bytes) -> None:
        with pytest.raises(ValueError, match=r"."):
            with_id(line)


@pytest.mark.parametrize("words", [["--wait", "vm", "on"], ["vm", "on", "--wait"], ["vm", "on", "--wait=2s"]])
def test_an_option_with_a_value_of_its_own_takes_no_other_word(words: list[str], daemon: FakeDaemon) -> None:
    daemon.answers["POST /v1/events"] = Canned(202, {**RECEIPT, "deliveries": []})
    assert main(["emit", *words]) == 0
    assert daemon.asked[0].json == {"type": "vm", "event": "on"}


def test_behind_two_dashes_it_is_no_option(daemon: FakeDaemon) -> None:
    daemon.answers["POST /v1/events"] = Canned(202, RECEIPT)
    assert main(["emit", "--", "--wait", "--spool"]) == 0
    assert daemon.asked[0].json == {"type": "--wait", "event": "--spool"}


def test_waiting_asks_ever_more_seldom(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    def answer(asked: Asked) -> Canned:
        state = "delivered" if len(pauses) > 20 or asked.path.endswith("d2") else "sending"
        return Canned(200, {"state": state, "attempt": 1, "parked": None, "failures": 0})

    daemon.answers["POST /v1/events"] = Canned(202, RECEIPT)
    daemon.answers["GET /v1/deliveries/d1"] = daemon.answers["GET /v1/deliveries/d2"] = answer
    monkeypatch.setattr("hookd.cli.client.wait.time.sleep", pauses.append)
    assert main(["emit", "vm", "on", "--wait"]) == 0
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.02, 1.0)
    assert len(daemon.asked) == len(pauses) + 3


def _taking(asked: Asked) -> Canned:
    return Canned(202, {"events": [RECEIPT] * asked.body.count(b"\n")})


def _lines(tmp_path: Path, count: int) -> Path:
    path = tmp_path / "events.ndjson"
    path.write_text("".join(f'{{"n": {number}}}\n' for number in range(1, count + 1)))
    return path
