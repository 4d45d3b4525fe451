"""Releases of the storefront on the embedded engine, timed from outside: good ones, and ones that are rolled back.

All clocks are this machine's: a mail has its sending time, a fact the time of its event, a state the time at which it
was left.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tagship.ledger import approvals, releases
from tagship.ledger.table import Ledger
from tagship.model.errors import ApplicationUnknown
from tagship.model.facts import FactKind
from tools.people import link_in, newest_to, open_form
from tools.stack import Engine, LocalError
from tools.storefront import NAME, Storefront, pack

PERCENT = 10
_LOOK_EVERY = 0.25
"""Seconds. All times are the engine's own, so looking more often would only take its CPU."""
_LONGEST = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """The durations of one good release, in seconds, and its state transitions."""

    mail: float
    """From the upload of release.json to the last approver's mail."""
    traffic: float
    """From the deciding approval to all traffic on the candidate."""
    whole: float
    """From the upload to the execution's end, without the time that people took."""
    transitions: int
    states: Mapping[str, float]
    """The time in each state; in the approval state it includes the people's time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Releasing:
    """The storefront, and who releases it."""

    engine: Engine
    stage: str
    stack: Mapping[str, str]
    approvers: Sequence[str]

    @classmethod
    def prepared(cls, engine: Engine, *, stage: str, stack: Mapping[str, str]) -> Releasing:
        """Installs the storefront, with a canary and no bakes."""
        storefront = Storefront.install(engine, stage=stage, stack=stack)
        document = storefront.configure(strategy={"percent": PERCENT, "bake": 0})
        approval = document["approval"]
        return cls(
            engine=engine,
            stage=stage,
            stack=stack,
            approvers=approval["approvers"][: approval["required"]],
        )

    @property
    def ledger(self) -> Ledger:
        """The stack's ledger."""
        return Ledger(
            client=self.engine.client("dynamodb"),
            table=self.stack["LedgerTableName"],
            stage=self.stage,
            now=lambda: datetime.now(UTC),
        )

    def good(self, tag: str) -> Released:
        """A release until its success."""
        uploaded = self._upload(tag, broken=False)
        mailed, posted = self._approve(tag)
        history = self._ended(tag, "SUCCEEDED")
        shifted = self._at(tag, FactKind.TRAFFIC_SHIFTED, lambda data: data["percent"] == 100)
        return Released(
            mail=mailed - uploaded,
            traffic=shifted - posted,
            whole=(mailed - uploaded) + (_seconds(history[-1]) - posted),
            transitions=transitions(history),
            states=spent(history),
        )

    def bad(self, tag: str) -> float:
        """Seconds from the last response of a failed check until the alias is restored."""
        self._upload(tag, broken=True)
        self._approve(tag)
        history = self._ended(tag, "ROLLED_BACK")
        failed = max(
            _seconds(event)
            for event in history
            if event["type"] == "TaskStateExited"
            and event["stateExitedEventDetails"]["name"] == "CheckHealth"
        )
        return self._at(tag, FactKind.BASELINE_RESTORED, lambda _: True) - failed

    def upload_code(self, key: str, tag: str, *, broken: bool) -> bytes:
        """Uploads a version's zip into the release bucket, as before a release."""
        code = pack(tag, broken=broken)
        self.engine.client("s3").put_object(
            Bucket=self.stack["ReleaseBucketName"],
            Key=key,
            Body=code,
            ChecksumSHA256=base64.b64encode(hashlib.sha256(code).digest()).decode(),
        )
        return code

    def _upload(self, tag: str, *, broken: bool) -> float:
        """Publishes like `tagship publish`, in this process. Returns the time before the last PUT, which starts the
        release."""
        folder = f"releases/{NAME}/{tag}/"
        code = self.upload_code(f"{folder}{NAME}.zip", tag, broken=broken)
        manifest = {
            "schemaVersion": 1,
            "application": NAME,
            "tag": tag,
            "commit": hashlib.sha1(tag.encode(), usedforsecurity=False).hexdigest(),
            "repository": f"acme/{NAME}",
            "author": "dana@example.com",
            "createdAt": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "artifacts": [
                {
                    "name": "function",
                    "file": f"{NAME}.zip",
                    "sha256": hashlib.sha256(code).hexdigest(),
                    "size": len(code),
                }
            ],
        }
        before = time.time()
        self.engine.client("s3").put_object(
            Bucket=self.stack["ReleaseBucketName"],
            Key=f"{folder}release.json",
            Body=json.dumps(manifest).encode(),
            IfNoneMatch="*",
        )
        return before

    def _approve(self, tag: str) -> tuple[float, float]:
        """The times of the last mail and of the deciding form. The page is opened before, because people read first."""

        def asked() -> Mapping[str, Any] | None:
            with contextlib.suppress(ApplicationUnknown, KeyError):  # not yet
                request = approvals.get(self.ledger, releases.get(self.ledger, NAME, tag)["approval"])
                return (
                    request
                    if request and set(request["sent"]) >= {f"mail to {who}" for who in self.approvers}
                    else None
                )
            return None

        _wait_for(asked, f"{tag} did not ask for its approval")
        sent, posted = 0.0, 0.0
        for who in self.approvers:
            mail = newest_to(self.engine.mails(), who=who, application=NAME, tag=tag)
            if mail is None:
                raise LocalError(f"No mail about {tag} reached {who}.")
            form = open_form(link_in(mail))
            sent, posted = max(sent, mail.at), time.time()
            if (answer := form.press("approve")).status != 200:
                raise LocalError(f"The approval page answered {answer.status} to {who} about {tag}.")
        return sent, posted

    def _ended(self, tag: str, status: str) -> list[dict[str, Any]]:
        """The history of the release's execution, once it has ended as expected."""
        states = self.engine.client("stepfunctions")
        record = releases.get(self.ledger, NAME, tag)
        execution = record["execution"]
        _wait_for(
            lambda: states.describe_execution(executionArn=execution)["status"] != "RUNNING",
            f"{tag} did not end",
        )
        record = releases.get(self.ledger, NAME, tag)
        if record["status"] != status:
            raise LocalError(f"{tag} ended {record['status']} instead of {status}: {record.get('why', '')}")
        pages = states.get_paginator("get_execution_history").paginate(executionArn=execution)
        return [event for page in pages for event in page["events"]]

    def _at(self, tag: str, name: str, which: Callable[[Mapping[str, Any]], bool]) -> float:
        """The time of a fact."""
        facts = self.ledger.facts_of(NAME, tag)
        (at,) = [fact["at"] for fact in facts if fact["name"] == name and which(fact["data"])]
        return datetime.fromisoformat(at).timestamp()


def transitions(history: Sequence[Mapping[str, Any]]) -> int:
    """The billed transitions: each entered state, including those in a Map, and each retry of a task.

    Each attempt of a task is counted, because the embedded engine's history has no entries of states inside a Map.
    """
    return sum(
        event["type"] == "TaskScheduled"
        or (event["type"].endswith("StateEntered") and event["type"] != "TaskStateEntered")
        for event in history
    )


def spent(history: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Seconds in each state, all visits together, in the order of the first."""
    entered: dict[str, float] = {}
    seconds: dict[str, float] = {}
    for event in history:
        if "stateEnteredEventDetails" in event:
            entered[event["stateEnteredEventDetails"]["name"]] = _seconds(event)
        elif "stateExitedEventDetails" in event:
            name = event["stateExitedEventDetails"]["name"]
            seconds[name] = seconds.get(name, 0.0) + _seconds(event) - entered[name]
    return seconds


def _seconds(event: Mapping[str, Any]) -> float:
    at: datetime = event["timestamp"]
    return at.timestamp()


def _wait_for[T](look: Callable[[], T | None], what_did_not_happen: str) -> T:
    """Polls until there is a result.

    Raises LocalError if that takes too long.
    """
    deadline = time.monotonic() + _LONGEST
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise LocalError(f"{what_did_not_happen} within {_LONGEST} seconds.")
        time.sleep(_LOOK_EVERY)
    return seen
