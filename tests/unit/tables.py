"""The ledger's table on moto, made from the template's own properties."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.dynamodb.responses import DynamoHandler

from tagship.ledger.table import Ledger
from tests.quick_moto import quicken
from tests.template.cloudformation import template

quicken()

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


@dataclass(slots=True)
class Clock:
    """A clock that tests move."""

    at: datetime = NOW

    def __call__(self) -> datetime:
        return self.at

    def forward(self, seconds: float) -> None:
        """Lets time pass."""
        self.at += timedelta(seconds=seconds)


@contextmanager
def ledger_table() -> Iterator[Any]:
    """A client of an empty table called `ledger`."""
    properties = template()["Resources"]["Ledger"]["Properties"]
    keys = (
        "BillingMode",
        "AttributeDefinitions",
        "KeySchema",
        "LocalSecondaryIndexes",
        "GlobalSecondaryIndexes",
    )
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        _isolate(patch)
        client_of("dynamodb").create_table(TableName="ledger", **{key: properties[key] for key in keys})
        yield client_of("dynamodb")


@functools.cache
def client_of(service: str) -> Any:
    """One client of each kind for all tests, because creating one is slow."""
    return boto3.session.Session().client(
        service,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(ignore_configured_endpoint_urls=True, retries={"max_attempts": 0}),
    )


@dataclass(slots=True)
class Meanwhile:
    """A client that lets something else happen between a read of the table and the following transaction."""

    client: Any
    happens: Callable[[], object]
    times: int = 1

    def __getattr__(self, name: str) -> Any:
        if name == "transact_write_items" and self.times:
            self.times -= 1
            self.happens()
        return getattr(self.client, name)


def meanwhile(ledger: Ledger, happens: Callable[[], object], *, times: int = 1) -> Ledger:
    """The same ledger, in which this happens right before the next transaction."""
    return replace(ledger, client=Meanwhile(ledger.client, happens, times))


def aws_error(code: str, *, status: int = 400, message: str = "no") -> ClientError:
    """The error that boto3 raises for an AWS refusal."""
    answer: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, "Operation")


def _isolate(patch: pytest.MonkeyPatch) -> None:
    """moto undoes a cancelled transaction by putting the table back as it was, writes of other threads included."""
    dispatch, one_at_a_time = DynamoHandler.call_action, threading.RLock()

    def isolated(self: DynamoHandler) -> Any:
        with one_at_a_time:
            return dispatch(self)

    patch.setattr(DynamoHandler, "call_action", isolated)


@dataclass(slots=True)
class MemoryTable:
    """The part of DynamoDB that the ledger uses, in this process: for tests that ask it tens of thousands of times.

    A test holds it to what moto's table does.
    """

    items: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def get_item(self, *, TableName: str, Key: dict[str, Any], ConsistentRead: bool) -> dict[str, Any]:
        found = self.items.get(_key_of(Key))
        return {"Item": dict(found)} if found else {}

    def transact_get_items(self, *, TransactItems: list[dict[str, Any]]) -> dict[str, Any]:
        found = [self.items.get(_key_of(each["Get"]["Key"])) for each in TransactItems]
        return {"Responses": [{"Item": dict(item)} if item else {} for item in found]}

    def query(self, *, KeyConditionExpression: str, ExpressionAttributeValues: Any, **options: Any) -> Any:
        given = ExpressionAttributeValues
        match KeyConditionExpression:
            case "pk = :pk AND begins_with(sk, :prefix)":
                (pk, prefix), sort = (given[":pk"]["S"], given[":prefix"]["S"]), "sk"
                found = [
                    item for key, item in self.items.items() if key[0] == pk and key[1].startswith(prefix)
                ]
            case "pk = :pk AND seq > :after":
                pk, after, sort = given[":pk"]["S"], int(given[":after"]["N"]), "seq"
                found = [item for key, item in self.items.items() if key[0] == pk and "seq" in item]
                found = [item for item in found if int(item["seq"]["N"]) > after]
            case "#open = :kind":
                kind, sort = given[":kind"], "pk"
                found = [item for item in self.items.values() if item.get("open") == kind]
            case unknown:
                raise AssertionError(f"the table in memory does not know the query {unknown!r}")
        assert not options.keys() & {"FilterExpression", "Limit"}, "not made for this"
        assert options.get("ScanIndexForward", True)
        found.sort(key=lambda item: int(item[sort]["N"]) if sort == "seq" else item[sort]["S"])
        return {"Items": [dict(item) for item in found]}

    def update_item(self, **change: Any) -> dict[str, Any]:
        if not self._allows({"Update": change}):
            raise aws_error("ConditionalCheckFailedException")
        self._apply({"Update": change})
        return {}

    def transact_write_items(self, *, TransactItems: list[dict[str, Any]]) -> None:
        allowed = [self._allows(change) for change in TransactItems]
        if not all(allowed):
            error = aws_error("TransactionCanceledException")
            error.response["CancellationReasons"] = [  # type: ignore[typeddict-unknown-key]
                {"Code": "None" if fine else "ConditionalCheckFailed"} for fine in allowed
            ]
            raise error
        for change in TransactItems:
            self._apply(change)

    def _allows(self, change: dict[str, Any]) -> bool:
        ((_, asked),) = change.items()
        item = self.items.get(_key_of(asked.get("Key") or asked["Item"]), {})
        condition = asked.get("ConditionExpression", "")
        return all(self._holds(item, part, asked) for part in condition.split(" AND ") if part)

    def _holds(self, item: dict[str, Any], part: str, asked: dict[str, Any]) -> bool:
        names, values = asked.get("ExpressionAttributeNames", {}), asked.get("ExpressionAttributeValues", {})
        if match := re.fullmatch(r"\((.+ OR .+)\)", part):
            return any(self._holds(item, each, asked) for each in match[1].split(" OR "))
        if match := re.fullmatch(r"(#\w+) > (:\w+)", part):
            found = item.get(names[match[1]])
            return found is not None and int(found["N"]) > int(values[match[2]]["N"])
        if match := re.fullmatch(r"(attribute_(?:not_)?exists)\((#?\w+)\)", part):
            there = names.get(match[2], match[2]) in item
            return there == (match[1] == "attribute_exists")
        if match := re.fullmatch(r"size\((#\w+)\) = (:\w+)", part):
            return len(item[names[match[1]]]["L"]) == int(values[match[2]]["N"])
        if match := re.fullmatch(r"(#\w+) (=|<>) (:\w+)", part):
            same = item.get(names[match[1]]) == values[match[3]]
            return same if match[2] == "=" else not same
        if match := re.fullmatch(r"(#\w+) > (:\w+)", part):
            there = item.get(names[match[1]])
            return there is not None and int(there["N"]) > int(values[match[2]]["N"])
        raise AssertionError(f"the table in memory does not know the condition {part!r}")

    def _apply(self, change: dict[str, Any]) -> None:
        ((kind, asked),) = change.items()
        if kind == "Put":
            self.items[_key_of(asked["Item"])] = dict(asked["Item"])
            return
        item = self.items.setdefault(_key_of(asked["Key"]), dict(asked["Key"]))
        names, values = asked.get("ExpressionAttributeNames", {}), asked.get("ExpressionAttributeValues", {})
        match = re.fullmatch(r"(?:SET (.*?))? ?(?:REMOVE (.*))?", asked["UpdateExpression"])
        assert match is not None
        for each in filter(None, (match[1] or "").split(", ")):
            name, _, value = each.partition(" = ")
            item[names[name]] = values[value]
        for name in filter(None, (match[2] or "").split(", ")):
            item.pop(names[name], None)


def _key_of(item: dict[str, Any]) -> tuple[str, str]:
    return item["pk"]["S"], item["sk"]["S"]
