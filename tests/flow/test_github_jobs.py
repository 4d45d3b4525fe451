"""A job of a GitHub environment runs once its release is in production, and not before, and not otherwise."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tagship.notices.github_jobs import FACTS
from tests.flow.harness import World, client_of, well_only
from tests.flow.test_events import message_for
from tests.github_server import WEBHOOK_SECRET, GitHub, app_secret, asking
from tests.github_server import github as started

STAGE = "development"
APP, WEBHOOK = f"tagship/{STAGE}/storefront/github-app", f"tagship/{STAGE}/storefront/github-webhook"


@pytest.fixture
def github(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """A GitHub whose environment `production` asks Tagship's stage `development`: that one may talk to this machine."""
    monkeypatch.setenv("TAGSHIP_GITHUB_HOSTS", "127.0.0.1")
    queue = client_of("sqs").create_queue(QueueName="notices.fifo", Attributes={"FifoQueue": "true"})
    monkeypatch.setenv("TAGSHIP_NOTICES_QUEUE", queue["QueueUrl"])
    with world.stage(STAGE), started() as there:
        rule = {
            "repository": "acme/storefront",
            "api": there.api,
            "protectionRule": {"environment": "production"},
        }
        world.configure(notifications={"github": rule})
        for name, text in ((APP, app_secret()), (WEBHOOK, WEBHOOK_SECRET)):
            client_of("secretsmanager").create_secret(Name=name, SecretString=text)
        yield there


def webhook(world: World, payload: dict[str, Any], *, key: str = WEBHOOK_SECRET) -> dict[str, Any]:
    """What GitHub sends, as the function URL hands it on: with the body in base64, as AWS may."""
    body = json.dumps(payload).encode()
    event = {
        "rawPath": "/github/storefront",
        "rawQueryString": "",
        "headers": {
            "content-type": "application/json",
            "x-github-event": "deployment_protection_rule",
            "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
            "x-hub-signature-256": "sha256=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest(),
            "host": "approve.example.com",
        },
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
        "requestContext": {"http": {"method": "POST", "sourceIp": "140.82.112.1"}},
    }
    answer: dict[str, Any] = world.handlers["approval_page"](event, None)
    return answer


def notify(world: World) -> None:
    """Sends every fact of the ledger to the channel again, oldest first; nothing is sent twice."""
    for fact in list(world.ledger.facts_in_order("storefront")):
        if fact["name"] in FACTS:
            message = message_for("github-jobs", fact["sk"])
            assert world.handlers["notify"]({"Records": [message]}, None) == {"batchItemFailures": []}


def test_a_job_waits_for_its_release_and_runs_once_it_is_in_production(
    world: World, github: GitHub, capsys: pytest.CaptureFixture[str]
) -> None:
    """Faults 131 and 132: the job behind `tagship publish` may be faster than the event of the upload."""
    assert webhook(world, asking(github.api))["statusCode"] == 202
    notify(world)
    assert github.states == [""]
    assert "has not been published" in github.reviews[0]["comment"]
    arn = world.start(world.upload("v1.4.0"))
    link = str(world.link(arn))
    notify(world)
    assert set(github.states) == {""}
    assert "Waiting: storefront v1.4.0 is in progress" in github.reviews[-1]["comment"]
    world.press(link, decide="approve")
    assert world.ended(arn).status == "SUCCEEDED"
    notify(world)
    assert github.states.count("approved") == 1
    assert github.reviews[-1] == {
        "environment_name": "production",
        "state": "approved",
        "comment": f"Approved: storefront v1.4.0 is deployed and healthy in {STAGE}.",
    }
    before = list(github.reviews)
    assert webhook(world, asking(github.api))["statusCode"] == 202, "a redelivery has the same answer"
    notify(world)
    assert github.reviews == before
    written = capsys.readouterr().out
    written += json.dumps(client_of("dynamodb").scan(TableName=f"ledger-{STAGE}")["Items"])
    for secret in (WEBHOOK_SECRET, github.installation_token, "PRIVATE KEY", "eyJ"):
        assert secret not in written


def test_a_job_whose_release_is_rolled_back_is_rejected(world: World, github: GitHub) -> None:
    """Fault 131."""
    arn = world.start(world.upload("v1.4.0"))
    link = str(world.link(arn))
    assert webhook(world, asking(github.api))["statusCode"] == 202
    world.health = well_only("1")
    world.press(link, decide="approve")
    assert world.ended(arn).error == "ReleaseRolledBack"
    notify(world)
    assert [state for state in github.states if state] == ["rejected"]
    assert "storefront v1.4.0 ended ROLLED_BACK" in github.reviews[-1]["comment"]
    shown = " ".join(world.type("history", "storefront", "--tag", "v1.4.0").output.split())
    assert "run 23625057533 of acme/storefront waits for v1.4.0 in the GitHub environment production" in shown
