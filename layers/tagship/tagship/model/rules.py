"""Which approvals fill which rule of a policy. Pure.

A policy is a list of rules; `approvers` with `required` is the short form of one. An approval fills one place of one rule,
so whether some people suffice is a matching of people to places. A policy may count each approval in every rule instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tagship.model.people import person
from tagship.model.records import PinnedGroup, RuleData

MOST_PEOPLE = 20
"""Whom one release may ask: each gets a mail of their own, and the request holds each decision."""


def rules_of(policy: Mapping[str, Any], groups: Mapping[str, PinnedGroup]) -> list[RuleData]:
    """The rules of a validated `approval`, with the members of its groups; a group that is not known has none."""
    given = policy.get("rules") or [{"approvers": policy["approvers"], "required": policy["required"]}]
    return [_rule(rule, groups) for rule in given]


def _rule(rule: Mapping[str, Any], groups: Mapping[str, PinnedGroup]) -> RuleData:
    group = rule.get("group") or ""
    people = groups[group]["members"] if group in groups else rule.get("approvers") or ()
    return {"group": group, "approvers": list(people), "required": int(rule["required"])}


def everyone(rules: Iterable[RuleData]) -> list[str]:
    """All whom the rules name, each person once, in the rules' order and spelling."""
    return once(approver for rule in rules for approver in rule["approvers"])


def once(addresses: Iterable[str]) -> list[str]:
    """Each person once, in the first spelling."""
    seen: dict[str, str] = {}
    for address in addresses:
        seen.setdefault(person(address), address)
    return list(seen.values())


def filling(
    rules: Sequence[RuleData], people: Iterable[str], *, in_every_rule: bool = False
) -> list[tuple[RuleData, list[str]]]:
    """Each rule, with the people who fill its places: as many places as can be filled at all.

    People come in order, and who has a place keeps one: one more approval never empties a place.
    """
    people = once(people)
    if in_every_rule:
        return [(rule, [who for who in people if _names(rule, who)][: places(rule)]) for rule in rules]
    filled: list[tuple[RuleData, list[str]]] = [(rule, []) for rule in rules]

    def seated(who: str, tried: set[int]) -> bool:
        """Gives them a place, where needed by moving others to another rule (an augmenting path)."""
        for index, (rule, those) in enumerate(filled):
            if index in tried or not _names(rule, who):
                continue
            tried.add(index)
            if len(those) < places(rule):
                those.append(who)
                return True
            for at, other in enumerate(those):
                if seated(other, tried):
                    those[at] = who
                    return True
        return False

    for who in people:
        seated(who, set())
    return filled


def _names(rule: RuleData, who: str) -> bool:
    return person(who) in map(person, rule["approvers"])


def places(rule: RuleData) -> int:
    """How many approvals a rule needs: never none, whatever it says."""
    return max(1, int(rule["required"]))


def lacking(
    rules: Sequence[RuleData], people: Iterable[str], *, in_every_rule: bool = False
) -> list[tuple[RuleData, int]]:
    """The rules that these people can't fill, each with how many places stay empty."""
    return [
        (rule, places(rule) - len(those))
        for rule, those in filling(rules, people, in_every_rule=in_every_rule)
        if len(those) < places(rule)
    ]


def named(rule: RuleData) -> str:
    """`group platform`, or the people: `ana@example.com or bo@example.com`."""
    if rule.get("of"):
        return "every approver, because this is an emergency"
    if rule.get("why"):
        return "any other approver, because of warnings"
    return f"group {rule['group']}" if rule["group"] else " or ".join(rule["approvers"]) or "nobody"
