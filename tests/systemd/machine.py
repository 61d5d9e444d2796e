"""A booted Debian for tests: a real systemd in `systemd-nspawn`, on an overlay of this machine's root file system.

Nothing of it outlives the tests: what it writes lies on a tmpfs. It has a network of its own, with a loopback alone.
"""

import asyncio
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

REPOSITORY = Path(__file__).parents[2]
PREFIX = Path("/opt/hookd")
SOURCE = Path("/srv/hookd")
DEPENDENCIES = Path("/opt/dependencies")
HIDDEN = ("/root/", "/home/", "/tmp/", "/run/")
"""What services cannot see (ProtectHome=, PrivateTmp=): no interpreter there can run one."""

_CLONE_NEWNET = 0x40000000
_BOOT_S = 60.0


def missing() -> str | None:
    """Why no machine can be booted here; None where one can."""
    if os.geteuid() != 0:
        return "booting a systemd needs root"
    if shutil.which("systemd-nspawn") is None or shutil.which("nsenter") is None:
        return "systemd-nspawn or nsenter is not installed (Debian: systemd-container, util-linux)"
    if interpreter() is None:
        return f"no Python {sysconfig.get_python_version()} outside of {', '.join(HIDDEN)}"
    return None


def interpreter() -> str | None:
    """A Python that services can see and that our installed dependencies fit."""
    base = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    for path in ("/usr/bin/python3", base):
        if not Path(path).exists() or path.startswith(HIDDEN):
            continue
        asked = [path, "-c", "import sysconfig; print(sysconfig.get_python_version())"]
        if subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip() == (
            sysconfig.get_python_version()
        ):
            return path
    return None


@dataclass(frozen=True)
class Machine:
    """A booted machine. `init` is the process id of its systemd, `root` its root directory as seen from here."""

    init: int
    root: Path

    def run(self, *command: str, check: bool = True, cwd: str = "/") -> subprocess.CompletedProcess[str]:
        """Run a command inside; its output is text."""
        entered = [
            "nsenter",
            "-t",
            str(self.init),
            "-m",
            "-p",
            "-n",
            "-i",
            "-u",
            f"--wd=/proc/{self.init}/root{cwd}",
        ]
        env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            [*entered, *command], check=False, capture_output=True, text=True, timeout=120, env=env
        )
        assert done.returncode == 0 or not check, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def systemctl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("systemctl", "--no-pager", *arguments, check=check)

    def show(self, unit: str, *names: str) -> dict[str, str]:
        """Properties of a unit."""
        out = self.systemctl("show", unit, *(f"--property={name}" for name in names)).stdout
        return dict(line.split("=", 1) for line in out.splitlines())

    def journal(self, unit: str) -> str:
        return self.run("journalctl", "--no-pager", "-o", "cat", "-u", unit).stdout

    def path(self, inside: str) -> Path:
        """How a path inside is reached from here, mounts and sockets included."""
        return Path(f"/proc/{self.init}/root{inside}")

    def write(self, inside: str, text: str, *, mode: int = 0o644) -> None:
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def enter_network(self) -> None:
        """Let the calling thread's new sockets be the machine's; the thread stays there for good."""
        with Path(f"/proc/{self.init}/ns/net").open() as net:
            if ctypes.CDLL(None, use_errno=True).setns(net.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")

    def within(self, call: Callable[[], T]) -> T:
        """Call something in a thread whose network is the machine's."""
        with ThreadPoolExecutor(1, initializer=self.enter_network) as pool:
            return pool.submit(call).result()

    def bound(self, port: int = 0, *, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A socket bound in the machine's network."""

        def bind() -> socket.socket:
            sock = socket.socket(socket.AF_INET, kind)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", port))
            return sock

        return self.within(bind)


async def eventually(look: Callable[[], T | None], *, within_s: float = 20.0) -> T:
    """What `look` returns once that is something; nothing announces it, so it is asked again and again."""
    deadline = time.monotonic() + within_s
    while True:
        found = await asyncio.to_thread(look)
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {look}"
        await asyncio.sleep(0.05)


@contextmanager
def booted() -> Iterator[Machine]:
    """Boot a machine with hookd's program at its place, and nothing else of hookd installed."""
    with ExitStack() as stack:
        base = Path(tempfile.mkdtemp(prefix="hookd-systemd-"))
        stack.callback(base.rmdir)
        _mount(stack, base, "-t", "tmpfs", "-o", "mode=0755,size=2g", "tmpfs")
        for name in ("upper", "work", "root"):
            (base / name).mkdir()
        root = base / "root"
        layers = f"lowerdir=/,upperdir={base}/upper,workdir={base}/work"
        _mount(stack, root, "-t", "overlay", "-o", layers, "overlay")
        _furnish(root)
        log = stack.enter_context((base / "console").open("wb"))
        nspawn = subprocess.Popen(
            [
                "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot", "--private-network",
                "--resolv-conf=off", "--timezone=off", f"--directory={root}",
                f"--bind-ro={sysconfig.get_path('purelib')}:{DEPENDENCIES}", "systemd.unit=multi-user.target",
            ],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        stack.callback(nspawn.wait, 60)
        stack.callback(nspawn.kill)
        machine = Machine(_init_of(nspawn), root)
        stack.callback(_kill, machine.init)
        _await_boot(machine, base / "console")
        yield machine


def _mount(stack: ExitStack, target: Path, *arguments: str) -> None:
    subprocess.run(["mount", *arguments, str(target)], check=True)
    stack.callback(subprocess.run, ["umount", "-l", str(target)], check=True)


def _furnish(root: Path) -> None:
    """Take out what this machine runs besides, and put hookd's program in."""
    units = root / "etc/systemd/system"
    shutil.rmtree(units)
    units.mkdir()
    for file in ("etc/fstab", "etc/machine-id"):
        (root / file).write_text("")
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    (root / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    shutil.rmtree(root / "etc/hookd", ignore_errors=True)
    (root / str(SOURCE).lstrip("/")).mkdir(parents=True)
    shutil.copytree(REPOSITORY / "systemd", root / str(SOURCE / "systemd").lstrip("/"))
    (root / str(DEPENDENCIES).lstrip("/")).mkdir(parents=True)
    _install(root / str(PREFIX).lstrip("/"))


def _install(prefix: Path) -> None:
    """What `python3 -m venv` and `pip install .` would put there, but that dependencies are borrowed."""
    shutil.rmtree(prefix, ignore_errors=True)
    python = interpreter()
    assert python is not None
    subprocess.run([python, "-m", "venv", "--without-pip", str(prefix)], check=True)
    packages = prefix / f"lib/python{sysconfig.get_python_version()}/site-packages"
    shutil.copytree(REPOSITORY / "hookd", packages / "hookd", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in ("docs", "schema"):
        shutil.copytree(REPOSITORY / folder, packages / "hookd" / folder)
    (packages / "dependencies.pth").write_text(f"{DEPENDENCIES}\n")
    program = prefix / "bin/hookd"
    program.write_text(
        f"#!{PREFIX}/bin/python3\nimport sys\nfrom hookd.__main__ import main\nsys.exit(main())\n"
    )
    program.chmod(0o755)
    subprocess.run([python, "-m", "compileall", "-q", str(packages / "hookd")], check=True)


def _init_of(nspawn: "subprocess.Popen[Any]") -> int:
    """The machine's first process: the child of nspawn that is process 1 of a namespace of its own."""
    deadline = time.monotonic() + _BOOT_S
    while time.monotonic() < deadline:
        assert nspawn.poll() is None, "systemd-nspawn has ended"
        with suppress(FileNotFoundError, ProcessLookupError):
            for child in Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children").read_text().split():
                pids = next(
                    line.split()[1:]
                    for line in Path(f"/proc/{child}/status").read_text().splitlines()
                    if line.startswith("NSpid")
                )
                if (
                    pids[-1] == "1"
                    and len(pids) > 1
                    and Path(f"/proc/{child}/comm").read_text() == "systemd\n"
                ):
                    return int(child)
        time.sleep(0.05)
    raise AssertionError("no machine within a minute")


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _await_boot(machine: Machine, console: Path) -> None:
    deadline = time.monotonic() + _BOOT_S
    while time.monotonic() < deadline:
        done = machine.systemctl("is-active", "multi-user.target", check=False)
        if done.stdout.strip() == "active":
            return
        time.sleep(0.1)
    raise AssertionError(f"not booted within a minute:\n{console.read_text(errors='replace')[-3000:]}")
