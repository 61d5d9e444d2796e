"""Certificates for TLS tests, made anew for each run with `cryptography`."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key as PEM files."""

    cert: Path
    key: Path


class Authority:
    """A certificate authority in a folder; `ca` is its own certificate."""

    def __init__(self, folder: Path, name: str = "hookd test CA") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _subject(name)
        self.ca = folder / "ca.pem"
        builder = _builder(self._name, self._name, self._key, valid_days=30)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.ca.write_bytes(_pem(builder.sign(self._key, hashes.SHA256())))

    def issue(self, file: str, *hosts: str, valid_days: int = 30, ca: bool | None = None) -> Pair:
        """Issue a certificate for these names and addresses.

        Args:
            file: its files' name, and its subject.
            hosts: what it is for.
            valid_days: negative: it ended that long ago.
            ca: whether it says that it is an authority; None: it says nothing.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_subject(file), self._name, key, valid_days)
        if ca is not None:
            builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        if hosts:
            builder = builder.add_extension(_alternatives(hosts), critical=False)
        return _write(self._folder, file, builder.sign(self._key, hashes.SHA256()), key)


def self_signed(folder: Path, *hosts: str) -> Pair:
    """A certificate that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _subject("self-signed")
    builder = _builder(name, name, key, valid_days=30).add_extension(_alternatives(hosts), critical=False)
    return _write(folder, "self-signed", builder.sign(key, hashes.SHA256()), key)


def issued_by(pair: Pair, file: str, *hosts: str) -> Pair:
    """A certificate that the holder of another one signs, as if that were an authority; it is sent behind its own."""
    issuer = x509.load_pem_x509_certificate(pair.cert.read_bytes())
    issuer_key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_subject(file), issuer.subject, key, valid_days=30)
    builder = builder.add_extension(_alternatives(hosts), critical=False)
    made = _write(pair.cert.parent, file, builder.sign(issuer_key, hashes.SHA256()), key)
    made.cert.write_bytes(made.cert.read_bytes() + pair.cert.read_bytes())
    return made


def encrypted(pair: Pair, password: bytes) -> Pair:
    """The same pair with its key under a password."""
    key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    path = pair.key.with_name("encrypted.key")
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password),
        )
    )
    return Pair(pair.cert, path)


def server_context(pair: Pair, *, clients: Path | None = None) -> ssl.SSLContext:
    """A server's context; with `clients` it demands certificates of that authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)
    return context


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, valid_days: int
) -> x509.CertificateBuilder:
    end = datetime.now(UTC) + valid_days * _DAY
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(end, datetime.now(UTC)) - 10 * _DAY)
        .not_valid_after(end)
    )


def _alternatives(hosts: tuple[str, ...]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(
        [x509.IPAddress(ip_address(host)) if host[0].isdigit() else x509.DNSName(host) for host in hosts]
    )


def _write(folder: Path, file: str, cert: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    pair = Pair(folder / f"{file}.pem", folder / f"{file}.key")
    pair.cert.write_bytes(_pem(cert))
    pair.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pair


def _pem(cert: x509.Certificate) -> bytes:
    return cert.public_bytes(serialization.Encoding.PEM)
