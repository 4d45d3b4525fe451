"""Whose role can't be taken, with IAM enforced: such a release ends before anything has changed."""

from __future__ import annotations

import json

import pytest

from tagship.model.release import parameter_name
from tests.integration.conftest import Pipeline
from tools.storefront import NAME


@pytest.mark.parametrize(
    "target, expected",
    [
        ({"externalId": "tagship-elsewhere"}, '"sts:ExternalId":"tagship-elsewhere"'),
        (
            {"role": "arn:aws:iam::000000000000:role/tagship-app-missing"},
            "tagship-app-missing cannot be assumed",
        ),
        (
            {"account": "999999999999", "role": "arn:aws:iam::999999999999:role/tagship-app-storefront"},
            "this stack may deploy only to account 000000000000",
        ),
    ],
    ids=["another external id", "a role that is missing", "a foreign account"],
)
def test_a_role_that_cannot_be_assumed_stops_the_release_before_any_change(
    pipeline: Pipeline, target: dict[str, str], expected: str
) -> None:
    """Fault 37."""
    before = pipeline.alias()
    pipeline.configure()
    ssm, name = (
        pipeline.client("ssm"),
        parameter_name(pipeline.stack.stage, NAME),
    )  # `apply` refuses a foreign account
    document = json.loads(ssm.get_parameter(Name=name)["Parameter"]["Value"])
    written = json.dumps({**document, "target": {**document["target"], **target}})
    ssm.put_parameter(Name=name, Value=written, Type="String", Overwrite=True)
    tag = pipeline.publish()
    ended = pipeline.ended(pipeline.execution(tag))
    assert (ended["status"], ended["error"]) == ("FAILED", "ReleaseInvalid")
    assert expected in ended["cause"]
    assert "plan" not in pipeline.settled(tag, "INVALID")
    assert pipeline.alias() == before
