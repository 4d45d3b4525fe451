"""baseline: what production runs now is known, and a rollback can restore it."""

from __future__ import annotations

from tagship.gates.gate import Case, Gate, GateResult, passed, refused, unanswered
from tagship.model.errors import FinalError

_NAME = "baseline"


def check(case: Case) -> GateResult:
    """A first release has no way back but to nothing, and approvers are told so.

    Raises AwsUnavailable.
    """
    if case.configuration is None:
        return unanswered(_NAME)
    try:
        restorable = case.target.restorable(case.revision)
    except FinalError as error:
        return refused(_NAME, error, "Give all traffic to a published version, then publish a new tag.")
    if restorable is None:
        return passed(
            _NAME,
            "Nothing serves now.",
            warning="There is nothing to go back to: a rollback of this release would leave nothing that serves.",
        )
    return passed(_NAME, f"A rollback would restore {restorable}.")


GATE = Gate(name=_NAME, check=check)
