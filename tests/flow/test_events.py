"""The sample events of `events/`, each given to what takes it."""

from __future__ import annotations

import json
import re
from typing import Any

import boto3
import pytest
import yaml

from tests.flow.harness import REGION, ROOT, World, client_of

FILES = sorted(path.name for path in (ROOT / "events").glob("*.json"))


def load_event(name: str) -> Any:
    """A sample event by its file's name."""
    return json.loads((ROOT / "events" / name).read_text())


def test_every_sample_is_told_in_the_folders_own_table_and_tested_here() -> None:
    told = re.findall(r"^\| `([\w-]+\.json)`", (ROOT / "events" / "README.md").read_text(), re.MULTILINE)
    assert sorted(told) == FILES
    tested = set(
        re.findall(r'load_event\("([\w-]+\.json)"\)', (ROOT / "tests/flow/test_events.py").read_text())
    )
    assert tested == set(FILES)


def test_the_rule_makes_the_state_machines_input_of_an_upload() -> None:
    class Template(yaml.SafeLoader):
        """CloudFormation's own tags, as plain data."""

    Template.add_multi_constructor("!", lambda loader, suffix, node: str(node.value))
    rule = yaml.load((ROOT / "template.yaml").read_text(), Template)["Resources"]["UploadRule"]["Properties"]
    transformer = rule["Targets"][0]["InputTransformer"]
    event = load_event("object-created.json")
    assert event["source"] in rule["EventPattern"]["source"]
    assert event["detail-type"] in rule["EventPattern"]["detail-type"]
    made = transformer["InputTemplate"]
    for name, path in transformer["InputPathsMap"].items():
        value: Any = event
        for part in path.split(".")[1:]:
            value = value[part]
        made = made.replace(f"<{name}>", json.dumps(value))
    assert json.loads(made) == load_event("release.json")


def test_a_release_that_is_not_in_its_bucket_is_refused_with_its_key(world: World) -> None:
    order = load_event("release.json")
    client_of("s3").create_bucket(Bucket=order["bucket"])
    ended = world.ended(world.start(order))
    assert ended.error == "ReleaseInvalid"
    assert order["key"] in ended.cause


def test_a_rollback_of_a_release_that_the_ledger_does_not_know_is_refused(world: World) -> None:
    ended = world.ended(world.start(load_event("rollback.json"), "rollback"))
    assert ended.error == "ApplicationUnknown"
    assert "storefront v1.4.0" in ended.cause


def test_the_supervisor_leaves_an_execution_alone_that_has_no_release(world: World) -> None:
    answer = world.handlers["supervise"](load_event("execution-status-change.json"), None)
    assert answer["did"] == "nothing"


def test_a_link_that_is_not_valid_is_answered_and_not_logged(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = world.handlers["approval_page"](load_event("approval-page.json"), None)
    assert answer["statusCode"] == 403
    assert "not-a-valid-link" not in capsys.readouterr().out


def test_a_fact_of_the_stream_goes_to_the_bus_the_topic_and_the_metrics(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tagship import runtime

    boto3.client("events", region_name=REGION).create_event_bus(Name="tagship")
    topic = boto3.client("sns", region_name=REGION).create_topic(Name="tagship")["TopicArn"]
    monkeypatch.setenv("TAGSHIP_EVENT_BUS", "tagship")
    monkeypatch.setenv("TAGSHIP_NOTIFICATION_TOPIC", topic)
    runtime._runtime.cache_clear()
    assert world.handlers["broadcast"](load_event("ledger-stream.json"), None) == {"batchItemFailures": []}
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    assert [line["DeploymentSucceeded"] for line in printed] == [[1.0]]
    assert printed[0]["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["Application", "Stage"]]
