"""approvers: enough people can decide, without the author if authors do not count."""

from __future__ import annotations

from dataclasses import asdict

from tagship.gates.gate import Case, Gate, GateResult, failed, passed, unanswered
from tagship.model.rules import everyone, lacking, named, places, rules_of
from tagship.text.words import count

_NAME = "approvers"


def check(case: Case) -> GateResult:
    """Checked now, because the policy could never be satisfied later: the release would only wait until it expires."""
    if case.configuration is None or case.manifest is None:
        return unanswered(_NAME)
    policy, author = case.configuration.approval, case.manifest.author
    rules = rules_of(asdict(policy), case.groups)
    voters = case.voters(
        {
            "approvers": everyone(rules),
            "author": author,
            "authorMayApprove": policy.authorMayApprove,
        }
    )
    required = sum(map(places, rules))
    short = lacking(rules, voters, in_every_rule=policy.countInEveryRule)
    who = "nobody" if not voters else "only " + ", ".join(voters)
    if short:
        which = "" if len(rules) == 1 else _which([(named(rule), number) for rule, number in short])
        return failed(
            _NAME,
            f"The policy requires {count(required, 'approval')}, but {who} can decide, because {author} is "
            f"the author.{which}",
            "Add approvers or require fewer approvals, then run `tagship retry`.",
        )
    extra = policy.extraForWarnings
    more = f", and up to {extra} more if the plan has warnings" if extra else ""
    return passed(_NAME, f"{required} of {len(voters)} must approve{more}.")


def _which(short: list[tuple[str, int]]) -> str:
    return "".join(f" {count(number, 'approval')} missing for {name}." for name, number in short)


GATE = Gate(name=_NAME, check=check, shares=True)
