"""Finds what events missed, so that a lost event leaves nothing open.

Every query is bounded. An index holds the keys of open items, as many as there are releases in progress; the bucket is
listed page by page, and only manifests of the last days count.
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
"""Older manifests are ignored: events are retried for a day, and the sweep has checked them a hundred times."""
SETTLED_AFTER = timedelta(minutes=5)
"""Anything younger may just be being read, ended or delivered."""
PAGES = 100
"""Pages of a thousand keys, per sweep of the bucket."""

Start = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """One sweep over everything that is open."""

    ledger: Ledger
    stepfunctions: SFNClient
    rollback_machine: str
    """Its ARN."""
    now: datetime
    roll_back: RollBack

    def releases(self) -> Iterator[str]:
        """Releases that are running in the ledger, but whose execution is not."""
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
        """Starts the rollback; if it was started before and has ended, nothing handles this release: a person is alerted."""

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
        """Rollbacks whose lease has ended and whose execution is not running."""
        for application, holder in lock.open_ones(self.ledger):
            if holder.alive(self.now):
                continue
            record = releases.get(self.ledger, application, holder.tag)
            if holder.execution == record["execution"] and record["status"] == Status.RUNNING:
                continue  # a release, handled above
            ended = self._ended(holder.execution)
            if ended is not None:
                did = rollback_ended(self.ledger, record, ended)
                yield f"{application} {holder.tag}, rollback: {did['did']}"

    def decisions(self) -> Iterator[str]:
        """Decisions that were recorded but not delivered to their execution; requests whose release has ended."""
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
            except TokenDead:  # its next call delivers it; if it never calls, no execution waits for it
                if over:
                    approvals.delivered(self.ledger, approval_id)

    def plans(self, application: str = "") -> Iterator[str]:
        """Releases that wait for people on an outdated plan, because another release went first."""
        open_ones = (
            {record["application"] for record in releases.open_ones(self.ledger)}
            if not application
            else set()
        )
        for name in sorted(open_ones or {application}):
            for tag in plan_others_again(self.ledger, self.stepfunctions, name):
                yield f"{name} {tag}: its plan is outdated, and its execution was notified"

    def manifests(self, s3: S3Client, *, bucket: str, start: Start) -> Iterator[str]:
        """Manifests in the bucket that were not read."""
        for key in self._arrived(s3, bucket):
            try:
                application, tag = place_of(key)
            except ValueError:
                continue  # it was refused on arrival; no release exists for it
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
        """How an execution ended; None while it is running."""
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
            return None  # the supervisor is just receiving its event
        return Ended(
            execution=execution,
            status=found["status"],
            error=found.get("error", ""),
            cause=found.get("cause", ""),
        )

    def _young(self, at: str) -> bool:
        return self.now - datetime.fromisoformat(at) < SETTLED_AFTER


def application_of(event: Mapping[str, Any]) -> str:
    """The application whose execution has ended, from EventBridge's event; empty for the schedule or an omitted input."""
    try:
        order = json.loads(event["detail"]["input"])
        return place_of(order["key"])[0] if "key" in order else str(order["application"])
    except (KeyError, TypeError, ValueError):
        return ""
