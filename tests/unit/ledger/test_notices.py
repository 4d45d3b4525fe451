"""A release's thread in a channel: shared by all senders, whichever is first, even if one dies meanwhile."""

from __future__ import annotations

import threading
from datetime import timedelta

from tagship.ledger.notices import OPENING_SECONDS, Thread
from tagship.slack.thread import say
from tests.slack_server import slack
from tests.unit.slack.test_thread import BLOCKS, bot

RELEASE = {"application": "storefront", "tag": "v1.4.0", "attempt": 1}


def thread_of(ledger, **other):
    return Thread(ledger=ledger, release=RELEASE | other, channel="slack C0RELEASES")


def test_the_first_thread_name_is_kept_for_everybody(ledger):
    assert thread_of(ledger).name() == ""
    assert thread_of(ledger).taken()
    thread_of(ledger).begun("1.1")
    thread_of(ledger).begun("2.2")
    assert thread_of(ledger).name() == "1.1"
    assert not thread_of(ledger).taken()


def test_each_attempt_and_channel_has_its_own_thread(ledger):
    thread_of(ledger).begun("1.1")
    assert thread_of(ledger, attempt=2).name() == ""
    assert thread_of(ledger, tag="v1.4.1").name() == ""
    assert Thread(ledger=ledger, release=RELEASE, channel="slack C0OTHERS").name() == ""


def test_one_sender_opens_the_thread_until_it_fails_or_times_out(ledger, clock):
    assert thread_of(ledger).taken()
    assert not thread_of(ledger).taken()
    thread_of(ledger).begun("")
    assert thread_of(ledger).taken()
    clock.at += timedelta(seconds=OPENING_SECONDS)
    assert not thread_of(ledger).taken()
    clock.at += timedelta(seconds=1)
    assert thread_of(ledger).taken()


def test_concurrent_senders_share_one_thread(ledger):
    with slack() as here:
        all_at_once, a_moment = threading.Barrier(3), threading.Event()

        def one(key: str) -> None:
            all_at_once.wait(5)
            say(
                bot(here),
                {"text": key, "blocks": BLOCKS},
                key=key,
                thread=thread_of(ledger),
                pause=lambda _: a_moment.wait(0.05),
            )

        senders = [threading.Thread(target=one, args=(str(key),)) for key in range(3)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join(10)
    assert len(here.messages) == 3
    assert list(here.threads()) == [thread_of(ledger).name()]
