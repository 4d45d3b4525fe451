"""A bot's messages to a channel on Slack: those about one release stand in one thread, whoever sends them.

The first message is the thread; Slack gives it a name (`ts`), and the others say that they belong to it. Two senders may
come at once, and both be the first: so one of them takes the opening, and the other waits until the name is known.

Each message has an id of its own (`client_msg_id`), the same whenever it is sent again. Slack's reference names it among the
errors alone, so nothing rests on it: what was told is known from the ledger.
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
"""Between two looks: longer than one try to reach Slack takes, all together."""
_NAME = re.compile(r"[0-9]{1,20}\.[0-9]{1,20}")
_OURS = uuid.uuid5(uuid.NAMESPACE_DNS, "tagship.invalid")
_NOT_IN_THE_THREAD = {
    "cannot_reply_to_message",
    "restricted_action_non_threadable_channel",
    "restricted_action_thread_locked",
    "thread_not_found",
}
"""The first message was deleted, or nobody may answer it."""
_TOLD_BEFORE = {"duplicate_channel_not_found", "duplicate_message_not_found"}
"""Slack has had a message of this id, and somebody has deleted it."""


class Thread(Protocol):
    """What all senders know of a release's thread."""

    def name(self) -> str:
        """The first message's own; empty before there is one."""
        ...

    def taken(self) -> bool:
        """Whether the opening is this sender's now; somebody else's it is for as long as one try may last."""
        ...

    def begun(self, name: str) -> None:
        """Keeps the first message's name; the one that stands, stands. With no name, the opening is free again."""
        ...


class ThreadBusy(SlackFailed):
    """Somebody else is opening the thread, and has not come to an end yet."""


def say(
    bot: Bot,
    message: Mapping[str, object],
    *,
    key: str,
    thread: Thread | None = None,
    everybody: bool = False,
    pause: Callable[[float], None],
) -> None:
    """One message, in the thread if there is to be one; `everybody` shows it in the channel too.

    `key` is the same whenever the same message is sent. Raises SlackFailed; ThreadBusy when the name is not known in time.
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
    """The thread's name, or nothing where it is for this sender to open it."""
    for _ in range(_LOOKS):
        if name := thread.name():
            return name
        if thread.taken():
            return ""
        pause(_PAUSE_SECONDS)
    raise ThreadBusy("the release's thread is already being opened", passes=True)


class _Outside(SlackFailed):
    """It can't stand in the thread."""


def _post(bot: Bot, payload: Mapping[str, object]) -> str:
    """The message's name; empty where Slack gave none."""
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
    said = answer.json()
    said = said if isinstance(said, dict) else {}
    if answer.status == 200 and said.get("ok") is True:
        name = said.get("ts")
        return name if isinstance(name, str) and _NAME.fullmatch(name) else ""
    word = word_of(said.get("error"))
    if word in _TOLD_BEFORE:
        return ""
    if word in _NOT_IN_THE_THREAD and "thread_ts" in payload:
        raise _Outside(word)
    raise failure_of(answer, word)
