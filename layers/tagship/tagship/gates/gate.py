"""The interface of a gate: what it receives and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from tagship.aws.rights import ClientAs, Location, Right
from tagship.model.application import Application
from tagship.model.errors import CredentialsRefused, FinalError
from tagship.model.records import CurrentRecord, GateRecord, PinnedGroup, ReleaseRecord, Revision, Voters
from tagship.model.release import Artifact, Manifest, PinnedObject
from tagship.model.schedule import Freeze
from tagship.settings import Settings
from tagship.targets.kind import Preflight


class Verdict(StrEnum):
    """An error counts as failed: a gate that cannot answer stops the release."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    NOT_CONFIGURED = "not-configured"
    """The application does not use the gate: it does not run, and never counts as passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """One gate's result, for the author of the release: why, and what to do about it."""

    gate: str
    verdict: Verdict
    why: str
    remedy: str = ""
    warning: str = ""
    """A warning that approvers see first although the gate passed."""
    seen: Mapping[str, object] = field(default_factory=dict)
    """What the gate found and later steps compare with, such as the alarms that were already firing."""
    cause: str = ""
    """The gate that gives the reason, if this one only repeats it."""
    may_pass: bool = False
    """AWS refused the role; it also does so for some seconds after the role or its permission was created."""

    def as_dict(self) -> dict[str, Any]:
        """For the state machine's data and the ledger."""
        return {name: value for name, value in asdict(self).items() if name != "may_pass"}


class LookAt(Protocol):
    """Builds the adapter of an application's target."""

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
        """Raises CredentialsRefused if the role cannot be assumed."""


class AskWhatServes(Protocol):
    """Runs an application's health checks against the current version: by check, whether it can answer, and why not."""

    def __call__(
        self, configuration: Application, revision: Revision | None
    ) -> Mapping[str, Mapping[str, object]]:
        """Checks that cannot run now are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The input of a gate: a release and its configuration as they were pinned, and the release in production."""

    application: str
    tag: str
    manifest: Manifest | None
    """None if the document could not be read; `problems` gives the reasons."""
    problems: Sequence[str]
    configuration: Application | None
    configuration_problems: Sequence[str]
    objects: Mapping[str, PinnedObject]
    """By file name; files that the manifest names but the bucket lacks are missing here."""
    production: str | None
    """The tag in production."""
    revision: Revision | None
    """The target's data of that release, as the ledger recorded it; only the target's adapter understands it."""
    digest: str
    """SHA-256 of the pinned `release.json`."""
    now: datetime
    settings: Settings
    client: Callable[[str], Any]
    """An AWS client, with the gate's own role: `client("s3")`."""
    freezes: Callable[[], Sequence[Freeze]]
    """The freezes of the application and of all applications, from the ledger."""
    role: Callable[[Application], ClientAs]
    look_at: LookAt
    ask_what_serves: AskWhatServes
    voters: Callable[[Voters], Sequence[str]]
    """Which of a policy's approvers count, given a release's author."""
    groups: Mapping[str, PinnedGroup] = field(default_factory=dict)
    """The groups that the policy's rules name, as the release pinned them."""

    def client_as(self, service: str, *, may: Sequence[Right], config: Any = None) -> Any:
        """An AWS client with the application's role, for what it `may` do and nothing else.

        Raises CredentialsRefused if the role cannot be assumed.
        """
        assert self.configuration is not None  # otherwise there is no role to assume
        return self.role(self.configuration)(service, may=may, config=config)

    @property
    def target(self) -> Preflight:
        """The application's target, with the application's role; raises CredentialsRefused if it cannot be assumed."""
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
        """The artifacts that the manifest names and the bucket has, by the artifact's name."""
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
        """From the release's record and the current release in the ledger (None: there is none)."""
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
            groups=record["configuration"].get("groups") or {},
        )


def _always(_: Application | None) -> bool:
    return True


def _none(_: Application) -> tuple[Right, ...]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Everything that the rest of Tagship knows about a gate; it is in the gate's own file."""

    name: str
    check: Callable[[Case], GateResult]
    """Raises AwsUnavailable, and what else the state machine retries."""
    shares: bool = False
    """Only computes, or asks AWS in short calls: such gates share a task and run in it at the same time. A gate that may
    take long, or that asks a team's function to decide, has a task of its own."""
    reads_artifacts: bool = False
    """May read the artifacts themselves: if they are large, it has a task of its own."""
    configured: Callable[[Application | None], bool] = _always
    """Whether the application uses it; most gates always run, even if the configuration cannot be read (None)."""
    rights: Callable[[Application], tuple[Right, ...]] = _none
    """The permissions that it needs from the application's role."""


def passed(gate: str, why: str, *, warning: str = "", **seen: object) -> GateResult:
    """The gate passes."""
    return GateResult(gate=gate, verdict=Verdict.PASSED, why=why, warning=warning, seen=seen)


def failed(gate: str, why: str, remedy: str, *, cause: str = "") -> GateResult:
    """The gate stops the release; `cause` is the gate that gives the reason, if that is another one."""
    return GateResult(gate=gate, verdict=Verdict.FAILED, why=why, remedy=remedy, cause=cause)


def unanswered(gate: str) -> GateResult:
    """The gate has no input; the manifest gate gives the reason."""
    return GateResult(
        gate=gate,
        verdict=Verdict.ERROR,
        why="Not evaluated: the release or its configuration cannot be read.",
        remedy="Fix what the manifest gate names.",
        cause="manifest",
    )


def not_configured(gate: str) -> GateResult:
    """The application does not use the gate."""
    return GateResult(
        gate=gate,
        verdict=Verdict.NOT_CONFIGURED,
        why="The application's configuration does not use this gate.",
    )


def refused(gate: str, error: FinalError, remedy: str = "") -> GateResult:
    """The gate stops the release with an adapter's error; the target gate reports a role that cannot be assumed."""
    if not isinstance(error, CredentialsRefused):
        return failed(gate, str(error), remedy)
    if error.remedy:
        result = failed(gate, error.why, "Fix what the target gate names.", cause="target")
    else:
        result = failed(gate, error.why, "`tagship role` prints what the application's role must allow.")
    return replace(result, may_pass=error.may_pass)


def judge(results: Sequence[GateRecord], *, unused: Sequence[str] = ()) -> tuple[bool, str]:
    """Whether all gates that ran passed, and why not: one failure is enough, and no results is also a failure.

    If several gates stopped a release for the same cause, only the gate that found the cause reports it.
    """
    stopped = [result for result in results if result["verdict"] != Verdict.PASSED]
    if not results:
        return False, "No gate answered."
    if not stopped:
        passing = "1 gate passed" if len(results) == 1 else f"{len(results)} gates passed"
        return True, f"{passing}; {', '.join(unused)} not configured." if unused else f"{passing}."
    return False, " ".join(sentence(result) for result in with_a_cause(stopped))


def with_a_cause(stopped: Sequence[GateRecord]) -> list[GateRecord]:
    """Without those that stopped the release only because of another one."""
    names = {result["gate"] for result in stopped}
    return [result for result in stopped if result.get("cause") not in names]


def sentence(result: GateRecord) -> str:
    """Why a gate stopped a release, and what to do."""
    why = str(result["why"]).rstrip()
    why = why if why.endswith((".", "!", "?")) else f"{why}."
    return f"{result['gate']}: {why} {result.get('remedy', '')}".strip()
