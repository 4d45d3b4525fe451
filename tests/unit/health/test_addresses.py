"""Public addresses, and those that the operator allowed; never the ones that give away credentials."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagship.health.addresses import refusal

EVERYTHING = (ip_network("0.0.0.0/0"), ip_network("::/0"))

METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "fd20:ce::254",
    "::ffff:169.254.169.254",
    "::ffff:168.63.129.16",
    "64:ff9b::a9fe:a9fe",
]
LINK_LOCAL = ["169.254.0.1", "169.254.255.255", "fe80::1", "fe80::1%eth0", "::ffff:169.254.7.7"]
INSIDE = [
    "127.0.0.1",
    "127.255.255.254",
    "::1",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "100.127.255.255",
    "fc00::1",
    "fdff::1",
    "fec0::1",
    "192.0.2.1",
    "198.18.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "2001:db8::1",
    "2002:a00:1::1",
    "::10.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:100.64.0.1",
    "64:ff9b::a00:1",
    "64:ff9b:1::a00:1",
]
NOWHERE = ["0.0.0.0", "::", "224.0.0.1", "239.255.255.255", "ff02::1", "::ffff:0.0.0.0"]
PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "100.63.255.255",
    "100.128.0.1",
    "172.32.0.1",
    "2600::1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_is_allowed(text):
    assert refusal(ip_address(text), ()) is None


@pytest.mark.parametrize("text", METADATA + LINK_LOCAL + INSIDE + NOWHERE)
def test_a_non_public_address_is_refused(text):
    assert refusal(ip_address(text), ())


@pytest.mark.parametrize("text", METADATA + LINK_LOCAL + NOWHERE)
def test_metadata_and_link_local_addresses_are_refused_even_in_an_allowed_network(text):
    assert refusal(ip_address(text), EVERYTHING)


@pytest.mark.parametrize("text", INSIDE)
def test_an_address_in_an_allowed_network_is_allowed(text):
    assert refusal(ip_address(text), EVERYTHING) is None


def test_an_allowed_network_allows_only_itself():
    allowed = (ip_network("10.1.0.0/16"),)
    assert refusal(ip_address("10.1.2.3"), allowed) is None
    assert refusal(ip_address("::ffff:10.1.2.3"), allowed) is None
    assert refusal(ip_address("10.2.2.3"), allowed) == "private"


@pytest.mark.parametrize(
    "text,reason",
    [
        ("169.254.169.254", "a metadata address"),
        ("168.63.129.16", "a metadata address"),
        ("169.254.1.1", "link-local"),
        ("127.0.0.1", "loopback"),
        ("10.0.0.1", "private"),
        ("100.64.0.1", "shared address space, which is not public"),
        ("224.0.0.1", "multicast"),
        ("0.0.0.0", "unspecified"),
        ("fec0::1", "site-local"),
    ],
)
def test_the_reason_names_the_kind_of_address(text, reason):
    assert refusal(ip_address(text), ()) == reason


@given(st.ip_addresses(v=4))
def test_an_address_embedded_in_ipv6_is_treated_the_same(address):
    expected = refusal(address, ())
    assert refusal(ip_address(f"::ffff:{address}"), ()) == expected
    assert refusal(ip_address(int(ip_address("64:ff9b::")) + int(address)), ()) == expected


@given(st.ip_addresses())
def test_without_an_allowed_network_only_global_addresses_are_allowed(address):
    if refusal(address, ()) is None:
        mapped = getattr(address, "ipv4_mapped", None)
        assert (mapped or address).is_global or address in ip_network("64:ff9b::/96")
