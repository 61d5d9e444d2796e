"""The commands' client: asks the daemon, and turns every refusal into a `Failure` (spec 8).

Must never: print, or import aiohttp.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping

from hookd.cli.client import exchange
from hookd.cli.failure import REFUSED, UNREACHABLE, Failure
from hookd.domain.text import error_text

TYPE_CHECKING = False  # the checker's True; importing `typing` would be a tenth of all that `hookd emit` does
if TYPE_CHECKING:
    from typing import Any, TypeAlias

TIMEOUT_S = 30.0

_TOKEN_NEEDED = 401
"""RFC 6750: without a token, or with a wrong one."""

NOBODY_THERE = frozenset({502, 503, 504})
"""Statuses that say, from hookd or from a proxy in front of it, that it cannot take anything now."""

DeliveryData: TypeAlias = "Mapping[str, Any]"
"""A delivery as the API has it."""


class Refusal(Failure):
    """The daemon answered with a problem (RFC 9457).

    Attributes:
        status: its HTTP status.
        problem: the problem's members; empty where the answer was none.
    """

    def __init__(self, *lines: str, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(*lines, code=REFUSED)
        self.status = status
        self.problem = problem


class Foreign(Failure):
    """Something answered, and not as hookd does.

    Attributes:
        status: its HTTP status.
    """

    def __init__(self, address: str, status: int) -> None:
        super().__init__(
            f"{address} answered {status}, and not as hookd does: is that the right address?", code=REFUSED
        )
        self.status = status


class Client:
    """Asks one daemon.

    Attributes:
        address: the path of its Unix socket, or an http or https URL.
        token: sent as bearer token where there is one.
        doubt: why it may be the wrong address, said where nobody is there.
    """

    def __init__(self, address: str, token: str | None = None, doubt: str = "") -> None:
        self.address = address
        self.token = token
        self.doubt = doubt

    def get(self, path: str, query: Mapping[str, str] | None = None, *, timeout_s: float = TIMEOUT_S) -> Any:
        """Read what is at `path`; raises as `send` does."""
        if not query:
            return self._ask(exchange.ApiRequest("GET", path, {}), timeout_s)
        from urllib.parse import urlencode

        return self._ask(exchange.ApiRequest("GET", f"{path}?{urlencode(query)}", {}), timeout_s)

    def send(
        self, path: str, body: bytes = b"{}", *, media: str = "application/json", timeout_s: float = TIMEOUT_S
    ) -> Any:
        """Post a body to `path` and return the answer's JSON.

        Raises:
            Refusal: the daemon refused (exit code 1).
            Foreign: what answers is not hookd (exit code 1).
            Failure: it cannot be reached (exit code 3).
        """
        return self._ask(exchange.ApiRequest("POST", path, {"Content-Type": media}, body), timeout_s)

    def post_event(
        self, body: bytes, *, media: str = "application/json", timeout_s: float = TIMEOUT_S
    ) -> Any:
        """Post an event, or with NDJSON a batch; the answer. Raises as `send` does."""
        answer = self.send("/v1/events", body, media=media, timeout_s=timeout_s)
        return self._with("deliveries" if media == "application/json" else "events", answer)

    def make_delivery(self, path: str, body: bytes) -> Any:
        """Post to a path that makes a delivery; the answer. Raises as `send` does."""
        return self._with("deliveries", self.send(path, body))

    def _with(self, member: str, answer: Any) -> Any:
        """The answer, if it has the member that hookd's has."""
        if not isinstance(answer, dict) or member not in answer:
            raise Foreign(self.address, 202)
        return answer

    def follow(self, path: str, query: Mapping[str, str], *, silent_s: float) -> Iterator[bytes]:
        """The lines of an endless answer as they come, without their ends; returns where the connection ends.

        Args:
            path: what is asked for.
            query: its parameters.
            silent_s: so long without a line, and the connection counts as broken.

        Raises:
            Refusal, Failure: as `send`; a connection that breaks later is out of reach too.
        """
        from urllib.parse import urlencode

        headers = {**self._headers(), "Accept": exchange.NDJSON}
        request = exchange.ApiRequest("GET", f"{path}?{urlencode(query)}", headers)
        with self._wire_errors(request, silent_s):
            lines = exchange.exchanged_lines(self.address, request, silent_s)
            if isinstance(lines, exchange.ApiResponse):
                judged(lines, self.address)
                raise Foreign(self.address, lines.status)
            yield from lines

    def _ask(self, request: exchange.ApiRequest, timeout_s: float) -> Any:
        headers = {**self._headers(), **request.headers}
        with self._wire_errors(request, timeout_s):
            answer = exchange.exchanged(
                self.address,
                exchange.ApiRequest(request.method, request.path, headers, request.body),
                timeout_s,
            )
        return judged(answer, self.address)

    def _headers(self) -> dict[str, str]:
        token = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return {"Accept": "application/json", **token}

    @contextlib.contextmanager
    def _wire_errors(self, request: exchange.ApiRequest, timeout_s: float) -> Iterator[None]:
        """Turn what goes wrong on the wire into a `Failure`."""
        try:
            yield
        except TimeoutError:
            raise Failure(
                f"no answer from {self.address} within {timeout_s:g} s", *_doubt(request), code=UNREACHABLE
            ) from None
        except exchange.NoAnswer as error:
            raise Failure(f"{self.address}: {error}", *_doubt(request), code=UNREACHABLE) from None
        except OSError as error:
            raise unreachable(self.address, error, self.doubt) from None


def _doubt(request: exchange.ApiRequest) -> tuple[str, ...]:
    if request.method == "GET":
        return ()
    return (
        "it is unknown whether the request was carried out; posting an event again under the same id is safe",
    )


def judged(answer: exchange.ApiResponse, address: str) -> Any:
    """The JSON of an answer that says yes.

    Raises:
        Refusal: it is a problem.
        Foreign: it is nothing that hookd answers.
    """
    try:
        content = json.loads(answer.body)
    except ValueError:
        content = None
    if answer.status < 300 and content is not None:
        return content
    if isinstance(content, dict) and "detail" in content:
        raise Refusal(*_lines(answer, content), status=answer.status, problem=content)
    raise Foreign(address, answer.status)


def _lines(answer: exchange.ApiResponse, problem: dict[str, Any]) -> list[str]:
    detail = str(problem["detail"])
    faults = (fault_line(fault) for fault in problem.get("errors") or ())
    lines = [detail, *(line for line in faults if line != detail)]
    near = problem.get("near")
    if near and "did you mean" not in detail:
        lines.append("did you mean: " + ", ".join(map(str, near)))
    if answer.status == _TOKEN_NEEDED:
        lines.append("--token-env NAME says which environment variable holds the token")
    if wait := answer.headers.get("retry-after"):
        lines.append(f"try again in {wait} s")
    return lines


def fault_line(fault: Mapping[str, Any]) -> str:
    """One fault of a problem: its place in the request, where it has one, and what is wrong."""
    return ": ".join(filter(None, (str(fault.get("pointer", "")), str(fault.get("message", "")))))


def unreachable(address: str, error: OSError, doubt: str = "") -> Failure:
    """The failure for an address that cannot be reached: what is wrong and what helps."""
    if isinstance(error, PermissionError):
        return Failure(f"permission denied at {address}", permission_remedy(address), code=UNREACHABLE)
    return Failure(
        f"hookd is not reachable at {address}: {error_text(error)}",
        *filter(None, (doubt,)),
        "is it running? `hookd run` starts it, `systemctl status hookd` shows its state",
        "another address: --socket PATH, --url URL or $HOOKD_SOCKET",
        code=UNREACHABLE,
    )


def permission_remedy(path: str) -> str:
    """Name the group that would help, where there is one: that of the path, or of the directory that bars the way."""
    import grp
    import stat
    from pathlib import Path

    nobody = (
        f"ask the administrator of hookd for access to {path},"
        " such as by a group of its own (hookd) that you are in"
    )
    for place in (Path(path), *Path(path).parents):
        try:
            facts = place.stat()
        except OSError:
            continue
        needed = stat.S_IWGRP if place == Path(path) else stat.S_IXGRP
        if facts.st_gid == 0 or not facts.st_mode & needed:
            return nobody
        with contextlib.suppress(KeyError):
            group = grp.getgrgid(facts.st_gid).gr_name
            return f"{place} belongs to group {group}: `usermod -aG {group} USER` and a new login give access"
        return nobody
    return nobody
