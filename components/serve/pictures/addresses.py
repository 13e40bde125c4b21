"""Which internet addresses a picture may be fetched from: those of the public internet, and none that could mean another address."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

# IANA's registries of special-purpose addresses. Python's own is_global is asked too; it differs between patch releases.
SPECIAL_V4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, and the metadata services of clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
UNICAST_V6 = IPv6Network("2000::/3")  # all else is mapped, compatible, NAT64, local, multicast, or of no use yet
SPECIAL_V6 = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4: an IPv4 address inside
        "3fff::/20",  # documentation
    )
)
ISATAP = (0x00005EFE, 0x02005EFE)  # third quarter of an address that carries an IPv4 address in the fourth (RFC 5214)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """True for a unicast address of the public internet that carries no other address inside."""
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in block for block in SPECIAL_V4)
    if (int(address) >> 32) & 0xFFFFFFFF in ISATAP or address.scope_id:
        return False
    return address in UNICAST_V6 and not any(address in block for block in SPECIAL_V6)
