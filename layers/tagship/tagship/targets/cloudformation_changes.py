"""Describes a change set in words, dangerous changes first, and says what a stack policy would refuse. Makes no AWS
calls."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import Any

from tagship.text.plain import line
from tagship.text.words import listed

STATEFUL = frozenset(
    f"AWS::{name}"
    for name in (
        "Backup::BackupVault",
        "CodeCommit::Repository",
        "Cognito::IdentityPool",
        "Cognito::UserPool",
        "DocDB::DBCluster",
        "DocDB::DBInstance",
        "DynamoDB::GlobalTable",
        "DynamoDB::Table",
        "EC2::Volume",
        "ECR::Repository",
        "EFS::FileSystem",
        "ElastiCache::CacheCluster",
        "ElastiCache::ReplicationGroup",
        "Elasticsearch::Domain",
        "FSx::FileSystem",
        "KMS::Key",
        "Kinesis::Stream",
        "Logs::LogGroup",
        "MSK::Cluster",
        "MemoryDB::Cluster",
        "Neptune::DBCluster",
        "Neptune::DBInstance",
        "OpenSearchService::Domain",
        "QLDB::Ledger",
        "RDS::DBCluster",
        "RDS::DBInstance",
        "Redshift::Cluster",
        "S3::Bucket",
        "SDB::Domain",
        "SQS::Queue",
        "SecretsManager::Secret",
        "Timestream::Database",
        "Timestream::Table",
    )
)
"""Resource types that hold data. A replacement starts empty."""
_STACK = "AWS::CloudFormation::Stack"
_SHOWN = 60
_KEEPS = {"Retain": "the old one is kept", "Snapshot": "a snapshot of it is kept"}


class Danger(IntEnum):
    """How dangerous a change may be; the most dangerous is listed first."""

    DATA_LOST = 0
    DATA_MAY_BE_LOST = 1
    REPLACED = 2
    MAY_BE_REPLACED = 3
    USUAL = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One resource's change, as CloudFormation predicts it."""

    stack: str
    """The nested stack's logical id; empty for the stack itself."""
    name: str
    """The resource's logical id."""
    type: str
    action: str
    """`Add`, `Modify`, `Remove`, `Import`, or `Dynamic` if CloudFormation can't say in advance."""
    replaced: str
    """`True`, `False`, or `Conditional` if CloudFormation can't say in advance."""
    policy: str
    """What happens to the old resource, by its DeletionPolicy or UpdateReplacePolicy."""
    properties: Sequence[str]
    """The causes of the change."""

    @classmethod
    def from_aws(cls, found: Mapping[str, Any], *, stack: str = "") -> Change:
        """Reads a change set's `ResourceChange`."""
        causes = [(it.get("Target") or {}).get("Name") for it in found.get("Details") or ()]
        return cls(
            stack=stack,
            name=str(found.get("LogicalResourceId", "")),
            type=str(found.get("ResourceType", "")),
            action=str(found.get("Action", "Dynamic")),
            replaced=str(found.get("Replacement") or "False"),
            policy=str(found.get("PolicyAction") or ""),
            properties=sorted({str(cause) for cause in causes if cause}),
        )

    @property
    def path(self) -> str:
        """The logical id, prefixed with its nested stacks, the outermost first."""
        return "/".join(filter(None, (self.stack, self.name)))

    @property
    def danger(self) -> Danger:
        """Depends on what happens to the old resource, and on whether it holds data."""
        gone = self.action == "Remove" or self.replaced == "True"
        uncertain = self.action == "Dynamic" or self.replaced == "Conditional"
        if self.type in STATEFUL and gone:
            return Danger.DATA_LOST
        if self.type in STATEFUL and uncertain:
            return Danger.DATA_MAY_BE_LOST
        if gone:
            return Danger.REPLACED
        return Danger.MAY_BE_REPLACED if uncertain else Danger.USUAL

    @property
    def refusable(self) -> str:
        """The action in a stack policy's terms; if it can't be known, the worst one possible."""
        if self.action == "Remove":
            return "Update:Delete"
        return "Update:Modify" if self.replaced == "False" else "Update:Replace"

    def __str__(self) -> str:
        where = f" in the nested stack {self.stack}" if self.stack else ""
        what = f"{self.type} {self.name}{where}"
        why = f", because of {listed(self.properties)}" if self.properties else ""
        if self.action == "Remove":
            return f"DELETES {what}{self._data}"
        if self.action == "Dynamic":
            return f"MAY CHANGE {what}: CloudFormation decides this only during the update"
        if self.action == "Modify" and self.replaced == "True":
            return f"REPLACES {what}{self._data}{why}"
        if self.action == "Modify" and self.replaced == "Conditional":
            return f"MAY REPLACE {what}{self._data}{why}: CloudFormation decides this only during the update"
        verb = {"Add": "Adds", "Modify": "Changes", "Import": "Imports"}.get(self.action, self.action)
        return f"{verb} {what}{why}"

    @property
    def _data(self) -> str:
        if keeps := next((words for name, words in _KEEPS.items() if self.policy.endswith(name)), ""):
            return f" ({keeps})"
        return " with all its data" if self.type in STATEFUL else ""


def resource_changes(found: Iterable[Mapping[str, Any]], *, stack: str = "") -> list[Change]:
    """The resource changes in a change set's `Changes`."""
    return [Change.from_aws(it["ResourceChange"], stack=stack) for it in found if it.get("ResourceChange")]


def describe(changes: Iterable[Change]) -> tuple[list[str], list[str]]:
    """All changes in words, the most dangerous first, and those of them that approvers must read first.

    A nested stack's own entry is left out, because its resources' changes are listed. CloudFormation reports every
    nested stack as possibly replaced.
    """
    found = list(changes)
    nested = {change.stack for change in found}
    ordered = sorted(
        (it for it in found if not (it.type == _STACK and it.path in nested and it.action == "Modify")),
        key=lambda it: (it.danger, it.stack, it.name),
    )
    lines = [line(each, 300) for each in ordered]
    most = max(_SHOWN, sum(each.danger < Danger.USUAL for each in ordered))
    rest = len(lines) - most
    warnings = [words for words, each in zip(lines, ordered, strict=True) if each.danger < Danger.USUAL]
    return lines[:most] + ([f"… and {rest} more changes and additions"] if rest > 0 else []), warnings


def refused_by(policy: str, changes: Iterable[Change]) -> list[str]:
    """The changes that a stack policy would refuse, in words. The update would fail there and be rolled back.

    If a stack has a policy, anything that it does not allow is refused, and a Deny wins.
    """
    if not policy:
        return []
    statements = json.loads(policy).get("Statement") or []
    statements = [statements] if isinstance(statements, dict) else statements
    return [
        f"{each.refusable} of {each.type} {each.name}"
        for each in changes
        if not each.stack and each.action not in ("Add", "Import") and not _allowed(statements, each)
    ]


def _allowed(statements: Sequence[Mapping[str, Any]], change: Change) -> bool:
    effects = {str(it.get("Effect")) for it in statements if _applies(it, change)}
    return "Allow" in effects and "Deny" not in effects


def _applies(statement: Mapping[str, Any], change: Change) -> bool:
    requested = (("Action", change.refusable), ("Resource", f"LogicalResourceId/{change.name}"))
    for name, value in requested:
        if name in statement and not _matches(statement[name], value):
            return False
        if f"Not{name}" in statement and _matches(statement[f"Not{name}"], value):
            return False
    for operator, wanted in (statement.get("Condition") or {}).items():
        if operator not in ("StringEquals", "StringLike") or set(wanted) != {"ResourceType"}:
            return statement.get("Effect") == "Deny"  # fail closed: a statement that can't be read refuses
        if not _matches(wanted["ResourceType"], change.type):
            return False
    return True


def _matches(patterns: object, value: str) -> bool:
    return any(
        fnmatchcase(value, str(pattern))
        for pattern in (patterns if isinstance(patterns, list | tuple) else [patterns])
    )
