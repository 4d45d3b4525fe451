"""A custom target: one name in Route 53 that points at hosts, in shares.

The name `record` has one weighted CNAME for each host that gets traffic. A TXT record, `_tagship.<record>`, says under
which fencing number they were written. Route 53 deletes a record only if it is exactly as described, and takes a batch as a
whole or not at all. So each change deletes what was seen and creates what is wanted, and never overwrites what somebody else
has changed in between.

A release brings a JSON file, `{"host": "storefront-2.example.com"}`. The host has a record of its own in the same zone.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import boto3

TTL_SECONDS = 60
PROPAGATION_SECONDS = 60
"""Route 53 "propagates your changes … within 60 seconds" (ChangeResourceRecordSets)."""


class Refused(Exception):
    """An error of the protocol, by its name."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True)
class State:
    """The record as it stands."""

    shares: dict[str, int] = field(default_factory=dict)
    """Percent by host."""
    fence: int = 0
    written_at: int = 0
    """When, in seconds since 1970; 0 for what others wrote."""
    sets: list[dict[str, Any]] = field(default_factory=list)
    """The record sets themselves."""

    @property
    def etag(self) -> str:
        return hashlib.sha256(json.dumps(self.sets, sort_keys=True).encode()).hexdigest() if self.sets else ""


class Record:
    """One name of one zone."""

    def __init__(self, settings: dict[str, str], *, dns: Any, s3: Any, now: Any = time.time) -> None:
        self.zone, self.record = settings["zone"], settings["record"].rstrip(".")
        self.name = f"{self.record}."
        self.dns, self.s3, self.now = dns, s3, now

    # ---- before anybody is asked

    def check(self, current: dict[str, Any] | None = None) -> dict[str, Any]:
        standing = self._whole(self._read())
        if current and standing != current["id"]:
            raise Refused(
                "TargetMoved", f"{self.record} points at {standing or 'nothing'}, not at {current['id']}."
            )
        return {"said": f"{self.record} can be changed."}

    def look_into(self, artifacts: dict[str, Any]) -> dict[str, Any]:
        try:
            host = self._host(artifacts)
        except Refused as error:
            return {"said": "The release can't be read.", "problems": [str(error)]}
        return {"said": f"The release names {host}.", "problems": []}

    def plan(self, artifacts: dict[str, Any], **_: Any) -> dict[str, Any]:
        host, state = self._host(artifacts), self._read()
        standing = self._whole(state)
        baseline = {**revision(standing), "etag": state.etag} if standing else None
        if host == standing:
            said = f"Nothing to change: {self.record} points at {host} already."
            return {"baseline": baseline, "candidate": baseline, "nothingToChange": True, "summary": [said]}
        self._exists(host, "TargetInvalid")
        summary = [f"{self.record}: {standing or 'nothing'} → {host}"]
        return {"baseline": baseline, "candidate": {**revision(host), "id": ""}, "summary": summary}

    # ---- the candidate, and traffic

    def prepare(self, artifacts: dict[str, Any], candidate: dict[str, Any]) -> dict[str, Any]:
        host = self._host(artifacts)
        if revision(host)["digest"] != candidate["digest"]:
            raise Refused("PlanChanged", f"The release names {host}, which is not what was approved.")
        self._exists(host, "TargetInvalid")
        return {"candidate": revision(host)}

    def verify_unchanged(self, **move: Any) -> dict[str, Any]:
        self._as_expected(self._read(), **move)
        if host := move["candidate"]["id"]:
            self._exists(host, "TargetInvalid")
        return {}

    def set_weight(self, **move: Any) -> dict[str, Any]:
        state = self._read()
        if not self._as_expected(state, **move):
            self._exists(move["candidate"]["id"], "TargetInvalid")
            state = self._write(state, shares_of(**move), move["fence"])
        return {"etag": state.etag}

    def verify_weight(self, **move: Any) -> dict[str, Any]:
        state = self._read()
        if state.shares != shares_of(**move):
            raise Refused("TargetMoved", f"{self.record} has other shares: {state.shares}.")
        return {"wait": max(0, state.written_at + PROPAGATION_SECONDS - int(self.now()))}

    def _as_expected(self, state: State, *, etag: str = "", fence: int, **move: Any) -> bool:
        """Whether an earlier try has written it already."""
        self._refuse_older(state, fence)
        if (state.shares, state.fence) == (shares_of(**move), fence):
            return True
        if state.etag != etag:
            raise Refused("TargetMoved", f"{self.record} was changed by somebody else: {state.shares}.")
        return False

    # ---- the baseline

    def exists(self, revision: dict[str, Any]) -> dict[str, Any]:
        self._exists(revision["id"], "BaselineMissing")
        return {}

    def serving(self) -> dict[str, Any]:
        standing = self._whole(self._read())
        return {"revision": revision(standing) if standing else None}

    def restore(
        self,
        *,
        fence: int,
        baseline: dict[str, Any] | None = None,
        candidate: dict[str, Any] | None = None,
        replaced: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        state = self._read()
        self._refuse_older(state, fence)
        if foreign := state.shares.keys() - {each["id"] for each in (baseline, candidate, replaced) if each}:
            raise Refused(
                "TargetMoved", f"{self.record} points at {sorted(foreign)}, which no release deployed."
            )
        wanted = {baseline["id"]: 100} if baseline else {}
        if baseline:
            self._exists(baseline["id"], "BaselineMissing")
        if (state.sets or wanted) and (state.shares, state.fence) != (wanted, fence):
            try:
                self._write(state, wanted, fence)
            except Refused as error:  # written by another between our look and our write: asked again
                raise Refused("NotStable", str(error)) from error
        return {"said": f"{self.record} points at {baseline['id'] if baseline else 'nothing'} again."}

    # ---- Route 53

    def _read(self) -> State:
        found = [
            *(each for each in self._sets(self.name) if each["Type"] == "CNAME"),
            *(each for each in self._sets(f"_tagship.{self.name}") if each["Type"] == "TXT"),
        ]
        shares = {
            each["ResourceRecords"][0]["Value"].rstrip("."): int(each.get("Weight", 100))
            for each in found
            if each["Type"] == "CNAME"
        }
        noted = [each["ResourceRecords"][0]["Value"] for each in found if each["Type"] == "TXT"]
        note = dict(part.split("=") for part in noted[0].strip('"').split()) if noted else {}
        return State(
            shares={host: share for host, share in shares.items() if share},
            fence=int(note.get("fence", 0)),
            written_at=int(note.get("at", 0)),
            sets=found,
        )

    def _sets(self, name: str) -> list[dict[str, Any]]:
        answer = self.dns.list_resource_record_sets(
            HostedZoneId=self.zone, StartRecordName=name, MaxItems="10"
        )
        return [each for each in answer["ResourceRecordSets"] if each["Name"] == name]

    def _write(self, state: State, shares: dict[str, int], fence: int) -> State:
        """One batch: everything that was seen goes, everything that is wanted comes, or nothing happens."""
        note = f'"fence={fence} at={int(self.now())}"'
        wanted = [
            *(cname(self.name, host, share) for host, share in shares.items()),
            *([txt(f"_tagship.{self.name}", note)] if shares else []),
        ]
        changes = [
            *({"Action": "DELETE", "ResourceRecordSet": each} for each in state.sets),
            *({"Action": "CREATE", "ResourceRecordSet": each} for each in wanted),
        ]
        try:
            self.dns.change_resource_record_sets(HostedZoneId=self.zone, ChangeBatch={"Changes": changes})
        except self.dns.exceptions.InvalidChangeBatch as error:
            found = self._read()  # perhaps our own write, whose answer was lost
            if (found.shares, found.fence) == (shares, fence):
                return found
            raise Refused(
                "TargetMoved", f"{self.record} was changed by somebody else: {found.shares}."
            ) from error
        return self._read()

    def _exists(self, host: str, missing: str) -> None:
        if not self._sets(f"{host.rstrip('.')}."):
            raise Refused(missing, f"The zone has no record {host}.")

    def _whole(self, state: State) -> str:
        """The one host that has all of the traffic; empty where there is none."""
        if len(state.shares) > 1:
            raise Refused("TargetInvalid", f"{self.record} is split: {state.shares}.")
        return next(iter(state.shares), "")

    def _refuse_older(self, state: State, fence: int) -> None:
        if state.fence > fence:
            raise Refused(
                "LockLost", f"{self.record} was changed under the newer fencing number {state.fence}."
            )

    def _host(self, artifacts: dict[str, Any]) -> str:
        pinned = artifacts["release"]["object"]
        body = self.s3.get_object(Bucket=pinned["bucket"], Key=pinned["key"], VersionId=pinned["versionId"])[
            "Body"
        ]
        try:
            return str(json.loads(body.read(4096))["host"]).rstrip(".")
        except (ValueError, KeyError, TypeError) as error:
            raise Refused("TargetInvalid", 'The release is no JSON like {"host": "…"}.') from error


def revision(host: str) -> dict[str, Any]:
    """As the ledger records it."""
    return {"id": host, "digest": hashlib.sha256(host.encode()).hexdigest()}


def shares_of(
    candidate: dict[str, Any], percent: int, baseline: dict[str, Any] | None = None, **_: Any
) -> dict[str, int]:
    """Percent by host, as a move wants it."""
    if baseline is None:
        return {candidate["id"]: 100}
    shares = {baseline["id"]: 100 - percent, candidate["id"]: percent}
    return {host: share for host, share in shares.items() if share}


def cname(name: str, host: str, share: int) -> dict[str, Any]:
    """One host's share."""
    value = [{"Value": host}]
    return {
        "Name": name,
        "Type": "CNAME",
        "SetIdentifier": host,
        "Weight": share,
        "TTL": TTL_SECONDS,
        "ResourceRecords": value,
    }


def txt(name: str, value: str) -> dict[str, Any]:
    """The note beside the record."""
    return {"Name": name, "Type": "TXT", "TTL": TTL_SECONDS, "ResourceRecords": [{"Value": value}]}


ACTS = (
    "check",
    "look_into",
    "plan",
    "prepare",
    "verify_unchanged",
    "set_weight",
    "verify_weight",
    "exists",
    "serving",
    "restore",
)
ABOUT = ("source", "schemaVersion", "idempotencyKey", "settings", "act", "application", "tag")
"""What every request has; the rest are the act's own arguments."""


def answered(event: dict[str, Any], record: Record) -> dict[str, Any]:
    """The act's result, or an error by its name."""
    if event.get("schemaVersion") != 1 or event.get("act") not in ACTS:
        return {
            "error": {
                "name": "TargetInvalid",
                "message": f"This function knows {', '.join(ACTS)}, in version 1.",
            }
        }
    arguments = {name: value for name, value in event.items() if name not in ABOUT}
    try:
        answer: dict[str, Any] = getattr(record, event["act"])(**arguments)
    except Refused as error:
        return {"error": {"name": error.name, "message": str(error)}}
    return answer


@cache
def clients() -> dict[str, Any]:
    """Made once for each instance of the function: to make them takes longer than an answer."""
    return {"dns": boto3.client("route53"), "s3": boto3.client("s3", region_name=os.environ["AWS_REGION"])}


def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """What Lambda calls."""
    return answered(event, Record(event["settings"], **clients()))
