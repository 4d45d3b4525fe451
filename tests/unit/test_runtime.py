"""The content of a step's log."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace

import pytest
from botocore.config import Config

from tagship.aws import clients
from tagship.ledger import releases
from tagship.model.errors import ApplicationUnknown
from tagship.model.release import Status
from tagship.runtime import Runtime, about, logger
from tagship.settings import Settings
from tagship.text.plain import visible
from tests.unit.builders import APPLICATION, EXECUTION, TAG, record

HOSTILE = 'v1.4.0\n{"level": "INFO", "message": "done"}\r\x1b[31m\x00'


def test_hostile_text_stays_in_its_field_on_one_line() -> None:
    """Fault 52."""
    about({"application": "storefront", "tag": HOSTILE, "attempt": 1}, "one")
    record = logging.LogRecord("tagship", logging.WARNING, __file__, 1, "Not sent: %s", (HOSTILE,), None)
    (formatter,) = {handler.formatter for handler in logger.handlers}
    line = formatter.format(record)
    assert not set("\n\r\x1b\x00") & set(line)
    document = json.loads(line)
    assert (document["tag"], document["message"]) == (visible(HOSTILE), f"Not sent: {visible(HOSTILE)}")
    assert (document["application"], document["attempt"], document["execution"]) == ("storefront", 1, "one")


class CountingLedger:
    """A DynamoDB client that counts what is read."""

    def __init__(self, client):
        self.client, self.reads = client, 0

    def __getattr__(self, name):
        self.reads += name == "get_item"
        return getattr(self.client, name)


@pytest.fixture
def client(ledger):
    return CountingLedger(ledger.client)


@pytest.fixture
def runtime(ledger, client):
    aws = SimpleNamespace(client=lambda service, config: client)
    return Runtime(settings=Settings(stage="production", ledger_table="ledger"), aws=aws, now=ledger.now)


def the_release(runtime):
    return runtime.release(
        {"release": {"application": APPLICATION, "tag": TAG, "attempt": 1}, "execution": EXECUTION}
    )


def test_only_the_ledgers_requests_are_sent_unchecked():
    """It packs its items itself. An empty name in another service's address would reach another resource."""
    checked = {name: it.parameter_validation for name, it in vars(clients).items() if isinstance(it, Config)}
    assert [name for name, checks in checked.items() if not checks] == ["LEDGER"]


def test_a_release_is_read_once_and_only_when_needed(runtime, ledger, client):
    releases.claim(ledger, record())
    release = the_release(runtime)
    assert (release.title, release.attempt, release.execution, client.reads) == (
        f"{APPLICATION} {TAG}",
        1,
        EXECUTION,
        0,
    )
    assert release.record["status"] == Status.RUNNING
    assert release.configuration.application == APPLICATION
    assert release.configuration.target.function == "storefront"
    assert client.reads == 1


def test_an_unknown_release_is_an_error_at_its_first_use(runtime):
    release = the_release(runtime)
    with pytest.raises(ApplicationUnknown, match=f"{APPLICATION} {TAG}"):
        _ = release.record


def test_a_releases_fact_names_its_events_attempt_and_execution(runtime):
    fact = the_release(runtime).fact("Traffic Shifted", key="000", data={"percent": 5})
    assert (fact.application, fact.tag, fact.attempt, fact.execution) == (APPLICATION, TAG, 1, EXECUTION)
    assert (fact.name, fact.key, fact.data) == ("Traffic Shifted", "000", {"percent": 5})
