"""An application's target is reached in the application's own role, for this release."""

from __future__ import annotations

from tagship.documents import read_application
from tagship.targets import target_of
from tagship.targets.lambda_function import LambdaFunction
from tests.unit.builders import application


def test_a_target_works_on_a_client_in_the_applications_role():
    asked = []

    def client_as(service, **role):
        asked.append((service, role))
        return "client"

    configuration = read_application(application())
    found = target_of(configuration, tag="v1.4.0", client_as=client_as)
    assert found == LambdaFunction(
        application="storefront", tag="v1.4.0", target=configuration.target, client="client"
    )
    assert asked == [
        (
            "lambda",
            {
                "role": "arn:aws:iam::000000000000:role/tagship-storefront",
                "external_id": "tagship-production",
                "region": "us-east-1",
                "application": "storefront",
                "tag": "v1.4.0",
            },
        )
    ]
