"""Makes other people's text harmless: one rule for mail, Slack, page, GitHub, command line and log.

Escaping keeps text from becoming markup. It does not stop a right-to-left override from reversing `exe.gnp`, a
zero-width space from making two names look alike, or a hundred accents from covering the line above. So invisible
characters are shown by their code: ⟨U+202E⟩.
"""

from __future__ import annotations

import re
import unicodedata

_SEEN = frozenset("\n\t")
_UNSEEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_UNSEEN_LETTERS = frozenset(
    "\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5\u180b\u180c\u180d\u180f\ufffc\U00016fe4\U0001d159"
)
"""Fillers and the like: by their category letters, marks and symbols, but invisible on the screen."""
_VARIATIONS = frozenset(map(chr, [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]))
"""Each selects another glyph for the character before it, and is itself invisible: together they can hide a text."""
_AS_PICTURE_OR_TEXT = frozenset("\ufe0e\ufe0f")
_JOINER = "\u200d"
_MARKS_IN_A_ROW = 3
_WORK = 4
"""How many times its length limit of a text is examined to make one line."""


def visible(text: str) -> str:
    """Text that shows what it contains: line ends become `\\n`, invisible characters are named, accents do not pile up."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    shown: list[str] = []
    marks, before = 0, " "
    for char, after in zip(text, text[1:] + " ", strict=True):
        category = unicodedata.category(char)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if marks > _MARKS_IN_A_ROW or (_unseen(char) and not _part_of_a_picture(before, char, after)):
            before = _named(char)
        else:
            before = " " if category == "Zs" else char
        shown.append(before)
    return "".join(shown)


def line(text: object, limit: int = 200) -> str:
    """Text on one line, cut if it is too long."""
    text = str(text)
    head = visible(text[: _WORK * limit])
    more = " …" if len(text) > _WORK * limit else ""
    return shorten((" ".join(head.split()) + more).strip(), limit)


def exact(value: object, limit: int = 120) -> str:
    """A value for exact comparison, in quotes and in ASCII, so that lookalike characters show."""
    if not isinstance(value, str):
        return line(ascii(value), limit)
    head = re.sub(r"[^ -~]", lambda match: _named(match[0]), value[:limit])
    return f"'{shorten(head + '…' * (len(value) > limit), limit)}'"


def shorten(text: str, limit: int) -> str:
    """The beginning, and a mark that text was cut; never half of an emoji."""
    return text if len(text) <= limit else text[: limit - 1].rstrip(" \n\t\u200d\ufe0e\ufe0f") + "…"


def cut_at_a_line(text: str, limit: int) -> str:
    """The beginning up to the end of a line, and a mark that text was cut; part of the first line if that is too long."""
    if len(text) <= limit:
        return text
    whole = text[: limit - 1].rpartition("\n")[0].rstrip()
    return f"{whole}\n…" if whole else shorten(text, limit)


def fold(text: str, *, lines: int, chars: int) -> tuple[str, str]:
    """The part of a long text that is shown at once, and the rest."""
    if len(text) <= chars and text.count("\n") < lines:
        return text, ""
    head = "\n".join(text.split("\n")[:lines])
    if len(head) > chars:
        head = head[:chars].rpartition(" ")[0] or head[:chars]
    return head, text[len(head) :].lstrip("\n ")


def _named(char: str) -> str:
    return f"⟨U+{ord(char):04X}⟩"


def _unseen(char: str) -> bool:
    if char in _UNSEEN_LETTERS or char in _VARIATIONS:
        return True
    return char not in _SEEN and unicodedata.category(char) in _UNSEEN_CATEGORIES


def _part_of_a_picture(before: str, char: str, after: str) -> bool:
    """A joiner between two emojis hides nothing, as it combines them; nor does a variation selector after one.

    `before` is the visible form of the previous character, so that a second pass gives the same result as the first.
    """
    if char in _AS_PICTURE_OR_TEXT:
        return _pictured(before) or (before in set("#*0123456789") and after == "\u20e3")
    return (
        char == _JOINER
        and (before == "\ufe0f" or _pictured(before))
        and _pictured(after)
        and not _unseen(after)
    )


def _pictured(char: str) -> bool:
    return len(char) == 1 and not char.isascii() and unicodedata.category(char) in ("So", "Sk", "Sm")
