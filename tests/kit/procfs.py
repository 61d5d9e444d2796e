"""What the kernel tells of a running process (proc(5))."""

import os
import signal
from contextlib import suppress
from pathlib import Path


def status_of(pid: int, name: str) -> str:
    """The first word of a line of `/proc/PID/status`."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name}:"))


def memory_mib(pid: int, name: str = "VmRSS") -> float:
    """Its memory now, or at its peak (`VmHWM`)."""
    return round(int(status_of(pid, name)) / 1024, 1)


def memory_parts_mib(pid: int) -> dict[str, float]:
    """Its memory now: resident, its share where pages are shared, and what no other process has."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    private = kib["Private_Clean"] + kib["Private_Dirty"]
    return {
        "rss": round(kib["Rss"] / 1024, 1),
        "pss": round(kib["Pss"] / 1024, 1),
        "private": round(private / 1024, 1),
    }


def forget_peak(pid: int) -> None:
    """Let `VmHWM` begin anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def open_files(pid: int | str = "self") -> list[str]:
    """What each of its descriptors is, such as `socket:[4711]` or a path."""
    links = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # the listing's own
            links.append(str(descriptor.readlink()))
    return links


def open_sockets(pid: int | str = "self") -> int:
    """How many sockets it has open."""
    return sum(link.startswith("socket:") for link in open_files(pid))


def threads(pid: int) -> set[int]:
    """The ids of its threads."""
    return {int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()}


def children(pid: int) -> list[int]:
    """The children that any of its threads has started."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def store_process(pid: int) -> int | None:
    """The process of a hookd's store, where it has one of its own."""
    for child in children(pid):
        with suppress(FileNotFoundError):
            if Path(f"/proc/{child}/comm").read_text().strip() == "hookd-store":
                return child
    return None


def processes(pid: int) -> list[int]:
    """A hookd, and the process of its store where it has one of its own."""
    store = store_process(pid)
    return [pid] if store is None else [pid, store]


def loaders(pid: int) -> list[int]:
    """The processes of a hookd that load its configuration."""
    return [child for child in children(pid) if child != store_process(pid)]


def cpu_s(pid: int) -> float:
    """Processor time it has used, in seconds."""
    return _cpu_s(Path(f"/proc/{pid}/stat"))


def cpu_by_thread(pid: int) -> dict[int, float]:
    """The same, by the id of each thread; the main thread has the process's own."""
    return {thread: _cpu_s(Path(f"/proc/{pid}/task/{thread}/stat")) for thread in threads(pid)}


def _cpu_s(stat: Path) -> float:
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def queued_s(pid: int | str = "self") -> float:
    """How long its first thread could have run but had no processor, in seconds: what other programs cost it."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def program(pid: int) -> str:
    """The path of what it runs."""
    return str(Path(f"/proc/{pid}/exe").readlink())


def runs(pid: int) -> bool:
    """Whether there is such a process."""
    return Path(f"/proc/{pid}").exists()


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether it has a function of its own for a signal."""
    return bool(int(status_of(pid, "SigCgt"), 16) >> (number - 1) & 1)
