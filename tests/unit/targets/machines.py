"""A state machine of Step Functions in memory, with the rules that AWS documents for versions, aliases and executions."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from botocore import xform_name
from botocore.loaders import create_loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from tests.unit.tables import aws_error

NAME = "storefront"
REGION = "arn:aws:states:eu-central-1:123456789012"
ARN = f"{REGION}:stateMachine:{NAME}"
ROLE = "arn:aws:iam::123456789012:role/storefront-states"
CHARGE = "arn:aws:lambda:eu-central-1:123456789012:function:storefront-charge:live"
NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
ACTIONS: Mapping[str, tuple[str, ...]] = {
    "describe_state_machine": ("states:DescribeStateMachine",),
    "describe_state_machine_alias": ("states:DescribeStateMachineAlias",),
    "list_state_machine_versions": ("states:ListStateMachineVersions",),
    "list_tags_for_resource": ("states:ListTagsForResource",),
    "list_executions": ("states:ListExecutions",),
    "create_state_machine_alias": ("states:CreateStateMachineAlias",),
    "update_state_machine_alias": ("states:UpdateStateMachineAlias",),
    "delete_state_machine_alias": ("states:DeleteStateMachineAlias",),
    "tag_resource": ("states:TagResource",),
    "untag_resource": ("states:UntagResource",),
    "update_state_machine": (
        "states:UpdateStateMachine",
        "states:PublishStateMachineVersion",  # because it publishes, too
        "iam:PassRole",
    ),
    "publish_state_machine_version": ("states:PublishStateMachineVersion",),
    "validate_state_machine_definition": ("states:ValidateStateMachineDefinition",),
    "start_execution": ("states:StartExecution",),
    "start_sync_execution": ("states:StartSyncExecution",),
    "describe_execution": ("states:DescribeExecution",),
    "get_object": ("s3:GetObjectVersion",),
}


def definition(*, after: str = "Ship", **states: Any) -> dict[str, Any]:
    """Charge, then another state."""
    return {
        "Comment": "An order.",
        "StartAt": "Charge",
        "States": {
            "Charge": {"Type": "Task", "Resource": CHARGE, "Next": after},
            after: {"Type": "Succeed"},
            **states,
        },
    }


class FakeStates:
    """One state machine with its versions, aliases, tags and executions, and the bucket that a release is pinned in."""

    def __init__(self) -> None:
        self.revisions = (f"revision-{number}" for number in itertools.count(1))
        self.latest: dict[str, Any] = {
            "stateMachineArn": ARN,
            "name": NAME,
            "status": "ACTIVE",
            "definition": json.dumps(definition()),
            "roleArn": ROLE,
            "type": "STANDARD",
            "loggingConfiguration": {"level": "OFF", "includeExecutionData": False},
            "revisionId": next(self.revisions),
        }
        self.versions: dict[str, dict[str, Any]] = {}
        self.aliases: dict[str, dict[str, Any]] = {}
        self.stale: dict[str, dict[str, Any]] | None = None
        """The aliases as they are still read, while reads are behind writes."""
        self.tags: dict[str, str] = {}
        self.executions: list[dict[str, Any]] = []
        self.ends_as = "SUCCEEDED"
        """How an execution ends, as soon as somebody looks."""
        self.diagnostics: list[dict[str, str]] = []
        self.now = NOW
        self.objects: dict[str, bytes] = {}
        self.made = 0
        self.writes = 0
        self.refused: tuple[str, Exception] | None = None
        self.others: Callable[[], object] | None = None
        self.moved: Callable[[], object] | None = None
        """Actions of others right before the alias's next write, once."""
        self.loses = False

    # ---- manual changes --------------------------------------------------------------------------------------------

    def change(self, **settings: Any) -> None:
        """Another revision of the state machine itself."""
        self.latest |= {**settings, "revisionId": next(self.revisions)}

    def publish(self) -> str:
        """A version of what the state machine is now; says its number."""
        for number, version in self.versions.items():
            if version["revisionId"] == self.latest["revisionId"]:
                return number
        self.made += 1
        number = str(self.made)
        self.versions[number] = {**deepcopy(self.latest), "stateMachineArn": f"{ARN}:{number}"}
        return number

    def point(self, routes: Mapping[str, int], alias: str = "live") -> None:
        """Moves the alias without a fencing number."""
        self.aliases.setdefault(alias, {"description": ""})["routes"] = dict(routes)

    def begin(self, name: str, *, version: str = "", alias: str = "", **how: Any) -> None:
        """Starts an execution."""
        self.executions.insert(
            0,
            {
                "name": name,
                "executionArn": f"{REGION}:execution:{NAME}:{name}",
                "status": "RUNNING",
                "startDate": self.now,
                **({"stateMachineVersionArn": f"{ARN}:{version}"} if version else {}),
                **({"stateMachineAliasArn": f"{ARN}:{alias}"} if alias else {}),
                **how,
            },
        )

    # ---- the state machine and its versions

    def describe_state_machine(self, *, stateMachineArn: str) -> dict[str, Any]:
        self._called("describe_state_machine")
        if stateMachineArn == ARN:
            return deepcopy(self.latest)
        return deepcopy(self._version(stateMachineArn))

    def update_state_machine(
        self, *, stateMachineArn: str, definition: str, publish: bool, versionDescription: str
    ) -> dict[str, Any]:
        def write() -> dict[str, Any]:
            self.change(definition=definition)
            self.writes += 1
            number = self.publish()
            self.versions[number]["description"] = versionDescription
            return {"stateMachineVersionArn": f"{ARN}:{number}", "revisionId": self.latest["revisionId"]}

        assert publish
        return self._written("update_state_machine", write)

    def publish_state_machine_version(
        self, *, stateMachineArn: str, revisionId: str, description: str
    ) -> dict[str, Any]:
        def write() -> dict[str, Any]:
            if revisionId != self.latest["revisionId"]:
                raise aws_error("ConflictException", message="Revision id does not match.")
            before, number = self.made, self.publish()
            self.writes += self.made - before
            self.versions[number].setdefault("description", description)
            return {"stateMachineVersionArn": f"{ARN}:{number}"}

        return self._written("publish_state_machine_version", write)

    def list_state_machine_versions(
        self, *, stateMachineArn: str, maxResults: int = 0, nextToken: str = ""
    ) -> dict[str, Any]:
        self._called("list_state_machine_versions")
        newest = sorted(self.versions, key=int, reverse=True)
        at, many = int(nextToken or 0), min(maxResults or 2, 400)
        return {
            "stateMachineVersions": [
                {"stateMachineVersionArn": f"{ARN}:{each}"} for each in newest[at : at + many]
            ],
            **({"nextToken": str(at + many)} if at + many < len(newest) else {}),
        }

    def validate_state_machine_definition(self, **asked: str) -> dict[str, Any]:
        assert asked.keys() == {"definition", "type", "severity"}
        self._called("validate_state_machine_definition")
        failed = any(each["severity"] == "ERROR" for each in self.diagnostics)
        return {"result": "FAIL" if failed else "OK", "diagnostics": self.diagnostics, "truncated": False}

    def delete_state_machine_version(self, *, stateMachineVersionArn: str) -> dict[str, Any]:
        number = _last(stateMachineVersionArn)
        if any(number in alias["routes"] for alias in self.aliases.values()):
            raise aws_error("ConflictException", message="Version is referenced by an alias.")
        self.versions.pop(number, None)
        return {}

    # ---- aliases

    def list_state_machine_aliases(self, *, stateMachineArn: str) -> dict[str, Any]:
        return {"stateMachineAliases": [{"stateMachineAliasArn": f"{ARN}:{name}"} for name in self.aliases]}

    def describe_state_machine_alias(self, *, stateMachineAliasArn: str) -> dict[str, Any]:
        self._called("describe_state_machine_alias")
        aliases = self.aliases if self.stale is None else self.stale
        if (found := aliases.get(_last(stateMachineAliasArn))) is None:
            raise aws_error("ResourceNotFound", message="Request references a resource that does not exist.")
        return {
            "stateMachineAliasArn": stateMachineAliasArn,
            "description": found["description"],
            "routingConfiguration": [
                {"stateMachineVersionArn": f"{ARN}:{version}", "weight": weight}
                for version, weight in found["routes"].items()
            ],
        }

    def create_state_machine_alias(
        self, *, name: str, description: str, routingConfiguration: list[dict[str, Any]]
    ) -> dict[str, Any]:
        def write() -> dict[str, Any]:
            content = {"description": description, "routes": self._routes(routingConfiguration)}
            if self.aliases.get(name, content) != content:  # the same request again is answered the same
                raise aws_error("ConflictException", message="State machine alias already exists.")
            self._count(name, content)
            self.aliases[name] = content
            return {"stateMachineAliasArn": f"{ARN}:{name}"}

        return self._written("create_state_machine_alias", write, alias=name)

    def update_state_machine_alias(
        self, *, stateMachineAliasArn: str, description: str, routingConfiguration: list[dict[str, Any]]
    ) -> dict[str, Any]:
        name = _last(stateMachineAliasArn)

        def write() -> dict[str, Any]:
            content = {"description": description, "routes": self._routes(routingConfiguration)}
            if name not in self.aliases:
                raise aws_error(
                    "ResourceNotFound", message="Request references a resource that does not exist."
                )
            self._count(name, content)
            self.aliases[name] = content
            return {"updateDate": NOW}

        return self._written("update_state_machine_alias", write, alias=name)

    def delete_state_machine_alias(self, *, stateMachineAliasArn: str) -> dict[str, Any]:
        def write() -> dict[str, Any]:
            if self.aliases.pop(_last(stateMachineAliasArn), None) is None:
                raise aws_error(
                    "ResourceNotFound", message="Request references a resource that does not exist."
                )
            self.writes += 1
            return {}

        return self._written("delete_state_machine_alias", write, alias=_last(stateMachineAliasArn))

    def list_tags_for_resource(self, *, resourceArn: str) -> dict[str, Any]:
        self._called("list_tags_for_resource")
        return {"tags": [{"key": key, "value": value} for key, value in self.tags.items()]}

    def tag_resource(self, *, resourceArn: str, tags: list[dict[str, str]]) -> None:
        self._written("tag_resource", lambda: self.tags.update({it["key"]: it["value"] for it in tags}))

    def untag_resource(self, *, resourceArn: str, tagKeys: list[str]) -> None:
        self._written("untag_resource", lambda: [self.tags.pop(key, None) for key in tagKeys])

    # ---- executions

    def list_executions(
        self, *, stateMachineArn: str, maxResults: int, statusFilter: str = "", nextToken: str = ""
    ) -> dict[str, Any]:
        """In pages of at most seven, whatever was asked for."""
        self._called("list_executions")
        if self.latest["type"] == "EXPRESS":
            raise aws_error("StateMachineTypeNotSupported", message="Not supported by this type.")
        found = [
            each
            for each in self.executions
            if (not statusFilter or each["status"] == statusFilter)
            and stateMachineArn in (ARN, each.get("stateMachineVersionArn"), each.get("stateMachineAliasArn"))
        ]
        at, many = int(nextToken or 0), min(maxResults, 7)
        more = {"nextToken": str(at + many)} if at + many < len(found) else {}
        return {"executions": deepcopy(found[at : at + many]), **more}

    def start_execution(self, *, stateMachineArn: str, name: str, **asked: str) -> dict[str, Any]:
        self._called("start_execution")
        if any(each["name"] == name and each["status"] != "RUNNING" for each in self.executions):
            raise aws_error("ExecutionAlreadyExists")
        if not any(each["name"] == name for each in self.executions):
            self._version(stateMachineArn)
            self.begin(name, version=_last(stateMachineArn), input=json.loads(asked["input"]))
        return {"executionArn": f"{REGION}:execution:{NAME}:{name}", "startDate": NOW}

    def start_sync_execution(self, *, stateMachineArn: str, **asked: str) -> dict[str, Any]:
        self._called("start_sync_execution")
        self._version(stateMachineArn)
        self.begin(
            "synthetic", version=_last(stateMachineArn), input=json.loads(asked["input"]), status=self.ends_as
        )
        return {
            "executionArn": f"{REGION}:express:{NAME}:synthetic",
            "status": self.ends_as,
            "error": "Refused",
            "cause": "the card",
        }

    def describe_execution(self, *, executionArn: str) -> dict[str, Any]:
        self._called("describe_execution")
        for each in self.executions:
            if each["executionArn"] == executionArn:
                if each["status"] == "RUNNING":
                    each |= {"status": self.ends_as, "error": "Refused", "cause": "the card"}
                return deepcopy(each)
        raise aws_error("ExecutionDoesNotExist")

    # ---- S3

    def get_object(self, *, Bucket: str, Key: str, VersionId: str) -> dict[str, Any]:
        self._called("get_object")
        return {"Body": io.BytesIO(self.objects[Key])}

    # ---- as conformance needs it

    def _version(self, arn: str) -> dict[str, Any]:
        if _last(arn) not in self.versions:
            raise aws_error("StateMachineDoesNotExist", message=f"State Machine Does Not Exist: '{arn}'")
        return self.versions[_last(arn)]

    def _routes(self, asked: list[dict[str, Any]]) -> dict[str, int]:
        if not 1 <= len(asked) <= 2 or sum(each["weight"] for each in asked) != 100:
            raise aws_error("ValidationException", message="The weights must add up to 100.")
        for each in asked:
            if _last(each["stateMachineVersionArn"]) not in self.versions:
                raise aws_error(
                    "ResourceNotFound", message="Request references a resource that does not exist."
                )
        return {_last(each["stateMachineVersionArn"]): each["weight"] for each in asked}

    def _count(self, name: str, content: Mapping[str, Any]) -> None:
        """A repeated write changes nothing; another alias is ignored."""
        self.writes += name == "live" and self.aliases.get(name) != content

    def _called(self, operation: str) -> None:
        if self.refused and self.refused[0] in ACTIONS[operation]:
            raise self.refused[1]

    def _written[T](self, operation: str, write: Callable[[], T], *, alias: str = "") -> T:
        self._called(operation)
        if others := self.others:
            self.others = None
            others()
        if alias == "live" and (moved := self.moved):
            self.moved = None
            moved()
        answer = write()
        return write() if self.loses and operation != "delete_state_machine_alias" else answer


class Checked:
    """The same with boto3's validation: an invalid request is refused here, too."""

    def __init__(self, states: FakeStates) -> None:
        self.states = states

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        shape = _shapes()[operation]

        def asked(**request: Any) -> Any:
            report = ParamValidator().validate(request, shape)
            assert not report.has_errors(), report.generate_report()
            return getattr(self.states, operation)(**request)

        return asked


@cache
def _shapes() -> dict[str, Any]:
    model = ServiceModel(create_loader().load_service_model("stepfunctions", "service-2"), "stepfunctions")
    return {xform_name(name): model.operation_model(name).input_shape for name in model.operation_names}


def _last(arn: str) -> str:
    return arn.rpartition(":")[2]


def ago(**how: float) -> datetime:
    """A moment before now."""
    return NOW - timedelta(**how)
