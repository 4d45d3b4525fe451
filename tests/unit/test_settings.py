"""The environment is read in one place, and what the template forgot is named."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from tagship.settings import Settings

LEAST = {"TAGSHIP_STAGE": "production", "TAGSHIP_LEDGER_TABLE": "ledger"}


def test_a_function_with_minimal_settings_has_the_documented_budgets():
    settings = Settings.from_environment(LEAST)
    assert (settings.stage, settings.ledger_table) == ("production", "ledger")
    assert (settings.deployment_seconds, settings.health_seconds, settings.rollback_seconds) == (
        1200,
        300,
        600,
    )
    assert settings.approval_seconds == 7 * 24 * 3600
    assert (settings.link_key, settings.approval_base_url, settings.event_bus, settings.allowed_networks) == (
        "",
        "",
        "",
        (),
    )


@pytest.mark.parametrize("name", LEAST)
def test_a_setting_missing_from_the_template_is_named(name):
    with pytest.raises(KeyError, match=name):
        Settings.from_environment({key: value for key, value in LEAST.items() if key != name})


def test_every_setting_is_read():
    variables = LEAST | {
        "TAGSHIP_LINK_KEY": "arn:key",
        "TAGSHIP_OTHER_LINK_KEYS": "arn:one,arn:two",
        "TAGSHIP_DECISION_KEY": "arn:decisions",
        "TAGSHIP_SLACK_HOSTS": "hooks.slack.com, hooks.example.com",
        "TAGSHIP_GITHUB_HOSTS": "api.github.com",
        "TAGSHIP_APPROVAL_BASE_URL": "https://approve.example.com/",
        "TAGSHIP_SENDER_ADDRESS": "tagship@example.com",
        "TAGSHIP_OIDC_ISSUER": "https://id.example.com/",
        "TAGSHIP_OIDC_CLIENT_ID": "tagship",
        "TAGSHIP_ROLLBACK_STATE_MACHINE": "arn:rollback",
        "TAGSHIP_EVENT_BUS": "bus",
        "TAGSHIP_BROADCAST_FAILURES": "failures",
        "TAGSHIP_NOTIFICATION_TOPIC": "arn:topic",
        "TAGSHIP_ALLOWED_ACCOUNTS": "000000000000, 111111111111",
        "TAGSHIP_FUNCTION_ROLES": "arn:roles-*",
        "TAGSHIP_EVIDENCE_BUCKET": "evidence",
        "TAGSHIP_HEALTH_ALLOWED_NETWORKS": "10.0.0.0/8, fd00::/8,",
        "TAGSHIP_VALIDATION_SECONDS": "5",
        "TAGSHIP_DEPLOYMENT_SECONDS": "1",
        "TAGSHIP_HEALTH_SECONDS": "2",
        "TAGSHIP_ROLLBACK_SECONDS": "3",
        "TAGSHIP_APPROVAL_SECONDS": "4",
    }
    assert Settings.from_environment(variables) == Settings(
        stage="production",
        ledger_table="ledger",
        link_key="arn:key",
        other_link_keys=("arn:one", "arn:two"),
        decision_key="arn:decisions",
        slack_hosts=("hooks.slack.com", "hooks.example.com"),
        github_hosts=("api.github.com",),
        approval_base_url="https://approve.example.com",
        sender_address="tagship@example.com",
        oidc_issuer="https://id.example.com/",
        oidc_client_id="tagship",
        rollback_state_machine="arn:rollback",
        event_bus="bus",
        broadcast_failures="failures",
        notification_topic="arn:topic",
        allowed_accounts=frozenset({"000000000000", "111111111111"}),
        function_roles="arn:roles-*",
        evidence_bucket="evidence",
        allowed_networks=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")),
        validation_seconds=5,
        deployment_seconds=1,
        health_seconds=2,
        rollback_seconds=3,
        approval_seconds=4,
    )


@pytest.mark.parametrize(
    "name, value",
    [("TAGSHIP_DEPLOYMENT_SECONDS", "soon"), ("TAGSHIP_HEALTH_ALLOWED_NETWORKS", "10.0.0.1/8")],
)
def test_an_invalid_setting_stops_the_function_at_once(name, value):
    with pytest.raises(ValueError, match=value):
        Settings.from_environment(LEAST | {name: value})
