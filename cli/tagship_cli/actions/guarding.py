"""Checks, before a release starts, that its configuration is approved: a guarded stage ends any other release as
INVALID."""

from __future__ import annotations

from dataclasses import dataclass

from tagship.intake.configuration import with_groups
from tagship.ledger import configurations
from tagship.ledger.table import Ledger, digest_of
from tagship.model.documents import DocumentInvalid, as_document, read_application
from tagship.model.proposal import number_of
from tagship.model.release import Status
from tagship_cli.failures import AwsRefused, trying
from tagship_cli.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Unapproved:
    """Why a release would end INVALID, and the command to run next."""

    said: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.said} {self.remedy}"


def compared(
    ledger: Ledger, application: str, data: object, *, what: str = "The stored configuration", flags: str
) -> Unapproved | None:
    """Compares a configuration with the approved one. `what` describes it; None if it is the approved one."""
    with trying(f"Reading the ledger of {ledger.stage}"):
        present = configurations.in_force(ledger, application)
        if present is not None and digest_of(present["document"]) == digest_of(data):
            return _of_groups(ledger, application, data, flags)
        waiting = [
            record["tag"]
            for record in configurations.proposals(ledger, application)
            if record["status"] == Status.RUNNING
        ]
    said = (
        f"{what} of {application} differs from {present['tag']}, which was approved in {ledger.stage}"
        if present
        else f"No configuration of {application} is approved in {ledger.stage} yet"
    )
    if waiting:
        tag = max(waiting, key=number_of)
        remedy = f"{tag} waits for approval: tagship approve {application} {tag}{flags}"
    else:
        remedy = f"Propose it: tagship apply application.yaml{flags}"
    return Unapproved(said=f"{said}, so its releases end INVALID.", remedy=remedy)


def _of_groups(ledger: Ledger, application: str, data: object, flags: str) -> Unapproved | None:
    """An approved configuration is also invalid if a group is unapproved, missing or too small."""
    try:
        document = as_document(read_application(data))
    except DocumentInvalid:
        return None  # reported elsewhere, field by field
    problems = with_groups({"version": 0, "document": document, "problems": []}, ledger, guarded=True)[
        "problems"
    ]
    if not problems:
        return None
    said = f"{application} cannot be approved in {ledger.stage}: {'; '.join(problems)}. Its releases end INVALID."
    return Unapproved(said=said, remedy=f"Apply the group, or change the rules: tagship apply FILE{flags}")


def unapproved(place: Place, application: str, data: object = None, *, what: str = "") -> Unapproved | None:
    """Checks the stage's stored configuration, or `data`.

    Returns None if the stage does not guard configurations, and if this identity can't read them: CI may only upload.
    """
    from tagship_cli.actions.configuration import stored

    try:
        if not place.guards_configuration:
            return None
        if data is None:
            data = stored(place.client("ssm"), stage=place.stage, application=application).data
        words = {"what": what} if what else {}
        return compared(place.ledger, application, data, flags=place.flags(), **words)
    except AwsRefused:
        return None
