"""Clients are made once; a session in an application's role is for one release and for ten minutes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tagship.aws import Aws
from tagship.errors import AwsUnavailable, CredentialsRefused
from tests.unit.tables import Clock, aws_error

ROLE = "arn:aws:iam::000000000000:role/tagship-storefront"
OTHER_ROLE = "arn:aws:iam::000000000000:role/tagship-basket"


@dataclass
class FakeSts:
    """Gives each caller new credentials, or the error that it was told to give."""

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


def in_role(aws: Aws, **changes: Any) -> Any:
    return aws.client_as(
        **{
            "service": "lambda",
            "role": ROLE,
            "external_id": "tagship-production",
            "region": "eu-central-1",
            "application": "storefront",
            "tag": "v1.4.0",
        }
        | changes
    )


def test_a_client_is_made_once(aws, session):
    assert aws.client("s3") is aws.client("s3")
    assert aws.client("s3", region="eu-west-1") is not aws.client("s3")
    assert [(made.service, made.options) for made in session.made] == [
        ("s3", {"region_name": None}),
        ("s3", {"region_name": "eu-west-1"}),
    ]


def test_a_role_is_assumed_for_one_release_under_its_name(aws, session):
    client = in_role(aws)
    assert session.sts.asked == [
        {
            "RoleArn": ROLE,
            "RoleSessionName": "tagship-storefront-v1.4.0",
            "ExternalId": "tagship-production",
            "DurationSeconds": 900,
        }
    ]
    assert client.options == {
        "region_name": "eu-central-1",
        "aws_access_key_id": "key 1",
        "aws_secret_access_key": "secret 1",
        "aws_session_token": "token 1",
    }


def test_a_session_is_used_again_for_ten_minutes_and_not_a_second_longer(aws, session, clock):
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
        {"role": OTHER_ROLE},
        {"external_id": "tagship-staging"},
        {"region": "us-east-1"},
        {"service": "cloudformation"},
    ],
    ids=str,
)
def test_nothing_else_gets_the_same_session(aws, session, other):
    first = in_role(aws)
    assert in_role(aws, **other) is not first
    assert len(session.sts.asked) == 2


def test_a_session_that_was_left_is_not_taken_up_again(aws, session):
    in_role(aws)
    in_role(aws, tag="v1.5.0")
    assert in_role(aws).options["aws_access_key_id"] == "key 3"


def test_the_name_of_a_session_is_one_that_sts_takes(aws, session):
    in_role(aws, application="a" * 40, tag="v1.0.0-rc.1+build/5 " + "x" * 40)
    (asked,) = session.sts.asked
    assert asked["RoleSessionName"] == ("tagship-" + "a" * 40 + "-v1.0.0-rc.1+build-5-x")[:64]


@pytest.mark.parametrize(
    "code", ["AccessDenied", "MalformedPolicyDocument", "RegionDisabledException", "ValidationError"]
)
def test_a_role_that_can_not_be_assumed_says_what_its_trust_policy_needs(aws, session, code):
    """Fault 37."""
    session.sts.fails_with = aws_error(code, status=403)
    with pytest.raises(CredentialsRefused) as caught:
        in_role(aws)
    told = str(caught.value)
    assert told.startswith(f"storefront v1.4.0: the role {ROLE} can't be assumed ({code}).")
    assert "sts:AssumeRole" in told
    assert "sts:ExternalId is tagship-production" in told


def test_a_refused_role_is_asked_for_again_the_next_time(aws, session):
    session.sts.fails_with = aws_error("AccessDenied", status=403)
    with pytest.raises(CredentialsRefused):
        in_role(aws)
    session.sts.fails_with = None
    assert in_role(aws).options["aws_access_key_id"] == "key 2"


@pytest.mark.parametrize(
    "error", [aws_error("Throttling"), aws_error("InternalFailure", status=500)], ids=str
)
def test_a_throttled_role_is_no_refused_one(aws, session, error):
    session.sts.fails_with = error
    with pytest.raises(AwsUnavailable, match=f"Assuming the role {ROLE} for storefront v1.4.0"):
        in_role(aws)
