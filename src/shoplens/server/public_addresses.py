"""Which addresses belong to the public internet, where a URL of a stranger may lead."""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NOT_PUBLIC = [
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # This network.
        "10.0.0.0/8",  # Private.
        "100.64.0.0/10",  # Behind a provider's address translation.
        "127.0.0.0/8",  # Loopback.
        "168.63.129.16/32",  # Azure's services for its own machines.
        "169.254.0.0/16",  # Link-local; clouds tell a machine its secrets there.
        "172.16.0.0/12",  # Private.
        "192.0.0.0/24",  # Protocol assignments.
        "192.0.2.0/24",  # Documentation.
        "192.88.99.0/24",  # Relays of 6to4.
        "192.168.0.0/16",  # Private.
        "198.18.0.0/15",  # Benchmarks.
        "198.51.100.0/24",  # Documentation.
        "203.0.113.0/24",  # Documentation.
        "224.0.0.0/4",  # Multicast.
        "240.0.0.0/4",  # Reserved, and broadcast.
    )
]
_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All public IPv6 addresses are in it, but not all in it are public."""
_NOT_PUBLIC_UNICAST = [
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # Protocol assignments, with Teredo, which holds IPv4 addresses.
        "2001:db8::/32",  # Documentation.
        "2002::/16",  # 6to4, which holds IPv4 addresses.
        "3fff::/20",  # Documentation.
    )
]
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""How IPv4 hosts are reached from networks that have only IPv6."""


def is_public(address: Address) -> bool:
    """Return whether an address is one of the public internet's, for one host.

    An IPv6 address that stands for an IPv4 address is judged by that. These tables do not depend on
    the Python version, as `ipaddress.is_global` does.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC)
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in _NAT64:
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return address in _UNICAST and not any(address in network for network in _NOT_PUBLIC_UNICAST)
