"""Every built function once in AWS's own runtime: the true names of its errors, the form of its answers, and what it logs.

The events are the definitions' own: each state's `Parameters` are filled from the data that the states before it left, so
what is asked and answered here is what a release asks and answers.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tagship.ledger import notices, releases
from tagship.ledger.evidence import anchor_of
from tagship.model.errors import AwsUnavailable
from tagship.model.facts import ENDING_KINDS
from tagship.notices.channels import BUS, reaching
from tests.runtime.around import (
    ALARM,
    APPLICATION,
    BUCKET,
    EVIDENCE,
    FORGOTTEN,
    KEY,
    SECRET_KEY,
    SESSION_TOKEN,
    TAG,
    TASK_TOKEN,
    TEAM,
    Around,
    configuration_of,
    variables_of,
)
from tests.template.cloudformation import functions
from tests.template.definitions import State, function_of, snake, states_of
from tests.template.sources import answer, reads
from tools.emulator import Answer, Emulated, emulated, what_the_runtime_brings
from tools.stack import ACCOUNT, REGION

# the emulators and their environment belong to one worker
pytestmark = pytest.mark.xdist_group("runtime")

NOBODY = {"application": "nobody", "tag": "v9.9.9", "attempt": 1, "gates": [], "checks": []}
EXECUTION = "an-execution"
SECONDS_TO_WAIT = 30
OTHER = "basket"

ABOUT_A_RELEASE = ("ApplicationUnknown",)

every_function = pytest.mark.parametrize("name", functions())


@dataclass(frozen=True, slots=True)
class Wrong:
    """An event with which a function can't do its work, and the name that its error must have."""

    event: dict[str, Any]
    error: str


def alarm_at(moment: str) -> dict[str, Any]:
    """CloudWatch's event to EventBridge when the application's alarm fires."""
    return {
        "source": "aws.cloudwatch",
        "detail-type": "CloudWatch Alarm State Change",
        "resources": [f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{ALARM}"],
        "detail": {
            "alarmName": ALARM,
            "state": {"value": "ALARM", "reason": "Threshold Crossed: 7 > 1", "timestamp": moment},
        },
    }


def about_nobody(**more: Any) -> dict[str, Any]:
    return {"release": NOBODY, "execution": EXECUTION, **more}


WRONG = {
    "ReadReleaseFunction": Wrong(
        {"order": {"bucket": BUCKET, "key": "releases/x"}, "execution": EXECUTION}, "ReleaseUnreadable"
    ),
    "AcquireLockFunction": Wrong(about_nobody(), "ApplicationUnknown"),
    "RunGateFunction": Wrong(about_nobody(gate="tag"), "ApplicationUnknown"),
    "JudgeGatesFunction": Wrong(about_nobody(results=[], fence=1), "ApplicationUnknown"),
    "PlanDeploymentFunction": Wrong(about_nobody(), "ApplicationUnknown"),
    "RequestApprovalFunction": Wrong(
        about_nobody(lock={"fence": 1}, taskToken=TASK_TOKEN), "ApplicationUnknown"
    ),
    "RemindApproversFunction": Wrong(about_nobody(), "ApplicationUnknown"),
    "StoreConfigurationFunction": Wrong(about_nobody(), "ApplicationUnknown"),
    "RecheckReleaseFunction": Wrong(about_nobody(), "ApplicationUnknown"),
    "ProveCandidateFunction": Wrong(
        about_nobody(deployment={"fence": 1, "proveBy": "2999-01-01T00:00:00.000Z"}),
        "ApplicationUnknown",
    ),
    "ShiftTrafficFunction": Wrong(
        about_nobody(
            deployment={
                "fence": 1,
                "steps": [{"percent": 100, "bake": 0, "needs": 15}],
                "next": 0,
                "count": 1,
            },
        ),
        "ApplicationUnknown",
    ),
    "AwaitStableFunction": Wrong(about_nobody(percent=10), "ApplicationUnknown"),
    "CheckHealthFunction": Wrong(about_nobody(subject="candidate"), "ApplicationUnknown"),
    "JudgeHealthFunction": Wrong(
        about_nobody(results=[], subject="candidate", deployment={"deadline": "soon"}), "ApplicationUnknown"
    ),
    "PauseRolloutFunction": Wrong(
        about_nobody(
            deployment={"fence": 1, "bake": 0, "every": 1, "next": 1},
            results=[],
            lookIn=1,
            taskToken=TASK_TOKEN,
        ),
        "LockLost",
    ),
    "CompleteReleaseFunction": Wrong(about_nobody(), "ApplicationUnknown"),
    "EndReleaseFunction": Wrong(
        about_nobody(ending={"status": "INVALID", "cause": "any"}), "ApplicationUnknown"
    ),
    "RestoreBaselineFunction": Wrong(
        {
            "order": NOBODY | {"trigger": "operator", "why": "any"},
            "execution": EXECUTION,
            "startedAt": "2026-01-01T00:00:00Z",
        },
        "ApplicationUnknown",
    ),
    # Lambda retries it and then keeps the event, because an alarm must not be lost.
    "WatchFunction": Wrong(alarm_at("soon"), "EventNotUnderstood"),
    # Other functions outside the flow return errors instead of raising, because nobody would retry them.
    "ApprovalPageFunction": Wrong(
        {
            "rawPath": "/approvals/" + "a" * 32,
            "rawQueryString": "t=forged",
            "headers": {},
            "requestContext": {"http": {"method": "GET", "sourceIp": "192.0.2.1"}},
        },
        "",
    ),
    "SuperviseFunction": Wrong(
        {
            "detail": {
                "status": "ABORTED",
                "executionArn": f"arn:aws:states:{REGION}:{ACCOUNT}:execution:release:{EXECUTION}",
                "input": json.dumps({"key": KEY.replace(TAG, "v9.9.9")}),
            }
        },
        "",
    ),
    # It looks for itself, whatever its event says.
    "SweepFunction": Wrong({"detail-type": "Scheduled Event", "detail": {}}, ""),
    "PromoteFunction": Wrong({"detail-type": "Scheduled Event", "detail": {}}, ""),
    "NotifyFunction": Wrong(
        {
            "Records": [
                {
                    "messageId": "7",
                    "receiptHandle": "any",
                    "body": json.dumps({"channel": "bus", "application": "nobody", "fact": "FACT#0"}),
                    "attributes": {
                        "ApproximateReceiveCount": "1",
                        "MessageGroupId": "bus-nobody",
                        "MessageDeduplicationId": "bus-0",
                    },
                }
            ]
        },
        "",
    ),
    "BroadcastFunction": Wrong(
        {"Records": [{"dynamodb": {"SequenceNumber": "7", "NewImage": {"poison": {"S": "x"}}}}]}, ""
    ),
    "PreserveFunction": Wrong(
        {"Records": [{"dynamodb": {"SequenceNumber": "7", "NewImage": {"poison": {"S": "x"}}}}]}, ""
    ),
}


@pytest.fixture(scope="module")
def cold(emulators: dict[str, Emulated], around: Around) -> dict[str, Answer]:
    """Each function's first answer, to an event with which it can't do its work."""
    with ThreadPoolExecutor(2) as pool:
        answers = pool.map(lambda name: emulators[name].invoke(WRONG[name].event), WRONG)
        return dict(zip(WRONG, answers, strict=True))


@dataclass(slots=True)
class Release:
    """A release, walked through the definitions' states by hand."""

    emulators: dict[str, Emulated]
    machine: str = "release"
    data: dict[str, Any] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)

    def goes_through(self, *names: str) -> None:
        """One state after the other, as the definition writes their data on."""
        for name in names:
            state = next(it for it in states_of(self.machine) if it.name == name)
            answered = self.asked(state)
            assert answered.error == "", f"{state}: {answered.error}: {answered.message}"
            if "ResultPath" in state.body and state.body["ResultPath"] is not None:
                selected = state.body.get("ResultSelector")
                raw = {"Payload": answered.payload}
                self.data[state.body["ResultPath"][2:]] = self.filled(selected, raw) if selected else raw
            elif state.body.get("OutputPath") == "$.Payload" and not state.inside:
                self.data = answered.payload

    def goes_through_until(self, name: str, done: Callable[[dict[str, Any]], bool]) -> None:
        """One state again and again, as the Wait behind it leads back, until its data says that it is done."""
        deadline = time.monotonic() + SECONDS_TO_WAIT
        self.goes_through(name)
        while not done(self.data):
            assert time.monotonic() < deadline, f"{name}: {self.data}"
            self.goes_through(name)

    def asked(self, state: State) -> Answer:
        """Asked again, as the state does, while the error is one that it retries."""
        function = function_of(state) or ""
        event = self.filled(state.body["Parameters"]["Payload"], self.data)
        retried = {
            name for retry in state.body["Retry"] if retry["MaxAttempts"] for name in retry["ErrorEquals"]
        }
        deadline = time.monotonic() + SECONDS_TO_WAIT
        while (answered := self.emulators[function].invoke(event)).error in retried:
            assert time.monotonic() < deadline, f"{state}: {answered.error}: {answered.message}"
            time.sleep(0.1)
        self.answers[function] = answered
        return answered

    def filled(self, template: Any, data: Any) -> Any:
        if not isinstance(template, dict):
            return template
        return {
            key.removesuffix(".$"): self.read(value, data) if key.endswith(".$") else self.filled(value, data)
            for key, value in template.items()
        }

    def read(self, path: str, data: Any) -> Any:
        if path.startswith("$$"):
            return self.context[path]
        for member in path.split(".")[1:]:
            data = data[member]
        return data


@pytest.fixture(scope="module")
def release(cold: dict[str, Answer], emulators: dict[str, Emulated], around: Around) -> Release:
    """A whole release with every step in AWS's runtime: deployed, completed, rolled back; and the functions outside the
    flow."""
    context = {
        "$$.Execution.Id": around.machine,
        "$$.Execution.StartTime": datetime.now(UTC).isoformat(),
        "$$.Task.Token": TASK_TOKEN,
    }
    way = Release(emulators, context=context)
    around.forget()
    way.answers["SweepFunction"] = emulators["SweepFunction"].invoke(WRONG["SweepFunction"].event)
    way.answers["PromoteFunction"] = emulators["PromoteFunction"].invoke(WRONG["PromoteFunction"].event)
    way.data = {"bucket": BUCKET, "key": KEY, "versionId": ""}
    way.goes_through("ReadRelease", "AcquireLock")
    way.data["gates"] = []
    for gate in way.data["release"]["gates"]:
        way.data["gate"] = gate
        way.goes_through("RunGate")
        way.data["gates"].append(way.answers["RunGateFunction"].payload)
    way.goes_through("JudgeGates", "PlanDeployment", "RequestApproval")
    way.data["approval"] = {"decision": "none", "askSeconds": 60}
    way.goes_through("RemindApprovers")
    way.answers["ApprovalPageFunction"] = emulators["ApprovalPageFunction"].invoke(opened(around.link()))
    around.approve(releases.get(around.ledger(), APPLICATION, TAG)["approval"])
    way.goes_through("RecheckRelease")
    way.goes_through_until("ProveCandidate", lambda data: not data["candidate"]["wait"])
    way.goes_through("ShiftTraffic")
    way.goes_through_until("AwaitStable", lambda data: data["health"]["settled"])
    # No pause is wanted here, so PauseRollout answers at once that the rollout continues.
    way.goes_through("CheckHealth", "JudgeHealth", "PauseRollout", "CompleteRelease")
    way.machine, way.context["$$.Execution.Id"] = "rollback", "a-rollback"
    way.answers["WatchFunction"] = emulators["WatchFunction"].invoke(
        alarm_at(datetime.now(UTC).isoformat(timespec="milliseconds"))
    )
    (order,) = around.rollbacks()
    way.data |= order
    way.goes_through("RestoreBaseline")
    way.goes_through_until("AwaitStable", lambda data: data["settling"]["settled"])
    attempt = way.data["restored"]["attempt"]
    way.data["ending"] = {"status": "ROLLED_BACK", "cause": "It is shown here.", "attempt": attempt}
    way.goes_through("EndRelease")
    facts = around.engine.client("dynamodb").scan(TableName="ledger")["Items"]
    records: list[dict[str, Any]] = [
        {"eventName": "INSERT", "dynamodb": {"SequenceNumber": str(number), "NewImage": image}}
        for number, image in enumerate(facts)
        if image.get("kind") == {"S": "fact"}
    ]
    way.answers["BroadcastFunction"] = emulators["BroadcastFunction"].invoke({"Records": records})
    while message := around.queued("TAGSHIP_NOTICES_QUEUE"):
        way.answers["NotifyFunction"] = notified = emulators["NotifyFunction"].invoke({"Records": [message]})
        assert notified.payload == {"batchItemFailures": []}, message["body"]
        around.took(message)
    endings = [
        record
        for record in records
        if record["dynamodb"]["NewImage"]["name"]["S"] in ("Release Succeeded", "Release Rolled Back")
    ]
    way.answers["PreserveFunction"] = emulators["PreserveFunction"].invoke({"Records": endings})
    ended = {"status": "ABORTED", "executionArn": around.machine, "input": json.dumps({"key": KEY})}
    way.answers["SuperviseFunction"] = emulators["SuperviseFunction"].invoke({"detail": ended})
    way.answers["StoreConfigurationFunction"] = proposed(emulators, around)
    return way


def proposed(emulators: dict[str, Emulated], around: Around) -> Answer:
    """A change of another application's configuration, as far as it is stored."""
    context = {
        "$$.Execution.Id": around.machine,
        "$$.Execution.StartTime": datetime.now(UTC).isoformat(),
        "$$.Task.Token": TASK_TOKEN,
    }
    way = Release(emulators, context=context)
    order = {
        "application": OTHER,
        "tag": "configuration-1",
        "document": configuration_of(OTHER),
        "by": "dana@example.com",
        "emergency": "",
    }
    way.data = {"proposal": order}
    way.goes_through("ReadRelease")
    assert way.data["release"]["outcome"] == "proposed"
    way.goes_through("RequestApproval")
    around.approve(releases.get(around.ledger(), OTHER, "configuration-1")["approval"])
    way.goes_through("StoreConfiguration")
    return way.answers["StoreConfigurationFunction"]


def opened(link: str) -> dict[str, Any]:
    """A Function URL's event for opening a link."""
    path, query = link.split("/approvals/", 1)[1].split("?", 1)
    return {
        "rawPath": f"/approvals/{path}",
        "rawQueryString": query,
        "headers": {"host": "127.0.0.1"},
        "requestContext": {"http": {"method": "GET", "sourceIp": "192.0.2.1"}},
    }


# ---- errors --------------------------------------------------------------------------------------------------------


def test_every_function_of_the_template_is_tested_here() -> None:
    assert set(WRONG) == set(functions())


@every_function
def test_an_error_keeps_its_name_in_the_runtime(cold: Mapping[str, Answer], name: str) -> None:
    assert (cold[name].error, cold[name].message)[0] == WRONG[name].error, cold[name].payload


@pytest.mark.parametrize(
    "name", [name for name, wrong in WRONG.items() if wrong.error in ("ApplicationUnknown", "LockHeld")]
)
def test_an_error_names_its_application_and_tag(cold: Mapping[str, Answer], name: str) -> None:
    event = WRONG[name].event
    release = event.get("release") or event["order"]
    assert f"{release['application']} {release['tag']}" in cold[name].message


def test_a_forged_link_learns_only_that_it_is_invalid(cold: Mapping[str, Answer]) -> None:
    assert cold["ApprovalPageFunction"].payload["statusCode"] == 403


def test_a_poison_stream_record_is_set_aside_with_its_number(
    cold: Mapping[str, Answer], around: Around
) -> None:
    """Fault 51."""
    assert cold["BroadcastFunction"].payload == {"batchItemFailures": []}
    assert json.loads(around.queued("TAGSHIP_BROADCAST_FAILURES")["body"])["sequenceNumber"] == "7"


def test_an_undeliverable_notice_is_set_aside(cold: Mapping[str, Answer], around: Around) -> None:
    assert cold["NotifyFunction"].payload == {"batchItemFailures": []}
    (record,) = WRONG["NotifyFunction"].event["Records"]
    assert around.queued("TAGSHIP_NOTICES_SET_ASIDE")["body"] == record["body"]


def test_a_sweep_that_finds_nothing_does_nothing(cold: Mapping[str, Answer]) -> None:
    assert cold["SweepFunction"].payload == cold["PromoteFunction"].payload == {"did": []}


def test_an_execution_without_a_release_is_ignored(cold: Mapping[str, Answer]) -> None:
    assert cold["SuperviseFunction"].payload["did"] == "nothing"


def test_an_unreachable_aws_raises_the_error_that_every_task_retries(
    emulators: dict[str, Emulated], around: Around, tmp_path_factory: pytest.TempPathFactory
) -> None:
    name = "AwaitStableFunction"
    with emulated(
        name,
        brought=what_the_runtime_brings(tmp_path_factory.mktemp("brought")),
        folder=tmp_path_factory.mktemp("unreachable"),
        variables=variables_of(name, around.values) | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
    ) as function:
        assert function.invoke(WRONG[name].event).error == AwsUnavailable.__name__


# ---- answers -------------------------------------------------------------------------------------------------------


def test_a_whole_release_and_rollback_run_through_the_built_functions(
    release: Release, around: Around
) -> None:
    assert set(release.answers) == set(functions())
    assert release.data["ending"]["status"] == "ROLLED_BACK"
    assert releases.get(around.ledger(), APPLICATION, TAG)["status"] == "ROLLED_BACK"
    assert (
        around.engine.client("lambda").get_alias(FunctionName=APPLICATION, Name="live")["FunctionVersion"]
        == "1"
    )


@every_function
def test_a_function_responds_in_its_declared_format(release: Release, name: str) -> None:
    promised = answer(snake(name.removesuffix("Function"))) or {}
    assert set(promised) <= set(release.answers[name].payload)


@pytest.mark.parametrize(
    "state",
    [it for machine in ("release", "rollback") for it in states_of(machine) if function_of(it)],
    ids=str,
)
def test_a_functions_response_has_everything_its_state_selects(release: Release, state: State) -> None:
    selected = re.findall(r"\$\.Payload\.(\w+)", json.dumps(state.body.get("ResultSelector", {})))
    assert set(selected) <= set(release.answers[function_of(state) or ""].payload)


def test_a_configuration_change_is_stored(release: Release, around: Around) -> None:
    assert release.answers["StoreConfigurationFunction"].payload == {"inForce": "configuration-1"}
    stored = around.engine.client("ssm").get_parameter(Name=f"/tagship/development/applications/{OTHER}")
    assert json.loads(stored["Parameter"]["Value"]) == configuration_of(OTHER)


def test_an_approver_who_opens_the_link_sees_the_release(release: Release) -> None:
    page = release.answers["ApprovalPageFunction"].payload
    assert page["statusCode"] == 200
    assert f"{APPLICATION}" in page["body"]
    assert TAG in page["body"]


def test_every_fact_of_the_release_is_broadcast(release: Release) -> None:
    assert release.answers["BroadcastFunction"].payload == {"batchItemFailures": []}


def test_every_interested_channel_is_notified_of_each_fact(release: Release, around: Around) -> None:
    ledger = around.ledger()
    facts = ledger.facts_of(APPLICATION, TAG)
    deliveries = [
        (fact, channel) for fact in facts for channel in reaching(fact, around.ledger()) if channel != BUS
    ]
    assert {channel for _, channel in deliveries} == {"topic", "mail"}
    untold = [
        (fact["name"], channel) for fact, channel in deliveries if not notices.was_sent(ledger, fact, channel)
    ]
    assert untold == []
    mails = [mail.subject for mail in around.engine.mails() if TEAM in mail.to]
    assert any(TAG in subject for subject in mails), mails


def test_an_alarm_after_the_release_rolls_it_back(release: Release, around: Around) -> None:
    done = {"application": APPLICATION, "tag": TAG, "did": "rollback"}
    assert release.answers["WatchFunction"].payload == {"did": [done]}
    (order,) = around.rollbacks()
    assert (order["tag"], order["attempt"], order["trigger"]) == (TAG, 1, "alarm")


def test_the_sweep_ends_a_release_whose_execution_is_gone(release: Release, around: Around) -> None:
    assert release.answers["SweepFunction"].payload == {"did": [f"{APPLICATION} {FORGOTTEN}: ended"]}
    assert releases.get(around.ledger(), APPLICATION, FORGOTTEN)["status"] == "INVALID"


def test_every_ending_of_the_release_stores_evidence(release: Release, around: Around) -> None:
    assert release.answers["PreserveFunction"].payload == {"batchItemFailures": []}
    kept = around.engine.client("s3").list_objects_v2(Bucket=EVIDENCE, Prefix=f"{APPLICATION}/{TAG}/")
    endings = [
        (fact["seq"], fact["digest"])
        for fact in around.ledger().facts_of(APPLICATION, TAG)
        if fact["name"] in ENDING_KINDS
    ]
    anchors = [anchor for found in kept["Contents"] if (anchor := anchor_of(found["Key"]))]
    assert [(anchor.seq, anchor.digest) for anchor in anchors] == endings
    body = (
        around.engine.client("s3").get_object(Bucket=EVIDENCE, Key=kept["Contents"][0]["Key"])["Body"].read()
    )
    assert TASK_TOKEN not in body.decode()


def test_the_supervisor_ignores_an_ended_release(release: Release) -> None:
    assert release.answers["SuperviseFunction"].payload["did"] == "nothing"


# ---- logs ----------------------------------------------------------------------------------------------------------


@every_function
def test_a_function_logs_at_least_one_line_for_each_invocation_as_json(
    release: Release, emulators: dict[str, Emulated], name: str
) -> None:
    lines = emulators[name].log_lines()
    assert len(lines) >= 2
    assert {line["service"] for line in lines if "service" in line} == {"tagship"}


@pytest.mark.parametrize("name", sorted({function_of(it) or "" for it in states_of("release")} - {""}))
def test_a_steps_log_names_its_release(release: Release, emulators: dict[str, Emulated], name: str) -> None:
    done = [line for line in emulators[name].log_lines() if line.get("message") == "done"]
    assert done
    if ("release", "tag") in reads(snake(name.removesuffix("Function"))):
        stores = name == "StoreConfigurationFunction"
        about = (OTHER, "configuration-1") if stores else (APPLICATION, TAG)
        assert (done[0]["application"], done[0]["tag"]) == about


@pytest.mark.parametrize(
    "name",
    [
        "ApprovalPageFunction",
        "BroadcastFunction",
        "NotifyFunction",
        "PreserveFunction",
        "SuperviseFunction",
    ],
)
def test_functions_outside_the_flow_also_log_the_release(
    release: Release, emulators: dict[str, Emulated], name: str
) -> None:
    last = [line for line in emulators[name].log_lines() if line.get("message") == "done"][-1]
    assert (last["application"], last["tag"], last["attempt"]) == (APPLICATION, TAG, 1)
    assert last["execution"]


@every_function
def test_no_log_contains_a_secret(
    release: Release, emulators: dict[str, Emulated], around: Around, name: str
) -> None:
    text = emulators[name].log()
    token = around.link().split("?t=", 1)[1]
    for secret in (SECRET_KEY, SESSION_TOKEN, TASK_TOKEN, token):
        assert secret not in text


@every_function
def test_a_cold_start_is_far_below_lambdas_limit(
    release: Release, emulators: dict[str, Emulated], name: str
) -> None:
    durations = re.findall(r"INIT REPORT\(durationMs: ([\d.]+)\)", emulators[name].log())
    assert durations
    assert all(float(duration) < 10_000 for duration in durations)


def test_links_to_the_runtimes_packages_lead_nowhere_else(tmp_path: Path) -> None:
    brought = what_the_runtime_brings(tmp_path)
    assert "pydantic" not in {path.name for path in brought.iterdir()}
    assert "tagship" not in {path.name for path in brought.iterdir()}
