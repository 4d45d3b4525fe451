"""Rollback by an alarm, retry and abort on the deployed stack."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.integration.conftest import Pipeline, wait_for
from tools.storefront import NAME


def tagship(pipeline: Pipeline, *arguments: str) -> subprocess.CompletedProcess[str]:
    """As an operator runs it."""
    return subprocess.run(
        [Path(sys.executable).with_name("tagship"), *arguments, "--stage", pipeline.stack.stage, "--yes"],
        env=pipeline.stack.engine.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def fire(pipeline: Pipeline, alarm: str) -> None:
    """An alarm's message to a topic: the engine's own lacks the ARN, and nobody can send CloudWatch's events."""
    _, _, _, region, account, *_ = pipeline.stack.outputs["ReleaseStateMachineArn"].split(":")
    message = {
        "AlarmName": alarm,
        "AlarmArn": f"arn:aws:cloudwatch:{region}:{account}:alarm:{alarm}",
        "NewStateValue": "ALARM",
        "NewStateReason": "Threshold Crossed",
        "StateChangeTime": datetime.now(UTC).isoformat(),
    }
    topic = pipeline.stack.outputs["AlarmTopicArn"]
    for _ in range(2):  # it may arrive twice
        pipeline.client("sns").publish(TopicArn=topic, Message=json.dumps(message))


def test_an_alarm_rolls_a_release_back_which_is_then_retried_and_aborted(pipeline: Pipeline) -> None:
    pipeline.client("cloudwatch").put_metric_alarm(
        AlarmName="storefront-watched",
        MetricName="5xx",
        Namespace="Storefront",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1.0,
        ComparisonOperator="GreaterThanThreshold",
    )
    pipeline.configure(
        health={"checks": [{"type": "lambda"}], "watch": {"seconds": 600, "alarms": ["storefront-watched"]}}
    )
    before = pipeline.alias()
    tag = pipeline.publish()
    pipeline.decide(tag)
    pipeline.settled(tag, "SUCCEEDED")
    fire(pipeline, "storefront-watched")
    wait_for(
        lambda: (pipeline.item(f"RELEASE#{tag}") or {}).get("status") == "ROLLED_BACK" or None, "the rollback"
    )
    assert pipeline.alias() == before
    names = [fact["name"] for fact in pipeline.facts(tag)]
    assert (names.count("Alarm Fired"), names.count("Rollback Triggered")) == (1, 1)

    retried = tagship(pipeline, "retry", NAME, tag, "--reason", "the alarm was wrong", "--json")
    assert retried.returncode == 0, retried.stderr
    assert json.loads(retried.stdout)["attempt"] == 2
    aborted = tagship(pipeline, "abort", NAME, tag, "--reason", "the wrong branch", "--json")
    assert aborted.returncode == 0, aborted.stderr
    assert json.loads(aborted.stdout)["status"] == "ABORTED"
    # AWS's event has the words with which it was stopped; the engine's has not
    assert "was stopped by" in pipeline.settled(tag, "ABORTED")["why"]
    assert pipeline.alias() == before
