"""The request that approvers get: its content, who is asked, and their links."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from random import uniform
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from tagship.approval.facts import CHANNEL, failure
from tagship.approval.link import BUTTONS, GRACE, LinkSigner, approval_url
from tagship.approval.quorum import awaited, check_reachable, policy_of, voters
from tagship.approval.request.mail import Mail, approval_mail, escalation_mail, reminder_mail
from tagship.approval.request.sending import LATE, SENT, Outbox
from tagship.approval.request.slack import announcement, invitation
from tagship.aws.calls import message_of
from tagship.aws.secrets import ApplicationSecrets
from tagship.ledger import approvals
from tagship.ledger.notices import Thread
from tagship.ledger.table import Ledger, timestamp
from tagship.model.errors import AwsUnavailable, NoChannelReached
from tagship.model.facts import FactKind
from tagship.model.people import person
from tagship.model.proposal import is_proposal
from tagship.model.records import (
    NewRequest,
    PauseAsked,
    PauseRecord,
    ReleaseRecord,
    RequestRecord,
    document_of,
    manifest_of,
)
from tagship.settings import Settings
from tagship.slack import messages as slack
from tagship.slack import thread as slack_thread
from tagship.text.times import moment, span
from tagship.text.words import console

if TYPE_CHECKING:
    from mypy_boto3_ses import SESClient

_RATE_EXCEEDED = "Maximum sending rate exceeded"
"""SES's words; the exceeded daily quota has the same code, and does not pass soon."""
_LINKS_AT_ONCE = 10
"""Links that are signed at the same time; a client for messages has 25 connections."""
_MAIL_TRIES = 10
"""With the pauses between them at most 13.5 s: less than all messages of a step have together (`sending.SECONDS`)."""
LONG_AGO = timedelta(days=30)
"""After such a long pause a release contains more than usual, and approvers see this first."""


def request_of(
    record: ReleaseRecord, *, now: datetime, longest: int, random: Callable[[int], bytes]
) -> NewRequest:
    """The request for a planned release, with an id that nobody can guess; the ledger keeps the first one of an attempt.

    Raises QuorumUnreachable if there cannot be enough approvals.
    """
    manifest, plan, document = manifest_of(record), record["plan"], document_of(record)
    policy = document["approval"]
    decides = policy_of(record)
    request: NewRequest = {
        "id": _new_id(random),
        "application": record["application"],
        "stage": record["stage"],
        "tag": record["tag"],
        "fromTag": plan["from"],
        "attempt": record["attempt"],
        "planning": plan.get("planning", 1),
        "digest": plan["digest"],
        "execution": record["execution"],
        "author": decides["author"],
        "commit": manifest["commit"],
        "repository": manifest["repository"],
        "ref": manifest.get("ref", ""),
        "changes": manifest.get("changes"),
        "notes": manifest["notes"],
        "createdAt": manifest["createdAt"],
        "gates": record["gates"],
        "plan": {
            "summary": plan["summary"],
            "steps": plan["steps"],
            "nothingToChange": plan["nothingToChange"],
        },
        "warnings": _warnings(record, now),
        "approvers": decides["approvers"],
        "required": decides["required"],
        "authorMayApprove": decides["authorMayApprove"],
        "rules": decides.get("rules", []),
        "countInEveryRule": decides.get("countInEveryRule", False),
        "reasonToApprove": policy.get("reasonToApprove", False),
        "remindEvery": policy["remindEvery"],
        "escalateTo": policy.get("escalateTo", []),
        "slack": (document.get("notifications") or {}).get("slackWebhookSecret") or "",
        "expiresAt": timestamp(now + timedelta(seconds=min(policy["expires"], longest))),
        "watchUrl": console(record["execution"]),
    }
    if "before" in record:
        request["before"] = record["before"]
    check_reachable(request)
    return request


def pause_request_of(
    record: ReleaseRecord,
    pause: PauseRecord,
    *,
    people: Sequence[str],
    now: datetime,
    random: Callable[[int], bytes],
) -> NewRequest:
    """The request of a pause that begins now: the release's approvers are asked, and one answer is enough.

    The release has all its approvals; a pause asks for one pair of eyes. `people` are its approvers as they are now.
    """
    steps, before = record["plan"]["steps"], pause["before"]
    wanted = request_of(record, now=now, longest=pause["timeout"], random=random)
    details: PauseAsked = {
        "number": pause["number"],
        "step": f"{before} of {len(steps)}",
        "percent": steps[before - 1]["percent"],
        "nextPercent": steps[before]["percent"],
        "onTimeout": pause["onTimeout"],
        "by": pause["by"],
        "why": pause["why"],
    }
    return {
        **wanted,
        "pause": details,
        "approvers": list(people),
        "required": 1,
        "rules": [],
        "countInEveryRule": False,
        "escalateTo": [],
        "expiresAt": timestamp(now + timedelta(seconds=pause["timeout"])),
    }


def send_links(
    ledger: Ledger,
    request: RequestRecord,
    *,
    client: Callable[[str], Any],
    settings: Settings,
    now: datetime,
) -> None:
    """Sends each voter one personal link, on every channel that reaches them and has not accepted it before.

    `client` returns an AWS client with a short time-out. A channel that does not accept a message is recorded as a fact;
    the others carry it.

    Raises NoChannelReached if no channel reached any approver: then nobody could decide. AwsUnavailable if the reason may
    pass, such as SES being down; not in a pause, which continues without anybody.
    """
    before = {name for name, result in request["sent"].items() if result == SENT}
    sender = _Sender(ledger=ledger, client=client, settings=settings, request=request, now=now)
    results = dict(request["sent"]) | sender.sent(voters(request), reminder=False, besides=before)
    approvals.sent(ledger, request["id"], results)
    failed = _record_failures(ledger, request, results)
    if not any(result == SENT for name, result in results.items() if not name.endswith(CHANNEL)):
        reasons = "; ".join(f"{name}: {result}" for name, result in failed.items())
        may_pass = "pause" not in request and failed.keys() & sender.passing
        raise (AwsUnavailable if may_pass else NoChannelReached)(
            f"{request['application']} {request['tag']}: no approver could be notified, so nobody can decide "
            f"({reasons}). Nothing was changed. Fix the problems named here, then publish a new tag."
        )


def remind(
    ledger: Ledger,
    request: RequestRecord,
    *,
    client: Callable[[str], Any],
    settings: Settings,
    now: datetime,
) -> None:
    """Reminds everyone who has not decided, and from the second reminder on notifies the escalation list.

    A message that cannot be sent is recorded as a fact and stops nothing.
    """
    sender = _Sender(ledger=ledger, client=client, settings=settings, request=request, now=now)
    waiting, escalated = awaited(request), escalated_to(request, now)
    results = sender.sent(waiting, reminder=True, escalated=escalated)
    _record_failures(ledger, request, results)
    ledger.record(
        approvals.fact_of(
            request,
            FactKind.APPROVERS_REMINDED,
            key=timestamp(now)[:16],
            data={"approvers": waiting, "escalatedTo": escalated, "expiresAt": request["expiresAt"]},
        )
    )


def reminders_due(request: RequestRecord, now: datetime) -> int:
    """How many reminders there should have been by now: one after each `remindEvery`."""
    every = int(request.get("remindEvery") or 0)
    return int((now - moment(request["askedAt"])).total_seconds() // every) if every else 0


def escalated_to(request: RequestRecord, now: datetime) -> list[str]:
    """Additional people to notify: from the second reminder on, those of the escalation list who are not approvers.

    The number of the reminder follows from the time: each comes slightly more than `remindEvery` after the previous
    one.
    """
    every = int(request.get("remindEvery") or 0)
    waited = (now - moment(request["askedAt"])).total_seconds()
    if not every or round(waited / every) < 2:
        return []
    people = {person(voter) for voter in voters(request)}
    return [who for who in request.get("escalateTo") or () if person(who) not in people]


def seconds_left(request: RequestRecord, now: datetime) -> int:
    """Until the request expires, rounded up to whole seconds; 0 or less after that."""
    return math.ceil((datetime.fromisoformat(request["expiresAt"]) - now).total_seconds())


class _Sender:
    """Signs each approver's link, and sends it by every channel at once."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        client: Callable[[str], Any],
        settings: Settings,
        request: RequestRecord,
        now: datetime,
    ) -> None:
        self._ledger = ledger
        self._client = client
        self._settings = settings
        self._request = request
        self._now = now
        self._signer = LinkSigner(client("kms"), settings.link_key, stage=settings.stage)
        self._until = moment(request["expiresAt"]) + GRACE
        self.passing: set[str] = set()

    def sent(
        self,
        approvers: Sequence[str],
        *,
        reminder: bool,
        escalated: Sequence[str] = (),
        besides: Set[str] = frozenset(),
    ) -> dict[str, str]:
        """The result by `mail to ana@example.com`, `slack to the channel` and so on: `sent`, or the reason for the
        failure."""
        with ThreadPoolExecutor(_LINKS_AT_ONCE) as pool:
            links = dict(zip(approvers, pool.map(self._link, approvers), strict=True))
        outbox, ses = Outbox(), self._client("ses")
        self.passing = outbox.passing
        for approver, link in links.items():
            if (name := f"mail to {approver}") not in besides:
                write = reminder_mail if reminder else approval_mail
                mail = partial(write, self._request, approver=approver, link=link, now=self._now)
                outbox.send(name, partial(self._mail, ses, approver, mail))
        for address in escalated:
            mail = partial(escalation_mail, self._request, now=self._now)
            outbox.send(f"mail to {address}", partial(self._mail, ses, address, mail))
        unread = (
            self._slack(outbox, links, reminder=reminder, besides=besides)
            if self._request.get("slack")
            else {}
        )
        return outbox.results() | unread

    def _slack(
        self, outbox: Outbox, links: Mapping[str, str], *, reminder: bool, besides: Set[str]
    ) -> dict[str, str]:
        """A personal link goes only to its approver's own conversation. Returns what could not be tried."""
        try:
            hooks = outbox.asked(self._webhooks)
        except slack.SlackFailed as error:
            return {f"slack to {CHANNEL}": error.reason}
        except TimeoutError:
            return {f"slack to {CHANNEL}": LATE}
        own = {person(who): url for who, url in hooks.approvers.items()}
        for approver, link in links.items():
            url, name = own.get(person(approver)), f"slack to {approver}"
            if url and name not in besides:
                message = partial(invitation, self._request, link=link, now=self._now, reminder=reminder)
                outbox.send(name, partial(_posted, url, message))
        if (hooks.channel or hooks.bot) and not reminder and f"slack to {CHANNEL}" not in besides:
            mark = self._token(BUTTONS) if hooks.buttons else ""
            message = partial(announcement, self._request, now=self._now, buttons=mark)
            announce = (
                partial(self._said, hooks.bot, message)
                if hooks.bot
                else partial(_posted, hooks.channel, message)
            )
            outbox.send(f"slack to {CHANNEL}", announce)
        return {}

    def _said(self, bot: slack.Bot, write: Callable[[], Mapping[str, object]]) -> None:
        """In the release's thread; only in the channel if another sender is still opening the thread."""
        request = self._request
        say = partial(slack_thread.say, bot, write(), key=f"{request['id']} asked", pause=self._ledger.pause)
        try:
            say(
                thread=Thread(ledger=self._ledger, release=request, channel=f"slack {bot.channel}"),
                everybody=True,
            )
        except slack_thread.ThreadBusy:
            say()

    def _webhooks(self) -> slack.Webhooks:
        own = ApplicationSecrets(
            client=self._client("secretsmanager"),
            stage=self._settings.stage,
            application=self._request["application"],
            service="slack",
        )
        return slack.webhooks(own, self._request["slack"], hosts=self._settings.slack_hosts)

    def _link(self, approver: str) -> str:
        return approval_url(self._settings.approval_base_url, self._request["id"], self._token(approver))

    def _token(self, whose: str) -> str:
        return self._signer.token(self._request["id"], whose, self._request["digest"], self._until)

    def _mail(self, ses: SESClient, address: str, write: Callable[[], Mail]) -> None:
        """All mails start at once, so those above the account's rate (1 a second in the sandbox) are tried again."""
        mail = write()
        for left in reversed(range(_MAIL_TRIES)):
            try:
                ses.send_email(
                    Source=self._settings.sender_address,
                    Destination={"ToAddresses": [address]},
                    Message={
                        "Subject": {"Data": mail.subject, "Charset": "UTF-8"},
                        "Body": {
                            "Text": {"Data": mail.text, "Charset": "UTF-8"},
                            "Html": {"Data": mail.html, "Charset": "UTF-8"},
                        },
                    },
                )
                return
            except ClientError as error:
                if not left or _RATE_EXCEEDED not in message_of(error):
                    raise
            self._ledger.pause(uniform(0.5, 1.5))  # noqa: S311 (jitter, no secret)


def _posted(url: str, write: Callable[[], Mapping[str, object]]) -> None:
    slack.post(url, write())


def _new_id(random: Callable[[int], bytes]) -> str:
    """160 random bits, derived from nothing: not from the execution, whose ARN other services show."""
    return base64.b32encode(random(20)).decode().lower()


def _warnings(record: ReleaseRecord, now: datetime) -> list[str]:
    """What approvers see first: warnings of the plan and the gates, what a rollback could not restore, a long pause."""
    plan = record["plan"]
    warnings = [*plan.get("warnings", ()), *(it["warning"] for it in record["gates"] if it.get("warning"))]
    warnings.sort(key=lambda warning: not warning.startswith("EMERGENCY"))
    if why := manifest_of(record).get("rollbackUnsafe"):
        warnings.insert(
            0,
            f"ROLLBACK IS UNSAFE: {str(why).rstrip('.')}. If this release becomes unhealthy, Tagship stops and "
            "alerts a person. It does not restore the current version.",
        )
    if why := record.get("outdated"):
        warnings.insert(0, f"PLANNED AGAIN: {why}")
    if is_proposal(record["tag"]):
        return warnings
    if plan["locations"][0]["baseline"] is None:
        warnings.append("This is the first release: after a rollback, nothing would serve traffic.")
    elif plan["from"] is None:
        warnings.append(
            "This is the first release by Tagship: a rollback restores the version that was deployed by other "
            "means."
        )
    previous = record.get("replaces")
    if previous and (adopted := previous.get("adopted")):
        warnings.append(
            f"The current version was deployed by hand and adopted by {adopted['by']}: {adopted['why']}. A "
            "rollback of this release restores that version."
        )
    if previous and (ago := now - moment(previous["since"])) >= LONG_AGO:
        warnings.append(
            f"The last release ({plan['from']}) was {span(ago // timedelta(days=1) * 86400)} ago, so this one "
            "may contain more changes than usual."
        )
    return list(dict.fromkeys(warnings))


def _record_failures(ledger: Ledger, request: RequestRecord, results: Mapping[str, str]) -> dict[str, str]:
    """A fact for each channel that failed: the recipients, and why. The same failure is one fact."""
    failed = {name: result for name, result in results.items() if result != SENT}
    for channel in ("mail", "slack"):
        whom = {
            name.removeprefix(f"{channel} to "): result
            for name, result in failed.items()
            if name.startswith(f"{channel} to ")
        }
        if whom:
            ledger.record(failure(request, channel=channel, failed=whom))
    return failed
