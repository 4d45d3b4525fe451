"""What events missed, found by looking: nothing that is open is left open because somebody was not told of it.

Every look is bounded. What is open is in an index of its own, with as many keys as releases are on their way; the bucket is
listed by pages, and only manifests that arrived within the last days count.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from tagship.approval.order import plan_others_again
from tagship.approval.request.delivery import deliver
from tagship.aws.calls import calling, code_of
from tagship.ledger import approvals, lock, releases
from tagship.ledger.table import Ledger
from tagship.model.errors import ApplicationUnknown, TokenDead
from tagship.model.records import ReleaseRecord
from tagship.model.release import MANIFEST, Status, place_of
from tagship.supervision.ended import Ended, RollBack, release_ended, rollback_ended
from tagship.supervision.starting import supervised

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_stepfunctions import SFNClient

ARRIVED_WITHIN = timedelta(days=2)
"""Older manifests are history: an event is tried for a day, and the sweep has looked at them a hundred times."""
SETTLED_AFTER = timedelta(minutes=5)
"""What is younger may be in the middle of being read, ended or told."""
PAGES = 100
"""Of a thousand keys each, in one look at the bucket."""

Start = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """One look at everything that is open."""

    ledger: Ledger
    stepfunctions: SFNClient
    rollback_machine: str
    """Its ARN."""
    now: datetime
    roll_back: RollBack

    def releases(self) -> Iterator[str]:
        """Releases that run in the ledger, and whose execution does not."""
        for record in releases.open_ones(self.ledger):
            if self._young(record["readAt"]):
                continue
            ended = self._ended(record["execution"])
            if ended is None:
                continue
            did = release_ended(self.ledger, record, ended, roll_back=self._once(record))
            if did["did"] != "nothing":
                yield f"{record['application']} {record['tag']}: {did['did']}"

    def _once(self, record: ReleaseRecord) -> RollBack:
        """Starts the rollback; where that was done before and is over, nobody is at this release, and a person is called."""

        def back(*given: object, **order: object) -> bool:
            if self.roll_back(*given, **order):
                return True
            name = supervised(record["execution"])
            ended = self._ended(f"{self.rollback_machine.replace(':stateMachine:', ':execution:')}:{name}")
            if ended is not None:
                rollback_ended(self.ledger, record, ended)
            return False

        return back

    def rollbacks(self) -> Iterator[str]:
        """Rollbacks that have the lock under a lease that has ended, and whose execution does not run."""
        for application, holder in lock.open_ones(self.ledger):
            if holder.alive(self.now):
                continue
            record = releases.get(self.ledger, application, holder.tag)
            if holder.execution == record["execution"] and record["status"] == Status.RUNNING:
                continue  # a release, which has been looked at
            ended = self._ended(holder.execution)
            if ended is not None:
                did = rollback_ended(self.ledger, record, ended)
                yield f"{application} {holder.tag}, rollback: {did['did']}"

    def decisions(self) -> Iterator[str]:
        """Decisions that are recorded and that no execution has been told; requests that outlived their release."""
        for approval_id in approvals.open_ones(self.ledger):
            request = approvals.get(self.ledger, approval_id)
            if request is None or self._young(request["askedAt"]):
                continue
            record = releases.get(self.ledger, request["application"], request["tag"])
            over = record["status"] != Status.RUNNING or record["attempt"] != request["attempt"]
            title = f"{request['application']} {request['tag']}"
            if request["status"] == approvals.OPEN:
                if not over:
                    continue
                approvals.close(self.ledger, approval_id, status="CLOSED", why=f"{title} has ended.")
            try:
                deliver(self.ledger, self.stepfunctions, approval_id)
                yield f"{title}: its execution received the decision"
            except TokenDead:  # it asks again, and is told then; if it never will, there is nobody to tell
                if over:
                    approvals.delivered(self.ledger, approval_id)

    def plans(self, application: str = "") -> Iterator[str]:
        """Releases that wait for people on a plan that is outdated, because another release went first."""
        open_ones = (
            {record["application"] for record in releases.open_ones(self.ledger)}
            if not application
            else set()
        )
        for name in sorted(open_ones or {application}):
            for tag in plan_others_again(self.ledger, self.stepfunctions, name):
                yield f"{name} {tag}: its plan is outdated, and its execution was told"

    def manifests(self, s3: S3Client, *, bucket: str, start: Start) -> Iterator[str]:
        """Manifests that lie in the bucket and that nobody has read."""
        for key in self._arrived(s3, bucket):
            try:
                application, tag = place_of(key)
            except ValueError:
                continue  # it was refused when it came, if anybody was told; there is no release to it
            try:
                releases.get(self.ledger, application, tag)
            except ApplicationUnknown:
                retry = {
                    "attempt": 1,
                    "by": "sweep",
                    "why": "Its upload was not read because the event was lost.",
                }
                start({"bucket": bucket, "key": key, "versionId": "", "retry": retry})
                yield f"{application} {tag}: started"

    def _arrived(self, s3: S3Client, bucket: str) -> Iterator[str]:
        pages = s3.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix="releases/", PaginationConfig={"MaxItems": PAGES * 1000}
        )
        with calling("Listing the release bucket"):
            for page in pages:
                for found in page.get("Contents", ()):
                    age = self.now - found["LastModified"]
                    if found["Key"].endswith(f"/{MANIFEST}") and SETTLED_AFTER < age < ARRIVED_WITHIN:
                        yield found["Key"]

    def _ended(self, execution: str) -> Ended | None:
        """How an execution ended; None while it runs."""
        try:
            with calling("Looking at an execution"):
                found = self.stepfunctions.describe_execution(executionArn=execution)
        except ClientError as error:
            if code_of(error) not in ("ExecutionDoesNotExist", "InvalidArn"):
                raise
            return Ended(execution=execution, status="GONE")
        if found["status"] in ("RUNNING", "PENDING_REDRIVE"):
            return None
        if self.now - found.get("stopDate", self.now) < SETTLED_AFTER:
            return None  # the supervisor is being told just now
        return Ended(
            execution=execution,
            status=found["status"],
            error=found.get("error", ""),
            cause=found.get("cause", ""),
        )

    def _young(self, at: str) -> bool:
        return self.now - datetime.fromisoformat(at) < SETTLED_AFTER


def application_of(event: Mapping[str, Any]) -> str:
    """Whose execution has ended, by EventBridge's event; empty for the clock's, and where the input was left out."""
    try:
        order = json.loads(event["detail"]["input"])
        return place_of(order["key"])[0] if "key" in order else str(order["application"])
    except (KeyError, TypeError, ValueError):
        return ""
