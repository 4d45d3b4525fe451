"""The request of a paused rollout: opened once for each pause, then read again at each look at health, with reminders."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any, cast

from tagship.approval.quorum import policy_of
from tagship.approval.request.request import pause_request_of, remind, reminders_due, send_links
from tagship.ledger import approvals, groups, pauses
from tagship.ledger.table import Ledger
from tagship.model.errors import NoChannelReached
from tagship.model.people import person
from tagship.model.records import PauseRecord, ReleaseRecord, RequestRecord
from tagship.settings import Settings


def asked_people(
    ledger: Ledger, record: ReleaseRecord, *, shift: int, random: Callable[[int], bytes], execution: str
) -> RequestRecord | None:
    """The request of the pause before the step with this index; opens it if nobody was asked yet.

    None if the pause no longer exists: an operator has just withdrawn it.

    Raises LedgerBusy if the pause changes at this moment: a second call finds it as it is then.
    """
    known = record.get("pause")
    if known and known["before"] == shift and (request_id := known.get("request")):
        found = approvals.get(ledger, request_id)
        assert found is not None
        return found
    pause = _new(record, shift=shift)
    if pause is None:
        return None
    wanted = pause_request_of(record, pause, people=_people(ledger, record), now=ledger.now(), random=random)
    began = pauses.asked_at(ledger, seconds=pause["timeout"])
    opened = cast("PauseRecord", {**pause, "state": "open", "request": wanted["id"], **began})
    return approvals.ask_in_a_pause(ledger, record, wanted, opened, execution=execution)


def notify(
    ledger: Ledger,
    request: RequestRecord,
    *,
    client: Callable[[str], Any],
    settings: Settings,
    now: datetime,
) -> None:
    """Sends the links once, and then a reminder whenever one is due and has not been counted.

    If no channel reaches anyone, that is recorded: operators can still resume the rollout, and the pause has an end.
    """
    if not request["sent"]:
        with suppress(NoChannelReached):
            send_links(ledger, request, client=client, settings=settings, now=now)
    elif reminders_due(request, now) > request.get("reminders", 0):
        remind(ledger, request, client=client, settings=settings, now=now)


def _new(record: ReleaseRecord, *, shift: int) -> PauseRecord | None:
    """The ordered pause, or the one that the strategy wants here."""
    known = record.get("pause")
    if known and (known["before"], known["state"]) == (shift, "ordered"):
        return known
    terms = record["plan"]["steps"][shift - 1].get("pause")
    if terms is None:
        return None
    return {
        "number": known["number"] + 1 if known else 1,
        "before": shift,
        "state": "open",
        "by": "",
        "why": "",
        "timeout": terms["timeout"],
        "onTimeout": terms["onTimeout"],
    }


def _people(ledger: Ledger, record: ReleaseRecord) -> list[str]:
    """The release's approvers, without those who have left a group since it was read."""
    found = groups.as_they_are(ledger, policy_of(record))
    left = {person(who) for who in found.get("left") or ()}
    return [who for who in found["approvers"] if person(who) not in left]
