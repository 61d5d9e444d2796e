"""`daemon.listen` to `UnixListen` and `HttpListen`: addresses, and who may what on them (spec 1, 12).

Must never: bind or create what it names; certificates are proven, names of users and groups are looked up.
"""

import grp
import ipaddress
import os
import pwd
import re
from collections.abc import Callable
from typing import TypeAlias

from hookd.config.build.certificates import read_chain
from hookd.config.build.paths import path_fault
from hookd.config.build.secrets import read_secret, stands_in
from hookd.config.build.unfilled import refuse_in_text
from hookd.config.yaml.cursor import Cursor
from hookd.domain.definitions import HttpListen, PeerDef, TokenDef, UnixListen
from hookd.domain.principals import EVERY_RIGHT, Right
from hookd.domain.text import quoted

Listen: TypeAlias = UnixListen | HttpListen

_MAX_SOCKET_PATH = 107  # sun_path of Linux, without its NUL
_MAX_PORT = 65535
_TOKEN = re.compile(r"[\x21-\x7e]+")
_OTHERS_CONNECT = 0o002  # unix(7): connecting needs write permission
_OWN_GROUP = "hookd"
_SHORTEST_TOKEN = 16


def read_listeners(cursor: Cursor | None, defaults: tuple[Listen, ...]) -> tuple[Listen, ...]:
    """The entries of `daemon.listen`, or the defaults without it; what is wrong is reported."""
    if cursor is None:
        return defaults
    taken: set[object] = set()
    found: list[Listen] = []
    for item in cursor.items():
        listener = _read_listener(item)
        if listener is None:
            continue
        address = listener.path if isinstance(listener, UnixListen) else (listener.host, listener.port)
        any_port = isinstance(listener, HttpListen) and listener.port == 0
        if address in taken and not any_port:
            item.error("this address stands in the list twice")
        taken.add(address)
        found.append(listener)
    if (narrow := next((each.shown for each in found if _is_narrow(each)), None)) is not None:
        for http in _open_doors(cursor):
            http.warn(
                f"every user of this machine may post events and read the metrics here, though {narrow} is for fewer"
                " (nothing else is served without tokens); set tokens or peers, or remove the entry"
            )
    doors = _open_doors(cursor)
    if found and len(doors) == len(found):
        doors[0].warn(
            "without tokens or peers only events are taken in here, and health and metrics shown: `hookd status` and"
            " the other commands find no listener that answers them; set tokens or peers, or add a unix entry"
        )
    return tuple(found)


def _is_narrow(listener: Listen) -> bool:
    """Whether it is a Unix socket that not every user of the machine can open."""
    return isinstance(listener, UnixListen) and not listener.mode & _OTHERS_CONNECT


def _open_doors(listeners: Cursor) -> list[Cursor]:
    """The TCP addresses on which nobody has to say who they are."""
    return [
        http
        for item in listeners.items()
        if (http := item.get("http")) is not None and not {"tokens", "peers"} & item.node.value.keys()
    ]


def _read_listener(cursor: Cursor) -> Listen | None:
    if (unix := cursor.get("unix")) is not None:
        return _read_unix(cursor, unix)
    if (http := cursor.get("http")) is not None:
        return _read_http(cursor, http)
    return None


def _read_unix(cursor: Cursor, unix: Cursor) -> UnixListen:
    if not refuse_in_text(unix) and (fault := path_fault(unix, is_file=True)):
        unix.error(fault)
    path = str(unix.file_of(unix.value))
    # Where a relative one will lie on the machine that runs it, a portable load cannot know.
    length = len(os.fsencode(unix.value if cursor.scope.portable else path))
    if length > _MAX_SOCKET_PATH:
        unix.error(f"the path of a socket has at most {_MAX_SOCKET_PATH} bytes, this one {length}")
    group, peers = cursor.get("group"), _read_peers(cursor.get("peers"))
    if group is not None:
        _expect_known("group", group)
        if group.value == _OWN_GROUP and peers is None:
            group.warn(
                f"members of the group {_OWN_GROUP} can read the configuration too, and may only post events here;"
                " name the group hookd-emit, or add peers"
            )
    mode = int(cursor.plain("mode", "0660"), 8)
    return UnixListen(path, mode, None if group is None else group.value, peers)


def _read_peers(cursor: Cursor | None) -> tuple[PeerDef, ...] | None:
    return None if cursor is None else tuple(_read_peer(item) for item in cursor.items())


def _read_peer(cursor: Cursor) -> PeerDef:
    accounts: dict[str, str | None] = {"user": None, "group": None}
    for kind in accounts:
        account = cursor.get(kind)
        if account is not None:
            _expect_known(kind, account)
            accounts[kind] = str(account.value)
    return PeerDef(accounts["user"], accounts["group"], _read_rights(cursor.get("may")))


def _expect_known(kind: str, account: Cursor) -> None:
    """Report a user's or group's name that this system does not know; a number need not have a name."""
    if account.scope.portable or str(account.value).isdecimal():
        return
    look_up: Callable[[str], object] = pwd.getpwnam if kind == "user" else grp.getgrnam
    try:
        look_up(account.value)
    except (KeyError, ValueError):
        account.error(f"there is no {kind} {quoted(account.value)} on this system")


def _read_rights(cursor: Cursor | None) -> frozenset[Right]:
    names = {"all"} if cursor is None else {item.value for item in cursor.items()}
    return EVERY_RIGHT if "all" in names else frozenset(Right(name) for name in names)


def _read_http(cursor: Cursor, http: Cursor) -> HttpListen | None:
    host, _, port = http.value.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if host != "localhost" and not _is_address(host):
        http.error(f"the host must be an IP address or localhost, not {quoted(host)}")
        return None
    if int(port) > _MAX_PORT:
        http.error(f"the port must be from 0 (any free one) to {_MAX_PORT}, not {int(port)}")
        return None
    outside = not _is_loopback(host)
    tokens, peers = _read_tokens(cursor.get("tokens"), guessable=outside), cursor.get("peers")
    if outside:
        _expect_guarded(cursor, host)
    cert, key = _read_certificate(cursor.get("tls"))
    hosts = cursor.get("allowed_hosts")
    allowed = () if hosts is None else tuple(str(item.value) for item in hosts.items())
    return HttpListen(host, int(port), tokens, allowed, cert, key, _read_peers(peers))


def _expect_guarded(cursor: Cursor, host: str) -> None:
    """What an address that others can reach must have."""
    if "tokens" not in cursor.node.value:
        cursor.error_at_key(f"{host} is reachable from outside, so tokens are required")
    elif "tls" not in cursor.node.value:
        cursor.warn(f"{host} is reachable from outside, and without tls the tokens can be read on their way")
    if (peers := cursor.get("peers")) is not None:
        peers.error_at_key("peers are users of this machine, who are known on a loopback address only")


def _read_certificate(cursor: Cursor | None) -> tuple[str | None, str | None]:
    return (None, None) if cursor is None or cursor.scope.portable else read_chain(cursor)


def _read_tokens(cursor: Cursor | None, *, guessable: bool) -> tuple[TokenDef, ...]:
    tokens: dict[str, TokenDef] = {}
    for number, item in enumerate(() if cursor is None else cursor.items(), 1):
        given = item.get("token") if _is_described(item) else item
        if not item.value:
            item.error("gives no token; write {name: NAME, token: SECRET, may: [RIGHT]}")
        secret = read_secret(given)
        if given is None or secret is None:
            continue
        if secret.value.lower().startswith("bearer "):
            given.error("is given without the word Bearer, which clients put before it")
        elif not _TOKEN.fullmatch(secret.value) and not stands_in(given, secret):
            given.error("a token can hold visible ASCII characters only, since it is sent in a header")
        if guessable and len(secret.value) < _SHORTEST_TOKEN and not stands_in(given, secret):
            given.error(
                f"a token on an address that is reachable from outside has {_SHORTEST_TOKEN} characters or more;"
                " `openssl rand -hex 24` makes one"
            )
        name = str(number)
        rights = EVERY_RIGHT
        if _is_described(item):
            name = item.plain("name", name)
            rights = _read_rights(item.get("may"))
        if name in tokens:
            item.error(f"two tokens have the name {quoted(name)}")
        tokens[name] = TokenDef(name, secret, rights)
    return tuple(tokens.values())


def _is_described(token: Cursor) -> bool:
    """Whether it is a mapping that says more than where the secret is kept."""
    return isinstance(token.value, dict) and not token.value.keys() & {"env", "file", "credential"}


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or ipaddress.ip_address(host).is_loopback
