"""Groups of approvers: which members are in force. Stored as an application's configuration is, under the group's own name.

In a stage that guards configurations a group counts only with the fact that approved its document.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from tagship.ledger import configurations
from tagship.ledger.table import Fact, Ledger, Refused, application_key, digest_of, timestamp
from tagship.model.errors import LockLost
from tagship.model.facts import FactKind
from tagship.model.people import person
from tagship.model.proposal import scope_of
from tagship.model.records import ApprovedConfiguration, PinnedGroup, RuleData, Voters


def pinned(
    ledger: Ledger, names: Iterable[str], *, guarded: bool
) -> tuple[dict[str, PinnedGroup], list[str]]:
    """The groups of these names as they are now, and what is wrong with those that are missing."""
    found: dict[str, PinnedGroup] = {}
    problems = []
    for name in dict.fromkeys(names):
        present = configurations.in_force(ledger, scope_of(name))
        document = _document(present)
        if present is None or not document:  # (an item without a document is nobody's approved group)
            problems.append(
                f"there is no group {name}; apply it first: tagship apply FILE --stage {ledger.stage}"
            )
        elif guarded and not _approved(ledger, name, present["tag"], digest_of(document)):
            problems.append(
                f"the group {name} was never approved; propose it: tagship apply FILE --stage {ledger.stage}"
            )
        else:
            found[name] = {
                "members": list(document["members"]),
                "tag": present["tag"],
                "digest": digest_of(document),
            }
    return found, problems


def changed_by(ledger: Ledger, name: str) -> int:
    """How many of its members can change a group together."""
    present = configurations.in_force(ledger, scope_of(name))
    return int(_document(present).get("required", 1))


def is_approved(ledger: Ledger, name: str, group: PinnedGroup) -> bool:
    """Whether a fact approved the very document that a release pinned."""
    return _approved(ledger, name, group["tag"], group["digest"])


def _approved(ledger: Ledger, name: str, tag: str, digest: str) -> bool:
    fact = configurations.approval_of(ledger, scope_of(name), tag)
    return fact is not None and fact["data"].get("digest") == digest


def as_they_are[Asked: Voters](ledger: Ledger, asked: Asked) -> Asked:
    """Without those who left a group since they were asked, who are `left`; nobody joins, since nobody else was asked."""
    rules = cast("Sequence[RuleData]", asked.get("rules") or ())
    named = [each for rule in rules for each in rule.get("of") or [rule] if not each.get("why")]
    members = {rule["group"]: _members(ledger, rule["group"]) for rule in named if rule["group"]}
    if not members:
        return asked
    stay = {person(who) for rule in named for who in _still(rule, members)}
    now = [
        {**rule, "approvers": [who for who in _still(rule, members) if person(who) in stay]} for rule in rules
    ]
    left = [approver for approver in asked["approvers"] if person(approver) not in stay]
    return cast("Asked", {**asked, "rules": now, "left": left})


def _still(rule: RuleData, members: Mapping[str, set[str]]) -> Sequence[str]:
    if not rule["group"]:
        return rule["approvers"]
    return [who for who in rule["approvers"] if person(who) in members[rule["group"]]]


def _members(ledger: Ledger, name: str) -> set[str]:
    """Empty if the group's document is gone."""
    found = configurations.in_force(ledger, scope_of(name))
    return {person(member) for member in _document(found).get("members") or ()}


def _document(found: ApprovedConfiguration | None) -> Mapping[str, Any]:
    """Empty if the item has no document: then nobody counts."""
    return (found.get("document") or {}) if found else {}


def store(ledger: Ledger, name: str, document: Mapping[str, Any], *, before: str, who: str) -> None:
    """Puts a group into force at once: in a stage that guards no configurations. `before` is the digest of what was there.

    Raises LockLost where somebody else changed it meanwhile.
    """
    now, digest = timestamp(ledger.now()), digest_of(document)
    item = {
        "pk": application_key(scope_of(name)),
        "sk": configurations.CONFIGURATION,
        "kind": "configuration",
        "application": scope_of(name),
        "tag": "",
        "version": 0,
        "digest": digest,
        "document": dict(document),
        "since": now,
        "by": [who],
    }
    fact = Fact(
        application=scope_of(name),
        tag="",
        attempt=0,
        name=FactKind.GROUP_CHANGED,
        key=f"{now} {digest[:12]}",
        who=who,
        data={"digest": digest, "before": before, "members": list(document["members"])},
    )
    condition, values = ("#digest = :base", {":base": before}) if before else ("attribute_not_exists(pk)", {})
    try:
        ledger.record(fact, ledger.put(item, only_if=condition, values=values))
    except Refused as refused:
        raise LockLost(
            f"The group {name} was changed by somebody else at the same moment. Nothing was changed. Run the "
            "command again."
        ) from refused
