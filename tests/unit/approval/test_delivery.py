"""Delivers a recorded decision to the waiting execution: once, by whichever step finds it undelivered."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tagship.approval.quorum import outcome
from tagship.approval.request.delivery import answer_of, deliver
from tagship.ledger import approvals
from tagship.ledger.table import Item, Ledger
from tagship.model.errors import AwsUnavailable, TokenDead
from tests.unit.approval.builders import ANA, BO, approved, rejected, sample
from tests.unit.approval.test_request import asked
from tests.unit.tables import aws_error


@dataclass
class FakeStepFunctions:
    """Executions that wait on tokens; each token is answered once."""

    waiting: set[str] = field(default_factory=lambda: {"token"})
    results: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    fails_with: Exception | None = None

    def send_task_success(self, *, taskToken: str, output: str) -> None:
        if self.fails_with:
            raise self.fails_with
        if taskToken not in self.waiting:
            raise aws_error("TaskTimedOut")
        self.waiting.remove(taskToken)
        self.results.append((taskToken, json.loads(output)))


@pytest.fixture
def request_(ledger: Ledger) -> Item:
    """An open request on which an execution waits."""
    opened = asked(ledger)
    approvals.waits_on(ledger, opened["id"], "token")
    return opened


def decide(ledger: Ledger, request: Item, decision: str = "approve", reason: str = "") -> None:
    approvals.decide(ledger, request["id"], approver=ANA, decision=decision, reason=reason, judge=outcome)


def test_a_decision_reaches_the_execution(ledger, request_):
    decide(ledger, request_, "reject", "not today")
    stepfunctions = FakeStepFunctions()
    deliver(ledger, stepfunctions, request_["id"])
    assert stepfunctions.results == [
        (
            "token",
            {
                "decision": "rejected",
                "askSeconds": 3600,
                "by": [ANA],
                "why": "storefront v1.4.0 was rejected by ana@example.com (not today).",
            },
        )
    ]
    assert approvals.get(ledger, request_["id"])["delivered"] is True


def test_it_is_delivered_once_however_often_delivery_is_repeated(ledger, request_):
    """Fault 29."""
    decide(ledger, request_)
    stepfunctions = FakeStepFunctions()
    for _ in range(3):
        deliver(ledger, stepfunctions, request_["id"])
    assert len(stepfunctions.results) == 1


def test_an_open_request_is_not_delivered(ledger, request_):
    stepfunctions = FakeStepFunctions()
    deliver(ledger, stepfunctions, request_["id"])
    deliver(ledger, stepfunctions, "unknown")
    assert stepfunctions.results == []


def test_a_crash_between_ledger_and_execution_is_made_up_for(ledger, request_):
    """Fault 23."""
    decide(ledger, request_)
    broken = FakeStepFunctions(fails_with=aws_error("InternalFailure", status=500))
    with pytest.raises(AwsUnavailable, match="Telling the execution of storefront"):
        deliver(ledger, broken, request_["id"])
    stepfunctions = FakeStepFunctions()
    deliver(ledger, stepfunctions, request_["id"])
    assert len(stepfunctions.results) == 1


@pytest.mark.parametrize("code", ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"])
def test_a_dead_token_is_reported_and_the_decision_is_kept_undelivered(ledger, request_, code):
    """Fault 22."""
    decide(ledger, request_)
    before = approvals.get(ledger, request_["id"])
    with pytest.raises(TokenDead, match="is not waiting for this answer"):
        deliver(ledger, FakeStepFunctions(fails_with=aws_error(code)), request_["id"])
    assert approvals.get(ledger, request_["id"]) == before
    assert not before["delivered"]


def test_an_execution_that_waits_again_is_answered_with_its_new_token(ledger, request_):
    """Fault 22."""
    decide(ledger, request_)
    stepfunctions = FakeStepFunctions()
    deliver(ledger, stepfunctions, request_["id"])
    approvals.waits_on(ledger, request_["id"], "newer token")
    stepfunctions.waiting.add("newer token")
    deliver(ledger, stepfunctions, request_["id"])
    assert [token for token, _ in stepfunctions.results] == ["token", "newer token"]


def test_an_unexpected_refusal_is_not_mistaken_for_a_dead_token(ledger, request_):
    decide(ledger, request_)
    with pytest.raises(ClientError, match="AccessDenied"):
        deliver(ledger, FakeStepFunctions(fails_with=aws_error("AccessDeniedException")), request_["id"])


@pytest.mark.parametrize(
    "request_, answer",
    [
        (
            sample(status="APPROVED", decisions=[approved(ANA, 1), approved(BO, 2, reason="tested")]),
            {
                "decision": "approved",
                "by": [ANA, BO],
                "why": "storefront v1.4.0 was approved by ana@example.com, bo@example.com (tested).",
            },
        ),
        (
            sample(status="REJECTED", decisions=[approved(ANA, 1), rejected(BO, 2, reason="no")]),
            {
                "decision": "rejected",
                "by": [BO],
                "why": "storefront v1.4.0 was rejected by bo@example.com (no).",
            },
        ),
        (
            sample(
                status="SUPERSEDED", decisions=[approved(ANA, 1)], closedBy="Superseded by storefront v1.5.0."
            ),
            {"decision": "superseded", "by": [ANA], "why": "Superseded by storefront v1.5.0."},
        ),
        (
            sample(
                status="EXPIRED", closedBy="storefront v1.4.0: nobody decided in time. Nothing was changed."
            ),
            {
                "decision": "expired",
                "by": [],
                "why": "storefront v1.4.0: nobody decided in time. Nothing was changed.",
            },
        ),
    ],
    ids=["approved", "rejected", "superseded", "expired"],
)
def test_the_execution_receives_the_outcome_the_person_and_the_reason(request_, answer):
    assert answer_of(request_) == answer | {"askSeconds": 1}
