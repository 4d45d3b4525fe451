"""The order of an application's releases, of which several can wait for people or for their window.

A waiting release holds no lock. A newer release ends the older ones that were waiting when it arrived. The release that
is approved first goes first, which outdates the plans of the others: they are planned again on the new baseline, and
their approvers are asked again. No release goes back behind a newer one.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from tagship.approval.request.delivery import deliver
from tagship.ledger import approvals, lock, releases
from tagship.ledger.table import Ledger, of_planning
from tagship.model.errors import LockLost, Overtaken, TokenDead
from tagship.model.facts import FactKind
from tagship.model.records import ReleaseRecord
from tagship.model.release import Status, Tag

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

_CHANGES = {
    FactKind.DEPLOYMENT_STARTED: "was deployed first",
    FactKind.RELEASE_SUCCEEDED: "was deployed first",
    FactKind.ROLLBACK_TRIGGERED: "was rolled back",
    FactKind.BASELINE_ADOPTED: "was adopted as the baseline",
}
"""Events of another release that change a plan's baseline, or the place where the candidate is made."""


def supersede_older(
    ledger: Ledger, stepfunctions: SFNClient, record: ReleaseRecord, *, execution: str
) -> None:
    """Ends the older releases that were waiting when this one was read. A later fix stays: it can go first."""
    title = f"{record['application']} {record['tag']}"
    for older in releases.waiting(ledger, record["application"], but=record["tag"]):
        if older["readAt"] <= record["readAt"] and _newer(record["tag"], older["tag"]):
            _end(ledger, stepfunctions, older, why=f"Superseded by {title}.", execution=execution)


def plan_others_again(ledger: Ledger, stepfunctions: SFNClient, application: str) -> list[str]:
    """Closes the requests of those that wait on an outdated plan, and wakes their executions. Returns their tags.

    Does nothing while another release holds the lock: they would only wait for it. A release that waits for a window, or
    was approved just now, finds out at its next check.
    """
    if lock.holder(ledger, application):
        return []
    found = [each for each in releases.waiting(ledger, application) if each["phase"] == releases.ASKED]
    return [record["tag"] for record in found if _plan_again(ledger, stepfunctions, record)]


def _plan_again(ledger: Ledger, stepfunctions: SFNClient, record: ReleaseRecord) -> bool:
    request = approvals.get(ledger, record["approval"])
    if request is None or request["status"] != approvals.OPEN:
        return False
    try:
        if not is_outdated(ledger, record):
            return False
    except Overtaken as error:
        approvals.close(ledger, request["id"], status="SUPERSEDED", why=str(error))
    except LockLost:  # people have just decided, or it has ended
        return False
    with suppress(TokenDead):  # its next call delivers it
        deliver(ledger, stepfunctions, request["id"])
    return True


def is_outdated(ledger: Ledger, record: ReleaseRecord, *, execution: str = "") -> bool:
    """Whether another release went first since people were asked; then the next planning has begun, and no decision
    counts.

    Raises Overtaken if planning again would not help, LockLost if the release has ended meanwhile.
    """
    first = _went_first(ledger, record)
    if not first:
        return False
    if why := _overtaken(ledger, record):
        raise Overtaken(why)
    title = f"{record['application']} {record['tag']}"
    why = f"{first}, so {title} is planned again and needs approval again. Earlier decisions do not count."
    if request := approvals.get(ledger, record["approval"]):
        approvals.outdate(ledger, request, why=why, execution=execution)
    return True


def _went_first(ledger: Ledger, record: ReleaseRecord) -> str:
    """Who changed the baseline of this release's plan, in words; empty if nobody did.

    Before people were asked it held the lock, so only later facts count. A step that has just taken the lock knows them if
    its own fact follows the ones that it has verified.
    """
    key = (record["application"], record["tag"], record["attempt"])
    request = ledger.fact(*key, FactKind.APPROVAL_REQUESTED, of_planning(record["plan"].get("planning", 1)))
    if request is None:
        return ""
    own = (record["tag"], record["attempt"])
    for fact in reversed(ledger.facts_since(record["application"], int(request["seq"]) + 1)):
        kind = FactKind.of(fact["name"])
        if kind in _CHANGES and (fact["tag"], fact["attempt"]) != own:
            return f"{fact['tag']} {_CHANGES[kind]}"
    return ""


def _overtaken(ledger: Ledger, record: ReleaseRecord) -> str:
    title, current = (
        f"{record['application']} {record['tag']}",
        releases.current(ledger, record["application"]),
    )
    if current and _newer(current["tag"], record["tag"]):
        return (
            f"{title} ended: the newer {current['tag']} was deployed first, and this release would undo it. "
            "Nothing was changed."
        )
    if record["plan"].get("planning", 1) >= approvals.MOST_PLANNINGS:
        return (
            f"{title} ended: it was planned {approvals.MOST_PLANNINGS} times, and each time another release was deployed "
            "first. Nothing was changed. Retry it when no other release is in progress."
        )
    return ""


def _end(ledger: Ledger, stepfunctions: SFNClient, older: ReleaseRecord, *, why: str, execution: str) -> None:
    if older["phase"] == releases.ASKED:
        approvals.close(ledger, older["approval"], status="SUPERSEDED", why=why, execution=execution)
        with suppress(TokenDead):  # its next call delivers it
            deliver(ledger, stepfunctions, older["approval"])
        return
    # Its next check finds its ending.
    releases.end(
        ledger,
        application=older["application"],
        tag=older["tag"],
        attempt=older["attempt"],
        status=Status.SUPERSEDED,
        why=why,
        execution=older["execution"],
        only_in=releases.DELAYED,
    )


def _newer(one: str, other: str) -> bool:
    return Tag.parse(one).newer_than(Tag.parse(other))
