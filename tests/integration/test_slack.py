"""Slack on the deployed stack: a server of this test replaces hooks.slack.com, and the secret names it."""

from __future__ import annotations

import json
import re

from tests.integration.conftest import Pipeline, wait_for
from tests.slack_server import slack
from tools import people


def test_an_approver_decides_with_the_link_from_slack(pipeline: Pipeline) -> None:
    """With the functions' rights enforced, and nothing of the link or the webhook in any log, state or fact."""
    with slack() as here:
        secret = f"tagship/{pipeline.stack.stage}/storefront/slack"
        pipeline.client("secretsmanager").create_secret(
            Name=secret, SecretString=here.secret("ana@example.com")
        )
        pipeline.configure(notifications={"slackWebhookSecret": secret})
        tag = pipeline.publish()
        message = json.dumps(wait_for(lambda: here.to("ana") or None, "a message to ana"))
        link = re.search(r"<(https?://[^|]+\?t=[\w-]+)\|", message)
        assert link and tag in message
        assert people.decide(link[1], decision="approve").status == 200
        pipeline.settled(tag, "SUCCEEDED")
        announced = json.dumps(here.to("channel"))
        assert f"Approval needed: storefront {tag}" in announced
        assert "?t=" not in announced
    execution = pipeline.execution(tag)
    history = pipeline.client("stepfunctions").get_execution_history(executionArn=execution, maxResults=1000)
    facts = pipeline.facts(tag)
    assert "Approval Error" not in {fact["name"] for fact in facts}
    for secret in (link[1].partition("?t=")[2], "services/T0"):
        for place in (pipeline.logs(), str(history), str(facts)):
            assert secret not in place
