"""Where a release is now, for somebody who is awake at night because of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from cli import times
from tagship.approval.quorum import approvals, missing
from tagship.text import count

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """Where a release that is on its way is."""

    phase: str
    """One word, for programs: `waiting`, `gates`, `planning`, `approval`, `window`, `deployment`, `baking`, `health`,
    `rollback`."""
    text: str
    waits_for: tuple[str, ...] = ()
    """People."""
    until: datetime | None = None
    """When this phase ends by itself, if it does."""
    budget: tuple[datetime, datetime] | None = None
    """From when to when it may last: the time to decide, the gates', the deployment's or the rollback's budget."""


def whereabouts(
    record: Record, facts: Sequence[Record], request: Record | None, *, holder: str | None, at: datetime
) -> Now:
    """From its facts so far; `holder` is the tag that has the lock, `request` its request for approval."""
    facts = [fact for fact in facts if fact["attempt"] == record["attempt"]]
    names = [fact["name"] for fact in facts]
    if going_back(names):
        restored = "Baseline Restored" in names[_last(names, "Rollback Triggered") :]
        text = "what was put back is checked" if restored else "what served before is put back"
        budget = _budget(facts, "Rollback Triggered", "deadline")
        return Now(phase="rollback", text=f"is rolled back: {text}", budget=budget)
    phase = str(record.get("phase", ""))
    if phase == "gates" and "Lock Acquired" not in names:
        other = f", which {holder} has" if holder and holder != record["tag"] else ""
        return Now(phase="waiting", text=f"waits for the lock{other}")
    if phase == "approval" and request is not None:
        return _approval(request)
    if phase == "window":
        opens = times.moment(record["waits"]["opens"])
        return Now(phase=phase, text="is approved and waits for its window", until=opens)
    if phase == "deployment":
        return _deployment(facts, at)
    if phase == "gates":
        return Now(phase=phase, text="is at its gates", budget=_budget(facts, "Lock Acquired", "gatesEnd"))
    words = {"planning": "passed its gates and is planned"}
    return Now(phase=phase, text=words.get(phase, "is on its way"))


def going_back(names: Sequence[str]) -> bool:
    """Whether, of facts by their names in order, a rollback was begun and has not ended."""
    return "Rollback Triggered" in names and not _BACK & set(names[_last(names, "Rollback Triggered") :])


_BACK = {"Release Rolled Back", "Rollback Failed", "Release Aborted"}


def _last(names: Sequence[str], name: str) -> int:
    return len(names) - 1 - list(reversed(names)).index(name)


def _approval(request: Record) -> Now:
    if request["status"] != "OPEN":
        return Now(phase="approval", text=f"is {request['status'].lower()}; the release goes on")
    given, required = approvals(request), request["required"]
    return Now(
        phase="approval",
        text=f"waits for approval ({given} of {count(required, 'approval')})",
        waits_for=tuple(missing(request)),
        until=times.moment(request["expiresAt"]),
        budget=(times.moment(request["askedAt"]), times.moment(request["expiresAt"])),
    )


def _deployment(facts: Sequence[Record], at: datetime) -> Now:
    return replace(_moving(facts, at), budget=_budget(facts, "Deployment Started", "deadline"))


def _budget(facts: Sequence[Record], began: str, ends: str) -> tuple[datetime, datetime] | None:
    """From the last fact of a name to the time that it tells; None where it tells none."""
    fact = next((fact for fact in reversed(facts) if fact["name"] == began), None)
    if fact is None or ends not in fact["data"]:
        return None
    return times.moment(fact["at"]), times.moment(fact["data"][ends])


def _moving(facts: Sequence[Record], at: datetime) -> Now:
    moves = [fact for fact in facts if fact["name"] in ("Traffic Shifted", "Health Checked")]
    if not moves:
        return Now(phase="deployment", text="was approved; the first traffic moves now")
    fact = moves[-1]
    if fact["name"] == "Health Checked" and not fact["data"].get("goesOn"):
        return Now(
            phase="deployment", text=f"is {fact['data']['verdict']} so far; what comes next is decided"
        )
    shifted = next(fact for fact in reversed(moves) if fact["name"] == "Traffic Shifted")
    data, longer = shifted["data"], fact["data"].get("until")
    share = f"{data['percent']} % of the traffic (step {data['step']} of {data['of']})"
    baked = times.moment(longer or shifted["at"]) + timedelta(seconds=0 if longer else int(data["bake"]))
    if baked > at:
        return Now(phase="baking", text=f"has {share} and is watched", until=baked)
    return Now(phase="health", text=f"has {share}; its health is checked")


def took(record: Record, moment: datetime) -> float:
    """Seconds from its reading to its ending, or until now."""
    end = times.moment(record["endedAt"]) if record.get("endedAt") else moment
    return (end - times.moment(record["readAt"])).total_seconds()
