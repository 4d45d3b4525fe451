"""The timeline reads an execution's history: what took how long, and when the candidate had which share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tools.stack import LocalError
from tools.timeline import Timeline, wait_for_execution

START = datetime(2026, 1, 1, tzinfo=UTC)


class Executions:
    """Step Functions with one execution, whose history is written as (second, state, entered or left, data)."""

    def __init__(
        self, *history: tuple[int, str, str, dict[str, Any]], status: str = "SUCCEEDED", **ending: str
    ) -> None:
        self.history = history
        self.ending = {"status": status, **ending}

    def describe_execution(self, *, executionArn: str) -> dict[str, Any]:
        end = START + timedelta(seconds=self.history[-1][0] if self.history else 0)
        return {"startDate": START, "stopDate": end, "input": json.dumps({"key": "a key"}), **self.ending}

    def list_executions(self, *, stateMachineArn: str) -> dict[str, Any]:
        return {"executions": [{"executionArn": "one", "startDate": START}]}

    def get_paginator(self, _: str) -> Executions:
        return self

    def paginate(self, *, executionArn: str) -> Iterator[dict[str, Any]]:
        yield {"events": [{"timestamp": START}]}  # ExecutionStarted
        yield {"events": [self._event(*moment) for moment in self.history]}

    @staticmethod
    def _event(second: int, state: str, what: str, data: dict[str, Any]) -> dict[str, Any]:
        key, payload = (
            ("stateEnteredEventDetails", "input")
            if what == "entered"
            else ("stateExitedEventDetails", "output")
        )
        return {
            "timestamp": START + timedelta(seconds=second),
            key: {"name": state, payload: json.dumps(data)},
        }


def canary(percent: int, at: int) -> list[tuple[int, str, str, dict[str, Any]]]:
    return [
        (at, "ShiftTraffic", "entered", {}),
        (at + 1, "ShiftTraffic", "left", {"deployment": {"percent": percent}}),
    ]


def followed(executions: Executions) -> Timeline:
    timeline = Timeline(states=executions, execution="one")
    list(timeline.follow(seconds=1))
    return timeline


def test_phases_add_up_their_states() -> None:
    timeline = followed(
        Executions(
            (0, "RunGates", "entered", {}),
            (2, "RunGates", "left", {}),
            (2, "JudgeGates", "entered", {}),
            (5, "JudgeGates", "left", {}),
        )
    )
    assert timeline.phases == {"gates": 5.0, "in all": 5.0}


def test_a_share_lasts_until_the_next_one_or_the_rollback() -> None:
    timeline = followed(
        Executions(
            *canary(10, at=0),
            *canary(50, at=20),
            (40, "RollBack", "entered", {}),
            (41, "RollBack", "left", {"ending": {"status": "ROLLED_BACK"}}),
            status="FAILED",
            error="ReleaseRolledBack",
        )
    )
    spans = [
        (share.percent, share.start - START.timestamp(), share.end - START.timestamp())
        for share in timeline.shares
    ]
    assert spans == [(10, 1, 20), (50, 21, 40)]
    assert (timeline.status, timeline.error) == ("FAILED", "ReleaseRolledBack")


def test_a_state_left_through_its_catch_shows_its_error() -> None:
    cause = json.dumps({"errorType": "NoChannelReached", "errorMessage": "no approver could be reached"})
    timeline = followed(
        Executions(
            (0, "RequestApproval", "entered", {}),
            (1, "RequestApproval", "left", {"error": {"Error": "NoChannelReached", "Cause": cause}}),
        )
    )
    assert timeline.moments[0].words == "NoChannelReached: no approver could be reached"


def test_an_execution_that_does_not_end_is_not_waited_for_forever() -> None:
    timeline = Timeline(states=Executions(status="RUNNING"), execution="one")
    with pytest.raises(LocalError, match="did not end within 0 seconds"):
        list(timeline.follow(seconds=0))


def test_an_uploads_execution_is_found_by_its_key() -> None:
    assert wait_for_execution(Executions(), machine="m", key="a key", seconds=1).execution == "one"


def test_an_upload_that_starts_nothing_is_reported() -> None:
    with pytest.raises(LocalError, match="another key started no execution"):
        wait_for_execution(Executions(), machine="m", key="another key", seconds=0.01)
