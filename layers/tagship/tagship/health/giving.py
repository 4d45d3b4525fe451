"""Builds the input of a check of a release's candidate or baseline, from the release's record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from ipaddress import IPv4Network, IPv6Network

from tagship.aws.clients import ASKED_ONCE
from tagship.aws.rights import ClientAs, Location
from tagship.health import Check, Given
from tagship.model.records import LocationPlan, ReleaseRecord
from tagship.settings import Settings
from tagship.targets import kind_of


def given_to(
    check: Check,
    *,
    record: ReleaseRecord,
    target: Location,
    subject: str,
    location: LocationPlan,
    percent: int,
    client_as: ClientAs,
    settings: Settings,
    now: Callable[[], datetime],
    allowed: Sequence[IPv4Network | IPv6Network] = (),
) -> Given:
    """`subject` is `candidate` or `baseline`; `percent` is the share of traffic that it has."""
    subject_of, candidate, baseline = kind_of(target).subject, location["candidate"], location["baseline"]
    offers = subject_of(target, candidate if subject == "candidate" else baseline)
    return Given(
        name=check.label(record["application"]),
        application=record["application"],
        tag=record["tag"],
        client=partial(client_as, may=check.rights(target, offers), config=ASKED_ONCE),
        subject=subject,
        offers=offers,
        before=subject_of(target, baseline) if baseline else None,
        candidate=candidate,
        baseline=baseline,
        percent=percent,
        began=_moment(record.get("deadline"), -settings.deployment_seconds),
        shifted=_moment(record.get("shiftedAt")),
        allowed=allowed,
        now=now,
    )


def _moment(text: str | None, seconds: int = 0) -> datetime | None:
    return datetime.fromisoformat(text) + timedelta(seconds=seconds) if text else None
