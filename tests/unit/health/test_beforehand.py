"""Current revision and candidate are checked before traffic moves: once, concurrently, within a time limit."""

from __future__ import annotations

import json
import threading
from types import SimpleNamespace

import pytest

from tagship.health import AlarmCheck, CustomCheck, Given, HttpCheck, LambdaCheck, Verdict, beforehand
from tagship.model.errors import AwsUnavailable, CandidateUnhealthy
from tests.unit.builders import application, read_application, subject
from tests.unit.health.servers import LOOPBACK, http_answer, saying, serving
from tests.unit.tables import aws_error

KNOWS = {"healthy": True}


class Function:
    def __init__(self, answer):
        self.answer, self.asked = answer, []

    def invoke(self, **request):
        self.asked.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        if callable(self.answer):
            return self.answer()
        answered, error = self.answer if isinstance(self.answer, tuple) else (self.answer, None)
        raw = json.dumps(answered).encode()
        return {"Payload": SimpleNamespace(read=lambda _: raw)} | ({"FunctionError": error} if error else {})


def asked(*checks, function=None, seconds=5):
    def given(check):
        return Given(
            name=check.label("storefront"),
            application="storefront",
            tag="v1.4.0",
            client={"lambda": function}.__getitem__,
            subject="baseline",
            offers=subject(),
            allowed=LOOPBACK,
        )

    return beforehand.ask(checks, given, seconds=seconds)


def answers(*checks, **given):
    return {name: answer["answers"] for name, answer in asked(*checks, **given).items()}


def test_a_function_that_answers_health_requests_is_invoked_once():
    function = Function(KNOWS)
    check = LambdaCheck(type="lambda", requests=20, mustPass=20)
    assert answers(check, function=function) == {"lambda storefront": True}
    (request,) = function.asked
    assert (request["FunctionName"], request["Qualifier"]) == ("storefront", "live")


def test_a_function_that_reports_itself_unhealthy_understands_the_request():
    assert answers(LambdaCheck(type="lambda"), function=Function({"healthy": False})) == {
        "lambda storefront": True
    }


def test_an_ordinary_function_counts_as_unable_to_answer():
    for ordinary in ({"statusCode": 200}, ({"errorType": "KeyError", "errorMessage": "path"}, "Unhandled")):
        found = asked(LambdaCheck(type="lambda"), function=Function(ordinary))["lambda storefront"]
        assert found["answers"] is False
        assert found["why"]


def test_an_unreachable_address_counts_as_unable_to_answer():
    with serving(saying(http_answer(404))) as server:
        url = server.url()
        assert answers(HttpCheck(type="http", url=url)) == {f"http {url}": False}


def test_checks_of_past_data_are_not_run_beforehand():
    assert answers(AlarmCheck(type="alarm", names=("storefront-5xx",))) == {}


def test_a_temporary_aws_failure_leaves_the_answer_unknown():
    throttled = Function(aws_error("TooManyRequestsException", status=429))
    assert answers(LambdaCheck(type="lambda"), function=throttled) == {}


def test_a_slow_check_is_not_waited_for():
    over = threading.Event()
    try:
        slow = Function(lambda: over.wait(30))
        assert answers(LambdaCheck(type="lambda"), function=slow, seconds=0.1) == {}
    finally:
        over.set()


# ---- the candidate, before it gets any traffic ---------------------------------------------------------------------


def proven(*checks, function=None, seconds=5):
    def given(check):
        return Given(
            name=check.label("storefront"),
            application="storefront",
            tag="v1.4.0",
            client={"lambda": function}.__getitem__,
            offers=subject("7"),
        )

    return beforehand.prove_candidate(checks, given, title="storefront v1.4.0", seconds=seconds)


CUSTOM = CustomCheck(type="custom", function="storefront-verdict")


def test_the_roles_of_checks_that_ask_the_candidate_are_assumed_before_it_has_a_version():
    """With the same permissions as later, so that the session is the same one."""
    target, made = read_application(application()).target, []

    def given(check, version=""):
        may = check.rights(target, subject(version))
        return Given(
            name=check.label("storefront"),
            application="storefront",
            tag="v1.4.0",
            client=lambda service: made.append((service, may)),
            offers=subject(version),
        )

    checks = (LambdaCheck(type="lambda"), CUSTOM, AlarmCheck(type="alarm", names=("5xx",)))
    beforehand.make_ready(checks, given)
    ready = list(made)
    assert [service for service, _ in ready] == ["lambda", "lambda"]
    for check in checks[:2]:
        given(check, "7").client("lambda")
    assert made[len(ready) :] == ready


def test_the_candidate_is_invoked_once_with_zero_percent_of_traffic():
    """Fault 84."""
    function = Function(KNOWS)
    (result,) = proven(LambdaCheck(type="lambda", requests=20, mustPass=20), function=function)
    assert result.verdict is Verdict.HEALTHY
    (request,) = function.asked
    assert (request["FunctionName"], request["Qualifier"]) == ("storefront", "7")
    assert json.loads(request["Payload"])["percent"] == 0


def test_a_candidate_is_invoked_only_if_the_application_configured_such_a_check():
    """A function that knows nothing of Tagship could take the question for work."""
    alarm = AlarmCheck(type="alarm", names=("storefront-5xx",))
    http = HttpCheck(type="http", url="https://storefront.example.com/health")
    assert proven(alarm, http, function=None) == []


@pytest.mark.parametrize(
    "answer, why",
    [
        ({"healthy": False, "reasons": ["the basket is empty"]}, "the basket is empty"),
        ({"statusCode": 200}, "the answer is not"),
        (({"errorType": "ImportError", "errorMessage": "no module"}, "Unhandled"), "no module"),
        (aws_error("ResourceNotFoundException", status=404), "be invoked"),
    ],
    ids=["ill", "ordinary", "raises", "not there"],
)
def test_any_answer_other_than_healthy_prevents_traffic_and_says_why(answer, why):
    """Fault 84: an answer that can't be had is none."""
    with pytest.raises(
        CandidateUnhealthy, match=r"storefront v1\.4\.0: .*No traffic was moved.*retry this one"
    ) as raised:
        proven(LambdaCheck(type="lambda"), function=Function(answer))
    assert why in str(raised.value)


def test_a_candidate_that_does_not_answer_in_time_gets_no_traffic():
    over = threading.Event()
    try:
        slow = Function(lambda: over.wait(30))
        with pytest.raises(CandidateUnhealthy, match=r"no answer within 0\.1 s"):
            proven(LambdaCheck(type="lambda"), function=slow, seconds=0.1)
    finally:
        over.set()


def test_a_temporary_aws_failure_is_retried_unless_another_check_fails():
    throttled = Function(aws_error("TooManyRequestsException", status=429))
    with pytest.raises(AwsUnavailable):
        proven(LambdaCheck(type="lambda"), function=throttled)

    class Both(Function):
        def invoke(self, **request):
            if request["FunctionName"] == CUSTOM.function:
                raise throttled.answer
            return super().invoke(**request)

    with pytest.raises(CandidateUnhealthy, match="the basket is empty"):
        proven(
            CUSTOM,
            LambdaCheck(type="lambda"),
            function=Both({"healthy": False, "reasons": ["the basket is empty"]}),
        )


def test_a_custom_function_may_be_undecided_and_its_refusal_counts():
    """It judges the release as a whole, of which nothing is to be seen at 0 %."""
    (result,) = proven(CUSTOM, function=Function({"verdict": "inconclusive"}))
    assert result.verdict is Verdict.INCONCLUSIVE
    with pytest.raises(CandidateUnhealthy):
        proven(CUSTOM, function=Function({"verdict": "unhealthy"}))
    with pytest.raises(CandidateUnhealthy):
        proven(CUSTOM, function=Function({"nothing": "of it"}))
