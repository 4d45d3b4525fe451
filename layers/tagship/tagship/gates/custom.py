"""custom: the team's own function gets the release and answers passed or failed, with reasons."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

from botocore.exceptions import ClientError

from tagship.aws.clients import ASKED_ONCE
from tagship.aws.invocation import invoke
from tagship.aws.invocation import refused as not_invoked
from tagship.aws.rights import Right, invoking
from tagship.gates.gate import (
    Case,
    Gate,
    GateResult,
    Verdict,
    failed,
    not_configured,
    passed,
    refused,
    unanswered,
)
from tagship.model.application import Application
from tagship.model.errors import FinalError
from tagship.text.plain import line

_NAME = "custom"
_REMEDY = "Fix the function named in gates.custom, then retry the release."


def rights(configuration: Application) -> tuple[Right, ...]:
    """The permissions that it needs from the application's role."""
    custom = configuration.gates.custom
    return (invoking(configuration.target, custom.function, name="AskTheGate"),) if custom else ()


def check(case: Case) -> GateResult:
    """Any invalid answer is an error and stops the release.

    Raises AwsUnavailable.
    """
    if case.configuration is None or case.manifest is None:
        return unanswered(_NAME)
    if (custom := case.configuration.gates.custom) is None:
        return not_configured(_NAME)
    try:
        client = case.client_as("lambda", may=rights(case.configuration), config=ASKED_ONCE)
    except FinalError as error:
        return refused(_NAME, error)
    try:
        answer = invoke(
            client,
            {
                "FunctionName": custom.function,
                "InvocationType": "RequestResponse",
                "Payload": json.dumps(question(case)),
            },
            label=custom.function,
            about=f"about {case.application} {case.tag}",
        )
    except ClientError as error:
        return _unanswered(not_invoked(error, custom.function))
    if answer.raised:
        return _unanswered(f"{answer.raised}.")
    return _judged(custom.function, answer.document)


def question(case: Case) -> dict[str, object]:
    """The function's event."""
    return {
        "source": "tagship",
        "gate": _NAME,
        "stage": case.settings.stage,
        "application": case.application,
        "tag": case.tag,
        "manifest": asdict(case.manifest) if case.manifest else None,
        "objects": {file: asdict(pinned) for file, pinned in case.objects.items()},
        "production": case.production,
    }


def _judged(function: str, document: object) -> GateResult:
    """Only `true` passes: not 1, not "true"."""
    passes = document.get("passed") if isinstance(document, Mapping) else None
    if passes is True:
        return passed(_NAME, f"{function} passed the release.")
    if passes is False and isinstance(document, Mapping):
        reasons = document.get("reasons")
        texts = reasons if isinstance(reasons, list) else [reasons] if reasons else []
        why = line("; ".join(map(str, texts)), 500) or "no reason given"
        return failed(
            _NAME,
            f"{function} stopped the release: {why.removesuffix('.')}.",
            "Fix the problem. If the release itself changes, publish a new tag; otherwise retry it.",
        )
    return _unanswered(
        f'{function} answered neither {{"passed": true}} nor {{"passed": false, "reasons": […]}}.'
    )


def _unanswered(why: str) -> GateResult:
    return GateResult(gate=_NAME, verdict=Verdict.ERROR, why=why, remedy=_REMEDY)


def _configured(configuration: Application | None) -> bool:
    return configuration is not None and configuration.gates.custom is not None


GATE = Gate(name=_NAME, check=check, configured=_configured, rights=rights)
