"""Many releases are read newest first, a page at a time and no further than somebody looks: queries, and no scan."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import pytest

from tagship.ledger import history, releases
from tagship.ledger.table import Fact, Ledger, timestamp
from tagship.model.errors import AwsUnavailable
from tagship.model.release import Status


def read(ledger: Ledger, tag: str) -> None:
    manifest = {"author": "dana@example.com", "commit": "c" * 40, "createdAt": "", "notes": "x" * 50}
    record = {"application": "storefront", "tag": tag, "stage": "production", "execution": tag, "digest": tag}
    releases.claim(ledger, {**record, "manifest": manifest})


def end(ledger: Ledger, tag: str, status: Status = Status.INVALID) -> None:
    releases.end(
        ledger, application="storefront", tag=tag, attempt=1, status=status, why="It is so.", execution=tag
    )


@dataclass
class Counting:
    """A client that counts what is asked of it."""

    client: Any
    asked: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        self.asked.append(name)
        return getattr(self.client, name)


def test_releases_are_listed_newest_first_with_their_summary(ledger, clock):
    for tag in ("v1.0.0", "v1.2.0", "v1.1.0"):
        read(ledger, tag)
        clock.forward(60)
    end(ledger, "v1.2.0")
    found = list(history.newest(ledger, "storefront"))
    assert [each["tag"] for each in found] == ["v1.1.0", "v1.2.0", "v1.0.0"]
    assert found[1]["status"] == "INVALID"
    assert found[0]["manifest"] == {"author": "dana@example.com", "commit": "c" * 40}
    assert list(history.newest(ledger, "shop")) == []


def test_only_as_many_are_read_as_are_used(ledger):
    for number in range(60):
        read(ledger, f"v1.{number}.0")
    counting = Counting(ledger.client)
    newest = history.newest(replace(ledger, client=counting), "storefront")
    assert [each["tag"] for each in islice(newest, 3)] == ["v1.59.0", "v1.58.0", "v1.57.0"]
    assert counting.asked == ["query", "batch_get_item"]
    assert len(list(history.newest(ledger, "storefront"))) == 60


def _tag(fact):
    return fact["tag"] if fact else None


def test_unended_releases_count_as_recent_and_the_last_ending_is_found_at_any_age(ledger, clock):
    read(ledger, "v1.0.0")
    end(ledger, "v1.0.0")
    clock.forward(30 * 86_400)
    begin = timestamp(clock())
    found = history.recent(ledger, "storefront", since=begin)
    assert (found.touched, _tag(found.ended)) == ((), "v1.0.0")
    read(ledger, "v2.0.0")
    read(ledger, "v2.1.0")
    found = history.recent(ledger, "storefront", since=begin)
    assert (found.touched, _tag(found.ended)) == (("v2.1.0", "v2.0.0"), "v1.0.0")
    end(ledger, "v2.0.0")
    assert _tag(history.recent(ledger, "storefront", since=begin).ended) == "v2.0.0"


def test_an_old_release_that_takes_the_lock_again_counts_as_recent(ledger, clock):
    read(ledger, "v1.0.0")
    end(ledger, "v1.0.0")
    clock.forward(30 * 86_400)
    begin = timestamp(clock())
    ledger.record(Fact(application="storefront", tag="v1.0.0", attempt=2, name="Lock Acquired", key="7"))
    assert history.recent(ledger, "storefront", since=begin).touched == ("v1.0.0",)


def test_a_table_that_never_returns_all_items_is_unavailable(ledger):
    class Stingy:
        def batch_get_item(self, *, RequestItems: Any) -> Any:
            return {"Responses": {}, "UnprocessedKeys": RequestItems}

    with pytest.raises(AwsUnavailable):
        list(replace(ledger, client=Stingy()).get_many([("a", "b")], "tag"))


def test_unprocessed_keys_are_requested_again(ledger):
    read(ledger, "v1.0.0")
    client = ledger.client

    class Busy:
        asked = 0

        def batch_get_item(self, *, RequestItems: Any) -> Any:
            self.asked += 1
            if self.asked == 1:
                return {"Responses": {}, "UnprocessedKeys": RequestItems}
            return client.batch_get_item(RequestItems=RequestItems)

    found = replace(ledger, client=Busy()).get_many(
        [("APPLICATION#storefront", "RELEASE#v1.0.0")], "tag", "digest"
    )
    assert list(found) == [{"tag": "v1.0.0", "digest": "v1.0.0"}]
