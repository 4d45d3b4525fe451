"""What a gate is given and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from tagship.aws.rights import ClientAs, Location, Right
from tagship.model.application import Application
from tagship.model.errors import CredentialsRefused, FinalError
from tagship.model.records import CurrentRecord, GateRecord, ReleaseRecord, Revision, Voters
from tagship.model.release import Artifact, Manifest, PinnedObject
from tagship.model.schedule import Freeze
from tagship.settings import Settings
from tagship.targets.kind import Preflight


class Verdict(StrEnum):
    """An error counts as failed: a gate that can't answer has not let anything through."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    NOT_CONFIGURED = "not-configured"
    """The application did not ask for the gate: it is not run, and never counts as passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """One gate's answer, for the author of the release: why, and what to do about it."""

    gate: str
    verdict: Verdict
    why: str
    remedy: str = ""
    warning: str = ""
    """What approvers must read first although the gate let it through."""
    seen: Mapping[str, object] = field(default_factory=dict)
    """What the gate saw and later steps hold against it, e.g. the alarms that were firing already."""
    cause: str = ""
    """The gate that says why, where this one has no cause of its own."""
    may_pass: bool = False
    """AWS refused the role, which is also what it answers for some seconds after the role or its right was made."""

    def as_dict(self) -> dict[str, Any]:
        """For the state machine's data and the ledger."""
        return {name: value for name, value in asdict(self).items() if name != "may_pass"}


class LookAt(Protocol):
    """Finds an application's target."""

    def __call__(
        self,
        spec: Location,
        /,
        *,
        application: str,
        tag: str,
        client_as: ClientAs,
        objects: Iterable[PinnedObject],
    ) -> Preflight:
        """Raises CredentialsRefused where the role can't be assumed."""


class AskWhatServes(Protocol):
    """Puts an application's health checks to what serves now: by check, whether it can answer, and why not."""

    def __call__(
        self, configuration: Application, revision: Revision | None
    ) -> Mapping[str, Mapping[str, object]]:
        """What can't be asked just now is left out."""


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
    revision: Revision | None
    """What of the target that is, as the ledger recorded it; only the target's adapter understands it."""
    digest: str
    """SHA-256 of `release.json`, as it was pinned."""
    now: datetime
    settings: Settings
    client: Callable[[str], Any]
    """An AWS service, with the gate's own role: `client("s3")`."""
    freezes: Callable[[], Sequence[Freeze]]
    """The freezes of the application and those of all, asked of the ledger."""
    role: Callable[[Application], ClientAs]
    look_at: LookAt
    ask_what_serves: AskWhatServes
    voters: Callable[[Voters], Sequence[str]]
    """Whose decision counts, of a policy's approvers and a release's author."""

    def client_as(self, service: str, *, may: Sequence[Right], config: Any = None) -> Any:
        """An AWS service, in the application's role, for what it `may` and nothing else.

        Raises CredentialsRefused where the role can't be assumed.
        """
        assert self.configuration is not None  # or there is nobody's role to assume
        return self.role(self.configuration)(service, may=may, config=config)

    @property
    def target(self) -> Preflight:
        """The application's target, in the application's role; raises CredentialsRefused where it can't be assumed."""
        assert self.configuration is not None
        return self.look_at(
            self.configuration.target,
            application=self.application,
            tag=self.tag,
            client_as=self.role(self.configuration),
            objects=list(self.objects.values()),
        )

    @property
    def artifacts(self) -> dict[str, tuple[Artifact, PinnedObject]]:
        """What the manifest names and the bucket has, by the artifact's name."""
        named = self.manifest.artifacts if self.manifest else ()
        return {it.name: (it, self.objects[it.file]) for it in named if it.file in self.objects}

    @classmethod
    def of(
        cls,
        record: ReleaseRecord,
        *,
        current: CurrentRecord | None,
        now: datetime,
        settings: Settings,
        client: Callable[[str], Any],
        freezes: Callable[[], Sequence[Freeze]],
        role: Callable[[Application], ClientAs],
        look_at: LookAt,
        ask_what_serves: AskWhatServes,
        voters: Callable[[Voters], Sequence[str]],
    ) -> Case:
        """From the release as it stands in the ledger, and what production runs by the ledger (None: no release)."""
        document = record["configuration"]["document"]
        return cls(
            application=record["application"],
            tag=record["tag"],
            manifest=Manifest.from_dict(record["manifest"]) if record["manifest"] else None,
            problems=record["problems"],
            configuration=Application.from_dict(document) if document else None,
            configuration_problems=record["configuration"]["problems"],
            objects={file: PinnedObject.from_dict(pinned) for file, pinned in record["objects"].items()},
            production=current["tag"] if current else None,
            revision=current["revision"] if current else None,
            digest=record["digest"],
            now=now,
            settings=settings,
            client=client,
            freezes=freezes,
            role=role,
            look_at=look_at,
            ask_what_serves=ask_what_serves,
            voters=voters,
        )


def _always(_: Application | None) -> bool:
    return True


def _none(_: Application) -> tuple[Right, ...]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """All that the rest knows of a gate; it stands in the gate's own file."""

    name: str
    check: Callable[[Case], GateResult]
    """Raises AwsUnavailable, and what else the state machine retries."""
    computes: bool = False
    """Calls nothing but the ledger: gates that compute share one invocation."""
    configured: Callable[[Application | None], bool] = _always
    """Whether the application asks for it; most gates always run, also where the configuration can't be read (None)."""
    rights: Callable[[Application], tuple[Right, ...]] = _none
    """What it needs of the application's role."""


def passed(gate: str, why: str, *, warning: str = "", **seen: object) -> GateResult:
    """The gate lets it through."""
    return GateResult(gate=gate, verdict=Verdict.PASSED, why=why, warning=warning, seen=seen)


def failed(gate: str, why: str, remedy: str, *, cause: str = "") -> GateResult:
    """The gate stops it; `cause` is the gate that says why, where that is another one."""
    return GateResult(gate=gate, verdict=Verdict.FAILED, why=why, remedy=remedy, cause=cause)


def unanswered(gate: str) -> GateResult:
    """The gate has nothing to judge: the manifest gate says why."""
    return GateResult(
        gate=gate,
        verdict=Verdict.ERROR,
        why="Not evaluated: the release or its configuration cannot be read.",
        remedy="Fix what the manifest gate names.",
        cause="manifest",
    )


def not_configured(gate: str) -> GateResult:
    """The application did not ask for it."""
    return GateResult(
        gate=gate,
        verdict=Verdict.NOT_CONFIGURED,
        why="The application's configuration does not use this gate.",
    )


def refused(gate: str, error: FinalError, remedy: str) -> GateResult:
    """The gate stops it, for what an adapter said; why a role can't be assumed at all is for the target gate to say."""
    if not isinstance(error, CredentialsRefused):
        return failed(gate, str(error), remedy)
    if error.remedy:
        result = failed(gate, error.why, "Fix what the target gate names.", cause="target")
    else:
        result = failed(gate, error.why, "`tagship role` prints what the application's role must allow.")
    return replace(result, may_pass=error.may_pass)


def judge(results: Sequence[GateRecord], *, unasked: Sequence[str] = ()) -> tuple[bool, str]:
    """Whether all gates that were asked passed, and why not: one failure is enough, and no results is a failure too.

    Of gates that stopped a release for the same cause, the one whose cause it is speaks.
    """
    stopped = [result for result in results if result["verdict"] != Verdict.PASSED]
    if not results:
        return False, "No gate answered."
    if not stopped:
        passing = "1 gate passed" if len(results) == 1 else f"{len(results)} gates passed"
        return True, f"{passing}; {', '.join(unasked)} not configured." if unasked else f"{passing}."
    return False, " ".join(sentence(result) for result in with_a_cause(stopped))


def with_a_cause(stopped: Sequence[GateRecord]) -> list[GateRecord]:
    """Without those that stopped the release only because another of them did."""
    names = {result["gate"] for result in stopped}
    return [result for result in stopped if result.get("cause") not in names]


def sentence(result: GateRecord) -> str:
    """Why a gate stopped a release, and what to do."""
    why = str(result["why"]).rstrip()
    why = why if why.endswith((".", "!", "?")) else f"{why}."
    return f"{result['gate']}: {why} {result.get('remedy', '')}".strip()
