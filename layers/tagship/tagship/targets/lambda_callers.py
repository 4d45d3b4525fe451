"""The callers of a function, or of a version or alias of it: triggers, function URL, and permissions in its policy.

A caller that is configured in another service (a rule or schedule of EventBridge, an API's integration) is visible only
through its permission. A caller that uses a role needs no permission here and is not found.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from tagship.aws.calls import REFUSED_CREDENTIALS, calling, code_of
from tagship.text.plain import line

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import ListEventSourceMappingsRequestTypeDef

_NONE = "ResourceNotFoundException"
_CHARACTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """One caller."""

    said: str
    """The caller in words."""
    move: str
    """The command that makes it call an alias, with placeholders `{function}`, `{alias}` and `{region}`."""

    def moved_to(self, function: str, alias: str, region: str) -> str:
        """The command that moves it to an alias."""
        return self.move.format(function=function, alias=alias, region=region)


def callers(client: LambdaClient, *, arn: str, qualifier: str = "") -> list[Caller]:
    """Without a qualifier, the callers of the unqualified function, which bypass every alias.

    Raises CredentialsRefused, AwsUnavailable.
    """
    with calling(f"Looking at who calls {arn}{f':{qualifier}' if qualifier else ''}", **REFUSED_CREDENTIALS):
        found = [
            *_permitted(client, arn, qualifier),
            *_triggers(client, arn, qualifier),
            *_address(client, arn, qualifier),
        ]
    return list({each.said: each for each in found}.values())


def _permitted(client: LambdaClient, arn: str, qualifier: str) -> Iterator[Caller]:
    """An alias has its own policy; each statement names its resource."""
    about, wanted = ({"Qualifier": qualifier}, f"{arn}:{qualifier}") if qualifier else ({}, arn)
    try:
        policy = json.loads(client.get_policy(FunctionName=arn.rpartition(":")[2], **about)["Policy"])
    except ClientError as error:
        if code_of(error) != _NONE:
            raise
        return
    for statement in policy.get("Statement", ()):
        if statement.get("Effect") == "Allow" and statement.get("Resource", wanted) == wanted:
            principal = statement.get("Principal")
            who = (
                " and ".join(map(str, principal.values())) if isinstance(principal, dict) else str(principal)
            )
            on = f" --qualifier {qualifier}" if qualifier else ""
            yield _caller(
                f"a permission for {who}",
                "allow it on the alias (aws lambda add-permission … --qualifier {alias}), let it call "
                f"{{function}}:{{alias}}, then aws lambda remove-permission --function-name {{function}}{on} --statement-id "
                f"{_literal(statement.get('Sid') or '<Sid>')} --region {{region}}",
            )


def _triggers(client: LambdaClient, arn: str, qualifier: str) -> Iterator[Caller]:
    wanted = (f"{arn}:{qualifier}",) if qualifier else (arn, f"{arn}:$LATEST")
    request: ListEventSourceMappingsRequestTypeDef = {"FunctionName": wanted[0].split(":function:", 1)[1]}
    while True:
        page = client.list_event_source_mappings(**request)
        for mapping in page.get("EventSourceMappings", ()):
            if mapping.get("FunctionArn") in wanted:
                yield _caller(
                    f"a trigger from {mapping.get('EventSourceArn') or 'a self-managed source'}",
                    f"aws lambda update-event-source-mapping --uuid {_literal(mapping.get('UUID') or '<UUID>')} "
                    "--function-name {function}:{alias} --region {region}",
                )
        if not page.get("NextMarker"):
            return
        request["Marker"] = page["NextMarker"]


def _address(client: LambdaClient, arn: str, qualifier: str) -> Iterator[Caller]:
    """A version has no URL. A public URL appears in the policy too."""
    if qualifier.isdecimal():
        return
    about = {"Qualifier": qualifier} if qualifier else {}
    try:
        found = client.get_function_url_config(FunctionName=arn.rpartition(":")[2], **about)
    except ClientError as error:
        if code_of(error) != _NONE:
            raise
        return
    yield _caller(
        f"the function URL {found.get('FunctionUrl', '')}",
        "aws lambda create-function-url-config --function-name {function} --qualifier {alias} --auth-type "
        f"{_literal(found.get('AuthType', ''))} --region {{region}}, give callers the new address, then delete the "
        "old one",
    )


def _caller(said: str, move: str) -> Caller:
    return Caller(said=line(said, _CHARACTERS), move=move)


def _literal(text: Any) -> str:
    """Text from elsewhere, quoted for a command."""
    return line(str(text), _CHARACTERS).replace("{", "{{").replace("}", "}}")
