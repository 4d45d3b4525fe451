"""A stack as CloudFormation keeps one, with the change sets, events and tokens that AWS documents, and its templates."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import botocore.session
from botocore import xform_name
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from tagship.model.release import Artifact, PinnedObject
from tagship.targets.cloudformation_stack import KIND, TEMPLATE, StackTarget
from tagship.targets.cloudformation_update import Stack
from tests.unit.tables import aws_error

SPEC = StackTarget(**{**KIND.example, "capabilities": tuple(KIND.example["capabilities"]), "alarms": ()})
RELEASES, KEY = "releases", "releases/storefront/v1.4.0/template.json"
PLACE = f"{SPEC.region}:{SPEC.account}"
STACK_ID = f"arn:aws:cloudformation:{PLACE}:stack/{SPEC.stack}/1f2e"
NO_CHANGES = (
    "The submitted information didn't contain changes. Submit different information to create a change set."
)


def template(value: str, *, kind: str = "AWS::SSM::Parameter", **more: Any) -> str:
    """One resource, `Price`, with this value; its parameters are `Size`, with a default, and `Secret`."""
    return json.dumps(
        {
            "Parameters": {
                "Size": {"Type": "String", "Default": "small"},
                "Secret": {"Type": "String", "Default": "x", "NoEcho": True},
            },
            "Resources": {"Price": {"Type": kind, "Properties": {"Value": value}}},
        }
        | more
    )


OLD, NEW, FOREIGN = template("old"), template("new"), template("by hand")


@cache
def _model(service: str) -> ServiceModel:
    found: ServiceModel = botocore.session.get_session().get_service_model(service)
    return found


@dataclass
class FakeStacks:
    """CloudFormation with one stack, and S3; `client` returns either, like a session."""

    uploads: dict[tuple[str, str, str], bytes] = field(
        default_factory=lambda: {(RELEASES, KEY, "7"): NEW.encode()}
    )
    kept: dict[str, bytes] = field(default_factory=dict)
    """The templates in the bucket, by key."""
    body: str = OLD
    parameters: dict[str, str] = field(default_factory=lambda: {"Size": "small", "Secret": "s3cr3t"})
    status: str = "UPDATE_COMPLETE"
    drift: str = "DRIFTED"
    policy: str = ""
    slow: bool = False
    """Operations stay in progress until `settle`."""
    fails: str = ""
    """Why the next update fails and is rolled back."""
    computes: str = "CREATE_COMPLETE"
    """The status of a new change set."""
    changes: list[dict[str, Any]] | None = None
    """Overrides the changes of every change set; by default they are computed from the templates."""
    nested: dict[str, dict[str, Any]] = field(default_factory=dict)
    sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By ARN."""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    writes: int = 0
    """How often something was done to the stack."""
    refused: tuple[str, Exception] | None = None
    others: Callable[[], object] | None = None
    loses: bool = False
    late: bool = False
    """DescribeStacks shows the state before the last event."""
    events: list[dict[str, Any]] = field(default_factory=list)
    before: tuple[str, dict[str, str]] | None = None
    """The state in which the operation in progress started."""
    to: str = ""
    counted: Any = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.updated = datetime(2026, 1, 1, tzinfo=UTC)
        self._event("UPDATE_COMPLETE", "")

    def client(self, service: str) -> Any:
        """Either service; each request must be valid for boto3."""
        model = _model(service)

        def asked(name: str) -> Callable[..., Any]:
            answer = getattr(self, name)
            operation = next(it for it in model.operation_names if xform_name(it) == name)
            shape = model.operation_model(operation).input_shape

            def checked(**request: Any) -> Any:
                assert shape is not None
                problems = ParamValidator().validate(request, shape)
                assert not problems.has_errors(), problems.generate_report()
                return answer(**request)

            return checked

        return type("Client", (), {"__getattr__": lambda _, name: asked(name)})()

    # ---- what people and AWS do --------------------------------------------------------------------------------------

    def by_hand(self, body: str = FOREIGN) -> None:
        """Somebody updates the stack with their own tool."""
        self._begin("", body, dict(self.parameters))
        self.settle()

    def settle(self) -> None:
        """The operation in progress ends."""
        if not self.status.endswith("_IN_PROGRESS"):
            return
        back = "ROLLBACK" in self.status
        if self.fails and not back:
            self._event(
                "UPDATE_FAILED", self.events[0]["ClientRequestToken"], resource="Price", why=self.fails
            )
            back, self.fails = True, ""
        assert self.before is not None
        if back:
            self.body, self.parameters = self.before
        self.status = "UPDATE_ROLLBACK_COMPLETE" if back else "UPDATE_COMPLETE"
        self._event(self.status, self.events[0]["ClientRequestToken"])
        for made in self.sets.values():
            if made["ExecutionStatus"] == "EXECUTE_IN_PROGRESS":
                made["ExecutionStatus"] = "EXECUTE_FAILED" if back else "EXECUTE_COMPLETE"

    def _begin(self, token: str, body: str, parameters: dict[str, str]) -> None:
        self.before = (self.body, self.parameters)
        self.updated += timedelta(minutes=next(self.counted))
        self.body, self.parameters, self.status = body, parameters, "UPDATE_IN_PROGRESS"
        self._event("UPDATE_IN_PROGRESS", token)
        for made in self.sets.values():
            if made["ExecutionStatus"] == "AVAILABLE":
                made["ExecutionStatus"] = "OBSOLETE"
        if not self.slow:
            self.settle()

    def _event(self, status: str, token: str, *, resource: str = SPEC.stack, why: str = "") -> None:
        event = {
            "EventId": str(next(self.counted)),
            "LogicalResourceId": resource,
            "PhysicalResourceId": STACK_ID if resource == SPEC.stack else resource,
            "ResourceStatus": status,
            "ClientRequestToken": token,
        }
        self.events.insert(0, event | ({"ResourceStatusReason": why} if why else {}))

    # ---- CloudFormation ----------------------------------------------------------------------------------------------

    def describe_stacks(self, *, StackName: str) -> dict[str, Any]:
        self._called("cloudformation:DescribeStacks", StackName=StackName)
        self._there(StackName)
        stack = {
            "StackId": STACK_ID,
            "StackStatus": self.events[1]["ResourceStatus"] if self.late else self.status,
            "CreationTime": datetime(2025, 1, 1, tzinfo=UTC),
            "LastUpdatedTime": self.updated,
            "Parameters": self._shown(self.parameters),
            "DriftInformation": {"StackDriftStatus": self.drift, "LastCheckTimestamp": self.updated},
            "EnableTerminationProtection": True,
        }
        return {"Stacks": [stack]}

    def describe_stack_events(self, *, StackName: str, NextToken: str = "0") -> dict[str, Any]:
        self._called("cloudformation:DescribeStackEvents", StackName=StackName)
        self._there(StackName)
        at = int(NextToken)
        page = {"StackEvents": [dict(event) for event in self.events[at : at + 2]]}
        return page | ({"NextToken": str(at + 2)} if at + 2 < len(self.events) else {})

    def describe_stack_resource_drifts(self, **asked: Any) -> dict[str, Any]:
        self._called("cloudformation:DescribeStackResourceDrifts", **asked)
        return {
            "StackResourceDrifts": [{"LogicalResourceId": "Price", "StackResourceDriftStatus": "MODIFIED"}]
        }

    def get_template(self, *, StackName: str, TemplateStage: str, ChangeSetName: str = "") -> dict[str, Any]:
        self._called("cloudformation:GetTemplate", StackName=StackName)
        assert TemplateStage == "Original"
        body = self._set(ChangeSetName)["body"] if ChangeSetName else self.body
        try:
            return {"TemplateBody": json.loads(body)}
        except ValueError:
            return {"TemplateBody": body}

    def get_template_summary(self, *, TemplateURL: str) -> dict[str, Any]:
        self._called("cloudformation:GetTemplateSummary", TemplateURL=TemplateURL)
        taken = json.loads(self._template(TemplateURL)).get("Parameters", {})
        return {
            "Parameters": [
                {"ParameterKey": name, "NoEcho": bool(it.get("NoEcho"))}
                | ({"DefaultValue": it["Default"]} if "Default" in it else {})
                for name, it in taken.items()
            ]
        }

    def get_stack_policy(self, *, StackName: str) -> dict[str, Any]:
        self._called("cloudformation:GetStackPolicy", StackName=StackName)
        return {"StackPolicyBody": self.policy} if self.policy else {}

    def create_change_set(self, **asked: Any) -> dict[str, Any]:
        self._called("cloudformation:CreateChangeSet", **asked)
        self._called("iam:PassRole")
        name, body = asked["ChangeSetName"], self._template(asked["TemplateURL"])
        if any(made["ChangeSetName"] == name for made in self.sets.values()):
            raise aws_error("AlreadyExistsException", message=f"ChangeSet {name} already exists")
        parameters = self._given(body, asked["Parameters"])
        same = (json.loads(body), parameters) == (json.loads(self.body), self.parameters)
        status = "FAILED" if same else self.computes
        arn = f"arn:aws:cloudformation:{PLACE}:changeSet/{name}/{next(self.counted)}"
        self.sets[arn] = {
            "ChangeSetId": arn,
            "ChangeSetName": name,
            "Status": status,
            "StatusReason": NO_CHANGES if same else "",
            "ExecutionStatus": "AVAILABLE" if status == "CREATE_COMPLETE" else "UNAVAILABLE",
            "Changes": self.changes if self.changes is not None else self._compared(body),
            "body": body,
            "parameters": parameters,
        }
        return {"Id": arn}

    def describe_change_set(
        self, *, ChangeSetName: str, StackName: str = "", NextToken: str = "0"
    ) -> dict[str, Any]:
        self._called("cloudformation:DescribeChangeSet", StackName=StackName)
        if ChangeSetName in self.nested:
            return self.nested[ChangeSetName]
        made = self._set(ChangeSetName)
        shown = {name: value for name, value in made.items() if name[0].isupper()}
        at = int(NextToken)
        shown |= {"Parameters": self._shown(made["parameters"]), "Changes": made["Changes"][at : at + 2]}
        return shown | ({"NextToken": str(at + 2)} if at + 2 < len(made["Changes"]) else {})

    def delete_change_set(self, *, StackName: str, ChangeSetName: str) -> None:
        self._called("cloudformation:DeleteChangeSet", StackName=StackName)
        self.sets.pop(ChangeSetName, None)

    def execute_change_set(self, *, StackName: str, ChangeSetName: str, ClientRequestToken: str) -> None:
        self._called("cloudformation:ExecuteChangeSet", StackName=StackName)
        self._written(lambda: self._execute(ChangeSetName, ClientRequestToken))

    def _execute(self, name: str, token: str) -> None:
        made = self._set(name)
        if made["ExecutionStatus"] != "AVAILABLE":
            raise aws_error(
                "InvalidChangeSetStatus", message=f"ChangeSet is in {made['ExecutionStatus']} status"
            )
        made["ExecutionStatus"] = "EXECUTE_IN_PROGRESS"
        self._begin(token, made["body"], made["parameters"])

    def update_stack(self, **asked: Any) -> None:
        self._called("cloudformation:UpdateStack", **asked)
        self._called("iam:PassRole")
        self._written(lambda: self._update(**asked))

    def _update(self, *, TemplateURL: str, Parameters: Any, ClientRequestToken: str, **_: Any) -> None:
        if self.events[0]["ClientRequestToken"] == ClientRequestToken:
            raise aws_error("TokenAlreadyExistsException", message="Token already exists")
        if self.status.endswith("_IN_PROGRESS"):
            raise aws_error(
                "ValidationError", message=f"Stack is in {self.status} state and can not be updated."
            )
        body = self._template(TemplateURL)
        parameters = self._given(body, Parameters)
        if (json.loads(body), parameters) == (json.loads(self.body), self.parameters):
            raise aws_error("ValidationError", message="No updates are to be performed.")
        self._begin(ClientRequestToken, body, parameters)

    def cancel_update_stack(self, *, StackName: str, ClientRequestToken: str) -> None:
        self._called("cloudformation:CancelUpdateStack", StackName=StackName)
        self._written(lambda: self._cancel(ClientRequestToken))

    def _cancel(self, token: str) -> None:
        if self.status != "UPDATE_IN_PROGRESS":
            raise aws_error(
                "ValidationError", message="CancelUpdateStack cannot be called from current stack status"
            )
        self.status = "UPDATE_ROLLBACK_IN_PROGRESS"
        self._event(self.status, token)

    # ---- S3 ----------------------------------------------------------------------------------------------------------

    def get_object(self, *, Bucket: str, Key: str, VersionId: str) -> dict[str, Any]:
        self._called("s3:GetObjectVersion")
        if (Bucket, Key, VersionId) not in self.uploads:
            raise aws_error("NoSuchKey", status=404)
        return {"Body": io.BytesIO(self.uploads[Bucket, Key, VersionId])}

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, IfNoneMatch: str, **_: str) -> None:
        self._called("s3:PutObject")
        assert (Bucket, IfNoneMatch) == (SPEC.bucket, "*")
        if Key in self.kept:
            raise aws_error("PreconditionFailed", status=412)
        self.kept[Key] = Body

    def list_objects_v2(self, *, Bucket: str, Prefix: str, MaxKeys: int = 1000) -> dict[str, Any]:
        self._called("s3:ListBucket")
        assert Bucket == SPEC.bucket
        found = [key for key in self.kept if key.startswith(Prefix)][:MaxKeys]
        contents = [
            {"Key": key, "Size": len(self.kept[key]), "LastModified": at} for at, key in enumerate(found)
        ]
        return {"KeyCount": len(found), "Contents": contents}

    def delete_object(self, *, Bucket: str, Key: str) -> None:
        self._called("s3:DeleteObject")
        assert Bucket == SPEC.bucket
        self.kept.pop(Key, None)

    # ---- between -----------------------------------------------------------------------------------------------------

    def _called(self, action: str, **asked: Any) -> None:
        self.calls.append((action, asked))
        if self.refused and self.refused[0] == action:
            raise self.refused[1]

    def _written(self, write: Callable[[], object]) -> None:
        if others := self.others:
            self.others = None
            others()
        write()
        self.writes += 1
        if self.loses:
            write()

    def _there(self, name: str) -> None:
        if name != SPEC.stack or self.status == "gone":
            raise aws_error("ValidationError", message=f"Stack with id {name} does not exist")

    def _set(self, name: str) -> dict[str, Any]:
        for arn, made in self.sets.items():
            if name in (arn, made["ChangeSetName"]):
                return made
        raise aws_error("ChangeSetNotFound", status=404, message=f"ChangeSet [{name}] does not exist")

    def _template(self, url: str) -> str:
        self._called("s3:GetObject")
        prefix = f"https://s3.{SPEC.region}.amazonaws.com/{SPEC.bucket}/"
        assert url.startswith(prefix)
        if url.removeprefix(prefix) not in self.kept:
            raise aws_error("ValidationError", message="S3 error: The specified key does not exist.")
        return self.kept[url.removeprefix(prefix)].decode()

    def _given(self, body: str, parameters: Any) -> dict[str, str]:
        taken = {name: it.get("Default", "") for name, it in json.loads(body).get("Parameters", {}).items()}
        for each in parameters:
            name = each["ParameterKey"]
            taken[name] = self.parameters[name] if each.get("UsePreviousValue") else each["ParameterValue"]
        return taken

    def _shown(self, parameters: Mapping[str, str]) -> list[dict[str, str]]:
        return [
            {"ParameterKey": name, "ParameterValue": "****" if name == "Secret" else value}
            for name, value in parameters.items()
        ]

    def _compared(self, body: str) -> list[dict[str, Any]]:
        old, new = (json.loads(each)["Resources"] for each in (self.body, body))
        return [
            {"ResourceChange": change("Modify", name, new[name]["Type"])}
            if name in old
            else {"ResourceChange": change("Add", name, new[name]["Type"])}
            for name in new
            if old.get(name) != new[name]
        ] + [{"ResourceChange": change("Remove", name, old[name]["Type"])} for name in old if name not in new]


def change(action: str, name: str, kind: str, *, replaced: str = "False", **more: Any) -> dict[str, Any]:
    """As DescribeChangeSet says it."""
    return {"Action": action, "LogicalResourceId": name, "ResourceType": kind, "Replacement": replaced} | more


def target(stacks: Any, *, tag: str = "v1.4.0", spec: StackTarget = SPEC) -> Stack:
    """The adapter, on these."""
    return Stack(application="storefront", tag=tag, spec=spec, client=stacks.client)


def artifacts(body: str = NEW, *, name: str = TEMPLATE) -> dict[str, tuple[Artifact, PinnedObject]]:
    """A release's artifacts."""
    content = body.encode()
    digest = hashlib.sha256(content).hexdigest()
    artifact = Artifact(name=name, file="template.json", sha256=digest, size=len(content))
    return {name: (artifact, PinnedObject(bucket=RELEASES, key=KEY, versionId="7", size=len(content)))}
