"""The location that a release deploys to: what was planned there, and its current state."""

from __future__ import annotations

from typing import cast

from tagship.model.errors import LockLost
from tagship.model.records import LocationPlan, Plan, ReleaseRecord, Revision, Standing
from tagship.targets.kind import Move


def plan_of(record: ReleaseRecord) -> Plan:
    """The release's plan.

    Raises LockLost if there is none: the call is late, and the tag has a new attempt.
    """
    if "plan" not in record:
        raise LockLost(
            f"{record['application']} {record['tag']}: attempt {record['attempt']} has started meanwhile. This call, for an "
            "earlier attempt, changed nothing."
        )
    return record["plan"]


def location_of(record: ReleaseRecord) -> LocationPlan:
    """The release's one location: the planned one, with the candidate that was made and the target's last etag.

    Raises LockLost for a late call, as `plan_of`.
    """
    (planned,) = plan_of(record)["locations"]
    standing = [each for each in record.get("standing") or () if each["location"] == planned["location"]]
    return cast("LocationPlan", {**planned, **(standing[0] if standing else {})})


def standing_of(
    location: LocationPlan, *, candidate: Revision | None = None, etag: str | None = None
) -> list[Standing]:
    """The current state of the release's location, for the ledger."""
    return [
        {
            "location": location["location"],
            "candidate": candidate or location["candidate"],
            "etag": location["etag"] if etag is None else etag,
        }
    ]


def move_to(percent: int, location: LocationPlan, *, fence: int) -> Move:
    """A share of the traffic in this location."""
    return Move(
        baseline=location["baseline"],
        candidate=location["candidate"],
        percent=percent,
        etag=location["etag"],
        fence=fence,
    )
