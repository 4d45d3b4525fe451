"""What is watched after a release has succeeded: for each of its alarms, which release, and until when."""

from __future__ import annotations

from collections.abc import Iterable

from tagship.ledger.table import Change, Item, Ledger
from tagship.model.records import ReleaseKey


def opened(
    ledger: Ledger, record: ReleaseKey, *, alarms: Iterable[tuple[str, str, str]], since: str, until: str
) -> list[Change]:
    """For the transaction that writes the ending; a release that succeeds later takes the alarms over.

    An alarm is `(account, region, name)`; it is found by these again, without looking at any application.
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
    """The watches that this alarm belongs to, one for an application; those that are over too."""
    return list(ledger.query(_pk(account, region, name), _APPLICATION))


_APPLICATION = "APPLICATION#"


def _pk(account: str, region: str, name: str) -> str:
    return f"ALARM#{account}#{region}#{name}"
