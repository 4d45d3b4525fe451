"""CloudWatch alarms: one that has begun to fire since the deployment began is unhealthy.

An alarm that was firing already is not the candidate's doing, and the release may be what ends it. It counts again from the
moment at which it has cleared and fires anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from botocore.exceptions import ClientError

from tagship.aws.alarms import LOOK_AT_ALARMS, Alarm, State, look
from tagship.aws.calls import code_of, message_of
from tagship.aws.rights import Right
from tagship.health import Given
from tagship.health.verdict import CheckResult, Verdict, shown
from tagship.model.application import AlarmCheck, LambdaTarget

_NAMED = 5


def run(configured: AlarmCheck, given: Given) -> CheckResult:
    """The check with what a release gives it.

    Raises AwsUnavailable when CloudWatch throttled, failed or could not be reached.
    """
    try:
        standing = look(given.client("cloudwatch"), configured.names)
    except ClientError as error:
        why = (
            f"The alarms can't be looked at ({code_of(error)}): {shown(message_of(error), characters=300)}. "
            "The application's role must be allowed cloudwatch:DescribeAlarms."
        )
        return CheckResult(check=given.name, verdict=Verdict.ERROR, why=why)
    return judge(configured.names, standing, began=given.began, check=given.name)


def rights(_configured: AlarmCheck, _target: LambdaTarget) -> tuple[Right, ...]:
    """To look at alarms."""
    return (LOOK_AT_ALARMS,)


def judge(
    names: Sequence[str], standing: Mapping[str, Alarm], *, began: datetime | None, check: str
) -> CheckResult:
    """What the alarms say together: fires anew, unhealthy; is missing, error; has no data, inconclusive; else healthy."""
    fires: list[str] = []
    before: list[str] = []
    silent: list[str] = []
    missing: list[str] = []
    for name in names:
        alarm = standing.get(name)
        if alarm is None:
            missing.append(name)
        elif alarm.state == State.ALARM:
            (before if began and alarm.since < began else fires).append(name)
        elif alarm.state != State.OK:
            silent.append(name)
    counted = Counter(alarm.state for alarm in standing.values())
    numbers: dict[str, float | int | str] = {
        "alarms": len(names),
        "ok": counted[State.OK],
        "firing": len(fires),
        "firingBefore": len(before),
        "withoutData": len(silent),
        "missing": len(missing),
    }
    verdict, why = Verdict.HEALTHY, f"{counted[State.OK]} of {len(names)} alarms are OK"
    if before:
        why += f"; {_listed(before)} fired before the deployment began and did not get worse"
    if silent:
        verdict, why = Verdict.INCONCLUSIVE, f"{_listed(silent)} has no data"
    if missing:
        verdict, why = Verdict.ERROR, f"{_listed(missing)} does not exist in the target's account and region"
    if fires:
        reasons = "; ".join(
            shown(f"{name} fires since {standing[name].since:%H:%M:%S} UTC: {standing[name].reason}")
            for name in fires[:_NAMED]
        )
        others = f"; and {len(fires) - _NAMED} more" if len(fires) > _NAMED else ""
        verdict, why = Verdict.UNHEALTHY, f"{reasons}{others}"
    return CheckResult(check=check, verdict=verdict, why=f"{why.rstrip('.')}.", numbers=numbers)


def _listed(names: Sequence[str]) -> str:
    others = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return shown(", ".join(names[:_NAMED])) + others
