"""Log lines: byte for byte what structlog's chain of processors makes of the same facts."""

import io
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from hookd.domain.deliveries import State
from hookd.domain.text import printable
from hookd.observability import log

NOW_NS = 1_793_000_000_123_456_789
STAMP = datetime.fromtimestamp(NOW_NS // 10**9, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S") + ".123456Z"

TEXT = st.text(st.characters())
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | TEXT
    | st.sampled_from([*State, Path("/a b"), datetime(2026, 1, 1, tzinfo=UTC), ValueError("x"), {1}]),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(TEXT, inner),
    max_leaves=8,
)
KEYS = st.sampled_from(["webhook", "task", "status", "duration_s"]) | TEXT
FACTS = st.dictionaries(
    KEYS.filter(lambda key: key not in {"fact", "event", "exc_info", "timestamp", "level", "stack"}),
    VALUES,
    max_size=6,
)


class Kept:
    """The logger that structlog's chain ends in."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def msg(self, line: str) -> None:
        self.lines.append(line)

    debug = info = warning = error = msg


def chain(kept: Kept, level: str, *, console: bool) -> FilteringBoundLogger:
    """Structlog, as its documentation has it be set up for one line a fact."""

    def head(_logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
        return {"timestamp": STAMP, "level": method, "event": line.pop("event"), **line}

    def escape(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        return {key: printable(value) if isinstance(value, str) else value for key, value in line.items()}

    def encode(_logger: WrappedLogger, _method: str, line: EventDict) -> str:
        return json.dumps(line, default=str)

    processors: list[Callable[..., Any]] = [head, encode]
    if console:
        processors = [head, escape, structlog.dev.ConsoleRenderer(colors=False)]
    wrapper: Callable[..., FilteringBoundLogger] = structlog.make_filtering_bound_logger(log.LEVELS[level])
    return wrapper(kept, processors, {})


@pytest.fixture(scope="module", autouse=True)
def time_stands_still() -> Iterator[None]:
    before, handlers, level = log._voice, logging.getLogger().handlers, logging.getLogger().level
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: NOW_NS)
        patch.setattr(log, "_voice", log._Voice(30, before.form, before.write))
        yield
    logging.getLogger().handlers = handlers
    logging.getLogger().setLevel(level)


@pytest.mark.parametrize("form", ["json", "console"])
@given(
    threshold=st.sampled_from(list(log.LEVELS)),
    level=st.sampled_from(list(log.LEVELS)),
    fact=st.sampled_from(["delivery.delivered", "100 %s"]) | TEXT,
    facts=FACTS,
)
def test_a_line_is_what_structlog_would_write(
    form: str, threshold: str, level: str, fact: str, facts: dict[str, Any]
) -> None:
    written, kept = io.StringIO(), Kept()
    log.configure(level=threshold, form=form, stream=written)
    getattr(log, level)(fact, **facts)
    getattr(chain(kept, threshold, console=form == "console"), level)(fact, **facts)
    assert written.getvalue() == "".join(line + "\n" for line in kept.lines)


def test_a_follower_gets_what_is_below_the_level_and_nothing_else_is_done_for_it() -> None:
    written, heard = io.StringIO(), []
    log.configure(level="error", form="json", stream=written)
    log._voice.form = lambda *_: pytest.fail("a line was made")
    log.follow(lambda level, fact, facts: heard.append((level, fact, facts)))
    log.debug("event.accepted", event_id="evt_1")
    log.warning("attempt.failed", exc_info=ValueError("secret"))
    log.follow(None)
    assert heard == [
        ("debug", "event.accepted", {"event_id": "evt_1"}),
        ("warning", "attempt.failed", {"exception": "ValueError", "where": []}),
    ]
    assert not written.getvalue()


def test_json_lines_need_no_structlog() -> None:
    code = "import sys; from hookd.observability import log; log.configure(level='info', form='json'); log.info('x')"
    asked = f"{code}; print([name for name in ('structlog', 'rich') if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", asked], stderr=subprocess.DEVNULL) == b"[]\n"
