"""Approve and reject with a button in Slack: an option of an application, whose secret identifies its people in Slack.

Slack signs its requests with the app's signing secret, over the raw body and the time. The approval request that the
button names determines which secret is used, so a button of another application, signed with another secret, decides
nothing here. From there on a press is treated like the page's form: the same quorum, and the same conditional write
before anyone is notified.

A rejection needs a reason. The message has a field for it, whose content Slack sends with the press (`state`): a separate
window would need a bot's token, which a team may not have.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl

from tagship.approval.errors import LinkInvalid, TooManyRequests
from tagship.approval.link import Token
from tagship.approval.page.answers import PageResponse, Visit, security_headers
from tagship.approval.page.form import Form, reason_problem
from tagship.approval.page.page import Page, PageRequest
from tagship.approval.proof import SLACK, Proof
from tagship.aws.hosts import LOOPBACK
from tagship.aws.secrets import ApplicationSecrets, SecretReader
from tagship.model.errors import AwsUnavailable, RetryableError
from tagship.model.people import person
from tagship.model.records import RequestRecord
from tagship.slack import messages as slack
from tagship.text.plain import line

WINDOW_SECONDS = 300
"""The limit in Slack's documentation: an older signature is a replay."""
MAX_BODY = 256 * 1024
"""Slack sends the complete message with each press, as JSON in a form."""

ANSWERS = frozenset({"hooks.slack.com", "hooks.slack-gov.com"})
"""The hosts that accept answers (Slack's documentation of `response_url`), including those of government workspaces."""
_DECISIONS: dict[str, Literal["approve", "reject"]] = {"approve": "approve", "reject": "reject"}
_ID = re.compile(r"[A-Za-z0-9_-]{20,128}")
_SIGNATURE = re.compile(r"v0=[0-9a-f]{64}")
_SECONDS = re.compile(r"[0-9]{1,12}")
_REPLIES = {
    "recorded": "Your {decision} is recorded.",
    "unchanged": "You have already decided. A decision is final; nothing was changed.",
    "left": "You left the group whose members approve this, so your approval no longer counts. Nothing was recorded.",
    "author": "You are the author of this release, so your approval does not count. Nothing was recorded.",
    "approved": "It already has its approvals; there is nothing left for you to decide.",
    "rejected": "It was already rejected; there is nothing left for you to decide.",
    "expired": "The approval request has expired. Nothing was changed.",
    "superseded": "A newer release replaced it. Nothing was changed.",
    "outdated": "Another release was deployed first, so this one is planned again and needs approval again. "
    "Nothing was recorded.",
    "closed": "It no longer waits for approval. Nothing was changed.",
    "dead": "It no longer waits: its execution has ended.",
    "undelivered": "Your {decision} is recorded but could not be delivered yet. Press the button again in a minute.",
}
_NOUNS = {"approve": "approval", "reject": "rejection"}
_PAUSE_REPLIES = {
    "recorded": "Your answer is recorded.",
    "author": "You are the author of this release, so your answer does not count. Nothing was recorded.",
    "approved": "Someone has already continued it; there is nothing left for you to decide.",
    "rejected": "It is already being rolled back; there is nothing left for you to decide.",
    "expired": "The time for an answer is over. Nothing was recorded.",
    "closed": "The pause has ended. Nothing was recorded.",
    "undelivered": "Your answer is recorded but could not be delivered yet. It counts at the next health check.",
}
"""Where it differs from an approval."""


class _ButtonInvalid(LinkInvalid):
    """The button was not sent for this request, or was sent before an update."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """A press of a button, as Slack reports it; trusted only after its signature is verified."""

    approval: str
    token: str
    """The button's token, made by `RequestApproval`."""
    decision: Literal["approve", "reject"]
    reason: str
    team: str
    user: str
    answer_to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspaces:
    """What is known about Slack and the teams' secrets for it."""

    secrets: SecretReader
    """Caches secrets for some seconds, because anyone can send a press."""
    stage: str
    hosts: Sequence[str]
    """The allowed hosts of Slack."""
    unsigned: Callable[[str, str, str], None]
    """Records, within limits, that a press was refused: for which request, why, and from where."""

    @property
    def answers(self) -> tuple[str, ...]:
        """The hosts to which an answer to a press may be sent; this machine only in development."""
        loopback = LOOPBACK if self.stage == "development" else frozenset()
        return tuple(host for host in self.hosts if host in ANSWERS or host in loopback)

    def of(self, record: RequestRecord) -> SecretReader:
        """The secrets of a request's application."""
        return ApplicationSecrets(
            client=self.secrets, stage=self.stage, application=record["application"], service="slack"
        )


def respond(request: PageRequest, page: Page, *, slacks: Workspaces, log: Any) -> PageResponse:
    """One response for one press: an empty one to Slack, and a line that only the person who pressed sees.

    Nothing is read or written for a request that does not look like a current press, and only some refusals a minute are
    written for unsigned ones.
    """
    headers = {name.lower(): value for name, value in request.headers.items()}
    try:
        press = _read(request, headers, page, slacks.answers)
    except LinkInvalid as error:
        log.warning("A press in Slack was refused: %s", error.reason)
        return _empty(403)
    try:
        record = page.store.get(press.approval)
        buttons = _buttons(record, slacks)
        _check(buttons, request, headers)
    except LinkInvalid as error:
        with suppress(RetryableError):
            slacks.unsigned(press.approval, f"a Slack button: {error.reason}", request.source_ip)
        return _empty(403)
    except RetryableError:
        return _empty(503)
    assert record is not None
    page.believed(record)
    try:
        answer = _pressed(press, record, buttons, page, request)
    except LinkInvalid as error:
        _note(page, press.approval, error, request)
        answer = "You are not an approver of this release, so nothing was recorded."
        if isinstance(error, _ButtonInvalid):
            answer = "These buttons are not valid. Use the link that was sent to you. Nothing was recorded."
        if page.login:
            answer = "This stage requires a sign-in before you decide. Use the link that was sent to you."
    except RetryableError:
        answer = "Tagship cannot answer right now. Press again in a minute: your decision counts only once."
    _tell(
        press,
        f"*{slack.escaped(line(record['application']))} {slack.escaped(line(record['tag']))}*: {answer}",
        log,
    )
    return _empty(200)


def _note(page: Page, approval_id: str, error: LinkInvalid, request: PageRequest) -> None:
    """For the audit trail. All presses come from Slack's addresses, so nobody waits because of other people's refused
    presses.
    """
    with suppress(TooManyRequests):
        page.store.refused(approval_id, f"a Slack button: {error.reason}", request.source_ip)


def _read(request: PageRequest, headers: Mapping[str, str], page: Page, answers: Sequence[str]) -> Press:
    """The press, before anything in it is trusted.

    Raises LinkInvalid for anything that Slack would not send now for one of our buttons.
    """
    at = headers.get("x-slack-request-timestamp", "")
    if not _SECONDS.fullmatch(at) or not _SIGNATURE.fullmatch(headers.get("x-slack-signature", "")):
        raise LinkInvalid("not signed")
    if abs(page.now.timestamp() - int(at)) > WINDOW_SECONDS:
        raise LinkInvalid("sent again, or too late")
    if request.method != "POST" or len(request.body) > MAX_BODY:
        raise LinkInvalid("malformed")
    if headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise LinkInvalid("malformed")
    try:
        fields = parse_qsl(request.body.decode("ascii"), strict_parsing=True, max_num_fields=2)
        ((name, text),) = fields
        payload = json.loads(text)
        json.dumps(payload, ensure_ascii=False).encode()  # a lone surrogate cannot be stored
        (action,) = payload["actions"]
        state = payload["state"]["values"]
        approval, _, token = str(action["value"]).partition(".")
        press = Press(
            approval=approval,
            token=token,
            decision=_DECISIONS[action["action_id"]],
            reason=str(state["reason"]["reason"]["value"] or "").strip(),
            team=str(payload["team"]["id"]),
            user=str(payload["user"]["id"]),
            answer_to=str(payload.get("response_url") or ""),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LinkInvalid("malformed") from error
    if name != "payload" or payload.get("type") != "block_actions" or not _ID.fullmatch(press.approval):
        raise LinkInvalid("malformed")
    if slack.problem_of(press.answer_to, answers):
        raise LinkInvalid("its answer would not go to Slack")
    return press


def _buttons(record: RequestRecord | None, slacks: Workspaces) -> slack.Buttons:
    """The people behind this request's buttons. Raises LinkInvalid if it has no buttons, AwsUnavailable."""
    if record is None or not record.get("slack"):
        raise LinkInvalid("unknown approval")
    try:
        found = slack.webhooks(slacks.of(record), record["slack"], hosts=slacks.hosts).buttons
    except slack.SlackFailed as error:
        if error.passes:
            raise AwsUnavailable(error.reason) from None
        raise LinkInvalid("the secret can't be used") from None
    if found is None:
        raise LinkInvalid("the application has none")
    return found


def _check(buttons: slack.Buttons, request: PageRequest, headers: Mapping[str, str]) -> None:
    """Verifies Slack's signature, `v0=` HMAC-SHA256 over `v0:<time>:<body>`, within the time limit. Raises LinkInvalid."""
    at, given = headers["x-slack-request-timestamp"], headers["x-slack-signature"]
    signed = b"v0:" + at.encode() + b":" + request.body
    right = "v0=" + hmac.digest(buttons.signing_secret.encode(), signed, "sha256").hex()
    if not hmac.compare_digest(right, given):
        raise LinkInvalid("signed by somebody else")


def _pressed(
    press: Press, record: RequestRecord, buttons: slack.Buttons, page: Page, request: PageRequest
) -> str:
    """The result, in words. Raises LinkInvalid for someone who cannot decide, RetryableError if a retry may help."""
    if page.login:
        raise LinkInvalid("this stage asks for a sign-in")
    proof = Proof.of_token(SLACK, _token(press, record, page))
    if press.team != buttons.team:
        raise LinkInvalid("another workspace")
    mail = buttons.users.get(press.user)
    if mail is None:
        raise LinkInvalid("an unknown user")
    approver = next((each for each in record["approvers"] if person(each) == person(mail)), None)
    if approver is None:
        raise LinkInvalid("not an approver of this")
    identity = f"slack {press.team} {press.user}"
    visit = Visit(record, approver, b"", request.source_ip, page.now, proof, identity)
    asks = visit.challenge
    form = Form(decision=press.decision, reason=press.reason, value=asks.value, number=asks.number)
    if visit.standing == "open" and not visit.own and (problem := reason_problem(form, record)):
        return f"Nothing was recorded. {problem} Use the field above the buttons."
    kind = page.decided(visit, form).kind
    replies = _REPLIES | _PAUSE_REPLIES if "pause" in record else _REPLIES
    words = replies.get(kind, "Nothing was recorded.")
    return words.format(decision=_NOUNS[press.decision])


def _token(press: Press, record: RequestRecord, page: Page) -> Token:
    """Raises _ButtonInvalid for a button that `RequestApproval` did not create for this request."""
    try:
        return page.verifier.verify_buttons(press.token, record, page.now)
    except LinkInvalid as error:
        raise _ButtonInvalid(f"its token is {error.reason}") from error


def _tell(press: Press, text: str, log: Any) -> None:
    """Answers only the person who pressed. If this fails, the decision still stands."""
    message = {"response_type": "ephemeral", "replace_original": False, "text": text}
    try:
        slack.post(press.answer_to, message)
    except slack.SlackFailed as error:
        log.warning("Slack could not be answered: %s", error.reason)


def _empty(status: int) -> PageResponse:
    return PageResponse(status, security_headers() | {"Content-Type": "text/plain; charset=utf-8"}, "")
