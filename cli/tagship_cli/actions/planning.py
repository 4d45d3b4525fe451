"""Computes what a release would change, before anything is uploaded, with the caller's own permissions."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tagship.ledger import freezes, releases
from tagship.model import schedule
from tagship.model.application import Application, ApprovalRule
from tagship.model.errors import CandidateNotReady, TagshipError
from tagship.model.records import Revision
from tagship.model.release import Artifact, PinnedObject
from tagship.model.rollout import TrafficStep, only_step, time_to_see, traffic_steps
from tagship.targets import kind_of
from tagship.targets.kind import Artifacts, Change, Target
from tagship.text.plain import visible
from tagship.text.times import span
from tagship.text.words import count, listed
from tagship_cli.actions.publishing import File
from tagship_cli.failures import Failed, trying
from tagship_cli.place import Place

if TYPE_CHECKING:
    from botocore.config import Config

_NOT_UPLOADED = "(not uploaded)"
_PATIENCE = timedelta(minutes=4)
"""How long AWS may take to compute the change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What approvers would see for a release with these files."""

    stage: str
    configuration: Application
    where: str
    runs: str | None
    """The last tag that Tagship deployed; None before the first release."""
    change: Change
    steps: Sequence[TrafficStep]
    package: str
    problems: Sequence[str]
    """Why a gate would stop it."""
    warnings: Sequence[str] = ()
    """What approvers would see first, and how to fix it."""
    unapproved: str = ""
    """Why a guarded stage would refuse it now, and what to do."""

    @property
    def approval(self) -> str:
        """Who decides."""
        policy = self.configuration.approval
        if policy.rules:
            return "; ".join(_rule_in_words(rule) for rule in policy.rules)
        return f"{policy.required} of {count(len(policy.approvers), 'approver')}: {listed(policy.approvers)}"

    @property
    def traffic(self) -> list[str]:
        """Each step in words."""
        return [
            f"{step.percent} % of traffic"
            + (f", bakes for {span(step.bake)}" if step.bake else "")
            + (f", waits for a person (at most {span(step.pause.timeout)})" if step.pause else "")
            for step in self.steps
        ]

    def as_dict(self) -> dict[str, object]:
        """As `--json` prints it."""
        return {
            "application": self.configuration.application,
            "stage": self.stage,
            "target": self.where,
            "runs": self.runs,
            "nothingToChange": self.change.nothingToChange,
            "changes": list(self.change.summary),
            "steps": [asdict(step) for step in self.steps],
            "approval": self.approval,
            "package": self.package,
            "problems": list(self.problems),
            "warnings": list(self.warnings),
            "unapproved": self.unapproved,
        }


def planned(
    place: Place, configuration: Application, files: Sequence[File], parameters: Mapping[str, str]
) -> Planned:
    """Changes nothing that serves.

    Raises Failed if the target refuses the release, or is in an account that this identity is not in.
    """
    application, kind = configuration.application, kind_of(configuration.target)
    paths = {file.file: file.path for file in files}
    target, where = looked_at(place, configuration, paths=paths)
    artifacts = {file.name: (_artifact(file), _unpinned(file)) for file in files}
    floor = time_to_see(configuration.health)
    steps = traffic_steps(configuration.strategy, kind.step_seconds, floor=floor)
    with trying(f"Planning a release of {application}"):
        change = _change(place, target, artifacts, parameters, weighted=len(steps) > 1)
        package, problems = target.look_into(artifacts, _opening(paths))
    with trying(f"Reading the current version of {application}"):
        current = releases.current(place.ledger, application)
        warnings = [*change.warnings, *_warnings(target, current["revision"] if current else None)]
        if closed := _closed(place, configuration):
            warnings.insert(0, closed)
    return Planned(
        stage=place.stage,
        configuration=configuration,
        where=where,
        runs=current["tag"] if current else None,
        change=change,
        steps=steps if change.baseline else only_step(kind.step_seconds, floor=floor),
        package=package,
        problems=problems,
        warnings=warnings,
    )


def _warnings(target: Target, current: Revision | None) -> list[str]:
    """The result of the gate `target` for the current target, even if it would stop the release."""
    try:
        found = target.check(current)
    except TagshipError as error:
        return [str(error)]
    return [each for each in (found.warning, *found.remedies) if each]


def _closed(place: Place, configuration: Application) -> str:
    """The freezes or windows that would hold a release published now; empty if there are none."""
    windows = [schedule.window(text) for text in configuration.gates.windows]
    standing = freezes.standing(place.ledger, configuration.application)
    why = schedule.why_closed(windows, schedule.standing(windows, standing, place.now))
    waits = configuration.gates.whenClosed == "wait"
    then = (
        "A release that is published now waits after its approval."
        if waits
        else "The gate calendar would refuse it."
    )
    return f"{why} {then}" if why else ""


def _change(
    place: Place, target: Target, artifacts: Artifacts, parameters: Mapping[str, str], *, weighted: bool
) -> Change:
    """Repeats the plan while AWS computes the change, like the state machine."""
    until = place.now + _PATIENCE
    while True:
        try:
            return target.plan(artifacts, parameters, weighted=weighted)
        except CandidateNotReady:
            if place.now >= until:
                raise
        place.world.pause(2)


def looked_at(
    place: Place, configuration: Application, *, paths: Mapping[str, Path] | None = None
) -> tuple[Target, str]:
    """The target, read with the caller's permissions, and its name. `paths` are local files that are not uploaded yet.

    Raises Failed if the target is in another account than this identity.
    """
    spec, application = configuration.target, configuration.application
    kind = kind_of(spec)
    with trying("Looking up your AWS identity"):
        account = place.client("sts").get_caller_identity()["Account"]
    if account != spec.account:
        raise Failed(
            f"You are signed in to account {account}, but the target of {application} is in {spec.account}. "
            f"Nothing was checked.\nUse a profile for that account: --profile NAME."
        )

    def client(service: str, *, config: Config | None = None, on: Sequence[str] = ()) -> Any:  # noqa: ARG001 (a person's own rights)
        made = place.client(service, region=spec.region, config=config)
        return _WithFiles(made, paths) if service == "s3" and paths else made

    return kind.make(application=application, tag="", spec=spec, client=client), kind.where(spec)


def signed_in(place: Place, profile: str | None) -> Place:
    """The same place with the identity for the target's account, if that is not the stage's account."""
    return replace(place, profile=profile, _aws=None) if profile else place


class _WithFiles:
    """An S3 client that reads files that are not uploaded yet from the local disk."""

    def __init__(self, s3: Any, paths: Mapping[str, Path]) -> None:
        self._s3, self._paths = s3, paths

    def __getattr__(self, name: str) -> Any:
        return getattr(self._s3, name)

    def get_object(self, **request: Any) -> dict[str, Any]:
        """Returns the object, or a range of it."""
        if request["Bucket"] != _NOT_UPLOADED:
            answer: dict[str, Any] = self._s3.get_object(**request)
            return answer
        content = self._paths[request["Key"]].read_bytes()
        if byte_range := request.get("Range"):
            first, _, last = byte_range.removeprefix("bytes=").partition("-")
            content = content[int(first) : int(last) + 1]
        return {"Body": io.BytesIO(content)}


def _artifact(file: File) -> Artifact:
    return Artifact(name=file.name, file=file.file, sha256=file.sha256, size=file.size)


def _unpinned(file: File) -> PinnedObject:
    return PinnedObject(bucket=_NOT_UPLOADED, key=file.file, versionId=_NOT_UPLOADED, size=file.size)


def _opening(paths: Mapping[str, Path]) -> Any:
    @contextmanager
    def opened(pinned: PinnedObject) -> Iterator[IO[bytes]]:
        with paths[pinned.key].open("rb") as content:
            yield content

    return opened


def as_markdown(planned: Planned) -> str:
    """A comment for a pull request. Its hidden first line lets the next run find the comment and update it."""
    application, stage = planned.configuration.application, planned.stage
    lines = [f"<!-- tagship plan: {application} {stage} -->", f"### Tagship: {application} → {stage}", ""]
    lines += [
        f"Nothing would change: {_plain(planned.where)} already runs this code and configuration."
        if planned.change.nothingToChange
        else "This release would change:",
        "",
    ]
    lines += [f"- {_plain(each)}" for each in planned.change.summary]
    if planned.problems:
        lines += [
            "",
            "**A gate would stop the release:**",
            "",
            *(f"- {_plain(each)}" for each in planned.problems),
        ]
    if planned.unapproved:
        lines += ["", f"**Not approved yet:** {_plain(planned.unapproved)}"]
    if planned.warnings:
        lines += [
            "",
            "**Approvers would be warned:**",
            "",
            *(f"- {_plain(each)}" for each in planned.warnings),
        ]
    lines += [
        "",
        "| | |",
        "|---|---|",
        f"| deployed | {planned.runs or 'nothing by Tagship yet'} |",
        f"| traffic | {'; then '.join(planned.traffic)} |",
        f"| approval | {_plain(planned.approval)} |",
        f"| package | {_plain(planned.package)} |",
    ]
    text = "\n".join(lines)
    return text if len(text) <= _COMMENT else f"{text[:_COMMENT]}\n\n… The rest is in `tagship plan`."


_COMMENT = 60_000
"""The limit in characters. GitHub allows 65,536 in a comment."""


_LINKED = re.compile(r"@|#|://|www\.|\bGH-", re.IGNORECASE)
"""Characters that start a mention, an issue reference or a link."""


def _rule_in_words(rule: ApprovalRule) -> str:
    who = f"group {rule.group}" if rule.group else listed(rule.approvers)
    return f"{rule.required} of {who}"


def _plain(text: str) -> str:
    """Text that GitHub shows literally on one line: no markup, no links, and no mentions of people or issues.

    GitHub looks for mentions and links after it has removed Markdown's escapes, so an empty comment separates them.
    """
    escaped = "".join(f"\\{each}" if each in "\\`*_{}[]<>#|~@" else each for each in visible(text))
    apart = _LINKED.sub(lambda found: f"{found[0]}<!-- -->", escaped)
    return " ".join(apart.split())
