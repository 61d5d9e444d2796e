"""`${secret.NAME}`: filled in at each attempt from what is in force, signed as sent, stored and shown nowhere."""

import hashlib
import hmac
import json
from pathlib import Path

from tests.e2e.conftest import DAEMON, Running
from tests.kit.receiver import Received, Receiver, response

CONFIG = """
webhooks:
  pager:
    url: {url}/p
    backoff: [20ms]
    signing: {{style: github, secret: any text}}
    secrets: {{KEY: {{file: key}}}}
tasks:
  t: {{webhook: pager, message: {{routing_key: "${{secret.KEY}}", echo: "${{data.x}}"}}}}
events:
  e: {{type: a, event: b, task: t}}
"""


def stored(directory: Path) -> bytes:
    """Every byte of the store."""
    return b"".join(path.read_bytes() for path in directory.glob("h.db*"))


async def test_a_secret_of_a_message_is_the_one_in_force_at_the_attempt(
    receiver: Receiver, running: Running, tmp_path: Path
) -> None:
    async def echo_and_refuse_the_first(request: Received) -> bytes:
        return response(500 if len(receiver.requests) == 1 else 200, body=request.body)

    receiver.reply = echo_and_refuse_the_first
    (tmp_path / "key").write_text('f1rst "k3y"\n')
    daemon = await running(CONFIG.format(url=receiver.url))
    event = {"type": "a", "event": "b", "data": {"x": "${secret.KEY}\u00ff"}}
    [made] = (await daemon.post(event))[1]["deliveries"]
    found = await daemon.delivery_when(made["id"], "delivered")
    for request in await receiver.wait_for(2):
        assert json.loads(request.body) == {"routing_key": 'f1rst "k3y"', "echo": "${secret.KEY}\u00ff"}
        digest = hmac.new(b"any text", request.body, hashlib.sha256).hexdigest()
        assert request.header("x-hub-signature-256") == f"sha256={digest}"
    assert json.loads(found["body"])["routing_key"] == "${secret.KEY}"
    assert "f1rst" not in json.dumps([found, await daemon.get("/v1/config")])

    await daemon.request("POST", "/v1/webhooks/pager/pause")
    [made] = (await daemon.post(event))[1]["deliveries"]
    (tmp_path / "key").write_text("s3cond k3y")
    assert (await daemon.request("POST", "/v1/reload"))[0] == 200
    await daemon.request("POST", "/v1/webhooks/pager/resume")
    assert json.loads((await receiver.wait_for(3))[-1].body)["routing_key"] == "s3cond k3y"
    await daemon.delivery_when(made["id"], "delivered")

    answered, problem = await daemon.request(
        "POST", "/v1/webhooks/pager/send", body={"message": {"k": "${secret.KEY}"}}
    )
    assert answered == 422
    assert "never in one that a client sends" in problem["detail"]
    assert await daemon.stop() == 0
    kept = stored(tmp_path)
    assert b"routing_key" in kept
    assert b"f1rst" not in kept
    assert b"s3cond" not in kept


async def test_no_client_gets_a_secret_filled_into_what_it_wrote(
    receiver: Receiver, running: Running, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("the s3cret k3y")
    daemon = await running(CONFIG.format(url=receiver.url))
    reference = "${secret.KEY}"
    for message in (reference, {"a": [f"x {reference}"]}, {"a": "${data.x:-" + reference + "}"}, [reference]):
        answered, problem = await daemon.request("POST", "/v1/webhooks/pager/send", body={"message": message})
        assert answered == 422
        assert "s3cret" not in json.dumps(problem)
    shape = "\u00ffjson:KEY\u00fe"  # as a stored message names a secret, could a text hold its bytes
    data = {"x": f"{reference} $${reference} {shape}"}
    message = {"m": shape, "n": "$${secret.KEY}"}
    for number, (path, body) in enumerate(
        (
            ("/v1/tasks/t/trigger", {"object": reference, "data": data}),
            ("/v1/events", {"type": "a", "event": "b", "object": {"name": reference}, "data": data}),
            ("/v1/webhooks/pager/send", {"message": message}),
        ),
        start=1,
    ):
        answered, _ = await daemon.request("POST", path, body=body)
        assert answered == 202
        await receiver.wait_for(number)
    triggered, posted, sent = [json.loads(request.body) for request in receiver.requests]
    assert triggered == posted == {"routing_key": "the s3cret k3y", "echo": data["x"]}
    assert sent == {"m": shape, "n": reference}
    assert await daemon.stop() == 0
    assert b"s3cret" not in stored(tmp_path)


async def test_a_message_waits_for_a_secret_that_its_webhook_lost(
    receiver: Receiver, running: Running, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("the key")
    config = CONFIG.format(url=receiver.url)
    daemon = await running(config)
    await daemon.request("POST", "/v1/webhooks/pager/pause")
    [made] = (await daemon.post({"type": "a", "event": "b"}))[1]["deliveries"]
    lost = config.replace("    secrets: {KEY: {file: key}}\n", "").replace("${secret.KEY}", "none")
    (tmp_path / "hookd.yaml").write_text(DAEMON + lost)
    assert (await daemon.request("POST", "/v1/reload"))[0] == 200
    await daemon.request("POST", "/v1/webhooks/pager/resume")
    found = await daemon.get_when(f"/v1/deliveries/{made['id']}", lambda found: found["attempts"])
    assert (found["state"], found["failures"], receiver.requests) == ("pending", 0, [])
    assert found["last_error"] == (
        "the message needs the secret KEY, which the webhook does not have; declare it under its secrets"
    )
    (tmp_path / "hookd.yaml").write_text(DAEMON + config)
    assert (await daemon.request("POST", "/v1/reload"))[0] == 200
    await daemon.request("POST", f"/v1/deliveries/{made['id']}/retry")
    assert json.loads((await receiver.wait_for(1))[0].body)["routing_key"] == "the key"
