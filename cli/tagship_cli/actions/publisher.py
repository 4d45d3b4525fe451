"""CloudFormation templates of the roles that may upload an application's releases: CI's, and the previous stage's.

The trust policy names one issuer, one audience and one subject. The subject contains a wildcard only in a pattern of
tags. The stack's own publisher role (template.yaml) has the same properties; a test checks that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

import click

from tagship.aws.rights import trust_policy

GITHUB = "https://token.actions.githubusercontent.com"
GITHUB_AUDIENCE = "sts.amazonaws.com"
GITLAB = "https://gitlab.com"
SESSION_SECONDS = 3600
_VERSION = "2012-10-17"
_REPOSITORY = re.compile(r"[A-Za-z0-9._-]+(@[0-9]+)?/[A-Za-z0-9._-]+(@[0-9]+)?")
_PROJECT = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)+")
_ENVIRONMENT = re.compile(r"[A-Za-z0-9._/-]{1,255}")
_SUBJECT = re.compile(r"[A-Za-z0-9._/@:+|=,-]{1,400}")
_AUDIENCE = re.compile(r"[A-Za-z0-9._/@:+-]{1,255}")
_FUNCTION_ROLE = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,512}")
_ISSUER = re.compile(r"https://[A-Za-z0-9.-]+(/[A-Za-z0-9._/-]*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """The token issuer and subject that a role trusts."""

    issuer: str
    """The issuer's address, https."""
    audience: str
    subject: object
    """The subject that a token must have. A `*` appears only in a pattern of tags."""

    @property
    def provider(self) -> str:
        """The issuer's name in IAM."""
        return self.issuer.removeprefix("https://").rstrip("/")


def github(repository: str, *, tags: str, environment: str = "") -> Trust:
    """Jobs of one repository that run for a tag, or jobs of one environment.

    Raises click's BadParameter.
    """
    _must(_REPOSITORY, repository, "--github", "owner/name, or owner@id/name@id where GitHub's tokens say so")
    if environment:
        _must(_ENVIRONMENT, environment, "--github-environment", "an environment's name without spaces")
    runs = f"environment:{environment}" if environment else f"ref:refs/tags/{tags}"
    return Trust(issuer=GITHUB, audience=GITHUB_AUDIENCE, subject=f"repo:{repository}:{runs}")


def gitlab(project: str, *, tags: str, audience: str, issuer: str = GITLAB) -> Trust:
    """Jobs of one project that run for a tag. Raises click's BadParameter."""
    _must(_PROJECT, project, "--gitlab", "group/name, or a longer path")
    return other(
        issuer,
        audience=audience,
        subject=f"project_path:{project}:ref_type:tag:ref:{tags}",
        option="--gitlab",
    )


def other(issuer: str, *, audience: str, subject: str, option: str = "--subject") -> Trust:
    """Any token of this issuer for one subject. Raises click's BadParameter."""
    _must(_ISSUER, issuer, "--issuer", "an https address without a port")
    _must(_AUDIENCE, audience, "--audience", "what the job asks its token for")
    if option == "--subject":
        _must(_SUBJECT, subject, option, "one whole subject, without a wildcard")
    return Trust(issuer=issuer.rstrip("/"), audience=audience, subject=subject)


def _must(pattern: re.Pattern[str], text: str, option: str, words: str) -> None:
    if not pattern.fullmatch(text):
        raise click.BadParameter(f"{text!r} must be {words}.", param_hint=option)


def role_name(stage: str, application: str) -> str:
    """At most 64 characters, and outside the name patterns that Tagship's functions assume or use."""
    return f"tagship-pub-{stage}-{application}"


def template(
    trust: Trust,
    *,
    stage: str,
    application: str,
    bucket: str,
    account: str,
    region: str,
    partition: str,
    key_alias: str | None,
) -> dict[str, object]:
    """One role, for the account of the stage's stack.

    `bucket` is the stage's release bucket. `key_alias` names the key that signs releases; None if releases are not
    signed.
    """
    name = role_name(stage, application)
    trusts = trust_statement(
        f"arn:{partition}:iam::{account}:oidc-provider/{trust.provider}",
        trust.provider,
        trust.audience,
        trust.subject,
    )
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"The role that CI assumes to publish {application} to {stage}; printed by tagship role --publisher.",
        "Resources": {
            "Role": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "RoleName": name,
                    "Description": f"Uploads releases of {application} to {stage}; adds, never overwrites, never deletes.",
                    "MaxSessionDuration": SESSION_SECONDS,
                    "AssumeRolePolicyDocument": {"Version": _VERSION, "Statement": [trusts]},
                    "Policies": policies(
                        f"arn:{partition}:s3:::{bucket}/releases/{application}/*",
                        f"arn:{partition}:kms:{region}:{account}:key/*",
                        key_alias,
                    ),
                },
            }
        },
        "Outputs": {
            "RoleArn": {
                "Description": "What CI assumes: PUBLISHER_ROLE.",
                "Value": {"Fn::GetAtt": ["Role", "Arn"]},
            }
        },
    }


def promoter_name(stage: str, application: str) -> str:
    """At most 64 characters. Only the promotion function may assume roles with this name pattern."""
    return f"tagship-to-{stage}-{application}"


def promoter_template(
    function_role: str,
    *,
    stage: str,
    application: str,
    bucket: str,
    account: str,
    region: str,
    partition: str,
    key_alias: str | None,
) -> dict[str, object]:
    """The role that the previous stage assumes to upload what it promotes to this stage.

    `function_role` is the ARN of that stage's promotion function's role. `key_alias` names the key that signs
    promotions; None if no gate requires a signature.
    """
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"Promotes {application} to {stage}; printed by tagship role --promoter.",
        "Resources": {
            "Role": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "RoleName": promoter_name(stage, application),
                    "Description": f"Promotes releases of {application} to {stage}; adds, never overwrites, never deletes.",
                    "MaxSessionDuration": SESSION_SECONDS,
                    "AssumeRolePolicyDocument": promoter_trust(
                        function_role, stage=stage, application=application
                    ),
                    "Policies": policies(
                        f"arn:{partition}:s3:::{bucket}/releases/{application}/*",
                        f"arn:{partition}:kms:{region}:{account}:key/*",
                        key_alias,
                    ),
                },
            }
        },
        "Outputs": {
            "RoleArn": {
                "Description": "For application.yaml of the stage before: promote.role.",
                "Value": {"Fn::GetAtt": ["Role", "Arn"]},
            }
        },
    }


def promoter_trust(function_role: str, *, stage: str, application: str) -> dict[str, object]:
    """Trusts one function of the previous stage, for this application only. Raises click's BadParameter if it is not a
    role."""
    _must(_FUNCTION_ROLE, function_role, "--promoter", "a role's ARN: the output PromoterRoleArn")
    return trust_policy(function_roles=function_role, external_id=f"tagship-{stage}", application=application)


def trust_statement(provider_arn: object, provider: str, audience: str, subject: object) -> dict[str, object]:
    """The trust policy's statement: tokens of this issuer, for this audience, about this subject."""
    return {
        "Effect": "Allow",
        "Principal": {"Federated": provider_arn},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": {f"{provider}:aud": audience},
            "StringLike": {f"{provider}:sub": subject},
        },
    }


def policies(objects: object, keys: object, key_alias: object) -> list[dict[str, object]]:
    """Allows uploading artifacts and the manifest, checking whether a tag is used, and signing with one key."""
    upload = {"Effect": "Allow", "Action": ["s3:PutObject", "s3:GetObject"], "Resource": objects}
    # A policy can restrict a KMS key by its alias only through a condition.
    sign = {
        "Effect": "Allow",
        "Action": "kms:Sign",
        "Resource": keys,
        "Condition": {"StringEquals": {"kms:RequestAlias": key_alias}},
    }
    document = {"Version": _VERSION, "Statement": [upload, sign] if key_alias else [upload]}
    return [{"PolicyName": "upload", "PolicyDocument": document}]


def provider_command(trust: Trust) -> str:
    """The command that adds the issuer to the account; needed once for each account."""
    host = urlsplit(trust.issuer).geturl()
    return f"aws iam create-open-id-connect-provider --url {host} --client-id-list {trust.audience}"
