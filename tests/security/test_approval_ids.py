"""Data about a release in other services does not lead to its approval request."""

from __future__ import annotations

import base64
import hashlib
import re
from secrets import token_bytes
from typing import Any

from tagship.approval.request.request import request_of
from tagship.ledger import approvals, releases
from tagship.ledger.table import Ledger
from tests.github_server import github
from tests.unit import builders
from tests.unit.approval.builders import NOW
from tests.unit.approval.test_request import WEEK, asked, planned
from tests.unit.notices.test_github import tell


def test_an_id_is_random_and_reveals_nothing_of_the_release():
    """It was the digest of the execution's ARN, which a public repository's deployment showed."""
    record = planned()
    ids = {request_of(record, now=NOW, longest=WEEK, random=token_bytes)["id"] for _ in range(50)}
    assert len(ids) == 50
    assert all(re.fullmatch(r"[a-z2-7]{32}", each) for each in ids)
    source = f"{record['execution']} {record['application']} {record['tag']} {record['attempt']}"
    computed = base64.b32encode(hashlib.sha256(source.encode()).digest()).decode().lower()[:32]
    assert computed not in ids


def test_an_id_has_160_bits_of_randomness():
    drawn: list[int] = []

    def random(count: int) -> bytes:
        drawn.append(count)
        return bytes(range(count))

    made = request_of(planned(), now=NOW, longest=WEEK, random=random)["id"]
    assert drawn == [20]
    assert base64.b32decode(made.upper()) == bytes(range(20))


def test_a_retried_request_keeps_the_id_that_was_created_first(ledger: Ledger):
    first = asked(ledger)
    for _ in range(3):
        new_request = request_of(planned(), now=NOW, longest=WEEK, random=token_bytes)
        assert approvals.request(ledger, new_request, execution=builders.EXECUTION)["id"] == first["id"]
        assert approvals.get(ledger, new_request["id"]) is None
    assert approvals.open_ones(ledger) == [first["id"]]
    assert releases.get(ledger, "storefront", "v1.4.0")["approval"] == first["id"]


def test_two_concurrent_requests_get_the_same_id(ledger: Ledger, monkeypatch: Any):
    """As when a function was thought dead, and its retry overtakes it."""
    releases.claim(ledger, builders.record(manifest=None, objects={}, configuration={}))
    late, early = (request_of(planned(), now=NOW, longest=WEEK, random=token_bytes) for _ in range(2))
    record, opened = Ledger.record, []

    def overtaken(self: Ledger, *arguments: Any) -> bool:
        monkeypatch.setattr(Ledger, "record", record)
        opened.append(approvals.request(ledger, early, execution=builders.EXECUTION))
        return record(self, *arguments)

    monkeypatch.setattr(Ledger, "record", overtaken)
    assert approvals.request(ledger, late, execution=builders.EXECUTION) == opened[0]
    assert opened[0]["id"] == early["id"]
    assert approvals.get(ledger, late["id"]) is None


def test_github_gets_no_execution_or_account_unless_the_team_enables_it():
    with github() as there:
        tell(there, "Release Succeeded", {"readAt": "2026-11-23T09:48:00.000Z"})
        shown = str([there.deployments, there.statuses, there.commits])
        assert "log_url" not in shown and "target_url" not in shown
        assert "console.aws" not in shown and "arn:aws" not in shown
        tell(there, "Rollback Failed", {"why": "x"}, link=True)
        assert there.statuses[1][0]["log_url"] == there.commits[-1]["target_url"]
        assert "console.aws.amazon.com" in there.commits[-1]["target_url"]


def test_the_console_link_is_off_by_default():
    from tagship.model.application import GitHub

    assert (
        GitHub(repository="acme/storefront", tokenSecret="tagship/production/storefront/github").consoleLink
        is False
    )
