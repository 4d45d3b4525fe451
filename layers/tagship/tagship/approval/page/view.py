"""Presents an approval record for the page and the mail: in words, in the order in which an approver needs it.

Nothing here is markup, and nothing here decides: the templates only lay it out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, cast

from tagship.approval import quorum
from tagship.model.people import person
from tagship.model.proposal import is_proposal
from tagship.model.records import Decision, GateRecord, RequestRecord, StepData
from tagship.model.release import COMPARE, NOTES_CHARACTERS
from tagship.model.rules import named, places
from tagship.text.plain import fold, line, shorten, visible
from tagship.text.times import clock, moment, span, until
from tagship.text.words import count

_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")
_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_WATCH = re.compile(r"https://[A-Za-z0-9.-]+(?::\d+)?/[\w#?&=%/:.,~+@!$*;-]*", re.ASCII)
_NOT_CONFIGURED = "not-configured"
_VERDICTS = {"passed": "passed", "failed": "failed", "error": "could not be checked"}
_SETTLED = ("approved", "rejected", "expired", "superseded", "outdated")
_LINES_AT_ONCE = 12

View = dict[str, Any]


def standing(record: RequestRecord, now: datetime) -> str:
    """`open`, or the outcome: `approved`, `rejected`, `expired`, `superseded`, `outdated`, `closed`.

    Enough decisions, or the end of the time, settle it even before the ledger's status changes.
    """
    status = str(record["status"]).lower()
    if status != "open":
        return status if status in _SETTLED else "closed"
    outcome = quorum.outcome(record)
    if outcome != "open":
        return outcome
    return "expired" if now >= moment(record["expiresAt"]) else "open"


def view(record: RequestRecord, *, approver: str, now: datetime) -> View:
    """Everything that one approver is shown of a record."""
    plan = cast("dict[str, Any]", record).get("plan") or {}  # a page is shown whatever is missing
    notes = visible(str(record.get("notes") or "")).strip()
    head, rest = fold(notes[:NOTES_CHARACTERS], lines=_LINES_AT_ONCE, chars=900)
    warnings = [_readable(warning) for warning in record.get("warnings") or ()]
    planned = [_readable(change) for change in plan.get("summary") or ()]
    changes = [change for change in planned if change not in warnings]
    return {
        "application": line(record["application"], 60),
        "stage": line(record["stage"], 40),
        "tag": line(record["tag"], 80),
        "is_configuration": is_proposal(str(record["tag"])),
        "from_tag": line(record.get("fromTag") or "", 80),
        "attempt": int(record.get("attempt") or 1),
        "before": _before(record),
        **_commits(record),
        "author": line(record.get("author") or "not said"),
        "digest": line(record["digest"]),
        **_commit(record),
        "ref": line(record.get("ref") or "", 200),
        "notes": head,
        "notes_rest": rest,
        "notes_cut": max(0, len(notes) - NOTES_CHARACTERS),
        "warnings": warnings,
        **_gates(record.get("gates") or ()),
        "changes": changes[:_LINES_AT_ONCE],
        "changes_rest": changes[_LINES_AT_ONCE:],
        "changes_above": _above(len(planned) - len(changes)),
        "nothing_to_change": bool(plan.get("nothingToChange")),
        **_traffic(plan.get("steps") or ()),
        **_votes(record, approver, now),
        "reason_to_approve": record.get("reasonToApprove") is True,
        "asked": _time(record.get("askedAt"), now),
        "ends": _time(record.get("expiresAt"), now),
        "pause": _pause(record, now),
        "closed_by": line(record.get("closedBy") or "", 300),
        "watch_url": _watch_url(record),
    }


def _pause(record: RequestRecord, now: datetime) -> View | None:
    """What is asked during a rollout, and how the candidate is; None for a request for approval."""
    pause = record.get("pause")
    if pause is None:
        return None
    looked = record.get("looked")
    checks = [
        {
            "name": line(check["check"], 80),
            "verdict": line(check["verdict"], 20),
            "why": line(check["why"], 300),
        }
        for check in (looked["checks"] if looked else ())
    ]
    goes_on = pause["onTimeout"] == "continue"
    return {
        "step": line(pause["step"], 20),
        "percent": int(pause["percent"]),
        "next_percent": int(pause["nextPercent"]),
        "by": line(pause["by"], 300),
        "why": line(pause["why"], 500),
        "then": "it continues if it is healthy" if goes_on else "it is rolled back",
        "continued": goes_on,
        "checks": checks,
        "well": bool(checks) and all(check["verdict"] == "healthy" for check in checks),
        "looked": _time(looked["at"], now) if looked else None,
    }


def _readable(text: object) -> str:
    """A line of the plan as a sentence begins, with the beginning of each digest: people can't compare 64 characters."""
    short = _DIGEST.sub(r"\1…", line(text, 500))
    return f"T{short[1:]}" if short.startswith("the ") else short


def _above(number: int) -> str:
    """The address of the changes since the previous tag; empty if there is none."""
    if number == 1:
        return "The most dangerous change is at the top, under “Read this first”."
    return f"The {number} most dangerous changes are at the top, under “Read this first”." if number else ""


def _commit(record: RequestRecord) -> View:
    """A link only for a valid commit of a repository; anything else is text."""
    commit, repository = str(record.get("commit") or ""), str(record.get("repository") or "")
    known = _COMMIT.fullmatch(commit) and _REPOSITORY.fullmatch(repository)
    return {
        "commit": commit[:10] if _COMMIT.fullmatch(commit) else line(commit, 60),
        "repository": line(repository),
        "commit_url": f"https://github.com/{repository}/commit/{commit}" if known else "",
    }


def _before(record: RequestRecord) -> str:
    """How the previous attempt ended, and why."""
    before = record.get("before")
    if not before:
        return ""
    why = f": {before['why']}" if before["why"] else "."
    return line(f"Attempt {before['attempt']} ended {before['status']}{why}", 500)


def _commits(record: RequestRecord) -> View:
    """The commits since the tag before, as the publisher named them: text, and one link that shows where it leads."""
    changes = record.get("changes")
    if not changes:
        return {"commits": [], "commits_more": 0, "commits_since": "", "commits_count": "", "compare_url": ""}
    commits = [
        {
            "id": line(each["commit"], 10),
            "subject": line(each["subject"], 200),
            "author": line(each["author"], 100),
        }
        for each in changes["commits"]
    ]
    more = int(changes["count"]) - len(commits)
    return {
        "commits": commits,
        "commits_more": max(0, more),
        "commits_since": line(changes["since"], 80),
        "commits_count": count(int(changes["count"]), "commit"),
        "compare_url": changes["compare"] if re.fullmatch(COMPARE, changes["compare"]) else "",
    }


def _watch_url(record: RequestRecord) -> str:
    url = str(record.get("watchUrl") or "")
    return url if _WATCH.fullmatch(url) else ""


def _gates(gates: Iterable[GateRecord]) -> View:
    """Gates that are not configured are listed separately, so that nobody thinks that they passed."""
    all_of_them = list(gates)
    shown = [_gate(gate) for gate in all_of_them if gate.get("verdict") != _NOT_CONFIGURED]
    unused = [
        line(gate.get("gate") or "unnamed", 60)
        for gate in all_of_them
        if gate.get("verdict") == _NOT_CONFIGURED
    ]
    return {
        "gates": shown,
        "gates_not_configured": unused,
        "all_passed": bool(shown) and all(gate["verdict"] == "passed" for gate in shown),
    }


def _gate(gate: GateRecord) -> View:
    verdict = str(gate.get("verdict"))
    return {
        "name": line(gate.get("gate") or "unnamed", 60),
        "verdict": verdict if verdict in _VERDICTS else "error",
        "words": _VERDICTS.get(verdict, _VERDICTS["error"]),
        "why": line(gate.get("why") or "", 500),
        "remedy": line(gate.get("remedy") or "", 500) if verdict != "passed" else "",
    }


def _traffic(steps: Iterable[StepData]) -> View:
    moves = [(int(step["percent"]), int(step.get("bake") or 0), _then_pauses(step)) for step in steps]
    waiting = sum(bake for _, bake, _ in moves)
    return {
        "steps": [
            {"percent": percent, "words": _step(percent, bake, only=len(moves) == 1) + pause}
            for percent, bake, pause in moves
        ],
        "at_once": len(moves) == 1,
        "waiting": span(waiting) if waiting else "",
    }


def _then_pauses(step: StepData) -> str:
    pause = step.get("pause")
    if pause is None:
        return ""
    then = "continues if healthy" if pause["onTimeout"] == "continue" else "is rolled back"
    return f", then waits for a person, at most {span(pause['timeout'])}; without an answer it {then}"


def _step(percent: int, bake: int, *, only: bool) -> str:
    share = f"{percent} % of the traffic" if percent < 100 else "In one step" if only else "All traffic"
    return f"{share}, monitored for {span(bake)}" if bake else share


def _votes(record: RequestRecord, approver: str, now: datetime) -> View:
    own = quorum.decision_of(record, approver)
    required, given = quorum.needed(record), quorum.approvals(record)
    return {
        "you": line(approver),
        "own": own["decision"] if own else "",
        "own_at": _time(own.get("at"), now) if own else None,
        "votes": [
            _vote(vote, approver, now, words=_IN_A_PAUSE if "pause" in record else _WORDS)
            for vote in quorum.votes(record)
        ],
        "missing": [line(voter) for voter in quorum.missing(record)],
        "approvals": given,
        "required": required,
        "lacking": max(0, required - given),
        "then_lacking": max(0, required - given - (person(approver) in map(person, quorum.awaited(record)))),
        "rules": _rules(record),
        "left": [line(who) for who in record.get("left") or ()],
    }


def _rules(record: RequestRecord) -> list[View]:
    """Each rule, if there are several: who meets it, and how many approvals of whom it still needs."""
    found = quorum.met(record)
    if len(found) < 2:
        return []
    waiting = {person(who) for who in quorum.awaited(record)}
    return [
        {
            "name": line(named(rule), 500),
            "met": [line(who) for who in those],
            "required": places(rule),
            "lacking": places(rule) - len(those),
            "missing": [line(who) for who in rule["approvers"] if person(who) in waiting],
            "why": [line(warning, 500) for warning in rule.get("why") or ()],
        }
        for rule, those in found
    ]


_WORDS = {"approve": "approved", "reject": "rejected"}
_IN_A_PAUSE = {"approve": "continued it", "reject": "rolled it back"}


def _vote(vote: Decision, approver: str, now: datetime, *, words: Mapping[str, str]) -> View:
    return {
        "who": line(vote["approver"]),
        "decision": vote["decision"],
        "words": words.get(vote["decision"], words["reject"]),
        "reason": shorten(visible(str(vote.get("reason") or "")).strip(), 2000),
        "at": _time(vote.get("at"), now),
        "yours": person(vote["approver"]) == person(approver),
    }


def _time(iso: object, now: datetime) -> View | None:
    if not iso:
        return None
    time = moment(str(iso))
    return {"iso": time.isoformat(), "clock": clock(time), "until": until(time, now)}
