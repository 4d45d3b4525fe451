"""A person adopts a manual change as the baseline, once, with a reason, and never during a release."""

from __future__ import annotations

from typing import Any

import pytest

from tagship.ledger import adoption, lock, releases
from tagship.ledger.table import Ledger
from tagship.model.errors import AdoptionRefused
from tagship.model.release import Status
from tests.unit.builders import APPLICATION, EXECUTION, TAG, record
from tests.unit.tables import meanwhile

OF = "arn:aws:lambda:us-east-1:000000000000:function:storefront:live"
KIM = "arn:aws:iam::000000000000:user/kim"


def revision(version: str, code: str = "") -> Any:
    return {
        "id": version,
        "digest": f"d{version}",
        "data": {"codeSha256": code or f"code{version}", "of": OF},
    }


def succeeded(ledger: Ledger, tag: str, version: str, **changes: Any) -> None:
    """A release that production runs as this version."""
    known = {"application": APPLICATION, "tag": tag, "attempt": 1}
    releases.claim(ledger, record(tag=tag, execution=f"{EXECUTION}-{tag}"))
    change = ledger.update(
        f"APPLICATION#{APPLICATION}",
        f"RELEASE#{tag}",
        only_if="attribute_exists(pk)",
        standing=[{"location": "here", "candidate": revision(version), "etag": ""}],
        **changes,
    )
    ledger.write(change)
    serves: Any = {**known, "revision": revision(version), "since": f"2026-11-23T09:00:0{version}.000Z"}
    releases.end(
        ledger, **known, status=Status.SUCCEEDED, why="ok", execution=f"{EXECUTION}-{tag}", serves=serves
    )


def adopt(ledger: Ledger, version: str, code: str = "", why: str = "It was moved at night.") -> Any:
    return adoption.adopt(ledger, APPLICATION, revision(version, code), who=KIM, why=why)


def test_a_version_without_a_release_becomes_current(ledger):
    """Fault 92."""
    succeeded(ledger, TAG, "2")
    adopt(ledger, "7")
    current = releases.current(ledger, APPLICATION)
    assert current is not None
    assert (current["tag"], current["revision"], current["adopted"]["foreign"]) == (TAG, revision("7"), True)
    (fact,) = [it for it in ledger.facts_in_order(APPLICATION) if it["name"] == "Baseline Adopted"]
    assert (fact["who"], fact["data"]["why"], fact["data"]["serves"]) == (KIM, "It was moved at night.", "7")
    assert (fact["data"]["before"], fact["data"]["beforeServed"], fact["data"]["tag"]) == (TAG, "2", "")


def test_an_earlier_releases_version_becomes_that_release_again(ledger):
    """Fault 92."""
    succeeded(ledger, "v1.3.0", "1")
    succeeded(ledger, TAG, "2")
    adopt(ledger, "1")
    current = releases.current(ledger, APPLICATION)
    assert current is not None
    assert (current["tag"], current["adopted"]["foreign"]) == ("v1.3.0", False)
    assert releases.roll_back_refused(ledger, releases.get(ledger, APPLICATION, "v1.3.0")) == ""
    assert "v1.3.0 is deployed now" in releases.roll_back_refused(
        ledger, releases.get(ledger, APPLICATION, TAG)
    )


def test_the_same_version_number_with_other_code_belongs_to_no_release(ledger):
    succeeded(ledger, "v1.3.0", "1")
    succeeded(ledger, TAG, "2")
    assert adopt(ledger, "1", code="recreated")["adopted"]["foreign"]


def test_an_adopted_version_cannot_be_rolled_back(ledger):
    """Fault 92: the rollback would find the target moved, and fail."""
    succeeded(ledger, TAG, "2")
    adopt(ledger, "7")
    refused = releases.roll_back_refused(ledger, releases.get(ledger, APPLICATION, TAG))
    assert refused == (
        f"its version no longer serves traffic. {KIM} adopted the version that does (It was moved at night)."
    )


def test_a_later_rollback_restores_the_adopted_version(ledger):
    """Fault 92."""
    succeeded(ledger, TAG, "2")
    adopted = adopt(ledger, "7")
    succeeded(ledger, "v1.5.0", "8", replaces=adopted)
    known = {"application": APPLICATION, "tag": "v1.5.0", "attempt": 1, "execution": EXECUTION}
    assert releases.end(ledger, **known, status=Status.ROLLED_BACK, why="bad")
    current = releases.current(ledger, APPLICATION)
    assert current is not None
    assert current["revision"] == revision("7")


def test_adopting_frees_a_kept_lock(ledger):
    """Fault 92: the rollback failed because the alias was moved by hand."""
    succeeded(ledger, TAG, "2")
    releases.claim(ledger, record(tag="v1.5.0"))
    known = {"application": APPLICATION, "tag": "v1.5.0", "attempt": 1, "execution": EXECUTION}
    lock.acquire(ledger, **known, seconds=900)
    releases.end(ledger, **known, status=Status.ROLLBACK_FAILED, why="moved")
    adopt(ledger, "7")
    assert lock.holder(ledger, APPLICATION) is None
    assert releases.get(ledger, APPLICATION, "v1.5.0")["status"] == Status.ROLLBACK_FAILED
    lock.acquire(ledger, **known | {"tag": "v1.6.0"}, seconds=900)


def test_adopting_the_baseline_after_a_failed_rollback_releases_the_lock(ledger):
    succeeded(ledger, TAG, "2")
    releases.claim(ledger, record(tag="v1.5.0"))
    known = {"application": APPLICATION, "tag": "v1.5.0", "attempt": 1, "execution": EXECUTION}
    lock.acquire(ledger, **known, seconds=900)
    releases.end(ledger, **known, status=Status.ROLLBACK_FAILED, why="moved")
    assert not adopt(ledger, "2")["adopted"]["foreign"]
    assert lock.holder(ledger, APPLICATION) is None


def test_a_failed_rollback_of_a_first_release_can_be_resolved(ledger):
    """Fault 92."""
    releases.claim(ledger, record(tag="v1.0.0"))
    known = {"application": APPLICATION, "tag": "v1.0.0", "attempt": 1, "execution": EXECUTION}
    lock.acquire(ledger, **known, seconds=900)
    releases.end(ledger, **known, status=Status.ROLLBACK_FAILED, why="moved")
    adopt(ledger, "7")
    current = releases.current(ledger, APPLICATION)
    assert current is not None
    assert (current["tag"], current["revision"]) == ("v1.0.0", revision("7"))
    assert lock.holder(ledger, APPLICATION) is None


def test_nothing_is_adopted_during_a_release_without_a_version_or_twice(ledger):
    with pytest.raises(AdoptionRefused, match="deployed no release"):
        adopt(ledger, "7")
    succeeded(ledger, TAG, "2")
    with pytest.raises(AdoptionRefused, match="that is what serves"):
        adopt(ledger, "2")
    releases.claim(ledger, record(tag="v1.5.0"))
    lock.acquire(ledger, application=APPLICATION, tag="v1.5.0", attempt=1, execution=EXECUTION, seconds=900)
    with pytest.raises(AdoptionRefused, match=r"v1\.5\.0 is in progress"):
        adopt(ledger, "7")
    assert releases.current(ledger, APPLICATION)["revision"] == revision("2")


def test_a_blocked_release_is_not_adopted(ledger):
    succeeded(ledger, "v1.3.0", "1", barred={"why": "it leaks", "by": "kim", "at": "2026"})
    succeeded(ledger, TAG, "2")
    with pytest.raises(AdoptionRefused, match="it is barred: it leaks"):
        adopt(ledger, "1")


def test_a_release_that_succeeds_concurrently_is_not_overwritten(ledger):
    succeeded(ledger, TAG, "2")
    crowded = meanwhile(ledger, lambda: succeeded(ledger, "v1.5.0", "3"))
    with pytest.raises(AdoptionRefused, match="has just changed what is deployed"):
        adopt(crowded, "7")
    assert releases.current(ledger, APPLICATION)["tag"] == "v1.5.0"
