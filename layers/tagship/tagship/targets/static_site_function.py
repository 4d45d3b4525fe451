"""The code of the CloudFront function: which releases get traffic, their shares, and the fencing number.

Its first line is that data as JSON, so the state can be read back from the code. The rest is static_site_function.js.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from tagship.model.records import Revision

MOST_BYTES = 10 * 1024
"""CloudFront's quota for a function's code, in bytes."""
RUNTIME: Literal["cloudfront-js-2.0"] = "cloudfront-js-2.0"
_FIRST = re.compile(r"const TAGSHIP = (\{.*\});")


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """One release with its share of the traffic, in percent, and how its files are found."""

    id: str
    digest: str
    percent: int
    hashed: str
    """A regular expression, valid in JavaScript and in Python, for the paths of hashed files."""
    paths: str
    base: str = ""
    """The earlier release whose folder has the files that have not changed; empty if all are in the release's own."""
    differs: tuple[str, ...] = ()
    """The paths that are not read from the base: changed, added or removed since. A removed one is in neither place."""

    def folder(self, path: str) -> str:
        """The release whose folder has this path; as the function decides."""
        return self.base if self.base and path not in self.differs else self.id

    @classmethod
    def of(cls, revision: Revision, percent: int) -> Serving:
        """This revision with this share."""
        data = revision["data"]
        return cls(
            id=revision["id"],
            digest=revision["digest"],
            percent=percent,
            hashed=data["hashed"],
            paths=data["paths"],
            base=data.get("base", ""),
            differs=tuple(data.get("differs", ())),
        )

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """From the function's code. Code of an earlier Tagship names no base."""
        serving = cls(**data)
        return replace(serving, differs=tuple(serving.differs))


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """The data in the function's code. If `serves` is empty, nothing has been released."""

    application: str = ""
    tag: str = ""
    fence: int = 0
    serves: tuple[Serving, ...] = ()
    """The candidate comes first, so that a larger share only adds visitors to it."""

    def text(self) -> str:
        """The code; equal data gives equal code."""
        settings = {**asdict(self), "code": _digest(_body())}
        return f"const TAGSHIP = {json.dumps(settings, separators=(',', ':'))};\n{_body()}"

    @classmethod
    def read(cls, text: str) -> Code | None:
        """Reads code that `text` wrote; None for any other code, even if a single character was edited.

        Code that says that nothing serves is accepted whatever its body: the team's stack creates the function like
        that.
        """
        first, _, body = text.partition("\n")
        match = _FIRST.fullmatch(first.strip())
        if match is None:
            return None
        try:
            settings: Mapping[str, Any] = json.loads(match[1])
            if settings.get("serves") and settings.get("code") != _digest(body):
                return None
            return cls(
                application=str(settings.get("application", "")),
                tag=str(settings.get("tag", "")),
                fence=int(settings.get("fence", 0)),
                serves=tuple(Serving.read(each) for each in settings["serves"]),
            )
        except (ValueError, KeyError, TypeError):
            return None


@functools.cache
def _body() -> str:
    return Path(__file__).with_suffix(".js").read_text(encoding="utf-8")


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
