"""Who counts, who is missing, and the result: pure functions of a request for approval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from tagship.approval.errors import QuorumUnreachable
from tagship.model.people import counts, person
from tagship.model.records import (
    Ballot,
    Decision,
    NewRelease,
    NewRequest,
    Policy,
    RuleData,
    Voters,
    document_of,
    manifest_of,
)
from tagship.model.rules import everyone, filling, lacking, named, once, places
from tagship.model.rules import rules_of as rules_in
from tagship.text.words import count

Outcome = Literal["approved", "rejected", "open"]


def is_author(record: Voters, approver: str) -> bool:
    """Whether this person made the release."""
    return person(approver) == person(record.get("author") or "")


def rules_of(record: Policy) -> Sequence[RuleData]:
    """The rules to meet; `approvers` and `required` count as one rule."""
    short: RuleData = {"group": "", "approvers": record["approvers"], "required": record["required"]}
    return record.get("rules") or [short]


def voters(record: Voters) -> list[str]:
    """The approvers that count, each once, in the record's order and spelling."""
    rules = record.get("rules")
    return [
        approver
        for approver in (everyone(rules) if rules else once(record["approvers"]))
        if record.get("authorMayApprove") is True or not is_author(record, approver)
    ]


def votes(record: Ballot) -> list[Decision]:
    """The decisions that count: the first one of each voter, in the order in which they were made."""
    counting = {person(voter) for voter in voters(record)}
    seen: dict[str, Decision] = {}
    for decision in record.get("decisions") or ():
        who = person(decision["approver"])
        known = decision["decision"] in ("approve", "reject") and counts(decision, stage=record["stage"])
        if who in counting and known:
            seen.setdefault(who, decision)
    return list(seen.values())


def decision_of(record: Ballot, approver: str) -> Decision | None:
    """This approver's decision, if it counts."""
    return next((vote for vote in votes(record) if person(vote["approver"]) == person(approver)), None)


def met(record: Ballot) -> list[tuple[RuleData, list[str]]]:
    """Each rule, with those whose approvals count in it."""
    return _met_by(record, _approving(record))


def _met_by(record: Ballot, approving: Sequence[str]) -> list[tuple[RuleData, list[str]]]:
    every = record.get("countInEveryRule") is True
    return filling(rules_of(record), approving, in_every_rule=every)


def approvals(record: Ballot) -> int:
    """How many of the required approvals exist."""
    return _filled(met(record))


def _filled(rules: Sequence[tuple[RuleData, list[str]]]) -> int:
    return sum(len(those) for _, those in rules)


def needed(record: Policy) -> int:
    """How many approvals are required in total."""
    return sum(map(places, rules_of(record)))


def missing(record: Ballot) -> list[str]:
    """The voters that have not decided."""
    decided = {person(vote["approver"]) for vote in votes(record)}
    return [voter for voter in voters(record) if person(voter) not in decided]


def awaited(record: Ballot) -> list[str]:
    """The missing voters whose approval would help: not those whose rules others have met."""
    given, now = _approving(record), approvals(record)
    return [who for who in missing(record) if _filled(_met_by(record, [*given, who])) > now]


def outcome(record: Ballot) -> Outcome:
    """The result of the decisions; one rejection ends it, and nothing is ever approved by nobody."""
    if any(vote["decision"] == "reject" for vote in votes(record)):
        return "rejected"
    every = record.get("countInEveryRule") is True
    return "open" if lacking(rules_of(record), _approving(record), in_every_rule=every) else "approved"


def _approving(record: Ballot) -> list[str]:
    return [vote["approver"] for vote in votes(record) if vote["decision"] == "approve"]


def policy_of(record: NewRelease) -> Policy:
    """Who decides on a release and how many must agree, by the configuration and the plan that the release pinned."""
    manifest, policy, pinned = manifest_of(record), document_of(record)["approval"], record["configuration"]
    rules = rules_in(policy, pinned.get("groups") or {})
    if extra := _for_warnings(record, policy.get("extraForWarnings", 0), everyone(rules)):
        rules.append(extra)
    found: Policy = {
        "approvers": everyone(rules),
        "required": sum(map(places, rules)),
        "authorMayApprove": policy["authorMayApprove"],
        "author": manifest["author"],
        "rules": rules,
        "countInEveryRule": policy.get("countInEveryRule", False),
    }
    if manifest.get("emergency"):  # who passes freezes and windows needs everybody
        required = max(found["required"], len(voters(found)))
        everybody: RuleData = {
            "group": "",
            "approvers": found["approvers"],
            "required": required,
            "why": ["This is an emergency."],
            "of": rules,
        }
        found |= {"required": required, "rules": [everybody]}
    return found


def _for_warnings(record: NewRelease, most: int, people: Sequence[str]) -> RuleData | None:
    """One more approver for each warning of the pinned plan, up to so many; what a proposal warns of is no deployment's."""
    plan = record.get("plan")
    warnings = (plan.get("warnings") if plan else None) or ()
    if not warnings or not most or record.get("proposal") is not None:
        return None
    return {
        "group": "",
        "approvers": list(people),
        "required": min(len(warnings), most),
        "why": list(warnings),
    }


def check_reachable(record: NewRequest) -> None:
    """Raises before anyone is asked if there cannot be enough approvals.

    Raises:
        QuorumUnreachable: fewer people count than must approve, or nobody would have to.
    """
    release = f"{record['application']} {record['tag']}"
    if any(int(rule["required"]) < 1 for rule in rules_of(record)):
        raise QuorumUnreachable(
            f"{release}: approval.required is {record['required']}. At least one approval is required. Nobody was asked "
            "and nothing was changed. Set it to 1 or more and apply the configuration."
        )
    able, every = voters(record), record.get("countInEveryRule") is True
    if short := lacking(rules_of(record), able, in_every_rule=every):
        without = (
            ""
            if record.get("authorMayApprove") is True
            else f", not counting the author {record.get('author')}"
        )
        raise QuorumUnreachable(
            f"{release} needs {_approvals(needed(record))}, but only {len(able)} of its approvers can "
            f"decide{without}{_short_of(record, short)}. Nobody was asked and nothing was changed. Add approvers or "
            "lower approval.required, apply the configuration, then publish a new tag."
        )


def _approvals(number: int) -> str:
    return count(number, "approval")


def _short_of(record: NewRequest, short: Sequence[tuple[RuleData, int]]) -> str:
    """The rules that nobody meets, if there are several. One person meets one rule."""
    if len(rules_of(record)) < 2:
        return ""
    return "; " + ", ".join(f"{number} missing for {named(rule)}" for rule, number in short)
