"""Link-local and metadata addresses are never called, in any spelling: in a network where somebody does listen there.

Run again by itself (`python -m tests.chaos.secrets.never DIRECTORY`) inside a network and mount namespace of its own,
with those addresses on its loopback interface and a hosts file of its own.

Must never: add an address outside that namespace. Called by: the package.
"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.chaos.proof import Findings, Options
from tests.kit.stage import Stage

PORT = 8080
FORBIDDEN = ("169.254.169.254", "169.254.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192")
FORBIDDEN_6 = (
    "fd00:ec2::254", "fe80::1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::1",
    "fd00:ec2::23", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42", "fd00:a9fe:a9fe::1", "fd00:100::100:200",
    "2001:0:808:808:0:0:5601:5601", "fd12::5efe:a9fe:a9fe", "fd12:0:a9fe:a9fe::1", "fd12:1:2:3:64:6464:c800:0",
)  # fmt: skip
ALLOWED = ("127.0.0.1", "127.9.9.9", "10.1.2.3", "192.168.7.7", "172.16.5.5")
ALLOWED_6 = ("::1", "fd12:3456::1")
SPELLINGS = (
    "2852039166", "0xA9FEA9FE", "0xa9.0xfe.0xa9.0xfe", "0251.0376.0251.0376", "169.254.43518", "169.16689662",
    "0251.254.0xa9.254", "169.254.169.254.", "100.100.25800", "1684301000", "0xA83F8110", "3221225664",
    "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[0:0:0:0:0:ffff:a9fe:a9fe]", "[64:ff9b::169.254.169.254]",
    "[::169.254.169.254]", "[::ffff:100.100.100.200]", "[64:ff9b::100.100.100.200]", "[fe80::1%25lo]",
    "[fd00:ec2:0:0::254]", "[FD00:EC2::254]", "[::ffff:192.0.0.192]", "[::ffff:168.63.129.16]",
)  # fmt: skip


async def never(directory: Path, findings: Findings, options: Options) -> dict[str, object]:
    """Run the part in its own network; returns the figures, or why there are none."""
    own = ["unshare", "--net", "--mount", "--propagation", "private"]
    own += [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    if not await asyncio.to_thread(_can_run, [*own, "true"]):
        return {"never_called": "not run: no network namespace can be made here"}
    ran = await asyncio.create_subprocess_exec(
        *own, sys.executable, "-m", "tests.chaos.secrets.never", str(directory),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    out, err = await ran.communicate()
    findings.expect(ran.returncode == 0, f"the part of the addresses ended with {err.decode()[-2000:]}")
    if ran.returncode:
        return {}
    told: dict[str, Any] = json.loads(out)
    for violation in told.pop("violations"):
        findings.expect(False, violation)
    return told


def _can_run(command: list[str]) -> bool:
    return not subprocess.run(command, capture_output=True, check=False).returncode


def _make_network(directory: Path) -> Path:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in (*FORBIDDEN, *ALLOWED[2:]):
        subprocess.run(["ip", "addr", "add", f"{address}/32", "dev", "lo"], check=True)
    for address in (*FORBIDDEN_6, ALLOWED_6[1]):
        subprocess.run(["ip", "-6", "addr", "add", f"{address}/128", "dev", "lo", "nodad"], check=True)
    hosts = directory / "hosts"
    names = {f"bad-{n}": address for n, address in enumerate((*FORBIDDEN, *FORBIDDEN_6[:3]))}
    names |= {f"good-{n}": address for n, address in enumerate(ALLOWED)}
    lines = [f"{address} {name}.test" for name, address in names.items()]
    lines += ["127.0.0.1 localhost", "169.254.169.254 both.test", "10.1.2.3 both.test", "10.1.2.3 turns.test"]
    hosts.write_text("\n".join(lines) + "\n")
    subprocess.run(["mount", "--bind", str(hosts), "/etc/hosts"], check=True)
    return hosts


class _Ear:
    """Counts connections by the address they came to."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard.append(writer.get_extra_info("sockname")[0])
        try:
            while line := await reader.readuntil(b"\r\n\r\n"):
                length = int(line.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
                await reader.readexactly(length)
                writer.write(
                    b"HTTP/1.1 302 X\r\nLocation: http://169.254.169.254:8080/\r\nContent-Length: 0\r\n\r\n"
                )
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def _main(directory: Path) -> dict[str, Any]:
    hosts, ear, findings = _make_network(directory), _Ear(), Findings()
    for host in ("0.0.0.0", "::"):
        await asyncio.start_server(ear, host, PORT)
    bad_hosts = [*FORBIDDEN, *(f"[{each}]" for each in FORBIDDEN_6 if each != "fe80::1"), *SPELLINGS]
    bad_hosts += [f"bad-{n}.test" for n in range(len(FORBIDDEN) + 3)]
    good_hosts = [
        *ALLOWED,
        *(f"[{each}]" for each in ALLOWED_6),
        *(f"good-{n}.test" for n in range(len(ALLOWED))),
    ]
    good_hosts += ["both.test", "turns.test"]
    hooks = {f"bad{n}": host for n, host in enumerate(bad_hosts)}
    hooks |= {f"good{n}": host for n, host in enumerate(good_hosts)}
    async with Stage(directory / "stage") as stage:
        lines = [
            f"  {name}: {{url: 'http://{host}:{PORT}/', retries: 2, backoff: [1s], timeout: 3}}\n"
            for name, host in hooks.items()
        ]
        stage.write("webhooks:\n" + "".join(lines))
        await stage.start()
        called = await _call(stage, [name for name in hooks if name.startswith("bad")])
        findings.expect(not ear.heard, f"connections came to {sorted(set(ear.heard))}")
        for name, record in called.items():
            reasons = {attempt["error"] for attempt in record["attempts"]}
            findings.expect(
                len(record["attempts"]) == 3, f"{hooks[name]}: {len(record['attempts'])} attempts, {reasons}"
            )
        good = await _call(stage, [name for name in hooks if name.startswith("good")])
        for name, record in good.items():
            answered = {attempt["status"] for attempt in record["attempts"]}
            findings.expect(answered == {302}, f"{hooks[name]} was answered {answered}")
        await _rebinding(stage, hosts, ear, hooks)
    allowed = {*ALLOWED, *ALLOWED_6, *(f"::ffff:{each}" for each in ALLOWED)}
    wrong = sorted(set(ear.heard) - allowed)
    findings.expect(not wrong, f"connections came to {wrong}")
    attempts = sum(len(record["attempts"]) for record in called.values())
    return {
        "spellings_of_forbidden_addresses": len(bad_hosts), "attempts_at_them": attempts,
        "connections_there": len([each for each in ear.heard if each not in allowed]),
        "allowed_addresses_called": len(good), "violations": findings.violations,
    }  # fmt: skip


async def _rebinding(stage: Stage, hosts: Path, ear: _Ear, hooks: dict[str, str]) -> None:
    """A name that was good turns bad between two attempts, also where a connection to it is kept."""
    name = next(each for each, host in hooks.items() if host == "turns.test")
    await asyncio.sleep(0.1)
    _turn(hosts)
    await _call(stage, [name])


def _turn(hosts: Path) -> None:
    hosts.write_text(hosts.read_text().replace("10.1.2.3 turns.test", "169.254.169.254 turns.test"))


async def _call(stage: Stage, names: list[str]) -> dict[str, Any]:
    made = {}
    for name in names:
        answered, receipt = await stage.daemon.request("POST", f"/v1/webhooks/{name}/send", body={})
        assert answered == 202, receipt
        made[name] = receipt["deliveries"][0]["id"]
    return {name: await stage.daemon.delivery_when(one, "dead", within_s=60) for name, one in made.items()}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_main(Path(sys.argv[1])))))
