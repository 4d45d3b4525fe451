"""One line for each kind, and unused kinds cost nothing."""

import dataclasses
import re
import subprocess
import sys
import typing
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from tagship.health import Check, CustomCheck, Given, HttpCheck, LambdaCheck, Verdict, kinds
from tagship.health.verdict import ASKING
from tagship.model.fields import rebuilt
from tagship.targets.lambda_alias import LambdaTarget
from tests.unit.builders import application, subject
from tests.unit.health.servers import LOOPBACK, an_http_check, http_answer, saying, serving


def given_for(**fields):
    def no_client(service):
        raise AssertionError(f"a client of {service} was made that nobody needs")

    defaults = {
        "name": "it",
        "application": "storefront",
        "tag": "v1.4.0",
        "client": no_client,
        "offers": subject("7"),
    }
    return Given(**defaults | fields)


def test_the_registry_line_makes_a_check_available_to_applications():
    assert list(kinds()) == ["http", "lambda", "alarm", "metric", "sequential", "outcomes", "custom"]
    assert set(kinds().values()) == set(typing.get_args(Check))


@pytest.mark.parametrize("noun", typing.get_args(Check))
def test_every_kind_defines_everything_that_others_need(noun):
    """A session can do only what `rights` lists, and `tagship role` prints that."""
    assert noun.LOOKS_BACK >= 0
    assert isinstance(noun.ASKS_CANDIDATE, frozenset)
    read = rebuilt(noun, dict(noun.EXAMPLE))
    assert list(read.problems()) == []
    assert read.seconds > 0
    assert read.label("storefront").startswith(read.type)
    assert callable(read.run) and callable(read.rights)
    assert set(noun.EXAMPLES) <= {field.name for field in dataclasses.fields(noun)}


def test_checks_of_measured_data_look_back():
    assert {name for name, noun in kinds().items() if noun.LOOKS_BACK} == {
        *("alarm", "metric", "sequential", "outcomes")
    }


def test_a_lambda_check_can_invoke_only_its_function():
    target = LambdaTarget(**application()["target"])
    (own,) = LambdaCheck(type="lambda").rights(target, subject())
    (smoke,) = LambdaCheck(type="lambda", function="storefront-smoke").rights(target, subject())
    assert own.actions == smoke.actions == ("lambda:InvokeFunction",)
    arn = "arn:aws:lambda:us-east-1:000000000000:function:storefront"
    assert (own.on, smoke.on) == ((arn, f"{arn}:*"), (f"{arn}-smoke", f"{arn}-smoke:*"))
    (custom,) = CustomCheck(type="custom", function="storefront-smoke").rights(target, subject())
    assert custom == smoke
    assert HttpCheck(type="http", url="https://example.com").rights(target, subject()) == ()


def test_the_kinds_that_can_test_a_restored_version_are_named():
    asking = {name for name, kind in kinds().items() if not kind.LOOKS_BACK}
    assert asking == set(re.split(r", | or ", ASKING))


def test_an_http_check_runs_with_the_allowed_networks_and_without_a_client():
    with serving(saying(http_answer())) as server:
        assert an_http_check(server.url()).run(given_for(allowed=LOOPBACK)).verdict is Verdict.HEALTHY
        assert an_http_check(server.url()).run(given_for()).verdict is Verdict.ERROR


def test_a_lambda_check_runs_against_the_candidate_with_the_given_client():
    @dataclass
    class Client:
        asked: dict | None = None

        def invoke(self, **request):
            self.asked = request
            return {"Payload": SimpleNamespace(read=lambda _: b'{"healthy": true}')}

    client = Client()
    given = given_for(client={"lambda": client}.__getitem__)
    assert LambdaCheck(type="lambda").run(given).verdict is Verdict.HEALTHY
    assert client.asked["FunctionName"] == "storefront"
    assert client.asked["Qualifier"] == "7"


@pytest.mark.parametrize(
    "module,heavy",
    [
        ("tagship.health", ["pydantic", "botocore", "ssl", "http.client", "statistics"]),
        ("tagship.model.application", ["pydantic", "botocore", "ssl", "http.client", "jmespath"]),
        ("tagship.health.asking", ["pydantic", "botocore", "urllib3", "statistics"]),
        ("tagship.health.lambda_invoke", ["pydantic", "boto3", "mypy_boto3_lambda"]),
    ],
)
def test_an_import_loads_only_what_it_needs(module, heavy):
    program = f"import sys; sys.path.insert(0, 'layers/tagship'); import {module}; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not set(heavy) & set(ran.stdout.split())
