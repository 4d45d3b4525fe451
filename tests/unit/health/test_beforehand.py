"""What serves is asked the checks' question before a release: once, side by side, and nobody waits for a slow one."""

from __future__ import annotations

import json
import threading
from types import SimpleNamespace

from tagship.health import AlarmCheck, Given, HttpCheck, LambdaCheck, beforehand
from tests.unit.builders import subject
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
            asked=subject(),
            allowed=LOOPBACK,
        )

    return beforehand.ask(checks, given, seconds=seconds)


def answers(*checks, **given):
    return {name: answer["answers"] for name, answer in asked(*checks, **given).items()}


def test_a_function_that_knows_the_question_is_asked_once():
    function = Function(KNOWS)
    check = LambdaCheck(type="lambda", requests=20, mustPass=20)
    assert answers(check, function=function) == {"lambda storefront": True}
    (request,) = function.asked
    assert (request["FunctionName"], request["Qualifier"]) == ("storefront", "live")


def test_a_function_that_says_itself_that_it_is_ill_knows_the_question():
    assert answers(LambdaCheck(type="lambda"), function=Function({"healthy": False})) == {
        "lambda storefront": True
    }


def test_an_ordinary_function_cannot_answer_whatever_it_does():
    for ordinary in ({"statusCode": 200}, ({"errorType": "KeyError", "errorMessage": "path"}, "Unhandled")):
        found = asked(LambdaCheck(type="lambda"), function=Function(ordinary))["lambda storefront"]
        assert found["answers"] is False
        assert found["why"]


def test_an_address_that_is_not_there_cannot_answer():
    with serving(saying(http_answer(404))) as server:
        url = server.url()
        assert answers(HttpCheck(type="http", url=url)) == {f"http {url}": False}


def test_checks_that_look_back_are_not_asked():
    assert answers(AlarmCheck(type="alarm", names=("storefront-5xx",))) == {}


def test_what_aws_can_not_ask_just_now_is_not_known():
    throttled = Function(aws_error("TooManyRequestsException", status=429))
    assert answers(LambdaCheck(type="lambda"), function=throttled) == {}


def test_nobody_waits_for_a_slow_one():
    over = threading.Event()
    try:
        slow = Function(lambda: over.wait(30))
        assert answers(LambdaCheck(type="lambda"), function=slow, seconds=0.1) == {}
    finally:
        over.set()
