"""Logging: one line per fact, JSON or console; modules write `log.info("fact.happened", key=…)`.

Keys are the words of spec section 0. Nothing here may print a secret: exceptions are logged by type and place, without
their message or local variables (an HTTP client's messages hold URLs), and control characters never reach a terminal
raw.

A follower (`follow`) gets every fact from the same call, whatever the level that is written.

Must never: know what the facts mean.
"""

import asyncio
import logging
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TextIO

from hookd.domain.json_text import json_encoder
from hookd.domain.text import printable

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

Follower = Callable[[str, str, dict[str, Any]], None]
"""Takes each fact: its level, its name, its keys and values. From any thread; must neither raise nor wait."""

_encode = json_encoder(default=str)
"""The form that log lines are read in: a space behind each comma and colon, ASCII, and as text what is no JSON."""


class Lines:
    """Gathers the lines of one turn of the event loop and writes them at once; without a loop, each at once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: list[str] = []

    def write(self, line: str) -> None:
        """Take a line; it is written before the loop goes on waiting, or now where no loop runs."""
        self._waiting.append(line)
        if len(self._waiting) == 1:
            try:
                asyncio.get_running_loop().call_soon(self._write)
            except RuntimeError:
                self._write()

    def _write(self) -> None:
        lines, self._waiting = self._waiting, []
        self._stream.write("\n".join(lines) + "\n")
        self._stream.flush()


_Fields = dict[str, Any]
_Form = Callable[[str, str, _Fields], str]
"""Makes a line of a level, a fact's name, its keys and values."""


@dataclass(slots=True)
class _Voice:
    """What is written, how and where, as `configure` set it; and the follower."""

    threshold: int
    form: _Form
    write: Callable[[str], None]
    follower: Follower | None = None


def debug(fact: str, **facts: Any) -> None:
    """Log what only matters when looking for a fault."""
    _say(10, "debug", fact, facts)


def info(fact: str, **facts: Any) -> None:
    """Log what an operator may want to know."""
    _say(20, "info", fact, facts)


def warning(fact: str, **facts: Any) -> None:
    """Log what an operator should look at some day."""
    _say(30, "warning", fact, facts)


def error(fact: str, **facts: Any) -> None:
    """Log what an operator should look at now. `exc_info` takes an exception."""
    _say(40, "error", fact, facts)


def _say(severity: int, level: str, fact: str, facts: _Fields) -> None:
    if "exc_info" in facts:
        _put_exception(facts)
    if _voice.follower is not None:
        _voice.follower(level, fact, facts)
    if severity >= _voice.threshold:
        _voice.write(_voice.form(level, fact, facts))


def follow(follower: Follower | None) -> None:
    """Pass every fact on, also those below the level that is written; None ends that."""
    _voice.follower = follower


def configure(*, level: str, form: str, stream: TextIO | None = None) -> None:
    """Set up logging for the process; may be called again when the configuration changes.

    Args:
        level: one of `debug`, `info`, `warning`, `error`.
        form: `json`, `console`, or `auto` (console on a terminal, else JSON lines).
        stream: where to write; default: standard error.
    """
    out = stream or sys.stderr
    console = form == "console" or (form == "auto" and out.isatty())
    _voice.threshold = LEVELS[level]
    _voice.form = _console(colors=out.isatty()) if console else _json
    _voice.write = Lines(out).write
    _adopt_libraries(LEVELS[level])


def _json(level: str, fact: str, facts: _Fields) -> str:
    return _encode({"timestamp": _now(), "level": level, "event": fact, **facts})


def _console(*, colors: bool) -> _Form:
    from structlog.dev import ConsoleRenderer  # noqa: PLC0415  # a tenth of a daemon's start, which JSON spares

    render = ConsoleRenderer(colors=colors)

    def line(level: str, fact: str, facts: _Fields) -> str:
        shown = {"timestamp": _now(), "level": level, "event": fact, **facts}
        return str(render(None, level, {key: _escaped(value) for key, value in shown.items()}))

    return line


def _escaped(value: Any) -> Any:
    return printable(value) if isinstance(value, str) else value


def _now() -> str:
    epoch_s, rest_ns = divmod(time.time_ns(), 1_000_000_000)
    return f"{_second(epoch_s)}.{rest_ns // 1000:06d}Z"


@lru_cache(maxsize=4)
def _second(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _put_exception(line: _Fields) -> None:
    given = line.pop("exc_info")
    exc = given[1] if isinstance(given, tuple) else given
    if isinstance(exc, BaseException):
        line["exception"] = type(exc).__name__
        line["where"] = [
            f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(exc.__traceback__)[-8:]
        ]


class _Adopted(logging.Handler):
    """Carries warnings of libraries into our own lines, without their exceptions' messages."""

    def emit(self, record: logging.LogRecord) -> None:
        first_line = (record.getMessage().splitlines() or [""])[0]
        say = error if record.levelno >= logging.ERROR else warning
        say("library.log", logger=record.name, message=first_line[:300], exc_info=record.exc_info)


def _adopt_libraries(level: int) -> None:
    root = logging.getLogger()
    root.handlers = [_Adopted()]
    root.setLevel(max(level, logging.WARNING))


_voice = _Voice(LEVELS["warning"], _json, Lines(sys.stderr).write)
