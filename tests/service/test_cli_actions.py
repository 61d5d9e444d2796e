"""The commands by which a person steps in: what they ask of the daemon, and what they say about its answers."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hookd.cli.main import main
from tests.kit.fake_daemon import Asked, Canned, FakeDaemon, problem, serving

ID = "dlv_0198f2c76f0e7c1b9d550a8e5b7f3c21"
HELD = "2026-01-02T03:04:05.5Z"
OTHER = "dlv_0198f2c76f0e7c1b9d55aaaaaaaaaaaa"
CONFIG: dict[str, Any] = {"webhooks": {"ops-slack": {}, "archive": {}}, "tasks": {"page": {}}}


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDaemon]:
    with serving(tmp_path / "d.sock") as stub:
        monkeypatch.setenv("HOOKD_SOCKET", stub.socket)
        stub.answers["GET /v1/config"] = Canned(200, CONFIG)
        stub.answers["GET /v1/deliveries"] = Canned(
            200, {"deliveries": [delivery(), delivery(id=OTHER)], "cursor": None}
        )
        yield stub


def delivery(**changes: Any) -> dict[str, Any]:
    return {
        "id": ID,
        "webhook": "ops-slack",
        "state": "pending",
        "parked": None,
        "held_until": None,
        **changes,
    }


def lane(**changes: Any) -> dict[str, Any]:
    return {
        "name": "ops-slack",
        "parked": None,
        "paused_at": None,
        "held_until": None,
        "pending": 0,
        **changes,
    }


def no_delivery(asked: str = "x") -> Canned:
    return problem(404, f"there is no delivery '{asked}'; GET /v1/deliveries lists those that are kept")


class TestRetryByIds:
    def test_each_is_told(self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
        daemon.answers[f"POST /v1/deliveries/{ID}/retry"] = Canned(200, delivery())
        daemon.answers["POST /v1/deliveries/a%2Fb/retry"] = Canned(
            200, delivery(id="a/b\x1b", parked="paused")
        )
        assert main(["retry", ID, "a/b", ID]) == 0
        assert capsys.readouterr().out.splitlines() == [
            f"{ID}  due now, to ops-slack",
            r"a/b\x1b  waits: it was paused by hand; `hookd resume ops-slack` lets it send",
        ]
        assert len(daemon.asked) == 2

    def test_one_that_is_held_names_the_way_out(
        self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        held = delivery(held_until=HELD)
        daemon.answers[f"POST /v1/deliveries/{ID}/retry"] = Canned(200, held)
        assert main(["retry", ID]) == 0
        assert capsys.readouterr().out == (
            f"{ID}  waits: held until 2026-01-02T03:04:05Z, as the receiver asked; "
            "`hookd resume ops-slack` lifts it\n"
        )

    def test_one_that_is_refused_does_not_keep_the_others(
        self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        busy = problem(409, "an attempt of the delivery 'busy' is under way")
        daemon.answers["POST /v1/deliveries/busy/retry"] = busy
        daemon.answers["POST /v1/deliveries/nowhere/retry"] = no_delivery("nowhere")
        daemon.answers[f"POST /v1/deliveries/{ID}/retry"] = Canned(200, delivery())
        assert main(["retry", "busy", "nowhere", ID]) == 1
        said = capsys.readouterr()
        assert said.out == f"{ID}  due now, to ops-slack\n"
        assert said.err.splitlines() == [
            "hookd: an attempt of the delivery 'busy' is under way",
            "there is no delivery 'nowhere'",
            "  `hookd deliveries` lists them",
        ]

    @pytest.mark.parametrize(
        "typed", [ID[:-1] + "2", ID[:20] + ID[21:], ID[:-8], ID[-8:], ID.removeprefix("dlv_")]
    )
    def test_a_mistyped_id_names_the_near_one(
        self, typed: str, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        daemon.answers[f"POST /v1/deliveries/{typed}/retry"] = no_delivery(typed)
        assert main(["retry", typed]) == 1
        assert capsys.readouterr().err.splitlines() == [
            f"hookd: there is no delivery '{typed}'",
            f"  did you mean: {ID}",
        ]
        assert daemon.asked[-1].query == {"limit": "200"}

    @pytest.mark.parametrize("typed", [ID[4:24], ID[:16]])
    def test_a_beginning_stands_for_the_only_id_that_begins_so(
        self, typed: str, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        daemon.answers[f"POST /v1/deliveries/{typed}/retry"] = problem(404, "no", near=[ID])
        daemon.answers[f"POST /v1/deliveries/{ID}/retry"] = Canned(200, delivery())
        assert main(["retry", typed]) == 0
        assert capsys.readouterr().out == f"{ID}  due now, to ops-slack\n"

    def test_a_beginning_of_several_names_them(
        self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        typed = ID[4:24]
        daemon.answers[f"POST /v1/deliveries/{typed}/retry"] = problem(404, "no", near=[ID, OTHER])
        assert main(["retry", typed]) == 1
        assert f"did you mean: {ID}, {OTHER}\n" in capsys.readouterr().err

    def test_the_recent_ones_are_asked_for_once(self, daemon: FakeDaemon) -> None:
        for typed in ("x1", "x2"):
            daemon.answers[f"POST /v1/deliveries/{typed}/retry"] = no_delivery(typed)
        assert main(["retry", "x1", "x2"]) == 1
        assert [asked.method for asked in daemon.asked] == ["POST", "GET", "POST"]

    def test_another_refusal_ends_it(self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
        daemon.answers["POST /v1/deliveries/a/retry"] = problem(503, "the store cannot write now")
        assert main(["retry", "a", "b"]) == 1
        assert capsys.readouterr().err == "hookd: the store cannot write now\n"
        assert len(daemon.asked) == 1

    def test_json_lists_what_was_done(self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
        daemon.answers[f"POST /v1/deliveries/{ID}/retry"] = Canned(200, delivery())
        daemon.answers["POST /v1/deliveries/x/retry"] = no_delivery()
        assert main(["retry", ID, "x", "--json"]) == 1
        assert json.loads(capsys.readouterr().out) == [delivery()]


class TestRetryByFilter:
    def test_the_filters_go_to_the_daemon(
        self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        daemon.answers["POST /v1/deliveries/retry"] = Canned(200, {"matched": 5, "retried": 4})
        daemon.answers["GET /v1/webhooks"] = problem(403, "this needs the right `read`")
        words = ["--state", "cancelled", "--webhook", "ops", "--task", "tü", "--event", "e"]
        window = ["--since", "2026-01-02T03:04:05Z", "--until", "2026-01-02T04:04:05.25+01:00"]
        assert main(["retry", *words, *window]) == 0
        assert daemon.asked[0].json == {
            "state": "cancelled",
            "webhook": "ops",
            "task": "tü",
            "event": "e",
            "since": "2026-01-02T03:04:05Z",
            "until": "2026-01-02T03:04:05.250000Z",
            "dry_run": False,
        }
        assert capsys.readouterr() == ("4 retried, 1 more had changed meanwhile\n", "")

    def test_dead_ones_are_taken_unless_told(
        self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        daemon.answers["POST /v1/deliveries/retry"] = Canned(200, {"matched": 3, "retried": 0})
        assert main(["retry", "--webhook", "archive", "--dry-run"]) == 0
        assert daemon.asked[0].json == {"state": "dead", "webhook": "archive", "dry_run": True}
        assert capsys.readouterr() == ("3 would be retried\n", "")

    @pytest.mark.parametrize(
        ("words", "note"),
        [
            (["--state", "dead"], ""),
            (["--webhook", "archive"], ""),
            (
                ["--webhook", "ops-slak"],
                "note: the config has no webhook 'ops-slak'; did you mean: ops-slack\n",
            ),
            (["--task", "zzz\x1b"], "note: the config has no task 'zzz\\x1b'\n"),
        ],
    )
    def test_none_matching_is_none_done(
        self, words: list[str], note: str, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        daemon.answers["POST /v1/deliveries/retry"] = Canned(200, {"matched": 0, "retried": 0})
        assert main(["retry", *words]) == 0
        assert capsys.readouterr() == ("0 retried\n", note)

    @pytest.mark.parametrize("words", [[], ["--json"]])
    def test_all_parts_are_done(
        self, words: list[str], daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        parts = [(25_000, "9"), (0, "8"), (3, None)]

        def answer(_: Asked) -> Canned:
            count, cursor = parts[len(daemon.asked) - 1]
            return Canned(200, {"matched": count, "retried": count, "cursor": cursor})

        daemon.answers["POST /v1/deliveries/retry"] = answer
        daemon.answers["GET /v1/webhooks"] = Canned(
            200, {"webhooks": [lane(pending=2, held_until=HELD), lane(name="b")]}
        )
        assert main(["retry", "--state", "dead", *words]) == 0
        said = capsys.readouterr()
        posted = [asked for asked in daemon.asked if asked.method == "POST"]
        assert [asked.json.get("cursor") for asked in posted] == [None, "9", "8"]
        assert {asked.json["state"] for asked in posted} == {"dead"}
        assert said.err == (
            "looking further back in the history; this may take a while ...\n"
            "ops-slack waits: held until 2026-01-02T03:04:05Z, as the receiver asked;"
            " `hookd resume ops-slack` lifts it\n"
        )
        done = {"matched": 25_003, "retried": 25_003}
        assert json.loads(said.out) == done if words else said.out == "25003 retried\n"

    def test_a_part_that_is_refused_says_what_was_done_before(
        self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        parts = [Canned(200, {"matched": 9, "retried": 7, "cursor": "9"}), problem(503, "no room")]
        daemon.answers["POST /v1/deliveries/retry"] = lambda _: parts[len(daemon.asked) - 1]
        assert main(["retry", "--state", "dead"]) == 1
        assert capsys.readouterr().err.splitlines()[1:] == ["hookd: no room", "7 were retried before that"]

    def test_json_is_the_answer(self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
        daemon.answers["POST /v1/deliveries/retry"] = Canned(200, {"matched": 2, "retried": 2})
        daemon.answers["GET /v1/webhooks"] = Canned(200, {"webhooks": []})
        assert main(["retry", "--state", "dead", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"matched": 2, "retried": 2}


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_deliveries_of_a_misspelt_name_are_refused(
    words: list[str], daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers["GET /v1/deliveries"] = Canned(200, {"deliveries": [], "cursor": None})
    assert main(["deliveries", "--webhook", "archiv", "--task", "page", *words]) == 1
    said = capsys.readouterr()
    assert said.out == ("[]\n" if words else "no deliveries match\n")
    assert said.err.splitlines() == [
        "hookd: there is no webhook 'archiv', in the config or in the history",
        "did you mean: archive",
    ]


def test_deliveries_of_a_name_that_only_the_history_has_are_listed(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    def listing(asked: Asked) -> Canned:
        if "state" in asked.query or "cursor" not in asked.query:
            return Canned(200, {"deliveries": [], "cursor": None if "state" in asked.query else "5"})
        return Canned(200, {"deliveries": [{"id": "d"}], "cursor": None})

    daemon.answers["GET /v1/deliveries"] = listing
    assert main(["deliveries", "--webhook", "archiv", "--state", "dead"]) == 0
    assert capsys.readouterr() == ("no deliveries match\n", "")


@pytest.mark.parametrize("command", ["deliveries", "retry"])
def test_a_window_that_ends_before_it_begins_is_refused(
    command: str, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--since", "2026-01-02T03:04:05.5Z", "--until", "2026-01-02T03:04:05Z"])
    assert ended.value.code == 2
    assert "is later than --until" in capsys.readouterr().err
    assert daemon.asked == []


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_deliveries_of_an_event_that_there_is_not_are_refused(
    words: list[str], daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers["GET /v1/deliveries"] = Canned(200, {"deliveries": [], "cursor": None})
    daemon.answers["GET /v1/events/no%2Fpe"] = problem(404, "there is no event 'no/pe'")
    assert main(["deliveries", "--event", "no/pe", *words]) == 1
    said = capsys.readouterr()
    assert said.out == ("[]\n" if words else "no deliveries match\n")
    assert said.err == "hookd: there is no event 'no/pe'\n"


def test_an_event_without_deliveries_is_no_failure(daemon: FakeDaemon) -> None:
    daemon.answers["GET /v1/deliveries"] = Canned(200, {"deliveries": [], "cursor": None})
    daemon.answers["GET /v1/events/e"] = Canned(200, {"id": "e"})
    assert main(["deliveries", "--event", "e"]) == 0


def test_deliveries_that_are_there_need_no_note(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = delivery(webhook="gone", task="t", attempt=1, created_at="2026-01-02T03:04:05Z", due_at=None)
    gone |= {"last_status": 500, "last_error": ""}
    daemon.answers["GET /v1/deliveries"] = Canned(200, {"deliveries": [gone], "cursor": None})
    assert main(["deliveries", "--webhook", "gone"]) == 0
    assert capsys.readouterr().err == ""
    assert [asked.path for asked in daemon.asked] == ["/v1/deliveries"]


class TestCancel:
    def test_several_that_are_not_there_have_their_own_lines(
        self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for typed in (ID[:-3], "x2"):
            daemon.answers[f"POST /v1/deliveries/{typed}/cancel"] = no_delivery(typed)
        assert main(["cancel", ID[:-3], "x2"]) == 1
        assert capsys.readouterr().err.splitlines() == [
            f"hookd: there is no delivery '{ID[:-3]}'",
            f"  did you mean: {ID}",
            "there is no delivery 'x2'",
            "  `hookd deliveries` lists them",
        ]

    def test_each_is_told(self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
        daemon.answers[f"POST /v1/deliveries/{ID}/cancel"] = Canned(200, delivery(state="cancelled"))
        assert main(["cancel", ID]) == 0
        assert capsys.readouterr().out == f"{ID}  cancelled, it was for ops-slack\n"

    def test_a_finished_one_is_refused(self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
        detail = "the delivery 'a' is delivered already; only a pending one can be cancelled"
        daemon.answers["POST /v1/deliveries/a/cancel"] = problem(409, detail)
        daemon.answers[f"POST /v1/deliveries/{ID[:-3]}/cancel"] = no_delivery(ID[:-3])
        assert main(["cancel", "a", ID[:-3]]) == 1
        assert capsys.readouterr().err.splitlines() == [
            f"hookd: {detail}",
            f"there is no delivery '{ID[:-3]}'",
            f"  did you mean: {ID}",
        ]


class TestPause:
    @pytest.mark.parametrize(
        ("name", "pending", "told"),
        [
            ("ops", 0, "ops is paused; 0 deliveries wait until `hookd resume ops`"),
            ("a b", 1, "a b is paused; 1 delivery waits until `hookd resume 'a b'`"),
        ],
    )
    def test_pause(
        self, name: str, pending: int, told: str, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        paused = lane(name=name, parked="paused", pending=pending)
        daemon.answers[f"POST /v1/webhooks/{name.replace(' ', '%20')}/pause"] = Canned(200, paused)
        assert main(["pause", name]) == 0
        assert capsys.readouterr().out == told + "\n"
        assert main(["pause", name, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == paused

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({}, "ops-slack is not paused"),
            ({"pending": 2}, "ops-slack is not paused; 2 deliveries go on"),
            (
                {"pending": 2, "parked": "disabled"},
                "ops-slack is not paused, but parked: `enabled: false` parks what is for it; set it to true to send",
            ),
        ],
    )
    def test_resume(
        self, changes: dict[str, Any], told: str, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        daemon.answers["POST /v1/webhooks/ops-slack/resume"] = Canned(200, lane(**changes))
        assert main(["resume", "ops-slack"]) == 0
        assert capsys.readouterr().out == told + "\n"

    @pytest.mark.parametrize("command", ["pause", "resume", "send"])
    def test_an_unknown_name_names_the_near_ones(
        self, command: str, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        refused = problem(404, "there is no webhook named 'opps'", near=["ops-slack"])
        daemon.answers[f"POST /v1/webhooks/opps/{command}"] = refused
        assert main([command, "opps"]) == 1
        assert capsys.readouterr() == (
            "",
            "hookd: there is no webhook named 'opps'\ndid you mean: ops-slack\n",
        )


class TestSend:
    RECEIPT: Mapping[str, Any] = {
        "id": "evt_1",
        "duplicate": False,
        "deliveries": [{"id": "d1", "task": "", "webhook": "ops"}],
    }

    @pytest.mark.parametrize(
        ("words", "body"),
        [
            ([], {}),
            (["--message", '{"text": "ü ${DATE}"}'], {"message": '{"text": "ü ${DATE}"}'}),
            (["--message", ""], {"message": ""}),
        ],
    )
    def test_the_message_goes_as_text(
        self,
        words: list[str],
        body: dict[str, str],
        daemon: FakeDaemon,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        daemon.answers["POST /v1/webhooks/ops%2F1/send"] = Canned(202, self.RECEIPT)
        daemon.answers["GET /v1/deliveries/d1"] = Canned(200, delivery())
        assert main(["send", "ops/1", *words]) == 0
        assert daemon.asked[0].json == body
        assert capsys.readouterr().out == "evt_1\n  d1  - → ops\n"

    @pytest.mark.parametrize(
        ("parked", "told"), [("paused", "`hookd resume ops-slack`"), ("disabled", "`enabled: false`")]
    )
    def test_a_parked_one_is_told(
        self, parked: str, told: str, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        daemon.answers["POST /v1/webhooks/ops/send"] = Canned(202, self.RECEIPT)
        daemon.answers["GET /v1/deliveries/d1"] = Canned(200, delivery(parked=parked))
        assert main(["send", "ops"]) == 0
        last = capsys.readouterr().out.splitlines()[-1]
        assert last.startswith("  it waits: ")
        assert told in last

    def test_a_held_one_is_told(self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
        daemon.answers["POST /v1/webhooks/ops/send"] = Canned(202, self.RECEIPT)
        daemon.answers["GET /v1/deliveries/d1"] = Canned(200, delivery(held_until=HELD))
        assert main(["send", "ops"]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == (
            "  it waits: held until 2026-01-02T03:04:05Z, as the receiver asked; "
            "`hookd resume ops-slack` lifts it"
        )

    def test_not_to_learn_whether_it_waits_is_no_failure(self, daemon: FakeDaemon) -> None:
        daemon.answers["POST /v1/webhooks/ops/send"] = Canned(202, self.RECEIPT)
        daemon.answers["GET /v1/deliveries/d1"] = no_delivery()
        assert main(["send", "ops"]) == 0

    def test_json_is_the_answer(self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
        daemon.answers["POST /v1/webhooks/ops/send"] = Canned(202, self.RECEIPT)
        assert main(["send", "ops", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == self.RECEIPT

    def test_a_faulty_message_is_told_with_its_place(
        self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        fault = {"pointer": "/message", "message": "unknown variable ${NAM}; did you mean ${NAME}?"}
        daemon.answers["POST /v1/webhooks/ops/send"] = problem(
            422, "/message: unknown variable ${NAM}; did you mean ${NAME}?", errors=[fault]
        )
        assert main(["send", "ops", "--message", "${NAM}"]) == 1
        assert capsys.readouterr().err == (
            "hookd: /message: unknown variable ${NAM}; did you mean ${NAME}?\n"
        )


class TestTrigger:
    RECEIPT: Mapping[str, Any] = {
        "id": "evt_1",
        "duplicate": False,
        "deliveries": [{"id": "d1", "task": "page", "webhook": "ops-slack"}],
    }

    @pytest.mark.parametrize(
        ("parked", "told"), [("paused", "`hookd resume ops-slack`"), ("disabled", "`enabled: false`")]
    )
    def test_a_parked_one_is_told(
        self, parked: str, told: str, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        daemon.answers["POST /v1/tasks/page/trigger"] = Canned(202, self.RECEIPT)
        daemon.answers["GET /v1/deliveries/d1"] = Canned(200, delivery(parked=parked))
        assert main(["trigger", "page"]) == 0
        last = capsys.readouterr().out.splitlines()[-1]
        assert last.startswith("  it waits: ")
        assert told in last

    def test_what_is_under_way_needs_no_word(
        self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        daemon.answers["POST /v1/tasks/page/trigger"] = Canned(202, self.RECEIPT)
        daemon.answers["GET /v1/deliveries/d1"] = Canned(200, delivery())
        assert main(["trigger", "page"]) == 0
        assert capsys.readouterr().out == "evt_1\n  d1  page → ops-slack\n"

    def test_json_is_the_answer(self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
        daemon.answers["POST /v1/tasks/page/trigger"] = Canned(202, self.RECEIPT)
        assert main(["trigger", "page", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == self.RECEIPT


class TestRearm:
    @pytest.mark.parametrize(
        ("rearmed", "told"),
        [(True, "once runs once more when it is fired next"), (False, "once is not spent: nothing to do")],
    )
    def test_rearm(
        self, rearmed: bool, told: str, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        answer = {"task": "once", "rearmed": rearmed}
        daemon.answers["POST /v1/tasks/once/rearm"] = Canned(200, answer)
        assert main(["rearm", "once"]) == 0
        assert capsys.readouterr().out == told + "\n"
        assert main(["rearm", "once", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == answer

    def test_a_task_that_is_never_spent_is_refused(
        self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        daemon.answers["POST /v1/tasks/t/rearm"] = problem(409, "the task 't' does not run once only")
        assert main(["rearm", "t"]) == 1
        assert capsys.readouterr().err == "hookd: the task 't' does not run once only\n"

    def test_a_trigger_of_a_spent_task_names_the_remedy(
        self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        daemon.answers["POST /v1/tasks/my%20task/trigger"] = problem(409, "the task 'my task' is spent")
        assert main(["trigger", "my task"]) == 1
        assert capsys.readouterr().err.splitlines() == [
            "hookd: the task 'my task' is spent",
            "that is: `hookd rearm 'my task'`",
        ]


def test_a_post_that_is_not_answered_is_in_doubt(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(_asked: Asked) -> Canned:
        return Canned(200, b"", {"Content-Length": "9"})

    daemon.answers["POST /v1/deliveries/a/cancel"] = answer
    assert main(["cancel", "a", "b", "--json"]) == 3
    said = capsys.readouterr()
    assert said.out == "[]\n"
    assert "unknown whether the request was carried out" in said.err
