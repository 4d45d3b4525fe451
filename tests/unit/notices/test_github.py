"""GitHub sees one deployment for an attempt, with each state once, whatever is tried again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tagship.notices import github
from tagship.notices.channel import NotDelivered
from tests.github_server import GitHub
from tests.github_server import github as started
from tests.unit.notices.test_notice import RECORD, notice_about

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def there() -> Iterator[GitHub]:
    with started() as fake:
        yield fake


def tell(
    there: GitHub,
    name: str,
    data: dict[str, Any] | None = None,
    *,
    token: str = "",
    link: bool = False,
    **changes: Any,
) -> None:
    notice = notice_about(name, data or {}, **changes)
    github.tell(
        notice,
        commit=COMMIT,
        repository=github.Repository(name="acme/storefront", token=token or there.token, api=there.api),
        console_link=link,
    )


def test_a_release_is_one_deployment_with_its_statuses(there):
    tell(there, "Release Read", {"commit": COMMIT, "author": "dana"})
    tell(there, "Deployment Started", {"steps": [{"percent": 100}], "deadline": "2026-11-23T10:20:00.000Z"})
    tell(
        there,
        "Release Succeeded",
        {"readAt": "2026-11-23T09:48:00.000Z"},
        record=RECORD | {"status": "SUCCEEDED"},
        link=True,
    )
    (deployment,) = there.deployments
    assert (deployment["environment"], deployment["production_environment"]) == ("production", True)
    assert [it["state"] for it in there.statuses[1]] == ["success", "in_progress", "pending"]
    assert there.statuses[1][0]["log_url"].startswith("https://us-east-1.console.aws.amazon.com/")
    assert [(it["state"], it["context"], it["commit"]) for it in there.commits] == [
        (state, "tagship/production/storefront", COMMIT) for state in ("pending", "pending", "success")
    ]


def test_a_repeated_notification_is_stored_once(there):
    for _ in range(2):
        tell(there, "Release Succeeded", {"readAt": "2026-11-23T09:48:00.000Z"})
    assert len(there.deployments) == 1
    assert len(there.statuses[1]) == 1


def test_another_attempt_is_another_deployment(there):
    tell(there, "Release Invalid", {"why": "x"}, attempt=1)
    tell(there, "Release Succeeded", {}, attempt=2)
    assert len(there.deployments) == 2


@pytest.mark.parametrize(
    "name, deployment, commit",
    [
        ("Release Invalid", "failure", "failure"),
        ("Release Superseded", "inactive", "failure"),
        ("Release Rolled Back", "failure", "failure"),
        ("Rollback Failed", "error", "error"),
        ("Release Aborted", "error", "error"),
    ],
)
def test_each_ending_has_its_status(there, name, deployment, commit):
    tell(there, name, {"why": "x"})
    assert (there.statuses[1][0]["state"], there.commits[0]["state"]) == (deployment, commit)


def test_githubs_refusal_is_reported_without_the_token(there):
    with pytest.raises(
        NotDelivered, match="GitHub answered 401 for acme/storefront: Bad credentials"
    ) as raised:
        tell(there, "Release Succeeded", token="wrong-token")
    assert "wrong-token" not in str(raised.value)
    there.down = True
    with pytest.raises(NotDelivered, match="503"):
        tell(there, "Release Succeeded")
