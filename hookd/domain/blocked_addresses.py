"""Which addresses are never called: link-local ones and those where clouds serve a machine's own secrets (spec 12, 14).

Private and loopback addresses are called; hookd is a local daemon. `systemd/hookd.service` denies the same addresses
(`IPAddressDeny=`), as a second wall.

An IPv6 address may stand for an IPv4 one. Where its form says so, none that is never called may stand in it. A
translator (NAT64, RFC 6052) may have any prefix of its operator's, though, which the address does not tell: there, the
very addresses of metadata services are looked for at each place that RFC 6052 has for them, and no range, so that no
network loses addresses by chance.

Must never: resolve a name.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

NEVER_CALLED_4 = tuple(
    map(
        ip_network,
        (
            # Link-local (RFC 3927): among it the metadata of AWS, Azure, Google, Oracle and most others, AWS's for
            # containers (169.254.170.2) and pods (169.254.170.23), Scaleway's (169.254.42.42), Tencent's (169.254.0.23)
            "169.254.0.0/16",
            # Alibaba Cloud: https://www.alibabacloud.com/help/en/ens/instance-metadata
            "100.100.100.200/32",
            # Azure's host: Azure/WALinuxAgent, the endpoint that it falls back to
            "168.63.129.16/32",
            # Oracle Cloud at Customer and Classic:
            # https://docs.oracle.com/en/cloud/cloud-at-customer/occ-get-started/retrieve-predefined-instance-metadata.html
            "192.0.0.192/32",
        ),
    )
)
NEVER_CALLED_6 = tuple(
    map(
        ip_network,
        (
            "fe80::/10",  # link-local (RFC 4291)
            # AWS: https://docs.amazonaws.cn/AWSEC2/latest/DeveloperGuide/instancedata-data-retrieval.html
            "fd00:ec2::254/128",
            # AWS, for pods: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html
            "fd00:ec2::23/128",
            # Google: GoogleCloudPlatform/k8s-config-connector (`metadataHost`)
            "fd20:ce::254/128",
            # Oracle: oracle-terraform-modules/terraform-oci-oke, the script that starts a node
            "fd00:c1::a9fe:a9fe/128",
            # Scaleway: https://docs.cloud-init.io/en/latest/reference/datasources/scaleway.html
            "fd00:42::42/128",
            # Akamai: https://techdocs.akamai.com/cloud-computing/docs/metadata-service-api
            "fd00:a9fe:a9fe::1/128",
            # Alibaba Cloud: canonical/cloud-init, the tests of its data source
            "fd00:100::100:200/128",
        ),
    )
)

_METADATA_4 = frozenset(
    map(
        IPv4Address,
        (
            "169.254.169.254",
            "169.254.170.2",
            "169.254.170.23",
            "169.254.42.42",
            "169.254.0.23",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
        ),
    )
)
"""What may stand behind any prefix of a translator."""

_TRANSLATION = ip_network("64:ff9b::/32")
"""Both prefixes for translators that are not an operator's own: 64:ff9b::/96 (RFC 6052), 64:ff9b:1::/48 (RFC 8215)."""

_LAST_32 = tuple(
    map(
        ip_network,
        (
            "::/96",  # IPv4-compatible (RFC 4291, 2.5.5.1)
            "::ffff:0:0/96",  # IPv4-mapped (RFC 4291, 2.5.5.2)
            "::ffff:0:0:0/96",  # IPv4-translated (RFC 2765, SIIT)
        ),
    )
)
"""Prefixes behind which an IPv4 address stands in the last four bytes."""

_ISATAP = frozenset({0x00005EFE, 0x02005EFE})
"""The third four bytes of an address that holds an IPv4 address in its last four, behind any prefix (RFC 5214, 6.1)."""

_RFC_6052_LENGTHS = (32, 40, 48, 56, 64, 96)
"""A prefix of a translator has one of these lengths (RFC 6052, 2.2)."""


def is_never_called(address: str) -> bool:
    """Whether hookd refuses to connect to a numeric address; a scope (`%eth0`) is ignored.

    Raises:
        ValueError: it is no numeric address.
    """
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        return (
            any(found in network for network in NEVER_CALLED_6)
            or any(map(_is_never_called_4, _held(found)))
            or not _METADATA_4.isdisjoint(_translated(found))
        )
    return _is_never_called_4(found)


def _is_never_called_4(address: IPv4Address) -> bool:
    return any(address in network for network in NEVER_CALLED_4)


def _held(address: IPv6Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that an IPv6 address says it stands for."""
    number = int(address)
    last = IPv4Address(number & 0xFFFFFFFF)
    if any(address in network for network in _LAST_32) or number >> 32 & 0xFFFFFFFF in _ISATAP:
        yield last
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo  # the server and the client
    if address in _TRANSLATION:
        yield from _translated(address)


def _translated(address: IPv6Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that it stands for to a translator, for each length that the prefix may have."""
    number = int(address)
    for length in _RFC_6052_LENGTHS:
        if length == 96:  # behind the octet that is left out
            yield IPv4Address(number & 0xFFFFFFFF)
        else:
            without_octet = (number >> 64 << 56) | (
                number & (1 << 56) - 1
            )  # bits 64 to 71 hold nothing of it
            yield IPv4Address(without_octet >> (120 - length - 32) & 0xFFFFFFFF)
