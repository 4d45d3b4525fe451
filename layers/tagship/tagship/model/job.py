"""A job of GitHub Actions that waits until its release is in production, and whether it may run.

GitHub asks before a job of a protected environment runs, and waits for the answer for 30 days at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from tagship.model.records import CurrentRecord, ReleaseRecord
from tagship.model.release import Status, Tag

WAITS_FOR = timedelta(days=30)
"""GitHub fails a job that nobody allowed until then (its documentation, "Reviewing deployments")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A protection rule, as an application's configuration has it: whose jobs Tagship answers."""

    repository: str
    environment: str
    api: str

    def callback(self, run: int) -> str:
        """Where GitHub takes the answer for a workflow run, by its documentation; its own word is only compared."""
        return f"{self.api}/repos/{self.repository}/actions/runs/{run}/deployment_protection_rule"

    def is_about(self, job: Job) -> bool:
        """Whether the job is of this repository and this environment; GitHub ignores the case of both names."""
        return (job.repository.casefold(), job.environment.casefold()) == (
            self.repository.casefold(),
            self.environment.casefold(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job that waits, as GitHub described it in a signed request."""

    id: int
    """GitHub's id of the job's deployment: another run, or another attempt of a run, has another one."""
    run: int
    installation: int
    """The installation of the GitHub App, by which GitHub takes the answer."""
    repository: str
    environment: str
    ref: str
    """The git ref that the workflow runs for, without `refs/tags/`."""
    commit: str
    at: str
    """When Tagship received the request."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Job:
        """From the ledger."""
        return cls(**{name: data[name] for name in cls.__slots__})

    def to_dict(self) -> dict[str, Any]:
        """For the ledger."""
        return asdict(self)

    @property
    def tag(self) -> str:
        """The release's tag that this ref names (`v1.4.0` of `storefront/v1.4.0`); empty for a ref without a version."""
        try:
            return str(Tag.of_git(self.ref))
        except ValueError:
            return ""

    def is_over(self, now: datetime) -> bool:
        """Whether GitHub no longer waits for an answer."""
        return now - datetime.fromisoformat(self.at) > WAITS_FOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What GitHub is answered. `state` is empty while the job has to wait; then GitHub only shows the comment."""

    state: Literal["approved", "rejected", ""]
    comment: str


def judge(
    job: Job,
    release: ReleaseRecord | None,
    current: CurrentRecord | None,
    *,
    application: str,
    stage: str,
    rolling_back: bool = False,
) -> Verdict:
    """Whether the job may run: only for exactly what Tagship brought to production and what production runs now.

    `release` is the one of the job's tag, read before `current`; `rolling_back` says whether a rollback of it has the
    lock. The comment holds no text that people wrote: everyone who sees the repository can read it.
    """
    if not job.tag:
        return Verdict(
            state="rejected",
            comment=f"Rejected: this workflow runs for {_code(job.ref)}, which is not the tag of a release.",
        )
    title = f"{application} {job.tag}"
    show = f"`tagship show {application} {job.tag} --stage {stage}` shows details."
    if release is None:
        return Verdict(
            state="", comment=f"Waiting: {title} has not been published to Tagship in {stage} yet."
        )
    if problem := _other(job, release):
        return Verdict(state="rejected", comment=f"Rejected: {problem} {show}")
    if release["status"] == Status.RUNNING:
        return Verdict(state="", comment=f"Waiting: {title} is in progress in {stage}. {show}")
    if release["status"] != Status.SUCCEEDED:
        return Verdict(
            state="rejected", comment=f"Rejected: {title} ended {release['status']} in {stage}. {show}"
        )
    if rolling_back:
        return Verdict(state="", comment=f"Waiting: {title} is being rolled back in {stage}. {show}")
    if release.get("barred"):
        return Verdict(
            state="rejected", comment=f"Rejected: {title} is barred in {stage} and must not run. {show}"
        )
    if not _serves(release, current):
        runs = f"runs {application} {current['tag']}" if current else f"runs no release of {application}"
        if current and (current["tag"], current["attempt"]) == (release["tag"], release["attempt"]):
            runs = f"runs a version of {application} that this release did not deploy"
        return Verdict(
            state="rejected", comment=f"Rejected: {title} was deployed, but {stage} now {runs}. {show}"
        )
    return Verdict(state="approved", comment=f"Approved: {title} is deployed and healthy in {stage}.")


def _other(job: Job, release: ReleaseRecord) -> str:
    """How the release of this tag differs from what the job would run; empty if it does not."""
    manifest = release["manifest"]
    if manifest is None:
        return f"the release {job.tag} has no valid manifest."
    if job.ref != (published := manifest.get("ref") or manifest["tag"]):
        return (
            f"the release {job.tag} was published from the tag {_code(published)}, not from {_code(job.ref)}."
        )
    if job.commit != manifest["commit"]:
        return (
            f"the release {job.tag} was built from commit {manifest['commit'][:12]}, and this workflow runs for "
            f"{job.commit[:12]}."
        )
    return ""


def _serves(release: ReleaseRecord, current: CurrentRecord | None) -> bool:
    """Whether production runs this release: by its name, and by the revision that it deployed.

    The page's function, which anyone can call, may write a status and a tag, but neither a revision nor a plan.
    """
    if current is None or (current["tag"], current["attempt"]) != (release["tag"], release["attempt"]):
        return False
    made = release.get("standing") or release["plan"]["locations"]
    revision = current["revision"]
    return any(
        (each["candidate"]["id"], each["candidate"]["data"]) == (revision["id"], revision["data"])
        for each in made
    )


def _code(text: str) -> str:
    """As code, so that Markdown in a ref stays text."""
    return f"`{text.replace('`', '')[:200]}`"
