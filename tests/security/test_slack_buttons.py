"""A button in Slack decides only for a person that Slack authenticates and that the request has asked."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.exceptions import EndpointConnectionError

from tagship.approval.errors import TooManyRequests
from tagship.approval.link import BUTTONS, LinkVerifier, Token, known_keys
from tagship.approval.page.answers import PageResponse
from tagship.approval.page.page import Page, PageRequest
from tagship.approval.page.slack_actions import Workspaces, respond
from tagship.approval.proof import SLACK
from tagship.approval.request.slack import announcement
from tagship.aws.web import Answer
from tagship.model.errors import AwsUnavailable
from tests.slack_server import Slack, slack
from tests.unit.approval.builders import ANA, BO, KEY, NOW, STAGE, Site, approved, link, sample, site

SIGNING_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
TEAM = "T0123"
SECRET = "tagship/development/storefront/slack"
USERS = {"U0ANA": "Ana@example.com", "U0BO": BO, "U0EVE": "eve@example.com", "U0DANA": "dana@example.com"}


@dataclass
class FakeSecrets:
    """Secrets Manager with one secret."""

    text: str
    raises: Exception | None = None
    asked: list[str] = field(default_factory=list)

    def get_secret_value(self, *, SecretId: str) -> dict[str, str]:
        self.asked.append(SecretId)
        if self.raises:
            raise self.raises
        return {"SecretString": self.text}


@dataclass
class FakeLog:
    lines: list[str] = field(default_factory=list)

    def warning(self, message: str, *arguments: object) -> None:
        self.lines.append(message % arguments)


@dataclass
class Workspace:
    """A Slack workspace, a page, and people who press buttons."""

    here: Site
    slack: Slack
    secrets: FakeSecrets
    log: FakeLog = field(default_factory=FakeLog)
    unsigned: list[tuple[str, str, str]] = field(default_factory=list)
    stage: str = "development"
    hosts: tuple[str, ...] = ("127.0.0.1",)
    reader: Any = None
    """A replacement for Secrets Manager's client, if any."""
    refuse: Any = None
    """Records refusals, if not in this workspace's own list."""

    @property
    def token(self) -> str:
        """The button's token, as RequestApproval makes it."""
        return link(self.here.record, BUTTONS)

    def payload(
        self, decision: str = "approve", reason: str | None = None, user: str = "U0ANA"
    ) -> dict[str, Any]:
        """Slack's request for a press, as in its reference of block_actions."""
        return {
            "type": "block_actions",
            "team": {"id": TEAM, "domain": "example"},
            "user": {"id": user, "username": "ana", "team_id": TEAM},
            "api_app_id": "A0123",
            "container": {"type": "message"},
            "trigger_id": "1.2.abc",
            "response_url": self.slack.url(f"/actions/{TEAM}/1/{user}"),
            "message": announcement(self.here.record, now=NOW, buttons=self.token),
            "state": {"values": {"reason": {"reason": {"type": "plain_text_input", "value": reason}}}},
            "actions": [
                {
                    "type": "button",
                    "block_id": "decision",
                    "action_id": decision,
                    "value": f"{self.here.record['id']}.{self.token}",
                }
            ],
        }

    def press(
        self, decision: str = "approve", reason: str | None = None, user: str = "U0ANA"
    ) -> PageResponse:
        return self.send(self.payload(decision, reason, user))

    def send(
        self,
        payload: Any,
        *,
        key: str = SIGNING_SECRET,
        late: int = 0,
        body: bytes | None = None,
        **headers: str,
    ) -> PageResponse:
        raw = urlencode({"payload": json.dumps(payload)}).encode()
        at = str(int(self.here.now.timestamp()) - late)
        mac = hmac.new(key.encode(), b"v0:" + at.encode() + b":" + raw, hashlib.sha256).hexdigest()
        signed = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Slack-Request-Timestamp": at,
            "X-Slack-Signature": f"v0={mac}",
            **headers,
        }
        return self.post(raw if body is None else body, signed)

    def post(self, body: bytes, headers: dict[str, str], method: str = "POST") -> PageResponse:
        here = self.here
        page = Page(
            store=here.store,
            verifier=LinkVerifier(here.kms, known_keys(KEY), stage=STAGE),
            deliver=here.deliver,
            now=here.now,
            waits=here.waits,
            login=here.login,
        )
        return respond(
            PageRequest(method, "/slack/actions", "", headers, body, "192.0.2.9"),
            page,
            slacks=Workspaces(
                secrets=self.reader or self.secrets,
                stage=self.stage,
                hosts=self.hosts,
                unsigned=self.refuse or (lambda *refusal: self.unsigned.append(refusal)),
            ),
            log=self.log,
        )

    def replies(self, user: str = "U0ANA") -> list[str]:
        """The responses that only this person saw."""
        messages = self.slack.to(user)
        assert all(message["response_type"] == "ephemeral" for message in messages)
        assert all(message["replace_original"] is False for message in messages)
        return [message["text"] for message in messages]


def secret(**changes: Any) -> str:
    given = {"channel": "", "signingSecret": SIGNING_SECRET, "team": TEAM, "users": USERS} | changes
    return json.dumps({name: value for name, value in given.items() if value is not None})


@pytest.fixture
def work() -> Iterator[Workspace]:
    with slack() as here:
        text = secret(channel=here.url())
        yield Workspace(site(slack=SECRET, required=2), here, FakeSecrets(text))


def untouched(work: Workspace, reason: str) -> None:
    """Nothing was decided, and who Slack says pressed is in the audit."""
    assert work.here.store.writes == 0
    assert [refusal[1] for refusal in work.here.store.refusals] == [f"a Slack button: {reason}"]


def unsigned(work: Workspace, reason: str) -> None:
    """Nothing was decided, and the refusal is counted within its bounds."""
    assert (work.here.store.writes, work.here.store.refusals) == (0, [])
    assert [refusal[1] for refusal in work.unsigned] == [f"a Slack button: {reason}"]


def unread(work: Workspace, reason: str) -> None:
    """Nothing was read, nothing was written: one line in the log."""
    assert (work.here.store.writes, work.here.store.refusals, work.unsigned) == (0, [], [])
    assert work.secrets.asked == []
    assert work.log.lines == [f"A press in Slack was refused: {reason}"]


def test_an_approver_approves_by_button(work):
    answer = work.press(reason="Saw it on staging.")
    assert (answer.status, answer.body) == (200, "")
    assert work.here.record["decisions"] == [
        {
            "approver": ANA,
            "decision": "approve",
            "reason": "Saw it on staging.",
            "at": NOW.isoformat(),
            "identity": "slack T0123 U0ANA",
        }
    ]
    assert work.replies() == ["*storefront v1.4.0*: Your approval is recorded."]
    assert work.here.deliver.delivered == []
    work.press(user="U0BO")
    assert work.here.record["status"] == "APPROVED"
    assert work.here.deliver.delivered == [work.here.record["id"]]


def test_a_rejection_by_button_also_needs_a_reason(work):
    work.press("reject", reason="  ")
    assert "Say why you reject it" in work.replies()[0]
    assert work.here.store.writes == 0
    work.press("reject", reason="The basket is broken.")
    assert work.here.record["status"] == "REJECTED"
    assert work.here.record["decisions"][0]["reason"] == "The basket is broken."
    assert work.replies()[1] == "*storefront v1.4.0*: Your rejection is recorded."


def test_the_message_has_the_fields_that_the_press_sends(work):
    message = announcement(work.here.record, now=NOW, buttons=work.token)
    field_, actions = message["blocks"][-2:]
    assert (field_["block_id"], field_["element"]["action_id"], field_["optional"]) == (
        "reason",
        "reason",
        True,
    )
    assert [(it["action_id"], it["value"]) for it in actions["elements"]] == [
        ("approve", f"{work.here.record['id']}.{work.token}"),
        ("reject", f"{work.here.record['id']}.{work.token}"),
    ]
    plain = announcement(work.here.record, now=NOW)
    assert plain["blocks"] == message["blocks"][:-2]


def test_an_approval_keeps_its_proof(work):
    work.press()
    kept = work.here.store.proofs[ANA]
    assert (kept.kind, kept.mac) == (SLACK, Token.parse(work.token).mac)


@pytest.mark.parametrize(
    "token, reason",
    [
        (lambda record: "", "malformed"),
        (lambda record: link(record, ANA), "not an approver of this"),
        (
            lambda record: link(record | {"id": "another-request-of-storefront"}, BUTTONS),
            "not an approver of this",
        ),
        (lambda record: link(record | {"digest": "0" * 64}, BUTTONS), "altered"),
        (lambda record: link(record, BUTTONS, stage="staging"), "altered"),
        (lambda record: link(record, BUTTONS, expires=NOW), "expired"),
    ],
)
def test_a_button_of_another_request_decides_nothing(work, token, reason):
    """Validly signed by Slack: anybody who can post with the team's app can show any button."""
    payload = work.payload()
    payload["actions"][0]["value"] = f"{work.here.record['id']}.{token(work.here.record)}"
    assert work.send(payload).status == 200
    untouched(work, f"its token is {reason}")
    assert "These buttons are not valid" in work.replies()[0]


def test_a_second_press_changes_nothing_and_gets_the_same_answer(work):
    work.press()
    work.press()
    assert work.here.store.writes == 1
    assert work.replies()[0] == work.replies()[1]
    work.press("reject", "I was wrong.")
    assert "A decision is final" in work.replies()[2]
    assert work.here.store.writes == 1


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"status": "SUPERSEDED"}, "A newer release replaced it"),
        ({"status": "OUTDATED"}, "Another release was deployed first, so this one is planned again"),
        ({"status": "EXPIRED"}, "The approval request has expired"),
        ({"status": "CLOSED"}, "no longer waits"),
        ({"status": "REJECTED"}, "already rejected"),
        ({"decisions": [approved(BO, 1), approved("chi@example.com", 2)]}, "already has its approvals"),
        ({"author": ANA}, "your approval does not count"),
    ],
)
def test_a_decided_request_answers_with_its_outcome(work, changes, says):
    work.here.store.put(sample(slack=SECRET, **changes))
    assert work.press().status == 200
    assert says in work.replies()[0]
    assert work.here.store.writes == 0


def test_a_release_that_no_longer_waits_is_reported(work):
    work.here.waits = lambda _: False
    work.press()
    assert "its execution has ended" in work.replies()[0]
    assert work.here.store.writes == 0


def test_an_undelivered_decision_is_recorded_and_reported(work):
    work.here.store.put(sample(slack=SECRET, required=1))
    work.here.deliver.raises = AwsUnavailable("throttled")
    work.press()
    assert "could not be delivered yet" in work.replies()[0]
    work.here.deliver.raises = None
    work.press()
    assert work.replies()[1].endswith("Your approval is recorded.")
    assert (work.here.store.writes, work.here.deliver.delivered) == (1, [work.here.record["id"]])


# ---- refused people ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "user, reason",
    [("U0NOBODY", "an unknown user"), ("U0EVE", "not an approver of this"), ("u0ana", "an unknown user")],
)
def test_a_press_by_a_person_who_is_not_an_approver_is_refused_and_recorded(work, user, reason):
    assert work.press(user=user).status == 200
    assert work.replies(user) == [
        "*storefront v1.4.0*: You are not an approver of this release, so nothing was recorded."
    ]
    untouched(work, reason)


def test_a_user_of_another_workspace_is_unknown(work):
    payload = work.payload()
    payload["team"]["id"] = "T0999"
    assert work.send(payload).status == 200
    assert "You are not an approver" in work.replies()[0]
    untouched(work, "another workspace")


@pytest.mark.parametrize("late", [301, -301, 10**6])
def test_a_replayed_request_is_refused(work, late):
    assert work.send(work.payload(), late=late).status == 403
    unread(work, "sent again, or too late")


@pytest.mark.parametrize("late", [300, -300, 0])
def test_the_replay_window_is_five_minutes(work, late):
    assert work.send(work.payload(), late=late).status == 200
    assert work.here.store.writes == 1


def test_another_applications_signature_is_refused(work):
    assert work.send(work.payload(), key="another-applications-secret").status == 403
    unsigned(work, "signed by somebody else")
    assert work.slack.posts == []


def test_every_altered_signature_is_refused(work):
    raw = urlencode({"payload": json.dumps(work.payload())}).encode()
    at = str(int(NOW.timestamp()))
    mac = hmac.new(SIGNING_SECRET.encode(), b"v0:" + at.encode() + b":" + raw, hashlib.sha256).hexdigest()
    good = {"content-type": "application/x-www-form-urlencoded", "x-slack-request-timestamp": at}
    for place in range(64):
        other = "0" if mac[place] != "0" else "1"
        bad = good | {"x-slack-signature": f"v0={mac[:place]}{other}{mac[place + 1 :]}"}
        assert work.post(raw, bad).status == 403
    for signature in ("", mac, f"v1={mac}", f"v0={mac.upper()}", f"v0={mac}0", f"v0={mac[:-1]}", "v0="):
        assert work.post(raw, good | {"x-slack-signature": signature}).status == 403
    for time in ("", "now", f"{at}.0", f" {at}", f"+{at}", "9" * 13, "١٢"):
        altered = good | {"x-slack-signature": f"v0={mac}", "x-slack-request-timestamp": time}
        assert work.post(raw, altered).status == 403
    assert work.here.store.writes == 0
    assert work.slack.posts == []
    assert work.post(raw, good | {"x-slack-signature": f"v0={mac}"}).status == 200


def test_the_signature_covers_the_raw_body(work):
    raw = urlencode({"payload": json.dumps(work.payload("reject", "x"))}).encode()
    assert work.send(work.payload(), body=raw).status == 403
    assert work.here.store.writes == 0


def changed(**changes: Any):
    return lambda payload: payload | changes


@pytest.mark.parametrize(
    "change",
    [
        changed(type="view_submission"),
        changed(actions=[]),
        changed(actions=[{"action_id": "approve", "value": "short"}]),
        changed(actions=[{"action_id": "merge", "value": "x" * 26}]),
        changed(actions=[{"action_id": "approve"}]),
        changed(actions=[{"action_id": "approve", "value": "x" * 26}] * 2),
        changed(actions=[{"action_id": ["approve"], "value": "x" * 26}]),
        changed(actions=None),
        changed(state={}),
        changed(state=None),
        changed(user=None),
        changed(team={}),
        lambda _: [],
        lambda _: None,
        lambda _: "text",
    ],
)
def test_a_press_of_no_known_button_is_refused_before_any_lookup(work, change):
    assert work.send(change(work.payload())).status == 403
    unread(work, "malformed")


@pytest.mark.parametrize(
    "body, headers, method",
    [
        (b"", {}, "POST"),
        (b"payload=%7B", {}, "POST"),
        (b"payload=" + b"[" * 100_000, {}, "POST"),
        (b"x" * (256 * 1024 + 1), {}, "POST"),
        (b"\xff", {}, "POST"),
        (b"a=1&payload=2&c=3", {}, "POST"),
        (b"payload={}", {"content-type": "application/json"}, "POST"),
        (b"payload={}", {}, "GET"),
    ],
)
def test_odd_requests_are_refused(work, body, headers, method):
    at = str(int(NOW.timestamp()))
    signed = {"x-slack-request-timestamp": at, "x-slack-signature": f"v0={'0' * 64}"}
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert work.post(body, form | signed | headers, method).status == 403
    unread(work, "malformed")


def test_an_unsigned_request_is_refused_before_it_is_parsed(work):
    assert work.post(b"payload={}", {"content-type": "application/x-www-form-urlencoded"}).status == 403
    unread(work, "not signed")


def test_a_signed_press_in_any_other_format_is_refused(work):
    assert work.send(work.payload() | {"padding": "x" * 256 * 1024}).status == 403
    for name in ("Payload", "payload2"):
        raw = urlencode({name: json.dumps(work.payload())}).encode()
        at = str(int(NOW.timestamp()))
        mac = hmac.new(SIGNING_SECRET.encode(), b"v0:" + at.encode() + b":" + raw, hashlib.sha256).hexdigest()
        headers = {
            "content-type": "application/x-www-form-urlencoded",
            "x-slack-request-timestamp": at,
            "x-slack-signature": f"v0={mac}",
        }
        assert work.post(raw, headers).status == 403
        good = raw.replace(name.encode(), b"payload")
        mac = hmac.new(
            SIGNING_SECRET.encode(), b"v0:" + at.encode() + b":" + good, hashlib.sha256
        ).hexdigest()
        assert work.post(good, headers | {"x-slack-signature": f"v0={mac}"}, "PUT").status == 403
    assert work.here.store.writes == 0


def test_an_unknown_request_gets_the_same_refusal(work):
    payload = work.payload()
    payload["actions"][0]["value"] = "x" * 26
    unknown = work.send(payload)
    forged = work.send(work.payload(), key="another-applications-secret")
    assert unknown == forged
    assert work.secrets.asked == [SECRET]


@pytest.mark.parametrize(
    "text",
    [
        "CHANNEL",
        secret(channel="CHANNEL", signingSecret=None, team=None, users=None),
        secret(signingSecret=""),
        secret(signingSecret="short"),
        secret(team=None),
        secret(users=None),
        secret(users={}),
        secret(users={"ana": ANA}),
        secret(users={"U0ANA": "ana"}),
        secret(users=[ANA]),
    ],
)
def test_buttons_need_all_their_settings(work, text):
    work.secrets.text = text.replace("CHANNEL", work.slack.url())
    assert work.send(work.payload()).status == 403
    assert work.send(work.payload(), key="").status == 403
    assert work.here.store.writes == 0


def test_an_application_without_slack_has_no_buttons(work):
    work.here.store.put(sample(slack=""))
    assert work.press().status == 403
    unsigned(work, "unknown approval")
    assert work.secrets.asked == []


def test_with_sign_in_buttons_cannot_bypass_it(work):
    work.here.login = object()
    assert work.press().status == 200
    assert "This stage requires a sign-in before you decide" in work.replies()[0]
    untouched(work, "this stage asks for a sign-in")


def test_without_the_secret_nothing_is_decided(work):
    work.secrets.raises = EndpointConnectionError(endpoint_url="https://secrets.example.com")
    assert work.press().status == 503
    assert (work.here.store.writes, work.here.store.refusals) == (0, [])


def test_without_the_ledger_the_person_is_asked_to_press_again(work):
    def unavailable(*_, **__):
        raise AwsUnavailable("throttled")

    work.here.store.decide = unavailable
    assert work.press().status == 200
    assert "Press again in a minute" in work.replies()[0]


@pytest.mark.parametrize(
    "address", ["https://evil.example/actions", "http://169.254.169.254/", "", None, "https://[", {"a": 1}]
)
def test_a_press_with_a_foreign_response_url_is_refused(work, address):
    """Although it is signed: Slack names no other host, so somebody else has the signing secret."""
    assert work.send(work.payload() | {"response_url": address}).status == 403
    unread(work, "its answer would not go to Slack")


@pytest.mark.parametrize("stage", ["staging", "production"])
def test_a_response_goes_to_this_machine_only_in_development(work, stage):
    work.stage = stage
    assert work.press().status == 403
    unread(work, "its answer would not go to Slack")


@pytest.mark.parametrize("hosts", [("slack.com", "127.0.0.1"), ("hooks.slack-gov.com",)])
def test_a_response_goes_to_an_allowed_slack_host(work, hosts):
    work.hosts = hosts
    for host in ("slack.com", "hooks.slack.com", "evil.example"):
        payload = work.payload() | {"response_url": f"https://{host}/actions/T0123/1/x"}
        assert work.send(payload).status == 403
    assert work.here.store.writes == 0


def test_a_real_slack_press_is_answered_in_production(work, monkeypatch):
    posted = []
    monkeypatch.setattr("tagship.slack.messages.web.send", lambda url, **_: posted.append(url) or answer)
    answer = Answer(status=200, body=b"ok", retry_after="")
    work.secrets.text = secret(channel="https://hooks.slack.com/services/T0/B0/x")
    work.hosts, work.stage = ("hooks.slack.com", "slack.com", "127.0.0.1"), "production"
    work.here.store.put(sample(slack=SECRET.replace("development", "production"), required=2))
    url = "https://hooks.slack.com/actions/T0123/1/x"
    assert work.send(work.payload() | {"response_url": url}).status == 200
    assert (work.here.store.writes, posted) == (1, [url])


def test_a_failed_response_to_slack_changes_nothing(work):
    work.slack.answers["U0ANA"] = (500, "oops")
    assert work.press().status == 200
    assert work.here.store.writes == 1
    assert work.log.lines == ["Slack could not be answered: status 500 oops"]


def test_too_many_presses_by_one_person_block_nobody_else(work):
    def too_many(*_):
        raise TooManyRequests

    work.here.store.refused = too_many
    assert work.press(user="U0NOBODY").status == 200
    assert "You are not an approver" in work.replies("U0NOBODY")[0]


def test_a_hostile_name_is_escaped_in_the_response(work):
    work.here.store.put(sample(slack=SECRET, tag="<!channel> <https://evil.example|v1>"))
    work.press()
    assert "<" not in work.replies()[0]


def test_the_signing_secret_is_never_exposed(work):
    work.press(user="U0NOBODY")
    work.send(work.payload(), key="x")
    everything = repr([work.here.store.refusals, work.here.record, work.log.lines, work.slack.posts])
    assert SIGNING_SECRET not in everything
    from tagship.slack.messages import webhooks

    assert SIGNING_SECRET not in repr(webhooks(work.secrets, SECRET, hosts=["127.0.0.1"]))
