"""An application's target is reached in the application's own role, for this release."""

from __future__ import annotations

import pytest

from tagship.aws.clients import Errand
from tagship.aws.rights import Right, session_policy
from tagship.model.documents import read_application
from tagship.model.release import PinnedObject
from tagship.targets import KINDS, rights, target_of
from tagship.targets.kind import Kind
from tagship.targets.lambda_function import LambdaFunction
from tagship.targets.lambda_functions import LambdaFunctions
from tests.unit.builders import application


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_sessions_are_reused_for_every_kind_of_target(kind: Kind) -> None:
    """The application's sessions are cached by what they were requested for, including settings."""

    def errand() -> Errand:
        checks = [{"type": "http", "url": "https://storefront.example.com/health"}]
        document = application() | {
            "target": dict(kind.example),
            "strategy": {"type": "all-at-once"},
            "health": {"checks": checks},
        }
        return Errand(
            target=read_application(document).target,
            application="storefront",
            tag="v1.4.0",
            execution="6f1c",
            allowed_accounts=frozenset({"123456789012"}),
            function_roles="",
        )

    assert {errand(): "kept"}[errand()] == "kept"


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_previews_show_a_plan_of_each_kind(kind: Kind) -> None:
    assert kind.planned


def test_a_target_gets_a_client_in_the_applications_role_with_the_needed_permissions():
    asked = []

    def client_as(service, *, may, config=None):
        asked.append((service, may))
        return "client"

    configuration = read_application(application())
    found = target_of(configuration.target, application="storefront", tag="v1.4.0", client_as=client_as)
    only = LambdaFunction(
        application="storefront",
        tag="v1.4.0",
        spec=configuration.target,
        artifact="function",
        client="client",
    )
    assert found == LambdaFunctions(application="storefront", tag="v1.4.0", parts=[only])
    pinned = PinnedObject(
        bucket="releases", key="releases/storefront/v1.4.0/storefront.zip", versionId="7", size=1
    )
    target_of(
        configuration.target,
        application="storefront",
        tag="v1.4.0",
        client_as=client_as,
        objects=[pinned, pinned],
    )
    (service, moving), (_, preparing) = asked
    assert service == "lambda"
    assert {right.name: right.actions for right in preparing} == {
        "LookAtTheFunction": (
            "lambda:GetFunctionConfiguration",
            "lambda:GetProvisionedConcurrencyConfig",
            "lambda:GetPolicy",
            "lambda:GetFunctionUrlConfig",
        ),
        "LookAtTriggers": ("lambda:ListEventSourceMappings",),
        "LookAtTheRoomForCode": ("lambda:GetAccountSettings",),
        "MoveTheTraffic": (
            "lambda:GetAlias",
            "lambda:CreateAlias",
            "lambda:UpdateAlias",
            "lambda:DeleteAlias",
        ),
        "PrepareTheCandidate": ("lambda:UpdateFunctionCode", "lambda:PublishVersion"),
        "ReadThePinnedCode": ("s3:GetObjectVersion",),
    }
    assert preparing[:3] == moving
    assert preparing[-1] == Right(
        name="ReadThePinnedCode",
        actions=("s3:GetObjectVersion",),
        on=("arn:aws:s3:::releases/releases/storefront/v1.4.0/*",),
    )
    arn = "arn:aws:lambda:us-east-1:000000000000:function:storefront"
    assert {right.on for right in preparing[:-1]} == {(arn, f"{arn}:*"), ("*",)}


def test_the_role_can_read_every_tag_of_its_application_and_no_other():
    role = rights(read_application(application()).target, application="storefront", bucket="releases")
    assert role[-1].on == ("arn:aws:s3:::releases/releases/storefront/*",)
    assert len(session_policy(role)) < 1150
