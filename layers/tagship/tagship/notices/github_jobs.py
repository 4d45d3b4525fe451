"""GitHub's jobs that wait for a release: each is allowed or refused once, when the ledger says how the release ended.

It is a channel, because an answer is derived from facts as a notice is: GitHub that is down is asked again later, in
order, and a release never waits for it.
"""

from __future__ import annotations

from tagship.aws.hosts import address_problem
from tagship.aws.secrets import ApplicationSecrets, secret
from tagship.ledger import jobs
from tagship.ledger.table import Ledger
from tagship.model.facts import ENDINGS, FactKind
from tagship.model.job import Job, Rule, Verdict
from tagship.model.records import Known
from tagship.model.release import secret_prefix
from tagship.notices.channel import Channel, Fact, Means, NotDelivered
from tagship.notices.github import Repository, refusal
from tagship.notices.github_app import SECRET, App, AppInvalid
from tagship.text.plain import shorten

_PROGRESS = (FactKind.RELEASE_READ, FactKind.APPROVAL_REQUESTED, FactKind.DEPLOYMENT_STARTED)
FACTS: frozenset[str] = frozenset({FactKind.JOB_WAITING, *_PROGRESS, *ENDINGS.values()})
"""The facts that a waiting job is notified of. GitHub accepts ten comments on one job."""
_TAKEN = (200, 204)
_OVER = (404, 410, 422)
"""GitHub no longer waits for this job: its run was cancelled, or a person decided in GitHub."""
_COMMENT = 1024
"""Characters that GitHub takes."""


def take(fact: Fact, _: Known, means: Means) -> None:
    """Raises NotDelivered."""
    application = fact["application"]
    if fact["name"] == FactKind.JOB_WAITING:
        recorded = Job.from_dict(fact["data"])
        found = [recorded] if jobs.is_open(means.ledger, application, recorded) else []
    else:
        found = jobs.waiting(means.ledger, application, fact["tag"])
    if not found:
        return
    rule = jobs.rule_of(means.ledger, means.client("ssm"), application, guarded=means.guards_configuration)
    repositories: dict[int, Repository] = {}
    """By installation: one token is enough for all its jobs."""
    for job in found:
        if rule is None or not rule.is_about(job):
            continue
        verdict = jobs.verdict(means.ledger, application, job)
        if not verdict.state and fact["name"] in ENDINGS.values():
            continue  # an earlier attempt's ending; this one's own facts follow
        if job.installation not in repositories:
            repositories[job.installation] = _repository(job, rule, application, means)
        _answer(job, verdict, repositories[job.installation], application, means)


def _answer(job: Job, verdict: Verdict, repository: Repository, application: str, means: Means) -> None:
    """Without a state, GitHub only shows the comment."""
    if verdict.state == "approved" and (other := _other_commit(job, repository)):
        verdict = Verdict(state="rejected", comment=other)
    review = {"environment_name": job.environment, "comment": shorten(verdict.comment, _COMMENT)}
    if verdict.state:
        review["state"] = verdict.state
    answer = repository.send("POST", f"actions/runs/{job.run}/deployment_protection_rule", review)
    if answer.status not in (*_TAKEN, *_OVER):
        raise NotDelivered(refusal(answer, repository.name))
    if verdict.state:
        taken = verdict.state if answer.status in _TAKEN else f"GitHub answered {answer.status}"
        jobs.record_answer(means.ledger, application, job, taken)


def _other_commit(job: Job, repository: Repository) -> str:
    """Why GitHub itself says that this run is not what is about to be approved; empty if it agrees.

    The job was written by the page's function. If anyone took that over, they could name a good release for a run of
    their own. Raises NotDelivered if GitHub does not say; a run that is gone is noticed when it is answered.
    """
    answer = repository.send("GET", f"actions/runs/{job.run}")
    if answer.status == 404:
        return ""
    run = answer.json()
    if answer.status != 200 or not isinstance(run, dict):
        raise NotDelivered(refusal(answer, repository.name))
    commit = str(run.get("head_sha", ""))
    if commit == job.commit:
        return ""
    return f"Rejected: this workflow run is for commit {commit[:12]}, and Tagship was asked about {job.commit[:12]}."


def _repository(job: Job, rule: Rule, application: str, means: Means) -> Repository:
    """Raises NotDelivered, before the App's secret is read for an address that it must not be used at."""
    development = means.ledger.stage == "development"
    if problem := address_problem(rule.api, means.github_hosts, setting="GitHubHosts", loopback=development):
        raise NotDelivered(f"GitHub: its address {problem}.")
    stage = means.ledger.stage
    secrets = ApplicationSecrets(
        client=means.client("secretsmanager"), stage=stage, application=application, service=SECRET
    )
    name = secret_prefix(stage, application, SECRET)
    try:
        app = App.of(secret(secrets, name))
        return app.installed(
            rule.repository, installation=job.installation, api=rule.api, now=means.ledger.now()
        )
    except AppInvalid as error:
        raise NotDelivered(f"GitHub: the secret {name} {error}.") from None


def has_recipients(fact: Fact, _: Known, ledger: Ledger) -> bool:
    """Whether a job has asked for the release. One that asks later is answered with its own fact, from the ledger."""
    return fact["name"] == FactKind.JOB_WAITING or jobs.have_asked(ledger, fact["application"], fact["tag"])


CHANNEL = Channel(wants=lambda fact: fact["name"] in FACTS, take=take, has_recipients=has_recipients)
