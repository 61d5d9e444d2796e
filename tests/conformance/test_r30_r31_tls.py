"""R30 and R31: which certificates are accepted, and that the switch that accepts all is seen everywhere."""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.kit.receiver import Receiver
from tests.kit.stage import Stage
from tests.kit.tls import Authority, self_signed, server_context
from tests.kit.tls_servers import HelloOfTls10, PlainServer, Strict, old_versions, only

INSECURE = "allow_insecure_certificates: true"
CA = "tls: {ca: ca.pem}"
CLIENT = "tls: {ca: ca.pem, cert: client.pem, key: client.key}"
STRANGER = "tls: {ca: ca.pem, cert: stranger.pem, key: stranger.key}"
INSECURE_CLIENT = f"{INSECURE}\n    tls: {{cert: client.pem, key: client.key}}"
DEFAULT = "description: as it comes"

ACCEPTED = {
    ("self-signed", "insecure"): INSECURE,
    ("self-signed", "pinned"): "tls: {ca: self-signed.pem}",
    ("private", "insecure"): INSECURE,
    ("private", "ca"): CA,
    ("other-name", "insecure"): INSECURE,
    ("expired", "insecure"): INSECURE,
    ("tls12", "ca"): CA,
    ("tls12", "insecure"): INSECURE,
    ("demanding", "certificate"): CLIENT,
    ("demanding", "insecure, certificate"): INSECURE_CLIENT,
}
"""By receiver and name: the settings of webhooks whose message arrives."""

CERTIFICATE = "the certificate of PLACE was refused: "
HANDSHAKE = "TLS with PLACE failed: "
REFUSED = {
    ("self-signed", "default"): (DEFAULT, CERTIFICATE, "self.signed certificate"),
    ("self-signed", "false"): ("allow_insecure_certificates: false", CERTIFICATE, "self.signed certificate"),
    ("self-signed", "another ca"): (CA, CERTIFICATE, "self.signed certificate"),
    ("private", "default"): (DEFAULT, CERTIFICATE, "unable to get local issuer certificate"),
    ("private", "another ca"): (
        "tls: {ca: self-signed.pem}",
        CERTIFICATE,
        "unable to get local issuer certificate",
    ),
    ("other-name", "ca"): (CA, CERTIFICATE, r"IP address mismatch.*'127\.0\.0\.1'"),
    ("expired", "ca"): (CA, CERTIFICATE, "certificate has expired"),
    ("demanding", "no certificate"): (CA, HANDSHAKE, "alert certificate required"),
    ("demanding", "another's certificate"): (STRANGER, HANDSHAKE, "alert unknown ca"),
    ("demanding", "insecure"): (INSECURE, HANDSHAKE, "alert certificate required"),
    ("tls11", "ca"): (CA, HANDSHAKE, "alert protocol version"),
    ("tls11", "insecure"): (INSECURE, HANDSHAKE, "alert protocol version"),
    ("tls10", "ca"): (CA, HANDSHAKE, "alert protocol version"),
    ("tls10", "insecure"): (INSECURE, HANDSHAKE, "alert protocol version"),
    ("hello10", "ca"): (CA, HANDSHAKE, "unsupported protocol"),
    ("hello10", "insecure"): (INSECURE, HANDSHAKE, "unsupported protocol"),
}
"""By receiver and name: the settings of webhooks whose message does not arrive, how the record's error begins, and
what OpenSSL says after that (a pattern)."""

Row = tuple[str, str]
ROWS: dict[Row, str] = {**ACCEPTED, **{row: settings for row, (settings, _, _) in REFUSED.items()}}
INSECURE_ROWS = [row for row, settings in ROWS.items() if INSECURE in settings]


def named(row: Row) -> str:
    return " / ".join(row)


def target(row: Row) -> str:
    return "/" + "/".join(row).replace(", ", "-").replace(" ", "-").replace("'", "")


@dataclass
class Scene:
    """The receivers by name, and the stage whose webhooks call them."""

    stage: Stage
    open: dict[str, Receiver]
    strict: dict[str, Strict]
    hello10: HelloOfTls10
    ports: dict[str, int]

    async def sent(self, row: Row) -> dict[str, object]:
        _, receipt = await self.stage.daemon.post({"type": "tls", "event": named(row)})
        [record] = await self.stage.settled(receipt)
        [attempt] = record["attempts"]
        return {"state": record["state"], "id": record["id"], **attempt}

    def arrived(self, row: Row) -> list[bytes]:
        """The first lines of the requests that came to the row's target."""
        receiver = self.open.get(row[0])
        heads = [request.head.split(b"\r\n")[0] for request in receiver.requests] if receiver else []
        heads += self.strict[row[0]].heads if row[0] in self.strict else []
        return [head for head in heads if head.split(b" ")[1] == target(row).encode()]


def contexts(directory: Path) -> tuple[dict[str, ssl.SSLContext], dict[str, ssl.SSLContext]]:
    """The receivers' contexts, by name; the first kind lets go of those it refuses, the second says why."""
    authority = Authority(directory)
    good = authority.issue("good", "127.0.0.1", "localhost")
    authority.issue("client")
    (directory / "strangers").mkdir()
    stranger = Authority(directory / "strangers", "an authority of strangers").issue("stranger")
    stranger.cert.rename(directory / "stranger.pem")
    stranger.key.rename(directory / "stranger.key")
    return {
        "self-signed": server_context(self_signed(directory, "127.0.0.1")),
        "private": server_context(good),
        "other-name": server_context(authority.issue("other", "127.0.0.2", "other.example")),
        "expired": server_context(authority.issue("expired", "127.0.0.1", valid_days=-1)),
        "tls12": only(server_context(good), ssl.TLSVersion.TLSv1_2),
    }, {
        "demanding": server_context(good, clients=authority.ca),
        "tls11": only(server_context(good), ssl.TLSVersion.TLSv1_1),
        "tls10": only(server_context(good), ssl.TLSVersion.TLSv1),
    }


def config(ports: dict[str, int]) -> str:
    return "".join(
        (
            "webhooks:\n",
            *(
                f'  "{named(row)}":\n    url: https://127.0.0.1:{ports[row[0]]}{target(row)}\n'
                f"    timeout: 10\n    retries: 0\n    {settings}\n"
                for row, settings in ROWS.items()
            ),
            "tasks:\n",
            *(f'  "{named(row)}": {{webhook: "{named(row)}"}}\n' for row in ROWS),
            "events:\n",
            *(
                f'  "{named(row)}": {{type: tls, event: "{named(row)}", task: "{named(row)}"}}\n'
                for row in ROWS
            ),
        )
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    directory = tmp_path_factory.mktemp("tls")
    lenient, strict = contexts(directory)
    async with AsyncExitStack() as stack:
        opened = {name: await stack.enter_async_context(Receiver(tls=tls)) for name, tls in lenient.items()}
        serving: dict[str, Strict] = {name: Strict(tls) for name, tls in strict.items()}
        hello10 = HelloOfTls10()
        ports = {name: receiver.port for name, receiver in opened.items()}
        ports |= {name: stack.enter_context(PlainServer(serve)).port for name, serve in serving.items()}
        ports["hello10"] = stack.enter_context(PlainServer(hello10)).port
        stage = await stack.enter_async_context(Stage(directory))
        stage.write(config(ports))
        await stage.start()
        yield Scene(stage, opened, serving, hello10, ports)
        await stage.stop()


@pytest.mark.parametrize("row", ACCEPTED, ids=named)
async def test_r30_a_certificate_that_is_accepted(scene: Scene, row: Row) -> None:
    before = len(scene.arrived(row))
    attempt = await scene.sent(row)
    assert scene.arrived(row)[before:] == [f"POST {target(row)} HTTP/1.1".encode()]
    assert (attempt["state"], attempt["status"], attempt["reason"]) == ("delivered", 200, "ok")
    assert attempt["insecure"] is (row in INSECURE_ROWS)


@pytest.mark.parametrize("row", REFUSED, ids=named)
async def test_r30_a_certificate_or_version_that_is_refused(scene: Scene, row: Row) -> None:
    attempt = await scene.sent(row)
    assert scene.arrived(row) == [], "not one byte of the message went out"
    assert (attempt["state"], attempt["status"], attempt["reason"]) == ("dead", None, "tls")
    _, begins, says = REFUSED[row]
    begins = begins.replace("PLACE", f"127.0.0.1:{scene.ports[row[0]]}")
    assert re.fullmatch(f"{re.escape(begins)}.*{says}.*", str(attempt["error"]))
    assert attempt["insecure"] is (row in INSECURE_ROWS)


async def test_r30_the_demanded_certificate_is_the_clients(scene: Scene) -> None:
    await scene.sent(("demanding", "certificate"))
    assert scene.strict["demanding"].subjects[-1] == ((("commonName", "client"),),)


@pytest.mark.parametrize("name", ["tls10", "tls11"])
async def test_r30_the_receivers_of_old_versions_do_serve_others(scene: Scene, name: str) -> None:
    """Else the refusals above would prove nothing."""

    def call() -> tuple[str | None, bytes]:
        lax = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        lax.check_hostname, lax.verify_mode = False, ssl.CERT_NONE
        lax.set_ciphers("ALL:@SECLEVEL=0")
        with old_versions():
            lax.minimum_version = ssl.TLSVersion.TLSv1
        with (
            socket.create_connection(("127.0.0.1", scene.ports[name])) as plain,
            lax.wrap_socket(plain) as secure,
        ):
            secure.sendall(b"GET /lax HTTP/1.1\r\n\r\n")
            return secure.version(), secure.recv(15)

    assert await asyncio.to_thread(call) == ({"tls10": "TLSv1", "tls11": "TLSv1.1"}[name], b"HTTP/1.1 200 OK")


async def test_r30_nothing_below_tls_1_2_is_offered(scene: Scene) -> None:
    seen = len(scene.hello10.answers)
    await scene.sent(("hello10", "ca"))
    await scene.sent(("hello10", "insecure"))
    assert scene.hello10.offered[seen:] == [[0x0304, 0x0303]] * 2
    assert {answer[:1] for answer in scene.hello10.answers[seen:]} <= {b"", b"\x15"}, "an alert at most"


async def test_r30_it_is_off_by_default_and_per_webhook(scene: Scene) -> None:
    config = await scene.stage.daemon.get("/v1/config")
    insecure = {name for name, webhook in config["webhooks"].items() if webhook["tls"]["insecure"]}
    assert insecure == {named(row) for row in INSECURE_ROWS}


async def test_r30_different_settings_never_share_a_connection(stage: Stage) -> None:
    authority = Authority(stage.directory)
    authority.issue("client")
    tls = server_context(authority.issue("good", "127.0.0.1"), clients=authority.ca)
    tls.verify_mode = ssl.CERT_OPTIONAL
    settings = {
        "ca": CA,
        "ca too": CA,
        "client": CLIENT,
        "insecure": INSECURE,
        "insecure client": INSECURE_CLIENT,
    }
    async with Receiver(tls=tls) as receiver:
        webhooks = "".join(
            f'  "{key}":\n    url: SECURE/{key.replace(" ", "-")}\n    {text}\n'
            for key, text in settings.items()
        )
        tasks = "".join(f'  "{key}": {{webhook: "{key}"}}\n' for key in settings)
        events = "".join(f'  "{key}": {{type: tls, event: "{key}", task: "{key}"}}\n' for key in settings)
        stage.write(f"webhooks:\n{webhooks}tasks:\n{tasks}events:\n{events}", SECURE=receiver.url)
        await stage.start()
        for _ in range(3):
            for key in settings:
                _, receipt = await stage.daemon.post({"type": "tls", "event": key})
                await stage.settled(receipt)
        came = {key: receiver.at(f"/{key.replace(' ', '-')}") for key in settings}
        assert [len(requests) for requests in came.values()] == [3] * 5
        used = {key: {request.connection for request in requests} for key, requests in came.items()}
        assert [len(connections) for connections in used.values()] == [1] * 5, "connections are kept alive"
        assert used["ca"] == used["ca too"], "and shared where the settings are alike"
        assert len(set.union(*used.values())) == 4
        for key, requests in came.items():
            assert [request.client is not None for request in requests] == ["client" in key] * 3
        await stage.stop()


async def test_r31_check_warns_of_it_at_its_place(scene: Scene) -> None:
    ran = await scene.stage.hookd("check", "hookd.yaml")
    assert ran.code == 0
    warned = [line for line in ran.out.splitlines() if "warning:" in line]
    assert len(warned) == len(INSECURE_ROWS)
    for row in INSECURE_ROWS:
        [line] = [line for line in warned if f'"{named(row)}".allow_insecure_certificates: ' in line]
        assert "the receiver's certificate is not checked" in line
    strict = await scene.stage.hookd("check", "--strict", "hookd.yaml")
    assert strict.code == 1


async def test_r31_the_daemon_warns_of_it_when_it_loads(scene: Scene) -> None:
    lines = scene.stage.daemon.log.read_text().splitlines()
    for row in INSECURE_ROWS:
        place = f'"{named(row)}".allow_insecure_certificates: the receiver\'s certificate is not checked'
        assert sum(place in line.replace('\\"', '"') for line in lines) == 1


async def test_r31_status_warns_of_it(scene: Scene) -> None:
    status = await scene.stage.daemon.get("/v1/status")
    assert {lane["name"] for lane in status["webhooks"] if lane["insecure"]} == {
        named(row) for row in INSECURE_ROWS
    }
    listed = await scene.stage.daemon.get("/v1/webhooks")
    assert {lane["name"] for lane in listed["webhooks"] if lane["insecure"]} == {
        named(row) for row in INSECURE_ROWS
    }
    warned = [
        line for line in status["config"]["warnings"] if "the receiver's certificate is not checked" in line
    ]
    assert len(warned) == len(INSECURE_ROWS)


async def test_r31_history_tells_of_it(scene: Scene) -> None:
    insecure = await scene.sent(("private", "insecure"))
    secure = await scene.sent(("private", "ca"))
    shown = [(await scene.stage.hookd("show", str(one["id"]))).out for one in (insecure, secure)]
    assert ["certificate not checked" in text for text in shown] == [True, False]


async def test_r31_status_on_the_terminal_warns_of_it(stage: Stage) -> None:
    stage.write(
        f"webhooks:\n  risky: {{url: https://127.0.0.1:1, {INSECURE}}}\n  safe: {{url: https://127.0.0.1:1}}\n"
    )
    await stage.start()
    shown = (await stage.hookd("status")).out
    [warned] = [line for line in shown.splitlines() if line.startswith("- ")]
    assert "webhooks.risky.allow_insecure_certificates" in warned
    rows = {line.split()[0]: line for line in shown.splitlines() if line.startswith(("risky ", "safe "))}
    assert ("insecure" in rows["risky"], "insecure" in rows["safe"]) == (True, False)
    assert "everything is all right" not in shown
