"""`promotion.json`: the statement that a release succeeded in one stage and is brought to the next."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace

from tagship.gates.reading import Unreadable, parsed, text
from tagship.text.plain import exact

BYTES = 8192
_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """The document's own names."""

    application: str
    tag: str
    digest: str
    """SHA-256 of `release.json`, in hexadecimal; it therefore covers every artifact."""
    fromStage: str
    toStage: str
    succeededAt: str
    """When it succeeded in `fromStage`, according to that stage's ledger."""
    promotedAt: str
    promotedBy: str
    """The AWS identity that started the promotion."""

    @property
    def raw(self) -> bytes:
        """The document."""
        return json.dumps({"schemaVersion": _VERSION, **asdict(self)}, indent=2).encode() + b"\n"

    def says_the_same(self, other: Statement) -> bool:
        """Compares everything except who started the promotion, and when, so that another run can continue it."""
        return replace(other, promotedAt=self.promotedAt, promotedBy=self.promotedBy) == self

    @classmethod
    def read(cls, raw: bytes) -> Statement:
        """Raises Unreadable, and nothing else, for anything other than exactly such a document."""
        data = parsed(raw)
        if data.get("schemaVersion") != _VERSION:
            raise Unreadable(f"its schemaVersion is {exact(data.get('schemaVersion'))}, not {_VERSION}")
        names = [field.name for field in fields(cls)]
        unknown = sorted(set(data) - {"schemaVersion", *names})
        if unknown:
            raise Unreadable(f"it has an unknown field {exact(unknown[0])}")
        return cls(**{name: text(data, name) for name in names})
