"""A proposed change of an application's configuration: decided under the configuration in force, and compared with it.

Nothing that the new document says about approvers applies before it is in force.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tagship.intake.configuration import with_groups
from tagship.ledger import configurations, releases
from tagship.ledger.table import Ledger, digest_of, timestamp
from tagship.model.application import Application, ApprovalPolicy
from tagship.model.differences import NOTHING, changes, warnings
from tagship.model.documents import DocumentInvalid, as_document, read_application, read_group
from tagship.model.errors import ReleaseUnreadable
from tagship.model.group import Group
from tagship.model.people import person
from tagship.model.proposal import DOCUMENT_BYTES, Proposal, group_of, number_of, scope_of, tag_of
from tagship.model.records import (
    ApprovedConfiguration,
    ConfigurationRecord,
    Document,
    ManifestData,
    NewRelease,
    Plan,
    ReleaseRecord,
)
from tagship.text.plain import shorten
from tagship.text.words import first

Bind = Callable[[NewRelease, Plan], str]
"""The digest of a record and its plan, to which an approval is bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposing:
    """The dependencies for reading a proposal."""

    ledger: Ledger
    stage: str
    owners: Sequence[str]
    """Who is asked if no configuration is in force yet."""
    github_hosts: Sequence[str]
    """The hosts to which a GitHub token may be sent."""
    execution: str
    bind: Bind

    def claim(self, data: object) -> tuple[str, ReleaseRecord]:
        """The outcome, and the proposal's record, as from `releases.claim`, with "proposed" for "claimed".

        "unchanged", with the proposal in force, for a document that is already in force: it only has to be stored again.

        Raises ReleaseUnreadable if it cannot be proposed.
        """
        try:
            proposal = Proposal.from_dict(data)
        except ValueError as error:
            raise ReleaseUnreadable(f"{error}. Nothing was changed.") from error
        document = self._read(proposal)
        present = configurations.in_force(self.ledger, proposal.application)
        if present and number_of(present["tag"]) and present["digest"] == digest_of(proposal.document):
            return "unchanged", releases.get(self.ledger, proposal.application, present["tag"])
        if number_of(proposal.tag) > (last := configurations.newest(self.ledger, proposal.application)) + 1:
            raise ReleaseUnreadable(
                f"{proposal.application} {proposal.tag} is not the next proposal. The next one is {tag_of(last + 1)}. "
                "Nothing was changed."
            )
        outcome, record = releases.claim(self.ledger, self._record(proposal, document, present))
        return "proposed" if outcome == "claimed" else outcome, record

    def _read(self, proposal: Proposal) -> Document:
        about = f"{proposal.application} {proposal.tag}"
        text = json.dumps(proposal.document, ensure_ascii=False, separators=(",", ":"))
        if (size := len(text.encode(errors="replace"))) > DOCUMENT_BYTES:
            raise ReleaseUnreadable(
                f"{about}: the document has {size:,} bytes; Parameter Store's limit is {DOCUMENT_BYTES:,}. "
                "Nothing was changed."
            )
        try:
            found = self._noun(proposal)
        except DocumentInvalid as error:
            problems = "; ".join(first([shorten(str(problem), 300) for problem in error.problems], 10))
            raise ReleaseUnreadable(
                f"{about}: the document is not valid: {problems}. Nothing was changed."
            ) from error
        name = scope_of(found.group) if isinstance(found, Group) else found.application
        if name != proposal.application or found.stage not in (None, self.stage):
            where = f"{name} in {found.stage or 'any stage'}"
            raise ReleaseUnreadable(
                f"{about}: the document is for {where}, but this is stage {self.stage}. Nothing was changed."
            )
        document = as_document(found)
        if isinstance(found, Application):
            whole: ConfigurationRecord = {"version": 0, "document": document, "problems": []}
            if problems := "; ".join(with_groups(whole, self.ledger, guarded=True)["problems"]):
                raise ReleaseUnreadable(f"{about}: {problems}. Nothing was changed.")
        return document

    def _noun(self, proposal: Proposal) -> Application | Group:
        if group_of(proposal.application):
            return read_group(proposal.document, stage=self.stage)
        return read_application(proposal.document, stage=self.stage, github_hosts=self.github_hosts)

    def _record(
        self, proposal: Proposal, document: Document, present: ApprovedConfiguration | None
    ) -> NewRelease:
        holds = self._holds(proposal, document, present)
        found = changes(_compared(proposal, present), document)
        plan: Plan = {
            "from": present["tag"] if present else None,
            "to": proposal.tag,
            "nothingToChange": False,
            "summary": [str(change) for change in found] or [NOTHING],
            "warnings": [*self._first(proposal, present), *warnings(found)],
            "steps": [],
            "locations": [],
        }
        record: NewRelease = {
            "application": proposal.application,
            "tag": proposal.tag,
            "stage": self.stage,
            "execution": self.execution,
            "digest": digest_of(proposal.document),
            "release": {"bucket": "", "key": "", "versionId": "", "size": 0},
            "manifest": self._manifest(proposal),
            "problems": [],
            "objects": {},
            "configuration": holds,
            "phase": "proposed",
            "proposal": proposal.document,
            "gates": [
                {
                    "gate": "document",
                    "verdict": "passed",
                    "why": f"A valid configuration for {self.stage}.",
                    "remedy": "",
                }
            ],
        }
        return {**record, "plan": {**plan, "digest": self.bind(record, plan)}}

    def _holds(
        self, proposal: Proposal, document: Document, present: ApprovedConfiguration | None
    ) -> ConfigurationRecord:
        """The configuration that decides on this: the one in force, if there is one and it can be read."""
        held = _readable(present)
        base = {"digest": present["digest"], "approved": present["tag"]} if present else {}
        version = present["version"] if present else 0
        if held is None or proposal.owners:
            everybody = present is not None and bool(number_of(present["tag"]))
            group = group_of(proposal.application)
            held = self._owned(proposal, held or _quiet(document, group), everybody=everybody)
        found: ConfigurationRecord = {"version": version, "document": held, "problems": [], **base}  # type: ignore[typeddict-item]
        found = with_groups(found, self.ledger, guarded=True)
        if found["document"] is None:
            why = "; ".join(found["problems"])
            raise ReleaseUnreadable(
                f"{proposal.application} {proposal.tag}: the current approvers can't decide: {why}. "
                "Nothing was changed. Let the stack's owners decide: --ask-owners."
            )
        return found

    def _owned(self, proposal: Proposal, held: Document, *, everybody: bool) -> Document:
        """The stack's owners decide. One is enough if nothing is in force; if a quorum exists, all of them must approve.

        Recipients of notices in the configuration in force are notified in any case.
        """
        if not self.owners:
            raise ReleaseUnreadable(
                f"{proposal.application} {proposal.tag}: the stack's owners must decide, but none are "
                "configured: set the stack's parameter ConfigurationOwners. Nothing was changed."
            )
        policy = ApprovalPolicy(
            approvers=tuple(self.owners),
            required=len(set(map(person, self.owners))) if everybody else 1,
            authorMayApprove=True,
        )
        return {**held, "approval": as_document(policy)}

    def _first(self, proposal: Proposal, present: ApprovedConfiguration | None) -> list[str]:
        notes = [f"EMERGENCY: {proposal.emergency}"] if proposal.emergency else []
        if present is None or not number_of(present["tag"]):
            what = "version of" if group_of(proposal.application) else "configuration of"
            notes.append(
                f"This is the first {what} {proposal.application} in {self.stage}; the stack's owners decide."
            )
        elif proposal.owners:
            notes.append(
                f"The stack's owners decide, instead of the approvers that {present['tag']} names: "
                f"{proposal.owners}"
            )
        return notes

    def _manifest(self, proposal: Proposal) -> ManifestData:
        return {
            "schemaVersion": 1,
            "application": proposal.application,
            "tag": proposal.tag,
            "commit": "",
            "repository": "",
            "author": proposal.by,
            "createdAt": timestamp(self.ledger.now()),
            "artifacts": [],
            "notes": "",
            "parameters": {},
            "emergency": proposal.emergency,
        }


def _readable(present: ApprovedConfiguration | None) -> Document | None:
    """With its defaults; None if nothing is in force, or if this version of Tagship cannot read it.

    A group's members decide on its changes, as many as it says itself.
    """
    if present is None:
        return None
    try:
        if not group_of(present["application"]):
            return as_document(read_application(present["document"]))
        if not number_of(present["tag"]):
            return None
        group = read_group(present["document"])
    except DocumentInvalid:
        return None
    policy = ApprovalPolicy(approvers=group.members, required=group.required)
    return {"approval": as_document(policy), "notifications": {}}


def _compared(proposal: Proposal, present: ApprovedConfiguration | None) -> Document:
    """What is in force, for the list of changes."""
    if present is None:
        return {}
    if group_of(proposal.application):
        return {"required": 1, "stage": None, **present["document"]}
    return _readable(present) or present["document"]


def _quiet(document: Document, group: str) -> Document:
    """Nobody is notified by what nobody has approved; of a group, no more than who decides is needed."""
    return {"notifications": {}} if group else {**document, "notifications": {}}
