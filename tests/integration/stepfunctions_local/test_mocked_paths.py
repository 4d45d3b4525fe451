"""Every ending and every Catch of both machines, on mocked integrations: AWS's own format, one file, three engines.

The embedded engine and an independent interpreter run them everywhere; Step Functions Local runs them where Docker answers.
Since the embedded engine counts a mock's attempts by visits of a state and not by retries, a case throws only what its state
does not retry; test_tries.py counts the retries.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tagship.model.release import Status
from tests.integration.stepfunctions_local.places import (
    COMPOSE,
    MOCKS,
    Ended,
    NotToBeHad,
    Place,
    docker_answers,
    embedded,
    in_docker,
)
from tests.template.definitions import MACHINES, ROOT, State, function_of, load, snake, states_of, tasks
from tests.template.sources import Shape, answer, answer_of, reads

# each place belongs to one worker
pytestmark = pytest.mark.xdist_group("mocks")

CONFIGURATION: dict[str, Any] = json.loads(MOCKS.read_text())
CASES: dict[str, dict[str, dict[str, str]]] = {
    machine: CONFIGURATION["StateMachines"][machine]["TestCases"] for machine in MACHINES
}
RESPONSES: dict[str, dict[str, Any]] = CONFIGURATION["MockedResponses"]
TASKS = {(task.machine, task.name): task for task in tasks()}

UPLOAD = {"bucket": "releases", "key": "releases/storefront/v1.1.0/release.json", "versionId": "1"}
ORDER = {
    "application": "storefront",
    "tag": "v1.1.0",
    "trigger": "operator",
    "why": "An operator asked for it.",
}
RETRY = {"attempt": 2, "by": "ana@example.com", "why": "The network was down."}
STOPPED = "IsStopped"

GOES_ON = "HowAnswered CheckHealth JudgeHealth WhatNext ShiftTraffic Shifted Settled CheckHealth JudgeHealth WhatNext"
PLANS_AND_ASKS = (
    "AcquireLock RunGates JudgeGates GatesPassed PlanDeployment AnythingToChange RequestApproval HowDecided"
)

# The execution's error, or "" if it succeeds, and the states on its way.
RELEASES = {
    "Succeeds": (
        "",
        "WhatNext ShiftTraffic Shifted Settled CheckHealth JudgeHealth WhatNext CompleteRelease Succeeded",
    ),
    "WaitsForItsWindow": ("", "WhatNext CompleteRelease Succeeded"),
    "WaitsForItsCandidate": ("", "WhatNext CompleteRelease Succeeded"),
    "WaitsUntilItHasSettled": ("", "WhatNext CompleteRelease Succeeded"),
    "SucceedsWithNothingToChange": ("", "PlanDeployment AnythingToChange CompleteRelease Succeeded"),
    "SucceedsAfterAReminder": ("", "WhatNext CompleteRelease Succeeded"),
    "IsADuplicate": ("", "ReadRelease WhatWasRead Duplicate"),
    "IsRefusedForItsTag": ("TagAlreadyUsed", "ReadRelease WhatWasRead TagAlreadyUsed"),
    "IsNotRetried": ("RetryRefused", "ReadRelease WhatWasRead RetryRefused"),
    "StoresAConfiguration": (
        "",
        "ReadRelease WhatWasRead RequestApproval HowDecided StoreConfiguration Succeeded",
    ),
    "RestoresAConfiguration": ("", "ReadRelease WhatWasRead StoreConfiguration Succeeded"),
    "IsInvalid": ("ReleaseInvalid", "RunGates JudgeGates GatesPassed Invalid EndRelease Failed"),
    "IsRejected": ("ReleaseRejected", "RequestApproval HowDecided Rejected EndRelease Failed"),
    "Expires": ("ApprovalExpired", "RequestApproval RemindApprovers HowDecided Expired EndRelease Failed"),
    "IsSuperseded": ("ReleaseSuperseded", "RequestApproval HowDecided Superseded EndRelease Failed"),
    "IsPlannedAgainTwice": (
        "ReleaseRejected",
        f"HowDecided {PLANS_AND_ASKS} RecheckRelease MayBegin {PLANS_AND_ASKS} Rejected EndRelease Failed",
    ),
    "ComesBackUnhealthy": (
        "ReleaseRolledBack",
        "CheckHealth JudgeHealth WhatNext HealthFailed RollBack Failed",
    ),
    "ComesBackWhileItBakes": (
        "ReleaseRolledBack",
        "Settled CheckHealth JudgeHealth WhatNext Bake CheckHealth JudgeHealth WhatNext HealthFailed RollBack Failed",
    ),
    "BakesOnceMoreWithoutData": (
        "ReleaseRolledBack",
        "WhatNext Bake CheckHealth JudgeHealth WhatNext OutOfTime RollBack Failed",
    ),
    "ComesBackUnhealthyAtLast": (
        "ReleaseRolledBack",
        "WhatNext ShiftTraffic Shifted Settled CheckHealth JudgeHealth WhatNext HealthFailed RollBack Failed",
    ),
    "PausesAndContinues": (
        "",
        f"WhatNext PauseRollout {GOES_ON} CompleteRelease Succeeded",
    ),
    "PausesUntilItIsRejected": (
        "ReleaseRolledBack",
        "WhatNext PauseRollout CheckHealth JudgeHealth WhatNext PauseRollout HowAnswered PauseRejected RollBack Failed",
    ),
    "ComesBackWithoutData": ("ReleaseRolledBack", "JudgeHealth WhatNext HealthFailed RollBack Failed"),
    "ComesBackTooLate": ("ReleaseRolledBack", "JudgeHealth WhatNext OutOfTime RollBack Failed"),
    "CanNotComeBack": ("RollbackFailed", "WhatNext HealthFailed RollBack RollbackFailed EndRelease Failed"),
    "CatchReadReleaseUnreadable": ("ReleaseInvalid", "ReadRelease Unreadable NotARelease"),
    "CatchReadRelease": ("ReleaseInvalid", "ReadRelease Unread"),
    "CatchAcquireLock": ("ReleaseInvalid", "AcquireLock NotBegun EndRelease Failed"),
    "CatchAcquireLockOvertaken": ("ReleaseSuperseded", "AcquireLock Overtaken EndRelease Failed"),
    "CatchRunGate": ("ReleaseInvalid", "RunGates JudgeGates GatesPassed Invalid EndRelease Failed"),
    "CatchJudgeGates": ("ReleaseInvalid", "JudgeGates NotBegun EndRelease Failed"),
    "CatchPlanDeployment": ("ReleaseInvalid", "PlanDeployment NotBegun EndRelease Failed"),
    "CatchRequestApproval": ("ReleaseInvalid", "RequestApproval NotBegun EndRelease Failed"),
    "CatchRemindApprovers": ("ReleaseInvalid", "RequestApproval RemindApprovers NotBegun EndRelease Failed"),
    "CatchStoreConfiguration": ("ReleaseInvalid", "StoreConfiguration NotBegun EndRelease Failed"),
    "CatchRecheckRelease": ("ReleaseInvalid", "RecheckRelease NotBegun EndRelease Failed"),
    "CatchRecheckReleaseOvertaken": ("ReleaseSuperseded", "RecheckRelease Overtaken EndRelease Failed"),
    "CatchProveCandidate": ("ReleaseInvalid", "ProveCandidate NotBegun EndRelease Failed"),
    "CatchShiftTrafficRefused": ("ReleaseInvalid", "ShiftTraffic NotBegun EndRelease Failed"),
    "CatchShiftTraffic": ("ReleaseRolledBack", "ShiftTraffic DeploymentFailed RollBack Failed"),
    "CatchShiftTrafficPauseOrdered": (
        "",
        f"ShiftTraffic PauseFirst CheckHealth JudgeHealth WhatNext PauseRollout {GOES_ON} CompleteRelease Succeeded",
    ),
    "CatchPauseRolloutLockLost": ("ReleaseInvalid", "PauseRollout NotBegun EndRelease Failed"),
    "CatchPauseRollout": ("ReleaseRolledBack", "PauseRollout DeploymentFailed RollBack Failed"),
    "CatchAwaitStable": ("ReleaseRolledBack", "AwaitStable DeploymentFailed RollBack Failed"),
    "CatchCheckHealth": (
        "ReleaseRolledBack",
        "CheckHealth ChecksErrored JudgeHealth WhatNext HealthFailed RollBack Failed",
    ),
    "CatchJudgeHealth": ("ReleaseRolledBack", "JudgeHealth DeploymentFailed RollBack Failed"),
    "CatchCompleteRelease": ("ReleaseRolledBack", "CompleteRelease DeploymentFailed RollBack Failed"),
    "CatchRollBack": ("RollbackFailed", "DeploymentFailed RollBack RollbackFailed EndRelease Failed"),
    "CatchEndReleaseTrafficMoved": (
        "ReleaseRolledBack",
        "ShiftTraffic NotBegun EndRelease DeploymentFailed RollBack Failed",
    ),
    "CatchEndRelease": ("ReleaseRejected", "HowDecided Rejected EndRelease EndingNotRecorded"),
}
ROLLBACKS = {
    "ComesBack": ("", "Healthy WhoAsked RolledBack EndRelease DidItWork Succeeded"),
    "ComesBackAfterAWait": (
        "",
        "Settled CheckHealth JudgeHealth Healthy WhoAsked RolledBack EndRelease DidItWork Succeeded",
    ),
    "ComesBackToNothing": (
        "",
        "RestoreBaseline AnythingServes WhoAsked RolledBack EndRelease DidItWork Succeeded",
    ),
    "ComesBackFromAnAbort": ("", "WhoAsked Aborted EndRelease DidItWork Succeeded"),
    "BaselineIsUnhealthy": ("RollbackFailed", "Healthy BaselineUnhealthy EndRelease DidItWork Failed"),
    "BaselineIsInconclusive": ("RollbackFailed", "Healthy BaselineUnhealthy EndRelease DidItWork Failed"),
    "BaselineIsUnanswered": (
        "",
        "JudgeHealth Healthy RestoredUnchecked WhoAsked RolledBack EndRelease DidItWork Succeeded",
    ),
    "HadEndedOtherwise": ("ReleaseSuperseded", "RolledBack EndRelease DidItWork Failed"),
    "CatchRestoreBaselineRefused": ("RollbackRefused", "RestoreBaseline Refused"),
    "CatchRestoreBaseline": ("RollbackFailed", "RestoreBaseline NotRestored EndRelease DidItWork Failed"),
    "CatchAwaitStable": ("RollbackFailed", "AwaitStable RollbackFailed EndRelease DidItWork Failed"),
    "CatchCheckHealth": (
        "RollbackFailed",
        "JudgeHealth Healthy BaselineUnhealthy EndRelease DidItWork Failed",
    ),
    "CatchJudgeHealth": ("RollbackFailed", "JudgeHealth RollbackFailed EndRelease DidItWork Failed"),
    "CatchEndRelease": ("EndingNotRecorded", "RolledBack EndRelease EndingNotRecorded"),
}
EXPECTED = {"release": RELEASES, "rollback": ROLLBACKS}


@pytest.fixture(scope="module", params=["embedded engine", "independent interpreter", "Step Functions Local"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Each of the three, with both machines and the mocks."""
    if request.param == "embedded engine":
        with embedded(tmp_path_factory.mktemp("mocks")) as found:
            yield found
        return
    if request.param == "independent interpreter":
        yield request.getfixturevalue("interpreter")
        return
    if not docker_answers():
        pytest.skip("no Docker answers on this machine, so Step Functions Local can't run here")
    with contextlib.ExitStack() as stack:
        try:
            found = stack.enter_context(in_docker())
        except NotToBeHad as error:
            pytest.skip(f"Docker answers, but the image of Step Functions Local can't be fetched: {error}")
        yield found


@pytest.fixture(scope="module")
def ended(place: Place) -> dict[tuple[str, str], Ended]:
    """All cases, once."""
    return {
        (machine, case): end
        for machine in MACHINES
        for case, end in place.run(
            machine, {case: given(machine, case) for case in EXPECTED[machine]}
        ).items()
    }


def given(machine: str, case: str) -> dict[str, Any]:
    if machine == "release":
        return UPLOAD | {"retry": RETRY} if case == "IsNotRetried" else UPLOAD
    return ORDER | {"trigger": "abort"} if case == "ComesBackFromAnAbort" else ORDER


# ---- on each engine -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", RELEASES)
def test_a_release_reaches_its_ending(ended: dict[tuple[str, str], Ended], case: str) -> None:
    check(ended["release", case], *RELEASES[case])


@pytest.mark.parametrize("case", ROLLBACKS)
def test_a_rollback_reaches_its_ending(ended: dict[tuple[str, str], Ended], case: str) -> None:
    check(ended["rollback", case], *ROLLBACKS[case])


def check(end: Ended, error: str, way: str) -> None:
    states = tuple(way.split())
    assert (end.status, end.error) == (("FAILED", error) if error else ("SUCCEEDED", "")), end
    assert end.entered[-len(states) :] == states
    assert bool(end.cause) == bool(error)


def test_a_release_stopped_during_its_bake_is_aborted(place: Place) -> None:
    execution = place.start("release", STOPPED, UPLOAD)
    place.wait_until_it_enters("release", execution, "Bake")
    place.client.stop_execution(executionArn=execution, cause="A person stopped it.")
    end = place.ended("release", execution)
    assert end.status == "ABORTED"
    assert end.entered[-1] == "Bake"


@pytest.mark.parametrize("machine", MACHINES)
def test_every_state_is_visited_by_some_case(ended: dict[tuple[str, str], Ended], machine: str) -> None:
    entered = {name for (of, _), end in ended.items() if of == machine for name in end.entered}
    assert entered == set(load(machine)["States"])


def test_every_payload_has_the_fields_its_function_reads(
    place: Place, ended: dict[tuple[str, str], Ended]
) -> None:
    if not place.shows_payloads:
        return
    seen = set()
    for (machine, case), end in ended.items():
        for each in end.scheduled:
            task = TASKS[machine, each.state]
            if function_of(task) is not None:
                seen.add((machine, each.state))
                for path in reads(snake(each.state)):
                    assert has(each.parameters["Payload"], path), f"{case}: {task} lacks {'.'.join(path)}"
    assert seen == {key for key, task in TASKS.items() if function_of(task) is not None}


def has(payload: Any, path: tuple[str, ...]) -> bool:
    for member in path:
        if not isinstance(payload, dict) or member not in payload:
            return False
        payload = payload[member]
    return True


# ---- the file ------------------------------------------------------------------------------------------------------


def test_every_case_has_its_expectation() -> None:
    assert set(CASES["release"]) == set(RELEASES) | {STOPPED}
    assert set(CASES["rollback"]) == set(ROLLBACKS)


def test_every_ending_of_the_contract_has_a_case() -> None:
    errors = {error for error, _ in RELEASES.values()}
    expected = {status.error for status in Status} - {Status.ABORTED.error}
    assert expected <= errors
    assert "Duplicate" in RELEASES["IsADuplicate"][1]


def test_a_case_names_tasks_that_exist_and_responses_that_exist() -> None:
    for machine, cases in CASES.items():
        known = {task.name for task in tasks() if task.machine == machine}
        for case, mocked in cases.items():
            assert set(mocked) <= known, case
            assert set(mocked.values()) <= set(RESPONSES), case


def test_every_mocked_response_is_used() -> None:
    assert set(RESPONSES) == {
        name for cases in CASES.values() for mocked in cases.values() for name in mocked.values()
    }


def test_visits_of_a_response_are_numbered_individually_because_the_embedded_engine_supports_no_ranges() -> (
    None
):
    for name, response in RESPONSES.items():
        assert list(response) == [str(number) for number in range(len(response))], name


@pytest.mark.parametrize("task", tasks(), ids=str)
def test_a_mocked_response_has_the_functions_format(task: State) -> None:
    for name in sorted(responses_of(task)):
        for one in RESPONSES[name].values():
            if "Return" in one:
                assert set(form_of(task) or {}) <= set(body_of(task, one["Return"])), name


@pytest.mark.parametrize("task", tasks(), ids=str)
def test_every_catch_is_taken_by_a_case(task: State) -> None:
    taken = {catch_of(task, error) for name in responses_of(task) for error in thrown(name)}
    assert taken == set(range(len(task.body["Catch"])))


@pytest.mark.parametrize("task", tasks(), ids=str)
def test_a_case_throws_only_errors_that_its_state_does_not_retry(task: State) -> None:
    for name in responses_of(task):
        for error in thrown(name):
            first = next(
                (it for it in task.body["Retry"] if {error, "States.ALL"} & set(it["ErrorEquals"])), None
            )
            assert first is None or first["MaxAttempts"] == 0, name


def responses_of(task: State) -> set[str]:
    return {mocked[task.name] for mocked in CASES[task.machine].values() if task.name in mocked}


def thrown(response: str) -> list[str]:
    return [one["Throw"]["Error"] for one in RESPONSES[response].values() if "Throw" in one]


def catch_of(task: State, error: str) -> int:
    return next(
        index
        for index, catch in enumerate(task.body["Catch"])
        if {error, "States.ALL"} & set(catch["ErrorEquals"])
    )


def form_of(task: State) -> Shape:
    if task.body["Resource"].endswith("waitForTaskToken"):
        answers = {"RequestApproval": "answer_of", "PauseRollout": "answer_in_a_pause"}
        return answer_of(f"tagship.approval.request.delivery.{answers[task.name]}")
    if "startExecution" in task.body["Resource"]:
        return dict.fromkeys(
            re.findall(r"\$\.Output\.ending\.(\w+)", json.dumps(task.body["ResultSelector"]))
        )
    return answer(snake(task.name))


def body_of(task: State, returned: dict[str, Any]) -> dict[str, Any]:
    if task.body["Resource"].endswith("waitForTaskToken"):
        return returned
    body: dict[str, Any] = returned["Output"]["ending"] if "Output" in returned else returned["Payload"]
    return body


# ---- the container -------------------------------------------------------------------------------------------------


def test_step_functions_local_is_pinned_reads_this_file_and_listens_on_this_machine_only() -> None:
    (service,) = yaml.safe_load(COMPOSE.read_text())["services"].values()
    assert re.fullmatch(r"amazon/aws-stepfunctions-local:\d+\.\d+\.\d+", service["image"])
    (volume,) = service["volumes"]
    source, inside, mode = volume.split(":")
    assert (ROOT / source).resolve() == MOCKS
    assert mode == "ro"
    assert service["environment"]["SFN_MOCK_CONFIG"] == inside
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_a_state_is_found_by_name_at_any_depth() -> None:
    for machine in MACHINES:
        names = [state.name for state in states_of(machine)]
        assert len(names) == len(set(names))
