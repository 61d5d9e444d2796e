"""An endless answer: its lines as they come, over a Unix socket or a URL.

Must never: interpret a line, connect again, or be imported before somebody follows.
"""

import http.client
import socket
from collections.abc import Iterator

from hookd.cli.client import exchange


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the path."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def opened(
    address: str, request: exchange.ApiRequest, silent_s: float
) -> exchange.ApiResponse | Iterator[bytes]:
    """Ask; the lines of a 200, each without its end, else the whole answer.

    Args:
        address: the path of a Unix socket, or a URL.
        request: without a body.
        silent_s: the longest wait for anything, in seconds.

    Raises:
        OSError, NoAnswer: as `exchange.over_url`; also while lines are read.
    """
    connection, base = (
        exchange.connected(address, silent_s)
        if exchange.is_url(address)
        else (_UnixConnection(address, silent_s), "")
    )
    try:
        connection.request(request.method, base + request.path, headers=request.headers)
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        if headers.get("content-type") != exchange.NDJSON:
            whole = exchange.ApiResponse(answer.status, headers, answer.read())
            connection.close()
            return whole
    except http.client.HTTPException as error:
        connection.close()
        raise exchange.NoAnswer(f"the answer is not a whole HTTP answer ({type(error).__name__})") from error
    except BaseException:
        connection.close()
        raise
    return _lines(connection, answer)


def _lines(connection: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """Whole lines; what a broken connection leaves of one is dropped."""
    try:
        while (line := answer.readline()).endswith(b"\n"):
            yield line.rstrip(b"\n")
    except http.client.HTTPException as error:
        raise exchange.NoAnswer(f"the connection broke ({type(error).__name__})") from error
    finally:
        answer.close()
        connection.close()
