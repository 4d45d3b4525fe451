"""The least-privilege role for an application and its target, as a CloudFormation template."""

from __future__ import annotations

from tagship import gates, targets
from tagship.aws.rights import Right, policy, trust_policy
from tagship.model.application import Application

SESSION_SECONDS = 3600
"""The shortest session duration that IAM accepts for a role. Tagship's sessions last 900 s."""


def rights_of(configuration: Application, *, bucket: str) -> tuple[Right, ...]:
    """The permissions that the target's adapter, the gates and the health checks need."""
    target = configuration.target
    serving = targets.kind_of(target).subject(target, None)
    return (
        *targets.rights(target, application=configuration.application, bucket=bucket),
        *gates.rights(configuration),
        *(right for check in configuration.health.checks for right in check.rights(target, serving)),
    )


def template(configuration: Application, *, bucket: str, function_roles: str) -> dict[str, object]:
    """One role with the permissions that this configuration's target, gates and health checks need.

    `bucket` is the stage's release bucket. `function_roles` is the ARN of its functions' roles, with wildcards.
    """
    target, application = configuration.target, configuration.application
    rights = rights_of(configuration, bucket=bucket)
    *path, name = target.role.split(":role/", 1)[1].split("/")
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"The role that Tagship assumes to release {application}; printed by tagship role.",
        "Resources": {
            "Role": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "RoleName": name,
                    "Path": "/" + "".join(f"{part}/" for part in path),
                    "Description": f"Assumed by Tagship to release {application}",
                    "MaxSessionDuration": SESSION_SECONDS,
                    "AssumeRolePolicyDocument": trust_policy(
                        function_roles=function_roles,
                        external_id=target.externalId,
                        application=application,
                    ),
                    "Policies": [
                        {"PolicyName": f"release-{application}", "PolicyDocument": policy(rights)},
                    ],
                },
            },
            **targets.kind_of(target).roles(target),
        },
        "Outputs": {
            "RoleArn": {
                "Description": "For application.yaml: target.role.",
                "Value": {"Fn::GetAtt": ["Role", "Arn"]},
            }
        },
    }
