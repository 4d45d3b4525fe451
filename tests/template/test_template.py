"""The stack: described and bounded parameters, one small role for each function, every wildcard with its reason."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from tagship.ledger.table import application_key
from tagship.model.facts import ENDING_KINDS, FactKind
from tests.template.cloudformation import (
    PATH,
    Statement,
    functions,
    functions_beside_the_flow,
    resources,
    statements,
    statements_of,
    template,
)
from tests.template.definitions import MACHINES, ROOT, Body, function_of, snake, states_of
from tests.template.sources import everything_behind, module, modules

CONTRACT_PARAMETERS = (
    "Stage",
    "ValidationTimeoutSeconds",
    "DeploymentTimeoutSeconds",
    "HealthTimeoutSeconds",
    "RollbackTimeoutSeconds",
    "ApprovalTimeoutSeconds",
    "ApprovalBaseUrl",
    "LogRetentionDays",
)
CONTRACT_OUTPUTS = (
    "ReleaseBucketName",
    "ReleaseStateMachineArn",
    "RollbackStateMachineArn",
    "ApprovalUrl",
    "LedgerTableName",
    "NotificationTopicArn",
    "EventBusName",
    "DashboardUrl",
    "PublisherRoleArn",
)
STAGES = ("development", "staging", "production")

# Actions that AWS can't limit to a resource (Service Authorization Reference).
WITHOUT_A_RESOURCE = {
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
}
# Restricted actions: no other role in the whole template has them.
ONLY = {
    "kms:GenerateMac": {"RequestApprovalFunction", "RemindApproversFunction", "PauseRolloutFunction"},
    "kms:VerifyMac": {"ApprovalPageFunction", "RecheckReleaseFunction", "StoreConfigurationFunction"},
    "kms:Sign": {"PublisherRole"},
    "kms:Verify": {"RunGateFunction"},
    "ses:SendEmail": {"RequestApprovalFunction", "RemindApproversFunction", "PauseRolloutFunction"},
    "ssm:GetParameter": {
        *("ReadReleaseFunction", "StoreConfigurationFunction"),
        *("ApprovalPageFunction", "NotifyFunction"),  # whether GitHub's jobs may wait for the application
    },
    "ssm:PutParameter": {"StoreConfigurationFunction"},
    "ses:SendRawEmail": {"NotifyFunction"},
    "events:PutEvents": {"BroadcastFunction", "NotifyFunction"},
    "sns:Publish": {"NotifyFunction", "NotificationTopicPolicy", "AlarmTopicPolicy"},
    "lambda:InvokeFunction": {"ReleaseStateMachineRole", "RollbackStateMachineRole"},
    "states:StartExecution": {
        "UploadRuleRole",
        "SuperviseFunction",
        "WatchFunction",
        "SweepFunction",
        "ReleaseStateMachineRole",
    },
    "states:StopExecution": {"ReleaseStateMachineRole"},
    "s3:PutObject": {"PublisherRole", "PreserveFunction"},
    "dynamodb:Query": {
        "AcquireLockFunction",
        "PreserveFunction",
        "ReadReleaseFunction",
        "RequestApprovalFunction",
        "StoreConfigurationFunction",
        "RunGateFunction",
        "RecheckReleaseFunction",
        "WatchFunction",
        "SweepFunction",
        "PromoteFunction",
    },
    "secretsmanager:GetSecretValue": {
        "RequestApprovalFunction",
        "RemindApproversFunction",
        "PauseRolloutFunction",
        "NotifyFunction",
        "ApprovalPageFunction",
    },
}
ASKS = ("runtime.aws.client", "case.client", "means.client", "client", "self._client")
HANDED_TO = {
    "ApprovalPageFunction": "tagship.approval.page.opening",
    "NotifyFunction": "tagship.notices.",
    "ReadReleaseFunction": "tagship.intake.claiming",
    "RunGateFunction": "tagship.gates.",
}
"""Rooms that are handed `runtime.aws.client`, and ask it for what they need."""
LEDGERS = ("runtime.ledger", "release.ledger", "read.ledger")
LEDGER_ACTIONS = {"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:Query"}

KEYS = set(resources("AWS::KMS::Key"))

every_function = pytest.mark.parametrize("name", functions())
every_machine = pytest.mark.parametrize("machine", MACHINES)


# ---- parameters and outputs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", template()["Parameters"])
def test_every_parameter_is_described_and_bounded_and_has_a_default(name: str) -> None:
    parameter = template()["Parameters"][name]
    assert parameter["Description"].endswith((".", ")."))
    assert "Default" in parameter
    bounded = {"AllowedValues", "AllowedPattern"} & set(parameter) or {"MinValue", "MaxValue"} <= set(
        parameter
    )
    assert bounded
    assert parameter["Type"] == "Number" or "AllowedValues" in parameter or "AllowedPattern" in parameter


@pytest.mark.parametrize("name", template()["Parameters"])
def test_a_default_is_within_its_bounds(name: str) -> None:
    parameter = template()["Parameters"][name]
    default = parameter["Default"]
    if "AllowedValues" in parameter:
        assert default in parameter["AllowedValues"]
    elif "AllowedPattern" in parameter:
        assert re.fullmatch(parameter["AllowedPattern"], default)
        assert len(default) <= parameter.get("MaxLength", 4096)
    else:
        assert parameter["MinValue"] <= default <= parameter["MaxValue"]


@pytest.mark.parametrize("name", template()["Parameters"])
def test_every_parameter_is_used(name: str) -> None:
    body = (
        "\n".join(PATH.read_text().split("\nResources:\n")[0:1]) + PATH.read_text().split("\nResources:\n")[1]
    )
    uses = re.findall(rf"!Ref {name}\b|\$\{{{name}\}}", body)
    assert uses


def test_the_documented_parameters_and_outputs_exist() -> None:
    assert set(CONTRACT_PARAMETERS) <= set(template()["Parameters"])
    assert set(CONTRACT_OUTPUTS) <= set(template()["Outputs"])


@pytest.mark.parametrize("name", template()["Outputs"])
def test_every_output_has_a_description(name: str) -> None:
    assert template()["Outputs"][name]["Description"].endswith(".")


# ---- functions -----------------------------------------------------------------------------------------------------


@every_function
def test_every_function_has_a_description(name: str) -> None:
    assert functions()[name]["Description"].endswith(".")


@every_function
def test_a_functions_description_is_its_modules_docstring(name: str) -> None:
    folder = snake(name.removesuffix("Function"))
    docstring = ast.get_docstring(module(f"functions.{folder}").tree) or ""
    assert (
        docstring.splitlines()[0].split(": ", 1)[1].casefold() == functions()[name]["Description"].casefold()
    )


@every_function
def test_a_function_has_its_own_log_group_with_limited_retention(name: str) -> None:
    (logs,) = functions()[name]["LoggingConfig"]["LogGroup"].values()
    assert logs == name.removesuffix("Function") + "Logs"
    group = resources("AWS::Logs::LogGroup")[logs]
    assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    assert group["LogGroupName"] == {
        "Fn::Sub": f"/tagship/${{AWS::StackName}}/{snake(name.removesuffix('Function'))}"
    }


@every_function
def test_a_function_has_its_own_role_made_by_sam_from_its_policies(name: str) -> None:
    assert "Role" not in functions()[name]
    assert statements_of(name)
    assert all(isinstance(policy, dict) for policy in functions()[name]["Policies"]), "no managed policy"


@every_function
def test_a_function_runs_its_own_build(name: str) -> None:
    function = functions()[name]
    assert function["Runtime"] == "python3.13"
    assert function["Handler"] == "app.handler"
    assert function["Layers"][0] == {"Ref": "Layer"}
    for each in function["Layers"]:
        layer = resources("AWS::Serverless::LayerVersion")[each["Ref"]]
        assert layer["CompatibleRuntimes"] == [function["Runtime"]]
        assert layer["CompatibleArchitectures"] == function["Architectures"]


@every_function
def test_only_functions_that_verify_or_sign_tokens_have_the_cryptography_layer(name: str) -> None:
    """It is 16 MB, which every other cold start would unpack for nothing. Broadcast knows the channels and uses none."""
    behind = everything_behind(f"functions.{snake(name.removesuffix('Function'))}")
    verifies = any(
        (isinstance(node, ast.ImportFrom) and node.module == "jwt")
        or (isinstance(node, ast.Import) and node.names[0].name == "jwt")
        for each in behind
        for node in ast.walk(module(each).tree)
    )
    verifies = verifies and name != "BroadcastFunction"
    assert ({"Ref": "SignInLayer"} in functions()[name]["Layers"]) == verifies


@pytest.mark.parametrize("name", sorted(functions_beside_the_flow() - {"ApprovalPageFunction"}))
def test_undeliverable_events_are_kept(name: str) -> None:
    for event in functions()[name]["Events"].values():
        properties = event["Properties"]
        if event["Type"] == "SQS":
            queue = resources("AWS::SQS::Queue")[properties["Queue"]["Fn::GetAtt"][0]]
            assert queue["RedrivePolicy"]["deadLetterTargetArn"]
            assert queue["VisibilityTimeout"] >= 6 * functions()[name]["Timeout"]
            continue
        if event["Type"] == "Schedule":  # the next one finds what this one did not
            continue
        if event["Type"] == "SNS":
            assert properties["RedrivePolicy"]["deadLetterTargetArn"] == {
                "Fn::GetAtt": ["DeadLetters", "Arn"]
            }
            continue
        assert "MaximumRetryAttempts" in properties or "RetryPolicy" in properties
        if event["Type"] == "EventBridgeRule":
            assert properties["DeadLetterConfig"]["Arn"] == {"Fn::GetAtt": ["DeadLetters", "Arn"]}
            invoked = functions()[name]["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]
            assert invoked["Destination"] == {"Fn::GetAtt": ["DeadLetters", "Arn"]}
        else:
            assert properties["DestinationConfig"]["OnFailure"]["Type"] == "SQS"


def test_a_fact_that_cannot_be_broadcast_does_not_block_later_ones_forever() -> None:
    """Fault 51."""
    stream = functions()["BroadcastFunction"]["Events"]["Facts"]["Properties"]
    assert stream["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert stream["BisectBatchOnFunctionError"] is True
    assert stream["StartingPosition"] == "TRIM_HORIZON"
    assert stream["DestinationConfig"]["OnFailure"]["Destination"] == {
        "Fn::GetAtt": ["BroadcastFailures", "Arn"]
    }


def test_an_upload_event_that_cannot_start_a_release_is_kept() -> None:
    (target,) = resources("AWS::Events::Rule")["UploadRule"]["Targets"]
    assert target["DeadLetterConfig"]["Arn"] == {"Fn::GetAtt": ["DeadLetters", "Arn"]}
    assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] == 86400


@pytest.mark.parametrize("name", resources("AWS::SQS::Queue"))
def test_failure_queues_keep_messages_as_long_as_sqs_allows_and_encrypted(name: str) -> None:
    queue = resources("AWS::SQS::Queue")[name]
    assert queue["MessageRetentionPeriod"] == 1_209_600
    assert queue["SqsManagedSseEnabled"] is True


# ---- environment variables -----------------------------------------------------------------------------------------


def variable_of() -> dict[str, str]:
    """The environment's variable behind each setting, as settings.py reads it."""
    return {
        keyword.arg: str(node.value)
        for keyword in ast.walk(module("tagship.settings").tree)
        if isinstance(keyword, ast.keyword) and keyword.arg
        for node in ast.walk(keyword.value)
        if isinstance(node, ast.Constant) and str(node.value).startswith("TAGSHIP_")
    }


def used_settings(function: str) -> set[str]:
    """The settings that a function, or anything behind it, looks at."""
    return {
        node.attr
        for name in everything_behind(f"functions.{function}")
        for node in ast.walk(module(name).tree)
        if isinstance(node, ast.Attribute)
        and ast.unparse(node.value).endswith("settings")
        and node.attr in variable_of()
    }


@every_function
def test_a_function_receives_every_variable_it_reads(name: str) -> None:
    needed = {variable_of()[setting] for setting in used_settings(snake(name.removesuffix("Function")))}
    assert needed <= set(functions()[name]["Environment"]["Variables"])


@every_function
def test_a_function_receives_no_variable_it_does_not_read(name: str) -> None:
    own = set(resources("AWS::Serverless::Function")[name].get("Environment", {}).get("Variables", {}))
    assert own <= {variable_of()[setting] for setting in used_settings(snake(name.removesuffix("Function")))}


def test_every_variable_that_the_template_gives_is_read() -> None:
    given = {name for each in functions().values() for name in each["Environment"]["Variables"]}
    assert {name for name in given if name.startswith("TAGSHIP_")} <= set(variable_of().values())


def test_every_setting_that_is_read_is_given_to_a_function() -> None:
    given = {name for each in functions().values() for name in each["Environment"]["Variables"]}
    assert set(variable_of().values()) - given == set()


def test_no_variable_carries_a_secret() -> None:
    for name, function in functions().items():
        for variable, value in function["Environment"]["Variables"].items():
            assert "resolve:secretsmanager" not in str(value), f"{name}: {variable}"
            assert not re.search(r"SECRET|TOKEN|PASSWORD|WEBHOOK", variable), f"{name}: {variable}"


# ---- permissions ---------------------------------------------------------------------------------------------------


def allowed() -> list[Statement]:
    return [statement for statement in statements() if statement.effect == "Allow" and not statement.trusts]


@pytest.mark.parametrize("statement", [it for it in statements() if not it.trusts], ids=str)
def test_every_permission_has_its_reason_directly_above(statement: Statement) -> None:
    assert len(statement.reason) > 10


@pytest.mark.parametrize("statement", allowed(), ids=str)
def test_no_permission_uses_a_wildcard_action(statement: Statement) -> None:
    """Except the topic key's policy, which delegates to the account's policies, and those are checked here."""
    assert statement.resource == "TopicKey" or not [action for action in statement.actions if "*" in action]
    assert "NotAction" not in statement.body
    assert "NotResource" not in statement.body


@pytest.mark.parametrize("statement", [it for it in allowed() if "*" in it.on], ids=str)
def test_a_permission_on_every_resource_is_for_an_action_without_resources(statement: Statement) -> None:
    """Or one of a key's own policy, where everything is that key."""
    assert set(statement.actions) <= WITHOUT_A_RESOURCE or statement.resource in KEYS


@pytest.mark.parametrize("action", ONLY)
def test_restricted_actions_are_granted_only_to_the_listed_roles(action: str) -> None:
    granted = {it.resource for it in allowed() if action in it.actions and it.resource not in KEYS}
    assert granted == ONLY[action]


def test_roles_that_sign_links_cannot_verify_them_and_vice_versa() -> None:
    assert not ONLY["kms:GenerateMac"] & ONLY["kms:VerifyMac"]


def role_of(function: str) -> Body:
    """CloudFormation's name of a function's role, without the random suffix."""
    return {
        "Fn::Sub": f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/${{AWS::StackName}}-{function}Role-*"
    }


def test_the_link_keys_policy_lets_only_the_senders_sign() -> None:
    """Whatever a policy of the account says, an administrator's among them: who could sign could approve."""
    of_the_key = [it for it in statements() if it.resource == "LinkKey"]
    senders = [role_of(f"{name}Function") for name in ("RequestApproval", "RemindApprovers", "PauseRollout")]
    signing = [it for it in of_the_key if "kms:GenerateMac" in it.actions]
    assert [(it.effect, it.body["Condition"]) for it in signing] == [
        ("Allow", {"ArnLike": {"aws:PrincipalArn": senders}}),
        ("Deny", {"ArnNotLike": {"aws:PrincipalArn": senders}}),
    ]
    assert signing[1].body["Principal"] == "*"
    (verifying,) = [it for it in of_the_key if "kms:VerifyMac" in it.actions]
    assert verifying.body["Condition"] == {
        "ArnLike": {"aws:PrincipalArn": [role_of("ApprovalPageFunction"), *RECHECKING]}
    }
    (administering,) = [it for it in of_the_key if it not in (*signing, verifying)]
    assert not [it for it in administering.actions if "*" in it or "Grant" in it.replace("ListGrants", "")]


RECHECKING: list[Body] = [
    role_of("RecheckReleaseFunction"),
    {  # CloudFormation cuts the end of a long name
        "Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/${AWS::StackName}-StoreConfigurationFunction*"
    },
]


def test_no_function_can_create_the_command_lines_proof() -> None:
    """Above all the page's role. The account's IAM policies say who can."""
    of_the_key = [it for it in statements() if it.resource == "DecisionKey"]
    (denied,) = [it for it in of_the_key if it.effect == "Deny"]
    every_function = role_of("*")["Fn::Sub"].replace("Role-*", "Function*")
    assert (denied.actions, denied.body["Principal"]) == (("kms:GenerateMac",), "*")
    assert denied.body["Condition"] == {"ArnLike": {"aws:PrincipalArn": {"Fn::Sub": every_function}}}
    (verifying,) = [it for it in of_the_key if "kms:VerifyMac" in it.actions]
    assert verifying.body["Condition"] == {"ArnLike": {"aws:PrincipalArn": RECHECKING}}
    assert not [it for it in allowed() if "DecisionKey" in str(it.on) and "kms:GenerateMac" in it.actions]


def test_sending_mail_is_allowed_with_any_configuration_set() -> None:
    """Fault 64: SES asks for a right on the identity's default configuration set too, and refuses the mail without it."""
    for statement in allowed():
        if statement.actions[0].startswith("ses:"):
            kinds = [str(it["Fn::Sub"]).rsplit(":", 1)[-1] for it in statement.on]
            assert kinds == ["identity/*", "configuration-set/*"], statement


def test_only_the_release_machines_tasks_can_be_answered() -> None:
    """Fault 80."""
    machine = (
        "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:stateMachine:${AWS::StackName}-release"
    )
    assert resources("AWS::Serverless::StateMachine")["ReleaseStateMachine"]["Name"] == {
        "Fn::Sub": "${AWS::StackName}-release"
    }
    answering = [it for it in allowed() if "states:SendTaskSuccess" in it.actions]
    assert len(answering) == 5
    assert {str(it.on) for it in answering} == {str(({"Fn::Sub": machine},))}


def test_every_stages_page_has_reserved_concurrency() -> None:
    """A flood on one stage's page starves no other stage's releases where they share an account."""
    page = functions()["ApprovalPageFunction"]["ReservedConcurrentExecutions"]
    assert page == {"Fn::If": ["ReservesPage", {"Ref": "ApprovalPageConcurrency"}, {"Ref": "AWS::NoValue"}]}
    assert template()["Conditions"]["ReservesPage"] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "ApprovalPageConcurrency"}, 0]}]
    }
    assert template()["Parameters"]["ApprovalPageConcurrency"]["Default"] > 0
    for stage in STAGES:
        assert "ApprovalPageConcurrency=0" not in stages()[stage]["parameter_overrides"]


def test_productions_rollback_has_reserved_concurrency() -> None:
    rollback = functions()["RestoreBaselineFunction"]["ReservedConcurrentExecutions"]
    assert rollback == {
        "Fn::If": ["ReservesRollback", {"Ref": "RollbackConcurrency"}, {"Ref": "AWS::NoValue"}]
    }
    assert template()["Conditions"]["ReservesRollback"] == {
        "Fn::And": [
            {"Fn::Equals": [{"Ref": "Stage"}, "production"]},
            {"Fn::Not": [{"Fn::Equals": [{"Ref": "RollbackConcurrency"}, 0]}]},
        ]
    }
    assert template()["Parameters"]["RollbackConcurrency"]["Default"] > 0


def test_the_page_can_read_only_secrets_that_verify_requests() -> None:
    """It is the one function that anybody on the internet can call: no GitHub token, and no key of a GitHub App."""
    found = [
        str(it.body["Resource"]["Fn::Sub"]).partition(":secret:")[2]
        for it in allowed()
        if it.resource == "ApprovalPageFunction" and "secretsmanager:GetSecretValue" in it.actions
    ]
    assert found == ["tagship/${Stage}/*/slack*", "tagship/${Stage}/*/github-webhook-*"]
    assert not any(
        fnmatchcase(f"tagship/production/storefront/{name}-1a2B3c", each.replace("${Stage}", "production"))
        for each in found
        for name in ("github", "github-app")
    )


def test_nobody_can_delete_or_list_the_ledger() -> None:
    actions = {
        action for statement in allowed() for action in statement.actions if action.startswith("dynamodb:")
    }
    assert actions <= LEDGER_ACTIONS
    assert "PartiQLDelete" not in " ".join(actions)


def test_a_function_that_only_reads_the_ledger_cannot_write_it() -> None:
    rights: dict[str, set[str]] = {}
    for statement in allowed():
        actions = {action for action in statement.actions if action.startswith("dynamodb:")}
        rights.setdefault(statement.resource, set()).update(actions)
    writing = {"dynamodb:PutItem", "dynamodb:UpdateItem"}
    assert {name for name, actions in rights.items() if actions and not actions & writing} == {
        *("RunGateFunction", "AwaitStableFunction", "CheckHealthFunction"),
        *("BroadcastFunction", "PreserveFunction"),
    }


def test_broadcast_cannot_read_requests_for_approval() -> None:
    """They contain task tokens. What it reads is an application's: a release, and the jobs that wait for it."""
    (reading,) = [
        it for it in allowed() if it.resource == "BroadcastFunction" and "dynamodb:GetItem" in it.actions
    ]
    keys = reading.body["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
    assert fnmatchcase(application_key("storefront"), keys) and not fnmatchcase("APPROVAL#1", keys)


PROMOTES = "PromoteFunction"
ROLES_OF_TARGETS = ({"Ref": "TargetRolePattern"},)
ROLES_OF_PROMOTIONS = ({"Fn::Sub": "arn:${AWS::Partition}:iam::*:role/tagship-to-*"},)


def test_no_function_has_direct_permissions_on_a_target() -> None:
    """Only the application's own role has, and only roles of one pattern can be assumed."""
    targets = ("lambda:", "cloudformation:", "ecs:", "cloudfront:")
    for statement in allowed():
        if statement.resource.endswith("Function"):
            assert not [action for action in statement.actions if action.startswith(targets)], statement
            if statement.actions[0].startswith("sts:"):
                assert statement.on == (
                    ROLES_OF_PROMOTIONS if statement.resource == PROMOTES else ROLES_OF_TARGETS
                )
                assert set(statement.body["Condition"]["StringEquals"]) == {"aws:ResourceAccount"}


def test_a_role_is_assumed_only_with_its_external_id_and_application_name() -> None:
    """So a function in wrong hands can't assume a role that asks for neither."""
    tagged = {"aws:RequestTag/Application": "false"}
    for statement in allowed():
        if statement.actions == ("sts:AssumeRole",):
            assert statement.body["Condition"]["Null"] == {"sts:ExternalId": "false", **tagged}
        elif "sts:TagSession" in statement.actions:
            assert statement.actions == ("sts:TagSession",)
            assert statement.body["Condition"]["Null"] == tagged


def test_no_stack_role_can_be_assumed_as_an_applications_role() -> None:
    """The publisher's role above all: who assumed it could sign and upload releases."""
    pattern = template()["Parameters"]["TargetRolePattern"]["Default"].rsplit("/", 1)[-1]
    roles = [*resources("AWS::IAM::Role"), *(f"{name}Role" for name in functions())]
    for stage in STAGES:
        for role in roles:
            assert not fnmatchcase(f"{stages()[stage]['stack_name']}-{role}-1A2B3C4D5E6F", pattern), role
    assert fnmatchcase("tagship-app-storefront", pattern)


ROLES = ("runtime.client_as", "release.client_as", "release.target", "runtime.aws.client_as")
"""Functions that act in the application's role."""


@every_function
def test_a_function_has_permissions_only_on_services_that_it_calls(name: str) -> None:
    asked = set()
    trees = [module(f"functions.{snake(name.removesuffix('Function'))}").tree]
    room = HANDED_TO.get(name)
    if room:
        trees += [it.tree for it in modules() if it.name.startswith(room)]
    if name in ONLY["ses:SendEmail"]:  # hand it over too, with a shorter time to answer
        trees.append(module("tagship.approval.request.request").tree)
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ASKS:
            service = str(ast.literal_eval(node.args[0]))
            asked.add("states" if service == "stepfunctions" else service)
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in LEDGERS:
            asked.add("dynamodb")
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in ROLES:
            asked.add("sts")
        elif isinstance(node, ast.Attribute) and ast.unparse(node) == "release.record":
            asked.add("dynamodb")
    granted = {action.split(":")[0] for statement in statements_of(name) for action in statement.actions}
    if "sns" in asked:
        asked.add("kms")  # SNS uses the topic's key on behalf of the publisher
    assert granted == asked


def test_no_policy_passes_roles_or_changes_iam() -> None:
    for statement in allowed():
        assert not [action for action in statement.actions if action.startswith("iam:")], statement


@every_machine
def test_a_machine_can_invoke_only_what_its_states_invoke(machine: str) -> None:
    role = f"{machine.title()}StateMachineRole"
    own = resources("AWS::Serverless::StateMachine")[f"{machine.title()}StateMachine"]["Role"]
    assert own == {"Fn::GetAtt": [role, "Arn"]}
    granted = [str(on) for it in statements_of(role) if "lambda:InvokeFunction" in it.actions for on in it.on]
    called = {function_of(state) for state in states_of(machine)} - {None}
    assert sorted(granted) == sorted(str({"Fn::GetAtt": [name, "Arn"]}) for name in called)


@every_machine
def test_a_machine_may_start_executions_only_if_a_state_does(machine: str) -> None:
    role = f"{machine.title()}StateMachineRole"
    granted = {
        target["Ref"]
        for it in statements_of(role)
        if "states:StartExecution" in it.actions
        for target in it.on
    }
    started = {
        str(state.body["Parameters"]["StateMachineArn"]).removeprefix("${").removesuffix("Arn}")
        for state in states_of(machine)
        if "startExecution" in state.body.get("Resource", "")
    }
    assert granted == started


def trusting() -> list[Statement]:
    return [statement for statement in statements() if statement.trusts]


@pytest.mark.parametrize("statement", trusting(), ids=str)
def test_a_service_role_can_be_assumed_only_on_behalf_of_this_account(statement: Statement) -> None:
    principal = statement.body["Principal"]
    if "Service" in principal:
        assert statement.body["Condition"] == {
            "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
        }
    assert principal != "*"


def test_a_publisher_is_a_tag_or_environment_of_one_repository_or_this_account() -> None:
    (choice,) = resources("AWS::IAM::Role")["PublisherRole"]["AssumeRolePolicyDocument"]["Statement"]
    condition, federated, _ = choice["Fn::If"]
    assert condition == "HasPublisherRepository"
    assert federated["Condition"] == {
        "StringEquals": {"token.actions.githubusercontent.com:aud": "sts.amazonaws.com"},
        "StringLike": {
            "token.actions.githubusercontent.com:sub": {
                "Fn::If": [
                    "HasPublisherEnvironment",
                    {"Fn::Sub": "repo:${PublisherRepository}:environment:${PublisherEnvironment}"},
                    {"Fn::Sub": "repo:${PublisherRepository}:ref:refs/tags/${PublisherTags}"},
                ]
            }
        },
    }


@pytest.mark.parametrize(
    "parameter, good, bad",
    [
        (
            "PublisherTags",
            ["v*", "storefront/v*", "storefront@*", "@acme/storefront@*", "web-v1.?.*", "*"],
            ["", "v*:environment:x", 'v*"', "/v*", "v 1", "*v"],
        ),
        (
            "PublisherRepository",
            ["", "acme/storefront", "acme@123456/store.front@456789"],
            [
                "acme",
                "acme/*",
                "*/storefront",
                "acme/store?ront",
                "acme@x/storefront",
                "acme/a:ref:b",
                "a/b/c",
            ],
        ),
        (
            "PublisherEnvironment",
            ["", "production", "production/eu-1"],
            ["*", "prod*", "prod?", "a:b", "a b"],
        ),
        (
            "PublisherSigningAlias",
            ["alias/tagship-release-signing"],
            ["", "alias/*", "alias/tagship-*", "alias/other", "alias/aws/s3"],
        ),
    ],
)
def test_a_publishers_subject_names_one_publisher_without_wildcards(
    parameter: str, good: list[str], bad: list[str]
) -> None:
    pattern = template()["Parameters"][parameter]["AllowedPattern"]
    assert [text for text in good if not re.fullmatch(pattern, text)] == []
    assert [text for text in bad if re.fullmatch(pattern, text)] == []


def test_a_publisher_uploads_for_one_application_and_deletes_nothing() -> None:
    objects, key = statements_of("PublisherRole")
    assert set(objects.actions) == {"s3:PutObject", "s3:GetObject"}
    assert objects.on == ({"Fn::Sub": "${ReleaseBucket.Arn}/releases/${PublisherApplication}/*"},)
    assert key.actions == ("kms:Sign",)
    assert key.body["Condition"] == {"StringEquals": {"kms:RequestAlias": {"Ref": "PublisherSigningAlias"}}}


def test_a_gate_can_verify_only_with_keys_of_our_aliases() -> None:
    (verify,) = [it for it in statements_of("RunGateFunction") if "kms:Verify" in it.actions]
    assert verify.body["Condition"] == {"StringLike": {"kms:RequestAlias": "alias/tagship-*"}}
    assert verify.on == ({"Fn::Sub": "arn:${AWS::Partition}:kms:${AWS::Region}:*:key/*"},)


# ---- what is kept --------------------------------------------------------------------------------------------------


every_bucket = pytest.mark.parametrize("name", resources("AWS::S3::Bucket"))


def bucket(name: str = "ReleaseBucket") -> Body:
    return resources("AWS::S3::Bucket")[name]


def policy_of_the_bucket(sid: str, name: str = "ReleaseBucket") -> Body:
    document = resources("AWS::S3::BucketPolicy")[f"{name}Policy"]["PolicyDocument"]
    (statement,) = [it for it in document["Statement"] if it.get("Sid") == sid]
    found: Body = statement
    return found


@every_bucket
def test_a_bucket_is_versioned_private_and_encrypted(name: str) -> None:
    assert bucket(name)["VersioningConfiguration"]["Status"] == "Enabled"
    assert set(bucket(name)["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket(name)["PublicAccessBlockConfiguration"]) == 4
    assert bucket(name)["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert bucket(name)["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]


def test_the_release_bucket_emits_upload_events() -> None:
    assert bucket()["NotificationConfiguration"]["EventBridgeConfiguration"]["EventBridgeEnabled"] is True


@every_bucket
def test_unencrypted_requests_to_a_bucket_are_denied(name: str) -> None:
    statement = policy_of_the_bucket("TlsOnly", name)
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert len(statement["Resource"]) == 2


def test_no_object_of_a_release_can_be_overwritten() -> None:
    """Faults 4 and 5. The beginning and the parts of an upload in parts can't say If-None-Match; its end must."""
    statement = policy_of_the_bucket("WrittenOnce")
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:PutObject")
    assert statement["Resource"] == {"Fn::Sub": "${ReleaseBucket.Arn}/releases/*"}
    assert statement["Condition"] == {
        "Null": {"s3:if-none-match": "true"},
        "Bool": {"s3:ObjectCreationOperation": "true"},
    }


def test_evidence_is_written_once_by_one_function_and_locked() -> None:
    assert bucket("EvidenceBucket")["ObjectLockEnabled"] is True
    assert bucket("EvidenceBucket")["ObjectLockConfiguration"]["Rule"]["DefaultRetention"] == {
        "Mode": {"Ref": "EvidenceLockMode"},
        "Days": {"Ref": "EvidenceRetentionDays"},
    }
    once = policy_of_the_bucket("OnlyOnce", "EvidenceBucket")
    assert (once["Effect"], once["Action"]) == ("Deny", "s3:PutObject")
    assert once["Condition"] == {"Null": {"s3:if-none-match": "true"}}
    only = policy_of_the_bucket("OnlyPreserve", "EvidenceBucket")
    assert (only["Effect"], only["Principal"], only["Action"]) == ("Deny", "*", "s3:PutObject")
    assert only["Condition"] == {
        "ArnNotEquals": {"aws:PrincipalArn": {"Fn::GetAtt": ["PreserveFunctionRole", "Arn"]}}
    }
    lock = policy_of_the_bucket("LockStays", "EvidenceBucket")
    assert "s3:BypassGovernanceRetention" in lock["Action"] and lock["Effect"] == "Deny"
    hidden = policy_of_the_bucket("NothingIsHidden", "EvidenceBucket")
    assert (hidden["Effect"], hidden["Principal"]) == ("Deny", "*")
    assert hidden["Action"] == ["s3:DeleteObject", "s3:PutLifecycleConfiguration"]
    assert hidden["Resource"] == [
        {"Fn::GetAtt": ["EvidenceBucket", "Arn"]},
        {"Fn::Sub": "${EvidenceBucket.Arn}/*"},
    ]
    assert "Condition" not in hidden
    assert "LifecycleConfiguration" not in bucket("EvidenceBucket")


def test_every_ending_stores_evidence() -> None:
    (pattern,) = functions()["PreserveFunction"]["Events"]["Endings"]["Properties"]["FilterCriteria"][
        "Filters"
    ]
    image = json.loads(pattern["Pattern"])["dynamodb"]["NewImage"]
    assert image == {
        "kind": {"S": ["fact"]},
        "name": {"S": [kind for kind in FactKind if kind in ENDING_KINDS]},
    }


def test_at_most_two_consumers_read_the_stream() -> None:
    reading = [
        name
        for name, function in functions().items()
        for event in function.get("Events", {}).values()
        if event["Type"] == "DynamoDB"
    ]
    assert reading == ["BroadcastFunction", "PreserveFunction"]


def test_other_accounts_can_read_releases_only_if_the_stack_deploys_to_them() -> None:
    (choice,) = [
        it["Fn::If"]
        for it in resources("AWS::S3::BucketPolicy")["ReleaseBucketPolicy"]["PolicyDocument"]["Statement"]
        if "Fn::If" in it
    ]
    condition, statement, otherwise = choice
    assert (condition, otherwise) == ("HasAllowedAccounts", {"Ref": "AWS::NoValue"})
    assert statement["Action"] == "s3:GetObjectVersion"
    assert statement["Principal"] == {"AWS": {"Fn::Split": [",", {"Ref": "AllowedAccountIds"}]}}
    assert statement["Condition"] == {"ArnLike": {"aws:PrincipalArn": {"Ref": "TargetRolePattern"}}}


def test_no_role_in_an_account_outside_the_allowed_list_can_be_assumed() -> None:
    accounts = {
        "Fn::If": [
            "HasAllowedAccounts",
            {"Fn::Split": [",", {"Ref": "AllowedAccountIds"}]},
            {"Ref": "AWS::AccountId"},
        ]
    }
    next_stage = {"Fn::If": ["HasPromotionAccount", {"Ref": "PromotionAccountId"}, {"Ref": "AWS::AccountId"}]}
    assuming = [it for it in allowed() if it.actions[0].startswith("sts:")]
    assert len(assuming) >= 2 * 8
    for statement in assuming:
        account = next_stage if statement.resource == PROMOTES else accounts
        assert statement.body["Condition"]["StringEquals"] == {"aws:ResourceAccount": account}
    variable = template()["Globals"]["Function"]["Environment"]["Variables"]["TAGSHIP_ALLOWED_ACCOUNTS"]
    assert variable == {
        "Fn::If": ["HasAllowedAccounts", {"Ref": "AllowedAccountIds"}, {"Ref": "AWS::AccountId"}]
    }


def test_the_lifecycle_deletes_no_release() -> None:
    for rule in bucket()["LifecycleConfiguration"]["Rules"]:
        assert not [name for name in rule if "Expiration" in name], rule


def test_the_ledger_is_on_demand_restorable_encrypted_and_streamed() -> None:
    (ledger,) = resources("AWS::DynamoDB::Table").values()
    assert ledger["BillingMode"] == "PAY_PER_REQUEST"
    assert ledger["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    assert ledger["SSESpecification"]["SSEEnabled"] is True
    assert ledger["StreamSpecification"]["StreamViewType"] == "NEW_IMAGE"
    assert "TimeToLiveSpecification" not in ledger
    assert ledger["DeletionProtectionEnabled"] == {"Fn::If": ["IsProduction", True, False]}


@pytest.mark.parametrize("name", ["ReleaseBucket", "EvidenceBucket", "Ledger", "LinkKey"])
def test_irreplaceable_resources_are_retained_when_the_stack_is_deleted(name: str) -> None:
    resource = template()["Resources"][name]
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_no_machine_log_contains_a_task_token() -> None:
    for machine in resources("AWS::Serverless::StateMachine").values():
        assert machine["Logging"]["IncludeExecutionData"] is False
        assert machine["Logging"]["Destinations"]
        assert machine["Tracing"]["Enabled"] is True


@pytest.mark.parametrize("name", resources("AWS::Logs::LogGroup"))
def test_every_log_group_has_a_retention(name: str) -> None:
    assert resources("AWS::Logs::LogGroup")[name]["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_the_page_is_the_only_public_endpoint() -> None:
    doors = {name for name, function in functions().items() if "FunctionUrlConfig" in function}
    assert doors == {"ApprovalPageFunction"}
    assert resources("AWS::Serverless::Api") == resources("AWS::Serverless::HttpApi") == {}


# ---- three stages --------------------------------------------------------------------------------------------------


def stages() -> dict[str, Any]:
    configuration = tomllib.loads((ROOT / "samconfig.toml").read_text())
    found = {
        name: part["deploy"]["parameters"] for name, part in configuration.items() if isinstance(part, dict)
    }
    return {
        re.search(r"\bStage=(\w+)", parameters["parameter_overrides"])[1]: parameters  # type: ignore[index]
        for parameters in found.values()
        if "stack_name" in parameters
    }


def test_there_are_three_stages_with_separate_stacks() -> None:
    assert set(stages()) == set(STAGES) == set(template()["Parameters"]["Stage"]["AllowedValues"])
    assert {stage: parameters["stack_name"] for stage, parameters in stages().items()} == {
        stage: f"tagship-{stage}" for stage in STAGES
    }


def test_production_changes_only_after_a_person_reviews_the_change_set() -> None:
    assert stages()["production"]["confirm_changeset"] is True


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_sets_only_existing_parameters_to_allowed_values(stage: str) -> None:
    for pair in stages()[stage]["parameter_overrides"].split():
        name, value = pair.split("=", 1)
        allowed_values = template()["Parameters"][name].get("AllowedValues")
        assert allowed_values is None or value in map(str, allowed_values)


def test_no_resource_name_would_collide_between_two_stages_in_one_account() -> None:
    naming = (
        "Name",
        "FunctionName",
        "RoleName",
        "TableName",
        "BucketName",
        "QueueName",
        "TopicName",
        "LogGroupName",
    )
    for name, resource in template()["Resources"].items():
        for field in (*naming, "DashboardName", "AlarmName"):
            value = resource.get("Properties", {}).get(field)
            assert value is None or "${AWS::StackName}" in value.get("Fn::Sub", ""), f"{name}.{field}"


# ---- the tools' own opinion ----------------------------------------------------------------------------------------


@pytest.fixture
def clean(tmp_path: Path) -> dict[str, str]:
    """An environment in which no tool finds anything of this machine's."""
    engine = ROOT / ".venv-engine" / "bin"
    return {
        "PATH": f"{engine}:{os.defpath}",
        "HOME": str(tmp_path),
        "SAM_CLI_TELEMETRY": "0",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def run(*command: str | Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_sam_validate_finds_no_problems(clean: dict[str, str]) -> None:
    run(ROOT / ".venv-engine/bin/sam", "validate", "--lint", "--template", PATH, environment=clean)


def test_cfn_lint_finds_no_problems(clean: dict[str, str]) -> None:
    run(ROOT / ".venv/bin/cfn-lint", PATH, environment=clean)
