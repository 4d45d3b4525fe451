"""Facts as they leave the table's stream."""

from __future__ import annotations

from typing import Any

FACT = {
    "pk": "APPLICATION#storefront",
    "sk": "FACT#v1.4.0#0001#Traffic Shifted#000",
    "kind": "fact",
    "seq": 12,
    "application": "storefront",
    "tag": "v1.4.0",
    "attempt": 1,
    "stage": "production",
    "name": "Traffic Shifted",
    "who": "tagship",
    "at": "2026-11-23T10:00:00.250Z",
    "execution": "arn:aws:states:us-east-1:000000000000:execution:release:one",
    "data": {"percent": 10},
    "previous": "0" * 64,
    "digest": "1" * 64,
}


def fact(name: str, data: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A fact of this name."""
    return FACT | {"name": name, "data": data or {}} | changes
