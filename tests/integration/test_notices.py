"""Every notice arrives once and in order after an outage, and no release waits for a notice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from tagship.ledger import freezes
from tagship.model.schedule import Freeze
from tagship.runtime import utc_now
from tests.github_server import github
from tests.integration.conftest import Pipeline, wait_for
from tests.slack_server import slack


@contextmanager
def secret(pipeline: Pipeline, name: str, value: str) -> Iterator[None]:
    secrets = pipeline.client("secretsmanager")
    secrets.create_secret(Name=name, SecretString=value)
    try:
        yield
    finally:
        secrets.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)


@contextmanager
def heard(pipeline: Pipeline) -> Iterator[str]:
    """A queue behind a rule on the bus."""
    sqs, events = pipeline.client("sqs"), pipeline.client("events")
    queue = sqs.create_queue(QueueName="listening")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    bus = pipeline.stack.outputs["EventBusName"]
    events.put_rule(Name="all", EventBusName=bus, EventPattern=json.dumps({"source": ["tagship"]}))
    events.put_targets(Rule="all", EventBusName=bus, Targets=[{"Id": "queue", "Arn": arn}])
    try:
        yield queue
    finally:
        events.remove_targets(Rule="all", EventBusName=bus, Ids=["queue"])
        events.delete_rule(Name="all", EventBusName=bus)
        sqs.delete_queue(QueueUrl=queue)


def test_notices_are_delivered_once_and_in_order_after_an_outage(pipeline: Pipeline) -> None:
    """Fault 50. All messages about a release are in one thread, and no log or fact contains a token."""
    ours = f"tagship/{pipeline.stack.stage}/storefront"
    with github() as there, slack() as here, heard(pipeline) as queue:
        there.down, here.answers["chat.postMessage"] = True, (503, "down")
        pipeline.configure(
            notifications={
                "level": "everything",
                "slackWebhookSecret": f"{ours}/slack-notices",
                "emails": ["team@example.com"],
                "github": {
                    "repository": "acme/storefront",
                    "tokenSecret": f"{ours}/github",
                    "api": there.api,
                },
            }
        )
        with (
            secret(pipeline, f"{ours}/slack-notices", here.bot()),
            secret(pipeline, f"{ours}/github", there.token),
        ):
            tag = pipeline.publish()
            pipeline.decide(tag)
            pipeline.settled(tag, "SUCCEEDED")  # nothing that is down holds it up
            names = [fact["name"] for fact in pipeline.facts(tag)]

            published: list[str] = []
            wait_for(lambda: _heard(pipeline, queue, tag, published, len(names)), "every fact on the bus")
            assert published == names  # the other channels did not wait either
            wait_for(lambda: "SUCCEEDED" in _mailed(pipeline, tag)[-1] or None, "the last mail to the team")
            assert here.messages == []
            assert there.deployments == []

            there.down = False
            here.answers.clear()
            ended = f"{tag} in {pipeline.stack.stage}"
            wait_for(lambda: "SUCCEEDED" in str(here.messages) or None, "Slack to hear of the end")
            wait_for(lambda: "SUCCEEDED" in str(there.commits) or None, "GitHub to hear of the end")
            (thread,) = here.threads().values()  # of all senders' messages
            texts = [message["blocks"][1]["text"]["text"] for message in thread]
            assert all(ended in message["text"] for message in thread)
            assert [message.get("reply_broadcast") for message in thread][-1] is True
            assert [text.partition(" ")[2].partition(" ")[0] for text in texts][-1] == "SUCCEEDED,"
            assert len(set(texts)) == len(texts)
            (deployment,) = there.deployments
            assert deployment["environment"] == pipeline.stack.stage
            assert [it["state"] for it in there.statuses[1]] == [
                "success",
                "in_progress",
                "pending",
                "pending",
            ]
    for place in (pipeline.logs(), str(pipeline.facts(tag))):
        assert here.token not in place


def test_a_freeze_of_all_applications_reaches_all_recipients(pipeline: Pipeline) -> None:
    """Uses the function's permission to read the stage's configurations. Starts tomorrow, so that it stops no release
    today."""
    starts = utc_now() + timedelta(days=1)
    ends = starts + timedelta(hours=1)
    freeze = Freeze(id="1", application="*", reason="inventory", author="ops", starts=starts, ends=ends)
    name = f"tagship/{pipeline.stack.stage}/storefront/slack-freezes"
    with slack() as here, secret(pipeline, name, here.bot()):
        pipeline.configure(notifications={"slackWebhookSecret": name})
        freezes.freeze(pipeline.ledger, freeze)
        wait_for(lambda: here.messages or None, "word of the freeze")
        freezes.unfreeze(pipeline.ledger, freeze, author="ops", reason="counted")
        wait_for(lambda: here.messages[1:] or None, "word of its end")
    texts = [message["text"] for message in here.messages]
    assert texts == [f"every application in {pipeline.stack.stage}"] * 2


def _heard(pipeline: Pipeline, queue: str, tag: str, published: list[str], expected: int) -> Any:
    sqs = pipeline.client("sqs")
    for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
        detail = json.loads(message["Body"])["detail"]
        if detail["tag"] == tag:
            published.append(detail["name"])
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return len(published) >= expected or None


def _mailed(pipeline: Pipeline, tag: str) -> list[str]:
    """The mails to the team about a release, oldest first."""
    about = f"storefront {tag} in {pipeline.stack.stage}"
    return [mail.text for mail in pipeline.stack.mails(to="team@example.com", about=about)] or [""]
