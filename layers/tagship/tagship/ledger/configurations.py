"""The configuration in force of each application: the last one that a fact shows as approved. For stages that guard it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from tagship.ledger.table import Fact, Ledger, Refused, application_key, digest_of, timestamp
from tagship.model.errors import LockLost
from tagship.model.facts import FactKind
from tagship.model.proposal import PREFIX, number_of
from tagship.model.records import ApprovedConfiguration, FactRecord, ReleaseRecord, manifest_of
from tagship.model.release import Status

CONFIGURATION = "CONFIGURATION"


def in_force(ledger: Ledger, application: str) -> ApprovedConfiguration | None:
    """The configuration that was approved last; None if there is none."""
    return cast("ApprovedConfiguration | None", ledger.get(application_key(application), CONFIGURATION))


def approval_of(ledger: Ledger, application: str, tag: str) -> FactRecord | None:
    """The fact that approved a configuration; None if there is none."""
    return ledger.fact(application, tag, 1, FactKind.CONFIGURATION_APPROVED) if number_of(tag) else None


def proposals(ledger: Ledger, application: str) -> Iterator[ReleaseRecord]:
    """All proposals, in no particular order."""
    yield from cast(
        "Iterator[ReleaseRecord]", ledger.query(application_key(application), f"RELEASE#{PREFIX}")
    )


def newest(ledger: Ledger, application: str) -> int:
    """The number of the last proposal; 0 if there is none."""
    return max((number_of(record["tag"]) for record in proposals(ledger, application)), default=0)


def approve(ledger: Ledger, record: ReleaseRecord, *, approvers: tuple[str, ...], execution: str) -> bool:
    """Puts a proposal in force, with its fact; False if that was done before.

    Raises LockLost if the proposal has ended in another way, or if the configuration in force is no longer the one that
    its approvers saw in the comparison.
    """
    document = record["proposal"]
    base = record["configuration"].get("digest", "")
    now, digest = timestamp(ledger.now()), digest_of(document)
    version = number_of(record["tag"])
    item = {
        "pk": application_key(record["application"]),
        "sk": CONFIGURATION,
        "kind": "configuration",
        "application": record["application"],
        "tag": record["tag"],
        "version": version,
        "digest": digest,
        "document": document,
        "since": now,
        "by": list(approvers),
    }
    fact = Fact(
        application=record["application"],
        tag=record["tag"],
        attempt=record["attempt"],
        name=FactKind.CONFIGURATION_APPROVED,
        execution=execution,
        data={
            "status": Status.SUCCEEDED,
            "digest": digest,
            "version": version,
            "before": base,
            "approvers": list(approvers),
            "author": manifest_of(record)["author"],
            "readAt": record["readAt"],
        },
    )
    ends = ledger.update(
        application_key(record["application"]),
        f"RELEASE#{record['tag']}",
        only_if="#status = :running AND #attempt = :attempt",
        values={":running": Status.RUNNING, ":attempt": record["attempt"]},
        remove=("open",),
        status=Status.SUCCEEDED,
        why=f"{record['tag']} is the current configuration.",
        endedAt=now,
    )
    condition, values = ("#digest = :base", {":base": base}) if base else ("attribute_not_exists(pk)", {})
    try:
        return ledger.record(fact, ends, ledger.put(item, only_if=condition, values=values))
    except Refused as refused:
        raise LockLost(
            f"{record['application']} {record['tag']}: it has already ended, or the current configuration is "
            "no longer the one that its approvers compared it with. Nothing was changed. Propose it again "
            "with `tagship apply`."
        ) from refused
