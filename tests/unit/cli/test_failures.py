"""AWS errors are explained in a sentence: what was attempted, AWS's answer, what to do; exit code 3, no stack trace."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore import exceptions
from botocore.exceptions import ClientError

from tagship.model import errors
from tagship_cli.failures import AwsRefused, Failed, explained, trying
from tests.unit.cli.conftest import REGION


def refusal(code: str, message: str = "words of AWS") -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 400}},  # type: ignore[typeddict-item]
        "PutObject",
    )


@pytest.mark.parametrize(
    "code, advice",
    [
        ("ExpiredToken", "Your session has ended: sign in again"),
        ("ExpiredTokenException", "Your session has ended: sign in again"),
        ("UnrecognizedClientException", "Your AWS credentials are not valid"),
        ("InvalidClientTokenId", "Your AWS credentials are not valid"),
        ("AccessDenied", "Your identity can't do this (PutObject)"),
        ("AccessDeniedException", "Your identity can't do this (PutObject)"),
        ("NoSuchBucket", "Check --stage, --stack, --region and --profile"),
        ("ResourceNotFoundException", "Check --stage, --stack, --region and --profile"),
        ("ThrottlingException", "try again in a moment"),
        ("SomethingElse", ""),
    ],
)
def test_a_refusal_says_what_was_attempted_what_aws_answered_and_what_to_do(code: str, advice: str) -> None:
    failure = explained("Uploading a.zip", refusal(code))
    assert isinstance(failure, AwsRefused)
    assert failure.exit_code == 3
    assert failure.message.startswith(f"Uploading a.zip: AWS refused ({code}): words of AWS.")
    assert advice in failure.message


@pytest.mark.parametrize(
    "error, advice",
    [
        (exceptions.NoCredentialsError(), "No AWS credentials were found"),
        (exceptions.ProfileNotFound(profile="x"), "Check --profile"),
        (exceptions.NoRegionError(), "--region or AWS_REGION"),
        (exceptions.EndpointConnectionError(endpoint_url="https://x"), "Check the network"),
        (exceptions.SSOTokenLoadError(error_msg="expired"), "aws sso login"),
        (exceptions.ParamValidationError(report="a\nb"), "Parameter validation failed"),
    ],
)
def test_a_call_that_never_reached_aws_says_why_and_what_to_do(error: Exception, advice: str) -> None:
    failure = explained("Looking", error)
    assert isinstance(failure, AwsRefused)
    assert failure.message.startswith("Looking: ")
    assert advice in failure.message


def test_tagships_own_refusal_keeps_its_message() -> None:
    failure = explained("Looking", errors.AdoptionRefused("There is no such release."))
    assert (type(failure), failure and failure.message) == (Failed, "There is no such release.")
    unavailable = explained("Looking", errors.AwsUnavailable("AWS can't be reached."))
    assert isinstance(unavailable, AwsRefused)


def test_a_bug_is_not_disguised() -> None:
    assert explained("Looking", KeyError("x")) is None
    with pytest.raises(KeyError), trying("Looking"):
        raise KeyError("x")


def test_the_innermost_message_is_shown() -> None:
    with pytest.raises(AwsRefused, match=r"^inner: "), trying("outer"), trying("inner"):
        raise refusal("AccessDenied")


def test_aws_messages_are_shown_with_control_characters_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    failure = explained("Looking", refusal("X", "\x1b]0;owned\x07 \u202e"))
    assert failure is not None
    failure.show()
    said = capsys.readouterr().err
    assert "⟨U+001B⟩]0;owned⟨U+0007⟩ ⟨U+202E⟩" in said
    assert not {"\x1b", "\x07", "\u202e"} & set(said)


# ---- on the command line -------------------------------------------------------------------------------------------


def test_a_missing_stack_says_where_it_was_looked_for_and_how_to_deploy(stage: Any) -> None:
    result = stage.run("history", "storefront", "--stage", "staging")
    assert result.exit_code == 3
    assert result.stderr == (
        "There is no stack tagship-staging in eu-central-1 for your AWS identity.\nCheck --stage, --stack, "
        "--region and --profile, or deploy it: "
        "sam build && sam deploy --config-env staging\n"
    )


def test_a_stack_that_is_not_tagships_is_reported(stage: Any) -> None:
    stage.client("cloudformation").create_stack(
        StackName="other", TemplateBody='{"Resources": {"T": {"Type": "AWS::SNS::Topic"}}}'
    )
    result = stage.run("history", "storefront", "--stack", "other", "--stage", "staging")
    assert result.exit_code == 3
    assert "The stack other has no output LedgerTableName. It is not a Tagship stack" in result.stderr


def test_a_missing_profile_is_reported(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    result = stage.run("status", "--profile", "nope")
    assert result.exit_code == 3
    assert "The config profile (nope) could not be found" in result.stderr


def test_an_unreadable_ledger_is_reported(stage: Any) -> None:
    stage.client("dynamodb").delete_table(TableName="ledger")
    result = stage.run("history", "storefront")
    assert result.exit_code == 3
    assert result.stderr.startswith(
        "Reading the ledger of development: AWS refused (ResourceNotFoundException)"
    )
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "arguments",
    [("nope",), ("histroy", "x"), ("history",), ("status", "--nope"), ("history", "x", "--limit", "0")],
)
def test_wrong_usage_exits_with_2(stage: Any, arguments: tuple[str, ...]) -> None:
    assert stage.run(*arguments).exit_code == 2


def test_a_mistyped_command_suggests_the_intended_one(stage: Any) -> None:
    assert "Did you mean 'history'?" in stage.run("histroy", "x").stderr


def test_the_environments_region_is_used(stage: Any) -> None:
    asked = ("history", "storefront", "--stage", "development")
    result = stage.run(*asked, env={"AWS_REGION": "us-west-2"})
    assert "There is no stack tagship-development in us-west-2" in result.stderr
    result = stage.run(*asked, "--region", "us-west-1", env={"AWS_REGION": "us-west-2"})
    assert "There is no stack tagship-development in us-west-1" in result.stderr


def deploy(stage: Any, name: str, of: str) -> None:
    template = {
        "Parameters": {"Stage": {"Type": "String"}},
        "Resources": {"Empty": {"Type": "AWS::SNS::Topic"}},
    }
    given = [{"ParameterKey": "Stage", "ParameterValue": of}]
    stage.client("cloudformation").create_stack(
        StackName=name, TemplateBody=json.dumps(template), Parameters=given
    )


def test_the_only_deployed_stage_is_the_default(stage: Any) -> None:
    assert "No application is configured in development." in stage.run("status").stdout


def test_with_several_stages_a_program_must_name_one(stage: Any) -> None:
    deploy(stage, "tagship-production", "production")
    result = stage.run("status")
    assert result.exit_code == 2
    assert f"development and production are deployed in {REGION}. Set --stage" in result.stderr
    assert stage.run("status", env={"TAGSHIP_STAGE": "development"}).exit_code == 0


def test_with_several_stages_a_person_chooses_one(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy(stage, "tagship-production", "production")
    monkeypatch.setattr("tagship_cli.place.can_ask", lambda: True)
    result = stage.run("status", given="production\n")
    assert "Which stage? (development, production)" in result.stderr
    assert "No application is configured in production." in result.stdout


def test_a_named_stack_determines_the_stage(stage: Any) -> None:
    deploy(stage, "shop-releases", "staging")
    output = stage.run("status", "--stack", "shop-releases").stdout
    assert "No application is configured in staging." in output
    assert "--stage staging --stack shop-releases" in output


def test_without_a_deployed_stage_it_says_so(stage: Any) -> None:
    result = stage.run("status", "--region", "us-west-2")
    assert result.exit_code == 3
    assert "No stage of Tagship is deployed in us-west-2" in result.stderr
