"""The dashboard and the saved queries: what they ask for is there."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

import pytest

from tagship.notices import metrics
from tests.template.cloudformation import resources
from tests.template.definitions import ROOT
from tests.template.test_alarms import ALARMS, FACTS, fact


def _widgets() -> Any:
    """The dashboard's body, with each reference replaced by its name."""
    text = resources("AWS::CloudWatch::Dashboard")["Dashboard"]["DashboardBody"]["Fn::Sub"]
    # A number parameter has no quotes.
    return json.loads(
        re.sub(r"\$\{(?!!)([\w:.]+)\}", r"\1", re.sub(r"(?<=: )\$\{\w+\}(?=[,} ])", "1", text))
    )["widgets"]


WIDGETS = _widgets()
QUERIES = resources("AWS::Logs::QueryDefinition")
SECONDS = {"ValidationDuration", "DeploymentDuration", "HealthDuration", "RollbackDuration", "LeadTime"}


def emitted_metrics() -> set[str]:
    """Every metric that a fact can emit."""
    facts = [*FACTS, fact("Approval Requested"), fact("Approval Expired")]
    facts += [
        fact(name, askedAt="2026-11-23T09:00:00Z") for name in ("Approval Granted", "Approval Rejected")
    ]
    return {measure.name for each in facts for measure in metrics.measures(each)} | SECONDS


def test_every_duration_is_emitted_by_a_function() -> None:
    sources = [*(ROOT / "functions").glob("*/app.py"), *(ROOT / "layers" / "tagship").rglob("*.py")]
    code = "".join(path.read_text() for path in sources if path.name not in ("metrics.py", "notice.py"))
    assert all(name in code for name in SECONDS)


def test_the_dashboard_shows_all_emitted_metrics_and_no_others() -> None:
    asked = {
        metric[1]
        for widget in WIDGETS
        for metric in widget["properties"].get("metrics", [])
        if metric[0] == "Tagship"
    }
    assert asked <= emitted_metrics() | {"NoticeWaits"}  # which comes from no fact
    assert emitted_metrics() - asked == {"ApprovalRequested", "RollbackFailed", "RollbackSucceeded"}


def test_widgets_do_not_overlap() -> None:
    for one, other in combinations(WIDGETS, 2):
        apart = (
            one["x"] + one["width"] <= other["x"]
            or other["x"] + other["width"] <= one["x"]
            or one["y"] + one["height"] <= other["y"]
            or other["y"] + other["height"] <= one["y"]
        )
        assert apart, (one["properties"], other["properties"])
    assert max(widget["x"] + widget["width"] for widget in WIDGETS) == 24


def test_the_dashboard_shows_every_alarm() -> None:
    (shown,) = [widget["properties"]["alarms"] for widget in WIDGETS if widget["type"] == "alarm"]
    assert shown == [f"{name}.Arn" for name in ALARMS]


def test_the_drawn_limits_are_the_alarms_parameters() -> None:
    text = resources("AWS::CloudWatch::Dashboard")["Dashboard"]["DashboardBody"]["Fn::Sub"]
    limits = {alarm["Threshold"]["Ref"] for alarm in ALARMS.values() if isinstance(alarm["Threshold"], dict)}
    assert all(f'"value": ${{{name}}}' in text for name in limits)


# ---- saved queries -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_reads_existing_log_groups_given_by_reference(name: str) -> None:
    query = QUERIES[name]
    groups = {each["Ref"] for each in query["LogGroupNames"]}
    assert groups <= set(resources("AWS::Logs::LogGroup"))
    called = query["Name"]["Fn::Sub"].removeprefix("${AWS::StackName}/")
    assert f"| {called} |" in (ROOT / "docs" / "monitoring.md").read_text()
    commands = [line.removeprefix("| ").split()[0] for line in query["QueryString"].strip().split("\n")]
    assert set(commands) <= {"fields", "filter", "stats", "sort"}


def test_a_query_about_all_functions_reads_every_functions_log() -> None:
    groups = {each["Ref"] for each in QUERIES["OneReleaseQuery"]["LogGroupNames"]}
    assert groups == set(resources("AWS::Logs::LogGroup")) - {"StateMachineLogs"}


def test_queried_metric_fields_are_logged(capsys: pytest.CaptureFixture[str]) -> None:
    for each in (*FACTS, fact("Rollback Triggered", trigger="health")):
        metrics.emit(each)
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    fields = {name for line in printed for name in line}
    for query in QUERIES.values():
        if [each["Ref"] for each in query["LogGroupNames"]] == ["BroadcastLogs"]:
            asked = set(re.findall(r"\b([A-Z]\w+)(?:\.0)?\b", query["QueryString"]))
            assert asked <= fields, asked - fields
