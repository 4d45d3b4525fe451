"""What is asked of an application's role, and who may assume it.

Targets, gates and checks say what they call. From that come each session's policy and the role that `tagship role` prints.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from botocore.config import Config

SESSION_POLICY_CHARACTERS = 2048
"""What STS takes (AssumeRole, `Policy`)."""
PASSED_TO = "iam:PassedToService"
"""The condition on passing a role."""
_VERSION = "2012-10-17"


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """Some actions on some resources, and what they are for, as a statement's Sid."""

    name: str
    actions: tuple[str, ...]
    on: tuple[str, ...]
    passed_to: str = ""
    """The one service that a role may be passed to; of `iam:PassRole` alone."""

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
    """Makes a client in one region, with rights that are settled already."""

    def __call__(self, service: str, *, config: Config | None = None) -> Any:
        """`config` where a call may take longer, or less, than usual. Raises CredentialsRefused."""


class ClientAs(Protocol):
    """Makes a client in the application's role that may do this and nothing else; the role is assumed when it is called."""

    def __call__(self, service: str, *, may: Sequence[Right], config: Config | None = None) -> Any:
        """Raises CredentialsRefused where the role can't be assumed."""


class Location(Protocol):
    """What sessions, rights and checks need to know of where a target is."""

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
        """What the role's trust policy asks for."""


def partition_of(target: Location) -> str:
    """`aws`, `aws-cn` …, as the role's ARN says."""
    return target.role.split(":")[1]


def function_arn(target: Location, function: str) -> str:
    """Of a function beside the target: in its account and region."""
    return f"arn:{partition_of(target)}:lambda:{target.region}:{target.account}:function:{function}"


def invoking(target: Location, function: str, *, name: str) -> Right:
    """To invoke a function beside the target, in whichever version."""
    arn = function_arn(target, function)
    return Right(name=name, actions=("lambda:InvokeFunction",), on=(arn, f"{arn}:*"))


def policy(rights: Iterable[Right]) -> dict[str, Any]:
    """A role's policy: rights of one name are one statement, in the order in which they were said."""
    joined: dict[str, Right] = {}
    for right in rights:
        known = joined.get(right.name, right)
        if known.actions != right.actions:
            raise ValueError(f"Two different rights are called {right.name}.")
        on = tuple(dict.fromkeys((*known.on, *right.on)))
        joined[right.name] = replace(right, on=on)
    return {"Version": _VERSION, "Statement": [right.statement() for right in joined.values()]}


def session_policy(rights: Sequence[Right]) -> str:
    """The policy of one session, as short as it can be written.

    Raises ValueError where there is nothing to allow, or more than STS takes.
    """
    if not rights:
        raise ValueError("A session without any right is of no use.")
    statements = [
        {name: value for name, value in right.statement().items() if name != "Sid"}
        for right in dict.fromkeys(rights)
    ]
    text = json.dumps({"Version": _VERSION, "Statement": statements}, separators=(",", ":"))
    if len(text) > SESSION_POLICY_CHARACTERS:
        raise ValueError(
            f"A session's policy has {len(text)} characters; STS takes {SESSION_POLICY_CHARACTERS}."
        )
    return text


def trust_policy(*, function_roles: str, external_id: str, application: str) -> dict[str, Any]:
    """Who may assume an application's role: one stack's functions, with its external id, for this application.

    `function_roles` is the ARN of the functions' roles, with `*` for what CloudFormation makes up. Whoever can write the
    configuration of another application can name this role there; the tag of the session keeps it out.
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
            # Not under the external id's condition: sts:TagSession does not know it.
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
