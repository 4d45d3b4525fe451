"""The current phase of a release, for the person on call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tagship.approval.quorum import approvals, awaited, met, needed
from tagship.ledger.lock import Holder
from tagship.model.facts import FactKind
from tagship.model.people import person
from tagship.model.records import FactRecord, ReleaseRecord, RequestRecord
from tagship.model.rules import named, places
from tagship.text.words import count, listed
from tagship_cli.views import times


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """The current phase of a release in progress."""

    phase: str
    """One word for programs: `waiting`, `gates`, `planning`, `approval`, `window`, `deployment`, `baking`, `health`,
    `paused`, `rollback`."""
    text: str
    waits_for: tuple[str, ...] = ()
    """A description for people."""
    until: datetime | None = None
    """When this phase ends by itself; None if it does not."""
    percent: int = 0
    """The release's share of the traffic."""
    budget: tuple[datetime, datetime] | None = None
    """Start and end of the phase's time limit: for the decision, the gates, the deployment or the rollback."""


def whereabouts(
    record: ReleaseRecord,
    facts: Sequence[FactRecord],
    request: RequestRecord | None,
    *,
    holder: Holder | None,
    at: datetime,
) -> Now:
    """From its facts so far. `holder` has the lock, `request` its request for approval."""
    facts = [fact for fact in facts if fact["attempt"] == record["attempt"]]
    names = [fact["name"] for fact in facts]
    if going_back(names):
        budget = _budget(facts, FactKind.ROLLBACK_TRIGGERED, "deadline")
        return replace(_on_its_way_back(facts[_last(names, FactKind.ROLLBACK_TRIGGERED) :]), budget=budget)
    phase = str(record.get("phase", ""))
    if phase == "gates" and FactKind.LOCK_ACQUIRED not in names:
        other = (
            f" (held by {holder.who})" if holder and (holder.upkeep or holder.tag != record["tag"]) else ""
        )
        return Now(phase="waiting", text=f"is waiting for the lock{other}")
    if phase == "approval" and request is not None:
        return _approval(request)
    if phase == "window":
        opens = times.moment(record["waits"]["opens"])
        return Now(phase=phase, text="is approved and is waiting for its window", until=opens)
    if phase == "deployment":
        return _paused(record, request) or _before_a_pause(record, _deployment(facts, at))
    if phase == "gates":
        return Now(
            phase=phase,
            text="is running its gates",
            budget=_budget(facts, FactKind.LOCK_ACQUIRED, "gatesEnd"),
        )
    words = {
        "planning": "passed its gates and is being planned",
        "again": "is planned again, because another release was deployed first",
    }
    return Now(phase=phase, text=words.get(phase, "is in progress"))


def going_back(names: Sequence[str]) -> bool:
    """Whether these facts' names, in order, contain a rollback that has started and not ended."""
    return FactKind.ROLLBACK_TRIGGERED in names and not _BACK & set(
        names[_last(names, FactKind.ROLLBACK_TRIGGERED) :]
    )


def _on_its_way_back(facts: Sequence[FactRecord]) -> Now:
    """From the fact that started the rollback."""
    if any(fact["name"] == FactKind.BASELINE_RESTORED for fact in facts):
        text = "the baseline serves all traffic and is being checked"
        return Now(phase="rollback", text=f"is being rolled back: {text}")
    percent = int(facts[0]["data"].get("percent", 0))
    share = f"; until then it serves {percent} % of traffic" if percent else ""
    return Now(phase="rollback", text=f"is being rolled back: restoring the baseline{share}", percent=percent)


_BACK = {FactKind.RELEASE_ROLLED_BACK, FactKind.ROLLBACK_FAILED, FactKind.RELEASE_ABORTED}


def _last(names: Sequence[str], name: str) -> int:
    return len(names) - 1 - list(reversed(names)).index(name)


def rules(request: RequestRecord) -> list[str]:
    """Each rule, if there are several, with who meets it and who is still needed: `group platform: 0 of 1, …`."""
    found, waiting = met(request), {person(who) for who in awaited(request)}
    if len(found) < 2:
        return []
    lines = []
    for rule, those in found:
        text = f"{named(rule)}: {len(those)} of {places(rule)}" + (f" ({listed(those)})" if those else "")
        if rule.get("why"):
            text += f"; {'; '.join(rule['why'])}"
        if len(those) < places(rule) and request["status"] == "OPEN":
            missing = [who for who in rule["approvers"] if person(who) in waiting]
            text += f"; waiting for {listed(missing)}" if missing else "; nobody is left who could approve"
        lines.append(text)
    return lines


def _approval(request: RequestRecord) -> Now:
    if request["status"] != "OPEN":
        return Now(phase="approval", text=f"is {request['status'].lower()}; the next step is starting")
    given, required = approvals(request), needed(request)
    return Now(
        phase="approval",
        text=f"is waiting for approval ({given} of {count(required, 'approval')})",
        waits_for=tuple(awaited(request)),
        until=times.moment(request["expiresAt"]),
        budget=(times.moment(request["askedAt"]), times.moment(request["expiresAt"])),
    )


def _paused(record: ReleaseRecord, request: RequestRecord | None) -> Now | None:
    """While a pause is open; `request` is then the pause's own."""
    pause = record.get("pause")
    if pause is None or pause["state"] != "open":
        return None
    percent = int(record.get("percent", 0))
    then = "it is rolled back" if pause["onTimeout"] == "rollback" else "it continues if it is healthy"
    people = tuple(awaited(request)) if request and "pause" in request else ()
    return Now(
        phase="paused",
        text=f"is paused at {percent} % of traffic (step {pause['before']} of {len(record['plan']['steps'])}); without an "
        f"answer {then}",
        waits_for=people,
        until=times.moment(pause["until"]),
        percent=percent,
        budget=(times.moment(pause["since"]), times.moment(pause["until"])),
    )


def _before_a_pause(record: ReleaseRecord, now: Now) -> Now:
    pause = record.get("pause")
    if pause is None or pause["state"] != "ordered":
        return now
    return replace(
        now, text=f"{now.text}; pauses before step {pause['before'] + 1}, ordered by {pause['by']}"
    )


def asking(record: ReleaseRecord) -> str:
    """The id of the request that people answer now: the open pause's, or the one for approval; empty if there is none."""
    pause = record.get("pause")
    if pause and pause["state"] == "open":
        return pause["request"]
    return record.get("approval", "")


def _deployment(facts: Sequence[FactRecord], at: datetime) -> Now:
    return replace(_moving(facts, at), budget=_budget(facts, FactKind.DEPLOYMENT_STARTED, "deadline"))


def _budget(facts: Sequence[FactRecord], began: str, ends: str) -> tuple[datetime, datetime] | None:
    """From the last fact of a name to the deadline in it; None if it has none."""
    fact = next((fact for fact in reversed(facts) if fact["name"] == began), None)
    if fact is None or ends not in fact["data"]:
        return None
    return times.moment(fact["at"]), times.moment(fact["data"][ends])


def _moving(facts: Sequence[FactRecord], at: datetime) -> Now:
    moves = [fact for fact in facts if fact["name"] in (FactKind.TRAFFIC_SHIFTED, FactKind.HEALTH_CHECKED)]
    if not moves:
        return Now(phase="deployment", text="is approved; the first traffic moves now")
    fact = moves[-1]
    shifted = next(fact for fact in reversed(moves) if fact["name"] == FactKind.TRAFFIC_SHIFTED)
    percent = int(shifted["data"]["percent"])
    if fact["name"] == FactKind.HEALTH_CHECKED and not fact["data"].get("goesOn"):
        text = f"is {fact['data']['verdict']} so far; deciding the next step"
        return Now(phase="deployment", text=text, percent=percent)
    data, longer = shifted["data"], fact["data"].get("until")
    share = f"{data['percent']} % of traffic (step {data['step']} of {data['of']})"
    baked = times.moment(longer or shifted["at"]) + timedelta(seconds=0 if longer else int(data["bake"]))
    if baked > at:
        return Now(phase="baking", text=f"serves {share} and is baking", until=baked, percent=percent)
    return Now(phase="health", text=f"serves {share}; checking its health", percent=percent)


def took(record: ReleaseRecord, moment: datetime) -> float:
    """Seconds from its reading to its ending, or until now."""
    end = times.moment(record["endedAt"]) if record.get("endedAt") else moment
    return (end - times.moment(record["readAt"])).total_seconds()
