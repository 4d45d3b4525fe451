"""One line a kind, and nobody pays for the kinds that are not asked."""

import subprocess
import sys
import typing
from dataclasses import dataclass
from importlib import import_module
from types import SimpleNamespace

import pytest

from tagship.health import KINDS, Given, Verdict, rights, run
from tagship.model.application import Check, CustomCheck, HttpCheck, LambdaCheck, LambdaTarget
from tests.unit.builders import application
from tests.unit.health.servers import LOOPBACK, an_http_check, http_answer, saying, serving


def given_for(**fields):
    def no_client(service):
        raise AssertionError(f"a client of {service} was made that nobody needs")

    defaults = {"name": "it", "application": "storefront", "tag": "v1.4.0", "client": no_client}
    return Given(**defaults | fields)


def test_every_check_that_an_application_can_have_has_its_kind():
    types = {typing.get_args(typing.get_type_hints(noun)["type"])[0] for noun in typing.get_args(Check)}
    assert types == set(KINDS)


@pytest.mark.parametrize("module", KINDS.values())
def test_every_kind_can_be_run(module):
    assert callable(import_module(module).run)


@pytest.mark.parametrize("module", KINDS.values())
def test_every_kind_says_what_it_asks_of_the_applications_role(module):
    """A session may do that and nothing else, and `tagship role` prints it."""
    assert callable(import_module(module).rights)


def test_a_lambda_check_may_invoke_what_it_asks_and_nothing_else():
    target = LambdaTarget(**application()["target"])
    (own,) = rights(LambdaCheck(type="lambda"), target)
    (smoke,) = rights(LambdaCheck(type="lambda", function="storefront-smoke"), target)
    assert own.actions == smoke.actions == ("lambda:InvokeFunction",)
    arn = "arn:aws:lambda:us-east-1:000000000000:function:storefront"
    assert (own.on, smoke.on) == ((arn, f"{arn}:*"), (f"{arn}-smoke", f"{arn}-smoke:*"))
    (custom,) = rights(CustomCheck(type="custom", function="storefront-smoke"), target)
    assert custom == smoke
    assert rights(HttpCheck(type="http", url="https://example.com"), target) == ()


def test_an_http_check_runs_with_the_allowed_networks_and_without_a_client():
    with serving(saying(http_answer())) as server:
        assert run(an_http_check(server.url()), given_for(allowed=LOOPBACK)).verdict is Verdict.HEALTHY
        assert run(an_http_check(server.url()), given_for()).verdict is Verdict.ERROR


def test_a_lambda_check_runs_against_the_candidate_with_the_client_it_was_given():
    @dataclass
    class Client:
        asked: dict | None = None

        def invoke(self, **request):
            self.asked = request
            return {"Payload": SimpleNamespace(read=lambda _: b'{"healthy": true}')}

    client = Client()
    given = given_for(function="storefront", version="7", client={"lambda": client}.__getitem__)
    assert run(LambdaCheck(type="lambda"), given).verdict is Verdict.HEALTHY
    assert client.asked["FunctionName"] == "storefront"
    assert client.asked["Qualifier"] == "7"


def test_a_kind_that_nobody_wrote_is_an_error_and_not_a_pass():
    result = run(SimpleNamespace(type="telepathy"), given_for())
    assert result.verdict is Verdict.ERROR
    assert "'telepathy'" in result.why


@pytest.mark.parametrize(
    "module,heavy",
    [
        ("tagship.health", ["pydantic", "botocore", "ssl", "http.client", "statistics"]),
        ("tagship.health.http", ["pydantic", "botocore", "urllib3", "statistics"]),
        ("tagship.health.lambda_invoke", ["pydantic", "boto3", "mypy_boto3_lambda"]),
    ],
)
def test_an_import_does_not_bring_what_it_does_not_need(module, heavy):
    program = f"import sys; sys.path.insert(0, 'layers/tagship'); import {module}; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not set(heavy) & set(ran.stdout.split())
