"""A PostgreSQL server of the tests' own, in a temporary directory, and a pgbouncer before it: sockets only.

Both refuse to run as root, so they run as a system user where the tests do.
"""

import atexit
import contextlib
import functools
import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

_SHARED = "HOOKD_TEST_POSTGRES"
"""Where the server of the process that started the tests is, for the processes that the tests start."""

_USERS = ("postgres", "nobody")
_POOLER_PORT = 6432


@dataclass(frozen=True)
class Cluster:
    """A running server.

    Attributes:
        directory: holds everything of it, its socket too.
    """

    directory: Path

    @property
    def url(self) -> str:
        """The database, as its owner."""
        return f"postgresql:///hookd?host={self.directory}&user=hookd"

    @property
    def pooled_url(self) -> str:
        """The same through pgbouncer in transaction mode."""
        return f"postgresql:///hookd?host={self.directory}&port={_POOLER_PORT}&user=hookd"

    def run(self, sql: str, database: str = "hookd") -> str:
        """What psql prints of a statement, run as the superuser."""
        command = ("psql", "-h", str(self.directory), "-U", "super", "-d", database, "-XAtqc", sql)
        return _run(str(_binaries() / command[0]), *command[1:]).strip()

    def start(self, *options: str) -> None:
        """Start the server, with settings such as `fsync=on` besides those it was made with."""
        given = " ".join(f"-c {option}" for option in options)
        log = str(self.directory / "log")
        _as_user(
            str(_binaries() / "pg_ctl"),
            "-D",
            str(self.directory / "data"),
            "-l",
            log,
            "-w",
            "-o",
            given,
            "start",
        )

    def stop(self, mode: str = "immediate") -> None:
        """Stop it; `immediate`: as where the machine loses its power, but for the disk."""
        _as_user(str(_binaries() / "pg_ctl"), "-D", str(self.directory / "data"), "-w", "-m", mode, "stop")

    def start_pooler(self) -> None:
        """Start pgbouncer before it."""
        config = self.directory / "pgbouncer.ini"
        config.write_text(
            f"[databases]\nhookd = host={self.directory} dbname=hookd\n[pgbouncer]\nlisten_addr =\n"
            f"listen_port = {_POOLER_PORT}\nunix_socket_dir = {self.directory}\nauth_type = trust\n"
            f"auth_file = {self.directory}/users\n"
            f"pidfile = {self.directory}/pgbouncer.pid\nlogfile = {self.directory}/pgbouncer.log\n"
            "pool_mode = transaction\ndefault_pool_size = 20\nmax_client_conn = 500\n"
        )
        (self.directory / "users").write_text('"hookd" ""\n')
        _as_user("pgbouncer", "-d", "-q", str(config))
        _await(self.directory / f".s.PGSQL.{_POOLER_PORT}")

    def stop_pooler(self) -> None:
        """End pgbouncer, if it runs."""
        file = self.directory / "pgbouncer.pid"
        if file.exists():
            os.kill(int(file.read_text()), signal.SIGINT)


def require() -> None:
    """Skip the test where there is no PostgreSQL; fail where it must be there."""
    if _find_binaries() is not None and shutil.which("pgbouncer") is not None:
        return
    reason = "needs initdb and pg_ctl of PostgreSQL, and pgbouncer (apt-get install postgresql pgbouncer)"
    if os.environ.get("HOOKD_REQUIRE_POSTGRES") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@functools.cache
def shared_cluster() -> Cluster:
    """The server that all tests of this process share: it is fast and forgets what a power cut would take."""
    if _SHARED in os.environ:
        return Cluster(Path(os.environ[_SHARED]))
    cluster = make_cluster("fsync=off", "max_connections=300", "full_page_writes=off", "autovacuum_naptime=5")
    cluster.start_pooler()
    os.environ[_SHARED] = str(cluster.directory)
    return cluster


def make_cluster(*options: str) -> Cluster:
    """A new server, running; it ends with this process."""
    directory = Path(tempfile.mkdtemp(prefix="hookd-pg-"))
    directory.chmod(0o755)
    if (user := _user()) is not None:
        os.chown(directory, user.pw_uid, user.pw_gid)
    data = directory / "data"
    _as_user(
        str(_binaries() / "initdb"), "-D", str(data), "-U", "super", "-A", "trust", "-E", "UTF8", "--no-sync",
        "--locale=C.UTF-8",
    )  # fmt: skip
    settings = ("listen_addresses=''", f"unix_socket_directories='{directory}'", *options)
    with (data / "postgresql.conf").open("a") as file:
        file.writelines(f"{setting}\n" for setting in settings)
    cluster = Cluster(directory)
    owner = os.getpid()
    cluster.start()
    atexit.register(_end, cluster, owner)
    cluster.run("CREATE ROLE hookd LOGIN", "postgres")
    cluster.run("CREATE DATABASE hookd OWNER hookd", "postgres")
    return cluster


def schema_of(directory: Path) -> str:
    """A schema of its own for each directory."""
    return f"t{hashlib.sha256(str(directory).encode()).hexdigest()[:16]}"


def _end(cluster: Cluster, owner: int) -> None:
    if os.getpid() == owner:
        cluster.stop_pooler()
        with contextlib.suppress(AssertionError):  # it may have been stopped
            cluster.stop()
        shutil.rmtree(cluster.directory, ignore_errors=True)


def _await(path: Path, timeout_s: float = 10.0) -> None:
    end = time.monotonic() + timeout_s
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not come"
        time.sleep(0.02)


@functools.cache
def _find_binaries() -> Path | None:
    """Where `initdb` is: Debian keeps it out of PATH, by version."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    return versions[-1].parent if versions else None


def _binaries() -> Path:
    found = _find_binaries()
    assert found is not None
    return found


def _user() -> pwd.struct_passwd | None:
    """The system user to run as; None: as we are."""
    if os.geteuid() != 0:
        return None
    for name in _USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise AssertionError(f"none of the users {_USERS} exists")


def _user_command(*command: str) -> tuple[str, ...]:
    user = _user()
    return (
        command
        if user is None
        else ("setpriv", "--reuid", user.pw_name, "--regid", str(user.pw_gid), "--clear-groups", *command)
    )


def _as_user(*command: str) -> str:
    return _run(*_user_command(*command))


def _run(*command: str) -> str:
    # pg_ctl's server keeps the streams that it is given, so none of them may be a pipe that we read to its end.
    with tempfile.TemporaryFile() as out:
        done = subprocess.run(
            command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, check=False, cwd="/", timeout=60
        )
        out.seek(0)
        said = out.read().decode(errors="replace")
    assert done.returncode == 0, f"{command}: {said}"
    return said
