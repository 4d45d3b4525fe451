"""A rollout that waits for a person: which pause stands before a step, how often health is looked at, what time it takes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from tagship.deployment.pausing import Pausing
from tagship.health import LambdaCheck
from tagship.model.application import Health
from tagship.model.documents import DocumentInvalid, read_application
from tagship.model.pausing import (
    EVENTS_FOR_PAUSES,
    MOST_PAUSES,
    PAUSED_LOOK_EVENTS,
    look_every_while_paused,
    paused_seconds,
)
from tagship.model.records import ReleaseRecord

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
TERMS = {"timeout": 3600, "onTimeout": "rollback"}
DEPLOYMENT = {
    "next": 1,
    "count": 2,
    "deadline": (NOW + timedelta(minutes=5)).isoformat(),
    "steps": [{"percent": 10, "bake": 0, "pause": TERMS}, {"percent": 100, "bake": 0}],
}
PAUSE = {"number": 1, "before": 1, "by": "", "why": "", **TERMS}
SINCE = {
    "since": (NOW - timedelta(minutes=20)).isoformat(),
    "until": (NOW + timedelta(minutes=40)).isoformat(),
}


def record(**pause: Any) -> ReleaseRecord:
    return cast("ReleaseRecord", {"pause": {**PAUSE, **pause}} if pause else {})


def document(*steps: dict[str, Any]) -> dict[str, Any]:
    return {
        "application": "storefront",
        "target": {
            "type": "lambda",
            "function": "storefront",
            "account": "123456789012",
            "region": "eu-central-1",
            "role": "arn:aws:iam::123456789012:role/tagship-app-storefront",
            "externalId": "tagship-production",
        },
        "strategy": {"type": "steps", "steps": list(steps)},
        "approval": {"approvers": ["ana@example.com"]},
        "health": {"checks": [{"type": "lambda"}]},
    }


@pytest.mark.parametrize(
    "known, done, holds",
    [
        (record(), False, False),
        (record(), True, True),
        (record(state="ordered"), True, True),
        (record(state="open", **SINCE), False, True),
        (record(state="rejected", **SINCE), False, True),
        (record(state="continued", **SINCE), True, False),
        (record(state="withdrawn"), True, True),
        (record(state="continued", before=0), True, True),
    ],
)
def test_a_pause_begins_when_the_step_is_done_and_holds_until_people_continue_it(
    known: ReleaseRecord, done: bool, holds: bool
) -> None:
    assert (Pausing.of(known, DEPLOYMENT, NOW).holding(done=done) is not None) == holds


def test_nothing_pauses_after_the_last_step() -> None:
    last = {**DEPLOYMENT, "next": 2}
    assert Pausing.of(record(), last, NOW).halt is None


def test_peoples_time_does_not_count_as_deployment_time() -> None:
    waiting = record(state="open", **SINCE)
    assert Pausing.of(waiting, DEPLOYMENT, NOW).seconds_left(DEPLOYMENT, NOW) == 5 * 60 + 20 * 60
    assert paused_seconds(cast("ReleaseRecord", {**waiting, "pausedSeconds": 60}), NOW) == 20 * 60 + 60
    assert paused_seconds(cast("ReleaseRecord", {"pausedSeconds": 60}), NOW) == 60


def test_all_pauses_of_an_attempt_fit_into_their_share_of_the_history() -> None:
    health = Health(checks=(LambdaCheck(type="lambda"),), every=1)
    for timeout in (60, 3600, 43_200):
        looks = timeout / look_every_while_paused(health, timeout=timeout)
        assert looks * PAUSED_LOOK_EVENTS * MOST_PAUSES <= EVENTS_FOR_PAUSES


@pytest.mark.parametrize(
    "pause, kept", [(True, TERMS), ({"timeout": "PT2H"}, TERMS | {"timeout": 7200}), (False, None)]
)
def test_a_pause_is_true_or_has_a_timeout_and_a_result(pause: Any, kept: Any) -> None:
    read = read_application(document({"percent": 10, "pause": pause}, {"percent": 100}))
    found = getattr(read.strategy, "steps")[0].pause  # noqa: B009 (whichever strategy it is)
    assert (found and {"timeout": found.timeout, "onTimeout": found.onTimeout}) == kept


@pytest.mark.parametrize(
    "steps, message",
    [
        ([{"percent": 100, "pause": True}], "has no later step to wait for"),
        ([{"percent": 10, "pause": "yes"}, {"percent": 100}], "must be true, false or an object"),
        ([{"percent": 10, "pause": {"timeout": "PT13H"}}, {"percent": 100}], "43200"),
        (
            [*({"percent": share, "pause": True} for share in range(1, 6)), {"percent": 100}],
            "at most 4 times",
        ),
    ],
)
def test_a_pause_that_makes_no_sense_is_refused(steps: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(DocumentInvalid, match=message):
        read_application(document(*steps))
