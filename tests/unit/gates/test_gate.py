"""One gate that did not pass is enough; a gate that can't answer has let nothing through."""

from __future__ import annotations

import itertools
from importlib import import_module

import pytest

from tagship.gates import GATES, Verdict, rights
from tagship.gates.gate import GateResult, failed, judge, passed, unanswered
from tagship.model.application import Application
from tagship.model.documents import as_document, read_application
from tests.unit.builders import application
from tests.unit.gates.cases import FakeS3, case
from tests.unit.gates.test_integrity import s3_with

PASSED = {"gate": "tag", "verdict": "passed", "why": "v1.4.0 is newer."}
FAILED = {"gate": "integrity", "verdict": "failed", "why": "storefront.zip is not there."}
TOLD = FAILED | {"remedy": "Publish again."}
ERROR = {"gate": "manifest", "verdict": "error", "why": "The gate could not answer."}


def test_all_that_passed_pass():
    assert judge([PASSED] * 3) == (True, "All 3 gates passed.")


@pytest.mark.parametrize("results", [*itertools.permutations([PASSED, PASSED, FAILED])], ids=str)
def test_one_failure_is_enough_wherever_it_stands(results):
    assert judge(results) == (False, "integrity: storefront.zip is not there.")


def test_a_gate_that_could_not_answer_counts_as_failed():
    """Fault 11."""
    assert judge([PASSED, ERROR]) == (False, "manifest: The gate could not answer.")


@pytest.mark.parametrize("verdict", ["", "PASSED", "skipped", None])
def test_a_verdict_that_is_not_passed_is_not_passed(verdict):
    assert judge([PASSED | {"verdict": verdict}])[0] is False


def test_everything_that_stopped_it_is_told():
    assert judge([FAILED, PASSED, ERROR])[1] == (
        "integrity: storefront.zip is not there. manifest: The gate could not answer."
    )


def test_what_to_do_is_told_with_why():
    assert judge([TOLD]) == (False, "integrity: storefront.zip is not there. Publish again.")


def test_no_answer_at_all_is_no_pass():
    assert judge([]) == (False, "No gate has answered.")


def test_a_result_is_plain_data():
    plain = {"warning": "", "seen": {}}
    assert [
        result.as_dict()
        for result in (
            passed("tag", "newer"),
            passed("alarms", "quiet but one", warning="one fires", firing=["storefront-5xx"]),
            failed("tag", "older", "publish"),
            unanswered("x"),
        )
    ] == [
        {"gate": "tag", "verdict": "passed", "why": "newer", "remedy": "", **plain},
        {
            "gate": "alarms",
            "verdict": "passed",
            "why": "quiet but one",
            "remedy": "",
            "warning": "one fires",
            "seen": {"firing": ["storefront-5xx"]},
        },
        {"gate": "tag", "verdict": "failed", "why": "older", "remedy": "publish", **plain},
        {
            "gate": "x",
            "verdict": "error",
            "why": "There is nothing to judge: the release or its configuration can't be read.",
            "remedy": "Mend what the manifest gate names.",
            **plain,
        },
    ]


@pytest.mark.parametrize("name", GATES)
def test_every_gate_answers_under_its_own_name(name):
    result = GATES[name](case(s3=s3_with()))
    assert isinstance(result, GateResult)
    assert (result.gate, result.verdict) == (name, Verdict.PASSED)


@pytest.mark.parametrize("name", GATES)
def test_no_gate_passes_a_release_of_which_nothing_could_be_read(name):
    nothing = case(
        tag="latest",
        manifest=None,
        problems=["is not JSON"],
        objects={},
        configuration={"version": 0, "document": None, "problems": ["there is no parameter"]},
        s3=FakeS3(),
    )
    assert GATES[name](nothing).verdict is not Verdict.PASSED


@pytest.mark.parametrize("name", sorted(set(GATES) - {"integrity"}))  # which reads no configuration
def test_no_gate_lets_through_what_is_not_configured(name):
    unread = {"version": 3, "document": None, "problems": ["is not JSON"]}
    result = import_module(f"tagship.gates.{name}").check(case(configuration=unread))
    assert result.verdict is (Verdict.FAILED if name == "manifest" else Verdict.ERROR)


@pytest.mark.parametrize("name", ["integrity", "provenance", "target", "custom", "calendar", "manifest"])
def test_no_gate_that_judges_the_manifest_lets_through_one_that_can_not_be_read(name):
    unread = {"manifest": None, "problems": ["is not JSON"]}
    result = import_module(f"tagship.gates.{name}").check(case(**unread))
    assert result.verdict is (Verdict.FAILED if name == "manifest" else Verdict.ERROR)


def test_gates_ask_of_the_role_what_the_configuration_makes_them_look_at():
    def asked(**changes):
        document = as_document(read_application(application(**changes)))
        return [right.name for right in rights(Application.from_dict(document))]

    watch = {"checks": [{"type": "lambda"}], "watch": {"seconds": 60, "alarms": ["storefront-5xx"]}}
    assert asked() == []
    assert asked(health=watch) == ["LookAtAlarms"]
    assert asked(gates={"custom": {"function": "ask-us"}}) == ["AskTheGate"]
    assert asked(health=watch, gates={"custom": {"function": "ask-us"}}) == ["LookAtAlarms", "AskTheGate"]
