"""What approvers are asked, who gets a link, and what happens if mail fails."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field, replace
from datetime import timedelta
from secrets import token_bytes
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from tagship.approval.errors import QuorumUnreachable
from tagship.approval.link import GRACE, LinkVerifier, known_keys
from tagship.approval.request import sending
from tagship.approval.request.request import remind, request_of, seconds_left, send_links
from tagship.ledger import approvals, releases
from tagship.ledger.notices import Thread
from tagship.ledger.table import Item, Ledger
from tagship.model.errors import AwsUnavailable, CredentialsRefused, NoChannelReached
from tagship.settings import Settings
from tests.slack_server import slack
from tests.template.cloudformation import functions
from tests.unit import builders
from tests.unit.approval.builders import ANA, BO, CHI, KEY, STAGE, FakeKms
from tests.unit.slack.test_messages import FakeSecrets
from tests.unit.tables import NOW, aws_error

SETTINGS = Settings(
    stage=STAGE,
    ledger_table="ledger",
    link_key=KEY,
    slack_hosts=("127.0.0.1",),
    approval_base_url="https://approve.example.com",
    sender_address="tagship@example.com",
)
PLAN = {
    "from": "v1.3.0",
    "to": "v1.4.0",
    "digest": builders.sha256(b"plan"),
    "summary": ["version 1 → version 2"],
    "steps": [{"percent": 10, "bake": 60, "needs": 75}, {"percent": 100, "bake": 0, "needs": 15}],
    "nothingToChange": False,
    "locations": builders.locations("1", "2"),
}
WEEK = 604_800


@dataclass
class FakeSes:
    """Stores sent mails; `refuses` maps unreachable people to the error."""

    refuses: dict[str, Exception] = field(default_factory=dict)
    mails: list[dict[str, Any]] = field(default_factory=list)

    def send_email(
        self, *, Source: str, Destination: dict[str, Any], Message: dict[str, Any]
    ) -> dict[str, str]:
        (approver,) = Destination["ToAddresses"]
        if approver in self.refuses:
            raise self.refuses[approver]
        self.mails.append({"from": Source, "to": approver, "message": Message})
        return {"MessageId": "1"}

    @property
    def recipients(self) -> list[str]:
        return sorted(mail["to"] for mail in self.mails)  # they go out side by side


def planned(**policy: Any) -> dict[str, Any]:
    """The record of a planned release, under an approval policy."""
    document = builders.changed(
        builders.record()["configuration"]["document"],
        {f"approval.{name}": value for name, value in policy.items()},
    )
    configuration = {"version": 1, "document": document, "problems": []}
    return builders.record(configuration=configuration) | {
        "attempt": 1,
        "plan": PLAN,
        "gates": [{"gate": "tag"}],
    }


def asked(ledger: Ledger, **policy: Any) -> Item:
    """A request that was opened."""
    releases.claim(ledger, builders.record(manifest=None, objects={}, configuration={}))
    new_request = request_of(planned(**policy), now=NOW, longest=WEEK, random=token_bytes)
    return approvals.request(ledger, new_request, execution=builders.EXECUTION)


def send(
    ledger: Ledger, request: Item, ses: FakeSes, *, kms: Any = None, secrets: FakeSecrets | None = None
) -> None:
    clients = {"ses": ses, "kms": kms or FakeKms(), "secretsmanager": secrets}
    send_links(ledger, request, client=clients.__getitem__, settings=SETTINGS, now=NOW)


def facts(ledger: Ledger, name: str) -> list[Item]:
    return [fact for fact in ledger.facts_of("storefront", "v1.4.0") if fact["name"] == name]


# ---- what is asked -------------------------------------------------------------------------------------------------


def test_a_request_is_about_one_plan_and_contains_what_approvers_read():
    request = request_of(planned(), now=NOW, longest=WEEK, random=token_bytes)
    assert request | {"id": ""} == {
        "id": "",
        "application": "storefront",
        "stage": "production",
        "tag": "v1.4.0",
        "fromTag": "v1.3.0",
        "attempt": 1,
        "planning": 1,
        "digest": PLAN["digest"],
        "execution": builders.EXECUTION,
        "author": "dana@example.com",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "repository": "acme/storefront",
        "ref": "",
        "changes": None,
        "notes": "",
        "createdAt": "2026-11-23T09:40:00Z",
        "gates": [{"gate": "tag"}],
        "plan": {"summary": PLAN["summary"], "steps": PLAN["steps"], "nothingToChange": False},
        "warnings": [],
        "approvers": [ANA, BO, CHI],
        "required": 1,
        "authorMayApprove": False,
        "rules": [{"group": "", "approvers": [ANA, BO, CHI], "required": 1}],
        "countInEveryRule": False,
        "reasonToApprove": False,
        "remindEvery": 3600,
        "escalateTo": [],
        "slack": "",
        "expiresAt": "2026-11-23T14:00:00.000Z",
        "watchUrl": "https://us-east-1.console.aws.amazon.com/states/home?region=us-east-1"
        f"#/v2/executions/details/{builders.EXECUTION}",
    }


def test_an_attempt_has_one_request_however_often_it_is_created(ledger):
    """Fault 29: asked again, under whatever id, it is the one that was opened."""
    first = asked(ledger)
    again = request_of(planned(), now=NOW + timedelta(hours=1), longest=WEEK, random=token_bytes)
    assert again["id"] != first["id"]
    assert approvals.request(ledger, again, execution=builders.EXECUTION) == first
    assert releases.get(ledger, "storefront", "v1.4.0")["approval"] == first["id"]
    assert len(facts(ledger, "Approval Requested")) == 1


@pytest.mark.parametrize(
    "expires, longest, until",
    [(60, WEEK, "2026-11-23T10:01:00.000Z"), (14_400, 3600, "2026-11-23T11:00:00.000Z")],
    ids=["as configured", "no longer than the stage allows"],
)
def test_the_applications_approval_timeout_is_capped_by_the_stages(expires, longest, until):
    assert (
        request_of(planned(expires=expires), now=NOW, longest=longest, random=token_bytes)["expiresAt"]
        == until
    )


@pytest.mark.parametrize(
    "plan, warning",
    [
        (
            {"locations": builders.locations(None, "2"), "from": None},
            "This is the first release: after a rollback, nothing would serve traffic",
        ),
        ({"from": None}, "a rollback restores the version that was deployed by other means"),
    ],
    ids=["nothing serves", "first by Tagship"],
)
def test_warnings_about_a_limited_rollback_are_shown_before_approval(plan, warning):
    """Fault 46."""
    (shown,) = request_of(planned() | {"plan": PLAN | plan}, now=NOW, longest=WEEK, random=token_bytes)[
        "warnings"
    ]
    assert warning in shown


def test_a_request_that_cannot_get_enough_approvals_is_refused():
    """Fault 20."""
    with pytest.raises(
        QuorumUnreachable, match=r"only 1 of its approvers can decide, not counting the author"
    ):
        request_of(
            planned(approvers=["dana@example.com", ANA], required=2),
            now=NOW,
            longest=WEEK,
            random=token_bytes,
        )


def emergency(**policy: Any) -> dict[str, Any]:
    """A planned release whose author said that it can't wait."""
    record = planned(**policy)
    return record | {"manifest": record["manifest"] | {"emergency": "nobody can pay"}}


@pytest.mark.parametrize(
    "policy, required",
    [
        ({"required": 1}, 3),
        ({"approvers": [ANA, BO, "dana@example.com"], "required": 1}, 2),
        ({"approvers": [ANA, "dana@example.com"], "required": 1, "authorMayApprove": True}, 2),
        ({"approvers": [ANA], "required": 1}, 1),
    ],
)
def test_an_emergency_requires_everybody_who_may_decide(policy, required):
    assert request_of(emergency(**policy), now=NOW, longest=WEEK, random=token_bytes)["required"] == required


def test_an_emergency_without_possible_approvers_is_refused():
    with pytest.raises(QuorumUnreachable):
        request_of(emergency(approvers=["dana@example.com"]), now=NOW, longest=WEEK, random=token_bytes)


def test_gate_warnings_come_first_after_an_emergency_notice():
    gates = [
        {"gate": "tag", "warning": ""},
        {"gate": "alarms", "warning": "An alarm fires already."},
        {"gate": "calendar", "warning": "EMERGENCY, declared by dana@example.com: nobody can pay."},
    ]
    warnings = request_of(
        planned() | {"gates": gates, "plan": PLAN | {"from": None}}, now=NOW, longest=WEEK, random=token_bytes
    )["warnings"]
    assert [warning.split(" ")[0] for warning in warnings] == ["EMERGENCY,", "An", "This"]


@pytest.mark.parametrize(
    "passed, left",
    [
        (timedelta(0), 14_400),
        (timedelta(seconds=0.2), 14_400),
        (timedelta(hours=4) - timedelta(milliseconds=1), 1),
        (timedelta(hours=4), 0),
        (timedelta(hours=4, milliseconds=1), 0),
        (timedelta(hours=5), -3600),
    ],
    ids=str,
)
def test_a_started_second_counts_as_a_whole(passed, left):
    """Step Functions takes whole seconds: none too few, so that the reminder after the last one finds the time over."""
    assert seconds_left({"expiresAt": "2026-11-23T14:00:00.000Z"}, NOW + passed) == left


# ---- links ---------------------------------------------------------------------------------------------------------


def link_of(mail: dict[str, Any]) -> str:
    (found,) = set(re.findall(r"https://approve\.example\.com/\S+", mail["message"]["Body"]["Text"]["Data"]))
    return str(found)


def test_each_approver_gets_one_mail_with_a_personal_link(ledger):
    request, ses, kms = asked(ledger), FakeSes(), FakeKms()
    send(ledger, request, ses, kms=kms)
    assert ses.recipients == [ANA, BO, CHI]
    verifier = LinkVerifier(kms, known_keys(KEY), stage=STAGE)
    for mail in ses.mails:
        address, _, token = link_of(mail).partition("?t=")
        assert address == f"https://approve.example.com/approvals/{request['id']}"
        assert verifier.verify(token, request, NOW) == mail["to"]
    assert approvals.get(ledger, request["id"])["sent"] == dict.fromkeys(
        [f"mail to {who}" for who in (ANA, BO, CHI)], "sent"
    )


def test_a_mail_is_sent_by_the_stage_in_text_and_html(ledger):
    ses = FakeSes()
    send(ledger, asked(ledger), ses)
    mail = ses.mails[0]
    assert mail["from"] == "tagship@example.com"
    assert mail["message"]["Subject"] == {
        "Data": "Approve storefront v1.4.0 for production?",
        "Charset": "UTF-8",
    }
    assert {part["Charset"] for part in mail["message"]["Body"].values()} == {"UTF-8"}
    assert set(mail["message"]["Body"]) == {"Text", "Html"}


def test_a_link_outlives_its_request_so_that_latecomers_see_the_outcome(ledger):
    request, ses, kms = asked(ledger), FakeSes(), FakeKms()
    send(ledger, request, ses, kms=kms)
    token = link_of(ses.mails[0]).partition("?t=")[2]
    verifier = LinkVerifier(kms, known_keys(KEY), stage=STAGE)
    assert verifier.verify(token, request, NOW + timedelta(hours=4) + GRACE - timedelta(seconds=1)) == ANA
    with pytest.raises(Exception, match="expired"):
        verifier.verify(token, request, NOW + timedelta(hours=4) + GRACE)


def test_the_author_gets_no_link(ledger):
    """Fault 20."""
    ses = FakeSes()
    send(ledger, asked(ledger, approvers=[ANA, "Dana@example.com", BO]), ses)
    assert ses.recipients == [ANA, BO]


def test_an_approver_who_was_reached_gets_no_second_message(ledger):
    """Fault 29."""
    request = asked(ledger)
    send(ledger, request, FakeSes(refuses={BO: aws_error("MessageRejected")}))
    again = FakeSes()
    send(ledger, approvals.get(ledger, request["id"]), again)
    assert again.recipients == [BO]
    assert set(approvals.get(ledger, request["id"])["sent"].values()) == {"sent"}


@pytest.mark.parametrize(
    "error, expected",
    [
        (aws_error("MessageRejected"), "MessageRejected"),
        (aws_error("Throttling"), "Throttling"),
        (EndpointConnectionError(endpoint_url="https://email.example.com"), "EndpointConnectionError"),
    ],
    ids=["refused", "throttled", "not reached"],
)
def test_an_unreachable_approver_is_recorded_and_the_others_decide(ledger, error, expected):
    """Fault 21."""
    request, ses = asked(ledger), FakeSes(refuses={ANA: error})
    for _ in range(2):
        send(ledger, request, ses)
    assert approvals.get(ledger, request["id"])["sent"] == {
        f"mail to {ANA}": expected,
        f"mail to {BO}": "sent",
        f"mail to {CHI}": "sent",
    }
    (fact,) = facts(ledger, "Approval Error")
    assert fact["data"] == {"approval": request["id"], "channel": "mail", "failed": {ANA: expected}}


class SlowSes(FakeSes):
    """Accepts one mail per tick, as an account in the sandbox does per second."""

    open = True

    def tick(self, _seconds: float) -> None:
        self.open = True

    def send_email(self, **mail: Any) -> dict[str, str]:
        if not self.open:
            raise aws_error("Throttling", message="Maximum sending rate exceeded.")
        self.open = False
        return super().send_email(**mail)


def test_all_approvers_get_their_mail_from_an_account_with_a_low_sending_rate(ledger):
    """Fault 21. The mails go out side by side, and most of them meet the rate."""
    request, ses = asked(ledger), SlowSes()
    send(replace(ledger, pause=ses.tick), request, ses)
    assert ses.recipients == [ANA, BO, CHI]


def test_a_sending_rate_that_stays_exceeded_is_recorded(ledger):
    """Fault 21."""
    request, waited = asked(ledger), []
    full = aws_error("Throttling", message="Maximum sending rate exceeded.")
    with pytest.raises(AwsUnavailable):
        send(
            replace(ledger, pause=waited.append),
            request,
            FakeSes(refuses=dict.fromkeys([ANA, BO, CHI], full)),
        )
    assert max(waited) < 2 and sum(waited) / 3 < sending.SECONDS


@pytest.mark.parametrize(
    "error",
    [aws_error("ServiceUnavailable", status=503), EndpointConnectionError(endpoint_url="https://email")],
)
def test_if_mail_is_down_for_a_moment_the_step_is_retried(ledger, error):
    """Fault 21. One attempt a second later reaches them."""
    request = asked(ledger)
    with pytest.raises(AwsUnavailable, match="no approver could be notified"):
        send(ledger, request, FakeSes(refuses=dict.fromkeys([ANA, BO, CHI], error)))
    ses = FakeSes()
    send(ledger, approvals.get(ledger, request["id"]), ses)
    assert ses.recipients == [ANA, BO, CHI]


def test_the_step_is_retried_if_one_approver_may_still_be_reached(ledger):
    """Fault 21."""
    refuses = {ANA: aws_error("MessageRejected"), **dict.fromkeys([BO, CHI], aws_error("Throttling"))}
    with pytest.raises(AwsUnavailable):
        send(ledger, asked(ledger), FakeSes(refuses=refuses))


def test_if_nobody_can_be_reached_the_release_ends_with_a_remedy(ledger):
    """Fault 21."""
    request = asked(ledger)
    ses = FakeSes(refuses=dict.fromkeys([ANA, BO, CHI], aws_error("MessageRejected")))
    with pytest.raises(
        NoChannelReached, match=r"so nobody can decide \(mail to ana@example\.com: MessageRejected;"
    ) as caught:
        send(ledger, request, ses)
    assert "Nothing was changed. Fix the problems named here" in str(caught.value)
    assert len(facts(ledger, "Approval Error")) == 1


# ---- Slack ---------------------------------------------------------------------------------------------------------


def asked_with_slack(ledger: Ledger, **policy: Any) -> Item:
    return asked(ledger, **policy) | {"slack": "tagship/production/storefront/slack"}


def test_the_channel_is_notified_and_only_the_approvers_own_conversation_gets_the_link(ledger):
    request, ses = asked_with_slack(ledger), FakeSes()
    with slack() as here:
        send(ledger, request, ses, secrets=FakeSecrets(here.secret("Ana@example.com", "eve@example.com")))
    (announced,), (own,) = here.to("channel"), here.to("ana")
    assert "?t=" not in str(announced)
    assert link_of(ses.mails[0]).partition("?t=")[0] in str(own)
    assert here.to("eve") == []
    assert ses.recipients == [ANA, BO, CHI]
    assert set(approvals.get(ledger, request["id"])["sent"]) == {
        *(f"mail to {who}" for who in (ANA, BO, CHI)),
        f"slack to {ANA}",
        "slack to the channel",
    }


def test_a_bot_posts_in_the_releases_thread_and_also_to_the_channel(ledger):
    request = asked_with_slack(ledger)
    thread = Thread(ledger=ledger, release=request, channel="slack C0RELEASES")
    with slack() as here:
        opening = {"blocks": [{"text": {"text": "was read"}}], "channel": here.room, "client_msg_id": "1"}
        thread.begun(here.said(f"Bearer {here.token}", opening)["ts"])
        send(ledger, request, FakeSes(), secrets=FakeSecrets(here.bot(ANA)))
    ((first, second),) = here.threads().values()
    assert second["text"].startswith("Approval needed")
    assert (second["thread_ts"], second["reply_broadcast"]) == (first["ts"], True)
    assert "?t=" not in str(second)
    assert here.to("channel") == [] and len(here.to("ana")) == 1


def test_a_thread_opener_that_never_finishes_does_not_block_an_announcement(ledger):
    request = asked_with_slack(ledger)
    assert Thread(ledger=ledger, release=request, channel="slack C0RELEASES").taken()
    with slack() as here:
        send(ledger, request, FakeSes(), secrets=FakeSecrets(here.bot()))
    assert "thread_ts" not in here.messages[0]
    assert approvals.get(ledger, request["id"])["sent"]["slack to the channel"] == "sent"


def test_a_failed_bot_message_is_recorded_with_a_remedy(ledger):
    """Fault 21."""
    request, ses = asked_with_slack(ledger), FakeSes()
    with slack() as here:
        send(ledger, request, ses, secrets=FakeSecrets(here.bot(channelId="C0ANOTHER")))
    assert ses.recipients == [ANA, BO, CHI]
    (fact,) = facts(ledger, "Approval Error")
    assert fact["data"]["failed"]["the channel"].startswith("channel_not_found: no channel has this")
    assert here.token not in str(fact)


def test_a_posted_slack_message_is_not_repeated_and_a_failed_one_is(ledger):
    """Fault 29."""
    request = asked_with_slack(ledger)
    with slack() as here:
        here.answers["ana"] = (500, "")
        secrets = FakeSecrets(here.secret(ANA))
        send(ledger, request, FakeSes(), secrets=secrets)
        here.answers.clear()
        again = approvals.get(ledger, request["id"]) | {"slack": "tagship/production/storefront/slack"}
        send(ledger, again, FakeSes(), secrets=secrets)
    assert (len(here.to("channel")), len(here.to("ana"))) == (1, 1)


def test_if_mail_is_down_slack_carries_the_link(ledger):
    """Fault 21."""
    request = asked_with_slack(ledger)
    ses = FakeSes(refuses=dict.fromkeys([ANA, BO, CHI], aws_error("ServiceUnavailable")))
    with slack() as here:
        send(ledger, request, ses, secrets=FakeSecrets(here.secret(ANA)))
    assert len(here.to("ana")) == 1
    (fact,) = facts(ledger, "Approval Error")
    assert (fact["data"]["channel"], set(fact["data"]["failed"])) == ("mail", {ANA, BO, CHI})


@pytest.mark.parametrize(
    "answer, expected",
    [((404, "no_service"), "status 404 no_service: the webhook was removed"), ((503, ""), "status 503")],
    ids=["revoked", "down"],
)
def test_if_slack_is_down_mail_carries_the_link_and_the_fact_has_no_address(ledger, answer, expected):
    """Fault 21."""
    request, ses = asked_with_slack(ledger), FakeSes()
    with slack() as here:
        here.answers = {"channel": answer, "ana": answer}
        send(ledger, request, ses, secrets=FakeSecrets(here.secret(ANA)))
    assert ses.recipients == [ANA, BO, CHI]
    (fact,) = facts(ledger, "Approval Error")
    assert fact["data"]["failed"] == {"the channel": expected, ANA: expected}
    assert "services" not in str(fact) and "127.0.0.1" not in str(fact)


def test_an_unreadable_secret_is_reported_and_mail_carries_the_link(ledger):
    """Fault 21."""
    request, ses = asked_with_slack(ledger), FakeSes()
    send(ledger, request, ses, secrets=FakeSecrets(raises=aws_error("AccessDeniedException")))
    assert ses.recipients == [ANA, BO, CHI]
    (fact,) = facts(ledger, "Approval Error")
    assert fact["data"]["failed"] == {
        "the channel": "the secret tagship/production/storefront/slack cannot be read: AccessDeniedException"
    }


def test_a_channel_message_alone_reaches_nobody_because_it_has_no_link(ledger):
    """Fault 21."""
    request = asked_with_slack(ledger)
    ses = FakeSes(refuses=dict.fromkeys([ANA, BO, CHI], aws_error("MessageRejected")))
    with slack() as here, pytest.raises(NoChannelReached, match=r"mail to bo@example\.com: MessageRejected"):
        send(ledger, request, ses, secrets=FakeSecrets(here.url()))
    assert len(here.to("channel")) == 1


def test_slow_channels_delay_only_their_own_messages(ledger, monkeypatch):
    """Fault 21: SES and Slack hang for some people, and the others are notified meanwhile."""
    monkeypatch.setattr(sending.Outbox.__init__, "__kwdefaults__", {"seconds": 0.4, "clock": time.monotonic})
    request, held = asked_with_slack(ledger), threading.Event()

    class SlowSes(FakeSes):
        def send_email(self, **message: Any) -> dict[str, str]:
            if message["Destination"]["ToAddresses"] == [BO]:
                held.wait(30)
            return super().send_email(**message)

    with slack() as here:
        here.hangs.add("ana")
        begun = time.monotonic()
        send(ledger, request, SlowSes(), secrets=FakeSecrets(here.secret(ANA)))
        assert time.monotonic() - begun < 3
    held.set()
    assert approvals.get(ledger, request["id"])["sent"] == {
        f"mail to {ANA}": "sent",
        f"mail to {BO}": "no answer in time",
        f"mail to {CHI}": "sent",
        f"slack to {ANA}": "no answer in time",
        "slack to the channel": "sent",
    }


def test_all_messages_of_a_step_finish_well_before_its_function_times_out():
    for name in ("RequestApprovalFunction", "RemindApproversFunction"):
        assert functions()[name]["Timeout"] >= sending.SECONDS + 10


# ---- signatures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code, error", [("ThrottlingException", AwsUnavailable), ("AccessDeniedException", CredentialsRefused)]
)
def test_without_a_signature_no_mail_is_sent(ledger, code, error):
    request, ses, kms = asked(ledger), FakeSes(), FakeKms()
    kms.fails_with = code
    with pytest.raises(error):
        send(ledger, request, ses, kms=kms)
    assert ses.mails == []


# ---- reminders -----------------------------------------------------------------------------------------------------


def reminded(
    ledger: Ledger, request: Item, ses: FakeSes, *, minutes: int = 60, secrets: FakeSecrets | None = None
) -> None:
    clients = {"ses": ses, "kms": FakeKms(), "secretsmanager": secrets}
    now = NOW + timedelta(minutes=minutes)
    remind(ledger, request, client=clients.__getitem__, settings=SETTINGS, now=now)


def test_only_approvers_without_a_decision_are_reminded(ledger):
    """Fault 18."""
    request, ses = asked(ledger, required=2), FakeSes()
    request = request | {
        "decisions": [{"approver": BO, "decision": "approve", "reason": "", "at": "2026-11-23T10:05:00.000Z"}]
    }
    reminded(ledger, request, ses)
    assert ses.recipients == [ANA, CHI]
    assert all(
        mail["message"]["Subject"]["Data"].startswith("Reminder: approve storefront") for mail in ses.mails
    )
    (fact,) = facts(ledger, "Approvers Reminded")
    assert fact["data"] == {
        "approval": request["id"],
        "approvers": [ANA, CHI],
        "escalatedTo": [],
        "expiresAt": request["expiresAt"],
    }


def test_each_reminder_round_is_its_own_fact(ledger):
    request = asked(ledger)
    for minutes in (60, 60, 120):
        reminded(ledger, request, FakeSes(), minutes=minutes)
    assert len(facts(ledger, "Approvers Reminded")) == 2


def test_a_failed_reminder_is_recorded_and_stops_nothing(ledger):
    """Fault 21."""
    request = asked(ledger)
    ses = FakeSes(refuses=dict.fromkeys([ANA, BO, CHI], aws_error("MessageRejected")))
    reminded(ledger, request, ses)
    (fact,) = facts(ledger, "Approval Error")
    assert set(fact["data"]["failed"]) == {ANA, BO, CHI}
    assert len(facts(ledger, "Approvers Reminded")) == 1


def test_from_the_second_reminder_on_the_escalation_list_is_notified_without_a_link(ledger):
    request, ses = asked(ledger, escalateTo=["head@example.com", ANA]), FakeSes()
    for minutes in (60, 121, 181):
        reminded(ledger, request, ses, minutes=minutes)
    escalations = [mail for mail in ses.mails if mail["to"] == "head@example.com"]
    assert len(escalations) == 2
    subject = escalations[0]["message"]["Subject"]["Data"]
    assert subject.startswith("Still undecided: storefront v1.4.0 for production (ends in")
    for part in escalations[0]["message"]["Body"].values():
        assert "?t=" not in part["Data"] and "approve.example.com" not in part["Data"]
        assert "does not let you decide" in part["Data"]
    assert [fact["data"]["escalatedTo"] for fact in facts(ledger, "Approvers Reminded")] == [
        [],
        ["head@example.com"],
        ["head@example.com"],
    ]


def test_a_reminder_goes_to_an_approvers_own_conversation_and_not_to_the_channel(ledger):
    request = asked_with_slack(ledger)
    with slack() as here:
        reminded(ledger, request, FakeSes(), secrets=FakeSecrets(here.secret(ANA)))
    assert here.to("channel") == []
    assert here.to("ana")[0]["text"].startswith("Reminder")


@pytest.mark.parametrize(
    "changes, warnings",
    [
        ({"replaces": {"since": "2026-10-11T10:00:00.000Z"}}, ["The last release (v1.3.0) was 43 days ago"]),
        ({"replaces": {"since": "2026-11-20T10:00:00.000Z"}}, []),
        (
            {"gates": [{"gate": "alarms", "warning": "The alarm x is firing."}, {"gate": "tag"}]},
            ["The alarm x"],
        ),
    ],
    ids=["long ago", "lately", "a gate's"],
)
def test_unusual_things_come_first_for_approvers(changes, warnings):
    shown = request_of(planned() | changes, now=NOW, longest=WEEK, random=token_bytes)["warnings"]
    assert len(shown) == len(warnings)
    assert all(one.startswith(words) for one, words in zip(shown, warnings, strict=True))
