"""The team's own function, for what no general check can test; it answers with its own verdict."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from tagship.aws.rights import Location, Right, invoking
from tagship.health.given import Given, Problems
from tagship.health.sampling import INVOCATION_SECONDS
from tagship.health.verdict import REASON, SAYS_SO, CheckResult, Verdict
from tagship.model.fields import CONFIG, FUNCTION_NAME, Example, Examples
from tagship.targets.kind import Subject
from tagship.text.plain import line

_ANSWERS = {verdict.value: verdict for verdict in Verdict if verdict is not Verdict.ERROR}
_NUMBERS = 20
_LARGEST = 1e30
"""The ledger keeps at most 38 digits of a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomCheck:
    """Calls the team's own function with the release, the candidate and the baseline."""

    __pydantic_config__ = CONFIG

    LOOKS_BACK: ClassVar[int] = 0
    ASKS_CANDIDATE: ClassVar[frozenset[Verdict]] = frozenset({Verdict.HEALTHY, Verdict.INCONCLUSIVE})
    EXAMPLE: ClassVar[Example] = {"type": "custom", "function": "storefront-verdict"}
    EXAMPLES: ClassVar[Examples] = {}

    type: Literal["custom"]
    """The kind of check."""
    function: Annotated[str, FUNCTION_NAME]
    """The function; it answers `{"verdict": "healthy"}`, or `unhealthy` or `inconclusive` with `reasons`, and `numbers`."""

    @property
    def seconds(self) -> int:
        """One invocation."""
        return INVOCATION_SECONDS

    def label(self, _application: str) -> str:
        """`custom storefront-verdict`."""
        return f"custom {self.function}"

    def problems(self) -> Problems:
        """None."""
        return ()

    def lacks(self, _offers: Subject) -> Problems:
        """Nothing: the function is the team's own."""
        return ()

    def rights(self, target: Location, _offers: Subject) -> tuple[Right, ...]:
        """To invoke the team's function."""
        return (invoking(target, self.function, name="AskForHealth"),)

    def run(self, given: Given) -> CheckResult:
        """Calls it once. An answer without a verdict is an error of the check itself.

        Raises AwsUnavailable if Lambda throttled, failed or could not be reached.
        """
        from botocore.exceptions import ClientError

        from tagship.aws.invocation import invoke, refused

        label = self.function
        try:
            answer = invoke(
                given.client("lambda"),
                {
                    "FunctionName": label,
                    "InvocationType": "RequestResponse",
                    "Payload": json.dumps(question(given)),
                },
                label=label,
                about=f"to check the health of {given.application} {given.tag}",
            )
        except ClientError as error:
            return CheckResult(check=given.name, verdict=Verdict.ERROR, why=refused(error, label))
        if answer.raised:
            return CheckResult(check=given.name, verdict=Verdict.ERROR, why=f"{answer.raised}.")
        return read(answer.document, check=given.name)


def question(given: Given) -> dict[str, Any]:
    """The function's event."""
    return {
        "source": "tagship",
        "check": "custom",
        "application": given.application,
        "tag": given.tag,
        "subject": given.subject,
        "percent": given.percent,
        **given.offers.described,
        "candidate": dict(given.candidate),
        "baseline": dict(given.baseline) if given.baseline else None,
        "since": given.began.isoformat() if given.began else None,
    }


def read(document: object, *, check: str) -> CheckResult:
    """The verdict in an answer, with its reasons as text and its numbers within limits."""
    answer = document.get("verdict") if isinstance(document, Mapping) else None
    verdict = _ANSWERS.get(answer) if isinstance(answer, str) else None
    if verdict is None or not isinstance(document, Mapping):
        why = f'The answer is not {{"verdict": …}} with one of {", ".join(_ANSWERS)}.'
        return CheckResult(check=check, verdict=Verdict.ERROR, why=why)
    reasons = document.get("reasons")
    texts = reasons if isinstance(reasons, list) else [reasons] if reasons else []
    why = line("; ".join(map(str, texts)), REASON) or "no reason given"
    return CheckResult(
        check=check,
        verdict=verdict,
        why=f"The function reports: {why.rstrip('.')}.",
        numbers=_numbers(document.get("numbers")) | ({SAYS_SO: 1} if verdict is Verdict.UNHEALTHY else {}),
    )


def _numbers(given: object) -> dict[str, float | int | str]:
    if not isinstance(given, Mapping):
        return {}
    kept: dict[str, float | int | str] = {}
    for name, value in list(given.items())[:_NUMBERS]:
        if key := line(name, 40):
            kept[key] = _number(value)
    return kept


def _number(value: object) -> float | int | str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return line(value, 80)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if abs(value) > _LARGEST:
        return "too large"
    return value if isinstance(value, int) else float(f"{value:.12g}") if abs(value) > 1 / _LARGEST else 0
