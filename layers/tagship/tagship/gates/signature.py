"""signature: the pinned `release.json` was signed with the key that the application names.

The manifest contains the SHA-256 of every artifact, so its signature covers all of them; `integrity` compares them.
"""

from __future__ import annotations

from tagship.gates.gate import Case, Gate, GateResult, failed, not_configured, passed, unanswered
from tagship.gates.signed import refusal
from tagship.model.application import Application
from tagship.model.release import MANIFEST, SIGNATURE

_NAME = "signature"


def check(case: Case) -> GateResult:
    """An existing signature is verified even if none is required.

    Raises AwsUnavailable if S3 or KMS is unavailable.
    """
    if case.configuration is None:
        return unanswered(_NAME)
    rules = case.configuration.gates.signature
    if rules is None:
        return not_configured(_NAME)
    signature = case.objects.get(SIGNATURE)
    if signature is None and rules.required:
        return failed(
            _NAME,
            f"{MANIFEST} is not signed: {SIGNATURE} is missing.",
            f"Publish a new tag with `tagship publish --sign {rules.key}`.",
        )
    if signature is None:
        return passed(
            _NAME, "It is not signed; the signature is optional.", warning="This release is not signed."
        )
    refused = refusal(
        case.client("s3"),
        case.client("kms"),
        of=MANIFEST,
        signature=signature,
        digest=case.digest,
        rules=rules,
    )
    if refused:
        return failed(_NAME, refused.why, refused.remedy)
    return passed(_NAME, f"{MANIFEST} was signed with {rules.key}.")


def _configured(configuration: Application | None) -> bool:
    return configuration is not None and configuration.gates.signature is not None


GATE = Gate(name=_NAME, check=check, shares=True, configured=_configured)
