"""A request is opened once and decided once, even concurrently; its task token is never shown."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tagship.approval.quorum import outcome
from tagship.ledger import approvals, releases
from tagship.ledger.table import Item, Ledger
from tagship.model.errors import AlreadyDecided, ApprovalClosed, ApprovalExpired, LockLost, TagshipError
from tagship.model.release import Status
from tests.unit.builders import EXECUTION, record, sha256
from tests.unit.tables import meanwhile

ID = "mzxw6ytboi"
ANA, BO, CHI = "ana@example.com", "bo@example.com", "chi@example.com"
WANTED = {
    "id": ID,
    "application": "storefront",
    "stage": "production",
    "tag": "v1.4.0",
    "attempt": 1,
    "digest": sha256(b"plan"),
    "execution": EXECUTION,
    "author": "dana@example.com",
    "approvers": [ANA, BO, CHI],
    "required": 1,
    "authorMayApprove": False,
    "expiresAt": "2026-11-23T14:00:00.000Z",
}


@pytest.fixture
def opened(ledger: Ledger) -> Item:
    return ask(ledger)


def ask(ledger: Ledger, **changes: Any) -> Item:
    """Of a release that was read."""
    releases.claim(ledger, record(manifest=None, objects={}, configuration={}))
    return approvals.request(ledger, WANTED | changes, execution=EXECUTION)


def decide(ledger: Ledger, approver: str, decision: str = "approve", **changes: Any) -> Item:
    asked = {"approver": approver, "decision": decision, "reason": "", "judge": outcome}
    return approvals.decide(ledger, ID, **asked | changes)


def facts(ledger: Ledger) -> list[str]:
    return [fact["name"] for fact in ledger.facts_of("storefront", "v1.4.0")]


# ---- asking --------------------------------------------------------------------------------------------------------


def test_an_opened_request_is_stored_and_its_release_waits_for_approval(ledger, opened):
    assert opened | WANTED == opened
    assert (opened["status"], opened["decisions"], opened["sent"], opened["askedAt"]) == (
        "OPEN",
        [],
        {},
        "2026-11-23T10:00:00.000Z",
    )
    waiting = releases.get(ledger, "storefront", "v1.4.0")
    assert (waiting["approval"], waiting["phase"]) == (ID, "approval")
    assert approvals.release_of(ledger, opened) == waiting
    assert facts(ledger) == ["Release Read", "Approval Requested"]


def test_a_repeated_request_returns_the_existing_one(ledger, clock, opened):
    """Fault 29."""
    decide(ledger, ANA)
    clock.forward(60)
    again = ask(ledger, expiresAt="2026-11-23T14:01:00.000Z")
    assert again == approvals.get(ledger, ID)
    assert (again["status"], again["expiresAt"], len(again["decisions"])) == (
        "APPROVED",
        WANTED["expiresAt"],
        1,
    )


def test_an_ended_release_gets_no_request(ledger):
    releases.claim(ledger, record())
    releases.end(
        ledger,
        application="storefront",
        tag="v1.4.0",
        attempt=1,
        status=Status.ABORTED,
        why="stopped",
        execution=EXECUTION,
    )
    with pytest.raises(LockLost, match="Nobody was asked to approve it"):
        approvals.request(ledger, WANTED, execution=EXECUTION)
    assert approvals.get(ledger, ID) is None


def test_an_unknown_request_does_not_exist(ledger):
    assert approvals.get(ledger, "other") is None
    assert approvals.task_token(ledger, "other") == ""
    with pytest.raises(ApprovalClosed):
        decide(ledger, ANA)
    with pytest.raises(ApprovalClosed):
        approvals.close(ledger, "other", status="CLOSED", why="")


# ---- the token -----------------------------------------------------------------------------------------------------


def test_the_task_token_is_never_shown(ledger, opened):
    approvals.waits_on(ledger, ID, "the secret token")
    shown = [
        approvals.get(ledger, ID),
        ask(ledger),
        decide(ledger, ANA),
        approvals.close(ledger, ID, status="CLOSED", why="over"),
        *ledger.facts_in_order("storefront"),
    ]
    assert "the secret token" not in str(shown)
    assert "taskToken" not in str(shown)
    assert approvals.task_token(ledger, ID) == "the secret token"


def test_a_newer_token_replaces_the_old_one_and_needs_a_new_answer(ledger, opened):
    """Fault 22."""
    approvals.waits_on(ledger, ID, "one")
    approvals.delivered(ledger, ID)
    assert approvals.get(ledger, ID)["delivered"] is True
    approvals.waits_on(ledger, ID, "two")
    assert approvals.task_token(ledger, ID) == "two"
    assert approvals.get(ledger, ID)["delivered"] is False


def test_the_recipients_of_links_are_stored(ledger, opened):
    approvals.sent(ledger, ID, {ANA: "sent", BO: "MessageRejected"})
    assert approvals.get(ledger, ID)["sent"] == {ANA: "sent", BO: "MessageRejected"}


@pytest.mark.parametrize(
    "write",
    [
        lambda ledger: approvals.waits_on(ledger, "other", "token"),
        lambda ledger: approvals.sent(ledger, "other", {}),
        lambda ledger: approvals.delivered(ledger, "other"),
    ],
)
def test_an_unknown_request_is_never_written_to(ledger, write):
    with pytest.raises(Exception, match="did not hold"):
        write(ledger)
    assert approvals.get(ledger, "other") is None


# ---- deciding ------------------------------------------------------------------------------------------------------


def test_enough_approvals_decide_and_each_is_a_fact(ledger, clock):
    ask(ledger, required=2)
    assert decide(ledger, ANA)["status"] == "OPEN"
    clock.forward(60)
    decided = decide(ledger, BO, reason="looks good")
    assert decided == approvals.get(ledger, ID)
    assert decided["status"] == "APPROVED"
    assert decided["decisions"] == [
        {"approver": ANA, "decision": "approve", "reason": "", "at": "2026-11-23T10:00:00.000Z"},
        {"approver": BO, "decision": "approve", "reason": "looks good", "at": "2026-11-23T10:01:00.000Z"},
    ]
    given, granted = ledger.facts_of("storefront", "v1.4.0")[-2:]
    assert (given["name"], given["who"], granted["name"], granted["who"]) == (
        "Approval Given",
        ANA,
        "Approval Granted",
        BO,
    )
    assert granted["data"] == {
        "approval": ID,
        "decision": "approve",
        "reason": "looks good",
        "askedAt": "2026-11-23T10:00:00.000Z",
        "status": "APPROVED",
    }


def test_one_rejection_decides(ledger, opened):
    assert decide(ledger, BO, "reject", reason="not today")["status"] == "REJECTED"
    assert facts(ledger)[-1] == "Approval Rejected"


def test_a_decision_without_a_link_records_an_identity(ledger, opened):
    decided = decide(ledger, ANA, identity="arn:aws:sts::000000000000:assumed-role/release/ana")
    assert decided["decisions"][0]["identity"] == "arn:aws:sts::000000000000:assumed-role/release/ana"
    assert ledger.facts_of("storefront", "v1.4.0")[-1]["data"]["identity"].endswith("/ana")


def test_nobody_can_decide_twice(ledger):
    """Fault 16."""
    ask(ledger, required=2)
    decide(ledger, ANA)
    for decision in ("approve", "reject"):
        with pytest.raises(AlreadyDecided, match=r"ana@example\.com has already decided"):
            decide(ledger, ANA, decision)
    assert len(approvals.get(ledger, ID)["decisions"]) == 1


def test_a_double_click_is_one_decision(ledger):
    """Fault 16: both looked before either wrote."""
    ask(ledger, required=2)
    with pytest.raises(AlreadyDecided):
        decide(meanwhile(ledger, lambda: decide(ledger, ANA)), ANA)
    assert len(approvals.get(ledger, ID)["decisions"]) == 1
    assert facts(ledger).count("Approval Given") == 1


def test_a_decided_request_accepts_no_decision(ledger, opened):
    decide(ledger, ANA)
    with pytest.raises(ApprovalClosed, match="The request is approved"):
        decide(ledger, BO, "reject")


def test_a_closed_request_accepts_no_decision(ledger, opened):
    """Fault 24."""
    approvals.close(ledger, ID, status="SUPERSEDED", why="Superseded by storefront v1.5.0.")
    with pytest.raises(ApprovalClosed, match="The request is superseded"):
        decide(ledger, ANA)


@pytest.mark.parametrize("seconds, may", [(4 * 3600 - 1, True), (4 * 3600, False), (5 * 3600, False)])
def test_the_approval_time_ends_exactly(ledger, clock, opened, seconds, may):
    """Fault 18."""
    clock.forward(seconds)
    if may:
        assert decide(ledger, ANA)["status"] == "APPROVED"
    else:
        with pytest.raises(ApprovalExpired):
            decide(ledger, ANA)
        assert approvals.get(ledger, ID)["decisions"] == []


def test_an_expired_request_stays_expired(ledger, opened):
    approvals.close(ledger, ID, status="EXPIRED", why="nobody decided in time")
    with pytest.raises(ApprovalExpired):
        decide(ledger, ANA)


def test_a_request_approved_in_time_is_closed_and_not_expired(ledger, clock, opened):
    decide(ledger, ANA)
    clock.forward(5 * 3600)
    with pytest.raises(ApprovalClosed):
        decide(ledger, BO)


@pytest.mark.parametrize("first, second", [("approve", "reject"), ("reject", "approve")])
def test_of_concurrent_decisions_the_first_write_wins_and_the_other_is_refused(ledger, opened, first, second):
    """Fault 17."""
    with pytest.raises(ApprovalClosed):
        decide(meanwhile(ledger, lambda: decide(ledger, BO, first)), ANA, second)
    decided = approvals.get(ledger, ID)
    assert [(entry["approver"], entry["decision"]) for entry in decided["decisions"]] == [(BO, first)]


def test_two_concurrent_approvals_both_count(ledger):
    ask(ledger, required=2)
    assert decide(meanwhile(ledger, lambda: decide(ledger, BO)), ANA)["status"] == "APPROVED"
    assert [entry["approver"] for entry in approvals.get(ledger, ID)["decisions"]] == [BO, ANA]


@pytest.mark.parametrize("round_", range(5))
def test_concurrent_approve_and_reject_have_one_outcome(ledger, opened, round_):
    """Fault 17."""

    def press(button: tuple[str, str]) -> str:
        try:
            return str(decide(ledger, *button)["status"])
        except TagshipError as error:
            return type(error).__name__

    buttons = [(ANA, "approve"), (BO, "reject"), (CHI, "approve"), (ANA, "approve"), (BO, "reject")]
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(press, buttons[round_:] + buttons[:round_]))
    decided = approvals.get(ledger, ID)
    assert decided["status"] in ("APPROVED", "REJECTED")
    assert len(decided["decisions"]) == 1
    assert sorted({"APPROVED", "REJECTED"} & set(answers)) == [decided["status"]]
    assert answers.count(decided["status"]) == 1
    assert sum(name in ("Approval Granted", "Approval Rejected") for name in facts(ledger)) == 1


# ---- closing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status, fact",
    [("EXPIRED", "Approval Expired"), ("SUPERSEDED", "Approval Superseded"), ("CLOSED", "Approval Closed")],
)
def test_a_request_is_closed_once_with_a_reason(ledger, opened, status, fact):
    for why in ("first", "second"):
        closed = approvals.close(ledger, ID, status=status, why=why)
        assert (closed["status"], closed["closedBy"]) == (status, "first")
    assert facts(ledger).count(fact) == 1


@pytest.mark.parametrize("decision, status", [("approve", "APPROVED"), ("reject", "REJECTED")])
def test_a_decided_request_is_not_closed(ledger, opened, decision, status):
    decide(ledger, ANA, decision)
    assert approvals.close(ledger, ID, status="EXPIRED", why="late")["status"] == status
    assert "Approval Expired" not in facts(ledger)


def test_a_decision_made_during_a_closing_is_kept(ledger, opened):
    """Fault 17."""
    between = meanwhile(ledger, lambda: decide(ledger, ANA))
    closed = approvals.close(between, ID, status="EXPIRED", why="late")
    assert (closed["status"], "closedBy" in closed) == ("APPROVED", False)
    assert "Approval Expired" not in facts(ledger)


def test_a_closing_made_during_a_decision_is_kept(ledger, opened):
    with pytest.raises(ApprovalClosed):
        decide(meanwhile(ledger, lambda: approvals.close(ledger, ID, status="SUPERSEDED", why="newer")), ANA)
    assert approvals.get(ledger, ID)["decisions"] == []
    assert "Approval Granted" not in facts(ledger)
