"""Other people's text hides nothing in any output, and its length is limited."""

from __future__ import annotations

import json
import logging
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tagship.model.documents import Problem
from tagship.runtime import logger
from tagship.slack.messages import escaped
from tagship.text.plain import exact, fold, line, shorten, visible
from tagship_cli.views import screen

HOSTILE = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from(
            "\u202e\u2066\u2069\u200b\u200c\u200d\u200e\u061c\ufeff\u00ad\ufe0f\ufe0e\U000e0041\U000e0100\u2800\u3164\u115f"
            "\u0301\u20e3\x00\x1b\x07\x08\r\n\t \u200a\x85\u2028\u2029\ud800a1👩💻⚠❤🔥⟨"
        ),
    ),
    max_size=300,
)
NEVER = frozenset("\u2800\u3164\u115f\u1160\uffa0\u034f\u180b\u180c\u180d\u180f\u17b4\u17b5\ufffc")


def hidden_in(text: str) -> list[str]:
    """Invisible characters: every control and format character, fillers, and variation selectors.

    A joiner may be between two pictures, and a variation selector after one.
    """
    return [
        char
        for before, char, after in zip(" " + text, text, text[1:] + " ", strict=False)
        if char in NEVER
        or (
            unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
            and char not in "\n\t\u200d"
        )
        or (
            char == "\u200d"
            and (before.isalnum() or before.isspace() or before.isascii() or not picture(after))
        )
        or (char in "\ufe0e\ufe0f" and not picture(before) and after != "\u20e3")
        or "\U000e0100" <= char <= "\U000e01ef"
    ]


def picture(char: str) -> bool:
    return unicodedata.category(char) in ("So", "Sk", "Sm")


@given(HOSTILE)
@example("a\ufe0f\u200d👩")
@example("👩\u200d\u2800")
def test_no_hidden_character_is_left_and_cleaning_again_changes_nothing(text: str) -> None:
    shown = visible(text)
    assert hidden_in(shown) == []
    assert visible(shown) == shown
    shown.encode()


@given(HOSTILE, st.integers(min_value=1, max_value=120))
@example("👩\u200d💻", 2)
@example(" " * 50, 4)
def test_a_line_has_bounded_length_without_hidden_characters(text: str, limit: int) -> None:
    shown = line(text, limit)
    assert len(shown) <= limit
    assert "\n" not in shown and "\t" not in shown and shown == shown.strip()
    assert hidden_in(shown) == []
    assert line(shown, limit) == shown


@given(HOSTILE, st.integers(min_value=1, max_value=120))
def test_an_exact_value_is_ascii_except_for_named_characters(text: str, limit: int) -> None:
    shown = exact(text, limit)
    assert len(shown) <= limit + 2
    assert all(" " <= char <= "~" or char in "⟨⟩…" for char in shown)


SAID: dict[str, Callable[[str], str]] = {
    "Slack": escaped,
    "a field of a document": lambda text: Problem(path=(text,), message="").field,
    "the terminal, painted": lambda text: screen.bold(text).removeprefix("\x1b[1m").removesuffix("\x1b[0m"),
    "the terminal, as it comes": screen._harmless,
}


@pytest.mark.parametrize("way", SAID)
@given(text=HOSTILE)
def test_the_same_rule_applies_wherever_text_is_shown(way: str, text: str) -> None:
    text = text.replace("\x1b", "\x07")  # colours are the terminal's own
    assert hidden_in(SAID[way](text)) == []


def test_the_log_hides_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    entry = logger.handlers[0].formatter
    assert entry is not None
    said = "a\u202e\x1b[31mb\ud800"
    record = logging.LogRecord("tagship", logging.WARNING, "x.py", 1, "%s: grüße", (said,), None)
    written = entry.format(record)
    assert hidden_in(written) == []
    assert json.loads(written)["message"] == "a⟨U+202E⟩⟨U+001B⟩[31mb⟨U+D800⟩: grüße"


def test_lookalike_texts_are_shown_differently() -> None:
    assert exact("\u0430cme/store") == "'⟨U+0430⟩cme/store'"
    assert exact("v1\n\u202ex") == "'v1⟨U+000A⟩⟨U+202E⟩x'"
    assert exact(None) == "None"
    assert exact("x" * 200, 10) == "'" + "x" * 9 + "…'"


def test_words_stay_separate_and_keep_their_letters() -> None:
    assert line("  disk\r\nfull on\u2028köln ") == "disk full on⟨U+2028⟩köln"
    assert line("disk\u00a0full") == "disk full"


def test_a_shortened_line_says_so_without_reading_all_of_a_long_text() -> None:
    assert line("x" * 501, 500) == "x" * 499 + "…"
    assert line("x" * 500, 500) == "x" * 500
    assert line("x" + " " * 10_000_000 + "y", 20) == "x …"


@pytest.mark.parametrize(
    "hidden, shown",
    [
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("a\u2066b\u2069", "a⟨U+2066⟩b⟨U+2069⟩"),
        ("a\u200bb\ufeff", "a⟨U+200B⟩b⟨U+FEFF⟩"),
        ("\x00\x1b[2J\x7f", "⟨U+0000⟩⟨U+001B⟩[2J⟨U+007F⟩"),
        ("\x85\u2028", "⟨U+0085⟩⟨U+2028⟩"),
        ("\U000e0041", "⟨U+E0041⟩"),
        ("\u3164\u2800", "⟨U+3164⟩⟨U+2800⟩"),
        ("a\u200db", "a⟨U+200D⟩b"),
        ("e" + "\u0301" * 5, "e" + "\u0301" * 3 + "⟨U+0301⟩" * 2),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("\ud800", "⟨U+D800⟩"),
        ("a\ufe0fb", "a⟨U+FE0F⟩b"),
        ("👩" + "\ufe0f" * 2, "👩\ufe0f⟨U+FE0F⟩"),
        ("👩\U000e0148\U000e0155", "👩⟨U+E0148⟩⟨U+E0155⟩"),
        ("a\ufe0f\u200d👩", "a⟨U+FE0F⟩⟨U+200D⟩👩"),
        ("👩\u200d\u2800", "👩⟨U+200D⟩⟨U+2800⟩"),
        ("a\u200ab", "a b"),
    ],
)
def test_invisible_characters_are_named(hidden, shown):
    assert visible(hidden) == shown
    assert visible(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "Grüße, ありがとう, שלום, é",
        "e\u0301",
        "a\tb\nc",
        "👩\u200d💻 ⚠\ufe0f ❤\ufe0f\u200d🔥 1\ufe0f\u20e3",
        "—…€",
    ],
)
def test_ordinary_text_is_unchanged(text):
    assert visible(text) == text


@given(st.text(alphabet="ab \n", max_size=400), st.integers(1, 5), st.integers(1, 80))
def test_wrapping_loses_only_white_space(text, lines, chars):
    head, rest = fold(text, lines=lines, chars=chars)
    assert (head + rest).replace(" ", "").replace("\n", "") == text.replace(" ", "").replace("\n", "")


def test_a_shortened_text_says_so():
    assert shorten("abcdef", 4) == "abc…"
    assert shorten("abcd", 4) == "abcd"
