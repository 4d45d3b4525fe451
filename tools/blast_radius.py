"""Describes what a compromised function can do, from the template's policies: the table in
docs/security-blast-radius.md.

A permission without a description here stops the table, so a new permission must be described.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

READS, WRITES, CALLS, DECIDES = "reads", "writes", "calls", "can decide"
COLUMNS = (READS, WRITES, CALLS, DECIDES)

Words = tuple[tuple[str, str], ...]
"""The columns, and their contents."""

_LEDGER = ((READS, "the ledger"),)
_MAIL: Words = ((CALLS, "SES, from the one address"), (DECIDES, "send mail"))
_OPEN_QUERY = ((READS, "the ledger's index of open items"),)
_AWS_LOGS = ((WRITES, "its log and its traces"),)
_RULE = ((WRITES, "Step Functions' own rule on EventBridge"),)

_RIGHTS: Mapping[tuple[str, str], Words] = {
    ("dynamodb:GetItem", "Ledger"): _LEDGER,
    ("dynamodb:Query", "Ledger"): _LEDGER,
    ("dynamodb:Query", "Ledger/index/order"): _LEDGER,
    ("dynamodb:Query", "Ledger/index/open"): _OPEN_QUERY,
    ("s3:GetObject", "ReleaseBucket/releases/*"): ((READS, "every release's files"),),
    ("s3:GetObjectVersion", "ReleaseBucket/releases/*"): ((READS, "every release's files"),),
    ("s3:GetObjectVersionAttributes", "ReleaseBucket/releases/*"): ((READS, "every release's files"),),
    ("s3:ListBucket", "ReleaseBucket"): ((READS, "the names of every release's files"),),
    ("s3:PutObject", "EvidenceBucket/*"): ((WRITES, "new evidence, without overwriting any"),),
    ("ssm:GetParameter", "parameter/tagship/${Stage}/applications/*"): (
        (READS, "the stage's configurations"),
    ),
    ("ssm:PutParameter", "parameter/tagship/${Stage}/applications/*"): (
        (WRITES, "the stage's configurations"),
        (
            DECIDES,
            "change configurations (a guarded stage uses only those that the ledger shows as approved)",
        ),
    ),
    ("ssm:GetParametersByPath", "parameter/tagship/${Stage}/applications"): (
        (READS, "the stage's configurations"),
    ),
    ("kms:GenerateMac", "LinkKey"): ((CALLS, "KMS, to sign links"), (DECIDES, "create approval links")),
    ("kms:VerifyMac", "LinkKey"): ((CALLS, "KMS, to verify links"),),
    ("kms:VerifyMac", "DecisionKey"): ((CALLS, "KMS, to verify the command line's MACs"),),
    ("kms:Verify", "key/*"): ((CALLS, "KMS, to verify releases' signatures"),),
    ("kms:Decrypt", "TopicKey"): ((CALLS, "KMS, for the topic"),),
    ("kms:GenerateDataKey", "TopicKey"): ((CALLS, "KMS, for the topic"),),
    ("sts:AssumeRole", "TargetRolePattern"): (
        (CALLS, "applications' roles, with the external ID and the application's name"),
        (DECIDES, "change targets and move traffic, as far as the applications' roles allow"),
    ),
    ("sts:TagSession", "TargetRolePattern"): (),
    ("sts:AssumeRole", "arn:${AWS::Partition}:iam::*:role/tagship-to-*"): (
        (CALLS, "the next stage's promotion roles, with the application's name"),
        (DECIDES, "publish a release in the next stage (it still needs its approval there)"),
    ),
    ("sts:TagSession", "arn:${AWS::Partition}:iam::*:role/tagship-to-*"): (),
    ("ses:SendEmail", "identity/*"): _MAIL,
    ("ses:SendEmail", "configuration-set/*"): _MAIL,
    ("ses:SendRawEmail", "identity/*"): _MAIL,
    ("ses:SendRawEmail", "configuration-set/*"): _MAIL,
    ("states:SendTaskSuccess", "stateMachine:release"): (
        (CALLS, "Step Functions, to answer a waiting task"),
        (DECIDES, "wake a waiting release (which then follows the ledger)"),
    ),
    ("states:DescribeExecution", "execution:release:*"): ((READS, "executions"),),
    ("states:DescribeExecution", "execution:rollback:*"): ((READS, "executions"),),
    ("states:StopExecution", "execution:rollback:*"): ((DECIDES, "stop rollbacks"),),
    ("states:StartExecution", "ReleaseStateMachine"): (
        (CALLS, "the release machine"),
        (DECIDES, "start releases (each still needs its approval)"),
    ),
    ("states:StartExecution", "RollbackStateMachine"): (
        (CALLS, "the rollback machine"),
        (DECIDES, "start rollbacks"),
    ),
    ("events:PutEvents", "EventBus"): ((CALLS, "the event bus"), (DECIDES, "publish events")),
    ("sns:Publish", "NotificationTopic"): ((CALLS, "the topic"), (DECIDES, "publish to the topic")),
    ("sqs:SendMessage", "Notices"): ((WRITES, "the queue `Notices`"),),
    ("sqs:ChangeMessageVisibility", "Notices"): ((WRITES, "the queue `Notices`"),),
    ("sqs:SendMessage", "NoticesSetAside"): ((WRITES, "the queue `NoticesSetAside`"),),
    ("sqs:SendMessage", "BroadcastFailures"): ((WRITES, "the queue `BroadcastFailures`"),),
    # The roles that belong to no function.
    ("s3:PutObject", "ReleaseBucket/releases/${PublisherApplication}/*"): (
        (WRITES, "new releases of its application, without overwriting any"),
        (DECIDES, "publish a release (it still needs its approval)"),
    ),
    ("s3:GetObject", "ReleaseBucket/releases/${PublisherApplication}/*"): (
        (READS, "its application's releases"),
    ),
    ("kms:Sign", "key/*"): ((CALLS, "KMS, to sign releases with the key of one alias"),),
    ("events:PutTargets", "rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"): _RULE,
    ("events:PutRule", "rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"): _RULE,
    ("events:DescribeRule", "rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"): (),
}
_WHOLE_LEDGER: Words = (
    (WRITES, "the ledger, any item"),
    (DECIDES, "write any fact (a decision counts only with a valid MAC)"),
)
_DECISIONS: Words = (
    (
        WRITES,
        "in the ledger: facts, decisions, sign-ins and counters, but no release's plan, objects or configuration",
    ),
    (DECIDES, "record decisions (each counts only with a valid MAC, which this function cannot create)"),
)
_MARKS: Words = ((WRITES, "in the ledger: which notices were sent"),)
_CONDITION = re.compile(r"(Guards|Has|Is)[A-Z]\w+")
"""The name of the condition that an `!If` tests."""
_CALLED_BY = {
    "DynamoDB": "the ledger's stream",
    "SQS": "the queue `Notices`",
    "EventBridgeRule": "EventBridge",
    "SNS": "the alarm topic",
    "Schedule": "a schedule",
}
_READ_BY_EVENT = {"DynamoDB": "the ledger's stream", "SQS": "the queue `Notices`"}


@dataclass(slots=True)
class Radius:
    """Everything that one role can do."""

    name: str
    called_by: list[str] = field(default_factory=list)
    cells: dict[str, list[str]] = field(default_factory=lambda: {column: [] for column in COLUMNS})

    def add(self, words: Words) -> None:
        """Adds each description once, in the template's order."""
        for column, text in words:
            if text not in self.cells[column]:
                self.cells[column].append(text)

    def may(self, decision: str) -> bool:
        """Whether one of its decisions starts with this text."""
        return any(text.startswith(decision) for text in self.cells[DECIDES])


def functions(template: Mapping[str, Any]) -> list[Radius]:
    """Every function's radius, in the template's order."""
    resources = template["Resources"]
    found = []
    for name, resource in resources.items():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        own = resource["Properties"]
        radius = Radius(name.removesuffix("Function"))
        radius.called_by += ["anyone on the internet"] if "FunctionUrlConfig" in own else []
        radius.called_by += _machines_that_call(name, resources)
        for event in own.get("Events", {}).values():
            radius.called_by.append(_CALLED_BY[event["Type"]])
            if event["Type"] in _READ_BY_EVENT:
                radius.add(((READS, _READ_BY_EVENT[event["Type"]]),))
        for policy in own.get("Policies", ()):
            _add(radius, policy)
        if len(own.get("Policies", ())) != 1:
            raise SystemExit(f"tools/blast_radius.py: {name} has no policy of its own, or more than one.")
        found.append(radius)
    return found


def roles(template: Mapping[str, Any]) -> list[Radius]:
    """The other roles."""
    found = []
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::IAM::Role":
            radius = Radius(name)
            for policy in resource["Properties"].get("Policies", ()):
                _add(radius, policy["PolicyDocument"])
            found.append(radius)
    return found


def table(template: Mapping[str, Any]) -> str:
    """Both tables, as Markdown."""
    first = [
        (f"`{each.name}`", ", ".join(dict.fromkeys(each.called_by)), *_cells(each))
        for each in functions(template)
    ]
    second = [(f"`{each.name}`", *_cells(each)) for each in roles(template)]
    return "\n\n".join(
        [
            "### Functions",
            _markdown(("function", "called by", *COLUMNS), first),
            "### Other roles",
            _markdown(("role", *COLUMNS), second),
        ]
    )


def _cells(radius: Radius) -> Iterator[str]:
    for column in COLUMNS:
        yield "; ".join(radius.cells[column]) or "nothing"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _machines_that_call(function: str, resources: Mapping[str, Any]) -> list[str]:
    words = {
        "ReleaseStateMachineRole": "the release machine",
        "RollbackStateMachineRole": "the rollback machine",
    }
    return [
        text
        for role, text in words.items()
        if any(
            f"{function}.Arn" in _listed(statement.get("Resource"))
            for policy in resources[role]["Properties"]["Policies"]
            for statement in policy["PolicyDocument"]["Statement"]
        )
    ]


def _add(radius: Radius, policy: Mapping[str, Any]) -> None:
    for statement in policy["Statement"]:
        if statement["Effect"] != "Allow":
            raise SystemExit(f"tools/blast_radius.py has no words for a denial in {radius.name}.")
        for action in _listed(statement["Action"]):
            for name in _names(statement["Resource"]):
                radius.add(_words(radius.name, action, name, statement))


def _words(role: str, action: str, resource: str, statement: Mapping[str, Any]) -> Words:
    if action in ("dynamodb:PutItem", "dynamodb:UpdateItem") and resource == "Ledger":
        return _of_the_ledger(attributes_in(statement))
    if action == "dynamodb:GetItem" and keys_in(statement) == frozenset({"APPLICATION#*"}):
        return ((READS, "the ledger, without requests for approval and sessions"),)
    if action == "lambda:InvokeFunction":
        return ((CALLS, "every function that a state of it names"),)
    if resource == "*" and action.startswith(("logs:", "xray:")):
        return _AWS_LOGS
    try:
        return _RIGHTS[action, resource] if not action.startswith("secretsmanager:") else _secret(resource)
    except KeyError:
        raise SystemExit(
            f"tools/blast_radius.py has no words for what {role} may do: {action} on {resource}. Add them to _RIGHTS."
        ) from None


def _of_the_ledger(attributes: frozenset[str]) -> Words:
    """By the attributes that the permission is limited to; without any, all of them."""
    if not attributes:
        return _WHOLE_LEDGER
    return _DECISIONS if "decisions" in attributes else _MARKS


def attributes_in(statement: Mapping[str, Any]) -> frozenset[str]:
    """The attributes that a permission on the ledger is limited to; empty if it is not limited."""
    condition = statement.get("Condition", {}).get("ForAllValues:StringEquals", {})
    return frozenset(condition.get("dynamodb:Attributes", ()))


def keys_in(statement: Mapping[str, Any]) -> frozenset[str]:
    """The partition keys that a permission on the ledger is limited to; empty if it is not limited."""
    condition = statement.get("Condition", {}).get("ForAllValues:StringLike", {})
    return frozenset(_listed(condition.get("dynamodb:LeadingKeys")))


def _secret(resource: str) -> Words:
    return ((READS, f"the secrets `{resource.removeprefix('secret:').replace('${Stage}', '<stage>')}`"),)


def _names(resources: object) -> Iterator[str]:
    """A statement's resources in the terms of `_RIGHTS`; for a condition (`!If`), both branches."""
    if isinstance(resources, list):
        sides = resources[1:] if _CONDITION.fullmatch(str(resources[0])) else resources
        for each in sides:
            yield from _names(each)
    elif resources != "AWS::NoValue":
        text = re.sub(r"\$\{(\w+)\.Arn\}", r"\1", str(resources))
        text = re.sub(r"^arn:\$\{AWS::Partition\}:\w+:\$\{AWS::Region\}:(\$\{AWS::AccountId\}|\*):", "", text)
        text = text.replace("${AWS::StackName}-", "").removesuffix(".Arn")
        yield "LinkKey" if text in ("LinkKeyArn", "PreviousLinkKeyArn") else text


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value is not None else []
