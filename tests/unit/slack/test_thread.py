"""A bot's messages about one release share a thread, whichever sender posts first, and each is posted once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tagship.slack.messages import Bot, MessageRefused, SlackFailed, webhooks
from tagship.slack.thread import ThreadBusy, say
from tests.slack_server import Slack, slack
from tests.unit.slack.test_messages import HOSTS, FakeSecrets

BLOCKS = [{"type": "section", "text": {"type": "mrkdwn", "text": "x"}}]


@dataclass
class FakeThread:
    """The thread in the ledger."""

    known: str = ""
    opener: bool = False
    kept: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def name(self) -> str:
        return self.known

    def taken(self) -> bool:
        with self.lock:
            first, self.opener = not self.opener, True
            return first

    def begun(self, name: str) -> None:
        self.kept.append(name)
        self.known, self.opener = self.known or name, bool(name)


def bot(here: Slack) -> Bot:
    found = webhooks(FakeSecrets(here.bot()), "tagship/production/storefront/slack", hosts=HOSTS).bot
    assert found
    return found


def notify(here: Slack, key: str = "1", *, pause: Callable[[float], None] = lambda _: None, **more) -> None:
    say(bot(here), {"text": key, "blocks": BLOCKS}, key=key, pause=pause, **more)


def answering(here: Slack, word: str, status: int = 200) -> None:
    here.answers["chat.postMessage"] = (status, json.dumps({"ok": False, "error": word}))


def test_the_first_message_opens_the_thread_and_the_others_reply_in_it():
    with slack() as here:
        thread = FakeThread()
        notify(here, "1", thread=thread, everybody=True)
        notify(here, "2", thread=thread)
        notify(here, "3", thread=thread, everybody=True)
    first, second, third = here.messages
    assert thread.kept == [first["ts"]]
    assert "thread_ts" not in first and "reply_broadcast" not in first
    assert (second["thread_ts"], second["reply_broadcast"]) == (first["ts"], False)
    assert (third["thread_ts"], third["reply_broadcast"]) == (first["ts"], True)


def test_a_message_without_a_release_goes_to_the_channel():
    with slack() as here:
        notify(here)
    assert "thread_ts" not in here.messages[0]


def test_of_two_concurrent_senders_one_opens_the_thread_and_the_other_waits():
    with slack() as here:
        thread, both = FakeThread(), threading.Barrier(2)
        slow = threading.Event()

        def one(key: str) -> None:
            both.wait(5)
            notify(here, key, thread=thread, pause=lambda _: slow.wait(0.02))

        senders = [threading.Thread(target=one, args=(key,)) for key in ("1", "2")]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join(10)
    assert len(here.messages) == 2
    assert len(here.threads()) == 1


def test_waiting_too_long_for_the_thread_is_an_error():
    with slack() as here, pytest.raises(ThreadBusy) as caught:
        notify(here, thread=FakeThread(opener=True))
    assert caught.value.passes
    assert here.messages == []


def test_a_failed_opening_can_be_repeated():
    with slack() as here:
        thread = FakeThread()
        answering(here, "internal_error")
        with pytest.raises(SlackFailed):
            notify(here, thread=thread)
        here.answers.clear()
        notify(here, "2", thread=thread)
    assert thread.kept == ["", here.messages[0]["ts"]]


def test_if_the_thread_is_gone_the_message_goes_to_the_channel():
    with slack() as here:
        notify(here, thread=FakeThread(known="1.2"))
    assert "thread_ts" not in here.messages[0]


def test_the_same_message_has_the_same_id_so_that_slack_can_recognize_it():
    with slack() as here:
        for _ in range(2):
            notify(here, "1")
        notify(here, "2")
    assert [message["text"] for message in here.messages] == ["1", "2"]


def test_a_deleted_message_is_not_posted_again():
    with slack() as here:
        answering(here, "duplicate_message_not_found")
        notify(here)


@pytest.mark.parametrize(
    "status, word, reason, passes",
    [
        (429, "ratelimited", "status 429 ratelimited", True),
        (200, "ratelimited", "ratelimited", True),
        (200, "internal_error", "internal_error", True),
        (503, "service_unavailable", "status 503 service_unavailable", True),
        (200, "invalid_auth", "invalid_auth: the bot's token is not valid", False),
        (200, "channel_not_found", "channel_not_found: no channel has this ID", False),
        (200, "not_in_channel", "not_in_channel: the bot is not in the channel: invite it", False),
        (200, "missing_scope", "missing_scope: the bot needs the scope chat:write", False),
        (200, "is_archived", "is_archived: the channel is archived", False),
        (200, "something_new", "something_new", False),
        (200, "https://an.address/ or more", "Slack gave an undocumented answer", False),
    ],
)
def test_each_slack_error_is_reported_to_those_who_can_fix_it(status, word, reason, passes):
    with slack() as here:
        here.retry_after = "30" if status == 429 else ""
        answering(here, word, status)
        with pytest.raises(SlackFailed) as caught:
            notify(here)
    assert caught.value.reason.startswith(reason)
    assert caught.value.passes is passes
    assert caught.value.after == (30 if status == 429 else 0)
    assert not isinstance(caught.value, MessageRefused)


@pytest.mark.parametrize("word", ["invalid_blocks", "msg_too_long"])
def test_a_permanently_invalid_message_is_not_retried_for_days(word):
    with slack() as here:
        answering(here, word)
        with pytest.raises(MessageRefused, match=word):
            notify(here)


@pytest.mark.parametrize("body", ["", "ok!", "[]", '"ok"', '{"ok": "true"}'])
def test_a_response_without_ok_is_a_failure(body):
    with slack() as here:
        here.answers["chat.postMessage"] = (200, body)
        with pytest.raises(SlackFailed, match="undocumented answer"):
            notify(here)


def test_no_error_and_no_repr_contains_the_token():
    with slack() as here:
        answering(here, f"invalid_auth {here.token}")
        with pytest.raises(SlackFailed) as caught:
            notify(here)
        gone = bot(here)
    with pytest.raises(SlackFailed, match="cannot be reached") as unreached:
        say(gone, {}, key="1", pause=lambda _: None)
    for text in (repr(gone), str(caught.value), str(unreached.value), repr(unreached.value.__cause__)):
        assert here.token not in text


@pytest.mark.parametrize(
    "fields, wrong",
    [
        ({"botToken": "xoxp-a-users-token"}, "needs botToken"),
        ({"botToken": None}, "needs botToken"),
        ({"channelId": "#releases"}, "needs botToken"),
        ({"channelId": ""}, "needs botToken"),
        ({"api": 1}, "needs botToken"),
        ({"api": "https://evil.example/api"}, "api is not on a host that the stack allows"),
        ({"api": "http://slack.com/api"}, "api is not on a host"),
    ],
)
def test_an_incomplete_bot_secret_is_reported_without_its_token(fields, wrong):
    secret = {"botToken": "xoxb-1234567890-a-token", "channelId": "C0RELEASES"} | fields
    with pytest.raises(SlackFailed, match=wrong) as caught:
        webhooks(FakeSecrets(json.dumps(secret)), "tagship/production/storefront/slack", hosts=HOSTS)
    for said in ("xoxb-1", "evil"):
        assert said not in caught.value.reason


def test_a_bot_uses_slacks_own_api_unless_its_secret_says_otherwise():
    secret = json.dumps({"botToken": "xoxb-1234567890-a-token", "channelId": "C0RELEASES"})
    found = webhooks(FakeSecrets(secret), "tagship/production/storefront/slack", hosts=("slack.com",)).bot
    assert found and found.api == "https://slack.com/api"
