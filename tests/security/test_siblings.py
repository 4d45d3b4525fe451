"""Attacks of the same kinds as those that once succeeded: each is tried on what holds it now."""

from __future__ import annotations

import json
import unicodedata
from ipaddress import ip_address

import pytest

from tagship.approval.identity import identity_of
from tagship.health.addresses import refusal
from tagship.intake.configuration import guarded
from tagship.ledger.table import digest_of
from tagship.model.documents import DocumentInvalid, read_application, read_manifest
from tagship.model.people import is_claimed
from tests.unit.builders import application, manifest
from tests.unit.intake.test_configuration import in_force, read


def test_permission_to_write_digests_does_not_put_a_configuration_in_force():
    """The page can write the attribute `digest` of any item, and somebody else the parameter: both together."""
    evil = application(approval={"approvers": ["eve@example.com"], "required": 1})
    forged = in_force() | {"digest": digest_of(evil)}
    found = guarded(read(evil), forged, stage="production", application="storefront")
    assert found["document"] is None
    assert "was changed outside of Tagship" in found["problems"][0]


@pytest.mark.parametrize(
    "address",
    [
        *("::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::a00:1", "2002:a00:1::1"),
        *("2001:0:4136:e378:8000:63bf:f5ff:fffe", "fd00::1", "fec0::1", "::ffff:0:a00:1", "::1", "::"),
        *("0.0.0.1", "127.1.2.3", "100.64.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255"),
    ],
)
def test_no_spelling_of_an_internal_address_is_contacted(address):
    assert refusal(ip_address(address), ())


@pytest.mark.parametrize(
    "address",
    ["::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "169.254.170.2", "fd00:ec2::254", "fe80::1%eth0"],
)
def test_the_metadata_address_is_never_contacted_even_if_every_network_is_allowed(address):
    from ipaddress import ip_network

    assert refusal(ip_address(address), (ip_network("0.0.0.0/0"), ip_network("::/0")))


LOOKALIKES = [
    "\u0430na@example.com",
    "\uff41na@example.com",
    "a\u200bna@example.com",
    "ana\u00ad@example.com",
]


@pytest.mark.parametrize("address", [*LOOKALIKES, "ana@ex\u0430mple.com", "ana\x00@example.com"])
def test_nobody_is_an_approver_or_author_under_a_lookalike_name(address):
    with pytest.raises(DocumentInvalid):
        read_application(application(approval={"approvers": [address], "required": 1}))
    with pytest.raises(DocumentInvalid):
        read_manifest(json.dumps({**manifest(), "author": address}).encode())


@pytest.mark.parametrize("field", ["application", "tag", "author", "commit", "repository", "ref"])
@pytest.mark.parametrize("end", ["\n", "\r\nBcc: eve@example.com", "\u2028", "\x00", "\x1b[2J", "\u202e"])
def test_text_in_subjects_and_keys_ends_where_it_seems_to(field, end):
    given = {"ref": "storefront/v1.4.0", **manifest()}
    with pytest.raises(DocumentInvalid):
        read_manifest(json.dumps({**given, field: given[field] + end}).encode())


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 50_000,
        '{"approval":{"required":' + "9" * 5000 + "}}",
        '{"approval":{"required":1e400}}',
        '{"approval":{"required":NaN}}',
        '{"application":"storefront","application":"basket"}',
        '"\\ud800"',
    ],
    ids=lambda text: text[:24],
)
def test_a_decompression_bomb_in_the_parameter_is_an_invalid_configuration(text):
    assert read(text)["document"] is None


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000, '{"notes":' + "9" * 5000 + "}"])
def test_a_decompression_bomb_in_a_manifest_is_refused_with_a_reason(text):
    with pytest.raises(DocumentInvalid):
        read_manifest(text.encode())


def test_normalizing_text_does_not_expand_it():
    """NFKC makes 18 characters of one: addresses are refused before, and a form's number is as long as it was sent."""
    assert len(unicodedata.normalize("NFKC", "\ufdfa")) == 18
    with pytest.raises(DocumentInvalid):
        read_application(application(approval={"approvers": ["\ufdfa" * 60 + "@example.com"], "required": 1}))


@pytest.mark.parametrize(
    "arn",
    [
        *("arn:aws:sts::123456789012:federated-user/ana@example.com", "arn:aws:iam::123456789012:root"),
        "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Ops/ana@example.com",
        "arn:aws:sts::123456789012:assumed-role/MyAWSReservedSSO_Ops_0123456789abcdef/ana@example.com",
        "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Ops_0123456789abcdefg/ana@example.com",
        "arn:aws:sts::123456789012:assumed-role/Developer/x/ana@example.com",
        "arn:aws:iam::123456789012:user/bo@example.com",
        "arn:aws:iam::123456789012:user/ana@example.com/bo",
        "claimed arn:aws:iam::123456789012:user/ana@example.com",
        "",
    ],
)
def test_a_self_chosen_name_is_never_proven(arn):
    assert is_claimed(identity_of(arn, "ana@example.com"))
