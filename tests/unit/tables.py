"""The ledger's table on moto, made from the template's own properties."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.dynamodb.responses import DynamoHandler

from tagship.ledger.table import Ledger
from tests.template.cloudformation import template

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
    """One client of each kind for all tests: making one costs more than what it is used for."""
    return boto3.session.Session().client(
        service,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(ignore_configured_endpoint_urls=True, retries={"max_attempts": 0}),
    )


@dataclass(slots=True)
class Meanwhile:
    """A client that lets something else happen between a look at the table and the transaction that follows from it."""

    client: Any
    happens: Callable[[], object]
    times: int = 1

    def __getattr__(self, name: str) -> Any:
        if name == "transact_write_items" and self.times:
            self.times -= 1
            self.happens()
        return getattr(self.client, name)


def meanwhile(ledger: Ledger, happens: Callable[[], object], *, times: int = 1) -> Ledger:
    """The same ledger, in which this happens right before the next transaction of whoever is given it."""
    return replace(ledger, client=Meanwhile(ledger.client, happens, times))


def aws_error(code: str, *, status: int = 400, message: str = "no") -> ClientError:
    """What boto3 raises for a refusal by AWS."""
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
