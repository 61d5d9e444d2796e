"""Loads a configuration in a child process, so that no file can stop or kill the one that asked (spec 7).

Must never: block the event loop (run it in a thread), wait longer than it was told to, or pass on what the
child writes to its standard error.
"""

import os
import pickle
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from hookd.config.fingerprint import tree_hash
from hookd.config.yaml.diagnostics import (
    OUT_OF_MEMORY,
    PORTABLE,
    Diagnostic,
    Loaded,
    Severity,
    shown_path,
)
from hookd.domain.text import counted, error_text

_CODE = "import sys; sys.path.append(sys.argv.pop()); from hookd.config.isolated_child import main; main()"
_PACKAGES = str(Path(__file__).parents[2])
LONGEST_S = 7.5
"""A load is given up after this long: the verdict on a hostile file takes less than ten seconds in all."""
_CHUNK = 1 << 16
_HEAD = struct.Struct("!I")


def isolated_load(
    path: Path,
    *,
    wall_s: float = LONGEST_S,
    memory_bytes: int = 1 << 30,
    now: float | None = None,
    portable: bool = False,
) -> Loaded:
    """Loads the configuration at `path` in a child process with this process's environment.

    Args:
        path: a file or directory.
        wall_s: seconds after which the child is ended; its CPU time is bounded by as many.
        memory_bytes: how much memory the child may use.
        now: as `load` takes it.
        portable: likewise.

    Returns:
        What `load` returns; where the child dies, or cannot be started because descriptors or memory are lacking, no
        configuration and one diagnostic that says why.
    """
    received = _ChildOutput()
    try:
        words = [*([] if now is None else [repr(now)]), *([PORTABLE] if portable else [])]
        return _load(path, received, wall_s=wall_s, memory_bytes=memory_bytes, words=words)
    except OSError as exc:
        return _dead(path, received, f"loading cannot begin: {error_text(exc)}")


def _load(
    path: Path, received: "_ChildOutput", *, wall_s: float, memory_bytes: int, words: list[str]
) -> Loaded:
    cpu_s = max(1, int(wall_s))
    # -P: a module in the current directory must not stand in for one of ours.
    command = [sys.executable, "-P", "-c", _CODE, os.fspath(path), str(cpu_s), str(memory_bytes)]
    command += [*words, _PACKAGES]
    with start_child(command) as child:
        try:
            _receive(child, received, time.monotonic() + wall_s)
        except TimeoutError:
            return _dead(path, received, f"loading takes longer than {wall_s:g} seconds")
        finally:
            child.kill()
        code = child.wait()
    if received.end is not None:
        return received.loaded(received.end)
    return _dead(path, received, received.failure or _cause(code, cpu_s, memory_bytes))


@dataclass(slots=True)
class _ChildOutput:
    """What the child has sent so far."""

    reading: str = ""
    failure: str = ""
    diagnostics: list[Diagnostic] = field(default_factory=list)
    mappings: dict[str, dict[str, Any]] = field(default_factory=dict)
    end: Loaded | None = None

    def take(self, kind: str, content: Any) -> None:
        if kind == "reading":
            self.reading = content
        elif kind == "failed":
            self.failure = content
        elif kind == "diagnostics":
            self.diagnostics.extend(content)
        elif kind == "end":
            self.end = content
        else:
            self.mappings.setdefault(kind, {}).update(content)

    def loaded(self, end: Loaded) -> Loaded:
        diagnostics = tuple(self.diagnostics)
        if end.config is None:
            return replace(end, diagnostics=diagnostics)
        warnings = tuple(str(diagnostic) for diagnostic in diagnostics)
        config = replace(
            end.config,
            types=self.mappings.get("types"),
            webhooks=self.mappings.get("webhooks", {}),
            tasks=self.mappings.get("tasks", {}),
            events=self.mappings.get("events", {}),
            schedules=self.mappings.get("schedules", {}),
            places=self.mappings.get("places", {}),
            warnings=warnings,
        )
        return replace(end, config=config, diagnostics=diagnostics)


def _receive(child: "subprocess.Popen[bytes]", received: _ChildOutput, deadline: float) -> None:
    """Takes frames until the child closes its end or says that it is done.

    Raises:
        TimeoutError: it has done neither by the deadline (monotonic seconds).
    """
    for kind, content in _frames(child, deadline):
        received.take(kind, content)
        if received.end is not None:
            return


def _frames(child: "subprocess.Popen[bytes]", deadline: float) -> Iterator[tuple[str, Any]]:
    assert child.stdout is not None
    buffer = bytearray()
    for chunk in chunks(child.stdout.fileno(), deadline):
        buffer += chunk
        while len(buffer) >= _HEAD.size and len(buffer) >= (
            size := _HEAD.size + _HEAD.unpack_from(buffer)[0]
        ):
            body = bytes(buffer[_HEAD.size : size])
            del buffer[:size]
            yield pickle.loads(body)  # noqa: S301 - written by our own child, from values it built itself


def start_child(
    command: Sequence[str], environment: Mapping[str, str] | None = None, given: IO[bytes] | None = None
) -> "subprocess.Popen[bytes]":
    """A child that only its output is read of, in a session of its own: no signal of the terminal reaches it.

    Its input is the file that is `given`, or nothing.
    """
    return subprocess.Popen(  # noqa: S603 - fixed words, and paths that cannot pass for options
        command,
        env=environment,
        stdin=subprocess.DEVNULL if given is None else given,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def chunks(pipe: int, deadline: float) -> Iterator[bytes]:
    """What comes through a pipe until its other end is closed; TimeoutError when the deadline (monotonic) passes."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    while True:
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not poll.poll(left_s * 1000):
            raise TimeoutError
        chunk = os.read(pipe, _CHUNK)
        if not chunk:
            return
        yield chunk


def _dead(path: Path, received: _ChildOutput, message: str) -> Loaded:
    place = received.reading or shown_path(path)
    diagnostic = Diagnostic(place, 1, 1, "file", Severity.ERROR, message)
    found = tree_hash(path)
    return Loaded(None, (diagnostic,), (), found, found)


def _cause(code: int, cpu_s: int, memory_bytes: int) -> str:
    """Why a child that sent no result is gone."""
    if code == -signal.SIGXCPU:
        return f"loading takes more than {counted(cpu_s, 'second')} of CPU time"
    if code == OUT_OF_MEMORY:
        return f"loading needs more than {memory_bytes >> 20} MiB of memory"
    if code < 0:
        return f"loading was ended by {signal.Signals(-code).name}"
    return f"loading ended without a result (exit code {code})"
