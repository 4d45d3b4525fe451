"""What a compromised function can do with its permissions: who can create, wake, start, move and decide."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from tagship.approval.proof import LINK, Proof
from tagship.approval.request.delivery import deliver
from tagship.approval.store import LedgerStore
from tagship.ledger import approvals, jobs, logins, notices
from tagship.ledger.table import Ledger
from tagship.model.records import CurrentRecord, FreezeRecord, LockRecord, ReleaseRecord
from tests.unit.approval.builders import ANA
from tests.unit.approval.test_request import asked
from tests.unit.model.test_job import job
from tools import blast_radius
from tools.blast_radius import attributes_in
from tools.reference import template

RADII = {radius.name: radius for radius in blast_radius.functions(template())}

WITH_TARGETS = {
    *("RunGate", "PlanDeployment", "RecheckRelease", "ProveCandidate", "ShiftTraffic", "AwaitStable"),
    *("CheckHealth", "RestoreBaseline"),
}
WRITE_ANY_ITEM = {
    *("ReadRelease", "AcquireLock", "JudgeGates", "PlanDeployment", "RequestApproval", "RemindApprovers"),
    *("RecheckRelease", "ProveCandidate", "ShiftTraffic", "JudgeHealth", "CompleteRelease", "EndRelease"),
    *("RestoreBaseline", "Supervise", "Watch", "Sweep", "Promote", "StoreConfiguration", "PauseRollout"),
}
MAY = {
    "create approval links": {"RequestApproval", "RemindApprovers", "PauseRollout"},
    "send mail": {"RequestApproval", "RemindApprovers", "PauseRollout", "Notify"},
    "wake a waiting release": {"AcquireLock", "RequestApproval", "PauseRollout", "ApprovalPage", "Sweep"},
    "change configurations": {"StoreConfiguration"},
    "start releases": {"Sweep"},
    "publish a release in the next stage": {"Promote"},
    "start rollbacks": {"Supervise", "Watch", "Sweep"},
    "stop rollbacks": set(),
    "change targets and move traffic": WITH_TARGETS,
    "write any fact": WRITE_ANY_ITEM,
    "record decisions": {"ApprovalPage"},
    "publish events": {"Broadcast", "Notify"},
    "publish to the topic": {"Notify"},
}


@pytest.mark.parametrize("decision", MAY)
def test_only_the_listed_roles_can_make_a_sensitive_decision(decision: str) -> None:
    assert {name for name, radius in RADII.items() if radius.may(decision)} == MAY[decision]


def test_every_decision_in_the_table_is_tested_here() -> None:
    named = {text for radius in RADII.values() for text in radius.cells[blast_radius.DECIDES]}
    assert {text for text in named if not any(text.startswith(known) for known in MAY)} == set()


def test_only_one_function_is_reachable_from_the_internet() -> None:
    assert [name for name, it in RADII.items() if "anyone on the internet" in it.called_by] == [
        "ApprovalPage"
    ]


def test_no_function_may_delete_pass_a_role_or_change_a_policy() -> None:
    text = str([template()["Resources"][f"{name}Function"]["Properties"]["Policies"] for name in RADII])
    assert re.findall(r"\w+:(?:Delete|PassRole|Put\w*Policy|Attach|CreateGrant|Invoke)\w*", text) == []


def test_a_permission_without_a_description_stops_the_table() -> None:
    changed = copy.deepcopy(template())
    (policy,) = changed["Resources"]["BroadcastFunction"]["Properties"]["Policies"]
    policy["Statement"].append({"Effect": "Allow", "Action": "kms:GenerateMac", "Resource": "*"})
    with pytest.raises(SystemExit, match="Broadcast"):
        blast_radius.functions(changed)


# ---- what public functions can write -------------------------------------------------------------------------------


def may_write(name: str) -> frozenset[str]:
    """The attributes of ledger items that a function can write."""
    (policy,) = template()["Resources"][f"{name}Function"]["Properties"]["Policies"]
    (found,) = [
        attributes_in(statement)
        for statement in policy["Statement"]
        if "dynamodb:UpdateItem" in statement["Action"]
    ]
    return found


SHARED = {"application", "tag", "attempt", "stage", "execution", "digest", "status"}
"""Attribute names that decisions and facts share with a release, a lock and the current release."""
OF_A_RELEASE = {
    name
    for record in (ReleaseRecord, CurrentRecord, LockRecord, FreezeRecord)
    for name in record.__annotations__
} - SHARED


def test_the_public_function_cannot_write_a_releases_content() -> None:
    assert {"plan", "objects", "configuration", "manifest", "moved", "fence", "revision"} <= OF_A_RELEASE
    assert may_write("ApprovalPage") & OF_A_RELEASE == set()


def test_the_notifier_can_record_deliveries_but_no_decisions_or_facts() -> None:
    assert may_write("Notify") & (OF_A_RELEASE | SHARED | {"decisions", "data", "name", "last"}) == set()


@dataclass
class Watched:
    """A table that keeps the names of the attributes that are written or asked for in a condition."""

    client: Any
    names: set[str] = field(default_factory=set)

    def __getattr__(self, operation: str) -> Any:
        def ask(**request: Any) -> Any:
            if operation == "transact_write_items":
                for change in request["TransactItems"]:
                    self._note(*change.values())
            elif operation in ("update_item", "put_item"):
                self._note(request)
            return getattr(self.client, operation)(**request)

        return ask

    def _note(self, change: dict[str, Any]) -> None:
        assert change.get("ReturnValues", "NONE") in ("NONE", "UPDATED_NEW")
        self.names |= set(change.get("Item", {})) | set(change.get("Key", {}))
        self.names |= set(change.get("ExpressionAttributeNames", {}).values())


def watched(ledger: Ledger) -> tuple[Ledger, Watched]:
    table = Watched(ledger.client)
    return replace(ledger, client=table), table


def test_the_page_writes_only_attributes_that_its_permission_names(ledger, clock):
    """Otherwise production refuses decisions, which no engine here would show."""
    opened = asked(ledger, required=1)
    approvals.waits_on(ledger, opened["id"], "token")
    here, table = watched(ledger)
    store = LedgerStore(ledger=here, now=clock, log=SimpleNamespace(warning=lambda *_, **__: None))
    store.refused(opened["id"], "expired", "192.0.2.7")
    store.sent(opened["id"], ANA, "192.0.2.7")
    session = {"session": "s", "secret": "h", "identity": "i", "until": clock() + timedelta(minutes=15)}
    assert logins.opened(here, opened, approver=ANA, **session)
    proof = Proof(kind=LINK, mac=b"\1" * 32)
    store.decide(
        opened["id"], approver=ANA, decision="approve", reason="tested", identity="sso ana", proof=proof
    )
    deliver(here, SimpleNamespace(send_task_success=lambda **_: {}), opened["id"])
    assert jobs.opened(here, "storefront", job()) and jobs.opened(here, "storefront", job(id=8))
    assert {"delivered", "proof"} <= table.names
    assert table.names <= may_write("ApprovalPage")


def test_the_notifier_writes_only_attributes_that_its_permission_names(ledger):
    opened = asked(ledger, required=1)
    (fact, *_) = ledger.facts_of(opened["application"], opened["tag"])
    here, table = watched(ledger)
    notices.record_sent(here, fact, "mail")
    thread = notices.Thread(ledger=here, release=fact, channel="slack C1")
    assert thread.taken()
    thread.begun("")
    thread.begun("1.2")
    jobs.record_answer(here, "storefront", job(), "approved")
    assert {"thread", "until", "answer"} <= table.names <= may_write("Notify")
