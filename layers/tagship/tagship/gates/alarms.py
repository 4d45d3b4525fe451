"""alarms: the application's CloudWatch alarms exist; one that already fires is reported, and does not block the fix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tagship.aws.alarms import LOOK_AT_ALARMS, Alarm, State, look
from tagship.aws.calls import REFUSED_CREDENTIALS
from tagship.aws.rights import Right
from tagship.gates.gate import Case, Gate, GateResult, failed, not_configured, passed, refused, unanswered
from tagship.model.application import Application
from tagship.model.errors import FinalError
from tagship.model.rollout import time_to_see, traffic_steps
from tagship.targets import kind_of
from tagship.text.plain import line

_NAME = "alarms"


def rights(configuration: Application) -> tuple[Right, ...]:  # noqa: ARG001 (as for every gate)
    """The permissions that it needs from the application's role."""
    return (LOOK_AT_ALARMS,)


def check(case: Case) -> GateResult:
    """`seen` records which alarms fire, in what state and since when: health checks compare with it.

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
        return refused(_NAME, error)
    missing = [name for name in names if name not in standing]
    if missing:
        where = f"account {case.configuration.target.account}, region {case.configuration.target.region}"
        return failed(
            _NAME,
            f"No alarm named {line(', '.join(missing), 500)} exists in {where}.",
            "Create it or remove it from the configuration, then retry the release.",
        )
    firing = {name: alarm for name, alarm in standing.items() if alarm.state == State.ALARM}
    warnings = [
        f"{line(name)} has been firing since {alarm.since:%Y-%m-%d %H:%M} UTC: {_sentence(alarm.reason)}"
        for name, alarm in firing.items()
    ]
    warnings += _silent(case.configuration, standing)
    warnings += _too_slow(case, case.configuration, standing)
    count = f"{len(names)} alarm{'s' if len(names) > 1 else ''}"
    return passed(
        _NAME,
        f"{len(firing)} of {count} firing." if firing else f"No alarm is firing ({count} checked).",
        warning=" ".join(warnings),
        firing={
            name: {"state": alarm.state, "since": alarm.since.isoformat()} for name, alarm in firing.items()
        },
    )


def _silent(configuration: Application, standing: Mapping[str, Alarm]) -> Iterator[str]:
    """Alarms without data: a check that reads one makes a release inconclusive, so it is rolled back."""
    silent = [name for name, alarm in standing.items() if alarm.state == State.INSUFFICIENT_DATA]
    if not silent:
        return
    read = configuration.health.alarms_read(no_data="inconclusive")
    accepted = configuration.health.alarms_read(no_data="healthy") - read
    if shows_nothing := [name for name in silent if name in accepted]:
        yield f"{line(', '.join(shows_nothing), 500)} has no data, which the configuration accepts: it can't show a problem."
    silent = [name for name in silent if name not in accepted]
    if not silent:
        return
    names = line(", ".join(silent), 500)
    if not read & set(silent):
        yield f"{names} has no data."
    elif all(standing[name].needs_data for name in silent):
        yield (
            f"{names} has no data. Until it has some, it stays in INSUFFICIENT_DATA and the release is rolled back as "
            "inconclusive. Set the alarm's TreatMissingData to notBreaching, send traffic, or accept it: noData: healthy."
        )
    else:
        yield f"{names} has no data. If it gets none, the release is rolled back as inconclusive."


def _too_slow(case: Case, configuration: Application, standing: Mapping[str, Alarm]) -> Iterator[str]:
    """Alarms whose evaluation period is longer than the release is monitored."""
    floor = time_to_see(configuration.health, most=case.settings.look_back_seconds)
    step_seconds = kind_of(configuration.target).step_seconds
    bakes = sum(step.bake for step in traffic_steps(configuration.strategy, step_seconds, floor=floor))
    watch = configuration.health.watch
    for name, alarm in standing.items():
        looked = bakes + (watch.seconds if name in watch.alarms else 0)
        if alarm.looks_at > looked:
            yield (
                f"{line(name)} evaluates {alarm.looks_at} s, but the release is monitored for only {looked} s: the alarm "
                "may change only after the release has ended."
            )


def _sentence(text: str) -> str:
    text = line(text)
    return text if text.endswith(".") else f"{text}."


def _configured(configuration: Application | None) -> bool:
    return configuration is not None and bool(configuration.health.alarms)


GATE = Gate(name=_NAME, check=check, shares=True, configured=_configured, rights=rights)
