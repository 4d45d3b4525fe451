"""CloudWatch alarms: one that started to fire since the deployment began is unhealthy.

An alarm that was already firing was not caused by the candidate, and the release may be the fix. It counts again once it
has cleared and fires again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import annotated_types as at

from tagship.aws.rights import Location, Right
from tagship.health.given import Given, Problems
from tagship.health.sampling import INVOCATION_SECONDS
from tagship.health.verdict import REASON, CheckResult, Verdict, unreadable
from tagship.model.fields import ALARM_NAME, CONFIG, Example, Examples
from tagship.targets.kind import Subject
from tagship.text.plain import line

if TYPE_CHECKING:
    from tagship.aws.alarms import Alarm

_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmCheck:
    """CloudWatch alarms, composite ones too: none may have begun to fire since the deployment began."""

    __pydantic_config__ = CONFIG

    LOOKS_BACK: ClassVar[int] = 180
    """An alarm over one minute changes its state two to three minutes after errors begin."""
    ASKS_CANDIDATE: ClassVar[frozenset[Verdict]] = frozenset()
    EXAMPLE: ClassVar[Example] = {"type": "alarm", "names": ["storefront-5xx"]}
    EXAMPLES: ClassVar[Examples] = {"noData": ["healthy"]}

    type: Literal["alarm"]
    """The kind of check."""
    names: Annotated[tuple[Annotated[str, ALARM_NAME], ...], at.MinLen(1), at.MaxLen(100)]
    """The alarms, in the target's account and region."""
    noData: Literal["inconclusive", "healthy"] = "inconclusive"
    """What an alarm in INSUFFICIENT_DATA counts as. `healthy` is your consent that such an alarm shows nothing."""

    @property
    def seconds(self) -> int:
        """One request."""
        return INVOCATION_SECONDS

    def label(self, _application: str) -> str:
        """`alarm storefront-5xx and 2 more`."""
        others = f" and {len(self.names) - 1} more" if len(self.names) > 1 else ""
        return f"alarm {self.names[0]}{others}"

    def problems(self) -> Problems:
        """None: the gate checks whether the alarms exist."""
        return ()

    def lacks(self, _offers: Subject) -> Problems:
        """Nothing: an alarm is found by its name."""
        return ()

    def rights(self, _target: Location, _offers: Subject) -> tuple[Right, ...]:
        """To read alarms."""
        from tagship.aws.alarms import LOOK_AT_ALARMS

        return (LOOK_AT_ALARMS,)

    def run(self, given: Given) -> CheckResult:
        """Runs the check with the data of a release."""
        from botocore.exceptions import ClientError

        from tagship.aws.alarms import LOOK_AT_ALARMS, look

        try:
            standing = look(given.client("cloudwatch"), self.names)
        except ClientError as error:
            return unreadable(given.name, "The alarms", error, action=LOOK_AT_ALARMS.actions[0])
        return judge(
            self.names,
            standing,
            began=given.began,
            check=given.name,
            accepts_silence=self.noData == "healthy",
        )


def judge(
    names: Sequence[str],
    standing: Mapping[str, Alarm],
    *,
    began: datetime | None,
    check: str,
    accepts_silence: bool = False,
) -> CheckResult:
    """The combined verdict: newly firing is unhealthy, missing is error, no data is inconclusive, otherwise healthy.

    `accepts_silence`: the application accepts alarms without data, so these are ignored.
    """
    fires: list[str] = []
    before: list[str] = []
    silent: list[str] = []
    missing: list[str] = []
    for name in names:
        alarm = standing.get(name)
        if alarm is None:
            missing.append(name)
        elif alarm.state == "ALARM":
            (before if began and alarm.since < began else fires).append(name)
        elif alarm.state != "OK":
            silent.append(name)
    accepted = _accepted(silent, standing) if accepts_silence else []
    counted = Counter(alarm.state for alarm in standing.values())
    numbers: dict[str, float | int | str] = {
        "alarms": len(names),
        "ok": counted["OK"],
        "firing": len(fires),
        "firingBefore": len(before),
        "withoutData": len(silent),
        "missing": len(missing),
    }
    verdict, why = Verdict.HEALTHY, f"{counted['OK']} of {len(names)} alarms are OK"
    if before:
        why += f"; {_listed(before)} fired before the deployment began and did not get worse"
    if accepted:
        why += f"; {_listed(accepted)} has no data, which the configuration accepts"
    if unclear := [name for name in silent if name not in accepted]:
        verdict, why = Verdict.INCONCLUSIVE, f"{_listed(unclear)} has no data"
    if missing:
        verdict, why = Verdict.ERROR, f"{_listed(missing)} does not exist in the target's account and region"
    if fires:
        reasons = "; ".join(
            line(
                f"{name} has been firing since {standing[name].since:%H:%M:%S} UTC: {standing[name].reason}",
                REASON,
            )
            for name in fires[:_NAMED]
        )
        others = f"; and {len(fires) - _NAMED} more" if len(fires) > _NAMED else ""
        verdict, why = Verdict.UNHEALTHY, f"{reasons}{others}"
    return CheckResult(check=check, verdict=verdict, why=f"{why.rstrip('.')}.", numbers=numbers)


def _accepted(silent: Sequence[str], standing: Mapping[str, Alarm]) -> list[str]:
    """Alarms without data, not those in an unknown state."""
    return [name for name in silent if standing[name].state == "INSUFFICIENT_DATA"]


def _listed(names: Sequence[str]) -> str:
    others = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return line(", ".join(names[:_NAMED]), REASON) + others
