"""Requests for approval and their decisions: each decision is one conditional write, before anything else reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, cast

from tagship.ledger import lock, pauses, releases
from tagship.ledger.table import (
    Fact,
    Item,
    Ledger,
    Refused,
    application_key,
    as_read,
    fact_key,
    of_planning,
    timestamp,
)
from tagship.ledger.table import approval_key as _pk
from tagship.model.errors import (
    AlreadyDecided,
    ApprovalClosed,
    ApprovalExpired,
    IdentityUnproven,
    LedgerBusy,
    LockLost,
)
from tagship.model.facts import FactKind
from tagship.model.people import CLAIMED, counts, person
from tagship.model.records import Decision, Looked, NewRequest, PauseRecord, ReleaseRecord, RequestRecord

OPEN = "OPEN"
OUTDATED = "OUTDATED"
"""Another release went first: the release is planned again, and people are asked again."""
_APPROVAL = "APPROVAL"
_OUTCOMES = {
    "approved": ("APPROVED", FactKind.APPROVAL_GRANTED),
    "rejected": ("REJECTED", FactKind.APPROVAL_REJECTED),
}
_PAUSE_OUTCOMES = {
    "approved": ("APPROVED", FactKind.ROLLOUT_RESUMED),
    "rejected": ("REJECTED", FactKind.ROLLOUT_REJECTED),
}
_CLOSED = {
    "EXPIRED": FactKind.APPROVAL_EXPIRED,
    "SUPERSEDED": FactKind.APPROVAL_SUPERSEDED,
    "CLOSED": FactKind.APPROVAL_CLOSED,
}
MOST_PLANNINGS = 5
"""How often one attempt of a release can be planned: people are asked again each time another release goes first."""
_SECRET = "taskToken"  # noqa: S105 (an attribute's name)


def read_ahead(ledger: Ledger, record: ReleaseRecord) -> None:
    """Reads a release's request, and the fact that it was made, with one request, for the reads that follow."""
    planning = of_planning(record.get("planning", 1))
    requested = fact_key(record["tag"], record["attempt"], FactKind.APPROVAL_REQUESTED, planning)
    ledger.read_ahead(
        (_pk(record["approval"]), _APPROVAL), (application_key(record["application"]), requested)
    )


def get(ledger: Ledger, approval_id: str) -> RequestRecord | None:
    """The request and its decisions, without the task token."""
    item = ledger.get(_pk(approval_id), _APPROVAL)
    return None if item is None else _without_token(item)


def peek(ledger: Ledger, approval_id: str) -> RequestRecord | None:
    """As `get`, for a caller that may then decide: `decide` goes on from what was seen here, and is refused if it has
    changed since.
    """
    item = ledger.peek(_pk(approval_id), _APPROVAL)
    return None if item is None else _without_token(item)


def _without_token(item: Item) -> RequestRecord:
    return cast("RequestRecord", {name: value for name, value in item.items() if name != _SECRET})


def task_token(ledger: Ledger, approval_id: str) -> str:
    """The task token that the state machine waits on; only for the call that answers it, never for display."""
    return with_task_token(ledger, approval_id)[1]


def with_task_token(ledger: Ledger, approval_id: str) -> tuple[RequestRecord | None, str]:
    """The request, and its task token, read together."""
    item = ledger.get(_pk(approval_id), _APPROVAL)
    return (_without_token(item), str(item.get(_SECRET, ""))) if item else (None, "")


def request(
    ledger: Ledger, approval: NewRequest, *, execution: str, fence: int = 0, token: str = ""
) -> RequestRecord:
    """Opens the request, once for each plan; a second call returns the existing request, whatever id it has.

    This also releases the lock with this fencing number, so that others can go first while people decide. 0 for none.
    `token` is the task token that the state machine waits with.

    The fact keeps the id: of two concurrent calls, each with its own id, one opens the request and both return it.

    Raises LockLost if the release has ended meanwhile, or another release has its lock.
    """
    data = {
        "approvers": approval["approvers"],
        "required": approval["required"],
        **({"rules": approval["rules"]} if len(approval.get("rules") or ()) > 1 else {}),
        "expiresAt": approval["expiresAt"],
        "author": approval["author"],
        "authorMayApprove": approval["authorMayApprove"],
        "digest": approval["digest"],
    }
    fact = fact_of(approval, FactKind.APPROVAL_REQUESTED, execution=execution, data=data)
    item = _opened(ledger, approval) | ({_SECRET: token, "delivered": False} if token else {})
    running = ledger.update(
        application_key(approval["application"]),
        f"RELEASE#{approval['tag']}",
        only_if="#status = :running AND #attempt = :attempt",
        values={":running": "RUNNING", ":attempt": approval["attempt"]},
        approval=approval["id"],
        phase=releases.ASKED,
    )
    free = [lock.freed(ledger, application=approval["application"], fence=fence)] if fence else []
    try:
        opened = ledger.record(fact, ledger.put(item, only_if="attribute_not_exists(pk)"), running, *free)
    except Refused as refused:
        raise LockLost(
            f"{approval['application']} {approval['tag']}: the release has already ended or lost its lock. "
            "Nobody was asked to approve it."
        ) from refused
    if opened:
        return _without_token(as_read(item))
    found = get(ledger, _asked_as(ledger, fact))
    assert found is not None
    if token:
        waits_on(ledger, found["id"], token)
    return found


def _asked_as(ledger: Ledger, fact: Fact) -> str:
    """The id of the plan's request, from the fact that opened it."""
    opened = ledger.fact(fact.application, fact.tag, fact.attempt, fact.name, fact.key)
    assert opened is not None
    return str(opened["data"]["approval"])


def ask_in_a_pause(
    ledger: Ledger, record: ReleaseRecord, wanted: NewRequest, pause: PauseRecord, *, execution: str
) -> RequestRecord:
    """Opens the request of a pause, which begins now. The release keeps its lock: its traffic is split.

    Raises LedgerBusy if the pause was ordered, opened or withdrawn at the same moment: call again with a new record.
    """
    asked = wanted["pause"]
    fact = fact_of(
        wanted,
        FactKind.ROLLOUT_PAUSED,
        execution=execution,
        data={"approvers": wanted["approvers"], "expiresAt": wanted["expiresAt"], **asked},
    )
    opens = ledger.put(_opened(ledger, wanted), only_if="attribute_not_exists(pk)")
    try:
        opened = ledger.record(fact, opens, pauses.opens(ledger, record, pause))
    except Refused:
        opened = False
    found = get(ledger, wanted["id"]) if opened else None
    if found is None:
        raise LedgerBusy(
            f"{record['application']} {record['tag']}: the pause changed at this moment. Nothing was changed."
        )
    return found


def _opened(ledger: Ledger, request: NewRequest) -> dict[str, Any]:
    """The item of a request that is opened now, before any decision."""
    return {
        "pk": _pk(request["id"]),
        "sk": _APPROVAL,
        "kind": "approval",
        "open": "approval",
        "status": OPEN,
        "decisions": [],
        "sent": {},
        "askedAt": timestamp(ledger.now()),
        **request,
    }


def resume(ledger: Ledger, request: RequestRecord, *, who: str, why: str) -> bool:
    """An operator continues a paused rollout; False if the pause has been answered or its time is over.

    Raises ApprovalClosed if the release has ended.
    """
    if request["expiresAt"] <= timestamp(ledger.now()):
        return False
    data = {"decision": "approve", "reason": why, "askedAt": request["askedAt"], "status": "APPROVED"}
    return _end_pause(
        ledger,
        request,
        fact_of(request, FactKind.ROLLOUT_RESUMED, who=who, data=data),
        status="APPROVED",
        said=f"{who} resumed it: {why}",
    )


def time_out(ledger: Ledger, request: RequestRecord, *, execution: str) -> RequestRecord:
    """Ends a pause that nobody answered: the rollout continues, or is rolled back, as the pause says."""
    then = request["pause"]["onTimeout"]
    does = "continues" if then == "continue" else "is rolled back"
    why = (
        f"{request['application']} {request['tag']}: nobody answered the pause at {request['pause']['percent']} % of "
        f"traffic in time, so the release {does}."
    )
    data = {"why": why, "then": then, "askedAt": request["askedAt"]}
    fact = fact_of(request, FactKind.PAUSE_EXPIRED, execution=execution, data=data)
    with suppress(ApprovalClosed):  # somebody answered at the same moment: that answer counts
        _end_pause(ledger, request, fact, status="EXPIRED", said=why)
    return get(ledger, request["id"]) or request


def continues(request: RequestRecord) -> bool:
    """Whether the answer to a pause is that the rollout continues."""
    status = request["status"]
    return status == "APPROVED" or (status == "EXPIRED" and request["pause"]["onTimeout"] == "continue")


def _end_pause(ledger: Ledger, request: RequestRecord, fact: Fact, *, status: str, said: str) -> bool:
    ended = cast("RequestRecord", {**request, "status": status})
    change = ledger.update(
        _pk(request["id"]),
        _APPROVAL,
        only_if="#status = :open",
        values={":open": OPEN},
        status=status,
        closedBy=said,
    )
    state: Literal["continued", "rejected"] = "continued" if continues(ended) else "rejected"
    try:
        return ledger.record(fact, change, *pauses.ends(ledger, request, state, who=fact.who, why=said))
    except Refused:
        return False


def waits_on(
    ledger: Ledger, approval_id: str, token: str, *, looked: Looked | None = None, reminders: int = 0
) -> None:
    """The state machine waits with a new task token; the previous one is invalid. In a pause, `looked` is the latest look
    at health, and `reminders` the number of those that were due."""
    seen: dict[str, Any] = {"looked": looked, "reminders": reminders} if looked else {}
    ledger.write(
        ledger.update(
            _pk(approval_id),
            _APPROVAL,
            only_if="attribute_exists(pk)",
            taskToken=token,
            delivered=False,
            open="approval",
            **seen,
        )
    )


def sent(ledger: Ledger, approval_id: str, results: Mapping[str, str]) -> None:
    """Who got a link on which channel: `sent`, or the reason why not."""
    ledger.write(
        ledger.update(_pk(approval_id), _APPROVAL, only_if="attribute_exists(pk)", sent=dict(results))
    )


def delivered(ledger: Ledger, approval_id: str) -> None:
    """The state machine has the decision, or no longer waits for one."""
    ledger.write(
        ledger.update(
            _pk(approval_id), _APPROVAL, only_if="attribute_exists(pk)", remove=("open",), delivered=True
        )
    )


def open_ones(ledger: Ledger) -> list[str]:
    """The ids of the requests whose decision was not delivered to an execution yet."""
    return [str(item["pk"]).removeprefix(_pk("")) for item in ledger.open_of("approval")]


def decide(
    ledger: Ledger,
    approval_id: str,
    *,
    approver: str,
    decision: str,
    reason: str,
    judge: Callable[[RequestRecord], str],
    identity: str = "",
    proof: Mapping[str, object] | None = None,
) -> RequestRecord:
    """Records one approver's decision and, if that completes it, the request's outcome.

    `judge` returns "approved", "rejected" or "open" for the request including this decision; `identity` is the IAM
    identity of a person who decided without a link. `proof` proves an approval: it is stored next to the fact, never in
    it.

    Raises AlreadyDecided if this approver has decided, ApprovalExpired and ApprovalClosed if it is too late,
    IdentityUnproven for an approval in production without proof of the approver's identity.
    """
    while True:
        approval = get(ledger, approval_id)
        if approval is None:
            raise ApprovalClosed("This approval request does not exist.")
        _refuse_if_over(ledger, approval, approver)
        entry: Decision = {
            "approver": approver,
            "decision": decision,
            "reason": reason,
            "at": timestamp(ledger.now()),
        }
        if identity:
            entry["identity"] = identity
        if not counts(entry, stage=approval["stage"]):
            raise IdentityUnproven(
                f"AWS does not confirm that {identity.removeprefix(CLAIMED)} is {approver}, so this identity "
                f"cannot approve in {approval['stage']}. Nothing was changed."
            )
        decisions = [*approval["decisions"], entry]
        outcome = judge({**approval, "decisions": decisions})
        status, fact_name = _OUTCOMES.get(outcome, (OPEN, FactKind.APPROVAL_GIVEN))
        if "pause" in approval:
            status, fact_name = _PAUSE_OUTCOMES.get(outcome, (OPEN, FactKind.APPROVAL_GIVEN))
        fact = fact_of(
            approval,
            fact_name,
            key=person(approver),
            who=approver,
            data={
                "decision": decision,
                "reason": reason,
                "askedAt": approval["askedAt"],
                "status": status,
                **({"identity": identity} if identity else {}),
            },
        )
        change = ledger.update(
            _pk(approval_id),
            _APPROVAL,
            only_if="#status = :open AND size(#decisions) = :known",
            values={":open": OPEN, ":known": len(approval["decisions"])},
            decisions=decisions,
            status=status,
        )
        kept = [ledger.put(_proof_item(approval_id, approver, proof))] if proof else []
        if status != OPEN:
            kept += pauses.ends(
                ledger,
                approval,
                "continued" if status == "APPROVED" else "rejected",
                who=approver,
                why=reason,
            )
        try:
            if ledger.record(fact, change, *kept):
                return {**approval, "decisions": decisions, "status": status}
        except Refused:
            continue  # someone decided at the same moment: read again, and raise if that ended the request
        raise AlreadyDecided(f"{approver} has already decided.")


def read_proofs_ahead(ledger: Ledger, approval_id: str, approvers: Sequence[str]) -> None:
    """Reads the stored proofs of these approvers with one request, for `proof_of`."""
    ledger.read_ahead(*((_pk(approval_id), _proof_key(who)) for who in approvers))


def proof_of(ledger: Ledger, approval_id: str, approver: str) -> Mapping[str, object]:
    """The stored proof of an approver's approval; empty if there is none."""
    item = ledger.get(_pk(approval_id), _proof_key(approver)) or {}
    found = item.get("proof")
    return found if isinstance(found, Mapping) else {}


def close(
    ledger: Ledger, approval_id: str, *, status: str, why: str, who: str = "tagship", execution: str = ""
) -> RequestRecord:
    """Ends a request without a decision (EXPIRED, SUPERSEDED, CLOSED); a decided one keeps its decision."""
    approval = get(ledger, approval_id)
    if approval is None:
        raise ApprovalClosed("This approval request does not exist.")
    if approval["status"] != OPEN:
        return approval
    fact = fact_of(
        approval,
        _CLOSED[status],
        who=who,
        execution=execution,
        data={"why": why, "askedAt": approval["askedAt"]},
    )
    change = ledger.update(
        _pk(approval_id),
        _APPROVAL,
        only_if="#status = :open",
        values={":open": OPEN},
        status=status,
        closedBy=why,
    )
    with suppress(Refused):  # decided at the same moment: that decision counts
        ledger.record(fact, change)
    return get(ledger, approval_id) or approval


def outdate(ledger: Ledger, approval: RequestRecord, *, why: str, execution: str = "") -> None:
    """Ends a request because another release went first, and begins the release's next planning; no decision on it
    counts.

    Raises LockLost, with nothing changed, if the release has ended or begun meanwhile, or people have just decided.
    """
    planning = approval.get("planning", 1)
    closed = ledger.update(
        _pk(approval["id"]),
        _APPROVAL,
        only_if="#status = :known",
        values={":known": approval["status"]},
        status=OUTDATED,
        closedBy=why,
    )
    again = ledger.update(
        application_key(approval["application"]),
        f"RELEASE#{approval['tag']}",
        only_if="#status = :running AND #attempt = :attempt AND #approval = :approval AND #phase <> :begun",
        values={
            ":running": "RUNNING",
            ":attempt": approval["attempt"],
            ":approval": approval["id"],
            ":begun": releases.BEGUN,
        },
        remove=("waits",),
        planning=planning + 1,
        outdated=why,
        phase=releases.AGAIN,
    )
    fact = fact_of(
        approval, FactKind.PLAN_OUTDATED, execution=execution, data={"why": why, "planning": planning}
    )
    try:
        ledger.record(fact, closed, again)
    except Refused as refused:
        raise LockLost(
            f"{approval['application']} {approval['tag']}: the release has ended or was decided meanwhile, so it is "
            "not planned again."
        ) from refused


def release_of(ledger: Ledger, approval: RequestRecord) -> ReleaseRecord:
    """The release that a request is about."""
    return releases.get(ledger, approval["application"], approval["tag"])


def _proof_key(approver: str) -> str:
    return f"PROOF#{person(approver)}"


def _proof_item(approval_id: str, approver: str, proof: Mapping[str, object]) -> dict[str, object]:
    """Overwrites an existing proof: a false one written earlier must not block the real one."""
    return {"pk": _pk(approval_id), "sk": _proof_key(approver), "kind": "proof", "proof": dict(proof)}


def _refuse_if_over(ledger: Ledger, approval: RequestRecord, approver: str) -> None:
    if any(person(entry["approver"]) == person(approver) for entry in approval["decisions"]):
        raise AlreadyDecided(f"{approver} has already decided.")
    if approval["status"] == "EXPIRED" or (
        approval["status"] == OPEN and approval["expiresAt"] <= timestamp(ledger.now())
    ):
        raise ApprovalExpired("The approval request has expired.")
    if approval["status"] != OPEN:
        raise ApprovalClosed(f"The request is {approval['status'].lower()}.")


def fact_of(
    approval: NewRequest,
    name: FactKind,
    *,
    key: str = "",
    who: str = "tagship",
    execution: str = "",
    data: Mapping[str, object] | None = None,
) -> Fact:
    """A fact about a request; `key` distinguishes it from others of its name."""
    pause = approval.get("pause")
    return Fact(
        application=approval["application"],
        tag=approval["tag"],
        attempt=approval["attempt"],
        name=name,
        key=pauses.key_of(pause["number"], key) if pause else of_planning(approval.get("planning", 1), key),
        who=who,
        execution=execution or str(approval.get("execution", "")),
        data={"approval": approval["id"], **(data or {})},
    )
