"""What an operator sees of connections that were not served, as curl and openssl make them."""

import asyncio
import subprocess
from pathlib import Path
from typing import Any

from tests.kit.commands import hookd
from tests.kit.daemon import DaemonProcess
from tests.kit.ports import free_port
from tests.kit.tls import Authority
from tests.kit.tools import found, needs

CONFIG = """
daemon:
  listen:
    - unix: h.sock
    - http: "127.0.0.1:{plain}"
    - {{http: "127.0.0.1:{tls}", tls: {{cert: server.pem, key: server.key}}}}
  store: h.db
  log: {{format: json}}
"""


def fails(*words: str, exit_code: int) -> None:
    ended = subprocess.run([found(words[0]), *words[1:]], input=b"", capture_output=True, check=False)
    assert ended.returncode == exit_code, ended.stderr


@needs("curl", "openssl")
async def test_what_is_not_served_is_in_metrics_status_and_log(tmp_path: Path) -> None:
    Authority(tmp_path).issue("server", "127.0.0.1")
    plain, tls = free_port(), free_port()
    (tmp_path / "hookd.yaml").write_text(CONFIG.format(plain=plain, tls=tls))
    async with DaemonProcess(tmp_path) as daemon:
        for _ in range(3):
            await asyncio.to_thread(fails, "curl", f"http://127.0.0.1:{tls}/healthz", exit_code=52)
        await asyncio.to_thread(fails, "curl", f"https://127.0.0.1:{tls}/healthz", exit_code=60)
        old = ("openssl", "s_client", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-connect", f"127.0.0.1:{tls}")
        await asyncio.to_thread(fails, *old, exit_code=1)
        for _ in range(2):
            _, writer = await asyncio.open_connection("127.0.0.1", plain)
            writer.close()
            await writer.wait_closed()

        expected = {
            (f"https://127.0.0.1:{tls}", "plain_http"): 3,
            (f"https://127.0.0.1:{tls}", "tls_failed"): 2,
            (f"http://127.0.0.1:{plain}", "no_request"): 2,
        }
        await daemon.get_when("/v1/status", lambda status: counts(status) == expected)
        for (listen, reason), count in expected.items():
            line = f'hookd_connections_unserved_total{{listen="{listen}",reason="{reason}"}}'
            assert await daemon.metric(line) == count
            logged = daemon.logged("connection.unserved", listen=listen, reason=reason)
            assert [fact["count"] for fact in logged] == [1]
        assert await daemon.metric(f'hookd_connections{{listen="http://127.0.0.1:{plain}"}}') == 0
        status = await hookd("status", "--check", cwd=tmp_path)
        told = "2 without a TLS handshake, 3 of plain HTTP to HTTPS, 2 without a request"
        assert (status.code, f"connections not served since the start: {told}" in status.out) == (0, True)


def counts(status: Any) -> dict[object, int]:
    return {
        (listener["listen"], reason): each["count"]
        for listener in status["listeners"]
        for reason, each in listener["connections"]["unserved"].items()
        if each["count"]
    }
