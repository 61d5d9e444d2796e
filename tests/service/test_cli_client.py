"""Where the client looks for the daemon, and what it makes of what comes back."""

import grp
import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from hookd.cli.client import address, spool_writer
from hookd.cli.client.address import DEFAULT_SOCKET, from_options
from hookd.cli.client.api_client import unreachable
from hookd.cli.client.exchange import ApiRequest, NoAnswer, exchanged, parse_answer
from hookd.cli.main import main
from hookd.cli.options import Parser
from tests.kit.fake_daemon import Canned, FakeDaemon, problem, serving

RECEIPT = {"id": "e1", "duplicate": False, "deliveries": []}


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    with serving(tmp_path / "d.sock") as stub:
        yield stub


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HOOKD_SOCKET", "HOOKD_CONFIG", "TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def found(*words: str) -> tuple[str, str | None]:
    """The address and token that these options lead to."""
    parser = Parser()
    address.add_options(parser)
    client = from_options(parser.parse_args(words))
    return client.address, client.token


class TestAddress:
    def test_options_come_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOOKD_SOCKET", "/env.sock")
        assert found("--socket", "/option.sock")[0] == "/option.sock"
        assert found("--url", "http://127.0.0.1:1/")[0] == "http://127.0.0.1:1/"

    def test_then_the_environment(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("HOOKD_SOCKET", "/env.sock")
        _config(tmp_path / "hookd.yaml", "conf.sock")
        assert found()[0] == "/env.sock"

    def test_then_the_first_unix_socket_of_the_config(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        _config(tmp_path / "hookd.yaml", "here.sock")
        _config(tmp_path / "env.yaml", "env.sock")
        _config(tmp_path / "option.yaml", "option.sock")
        assert found()[0] == str(tmp_path / "here.sock")
        monkeypatch.setenv("HOOKD_CONFIG", str(tmp_path / "env.yaml"))
        assert found()[0] == str(tmp_path / "env.sock")
        assert found("-c", str(tmp_path / "option.yaml"))[0] == str(tmp_path / "option.sock")

    def test_then_the_default(self) -> None:
        assert found()[0] == DEFAULT_SOCKET

    def test_a_config_that_is_not_there_is_told(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["status", "-c", "nowhere.yaml"]) == 1
        assert "nowhere.yaml: no such config" in capsys.readouterr().err

    def test_the_token_comes_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TOKEN", "s3cret")
        assert found("--url", "http://h", "--token-env", "TOKEN")[1] == "s3cret"

    @pytest.mark.parametrize("value", ["", "a\nb", "ü"])
    def test_a_token_that_cannot_be_sent_is_wrong_usage_and_not_shown(
        self, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("TOKEN", value)
        assert main(["status", "--url", "http://127.0.0.1:1", "--token-env", "TOKEN"]) == 2
        said = capsys.readouterr().err
        assert "TOKEN" in said
        assert "a\\nb" not in said


def _config(path: Path, socket_name: str) -> None:
    path.write_text(f"daemon:\n  listen:\n    - http: 127.0.0.1:0\n    - unix: {socket_name}\n")


class TestUnreachable:
    def test_no_socket(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = str(tmp_path / "none.sock")
        assert main(["status", "--socket", path]) == 3
        said = capsys.readouterr().err
        assert said.startswith(f"hookd: hookd is not reachable at {path}: No such file or directory\n")
        assert "`hookd run`" in said
        assert "systemctl status hookd" in said

    def test_a_socket_nobody_listens_on(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = str(tmp_path / "stale.sock")
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(path)
        assert main(["status", "--socket", path]) == 3
        assert "Connection refused" in capsys.readouterr().err

    def test_a_url_nobody_listens_at(self, capsys: pytest.CaptureFixture[str]) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}"
            assert main(["status", "--url", url]) == 3
        assert f"not reachable at {url}: Connection refused" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--url", "http://a..b:1"], "not a valid host name"),
            (["--socket", "x" * 200], "the path of a Unix socket has at most 107 bytes"),
        ],
    )
    def test_an_address_that_is_none(
        self, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["status", *words]) == 3
        assert capsys.readouterr().err.startswith(f"hookd: hookd is not reachable at {words[1]}: {said}\n")

    def test_no_permission_names_the_group(self, tmp_path: Path) -> None:
        group = next(each for each in grp.getgrall() if each.gr_gid in {*os.getgroups(), 1} - {0})
        os.chown(tmp_path, -1, group.gr_gid)
        denied = PermissionError(13, "Permission denied")
        for mode, remedy in (
            (0o710, f"{tmp_path} belongs to group {group.gr_name}: `usermod -aG {group.gr_name} USER`"),
            (0o700, f"ask the administrator of hookd for access to {tmp_path / 'd.sock'}"),
        ):
            tmp_path.chmod(mode)
            failure = unreachable(str(tmp_path / "d.sock"), denied)
            assert failure.code == 3
            assert failure.lines[0] == f"permission denied at {tmp_path / 'd.sock'}"
            assert failure.lines[1].startswith(remedy)

    def test_no_permission_never_names_the_group_of_root(self) -> None:
        place = "/usr/bin"  # of root, and its group may not write
        failure = unreachable(place, PermissionError(13, "Permission denied"))
        assert failure.lines[1].startswith(f"ask the administrator of hookd for access to {place}")

    @pytest.mark.parametrize(
        ("answer", "told"),
        [
            (b"", "the connection was closed without an answer"),
            (b"SSH-2.0-x\r\n", "the answer is not HTTP"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "closed in the middle of the answer"),
        ],
    )
    def test_what_is_no_answer(
        self, answer: bytes, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with _answering(tmp_path / "s", answer) as path:
            assert main(["emit", "a", "b", "--socket", path]) == 3
        said = capsys.readouterr().err
        assert told in said
        assert "unknown whether the request was carried out" in said


def test_an_answer_that_drips_is_over_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("hookd.cli.client.exchange.time.monotonic", lambda: now[0])
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()

        def drip() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.recv(1 << 16)
                while True:
                    now[0] += 1.0
                    connection.sendall(b"H")

        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(TimeoutError):
            exchanged(str(tmp_path / "s"), ApiRequest("GET", "/", {}), 2.0)
        thread.join()


@contextmanager
def _answering(path: Path, answer: bytes) -> Iterator[str]:
    """A server that sends these bytes to its one client, after it has read the request."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield str(path)
        thread.join()


class TestAnswers:
    def test_a_problem_is_told_with_its_faults_and_near_names(
        self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        daemon.answers["POST /v1/tasks/report/trigger"] = problem(
            404,
            "there is no task named 'report'",
            errors=[{"pointer": "/task", "message": "unknown"}, {"pointer": "", "message": "really"}],
            near=["reports", "re\x1b[2Jport"],
        )
        assert main(["trigger", "report", "--socket", daemon.socket]) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.splitlines() == [
            "hookd: there is no task named 'report'",
            "/task: unknown",
            "really",
            r"did you mean: reports, re\x1b[2Jport",
        ]

    def test_near_names_are_told_once(self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
        detail = "there is no task named 'report'; did you mean reports?"
        daemon.answers["POST /v1/tasks/report/trigger"] = problem(404, detail, near=["reports"])
        assert main(["trigger", "report", "--socket", daemon.socket]) == 1
        assert capsys.readouterr().err == f"hookd: {detail}\n"

    def test_a_detail_that_is_the_only_fault_is_told_once(
        self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        fault = {"pointer": "/type", "message": "unknown"}
        daemon.answers["POST /v1/events"] = problem(422, "/type: unknown", errors=[fault])
        assert main(["emit", "a", "b", "--socket", daemon.socket]) == 1
        assert capsys.readouterr().err == "hookd: /type: unknown\n"

    def test_503_says_when_to_come_again(
        self, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        daemon.answers["POST /v1/events"] = problem(503, "hookd is stopping", headers={"Retry-After": "5"})
        assert main(["emit", "a", "b", "--socket", daemon.socket]) == 1
        assert capsys.readouterr().err == "hookd: hookd is stopping\ntry again in 5 s\n"

    @pytest.mark.parametrize(
        "canned", [Canned(404, b"<html>"), Canned(500, {"error": "x"}), Canned(200, b"ok"), Canned(302, [])]
    )
    def test_an_answer_that_is_not_hookds_is_told(
        self, canned: Canned, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
    ) -> None:
        daemon.answers["GET /v1/status"] = canned
        assert main(["status", "--socket", daemon.socket]) == 1
        assert f"answered {canned.status}, and not as hookd does" in capsys.readouterr().err

    def test_an_answer_given_before_the_body_was_read_is_seen(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        answer = b'HTTP/1.1 413 Too Large\r\nContent-Length: 21\r\n\r\n{"detail":"too large"}'
        with _answering(tmp_path / "s", answer) as path:
            data = '{"a":"' + "x" * (1 << 22) + '"}'
            assert main(["emit", "a", "b", "--socket", path, "--data", data]) == 1
        assert capsys.readouterr().err == "hookd: too large\n"

    def test_over_a_url_the_token_goes_along(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("TOKEN", "s3cret")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        with serving(("127.0.0.1", 0)) as stub:
            stub.answers["POST /prefix/v1/events"] = Canned(202, RECEIPT)
            words = ["emit", "a", "b", "--url", f"{stub.url}/prefix/", "--token-env", "TOKEN"]
            assert main(words) == 0
        assert stub.asked[0].headers["Authorization"] == "Bearer s3cret"
        assert capsys.readouterr().out.startswith("e1")

    @pytest.mark.parametrize(
        ("raw", "status", "body"),
        [
            (b"HTTP/1.1 200 OK\r\nX-A:  b \r\n\r\nbody", 200, b"body"),
            (b"HTTP/1.0 404\r\nContent-Length: 2\r\n\r\nno", 404, b"no"),
            (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        ],
    )
    def test_an_answer_is_taken_apart(self, raw: bytes, status: int, body: bytes) -> None:
        answer = parse_answer(raw)
        assert (answer.status, answer.body) == (status, body)

    @pytest.mark.parametrize(
        "raw", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/2 x\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"]
    )
    def test_what_is_not_http_is_refused(self, raw: bytes) -> None:
        with pytest.raises(NoAnswer):
            parse_answer(raw)


class TestConfigsThatCannotBeRead:
    """The config only says where the daemon is; where it cannot be read, that is said."""

    def test_it_is_told_why_it_names_no_socket(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "hookd.yaml"
        path.write_text("daemon: {listen: [{unix: h.sock}]}\n")
        path.chmod(0o666)
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("HOOKD_SOCKET", raising=False)
        monkeypatch.delenv("HOOKD_CONFIG", raising=False)
        assert main(["status", "--config", str(path)]) == 3
        said = capsys.readouterr().err
        assert f"{path} is world-writable, so anybody could change it (it belongs to" in said
        assert f"its mode is 0666; fix: chmod o-w {path}), so its" in said

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
    @pytest.mark.parametrize("words", [[], ["--config", "conf/hookd.yaml"], ["--config", "conf/none.yaml"]])
    def test_an_event_is_spooled_all_the_same(self, tmp_path: Path, words: list[str]) -> None:
        (tmp_path / "conf").mkdir(mode=0o700)
        os.chown(tmp_path / "conf", 65534, 65534)
        (tmp_path / "spool").mkdir()
        env = {
            "HOOKD_CONFIG": "conf/hookd.yaml",
            "HOOKD_SPOOL": str(tmp_path / "spool"),
            "PATH": os.environ["PATH"],
        }
        barred = [
            "setpriv",
            "--bounding-set=-dac_override,-dac_read_search",
            sys.executable,
            "-P",
            "-m",
            "hookd",
        ]
        command = [*barred, "emit", "a", "b", *words]
        refused = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        told = f"{words[1]}: cannot be read: permission denied" if words else "not reachable at /run/hookd/"
        assert told in refused.stderr
        ran = subprocess.run(
            [*command, "--spool"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        assert len(list((tmp_path / "spool").iterdir())) == 1

    def test_the_default_spool_is_told_where_the_config_is_not_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("HOOKD_SPOOL", raising=False)
        path = tmp_path / "hookd.yaml"
        path.write_text("daemon: {spool: mine}\n")
        assert spool_writer.directory("", str(path)) == (str(tmp_path / "mine"), "")
        path.chmod(0o666)
        where, doubt = spool_writer.directory("", str(path))
        assert where == "/var/spool/hookd"
        assert doubt.startswith(f"{path} is world-writable")
        assert spool_writer.directory("", "nowhere.yaml") == (where, "nowhere.yaml: no such config")


class TestOtherServers:
    """Over a URL a proxy, or anything else, may answer."""

    @pytest.mark.parametrize("status", [502, 503, 504])
    def test_a_proxy_before_a_stopped_daemon_is_no_daemon(
        self, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with serving(("127.0.0.1", 0)) as proxy:
            proxy.answers["POST /v1/events"] = Canned(status, b"<html>Bad Gateway</html>")
            assert main(["emit", "a", "b", "--url", proxy.url, f"--spool={tmp_path}"]) == 0
            assert f"answered {status}, and not as hookd does" in capsys.readouterr().err
            assert main(["emit", "a", "b", "--url", proxy.url]) == 1
        assert len(list(tmp_path.glob("*.json"))) == 1

    @pytest.mark.parametrize(
        "words",
        [
            ["emit", "a", "b"],
            ["emit", "a", "b", "--wait"],
            ["emit", "--file", "events"],
            ["trigger", "x"],
            ["send", "x"],
        ],
    )
    def test_an_answer_of_something_else(
        self,
        words: list[str],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("events").write_text('{"type": "a", "event": "b"}\n')
        with serving(("127.0.0.1", 0)) as server:
            for path in ("/v1/events", "/v1/tasks/x/trigger", "/v1/webhooks/x/send"):
                server.answers[f"POST {path}"] = Canned(202, {})
            assert main([*words, "--url", server.url]) == 1
        assert f"{server.url} answered 202, and not as hookd does" in capsys.readouterr().err

    def test_a_drip_is_silence(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with _dripping() as url:
            began = time.monotonic()
            assert main(["emit", "a", "b", "--url", url, f"--spool={tmp_path}"]) == 0
            assert time.monotonic() - began < 4
        assert f"no answer from {url} within 2 s" in capsys.readouterr().err
        assert len(list(tmp_path.glob("*.json"))) == 1


@contextmanager
def _dripping() -> Iterator[str]:
    """A server whose answer comes a byte at a time, and never to its end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                for byte in itertools.cycle(b"HTTP/1.1 200 OK\r\nX-A: "):
                    connection.sendall(bytes([byte]))
                    time.sleep(0.05)

        thread = threading.Thread(target=serve)
        thread.start()
        yield "http://{}:{}".format(*listener.getsockname())
        thread.join()
