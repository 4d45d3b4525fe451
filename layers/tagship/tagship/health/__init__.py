"""Health: the kinds of check, and their combined verdict.

A new kind is one file (its fields, and the members of `given.AnyCheck`) and one entry in `Check`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from tagship.health.alarm import AlarmCheck
from tagship.health.custom import CustomCheck
from tagship.health.given import AnyCheck, Given
from tagship.health.http import HttpCheck
from tagship.health.lambda_invoke import LambdaCheck
from tagship.health.metric import MetricCheck
from tagship.health.outcomes import OutcomesCheck
from tagship.health.sequential import SequentialCheck
from tagship.health.verdict import CheckResult, Verdict, judge
from tagship.model.fields import hints_of

Check = HttpCheck | LambdaCheck | AlarmCheck | MetricCheck | SequentialCheck | OutcomesCheck | CustomCheck


def _type_of(noun: type) -> str:
    name: str = get_args(hints_of(noun)["type"])[0]
    return name


def kinds() -> Mapping[str, type[Check]]:
    """Each kind of check by its `type`."""
    return {_type_of(noun): noun for noun in get_args(Check)}


__all__ = [
    "AlarmCheck",
    "AnyCheck",
    "Check",
    "CheckResult",
    "CustomCheck",
    "Given",
    "HttpCheck",
    "LambdaCheck",
    "MetricCheck",
    "OutcomesCheck",
    "SequentialCheck",
    "Verdict",
    "judge",
    "kinds",
]
