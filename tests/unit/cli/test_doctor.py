"""`tagship doctor` names each fault of an account and its applications, with what to do; a whole one has nothing wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from tagship.aws.rights import trust_policy
from tagship.model.documents import read_application
from tagship.runtime import utc_now
from tagship.targets import KINDS
from tagship_cli.actions.doctor import QUESTIONS, Subject, Verdict, applications, examine
from tests.github_server import APP, WEBHOOK_SECRET, GitHub, app_secret, github
from tests.unit.cli.conftest import NOW, ROOT, application
from tests.unit.tables import aws_error
from tests.unit.targets.functions import FakeLambda

ACCOUNT = "123456789012"
ROLES = f"arn:aws:iam::{ACCOUNT}:role/tagship-development-*FunctionRole-*"
SLACK = "tagship/development/storefront/slack"
GITHUB = "tagship/development/storefront/github"


class Pages:
    """A paginator of one page, or of several."""

    def __init__(self, *pages: Mapping[str, Any]) -> None:
        self.pages = pages

    def paginate(self, **_: Any) -> Any:
        return self.pages


class Iam:
    """Roles and their permissions."""

    def __init__(self) -> None:
        self.roles = {
            "tagship-app-storefront": trust_policy(
                function_roles=ROLES, external_id="tagship-development", application="storefront"
            )
        }
        self.denied: set[str] = set()
        self.providers = {"oidc-provider/token.actions.githubusercontent.com": ["sts.amazonaws.com"]}

    def get_role(self, *, RoleName: str) -> Any:
        if RoleName not in self.roles:
            raise aws_error("NoSuchEntity", status=404)
        return {"Role": {"AssumeRolePolicyDocument": self.roles[RoleName]}}

    def get_paginator(self, operation: str) -> Any:
        assert operation == "simulate_principal_policy"
        return self

    def paginate(
        self,
        *,
        PolicySourceArn: str,
        ActionNames: list[str],
        ResourceArns: list[str],
        ContextEntries: list[dict[str, Any]],
    ) -> Any:
        """A role may be passed to CloudFormation only; IAM's simulation knows only the conditions in the request."""
        assert PolicySourceArn.endswith("tagship-app-storefront") and ResourceArns
        context = {each["ContextKeyName"]: each["ContextKeyValues"] for each in ContextEntries}
        elsewhere = context.get("iam:PassedToService") != ["cloudformation.amazonaws.com"]
        denied = self.denied | ({"iam:PassRole"} if elsewhere else set())
        decided = [
            {"EvalActionName": action, "EvalDecision": "implicitDeny" if action in denied else "allowed"}
            for action in ActionNames
        ]
        return [{"EvaluationResults": decided}]

    def get_open_id_connect_provider(self, *, OpenIDConnectProviderArn: str) -> Any:
        name = OpenIDConnectProviderArn.split(":")[5]
        if name not in self.providers:
            raise aws_error("NoSuchEntity", status=404)
        return {"ClientIDList": self.providers[name]}


class Account:
    """An account in which nothing is wrong, until a test plants something."""

    def __init__(self) -> None:
        self.now = NOW
        self.date = NOW
        self.stack: dict[str, Any] = {
            "StackName": "tagship-development",
            "StackId": f"arn:aws:cloudformation:eu-central-1:{ACCOUNT}:stack/tagship-development/1",
            "StackStatus": "UPDATE_COMPLETE",
            "DriftInformation": {"StackDriftStatus": "IN_SYNC", "LastCheckTimestamp": NOW},
        }
        self.outputs = {
            "LedgerTableName": "ledger",
            "ReleaseBucketName": "releases",
            "Version": version("tagship"),
        }
        self.parameters = {
            "SenderAddress": "tagship@example.com",
            "SlackHosts": "hooks.slack.com",
            "PublisherRepository": "acme/storefront",
        }
        self.mail: dict[str, Any] = {
            "SendingEnabled": True,
            "ProductionAccessEnabled": True,
            "SendQuota": {"Max24HourSend": 50_000.0, "SentLast24Hours": 12.0},
        }
        self.identities: dict[str, Any] = {"example.com": {"VerifiedForSendingStatus": True}}
        self.lambdas = FakeLambda()
        self.lambdas.latest["FunctionArn"] = (
            f"arn:aws:lambda:eu-central-1:{ACCOUNT}:function:storefront:$LATEST"
        )
        self.limits: dict[str, Any] = {
            "AccountLimit": {
                "ConcurrentExecutions": 1000,
                "UnreservedConcurrentExecutions": 980,
                "TotalCodeSize": 80 * 1024**3,
            },
            "AccountUsage": {"TotalCodeSize": 2 * 1024**3},
        }
        self.lambdas.get_account_settings = lambda: self.limits  # type: ignore[attr-defined]
        self.iam = Iam()
        self.queues = {"DeadLetters": 0, "NoticesSetAside": 0, "BroadcastFailures": 0, "Notices": 0}
        self.alarms = {"storefront-5xx": ("OK", "missing")}
        self.secrets = {SLACK: "https://hooks.slack.com/services/T0/B0/abc", GITHUB: "ghp_" + "a" * 36}
        self.silent: dict[str, str] = {}
        self.refused: set[str] = set()
        document = application(
            health={"checks": [{"type": "lambda"}, {"type": "alarm", "names": ["storefront-5xx"]}]},
            notifications={
                "slackWebhookSecret": SLACK,
                "github": {"repository": "acme/storefront", "tokenSecret": GITHUB},
            },
        )
        self.applications = {"storefront": json.dumps(document)}

    def client(self, service: str, *, region: str | None = None) -> Any:
        assert region in (None, "eu-central-1")
        if service in self.refused:
            return _refusing()
        return (
            getattr(self, f"_{service}", lambda: None)() or {"iam": self.iam, "lambda": self.lambdas}[service]
        )

    def reach(self, host: str) -> None:
        if host in self.silent:
            raise OSError(self.silent[host])

    def subject(self) -> Subject:
        return Subject(
            stage="development",
            account=ACCOUNT,
            flags=" --stage development",
            stack=self.stack,
            outputs=self.outputs,
            parameters=self.parameters,
            now=lambda: self.now,
            client=self.client,
            reach=self.reach,
        )

    def _sts(self) -> Any:
        headers = {"date": format_datetime(self.date, usegmt=True)}
        return SimpleNamespace(get_caller_identity=lambda: {"ResponseMetadata": {"HTTPHeaders": headers}})

    def _sesv2(self) -> Any:
        def identity(*, EmailIdentity: str) -> Any:
            if EmailIdentity not in self.identities:
                raise aws_error("NotFoundException", status=404)
            return self.identities[EmailIdentity]

        return SimpleNamespace(get_account=lambda: self.mail, get_email_identity=identity)

    def _cloudformation(self) -> Any:
        found = [
            {
                "LogicalResourceId": name,
                "PhysicalResourceId": f"https://sqs/{name}",
                "ResourceType": "AWS::SQS::Queue",
            }
            for name in self.queues
        ]
        return SimpleNamespace(get_paginator=lambda _: Pages({"StackResourceSummaries": found}))

    def _sqs(self) -> Any:
        def attributes(*, QueueUrl: str, **_: Any) -> Any:
            count = self.queues[QueueUrl.rpartition("/")[2]]
            return {
                "Attributes": {
                    "ApproximateNumberOfMessages": str(count),
                    "ApproximateNumberOfMessagesNotVisible": "0",
                }
            }

        return SimpleNamespace(get_queue_attributes=attributes)

    def _ssm(self) -> Any:
        found = [
            {"Name": f"/tagship/development/applications/{name}", "Value": text}
            for name, text in self.applications.items()
        ]
        return SimpleNamespace(get_paginator=lambda _: Pages({"Parameters": found}))

    def _dynamodb(self) -> Any:
        return SimpleNamespace(get_item=lambda **_: {}, query=lambda **_: {"Items": []})

    def _cloudwatch(self) -> Any:
        def describe(*, AlarmNames: list[str], **_: Any) -> Any:
            return {
                "MetricAlarms": [
                    {
                        "AlarmName": name,
                        "StateValue": state,
                        "StateUpdatedTimestamp": NOW,
                        "TreatMissingData": missing,
                    }
                    for name, (state, missing) in self.alarms.items()
                    if name in AlarmNames
                ]
            }

        return SimpleNamespace(describe_alarms=describe)

    def _secretsmanager(self) -> Any:
        def value(*, SecretId: str) -> Any:
            if SecretId not in self.secrets:
                raise aws_error("ResourceNotFoundException", status=404)
            return {"SecretString": self.secrets[SecretId]}

        return SimpleNamespace(get_secret_value=value)


def _refusing() -> Any:
    class Refusing:
        def __getattr__(self, name: str) -> Any:
            def refuse(*_: Any, **__: Any) -> Any:
                raise aws_error(
                    "AccessDeniedException", status=403, message=f"not authorized to perform: {name}"
                )

            return refuse

    return Refusing()


def test_without_problems_every_line_is_ok_and_every_check_ran() -> None:
    found = list(examine(Account().subject()))
    assert [(each.about, each.said) for each in found if each.verdict is not Verdict.OK] == []
    assert {each.about for each in found} == {about for about, _ in QUESTIONS} | {"storefront"}
    assert all(not each.remedy for each in found)


def _other_account(account: Account) -> None:
    document = json.loads(account.applications["storefront"])
    document["target"] |= {
        "account": "999999999999",
        "role": "arn:aws:iam::999999999999:role/tagship-app-storefront",
    }
    account.applications["storefront"] = json.dumps(document)


FAULTS: Mapping[str, tuple[Any, Verdict, str]] = {
    "the clock is six minutes off": (
        lambda a: setattr(a, "date", NOW + timedelta(minutes=6)),
        Verdict.WRONG,
        "clock is 360 s off",
    ),
    "the stage guards configurations, and nobody approved this one": (
        lambda a: a.outputs.update(ConfigurationGuarded="true"),
        Verdict.WARNING,
        "No configuration of storefront is approved in development yet",
    ),
    "the clock is a minute off": (
        lambda a: setattr(a, "date", NOW - timedelta(minutes=1)),
        Verdict.WARNING,
        "60 s off",
    ),
    "the last deployment failed": (
        lambda a: a.stack.update(StackStatus="UPDATE_ROLLBACK_FAILED", StackStatusReason="Role is gone"),
        Verdict.WRONG,
        "UPDATE_ROLLBACK_FAILED: Role is gone",
    ),
    "it is being deployed": (
        lambda a: a.stack.update(StackStatus="UPDATE_IN_PROGRESS"),
        Verdict.WARNING,
        "a deployment is in progress",
    ),
    "its name is too long": (
        lambda a: a.stack.update(StackName="tagship-production-of-acme"),
        Verdict.WRONG,
        "has 26 characters",
    ),
    "somebody changed it by hand": (
        lambda a: a.stack["DriftInformation"].update(StackDriftStatus="DRIFTED"),
        Verdict.WRONG,
        "has drifted (found",
    ),
    "it is of another version": (
        lambda a: a.outputs.update(Version="0.0.1"),
        Verdict.WARNING,
        "The stack has Tagship 0.0.1",
    ),
    "the sender is not verified": (
        lambda a: a.identities.update({"tagship@example.com": {"VerifiedForSendingStatus": False}}),
        Verdict.WRONG,
        "tagship@example.com is not verified",
    ),
    "nobody knows the sender": (
        lambda a: a.identities.clear(),
        Verdict.WRONG,
        "has no identity tagship@example.com or",
    ),
    "SES is in the sandbox": (
        lambda a: a.mail.update(ProductionAccessEnabled=False),
        Verdict.WARNING,
        "in the sandbox",
    ),
    "SES is paused": (
        lambda a: a.mail.update(SendingEnabled=False),
        Verdict.WRONG,
        "sends no mail for this account",
    ),
    "the mails of today are used up": (
        lambda a: a.mail["SendQuota"].update(SentLast24Hours=50_000.0),
        Verdict.WRONG,
        "no more today",
    ),
    "the account is new": (
        lambda a: a.limits["AccountLimit"].update(ConcurrentExecutions=10, UnreservedConcurrentExecutions=10),
        Verdict.WRONG,
        "10 functions can run at once",
    ),
    "the room for code is nearly full": (
        lambda a: a.limits["AccountUsage"].update(TotalCodeSize=78 * 1024**3),
        Verdict.WARNING,
        "98% of the account's 80 GiB",
    ),
    "GitHub is not known": (
        lambda a: a.iam.providers.clear(),
        Verdict.WRONG,
        "has no identity provider for GitHub",
    ),
    "GitHub's tokens are for another": (
        lambda a: a.iam.providers.update({"oidc-provider/token.actions.githubusercontent.com": ["else"]}),
        Verdict.WRONG,
        "does not accept tokens for sts.amazonaws.com",
    ),
    "an upload started nothing": (
        lambda a: a.queues.update(DeadLetters=2),
        Verdict.WRONG,
        "DeadLetters holds 2",
    ),
    "a notice was set aside": (
        lambda a: a.queues.update(NoticesSetAside=1),
        Verdict.WRONG,
        "NoticesSetAside holds 1",
    ),
    "notices wait": (lambda a: a.queues.update(Notices=400), Verdict.WARNING, "400 notices are waiting"),
    "its configuration is not valid": (
        lambda a: a.applications.update(storefront="{}"),
        Verdict.WRONG,
        "Its configuration is not valid",
    ),
    "it has no role": (lambda a: a.iam.roles.clear(), Verdict.WRONG, "There is no role"),
    "its role trusts another": (
        lambda a: a.iam.roles.update(
            {
                "tagship-app-storefront": trust_policy(
                    function_roles=ROLES, external_id="else", application="storefront"
                )
            }
        ),
        Verdict.WRONG,
        "does not require the external ID tagship-development",
    ),
    "its role lacks a right": (
        lambda a: a.iam.denied.add("lambda:UpdateAlias"),
        Verdict.WRONG,
        "lacks these rights: lambda:UpdateAlias",
    ),
    "its function is gone": (
        lambda a: a.lambdas.refuses.update(
            get_function_configuration=aws_error(
                "ResourceNotFoundException", status=404, message="Function not found"
            )
        ),
        Verdict.WRONG,
        "can't take a release",
    ),
    "its alarm is gone": (lambda a: a.alarms.clear(), Verdict.WRONG, "No alarm named storefront-5xx"),
    "its alarm can only be silent": (
        lambda a: a.alarms.update({"storefront-5xx": ("INSUFFICIENT_DATA", "missing")}),
        Verdict.WARNING,
        "storefront-5xx has no data",
    ),
    "its alarm fires": (
        lambda a: a.alarms.update({"storefront-5xx": ("ALARM", "missing")}),
        Verdict.WARNING,
        "storefront-5xx is in ALARM now",
    ),
    "Slack's secret is gone": (lambda a: a.secrets.pop(SLACK), Verdict.WRONG, "Slack gets no notices"),
    "Slack's secret has another form": (
        lambda a: a.secrets.update({SLACK: "https://evil.example.com/x"}),
        Verdict.WRONG,
        "Slack gets no notices",
    ),
    "GitHub's secret is gone": (
        lambda a: a.secrets.pop(GITHUB),
        Verdict.WRONG,
        f"There is no secret {GITHUB}",
    ),
    "GitHub's secret holds Slack's": (
        lambda a: a.secrets.update({GITHUB: a.secrets[SLACK]}),
        Verdict.WRONG,
        "does not contain a GitHub token",
    ),
    "GitHub's secret is empty": (lambda a: a.secrets.update({GITHUB: " "}), Verdict.WRONG, "is empty"),
    "GitHub does not answer": (
        lambda a: a.silent.update({"api.github.com": "timed out"}),
        Verdict.WARNING,
        "api.github.com does not answer from this machine",
    ),
    "it is in another account": (_other_account, Verdict.WARNING, "is in account 999999999999"),
}


RULE_APP = "tagship/development/storefront/github-app"
RULE_WEBHOOK = "tagship/development/storefront/github-webhook"


def with_a_rule(there: GitHub) -> Account:
    """The account, whose application lets the jobs of this GitHub wait."""
    account = Account()
    account.outputs["ApprovalUrl"] = "https://approve.example.com/"
    account.parameters["GitHubHosts"] = "127.0.0.1"
    account.secrets |= {RULE_APP: app_secret(), RULE_WEBHOOK: WEBHOOK_SECRET}
    account.now = utc_now()
    document = json.loads(account.applications["storefront"])
    rule = {
        "repository": "acme/storefront",
        "api": there.api,
        "protectionRule": {"environment": "production"},
    }
    document["notifications"]["github"] = rule
    account.applications["storefront"] = json.dumps(document)
    return account


RULE_FAULTS: dict[str, tuple[Callable[[Account, GitHub], Any], Verdict, str]] = {
    "no webhook secret": (lambda a, _: a.secrets.pop(RULE_WEBHOOK), Verdict.WRONG, "There is no secret"),
    "a short webhook secret": (
        lambda a, _: a.secrets.update({RULE_WEBHOOK: "short"}),
        Verdict.WRONG,
        "is not 20 to 200 printable characters",
    ),
    "no App": (lambda a, _: a.secrets.pop(RULE_APP), Verdict.WRONG, "There is no secret"),
    "no key of the App": (
        lambda a, _: a.secrets.update({RULE_APP: '{"appId": "1"}'}),
        Verdict.WRONG,
        "has no privateKey",
    ),
    "another App's key": (
        lambda a, _: a.secrets.update({RULE_APP: app_secret().replace(APP, "Iv23liAnother")}),
        Verdict.WRONG,
        "GitHub does not accept the private key",
    ),
    "another address": (
        lambda _, there: setattr(there, "hook", "https://example.com/"),
        Verdict.WRONG,
        "sends its webhook to https://example.com/",
    ),
    "a missing permission": (
        lambda _, there: setattr(there, "granted", {"deployments": "read", "actions": "read"}),
        Verdict.WRONG,
        "lacks the permission Deployments: Read and write",
    ),
    "the publisher's own environment": (
        lambda a, _: a.parameters.update({"PublisherEnvironment": "Production"}),
        Verdict.WRONG,
        "waits for the release that it is about to publish",
    ),
    "GitHub is down": (lambda _, there: setattr(there, "down", True), Verdict.WARNING, "GitHub answered 503"),
}


def test_a_protection_rule_whose_app_is_right_is_no_fault() -> None:
    with github() as there:
        said = [each.said for each in examine(with_a_rule(there).subject()) if "GitHub App" in each.said]
    hook = "https://approve.example.com/github/storefront"
    assert said == [f"The GitHub App has the right key and permissions, and sends its webhook to {hook}"]


@pytest.mark.parametrize("fault", RULE_FAULTS)
def test_a_fault_of_a_protection_rule_is_named_with_what_to_do(fault: str) -> None:
    plant, verdict, said = RULE_FAULTS[fault]
    with github() as there:
        account = with_a_rule(there)
        plant(account, there)
        found = [each for each in examine(account.subject()) if said in each.said]
    assert [(each.verdict, bool(each.remedy)) for each in found] == [(verdict, True)]
    assert not any(secret in found[0].said for secret in (WEBHOOK_SECRET, app_secret()))


def test_a_silent_alarm_that_the_configuration_accepts_is_ok() -> None:
    account = Account()
    account.alarms.update({"storefront-5xx": ("INSUFFICIENT_DATA", "missing")})
    document = json.loads(account.applications["storefront"])
    for check in document["health"]["checks"]:
        check.update({"noData": "healthy"} if check["type"] == "alarm" else {})
    account.applications["storefront"] = json.dumps(document)
    assert not [each.said for each in examine(account.subject()) if "has no data" in each.said]


def test_a_role_that_may_be_passed_to_one_service_is_complete() -> None:
    document = application(strategy={"type": "all-at-once"})
    document["target"] = dict(KINDS["cloudformation"].example)
    document["health"] = {"checks": [{"type": "http", "url": "https://example.com/"}]}
    configuration, iam = read_application(document), Iam()
    assert applications._missing(cast("Any", iam), configuration, bucket="releases") == []
    iam.denied.add("cloudformation:UpdateStack")
    assert applications._missing(cast("Any", iam), configuration, bucket="releases") == [
        "cloudformation:UpdateStack"
    ]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_problem_is_named_with_a_remedy(fault: str) -> None:
    plant, verdict, said = FAULTS[fault]
    account = Account()
    plant(account)
    found = [each for each in examine(account.subject()) if each.verdict is not Verdict.OK]
    named = [each for each in found if said in each.said]
    assert named, [each.said for each in found]
    assert {each.verdict for each in named} == {verdict}
    assert all(each.remedy for each in found)
    shown = " ".join(each.said + each.remedy for each in found)
    assert not any(secret in shown for secret in Account().secrets.values()), "a secret is shown"


@pytest.mark.parametrize(
    "service", ["sts", "sesv2", "lambda", "iam", "sqs", "ssm", "cloudwatch", "secretsmanager"]
)
def test_a_check_that_could_not_run_is_a_warning(service: str) -> None:
    account = Account()
    account.refused.add(service)
    found = list(examine(account.subject()))
    unseen = [each for each in found if each.said.startswith("Not checked")]
    assert unseen and all(each.verdict is Verdict.WARNING and each.remedy for each in unseen)
    assert not [each for each in found if each.verdict is Verdict.WRONG]


def test_a_caller_that_bypasses_the_alias_is_named_with_the_command_that_moves_it() -> None:
    """Fault 91."""
    account = Account()
    account.lambdas.addresses[""] = "https://abc.lambda-url.eu-central-1.on.aws/"
    (found,) = [each for each in examine(account.subject()) if "bypass the alias" in each.said]
    assert found.verdict is Verdict.WARNING
    assert found.remedy.startswith(
        "the function URL https://abc.lambda-url.eu-central-1.on.aws/: aws lambda create-function-url-config "
        "--function-name storefront --qualifier live"
    )


def test_only_the_named_applications_are_checked_and_an_unknown_one_is_wrong() -> None:
    account = Account()
    account.applications["another"] = "{}"
    about = {each.about for each in examine(account.subject(), ["storefront", "nobody"])}
    assert "another" not in about
    (unknown,) = [each for each in examine(account.subject(), ["nobody"]) if each.about == "nobody"]
    assert (unknown.verdict, unknown.said) == (Verdict.WRONG, "development has no application nobody.")


def test_a_stage_without_applications_says_how_to_begin() -> None:
    account = Account()
    account.applications.clear()
    (said,) = [each.said for each in examine(account.subject()) if each.about == "applications"]
    assert (
        said
        == "development has no application yet. Store one: tagship apply application.yaml --stage development"
    )


def test_the_stacks_version_is_shown() -> None:
    text = (ROOT / "template.yaml").read_text()
    outputs = yaml.safe_load(text[text.index("Outputs:") :].replace("!", ""))["Outputs"]
    assert outputs["Version"]["Value"] == version("tagship")


# ---- as it is typed ------------------------------------------------------------------------------------------------


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Account:
    account = Account()
    monkeypatch.setattr("tagship_cli.commands.doctor._subject", lambda _: account.subject())
    return account


def test_a_problem_exits_with_one_and_no_problem_with_zero(stage: Any, looked: Account) -> None:
    assert stage.run("doctor", "--stage", "development").exit_code == 0
    looked.mail["ProductionAccessEnabled"] = False
    only_warned = stage.run("doctor", "--stage", "development")
    assert only_warned.exit_code == 0
    assert "1 warning" in only_warned.output
    looked.queues["DeadLetters"] = 3
    result = stage.run("doctor", "--stage", "development")
    assert result.exit_code == 1
    assert "  wrong   DeadLetters holds 3: uploads that started no release." in result.output
    assert "        → Read docs/runbooks/dead-letters.md" in result.output


def test_as_json_each_finding_is_an_object(stage: Any, looked: Account) -> None:
    looked.date = datetime(2026, 1, 1, tzinfo=UTC)
    result = stage.run("doctor", "--json", "--stage", "development")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["stage"] == "development"
    assert {tuple(each) for each in document["findings"]} == {("about", "verdict", "said", "remedy")}
