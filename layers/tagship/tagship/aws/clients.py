"""The only place that creates clients, and sessions in the roles of applications."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from tagship.aws.calls import calling, code_of
from tagship.aws.rights import Right, account_of, as_text, session_policy, trust_policy
from tagship.model.errors import CredentialsRefused

if TYPE_CHECKING:
    from tagship.aws.rights import Location

# One stalled call, with all its retries and the pause between them (at most 1 s), ends before the function that makes it:
# otherwise one lost packet would kill the function. tests/template/test_timeouts.py adds up the times.
_CONFIG = Config(
    connect_timeout=1,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 2},
    tcp_keepalive=True,
)
"""For calls that take milliseconds: at most 9 s with both attempts."""
LEDGER = _CONFIG.merge(Config(parameter_validation=False))
"""For the ledger, which packs its items itself: to have boto3 check them once more takes as long as to send them."""
UPLOADING = Config(
    connect_timeout=2,
    read_timeout=18,
    retries={"mode": "standard", "total_max_attempts": 2},
    tcp_keepalive=True,
)
"""For calls in which AWS copies the release's code, which can be large: at most 41 s with both attempts."""
ASKED_ONCE = Config(connect_timeout=3, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 1})
"""For calls whose result is judged: never repeated automatically, and waited for."""
ASKED_BRIEFLY = Config(
    connect_timeout=1, read_timeout=8, retries={"mode": "standard", "total_max_attempts": 1}
)
"""For a team's own function that moves traffic: it ends before each function that may call it; the flow retries it."""
TRIED_ONCE = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 1})
"""For a call that has another way if it fails: at most 3 s."""
QUICK = Config(
    connect_timeout=2,
    read_timeout=4,
    retries={"mode": "standard", "total_max_attempts": 2},
    max_pool_connections=25,
)
"""For messages, which are sent in parallel and must not delay a step: at most 13 s with both attempts."""
_SESSION_SECONDS = 900
"""The shortest session that STS allows."""
_REUSE_SECONDS = 600
"""How long a warm function keeps an execution's session: no step (the longest takes 85 s) outlives the rest of it."""
_USER_AGENT = "tagship"
"""The name in CloudTrail. Otherwise boto3 builds a long description of itself for each request: a tenth of its CPU time."""
_NAME_CHARACTERS = 64
"""The limit of a session's name (AssumeRole, `RoleSessionName`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """The role, and the execution and release that it is used for: a session is bound to these, and CloudTrail shows
    them.
    """

    target: Location = field(hash=False)  # a kind may have settings by name, which are no part of a key
    application: str
    tag: str
    execution: str
    """The execution's name, not its ARN."""
    allowed_accounts: frozenset[str]
    """The accounts that this stack deploys to; no others are called."""
    function_roles: str
    """The principal that the role's trust policy must name."""

    @property
    def session_name(self) -> str:
        """Application and tag, and the distinguishing part of the execution; all of it is in the session's tags."""
        name, ending = f"tagship-{self.application}-{self.tag}", f"-{self.execution[-8:]}"
        return re.sub(r"[^\w+=,.@-]", "-", name[: _NAME_CHARACTERS - len(ending)] + ending, flags=re.ASCII)


@dataclass(slots=True, kw_only=True)
class _Session:
    """The credentials from STS for one errand, and the clients made with them."""

    until: float
    credentials: dict[str, str]
    clients: dict[tuple[str, Config], Any] = field(default_factory=dict)


@dataclass(slots=True)
class Aws:
    """Clients, each created when it is first needed and kept for later warm invocations.

    Threads can share it: boto3 creates one client at a time, and a client can be used by many.
    """

    session: boto3.session.Session | None = None
    clock: Callable[[], float] = time.monotonic
    _clients: dict[tuple[str, str | None, Config], Any] = field(default_factory=dict)
    _sessions: dict[tuple[Errand, str], _Session] = field(default_factory=dict)
    _assuming: dict[tuple[Errand, str], threading.Lock] = field(default_factory=dict)
    """Held while a session's role is assumed."""
    _making: threading.Lock = field(default_factory=threading.Lock)

    def client(self, service: str, *, region: str | None = None, config: Config = _CONFIG) -> Any:
        """With the function's own role."""
        key = (service, region, config)
        with self._making:
            if key not in self._clients:
                self._clients[key] = self._made(service, config=config, region_name=region)
            return self._clients[key]

    def client_as(
        self, service: str, *, may: Sequence[Right], errand: Errand, config: Config | None = None
    ) -> Any:
        """With the application's role, assumed for this execution and only for what it `may` do.

        Raises CredentialsRefused, with the trust policy that would allow it, if the role cannot be assumed; and before
        any call, if it is in an account that this stack does not deploy to.
        """
        session = self._session(errand, session_policy(may))
        key = (service, config or _CONFIG)
        with self._making:
            if key not in session.clients:
                session.clients[key] = self._made(
                    service,
                    config=config or _CONFIG,
                    region_name=errand.target.region,
                    aws_access_key_id=session.credentials["AccessKeyId"],
                    aws_secret_access_key=session.credentials["SecretAccessKey"],
                    aws_session_token=session.credentials["SessionToken"],
                )
            return session.clients[key]

    def _session(self, errand: Errand, policy: str) -> _Session:
        with self._making:
            alone = self._assuming.setdefault((errand, policy), threading.Lock())
        with alone:  # of two threads that need the same session, one assumes the role
            return self._session_of(errand, policy)

    def _session_of(self, errand: Errand, policy: str) -> _Session:
        session = self._sessions.get((errand, policy))
        if session is None or self.clock() >= session.until:
            credentials = self._assume(errand, policy)
            session = _Session(until=self.clock() + _REUSE_SECONDS, credentials=credentials)
            with self._making:
                # Sessions of other executions are dropped when the first one for this execution is created.
                kept = {key: held for key, held in self._sessions.items() if key[0] == errand}
                self._sessions = {**kept, (errand, policy): session}
                self._assuming = {key: lock for key, lock in self._assuming.items() if key[0] == errand}
        return session

    def _assume(self, errand: Errand, policy: str) -> dict[str, str]:
        target, release = errand.target, f"{errand.application} {errand.tag}"
        accounts = {target.account, account_of(target.role)}
        if not accounts <= errand.allowed_accounts:
            raise CredentialsRefused(
                f"{release}: this stack may deploy only to {_listed(errand.allowed_accounts)}, but the target "
                f"or its role is in {_listed(accounts - errand.allowed_accounts)}. No call was made to it.",
                "Release it with the stack for that account, or add the account to this stack's AllowedAccountIds.",
                may_pass=False,
            )
        try:
            with calling(f"Assuming the role {target.role} for {release}"):
                answer = self.client("sts").assume_role(
                    RoleArn=target.role,
                    RoleSessionName=errand.session_name,
                    ExternalId=target.externalId,
                    DurationSeconds=_SESSION_SECONDS,
                    Policy=policy,
                    Tags=[
                        {"Key": "Application", "Value": errand.application},
                        {"Key": "Tag", "Value": errand.tag},
                        {"Key": "Execution", "Value": errand.execution},
                    ],
                )
        except ClientError as error:
            trusting = trust_policy(
                function_roles=errand.function_roles,
                external_id=target.externalId,
                application=errand.application,
            )
            raise CredentialsRefused(
                f"{release}: the role {target.role} cannot be assumed ({code_of(error)}).",
                f"It must exist and trust this stack. Use this trust policy: {as_text(trusting)}",
            ) from error
        credentials: dict[str, str] = answer["Credentials"]
        return credentials

    def _made(self, service: str, *, config: Config, **options: Any) -> Any:
        if self.session is None:
            self.session = boto3.session.Session()
        make: Callable[..., Any] = self.session.client
        return make(service, config=config.merge(Config(user_agent=_USER_AGENT)), **options)


def _listed(accounts: Set[str]) -> str:
    return f"account{'s' if len(accounts) != 1 else ''} {', '.join(sorted(accounts)) or '(none)'}"
