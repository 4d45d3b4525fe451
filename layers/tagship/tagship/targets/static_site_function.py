"""The code of the CloudFront function: which releases serve, with which shares, under which fencing number.

Its first line is that as JSON, so what serves is read back from the code itself; the rest is static_site_function.js.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tagship.model.records import Revision

MOST_BYTES = 10 * 1024
"""CloudFront's quota for a function's code."""
RUNTIME: Literal["cloudfront-js-2.0"] = "cloudfront-js-2.0"
_FIRST = re.compile(r"const TAGSHIP = (\{.*\});")


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """One release with its share of the traffic, in percent, and how its files are found."""

    id: str
    digest: str
    percent: int
    hashed: str
    """A regular expression that JavaScript and Python read alike: the paths of files with a hash in their name."""
    paths: str

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
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What the function's code says; without any `serves`, nothing has been released."""

    application: str = ""
    tag: str = ""
    fence: int = 0
    serves: tuple[Serving, ...] = ()
    """The candidate first, so that a growing share only adds visitors to it."""

    def text(self) -> str:
        """The code itself; the same for the same noun."""
        said = {**asdict(self), "code": _digest(_body())}
        return f"const TAGSHIP = {json.dumps(said, separators=(',', ':'))};\n{_body()}"

    @classmethod
    def read(cls, text: str) -> Code | None:
        """What a text that was written here says; None for any other, even if a single character was edited.

        A function that says that nothing serves is taken as it is: a stack makes it so.
        """
        first, _, body = text.partition("\n")
        match = _FIRST.fullmatch(first.strip())
        if match is None:
            return None
        try:
            said: Mapping[str, Any] = json.loads(match[1])
            if said.get("serves") and said.get("code") != _digest(body):
                return None
            return cls(
                application=str(said.get("application", "")),
                tag=str(said.get("tag", "")),
                fence=int(said.get("fence", 0)),
                serves=tuple(Serving(**each) for each in said["serves"]),
            )
        except (ValueError, KeyError, TypeError):
            return None


@functools.cache
def _body() -> str:
    return Path(__file__).with_suffix(".js").read_text(encoding="utf-8")


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
