"""The command line from the shell, with its start; and ten thousand releases in a ledger: pages read, and seconds.

The ledger is one in memory that answers as DynamoDB does: a page is what fits into 1 MiB before the filter, newest first.
The embedded engine would read a partition from its beginning for every page, which says nothing about DynamoDB. So the
seconds are this program's own; add what a request takes from where you are, times the requests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from boto3.dynamodb.types import TypeSerializer

from tagship.ledger import history
from tagship.ledger.table import Ledger, timestamp
from tagship.model.facts import FactKind
from tagship_cli.views import measures
from tagship_cli.views.measures import LONGEST_RELEASE
from tools.bench.table import COUNT, SECONDS, Figure, Part, say
from tools.stack import ROOT, Engine, LocalError

RELEASES = 10_000
DAYS = 3 * 365
"""The period of the releases: about nine a day."""
APPLICATION = "storefront"
PAGE_BYTES = 1024**2
"""The most that DynamoDB reads for one page of a query."""
_pack = TypeSerializer().serialize
_FACTS = (
    (FactKind.RELEASE_READ, 0, {"digest": "d" * 64, "author": "dana@example.com", "commit": "c" * 40}),
    (FactKind.LOCK_ACQUIRED, 1, {"fence": 1, "leaseEnds": "2026-11-23T10:00:00.000Z"}),
    (
        FactKind.GATES_PASSED,
        9,
        {"results": [{"gate": str(n), "verdict": "passed", "why": "w" * 60} for n in range(8)]},
    ),
    (FactKind.DEPLOYMENT_PLANNED, 12, {"summary": ["s" * 80], "digest": "d" * 64, "from": "v1.0.0"}),
    (
        FactKind.APPROVAL_REQUESTED,
        13,
        {"approvers": ["ana@example.com", "bo@example.com"], "approval": "a" * 32},
    ),
    (FactKind.APPROVAL_GRANTED, 1500, {"decision": "approve", "reason": "", "status": "APPROVED"}),
    (
        FactKind.DEPLOYMENT_STARTED,
        1502,
        {"steps": [{"percent": 10, "bake": 300}], "deadline": "2026-11-23T10:00:00.000Z"},
    ),
    (FactKind.TRAFFIC_SHIFTED, 1504, {"percent": 10, "bake": 300, "step": 1, "of": 2}),
    (
        FactKind.HEALTH_CHECKED,
        1810,
        {"checks": [{"check": "http", "verdict": "healthy", "why": "w" * 80}], "verdict": "healthy"},
    ),
    (FactKind.RELEASE_SUCCEEDED, 1830, {"status": "SUCCEEDED", "why": "w" * 60}),
)


def measure(engine: Engine, stage: str, *, runs: int) -> list[Part]:
    """From the shell on the engine's stage; then over the ten thousand.

    Raises LocalError when a command fails.
    """
    shell = {"tagship --help": ("--help",), "tagship status": ("status", "--stage", stage)}
    figures = [
        Figure(what=what, unit=SECONDS, runs=[_timed(engine, words) for _ in range(runs)]).below(1)
        for what, words in shell.items()
    ]
    say(f"making up {RELEASES:,} releases")
    return [
        Part(title="From the shell, start-up included", figures=figures),
        *many(datetime.now(UTC), runs=runs),
    ]


def many(now: datetime, *, runs: int) -> list[Part]:
    """What is read of ten thousand releases, and how long this program takes for it."""
    memory = Memory(_items(now))
    since = timestamp(now - LONGEST_RELEASE)
    questions: Mapping[str, Callable[[Ledger], object]] = {
        "status: what has not ended, what ended last": lambda it: history.recent(
            it, APPLICATION, since=since
        ),
        "history: the last 20": lambda it: list(islice(history.newest(it, APPLICATION), 20)),
        "history: the last 1,000": lambda it: list(islice(history.newest(it, APPLICATION), 1000)),
        "report: 30 days": lambda it: _report(it, now, 30),
        "report: all three years": lambda it: _report(it, now, DAYS),
    }
    seconds, requests = [], []
    for what, ask in questions.items():
        timed, counted = [], []
        for _ in range(runs):
            memory.asked, began = 0, time.perf_counter()
            ask(Ledger(client=memory, table="ledger", stage="production", now=lambda: now))
            timed.append(time.perf_counter() - began)
            counted.append(float(memory.asked))
        figure = Figure(what=what, unit=SECONDS, runs=timed)
        seconds.append(figure if what.endswith(("1,000", "years")) else figure.below(1))
        requests.append(Figure(what=what, unit=COUNT, runs=counted))
    title = f"{RELEASES:,} releases in the ledger"
    return [
        Part(title=f"{title}: seconds", figures=seconds),
        Part(title=f"{title}: requests", figures=requests),
    ]


def _report(ledger: Ledger, now: datetime, days: int) -> None:
    span = measures.Span(since=now - timedelta(days=days), until=now)
    oldest = timestamp(span.since - LONGEST_RELEASE)
    found = []
    for fact in ledger.facts_in_order(APPLICATION, newest_first=True, only=measures.NAMES):
        if fact["at"] < oldest:
            break
        found.append(fact)
    measures.keys([measures.read(reversed(found))], span)


class Memory:
    """The parts of DynamoDB's client that this bench uses."""

    def __init__(self, items: Iterator[Mapping[str, Any]]) -> None:
        self.asked = 0
        self.facts: list[tuple[str, int, dict[str, Any]]] = []
        self.others: dict[str, dict[str, Any]] = {}
        for item in items:
            packed = {name: _pack(value) for name, value in item.items()}
            if item["kind"] == "fact":
                self.facts.append((item["name"], len(json.dumps(packed)) // 2, packed))
            else:
                self.others[item["sk"]] = packed

    def query(self, **request: Any) -> Any:
        """The index `order`, newest first, a page at a time."""
        self.asked += 1
        values = request["ExpressionAttributeValues"]
        wanted = {value["S"] for name, value in values.items() if name.startswith(":name")}
        place = request.get("ExclusiveStartKey", {"at": len(self.facts)})["at"]
        found, read = [], 0
        while place and read < PAGE_BYTES:
            place -= 1
            name, size, packed = self.facts[place]
            read += size
            if name in wanted:
                found.append(packed)
        return {"Items": found, **({"LastEvaluatedKey": {"at": place}} if place else {})}

    def batch_get_item(self, **request: Any) -> Any:
        """The requested attributes; for a nested one, the whole attribute."""
        self.asked += 1
        ((table, ask),) = request["RequestItems"].items()
        wanted = {name.removeprefix("#").split(".")[0] for name in ask["ProjectionExpression"].split(", ")}
        items = [self.others[key["sk"]["S"]] for key in ask["Keys"] if key["sk"]["S"] in self.others]
        picked = [{name: value for name, value in item.items() if name in wanted} for item in items]
        return {"Responses": {table: picked}}


def _timed(engine: Engine, arguments: tuple[str, ...]) -> float:
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "tagship_cli.main", *arguments],
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
                {"askedAt": timestamp(read + timedelta(seconds=13))}
                if name == FactKind.APPROVAL_GRANTED
                else {}
            )
            if name == FactKind.RELEASE_SUCCEEDED:
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
