"""Metrics come from facts alone: each fact's counts and seconds, and the lines that CloudWatch reads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tagship.notices import metrics
from tests.unit.notices.facts import fact

GATES = {
    "results": [
        {"gate": "manifest", "verdict": "passed"},
        {"gate": "tag", "verdict": "failed"},
        {"gate": "integrity", "verdict": "error"},
    ]
}
CHECKS = {
    "checks": [
        {"verdict": "healthy"},
        {"verdict": "unhealthy"},
        {"verdict": "inconclusive"},
        {"verdict": "error"},
    ]
}
ASKED = {"askedAt": "2026-11-23T09:00:00.000Z"}


def measured(record: dict[str, Any]) -> list[tuple[str, float, str]]:
    return [
        (measure.name, measure.value, measure.by[1] if measure.by else "")
        for measure in metrics.measures(record)
    ]


@pytest.mark.parametrize(
    "name, data, counts",
    [
        ("Release Succeeded", {}, ["DeploymentSucceeded"]),
        (
            "Release Rolled Back",
            {"moved": True, "after": "RUNNING"},
            ["RollbackSucceeded", "DeploymentFailed"],
        ),
        (
            "Release Rolled Back",
            {"moved": True, "after": "SUCCEEDED"},
            ["RollbackSucceeded", "DeploymentFailed"],
        ),
        ("Release Rolled Back", {"moved": True, "after": "ROLLBACK_FAILED"}, ["RollbackSucceeded"]),
        ("Release Rolled Back", {"moved": False, "after": "RUNNING"}, ["RollbackSucceeded"]),
        ("Rollback Failed", {"moved": True, "after": "RUNNING"}, ["RollbackFailed", "DeploymentFailed"]),
        ("Release Aborted", {"moved": True, "after": "RUNNING"}, ["RollbackSucceeded", "DeploymentFailed"]),
        ("Release Aborted", {"moved": True, "after": "ROLLBACK_FAILED"}, ["RollbackSucceeded"]),
        ("Release Aborted", {"moved": False, "after": "RUNNING"}, []),
        ("Rollback Triggered", {"trigger": "alarm"}, ["RollbackTriggered", "RollbackTriggered"]),
        ("Rollback Joined", {"trigger": "operator"}, []),
        ("Release Barred", {"why": "it leaks"}, []),
        ("Approval Requested", {}, ["ApprovalRequested"]),
        ("Approval Granted", ASKED, ["ApprovalGranted"]),
        ("Approval Rejected", ASKED, ["ApprovalRejected"]),
        ("Approval Expired", ASKED, ["ApprovalExpired"]),
        ("Approval Error", {}, ["ApprovalError"]),
        ("Approval Given", ASKED, []),
        ("Release Read", {}, []),
        ("Release Invalid", {}, []),
        ("Traffic Shifted", {"percent": 10}, []),
    ],
)
def test_a_fact_is_counted_under_the_documented_metric_names(name, data, counts):
    found = [measure for measure in metrics.measures(fact(name, data)) if measure.unit.value == "Count"]
    assert [(measure.name, measure.value) for measure in found if measure.value] == [
        (count, 1) for count in counts
    ]


RATES = [
    {"DeploymentSucceeded", "DeploymentFailed", "RollbackTriggered"},
    {"GatePassed", "GateFailed"},
    {"HealthCheckPassed", "HealthCheckFailed"},
]


@pytest.mark.parametrize(
    "name",
    [
        *("Release Succeeded", "Release Rolled Back", "Rollback Failed", "Rollback Triggered"),
        *("Gates Passed", "Gates Failed", "Health Checked", "Release Invalid", "Release Aborted"),
    ],
)
def test_all_parts_of_a_rate_are_emitted_together_or_not_at_all(name):
    emitted = {
        measure.name for measure in metrics.measures(fact(name, GATES | CHECKS | {"trigger": "health"}))
    }
    for rate in RATES:
        assert emitted & rate in (set(), rate)


@pytest.mark.parametrize("name", ["Gates Passed", "Gates Failed"])
def test_each_gate_is_counted_in_total_and_separately(name):
    assert [each for each in measured(fact(name, GATES)) if each[1]] == [
        ("GatePassed", 1, ""),
        ("GatePassed", 1, "manifest"),
        ("GateFailed", 1, ""),
        ("GateFailed", 1, "tag"),
        ("GateFailed", 1, ""),
        ("GateFailed", 1, "integrity"),
    ]


def test_an_unhealthy_check_counts_as_failed():
    assert [each for each in measured(fact("Health Checked", CHECKS)) if each[1]] == [
        ("HealthCheckPassed", 1, ""),
        ("HealthCheckFailed", 1, ""),
        ("HealthCheckFailed", 1, ""),
        ("HealthCheckFailed", 1, ""),
    ]


def test_an_inconclusive_check_that_is_repeated_does_not_count_as_failed():
    assert measured(fact("Health Checked", CHECKS | {"goesOn": True})) == []


@pytest.mark.parametrize("name", ["Approval Granted", "Approval Rejected"])
def test_a_decisions_duration_is_the_time_since_the_request(name):
    assert ("ApprovalLatency", 3600.25, "") in measured(fact(name, ASKED))


@pytest.mark.parametrize(
    "name, duration",
    [
        ("Release Succeeded", "DeploymentDuration"),
        ("Release Succeeded", "LeadTime"),
        ("Gates Passed", "ValidationDuration"),
        ("Health Checked", "HealthDuration"),
        ("Release Rolled Back", "RollbackDuration"),
    ],
)
def test_a_duration_is_the_time_since_its_start(name, duration):
    record = fact(name, {"results": [], "checks": [], "durations": {duration: "2026-11-23T09:58:00Z"}})
    (found,) = [measure for measure in metrics.measures(record) if measure.name == duration]
    assert (found.value, found.unit.value) == (120.25, "Seconds")


def test_a_fast_clock_gives_no_negative_duration():
    record = fact("Release Succeeded", {"durations": {"LeadTime": "2026-11-23T11:00:00Z"}})
    assert ("LeadTime", 0.0, "") in measured(record)


def lines(capsys: pytest.CaptureFixture[str], record: dict[str, Any]) -> list[dict[str, Any]]:
    metrics.emit(record)
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_each_metric_is_logged_by_application_and_for_the_stage(capsys):
    line, alone = lines(capsys, fact("Release Succeeded"))[:2]
    described = line.pop("_aws")
    assert line == {"Application": "storefront", "Stage": "production", "DeploymentSucceeded": [1.0]}
    assert described["CloudWatchMetrics"] == [
        {
            "Namespace": "Tagship",
            "Dimensions": [["Application", "Stage"]],
            "Metrics": [{"Name": "DeploymentSucceeded", "Unit": "Count"}],
        }
    ]
    assert described["Timestamp"] > 1_700_000_000_000
    assert alone.pop("_aws")["CloudWatchMetrics"][0]["Dimensions"] == [["Stage"]]
    assert alone == {"Stage": "production", "DeploymentSucceeded": [1.0]}


def test_a_gates_own_metric_has_the_gate_as_a_dimension(capsys):
    emitted = lines(capsys, fact("Gates Passed", {"results": [{"gate": "tag", "verdict": "passed"}]}))
    by_gate = [line for line in emitted if "Gate" in line]
    assert [(line["Gate"], line["GatePassed"]) for line in by_gate] == [("tag", [1.0])]
    (dimensions,) = by_gate[0]["_aws"]["CloudWatchMetrics"][0]["Dimensions"]
    assert sorted(dimensions) == ["Application", "Gate", "Stage"]
    assert len(emitted) == 5


def test_durations_are_emitted_in_seconds(capsys):
    line, _ = lines(
        capsys, fact("Traffic Shifted", {"durations": {"HealthDuration": "2026-11-23T09:59:59.000Z"}})
    )
    assert line["HealthDuration"] == [1.25]
    assert line["_aws"]["CloudWatchMetrics"][0]["Metrics"] == [{"Name": "HealthDuration", "Unit": "Seconds"}]


def test_a_rollback_is_also_counted_by_its_trigger(capsys):
    emitted = lines(capsys, fact("Rollback Triggered", {"trigger": "health"}))
    (line,) = [line for line in emitted if "Trigger" in line]
    assert (line["Trigger"], line["RollbackTriggered"]) == ("health", [1.0])
    assert sum("RollbackTriggered" in line and "Trigger" not in line for line in emitted) == 2


def test_a_fact_without_metrics_prints_nothing(capsys):
    assert lines(capsys, fact("Lock Acquired", {"fence": 7})) == []
