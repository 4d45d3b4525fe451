"""The table: append-only facts by application, and the records that change together with the fact that explains them.

| pk | sk | what |
|---|---|---|
| `APPLICATION#<name>` | `FACT#<tag>#<attempt>#<name>#<key>` | a fact: once by its key, in order by `seq` (index `order`) |
| `APPLICATION#<name>` | `HEAD` | the last fact's number and digest |
| `APPLICATION#<name>` | `RELEASE#<tag>` | a release's current state |
| `APPLICATION#<name>` | `PROMOTION#<tag>` | to which stage a release is promoted, and when |
| `APPLICATION#<name>` | `LOCK` | who may change the target |
| `APPLICATION#<name>` | `FREEZE#<id>` | a freeze; those of all applications are under `APPLICATION#*` |
| `APPLICATION#<name>` | `CURRENT` | what production runs |
| `APPLICATION#<name>` | `CONFIGURATION` | the configuration in force, in a stage that guards it |
| `APPLICATION#<name>` | `JOBS#<tag>`, `ANSWER#<job>` | GitHub jobs that asked for a tag, and what each was answered |
| `APPLICATION#<name>` | `NOTICE#<channel>#<fact>`, `THREAD#<channel>#<tag>#<attempt>` | who was notified, in which thread |
| `APPROVAL#<id>` | `APPROVAL` | a request and its decisions |
| `APPROVAL#<id>` | `LOGIN#<session>` | who signed in to view it, if the stage requires it |
| `APPROVAL#<id>` | `FORMS#<approver>#<address>` | how many forms came in a minute |
| `REFUSALS#<id>` | `REFUSED#<reason>` | how many of a request's links and presses were refused |
| `VISITS#<address>` | `REFUSED` | how many bad links came in a minute |
| `ALARM#<account>#<region>#<name>` | `APPLICATION#<name>` | which release an alarm watches, until when |

The sparse index `open` has the keys of what may still need somebody: an item is in it while it has the attribute `open`.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from tagship.aws.calls import calling, code_of
from tagship.model.errors import AwsUnavailable, LedgerBusy
from tagship.model.facts import FactKind
from tagship.model.records import FactRecord

Item = dict[str, Any]
Change = dict[str, Any]

HEAD = "HEAD"
"""The sort key of an application's last fact: its number and digest, which the next one follows."""

_TRIES = 12
_THROTTLED_TRIES = 3
"""botocore also retries each of these: all attempts together end before the function that writes."""
_CONFLICT = "TransactionConflictException"
_THROTTLED = ("ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded")
_PASSING = (
    "None",
    "ConditionalCheckFailed",
    "TransactionConflict",
    "ThrottlingError",
    "ProvisionedThroughputExceeded",
)
"""Reasons for a cancelled transaction that allow another attempt."""
_MANY = 100
"""The limit of BatchGetItem and TransactGetItems."""
_DIGITS, _SMALLEST, _LARGEST = 38, 1e-130, 9e125
"""The number of digits of a number in DynamoDB."""
_serializer = TypeSerializer()
_deserializer = TypeDeserializer()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A fact: something that happened to a release, once."""

    application: str
    tag: str
    attempt: int
    name: FactKind
    """In words, as on the event bus: `Approval Requested`."""
    key: str = ""
    """Distinguishes facts of the same name and attempt: a step's index, an approver."""
    who: str = "tagship"
    execution: str = ""
    data: Mapping[str, object] = field(default_factory=dict)


class Refused(Exception):
    """A change's condition failed; the transaction wrote nothing."""

    def __init__(self, index: int) -> None:
        self.index = index
        super().__init__(f"the condition of change {index} did not hold")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Reads and writes the table, without knowing what the records mean."""

    client: Any
    table: str
    stage: str
    now: Callable[[], datetime]
    pause: Callable[[float], None] = time.sleep
    _heads: dict[str, Item] = field(default_factory=dict, init=False, compare=False, repr=False)
    """The last fact that this object itself wrote or read, by partition: the next one is usually written after it."""
    _ahead: dict[tuple[str, str], Item | None] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )
    _facts: dict[tuple[str, str], FactRecord] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )
    """Facts that were read: they never change."""
    _latest: dict[str, list[FactRecord]] = field(default_factory=dict, init=False, compare=False, repr=False)
    """The last facts, by application, as `read_facts_since` read them and with those that this object wrote right after."""

    # ---- reading ---------------------------------------------------------------------------------------------------

    def read_ahead(self, *keys: tuple[str, str]) -> None:
        """Reads these items as they are at one moment, with one request; the next `get` of each returns that, once.

        What changes meanwhile is refused by the condition of the write that depends on it, and then read again. DynamoDB
        refuses this request while someone writes one of the items; then each `get` reads for itself.
        """
        wanted = list(dict.fromkeys(keys))
        requests = [
            {"Get": {"TableName": self.table, "Key": _packed({"pk": pk, "sk": sk})}} for pk, sk in wanted
        ]
        for begin in range(0, len(wanted), _MANY):
            try:
                with calling("Reading the ledger"):
                    answer = self.client.transact_get_items(TransactItems=requests[begin : begin + _MANY])
            except ClientError as error:
                if code_of(error) != "TransactionCanceledException":
                    raise
                return
            for key, found in zip(wanted[begin:], answer["Responses"], strict=False):
                self._ahead[key] = unpacked(found["Item"]) if "Item" in found else None

    def get(self, pk: str, sk: str) -> Item | None:
        """One item, with every write that was acknowledged."""
        if (pk, sk) in self._ahead:
            return self._ahead.pop((pk, sk))
        with calling("Reading the ledger"):
            answer = self.client.get_item(
                TableName=self.table, Key=_packed({"pk": pk, "sk": sk}), ConsistentRead=True
            )
        return unpacked(answer["Item"]) if "Item" in answer else None

    def peek(self, pk: str, sk: str) -> Item | None:
        """As `get`; the next `get` returns the same, once, so that a write depends on what was seen here."""
        self._ahead[pk, sk] = found = self.get(pk, sk)
        return found

    def query(
        self, pk: str, prefix: str, *, newest_first: bool = False, limit: int | None = None
    ) -> Iterator[Item]:
        """Items of one partition by their sort key, page after page."""
        request: dict[str, object] = {
            "TableName": self.table,
            "KeyConditionExpression": "pk = :pk AND begins_with(sk, :prefix)",
            "ExpressionAttributeValues": _packed({":pk": pk, ":prefix": prefix}),
            "ScanIndexForward": not newest_first,
            "ConsistentRead": True,
        }
        yield from self._pages(request, limit)

    def facts_in_order(
        self,
        application: str,
        *,
        after: int = 0,
        newest_first: bool = False,
        limit: int | None = None,
        only: Sequence[str] = (),
    ) -> Iterator[FactRecord]:
        """An application's facts by their number; `only` selects names.

        DynamoDB reads the others too, but does not return them. A caller who needs only a few can stop early.
        """
        request: dict[str, Any] = {
            "TableName": self.table,
            "IndexName": "order",
            "KeyConditionExpression": "pk = :pk AND seq > :after",
            "ExpressionAttributeValues": _packed({":pk": application_key(application), ":after": after}),
            "ScanIndexForward": not newest_first,
            "ConsistentRead": True,
        }
        if only:
            values = {f":name{number}": name for number, name in enumerate(only)}
            request["FilterExpression"] = f"#name IN ({', '.join(values)})"
            request["ExpressionAttributeNames"] = {"#name": "name"}
            request["ExpressionAttributeValues"] |= _packed(values)
        yield from cast("Iterator[FactRecord]", self._pages(request, limit))

    def get_many(self, keys: Sequence[tuple[str, str]], *attributes: str) -> Iterator[Item]:
        """Some attributes of many items (`manifest.author`: a nested one), in no order; missing ones are left out."""
        names = {f"#{part}": part for attribute in attributes for part in attribute.split(".")}
        options = {
            "ConsistentRead": True,
            "ProjectionExpression": ", ".join("#" + each.replace(".", ".#") for each in attributes),
            "ExpressionAttributeNames": names,
        }
        for begin in range(0, len(keys), _MANY):
            left = [_packed({"pk": pk, "sk": sk}) for pk, sk in keys[begin : begin + _MANY]]
            for _ in range(_TRIES):
                with calling("Reading the ledger"):
                    answer = self.client.batch_get_item(RequestItems={self.table: {"Keys": left, **options}})
                for item in answer["Responses"].get(self.table, []):
                    yield unpacked(item)
                left = answer.get("UnprocessedKeys", {}).get(self.table, {}).get("Keys", [])
                if not left:
                    break
                self.pause(0.1)
            else:
                raise AwsUnavailable(
                    "Reading the ledger: the table returned only part of the requested items."
                )

    def open_of(self, kind: str) -> Iterator[Item]:
        """The keys of open items (`release`, `lock`, `approval`, `promotion`). The index is eventually consistent."""
        request: dict[str, Any] = {
            "TableName": self.table,
            "IndexName": "open",
            "KeyConditionExpression": "#open = :kind",
            "ExpressionAttributeNames": {"#open": "open"},
            "ExpressionAttributeValues": _packed({":kind": kind}),
        }
        yield from self._pages(request, None)

    def facts_of(self, application: str, tag: str) -> list[FactRecord]:
        """One release's facts, in the order in which they happened."""
        found = cast("Iterator[FactRecord]", self.query(application_key(application), f"FACT#{tag}#"))
        return sorted(found, key=lambda fact: fact["seq"])

    def fact(
        self, application: str, tag: str, attempt: int, name: FactKind, key: str = ""
    ) -> FactRecord | None:
        """One fact, if it has happened. A fact never changes, so it is read once."""
        at = application_key(application), fact_key(tag, attempt, name, key)
        if at not in self._facts and (found := self.get(*at)):
            self._facts[at] = cast("FactRecord", found)
        return self._facts.get(at)

    def facts_with(
        self, application: str, tag: str, attempt: int, name: FactKind, keys: Sequence[str]
    ) -> list[FactRecord | None]:
        """The facts of one name with these keys, read with one request; None for one that has not happened."""
        pk = application_key(application)
        self.read_ahead(*((pk, fact_key(tag, attempt, name, key)) for key in keys))
        return [self.fact(application, tag, attempt, name, key) for key in keys]

    def read_facts_since(self, application: str, seq: int) -> list[FactRecord]:
        """An application's facts from this number on, in order, as they are now."""
        self._latest[application] = found = list(self.facts_in_order(application, after=seq - 1))
        return list(found)

    def facts_since(self, application: str, seq: int) -> list[FactRecord]:
        """The same. What `read_facts_since` has read is not read again, unless somebody else's fact came between it and one
        that this object wrote since.
        """
        found = self._latest.get(application, [])
        if found and found[0]["seq"] <= seq:
            return [fact for fact in found if fact["seq"] >= seq]
        return list(self.facts_in_order(application, after=seq - 1))

    def head(self, application: str) -> Item | None:
        """The number and the digest of an application's last fact; the next fact that this object writes follows it."""
        pk = application_key(application)
        if found := self.get(pk, HEAD):
            self._heads[pk] = found
        return found

    def _pages(self, request: dict[str, object], limit: int | None) -> Iterator[Item]:
        left = limit
        while True:
            if left is not None:
                request["Limit"] = left
            with calling("Reading the ledger"):
                page = self.client.query(**request)
            for item in page["Items"]:
                yield unpacked(item)
            if left is not None:
                left -= len(page["Items"])
            if "LastEvaluatedKey" not in page or left == 0:
                return
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    # ---- writing ---------------------------------------------------------------------------------------------------

    def record(self, fact: Fact, *changes: Change, then: Fact | None = None) -> bool:
        """Writes a fact and its changes, both or neither; False, with nothing written, if it was recorded before.

        Each fact contains the digest of the previous one in its application, so that a missing or altered one is
        detected. `then` is a fact of the same application that follows it in the same transaction.

        Raises Refused if a change's condition fails (`then`, recorded before, counts as the change after the last one),
        LedgerBusy if others keep writing.
        """
        pk = application_key(fact.application)
        for attempt in range(_TRIES):
            # A head that is no longer the last one is refused by the transaction's condition, and read again.
            head = self._heads.pop(pk, None) or self.get(pk, HEAD) or {"last": 0, "digest": ""}
            items = [self._item(fact, head)]
            if then:
                items.append(self._item(then, {"last": items[0]["seq"], "digest": items[0]["digest"]}))
            first, *second = (self.put(item, only_if="attribute_not_exists(pk)") for item in items)
            try:
                self._in_turn(
                    f"Recording {fact.name} for {fact.application} {fact.tag}",
                    self.client.transact_write_items,
                    TransactItems=[first, self._head(pk, head, items[-1]), *changes, *second],
                )
                self._wrote(fact.application, items)
                return True
            except ClientError as error:
                if _stands_already(error):
                    return False
            # Another fact of this application was written in between: read again.
            self._wait_a_little(attempt)
        raise LedgerBusy(
            f"{fact.application} {fact.tag}: {fact.name} could not be recorded in {_TRIES} attempts, because "
            "others wrote to the same application's ledger. Nothing was changed."
        )

    def _wrote(self, application: str, items: Sequence[Item]) -> None:
        """Remembers the facts that were just written."""
        last = items[-1]
        self._heads[application_key(application)] = {"last": last["seq"], "digest": last["digest"]}
        known = self._latest.pop(application, [])
        if known and known[-1]["seq"] + 1 == items[0]["seq"]:
            self._latest[application] = [*known, *(cast("FactRecord", as_read(item)) for item in items)]

    def _in_turn(self, what: str, write: Callable[..., Any], **request: Any) -> Any:
        """A write that met a running transaction or was throttled has written nothing, so it is retried, with increasing
        pauses.

        botocore's standard mode does not retry a conflict. Writes that may have succeeded are not repeated here.

        Raises LedgerBusy if others keep writing, AwsUnavailable if it stays throttled.
        """
        for attempt in range(_TRIES):
            try:
                with calling(what):
                    return write(**request)
            except AwsUnavailable as error:
                cause = error.__cause__
                code = code_of(cause) if isinstance(cause, ClientError) else ""
                if code != _CONFLICT and (code not in _THROTTLED or attempt + 1 >= _THROTTLED_TRIES):
                    raise
            self._wait_a_little(attempt)
        raise LedgerBusy(f"{what}: others kept writing to it, in {_TRIES} attempts. Nothing was changed.")

    def _wait_a_little(self, attempt: int) -> None:
        self.pause(random.uniform(0, 0.01 * 2 ** min(attempt, 5)))  # noqa: S311 (jitter, no secret)

    def put(
        self, item: Mapping[str, object], *, only_if: str = "", values: Mapping[str, object] | None = None
    ) -> Change:
        """A complete item, for `record`; attribute names in the condition can be reserved words."""
        change: Change = {"TableName": self.table, "Item": _packed(item)}
        if only_if:
            change["ConditionExpression"] = only_if
        if names := {f"#{name}": name for name in re.findall(r"#(\w+)", only_if)}:
            change["ExpressionAttributeNames"] = names
        if values:
            change["ExpressionAttributeValues"] = _packed(values)
        return {"Put": change}

    def update(
        self,
        pk: str,
        sk: str,
        *,
        only_if: str,
        values: Mapping[str, object] | None = None,
        remove: tuple[str, ...] = (),
        **attributes: object,
    ) -> Change:
        """Some attributes of an item, for `record` and `write`; attribute names can be reserved words."""
        names = {f"#{name}": name for name in (*attributes, *remove)}
        names |= {f"#{name}": name for name in re.findall(r"#(\w+)", only_if)}
        expression = ""
        if attributes:
            expression += "SET " + ", ".join(f"#{name} = :set_{name}" for name in attributes)
        if remove:
            expression += " REMOVE " + ", ".join(f"#{name}" for name in remove)
        change: Change = {
            "TableName": self.table,
            "Key": _packed({"pk": pk, "sk": sk}),
            "UpdateExpression": expression.strip(),
            "ConditionExpression": only_if,
        }
        packed = _packed({**{f":set_{name}": value for name, value in attributes.items()}, **(values or {})})
        if packed:
            change["ExpressionAttributeValues"] = packed
        if names:
            change["ExpressionAttributeNames"] = names
        return {"Update": change}

    def write(self, change: Change, *more: Change) -> None:
        """Changes that need no fact to explain them, all or none: a renewed lease, a replaced task token.

        Raises Refused if a condition fails, LedgerBusy if others keep writing.
        """
        if more:
            self._write_together([change, *more])
            return
        try:
            self._in_turn("Writing the ledger", self.client.update_item, **change["Update"])
        except ClientError as error:
            if code_of(error) == "ConditionalCheckFailedException":
                raise Refused(0) from error
            raise

    def _write_together(self, changes: Sequence[Change]) -> None:
        what = "Writing the ledger"
        for attempt in range(_TRIES):
            try:
                self._in_turn(what, self.client.transact_write_items, TransactItems=changes)
                return
            except ClientError as error:
                _refuse_failed(error, _reasons(error))
            self._wait_a_little(attempt)
        raise LedgerBusy(f"{what}: others kept writing to it, in {_TRIES} attempts. Nothing was changed.")

    def count(self, pk: str, sk: str, *, period: str = "", seldom: bool = False) -> int:
        """Increments a counter and returns it; a new `period` (they increase) starts again at one.

        `seldom`: usually there is one count in a period, so that starting it is tried first.

        Raises LedgerBusy if others keep starting periods.
        """
        ways = (
            ("ADD #count :one SET #kind = :kind", "#period = :period"),
            (
                "SET #count = :one, #kind = :kind, #period = :period",
                "attribute_not_exists(#period) OR #period < :period",
            ),
        )
        for _ in range(_TRIES):
            for change, condition in reversed(ways) if seldom else ways:
                if (counted := self._counted(pk, sk, change, condition, period)) is not None:
                    return counted
            period = max(period, (self.get(pk, sk) or {}).get("period", ""))  # a clock before ours
        raise LedgerBusy("A request could not be counted.")

    def _counted(self, pk: str, sk: str, change: str, condition: str, period: str) -> int | None:
        try:
            answer = self._in_turn(
                "Counting",
                self.client.update_item,
                TableName=self.table,
                Key=_packed({"pk": pk, "sk": sk}),
                UpdateExpression=change,
                ConditionExpression=condition,
                ExpressionAttributeNames={"#count": "count", "#kind": "kind", "#period": "period"},
                ExpressionAttributeValues=_packed({":one": 1, ":kind": "count", ":period": period}),
                ReturnValues="UPDATED_NEW",
            )
        except ClientError as error:
            if code_of(error) == "ConditionalCheckFailedException":
                return None
            raise
        # A value that changes from 1 to 1 must not count as updated.
        return int(unpacked(answer.get("Attributes", {})).get("count", 1))

    def _item(self, fact: Fact, head: Item) -> Item:
        item = {
            "pk": application_key(fact.application),
            "sk": fact_key(fact.tag, fact.attempt, fact.name, fact.key),
            "kind": "fact",
            "seq": int(head["last"]) + 1,
            "application": fact.application,
            "tag": fact.tag,
            "attempt": fact.attempt,
            "stage": self.stage,
            "name": fact.name,
            "who": fact.who,
            "at": timestamp(self.now()),
            "execution": fact.execution,
            "data": fact.data,
            "previous": head["digest"],
        }
        return item | {"digest": digest_of(item)}

    def _head(self, pk: str, head: Item, item: Item) -> Change:
        first = not head["last"]
        return self.update(
            pk,
            HEAD,
            only_if="attribute_not_exists(pk)" if first else "#last = :known",
            values={} if first else {":known": head["last"]},
            last=item["seq"],
            digest=item["digest"],
        )


def _stands_already(error: ClientError) -> bool:
    """Why a transaction was cancelled: its fact exists already, or someone was faster and it can be retried.

    Raises Refused for a change whose condition failed, and the original error for a transaction that can never succeed.
    """
    reasons = _reasons(error)
    if reasons and reasons[0] == "ConditionalCheckFailed":
        return True
    _refuse_failed(error, reasons[2:])
    return False


def _reasons(error: ClientError) -> list[str]:
    """Why a transaction was cancelled, by its items. Raises the original error for one that can never succeed."""
    reasons = [str(reason.get("Code", "None")) for reason in error.response.get("CancellationReasons", [])]
    if code_of(error) != "TransactionCanceledException" or not set(reasons) <= set(_PASSING):
        raise error
    return reasons


def _refuse_failed(error: ClientError, reasons: Sequence[str]) -> None:
    """Raises Refused for the first change whose condition failed."""
    for index, code in enumerate(reasons):
        if code == "ConditionalCheckFailed":
            raise Refused(index) from error


def application_key(application: str) -> str:
    """The partition of an application."""
    return f"APPLICATION#{application}"


def approval_key(approval_id: str) -> str:
    """The partition of a request for approval."""
    return f"APPROVAL#{approval_id}"


def of_planning(planning: int, key: str = "") -> str:
    """The key of a fact about a plan: a release that is planned again has gates, plan and decisions again."""
    return key if planning == 1 else f"{planning}#{key}"


def fact_key(tag: str, attempt: int, name: str, key: str) -> str:
    """The sort key of a fact; without `key`, the prefix of all such facts."""
    return f"FACT#{tag}#{attempt:04}#{name}#{key}"


def timestamp(moment: datetime) -> str:
    """UTC to the millisecond, in the one format of the ledger: `2026-11-22T10:00:00.000Z`."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def digest_of(document: object) -> str:
    """SHA-256 of the canonical JSON: the same for the same content, whatever the order of its fields."""
    plain = _plain_all(_storable(document))  # as it will be read back
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def unpacked(item: Mapping[str, Any]) -> Item:
    """An item as plain data; DynamoDB's decimals become int where they are whole, float where not."""
    return {name: _plain_all(_deserializer.deserialize(value)) for name, value in item.items()}


def as_read(item: Mapping[str, object]) -> Item:
    """An item that was just written, as it will be read."""
    return unpacked(_packed(item))


def _packed(item: Mapping[str, object]) -> dict[str, object]:
    return {name: _serializer.serialize(_storable(value)) for name, value in item.items()}


def _storable(value: object) -> object:
    """The form of a value that DynamoDB can store: any input must give a valid fact.

    A lone surrogate (invalid in UTF-8) becomes `?`. A number that is not finite, or has more digits than DynamoDB keeps,
    becomes text. boto3 refuses floats; the ledger stores them as the decimals that they print as.
    """
    if isinstance(value, str):
        return value.encode(errors="replace").decode() if not value.isascii() else value
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _storable_number(value)
    if isinstance(value, Mapping):
        return {_storable(str(name)): _storable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(inner) for inner in value]
    return value


def _storable_number(value: float) -> Decimal | int | str:
    if isinstance(value, int):
        if abs(value) < 10**_DIGITS:
            return value
        digits = f"{value:d}".rstrip("0") if abs(value) < _LARGEST else ""
        zeros = len(f"{value:d}") - len(digits) if digits else 0
        return Decimal(f"{digits}E+{zeros}") if digits and len(digits.lstrip("-")) <= _DIGITS else "too large"
    if not math.isfinite(value):
        return str(value)
    return Decimal(str(value)) if value == 0 or _SMALLEST < abs(value) < _LARGEST else str(value)


def _plain_all(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {name: _plain_all(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain_all(inner) for inner in value]
    return value
