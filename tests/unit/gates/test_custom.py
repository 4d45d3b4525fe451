"""The custom gate asks the team's own function; whatever is not an answer lets nothing through."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from tagship.aws.clients import ASKED_ONCE
from tagship.gates import Verdict, custom
from tagship.model.errors import AwsUnavailable, CredentialsRefused
from tests.unit.gates.cases import InRole, case, gated
from tests.unit.tables import aws_error

ASKS = gated(custom={"function": "storefront-gate"})


@dataclass
class FakeLambda:
    """A function that answers these bytes, or fails."""

    answer: bytes = b'{"passed": true}'
    error: str = ""
    fails_with: Exception | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)

    def invoke(self, **request: Any) -> Any:
        self.asked.append(request)
        if self.fails_with:
            raise self.fails_with
        return {"Payload": io.BytesIO(self.answer)} | ({"FunctionError": self.error} if self.error else {})


def judged(function: FakeLambda, **changes: Any) -> Any:
    """The gate's result for this response of the function."""
    return custom.check(case(in_role=InRole(clients={"lambda": function}), configuration=ASKS, **changes))


def test_an_application_without_a_custom_gate_assumes_no_role():
    in_role = InRole()
    result = custom.check(case(in_role=in_role))
    assert result.verdict is Verdict.NOT_CONFIGURED
    assert in_role.asked == []


def test_the_function_receives_the_release_and_lets_it_through():
    function = FakeLambda()
    result = judged(function, production="v1.3.0")
    assert (result.verdict, result.why) == (Verdict.PASSED, "storefront-gate passed the release.")
    (asked,) = function.asked
    assert (asked["FunctionName"], asked["InvocationType"]) == ("storefront-gate", "RequestResponse")
    document = json.loads(asked["Payload"])
    assert {
        name: document[name] for name in ("source", "gate", "stage", "application", "tag", "production")
    } == {
        "source": "tagship",
        "gate": "custom",
        "stage": "production",
        "application": "storefront",
        "tag": "v1.4.0",
        "production": "v1.3.0",
    }
    assert document["manifest"]["commit"] == "0123456789abcdef0123456789abcdef01234567"
    assert document["objects"]["storefront.zip"]["versionId"] == "7"


@pytest.mark.parametrize(
    "answer, why",
    [
        (
            b'{"passed": false, "reasons": ["no ticket", "Friday"]}',
            "storefront-gate stopped the release: no ticket; Friday.",
        ),
        (b'{"passed": false, "reasons": "no ticket."}', "storefront-gate stopped the release: no ticket."),
        (b'{"passed": false}', "storefront-gate stopped the release: no reason given."),
        (b'{"passed": false, "reasons": [{"a": 1}]}', "storefront-gate stopped the release: {'a': 1}."),
        (
            '{"passed": false, "reasons": ["exe\u202egnp"]}'.encode(),
            "storefront-gate stopped the release: exe⟨U+202E⟩gnp.",
        ),
    ],
)
def test_a_refusal_is_shown_with_its_reasons(answer, why):
    result = judged(FakeLambda(answer))
    assert (result.verdict, result.why) == (Verdict.FAILED, why)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"null",
        b"true",
        b'"passed"',
        b"[]",
        b"{}",
        b'{"passed": 1}',
        b'{"passed": "true"}',
        b'{"passed": null}',
        b'{"Passed": true}',
        b"\xff",
        b"[" * 20_000,
        b'{"passed": true, "padding": "' + b"x" * 70_000 + b'"}',
    ],
    ids=lambda answer: str(answer[:20]),
)
def test_an_invalid_response_is_an_error(answer):
    result = judged(FakeLambda(answer))
    assert result.verdict is Verdict.ERROR
    assert "answered neither" in result.why


def test_a_function_that_raises_is_an_error():
    """Fault 11."""
    function = FakeLambda(b'{"errorType": "KeyError", "errorMessage": "ticket"}', error="Unhandled")
    result = judged(function)
    assert (result.verdict, result.why) == (Verdict.ERROR, "storefront-gate raised KeyError: ticket.")


def test_a_function_that_says_passed_but_raises_has_not_passed():
    assert judged(FakeLambda(b'{"passed": true}', error="Unhandled")).verdict is Verdict.ERROR


def test_a_function_that_hangs_is_an_error():
    """Fault 13."""
    function = FakeLambda(fails_with=ReadTimeoutError(endpoint_url="https://lambda"))
    assert judged(function).verdict is Verdict.ERROR
    assert judged(function).why == "storefront-gate did not answer in time."


@pytest.mark.parametrize(
    "code, verb",
    [
        ("ResourceNotFoundException", "invoked"),
        ("AccessDeniedException", "invoked"),
        ("KMSDisabledException", "started"),
    ],
)
def test_a_function_that_cannot_be_invoked_is_an_error(code, verb):
    result = judged(FakeLambda(fails_with=aws_error(code)))
    assert result.verdict is Verdict.ERROR
    assert f"storefront-gate cannot be {verb} ({code})" in result.why


@pytest.mark.parametrize(
    "code", ["TooManyRequestsException", "ServiceException", "ResourceConflictException"]
)
def test_a_throttled_function_is_retried_by_the_state_machine(code):
    """Fault 12."""
    with pytest.raises(AwsUnavailable):
        judged(FakeLambda(fails_with=aws_error(code)))


def test_a_role_that_cannot_be_assumed_stops_the_release():
    in_role = InRole(refused=CredentialsRefused("It can't be assumed.", "Trust us."))
    result = custom.check(case(in_role=in_role, configuration=ASKS))
    assert (result.verdict, result.why) == (Verdict.FAILED, "It can't be assumed.")


def test_the_session_can_invoke_only_that_function():
    in_role = InRole(clients={"lambda": FakeLambda()})
    custom.check(case(in_role=in_role, configuration=ASKS))
    assert in_role.asked == [("lambda", ("lambda:InvokeFunction",))]


def test_the_function_is_asked_once_without_the_retries_of_boto3():
    """The state machine retries; a second answer within one try would hide the first."""
    in_role = InRole(clients={"lambda": FakeLambda()})
    custom.check(case(in_role=in_role, configuration=ASKS))
    assert in_role.configs == [ASKED_ONCE]


def test_a_long_reason_is_cut():
    reasons = json.dumps({"passed": False, "reasons": ["too risky " * 100]}).encode()
    why = judged(FakeLambda(answer=reasons)).why
    assert why == f"storefront-gate stopped the release: {('too risky ' * 100)[:499]}…."


def test_only_the_configured_function_may_be_called():
    (right,) = custom.rights(case(configuration=ASKS).configuration)
    assert [arn.rpartition(":")[2] for arn in right.on][:1] == ["storefront-gate"]
