"""A webhook is read from its secret, posted to once, and never named."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from botocore.exceptions import EndpointConnectionError

from tagship.slack.messages import SlackFailed, Webhooks, post, webhooks
from tests.slack_server import slack
from tests.unit.tables import aws_error

SECRET_PATH = "/services/T000/B000/a-secret-path"
URL = f"https://hooks.slack.com{SECRET_PATH}"
HOSTS = ("hooks.slack.com", "127.0.0.1")


@dataclass
class FakeSecrets:
    """Secrets Manager with one secret, or the error that it answers."""

    text: str = ""
    raises: Exception | None = None
    asked: int = 0

    def get_secret_value(self, *, SecretId: str) -> dict[str, str]:
        self.asked += 1
        if self.raises:
            raise self.raises
        assert SecretId == "tagship/production/storefront/slack"
        return {"SecretString": self.text}


def read(text: str) -> Webhooks:
    return webhooks(FakeSecrets(text), "tagship/production/storefront/slack", hosts=HOSTS)


def test_a_secret_is_a_webhook_address_or_names_the_channel_and_people():
    assert read(f" {URL}\n") == Webhooks(channel=URL)
    text = json.dumps({"channel": URL, "approvers": {"ana@example.com": f"{URL}2"}})
    assert read(text) == Webhooks(channel=URL, approvers={"ana@example.com": f"{URL}2"})
    assert read(json.dumps({"approvers": {"ana@example.com": URL}})).channel == ""


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", "contains neither a webhook nor a bot"),
        ("{}", "contains neither a webhook nor a bot"),
        ("{", "neither an address nor JSON"),
        ('{"a":' * 9999, "neither an address nor JSON"),
        ('{"channel": 1}', "is not {"),
        (f'{{"channell": "{URL}"}}', "is not {"),
        (f'{{"approvers": ["{URL}"]}}', "is not {"),
        ('{"approvers": {"ana@example.com": null}}', "is not {"),
        (f'{{"approvers": {{"ana": "{URL}"}}}}', "is not {"),
        ("xoxb-a-token-not-a-webhook", "is not an address"),
        (URL.replace("https", "http"), "is not https"),
        (URL.replace("https", "ftp"), "is not https"),
        (f"https://evil.example{SECRET_PATH}", "not on a host"),
        (f"https://hooks.slack.com.evil.example{SECRET_PATH}", "not on a host"),
        (f"https://hooks.slack.com@evil.example{SECRET_PATH}", "is not an address"),
        (f"https://169.254.169.254{SECRET_PATH}", "not on a host"),
        (f"{URL}?x=1", "is not an address"),
        (f"{URL} HTTP/1.1\r\nX: y", "is not an address"),
        ("https://[", "is not an address"),
        ("https://hooks.slack.com:99999/", "is not an address"),
        (f'{{"approvers": {{"ana@example.com": "http://evil.example{SECRET_PATH}"}}}}', "ana@example.com is"),
    ],
)
def test_an_invalid_secret_is_reported_without_its_content(text, expected):
    with pytest.raises(SlackFailed, match="the secret tagship/production/storefront/slack") as caught:
        read(text)
    assert expected in caught.value.reason
    assert not caught.value.passes
    for secret in ("a-secret-path", "evil", "xoxb"):
        assert secret not in caught.value.reason


@pytest.mark.parametrize(
    "error, expected",
    [
        (aws_error("ResourceNotFoundException"), "ResourceNotFoundException"),
        (EndpointConnectionError(endpoint_url="https://secrets.example.com"), "EndpointConnectionError"),
    ],
)
def test_an_unreadable_secret_may_be_readable_later(error, expected):
    with pytest.raises(SlackFailed, match=expected) as caught:
        webhooks(FakeSecrets(raises=error), "tagship/production/storefront/slack", hosts=HOSTS)
    assert caught.value.passes


def test_webhook_addresses_are_never_shown():
    assert "secret" not in repr(read(json.dumps({"channel": URL, "approvers": {"ana@example.com": URL}})))


def test_a_message_is_posted_once_as_json():
    with slack() as here:
        post(here.url(), {"text": "ä"})
    assert here.posts == [("/services/T0/B0/channel", {"text": "ä"})]


@pytest.mark.parametrize(
    "status, text, expected, passes",
    [
        (404, "no_service", "status 404 no_service: the webhook was removed", False),
        (410, "channel_is_archived", "status 410 channel_is_archived: the channel is archived", False),
        (302, "", "status 302", False),
        (429, "rate_limited", "status 429 rate_limited", True),
        (500, "<html>" + "x" * 100_000, "status 500", True),
        (403, "A sentence with https://an.address/", "status 403", False),
    ],
)
def test_a_refusal_is_reported_in_slacks_words_and_redirects_are_not_followed(status, text, expected, passes):
    with slack() as here:
        here.answers["channel"] = (status, text)
        with pytest.raises(SlackFailed) as caught:
            post(here.url(), {"text": "x"})
    assert (caught.value.reason, caught.value.passes) == (expected, passes)
    assert here.posts == []


def test_a_hanging_or_missing_slack_times_out(caplog):
    """Fault 21. No log line and no cause contains the webhook's address."""
    caplog.set_level(logging.INFO)
    with slack() as here:
        here.hangs.add("a-secret-path")
        with pytest.raises(SlackFailed, match="cannot be reached: no complete answer within") as hung:
            post(here.url(SECRET_PATH), {"text": "x"}, seconds=0.05)
    with pytest.raises(SlackFailed, match=r"cannot be reached") as refused:
        post(here.url(SECRET_PATH), {"text": "x"})
    for caught in (hung.value, refused.value):
        assert caught.passes
        assert caught.__cause__ is None and caught.__suppress_context__
        assert "secret" not in str(caught)
    assert "secret" not in caplog.text


def test_concurrent_posts_do_not_interfere():
    with slack() as here, ThreadPoolExecutor(max_workers=20) as pool:
        list(pool.map(lambda n: post(here.url(), {"n": n}), range(20)))
    assert sorted(message["n"] for _, message in here.posts) == list(range(20))
