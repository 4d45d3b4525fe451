"""In these tests every gate answers under its own name, and explains in sentences what to fix."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module

import pytest

from tagship.gates import GATES, Case, GateResult, Verdict


@pytest.fixture(autouse=True)
def every_answer_is_signed_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in GATES:
        module = import_module(f"tagship.gates.{name}")
        monkeypatch.setattr(module, "check", _looked_at(name, module.check))


def _looked_at(name: str, check: Callable[[Case], GateResult]) -> Callable[[Case], GateResult]:
    def looked_at(case: Case) -> GateResult:
        result = check(case)
        assert result.gate == name
        assert result.why and isinstance(result.why, str)  # which may end in AWS's or the author's words
        if result.verdict in (Verdict.PASSED, Verdict.NOT_CONFIGURED):
            assert result.remedy == "", "there is nothing to mend"
        else:
            assert _is_in_sentences(result.remedy), result
        return result

    return looked_at


def _is_in_sentences(text: str) -> bool:
    """The last one ends as sentences do, or in a document to copy; and none shouts or begins small."""
    return text.endswith((".", "}")) and text != text.upper() and not re.search(r"(^|[.?] )[a-z]", text)
