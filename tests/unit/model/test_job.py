"""Only the release that production runs, from the very commit of the job, lets a job run."""

from __future__ import annotations

from typing import Any

import pytest

from tagship.model.job import Job, Rule, judge
from tests.unit.builders import locations, manifest, record, revision

AT = "2026-11-23T10:00:00.000Z"


def job(**changes: Any) -> Job:
    """A job of v1.4.0 that waits."""
    known: dict[str, Any] = {
        "id": 7,
        "run": 23,
        "installation": 11,
        "repository": "acme/storefront",
        "environment": "production",
        "ref": "v1.4.0",
        "commit": manifest()["commit"],
        "at": AT,
    }
    return Job(**known | changes)


def release(**changes: Any) -> Any:
    """v1.4.0 as it succeeded."""
    plan = {"locations": locations("6", "7"), "nothingToChange": False}
    return record(status="SUCCEEDED", attempt=1, plan=plan) | changes


def current(**changes: Any) -> Any:
    """Production runs v1.4.0."""
    return {"tag": "v1.4.0", "attempt": 1, "revision": revision("7"), "since": AT} | changes


def state(job: Job, release: Any, current: Any, **more: Any) -> str:
    verdict = judge(job, release, current, application="storefront", stage="production", **more)
    assert 0 < len(verdict.comment) <= 1024
    return verdict.state


def test_the_release_that_production_runs_lets_its_job_run() -> None:
    assert state(job(), release(), current()) == "approved"
    made = [{"location": "x", "candidate": revision("8"), "etag": ""}]
    assert state(job(), release(standing=made), current(revision=revision("8"))) == "approved"


@pytest.mark.parametrize(
    "known",
    [
        *(release(status=status) for status in ("INVALID", "REJECTED", "EXPIRED", "SUPERSEDED")),
        *(release(status=status) for status in ("ROLLED_BACK", "ROLLBACK_FAILED", "ABORTED")),
        release(manifest=None, status="INVALID"),
        release(manifest=manifest(commit="f" * 40)),
        release(manifest=manifest(commit="f" * 40), status="RUNNING"),
        release(manifest=manifest(ref="checkout/v1.4.0")),
        release(barred={"why": "leak", "by": "ana", "at": AT}),
    ],
)
def test_a_release_that_ended_otherwise_or_is_another_one_rejects_the_job(known: Any) -> None:
    """Faults 131 and 133."""
    assert state(job(), known, current()) == "rejected"


@pytest.mark.parametrize(
    "now",
    [
        None,
        current(tag="v1.5.0"),
        current(attempt=2),
        current(revision=revision("6")),
        current(revision=revision("made by hand"), adopted={"by": "ana", "why": "x", "foreign": True}),
    ],
)
def test_a_job_of_a_release_that_is_no_longer_deployed_is_rejected(now: Any) -> None:
    """Fault 133; the revision counts too, because the page's function could write a tag, but no revision."""
    assert state(job(), release(), now) == "rejected"


def test_a_job_waits_while_nothing_is_decided() -> None:
    """Fault 132."""
    assert state(job(), None, None) == ""
    assert state(job(), release(status="RUNNING"), None) == ""
    assert state(job(), release(), current(), rolling_back=True) == ""


@pytest.mark.parametrize("ref", ["main", "refs/heads/main", "refs/pull/7/merge", "release/next", "`x` @ana"])
def test_a_ref_that_is_no_releases_tag_is_rejected(ref: str) -> None:
    verdict = judge(job(ref=ref), release(), current(), application="storefront", stage="production")
    assert verdict.state == "rejected"
    assert verdict.comment.count("`") == 2, "nothing of a ref is Markdown"


def test_a_monorepos_tag_names_its_release_only_by_the_whole_tag() -> None:
    of_storefront = release(manifest=manifest(ref="storefront/v1.4.0"))
    assert job(ref="storefront/v1.4.0").tag == "v1.4.0"
    assert state(job(ref="storefront/v1.4.0"), of_storefront, current()) == "approved"
    assert state(job(ref="checkout/v1.4.0"), of_storefront, current()) == "rejected"
    assert state(job(ref="v1.4.0"), of_storefront, current()) == "rejected"


def test_a_rule_matches_its_repository_and_environment_in_any_case() -> None:
    rule = Rule(repository="acme/storefront", environment="production", api="https://api.github.com")
    assert rule.is_about(job(repository="Acme/Storefront", environment="Production"))
    assert not rule.is_about(job(repository="evil/storefront"))
    assert not rule.is_about(job(environment="staging"))
