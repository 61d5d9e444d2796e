"""Who may speak to the daemon: Host, Origin and token of a request (spec 12, 14).

A web page in somebody's browser can send requests to localhost; it cannot forge the Host or hide the Origin.

Must never: read a body.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from hookd.domain.definitions import HttpListen, UnixListen
from hookd.server.messages import Request
from hookd.server.problems import Problem


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """What one listener demands of a request.

    Attributes:
        tokens: bearer tokens, one of which a request must carry; none: no token is asked for.
        allowed_hosts: good Host values besides the address itself and `localhost`, lower case.
        tls: the listener itself speaks TLS.
        any_host: no Host is looked at: on a Unix socket, which no web page can reach, it means nothing.
        listen_host: the host that is listened on, lower case.
    """

    tokens: tuple[bytes, ...] = ()
    allowed_hosts: frozenset[str] = frozenset()
    tls: bool = False
    any_host: bool = False
    listen_host: str = ""

    @classmethod
    def of(cls, listen: UnixListen | HttpListen) -> "AccessPolicy":
        """The demands of a configured listener."""
        if isinstance(listen, UnixListen):
            return cls(any_host=True)
        return cls(
            tokens=tuple(token.value.encode() for token in listen.tokens),
            allowed_hosts=frozenset(host.lower() for host in (*listen.allowed_hosts, listen.host)),
            tls=listen.cert is not None,
            listen_host=listen.host.lower(),
        )

    def check(self, request: Request) -> None:
        """Refuse a request that may not enter.

        Raises:
            Problem: 400 (no Host), 421 (Host), 403 (Origin) or 401 (token).
        """
        headers = request.headers
        if not self.any_host and "Host" not in headers:
            raise Problem(
                400, "there is no Host header; HTTP/1.0 needs one here too, such as `Host: localhost`"
            )
        if not self.any_host and not self._good_host(headers.getall("Host", []), request):
            raise Problem(
                421, "this Host is not served here; use the listener's address or add it to allowed_hosts"
            )
        origins = headers.getall("Origin", [])
        if origins and not all(self._good_origin(origin, request) for origin in origins):
            raise Problem(403, "requests from web pages of other origins are refused")
        if self.tokens and not self._good_token(headers.getall("Authorization", [])):
            raise Problem(
                401,
                "a bearer token of this listener is needed",
                headers=(("WWW-Authenticate", 'Bearer realm="hookd"'),),
            )

    def _good_host(self, given: Sequence[str], request: Request) -> bool:
        if len(given) != 1:
            return False
        host = given[0].strip().lower()
        return host in self.allowed_hosts or self._is_local(_without_port(host), request)

    def _good_origin(self, origin: str, request: Request) -> bool:
        """Only pages that came from this very address may ask: same scheme, host and port (the Host is good by now).

        Before a name of `allowed_hosts` a proxy may speak TLS for a listener that does not.
        """
        scheme, _, rest = origin.strip().lower().partition("://")
        host = request.headers.get("Host", "").strip().lower()
        return scheme in self._schemes(host) and rest == host != ""

    def _schemes(self, host: str) -> tuple[str, ...]:
        if self.tls:
            return ("https",)
        behind_proxy = {host, _without_port(host)} & (self.allowed_hosts - {self.listen_host})
        return ("http", "https") if behind_proxy else ("http",)

    def _is_local(self, name: str, request: Request) -> bool:
        if name == "localhost" or name in self.allowed_hosts:
            return True
        return name.strip("[]") == request.local_address()

    def _good_token(self, given: Sequence[str]) -> bool:
        if len(given) != 1:
            return False
        scheme, _, token = given[0].partition(" ")
        raw = token.strip().encode("utf-8", "surrogateescape")
        matches = [hmac.compare_digest(raw, good) for good in self.tokens]
        return scheme.lower() == "bearer" and any(matches)


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host
