"""The bench counts, adds and reports correctly; its measurements are not tested."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tools.bench.releases import spent, transitions
from tools.bench.rival import aws
from tools.bench.table import MILLISECONDS, SECONDS, SPEED, Figure, Part, written

START = datetime(2026, 1, 1, tzinfo=UTC)


def event(second, kind, name=""):
    details = {"Entered": "stateEnteredEventDetails", "Exited": "stateExitedEventDetails"}
    found = [{field: {"name": name}} for end, field in details.items() if kind.endswith(end)]
    return {"timestamp": START + timedelta(seconds=second), "type": kind} | (found[0] if found else {})


HISTORY = [
    event(0, "ExecutionStarted"),
    event(0, "TaskStateEntered", "Plan"),
    event(0, "TaskScheduled"),
    event(1, "TaskFailed"),
    event(2, "TaskScheduled"),
    event(3, "TaskSucceeded"),
    event(3, "TaskStateExited", "Plan"),
    event(3, "MapStateEntered", "Gates"),
    event(3, "TaskScheduled"),
    event(3, "TaskScheduled"),
    event(5, "MapStateExited", "Gates"),
    event(5, "ChoiceStateEntered", "Passed"),
    event(5, "ChoiceStateExited", "Passed"),
    event(5, "TaskStateEntered", "Plan"),
    event(5, "TaskScheduled"),
    event(6, "TaskStateExited", "Plan"),
    event(6, "ExecutionSucceeded"),
]


def test_a_transition_is_every_state_and_every_attempt_of_a_task_including_those_in_a_map():
    plan, gates, passed = 3, 1 + 2, 1
    assert transitions(HISTORY) == plan + gates + passed


def test_a_history_with_states_inside_a_map_gives_the_same_count():
    """AWS's has them, the embedded engine's has not."""
    inside = [event(3, "TaskStateEntered", "Gate"), event(4, "TaskStateExited", "Gate")]
    assert transitions(HISTORY + inside) == transitions(HISTORY)


def test_a_states_visits_are_added_up():
    assert spent(HISTORY) == {"Plan": 4, "Gates": 2, "Passed": 0}


def figure(*runs, unit=SECONDS):
    return Figure(what="a thing", unit=unit, runs=runs)


def test_a_figure_shows_its_median_and_its_worst_run():
    assert (figure(3, 1, 2).median, figure(3, 1, 2).worst) == (2, 3)


def test_the_worst_of_speeds_is_the_lowest():
    assert figure(3, 1, 2, unit=SPEED).worst == 1


@pytest.mark.parametrize(
    "held, met",
    [
        (figure(1, 2, 9).below(3), True),
        (figure(1, 2, 9).below(2), False),
        (figure(1, 2, 9).always_below(10), True),
        (figure(1, 2, 9).always_below(9), False),
        (figure(1, 2, 9).at_most(2), True),
        (figure(1, 2, 9).at_most(1), False),
    ],
)
def test_an_aim_limits_the_median_or_the_worst_run(held, met):
    assert held.aim.met is met


def test_the_table_lists_every_figure_by_part_with_its_aim():
    parts = [
        Part(title="A release", figures=[figure(1, 2, 3).below(2.5, words="< by hand"), figure(4)]),
        Part(title="Back", figures=[figure(0.25, unit=MILLISECONDS).below(0.2)]),
    ]
    assert [line.split() for line in written(parts).splitlines()] == [
        ["median", "worst", "runs", "aim"],
        [],
        ["A", "release"],
        ["a", "thing", "2.00", "s", "3.00", "s", "3", "<", "by", "hand", "met"],
        ["a", "thing", "4.00", "s", "4.00", "s", "1"],
        [],
        ["Back"],
        ["a", "thing", "250", "ms", "250", "ms", "1", "<", "200", "ms", "MISSED"],
    ]


def program(path, *, says, status=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {says}\nexit {status}\n")
    path.chmod(0o755)


def test_a_broken_aws_program_is_not_used_as_rival(tmp_path, monkeypatch):
    program(tmp_path / "aws", says="broken", status=1)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert aws() is None


def test_a_shim_without_its_manager_is_not_used_as_rival(tmp_path, monkeypatch):
    program(tmp_path / ".manager" / "shims" / "aws", says="another version")
    monkeypatch.setenv("PATH", str(tmp_path / ".manager" / "shims"))
    assert aws() is None


def test_the_program_behind_a_version_managers_shim_is_used(tmp_path, monkeypatch):
    shims, real = tmp_path / ".manager" / "shims", tmp_path / "real"
    program(shims / "aws", says="another version")
    program(shims / "manager", says=real / "aws")
    program(real / "aws", says="aws-cli/2.31.1")
    monkeypatch.setenv("PATH", f"{shims}:/bin:/usr/bin")
    assert aws() == real / "aws"
