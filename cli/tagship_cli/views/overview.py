"""An application's current state, from the ledger and Parameter Store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tagship.approval.asking import request_now
from tagship.ledger import freezes, history, lock, promotions, releases
from tagship.ledger.history import Recent
from tagship.ledger.lock import Holder
from tagship.ledger.table import Ledger, timestamp
from tagship.model.facts import FactKind
from tagship.model.records import CurrentRecord, FactRecord, ReleaseRecord
from tagship.model.release import Status, parameter_name
from tagship.model.schedule import Freeze
from tagship.supervision.promotion import Next, judged
from tagship_cli.failures import trying
from tagship_cli.place import Place
from tagship_cli.views import story, times
from tagship_cli.views.measures import LONGEST_RELEASE
from tagship_cli.views.story import Now


@dataclass(frozen=True, slots=True, kw_only=True)
class Underway:
    """A release that has not ended, and its current phase."""

    record: ReleaseRecord
    now: Now
    holder: Holder | None

    def is_dead(self, now: datetime) -> bool:
        """Whether it holds the lock although its lease has expired: it has been silent for longer than any step takes."""
        holder = self.holder
        return holder is not None and holder.tag == self.record["tag"] and not holder.alive(now)

    def as_dict(self, now: datetime) -> dict[str, object]:
        """For programs."""
        return {
            "tag": self.record["tag"],
            "attempt": self.record["attempt"],
            "phase": self.now.phase,
            "text": self.now.text,
            "began": self.record["readAt"],
            "seconds": round(story.took(self.record, now)),
            "waitsFor": list(self.now.waits_for),
            "until": self.now.until.isoformat() if self.now.until else None,
            "percent": self.now.percent,
            "execution": self.record["execution"],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Last:
    """How an attempt of a release ended."""

    tag: str
    status: str
    at: str
    why: str

    @classmethod
    def of(cls, fact: FactRecord) -> Last:
        """From the fact that ended it."""
        data = fact["data"]
        return cls(tag=fact["tag"], status=str(data["status"]), at=fact["at"], why=str(data.get("why", "")))

    def as_dict(self) -> dict[str, object]:
        """For programs."""
        return {"tag": self.tag, "status": self.status, "endedAt": self.at, "why": self.why}


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """Where the current release is promoted to, when, and what holds it."""

    to: str
    due: str
    state: str
    """`waiting`, `due`, `held`, `refused`."""
    why: str

    @classmethod
    def of(cls, ledger: Ledger, current: CurrentRecord, *, now: datetime) -> Promotion | None:
        """None if it has none, and after it was promoted."""
        found = promotions.get(ledger, current["application"], current["tag"])
        if found is None or found["attempt"] != current["attempt"]:
            return None
        if "ended" not in found:
            step, why = judged(ledger, found, now=now)
            state = _state(step, held=bool(why) and now >= times.moment(found["due"]))
            return cls(
                to=found["to"], due=found["due"], state=state, why=why if state in ("held", "refused") else ""
            )
        refused = ledger.fact(
            current["application"], current["tag"], current["attempt"], FactKind.PROMOTION_REFUSED
        )
        if refused is None:
            return None
        return cls(to=found["to"], due=found["due"], state="refused", why=str(refused["data"].get("why", "")))

    def as_dict(self) -> dict[str, object]:
        """For programs."""
        return {"to": self.to, "due": self.due, "state": self.state, "why": self.why}


def _state(step: Next, *, held: bool) -> str:
    if step is Next.WAIT:
        return "held" if held else "waiting"
    return "refused" if step is Next.REFUSE else "due"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What a person wants to know first."""

    application: str
    configured: bool
    current: CurrentRecord | None
    underway: tuple[Underway, ...]
    holder: Holder | None
    last: Last | None
    """The last ending. Its release may have been started again since."""
    freezes: tuple[Freeze, ...]
    """Its own freezes and those of all applications, current and future."""
    promotion: Promotion | None
    """Of the current release, unless it has been promoted."""
    at: datetime

    @property
    def is_unknown(self) -> bool:
        """Whether it was never configured or released here."""
        return not (self.configured or self.current or self.underway or self.last)

    def as_dict(self) -> dict[str, object]:
        """For programs."""
        current, last, holder = self.current, self.last, self.holder
        return {
            "application": self.application,
            "configured": self.configured,
            "runs": {name: current.get(name, "") for name in ("tag", "since", "watchEnds")}
            if current
            else None,
            "underway": [each.as_dict(self.at) for each in self.underway],
            "lock": {
                "tag": holder.tag,
                "holder": holder.execution,
                "since": holder.since,
                "retention": holder.upkeep,
                "kept": holder.kept,
                "leaseEnds": holder.leaseEnds,
                "alive": holder.alive(self.at),
            }
            if holder
            else None,
            "promotion": self.promotion.as_dict() if self.promotion else None,
            "freezes": [freeze_as_dict(freeze) for freeze in self.freezes],
            "lastEnded": last.as_dict() if last else None,
        }


def freeze_as_dict(freeze: Freeze) -> dict[str, object]:
    """A freeze, for programs."""
    return {
        "id": freeze.id,
        "application": freeze.application,
        "reason": freeze.reason,
        "author": freeze.author,
        "starts": timestamp(freeze.starts),
        "ends": timestamp(freeze.ends),
        **({"calendar": freeze.calendar} if freeze.calendar else {}),
        **({"again": freeze.again.rule, "zone": freeze.again.zone} if freeze.again else {}),
    }


def of(place: Place, application: str) -> Overview:
    """One application's overview, even if the stage does not know the application."""
    configured = is_configured(place, application)
    ledger = place.ledger
    with trying(f"Reading the ledger of {place.stage}"):
        holder = lock.holder(ledger, application)
        seen = history.recent(ledger, application, since=timestamp(place.now - LONGEST_RELEASE))
        underway = []
        for tag in underway_of(place, application, seen, holder):
            record = releases.get(ledger, application, tag)
            facts = ledger.facts_of(application, tag)
            if record["status"] != Status.RUNNING and not story.going_back([fact["name"] for fact in facts]):
                continue
            request = request_now(ledger, approval) if (approval := story.asking(record)) else None
            now = story.whereabouts(record, facts, request, holder=holder, at=place.now)
            underway.append(Underway(record=record, now=now, holder=holder))
        current = releases.current(ledger, application)
        last = Last.of(seen.ended) if seen.ended else None
        frozen = freezes.standing(ledger, application)
        promotion = Promotion.of(ledger, current, now=place.now) if current else None
    return Overview(
        application=application,
        configured=configured,
        current=current,
        underway=tuple(underway),
        holder=holder,
        last=last,
        freezes=frozen,
        promotion=promotion,
        at=place.now,
    )


def unknown(application: str, place: Place) -> str:
    """Says that the application is unknown, and lists the known ones."""
    known = applications(place)
    others = f"Its applications: {', '.join(known)}." if known else "It has no applications yet."
    return f"The stage {place.stage} has no application {application!r}: no configuration and no release.\n{others}"


def underway_of(place: Place, application: str, seen: Recent, holder: Holder | None) -> list[str]:
    """The tags in progress, newest first, including an ended one that holds the lock, because it may be rolling back."""
    holds = [holder.tag] if holder and not holder.kept else []
    tags = list(dict.fromkeys([*seen.touched, *holds]))
    return [
        record["tag"]
        for record in history.summaries(place.ledger, application, tags)
        if record["status"] == Status.RUNNING or record["tag"] in holds
    ]


def applications(place: Place) -> list[str]:
    """Every application configured in the stage."""
    root = parameter_name(place.stage, "")
    with trying(f"Listing the parameters under {root}"):
        pages = place.client("ssm").get_paginator("get_parameters_by_path").paginate(Path=root)
        names = [parameter["Name"] for page in pages for parameter in page["Parameters"]]
    return sorted(name.removeprefix(root) for name in names)


def is_configured(place: Place, application: str) -> bool:
    """Whether the stage has a configuration for this application."""
    from botocore.exceptions import ClientError

    from tagship.aws.calls import code_of

    name = parameter_name(place.stage, application)
    with trying(f"Reading the parameter {name}"):
        try:
            place.client("ssm").get_parameter(Name=name)
        except ClientError as error:
            if code_of(error) in ("ParameterNotFound", "ValidationException"):
                return False
            raise
    return True
