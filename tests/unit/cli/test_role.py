"""role: the least-privilege role for a configuration, printed, or deployed into the target's account and no other."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml
from yaml.events import AliasEvent

from tagship.aws.rights import session_policy
from tagship.model.documents import read_application
from tagship.targets import rights
from tagship_cli.actions import publisher
from tagship_cli.actions.role import template
from tagship_cli.commands import role as command
from tests.template.cloudformation import Loader, resources
from tests.unit.builders import application
from tests.unit.tables import aws_error
from tools.storefront import HOME

ROLES = "arn:aws:iam::000000000000:role/tagship-production-*FunctionRole-*"
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:storefront"


def printed(document: dict[str, Any]) -> dict[str, Any]:
    """The role's properties."""
    made = template(read_application(document), bucket="releases", function_roles=ROLES)
    properties: dict[str, Any] = made["Resources"]["Role"]["Properties"]
    return properties


def statements(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The role's permissions, by name."""
    (policy,) = printed(document)["Policies"]
    return {statement["Sid"]: statement for statement in policy["PolicyDocument"]["Statement"]}


def test_the_role_allows_exactly_what_the_target_and_the_checks_need() -> None:
    allowed = statements(application())
    assert {name: statement["Action"] for name, statement in allowed.items()} == {
        "LookAtTheFunction": [
            "lambda:GetFunctionConfiguration",
            "lambda:GetProvisionedConcurrencyConfig",
            "lambda:GetPolicy",
            "lambda:GetFunctionUrlConfig",
        ],
        "LookAtTriggers": ["lambda:ListEventSourceMappings"],
        "LookAtTheRoomForCode": ["lambda:GetAccountSettings"],
        "MoveTheTraffic": [
            "lambda:GetAlias",
            "lambda:CreateAlias",
            "lambda:UpdateAlias",
            "lambda:DeleteAlias",
        ],
        "PrepareTheCandidate": ["lambda:UpdateFunctionCode", "lambda:PublishVersion"],
        "ReadThePinnedCode": ["s3:GetObjectVersion"],
        "AskForHealth": ["lambda:InvokeFunction"],
    }
    assert allowed.pop("LookAtTriggers")["Resource"] == ["*"]
    assert allowed.pop("LookAtTheRoomForCode")["Resource"] == ["*"]
    assert allowed.pop("ReadThePinnedCode")["Resource"] == ["arn:aws:s3:::releases/releases/storefront/*"]
    assert {tuple(statement["Resource"]) for statement in allowed.values()} == {(FUNCTION, f"{FUNCTION}:*")}


def test_resources_named_by_gates_and_checks_are_allowed_too() -> None:
    document = application(
        gates={"custom": {"function": "storefront-gate"}},
        health={
            "checks": [{"type": "lambda"}, {"type": "lambda", "function": "storefront-smoke"}],
            "watch": {"seconds": 60, "alarms": ["storefront-5xx"]},
        },
    )
    allowed = statements(document)
    assert allowed["AskTheGate"]["Resource"] == [f"{FUNCTION}-gate", f"{FUNCTION}-gate:*"]
    assert allowed["AskForHealth"]["Resource"] == [
        FUNCTION,
        f"{FUNCTION}:*",
        f"{FUNCTION}-smoke",
        f"{FUNCTION}-smoke:*",
    ]
    assert allowed["LookAtAlarms"]["Action"] == ["cloudwatch:DescribeAlarms"]


def test_the_role_trusts_only_the_stages_functions_with_the_external_id_for_this_application() -> None:
    assuming, tagging = printed(application())["AssumeRolePolicyDocument"]["Statement"]
    assert assuming["Action"] == "sts:AssumeRole"
    assert assuming["Principal"] == {"AWS": "arn:aws:iam::000000000000:root"}
    assert assuming["Condition"] == {
        "StringEquals": {"sts:ExternalId": "tagship-production", "aws:RequestTag/Application": "storefront"},
        "ArnLike": {"aws:PrincipalArn": ROLES},
    }
    assert tagging["Action"] == "sts:TagSession"
    assert tagging["Condition"] == {"ArnLike": {"aws:PrincipalArn": ROLES}}


def test_a_roles_path_and_partition_are_kept() -> None:
    target = application()["target"] | {
        "role": "arn:aws-cn:iam::000000000000:role/ci/tagship/tagship-app-storefront",
        "region": "cn-north-1",
    }
    role = printed(application(target=target))
    assert (role["Path"], role["RoleName"]) == ("/ci/tagship/", "tagship-app-storefront")
    text = json.dumps(role["Policies"])
    assert "arn:aws-cn:lambda:cn-north-1:000000000000:function:storefront" in text
    assert "arn:aws:" not in text


def test_the_sample_application_has_the_printed_role() -> None:
    """The demo and the tests on the engine release with it, so they show that it is enough."""
    document = yaml.safe_load((HOME / "application.yaml").read_text())
    written = yaml.load((HOME / "template.yaml").read_text(), Loader)
    sample = written["Resources"]["DeploymentRole"]["Properties"]
    role = printed(document)
    assert _resolved(sample["AssumeRolePolicyDocument"]) == role["AssumeRolePolicyDocument"]
    (own,), (printed_policy,) = sample["Policies"], role["Policies"]
    assert _by_name(_resolved(own)) == _by_name(printed_policy)
    assert (sample["RoleName"], sample["MaxSessionDuration"]) == (
        role["RoleName"],
        role["MaxSessionDuration"],
    )


def test_the_longest_session_is_valid_for_sts() -> None:
    long = "f" * 64
    target = application()["target"] | {"function": long, "region": "ap-southeast-1"}
    assert session_policy(
        rights(read_application(application(target=target)).target, application="storefront", bucket="b" * 63)
    )


# ---- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    target = application()["target"] | {
        "account": "123456789012",
        "role": "arn:aws:iam::123456789012:role/tagship-app-storefront",
    }
    file = tmp_path / "application.yaml"
    file.write_text(yaml.safe_dump(application(target=target)))
    return file


def test_the_printed_template_names_this_stages_functions_and_bucket(stage: Any, file: Path) -> None:
    result = stage.run("role", str(file))
    assert result.exit_code == 0, result.output
    made = yaml.safe_load(result.stdout)
    text = json.dumps(made)
    assert "arn:aws:s3:::releases/releases/storefront/*" in text
    assert "role/tagship-development-*FunctionRole-*" in text
    assert json.loads(stage.run("role", str(file), "--json").stdout) == made
    assert not any(isinstance(event, AliasEvent) for event in yaml.parse(result.stdout)), (
        "CloudFormation has none"
    )


def test_the_role_is_deployed_once_and_a_second_run_changes_nothing(stage: Any, file: Path) -> None:
    for _ in range(2):
        result = stage.run("role", str(file), "--deploy", "--yes")
        assert result.exit_code == 0, result.output
        assert "Deployed: arn:aws:iam::123456789012:role/tagship-app-storefront" in result.stdout
    found = stage.client("iam").get_role(RoleName="tagship-app-storefront")["Role"]
    assert found["AssumeRolePolicyDocument"]["Statement"][1]["Action"] == "sts:TagSession"


class Iam:
    """IAM whose answers come from several places: the new role is there, then not, then there for good."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def get_role(self, *, RoleName: str) -> Any:
        assert RoleName == "tagship-app-storefront"
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return {"Role": {"AssumeRolePolicyDocument": answer}}


@dataclass
class Session:
    iam: Iam

    def client(self, service: str) -> Iam:
        assert service == "iam"
        return self.iam


def awaited(*answers: Any) -> list[float]:
    """How often it paused."""
    pauses: list[float] = []
    made = template(read_application(application()), bucket="releases", function_roles=ROLES)
    trust = made["Resources"]["Role"]["Properties"]["AssumeRolePolicyDocument"]
    iam = Iam(*(trust if answer == "new" else answer for answer in answers))
    command._await_trust(Session(iam), made, pause=pauses.append)
    return pauses


def test_the_command_waits_until_iam_shows_the_role_everywhere(capsys: Any) -> None:
    """Fault 74."""
    missing = aws_error("NoSuchEntity", status=404)
    old = {"Version": "2012-10-17", "Statement": []}
    assert len(awaited("new")) == 4
    assert len(awaited(missing, "new", old, missing, "new", "new", old, "new")) == 7 + 4
    assert capsys.readouterr().err == ""
    assert len(awaited(missing)) == 30
    assert "Wait a minute before the first release" in capsys.readouterr().err
    assert awaited(aws_error("AccessDenied", status=403)) == []


def test_nothing_is_deployed_to_another_account(stage: Any, tmp_path: Path) -> None:
    file = tmp_path / "application.yaml"
    file.write_text(yaml.safe_dump(application()))
    result = stage.run("role", str(file), "--deploy", "--yes")
    assert result.exit_code == 1
    assert "signed in to account 123456789012, but the target is in 000000000000" in result.stderr
    assert "--target-profile" in result.stderr


def test_a_stack_name_so_long_that_role_names_are_shortened_is_refused(stage: Any, file: Path) -> None:
    """Fault 76: `<stack>-RemindApproversFunctionRole-<12 random>` is cut at 64 characters; the pattern no longer fits."""
    longest = "x" * 22
    functions = resources("AWS::Serverless::Function")
    ids = [name for name, it in functions.items() if "sts:AssumeRole" in str(it["Policies"])]
    assert len(ids) > 5
    assert all(len(f"{longest}-{name}Role-{'r' * 12}") <= 64 for name in ids)
    for name in ("role", "apply"):
        refused = stage.run(name, str(file), "--stack", f"{longest}x", "--stage", "development")
        assert refused.exit_code == 1
        assert "has 23 characters. CloudFormation cuts the names of roles" in refused.stderr
        assert "has 22 characters" not in stage.run(name, str(file), "--stack", longest).stderr


def test_without_a_terminal_the_command_requires_yes(stage: Any, file: Path) -> None:
    result = stage.run("role", str(file), "--deploy")
    assert result.exit_code == 2
    assert "Use --yes" in result.stderr


def test_an_invalid_configuration_has_no_role(stage: Any, tmp_path: Path) -> None:
    file = tmp_path / "application.yaml"
    file.write_text(yaml.safe_dump(application(target={"type": "lambda"})))
    result = stage.run("role", str(file))
    assert result.exit_code == 1
    assert "does not validate" in result.stderr


def _by_name(policy: dict[str, Any]) -> dict[str, Any]:
    """A policy's statements; their order means nothing."""
    return {statement["Sid"]: statement for statement in policy["PolicyDocument"]["Statement"]}


def _resolved(value: Any) -> Any:
    """The sample's template as CloudFormation deploys it in its own account."""
    names = {
        "AWS::Partition": "aws",
        "AWS::AccountId": "000000000000",
        "Account": "000000000000",
        "Stage": "production",
        "ReleaseBucketName": "releases",
        "Function.Arn": FUNCTION,
    }
    if isinstance(value, list):
        return [_resolved(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "Fn::GetAtt" in value:
        return names[".".join(value["Fn::GetAtt"])]
    if "Fn::Sub" in value:
        text = value["Fn::Sub"] if isinstance(value["Fn::Sub"], str) else value["Fn::Sub"][0]
        for name, known in names.items():
            text = text.replace(f"${{{name}}}", known)
        assert "${" not in text, text
        return text
    return {name: _resolved(inner) for name, inner in value.items()}


# ---- the role that CI assumes --------------------------------------------------------------------------------------

PUBLISHER = "tagship-pub-development-storefront"


def published(stage: Any, tmp_path: Path, *options: str, **changes: Any) -> Any:
    file = tmp_path / "application.yaml"
    file.write_text(yaml.safe_dump(application(**changes)))
    return stage.run("role", str(file), "--publisher", *options)


def subject(result: Any) -> tuple[str, str]:
    """Whose token is believed, about what."""
    (trust,) = properties(result)["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Action"] == "sts:AssumeRoleWithWebIdentity"
    ((key, said),) = trust["Condition"]["StringLike"].items()
    assert trust["Condition"]["StringEquals"].keys() == {key.replace(":sub", ":aud")}
    return trust["Principal"]["Federated"], said


def properties(result: Any) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)["Resources"]["Role"]["Properties"]
    return found


@pytest.mark.parametrize(
    "options, provider, said",
    [
        (
            ("--github", "acme/storefront"),
            "token.actions.githubusercontent.com",
            "repo:acme/storefront:ref:refs/tags/v*",
        ),
        (
            ("--github", "acme@1/storefront@2", "--github-environment", "production"),
            "token.actions.githubusercontent.com",
            "repo:acme@1/storefront@2:environment:production",
        ),
        (
            ("--gitlab", "acme/shop/storefront"),
            "gitlab.com",
            "project_path:acme/shop/storefront:ref_type:tag:ref:v*",
        ),
        (
            ("--gitlab", "acme/storefront", "--issuer", "https://gitlab.example.com"),
            "gitlab.example.com",
            "project_path:acme/storefront:ref_type:tag:ref:v*",
        ),
        (
            ("--issuer", "https://ci.example.com/oidc", "--subject", "job:storefront:release"),
            "ci.example.com/oidc",
            "job:storefront:release",
        ),
    ],
)
def test_the_publisher_is_one_subject_of_one_issuer(
    stage: Any, tmp_path: Path, options: tuple[str, ...], provider: str, said: str
) -> None:
    arn, found = subject(published(stage, tmp_path, *options, "--json"))
    assert arn == f"arn:aws:iam::123456789012:oidc-provider/{provider}"
    assert found == said


def test_in_a_monorepo_the_publisher_runs_for_its_own_tags(stage: Any, tmp_path: Path) -> None:
    result = published(
        stage, tmp_path, "--github", "acme/mono", "--json", gates={"tags": {"pattern": "storefront/v*"}}
    )
    assert subject(result)[1] == "repo:acme/mono:ref:refs/tags/storefront/v*"


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--github", "acme/*"),
        ("--github", "acme"),
        ("--github", "acme/storefront", "--github-environment", "prod*"),
        ("--github", "acme/storefront", "--gitlab", "acme/storefront"),
        ("--gitlab", "acme/*"),
        ("--issuer", "https://ci.example.com"),
        ("--issuer", "https://ci.example.com", "--subject", "job:*"),
        ("--issuer", "https://ci.example.com", "--subject", "job:${aws:username}"),
        ("--issuer", "http://ci.example.com", "--subject", "job"),
        ("--subject", "job"),
    ],
)
def test_an_ambiguous_or_missing_publisher_is_refused(
    stage: Any, tmp_path: Path, options: tuple[str, ...]
) -> None:
    assert published(stage, tmp_path, *options).exit_code == 2


def test_it_can_upload_for_its_application_and_sign_only_if_releases_are_signed(
    stage: Any, tmp_path: Path
) -> None:
    unsigned = properties(published(stage, tmp_path, "--github", "acme/storefront", "--json"))
    (upload,) = unsigned["Policies"][0]["PolicyDocument"]["Statement"]
    assert upload["Action"] == ["s3:PutObject", "s3:GetObject"]
    assert upload["Resource"] == "arn:aws:s3:::releases/releases/storefront/*"
    signed = properties(
        published(
            stage,
            tmp_path,
            *("--github", "acme/storefront", "--json"),
            gates={"signature": {"key": "alias/tagship-release-signing"}},
        )
    )
    sign = signed["Policies"][0]["PolicyDocument"]["Statement"][1]
    assert sign["Condition"] == {"StringEquals": {"kms:RequestAlias": "alias/tagship-release-signing"}}


def test_it_is_deployed_as_its_own_stack_and_prints_what_the_workflow_needs(
    stage: Any, tmp_path: Path
) -> None:
    result = published(stage, tmp_path, "--github", "acme/storefront", "--deploy", "--yes")
    assert result.exit_code == 0, result.output
    assert stage.client("iam").get_role(RoleName=PUBLISHER)["Role"]["MaxSessionDuration"] == 3600
    assert f"PUBLISHER_ROLE = arn:aws:iam::123456789012:role/{PUBLISHER}" in result.stdout
    assert "RELEASE_BUCKET = releases" in result.stdout
    assert (
        "create-open-id-connect-provider --url https://token.actions.githubusercontent.com" in result.stdout
    )


def test_its_name_cannot_be_mistaken_for_a_role_of_tagship() -> None:
    longest = publisher.role_name("development", "a" * 40)
    assert len(longest) <= 64
    for pattern in ("tagship-app-*", "tagship-development-*FunctionRole-*"):
        assert not fnmatchcase(longest, pattern)


FUNCTION_ROLE = "arn:aws:iam::111122223333:role/tagship-staging-PromoteFunctionRole-1A2B3C"


def test_the_previous_stages_role_trusts_one_function_for_one_application(stage: Any, tmp_path: Path) -> None:
    file = tmp_path / "application.yaml"
    promotion = {"stage": "development", "key": "alias/tagship-promotion"}
    file.write_text(yaml.safe_dump(application(gates={"promotion": promotion})))
    result = stage.run("role", str(file), "--promoter", FUNCTION_ROLE, "--json")
    made = json.loads(result.stdout)["Resources"]["Role"]["Properties"]
    assume, tag = made["AssumeRolePolicyDocument"]["Statement"]
    assert assume["Condition"] == {
        "StringEquals": {
            "sts:ExternalId": f"tagship-{stage.stage}",
            "aws:RequestTag/Application": "storefront",
        },
        "ArnLike": {"aws:PrincipalArn": FUNCTION_ROLE},
    }
    assert tag["Condition"] == {"ArnLike": {"aws:PrincipalArn": FUNCTION_ROLE}}
    upload, sign = made["Policies"][0]["PolicyDocument"]["Statement"]
    assert upload["Resource"] == "arn:aws:s3:::releases/releases/storefront/*"
    assert upload["Action"] == ["s3:PutObject", "s3:GetObject"]
    assert sign["Condition"] == {"StringEquals": {"kms:RequestAlias": "alias/tagship-promotion"}}
    assert len(publisher.promoter_name("production", "a" * 40)) <= 64
    assert fnmatchcase(publisher.promoter_name("production", "a" * 40), "tagship-to-*")
    wrong = stage.run("role", str(file), "--promoter", "arn:aws:iam::*:role/*")
    assert wrong.exit_code == 2 and "must be a role's ARN" in wrong.output


def test_the_previous_stages_role_is_deployed_and_its_configuration_lines_are_shown(
    stage: Any, tmp_path: Path
) -> None:
    file = tmp_path / "application.yaml"
    file.write_text(yaml.safe_dump(application()))
    result = stage.run("role", str(file), "--promoter", FUNCTION_ROLE, "--deploy", "--yes")
    assert result.exit_code == 0, result.output
    assert "    after: P1D" in result.stdout
    assert f"    role: arn:aws:iam::123456789012:role/tagship-to-{stage.stage}-storefront" in result.stdout


def test_the_stacks_own_publisher_role_is_the_same() -> None:
    role = resources("AWS::IAM::Role")["PublisherRole"]
    host = "token.actions.githubusercontent.com"
    choice = role["AssumeRolePolicyDocument"]["Statement"][0]["Fn::If"]
    sub = choice[1]["Condition"]["StringLike"][f"{host}:sub"]
    assert choice[1] == publisher.trust_statement(
        {"Fn::Sub": f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:oidc-provider/{host}"},
        host,
        publisher.GITHUB_AUDIENCE,
        sub,
    )
    assert [each["Fn::Sub"] for each in sub["Fn::If"][1:]] == [
        publisher.github("acme/storefront", tags="", environment="X")
        .subject.replace("acme/storefront", "${PublisherRepository}")
        .replace("X", "${PublisherEnvironment}"),
        publisher.github("acme/storefront", tags="${PublisherTags}").subject.replace(
            "acme/storefront", "${PublisherRepository}"
        ),
    ]
    assert role["MaxSessionDuration"] == publisher.SESSION_SECONDS
    assert role["Policies"] == publisher.policies(
        {"Fn::Sub": "${ReleaseBucket.Arn}/releases/${PublisherApplication}/*"},
        {"Fn::Sub": "arn:${AWS::Partition}:kms:${AWS::Region}:${AWS::AccountId}:key/*"},
        {"Ref": "PublisherSigningAlias"},
    )
