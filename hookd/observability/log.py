"""Logging: structlog set up once, one line per fact, JSON or console; modules write `log.info("fact.happened", key=…)`.

Keys are the words of spec section 0. Nothing here may print a secret: exceptions are logged by type and place, without
their message or local variables (an HTTP client's messages hold URLs), and control characters never reach a terminal
raw.

A follower (`follow`) gets every fact from the same call, whatever the level that is written.

Must never: know what the facts mean.
"""

import asyncio
import logging
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

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

    def msg(self, line: str) -> None:
        """Take a line; it is written before the loop goes on waiting, or now where no loop runs."""
        self._waiting.append(line)
        if len(self._waiting) == 1:
            try:
                asyncio.get_running_loop().call_soon(self._write)
            except RuntimeError:
                self._write()

    debug = info = warning = error = msg

    def _write(self) -> None:
        lines, self._waiting = self._waiting, []
        self._stream.write("\n".join(lines) + "\n")
        self._stream.flush()


class _Voice:
    """The logger in use, replaced as a whole by `configure`; and the follower."""

    logger: FilteringBoundLogger
    follower: Follower | None = None


def _speak(level: int, stream: TextIO, processors: list[Callable[..., Any]]) -> None:
    wrapper: Callable[..., FilteringBoundLogger] = structlog.make_filtering_bound_logger(level)
    _Voice.logger = wrapper(Lines(stream), processors, {})


def debug(fact: str, **facts: Any) -> None:
    """Log what only matters when looking for a fault."""
    _tell("debug", fact, facts)
    _Voice.logger.debug(fact, **facts)


def info(fact: str, **facts: Any) -> None:
    """Log what an operator may want to know."""
    _tell("info", fact, facts)
    _Voice.logger.info(fact, **facts)


def warning(fact: str, **facts: Any) -> None:
    """Log what an operator should look at some day."""
    _tell("warning", fact, facts)
    _Voice.logger.warning(fact, **facts)


def error(fact: str, **facts: Any) -> None:
    """Log what an operator should look at now. `exc_info` takes an exception."""
    _tell("error", fact, facts)
    _Voice.logger.error(fact, **facts)


def follow(follower: Follower | None) -> None:
    """Pass every fact on, also those below the level that is written; None ends that."""
    _Voice.follower = follower


def _tell(level: str, fact: str, facts: dict[str, Any]) -> None:
    if "exc_info" in facts:
        _put_exception(facts)
    if _Voice.follower is not None:
        _Voice.follower(level, fact, facts)


def configure(*, level: str, form: str, stream: TextIO | None = None) -> None:
    """Set up logging for the process; may be called again when the configuration changes.

    Args:
        level: one of `debug`, `info`, `warning`, `error`.
        form: `json`, `console`, or `auto` (console on a terminal, else JSON lines).
        stream: where to write; default: standard error.
    """
    out = stream or sys.stderr
    console = form == "console" or (form == "auto" and out.isatty())
    processors: list[Callable[..., Any]] = [_in_order, _json]
    if console:
        processors = [_in_order, _escape_control, structlog.dev.ConsoleRenderer(colors=out.isatty())]
    _speak(LEVELS[level], out, processors)
    _adopt_libraries(LEVELS[level])


def _in_order(_logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
    now = datetime.now(tz=UTC)
    stamp = f"{_second(int(now.timestamp()))}.{now.microsecond:06d}Z"
    return {"timestamp": stamp, "level": method, "event": line.pop("event"), **line}


@lru_cache(maxsize=4)
def _second(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _put_exception(line: EventDict) -> None:
    given = line.pop("exc_info")
    exc = given[1] if isinstance(given, tuple) else given
    if isinstance(exc, BaseException):
        line["exception"] = type(exc).__name__
        line["where"] = [
            f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(exc.__traceback__)[-8:]
        ]


def _json(_logger: WrappedLogger, _method: str, line: EventDict) -> str:
    return _encode(line)


def _escape_control(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    return {key: printable(value) if isinstance(value, str) else value for key, value in line.items()}


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


_speak(LEVELS["warning"], sys.stderr, [_in_order, _json])
