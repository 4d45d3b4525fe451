"""Rights, with IAM enforced: what a function can't do without each of its statements, and whose role it can't take."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from local.storefront import NAME
from tests.integration.conftest import Pipeline, wait_for

REFUSED = re.compile(r"AccessDenied|not authorized|AuthorizationError")
"""In what a function answers when AWS has refused it something."""
NOT_SHOWN = {
    "read_release s3:ListBucket": "the engine answers 404 for what is missing, with the right and without",
    "run_gate kms:Verify": "reached by signed releases only",
    "acquire_lock states:SendTaskSuccess": "reached when a release is superseded, whose task then is answered",
    "request_approval secretsmanager:GetSecretValue": "reached with Slack only",
    "request_approval states:SendTaskSuccess": "reached when the request was decided while it was sent",
    "remind_approvers secretsmanager:GetSecretValue": "reached with Slack only",
    "approval_page states:SendTaskSuccess": "reached by a decision, of which a release has one",
    "approval_page states:DescribeExecution": "reached by a decision, of which a release has one",
    "supervise states:StartExecution": "reached by an execution that died with traffic moved, once",
}
"""By function and first action, and why. The flow itself shows that they are enough (tests/integration/test_endings.py)."""
TRIES_AGAIN_BY_ITSELF = {"broadcast", "notify"}
"""Their failures are logged, and handed back to be tried again, without a word of why."""
_NOTHING = {"Effect": "Deny", "Action": "iam:*", "Resource": "*"}

Events = Mapping[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """One function's role on the engine."""

    pipeline: Pipeline
    folder: str
    function: str

    def refused_without(self, events: Iterable[dict[str, Any]]) -> Iterator[str]:
        """The statements without which one of these events is refused; with all of them, none may be."""
        events = list(events)
        for event in events:
            assert not REFUSED.search(said := self.answer(event)), (
                f"{self.folder} with all its rights: {said}"
            )
        for policy, document in self.policies():
            for left_out in document["Statement"]:
                rest = [each for each in document["Statement"] if each is not left_out]
                self._put(policy, {**document, "Statement": rest or [_NOTHING]})
                try:
                    if any(REFUSED.search(self.answer(event)) for event in events):
                        yield self.named(left_out)
                finally:
                    self._put(policy, document)

    def named(self, statement: Mapping[str, Any]) -> str:
        """A statement by its function and first action."""
        actions = statement["Action"]
        return f"{self.folder} {actions if isinstance(actions, str) else actions[0]}"

    def policies(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """What the template gives it; SAM's own rights, to write logs and traces, are managed policies."""
        iam = self.pipeline.client("iam")
        for name in iam.list_role_policies(RoleName=self.role)["PolicyNames"]:
            yield name, iam.get_role_policy(RoleName=self.role, PolicyName=name)["PolicyDocument"]

    def answer(self, event: dict[str, Any]) -> str:
        """Whatever it answers. Each call is another execution's, unless it says whose: no session is used again."""
        fresh = {"execution": f"arn:aws:states:us-east-1:000000000000:execution:shown:{uuid.uuid4()}"}
        found = self.pipeline.client("lambda").invoke(
            FunctionName=self.function, Payload=json.dumps(fresh | event)
        )
        return str(found["Payload"].read().decode())

    @property
    def role(self) -> str:
        client = self.pipeline.client("lambda")
        arn = client.get_function_configuration(FunctionName=self.function)["Role"]
        return str(arn.rsplit("/", 1)[-1])

    def _put(self, policy: str, document: dict[str, Any]) -> None:
        self.pipeline.client("iam").put_role_policy(
            RoleName=self.role, PolicyName=policy, PolicyDocument=json.dumps(document)
        )


@pytest.fixture(scope="module")
def functions(stack: Any) -> dict[str, str]:
    """The deployed functions, by the folder of their code."""
    found = {}
    pages = stack.client("cloudformation").get_paginator("list_stack_resources")
    for page in pages.paginate(StackName=f"tagship-{stack.stage}"):
        for resource in page["StackResourceSummaries"]:
            if resource["ResourceType"] == "AWS::Lambda::Function":
                name = resource["LogicalResourceId"].removesuffix("Function")
                found[re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()] = resource["PhysicalResourceId"]
    return found


def test_a_function_is_refused_without_each_of_its_statements(
    pipeline: Pipeline, functions: dict[str, str]
) -> None:
    """In two moments of one release: while it waits for approval, and while its first step bakes."""

    def grants(folder: str) -> Grants:
        return Grants(pipeline=pipeline, folder=folder, function=functions[folder])

    def shown_with(events: Events) -> set[str]:
        with ThreadPoolExecutor(4) as pool:
            found = pool.map(lambda folder: set(grants(folder).refused_without(events[folder])), events)
            return set().union(*found)

    pipeline.configure(strategy={"bake": 120}, health={"every": 300})
    tag = pipeline.publish()
    link, execution = pipeline.link(tag), pipeline.execution(tag)
    shown = shown_with(_while_it_waits(pipeline, tag, link, execution, set(functions)))
    pipeline.decide(tag)
    wait_for(lambda: pipeline.alias()[1] or None, "the first step")
    baking = _while_it_bakes(pipeline, tag)
    last = {"restore_baseline": baking.pop("restore_baseline")}
    shown |= shown_with(baking)
    shown |= shown_with(last)
    pipeline.client("stepfunctions").stop_execution(executionArn=execution)
    pipeline.settled(tag, "ABORTED")

    granted = {
        grants(folder).named(statement)
        for folder in set(functions) - TRIES_AGAIN_BY_ITSELF
        for _, document in grants(folder).policies()
        for statement in document["Statement"]
    }
    assert granted - shown == set(NOT_SHOWN)


def _while_it_waits(
    pipeline: Pipeline, tag: str, link: str, execution: str, folders: set[str]
) -> dict[str, list[dict[str, Any]]]:
    """About nobody's release, so that each looks for it and ends; and about this one, what may be done twice."""
    about = {"application": "nobody", "tag": "v1.0.0", "attempt": 1}
    nobody = {
        **about,
        "release": about,
        "order": {**about, "trigger": "operator", "why": "shown"},
        "lock": {"fence": 1},
        "results": [],
        "gate": "tag",
        "check": "lambda",
        "index": 0,
        "subject": "candidate",
        "step": "1 of 1",
        "percent": 100,
        "deadline": "2030-01-01T00:00:00.000Z",
        "deployment": {
            "steps": [{"percent": 100, "bake": 0, "needs": 15}],
            "count": 1,
            "next": 0,
            "expected": "",
        },
        "ending": {"status": "INVALID", "cause": "shown"},
        "askSeconds": 60,
        "taskToken": "nobody's",
        "fact": {"application": "nobody", "tag": "v1.0.0", "seq": 1},
    }
    stopped = {"executionArn": "arn:nobody", "status": "FAILED", "input": json.dumps(about)}
    record = pipeline.item(f"RELEASE#{tag}") or {}
    key = {"pk": {"S": f"APPROVAL#{record['approval']}"}, "sk": {"S": "APPROVAL"}}
    request = pipeline.client("dynamodb").get_item(
        TableName=pipeline.stack.outputs["LedgerTableName"], Key=key
    )["Item"]
    order = json.loads(pipeline.client("stepfunctions").describe_execution(executionArn=execution)["input"])
    waiting = {
        "release": {"application": NAME, "tag": tag, "attempt": record["attempt"]},
        "lock": {"fence": (pipeline.item("LOCK") or {})["fence"]},
        "askSeconds": 600,
        "taskToken": request["taskToken"]["S"],
        "execution": execution,
    }
    _, _, rest = link.partition("://")
    path, _, query = rest.partition("/")[2].partition("?")
    page = {
        "requestContext": {"http": {"method": "GET", "sourceIp": "203.0.113.7"}},
        "rawPath": f"/{path}",
        "rawQueryString": query,
        "headers": {"host": "127.0.0.1"},
    }
    events: dict[str, list[dict[str, Any]]] = {
        folder: [nobody] for folder in folders - TRIES_AGAIN_BY_ITSELF - {"approval_page"}
    }
    events["read_release"] = [{**order, "execution": execution}]
    events["supervise"] = [{"detail": stopped}]
    events["request_approval"] += [waiting]
    events["remind_approvers"] += [waiting]
    events["approval_page"] = [page]
    return events


def _while_it_bakes(pipeline: Pipeline, tag: str) -> dict[str, list[dict[str, Any]]]:
    """What works on the target; each ends before it would change anything, but for the last."""
    record, lock = pipeline.item(f"RELEASE#{tag}") or {}, pipeline.item("LOCK") or {}
    release = {"application": NAME, "tag": tag, "attempt": record["attempt"]}
    about = {"release": release, "lock": {"fence": lock["fence"]}}
    step = {"percent": 10, "bake": 0, "needs": 15}
    elsewhere = {
        "steps": [step],
        "count": 1,
        "next": 0,
        "expected": "elsewhere",
        "deadline": record["deadline"],
    }
    order = {"application": NAME, "tag": tag, "trigger": "operator", "why": "shown"}
    return {
        "run_gate": [{**about, "gate": gate} for gate in ("integrity", "target")],
        "plan_deployment": [about],
        "recheck_release": [about],
        "shift_traffic": [{**about, "deployment": {**elsewhere, "steps": [{**step, "percent": 20}]}}],
        "await_stable": [{**about, "percent": 10}],
        "run_health_check": [{**about, "check": "lambda", "index": 0, "subject": "candidate"}],
        "restore_baseline": [{"order": order}],
    }


@pytest.mark.parametrize(
    "target, told",
    [
        ({"externalId": "tagship-elsewhere"}, '"sts:ExternalId":"tagship-elsewhere"'),
        ({"role": "arn:aws:iam::000000000000:role/tagship-missing"}, "tagship-missing can't be assumed"),
        (
            {"account": "999999999999", "role": "arn:aws:iam::999999999999:role/tagship-storefront"},
            "this stack deploys to account 000000000000",
        ),
    ],
    ids=["another external id", "a role that is missing", "a foreign account"],
)
def test_a_role_that_is_not_ours_to_take_stops_the_release_before_any_change(
    pipeline: Pipeline, target: dict[str, str], told: str
) -> None:
    before = pipeline.alias()
    pipeline.configure(target=target)
    tag = pipeline.publish()
    ended = pipeline.ended(pipeline.execution(tag))
    assert (ended["status"], ended["error"]) == ("FAILED", "ReleaseInvalid")
    assert told in ended["cause"]
    assert "plan" not in pipeline.settled(tag, "INVALID")
    assert pipeline.alias() == before
