"""Which health checks write a fact, and under which key: a check that runs twice writes one."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from tagship.health import judging

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SOURCE = Path(__file__).resolve().parents[3] / "functions" / "judge_health" / "app.py"


@pytest.fixture(scope="module")
def judge_health():
    """The step itself, without what every handler has around it."""
    spec = importlib.util.spec_from_file_location("functions_judge_health_of_a_test", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.handler.__wrapped__


def looked(judge_health, verdict, *, left, extended=False, subject="candidate"):
    """One look `left` seconds before the end of a bake of 60 s; answers with what follows, and the facts."""
    facts = []
    event = {
        "release": {"application": "storefront", "tag": "v1.4.0", "attempt": 1},
        "subject": subject,
        "execution": "arn:aws:states:us-east-1:000000000000:execution:release:one",
        "results": [{"check": "lambda storefront", "verdict": verdict, "why": "it said so", "numbers": {}}],
        "deployment": {
            "step": "1 of 2",
            "deadline": (NOON + timedelta(seconds=600)).isoformat(),
            "bake": 60,
            "every": 30,
            "followingNeed": 15,
            "next": 1,
            "count": 2,
            "steps": [{"percent": 10}, {"percent": 100}],
        },
        "baking": {"until": (NOON + timedelta(seconds=left)).isoformat(), "extended": extended},
    }
    ledger, plain = SimpleNamespace(record=facts.append), {"attempt": 1, "plan": {"steps": []}}
    release = SimpleNamespace(read_ahead=lambda: None, ledger=ledger, record=plain)
    runtime = SimpleNamespace(now=lambda: NOON, release=lambda event: release)
    return judge_health(event, runtime), facts


@pytest.mark.parametrize(
    "verdict, left, extended, wait, key, longer",
    [
        ("healthy", 40, False, 30, None, False),
        ("inconclusive", 40, False, 30, "candidate 1 of 2 unclear one", False),
        ("unhealthy", 40, False, 0, "candidate 1 of 2 one", False),
        ("error", 40, False, 0, "candidate 1 of 2 one", False),
        ("healthy", 0, False, 0, "candidate 1 of 2 one", False),
        ("inconclusive", 0, False, 30, "candidate 1 of 2 extended one", True),
        ("inconclusive", 40, True, 30, "candidate 1 of 2 unclear one", False),
        ("healthy", 40, True, 30, None, False),
        ("inconclusive", 0, True, 0, "candidate 1 of 2 one", False),
    ],
)
def test_a_conclusive_check_is_recorded_as_a_fact(judge_health, verdict, left, extended, wait, key, longer):
    answer, facts = looked(judge_health, verdict, left=left, extended=extended)
    assert (answer["verdict"], answer["wait"]) == (verdict, wait)
    assert [fact.key for fact in facts] == ([key] if key else [])
    for fact in facts:
        assert fact.data["goesOn"] == (wait > 0)
        assert fact.data["until"] == ("2026-11-23T12:01:00.000Z" if longer else None)


@pytest.mark.parametrize(
    "answers, replaced, verdict, expected",
    [
        ({"lambda storefront": False}, False, "unhealthy", "unanswered"),
        ({"lambda storefront": True}, False, "unhealthy", "unhealthy"),
        ({}, False, "unhealthy", "unhealthy"),
        ({"lambda storefront": False}, True, "unhealthy", "unhealthy"),
        ({"lambda storefront": True}, False, "inconclusive", "unanswered"),
        ({"lambda storefront": False}, False, "healthy", "healthy"),
    ],
)
def test_a_restored_baseline_is_judged_by_what_it_could_answer_before(
    judge_health, monkeypatch, answers, replaced, verdict, expected
):
    record = {
        "gates": [{"gate": "tag"}, {"gate": "baseline", "seen": {"answers": answers}}],
        "plan": {"replaced": {"version": "3"}} if replaced else {},
    }
    monkeypatch.setattr(judging, "releases", SimpleNamespace(get=lambda ledger, application, tag: record))
    answer, (fact,) = looked(judge_health, verdict, left=0, extended=True, subject="baseline")
    assert answer["verdict"] == expected
    assert fact.data["subject"] == "baseline"
