"""One gate that did not pass is enough; a gate that can't answer has let nothing through."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from importlib import import_module

import pytest

from tagship import gates
from tagship.gates import GATES, Verdict, rights, together
from tagship.gates.gate import GateResult, failed, judge, passed, unanswered
from tagship.model.application import Application
from tagship.model.documents import as_document, read_application
from tagship.model.errors import AwsUnavailable, CandidateNotReady, CredentialsRefused
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
TOGETHER = [name for name in ALWAYS if name not in ("integrity", "package")]
"""Those that share a task whatever the release brings."""
ALONE = [name for name in ALWAYS if name not in TOGETHER]
"""Those that have their own task if the artifacts are large."""
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


def test_gates_that_answer_soon_share_a_task_and_large_artifacts_get_their_own():
    assert gates.invocations(configuration_of(), size=32 * 1024**2) == [", ".join(ALWAYS)]
    assert gates.invocations(configuration_of(), size=32 * 1024**2 + 1) == [", ".join(TOGETHER), *ALONE]


def test_gates_that_ask_others_have_their_own_task():
    _, *alone = gates.invocations(configuration_of(gates=EVERYTHING), size=1)
    assert alone == ["provenance", "custom"]


def run(names, gated, *, pause=pytest.fail, log=pytest.fail):
    return gates.run(", ".join(names), gated, pause=pause, log=log)


def test_one_task_answers_for_each_of_its_gates():
    answered = run(ALWAYS, case(s3=s3_with(), target=FakeTarget()))
    assert [(each["gate"], each["verdict"]) for each in answered] == [(name, "passed") for name in ALWAYS]


@pytest.mark.parametrize(
    "error, why",
    [
        (KeyError("Code"), "It failed (KeyError): 'Code'"),
        (AwsUnavailable("Looking at it: throttled"), "Looking at it: throttled"),
    ],
)
def test_a_gate_that_raises_has_its_own_error_and_the_others_keep_their_results(error, why):
    """Faults 11 and 12."""
    lines: list[object] = []
    target = FakeTarget(raises={"check": error})
    answered = run(
        ALWAYS,
        case(s3=s3_with(), target=target),
        pause=lambda _: None,
        log=lambda *line, exc_info: lines.append((line, exc_info)),
    )
    stopped = [each for each in answered if each["verdict"] != "passed"]
    assert [(each["gate"], each["verdict"], each["why"]) for each in stopped] == [("target", "error", why)]
    assert "retry the release" in stopped[0]["remedy"]
    assert set(lines) == {(("Gate %s could not answer", "target"), error)}


@dataclass
class Recovering(FakeTarget):
    """A target that is not available for so many calls."""

    left: int = 0
    error: Exception = field(default_factory=lambda: CandidateNotReady("Someone else changes it."))

    def check(self, current):
        if self.left:
            self.left -= 1
            raise self.error
        return super().check(current)


def test_after_a_transient_error_only_that_gate_is_repeated():
    """Fault 12."""
    pauses: list[float] = []
    target = Recovering(left=2)
    answered = run(
        ALWAYS, case(s3=s3_with(), target=target), pause=pauses.append, log=lambda *line, exc_info: None
    )
    assert {each["verdict"] for each in answered} == {"passed"}
    assert pauses == [1, 2]
    assert sorted(what for what, _ in target.asked) == ["check", "dry_run", "look_into", "restorable"]


def test_a_gate_that_stays_unavailable_is_asked_three_times():
    """Fault 12."""
    pauses: list[float] = []
    target = Recovering(left=3)
    answered = run(
        ["tag", "target"], case(target=target), pause=pauses.append, log=lambda *line, exc_info: None
    )
    assert [(each["verdict"], each["why"]) for each in answered][1] == ("error", "Someone else changes it.")
    assert (target.left, pauses) == (0, [1, 2])


def test_a_gate_that_is_alone_raises_so_that_the_state_machine_repeats_it():
    with pytest.raises(CandidateNotReady):
        run(["target"], case(target=Recovering(left=1)))


def test_a_gate_that_hangs_past_the_tasks_time_has_its_own_error():
    """Fault 13."""
    over = threading.Event()

    class Hanging(FakeTarget):
        def restorable(self, current):
            over.wait(20)
            return super().restorable(current)

    try:
        answered = together.answers(
            [GATES["baseline"], GATES["target"]],
            case(target=Hanging()),
            pause=pytest.fail,
            log=pytest.fail,
            seconds=0.5,
        )
    finally:
        over.set()
    assert [(each.verdict, each.why) for each in answered] == [
        ("error", "It did not answer within 0.5 s."),
        ("passed", "storefront can be changed. The upload passed its dry run."),
    ]


def test_a_transient_error_is_not_waited_for_longer_than_the_task_has():
    (answered,) = together.answers(
        [GATES["target"]],
        case(target=Recovering(left=1)),
        pause=pytest.fail,
        log=lambda *line, exc_info: None,
        seconds=1,
    )
    assert answered.why == "Someone else changes it."


def answered_by(names):
    return {"results": [PASSED | {"gate": name} for name in names]}


def test_every_gate_that_ran_has_a_result_in_gate_order():
    given = [answered_by([ALONE[1]]), answered_by(reversed(TOGETHER))]
    given += [answered_by([name]) for name in reversed(ALONE) if name != ALONE[1]]
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
    assert "alarms" in gates.invocations(configuration_of(health=alarms), size=1)[0].split(", ")


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
    (answer,) = run(["target"], case(target=FakeTarget(), in_role=Fresh(3, error)), pause=pauses.append)
    assert answer["verdict"] == "passed"
    assert sum(pauses) == 9
    assert "may_pass" not in answer


@pytest.mark.parametrize("gate", ["target", "baseline"])
def test_a_role_that_stays_refused_stops_the_release_after_fifteen_seconds(gate):
    """Fault 74."""
    pauses: list[float] = []
    refused = FakeTarget(raises={"check": CredentialsRefused("No."), "restorable": CredentialsRefused("No.")})
    (answer,) = run([gate], case(target=refused), pause=pauses.append)
    assert (answer["verdict"], answer["why"]) == ("failed", "No.")
    assert sum(pauses) == 15


def test_an_account_outside_the_allowed_list_is_refused_at_once():
    error = CredentialsRefused("Another account.", "Use its stack.", may_pass=False)
    (answer,) = run(["target"], case(in_role=InRole(refused=error)))
    assert (answer["verdict"], answer["remedy"]) == ("failed", "Use its stack.")
