"""The promotion gate believes a statement that its key has signed, about this very release, from that stage to this one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagship.gates import Verdict, promotion
from tagship.gates.reading import Unreadable
from tagship.gates.statement import Statement
from tagship.model.errors import AwsUnavailable
from tests.unit.builders import record, sha256
from tests.unit.gates.cases import FakeS3, case, gated
from tests.unit.gates.keys import FakeKms, signature
from tests.unit.tables import aws_error

KEY = "alias/tagship-promotion"
FOLDER = "releases/storefront/v1.4.0/"
STATEMENT = Statement(
    application="storefront",
    tag="v1.4.0",
    digest=record()["digest"],
    fromStage="staging",
    toStage="production",
    succeededAt="2026-11-23T09:00:00.000Z",
    promotedAt="2026-11-23T09:30:00Z",
    promotedBy="arn:aws:sts::123456789012:assumed-role/promoter/dana",
)


def check(statement=None, raw_signature=None, *, keys=None, kms=None, left_out="", **changes):
    """The gate on a release with this statement, signed by the key `ours` by default."""
    raw = statement if isinstance(statement, bytes) else (statement or STATEMENT).raw
    contents = {
        "promotion.json": raw,
        "promotion.json.sig": raw_signature if raw_signature is not None else signature("ours", sha256(raw)),
    }
    contents.pop(left_out, None)
    objects = record()["objects"] | {
        name: {"bucket": "releases", "key": FOLDER + name, "versionId": "1", "size": len(content)}
        for name, content in contents.items()
    }
    s3 = FakeS3(objects={(FOLDER + name, "1"): content for name, content in contents.items()})
    given_ = {
        "objects": objects,
        "configuration": gated(promotion={"stage": "staging", "key": KEY}),
        "s3": s3,
        "kms": kms or FakeKms(keys=keys or {KEY: "ours"}),
    } | changes
    return promotion.check(case(**given_))


def test_a_release_that_succeeded_in_the_previous_stage_passes():
    result = check()
    assert (result.gate, result.verdict) == ("promotion", Verdict.PASSED)
    assert result.why == (
        "It succeeded in staging at '2026-11-23T09:00:00.000Z' and was promoted by "
        "'arn:aws:sts::123456789012:assumed-role/promoter/dana'."
    )


@pytest.mark.parametrize("name", ["promotion.json", "promotion.json.sig"])
def test_a_release_published_directly_to_this_stage_is_refused(name):
    result = check(left_out=name)
    assert (result.verdict, result.why) == (
        Verdict.FAILED,
        f"It was not promoted from staging: {name} is missing.",
    )
    assert "tagship promote storefront <tag> --from staging --to production" in result.remedy


@pytest.mark.parametrize(
    "changes, why",
    [
        ({"application": "basket"}, "names another application: 'basket', not storefront"),
        ({"tag": "v1.3.0"}, "names another tag: 'v1.3.0', not v1.4.0"),
        ({"digest": "0" * 64}, "names another SHA-256 of release.json"),
        (
            {"fromStage": "development"},
            "names another source stage: 'development', not staging",
        ),
        ({"toStage": "staging"}, "names another destination stage: 'staging', not production"),
        ({"tag": "v1.3.0\n\u202ex"}, "names another tag: 'v1.3.0⟨U+000A⟩⟨U+202E⟩x', not v1.4.0"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_signed_statement_about_something_else_is_refused(changes, why):
    """Faults 5 and 9: the statement of another release, or for another stage, can't be used again here."""
    result = check(replace(STATEMENT, **changes))
    assert result.verdict is Verdict.FAILED
    assert result.why.startswith(f"promotion.json {why}")


def test_a_statement_signed_by_another_key_is_refused():
    """Fault 9."""
    result = check(raw_signature=signature("theirs", sha256(STATEMENT.raw)))
    assert (result.verdict, result.why) == (
        Verdict.FAILED,
        f"promotion.json.sig is not a signature of this promotion.json by {KEY} with ECDSA_SHA_256.",
    )


def test_a_statement_changed_after_signing_is_refused():
    """Fault 9."""
    result = check(STATEMENT.raw.replace(b"dana", b"evil"), signature("ours", sha256(STATEMENT.raw)))
    assert result.verdict is Verdict.FAILED


@pytest.mark.parametrize(
    "raw, why",
    [
        (b"", "it is not JSON"),
        (b"[]", "it is not a JSON object"),
        (b"\xff\xfe", "it is not JSON"),
        (b'{"a": 1, "a": 2}', "it has a duplicate name in one object"),
        (b"{}", "its schemaVersion is None, not 1"),
        (b'{"schemaVersion": "1"}', "its schemaVersion is '1', not 1"),
        (STATEMENT.raw.replace(b'"tag"', b'"tga"'), "it has an unknown field 'tga'"),
        (STATEMENT.raw.replace(b'"v1.4.0"', b"14"), "it lacks the text field tag"),
        (b" " * 8192, "it is not JSON"),
        (b" " * 8193, "it has 8193 bytes; the limit is 8192"),
    ],
    ids=[
        "empty",
        "list",
        "not UTF-8",
        "twice",
        "no version",
        "other version",
        "another field",
        "number",
        "as large as may be",
        "large",
    ],
)
def test_an_invalid_statement_is_refused_with_a_reason(raw, why):
    """Fault 7."""
    result = check(raw)
    assert (result.verdict, result.why) == (
        Verdict.FAILED,
        f"promotion.json is not a valid promotion: {why}.",
    )


@given(st.binary(max_size=200) | st.from_type(dict).map(lambda data: json.dumps(str(data)).encode()))
def test_no_bytes_raise_an_unexpected_error(raw):
    """Fault 7."""
    with pytest.raises(Unreadable):
        Statement.read(raw)


def test_a_statement_survives_a_round_trip():
    assert Statement.read(STATEMENT.raw) == STATEMENT


def test_an_application_without_the_gate_passes_without_a_promotion():
    result = check(left_out="promotion.json", configuration=record()["configuration"])
    assert result.verdict is Verdict.NOT_CONFIGURED


def test_an_unavailable_kms_is_retried():
    """Fault 12."""
    with pytest.raises(AwsUnavailable):
        check(kms=FakeKms(keys={}, fails_with=aws_error("ThrottlingException")))


def test_without_a_configuration_nothing_passes():
    result = check(configuration={"version": 0, "document": None, "problems": ["none"]})
    assert result.verdict is Verdict.ERROR


@pytest.mark.parametrize(
    "change", [{"promotedAt": "2026-11-24T09:30:00Z"}, {"promotedBy": "arn:aws:iam::1:user/bo"}]
)
def test_another_run_of_the_same_promotion_says_the_same(change):
    assert STATEMENT.says_the_same(replace(STATEMENT, **change))


@pytest.mark.parametrize("change", [{"digest": "0" * 64}, {"toStage": "staging"}, {"tag": "v1.4.1"}])
def test_another_promotion_says_something_else(change):
    assert not STATEMENT.says_the_same(replace(STATEMENT, **change))
