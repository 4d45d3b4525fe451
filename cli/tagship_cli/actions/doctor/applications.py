"""Checks of each application: its configuration, role and target, and the resources that it names outside the stack."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tagship.aws.alarms import look
from tagship.aws.calls import code_of
from tagship.aws.rights import PASSED_TO, Right
from tagship.ledger import releases
from tagship.ledger.table import Ledger
from tagship.model.application import Application
from tagship.model.documents import DocumentInvalid, read_application
from tagship.model.errors import AwsUnavailable, CredentialsRefused, TagshipError
from tagship.slack.messages import SlackFailed, webhooks
from tagship.targets import kind_of
from tagship_cli.actions.doctor import github
from tagship_cli.actions.doctor.finding import Finding, Subject, ok, warning, wrong
from tagship_cli.actions.guarding import compared
from tagship_cli.actions.role import rights_of
from tagship_cli.failures import AwsRefused, trying

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_iam.type_defs import ContextEntryTypeDef


def examine(subject: Subject, names: Sequence[str]) -> Iterator[Finding]:
    """Checks the named applications; all applications of the stage if none is named."""
    stored = _stored(subject)
    if not stored:
        yield ok(
            "applications",
            f"{subject.stage} has no application yet. Store one: tagship apply "
            f"application.yaml{subject.flags}",
        )
    for name in names or stored:
        if name not in stored:
            yield wrong(
                name,
                f"{subject.stage} has no application {name}.",
                f"Store its configuration: tagship apply application.yaml{subject.flags}",
            )
            continue
        try:
            configuration = read_application(
                json.loads(stored[name]),
                stage=subject.stage,
                github_hosts=_in_list(subject.parameters.get("GitHubHosts", "api.github.com")),
            )
        except (ValueError, DocumentInvalid) as error:
            yield wrong(
                name,
                f"Its configuration is not valid, so its releases end INVALID: {error}",
                f"Correct it: tagship apply application.yaml{subject.flags}",
            )
            continue
        yield from approved(subject, name, json.loads(stored[name]))
        yield from _application(subject, configuration)


def approved(subject: Subject, name: str, data: object) -> Iterator[Finding]:
    """In a guarded stage, checks that the stored configuration is the approved one."""
    if subject.outputs.get("ConfigurationGuarded") != "true":
        return
    try:
        found = compared(_ledger(subject), name, data, flags=subject.flags)
    except AwsRefused as refused:
        problem, _, advice = refused.message.partition("\n")
        yield warning(name, f"Not checked: whether its configuration is approved. {problem}", advice)
        return
    yield (
        warning(name, found.said, found.remedy)
        if found
        else ok(name, "Its configuration is the one that was approved.")
    )


def _application(subject: Subject, configuration: Application) -> Iterator[Finding]:
    for question in (role, target, alarms, secrets, hosts):
        try:
            yield from question(subject, configuration)
        except AwsRefused as refused:
            problem, _, advice = refused.message.partition("\n")
            yield warning(
                configuration.application,
                f"Not checked. {problem}",
                advice or "Run the check again with an identity that can read it.",
            )


def _stored(subject: Subject) -> dict[str, str]:
    path = f"/tagship/{subject.stage}/applications"
    with trying(f"Reading the parameters below {path}"):
        pages = (
            subject.client("ssm")
            .get_paginator("get_parameters_by_path")
            .paginate(Path=path, WithDecryption=True)
        )
        found = {
            each["Name"].rpartition("/")[2]: each["Value"] for page in pages for each in page["Parameters"]
        }
    return dict(sorted(found.items()))


# ---- the role ------------------------------------------------------------------------------------------------------


def role(subject: Subject, configuration: Application) -> Iterator[Finding]:
    """Checks that the role exists, trusts this stage's functions with the external ID, and allows what a release needs."""
    from botocore.exceptions import ClientError

    name, spec = configuration.application, configuration.target
    deploy = f"tagship role application.yaml --deploy{subject.flags}"
    if spec.account != subject.account:
        yield _elsewhere(subject, configuration, "Its role")
        return
    iam = subject.client("iam")
    with trying(f"Looking at the role of {name}"):
        try:
            found = iam.get_role(RoleName=spec.role.rpartition("/")[2])["Role"]
        except ClientError as error:
            if code_of(error) != "NoSuchEntity":
                raise
            yield wrong(name, f"There is no role {spec.role}.", f"Deploy it: {deploy}")
            return
    if not _trusts(found["AssumeRolePolicyDocument"], spec.externalId):
        yield wrong(
            name,
            f"{spec.role} does not require the external ID {spec.externalId}, so it is not the role that "
            "Tagship prints.",
            f"Deploy it again: {deploy}",
        )
        return
    missing = _missing(iam, configuration, bucket=subject.outputs["ReleaseBucketName"])
    if missing:
        yield wrong(
            name, f"{spec.role} lacks these rights: {', '.join(missing)}.", f"Deploy it again: {deploy}"
        )
    else:
        yield ok(name, "Its role exists and has every right that its target, gates and checks need.")


def _trusts(policy: Mapping[str, Any], external_id: str) -> bool:
    statements = policy.get("Statement", [])
    return any(
        statement.get("Effect") == "Allow"
        and "sts:AssumeRole" in _listed(statement.get("Action"))
        and external_id in _listed(_of(statement.get("Condition", {}), "sts:ExternalId"))
        for statement in (statements if isinstance(statements, list) else [statements])
    )


def _of(condition: Mapping[str, Mapping[str, object]], key: str) -> object:
    return next(
        (value for each in condition.values() for name, value in each.items() if name.lower() == key.lower()),
        [],
    )


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _missing(iam: IAMClient, configuration: Application, *, bucket: str) -> list[str]:
    """The actions that IAM's policy simulation denies. A session policy can only narrow the role's permissions."""
    return sorted(
        {
            action
            for right in rights_of(configuration, bucket=bucket)
            for action in _denied(iam, configuration, right)
        }
    )


def _denied(iam: IAMClient, configuration: Application, right: Right) -> Iterator[str]:
    with trying(f"Simulating the rights of {configuration.target.role}"):
        pages = iam.get_paginator("simulate_principal_policy").paginate(
            PolicySourceArn=configuration.target.role,
            ActionNames=list(right.actions),
            ResourceArns=list(right.on),
            ContextEntries=_passing(right),
        )
        for page in pages:
            for result in page["EvaluationResults"]:
                if result["EvalDecision"] != "allowed":
                    yield result["EvalActionName"]


def _passing(right: Right) -> list[ContextEntryTypeDef]:
    """The service that receives the role, which the simulation needs."""
    if not right.passed_to:
        return []
    return [
        {
            "ContextKeyName": PASSED_TO,
            "ContextKeyValues": [right.passed_to],
            "ContextKeyType": "string",
        }
    ]


# ---- the target and its alarms -------------------------------------------------------------------------------------


def target(subject: Subject, configuration: Application) -> Iterator[Finding]:
    """Runs the gate `target`, with the caller's permissions."""
    name, spec = configuration.application, configuration.target
    kind = kind_of(spec)
    where = kind.where(spec)
    if spec.account != subject.account:
        yield _elsewhere(subject, configuration, "Its target")
        return
    client = partial(subject.client, region=spec.region)
    adapter = kind.make(application=name, tag="", spec=spec, client=client)
    try:
        found = adapter.check(_serving(subject, name))
    except (CredentialsRefused, AwsUnavailable) as error:
        yield warning(
            name, f"Not checked: {where}. {error}", "Run the check again with an identity that can read it."
        )
    except TagshipError as error:
        yield wrong(
            name,
            f"{where} can't take a release: {error}",
            "Correct it before the next release; otherwise the gate target will refuse that release.",
        )
    else:
        yield (
            warning(
                name, f"{where}: {found.warning}", "; ".join(found.remedies) or "See docs/gates.md, target"
            )
            if found.warning
            else ok(name, found.said)
        )


def _serving(subject: Subject, application: str) -> Any:
    with trying(f"Reading the current version of {application}"):
        current = releases.current(_ledger(subject), application)
    return current["revision"] if current else None


def _ledger(subject: Subject) -> Ledger:
    return Ledger(
        client=subject.client("dynamodb"),
        table=subject.outputs["LedgerTableName"],
        stage=subject.stage,
        now=subject.now,
    )


def alarms(subject: Subject, configuration: Application) -> Iterator[Finding]:
    """Checks that the alarms exist and have data."""
    name, spec, names = configuration.application, configuration.target, configuration.health.alarms
    if not names:
        return
    if spec.account != subject.account:
        yield _elsewhere(subject, configuration, "Its alarms")
        return
    with trying(f"Looking at the alarms of {name}"):
        found = look(subject.client("cloudwatch", region=spec.region), names)
    if missing := [each for each in names if each not in found]:
        yield wrong(
            name,
            f"No alarm named {', '.join(missing)} exists in {spec.region}, so its releases end INVALID.",
            "Create it, or remove it from the configuration.",
        )
    health = configuration.health
    accepted = health.alarms_read(no_data="healthy") - health.alarms_read(no_data="inconclusive")
    silent = [
        each
        for each, alarm in found.items()
        if alarm.state == "INSUFFICIENT_DATA" and alarm.needs_data and each not in accepted
    ]
    if silent:
        yield warning(
            name,
            f"{', '.join(silent)} has no data, so it can't show that a release is healthy.",
            "Set TreatMissingData to notBreaching, send traffic, or accept it with noData: healthy.",
        )
    firing = [each for each, alarm in found.items() if alarm.state == "ALARM"]
    if firing:
        yield warning(
            name,
            f"{', '.join(firing)} is in ALARM now.",
            "Only alarms that fire after a release starts count against it.",
        )
    if not missing and not silent and not firing:
        yield ok(
            name,
            f"{'Its alarm exists and is' if len(names) == 1 else f'Its {len(names)} alarms exist and are'} not firing.",
        )


# ---- notifications -------------------------------------------------------------------------------------------------


def secrets(subject: Subject, configuration: Application) -> Iterator[Finding]:
    """Checks that the secrets can be read and are well-formed. Never shows their content."""
    name, notifications = configuration.application, configuration.notifications
    if notifications.slackWebhookSecret:
        hosts = _in_list(subject.parameters.get("SlackHosts", ""))
        try:
            webhooks(subject.client("secretsmanager"), notifications.slackWebhookSecret, hosts=hosts)
        except SlackFailed as error:
            if "AccessDenied" in str(error):
                yield warning(
                    name, f"Not checked: {error}.", "Run the check again with an identity that can read it."
                )
            else:
                yield wrong(
                    name,
                    f"Slack gets no notices: {error}.",
                    "Write the secret as described in docs/notifications.md.",
                )
        else:
            yield ok(name, f"The secret {notifications.slackWebhookSecret} exists and has the right form.")
    yield from github.examine(subject, configuration)


def _in_list(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def hosts(subject: Subject, configuration: Application) -> Iterator[Finding]:
    """Whether Slack and GitHub can be reached from this machine."""
    notifications = configuration.notifications
    hosts = ["hooks.slack.com"] if notifications.slackWebhookSecret else []
    hosts += [urlsplit(notifications.github.api).netloc] if notifications.github else []
    for host in hosts:
        try:
            subject.reach(host)
        except OSError as error:
            yield warning(
                configuration.application,
                f"{host} does not answer from this machine: {error}",
                "Its notices stay in the queue and are sent when it answers. Check its status page.",
            )
        else:
            yield ok(configuration.application, f"{host} answers.")


def _elsewhere(subject: Subject, configuration: Application, what: str) -> Finding:
    spec = configuration.target
    return warning(
        configuration.application,
        f"Not checked: {what[0].lower()}{what[1:]} is in account {spec.account}, and you are in "
        f"{subject.account}.",
        "The gate target checks it before each release.",
    )
