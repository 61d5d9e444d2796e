"""A listener's certificate is replaced in all the ways in which tools do that, and never by what cannot be served."""

import os
import shutil
import ssl
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hookd.domain.definitions import HttpListen
from hookd.domain.errors import ListenFailed
from hookd.observability import log
from hookd.server.served_certificate import ServedCertificate, ServedCertificates
from tests.kit.tls import Authority, Pair, encrypted

openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


class Site:
    """A certificate in its place, and others to put there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder)
        self.first, self.second = self.issue("first"), self.issue("second", valid_days=90)
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"
        self.place(self.first)
        self.served = ServedCertificate(str(self.cert), str(self.key))

    def issue(self, name: str, valid_days: int = 30) -> Pair:
        return self.authority.issue(name, "127.0.0.1", valid_days=valid_days)

    def place(self, pair: Pair) -> None:
        self.cert.write_bytes(pair.cert.read_bytes())
        self.key.write_bytes(pair.key.read_bytes())

    def looks(self, times: int = 3) -> ssl.SSLContext:
        for _ in range(times):
            self.served.look()
        return self.served.context


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def said() -> Any:
    facts: list[tuple[str, str, dict[str, Any]]] = []
    log.follow(lambda *fact: facts.append(fact))
    yield facts
    log.follow(None)


def in_place(site: Site) -> None:
    site.place(site.second)


def renamed(site: Site) -> None:
    for old, new in ((site.cert, site.second.cert), (site.key, site.second.key)):
        shutil.copy(new, f"{old}.new")
        Path(f"{old}.new").replace(old)


def linked(site: Site) -> None:
    """As certbot: `live/` holds links into `archive/`."""
    for old, new in ((site.cert, site.second.cert), (site.key, site.second.key)):
        old.unlink()
        old.symlink_to(os.path.relpath(new, old.parent))


@pytest.mark.parametrize("replace", [in_place, renamed, linked])
def test_a_replaced_certificate_is_served_from_the_next_look_on(
    site: Site, said: list[Any], replace: Callable[[Site], None]
) -> None:
    before, state = site.looks(), site.served.state
    replace(site)
    assert site.looks(1) is not before
    assert (site.served.state.ends_at or 0) > (state.ends_at or 0)
    assert site.served.state.error is None
    assert [fact[:2] for fact in said] == [("info", "listener.certificate_renewed")]
    assert (site.served.take_renewed(), site.served.take_renewed()) == (True, False)


def test_what_did_not_change_is_not_loaded_again(site: Site, said: list[Any]) -> None:
    assert site.looks() is site.looks()
    assert said == []


@pytest.mark.parametrize("first", ["cert", "key"])
def test_one_replaced_before_the_other_is_waited_for(site: Site, said: list[Any], first: str) -> None:
    before = site.served.context
    shutil.copy(getattr(site.second, first), getattr(site, first))
    assert site.looks(1) is before
    assert (site.served.state.error, said) == (None, [])
    site.place(site.second)
    assert site.looks(1) is not before
    assert [fact[1] for fact in said] == ["listener.certificate_renewed"]


def mismatched(site: Site) -> None:
    shutil.copy(site.second.cert, site.cert)


def cut_off(site: Site) -> None:
    site.cert.write_bytes(site.second.cert.read_bytes()[:200])


def emptied(site: Site) -> None:
    site.key.write_bytes(b"")


def removed(site: Site) -> None:
    site.key.unlink()


def for_all(site: Site) -> None:
    site.place(site.second)
    site.key.chmod(0o666)


def a_pipe(site: Site) -> None:
    site.cert.unlink()
    os.mkfifo(site.cert)


def with_passphrase(site: Site) -> None:
    site.place(site.second)
    shutil.copy(encrypted(site.second, b"x").key, site.key)


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (mismatched, "it does not belong to the key {key}"),
        (cut_off, "a certificate and its key in PEM form are needed"),
        (emptied, "a certificate and its key in PEM form are needed"),
        (removed, "{key} cannot be read: No such file or directory"),
        (for_all, "{key} is world-writable"),
        (a_pipe, "{cert} is no regular file"),
        (with_passphrase, "its key has a passphrase, and there is nobody to ask for it"),
    ],
)
def test_what_cannot_be_served_is_reported_once_and_the_old_one_kept(
    site: Site, said: list[Any], spoil: Callable[[Site], None], error: str
) -> None:
    before, ends_at = site.served.context, site.served.state.ends_at
    spoil(site)
    assert site.looks(4) is before
    told = error.format(cert=site.cert, key=site.key)
    assert (site.served.state.error, site.served.state.ends_at) == (told, ends_at)
    [(level, fact, keys)] = said
    assert (level, fact, keys["error"]) == ("error", "listener.certificate_refused", told)
    assert site.served.take_renewed() is False


def test_what_is_put_right_is_served_and_no_fault_any_more(site: Site, said: list[Any]) -> None:
    before = site.served.context
    mismatched(site)
    site.looks()
    site.place(site.second)
    assert site.looks(1) is not before
    assert site.served.state.error is None


def test_what_is_put_back_is_no_fault_any_more(site: Site) -> None:
    kept = site.folder / "kept.pem"
    site.cert.rename(kept)
    site.looks()
    assert site.served.state.error is not None
    kept.rename(site.cert)
    site.looks(1)
    assert site.served.state.error is None


@pytest.mark.parametrize("valid_days", [-3, 1, 30, 9_000, 20_000])
def test_the_end_is_that_of_the_first_certificate(site: Site, valid_days: int) -> None:
    pair = site.issue("other", valid_days)
    bundle = (
        b"text before\n" + pair.cert.read_bytes() + site.authority.ca.read_bytes() + pair.key.read_bytes()
    )
    site.cert.write_bytes(bundle)
    served = ServedCertificate(str(site.cert), None)
    ends_at = datetime.fromtimestamp(served.state.ends_at or 0, tz=UTC)
    assert abs((ends_at - datetime.now(tz=UTC)).total_seconds() - valid_days * 86400) < 120


@openssl
@pytest.mark.parametrize("kind", ["rsa:2048", "ec"])
def test_the_end_is_what_openssl_says(site: Site, kind: str) -> None:
    curve = ["-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "ec" else []
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", kind, *curve, "-nodes", "-days", "400", "-subj", "/CN=x",
         "-keyout", site.key, "-out", site.cert],
        check=True, capture_output=True,
    )  # fmt: skip
    told = subprocess.check_output(["openssl", "x509", "-noout", "-enddate", "-in", site.cert], text=True)
    site.looks(1)
    assert site.served.state.ends_at == ssl.cert_time_to_seconds(told.strip().removeprefix("notAfter="))


def test_hookd_does_not_start_with_a_broken_one(site: Site) -> None:
    mismatched(site)
    with pytest.raises(ListenFailed, match=r"cannot load the certificate .* does not belong to the key"):
        ServedCertificates().of(HttpListen("127.0.0.1", 0, cert=str(site.cert), key=str(site.key)))
