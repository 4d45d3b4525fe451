"""The only reader of the environment: the values that the stack gives its functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A function's knowledge of its stack; a value that it was not given is empty."""

    stage: str
    ledger_table: str
    link_key: str = ""
    other_link_keys: tuple[str, ...] = ()
    """Keys that no new link is made with, and whose links are still taken."""
    decision_key: str = ""
    """The key by which the command line proves an approval."""
    approval_base_url: str = ""
    sender_address: str = ""
    slack_hosts: tuple[str, ...] = ()
    """Hosts that a webhook may have."""
    github_hosts: tuple[str, ...] = ()
    """Hosts to which a GitHub token may be sent."""
    oidc_issuer: str = ""
    oidc_client_id: str = ""
    rollback_state_machine: str = ""
    release_state_machine: str = ""
    release_bucket: str = ""
    event_bus: str = ""
    notification_topic: str = ""
    allowed_accounts: frozenset[str] = frozenset()
    """The accounts that this stack deploys to."""
    function_roles: str = ""
    """The ARN of this stack's functions' roles, with `*` for what CloudFormation makes up."""
    notices_queue: str = ""
    notices_set_aside: str = ""
    broadcast_failures: str = ""
    evidence_bucket: str = ""
    guards_configuration: bool = False
    """Whether only a configuration that was approved counts."""
    configuration_owners: tuple[str, ...] = ()
    """Who is asked about an application's first configuration."""
    allowed_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    validation_seconds: int = 300
    deployment_seconds: int = 1200
    health_seconds: int = 300
    rollback_seconds: int = 600
    approval_seconds: int = 604800
    look_back_seconds: int = 180
    """The most that is waited until what happens shows in metrics and alarms."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Raises KeyError, at the first call and by its name, for a variable that the template forgot."""
        return cls(
            stage=environment["TAGSHIP_STAGE"],
            ledger_table=environment["TAGSHIP_LEDGER_TABLE"],
            link_key=environment.get("TAGSHIP_LINK_KEY", ""),
            other_link_keys=_listed(environment.get("TAGSHIP_OTHER_LINK_KEYS", "")),
            decision_key=environment.get("TAGSHIP_DECISION_KEY", ""),
            approval_base_url=environment.get("TAGSHIP_APPROVAL_BASE_URL", "").rstrip("/"),
            sender_address=environment.get("TAGSHIP_SENDER_ADDRESS", ""),
            slack_hosts=_listed(environment.get("TAGSHIP_SLACK_HOSTS", "")),
            github_hosts=_listed(environment.get("TAGSHIP_GITHUB_HOSTS", "")),
            oidc_issuer=environment.get("TAGSHIP_OIDC_ISSUER", ""),
            oidc_client_id=environment.get("TAGSHIP_OIDC_CLIENT_ID", ""),
            rollback_state_machine=environment.get("TAGSHIP_ROLLBACK_STATE_MACHINE", ""),
            release_state_machine=environment.get("TAGSHIP_RELEASE_STATE_MACHINE", ""),
            release_bucket=environment.get("TAGSHIP_RELEASE_BUCKET", ""),
            event_bus=environment.get("TAGSHIP_EVENT_BUS", ""),
            notification_topic=environment.get("TAGSHIP_NOTIFICATION_TOPIC", ""),
            evidence_bucket=environment.get("TAGSHIP_EVIDENCE_BUCKET", ""),
            allowed_accounts=frozenset(
                text.strip()
                for text in environment.get("TAGSHIP_ALLOWED_ACCOUNTS", "").split(",")
                if text.strip()
            ),
            function_roles=environment.get("TAGSHIP_FUNCTION_ROLES", ""),
            notices_queue=environment.get("TAGSHIP_NOTICES_QUEUE", ""),
            notices_set_aside=environment.get("TAGSHIP_NOTICES_SET_ASIDE", ""),
            broadcast_failures=environment.get("TAGSHIP_BROADCAST_FAILURES", ""),
            guards_configuration=environment.get("TAGSHIP_GUARDS_CONFIGURATION", "") == "true",
            configuration_owners=_listed(environment.get("TAGSHIP_CONFIGURATION_OWNERS", "")),
            allowed_networks=tuple(
                map(ip_network, _listed(environment.get("TAGSHIP_HEALTH_ALLOWED_NETWORKS", "")))
            ),
            validation_seconds=int(environment.get("TAGSHIP_VALIDATION_SECONDS", "300")),
            deployment_seconds=int(environment.get("TAGSHIP_DEPLOYMENT_SECONDS", "1200")),
            health_seconds=int(environment.get("TAGSHIP_HEALTH_SECONDS", "300")),
            rollback_seconds=int(environment.get("TAGSHIP_ROLLBACK_SECONDS", "600")),
            look_back_seconds=int(environment.get("TAGSHIP_LOOK_BACK_SECONDS", "180")),
            approval_seconds=int(environment.get("TAGSHIP_APPROVAL_SECONDS", "604800")),
        )


def _listed(text: str) -> tuple[str, ...]:
    """The parts of `a, b`."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
