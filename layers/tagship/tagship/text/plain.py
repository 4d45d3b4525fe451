"""Other people's text, made harmless.

Escaping keeps text from becoming markup. It does not keep a right-to-left override from turning `exe.gnp` round, a
zero-width space from making two names look like one, or a hundred accents from growing into the line above. What can't
be seen is shown as what it is: ⟨U+202E⟩.
"""

from __future__ import annotations

import re
import unicodedata

_SEEN = frozenset("\n\t")
_UNSEEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_UNSEEN_LETTERS = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u180b\u180c\u180d\u180f")
"""Fillers and the like: letters by their category, nothing on the screen."""
_MARKS_IN_A_ROW = 3


def visible(text: str) -> str:
    """Text that looks like what it is: line ends are one `\\n`, whatever is unseen is named, accents don't pile up."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    shown: list[str] = []
    marks = 0
    for before, char, after in zip(" " + text, text, text[1:] + " ", strict=False):
        marks = marks + 1 if unicodedata.category(char) in ("Mn", "Me") else 0
        hidden = marks > _MARKS_IN_A_ROW or (_unseen(char) and not _joins_emoji(before, char, after))
        shown.append(f"⟨U+{ord(char):04X}⟩" if hidden else char)
    return "".join(shown)


def _unseen(char: str) -> bool:
    return char in _UNSEEN_LETTERS or (char not in _SEEN and unicodedata.category(char) in _UNSEEN_CATEGORIES)


def _joins_emoji(before: str, char: str, after: str) -> bool:
    """A zero-width joiner hides nothing between two pictures: it makes one of them."""
    pictured = before == "\ufe0f" or unicodedata.category(before) in ("So", "Sk")
    return char == "\u200d" and pictured and unicodedata.category(after) == "So"


def line(text: object, limit: int = 200) -> str:
    """Text on one line, cut where it is too long to be what it claims to be."""
    return shorten(re.sub(r"\s+", " ", visible(str(text))).strip(), limit)


def shorten(text: str, limit: int) -> str:
    """The beginning, and a mark that there was more."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def fold(text: str, *, lines: int, chars: int) -> tuple[str, str]:
    """The part of a long text that is shown at once, and the rest."""
    if len(text) <= chars and text.count("\n") < lines:
        return text, ""
    head = "\n".join(text.split("\n")[:lines])
    if len(head) > chars:
        head = head[:chars].rpartition(" ")[0] or head[:chars]
    return head, text[len(head) :].lstrip("\n ")
