"""What the parser refuses, in words of our own: the bound that was passed, or what cannot be twice.

Must never: repeat what a client sent, as most of the parser's own texts do.
"""

import re

from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError, LineTooLong

from hookd.server.limits import Limits
from hookd.server.problems import Problem

_MANY = "Too many headers received"
_NO_HOST = "Missing 'Host' header in request."
_TWICE = re.compile(r"Duplicate '([A-Za-z-]+)' header found\.")
"""The name is one of the few that the parser looks for, as it spells them."""


def refusal(problem: HttpProcessingError, bounds: Limits) -> Problem:
    """The answer to a request that the parser could not read."""
    return Problem(400, _detail(problem, bounds))


def _detail(problem: HttpProcessingError, bounds: Limits) -> str:
    if isinstance(problem, LineTooLong):
        return f"a header, or the target, is longer than {bounds.head_line} bytes"
    if type(problem) is BadHttpMessage:  # what derives from it holds what was sent
        if problem.message == _MANY:
            return f"there are more than {bounds.headers} headers"
        if problem.message == _NO_HOST:
            return "there is no Host header"
        if twice := _TWICE.fullmatch(problem.message):
            return f"one {twice[1]} is expected, several were sent"
    return "the request is not valid HTTP/1.1"
