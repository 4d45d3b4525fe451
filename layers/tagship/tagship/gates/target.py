"""target: the application's role can be assumed, and the target can be changed and matches the ledger."""

from __future__ import annotations

from dataclasses import replace

from tagship.aws.rights import account_of
from tagship.gates.gate import Case, Gate, GateResult, failed, passed, refused, unanswered
from tagship.model.errors import CredentialsRefused, FinalError, TargetMoved

_NAME = "target"
_REMEDY = "Fix the target, then retry the release."


def check(case: Case) -> GateResult:
    """Uses the application's role. A missing permission stops the release before anything changes.

    Raises AwsUnavailable, and CandidateNotReady while someone else changes the target.
    """
    if case.configuration is None or case.manifest is None:
        return unanswered(_NAME)
    configured = case.configuration.target
    account = account_of(configured.role)  # AWS gives a session in the account that the role's ARN names
    if account != configured.account:
        return failed(
            _NAME,
            f"The role {configured.role} is in account {account}; the target is in {configured.account}.",
            "Correct target.account or target.role, apply the configuration, then retry the release.",
        )
    try:
        target = case.target
        found = target.check(case.revision)
        rehearsed = target.dry_run(case.artifacts)
    except CredentialsRefused as error:
        result = refused(_NAME, error)
        return replace(result, remedy=error.remedy, cause="") if error.remedy else result
    except FinalError as error:
        return refused(_NAME, error, _drifted(case) if isinstance(error, TargetMoved) else _REMEDY)
    return passed(
        _NAME,
        " ".join(filter(None, (found.said, rehearsed.said))),
        warning=" ".join(filter(None, (found.warning, rehearsed.warning))),
    )


def _drifted(case: Case) -> str:
    """Both ways out, because only a person knows which one is right."""
    adopt = f"tagship adopt {case.application} --stage {case.settings.stage} --reason '…'"
    return f"If the current version is right, adopt it: {adopt}. If not, restore the previous one. Then retry the release."


GATE = Gate(name=_NAME, check=check, shares=True)
