"""The acceptance run works, before anybody pays for it: on the embedded engine, from the deployment to the removal."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.acceptance import __main__ as acceptance
from tools.acceptance.report import Report
from tools.acceptance.sample import Sample
from tools.acceptance.site import OnEngine
from tools.stack import LocalError


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OnEngine]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = OnEngine()
    yield made
    made.close()


def test_it_creates_a_stage_runs_its_releases_and_removes_it(
    site: OnEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end the account is as it was, even after a run that broke off in the middle."""
    monkeypatch.setattr(OnEngine, "close", lambda _: None)
    assert acceptance.run(site, tmp_path / "whole.md") == 0
    report = (tmp_path / "whole.md").read_text()
    for said in (
        "# Acceptance run in the embedded engine",
        "| v1.1.0, approved by the page | SUCCEEDED | SUCCEEDED | as expected |",
        "| v1.2.0, approved by the page | ROLLED_BACK | ROLLED_BACK | as expected |",
        "| v1.3.0, rejected by the page | REJECTED | REJECTED | as expected |",
        "| v1.4.0, stopped in the console's way | ABORTED | ABORTED | as expected |",
        "| v1.5.0, when its alarm fired in the watch | True | True | as expected |",
        "| ExecutionsSucceeded of a version | within 300 s | within 300 s | as expected |",
        "## What remains\n\nNothing.",
    ):
        assert said in report
    assert "different" not in report
    assert "not shown here" in report, "what only an account can show is not called passed"
    assert _left(site) == []

    def breaks_off(_: Sample, __: Report) -> None:
        raise LocalError("the network is gone")

    monkeypatch.setattr(acceptance, "_releases", breaks_off)
    assert acceptance.run(site, tmp_path / "broken.md") == 1
    broken = (tmp_path / "broken.md").read_text()
    assert "ended early: the network is gone" in broken
    assert "## What remains\n\nNothing." in broken
    assert _left(site) == []


def _left(site: OnEngine) -> list[str]:
    """What the run could have left in the account."""
    stacks = site.client("cloudformation").describe_stacks()["Stacks"]
    buckets = site.client("s3").list_buckets()["Buckets"]
    return [
        *(found["StackName"] for found in stacks if "sam-cli" not in found["StackName"]),
        *(found["Name"] for found in buckets if "sam-cli" not in found["Name"]),
        *site.client("dynamodb").list_tables()["TableNames"],
        *(found["Name"] for found in site.client("ssm").describe_parameters()["Parameters"]),
        *site.client("sqs").list_queues().get("QueueUrls", []),
        *(found["Name"] for found in site.client("events").list_rules()["Rules"]),
        *(found["name"] for found in site.client("stepfunctions").list_state_machines()["stateMachines"]),
    ]
