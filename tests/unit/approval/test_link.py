"""The signed link, against keys in memory and against moto's KMS."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from tagship.approval.errors import LinkInvalid
from tagship.approval.link import GRACE, LinkSigner, LinkVerifier, Token, approval_url, key_ref, known_keys
from tagship.model.errors import AwsUnavailable, CredentialsRefused
from tests.unit.approval.builders import ANA, BO, KEY, LATER, NOW, OLD_KEY, STAGE, FakeKms, link, sample

ARN = f"arn:aws:kms:eu-central-1:000000000000:key/{KEY}"


def verify(token, record, *, kms=None, keys=(KEY,), stage=STAGE, now=NOW):
    return LinkVerifier(kms or FakeKms(), known_keys(*keys), stage=stage).verify(token, record, now)


def reason(token, record, **options):
    with pytest.raises(LinkInvalid) as refused:
        verify(token, record, **options)
    return refused.value.reason


def test_a_link_names_its_approver():
    assert verify(link(sample(), BO), sample()) == BO


def test_a_link_is_short_and_contains_nothing_about_the_release_or_the_person():
    token = link(sample(), ANA)
    raw = bytes(Token.parse(token).mac)
    assert len(token) == 64
    for secret in (ANA, "ana", sample()["id"], sample()["digest"], "storefront", STAGE):
        assert secret not in token
        assert secret.encode() not in raw


def test_a_tokens_mac_is_never_logged():
    token = Token.parse(link(sample()))
    assert token.mac.hex() not in repr(token)
    assert repr(token.mac) not in repr(token)


def test_a_token_has_one_valid_spelling():
    token = link(sample())
    assert str(Token.parse(token)) == token


@pytest.mark.parametrize("token", ["", "A" * 63, "A" * 65, "A" * 63 + "=", "A" * 63 + "\n", "A" * 64])
def test_an_invalid_token_or_another_versions_token_is_malformed(token):
    assert reason(token, sample()) == "malformed"


@pytest.mark.parametrize(
    "change, says",
    [
        ({"digest": "0" * 64}, "altered"),
        ({"id": "another-approval-of-some-length"}, "not an approver of this"),
        ({"stage": "staging"}, "another stage's"),
        ({"approvers": [BO]}, "not an approver of this"),
    ],
)
def test_a_link_is_valid_for_one_record_only(change, says):
    assert reason(link(sample()), sample(**change)) == says


def test_another_stages_link_with_the_same_key_is_invalid():
    assert reason(link(sample(), stage="staging"), sample()) == "altered"


def test_a_link_with_an_unknown_key_costs_no_call():
    kms = FakeKms()
    assert reason(link(sample(), key="someone-elses"), sample(), kms=kms) == "unknown key"
    assert kms.verified == 0


def test_a_link_for_an_unknown_approval_costs_as_much_as_for_a_known_one():
    kms = FakeKms()
    assert reason(link(sample()), None, kms=kms) == "unknown approval"
    assert kms.verified == 1


def test_a_link_expires_exactly_on_time():
    token = link(sample(), expires=NOW)
    assert verify(token, sample(), now=NOW - timedelta(seconds=1)) == ANA
    assert reason(token, sample(), now=NOW) == "expired"


def test_a_links_expiry_cannot_be_extended():
    token = Token.parse(link(sample(), expires=NOW - GRACE))
    forged = Token(key=token.key, approver=token.approver, expires=int(LATER.timestamp()), mac=token.mac)
    assert reason(str(forged), sample()) == "altered"


def test_old_links_work_after_key_rotation_until_the_key_is_removed():
    token = link(sample(), key=OLD_KEY)
    assert verify(token, sample(), keys=(KEY, OLD_KEY)) == ANA
    assert reason(token, sample(), keys=(KEY,)) == "unknown key"


def test_a_key_can_be_named_by_id_or_arn():
    assert key_ref(ARN) == key_ref(KEY) != key_ref(OLD_KEY)
    assert known_keys(KEY, ARN) == {key_ref(KEY): ARN}


def test_two_keys_with_one_short_name_are_refused(monkeypatch):
    monkeypatch.setattr("tagship.approval.link.key_ref", lambda key_id: "00000000")
    with pytest.raises(
        ValueError, match=r"^two of these keys have the same short name; replace one of them$"
    ):
        known_keys(KEY, OLD_KEY)


def test_field_boundaries_cannot_be_shifted():
    """A canonical message: moving a character from one field to the next is another message."""
    first, second = sample(id="a" * 25 + "b", digest="c"), sample(id="a" * 25, digest="bc")
    assert Token.parse(link(first)).mac != Token.parse(link(second)).mac


def test_a_mac_is_valid_for_one_purpose_and_one_approval(monkeypatch):
    """The short reference in a link names approval and approver too; the MAC doesn't lean on it."""
    macs = {
        Token.parse(link(sample())).mac,
        Token.parse(link(sample(id="another-approval-of-this-stage"))).mac,
    }
    monkeypatch.setattr("tagship.approval.link.PURPOSE", "approval-link/2")
    macs.add(Token.parse(link(sample())).mac)
    assert len(macs) == 3


@pytest.mark.parametrize("code", ["DisabledException", "KMSInvalidStateException", "NotFoundException"])
def test_links_of_a_removed_key_are_invalid(code):
    kms = FakeKms()
    kms.fails_with = code
    assert code in reason(link(sample()), sample(), kms=kms)


@pytest.mark.parametrize(
    "code, error",
    [
        ("ThrottlingException", AwsUnavailable),
        ("AccessDeniedException", CredentialsRefused),
        ("ValidationException", ClientError),
    ],
)
def test_an_unavailable_kms_does_not_make_a_link_invalid(code, error):
    """A busy KMS makes no valid link invalid and no invalid link valid."""
    token = link(sample())
    kms = FakeKms()
    kms.fails_with = code
    with pytest.raises(error) as refused:
        verify(token, sample(), kms=kms)
    assert error is ClientError or str(refused.value).startswith("Checking an approval's link")
    with pytest.raises(error) as refused:
        link(sample(), kms=kms)
    assert error is ClientError or str(refused.value).startswith("Signing a link for approval ")


def test_only_an_explicit_success_from_kms_counts():
    class Vague(FakeKms):
        def verify_mac(self, **_):
            return {"MacValid": "true"}

    assert reason(link(sample()), sample(), kms=Vague()) == "altered"


@pytest.fixture
def kms():
    with mock_aws():
        yield boto3.client("kms", "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")


def test_kms_creates_and_verifies_link_macs(kms):
    made = [
        kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"] for _ in range(2)
    ]
    signer = LinkSigner(kms, made[0]["KeyId"], stage=STAGE)
    token = signer.token(sample()["id"], ANA, sample()["digest"], LATER)

    def verifier(*keys):
        return LinkVerifier(kms, known_keys(*keys), stage=STAGE)

    assert verifier(made[0]["Arn"]).verify(token, sample(), NOW) == ANA
    flipped = token[:-1] + ("A" if token[-1] != "A" else "B")
    with pytest.raises(LinkInvalid, match="altered"):
        verifier(made[0]["KeyId"]).verify(flipped, sample(), NOW)
    with pytest.raises(LinkInvalid, match="altered"):
        LinkVerifier(kms, {key_ref(made[0]["KeyId"]): made[1]["KeyId"]}, stage=STAGE).verify(
            token, sample(), NOW
        )
    with pytest.raises(LinkInvalid, match="NotFoundException"):
        LinkVerifier(kms, {key_ref(made[0]["KeyId"]): "gone"}, stage=STAGE).verify(token, sample(), NOW)


def test_the_url_is_the_address_an_approver_opens():
    assert approval_url("https://a.example/", "id", "token") == "https://a.example/approvals/id?t=token"


@pytest.mark.parametrize("module", ["link", "quorum", "page"])
def test_importing_the_module_is_cheap(module):
    """A cold start does not wait for Jinja2, which the first rendering imports."""
    layer = Path(__file__).parents[3] / "layers" / "tagship"
    script = f"import sys, tagship.approval.{module}; print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-S", "-c", script],
        env={"PYTHONPATH": str(layer)},
        capture_output=True,
        check=True,
        text=True,
    ).stdout.split()
    assert not {"jinja2", "boto3", "botocore", "pydantic"} & set(found)
