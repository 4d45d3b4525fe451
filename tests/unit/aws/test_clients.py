"""Clients are made once; a session in an application's role is for one release and for ten minutes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import pytest
from boto3.session import Session
from botocore.awsrequest import AWSResponse
from urllib3 import HTTPResponse

from tagship.aws.clients import ASKED_ONCE, Aws, Errand
from tagship.aws.rights import Location, Right
from tagship.model.errors import AwsUnavailable, CredentialsRefused
from tagship.model.fields import rebuilt
from tagship.targets import KINDS
from tagship.targets.lambda_alias import LambdaTarget
from tests.unit.builders import application
from tests.unit.tables import Clock, aws_error

ROLE = "arn:aws:iam::000000000000:role/tagship-app-storefront"
OTHER_ROLE = "arn:aws:iam::000000000000:role/tagship-app-basket"
ACCOUNT = "000000000000"
LOOK = Right(
    name="Look",
    actions=("lambda:GetAlias",),
    on=("arn:aws:lambda:eu-central-1:000000000000:function:storefront",),
)


@dataclass
class FakeSts:
    """Gives each caller new credentials, or the configured error."""

    asked: list[dict[str, Any]] = field(default_factory=list)
    fails_with: Exception | None = None

    def assume_role(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        if self.fails_with:
            raise self.fails_with
        number = len(self.asked)
        return {
            "Credentials": {
                "AccessKeyId": f"key {number}",
                "SecretAccessKey": f"secret {number}",
                "SessionToken": f"token {number}",
            }
        }


def test_cloudtrail_shows_tagship_as_the_caller_s_program() -> None:
    client = Aws(session=Session("key", "secret")).client("kms", region="eu-central-1")
    sent: list[Any] = []

    def answer(request: Any, **_: Any) -> Any:
        sent.append(request)
        return AWSResponse(request.url, 200, {}, HTTPResponse(BytesIO(b"{}"), preload_content=False))

    client.meta.events.register("before-send.kms", answer)
    client.list_keys()
    assert sent[0].headers["User-Agent"].startswith(b"tagship Botocore/")


@dataclass
class FakeClient:
    """A client, and how it was made."""

    service: str
    options: dict[str, Any]


@dataclass
class FakeSession:
    """A boto3 session in whose STS roles are assumed."""

    sts: FakeSts = field(default_factory=FakeSts)
    made: list[FakeClient] = field(default_factory=list)

    def client(self, service: str, *, config: Any, **options: Any) -> Any:
        made = FakeClient(service, options)
        self.made.append(made)
        assert (
            config.retries == {"mode": "standard", "total_max_attempts": 3}
            or config.retries["mode"] == "standard"
        )
        return self.sts if service == "sts" else made


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


@pytest.fixture
def aws(session: FakeSession, clock: Clock) -> Aws:
    return Aws(session=session, clock=lambda: clock().timestamp())  # type: ignore[arg-type]


def in_role(
    aws: Aws,
    *,
    service: str = "lambda",
    may: tuple[Right, ...] = (LOOK,),
    target: Location | dict[str, str] | None = None,
    config: Any = None,
    **changes: Any,
) -> Any:
    """A client for an errand, but for what is different about it."""
    given: dict[str, Any] = {
        "target": target
        if target and not isinstance(target, dict)
        else LambdaTarget(**application()["target"] | {"region": "eu-central-1"} | (target or {})),
        "application": "storefront",
        "tag": "v1.4.0",
        "execution": "9f8e7d6c-1234",
        "allowed_accounts": frozenset({ACCOUNT}),
        "function_roles": "arn:aws:iam::111111111111:role/tagship-production-*FunctionRole-*",
    }
    return aws.client_as(service, may=may, errand=Errand(**given | changes), config=config)


def test_a_client_is_created_once(aws, session):
    assert aws.client("s3") is aws.client("s3")
    assert aws.client("s3", region="eu-west-1") is not aws.client("s3")
    assert [(made.service, made.options) for made in session.made] == [
        ("s3", {"region_name": None}),
        ("s3", {"region_name": "eu-west-1"}),
    ]


def test_a_role_is_assumed_for_one_execution_under_its_name_and_for_nothing_else(aws, session):
    client = in_role(aws)
    (asked,) = session.sts.asked
    assert json.loads(asked.pop("Policy")) == {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["lambda:GetAlias"], "Resource": list(LOOK.on)}],
    }
    assert asked == {
        "RoleArn": ROLE,
        "RoleSessionName": "tagship-storefront-v1.4.0-d6c-1234",
        "ExternalId": "tagship-production",
        "DurationSeconds": 900,
        "Tags": [
            {"Key": "Application", "Value": "storefront"},
            {"Key": "Tag", "Value": "v1.4.0"},
            {"Key": "Execution", "Value": "9f8e7d6c-1234"},
        ],
    }
    assert client.options == {
        "region_name": "eu-central-1",
        "aws_access_key_id": "key 1",
        "aws_secret_access_key": "secret 1",
        "aws_session_token": "token 1",
    }


def test_a_session_is_reused_for_exactly_ten_minutes(aws, session, clock):
    first = in_role(aws)
    clock.forward(599)
    assert in_role(aws) is first
    clock.forward(1)
    assert in_role(aws).options["aws_access_key_id"] == "key 2"
    clock.forward(599)
    in_role(aws)
    assert len(session.sts.asked) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"tag": "v1.5.0"},
        {"application": "basket"},
        {"execution": "another"},
        {"target": {"role": OTHER_ROLE}},
        {"target": {"externalId": "tagship-staging"}},
        {"target": {"region": "us-east-1"}},
        {"may": (LOOK, Right(name="Move", actions=("lambda:UpdateAlias",), on=LOOK.on))},
    ],
    ids=str,
)
def test_a_session_is_not_shared_with_anything_else(aws, session, other):
    first = in_role(aws)
    assert in_role(aws, **other) is not first
    assert len(session.sts.asked) == 2


def test_a_session_that_was_left_is_not_taken_up_again(aws, session):
    in_role(aws)
    in_role(aws, tag="v1.5.0")
    assert in_role(aws).options["aws_access_key_id"] == "key 3"


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_session_is_reused_for_every_kind_of_target(aws, session, kind):
    """Some kinds have settings by name, which cannot be hashed as part of a key."""
    target = rebuilt(kind.spec, kind.example)
    accounts = frozenset({target.account})
    assert in_role(aws, target=target, allowed_accounts=accounts) is in_role(
        aws, target=rebuilt(kind.spec, kind.example), allowed_accounts=accounts
    )
    assert len(session.sts.asked) == 1


def test_two_services_share_one_session(aws, session):
    assert in_role(aws, service="sts") is not in_role(aws)
    assert in_role(aws, config=ASKED_ONCE) is not in_role(aws)
    assert len(session.sts.asked) == 1


def test_a_session_name_is_valid_for_sts(aws, session):
    in_role(aws, application="a" * 40, tag="v1.0.0-rc.1+build/5 " + "x" * 40, execution="12345678-é_9")
    (asked,) = session.sts.asked
    assert asked["RoleSessionName"] == "tagship-" + "a" * 40 + "-v1.0.0-5678--_9"
    assert len(asked["RoleSessionName"]) == 64


def test_a_session_without_permissions_is_not_requested(aws, session):
    with pytest.raises(ValueError, match="of no use"):
        in_role(aws, may=())
    assert session.sts.asked == []


def test_a_policy_too_large_for_sts_is_not_sent(aws, session):
    wide = Right(
        name="Wide", actions=("lambda:GetAlias",), on=tuple(f"arn:{number}" * 10 for number in range(100))
    )
    with pytest.raises(ValueError, match="STS takes 2048"):
        in_role(aws, may=(wide,))
    assert session.sts.asked == []


@pytest.mark.parametrize(
    "foreign",
    [
        {"target": {"account": "999999999999"}},
        {"target": {"role": "arn:aws:iam::999999999999:role/tagship-app-storefront"}},
        {"allowed_accounts": frozenset()},
        {"allowed_accounts": frozenset({"999999999999"})},
    ],
    ids=str,
)
def test_a_foreign_account_is_refused_before_any_call(aws, session, foreign):
    """Fault 37."""
    with pytest.raises(CredentialsRefused, match="AllowedAccountIds") as caught:
        in_role(aws, **foreign)
    assert "No call was made to it" in str(caught.value)
    assert session.made == []


@pytest.mark.parametrize(
    "code", ["AccessDenied", "MalformedPolicyDocument", "RegionDisabledException", "ValidationError"]
)
def test_a_refused_role_error_shows_the_needed_trust_policy(aws, session, code):
    """Fault 37."""
    session.sts.fails_with = aws_error(code, status=403)
    with pytest.raises(CredentialsRefused) as caught:
        in_role(aws)
    message = str(caught.value)
    assert message.startswith(f"storefront v1.4.0: the role {ROLE} cannot be assumed ({code}).")
    trusting = json.loads(message[message.index("{") :])
    assert [statement["Action"] for statement in trusting["Statement"]] == [
        "sts:AssumeRole",
        "sts:TagSession",
    ]
    assert trusting["Statement"][0] == {
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::111111111111:root"},
        "Action": "sts:AssumeRole",
        "Condition": {
            "StringEquals": {
                "sts:ExternalId": "tagship-production",
                "aws:RequestTag/Application": "storefront",
            },
            "ArnLike": {
                "aws:PrincipalArn": "arn:aws:iam::111111111111:role/tagship-production-*FunctionRole-*"
            },
        },
    }


def test_a_refused_role_is_requested_again_the_next_time(aws, session):
    session.sts.fails_with = aws_error("AccessDenied", status=403)
    with pytest.raises(CredentialsRefused):
        in_role(aws)
    session.sts.fails_with = None
    assert in_role(aws).options["aws_access_key_id"] == "key 2"


@pytest.mark.parametrize(
    "error", [aws_error("Throttling"), aws_error("InternalFailure", status=500)], ids=str
)
def test_a_throttled_role_is_not_reported_as_refused(aws, session, error):
    session.sts.fails_with = error
    with pytest.raises(AwsUnavailable, match=f"Assuming the role {ROLE} for storefront v1.4.0"):
        in_role(aws)
