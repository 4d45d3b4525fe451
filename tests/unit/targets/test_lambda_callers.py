"""Who calls a function, a version or an alias, in Lambda's own answers, and the command that moves each caller."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from tagship.model.errors import AwsUnavailable, CredentialsRefused
from tagship.targets import lambda_callers
from tagship.targets.lambda_callers import callers, callers_past_aliases, in_words

ARN = "arn:aws:lambda:us-east-1:000000000000:function:storefront"
QUEUE = "arn:aws:sqs:us-east-1:000000000000:orders"
UUID = "6f1c2d3e-0000-4000-8000-000000000001"
URL = "https://abc.lambda-url.us-east-1.on.aws/"


class Answers:
    """Lambda's answers about one function or one qualifier. Without any, nothing calls it."""

    def __init__(self, stub: Stubber, qualifier: str) -> None:
        self.stub = stub
        self.one = {"FunctionName": "storefront"} | ({"Qualifier": qualifier} if qualifier else {})
        self.name = f"storefront:{qualifier}" if qualifier else "storefront"
        self.arn = f"{ARN}:{qualifier}" if qualifier else ARN

    def policy(self, *statements: dict[str, Any]) -> None:
        if statements:
            policy = json.dumps({"Version": "2012-10-17", "Id": "default", "Statement": statements})
            self.stub.add_response("get_policy", {"Policy": policy}, self.one)
        else:
            self._none("get_policy")

    def triggers(self, *pages: list[dict[str, Any]]) -> None:
        for number, page in enumerate(pages or ([],)):
            marker = {"Marker": f"page {number}"} if number else {}
            more = {"NextMarker": f"page {number + 1}"} if number + 1 < len(pages) else {}
            self.stub.add_response(
                "list_event_source_mappings",
                {"EventSourceMappings": page, **more},
                # Of the function itself, AWS is asked for all triggers of the region.
                {**({"FunctionName": self.name} if self.name != "storefront" else {}), **marker},
            )

    def address(self, url: str = "") -> None:
        if url:
            made = dict.fromkeys(("CreationTime", "LastModifiedTime"), "2026-11-23T10:00:00Z")
            found = {"FunctionUrl": url, "FunctionArn": self.arn, "AuthType": "NONE", **made}
            self.stub.add_response("get_function_url_config", found, self.one)
        else:
            self._none("get_function_url_config")

    def _none(self, operation: str) -> None:
        self.stub.add_client_error(
            operation, "ResourceNotFoundException", http_status_code=404, expected_params=self.one
        )


@pytest.fixture(autouse=True)
def one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Stubber answers in order."""
    monkeypatch.setattr(lambda_callers, "_AT_ONCE", 1)


RELEASE = "storefront v1.4.0"


@pytest.fixture(scope="module")
def client() -> Any:
    return boto3.client(
        "lambda", region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing"
    )


@pytest.fixture
def stub(client: Any) -> Iterator[Stubber]:
    with Stubber(client) as made:
        yield made
        made.assert_no_pending_responses()


def statement(principal: Any, *, on: str = ARN, effect: str = "Allow", sid: str = "orders") -> dict[str, Any]:
    return {
        "Sid": sid,
        "Effect": effect,
        "Principal": principal,
        "Action": "lambda:InvokeFunction",
        "Resource": on,
    }


def trigger(on: str = ARN, source: str = QUEUE) -> dict[str, Any]:
    return {"UUID": UUID, "FunctionArn": on} | ({"EventSourceArn": source} if source else {})


def found(client: Any, qualifier: str = "") -> dict[str, str]:
    """The callers, each with the command that moves it to `live`."""
    if qualifier:
        found = callers(client, arn=ARN, qualifier=qualifier, about=RELEASE)
    else:
        found, _ = callers_past_aliases(client, arn=ARN, about=RELEASE)
    return {each.said: each.moved_to("storefront", "live", "us-east-1") for each in found}


def test_each_caller_of_a_function_comes_with_the_command_that_moves_it_to_the_alias(client, stub):
    lambda_ = Answers(stub, "")
    lambda_.policy(statement({"Service": "s3.amazonaws.com"}))
    lambda_.triggers([trigger()])
    lambda_.address(URL)
    assert found(client) == {
        "a permission for s3.amazonaws.com": (
            "allow it on the alias (aws lambda add-permission … --qualifier live), let it call storefront:live, then aws "
            "lambda remove-permission --function-name storefront --statement-id orders --region us-east-1"
        ),
        f"a trigger from {QUEUE}": (
            f"aws lambda update-event-source-mapping --uuid {UUID} --function-name storefront:live --region us-east-1"
        ),
        f"the function URL {URL}": (
            "aws lambda create-function-url-config --function-name storefront --qualifier live --auth-type NONE "
            "--region us-east-1, give callers the new address, then delete the old one"
        ),
    }


def test_a_version_is_asked_for_by_its_number_and_has_no_function_url(client, stub):
    lambda_ = Answers(stub, "7")
    lambda_.policy(statement({"Service": "s3.amazonaws.com"}, on=f"{ARN}:7"))
    lambda_.triggers([trigger(f"{ARN}:7")])
    assert found(client, "7") == {
        "a permission for s3.amazonaws.com": (
            "allow it on the alias (aws lambda add-permission … --qualifier live), let it call storefront:live, then aws "
            "lambda remove-permission --function-name storefront --qualifier 7 --statement-id orders --region us-east-1"
        ),
        f"a trigger from {QUEUE}": (
            f"aws lambda update-event-source-mapping --uuid {UUID} --function-name storefront:live --region us-east-1"
        ),
    }


def test_an_alias_has_its_own_function_url(client, stub):
    lambda_ = Answers(stub, "live")
    lambda_.policy()
    lambda_.triggers()
    lambda_.address(URL)
    assert list(found(client, "live")) == [f"the function URL {URL}"]


@pytest.mark.parametrize(
    "principal, who",
    [
        ({"Service": "events.amazonaws.com"}, "events.amazonaws.com"),
        ({"AWS": "arn:aws:iam::999999999999:root"}, "arn:aws:iam::999999999999:root"),
        (
            {"AWS": "arn:aws:iam::999999999999:root", "Service": "sns.amazonaws.com"},
            "arn:aws:iam::999999999999:root and sns.amazonaws.com",
        ),
        ("*", "*"),
    ],
    ids=str,
)
def test_a_permission_names_whom_it_lets_in(client, stub, principal, who):
    """A public function URL lets in everybody, which Lambda writes without a kind."""
    lambda_ = Answers(stub, "")
    lambda_.policy(statement(principal))
    lambda_.triggers()
    lambda_.address()
    assert list(found(client)) == [f"a permission for {who}"]


@pytest.mark.parametrize(
    "other", [{"effect": "Deny"}, {"on": f"{ARN}:live"}, {"on": f"{ARN}-worker"}], ids=str
)
def test_a_statement_that_denies_or_is_about_something_else_is_no_caller(client, stub, other):
    lambda_ = Answers(stub, "")
    lambda_.policy(statement({"Service": "s3.amazonaws.com"}, **other))
    lambda_.triggers()
    lambda_.address()
    assert found(client) == {}


def test_every_page_of_triggers_is_read(client, stub):
    lambda_ = Answers(stub, "")
    lambda_.policy()
    lambda_.triggers([trigger(source=f"{QUEUE}-1")], [], [trigger(source=f"{QUEUE}-2")])
    lambda_.address()
    assert list(found(client)) == [f"a trigger from {QUEUE}-1", f"a trigger from {QUEUE}-2"]


def test_a_trigger_of_latest_calls_the_function_itself_and_one_of_an_alias_does_not(client, stub):
    lambda_ = Answers(stub, "")
    lambda_.policy()
    lambda_.triggers([trigger(f"{ARN}:$LATEST"), trigger(f"{ARN}:live", f"{QUEUE}-2")])
    lambda_.address()
    assert list(found(client)) == [f"a trigger from {QUEUE}"]


def test_a_trigger_of_the_function_itself_does_not_call_its_version(client, stub):
    lambda_ = Answers(stub, "7")
    lambda_.policy()
    lambda_.triggers([trigger(), trigger(f"{ARN}:$LATEST")])
    assert found(client, "7") == {}


def test_each_permission_of_one_service_has_its_own_command(client, stub):
    """Two rules of EventBridge may each have a permission: both must move, and the sentence names the service once."""
    lambda_ = Answers(stub, "")
    service = {"Service": "events.amazonaws.com"}
    lambda_.policy(statement(service, sid="hourly"), statement(service, sid="daily"))
    lambda_.triggers()
    lambda_.address()
    found, _ = callers_past_aliases(client, arn=ARN, about=RELEASE)
    commands = [each.moved_to("storefront", "live", "us-east-1") for each in found]
    assert [re.search(r"--statement-id (\w+)", each)[1] for each in commands] == ["hourly", "daily"]
    assert in_words(found) == "a permission for events.amazonaws.com"


def test_a_source_outside_aws_has_no_arn(client, stub):
    lambda_ = Answers(stub, "")
    lambda_.policy()
    lambda_.triggers([trigger(source="")])
    lambda_.address()
    assert list(found(client)) == ["a trigger from a self-managed source"]


def test_aws_s_refusal_names_what_was_looked_at(client, stub):
    stub.add_client_error("get_policy", "TooManyRequestsException", "Rate exceeded", http_status_code=429)
    with pytest.raises(AwsUnavailable) as caught:
        callers(client, arn=ARN, qualifier="7", about=RELEASE)
    assert str(caught.value) == (
        f"storefront v1.4.0: looking at who calls {ARN}:7: AWS is temporarily unavailable "
        "(TooManyRequestsException): Rate exceeded"
    )


def test_triggers_on_any_version_are_callers_of_versions_and_on_other_functions_they_are_not(client, stub):
    """AWS is asked for the triggers of the region. Only the version that serves is asked for its permissions."""
    Answers(stub, "").policy()
    Answers(stub, "7").policy(statement({"Service": "s3.amazonaws.com"}, on=f"{ARN}:7"))
    pages = [[trigger(f"{ARN}:3"), trigger(f"{ARN}:live")], [trigger(f"{ARN}-2:7"), trigger(f"{ARN}:7")]]
    stub.add_response("list_event_source_mappings", {"EventSourceMappings": pages[0], "NextMarker": "2"}, {})
    stub.add_response("list_event_source_mappings", {"EventSourceMappings": pages[1]}, {"Marker": "2"})
    Answers(stub, "").address()
    itself, versions = callers_past_aliases(client, arn=ARN, current="7", about=RELEASE)
    assert itself == []
    assert [each.said for each in versions] == [
        "a permission for s3.amazonaws.com on version 7",
        f"a trigger from {QUEUE} on version 3",
        f"a trigger from {QUEUE} on version 7",
    ]


def test_aws_s_refusal_names_whose_callers_were_looked_at(client, stub):
    Answers(stub, "").policy()
    stub.add_client_error("list_event_source_mappings", "AccessDeniedException", "no", http_status_code=403)
    Answers(stub, "").address()
    with pytest.raises(CredentialsRefused, match=f"^storefront v1.4.0: looking at who calls {ARN}: "):
        callers_past_aliases(client, arn=ARN, about=RELEASE)


@pytest.mark.parametrize(
    "change, who",
    [
        ({"Principal": "*"}, "*"),
        ({"Principal": {"AWS": ["000000000001", "000000000002"]}}, "000000000001 and 000000000002"),
        ({"Resource": [ARN, f"{ARN}:live"]}, "sns.amazonaws.com"),
        ({"Resource": "arn:aws:lambda:us-east-1:000000000000:function:store*"}, "sns.amazonaws.com"),
        ({"Principal": None, "NotPrincipal": {"AWS": "000000000001"}}, "everyone but some"),
    ],
)
def test_a_policy_that_somebody_wrote_by_hand_is_read_too(change: dict[str, Any], who: str) -> None:
    """Fault 91: AddPermission writes one form of a statement, PutResourcePolicy any."""
    client = boto3.client("lambda", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y")
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": ARN,
        **change,
    }
    with Stubber(client) as stub:
        stub.add_response("get_policy", {"Policy": json.dumps({"Statement": statement})})
        answers = Answers(stub, "")
        answers.triggers()
        answers.address()
        ((found,), _) = callers_past_aliases(client, arn=ARN, about=RELEASE)
    assert found.said == f"a permission for {who}"
    command = found.moved_to("storefront", "live", "us-east-1")
    assert command.endswith(" --statement-id … --region us-east-1"), "it has no name"


def test_a_policy_without_statements_allows_nobody() -> None:
    client = boto3.client("lambda", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y")
    with Stubber(client) as stub:
        stub.add_response("get_policy", {"Policy": json.dumps({"Version": "2012-10-17"})})
        answers = Answers(stub, "")
        answers.triggers()
        answers.address()
        assert callers_past_aliases(client, arn=ARN, about=RELEASE) == ([], [])
