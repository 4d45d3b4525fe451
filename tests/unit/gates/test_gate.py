"""One gate that did not pass is enough; a gate that can't answer has let nothing through."""

from __future__ import annotations

import itertools
from importlib import import_module

import pytest

from tagship import gates
from tagship.gates import GATES, Verdict, rights
from tagship.gates.gate import GateResult, failed, judge, passed, unanswered
from tagship.model.application import Application
from tagship.model.documents import as_document, read_application
from tagship.model.errors import CredentialsRefused
from tests.unit.builders import application
from tests.unit.gates.cases import FakeS3, FakeTarget, InRole, case
from tests.unit.gates.test_integrity import s3_with

PASSED = {"gate": "tag", "verdict": "passed", "why": "v1.4.0 is newer."}
FAILED = {"gate": "integrity", "verdict": "failed", "why": "storefront.zip is not there."}
TOLD = FAILED | {"remedy": "Publish again."}
ERROR = {"gate": "manifest", "verdict": "error", "why": "The gate could not answer."}


def test_if_all_gates_passed_the_release_passes():
    assert judge([PASSED] * 3) == (True, "3 gates passed.")


@pytest.mark.parametrize("results", [*itertools.permutations([PASSED, PASSED, FAILED])], ids=str)
def test_one_failure_is_enough_at_any_position(results):
    assert judge(results) == (False, "integrity: storefront.zip is not there.")


def test_a_gate_that_could_not_answer_counts_as_failed():
    """Fault 11."""
    assert judge([PASSED, ERROR]) == (False, "manifest: The gate could not answer.")


@pytest.mark.parametrize("verdict", ["", "PASSED", "skipped", None])
def test_only_the_verdict_passed_passes(verdict):
    assert judge([PASSED | {"verdict": verdict}])[0] is False


def test_every_failed_gate_is_reported():
    assert judge([FAILED, PASSED, ERROR])[1] == (
        "integrity: storefront.zip is not there. manifest: The gate could not answer."
    )


def test_the_remedy_is_reported_with_the_reason():
    assert judge([TOLD]) == (False, "integrity: storefront.zip is not there. Publish again.")


def test_no_result_does_not_pass():
    assert judge([]) == (False, "No gate answered.")


def test_a_result_is_plain_data():
    plain = {"warning": "", "seen": {}, "cause": ""}
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
            "cause": "",
        },
        {"gate": "tag", "verdict": "failed", "why": "older", "remedy": "publish", **plain},
        {
            "gate": "x",
            "verdict": "error",
            "why": "Not evaluated: the release or its configuration cannot be read.",
            "remedy": "Fix what the manifest gate names.",
            **plain,
            "cause": "manifest",
        },
    ]


ALWAYS = ["manifest", "tag", "integrity", "package", "target", "baseline", "calendar", "budget", "approvers"]
TOGETHER = ["manifest", "tag", "calendar", "budget", "approvers"]
"""Those that only compute."""
ALONE = [name for name in ALWAYS if name not in TOGETHER]
ASKED_FOR = ["signature", "provenance", "promotion", "alarms", "custom"]
KEY = "alias/tagship-release-signing"
EVERYTHING = {
    "signature": {"key": KEY},
    "provenance": {"repository": "acme/storefront"},
    "promotion": {"stage": "staging", "key": "alias/tagship-promotion"},
    "custom": {"function": "storefront-gate"},
}


def configuration_of(**changes):
    return Application.from_dict(as_document(read_application(application(**changes))))


@pytest.mark.parametrize("name", GATES)
def test_every_gate_answers_under_its_own_name_and_unconfigured_gates_do_not_pass(name):
    result = GATES[name].check(case(s3=s3_with()))
    assert isinstance(result, GateResult)
    assert (result.gate, result.verdict) == (
        name,
        Verdict.PASSED if name in ALWAYS else Verdict.NOT_CONFIGURED,
    )


def test_only_configured_gates_run():
    plain = configuration_of()
    assert [gate.name for gate in gates.running(plain)] == ALWAYS
    assert [(each.gate, each.verdict) for each in gates.unused(plain)] == [
        (name, "not-configured") for name in ASKED_FOR
    ]
    watch = {"checks": [{"type": "lambda"}], "watch": {"seconds": 60, "alarms": ["storefront-5xx"]}}
    everything = configuration_of(gates=EVERYTHING, health=watch)
    assert [gate.name for gate in gates.running(everything)] == list(GATES)
    assert gates.unused(everything) == []


def test_for_an_unreadable_application_the_mandatory_gates_run():
    assert [gate.name for gate in gates.running(None)] == ALWAYS
    assert [each.gate for each in gates.unused(None)] == ASKED_FOR


def test_gates_without_aws_calls_share_an_invocation():
    assert gates.invocations(configuration_of()) == [", ".join(TOGETHER), *ALONE]


def test_one_invocation_answers_for_each_of_its_gates():
    answered = gates.run(", ".join(TOGETHER), case(), pause=pytest.fail)
    assert [(each["gate"], each["verdict"]) for each in answered] == [(name, "passed") for name in TOGETHER]


def answered_by(names):
    return {"results": [PASSED | {"gate": name} for name in names]}


def test_every_gate_that_ran_has_a_result_in_gate_order():
    given = [answered_by([ALONE[2]]), answered_by(reversed(TOGETHER))]
    given += [answered_by([name]) for name in reversed(ALONE) if name != ALONE[2]]
    found = gates.answers(given, configuration_of())
    assert [each["gate"] for each in found] == ALWAYS
    assert judge(found)[0] is True


def test_a_failed_invocation_fails_each_of_its_gates():
    failed_together = {**ERROR, "gate": ", ".join(TOGETHER)}
    given = [failed_together, *(answered_by([name]) for name in ALONE)]
    found = gates.answers(given, configuration_of())
    stopped = [each["gate"] for each in found if each["verdict"] != "passed"]
    assert stopped == TOGETHER


@pytest.mark.parametrize("silent", ALWAYS)
def test_a_gate_without_a_result_does_not_pass(silent):
    given = [answered_by(name for name in ALWAYS if name != silent)]
    found = gates.answers(given, configuration_of())
    assert judge(found) == (False, f"{silent}: The gate did not answer. Retry the release.")


def test_an_optional_gate_that_was_configured_does_not_pass_without_a_result():
    alarms = {"checks": [{"type": "alarm", "names": ["storefront-5xx"]}]}
    found = gates.answers([answered_by(ALWAYS)], configuration_of(health=alarms))
    assert judge(found) == (False, "alarms: The gate did not answer. Retry the release.")
    assert "alarms" in gates.invocations(configuration_of(health=alarms))


def test_a_configured_gate_that_answers_not_configured_does_not_pass():
    given = [
        answered_by(ALWAYS[1:]),
        {"results": [PASSED | {"gate": "manifest", "verdict": "not-configured"}]},
    ]
    assert judge(gates.answers(given, configuration_of()))[0] is False


def test_an_unrequested_result_does_not_count():
    given = [answered_by(["signature"])]
    assert {each["verdict"] for each in gates.answers(given, configuration_of())} == {"error"}


def test_unconfigured_gates_are_listed_separately_from_passed_ones():
    assert judge([PASSED] * 7, unused=["signature", "provenance"]) == (
        True,
        "7 gates passed; signature, provenance not configured.",
    )
    assert judge([PASSED]) == (True, "1 gate passed.")


def test_only_gates_with_their_own_cause_are_reported():
    cause = {"gate": "manifest", "verdict": "failed", "why": "It is no manifest.", "remedy": "Publish again."}
    echoes = [unanswered(name).as_dict() for name in ("tag", "calendar", "budget")]
    assert judge([*echoes, cause]) == (False, "manifest: It is no manifest. Publish again.")


def test_a_gate_that_repeats_another_is_reported_if_the_other_did_not_fail():
    assert judge([PASSED, unanswered("calendar").as_dict()])[1].startswith("calendar: Not evaluated")


@pytest.mark.parametrize(
    "why, said",
    [
        ("storefront.zip is missing", "storefront.zip is missing."),
        ("storefront.zip is missing. ", "storefront.zip is missing."),
        ("Is storefront.zip missing?", "Is storefront.zip missing?"),
        ("Stop!", "Stop!"),
    ],
)
def test_sentences_end_with_one_full_stop(why, said):
    assert judge([FAILED | {"why": why, "remedy": "Upload it."}])[1] == f"integrity: {said} Upload it."


def test_an_unconfigured_gate_says_so():
    assert [each.why for each in gates.unused(configuration_of())] == [
        "The application's configuration does not use this gate."
    ] * (len(GATES) - len(ALWAYS))


@pytest.mark.parametrize("name", GATES)
def test_no_gate_passes_an_unreadable_release(name):
    nothing = case(
        tag="latest",
        manifest=None,
        problems=["is not JSON"],
        objects={},
        configuration={"version": 0, "document": None, "problems": ["there is no parameter"]},
        s3=FakeS3(),
    )
    assert GATES[name].check(nothing).verdict is not Verdict.PASSED


@pytest.mark.parametrize("name", sorted(set(GATES) - {"integrity"}))  # which reads no configuration
def test_no_gate_passes_without_a_configuration(name):
    unread = {"version": 3, "document": None, "problems": ["is not JSON"]}
    result = import_module(f"tagship.gates.{name}").check(case(configuration=unread))
    assert result.verdict is (Verdict.FAILED if name == "manifest" else Verdict.ERROR)


@pytest.mark.parametrize(
    "name", ["integrity", "package", "provenance", "target", "custom", "calendar", "manifest"]
)
def test_no_manifest_gate_passes_an_unreadable_manifest(name):
    unread = {"manifest": None, "problems": ["is not JSON"]}
    result = import_module(f"tagship.gates.{name}").check(case(**unread))
    assert result.verdict is (Verdict.FAILED if name == "manifest" else Verdict.ERROR)


def test_gates_request_the_permissions_that_the_configuration_needs():
    def asked(**changes):
        document = as_document(read_application(application(**changes)))
        return [right.name for right in rights(Application.from_dict(document))]

    watch = {"checks": [{"type": "lambda"}], "watch": {"seconds": 60, "alarms": ["storefront-5xx"]}}
    assert asked() == []
    assert asked(health=watch) == ["LookAtAlarms"]
    assert asked(gates={"custom": {"function": "ask-us"}}) == ["AskTheGate"]
    assert asked(health=watch, gates={"custom": {"function": "ask-us"}}) == ["LookAtAlarms", "AskTheGate"]


# ---- a role that was made just now ---------------------------------------------------------------------------------


class Fresh(InRole):
    """A role that STS refuses for so many calls, as it does for some seconds after the role or its trust was made."""

    def __init__(self, calls: int, error: Exception) -> None:
        super().__init__()
        self.left, self.error = calls, error

    def __call__(self, service, *, may, config=None):
        if self.left:
            self.left -= 1
            raise self.error
        return super().__call__(service, may=may, config=config)


@pytest.mark.parametrize(
    "error", [CredentialsRefused("Not yet.", "Trust us: {}"), CredentialsRefused("Not yet.")]
)
def test_a_role_that_iam_does_not_show_everywhere_yet_is_retried(error):
    """Fault 74."""
    pauses: list[float] = []
    (answer,) = gates.run("target", case(target=FakeTarget(), in_role=Fresh(3, error)), pause=pauses.append)
    assert answer["verdict"] == "passed"
    assert sum(pauses) == 9
    assert "may_pass" not in answer


@pytest.mark.parametrize("gate", ["target", "baseline"])
def test_a_role_that_stays_refused_stops_the_release_after_fifteen_seconds(gate):
    """Fault 74."""
    pauses: list[float] = []
    refused = FakeTarget(raises={"check": CredentialsRefused("No."), "restorable": CredentialsRefused("No.")})
    (answer,) = gates.run(gate, case(target=refused), pause=pauses.append)
    assert (answer["verdict"], answer["why"]) == ("failed", "No.")
    assert sum(pauses) == 15


def test_an_account_outside_the_allowed_list_is_refused_at_once():
    error = CredentialsRefused("Another account.", "Use its stack.", may_pass=False)
    (answer,) = gates.run("target", case(in_role=InRole(refused=error)), pause=pytest.fail)
    assert (answer["verdict"], answer["remedy"]) == ("failed", "Use its stack.")
