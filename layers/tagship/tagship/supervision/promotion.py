"""Promotes releases that stayed current and healthy: publishes them in the next stage, whose gates and approvers
decide.

Promotions go to a later stage only (`documents.py`). The next stage's ledger starts its own release.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from botocore.exceptions import ClientError

from tagship.aws.calls import code_of, message_of
from tagship.ledger import freezes, lock, promotions, releases
from tagship.ledger.lock import Holder
from tagship.ledger.table import Ledger
from tagship.model.application import Application, Promote
from tagship.model.errors import CredentialsRefused, RetryableError
from tagship.model.facts import FactKind
from tagship.model.records import FactRecord, PromotionRecord, ReleaseRecord, document_of
from tagship.model.release import Status
from tagship.model.schedule import Freeze
from tagship.supervision.handover import Handover, NotPromoted
from tagship.text.plain import line
from tagship.text.times import clock, moment

PATIENCE = timedelta(days=7)
"""The longest delay after the due time. Afterwards a promotion is left to a person."""


class Next(StrEnum):
    """The next action for a promotion."""

    WAIT = "wait"
    REFUSE = "refuse"
    PROMOTE = "promote"


def judge(
    promotion: PromotionRecord,
    record: ReleaseRecord,
    *,
    since: Iterable[FactRecord],
    frozen: Sequence[Freeze],
    holder: Holder | None,
    now: datetime,
) -> tuple[Next, str]:
    """The next action, and why. Only a release that was current and healthy all the time is promoted.

    `since` are the application's facts since the release succeeded, newest first.
    """
    due = datetime.fromisoformat(promotion["due"])
    if record["attempt"] != promotion["attempt"] or record["status"] != Status.SUCCEEDED:
        return Next.REFUSE, f"it is now {record['status']}"
    if bar := record.get("barred"):
        return Next.REFUSE, f"it was barred by {bar['by']}: {bar['why'].rstrip('.')}"
    for fact in since:
        if why := _against(promotion, fact):
            return Next.REFUSE, f"{why} at {clock(moment(fact['at']))}"
    if now < due:
        return Next.WAIT, f"due at {clock(due)}"
    waits = ""
    if frozen:
        waits = f"deployments are frozen until {clock(frozen[0].ends)}: {frozen[0].reason}"
    elif holder is not None:
        waits = f"{holder.who}, has the lock" if holder.upkeep else f"{holder.tag} is in progress"
    if now > due + PATIENCE:
        return Next.REFUSE, f"it could not be promoted within {PATIENCE.days} days{waits and f': {waits}'}"
    return (Next.WAIT, waits) if waits else (Next.PROMOTE, "")


def judged(ledger: Ledger, promotion: PromotionRecord, *, now: datetime) -> tuple[Next, str]:
    """`judge` with the ledger's current data. Raises ApplicationUnknown."""
    application = promotion["application"]
    holder = lock.holder(ledger, application)
    return judge(
        promotion,
        releases.get(ledger, application, promotion["tag"]),
        since=promotions.since_success(ledger, promotion),
        frozen=[it for it in freezes.standing(ledger, application) if it.covers(now)],
        holder=holder if holder and holder.alive(now) else None,
        now=now,
    )


def _against(promotion: PromotionRecord, fact: FactRecord) -> str:
    """Why a fact prevents the promotion; empty if it does not."""
    match FactKind.of(fact["name"]):
        case FactKind.RELEASE_SUCCEEDED:
            return f"{fact['tag']} replaced it"
        case FactKind.BASELINE_ADOPTED:
            return "another version was adopted"
        case FactKind.ALARM_FIRED:
            return f"the alarm {line(fact['data']['alarm'])} fired"
        case FactKind.ROLLBACK_TRIGGERED if fact["tag"] == promotion["tag"]:
            return "its rollback began"
    return ""


Meet = Callable[[Promote, ReleaseRecord], Handover]
"""Creates the handover, in the role of the next stage. Raises CredentialsRefused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotions:
    """One pass over every open promotion."""

    ledger: Ledger
    now: datetime
    meet: Meet

    def each(self) -> Iterator[str]:
        """The actions, in words. One that can't be processed now does not block the others.

        Raises, after all others were processed, an unexpected error, which triggers the function's alarm.
        """
        unforeseen = []
        for promotion in promotions.open_ones(self.ledger):
            title = f"{promotion.get('application')} {promotion.get('tag')}"
            try:
                did = self._one(promotion)
            except RetryableError as error:
                did = f"will retry later: {error}"
            except Exception as error:  # noqa: BLE001 (an item that somebody else wrote; raised below)
                error.add_note(title)
                unforeseen.append(error)
                continue
            if did:
                yield f"{title}: {did}"
        if unforeseen:
            raise ExceptionGroup("Promotions that could not be checked", unforeseen)

    def _one(self, promotion: PromotionRecord) -> str:
        record = releases.get(self.ledger, promotion["application"], promotion["tag"])
        step, why = judged(self.ledger, promotion, now=self.now)
        if step is Next.WAIT:
            return ""
        promote = _configured(record)
        if promote is None or promote.to != promotion["to"]:
            return self._refuse(promotion, "its configuration no longer names that stage")
        try:
            handover = self.meet(promote, record)
            if "sending" in promotion and handover.arrived():
                return self._promoted(promotion, handover)  # whatever has become of it since
            if step is Next.REFUSE:
                return self._refuse(promotion, why)
            return self._promote(promotion, handover)
        except NotPromoted as refused:
            return self._refuse(promotion, str(refused))
        except CredentialsRefused as refused:
            return self._refuse(promotion, why or str(refused))
        except ClientError as error:
            return self._refuse(promotion, why or f"AWS refused ({code_of(error)}): {message_of(error)}")

    def _promote(self, promotion: PromotionRecord, handover: Handover) -> str:
        if not handover.arrived():
            handover.prepare(now=self.now)
            # Large files take a while, so it is checked again before the object that starts the release.
            step, why = judged(self.ledger, promotion, now=self.now)
            if step is Next.REFUSE:
                return self._refuse(promotion, why)
            if step is Next.WAIT or not promotions.sending(self.ledger, promotion):
                return ""
            handover.publish()
        return self._promoted(promotion, handover)

    def _promoted(self, promotion: PromotionRecord, handover: Handover) -> str:
        data = {"address": handover.address, "digest": handover.record["digest"]}
        fact = promotions.fact_of(promotion, FactKind.RELEASE_PROMOTED, data=data)
        promotions.end(self.ledger, promotion, fact)
        return f"promoted to {promotion['to']}"

    def _refuse(self, promotion: PromotionRecord, why: str) -> str:
        reason = f"{line(why, 1000).rstrip('.')}."
        fact = promotions.fact_of(promotion, FactKind.PROMOTION_REFUSED, data={"why": reason})
        promotions.end(self.ledger, promotion, fact)
        return f"not promoted to {promotion['to']}: {reason}"


def _configured(record: ReleaseRecord) -> Promote | None:
    """From the configuration that the release pinned."""
    return Application.from_dict(document_of(record)).promote
