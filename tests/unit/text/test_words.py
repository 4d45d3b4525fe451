"""A cause is shown in words: the message in a failed function's answer, without its stack trace."""

from __future__ import annotations

import json

import pytest

from tagship.text.words import cause_in_words, first

FAILED = json.dumps(
    {"errorMessage": "the alias was moved", "errorType": "TargetMoved", "stackTrace": ["line 1"]}
)


@pytest.mark.parametrize(
    "cause, words",
    [
        ("", ""),
        ("Nobody decided in time.", "Nobody decided in time."),
        (FAILED, "the alias was moved"),
        (json.dumps({"Error": "RollbackFailed", "Cause": FAILED, "Status": "FAILED"}), "the alias was moved"),
        (json.dumps({"Error": "RollbackFailed", "Cause": "in words"}), "in words"),
        (json.dumps({"errorMessage": {"of": "another"}}), "{'of': 'another'}"),
        ('{"errorMessage": ""}', '{"errorMessage": ""}'),
        ('{"other": 1}', '{"other": 1}'),
        ("[1, 2]", "[1, 2]"),
        ("null", "null"),
        ('{"errorMessage": "cut in the mid', '{"errorMessage": "cut in the mid'),
    ],
)
def test_a_cause_is_in_words(cause, words):
    assert cause_in_words(cause) == words


@pytest.mark.parametrize(
    "cause", ["x" * 5000, json.dumps({"errorMessage": "x" * 5000}), json.dumps({"Cause": "x" * 5000})]
)
def test_a_cause_is_shortened_for_people(cause):
    assert cause_in_words(cause) == "x" * 999 + "…"


def test_a_deeply_nested_cause_is_shown_as_it_is():
    assert cause_in_words("[" * 32_000) == "[" * 999 + "…"


def test_a_long_list_says_how_many_are_left_out():
    assert first(["a", "b", "c"], 3) == ["a", "b", "c"]
    assert first(["a", "b", "c", "d"], 3) == ["a", "b", "… and 2 more"]
