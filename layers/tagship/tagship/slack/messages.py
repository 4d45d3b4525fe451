"""Slack: reads webhooks and a bot from their secret on each use, posts to a webhook, and builds messages.

Anyone who has a webhook's address or a bot's token can post. So they are stored only in Secrets Manager: in no
environment, log, error or `repr`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tagship.aws import web
from tagship.aws.calls import code_of
from tagship.aws.hosts import address_problem
from tagship.aws.secrets import SecretReader, SecretRefused
from tagship.text.plain import line, visible

Message = dict[str, Any]
Block = dict[str, Any]

SECONDS = 4
"""The time for one request and its complete response."""

SECTION_AT_MOST = 2900
"""Slack accepts 3,000 characters, including escaping."""
_HEADER_AT_MOST = 150
_WORD = re.compile(r"[a-z_]{1,60}")
_MAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}")
_SIGNING_SECRET = re.compile(r"[!-~]{16,128}")
_SLACK_ID = re.compile(r"[A-Z][A-Z0-9]{2,30}")
_BOT_TOKEN = re.compile(r"xoxb-[A-Za-z0-9-]{10,250}")
API = "https://slack.com/api"


class SlackFailed(Exception):
    """Slack did not get the message. `reason` can be recorded in a fact: it contains no address. `passes`: a retry may
    help.

    `after` is how many seconds Slack asked to wait, if it did.
    """

    def __init__(self, reason: str, *, passes: bool = False, after: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.passes = passes
        self.after = after


class MessageRefused(SlackFailed):
    """Slack will never accept this message: a retry is useless and would block the following ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Buttons:
    """What is needed to verify a press of a button: the app's signing secret, its workspace, and its members."""

    signing_secret: str = field(repr=False)
    team: str
    users: Mapping[str, str] = field(repr=False)
    """Mail addresses by Slack's member ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bot:
    """Posts to a channel with Slack's API, and can therefore keep a release's messages in one thread."""

    token: str = field(repr=False)
    channel: str
    """The channel's id."""
    api: str = API


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """A team's webhooks and bot: one channel, and the approvers' own conversations."""

    channel: str = field(default="", repr=False)
    bot: Bot | None = None
    """If there is a bot, it posts to the channel, and the channel's webhook is not used."""
    approvers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By mail address, spelled as in the secret."""
    buttons: Buttons | None = None


def webhooks(secrets: SecretReader, name: str, *, hosts: Sequence[str]) -> Webhooks:
    """The webhooks in a secret: a plain address (a channel), or `{"channel": …, "approvers": {"ana@example.com": …}}`.

    `botToken` and `channelId` are a bot, which posts to the channel in threads; `api` is the address of Slack's API.
    `signingSecret`, `team` and `users` (`{"U0123": "ana@example.com"}`) are for buttons: all three or none.

    `secrets` reads only the application's own; `hosts` are the allowed hosts of webhooks.

    Raises SlackFailed, which says what is wrong with the secret without quoting it.
    """
    try:
        text = str(secrets.get_secret_value(SecretId=name).get("SecretString", "")).strip()
    except ClientError as error:
        raise SlackFailed(f"the secret {name} cannot be read: {code_of(error)}", passes=True) from None
    except BotoCoreError as error:
        raise SlackFailed(f"the secret {name} cannot be read: {type(error).__name__}", passes=True) from None
    except SecretRefused as error:
        raise SlackFailed(str(error)) from None
    found = _parsed(text, name)
    if not found.channel and not found.approvers and not found.bot:
        raise SlackFailed(f"the secret {name} contains neither a webhook nor a bot")
    api = (("api", found.bot.api),) if found.bot else ()
    for what, url in (("the channel's webhook", found.channel), *api, *found.approvers.items()):
        if url and (problem := problem_of(url, hosts)):
            raise SlackFailed(f"the secret {name}: {what} {problem}")
    return found


def post(url: str, payload: Mapping[str, object], *, seconds: float = SECONDS) -> None:
    """Posts one message to one webhook.

    Raises SlackFailed for any status other than 200, and for no response.
    """
    try:
        answer = web.send(url, to="Slack", data=payload, seconds=seconds)
    except web.RequestFailed as error:
        raise SlackFailed(str(error), passes=True) from None
    if answer.status != 200:
        raise failure_of(answer, word_of(answer.body[:80].decode("ascii", "replace").strip()))


def word_of(value: object) -> str:
    """Slack's own error code and nothing else, because the rest of its response can be anything."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""


def failure_of(answer: web.Answer, word: str) -> SlackFailed:
    """The meaning of an error response; `word` is Slack's error code, if there is one."""
    waits = int(answer.retry_after) if _SECONDS.fullmatch(answer.retry_after) else 0
    passes = answer.status == 429 or answer.status >= 500 or word in _PASSING
    answered = " ".join(filter(None, (f"status {answer.status}" if answer.status != 200 else "", word)))
    means = f": {_MEANS[word]}" if word in _MEANS else ""
    kind = MessageRefused if word in _NEVER and not passes else SlackFailed
    return kind((answered or "Slack gave an undocumented answer") + means, passes=passes, after=waits)


_SECONDS = re.compile(r"[0-9]{1,4}")
_PASSING = {
    "accesslimited",
    "fatal_error",
    "internal_error",
    "message_limit_exceeded",
    "rate_limited",
    "ratelimited",
    "request_timeout",
    "service_unavailable",
    "team_added_to_org",
}
"""Temporary errors (Slack's reference of chat.postMessage)."""
_NEVER = {
    "invalid_arguments",
    "invalid_blocks",
    "invalid_blocks_format",
    "invalid_payload",
    "msg_blocks_too_long",
    "msg_too_long",
    "no_text",
}
"""What is wrong with the message itself; all other errors can be fixed in Slack or in the secret."""
_MEANS = {
    "account_inactive": "the bot was removed from the workspace",
    "channel_is_archived": "the channel is archived",
    "channel_not_found": "no channel has this ID, or it is private and the bot is not in it",
    "invalid_auth": "the bot's token is not valid, or not allowed from this network",
    "is_archived": "the channel is archived",
    "missing_scope": "the bot needs the scope chat:write",
    "no_service": "the webhook was removed",
    "not_authed": "the bot's token is missing",
    "not_in_channel": "the bot is not in the channel: invite it",
    "restricted_action": "the workspace does not allow the bot to post there",
    "token_expired": "the bot's token has expired",
    "token_revoked": "the bot's token was revoked",
}
"""How to fix it."""


def _parsed(text: str, name: str) -> Webhooks:
    if not text.startswith("{"):
        return Webhooks(channel=text)
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        raise SlackFailed(f"the secret {name} is neither an address nor JSON") from None
    channel, approvers = given.get("channel", ""), given.get("approvers", {})
    right = isinstance(channel, str) and isinstance(approvers, dict) and not given.keys() - _FIELDS
    if not right or not all(_MAIL.fullmatch(who) and isinstance(url, str) for who, url in approvers.items()):
        raise SlackFailed(
            f'the secret {name} is not {{"channel": address, "approvers": {{mail address: address}}}}'
        )
    return Webhooks(
        channel=channel, approvers=approvers, bot=_bot(given, name), buttons=_buttons(given, name)
    )


_FOR_A_BOT = {"botToken", "channelId", "api"}
_FOR_BUTTONS = {"signingSecret", "team", "users"}
_FIELDS = {"channel", "approvers"} | _FOR_A_BOT | _FOR_BUTTONS


def _bot(given: Mapping[str, object], name: str) -> Bot | None:
    if not given.keys() & _FOR_A_BOT:
        return None
    token, channel, api = given.get("botToken"), given.get("channelId"), given.get("api", API)
    if (
        not (isinstance(token, str) and _BOT_TOKEN.fullmatch(token))
        or not (isinstance(channel, str) and _SLACK_ID.fullmatch(channel))
        or not isinstance(api, str)
    ):
        raise SlackFailed(
            f"the secret {name} configures a bot, which needs botToken (xoxb-…) and channelId (Slack's ID of "
            "the channel)"
        )
    return Bot(token=token, channel=channel, api=api.rstrip("/"))


def _buttons(given: Mapping[str, object], name: str) -> Buttons | None:
    if not given.keys() & _FOR_BUTTONS:
        return None
    key, team, users = (given.get(part) for part in ("signingSecret", "team", "users"))
    if (
        not (isinstance(key, str) and _SIGNING_SECRET.fullmatch(key))
        or not (isinstance(team, str) and _SLACK_ID.fullmatch(team))
        or not (isinstance(users, dict) and users)
        or not all(
            _SLACK_ID.fullmatch(user) and isinstance(who, str) and _MAIL.fullmatch(who)
            for user, who in users.items()
        )
    ):
        raise SlackFailed(
            f"the secret {name} configures buttons, which need signingSecret, team and users {{Slack ID: mail "
            "address}"
        )
    return Buttons(signing_secret=key, team=team, users=users)


def problem_of(url: str, hosts: Sequence[str]) -> str:
    """What is wrong with an address to post to; empty if nothing."""
    return address_problem(url, hosts, setting="SlackHosts")


# ---- what is said --------------------------------------------------------------------------------------------------


def message(title: str, *blocks: Block) -> Message:
    """A message with a title; `text` is shown on a phone's lock screen."""
    title = line(title, _HEADER_AT_MOST)
    return {
        "text": escaped(title),
        "mrkdwn": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": title, "emoji": False}},
            *blocks,
        ],
    }


def section(text: str) -> Block:
    """A paragraph of markup, in which other people's text is already escaped."""
    return {"type": "section", "text": markup(text, SECTION_AT_MOST)}


def context(text: str) -> Block:
    """A paragraph in small print."""
    return {"type": "context", "elements": [markup(text, SECTION_AT_MOST)]}


def markup(text: str, limit: int) -> Block:
    """Markup in which Slack does not detect names, channels or addresses."""
    return {"type": "mrkdwn", "text": _cut(text, limit), "verbatim": True}


def bullets(texts: Iterable[str]) -> str:
    """A list, one line each."""
    return "\n".join(f"• {text}" for text in texts)


def escaped(text: str) -> str:
    """Other people's text, without invisible characters or markup (Slack escapes three characters: see its page on
    formatting).
    """
    return visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(text: str, limit: int) -> str:
    """Cut without splitting an `&lt;` or a `<…>`."""
    if len(text) <= limit:
        return text
    head = text[: limit - 1]
    if "&" in head[-5:] and ";" not in head[head.rfind("&") :]:
        head = head[: head.rfind("&")]
    return head + "…"
