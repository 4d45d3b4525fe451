"""The request that approvers get: what it says, who is asked, and their links."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tagship.approval.link import GRACE, LinkSigner, approval_url
from tagship.approval.mail import Mail, approval_mail, reminder_mail
from tagship.approval.quorum import check_reachable, missing, voters
from tagship.errors import NoChannelReached
from tagship.ledger import approvals
from tagship.ledger.table import Fact, Ledger, timestamp
from tagship.settings import Settings

_SENT = "sent"


def request_of(record: Mapping[str, Any], *, now: datetime, longest: int) -> dict[str, Any]:
    """The request for a planned release; the same release's attempt always gives the same id.

    Raises QuorumUnreachable when there can't be enough approvals.
    """
    manifest, plan = record["manifest"], record["plan"]
    policy = record["configuration"]["document"]["approval"]
    wanted = {
        "id": _id(record),
        "application": record["application"],
        "stage": record["stage"],
        "tag": record["tag"],
        "fromTag": plan["from"],
        "attempt": record["attempt"],
        "digest": plan["digest"],
        "execution": record["execution"],
        "author": manifest["author"],
        "commit": manifest["commit"],
        "repository": manifest["repository"],
        "notes": manifest["notes"],
        "createdAt": manifest["createdAt"],
        "gates": record["gates"],
        "plan": {name: plan[name] for name in ("summary", "steps", "nothingToChange")},
        "warnings": _warnings(plan),
        "approvers": policy["approvers"],
        "required": policy["required"],
        "authorMayApprove": policy["authorMayApprove"],
        "expiresAt": timestamp(now + timedelta(seconds=min(policy["expires"], longest))),
        "watchUrl": None,
    }
    check_reachable(wanted)
    return wanted


def send_links(
    ledger: Ledger, request: Mapping[str, Any], *, ses: Any, kms: Any, settings: Settings, now: datetime
) -> None:
    """One personal link to each who counts and was not reached before.

    Raises NoChannelReached when nobody was: then nobody could decide.
    """
    sender = _Sender(ses=ses, kms=kms, settings=settings, request=request, now=now)
    results = dict(request["sent"])
    for approver in voters(request):
        if results.get(approver) != _SENT:
            results[approver] = sender.send(approver, approval_mail)
    approvals.sent(ledger, request["id"], results)
    failed = {approver: result for approver, result in results.items() if result != _SENT}
    if failed:
        _record_failure(ledger, request, failed)
    if len(failed) == len(results):
        told = "; ".join(f"{approver}: {result}" for approver, result in failed.items())
        raise NoChannelReached(
            f"{request['application']} {request['tag']}: no approver could be told, so nobody can decide ({told}). "
            "Nothing was changed. Mend the mail sender, then publish a new tag."
        )


def remind(
    ledger: Ledger, request: Mapping[str, Any], *, ses: Any, kms: Any, settings: Settings, now: datetime
) -> None:
    """A reminder to each who has not answered; one that can't be sent is a fact and stops nothing."""
    sender = _Sender(ses=ses, kms=kms, settings=settings, request=request, now=now)
    waiting = missing(request)
    failed = {
        approver: result for approver in waiting if (result := sender.send(approver, reminder_mail)) != _SENT
    }
    if failed:
        _record_failure(ledger, request, failed)
    ledger.record(_fact(request, "Approvers Reminded", key=timestamp(now)[:16], data={"approvers": waiting}))


def seconds_left(request: Mapping[str, Any], now: datetime) -> int:
    """Until the request expires, the begun second counted whole; 0 or less when it has."""
    return math.ceil((datetime.fromisoformat(request["expiresAt"]) - now).total_seconds())


class _Sender:
    """Signs and sends one approver's link."""

    def __init__(
        self, *, ses: Any, kms: Any, settings: Settings, request: Mapping[str, Any], now: datetime
    ) -> None:
        self._ses = ses
        self._settings = settings
        self._request = request
        self._now = now
        self._signer = LinkSigner(kms, settings.link_key, stage=settings.stage)
        self._until = datetime.fromisoformat(request["expiresAt"]) + GRACE

    def send(self, approver: str, write: Any) -> str:
        """`sent`, or AWS's reason why not: another approver may still be reached."""
        request = self._request
        token = self._signer.token(request["id"], approver, request["digest"], self._until)
        link = approval_url(self._settings.approval_base_url, request["id"], token)
        mail: Mail = write(request, approver=approver, link=link, now=self._now)
        try:
            self._ses.send_email(
                Source=self._settings.sender_address,
                Destination={"ToAddresses": [approver]},
                Message={
                    "Subject": {"Data": mail.subject, "Charset": "UTF-8"},
                    "Body": {
                        "Text": {"Data": mail.text, "Charset": "UTF-8"},
                        "Html": {"Data": mail.html, "Charset": "UTF-8"},
                    },
                },
            )
        except ClientError as error:
            return str(error.response.get("Error", {}).get("Code", "refused"))
        except BotoCoreError as error:
            return type(error).__name__
        return _SENT


def _id(record: Mapping[str, Any]) -> str:
    """Says nothing of the release, and can't be guessed from it: the execution's name is random."""
    source = f"{record['execution']} {record['application']} {record['tag']} {record['attempt']}"
    return base64.b32encode(hashlib.sha256(source.encode()).digest()).decode().rstrip("=").lower()[:32]


def _warnings(plan: Mapping[str, Any]) -> list[str]:
    if plan["baseline"] is None:
        return [
            "This is the first release, and nothing serves now: a rollback would leave nothing serving again."
        ]
    if plan["from"] is None:
        return [
            "This is the first release by Tagship: a rollback restores what was put there by other means."
        ]
    return []


def _record_failure(ledger: Ledger, request: Mapping[str, Any], failed: Mapping[str, str]) -> None:
    key = hashlib.sha256(repr(sorted(failed.items())).encode()).hexdigest()[:12]
    ledger.record(_fact(request, "Approval Error", key=key, data={"channel": "mail", "failed": dict(failed)}))


def _fact(request: Mapping[str, Any], name: str, *, key: str, data: Mapping[str, Any]) -> Fact:
    return Fact(
        application=request["application"],
        tag=request["tag"],
        attempt=request["attempt"],
        name=name,
        key=key,
        execution=request["execution"],
        data={"approval": request["id"], **data},
    )
