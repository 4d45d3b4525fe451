"""The permissions that an application's role needs, and who may assume it.

Targets, gates and checks declare their calls. Each session's policy and the role that `tagship role` prints are built
from these.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from botocore.config import Config

SESSION_POLICY_CHARACTERS = 2048
"""The limit of STS (AssumeRole, `Policy`)."""
PASSED_TO = "iam:PassedToService"
"""The condition on passing a role."""
_VERSION = "2012-10-17"


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """Some actions on some resources, with their purpose as the statement's Sid."""

    name: str
    actions: tuple[str, ...]
    on: tuple[str, ...]
    passed_to: str = ""
    """The one service that a role may be passed to; only for `iam:PassRole`."""

    def statement(self) -> dict[str, Any]:
        """As a policy writes it."""
        allowed: dict[str, Any] = {
            "Sid": self.name,
            "Effect": "Allow",
            "Action": list(self.actions),
            "Resource": list(self.on),
        }
        if self.passed_to:
            allowed["Condition"] = {"StringEquals": {PASSED_TO: self.passed_to}}
        return allowed


class Client(Protocol):
    """Creates a client in one region, with fixed permissions."""

    def __call__(self, service: str, *, config: Config | None = None, on: Sequence[str] = ()) -> Any:
        """`config` changes the usual time-outs of a call; `on` are the only resources, of those permitted, that it may use.

        Raises CredentialsRefused.
        """


class ClientAs(Protocol):
    """Creates a client with the application's role that can do only this; the role is assumed on this call."""

    def __call__(self, service: str, *, may: Sequence[Right], config: Config | None = None) -> Any:
        """Raises CredentialsRefused if the role cannot be assumed."""


class Location(Protocol):
    """What sessions, permissions and checks need to know about a target's location."""

    @property
    def account(self) -> str:
        """The AWS account."""

    @property
    def region(self) -> str:
        """The AWS region."""

    @property
    def role(self) -> str:
        """The role that Tagship assumes there."""

    @property
    def externalId(self) -> str:  # noqa: N802 (the document's own name)
        """The external id that the role's trust policy requires."""


def partition_of(target: Location) -> str:
    """`aws`, `aws-cn` …, as the role's ARN says."""
    return target.role.split(":")[1]


def account_of(role: str) -> str:
    """The account of a role, as its ARN says."""
    return role.split(":")[4]


def function_arn(target: Location, function: str) -> str:
    """The ARN of a function in the target's account and region."""
    return f"arn:{partition_of(target)}:lambda:{target.region}:{target.account}:function:{function}"


def invoking(target: Location, function: str, *, name: str, named: bool = False) -> Right:
    """To invoke a function in the target's account and region, in any version; `named`: only with a version's name."""
    arn = function_arn(target, function)
    return Right(
        name=name, actions=("lambda:InvokeFunction",), on=(f"{arn}:*",) if named else (arn, f"{arn}:*")
    )


def policy(rights: Iterable[Right]) -> dict[str, Any]:
    """A role's policy: permissions of one name form one statement, in their original order."""
    joined: dict[str, Right] = {}
    for right in rights:
        known = joined.get(right.name, right)
        if known.actions != right.actions:
            raise ValueError(f"Two different rights are called {right.name}.")
        on = tuple(dict.fromkeys((*known.on, *right.on)))
        joined[right.name] = replace(right, on=on)
    return {"Version": _VERSION, "Statement": [right.statement() for right in joined.values()]}


def narrowed(rights: Iterable[Right], on: Sequence[str]) -> tuple[Right, ...]:
    """The same permissions on only these resources. One that is about none of them stays as it is."""
    return tuple(
        replace(right, on=kept) if (kept := tuple(each for each in right.on if each in on)) else right
        for right in rights
    )


def session_policy(rights: Sequence[Right]) -> str:
    """The policy of one session, in the shortest form: permissions on the same resources form one statement.

    Raises ValueError if there is nothing to allow, or more than STS accepts.
    """
    if not rights:
        raise ValueError("A session without any right is of no use.")
    joined: dict[tuple[tuple[str, ...], str], Right] = {}
    for right in rights:
        known = joined.setdefault((right.on, right.passed_to), right)
        actions = tuple(dict.fromkeys((*known.actions, *right.actions)))
        joined[right.on, right.passed_to] = replace(known, actions=actions)
    statements = [
        {name: value for name, value in right.statement().items() if name != "Sid"}
        for right in joined.values()
    ]
    text = json.dumps({"Version": _VERSION, "Statement": statements}, separators=(",", ":"))
    if len(text) > SESSION_POLICY_CHARACTERS:
        raise ValueError(
            f"A session's policy has {len(text)} characters; STS takes {SESSION_POLICY_CHARACTERS}."
        )
    return text


def trust_policy(*, function_roles: str, external_id: str, application: str) -> dict[str, Any]:
    """The trust policy of an application's role: one stack's functions, with its external id, for this application.

    `function_roles` is the ARN of the functions' roles, with `*` for the part that CloudFormation generates. Anyone who
    can write another application's configuration can name this role there; the session's tag prevents that.
    """
    partition, account = function_roles.split(":")[1], function_roles.split(":")[4]
    principal = {"AWS": f"arn:{partition}:iam::{account}:root"}
    functions = {"aws:PrincipalArn": function_roles}
    return {
        "Version": _VERSION,
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": principal,
                "Action": "sts:AssumeRole",
                "Condition": {
                    "StringEquals": {
                        "sts:ExternalId": external_id,
                        "aws:RequestTag/Application": application,
                    },
                    "ArnLike": functions,
                },
            },
            # Not under the external id's condition, because sts:TagSession does not support it.
            {
                "Effect": "Allow",
                "Principal": principal,
                "Action": "sts:TagSession",
                "Condition": {"ArnLike": functions},
            },
        ],
    }


def as_text(document: Mapping[str, Any]) -> str:
    """A policy in one line, for a message."""
    return json.dumps(document, separators=(",", ":"))
