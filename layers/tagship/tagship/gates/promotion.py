"""promotion: the same bytes succeeded in the previous stage, confirmed by the promoter's signature."""

from __future__ import annotations

from hashlib import sha256

from tagship.gates import statement
from tagship.gates.gate import Case, Gate, GateResult, failed, not_configured, passed, unanswered
from tagship.gates.reading import Unreadable, read
from tagship.gates.signed import refusal
from tagship.gates.statement import Statement
from tagship.model.application import Application, Promotion
from tagship.model.release import PROMOTION, PROMOTION_SIGNATURE
from tagship.text.plain import exact

_NAME = "promotion"


def check(case: Case) -> GateResult:
    """The statement, its signature, and that it is about this release, from that stage to this one.

    Raises AwsUnavailable if S3 or KMS is unavailable.
    """
    if case.configuration is None:
        return unanswered(_NAME)
    rules = case.configuration.gates.promotion
    if rules is None:
        return not_configured(_NAME)
    remedy = (
        f"Release it in {rules.stage} first, then promote it with `tagship promote {case.application} <tag> "
        f"--from {rules.stage} --to {case.settings.stage} --sign {rules.key}`."
    )
    found, signature = case.objects.get(PROMOTION), case.objects.get(PROMOTION_SIGNATURE)
    if found is None or signature is None:
        missing = PROMOTION if found is None else PROMOTION_SIGNATURE
        return failed(_NAME, f"It was not promoted from {rules.stage}: {missing} is missing.", remedy)
    s3 = case.client("s3")
    try:
        raw = read(s3, found, most=statement.BYTES)
        # The signature comes first: an unsigned statement proves nothing.
        refused = refusal(
            s3,
            case.client("kms"),
            of=PROMOTION,
            signature=signature,
            digest=sha256(raw).hexdigest(),
            rules=rules,
        )
        if refused:
            return failed(_NAME, refused.why, refused.remedy)
        claimed = Statement.read(raw)
    except Unreadable as error:
        return failed(_NAME, f"{PROMOTION} is not a valid promotion: {error}.", remedy)
    problem = _mismatch(claimed, case, rules)
    if problem:
        return failed(_NAME, f"{PROMOTION} {problem}.", remedy)
    return passed(
        _NAME,
        f"It succeeded in {claimed.fromStage} at {exact(claimed.succeededAt)} and was promoted by "
        f"{exact(claimed.promotedBy)}.",
    )


def _mismatch(claimed: Statement, case: Case, rules: Promotion) -> str:
    for what, named, fact in (
        ("application", claimed.application, case.application),
        ("tag", claimed.tag, case.tag),
        ("SHA-256 of release.json", claimed.digest, case.digest),
        ("source stage", claimed.fromStage, rules.stage),
        ("destination stage", claimed.toStage, case.settings.stage),
    ):
        if named != fact:
            return f"names another {what}: {exact(named)}, not {fact}"
    return ""


def _configured(configuration: Application | None) -> bool:
    return configuration is not None and configuration.gates.promotion is not None


GATE = Gate(name=_NAME, check=check, shares=True, configured=_configured)
