"""Proposes a configuration change in a guarded stage: an execution of the release state machine asks for its approval."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from tagship.ledger import approvals, configurations, releases
from tagship.ledger.table import digest_of
from tagship.model.errors import ApplicationUnknown
from tagship.model.proposal import number_of, scope_of, tag_of
from tagship.model.records import ApprovedConfiguration, ReleaseRecord, RequestRecord
from tagship.model.release import Status
from tagship_cli.actions.configuration import Stored, text_of
from tagship_cli.actions.deciding import Caller
from tagship_cli.actions.steering import looks
from tagship_cli.failures import Failed, trying
from tagship_cli.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """A change that is waiting for approval, or that ended at once."""

    tag: str
    execution: str
    record: ReleaseRecord | None
    """None if the document is already in force and was only stored again."""
    request: RequestRecord | None

    @property
    def status(self) -> str:
        """`RUNNING` while it waits for approval."""
        return str(self.record["status"]) if self.record else str(Status.SUCCEEDED)


def in_force(place: Place, application: str) -> ApprovedConfiguration | None:
    """The approved configuration."""
    with trying(f"Reading the ledger of {place.stage}"):
        return configurations.in_force(place.ledger, application)


def stored_group(place: Place, group: str) -> Stored:
    """The group in force, to compare with."""
    found = in_force(place, scope_of(group))
    name = f"group {group}"
    if found is None:
        return Stored(name=name)
    return Stored(
        name=name,
        version=found["version"] or 1,
        text=json.dumps(found["document"]),
        data=found["document"],
        digest=found["digest"],
    )


def as_stored(approved: ApprovedConfiguration | None, name: str) -> Stored:
    """The approved configuration, to compare with."""
    if approved is None:
        return Stored(name=name)
    return Stored(
        name=f"{name} as approved, {approved['tag']}",
        version=approved["version"],
        text=json.dumps(approved["document"]),
        data=approved["document"],
    )


def waiting(place: Place, application: str, document: object) -> str:
    """The tag of an open proposal for exactly this document; empty if there is none."""
    proposed_digest = digest_of(document)
    with trying(f"Reading the ledger of {place.stage}"):
        found = [
            record["tag"]
            for record in configurations.proposals(place.ledger, application)
            if record["status"] == Status.RUNNING and record["digest"] == proposed_digest
        ]
    return max(found, key=number_of, default="")


def propose(
    place: Place, application: str, document: object, *, caller: Caller, emergency: str, owners: str
) -> Proposed:
    """Starts a proposal and waits until it asks for approval or has ended.

    Raises Failed if it can't be proposed.
    """
    text_of(document)  # checked now, because after its approval it must fit into a parameter
    with trying(f"Reading the ledger of {place.stage}"):
        tag = tag_of(configurations.newest(place.ledger, application) + 1)
    order = {
        "application": application,
        "tag": tag,
        "document": document,
        "by": caller.address or caller.arn,
        "emergency": emergency,
        "owners": owners,
    }
    with trying(f"Proposing {application} {tag}"):
        execution = place.client("stepfunctions").start_execution(
            stateMachineArn=place.output("ReleaseStateMachineArn"), input=json.dumps({"proposal": order})
        )["executionArn"]
    return found(place, application, tag, str(execution))


def found(place: Place, application: str, tag: str, execution: str) -> Proposed:
    """The proposal, once it waits for approval or has ended."""
    states = place.client("stepfunctions")

    def look() -> Proposed | None:
        described = states.describe_execution(executionArn=execution)
        record = record_of(place, application, tag)
        over = described["status"] == "SUCCEEDED"
        # An execution that succeeds without its own record duplicates an open proposal, or has only stored the document
        # again.
        if record and (record["execution"] == execution or (over and record["status"] == Status.RUNNING)):
            request = approvals.get(place.ledger, record["approval"]) if record.get("approval") else None
            if request or record["status"] != Status.RUNNING:
                return Proposed(tag=tag, execution=str(record["execution"]), record=record, request=request)
        elif over:
            return Proposed(tag=tag, execution=execution, record=None, request=None)
        if described["status"] not in ("RUNNING", "SUCCEEDED"):
            raise Failed(_not_proposed(f"{application} {tag}", described))
        return None

    return looks(
        place,
        look,
        what=f"Waiting until {application} {tag} is ready for approval",
        stopped=f"No longer waiting. The proposal continues in the execution {execution}",
    )


def _not_proposed(title: str, described: Mapping[str, object]) -> str:
    if described.get("error") == "TagAlreadyUsed":
        return (
            f"{title} was proposed by someone else at the same time. Nothing was proposed; run the command "
            "again."
        )
    why = described.get("cause") or described.get("error") or described["status"]
    return f"{title} was not proposed: {why}"


def record_of(place: Place, application: str, tag: str) -> ReleaseRecord | None:
    """The ledger's record; None if the proposal has not been read yet."""
    try:
        return releases.get(place.ledger, application, tag)
    except ApplicationUnknown:
        return None
