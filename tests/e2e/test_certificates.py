"""A renewed certificate of the running daemon's listener, as openssl and curl see it (spec 7)."""

import asyncio
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kit.commands import Ended, hookd
from tests.kit.daemon import DaemonProcess
from tests.kit.ports import free_port
from tests.kit.tls import Authority, Pair
from tests.kit.tools import found, needs
from tests.kit.waiting import until

CONFIG = """
daemon:
  listen: [{{unix: h.sock}}, {{http: "127.0.0.1:{port}", tls: {{cert: live/fullchain.pem, key: live/privkey.pem}}}}]
  store: h.db
  log: {{format: json}}
"""


class Site:
    """A daemon with a certificate in `live/`, in the manner of certbot: links to files of `archive/`."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.port = directory, free_port()
        self.live, archive = directory / "live", directory / "archive"
        self.live.mkdir()
        archive.mkdir()
        self.authority = Authority(archive)
        self.daemon = DaemonProcess(directory)
        (directory / "hookd.yaml").write_text(CONFIG.format(port=self.port))

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def issue(self, name: str, valid_days: int = 60) -> Pair:
        return self.authority.issue(name, "127.0.0.1", valid_days=valid_days)

    def link(self, name: str, target: Path) -> None:
        """Let a link point elsewhere, as certbot does: the old one goes first."""
        link = self.live / name
        link.unlink(missing_ok=True)
        link.symlink_to(Path("..") / "archive" / target.name)

    def put(self, pair: Pair) -> None:
        self.link("fullchain.pem", pair.cert)
        self.link("privkey.pem", pair.key)

    def served(self) -> str:
        """The name that the certificate of a new handshake bears."""
        asked = subprocess.run(
            [found("openssl"), "s_client", "-connect", f"127.0.0.1:{self.port}"],
            input=b"", capture_output=True, check=False,
        )  # fmt: skip
        shown = subprocess.check_output(
            [found("openssl"), "x509", "-noout", "-subject", "-nameopt", "multiline"], input=asked.stdout
        )
        return shown.decode().split("=")[-1].strip()

    async def serves(self, name: str) -> None:
        async def look() -> bool:
            return await asyncio.to_thread(self.served) == name

        await until(look)

    async def status(self) -> Ended:
        return await hookd("status", "--check", cwd=self.directory)


@pytest.fixture
async def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@needs("openssl", "curl")
async def test_a_renewed_certificate_is_served_without_a_restart(site: Site) -> None:
    site.put(site.issue("first"))
    async with site.daemon as daemon:
        assert site.served() == "first"
        ended = await site.status()
        assert ended.code == 0
        assert f"{site.address} (certificate until " in ended.out
        kept = await Kept.open(site)
        site.put(site.issue("second"))
        await site.serves("second")
        answer = await asyncio.create_subprocess_exec(
            found("curl"), "--silent", "--fail", "--cacert", site.authority.ca, f"{site.address}/healthz",
            stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert await answer.wait() == 0
        assert await kept.still_answers()
        assert [fact["listen"] for fact in daemon.logged("listener.certificate_renewed")] == [site.address]
        reloaded = await hookd("reload", cwd=site.directory)
        by_itself = daemon.logged("config.reloaded", certificates=f"+0 ~1 -0 ~{site.address}")
        assert by_itself or f"  ~ {site.address}" in reloaded.out.splitlines()


@dataclass(frozen=True)
class Kept:
    """A connection from before a renewal, which its client keeps."""

    process: asyncio.subprocess.Process

    @classmethod
    async def open(cls, site: Site) -> "Kept":
        pipe = asyncio.subprocess.PIPE
        kept = cls(
            await asyncio.create_subprocess_exec(
                *(found("openssl"), "s_client", "-quiet", "-connect", f"127.0.0.1:{site.port}"),
                stdin=pipe,
                stdout=pipe,
                stderr=asyncio.subprocess.DEVNULL,
            )
        )
        assert await kept.ask("keep-alive")
        return kept

    async def ask(self, connection: str) -> bool:
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        head = f"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n\r\n"
        stdin.write(head.encode())
        async with asyncio.timeout(10):
            return b'{"status":"ok"}' in await stdout.readuntil(b"}")

    async def still_answers(self) -> bool:
        answers = await self.ask("close")
        await self.process.wait()
        return answers


@needs("openssl")
async def test_files_replaced_one_after_the_other(site: Site) -> None:
    """For longer than the daemon waits: what does not belong together is reported, and the old one served."""
    site.put(site.issue("first"))
    second = site.issue("second")
    async with site.daemon as daemon:
        site.link("fullchain.pem", second.cert)
        state = await certificate_when(daemon, lambda now: now["error"])
        assert state["error"] == f"it does not belong to the key {site.live / 'privkey.pem'}"
        assert site.served() == "first"
        ended = await site.status()
        assert ended.code == 1
        assert f"the new certificate of {site.address} is not served: it does not belong" in ended.out
        site.link("privkey.pem", second.key)
        await site.serves("second")
        await certificate_when(daemon, lambda now: not now["error"])
        facts = [f["event"] for f in daemon.logged() if f["event"].startswith("listener.")]
        assert facts == ["listener.certificate_refused", "listener.certificate_renewed"]


async def certificate_when(daemon: DaemonProcess, enough: Callable[..., object]) -> dict[str, str]:
    def of(status: dict[str, list[dict[str, dict[str, str]]]]) -> dict[str, str]:
        return status["listeners"][1]["certificate"]

    return of(await daemon.get_when("/v1/status", lambda status: enough(of(status))))


@needs("openssl")
async def test_a_broken_configuration_does_not_keep_a_renewed_certificate_away(site: Site) -> None:
    site.put(site.issue("first"))
    async with site.daemon as daemon:
        (site.directory / "hookd.yaml").write_text("webhooks: [")
        await daemon.get_when("/v1/status", lambda now: not now["config"]["last_reload"]["ok"])
        site.put(site.issue("second"))
        await site.serves("second")


@pytest.mark.parametrize(("valid_days", "code"), [(13, 1), (15, 0), (-1, 1)])
async def test_status_fails_two_weeks_before_the_end(site: Site, valid_days: int, code: int) -> None:
    site.put(site.issue("first", valid_days))
    async with site.daemon as daemon:
        assert (await site.status()).code == code
        ends_at = await daemon.metric(f'hookd_certificate_end_timestamp_seconds{{listen="{site.address}"}}')
        assert ends_at > 0
