"""approvers: enough people can decide, without the author if authors do not count."""

from __future__ import annotations

from tagship.gates.gate import Case, Gate, GateResult, failed, passed, unanswered

_NAME = "approvers"


def check(case: Case) -> GateResult:
    """Checked now, because the policy could never be satisfied later: the release would only wait until it expires."""
    if case.configuration is None or case.manifest is None:
        return unanswered(_NAME)
    policy, author = case.configuration.approval, case.manifest.author
    voters = case.voters(
        {"approvers": policy.approvers, "author": author, "authorMayApprove": policy.authorMayApprove}
    )
    if len(voters) >= policy.required:
        return passed(_NAME, f"{policy.required} of {len(voters)} must approve.")
    who = "nobody" if not voters else "only " + ", ".join(voters)
    return failed(
        _NAME,
        f"The policy requires {policy.required} approvals, but {who} may decide: {author} is the author.",
        "Add approvers or require fewer approvals, then run `tagship retry`.",
    )


GATE = Gate(name=_NAME, check=check, computes=True)
