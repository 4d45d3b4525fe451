"""The signature gate lets nothing through that its key did not sign, where the application asks for a signature."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tagship.gates import Verdict, signature
from tagship.model.errors import AwsUnavailable
from tests.unit.builders import record, sha256
from tests.unit.gates.cases import FakeS3, case, gated
from tests.unit.gates.keys import FakeKms
from tests.unit.gates.keys import signature as made
from tests.unit.tables import aws_error

KEY = "alias/tagship-release-signing"
S3_KEY = "releases/storefront/v1.4.0/release.json.sig"
DIGEST = record()["digest"]


def check(raw=None, *, keys=None, rules=None, kms=None, version="9", **changes):
    """The gate on a release with this signature."""
    objects = record()["objects"]
    s3 = FakeS3()
    if raw is not None:
        objects["release.json.sig"] = {
            "bucket": "releases",
            "key": S3_KEY,
            "versionId": version,
            "size": len(raw),
        }
        s3.objects[S3_KEY, version] = raw
    kms = kms or FakeKms(keys=keys or {KEY: "ours"})
    configuration = gated(signature={"key": KEY} | (rules or {}))
    return signature.check(
        case(s3=s3, kms=kms, **({"objects": objects, "configuration": configuration} | changes))
    )


@pytest.mark.parametrize(
    "key, rules",
    [
        ("ours", {}),
        ("ours", {"required": False}),
        ("rsa ours", {"algorithm": "RSASSA_PSS_SHA_256"}),
        ("ours", {"key": "arn:aws:kms:eu-central-1:123456789012:alias/tagship-other"}),
    ],
    ids=["ECDSA", "optional", "RSA", "of another account"],
)
def test_a_signature_by_the_configured_key_passes(key, rules):
    named = rules.get("key", KEY)
    result = check(made(key, DIGEST), keys={named: key}, rules=rules)
    assert (result.gate, result.verdict, result.why) == (
        "signature",
        Verdict.PASSED,
        f"release.json was signed with {named}.",
    )


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize(
    "raw",
    [
        made("theirs", DIGEST),
        made("rsa theirs", DIGEST),
        made("ours", sha256(b"another release.json")),
        made("ours", sha256(bytes.fromhex(DIGEST))),
        made("ours", DIGEST)[:-1],
        made("ours", DIGEST) + b"\0",
        b"no signature at all",
        made("ours", DIGEST).hex().encode(),
    ],
    ids=[
        "another key",
        "another kind of key",
        "another manifest",
        "hashed twice",
        "cut off",
        "longer",
        "text",
        "in hexadecimal",
    ],
)
def test_an_invalid_signature_is_refused_even_if_none_is_required(raw, required):
    """Fault 9."""
    result = check(raw, rules={"required": required})
    assert (result.verdict, result.why) == (
        Verdict.FAILED,
        f"release.json.sig is not a signature of this release.json by {KEY} with ECDSA_SHA_256.",
    )
    assert "publish a new tag" in result.remedy


def test_an_unsigned_release_is_refused_if_a_signature_is_required():
    """Fault 9."""
    result = check(None)
    assert (result.verdict, result.why) == (
        Verdict.FAILED,
        "release.json is not signed: release.json.sig is missing.",
    )
    assert f"tagship publish --sign {KEY}" in result.remedy


def test_an_unsigned_release_passes_with_a_warning_if_a_signature_is_optional():
    result = check(None, rules={"required": False})
    assert (result.verdict, result.warning) == (Verdict.PASSED, "This release is not signed.")
    assert result.why == "It is not signed; the signature is optional."


def test_an_application_without_a_key_needs_no_signature():
    result = check(b"whatever", configuration=record()["configuration"])
    assert result.verdict is Verdict.NOT_CONFIGURED


@pytest.mark.parametrize("size", [1, 1024])
def test_a_signature_of_any_possible_size_is_verified(size):
    result = check(b"x" * size)
    assert (
        result.why == f"release.json.sig is not a signature of this release.json by {KEY} with ECDSA_SHA_256."
    )


@pytest.mark.parametrize("size", [0, 1025])
def test_a_signature_of_impossible_size_is_refused_without_a_call(size):
    kms = FakeKms(keys={})
    result = check(b"x" * size, kms=kms)
    assert (result.verdict, result.why) == (
        Verdict.FAILED,
        f"release.json.sig is not a signature: it has {size} bytes.",
    )
    assert kms.asked == []


@pytest.mark.parametrize(
    "keys, why",
    [
        ({}, f"Key {KEY} does not exist."),
        ({KEY: "disabled"}, f"Key {KEY} is disabled."),
        ({KEY: "rsa ours"}, f"Key {KEY} cannot sign with ECDSA_SHA_256: "),
        ({KEY: "p384 ours"}, f"Key {KEY} cannot sign with ECDSA_SHA_256: "),
    ],
    ids=["no key", "disabled", "RSA", "another curve"],
)
def test_an_unusable_key_is_reported_and_does_not_pass(keys, why):
    """Fault 9."""
    kms = FakeKms(keys=keys) if keys else FakeKms(keys={"alias/other": "ours"})
    result = check(made("ours", DIGEST), kms=kms)
    assert result.verdict is Verdict.FAILED
    assert result.why.startswith(why)
    assert result.remedy.startswith("Name a key that exists, is enabled and can sign")


@pytest.mark.parametrize(
    "code, why",
    [
        ("KMSInvalidStateException", "cannot be used in its current state: it is pending deletion."),
        ("UnsupportedOperationException", "cannot sign with ECDSA_SHA_256: it is pending deletion."),
        ("AccessDeniedException", "The gate is not allowed to use key"),
    ],
)
def test_a_kms_refusal_that_a_person_can_fix_says_how(code, why):
    kms = FakeKms(keys={}, fails_with=aws_error(code, message="it is pending deletion."))
    result = check(made("ours", DIGEST), kms=kms)
    assert result.verdict is Verdict.FAILED
    assert why in result.why
    assert result.remedy


def test_a_response_without_valid_does_not_pass():
    class Unsure(FakeKms):
        def verify(self, **said):
            return {"KeyId": KEY}

    result = check(made("ours", DIGEST), kms=Unsure(keys={}))
    assert (result.verdict, result.why) == (
        Verdict.FAILED,
        f"release.json.sig is not a signature of this release.json by {KEY} with ECDSA_SHA_256.",
    )


@pytest.mark.parametrize("code, status", [("ThrottlingException", 400), ("KeyUnavailableException", 500)])
def test_an_unavailable_kms_is_retried(code, status):
    """Fault 12."""
    kms = FakeKms(keys={}, fails_with=aws_error(code, status=status))
    with pytest.raises(AwsUnavailable, match=f"^Verifying {S3_KEY} with {KEY}: "):
        check(made("ours", DIGEST), kms=kms)


def test_an_unavailable_s3_is_retried():
    """Fault 12."""
    pinned = {"bucket": "releases", "key": S3_KEY, "versionId": "1", "size": 71}
    busy = FakeS3(fails_with=aws_error("SlowDown", status=503))
    with pytest.raises(AwsUnavailable, match=f"^Reading {S3_KEY}: "):
        signature.check(
            case(s3=busy, objects={"release.json.sig": pinned}, configuration=gated(signature={"key": KEY}))
        )


def test_an_unexpected_error_does_not_pass():
    """Fault 11: the state machine counts what is raised as not passed."""
    with pytest.raises(ClientError, match="IncorrectKeyException"):
        check(made("ours", DIGEST), kms=FakeKms(keys={}, fails_with=aws_error("IncorrectKeyException")))


def test_the_signatures_pinned_version_is_verified_even_after_a_later_upload():
    """Fault 4."""
    s3 = FakeS3(objects={(S3_KEY, "1"): made("theirs", DIGEST), (S3_KEY, "2"): made("ours", DIGEST)})
    pinned = {"bucket": "releases", "key": S3_KEY, "versionId": "1", "size": 71}
    result = signature.check(
        case(
            s3=s3,
            kms=FakeKms(keys={KEY: "ours"}),
            objects={"release.json.sig": pinned},
            configuration=gated(signature={"key": KEY}),
        )
    )
    assert result.verdict is Verdict.FAILED


def test_without_a_configuration_nothing_passes():
    result = check(None, configuration={"version": 0, "document": None, "problems": ["none"]})
    assert result.verdict is Verdict.ERROR
