"""Logging: structlog set up once, one line per fact, JSON or console.

Keys are the words of spec section 0. Nothing here may print a secret: exceptions are logged by type and place, without
their message or local variables (an HTTP client's messages hold URLs), and control characters never reach a terminal raw.

Must never: know anything of hookd. Called by: `daemon` (set-up), every module that logs (`structlog.get_logger`).
"""

import logging
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(*, level: str, form: str, stream: TextIO | None = None) -> None:
    """Set up logging for the process; may be called again when the configuration changes.

    Args:
        level: one of `debug`, `info`, `warning`, `error`.
        form: `json`, `console`, or `auto` (console on a terminal, else JSON lines).
        stream: where to write; default: standard error.
    """
    out = stream or sys.stderr
    console = form == "console" or (form == "auto" and out.isatty())
    renderer: Callable[..., Any] = (
        structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            _stamp,
            structlog.processors.add_log_level,
            _exception_without_message,
            *([_escape_control] if console else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    _adopt_libraries(LEVELS[level])


def _stamp(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    now = datetime.now(tz=UTC)
    line["timestamp"] = f"{_second(int(now.timestamp()))}.{now.microsecond:06d}Z"
    return line


@lru_cache(maxsize=4)
def _second(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _exception_without_message(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    given = line.pop("exc_info", None)
    exc = sys.exc_info()[1] if given is True else given
    if isinstance(exc, tuple):
        exc = exc[1]
    if isinstance(exc, BaseException):
        line["exception"] = type(exc).__name__
        line["where"] = [
            f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(exc.__traceback__)[-8:]
        ]
    return line


def _escape_control(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    return {key: printable(value) if isinstance(value, str) else value for key, value in line.items()}


def printable(text: str) -> str:
    """The text with everything that is not printable written as an escape, so that it cannot drive a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class _Adopted(logging.Handler):
    """Carries warnings of libraries into our own lines, without their exceptions' messages."""

    def emit(self, record: logging.LogRecord) -> None:
        first_line = record.getMessage().splitlines()[0] if record.getMessage() else ""
        structlog.get_logger().log(
            record.levelno,
            "library.log",
            logger=record.name,
            message=first_line[:300],
            exc_info=record.exc_info,
        )


def _adopt_libraries(level: int) -> None:
    root = logging.getLogger()
    root.handlers = [_Adopted()]
    root.setLevel(max(level, logging.WARNING))
