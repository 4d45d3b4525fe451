"""Unsigned presses cost little, and their cost is bounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tagship.approval.store import LedgerStore
from tagship.aws.secrets import RecentSecrets
from tagship.ledger import approvals
from tagship.ledger.table import Ledger, unpacked
from tagship.ledger.visits import Allowance
from tests.security.test_slack_buttons import SECRET, TEAM, Workspace, secret
from tests.slack_server import slack
from tests.unit.approval.builders import sample, site
from tests.unit.approval.test_request import asked
from tests.unit.tables import aws_error


class Counting:
    """The table's client, and which partitions were written."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.written: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def update_item(self, **request: Any) -> Any:
        self.written.append(str(unpacked(request["Key"])["pk"]))
        return self.client.update_item(**request)

    def transact_write_items(self, **request: Any) -> Any:
        self.written += [next(iter(it.values())).get("pk", "fact") for it in request["TransactItems"]]
        return self.client.transact_write_items(**request)


class Log:
    lines = 0

    def warning(self, *_: object, **__: object) -> None:
        self.lines += 1


class Manager:
    """Secrets Manager."""

    def __init__(self, text: str) -> None:
        self.text, self.asked = text, 0
        self.raises: Exception | None = None

    def get_secret_value(self, *, SecretId: str) -> dict[str, str]:
        assert SecretId == SECRET
        self.asked += 1
        if self.raises:
            raise self.raises
        return {"SecretString": self.text}


@pytest.fixture
def flooded(ledger: Ledger, clock: Any) -> Iterator[tuple[Workspace, Manager, Counting, Any]]:
    """A request for approval in the ledger, whose team has buttons, and the page in front of it."""
    counting = Counting(ledger.client)
    table = replace(ledger, client=counting)
    with slack() as here:
        manager = Manager(secret(channel=here.url()))
        recent = RecentSecrets(clock=lambda: clock().timestamp())
        request = asked(ledger) | {"slack": SECRET}
        made = site()
        made.store.records = {}
        made.store.put(sample() | {"id": request["id"], "digest": request["digest"]})
        store = LedgerStore(ledger=table, now=clock, log=Log(), allowance=Allowance())
        known = store.get

        class Store:
            """The ledger's, for a request that names the team's secret."""

            records = made.store.records
            refused, unsigned, decide, sent = store.refused, store.unsigned, store.decide, store.sent

            def get(self, approval_id: str) -> Any:
                found = known(approval_id)
                return found and {**found, "slack": SECRET}

        made.store = Store()  # type: ignore[assignment]
        made.now = clock()
        work = Workspace(made, here, manager)  # type: ignore[arg-type]
        yield work, manager, counting, (recent, store, clock)


def flood(work: Workspace, parts: Any, presses: int = 60) -> set[int]:
    recent, store, _ = parts
    work.reader, work.refuse = recent.of(work.secrets), store.unsigned
    return {work.send(work.payload(), key=f"not the key {number}").status for number in range(presses)}


def test_a_flood_of_unsigned_presses_costs_one_secret_read_and_a_bounded_number_of_writes(flooded):
    work, manager, counting, parts = flooded
    assert flood(work, parts) == {403}
    assert manager.asked == 1
    refusals = [pk for pk in counting.written if pk.startswith("REFUSALS#")]
    assert len(refusals) == Allowance().a_minute + 1  # the first one makes the counter
    assert len(counting.written) <= Allowance().a_minute + 3 * len(("1st", "10th"))
    assert not [pk for pk in counting.written if pk.startswith("APPROVAL#")]


def test_counting_continues_in_the_next_minute_and_facts_have_the_numbers(flooded, ledger):
    work, _, counting, parts = flooded
    clock = parts[2]
    for _ in range(4):
        flood(work, parts, 40)
        clock.forward(60)
        work.here.now = clock()
    assert len([pk for pk in counting.written if pk.startswith("REFUSALS#")]) == 4 * Allowance().a_minute + 1
    counts = [
        it["data"]["count"] for it in ledger.facts_of("storefront", "v1.4.0") if it["name"] == "Link Refused"
    ]
    assert counts == [1, 10, 100]


def test_a_flood_for_an_unknown_request_writes_nothing(flooded):
    work, manager, counting, parts = flooded
    (record,) = work.here.store.records.values()
    record["id"] = "x" * 32
    assert flood(work, parts) == {403}
    assert (manager.asked, counting.written) == (0, [])


def test_a_real_press_during_a_flood_is_recorded(flooded, ledger):
    work, _, _, parts = flooded
    flood(work, parts)
    assert work.press().status == 200
    (record,) = work.here.store.records.values()
    found = approvals.get(ledger, record["id"])
    assert found is not None
    assert [entry["identity"] for entry in found["decisions"]] == [f"slack {TEAM} U0ANA"]


def test_a_secret_is_cached_for_seconds_and_a_rotated_one_is_then_used(flooded):
    work, manager, _, (recent, store, clock) = flooded
    flood(work, (recent, store, clock), 1)
    manager.text = manager.text.replace("8f742231", "00000000")
    assert work.press().status == 200  # the old one still holds
    clock.forward(recent.seconds)
    work.here.now = clock()
    assert work.press(user="U0BO").status == 403
    assert manager.asked == 2


def test_a_refusal_by_secrets_manager_is_cached_as_long(flooded):
    work, manager, _, parts = flooded
    manager.raises = aws_error("ResourceNotFoundException")
    assert flood(work, parts, 20) == {503}
    assert manager.asked == 1


def test_the_cache_is_bounded_and_never_shown():
    class Answering:
        def get_secret_value(self, *, SecretId: str) -> dict[str, str]:
            return {"SecretString": f"text of {SecretId}"}

    recent = RecentSecrets(most=4, clock=lambda: 0.0)
    for number in range(100):
        assert (
            recent.of(Answering()).get_secret_value(SecretId=str(number))["SecretString"]
            == f"text of {number}"
        )
    assert "text of" not in repr(recent)
    assert len(recent._kept) == 4
