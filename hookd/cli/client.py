"""The commands' client: asks the daemon, and turns every refusal into a `Failure` (spec 8).

Must never: print, or import aiohttp. Called by: every command that talks to the daemon, with what
`hookd.cli.address` found out.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from hookd.cli import wire
from hookd.cli.failure import REFUSED, UNREACHABLE, Failure

TIMEOUT_S = 30.0


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


class Client(NamedTuple):
    """Asks one daemon.

    Attributes:
        address: the path of its Unix socket, or an http or https URL.
        token: sent as bearer token where there is one.
    """

    address: str
    token: str | None = None

    def get(self, path: str, query: Mapping[str, str] | None = None, *, timeout_s: float = TIMEOUT_S) -> Any:
        """Read what is at `path`; raises as `send` does."""
        if not query:
            return self._ask(wire.Request("GET", path, {}), timeout_s)
        from urllib.parse import urlencode

        return self._ask(wire.Request("GET", f"{path}?{urlencode(query)}", {}), timeout_s)

    def send(
        self, path: str, body: bytes = b"{}", *, media: str = "application/json", timeout_s: float = TIMEOUT_S
    ) -> Any:
        """Post a body to `path` and return the answer's JSON.

        Raises:
            Refusal: the daemon refused (exit code 1).
            Failure: it cannot be reached (exit code 3), or what answers is not hookd (exit code 1).
        """
        return self._ask(wire.Request("POST", path, {"Content-Type": media}, body), timeout_s)

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

        from hookd.cli import stream

        request = wire.Request("GET", f"{path}?{urlencode(query)}", self._headers())
        with self._told(request, silent_s):
            opened = stream.opened(self.address, request, silent_s)
            if isinstance(opened, wire.Answer):
                judged(opened, self.address)
                raise Failure(f"{self.address} answered, and not as hookd does: is that the right address?")
            yield from opened

    def _ask(self, request: wire.Request, timeout_s: float) -> Any:
        headers = {**self._headers(), **request.headers}
        with self._told(request, timeout_s):
            over = wire.over_url if wire.is_url(self.address) else wire.over_unix
            answer = over(self.address, request._replace(headers=headers), timeout_s)
        return judged(answer, self.address)

    def _headers(self) -> dict[str, str]:
        token = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return {"Accept": "application/json", **token}

    @contextlib.contextmanager
    def _told(self, request: wire.Request, timeout_s: float) -> Iterator[None]:
        """Turn what goes wrong on the wire into a `Failure`."""
        try:
            yield
        except TimeoutError:
            raise Failure(
                f"no answer from {self.address} within {timeout_s:g} s", *_doubt(request), code=UNREACHABLE
            ) from None
        except wire.NoAnswer as error:
            raise Failure(f"{self.address}: {error}", *_doubt(request), code=UNREACHABLE) from None
        except OSError as error:
            raise unreachable(self.address, error) from None


def _doubt(request: wire.Request) -> tuple[str, ...]:
    if request.method == "GET":
        return ()
    return (
        "it is unknown whether the request was carried out; posting an event again under the same id is safe",
    )


def judged(answer: wire.Answer, address: str) -> Any:
    """The JSON of an answer that says yes.

    Raises:
        Refusal: it is a problem.
        Failure: it is nothing that hookd answers.
    """
    try:
        content = json.loads(answer.body)
    except ValueError:
        content = None
    if answer.status < 300 and content is not None:
        return content
    if isinstance(content, dict) and "detail" in content:
        raise Refusal(*_lines(answer, content), status=answer.status, problem=content)
    raise Failure(f"{address} answered {answer.status}, and not as hookd does: is that the right address?")


def _lines(answer: wire.Answer, problem: dict[str, Any]) -> list[str]:
    detail = str(problem["detail"])
    faults = (fault_line(fault) for fault in problem.get("errors") or ())
    lines = [detail, *(line for line in faults if line != detail)]
    near = problem.get("near")
    if near and "did you mean" not in detail:
        lines.append("did you mean: " + ", ".join(map(str, near)))
    if wait := answer.headers.get("retry-after"):
        lines.append(f"try again in {wait} s")
    return lines


def fault_line(fault: Mapping[str, Any]) -> str:
    """One fault of a problem: its place in the request, where it has one, and what is wrong."""
    return ": ".join(filter(None, (str(fault.get("pointer", "")), str(fault.get("message", "")))))


def unreachable(address: str, error: OSError) -> Failure:
    """The failure for an address that cannot be reached: what is wrong and what helps."""
    if isinstance(error, PermissionError):
        return Failure(f"permission denied at {address}", permission_remedy(address), code=UNREACHABLE)
    reason = error.strerror or str(error)
    return Failure(
        f"hookd is not reachable at {address}: {reason}",
        "is it running? `hookd run` starts it, `systemctl status hookd` tells",
        "another address: --socket PATH, --url URL or $HOOKD_SOCKET",
        code=UNREACHABLE,
    )


def permission_remedy(path: str) -> str:
    """Name the group that would help: of what is at the path, or of the nearest directory that can be looked at."""
    import grp
    from pathlib import Path

    for place in (Path(path), *Path(path).parents):
        try:
            group = grp.getgrgid(place.stat().st_gid).gr_name
        except (OSError, KeyError):
            continue
        return f"{place} belongs to group {group}: `usermod -aG {group} USER` and a new login give access"
    return "ask whoever runs hookd for access to its socket"
