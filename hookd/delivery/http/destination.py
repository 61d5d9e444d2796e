"""One receiver: where to connect, with which TLS context, and the lines to it that are idle.

Webhooks with the same scheme, host, port and TLS context share one, and so its lines.

Must never: open a line, or hand out one that may not be used any more.
"""

from collections import deque
from collections.abc import Callable

import aiohttp

from hookd.delivery.http.line import Line


class Destination:
    """A receiver.

    Attributes:
        request: aiohttp's description of where to connect. Never sent, and holds no path.
    """

    __slots__ = ("__weakref__", "_idle", "_on_idle", "request")

    def __init__(self, request: aiohttp.ClientRequest, on_idle: Callable[["Destination"], None]) -> None:
        """Describe a receiver; `on_idle` is called when it has idle lines, after it had none."""
        self.request = request
        self._on_idle = on_idle
        self._idle: deque[Line] = deque()

    @property
    def host(self) -> str:
        """The host to connect to."""
        return self.request.host

    @property
    def port(self) -> int | None:
        """The port to connect to."""
        return self.request.port

    def take(self, now: float) -> Line | None:
        """The line that has been idle for longest, if there is one; `now` is the loop's time."""
        while self._idle:
            line = self._idle.popleft()
            if line.is_usable(now):
                return line
            line.close()
        return None

    def give_back(self, line: Line) -> None:
        """Keep a line that is idle."""
        self._idle.append(line)
        if len(self._idle) == 1:
            self._on_idle(self)

    def close_unusable(self, now: float) -> bool:
        """Close the idle lines that may not be used any more; returns whether there are others."""
        usable = deque(line for line in self._idle if line.is_usable(now))
        for line in self._idle:
            if line not in usable:
                line.close()
        self._idle = usable
        return bool(usable)
