"""GitHub's jobs that wait for a release, the rule that lets them ask, and what they were answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tagship.aws.calls import calling
from tagship.ledger import configurations, lock, releases
from tagship.ledger.table import Fact, Ledger, Refused, application_key, timestamp
from tagship.model.errors import ApplicationUnknown, LedgerBusy
from tagship.model.facts import FactKind
from tagship.model.job import Job, Rule, Verdict, judge
from tagship.model.records import ReleaseRecord
from tagship.model.release import parameter_name

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

API = "https://api.github.com"
MOST = 50
"""Jobs that one tag keeps. The oldest make room: they stay unanswered, and GitHub fails them in the end."""
_TRIES = 5


def rule_of(ledger: Ledger, ssm: SSMClient, application: str, *, guarded: bool) -> Rule | None:
    """The application's protection rule now; None if it has none.

    In a stage that guards configurations, it is the one in the configuration that was approved last, which the page's
    function cannot write.

    Raises AwsUnavailable.
    """
    document: object
    if guarded:
        approved = configurations.in_force(ledger, application)
        document = approved["document"] if approved else None
    else:
        document = _parameter(ssm, ledger.stage, application)
    github = _mapping(_mapping(_mapping(document).get("notifications")).get("github"))
    repository, api = github.get("repository"), github.get("api", API)
    environment = _mapping(github.get("protectionRule")).get("environment")
    if not (isinstance(repository, str) and isinstance(api, str) and isinstance(environment, str)):
        return None
    return Rule(repository=repository, environment=environment, api=api)


def _parameter(ssm: SSMClient, stage: str, application: str) -> object:
    name = parameter_name(stage, application)
    try:
        with calling(f"Reading the parameter {name}", ParameterNotFound=ApplicationUnknown):
            text = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
        return json.loads(text)
    except (ApplicationUnknown, ValueError, RecursionError):
        return None  # a release of it says what is wrong


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def opened(ledger: Ledger, application: str, job: Job) -> bool:
    """Records that a job waits, with its fact; False if it was recorded before.

    Raises LedgerBusy if others keep writing.
    """
    release = release_of(ledger, application, job.tag)
    fact = Fact(
        application=application,
        tag=release["tag"] if release else "",
        attempt=release["attempt"] if release else 0,
        name=FactKind.JOB_WAITING,
        key=str(job.id),
        who="github",
        execution=release["execution"] if release else "",
        data=job.to_dict(),
    )
    for _ in range(_TRIES):
        item = ledger.get(*_place(application, job.tag)) or {}
        known = [Job.from_dict(each) for each in item.get("data", ())]
        if any(each.id == job.id for each in known):
            return False
        kept = [each for each in known if not each.is_over(ledger.now())][-MOST + 1 :]
        pk, sk = _place(application, job.tag)
        change = ledger.put(
            {
                "pk": pk,
                "sk": sk,
                "kind": "jobs",
                "count": int(item.get("count", 0)) + 1,
                "data": [each.to_dict() for each in (*kept, job)],
            },
            only_if="#count = :known" if item else "attribute_not_exists(pk)",
            values={":known": item["count"]} if item else None,
        )
        with suppress(Refused):  # another job of this tag came in between
            return ledger.record(fact, change)
    raise LedgerBusy(f"{application}: a job of {job.repository} could not be recorded. Send it again.")


def waiting(ledger: Ledger, application: str, tag: str) -> list[Job]:
    """The jobs of a release's tag that have no answer yet and that GitHub still keeps."""
    item = ledger.get(*_place(application, tag)) or {}
    found = [Job.from_dict(each) for each in item.get("data", ())]
    return [job for job in found if is_open(ledger, application, job)]


def have_asked(ledger: Ledger, application: str, tag: str) -> bool:
    """Whether any job asked for a release's tag, answered or not."""
    return ledger.get(*_place(application, tag)) is not None


def read_ahead(ledger: Ledger, application: str, tag: str) -> None:
    """Reads with one request a release's record and the jobs that asked for its tag."""
    releases.read_ahead(ledger, application, tag, _place(application, tag)[1])


def is_open(ledger: Ledger, application: str, job: Job) -> bool:
    """Whether a job still waits for its answer."""
    now: datetime = ledger.now()
    return not job.is_over(now) and ledger.get(*_answer(application, job)) is None


def verdict(ledger: Ledger, application: str, job: Job) -> Verdict:
    """What the ledger says now about a job's release."""
    release = release_of(ledger, application, job.tag)
    holder = lock.holder(ledger, application)
    rolls_back = (
        holder is not None and holder.rollback and release is not None and holder.tag == release["tag"]
    )
    return judge(
        job,
        release,
        releases.current(ledger, application),
        application=application,
        stage=ledger.stage,
        rolling_back=rolls_back,
    )


def record_answer(ledger: Ledger, application: str, job: Job, answer: str) -> None:
    """Records what GitHub took as the job's answer; the first one stays."""
    pk, sk = _answer(application, job)
    change = ledger.update(
        pk,
        sk,
        only_if="attribute_not_exists(pk)",
        kind="notice",
        at=timestamp(ledger.now()),
        answer=answer,
    )
    with suppress(Refused):
        ledger.write(change)


def release_of(ledger: Ledger, application: str, tag: str) -> ReleaseRecord | None:
    """The release of a tag; None if there is none."""
    try:
        return releases.get(ledger, application, tag) if tag else None
    except ApplicationUnknown:
        return None


def _place(application: str, tag: str) -> tuple[str, str]:
    return application_key(application), f"JOBS#{tag}"


def _answer(application: str, job: Job) -> tuple[str, str]:
    return application_key(application), f"ANSWER#{job.id}"
