"""What a gate is given and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from tagship.application import Application
from tagship.release import Manifest, PinnedObject
from tagship.settings import Settings


class Verdict(StrEnum):
    """An error counts as failed: a gate that can't answer has not let anything through."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """One gate's answer, for the author of the release: why, and what to do about it."""

    gate: str
    verdict: Verdict
    why: str
    remedy: str = ""
    warning: str = ""
    """What approvers must read first although the gate let it through."""
    seen: Mapping[str, Any] = field(default_factory=dict)
    """What the gate saw and later steps hold against it, e.g. the alarms that were firing already."""

    def as_dict(self) -> dict[str, Any]:
        """For the state machine's data and the ledger."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is judged: a release as it was pinned, its application as it was configured then, and what production runs."""

    application: str
    tag: str
    manifest: Manifest | None
    """None where the document could not be read; `problems` say why."""
    problems: Sequence[str]
    configuration: Application | None
    configuration_problems: Sequence[str]
    objects: Mapping[str, PinnedObject]
    """By file name; a file that the manifest names and the bucket lacks is missing here."""
    production: str | None
    """The tag that production runs."""
    digest: str
    """SHA-256 of `release.json`, as it was pinned."""
    now: datetime
    settings: Settings
    client: Callable[[str], Any]
    """An AWS service, with the gate's own role: `client("s3")`."""

    @classmethod
    def of(
        cls,
        record: Mapping[str, Any],
        *,
        production: str | None,
        now: datetime,
        settings: Settings,
        client: Callable[[str], Any],
    ) -> Case:
        """From the release as it stands in the ledger."""
        document = record["configuration"]["document"]
        return cls(
            application=record["application"],
            tag=record["tag"],
            manifest=Manifest.from_dict(record["manifest"]) if record["manifest"] else None,
            problems=record["problems"],
            configuration=Application.from_dict(document) if document else None,
            configuration_problems=record["configuration"]["problems"],
            objects={file: PinnedObject.from_dict(pinned) for file, pinned in record["objects"].items()},
            production=production,
            digest=record["digest"],
            now=now,
            settings=settings,
            client=client,
        )


Gate = Callable[[Case], GateResult]


def passed(gate: str, why: str, *, warning: str = "", **seen: Any) -> GateResult:
    """The gate lets it through."""
    return GateResult(gate=gate, verdict=Verdict.PASSED, why=why, warning=warning, seen=seen)


def failed(gate: str, why: str, remedy: str) -> GateResult:
    """The gate stops it."""
    return GateResult(gate=gate, verdict=Verdict.FAILED, why=why, remedy=remedy)


def unanswered(gate: str) -> GateResult:
    """The gate has nothing to judge, since the manifest or the configuration can't be read."""
    return GateResult(
        gate=gate,
        verdict=Verdict.ERROR,
        why="There is nothing to judge: the release or its configuration can't be read.",
        remedy="Mend what the manifest gate names.",
    )


def judge(results: Sequence[Mapping[str, Any]]) -> tuple[bool, str]:
    """Whether all gates passed, and why not: one failure is enough, and no results is a failure too."""
    stopped = [result for result in results if result["verdict"] != Verdict.PASSED]
    if not results:
        return False, "No gate has answered."
    if not stopped:
        return True, f"All {len(results)} gates passed."
    return False, " ".join(f"{result['gate']}: {result['why']}" for result in stopped)
