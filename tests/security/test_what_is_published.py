"""Every field that AWS reports about a Lambda function is in the approved digest, or listed here with the reason."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest

from tagship.targets.lambda_configuration import differences, digest_of

NOT_CONFIGURED = {
    "CodeSha256": "the code, which is in the digest by itself",
    "CodeSize": "follows from the code",
    "ConfigSha256": "AWS's own digest: it differs between $LATEST and a version that was published from it",
    "Description": "of a version: Tagship writes it",
    "FunctionArn": "a name",
    "FunctionName": "a name",
    "LastModified": "a date",
    "LastUpdateStatus": "a state",
    "LastUpdateStatusReason": "a state",
    "LastUpdateStatusReasonCode": "a state",
    "MasterArn": "of Lambda@Edge: a name",
    "PackageType": "follows from the code",
    "RevisionId": "changes with every call",
    "RuntimeVersionConfig": "AWS updates a runtime with patches by itself",
    "SigningJobArn": "follows from the code",
    "SigningProfileVersionArn": "follows from the code",
    "State": "a state",
    "StateReason": "a state",
    "StateReasonCode": "a state",
    "Version": "a number",
}
STATES = {"VpcId", "OptimizationStatus", "Error", "CodeSize", "SigningJobArn", "SigningProfileVersionArn"}
"""Inside a field: values that AWS reports and nobody configures."""
DEFAULTS = {"PassThrough", "None", "Text", "x86_64"}
REQUIRED: dict[str, dict[str, Any]] = {
    "Layers": {"Arn": "one"},
    "FileSystemConfigs": {"Arn": "one", "LocalMountPath": "/mnt/one"},
}
"""What AWS always reports with a field."""
MODEL: Any = botocore.session.get_session().get_service_model("lambda")


def examples(shape: Any, depth: int = 0) -> list[Any]:
    """One value for each part of a field that can be configured."""
    if shape.type_name == "structure":
        parts = {name: member for name, member in shape.members.items() if name not in STATES}
        return [{name: value} for name, member in parts.items() for value in examples(member, depth + 1)]
    if shape.type_name == "list":
        return [[value] for value in examples(shape.member, depth + 1)]
    if shape.type_name == "map":
        return [{"NAME": "value"}]
    if shape.type_name == "boolean":
        return [True]
    if shape.type_name in ("integer", "long"):
        return [77]
    return [next((it for it in getattr(shape, "enum", ()) if it not in DEFAULTS), "another")]


FIELDS = MODEL.shape_for("FunctionConfiguration").members


def configured() -> list[tuple[str, Any]]:
    found = []
    for name, shape in FIELDS.items():
        if name in NOT_CONFIGURED:
            continue
        found += [
            (name, [REQUIRED[name] | value[0]] if name in REQUIRED else value) for value in examples(shape)
        ]
    return found


@pytest.mark.parametrize("name, value", configured(), ids=str)
def test_everything_that_could_be_swapped_after_approval_is_in_the_digest_and_shown(
    name: str, value: Any
) -> None:
    before = {name: [reported] for name, reported in REQUIRED.items()}
    after = before | {name: value}
    assert digest_of(before, "code") != digest_of(after, "code")
    assert differences(before, after)


def test_every_exception_names_a_lambda_field() -> None:
    assert NOT_CONFIGURED.keys() <= FIELDS.keys()
    asked = {
        name
        for operation in ("CreateFunction", "UpdateFunctionConfiguration")
        for name in MODEL.operation_model(operation).input_shape.members
    }
    assert asked & NOT_CONFIGURED.keys() == {"Description", "FunctionName", "PackageType", "RevisionId"}
