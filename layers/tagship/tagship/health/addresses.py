"""Which addresses a health check may call.

The URL comes from the application's configuration, and the function that calls it runs in our network: so only public
addresses are allowed, and those that the stack's operator added.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_METADATA: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "169.254.169.254/32",  # EC2, and most other clouds
        "169.254.170.0/24",  # credentials of containers
        "fd00:ec2::/32",  # EC2's metadata, credentials and names over IPv6
        "168.63.129.16/32",  # Azure: a public address, served by the host
        "100.100.100.200/32",  # Alibaba
        "192.0.0.192/32",  # Oracle
        "fd20:ce::254/128",  # Google over IPv6
    )
)
_SHARED = ip_network("100.64.0.0/10")
_NAT64 = ip_network("64:ff9b::/96")


def refusal(address: Address, allowed: Sequence[Network]) -> str | None:
    """Why this address is refused; None if it is allowed.

    Link-local and metadata addresses stay refused even in an allowed network: a mistake in its size must not expose the
    function's credentials.
    """
    address = _meant(address)
    if any(address in network for network in _METADATA):
        return "a metadata address"
    for refused, reason in (
        (address.is_link_local, "link-local"),
        (address.is_unspecified, "unspecified"),
        (address.is_multicast, "multicast"),
    ):
        if refused:
            return reason
    if any(address in network for network in allowed):
        return None
    for refused, reason in (
        (address.is_loopback, "loopback"),
        (address in _SHARED, "shared address space, which is not public"),
        (address.is_private, "private"),
        (address.is_reserved, "reserved"),
        (isinstance(address, IPv6Address) and address.is_site_local, "site-local"),
        (not address.is_global, "not public"),
    ):
        if refused:
            return reason
    return None


def _meant(address: Address) -> Address:
    """The IPv4 address inside an IPv6 address that only represents it."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(address.packed[-4:])
    return address
