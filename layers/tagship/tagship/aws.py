"""The only maker of clients, and of sessions in the roles of applications."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from tagship.calls import calling, code_of
from tagship.errors import CredentialsRefused

_CONFIG = Config(
    connect_timeout=3,
    read_timeout=15,
    retries={"mode": "standard", "max_attempts": 3},
    tcp_keepalive=True,
)
ASKED_ONCE = Config(connect_timeout=3, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 1})
"""For what is asked to be judged by its answer: a call is not repeated behind the judge's back, and is waited for."""
QUICK = Config(
    connect_timeout=2,
    read_timeout=4,
    retries={"mode": "standard", "total_max_attempts": 2},
    max_pool_connections=25,
)
"""For messages, which are sent side by side and must not hold up a step: at most 13 s with both tries."""
_SESSION_SECONDS = 900
"""The shortest session that STS gives."""
_REUSE_SECONDS = 600
"""How long a warm function keeps a release's session: no step (the longest is 80 s) outlives what is left of it."""


@dataclass(slots=True)
class Aws:
    """Clients, each made when it is first asked for and kept for the warm invocations after it."""

    session: boto3.session.Session | None = None
    clock: Callable[[], float] = time.monotonic
    _clients: dict[tuple[str, str | None, Config], Any] = field(default_factory=dict)
    _assumed: dict[tuple[str, ...], tuple[float, Any]] = field(default_factory=dict)

    def client(self, service: str, *, region: str | None = None, config: Config = _CONFIG) -> Any:
        """With the function's own role."""
        key = (service, region, config)
        if key not in self._clients:
            self._clients[key] = self._made(service, config=config, region_name=region)
        return self._clients[key]

    def client_as(
        self,
        service: str,
        *,
        role: str,
        external_id: str,
        region: str,
        application: str,
        tag: str,
        config: Config = _CONFIG,
    ) -> Any:
        """With the application's role, assumed for this release.

        Raises CredentialsRefused, with what the role's trust policy has to say, when it can't be assumed.
        """
        key = (service, role, external_id, region, application, tag)
        until, client = self._assumed.get(key, (0.0, None))
        if self.clock() >= until:
            credentials = self._assume(role, external_id, application, tag)
            client = self._made(
                service,
                config=config,
                region_name=region,
                aws_access_key_id=credentials["AccessKeyId"],
                aws_secret_access_key=credentials["SecretAccessKey"],
                aws_session_token=credentials["SessionToken"],
            )
            self._assumed = {key: (self.clock() + _REUSE_SECONDS, client)}
        return client

    def _assume(self, role: str, external_id: str, application: str, tag: str) -> dict[str, str]:
        name = re.sub(r"[^\w+=,.@-]", "-", f"tagship-{application}-{tag}")[:64]
        try:
            with calling(f"Assuming the role {role} for {application} {tag}"):
                answer = self.client("sts").assume_role(
                    RoleArn=role,
                    RoleSessionName=name,
                    ExternalId=external_id,
                    DurationSeconds=_SESSION_SECONDS,
                )
        except ClientError as error:
            raise CredentialsRefused(
                f"{application} {tag}: the role {role} can't be assumed ({code_of(error)}). Its trust policy must allow "
                f"sts:AssumeRole to this stack's functions, on the condition that sts:ExternalId is {external_id}."
            ) from error
        credentials: dict[str, str] = answer["Credentials"]
        return credentials

    def _made(self, service: str, **options: Any) -> Any:
        if self.session is None:
            self.session = boto3.session.Session()
        make: Callable[..., Any] = self.session.client
        return make(service, **options)
