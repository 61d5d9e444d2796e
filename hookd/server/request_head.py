"""What aiohttp's parser makes of a request's head: target and headers, whether it is the last one, or what is wrong.

Must never: repeat what a client sent in a refusal, as most of the parser's own texts do.
"""

import re

from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError, LineTooLong
from multidict import CIMultiDict, CIMultiDictProxy

from hookd.server.limits import Limits
from hookd.server.problems import Problem

_MANY = "Too many headers received"
_NO_HOST = "Missing 'Host' header in request."
_TWICE = re.compile(r"Duplicate '([A-Za-z-]+)' header found\.")
"""The name is one of the few that the parser looks for, as it spells them."""


def target_of(message: RawRequestMessage) -> tuple[str, str, CIMultiDictProxy[str]]:
    """The path and the query as they were sent, and the headers."""
    target, headers = message.path, message.headers
    if target != "*" and not target.startswith("/"):
        target = message.url.raw_path_qs  # the absolute form (RFC 9112, 3.2.2)
        headers = _with_host(headers, message.url.raw_authority)
    path, _, query = target.partition("?")
    return path, query, headers


def _with_host(headers: CIMultiDictProxy[str], authority: str) -> CIMultiDictProxy[str]:
    """The headers with the host of the target beside another one in `Host`: then there are two, which none accepts."""
    given = headers.get("Host", "").strip().lower()
    if given.removesuffix(":80") == authority.lower().removesuffix(":80"):
        return headers
    both = CIMultiDict(headers)
    both.add("Host", authority)
    return CIMultiDictProxy(both)


def is_last(message: RawRequestMessage) -> bool:
    """Whether the connection ends with this request, by its wish or because the parser cannot be trusted behind it.

    Behind an offer to speak another protocol (never taken here) the parser loses bytes; a chunked body's last trailer
    field it counts among the next request's headers, which behind a proxy may be somebody else's.
    """
    return bool(message.should_close or message.upgrade or message.chunked)


def refusal(problem: HttpProcessingError, limits: Limits) -> Problem:
    """The refusal of a request that the parser could not read: which limit was passed, or what cannot be twice."""
    return Problem(400, _detail(problem, limits))


def _detail(problem: HttpProcessingError, limits: Limits) -> str:
    if isinstance(problem, LineTooLong):
        return f"a header, or the target, is longer than {limits.head_line} bytes"
    if type(problem) is BadHttpMessage:  # what derives from it holds what was sent
        if problem.message == _MANY:
            return f"there are more than {limits.headers} headers"
        if problem.message == _NO_HOST:
            return "there is no Host header"
        if twice := _TWICE.fullmatch(problem.message):
            return f"one {twice[1]} is expected, several were sent"
    return "the request is not valid HTTP/1.1"
