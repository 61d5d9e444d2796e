"""Which addresses are never called: link-local ones and those where clouds serve a machine's own secrets (spec 12, 14).

Private and loopback addresses are called; hookd is a local daemon.

Must never: resolve a name.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_NEVER_4 = tuple(
    map(
        ip_network,
        (
            "169.254.0.0/16",  # link-local (RFC 3927), the metadata of most clouds among it
            "100.100.100.200/32",  # Alibaba Cloud's metadata
            "168.63.129.16/32",  # Azure's host
            "192.0.0.192/32",  # Oracle Cloud's metadata
        ),
    )
)
_NEVER_6 = tuple(
    map(
        ip_network,
        (
            "fe80::/10",  # link-local (RFC 4291)
            "fd00:ec2::254/128",  # AWS's metadata
        ),
    )
)
_NAT64 = ip_network("64:ff9b::/96")  # RFC 6052: the last four bytes are an IPv4 address
_NAT64_LOCAL = ip_network("64:ff9b:1::/48")  # RFC 8215: likewise, with the usual /96 prefixes within it


def is_never_called(address: str) -> bool:
    """Whether hookd refuses to connect to a numeric address; a scope (`%eth0`) is ignored.

    Raises:
        ValueError: it is no numeric address.
    """
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        return any(found in network for network in _NEVER_6) or _holds_never_called(found)
    return _is_never_called_4(found)


def _is_never_called_4(address: IPv4Address) -> bool:
    return any(address in network for network in _NEVER_4)


def _holds_never_called(address: IPv6Address) -> bool:
    """Whether an IPv6 address stands for an IPv4 address that is never called."""
    held = [held for held in (address.ipv4_mapped, address.sixtofour) if held is not None]
    if address in _NAT64 or address in _NAT64_LOCAL or int(address) >> 32 == 0:
        held.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return any(map(_is_never_called_4, held))
