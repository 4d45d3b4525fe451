"""A second kind of target is its own file: documents, schemas, references and roles know it from there."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tagship.aws.rights import Right, session_policy
from tagship.model.application import Application
from tagship.model.documents import DocumentInvalid, as_document, read_application
from tagship.targets import KINDS, kind_of, rights, spec_of
from tagship_cli.actions import role, schema
from tests.unit.builders import application
from tests.unit.targets import toy
from tests.unit.targets.toy import KIND, PointerTarget
from tools import reference


@pytest.fixture(autouse=True)
def two_kinds() -> Iterator[None]:
    with toy.two_kinds():
        yield


def site(**changes: Any) -> dict[str, Any]:
    """An application whose target is a pointer; a dotted name changes what is below, None leaves it out."""
    document = application(
        target=dict(KIND.example),
        strategy={"type": "all-at-once"},
        health={"checks": [{"type": "http", "url": "https://example.com/"}]},
    )
    for path, value in changes.items():
        *above, name = path.split(".")
        part = document
        for step in above:
            part = part[step]
        part.pop(name, None)
        part |= {} if value is None else {name: value}
    return copy.deepcopy(document)


def problems(**changes: Any) -> list[str]:
    with pytest.raises(DocumentInvalid) as caught:
        read_application(site(**changes))
    return [str(problem) for problem in caught.value.problems]


def test_its_configuration_is_read_and_stored_as_its_own_type() -> None:
    read = read_application(site())
    assert isinstance(read.target, PointerTarget)
    kept = json.loads(json.dumps(as_document(read)))
    assert Application.from_dict(kept) == read
    assert spec_of(kept["target"]) == read.target
    assert kind_of(read.target) is KIND


def test_the_other_kind_still_works() -> None:
    assert kind_of(read_application(application()).target).name == "lambda"


@pytest.mark.parametrize(
    "changes, said",
    [
        (
            {"target.type": "toaster"},
            [f"target.type: must be one of {', '.join(map(repr, [*KINDS, KIND.name]))}"],
        ),
        ({"target.type": None}, ["target: needs a type"]),
        ({"target.bucket": None}, ["target.bucket: is missing"]),
        ({"target.region": "Frankfurt"}, ["target.region: must be a region, like eu-central-1"]),
        ({"target.zzz": "x"}, ["target.zzz: is not a field here"]),
        ({"target.buckt": "x"}, ["target.buckt: is not a field here; did you mean 'bucket'?"]),
        ({"target.function": "storefront"}, ["target.function: is a field, but not here"]),
        (
            {"target.account": "000000000000"},
            ["target.role: is in account 123456789012, but target.account is 000000000000"],
        ),
    ],
)
def test_a_problem_names_the_field_that_its_team_wrote(changes: dict[str, Any], said: list[str]) -> None:
    assert problems(**changes) == said


SHARES = "strategy: shifts traffic in steps, but a target of type pointer can only move at once: use {type: all-at-once}"


@pytest.mark.parametrize(
    "strategy",
    [
        None,
        {"type": "canary"},
        {"type": "linear"},
        {"type": "steps", "steps": [{"percent": 5}, {"percent": 100}]},
    ],
)
def test_a_target_that_moves_at_once_allows_no_stepped_strategy(strategy: dict[str, Any] | None) -> None:
    assert problems(strategy=strategy) == [SHARES]
    read_application(site(strategy={"type": "steps", "steps": [{"percent": 100}]}))


def test_a_check_that_needs_something_the_target_lacks_is_refused() -> None:
    counted = {
        "type": "metric",
        "name": "errors",
        "expression": "SELECT AVG(Errors) FROM Site",
        "maxValue": 1,
    }
    asked: list[dict[str, Any]] = [{"type": "lambda"}, counted]
    assert problems(**{"health.checks": asked}) == [
        "health.checks[0].function: is missing: a target of this type is not a function that can be invoked",
        "health.checks[1].samples: is missing: the requests of a target of this type are not counted",
    ]
    asked[0]["function"], asked[1]["samples"] = "storefront-smoke", "SELECT COUNT(Errors) FROM Site"
    read_application(site(**{"health.checks": asked}))


def test_the_role_allows_what_it_needs_and_nothing_of_the_other_kind() -> None:
    made = role.template(
        read_application(site()), bucket="releases", function_roles="arn:aws:iam::000000000000:role/tagship-*"
    )
    (policy,) = made["Resources"]["Role"]["Properties"]["Policies"]
    statements = policy["PolicyDocument"]["Statement"]
    assert [statement["Sid"] for statement in statements][:2] == ["MoveThePointer", "ReadThePinnedContent"]
    assert "lambda:" not in json.dumps(statements)
    asked = rights(read_application(site()).target, application="storefront", bucket="releases")
    assert all(isinstance(right, Right) for right in asked)
    assert session_policy(asked)


def test_the_schema_includes_it_with_an_example_for_every_field() -> None:
    made = schema.schema("application")
    Draft202012Validator.check_schema(made)
    Draft202012Validator(made).validate(site())
    Draft202012Validator(made).validate(application())
    assert not Draft202012Validator(made).is_valid(site(**{"target.bucket": None}))
    for name, field in made["$defs"]["PointerTarget"]["properties"].items():
        assert field["description"], name
        assert "const" in field or field["examples"] == [KIND.example[name]], name


def test_the_reference_has_its_fields_under_their_own_heading() -> None:
    made = reference.made("<!-- made by tools.reference: applications -->\n<!-- end -->")
    assert made.index("### `target`, of type `lambda`") < made.index("### `target`, of type `pointer`")
    assert "| `bucket` | text, at most 63 characters | **required** | The bucket that it lies in. |" in made
