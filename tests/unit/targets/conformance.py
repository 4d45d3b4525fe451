"""The promises of every kind of target in one suite: the cases of `tagship_cli.conformance`, on a target in memory.

A kind's authors write a `Bench`, a target in memory that follows AWS's rules, and derive a test class from
`Conformance`, or from one of the classes below.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import pytest

from tagship_cli.conformance.bench import (
    ACTS_OF_OTHERS,
    FENCE,
    NEWER,
    Bench,
    Release,
    acts,
    prepared,
    questions,
)
from tagship_cli.conformance.cases import CASES, Case, Make

ALWAYS = frozenset({"drift", "delete", "meet", "overtake", "lose", "refuse"})
"""The abilities of every bench that lacks none."""


class Conformance(ABC):
    """Derive from it, or from those below that fit the kind, and say how a bench is made."""

    adds: ClassVar[frozenset[str]] = ALWAYS
    """The abilities of these benches."""
    lacks: ClassVar[frozenset[str]] = frozenset()
    """The promises that this kind cannot keep; a comment gives each reason."""

    @abstractmethod
    def make(self) -> Bench:
        """A new one, on which nothing has happened."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Every case that this kind's benches can show."""
        if "case" in metafunc.fixturenames:
            can = self._makes().can
            fit = [case for case in CASES if case.needs <= can]
            metafunc.parametrize("case", fit, ids=[case.name for case in fit])

    def _makes(self) -> Make:
        parts = [part.adds for part in type(self).__mro__ if issubclass(part, Conformance)]
        return Make(bench=self.make, can=frozenset().union(*parts) - self.lacks)

    @pytest.fixture
    def bench(self) -> Bench:
        return self.make()

    @pytest.fixture
    def release(self, bench: Bench) -> Release:
        """Planned and prepared."""
        return prepared(bench)

    def test_it_keeps_its_promises(self, case: Case) -> None:
        case.keeps(self._makes())

    def test_a_kind_says_what_it_is(self, bench: Bench) -> None:
        baseline = Release(bench).change.baseline
        assert baseline is not None
        assert bench.kind.describe(bench.spec, baseline)
        assert bench.kind.where(bench.spec)
        assert set(bench.kind.brings(bench.spec)) == set(bench.artifacts)
        assert all(bench.kind.artifacts.values())
        for shown, planned in zip(bench.kind.planned[:1], Release(bench).change.summary, strict=False):
            assert shown.split(":")[0] == planned.split(":")[0], "previews show what a plan no longer says"
        assert bench.kind.step_seconds > 0
        assert bench.kind.settle_seconds > 0
        assert {"id", "digest", "etag", "data"} <= set(baseline)
        bench.kind.subject(bench.spec, baseline)


class Beginning(Conformance):
    """A kind that can release where nothing serves yet."""

    adds = frozenset({"empty"})


class Settings(Conformance):
    """A kind whose candidate also depends on settings outside the release."""

    adds = frozenset({"reconfigure"})


class Settling(Conformance):
    """A kind whose moves take their time."""

    adds = frozenset({"unsettle"})


class Asked(Conformance):
    """A kind that is asked by requests in JSON."""

    adds = frozenset({"ask"})


def test_every_act_of_others_is_needed_by_a_case() -> None:
    assert frozenset().union(*(case.needs for case in CASES)) == set(ACTS_OF_OTHERS)


__all__ = [
    "FENCE",
    "NEWER",
    "Asked",
    "Beginning",
    "Bench",
    "Conformance",
    "Release",
    "Settings",
    "Settling",
    "acts",
    "questions",
]
