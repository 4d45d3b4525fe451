"""Ten thousand releases in a ledger: how long the command line takes, its own start included, and how many queries it asks.

The table is the template's, without its stream; what a fact says is as long as in a real one. The engine answers from memory
and reads a partition from its beginning for every page, so its seconds are no promise about DynamoDB: the pages are.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from boto3.dynamodb.types import TypeSerializer

from local.bench.table import COUNT, SECONDS, Figure, Part, say
from local.reference import template
from local.stack import ROOT, Engine, LocalError
from tagship.ledger.table import Ledger, timestamp

RELEASES = 10_000
DAYS = 3 * 365
"""Over which they are spread: some nine a day."""
APPLICATION, TABLE, STACK = "storefront", "ten-thousand", "ten-thousand"
_AT_ONCE = 25
_pack = TypeSerializer().serialize
_FACTS = (
    ("Release Read", 0, {"digest": "d" * 64, "author": "dana@example.com", "commit": "c" * 40}),
    ("Lock Acquired", 1, {"fence": 1, "leaseEnds": "2026-11-23T10:00:00.000Z"}),
    (
        "Gates Passed",
        9,
        {"results": [{"gate": str(n), "verdict": "passed", "why": "w" * 60} for n in range(8)]},
    ),
    ("Deployment Planned", 12, {"summary": ["s" * 80], "digest": "d" * 64, "from": "v1.0.0"}),
    ("Approval Requested", 13, {"approvers": ["ana@example.com", "bo@example.com"], "approval": "a" * 32}),
    ("Approval Granted", 1500, {"decision": "approve", "reason": "", "status": "APPROVED"}),
    (
        "Deployment Started",
        1502,
        {"steps": [{"percent": 10, "bake": 300}], "deadline": "2026-11-23T10:00:00.000Z"},
    ),
    ("Traffic Shifted", 1504, {"percent": 10, "bake": 300, "step": 1, "of": 2}),
    (
        "Health Checked",
        1810,
        {"checks": [{"check": "http", "verdict": "healthy", "why": "w" * 80}], "verdict": "healthy"},
    ),
    ("Release Succeeded", 1830, {"status": "SUCCEEDED", "why": "w" * 60}),
)


def measure(engine: Engine, *, runs: int) -> list[Part]:
    """What status, history and report take.

    Raises LocalError when one of them fails.
    """
    say(f"writing {RELEASES:,} releases into a ledger (about a minute)")
    now = datetime.now(UTC)
    _fill(engine, now)
    commands = {
        "tagship --help": ("--help",),
        "tagship status": ("status", APPLICATION),
        "tagship history, the last 20": ("history", APPLICATION),
        "tagship history, the last 1,000": ("history", APPLICATION, "--limit", "1000"),
        "tagship report, 30 days": ("report", "-a", APPLICATION),
        "tagship report, all three years": ("report", "-a", APPLICATION, "--since", f"{DAYS}d"),
    }
    figures = []
    for what, arguments in commands.items():
        figure = Figure(what=what, unit=SECONDS, runs=[_timed(engine, arguments) for _ in range(runs)])
        quick = what in ("tagship status", "tagship history, the last 20", "tagship report, 30 days")
        figures.append(figure.below(1) if quick else figure)
    return [
        Part(title=f"The command line, {RELEASES:,} releases in the ledger", figures=figures),
        Part(title="Requests to the ledger that it takes", figures=_requests(engine, now)),
    ]


def _timed(engine: Engine, arguments: tuple[str, ...]) -> float:
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "--stack", STACK, *arguments],
        cwd=ROOT,
        env=engine.environment
        | {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'tagship'}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LocalError(f"tagship {' '.join(arguments)} failed: {done.stderr}")
    return time.perf_counter() - began


class _Counting:
    """A client that counts what it is asked."""

    def __init__(self, client: Any) -> None:
        self.client, self.asked = client, 0

    def __getattr__(self, name: str) -> Any:
        self.asked += 1
        return getattr(self.client, name)


def _requests(engine: Engine, now: datetime) -> list[Figure]:
    from itertools import islice

    from cli import measures
    from cli.measures import LONGEST_RELEASE
    from tagship.ledger import history

    def counted(what: str, ask: Any) -> Figure:
        client = _Counting(engine.client("dynamodb"))
        ask(Ledger(client=client, table=TABLE, stage="development", now=lambda: now))
        return Figure(what=what, unit=COUNT, runs=[client.asked])

    since = timestamp(now - LONGEST_RELEASE)
    month = timestamp(now - timedelta(days=30) - LONGEST_RELEASE)

    def facts(ledger: Ledger) -> None:
        for fact in ledger.facts_in_order(APPLICATION, newest_first=True, only=measures.NAMES):
            if fact["at"] < month:
                return

    return [
        counted(
            "what has not ended, and what ended last",
            lambda ledger: history.recent(ledger, APPLICATION, since=since),
        ),
        counted("the last 20 releases", lambda ledger: list(islice(history.newest(ledger, APPLICATION), 20))),
        counted(
            "the last 1,000 releases", lambda ledger: list(islice(history.newest(ledger, APPLICATION), 1000))
        ),
        counted("the facts of a report over 30 days", facts),
    ]


def _fill(engine: Engine, now: datetime) -> None:
    dynamodb = engine.client("dynamodb")
    (properties,) = [
        each["Properties"]
        for each in template()["Resources"].values()
        if each["Type"] == "AWS::DynamoDB::Table"
    ]
    keys = (
        "AttributeDefinitions",
        "KeySchema",
        "LocalSecondaryIndexes",
        "GlobalSecondaryIndexes",
        "BillingMode",
    )
    dynamodb.create_table(TableName=TABLE, **{key: properties[key] for key in keys})
    batch: list[Any] = []
    for item in _items(now):
        batch.append({"PutRequest": {"Item": {name: _pack(value) for name, value in item.items()}}})
        if len(batch) == _AT_ONCE:
            dynamodb.batch_write_item(RequestItems={TABLE: batch})
            batch = []
    if batch:
        dynamodb.batch_write_item(RequestItems={TABLE: batch})
    output = {"LedgerTableName": {"Value": TABLE}}
    resource = {"Nothing": {"Type": "AWS::SNS::Topic"}}
    engine.client("cloudformation").create_stack(
        StackName=STACK, TemplateBody=json.dumps({"Resources": resource, "Outputs": output})
    )


def _items(now: datetime) -> Iterator[Mapping[str, Any]]:
    pk, seq = f"APPLICATION#{APPLICATION}", 0
    for number in range(RELEASES):
        tag = f"v1.{number}.0"
        read = now - timedelta(days=DAYS) * (1 - (number + 1) / (RELEASES + 1))
        whose = {
            "application": APPLICATION,
            "tag": tag,
            "attempt": 1,
            "stage": "development",
            "execution": f"{tag}-execution",
        }
        for name, after, data in _FACTS:
            seq += 1
            at = timestamp(read + timedelta(seconds=after))
            more: dict[str, Any] = (
                {"askedAt": timestamp(read + timedelta(seconds=13))} if name == "Approval Granted" else {}
            )
            if name == "Release Succeeded":
                more = {"durations": {"LeadTime": timestamp(read - timedelta(seconds=90))}}
            yield whose | {
                "pk": pk,
                "sk": f"FACT#{tag}#0001#{name}#",
                "kind": "fact",
                "seq": seq,
                "name": name,
                "who": "tagship",
                "at": at,
                "data": {**data, **more},
                "previous": "p" * 64,
                "digest": "d" * 64,
            }
        yield whose | {
            "pk": pk,
            "sk": f"RELEASE#{tag}",
            "kind": "release",
            "status": "SUCCEEDED",
            "readAt": timestamp(read),
            "endedAt": timestamp(read + timedelta(seconds=1830)),
            "why": "It serves all traffic and is healthy.",
            "manifest": {"author": "dana@example.com", "commit": "c" * 40, "notes": "n" * 500},
            "plan": {"from": f"v1.{number - 1}.0", "summary": ["s" * 80]},
            "configuration": {"document": {"text": "x" * 2000}},
        }
    yield {
        "pk": pk,
        "sk": "CURRENT",
        "kind": "current",
        "application": APPLICATION,
        "tag": f"v1.{RELEASES - 1}.0",
        "attempt": 1,
        "since": timestamp(now),
    }
