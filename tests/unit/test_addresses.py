"""Which addresses pictures are fetched from: no form in which an inner address can be written gets through."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.serve.pictures.addresses import is_public

INNER_V4 = [
    IPv4Network(block)
    for block in ("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
                  "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4",
                  "240.0.0.0/4")
]  # fmt: skip
INNER_V6 = [
    IPv6Network(block) for block in ("::/128", "::1/128", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "2001:db8::/32", "100::/64")
]
# Each takes an IPv4 address to an IPv6 address that a router, a tunnel or a translator takes back.
EMBEDDINGS = {
    "mapped": lambda v4: 0xFFFF << 32 | v4,
    "compatible": lambda v4: v4,
    "translated (SIIT)": lambda v4: 0xFFFF << 48 | v4,
    "NAT64": lambda v4: 0x0064FF9B << 96 | v4,
    "NAT64, local": lambda v4: 0x0064FF9B0001 << 80 | v4,
    "6to4": lambda v4: 0x2002 << 112 | v4 << 80 | 1,
    "Teredo server": lambda v4: 0x20010000 << 96 | v4 << 64 | 0xFFFF,
    "Teredo client": lambda v4: 0x20010000 << 96 | 0x08080808 << 64 | (v4 ^ 0xFFFFFFFF),
    "ISATAP": lambda v4: 0x2A00_1450 << 96 | 0x5EFE << 32 | v4,
    "ISATAP of a global address": lambda v4: 0x2A00_1450 << 96 | 0x02005EFE << 32 | v4,
}
inner_v4 = st.sampled_from(INNER_V4).flatmap(lambda block: st.integers(int(block[0]), int(block[-1])))
any_v4 = st.integers(0, 2**32 - 1)


@given(inner_v4)
def test_no_inner_address_is_public(number):
    assert not is_public(IPv4Address(number))


@pytest.mark.parametrize("form", EMBEDDINGS)
@given(any_v4)
def test_no_address_that_carries_an_ipv4_address_is_public_whatever_it_carries(form, number):
    assert not is_public(IPv6Address(EMBEDDINGS[form](number)))


@given(st.sampled_from(INNER_V6).flatmap(lambda block: st.integers(int(block[0]), int(block[-1]))))
def test_no_inner_ipv6_address_is_public(number):
    assert not is_public(IPv6Address(number))


@given(any_v4)
def test_what_is_public_lies_in_none_of_the_blocks_that_are_not(number):
    address = IPv4Address(number)
    assert is_public(address) == (address.is_global and not any(address in block for block in (*INNER_V4, IPv4Network("192.88.99.0/24"))))


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.215.14", "1.1.1.1", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1"])
def test_public_ipv4_addresses_are_public(address):
    assert is_public(IPv4Address(address))


@pytest.mark.parametrize("address", ["2606:4700:4700::1111", "2a00:1450:4001:81b::200e", "2404:6800:4004:80a::200e"])
def test_public_ipv6_addresses_are_public(address):
    assert is_public(IPv6Address(address))


def test_an_address_with_a_zone_is_not_public():
    assert not is_public(IPv6Address("2a00:1450:4001:81b::200e%eth0"))
