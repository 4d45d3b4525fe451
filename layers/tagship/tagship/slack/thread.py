"""Posts a bot's messages to a Slack channel, those about one release in one thread, whichever function sends them.

The first message opens the thread; Slack gives it a name (`ts`), and the others refer to it. If two senders come first at
the same time, one of them opens the thread, and the other waits until the name is known.

Each message has its own id (`client_msg_id`), repeated on every retry. Slack's reference mentions it only among the
errors, so nothing depends on it: the ledger records what was sent.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from typing import Protocol

from tagship.aws import web
from tagship.slack.messages import SECONDS, Bot, SlackFailed, failure_of, word_of

_LOOKS = 20
_PAUSE_SECONDS = 0.25
"""The pause between two reads of the name: together longer than one attempt to reach Slack."""
_NAME = re.compile(r"[0-9]{1,20}\.[0-9]{1,20}")
_OURS = uuid.uuid5(uuid.NAMESPACE_DNS, "tagship.invalid")
_NOT_IN_THE_THREAD = {
    "cannot_reply_to_message",
    "restricted_action_non_threadable_channel",
    "restricted_action_thread_locked",
    "thread_not_found",
}
"""The first message was deleted, or replies to it are not allowed."""
_ALREADY_POSTED = {"duplicate_channel_not_found", "duplicate_message_not_found"}
"""Slack has already had a message with this id, and someone deleted it."""


class Thread(Protocol):
    """A release's thread, as all senders see it."""

    def name(self) -> str:
        """The first message's own name; empty before there is one."""
        ...

    def taken(self) -> bool:
        """Whether this sender may open the thread now; another sender's turn lasts as long as one attempt."""
        ...

    def begun(self, name: str) -> None:
        """Stores the first message's name, unless there is one. Without a name, the next sender may open the thread."""
        ...


class ThreadBusy(SlackFailed):
    """Another sender is opening the thread and has not finished."""


def say(
    bot: Bot,
    message: Mapping[str, object],
    *,
    key: str,
    thread: Thread | None = None,
    everybody: bool = False,
    pause: Callable[[float], None],
) -> None:
    """Posts one message, in the thread if there is one; `everybody` also shows it in the channel.

    `key` is the same whenever the same message is sent. Raises SlackFailed; ThreadBusy if the name is not known in time.
    """
    payload = {"channel": bot.channel, "client_msg_id": str(uuid.uuid5(_OURS, key)), **message}
    if thread is None:
        _post(bot, payload)
        return
    name = _name(thread, pause)
    if not name:
        begun = ""
        try:
            begun = _post(bot, payload)
        finally:
            thread.begun(begun)
        return
    try:
        _post(bot, payload | {"thread_ts": name, "reply_broadcast": everybody})
    except _Outside:
        _post(bot, payload)


def _name(thread: Thread, pause: Callable[[float], None]) -> str:
    """The thread's name; empty if this sender is to open it."""
    for _ in range(_LOOKS):
        if name := thread.name():
            return name
        if thread.taken():
            return ""
        pause(_PAUSE_SECONDS)
    raise ThreadBusy("the release's thread is already being opened", passes=True)


class _Outside(SlackFailed):
    """The message cannot be posted in the thread."""


def _post(bot: Bot, payload: Mapping[str, object]) -> str:
    """The message's name; empty if Slack returned none."""
    try:
        answer = web.send(
            f"{bot.api}/chat.postMessage",
            to="Slack",
            data=payload,
            headers={"Authorization": f"Bearer {bot.token}"},
            seconds=SECONDS,
        )
    except web.RequestFailed as error:
        raise SlackFailed(str(error), passes=True) from None
    body = answer.json()
    body = body if isinstance(body, dict) else {}
    if answer.status == 200 and body.get("ok") is True:
        name = body.get("ts")
        return name if isinstance(name, str) and _NAME.fullmatch(name) else ""
    word = word_of(body.get("error"))
    if word in _ALREADY_POSTED:
        return ""
    if word in _NOT_IN_THE_THREAD and "thread_ts" in payload:
        raise _Outside(word)
    raise failure_of(answer, word)
