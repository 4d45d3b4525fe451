"""A configuration is read once, with its defaults written out; one that is not valid is recorded with what is wrong."""

from __future__ import annotations

import json

import pytest

from tagship.intake import configuration
from tagship.ledger.table import digest_of
from tagship.model.documents import as_document, read_application
from tagship.model.errors import AwsUnavailable
from tests.unit.builders import application
from tests.unit.intake.uploads import FakeParameters
from tests.unit.tables import aws_error

NAME = "/tagship/production/applications/storefront"


def read(*values, **changes):
    ssm = FakeParameters(**changes)
    for value in values:
        ssm.put(NAME, value if isinstance(value, str) else json.dumps(value))
    return configuration.read(
        ssm, stage="production", application="storefront", github_hosts=("api.github.com",)
    )


def test_a_valid_configuration_is_stored_with_its_version_and_defaults():
    found = read(application(strategy={"type": "linear"}), application())
    assert found == {
        "version": 2,
        "document": as_document(read_application(application())),
        "problems": [],
        "digest": digest_of(application()),
    }
    assert found["document"]["target"]["alias"] == "live"


def test_an_unconfigured_application_has_no_configuration():
    assert read() == {"version": 0, "document": None, "problems": [f"there is no parameter {NAME}"]}


@pytest.mark.parametrize(
    "value, problem",
    [
        ("not json", "Expecting value: line 1 column 1 (char 0)"),
        ("[]", "must be an object with fields"),
        (
            application(strategy={"type": "canary", "percent": 0}),
            "strategy.percent: must be greater than or equal to 1",
        ),
        (application(application="basket"), f"{NAME} is about 'basket'"),
        (application(stage="staging"), f"{NAME} is for stage staging, but this is stage production"),
    ],
    ids=["text", "list", "field", "another application", "another stage"],
)
def test_an_invalid_configuration_is_recorded_with_its_problems(value, problem):
    assert read(value) == {"version": 1, "document": None, "problems": [problem]}


def test_an_unavailable_parameter_store_is_retried():
    """Fault 39."""
    with pytest.raises(AwsUnavailable, match=f"Reading the parameter {NAME}"):
        read(fails_with=aws_error("ThrottlingException"))


def guarded(found, approved):
    return configuration.guarded(found, approved, stage="production", application="storefront")


def in_force(**changes):
    document = application(**changes)
    return {
        "application": "storefront",
        "tag": "configuration-3",
        "version": 3,
        "digest": digest_of(document),
        "document": document,
        "since": "2026-11-20T10:00:00.000Z",
        "by": ["ana@example.com"],
    }


def test_a_guarded_stage_uses_the_approved_configuration():
    found = read(application())
    assert guarded(found, in_force()) == {**found, "approved": "configuration-3"}


def test_order_and_whitespace_of_the_document_do_not_matter():
    text = json.dumps(dict(reversed(application().items())), indent=4)
    assert guarded(read(text), in_force())["document"] is not None


def test_in_a_guarded_stage_any_other_configuration_is_invalid_with_a_remedy():
    found = guarded(read(application(), application(strategy={"type": "linear"})), in_force())
    assert (found["version"], found["document"]) == (2, None)
    (problem,) = found["problems"]
    assert problem == (
        "the configuration was changed outside of Tagship since 2026-11-20T10:00Z, when configuration-3 was "
        f"approved (version 2 of {NAME} is different); propose it: tagship apply application.yaml --stage "
        "production"
    )


def test_in_a_guarded_stage_no_configuration_is_valid_before_the_first_approval():
    found = guarded(read(application()), None)
    assert found["document"] is None
    assert found["problems"][0].startswith(
        "no configuration of storefront has been approved in production yet"
    )


def test_in_a_guarded_stage_an_unreadable_configuration_says_why():
    found = read("not json")
    assert guarded(found, in_force()) == found
