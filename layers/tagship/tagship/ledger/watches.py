"""The watch after a release has succeeded: for each of its alarms, which release, and until when."""

from __future__ import annotations

from collections.abc import Iterable

from tagship.ledger.table import Change, Item, Ledger
from tagship.model.records import ReleaseKey


def opened(
    ledger: Ledger, record: ReleaseKey, *, alarms: Iterable[tuple[str, str, str]], since: str, until: str
) -> list[Change]:
    """For the transaction that writes the ending; a later successful release takes the alarms over.

    An alarm is `(account, region, name)`; these find it without knowing the application.
    """
    return [
        ledger.put(
            {
                "pk": _pk(*alarm),
                "sk": f"{_APPLICATION}{record['application']}",
                "kind": "watch",
                "application": record["application"],
                "tag": record["tag"],
                "attempt": record["attempt"],
                "since": since,
                "until": until,
            }
        )
        for alarm in dict.fromkeys(alarms)
    ]


def of_alarm(ledger: Ledger, account: str, region: str, name: str) -> list[Item]:
    """The watches of this alarm, one for each application, including expired ones."""
    return list(ledger.query(_pk(account, region, name), _APPLICATION))


_APPLICATION = "APPLICATION#"


def _pk(account: str, region: str, name: str) -> str:
    return f"ALARM#{account}#{region}#{name}"
