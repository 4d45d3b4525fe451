"""Starts a rollback from outside a release's own flow, once for each reason."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from tagship.aws.calls import calling, code_of
from tagship.ledger.table import Item

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

_LONGEST = 80
"""The limit of Step Functions for an execution's name."""


def named(*parts: str) -> str:
    """An execution's name that is the same for the same parts, and readable if there is room."""
    name = "-".join(parts)
    if len(name) <= _LONGEST:
        return name
    return f"{name[: _LONGEST - 13]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def supervised(execution: str) -> str:
    """The name of the rollback of a release whose execution has ended: whichever caller comes first starts it, once."""
    return named("supervised", execution.rsplit(":", 1)[-1])


def roll_back(
    stepfunctions: SFNClient,
    machine: str,
    record: Item,
    *,
    name: str,
    trigger: str,
    why: str,
    by: str,
    **more: object,
) -> bool:
    """Whether this call started it: the name makes it unique, and a second start returns the first one.

    Raises AwsUnavailable.
    """
    order = {
        "application": record["application"],
        "tag": record["tag"],
        "attempt": record["attempt"],
        "trigger": trigger,
        "why": why,
        "by": by,
        **more,
    }
    return start(stepfunctions, machine, order, name=name)


def start(stepfunctions: SFNClient, machine: str, order: Mapping[str, object], *, name: str) -> bool:
    """Whether this call started it.

    Raises AwsUnavailable.
    """
    try:
        with calling(f"Starting {name}"):
            stepfunctions.start_execution(stateMachineArn=machine, name=name, input=json.dumps(order))
    except ClientError as error:
        if code_of(error) != "ExecutionAlreadyExists":
            raise
        return False
    return True
