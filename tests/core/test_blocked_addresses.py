"""Link-local and metadata addresses are recognised in every form an address can take."""

import pytest

from hookd.domain.blocked_addresses import is_never_called


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
        "2001:db8::a9fe:a9fe",
    ],
)
def test_called(address: str) -> None:
    assert not is_never_called(address)


@pytest.mark.parametrize("text", ["", "localhost", "169.254", "2852039166", "[::1]"])
def test_names_are_no_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        is_never_called(text)
