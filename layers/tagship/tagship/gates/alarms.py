"""alarms: the application's CloudWatch alarms exist; one that fires already is told, and does not stop its own fix."""

from __future__ import annotations

from tagship.aws.alarms import LOOK_AT_ALARMS, State, look
from tagship.aws.calls import REFUSED_CREDENTIALS
from tagship.aws.rights import Right
from tagship.gates.gate import Case, Gate, GateResult, failed, not_configured, passed, refused, unanswered
from tagship.model.application import Application
from tagship.model.errors import FinalError
from tagship.text.plain import line

_NAME = "alarms"


def rights(configuration: Application) -> tuple[Right, ...]:
    """What it asks of the application's role."""
    return (LOOK_AT_ALARMS,) if configuration.health.alarms else ()


def check(case: Case) -> GateResult:
    """`seen` says which fire, in what state and since when: what health is judged against.

    Raises AwsUnavailable.
    """
    if case.configuration is None:
        return unanswered(_NAME)
    names = case.configuration.health.alarms
    if not names:
        return not_configured(_NAME)
    try:
        client = case.client_as("cloudwatch", may=rights(case.configuration))
        standing = look(client, names, **REFUSED_CREDENTIALS)
    except FinalError as error:
        return refused(_NAME, error, "")
    missing = [name for name in names if name not in standing]
    if missing:
        where = f"account {case.configuration.target.account}, region {case.configuration.target.region}"
        return failed(
            _NAME,
            f"There is no alarm {line(', '.join(missing), 500)} in {where}.",
            "Make it, or take it out of the configuration; then publish a new tag.",
        )
    firing = {name: alarm for name, alarm in standing.items() if alarm.state == State.ALARM}
    silent = [name for name, alarm in standing.items() if alarm.state == State.INSUFFICIENT_DATA]
    told = [
        f"{line(name)} fires since {alarm.since:%Y-%m-%d %H:%M} UTC: {line(alarm.reason)}"
        for name, alarm in firing.items()
    ]
    if silent:
        told.append(f"{line(', '.join(silent), 500)} has no data.")
    count = f"{len(names)} alarm{'s' if len(names) > 1 else ''}"
    return passed(
        _NAME,
        f"{len(firing)} of {count} fires." if firing else f"None of {count} fires.",
        warning=" ".join(told),
        firing={
            name: {"state": alarm.state, "since": alarm.since.isoformat()} for name, alarm in firing.items()
        },
    )


def _configured(configuration: Application | None) -> bool:
    return configuration is not None and bool(configuration.health.alarms)


GATE = Gate(name=_NAME, check=check, configured=_configured, rights=rights)
