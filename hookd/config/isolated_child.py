"""The child process that loads a configuration for `load_aside`, within bounds of memory and CPU (spec 7).

It writes pickled frames to its standard output, each a kind and its content, and small, so that the parent
never holds the interpreter lock for long. What it works on is announced first, so that its death can be
explained.

Must never: write a secret anywhere but into that pipe, or outlive its bounds.
"""

import gc
import os
import pickle
import resource
import struct
import sys
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from hookd.config.loader import load
from hookd.config.yaml.diagnostics import OUT_OF_MEMORY, PORTABLE, Loaded
from hookd.prctl import refuse_dumps

_BATCH = 100
_MAPPINGS = ("types", "webhooks", "tasks", "events", "schedules", "places")


def main() -> None:
    """Loads `argv[1]` and writes the frames to standard output.

    `argv[2]` is how many seconds of CPU it may take, `argv[3]` how many bytes of memory; what follows is
    `portable`, which makes the load so, or what `load` takes for now.
    """
    path, cpu_s, memory_bytes = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    now = next((float(word) for word in sys.argv[4:] if word != PORTABLE), None)
    pipe = _private_stdout()
    refuse_dumps()
    _limit(cpu_s, memory_bytes)
    # Nothing is freed before the end, so looking for garbage would only cost time.
    gc.disable()
    failure = _try(path, pipe, now, portable=PORTABLE in sys.argv[4:])
    if failure is not None:
        _send(pipe, "failed", failure)


def _try(path: Path, pipe: int, now: float | None, *, portable: bool) -> str | None:
    """Loads and sends; what went wrong where it could not."""
    try:
        loaded = load(
            path,
            env=os.environ,
            now=now,
            portable=portable,
            note=lambda shown: _send(pipe, "reading", shown),
        )
        for kind, content in _frames(loaded):
            _send(pipe, kind, content)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)  # saying why would need memory too; the parent knows the limit
    except Exception as error:  # noqa: BLE001 - whatever it is, it is reported to the parent, not to the terminal
        return f"loading failed inside hookd: {type(error).__name__} at {_origin(error)}"
    return None


def _private_stdout() -> int:
    """The pipe under a number of its own; what anything else prints goes nowhere."""
    pipe = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return pipe


def _limit(cpu_s: int, memory_bytes: int) -> None:
    for kind, wanted in ((resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_CPU, cpu_s)):
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def _frames(loaded: Loaded) -> Iterator[tuple[str, Any]]:
    for diagnostics in _batches(loaded.diagnostics):
        yield "diagnostics", diagnostics
    config = loaded.config
    if config is not None:
        for name in _MAPPINGS:
            for pairs in _batches((getattr(config, name) or {}).items()):
                yield name, pairs
        config = replace(
            config, types=None, webhooks={}, tasks={}, events={}, schedules={}, places={}, warnings=()
        )
    yield "end", replace(loaded, config=config, diagnostics=())


def _batches(values: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
    rest = iter(values)
    while batch := tuple(islice(rest, _BATCH)):
        yield batch


def _send(pipe: int, kind: str, content: Any) -> None:
    body = pickle.dumps((kind, content), protocol=pickle.HIGHEST_PROTOCOL)
    frame = memoryview(struct.pack("!I", len(body)) + body)
    while frame:
        frame = frame[os.write(pipe, frame) :]


def _origin(error: Exception) -> str:
    """Where it was raised: never with its message, which may quote what it choked on."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}:{last.lineno}"
