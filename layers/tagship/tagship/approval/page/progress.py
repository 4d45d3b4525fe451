"""The progress of a release after its approval, for an approver who follows it: read from its record in the ledger."""

from __future__ import annotations

from collections.abc import Mapping

from tagship.model.proposal import is_proposal
from tagship.model.records import ReleaseRecord, RequestRecord
from tagship.model.release import UNCHECKED
from tagship.text.plain import line
from tagship.text.times import clock, moment

FOLLOW_SECONDS = 10
"""How often the page refreshes for someone who follows it."""

_ENDED = {
    "SUCCEEDED": ("yes", "{tag} serves all traffic and is healthy."),
    "ROLLED_BACK": ("no", "{tag} was rolled back: {before} serves all traffic again and is healthy."),
    "ROLLBACK_FAILED": ("care", "The rollback failed. Operators have been alerted."),
    "ABORTED": ("no", "The release was stopped; {before} still serves all traffic."),
}
_IN_FORCE = ("yes", "{tag} is the current configuration. The next release uses it.")
_STAYS = ("no", "The proposal ended {status}. The current configuration is unchanged.")
_UNCHANGED = ("no", "The release ended {status}. Nothing was changed.")


def progress(record: RequestRecord, release: ReleaseRecord) -> dict[str, object]:
    """`{sign, words, why, underway}`: one sentence about its state, and whether to refresh."""
    values = {
        "tag": line(record["tag"], 80),
        "before": line(record.get("fromTag") or "the previous version", 80),
        "status": line(release["status"], 40),
    }
    if release["status"] == "RUNNING":
        return {"sign": "wait", "words": _underway(release, values), "why": "", "underway": True}
    sign, words = _ENDED.get(release["status"], _UNCHANGED)
    if is_proposal(str(record["tag"])):
        sign, words = _IN_FORCE if release["status"] == "SUCCEEDED" else _STAYS
    if UNCHECKED in str(release.get("why")):
        words = words.replace(" and is healthy", "; its health could not be checked")
    why = "" if release["status"] == "SUCCEEDED" else line(release.get("why") or "", 500)
    return {"sign": sign, "words": words.format_map(values), "why": why, "underway": False}


def _underway(release: ReleaseRecord, values: Mapping[str, str]) -> str:
    pause = release.get("pause")
    if pause and pause["state"] == "open":
        return (
            f"{release.get('percent', 0)} % of the traffic goes to {values['tag']}. The rollout is paused and waits for a "
            f"person until {clock(moment(pause['until']))}."
        )
    if release.get("percent") == 100:
        return f"All traffic goes to {values['tag']}. The release is done when its health checks pass."
    if release.get("percent"):
        return (
            f"{release['percent']} % of the traffic goes to {values['tag']}. Its health checks decide what "
            "happens next."
        )
    if release.get("phase") == "deployment":
        return "Everything matches the approval. The first traffic moves now."
    return "Tagship checks once more that nothing has changed since the approval."
