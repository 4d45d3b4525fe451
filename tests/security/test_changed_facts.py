"""A fact that is changed, deleted, or made of something else after it was written sets off an alarm when it happens."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tagship.model.errors import EventNotUnderstood, FactChanged
from tagship.notices import stream
from tagship.notices.stream import StreamRecord
from tests.flow.test_events import load_event
from tests.template.cloudformation import functions

(FACT,) = load_event("ledger-stream.json")["Records"]


def changed(event: str, **image: Any) -> dict[str, Any]:
    """The same record of the stream, of another kind of change."""
    new = None if event == "REMOVE" else {**FACT["dynamodb"]["NewImage"], **image}
    change = {**FACT["dynamodb"], **({"NewImage": new} if new else {})}
    if new is None:
        del change["NewImage"]
    return {**FACT, "eventName": event, "dynamodb": change}


def matches(record: Any, pattern: Any) -> bool:
    """As Lambda filters a stream: each field that the pattern names has one of its values."""
    if isinstance(pattern, dict):
        return isinstance(record, dict) and all(matches(record.get(k), each) for k, each in pattern.items())
    return any(
        str(record).startswith(each["prefix"]) if isinstance(each, dict) else record == each
        for each in pattern
    )


def elsewhere(record: dict[str, Any]) -> dict[str, Any]:
    """The same, under a key that is no fact's."""
    keys = {"pk": {"S": "APPLICATION#storefront"}, "sk": {"S": "OTHER#"}}
    return {**record, "dynamodb": {**record["dynamodb"], "Keys": keys}}


def is_broadcast(record: Any) -> bool:
    """Whether the function gets it."""
    filters = functions()["BroadcastFunction"]["Events"]["Facts"]["Properties"]["FilterCriteria"]["Filters"]
    return any(matches(record, json.loads(each["Pattern"])) for each in filters)


@pytest.mark.parametrize(
    "record, seen",
    [
        pytest.param(FACT, True, id="a fact that is written"),
        pytest.param(changed("MODIFY"), True, id="a fact that is changed"),
        pytest.param(
            changed("MODIFY", kind={"S": "other"}), True, id="a fact that is made into something else"
        ),
        pytest.param(changed("REMOVE"), True, id="a fact that is deleted"),
        pytest.param(
            changed("INSERT", kind={"S": "other"}), True, id="a fact that is written as something else"
        ),
        pytest.param(elsewhere(changed("INSERT", kind={"S": "release"})), False, id="another item"),
    ],
)
def test_every_change_of_a_fact_is_detected(record: Any, seen: bool) -> None:
    assert is_broadcast(record) is seen


def test_an_item_that_is_turned_into_a_fact_is_detected_too() -> None:
    """So that nobody can hide a decision from the channels by writing it in two steps."""
    assert is_broadcast(elsewhere(changed("MODIFY")))


def test_an_item_among_the_facts_that_claims_to_be_none_is_set_aside() -> None:
    with pytest.raises(EventNotUnderstood, match="kind"):
        StreamRecord.from_dict(changed("INSERT", kind={"S": "other"})).fact()


class Queue:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []

    def send_message(self, *, QueueUrl: str, MessageBody: str) -> None:
        self.bodies.append(json.loads(MessageBody))


class Quiet:
    def exception(self, message: str) -> None:
        pass


def take(record: StreamRecord) -> None:
    record.fact()
    record.was_inserted()


@pytest.mark.parametrize("event", ["MODIFY", "REMOVE"])
def test_a_changed_fact_is_set_aside_under_its_name_and_the_next_is_processed(event: str) -> None:
    queue, taken = Queue(), []

    def each(record: StreamRecord) -> None:
        take(record)
        taken.append(record)

    batch = {"Records": [changed(event), FACT]}
    assert stream.each(batch, each, sqs=queue, failures="failures", log=Quiet()) == {"batchItemFailures": []}
    assert [body["condition"] for body in queue.bodies] == ["FactChanged"]
    assert queue.bodies[0]["keys"] == FACT["dynamodb"]["Keys"]
    assert len(taken) == 1


def test_a_deleted_fact_is_not_an_unreadable_one() -> None:
    with pytest.raises(FactChanged):
        StreamRecord.from_dict(changed("REMOVE")).fact()
