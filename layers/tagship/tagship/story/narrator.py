"""Describes a release in words: each fact, each ending and what to do next. The same text on the screen and in notices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from tagship.model.facts import FactKind
from tagship.model.proposal import is_proposal
from tagship.model.records import FactRecord, GateRecord, Known, configured
from tagship.model.release import UNCHECKED, Status
from tagship.text.times import clock, moment, span
from tagship.text.words import count, listed

Data = Mapping[str, Any]
"""A fact's data; the fact's name decides which fields it has."""
Clock = Callable[[datetime], str]


def utc_clock(time: datetime) -> str:
    """`15:05 UTC`, for readers in an unknown time zone."""
    return f"{time.astimezone(UTC):%H:%M} UTC"


class Mood(Enum):
    """How a line should look."""

    PLAIN = "plain"
    GOOD = "good"
    WARY = "wary"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """Something that happened, with further details."""

    text: str
    mood: Mood = Mood.PLAIN
    more: tuple[str, ...] = ()


def describe(fact: FactRecord, *, clock: Clock = utc_clock) -> Described:
    """A fact in words; a fact that this version does not know is shown by its name. `clock` formats times of day."""
    data = fact.get("data") or {}
    if fact["name"] == FactKind.DEPLOYMENT_STARTED and "deadline" in data:
        data = {**data, "deadline": clock(moment(data["deadline"]))}
    words = _WORDS.get(fact["name"])
    try:
        return words(fact, data) if words else _unknown(fact, data)
    except (KeyError, TypeError, ValueError, AttributeError):  # written by another version, with other data
        return _unknown(fact, data)


def _unknown(fact: FactRecord, data: Data) -> Described:
    why = data.get("why")
    return Described(text=f"{fact['name']}: {why}" if why else str(fact["name"]))


def _read(_: FactRecord, data: Data) -> Described:
    made = f": commit {data['commit'][:7]} by {data['author']}" if data["commit"] else ""
    return Described(text=f"was read, and its files are pinned{made}")


def _retried(fact: FactRecord, data: Data) -> Described:
    after = f" after it ended {data['after']}" if data.get("after") else ": it had never been read"
    return Described(
        text=f"{fact['who']} retried it{after} (attempt {fact['attempt']})",
        mood=Mood.WARY,
        more=(f"“{data['why']}”",),
    )


def _used(_: FactRecord, data: Data) -> Described:
    text = "different bytes were uploaded with this tag and refused: a tag can be used only once"
    return Described(
        text=text, mood=Mood.WARY, more=(f"refused: release.json with SHA-256 {data['refused']}",)
    )


_NOT_CONFIGURED = "not-configured"


def _stopped(results: Iterable[GateRecord]) -> list[GateRecord]:
    """The gates that did not pass, without those that only repeat another one's result."""
    stopped = [result for result in results if result["verdict"] not in ("passed", _NOT_CONFIGURED)]
    names = {result["gate"] for result in stopped}
    return [result for result in stopped if result.get("cause") not in names]


def _gates_passed(_: FactRecord, data: Data) -> Described:
    passed = listed(result["gate"] for result in data["results"] if result["verdict"] == "passed")
    unused = listed(result["gate"] for result in data["results"] if result["verdict"] == _NOT_CONFIGURED)
    return Described(
        text=f"passed its gates: {passed}" + (f" (not configured: {unused})" if unused else ""),
        mood=Mood.GOOD,
    )


def _gates_failed(_: FactRecord, data: Data) -> Described:
    stopped = _stopped(data["results"])
    text = "stopped by " + listed(f"the gate {result['gate']}" for result in stopped)
    return Described(text=text, mood=Mood.BAD, more=tuple(_gate(result) for result in stopped))


def _gate(result: GateRecord) -> str:
    remedy = f" {result['remedy']}" if result.get("remedy") else ""
    return f"{result['gate']}: {str(result['why']).rstrip('.')}.{remedy}"


def _planned(fact: FactRecord, data: Data) -> Described:
    change = (
        f"from {data['from']} to {fact['tag']}" if data.get("from") else f"{fact['tag']} is the first release"
    )
    return Described(text=f"planned: {change}", more=tuple(map(str, data["summary"])))


def _asked(_: FactRecord, data: Data) -> Described:
    return Described(text=f"waits for approval by {listed(data['approvers'])}", mood=Mood.WARY)


def _decided(fact: FactRecord, data: Data) -> Described:
    approved = data["decision"] == "approve"
    enough = {"APPROVED": ": that is enough", "OPEN": "; more approvals are needed"}.get(data["status"], "")
    via = (_identified(data["identity"]),) if data.get("identity") else ()
    reason = (f"“{data['reason']}”",) if data.get("reason") else ()
    return Described(
        text=f"{fact['who']} {'approved' if approved else 'rejected'} it{enough}",
        mood=Mood.GOOD if approved else Mood.BAD,
        more=reason + via,
    )


def _identified(identity: str) -> str:
    """How it is known who decided, if not by a link."""
    if identity.startswith("arn:"):
        return f"on the command line, as {identity}"
    if identity.startswith("claimed "):
        return (
            f"on the command line, as {identity.removeprefix('claimed ')}, which does not prove who that is"
        )
    if identity.startswith("slack "):
        return f"by a button in Slack, as {identity.removeprefix('slack ')}"
    return f"signed in as {identity}"


def _not_reached(_: FactRecord, data: Data) -> Described:
    failed = [f"{who}: {why}" for who, why in data["failed"].items()]
    return Described(
        text=f"could not notify {listed(data['failed'])} by {data['channel']}",
        mood=Mood.WARY,
        more=tuple(failed),
    )


def _reminded(_: FactRecord, data: Data) -> Described:
    also = f", and notified {listed(data['escalatedTo'])}" if data.get("escalatedTo") else ""
    return Described(text=f"reminded {listed(data['approvers'])}{also}")


def _link_refused(fact: FactRecord, data: Data) -> Described:
    times = f", {data['count']} times so far" if data.get("count", 1) > 1 else ""
    return Described(
        text=f"an approval link was refused ({data['reason']}) from {fact['who']}{times}",
        mood=Mood.WARY,
    )


def _job_waiting(_: FactRecord, data: Data) -> Described:
    run = f"run {data['run']} of {data['repository']}"
    return Described(text=f"{run} waits for {data['ref']} in the GitHub environment {data['environment']}")


def _delayed(_: FactRecord, data: Data) -> Described:
    opens = clock(moment(data["opens"]))
    return Described(
        text=f"waits until {opens}; no traffic moves before then",
        mood=Mood.WARY,
        more=(str(data["why"]),),
    )


def _overridden(_: FactRecord, data: Data) -> Described:
    return Described(
        text=f"an emergency, declared by {data['author']}: it ignores the calendar",
        mood=Mood.WARY,
        more=(f"“{data['why']}”", str(data["closed"])),
    )


def _frozen(fact: FactRecord, data: Data) -> Described:
    until = clock(moment(data["ends"]))
    again = (f"It repeats: {data['again']}",) if data.get("again") else ()
    return Described(
        text=f"frozen by {fact['who']} until {until}", mood=Mood.WARY, more=(str(data["why"]), *again)
    )


def _unfrozen(fact: FactRecord, data: Data) -> Described:
    more = (str(data["why"]), f"Reason for the freeze: {data['frozenBecause']}")
    return Described(text=f"a freeze was lifted by {fact['who']}", more=more)


def _started(_: FactRecord, data: Data) -> Described:
    shares = ", then ".join(
        f"{step['percent']} %" + (" and a pause" if step.get("pause") else "") for step in data["steps"]
    )
    late = " (later by the time of its pauses)" if any(step.get("pause") for step in data["steps"]) else ""
    return Described(
        text=f"deployment started: {shares} of traffic; no step starts after {data['deadline']}{late}"
    )


def _proven(_: FactRecord, data: Data) -> Described:
    return Described(
        text=f"the candidate is ready and is what was approved: {data['candidate']}",
        more=tuple(
            f"{check['check']}: {check['verdict']} before any traffic" for check in data.get("checks") or ()
        ),
    )


def _shifted(fact: FactRecord, data: Data) -> Described:
    bake = f", monitored for {span(data['bake'])}" if data["bake"] else ""
    step = f"step {data['step']} of {data['of']}"
    return Described(text=f"{data['percent']} % of traffic goes to {fact['tag']} ({step}){bake}")


def _what_then(data: Data) -> str:
    return "it continues if it is healthy" if data["onTimeout"] == "continue" else "it is rolled back"


def _pause_ordered(fact: FactRecord, data: Data) -> Described:
    return Described(
        text=f"{fact['who']} ordered a pause before step {data['before'] + 1}",
        mood=Mood.WARY,
        more=(f"“{data['why']}”", f"Without an answer within {span(data['timeout'])}, {_what_then(data)}."),
    )


def _paused(_: FactRecord, data: Data) -> Described:
    until = f"Until {utc_clock(moment(data['expiresAt']))}; without an answer {_what_then(data)}."
    why = (f"“{data['why']}” ({data['by']})",) if data["by"] else ()
    return Described(
        text=f"paused at {data['percent']} % of traffic, before {data['nextPercent']} %: waits for "
        f"{listed(data['approvers'])}",
        mood=Mood.WARY,
        more=(*why, until),
    )


def _resumed(fact: FactRecord, data: Data) -> Described:
    via = (_identified(data["identity"]),) if data.get("identity") else ()
    reason = (f"“{data['reason']}”",) if data.get("reason") else ()
    did = "took back the pause before it began" if data.get("withdrawn") else "continued the paused rollout"
    return Described(text=f"{fact['who']} {did}", mood=Mood.GOOD, more=reason + via)


def _pause_rejected(fact: FactRecord, data: Data) -> Described:
    via = (_identified(data["identity"]),) if data.get("identity") else ()
    return Described(
        text=f"{fact['who']} ended the pause with a rollback",
        mood=Mood.BAD,
        more=(f"“{data['reason']}”", *via),
    )


def _pause_expired(_: FactRecord, data: Data) -> Described:
    goes_on = data["then"] == "continue"
    return Described(
        text="nobody answered the pause in time: " + ("the rollout continues" if goes_on else "rolling back"),
        mood=Mood.WARY if goes_on else Mood.BAD,
    )


def _checked(_: FactRecord, data: Data) -> Described:
    healthy = data["verdict"] == "healthy"
    what = (
        "the restored baseline is" if data["subject"] == "baseline" else f"health after step {data['step']}:"
    )
    then = ""
    if data.get("goesOn"):
        what, then = (
            f"health in step {data['step']}:",
            "; the bake is extended" if data["until"] else "; checked again",
        )
    unhealthy = [check for check in data["checks"] if check["verdict"] != "healthy"]
    return Described(
        text=f"{what} {data['verdict']}{then}",
        mood=Mood.GOOD if healthy else Mood.WARY if then else Mood.BAD,
        more=tuple(f"{check['check']}: {check['verdict']}, {check['why']}" for check in unhealthy),
    )


_TRIGGERS = {
    "health": "it was not healthy",
    "deadline": "it ran out of time",
    "failure": "a step failed",
    "alarm": "an alarm fired",
    "approver": "an approver ended the pause with a rollback",
    "operator": "an operator requested it",
    "security": "its code is unsafe",
    "supervisor": "its execution died",
    "abort": "its execution was stopped",
}


def _triggered(_: FactRecord, data: Data) -> Described:
    because = _TRIGGERS.get(data["trigger"], data["trigger"])
    share = f" at {data['percent']} % of traffic" if data.get("percent") else ""
    return Described(text=f"rolling back: {because}{share}", mood=Mood.BAD, more=(str(data["why"]),))


def _restored(_: FactRecord, data: Data) -> Described:
    shares = [
        f"{each['percent']} % of traffic for {span(each['seconds'])}"
        for each in data.get("served") or ()
        if each["percent"]
    ]
    had = (f"The release received {listed(shares)}.",) if shares else ()
    took = f", {span(data['seconds'])} after the request" if data.get("seconds") else ""
    return Described(text=f"baseline restored{took}: {data['what']}", more=had)


def _alarm(_: FactRecord, data: Data) -> Described:
    does = "so it is rolled back" if data["did"] == "rollback" else f"no traffic moves: {data['because']}"
    return Described(
        text=f"the alarm {data['alarm']} fired, {does}",
        mood=Mood.BAD if data["did"] == "rollback" else Mood.WARY,
        more=(str(data["why"]),),
    )


def _joined(fact: FactRecord, data: Data) -> Described:
    because = _TRIGGERS.get(data["trigger"], data["trigger"])
    return Described(
        text=f"another rollback was requested ({because}) while one is running",
        more=(f"{fact['who']}: {data['why']}",),
    )


def _barred(fact: FactRecord, data: Data) -> Described:
    return Described(
        text=f"barred by {fact['who']}: it can never be deployed again",
        mood=Mood.BAD,
        more=(str(data["why"]),),
    )


def _adopted(fact: FactRecord, data: Data) -> Described:
    which = (
        f"{data['tag']} ({data['serves']})" if data["tag"] else f"{data['serves']}, which no release deployed"
    )
    before = f"{data['before']} ({data['beforeServed']})" if data["before"] else "nothing"
    return Described(
        text=(
            f"{fact['who']} adopted the version that serves traffic as the baseline: {which}; according to the "
            f"ledger it was {before}"
        ),
        mood=Mood.WARY,
        more=(str(data["why"]),),
    )


def _retained(fact: FactRecord, data: Data) -> Described:
    revisions = data["revisions"]
    return Described(
        text=f"{fact['who']} deletes {count(len(revisions), 'old revision')} under the retention policy",
        mood=Mood.PLAIN,
        more=(listed(revisions),),
    )


def _promoted(_: FactRecord, data: Data) -> Described:
    soaked = span((moment(data["due"]) - moment(data["since"])).total_seconds())
    return Described(
        text=f"promoted to {data['to']}, after it stayed current and healthy for {soaked}",
        mood=Mood.GOOD,
        more=(str(data["address"]),),
    )


def _not_promoted(fact: FactRecord, data: Data) -> Described:
    hand = f"tagship promote {fact['application']} {fact['tag']} --from {fact['stage']} --to {data['to']}"
    return Described(
        text=f"not promoted to {data['to']}: {str(data['why']).rstrip('.')}",
        mood=Mood.WARY,
        more=(f"Tagship will not try again. To promote it anyway: {hand}",),
    )


def _why(mood: Mood, text: str) -> Callable[[FactRecord, Data], Described]:
    return lambda _, data: Described(
        text=text, mood=mood, more=(str(data["why"]),) if data.get("why") else ()
    )


def _ended(mood: Mood, text: str) -> Callable[[FactRecord, Data], Described]:
    """The reason is part of the ending's own text."""
    return lambda _, __: Described(text=text, mood=mood)


_WORDS: Mapping[str, Callable[[FactRecord, Data], Described]] = {
    FactKind.RELEASE_READ: _read,
    FactKind.RELEASE_RETRIED: _retried,
    FactKind.TAG_ALREADY_USED: _used,
    FactKind.LOCK_ACQUIRED: lambda _, data: Described(
        text=f"acquired the lock (fencing number {data['fence']})"
    ),
    FactKind.GATES_PASSED: _gates_passed,
    FactKind.GATES_FAILED: _gates_failed,
    FactKind.DEPLOYMENT_PLANNED: _planned,
    FactKind.APPROVAL_REQUESTED: _asked,
    FactKind.APPROVERS_REMINDED: _reminded,
    FactKind.APPROVAL_ERROR: _not_reached,
    FactKind.APPROVER_SIGNED_IN: lambda fact, data: Described(
        text=f"{fact['who']} signed in to view it", more=(f"as {data['identity']}",)
    ),
    FactKind.APPROVAL_GIVEN: _decided,
    FactKind.APPROVAL_GRANTED: _decided,
    FactKind.APPROVAL_REJECTED: _decided,
    FactKind.APPROVAL_EXPIRED: _why(Mood.WARY, "the approval request expired"),
    FactKind.APPROVAL_SUPERSEDED: _why(Mood.WARY, "the request is closed: a newer release arrived"),
    FactKind.PLAN_OUTDATED: _why(
        Mood.WARY, "its plan is outdated: it is planned again, and approvers are asked again"
    ),
    FactKind.APPROVAL_CLOSED: _why(Mood.PLAIN, "the request is closed"),
    FactKind.LINK_REFUSED: _link_refused,
    FactKind.FROZEN: _frozen,
    FactKind.UNFROZEN: _unfrozen,
    FactKind.DEPLOYMENT_DELAYED: _delayed,
    FactKind.CALENDAR_OVERRIDDEN: _overridden,
    FactKind.DEPLOYMENT_STARTED: _started,
    FactKind.CANDIDATE_PROVEN: _proven,
    FactKind.TRAFFIC_SHIFTED: _shifted,
    FactKind.PAUSE_ORDERED: _pause_ordered,
    FactKind.ROLLOUT_PAUSED: _paused,
    FactKind.ROLLOUT_RESUMED: _resumed,
    FactKind.ROLLOUT_REJECTED: _pause_rejected,
    FactKind.PAUSE_EXPIRED: _pause_expired,
    FactKind.HEALTH_CHECKED: _checked,
    FactKind.ALARM_FIRED: _alarm,
    FactKind.ROLLBACK_TRIGGERED: _triggered,
    FactKind.ROLLBACK_JOINED: _joined,
    FactKind.RELEASE_BARRED: _barred,
    FactKind.BASELINE_RESTORED: _restored,
    FactKind.BASELINE_ADOPTED: _adopted,
    FactKind.RETENTION_APPLIED: _retained,
    FactKind.JOB_WAITING: _job_waiting,
    FactKind.RELEASE_PROMOTED: _promoted,
    FactKind.PROMOTION_REFUSED: _not_promoted,
    FactKind.CONFIGURATION_PROPOSED: lambda _, data: Described(
        text=f"a configuration change, proposed by {data['author']}", mood=Mood.WARY
    ),
    FactKind.CONFIGURATION_APPROVED: lambda _, data: Described(
        text=f"the configuration was approved by {listed(data['approvers'])}",
        mood=Mood.GOOD,
        more=(f"SHA-256 of the document: {data['digest']}",),
    ),
    FactKind.GROUP_CHANGED: lambda fact, data: Described(
        text=f"the group now has the members {listed(data['members'])}; changed by {fact['who']}",
        mood=Mood.WARY,
    ),
    FactKind.RELEASE_SUCCEEDED: _ended(Mood.GOOD, "SUCCEEDED"),
    FactKind.RELEASE_INVALID: _ended(Mood.BAD, "INVALID: nothing was changed"),
    FactKind.RELEASE_REJECTED: _ended(Mood.BAD, "REJECTED: nothing was changed"),
    FactKind.RELEASE_EXPIRED: _ended(Mood.BAD, "EXPIRED: nothing was changed"),
    FactKind.RELEASE_SUPERSEDED: _ended(Mood.WARY, "SUPERSEDED: nothing was changed"),
    FactKind.RELEASE_ROLLED_BACK: _ended(
        Mood.BAD, "ROLLED_BACK: the previous release serves all traffic again"
    ),
    FactKind.ROLLBACK_FAILED: _ended(Mood.BAD, "ROLLBACK_FAILED: a person must act"),
    FactKind.RELEASE_ABORTED: _ended(Mood.BAD, "ABORTED"),
}

MOODS = {
    Status.RUNNING: Mood.PLAIN,
    Status.SUCCEEDED: Mood.GOOD,
    Status.SUPERSEDED: Mood.WARY,
}
"""How an ending looks; every other one is bad."""


def mood_of(status: str) -> Mood:
    """How a release's status looks."""
    return MOODS.get(Status(status), Mood.BAD) if status in set(Status) else Mood.PLAIN


# ---- how it ended --------------------------------------------------------------------------------------------------


def ending(record: Known) -> list[str]:
    """What an ending means and what to do now; empty while the release is running."""
    if is_proposal(str(record.get("tag"))):
        return _of_a_proposal(record)
    means = _ENDINGS.get(str(record["status"]))
    return [sentence for sentence in means(record) if sentence] if means else []


def _of_a_proposal(record: Known) -> list[str]:
    if record["status"] == Status.RUNNING:
        return []
    if record["status"] == Status.SUCCEEDED:
        return [f"{record['tag']} is the current configuration; the next release uses it."]
    again = (
        ()
        if record["status"] == Status.SUPERSEDED
        else ("If you still want the change, propose it again with `tagship apply`.",)
    )
    return ["Nothing was changed: the current configuration is unchanged.", *again]


def _before(record: Known) -> str:
    plan = record.get("plan")
    return (plan["from"] if plan else None) or "the previous version"


def _invalid(record: Known) -> list[str]:
    stopped = _stopped(record.get("gates") or ())
    remedies = [str(result["remedy"]) for result in stopped if result.get("remedy")]
    advised = [*remedies, str(record.get("why"))]
    again = f"To retry it: {_retry(record)}" if any("etry" in advice for advice in advised) else ""
    return [
        "Nothing was changed: the same version serves traffic as before.",
        *dict.fromkeys(remedies),
        again,
    ]


def _retry(record: Known) -> str:
    return f"tagship retry {record['application']} {record['tag']} --stage {record['stage']} --reason '…'"


def _nothing(*advice: str) -> Callable[[Known], list[str]]:
    return lambda _: ["Nothing was changed: the same version serves traffic as before.", *advice]


def _rolled_back(record: Known) -> list[str]:
    if UNCHECKED in str(record.get("why")):
        serves = (
            f"{_before(record)} serves all traffic again. No check could tell whether it is healthy: check it "
            "yourself."
        )
    else:
        serves = f"{_before(record)} serves all traffic again and is healthy. No action is needed now."
    return [serves, "Fix the problem, then publish a new tag."]


def _aborted(record: Known) -> list[str]:
    if record.get("moved"):
        return [f"Traffic had moved, so {_before(record)} was restored and serves all traffic again."]
    return ["Nothing was changed: the same version serves traffic as before."]


def _rollback_failed(record: Known) -> list[str]:
    document, plan, manifest = configured(record), record.get("plan"), record.get("manifest")
    where, wanted = "the target", _before(record)
    if document.get("target"):
        from tagship.targets import kind_of, spec_of  # for this ending alone

        spec = spec_of(document["target"])
        kind = kind_of(spec)
        where = kind.where(spec)
        baseline = plan["locations"][0]["baseline"] if plan and plan["locations"] else None
        wanted = kind.describe(spec, baseline) or wanted
    if manifest and (why := manifest.get("rollbackUnsafe")):
        about = f"{record['application']} --stage {record['stage']} --reason '…'"
        adopt, back = f"tagship adopt {about} (this releases the lock).", f"tagship rollback {about}."
        return [
            f"A PERSON MUST DECIDE NOW. Users may get {record['tag']}, {_before(record)}, or a share of each.",
            (
                "It was not rolled back automatically, because its rollback is marked unsafe: "
                f"{str(why).rstrip('.')}."
            ),
            f"1. Check which version serves traffic: {where}. Before this release it was {wanted}.",
            (
                "2. To fix forward: send all traffic to one version by hand, adopt it, then release the fix: "
                f"{adopt}"
            ),
            f"3. To restore {wanted} anyway: {back}",
            f"Until then, the lock is kept and no other release of {record['application']} can start.",
        ]
    return [
        f"A PERSON MUST ACT NOW. Users may get {record['tag']}, {_before(record)}, or a share of each.",
        f"1. Check which version serves traffic: {where}. Before this release it was {wanted}.",
        f"2. If users see errors, send all traffic to {wanted} by hand.",
        "3. Find out why the rollback failed: the reason is above; the execution shows every step.",
        (
            f"4. Then: tagship rollback {record['application']} --stage {record['stage']} --reason '…' (this "
            "releases the lock)."
        ),
        f"Until then, the lock is kept and no other release of {record['application']} can start.",
    ]


_ENDINGS: Mapping[str, Callable[[Known], list[str]]] = {
    Status.INVALID: _invalid,
    Status.REJECTED: _nothing("Talk to the person who rejected it. Retry it, or publish a new tag."),
    Status.EXPIRED: _nothing("If you still want it, make sure that the approvers know, then retry it."),
    Status.SUPERSEDED: _nothing("If a newer release replaced it, no action is needed."),
    Status.ROLLED_BACK: _rolled_back,
    Status.ROLLBACK_FAILED: _rollback_failed,
    Status.ABORTED: _aborted,
}
