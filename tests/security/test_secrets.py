"""An author of one application's configuration can't have another team's secret read or sent anywhere."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tagship.approval.request.request import send_links
from tagship.aws.secrets import ApplicationSecrets, SecretRefused
from tagship.intake import configuration
from tagship.model.documents import DocumentInvalid, read_application
from tagship.notices.channel import Means, NotDelivered
from tagship.notices.channels import CHANNELS, readers_of
from tagship.slack.messages import SlackFailed
from tests.github_server import github
from tests.slack_server import slack
from tests.template.cloudformation import statements
from tests.template.definitions import ROOT
from tests.unit.approval.builders import NOW
from tests.unit.approval.test_request import SETTINGS, FakeKms, FakeSes, asked
from tests.unit.approval.test_request import facts as facts_named
from tests.unit.builders import application
from tests.unit.notices.facts import fact
from tests.unit.notices.test_everywhere import FROZEN, configured

OWN = "tagship/production/storefront/slack"
TOKEN = "tagship/production/storefront/github"
FOREIGN = [
    "tagship/production/checkout/slack",
    "tagship/production/storefront-admin/slack",
    "tagship/production/store/slack",
    "tagship/staging/storefront/slack",
    "tagship/slack",
    "checkout/slack",
    "arn:aws:secretsmanager:eu-central-1:123456789012:secret:tagship/production/checkout/slack-AbCdEf",
]
SIGNING_SECRET = "8f742231b10e8888abcd99baac1285a5"
GOOD_TOKEN = "ghp_" + "0123456789abcdefghijABCDEFGHIJ012345"


@dataclass
class Secrets:
    """Secrets Manager, and what was asked of it."""

    texts: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def get_secret_value(self, *, SecretId: str) -> dict[str, str]:
        self.asked.append(SecretId)
        return {"SecretString": self.texts[SecretId]}


# ---- the document ------------------------------------------------------------------------------------------------


def problems(stage: str = "", **notifications: Any) -> list[str]:
    try:
        read_application(application(notifications=notifications), stage=stage)
    except DocumentInvalid as error:
        return [str(problem) for problem in error.problems]
    return []


@pytest.mark.parametrize("name", FOREIGN)
def test_a_configuration_that_names_a_secret_of_another_application_or_stage_is_refused(name):
    (problem,) = problems("production", slackWebhookSecret=name)
    assert problem.startswith("notifications.slackWebhookSecret: must be")
    assert (
        "tagship/<stage>/<application>/slack" in problem or "tagship/production/storefront/slack" in problem
    )


def test_a_configuration_that_names_its_own_secrets_is_accepted():
    own = {
        "slackWebhookSecret": f"{OWN}-releases",
        "github": {"repository": "acme/storefront", "tokenSecret": TOKEN},
    }
    assert problems("production", **own) == []
    assert problems(**own) == []


def test_a_secrets_name_says_which_service_it_is_for():
    """A Slack signing secret can't be named as GitHub's token, nor the other way round."""
    (one,) = problems("production", github={"repository": "acme/storefront", "tokenSecret": OWN})
    (other,) = problems("production", slackWebhookSecret=TOKEN)
    assert one.startswith("notifications.github.tokenSecret: must be")
    assert other.startswith("notifications.slackWebhookSecret: must be")


def test_without_a_stage_the_documents_parts_must_agree():
    assert problems(slackWebhookSecret="tagship/staging/storefront/slack") == []
    (problem,) = problems(slackWebhookSecret="tagship/staging/checkout/slack")
    assert problem == (
        "notifications.slackWebhookSecret: must be a secret of storefront: its name must begin with "
        "tagship/staging/storefront/slack"
    )
    with pytest.raises(DocumentInvalid, match="tagship/production/storefront/slack"):
        read_application(
            application(
                stage="production", notifications={"slackWebhookSecret": "tagship/staging/storefront/slack"}
            )
        )


def stored(
    document: dict[str, Any], hosts: tuple[str, ...] = ("api.github.com",), stage: str = "production"
) -> list[str]:
    class Ssm:
        def get_parameter(self, **_: Any) -> dict[str, Any]:
            return {"Parameter": {"Value": json.dumps(document), "Version": 1}}

    found = configuration.read(Ssm(), stage=stage, application="storefront", github_hosts=hosts)
    assert (found["document"] is None) == bool(found["problems"])
    return found["problems"]


def test_a_release_is_not_read_with_a_configuration_that_names_another_stages_secret():
    """Also where the document says no stage: the stack knows its own."""
    document = application(notifications={"slackWebhookSecret": "tagship/staging/storefront/slack"})
    (problem,) = stored(document)
    assert "tagship/production/storefront/slack" in problem


# ---- when it is read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FOREIGN)
def test_a_request_for_another_applications_secret_is_refused_without_a_call(name):
    manager = Secrets()
    own = ApplicationSecrets(client=manager, stage="production", application="storefront", service="slack")
    with pytest.raises(SecretRefused, match="tagship/production/storefront/slack"):
        own.get_secret_value(SecretId=name)
    assert manager.asked == []


def means(manager: Secrets, table: Any, hosts: tuple[str, ...] = ("127.0.0.1",)) -> Means:
    return Means(
        client=lambda _: manager,
        ledger=table,
        event_bus="",
        topic="",
        sender="",
        slack_hosts=("127.0.0.1",),
        github_hosts=hosts,
    )


def record(**notifications: Any) -> dict[str, Any]:
    return {
        "application": "storefront",
        "status": "SUCCEEDED",
        "manifest": {"commit": "0" * 40},
        "configuration": {"document": {"notifications": notifications}},
    }


@pytest.mark.parametrize("name", FOREIGN)
def test_a_notice_never_reads_another_applications_secret(ledger, name):
    manager = Secrets()
    succeeded = fact("Release Succeeded")
    with pytest.raises(SlackFailed, match="is not a secret of storefront"):
        CHANNELS["slack"].take(succeeded, record(slackWebhookSecret=name), means(manager, ledger))
    github_settings = {"repository": "acme/storefront", "tokenSecret": name, "api": "https://api.github.com"}
    with pytest.raises(NotDelivered, match="is not a secret of storefront"):
        CHANNELS["github"].take(
            succeeded, record(github=github_settings), means(manager, ledger, ("api.github.com",))
        )
    assert manager.asked == []


@pytest.mark.parametrize("name", FOREIGN)
def test_an_approval_request_never_reads_another_applications_secret(ledger, name):
    manager, ses = Secrets(), FakeSes()
    request = asked(ledger) | {"slack": name}
    clients = {"ses": ses, "kms": FakeKms(), "secretsmanager": manager}
    send_links(ledger, request, client=clients.__getitem__, settings=SETTINGS, now=NOW)
    (error,) = facts_named(ledger, "Approval Error")
    assert "is not a secret of storefront" in error["data"]["failed"]["the channel"]
    assert manager.asked == [] and ses.mails


def test_a_stage_wide_freeze_uses_each_applications_own_secret(ssm, ledger):
    """The application is that of the parameter's name, whatever its text says."""
    other = "tagship/production/checkout/slack"
    configured(ssm, storefront={"slackWebhookSecret": OWN}, evil={"slackWebhookSecret": other})
    manager = Secrets({OWN: "", other: ""})
    here = replace(means(manager, ledger), client={"ssm": ssm, "secretsmanager": manager}.__getitem__)
    readers = readers_of(FROZEN, "slack", {}, here) or []
    assert [(it["application"], it["slackWebhookSecret"]) for it in readers] == [
        ("storefront", OWN),
        ("evil", other),
    ]
    ssm.put_parameter(
        Name="/tagship/production/applications/evil/storefront",
        Value=json.dumps({"notifications": {"slackWebhookSecret": OWN + "-of-evil"}}),
        Type="String",
    )
    assert readers_of(FROZEN, "slack", {}, here) == readers
    with pytest.raises(SlackFailed, match="is not a secret of evil"):
        CHANNELS["slack"].take(
            FROZEN,
            {
                "application": "evil",
                "configuration": {"document": {"notifications": {"slackWebhookSecret": other}}},
            },
            here,
        )
    assert manager.asked == []


def test_every_secret_is_read_under_its_applications_prefix():
    """By the sources: Secrets Manager is used only inside ApplicationSecrets."""
    found = [
        (path.name, line.strip())
        for folder in ("layers/tagship/tagship", "functions")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line in path.read_text().splitlines()
        if '"secretsmanager"' in line
    ]
    assert found
    assert [it for it in found if "client=" not in it[1]] == []


def test_iam_allows_a_function_its_own_stages_secrets_and_only_slacks_where_it_needs_no_other():
    reading = {
        (it.resource, str(it.body["Resource"]["Fn::Sub"]).partition(":secret:")[2])
        for it in statements()
        if "secretsmanager:GetSecretValue" in it.actions
    }
    assert reading == {
        ("RequestApprovalFunction", "tagship/${Stage}/*/slack*"),
        ("RemindApproversFunction", "tagship/${Stage}/*/slack*"),
        ("PauseRolloutFunction", "tagship/${Stage}/*/slack*"),
        ("ApprovalPageFunction", "tagship/${Stage}/*/slack*"),
        ("ApprovalPageFunction", "tagship/${Stage}/*/github-webhook-*"),
        ("NotifyFunction", "tagship/${Stage}/*"),
    }


# ---- where secrets are sent ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "api",
    [
        "https://collector.example.com",
        "https://api.github.com.example.com",
        "https://api.github.com:8443@collector.example.com",
        "http://127.0.0.1:8080",
        "http://api.github.com",
        "https://127.0.0.1",
        "https://localhost",
    ],
)
def test_a_token_is_sent_only_to_the_stacks_github_hosts(ledger, api):
    github_settings = {"repository": "acme/storefront", "tokenSecret": TOKEN, "api": api}
    manager = Secrets({TOKEN: GOOD_TOKEN})
    hosts = ("api.github.com", "127.0.0.1", "localhost")
    with pytest.raises(NotDelivered, match="GitHub: its address is"):
        CHANNELS["github"].take(
            fact("Release Succeeded"), record(github=github_settings), means(manager, ledger, hosts)
        )
    assert manager.asked == []
    assert stored(application(notifications={"github": github_settings}), hosts) != []


def test_a_release_is_not_read_with_a_configuration_that_names_another_github_host():
    github_settings = {
        "repository": "acme/storefront",
        "tokenSecret": TOKEN,
        "api": "https://github.example.com/api/v3",
    }
    assert stored(application(notifications={"github": github_settings})) == [
        "notifications.github.api: is not on a host that the stack allows (GitHubHosts)"
    ]
    assert stored(application(notifications={"github": github_settings}), ("github.example.com",)) == []


def test_loopback_is_allowed_only_in_development():
    github_settings = {
        "repository": "acme/storefront",
        "tokenSecret": TOKEN.replace("production", "development"),
    }
    document = application(notifications={"github": github_settings | {"api": "http://127.0.0.1:8080"}})
    assert stored(document, ("127.0.0.1",), "development") == []
    assert read_application(document, stage="development")
    for stage in ("staging", "production"):
        github_settings["tokenSecret"] = f"tagship/{stage}/storefront/github"
        document = application(notifications={"github": github_settings | {"api": "http://127.0.0.1:8080"}})
        with pytest.raises(DocumentInvalid, match=r"github\.api: is this machine's own address"):
            read_application(document, stage=stage)


@pytest.mark.parametrize(
    "text",
    [
        SIGNING_SECRET,
        json.dumps({"signingSecret": SIGNING_SECRET}),
        "https://hooks.slack.com/services/T0/B0/x",
        "xoxb-1234567890-a-token-of-a-bot-on-slack",
        "ghr_" + "a" * 76,
        "ghp_short",
        GOOD_TOKEN + "\r\nX-Evil: 1",
        "",
    ],
)
def test_only_a_well_formed_github_token_is_sent_to_github(ledger, text):
    with github() as there:
        there.token = text
        own = TOKEN.replace("production", "development")
        github_settings = {"repository": "acme/storefront", "tokenSecret": own, "api": there.api}
        manager = Secrets({own: text})
        here = type(ledger)(
            **{name: getattr(ledger, name) for name in ("client", "table", "now")}, stage="development"
        )
        with pytest.raises(NotDelivered, match="does not contain a GitHub token") as raised:
            CHANNELS["github"].take(
                fact("Release Succeeded"), record(github=github_settings), means(manager, here)
            )
        assert there.asked == []
        assert not text or text not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        GOOD_TOKEN,
        "gho_" + "a" * 36,
        "ghu_" + "a" * 36,
        "ghs_" + "a" * 36,
        "ghs_123456_" + "a" * 36 + "." + "b" * 200 + "." + "c-_" * 80,
        "github_pat_" + "a" * 22 + "_" + "b" * 59,
    ],
)
def test_every_documented_token_format_is_accepted(text):
    from tagship.notices.github import TOKEN as FORM

    assert FORM.fullmatch(text)


def test_a_freeze_of_all_applications_is_posted_once_in_a_shared_channel(ledger):
    """Each application has its own secret now; the channel behind them may still be the same."""
    with slack() as here:
        names = [f"tagship/production/{name}/slack" for name in ("storefront", "checkout")]
        manager = Secrets({name: here.url() for name in names})
        for name in names:
            document = {"notifications": {"slackWebhookSecret": name}}
            recipient = {"application": name.split("/")[2], "configuration": {"document": document}}
            CHANNELS["slack"].take(FROZEN, recipient, means(manager, ledger))
        assert len(here.to("channel")) == 1
