"""Who calls a function, or an alias of it: its triggers, and whom its policy lets in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from tagship.aws.calls import REFUSED_CREDENTIALS, calling, code_of
from tagship.text.plain import line

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import ListEventSourceMappingsRequestTypeDef


def callers(client: LambdaClient, *, arn: str, qualifier: str = "") -> list[str]:
    """In words; without a qualifier those of the unqualified function, who pass every alias by.

    Raises CredentialsRefused, AwsUnavailable.
    """
    with calling(f"Looking at who calls {arn}{f':{qualifier}' if qualifier else ''}", **REFUSED_CREDENTIALS):
        found = [f"a permission for {who}" for who in _permitted(client, arn, qualifier)]
        found += [f"a trigger from {source}" for source in _triggers(client, arn, qualifier)]
    return list(dict.fromkeys(line(each, 200) for each in found))


def _permitted(client: LambdaClient, arn: str, qualifier: str) -> Iterator[str]:
    """An alias has a policy of its own; each statement says what it is about."""
    about, wanted = ({"Qualifier": qualifier}, f"{arn}:{qualifier}") if qualifier else ({}, arn)
    try:
        policy = json.loads(client.get_policy(FunctionName=arn.rpartition(":")[2], **about)["Policy"])
    except ClientError as error:
        if code_of(error) != "ResourceNotFoundException":
            raise
        return
    for statement in policy.get("Statement", ()):
        if statement.get("Effect") == "Allow" and statement.get("Resource", wanted) == wanted:
            principal = statement.get("Principal")
            yield (
                " and ".join(map(str, principal.values())) if isinstance(principal, dict) else str(principal)
            )


def _triggers(client: LambdaClient, arn: str, qualifier: str) -> Iterator[str]:
    wanted = f"{arn}:{qualifier}" if qualifier else arn
    name = wanted.split(":function:", 1)[1]
    request: ListEventSourceMappingsRequestTypeDef = {"FunctionName": name}
    while True:
        page = client.list_event_source_mappings(**request)
        for mapping in page.get("EventSourceMappings", ()):
            if mapping.get("FunctionArn") == wanted:
                yield str(mapping.get("EventSourceArn") or "a source of its own")
        if not page.get("NextMarker"):
            return
        request["Marker"] = page["NextMarker"]
