"""The callers of a function, or of a version or alias of it: triggers, function URL, and permissions in its policy.

A caller that is configured in another service (a rule or schedule of EventBridge, an API's integration) is visible only
through its permission. A caller that uses a role needs no permission here and is not found.

Callers are named, never moved: docs/decisions/0013-event-sources.md has the reasons.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from tagship.aws.calls import REFUSED_CREDENTIALS, calling, code_of
from tagship.text.plain import line
from tagship.text.words import listed

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import (
        EventSourceMappingConfigurationTypeDef,
        ListEventSourceMappingsRequestTypeDef,
    )

_NONE = "ResourceNotFoundException"
_AT_ONCE = 4
"""Requests that are made at the same time; a client has 10 connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """One caller."""

    said: str
    """The caller in words. Two permissions of one service have the same."""
    move: str
    """The command that makes it call an alias, with placeholders `{function}`, `{alias}` and `{region}`."""

    def moved_to(self, function: str, alias: str, region: str) -> str:
        """The command that moves it to an alias."""
        return self.move.format(function=function, alias=alias, region=region)


def callers(client: LambdaClient, *, arn: str, qualifier: str, about: str) -> list[Caller]:
    """The callers of one version or alias. `about` is the release or the application, for messages.

    Raises CredentialsRefused, AwsUnavailable.
    """
    called = f"{arn}:{qualifier}"
    with calling(f"{about}: looking at who calls {called}", **REFUSED_CREDENTIALS):
        found = [
            *_permitted(client, arn, qualifier),
            *_triggers(_mappings(client, {"FunctionName": f"{_name(arn)}:{qualifier}"}), called),
            *_address(client, arn, qualifier),
        ]
    return list(dict.fromkeys(found))


def callers_past_aliases(
    client: LambdaClient, *, arn: str, current: str | None = None, about: str
) -> tuple[list[Caller], list[Caller]]:
    """The callers of the unqualified function; and those of the current version, and the triggers on any other version.

    All requests are made at the same time. `about` is the release, for messages.

    Raises CredentialsRefused, AwsUnavailable.
    """
    with (
        calling(f"{about}: looking at who calls {arn}", **REFUSED_CREDENTIALS),
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):
        permitted = pool.submit(list, _permitted(client, arn, ""))
        of_current = pool.submit(list, _permitted(client, arn, current) if current else iter(()))
        # AWS does not say whether a list by the function's name has those of its versions. So all of the region are read.
        mappings = pool.submit(list, _mappings(client, {}))
        address = pool.submit(list, _address(client, arn, ""))
        itself = [
            *permitted.result(),
            *_triggers(mappings.result(), arn, f"{arn}:$LATEST"),
            *address.result(),
        ]
        versions = [replace(each, said=f"{each.said} on version {current}") for each in of_current.result()]
        for mapping in mappings.result():
            version = mapping["FunctionArn"].removeprefix(f"{arn}:")
            if version.isdecimal():
                versions.append(_trigger(mapping, f" on version {version}"))
    return list(dict.fromkeys(itself)), list(dict.fromkeys(versions))


def in_words(found: Iterable[Caller]) -> str:
    """The callers in one part of a sentence; each text once, because one service may have several permissions."""
    return listed(dict.fromkeys(each.said for each in found))


def _permitted(client: LambdaClient, arn: str, qualifier: str) -> Iterator[Caller]:
    """An alias has its own policy; each statement names its resource."""
    try:
        policy = json.loads(client.get_policy(**_request(arn, qualifier))["Policy"])
    except ClientError as error:
        if code_of(error) != _NONE:
            raise
        return
    for statement in _listed(policy.get("Statement")):
        if statement.get("Effect") == "Allow" and _is_on(statement.get("Resource"), _called(arn, qualifier)):
            who = _who(statement.get("Principal"))
            on = f" --qualifier {qualifier}" if qualifier else ""
            yield _caller(
                f"a permission for {who}",
                "allow it on the alias (aws lambda add-permission … --qualifier {alias}), let it call "
                f"{{function}}:{{alias}}, then aws lambda remove-permission --function-name {{function}}{on} --statement-id "
                f"{_literal(statement.get('Sid') or '…')} --region {{region}}",
            )


def _is_on(resource: object, called: str) -> bool:
    """A policy that somebody wrote by hand may have a list here, or a pattern."""
    return any(isinstance(each, str) and fnmatchcase(called, each) for each in _listed(resource))


def _who(principal: object) -> str:
    named = principal.values() if isinstance(principal, dict) else [principal or "everyone but some"]
    return " and ".join(str(each) for value in named for each in _listed(value))


def _listed(value: Any) -> list[Any]:
    """IAM accepts one thing for a list of one."""
    return value if isinstance(value, list) else [value] if value else []


def _triggers(mappings: Iterable[EventSourceMappingConfigurationTypeDef], *called: str) -> Iterator[Caller]:
    return (_trigger(mapping) for mapping in mappings if mapping["FunctionArn"] in called)


def _mappings(
    client: LambdaClient, about: ListEventSourceMappingsRequestTypeDef
) -> Iterator[EventSourceMappingConfigurationTypeDef]:
    request: ListEventSourceMappingsRequestTypeDef = {**about}
    while True:
        page = client.list_event_source_mappings(**request)
        yield from page["EventSourceMappings"]
        if not page.get("NextMarker"):
            return
        request["Marker"] = page["NextMarker"]


def _trigger(mapping: EventSourceMappingConfigurationTypeDef, on: str = "") -> Caller:
    return _caller(
        f"a trigger from {mapping.get('EventSourceArn') or 'a self-managed source'}{on}",
        f"aws lambda update-event-source-mapping --uuid {_literal(mapping['UUID'])} "
        "--function-name {function}:{alias} --region {region}",
    )


def _address(client: LambdaClient, arn: str, qualifier: str) -> Iterator[Caller]:
    """A version has no URL. A public URL appears in the policy too."""
    if qualifier.isdecimal():
        return
    try:
        found = client.get_function_url_config(**_request(arn, qualifier))
    except ClientError as error:
        if code_of(error) != _NONE:
            raise
        return
    yield _caller(
        f"the function URL {found['FunctionUrl']}",
        "aws lambda create-function-url-config --function-name {function} --qualifier {alias} --auth-type "
        f"{_literal(found['AuthType'])} --region {{region}}, give callers the new address, then delete the old one",
    )


def _name(arn: str) -> str:
    return arn.rpartition(":")[2]


def _called(function: str, qualifier: str) -> str:
    return f"{function}:{qualifier}" if qualifier else function


def _request(arn: str, qualifier: str) -> dict[str, str]:
    function = {"FunctionName": _name(arn)}
    return {**function, "Qualifier": qualifier} if qualifier else function


def _caller(said: str, move: str) -> Caller:
    return Caller(said=line(said), move=move)


def _literal(text: str) -> str:
    """Text from elsewhere as a part of a command, whose braces are not placeholders."""
    return line(text).replace("{", "{{").replace("}", "}}")
