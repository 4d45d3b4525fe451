"""The candidate itself is asked, and only `{"healthy": true}` is healthy."""

import io
import json

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError
from botocore.response import StreamingBody
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from tagship.health import LambdaCheck, Verdict, lambda_invoke
from tagship.model.errors import AwsUnavailable
from tagship.targets.kind import Subject
from tagship.targets.lambda_alias import LambdaTarget
from tests.unit.builders import application, subject

PAYLOAD = {
    "source": "tagship",
    "check": "health",
    "application": "storefront",
    "tag": "v1.4.0",
    "percent": 10,
}


@pytest.fixture(scope="module")
def client():
    return boto3.client(
        "lambda", region_name="eu-central-1", aws_access_key_id="test", aws_secret_access_key="test"
    )


@pytest.fixture
def stubber(client):
    with Stubber(client) as stubber:
        yield stubber


def check_of(**fields):
    return LambdaCheck(type="lambda", **fields)


def answering(stubber, answer, *, error=None, payload=PAYLOAD, **request):
    raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    expected = {"FunctionName": "storefront", "Qualifier": "7"} | request
    response = {"StatusCode": 200, "Payload": StreamingBody(io.BytesIO(raw), len(raw))}
    stubber.add_response(
        "invoke",
        response | ({"FunctionError": error} if error else {}),
        {name: value for name, value in expected.items() if value is not None}
        | {"InvocationType": "RequestResponse", "Payload": json.dumps(payload)},
    )


def asked(client, check=None, *, about=None, **given):
    return lambda_invoke.check(
        check or check_of(),
        name="lambda storefront",
        client=client,
        offers=about or subject("7"),
        application="storefront",
        tag="v1.4.0",
        percent=10,
        **given,
    )


def test_the_candidate_version_is_invoked_and_can_report_itself_healthy(client, stubber):
    answering(stubber, {"healthy": True})
    result = asked(client)
    assert result.verdict is Verdict.HEALTHY
    assert result.check == "lambda storefront"
    assert result.numbers["passed"] == 1
    stubber.assert_no_pending_responses()


def test_the_applications_payload_overrides_the_default_payload(client, stubber):
    answering(stubber, {"healthy": True}, payload=PAYLOAD | {"check": "deep", "tenant": "acme"})
    check = check_of(payload={"check": "deep", "tenant": "acme"})
    assert asked(client, check).verdict is Verdict.HEALTHY


def test_a_smoke_test_function_receives_the_version_to_test(client, stubber):
    answering(
        stubber,
        {"healthy": True},
        FunctionName="storefront-smoke",
        Qualifier=None,
        payload=PAYLOAD | {"function": "storefront", "alias": "live", "version": "7", "tenant": "acme"},
    )
    check = check_of(function="storefront-smoke", payload={"tenant": "acme"})
    assert asked(client, check).verdict is Verdict.HEALTHY


def test_a_target_that_cannot_be_invoked_is_an_error_and_needs_no_permission(client, stubber):
    nothing = Subject(names={"version": "7"})
    result = asked(client, about=nothing)
    assert check_of().rights(LambdaTarget(**application()["target"]), nothing) == ()
    assert result.verdict is Verdict.ERROR
    assert result.why.startswith("Not checked: ")


def test_reasons_for_being_unhealthy_are_shown_as_one_line(client, stubber):
    reasons = ["database:\n\x1b[31mdown\x1b[0m", "<b>queue</b> full", {"depth": 9}]
    answering(stubber, {"healthy": False, "reasons": reasons})
    result = asked(client)
    assert result.verdict is Verdict.UNHEALTHY
    assert result.numbers["firstFailure"] == (
        "the function reports: database: ⟨U+001B⟩[31mdown⟨U+001B⟩[0m; <b>queue</b> full; {'depth': 9}"
    )


def test_long_reasons_are_cut(client, stubber):
    answering(stubber, {"healthy": False, "reasons": ["x" * 20_000]})
    result = asked(client)
    assert len(result.numbers["firstFailure"]) == len("the function reports: ") + 500
    assert len(result.why) < 700


@pytest.mark.parametrize(
    "answer", [{"healthy": False}, {"healthy": False, "reasons": []}, {"healthy": False, "reasons": "no"}]
)
def test_unhealthy_without_reasons_is_still_unhealthy(client, stubber, answer):
    answering(stubber, answer)
    assert asked(client).verdict is Verdict.UNHEALTHY


def test_a_function_that_raises_is_unhealthy_with_its_error(client, stubber):
    answer = {"errorType": "KeyError", "errorMessage": "'TABLE'\n", "stackTrace": ["secret path"]}
    answering(stubber, answer, error="Unhandled")
    result = asked(client)
    assert result.verdict is Verdict.UNHEALTHY
    assert result.numbers["firstFailure"] == "storefront:7 raised KeyError: 'TABLE'"
    assert "secret path" not in result.why


@pytest.mark.parametrize("answer", [b"", b"not JSON", b"[]", {"healthy": True}])
def test_a_function_that_raises_without_details_is_unhealthy(client, stubber, answer):
    answering(stubber, answer, error="Unhandled")
    assert asked(client).verdict is Verdict.UNHEALTHY


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"not JSON",
        b"\xff\xfe",
        b"null",
        b"true",
        b'"healthy"',
        b"[" * 60_000,
        b'{"healthy": true}' + b" " * 70_000,
        [{"healthy": True}],
        {},
        {"healthy": "true"},
        {"healthy": 1},
        {"healthy": 0},
        {"healthy": None},
        {"Healthy": True},
        {"statusCode": 200, "body": '{"healthy": true}'},
    ],
    ids=lambda answer: str(answer)[:30],
)
def test_any_other_response_shows_nothing_and_is_inconclusive(client, stubber, answer):
    answering(stubber, answer)
    result = asked(client)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "the answer is not" in result.why


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["healthy", "reasons", "x"]), inner)
    ),
    max_leaves=8,
)


@given(json_values)
def test_only_healthy_true_is_healthy(value):
    verdict, _ = lambda_invoke._read(value)
    assert (verdict is Verdict.HEALTHY) == (isinstance(value, dict) and value.get("healthy") is True)


def test_n_of_m_applies_to_functions_too(client, stubber):
    """Fault 42."""
    for healthy in (True, False, True):
        answering(stubber, {"healthy": healthy})
    assert asked(client, check_of(requests=3, mustPass=2)).verdict is Verdict.HEALTHY
    for healthy in (False, False):
        answering(stubber, {"healthy": healthy})
    result = asked(client, check_of(requests=3, mustPass=2))
    assert result.verdict is Verdict.UNHEALTHY
    assert result.numbers["asked"] == 2


def test_a_healthy_but_slow_response_is_unhealthy(client, stubber):
    answering(stubber, {"healthy": True})
    readings = iter([0.0, 0.0, 10.0, 10.6, 11.0])
    result = asked(client, check_of(maxLatencyMs=500), clock=lambda: next(readings))
    assert result.verdict is Verdict.UNHEALTHY
    assert result.numbers["firstFailure"] == "an answer took 600 ms; the limit is 500 ms"


@pytest.mark.parametrize(
    "code,status",
    [
        ("InvalidRuntimeException", 502),
        ("InvalidSubnetIDException", 502),
        ("InvalidZipFileException", 502),
        ("KMSAccessDeniedException", 502),
        ("KMSDisabledException", 502),
        ("EFSMountFailureException", 403),
        ("EFSMountTimeoutException", 408),
    ],
)
def test_a_version_that_lambda_cannot_start_is_unhealthy(client, stubber, code, status):
    """Fault 41. Lambda answers as if it were unavailable itself, but the version's own settings are wrong."""
    stubber.add_client_error("invoke", code, "The key cannot be used.", http_status_code=status)
    result = asked(client)
    assert result.verdict is Verdict.UNHEALTHY
    assert (
        result.numbers["firstFailure"] == f"storefront:7 cannot be started ({code}): The key cannot be used"
    )


@pytest.mark.parametrize(
    "code,status",
    [
        ("TooManyRequestsException", 429),
        ("ThrottlingException", 400),
        ("ServiceException", 500),
        ("ServiceException", 400),
        ("EC2ThrottledException", 502),
        ("ResourceConflictException", 409),
        ("SnapStartNotReadyException", 409),
        ("InternalFailure", 503),
    ],
)
def test_throttling_and_aws_failures_are_retryable(client, stubber, code, status):
    stubber.add_client_error("invoke", service_error_code=code, http_status_code=status)
    with pytest.raises(AwsUnavailable, match="storefront:7 to check the health of storefront") as raised:
        asked(client)
    assert isinstance(raised.value.__cause__, ClientError)


@pytest.mark.parametrize(
    "code,status",
    [
        ("ResourceNotFoundException", 404),
        ("AccessDeniedException", 403),
        ("ExpiredTokenException", 403),
        ("InvalidParameterValueException", 400),
    ],
)
def test_a_missing_or_forbidden_function_is_an_error_of_the_check(client, stubber, code, status):
    """Fault 41."""
    stubber.add_client_error(
        "invoke", service_error_code=code, service_message="No such\nthing", http_status_code=status
    )
    result = asked(client)
    assert result.verdict is Verdict.ERROR
    assert f"storefront:7 cannot be invoked ({code}): No such thing. " in result.why


class Unreachable:
    """A client whose calls end in the network."""

    def __init__(self, error):
        self.error = error

    def invoke(self, **_):
        raise self.error


def test_a_candidate_that_does_not_answer_is_unhealthy():
    result = asked(Unreachable(ReadTimeoutError(endpoint_url="https://lambda")))
    assert result.verdict is Verdict.UNHEALTHY
    assert result.numbers["firstFailure"] == "storefront:7 did not answer in time"


@pytest.mark.parametrize("error", [EndpointConnectionError, ConnectTimeoutError])
def test_an_unreachable_endpoint_is_retryable(error):
    with pytest.raises(AwsUnavailable):
        asked(Unreachable(error(endpoint_url="https://lambda")))
