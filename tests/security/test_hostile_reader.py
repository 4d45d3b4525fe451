"""Attacks by a hostile reader of the code, and the defences."""

from __future__ import annotations

import json

import pytest

from tagship.ledger import visits
from tagship.model.documents import DocumentInvalid, read_manifest
from tests.security.test_fuzz import MANIFEST
from tests.unit.tables import NOW


@pytest.mark.parametrize(
    "name", ["../acme", "./acme", "acme/..", "acme/.", "../..", "acme/../x", "acme/x/..", "acme", "acme/x\n"]
)
def test_a_repository_name_cannot_change_the_address_it_appears_in(name: str) -> None:
    """The name becomes part of GitHub's address, to which the application's token is sent."""
    with pytest.raises(DocumentInvalid, match="owner/name"):
        read_manifest(json.dumps({**MANIFEST, "repository": name}).encode())


@pytest.mark.parametrize("name", ["acme/storefront", "acme/.github", "a.b/..c", "acme/x.", "acme/-"])
def test_a_valid_github_repository_is_accepted(name: str) -> None:
    assert read_manifest(json.dumps({**MANIFEST, "repository": name}).encode()).repository == name


def test_all_addresses_of_one_ipv6_network_count_as_one_visitor(ledger) -> None:
    """A single machine has 2^64 of them: counted one by one, it never came too often."""
    for number in range(1, 32):
        assert visits.bad_links(ledger, f"2001:db8:1:2::{number:x}", now=NOW) == number
    assert visits.bad_links(ledger, "2001:db8:1:3::1", now=NOW) == 1


def test_every_other_address_counts_separately(ledger) -> None:
    for address in ("192.0.2.7", "192.0.2.8", "::ffff:192.0.2.9", "::ffff:192.0.2.10", "", "not an address"):
        assert visits.bad_links(ledger, address, now=NOW) == 1
