"""FAULTS 40, 41: the team's function says healthy, unhealthy or inconclusive; whatever else it does is its own error."""

import io
import json
import math

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.response import StreamingBody
from botocore.stub import ANY, Stubber
from hypothesis import given
from hypothesis import strategies as st

from tagship.health import CustomCheck, Given, Verdict, custom
from tagship.ledger.table import digest_of
from tagship.model.errors import AwsUnavailable
from tests.unit.builders import revision, subject

CANDIDATE, BASELINE = revision("7"), revision("6")


@pytest.fixture
def stubbed():
    client = boto3.client(
        "lambda", region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    with Stubber(client) as stubber:
        yield client, stubber


def asked(client, **fields):
    given = Given(
        name="custom verdict",
        application="storefront",
        tag="v1.4.0",
        client={"lambda": client}.get,
        offers=subject("7"),
        candidate=CANDIDATE,
        baseline=BASELINE,
        percent=10,
        **fields,
    )
    return CustomCheck(type="custom", function="verdict").run(given)


def answering(stubber, answer, *, payload=ANY, error=None):
    raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    response = {"StatusCode": 200, "Payload": StreamingBody(io.BytesIO(raw), len(raw))}
    stubber.add_response(
        "invoke",
        response | ({"FunctionError": error} if error else {}),
        {"FunctionName": "verdict", "InvocationType": "RequestResponse", "Payload": payload},
    )


def test_it_receives_the_release_the_candidate_and_the_baseline(stubbed):
    client, stubber = stubbed
    event = {
        "source": "tagship",
        "check": "custom",
        "application": "storefront",
        "tag": "v1.4.0",
        "subject": "candidate",
        "percent": 10,
        "function": "storefront",
        "alias": "live",
        "version": "7",
        "candidate": CANDIDATE,
        "baseline": BASELINE,
        "since": None,
    }
    answering(stubber, {"verdict": "healthy"}, payload=json.dumps(event))
    assert asked(client).verdict is Verdict.HEALTHY


@pytest.mark.parametrize(
    "answer, verdict, why",
    [
        ({"verdict": "healthy"}, "healthy", "The function reports: no reason given."),
        ({"verdict": "unhealthy", "reasons": ["till shut", "3 < 5."]}, "unhealthy",
         "The function reports: till shut; 3 < 5."),
        ({"verdict": "inconclusive", "reasons": "too early"}, "inconclusive", "The function reports: too early."),
        ({"verdict": "inconclusive", "reasons": ["a\nb\x1b[31m"]}, "inconclusive", "The function reports: a b⟨U+001B⟩[31m."),
        ({"verdict": "error"}, "error", 'The answer is not {"verdict": …} with one of healthy, unhealthy, inconclusive.'),
        ({"verdict": "Healthy"}, "error", None),
        ({"verdict": True}, "error", None),
        ({"healthy": True}, "error", None),
        ({}, "error", None),
        (["healthy"], "error", None),
        (b"", "error", None),
        (b"x" * 70_000, "error", None),
        (b'{"verdict": "healthy", "a": ' + b"[" * 60_000, "error", None),
    ],
    ids=lambda value: str(value)[:50],
)  # fmt: skip
def test_only_the_three_verdicts_are_valid_responses(stubbed, answer, verdict, why):
    client, stubber = stubbed
    answering(stubber, answer)
    result = asked(client)
    assert result.verdict == verdict
    assert why is None or result.why == why


def test_a_function_that_raises_hangs_or_is_missing_is_an_error_and_not_the_candidates_fault(stubbed):
    """Fault 41."""
    client, stubber = stubbed
    answering(stubber, {"errorType": "KeyError", "errorMessage": "'TILL'"}, error="Unhandled")
    result = asked(client)
    assert (result.verdict, result.why) == (Verdict.ERROR, "verdict raised KeyError: 'TILL'.")
    stubber.add_client_error(
        "invoke", "ResourceNotFoundException", "Function not found", http_status_code=404
    )
    assert asked(client).verdict is Verdict.ERROR

    class Hanging:
        def invoke(self, **_):
            raise ReadTimeoutError(endpoint_url="https://lambda")

    assert asked(Hanging()).verdict is Verdict.ERROR


def test_a_transient_error_is_retried_by_the_state_machine(stubbed):
    client, stubber = stubbed
    stubber.add_client_error("invoke", "TooManyRequestsException", http_status_code=429)
    with pytest.raises(AwsUnavailable):
        asked(client)


values = (
    st.integers() | st.floats() | st.text(max_size=100) | st.none() | st.booleans() | st.lists(st.integers())
)


@given(st.dictionaries(st.text(max_size=50), values, max_size=30))
def test_numbers_that_the_ledger_cannot_store_are_dropped(numbers):
    kept = custom.read({"verdict": "healthy", "numbers": numbers}, check="it").numbers
    assert len(kept) <= 20
    assert all(kept)
    assert all(isinstance(value, str) or math.isfinite(value) for value in kept.values())
    digest_of(dict(kept))


def test_valid_numbers_are_unchanged():
    said = {"lost": 0.125, "baskets": 31, "why": "late", "open": True}
    kept = custom.read({"verdict": "healthy", "numbers": said}, check="it").numbers
    assert kept == {"lost": 0.125, "baskets": 31, "why": "late", "open": "True"}
