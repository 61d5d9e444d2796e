"""Link-local and metadata addresses are recognised in every form an address can take."""

import random
import re
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from hookd.domain.blocked_addresses import NEVER_CALLED_4, NEVER_CALLED_6, is_never_called

UNIT = Path(__file__).parents[2] / "systemd" / "hookd.service"


@pytest.mark.parametrize(
    "address",
    [
        "169.254.0.0",
        "169.254.169.254",
        "169.254.255.255",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fe80::1",
        "fe80::1%eth0",
        "febf:ffff::1",
        "fd00:ec2::254",
        "fd00:0ec2:0:0:0:0:0:0254",
        "::ffff:169.254.169.254",
        "::ffff:a9fe:a9fe",
        "0:0:0:0:0:ffff:a9fe:a9fe",
        "::169.254.169.254",
        "64:ff9b::169.254.169.254",
        "64:ff9b::a83f:8110",
        "64:ff9b:1::192.0.0.192",
        "2002:a9fe:a9fe::1",
        "::ffff:100.100.100.200",
        # Metadata of other clouds, and of pods.
        "fd00:ec2::23",
        "fd20:ce::254",
        "fd00:c1::a9fe:a9fe",
        "fd00:42::42",
        "fd00:a9fe:a9fe::1",
        "fd00:100::100:200",
        "169.254.170.2",
        "169.254.170.23",
        "169.254.42.42",
        "169.254.0.23",
        # Any of them where a form says that it holds an IPv4 address: SIIT, ISATAP, Teredo's server and client.
        "::ffff:0:169.254.169.254",
        "::ffff:0:a83f:8110",
        "2001:db8::5efe:169.254.1.1",
        "2001:db8:1:2:200:5efe:c000:c0",
        "fe80::5efe:10.0.0.1",
        "2001:0:a9fe:a9fe::f5ff:fffe",
        "2001:0:808:808:0:0:5601:5601",
        "2001:0:808:808:8000:1234:9b9b:9b37",
        # Behind the prefixes of RFC 6052 and RFC 8215, ranges too, at each place.
        "64:ff9b::169.254.1.1",
        "64:ff9b:1:a9fe:1:100::",
        "64:ff9b:1:ffa9:fe:101::",
        "64:ff9b:1:ffff:a9:fe01:100:0",
        "64:ff9b:1:2:3:4:169.254.1.1",
        # Metadata itself behind a prefix that only its operator knows, of each length.
        "2001:db8:a9fe:a9fe::",
        "2001:db8:a9fe:a9fe:ab:cdef:1234:5678",
        "2001:db8:1a9:fea9:fe::",
        "2001:db8:1234:a83f:81:1000::1",
        "2001:db8:1234:12c0:0:c0:0:1",
        "2001:db8:1234:5678:64:6464:c8ff:ffff",
        "2001:db8::a9fe:a9fe",
        "fd00:64::100.100.100.200",
    ],
)
def test_never_called(address: str) -> None:
    assert is_never_called(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.100.100.201",
        "100.64.0.1",
        "168.63.129.17",
        "192.0.0.193",
        "169.253.255.255",
        "169.255.0.0",
        "8.8.8.8",
        "::1",
        "::",
        "fd00::1",
        "fd00:ec2::253",
        "fec0::1",
        "fe7f::1",
        "::ffff:127.0.0.1",
        "64:ff9b::10.0.0.1",
        "2002:a00:1::1",
        # A range of addresses behind a prefix that says nothing would cost networks their addresses by chance.
        "2001:db8::a9fe:1",
        "2001:db8:a9fe:1::1",
        "2001:db8:1:2:a9:fe01:100:0",
        "::ffff:0:10.0.0.1",
        "2001:db8::5efe:10.0.0.1",
        "2001:0:808:808::f5ff:fffe",
        "64:ff9b:1::",
        "64:ff9b:1:a00:1:200::",
        "fd00:ec2::2",
        "fd20:ce::1",
        "fd00:42::1",
    ],
)
def test_called(address: str) -> None:
    assert not is_never_called(address)


@pytest.mark.parametrize("text", ["", "localhost", "169.254", "2852039166", "[::1]"])
def test_names_are_no_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        is_never_called(text)


def embedded(prefix: int, length: int, held: IPv4Address) -> IPv6Address:
    """An IPv4 address behind a prefix, as the figure of RFC 6052, section 2.2, has it."""
    bits = [int(digit) for digit in f"{prefix:0128b}"][:length]
    for digit in f"{int(held):032b}":
        bits += [0] * 8 if len(bits) == 64 else []
        bits.append(int(digit))
    return IPv6Address(int("".join(map(str, bits)).ljust(128, "0"), 2))


@pytest.mark.parametrize("length", [32, 40, 48, 56, 64, 96])
def test_no_prefix_of_a_translator_hides_metadata(length: int) -> None:
    dice = random.Random(length)
    for held in ("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192"):
        for _ in range(50):
            prefix = 0x2000 << 112 | dice.getrandbits(112)
            if length == 96:
                prefix &= ~(0xFF << 56)
            assert is_never_called(str(embedded(prefix, length, IPv4Address(held))))
    assert (
        str(embedded(0x20010DB8012203440000 << 48, 64, IPv4Address("192.0.2.33")))
        == "2001:db8:122:344:c0:2:2100:0"
    )


def test_hardly_an_address_is_refused_by_chance() -> None:
    dice = random.Random(1)
    ordinary = (IPv6Address(0x2000 << 112 | dice.getrandbits(112)) for _ in range(20_000))
    assert not any(is_never_called(str(address)) for address in ordinary)


def test_the_unit_denies_the_same_addresses() -> None:
    denied = re.findall(r"^IPAddressDeny=(.*)$", UNIT.read_text(), re.MULTILINE)
    assert " ".join(denied).split() == [
        str(network).removesuffix("/32").removesuffix("/128")
        for network in (*NEVER_CALLED_4, *NEVER_CALLED_6)
    ]
