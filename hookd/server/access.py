"""Who may speak to the daemon, and as whom: Host, Origin, token and local user of a request (spec 12, 14).

A web page in somebody's browser can send requests to localhost; it cannot forge the Host or hide the Origin.

Who somebody is on a listener:
- with a token of its list: that token;
- without one, a local user whom the kernel names, on a Unix socket and where a TCP entry has `peers`: root and hookd's
  own user may all, others what `peers` gives them. A Unix socket without `peers` lets everybody who can open it post
  events; one that lies outside /run, where only a developer puts it, lets them do all;
- anybody else on a TCP listener without tokens and peers may post events and read the metrics, since every user of the
  machine can reach it.

Must never: read a body, or know which route needs which right.
"""

import grp
import hmac
import os
import pwd
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hookd.domain.definitions import HttpListen, PeerDef, UnixListen
from hookd.domain.errors import ListenFailed
from hookd.domain.principals import EVERY_RIGHT, Principal, Right, in_words
from hookd.domain.value_class import value_class
from hookd.server.messages import Request
from hookd.server.peers import Peer
from hookd.server.problems import Problem

_ANYONE = Principal("anyone", frozenset({Right.EMIT, Right.METRICS}))
_NOBODY: frozenset[Right] = frozenset()
_SAME_SITE = frozenset({"same-origin", "none"})


class _Token(NamedTuple):
    raw: bytes
    principal: Principal


class _PeerRule(NamedTuple):
    uid: int | None
    gid: int | None
    may: frozenset[Right]

    def fits(self, peer: Peer) -> bool:
        return peer.uid == self.uid or self.gid in peer.gids


@value_class
class AccessPolicy:
    """What one listener demands of a request.

    Attributes:
        address: the listener, for refusals.
        tokens: one of which a request must carry unless its sender is a peer; none: no token is asked for.
        peers: what local users may, beside root and hookd's own; None: nobody is looked up.
        strangers: what a local user may whom no entry of `peers` names.
        allowed_hosts: good Host values besides the address itself and `localhost`, lower case.
        tls: the listener itself speaks TLS.
        any_host: no Host is looked at: on a Unix socket, which no web page can reach, it means nothing.
        listen_host: the host that is listened on, lower case.
    """

    address: str = ""
    tokens: tuple[_Token, ...] = ()
    peers: tuple[_PeerRule, ...] | None = None
    strangers: frozenset[Right] = _NOBODY
    allowed_hosts: frozenset[str] = frozenset()
    tls: bool = False
    any_host: bool = False
    listen_host: str = ""

    @classmethod
    def of(cls, listen: UnixListen | HttpListen) -> "AccessPolicy":
        """The demands of a configured listener.

        Raises:
            ListenFailed: `peers` names a user or group that this system does not have.
        """
        address, rules = listen.shown, _rules(listen.shown, listen.peers)
        if isinstance(listen, UnixListen):
            strangers = _NOBODY if listen.peers is not None else _strangers(listen.path)
            return cls(address, peers=rules or (), strangers=strangers, any_host=True)
        return cls(
            address,
            tokens=tuple(
                _Token(token.secret.value.encode(), Principal(f"token {token.name}", token.may))
                for token in listen.tokens
            ),
            peers=rules,
            allowed_hosts=frozenset(host.lower() for host in (*listen.allowed_hosts, listen.host)),
            tls=listen.cert is not None,
            listen_host=listen.host.lower(),
        )

    def check(self, request: Request) -> None:
        """Refuse a request that a web page may have sent.

        Raises:
            Problem: 400 (no Host), 421 (Host) or 403 (Origin, Sec-Fetch-Site).
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
        if any(site not in _SAME_SITE for site in headers.getall("Sec-Fetch-Site", [])):
            raise Problem(403, "requests from web pages of other sites are refused")

    async def principal_of(self, request: Request) -> Principal:
        """Who sent a request.

        Raises:
            Problem: 401, where a token is needed and none of this listener's came along.
        """
        given = request.headers.getall("Authorization", [])
        if self.tokens and (given or self.peers is None):
            return self._by_token(given)
        if self.peers is None:
            return _ANYONE
        peer = await request.peer()
        known = self._by_peer(peer)
        if self.tokens and not known.may:
            return self._by_token(given)
        return known

    def demand(self, needed: frozenset[Right], principal: Principal) -> None:
        """Let pass who has one of the rights that a route needs, and everybody where it needs none.

        Raises:
            Problem: 403; it says who may, and how to become one of them.
        """
        if needed and needed.isdisjoint(principal.may):
            raise self._refusal(needed, principal)

    def _refusal(self, needed: frozenset[Right], principal: Principal) -> Problem:
        one = " or ".join(f"`{right}`" for right in Right if right in needed)
        example = next(right for right in Right if right in needed)
        return Problem(
            403,
            f"this needs the right {one}, and {principal.name} has {in_words(principal.may)} on {self.address}; "
            + self._way(principal, example),
        )

    def _way(self, principal: Principal, right: Right) -> str:
        if principal is _ANYONE:
            return (
                "without `tokens` a TCP listener takes events in and shows health and metrics, and nothing else: "
                "ask on the Unix socket, or add `tokens` (or `peers`) to its entry in daemon.listen"
            )
        if principal.name.startswith("token "):
            return f"its entry in `tokens` of daemon.listen must have `may: [{right}]`"
        user = principal.name.partition(" ")[2]
        return (
            "root and hookd's own user may all; for others, its entry in daemon.listen needs "
            f"`peers: [{{user: {user or 'NAME'}, may: [{right}]}}]`"
        )

    def _by_peer(self, peer: Peer | None) -> Principal:
        if peer is None:
            return Principal("an unknown user", _NOBODY)
        name = f"uid {peer.uid}"
        if peer.uid in (0, os.geteuid()):
            return Principal(name, EVERY_RIGHT)
        fitting = [rule.may for rule in self.peers or () if rule.fits(peer)]
        return Principal(name, self.strangers.union(*fitting))

    def _by_token(self, given: Sequence[str]) -> Principal:
        if len(given) == 1:
            scheme, _, token = given[0].partition(" ")
            raw = token.strip().encode("utf-8", "surrogateescape")
            # All are compared, so that the time says nothing of their order.
            found = [each.principal for each in self.tokens if hmac.compare_digest(raw, each.raw)]
            if scheme.lower() == "bearer" and found:
                return found[0]
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


def _strangers(path: str) -> frozenset[Right]:
    """What a user may whom nobody named, on a Unix socket that has no `peers`."""
    served = path.startswith("@") or f"{Path(path).parent.resolve()}/".startswith("/run/")
    return frozenset({Right.EMIT}) if served else EVERY_RIGHT


def _rules(address: str, peers: Sequence[PeerDef] | None) -> tuple[_PeerRule, ...] | None:
    if peers is None:
        return None
    return tuple(
        _PeerRule(_number(address, "user", each.user), _number(address, "group", each.group), each.may)
        for each in peers
    )


def _number(address: str, kind: str, name: str | None) -> int | None:
    """The uid or gid of a `user` or `group` that `peers` names."""
    if name is None or name.isdecimal():
        return None if name is None else int(name)
    try:
        return pwd.getpwnam(name).pw_uid if kind == "user" else grp.getgrnam(name).gr_gid
    except KeyError:
        raise ListenFailed(
            f"cannot listen on {address}: `peers` names the {kind} {name!r}, which is unknown here"
        ) from None


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host
