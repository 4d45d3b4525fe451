"""The location that a release deploys to: what was planned there, and its current state."""

from __future__ import annotations

from typing import cast

from tagship.model.records import LocationPlan, ReleaseRecord, Revision, Standing
from tagship.targets.kind import Move


def location_of(record: ReleaseRecord) -> LocationPlan:
    """The release's one location: the planned one, with the candidate that was made and the target's last etag."""
    (planned,) = record["plan"]["locations"]
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
