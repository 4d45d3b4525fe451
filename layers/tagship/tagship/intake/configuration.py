"""The application's configuration in Parameter Store: read once for a release; later changes affect the next release only.

In a stage that guards configurations, it counts only if it is the one that was approved last.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tagship.aws.calls import calling
from tagship.ledger import groups
from tagship.ledger.table import Ledger, digest_of
from tagship.model.documents import (
    MAX_DEPTH,
    DocumentInvalid,
    as_document,
    policy_problem,
    read_application,
)
from tagship.model.errors import ApplicationUnknown
from tagship.model.records import ApprovedConfiguration, ConfigurationRecord, Document
from tagship.model.release import parameter_name

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient


def read(ssm: SSMClient, *, stage: str, application: str, github_hosts: Sequence[str]) -> ConfigurationRecord:
    """The document with its defaults, None if it is not valid; the digest covers the document as written."""
    name = parameter_name(stage, application)
    try:
        with calling(f"Reading the parameter {name}", ParameterNotFound=ApplicationUnknown):
            parameter = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]
    except ApplicationUnknown:
        return {"version": 0, "document": None, "problems": [f"there is no parameter {name}"]}
    try:
        data = json.loads(parameter["Value"])
        found = read_application(data, stage=stage, github_hosts=github_hosts)
        if found.application != application:
            raise ValueError(f"{name} is about {found.application!r}")
        if found.stage not in (None, stage):
            raise ValueError(f"{name} is for stage {found.stage}, but this is stage {stage}")
        return {
            "version": parameter["Version"],
            "document": as_document(found),
            "problems": [],
            "digest": digest_of(data),
        }
    except RecursionError:
        problems = [f"is nested deeper than {MAX_DEPTH} levels"]
    except DocumentInvalid as error:
        problems = [str(problem) for problem in error.problems]
    except ValueError as error:
        problems = [str(error)]
    return {"version": parameter["Version"], "document": None, "problems": problems}


def guarded(
    found: ConfigurationRecord, approved: ApprovedConfiguration | None, *, stage: str, application: str
) -> ConfigurationRecord:
    """Only an approved configuration counts: any other is invalid, and the problem says what to do."""
    if found["document"] is None:
        return found
    # Compare the document itself: functions that take untrusted input cannot write it, but can write the digest next to it.
    if approved is not None and found.get("digest") == digest_of(approved["document"]):
        return {**found, "approved": approved["tag"]}
    propose = f"propose it: tagship apply application.yaml --stage {stage}"
    if approved is None:
        problem = f"no configuration of {application} has been approved in {stage} yet; {propose}"
    else:
        problem = (
            f"the configuration was changed outside of Tagship since {approved['since'][:16]}Z, when "
            f"{approved['tag']} was approved (version {found['version']} of "
            f"{parameter_name(stage, application)} is different); {propose}"
        )
    return {"version": found["version"], "document": None, "problems": [problem]}


def with_groups(found: ConfigurationRecord, ledger: Ledger, *, guarded: bool) -> ConfigurationRecord:
    """Adds the current groups that its rules name. It is not valid if one is missing, or if nobody could meet the rules."""
    document = found["document"]
    if document is None or not (named := groups_in(document)):
        return found
    pinned, problems = groups.pinned(ledger, named, guarded=guarded)
    if not problems and (problem := policy_problem(document["approval"], pinned)):
        problems = [f"approval: {problem}"]
    if guarded and not problems:
        problems = list(_easier_to_change(document, ledger))
    if problems:
        return {"version": found["version"], "document": None, "problems": problems}
    return {**found, "groups": pinned}


def groups_in(document: Document) -> list[str]:
    """The groups that an application's rules name."""
    return [rule["group"] for rule in document["approval"].get("rules") or () if rule.get("group")]


def _easier_to_change(document: Document, ledger: Ledger) -> Iterator[str]:
    """A rule that requires two members of a group protects nothing if one of them could change the group."""
    for rule in document["approval"]["rules"]:
        if not rule.get("group"):
            continue
        changed_by = groups.changed_by(ledger, rule["group"])
        if changed_by < rule["required"]:
            yield (
                f"approval: {rule['required']} of group {rule['group']} must approve, but {changed_by} of them can "
                f"change the group: apply the group with required: {rule['required']}"
            )
