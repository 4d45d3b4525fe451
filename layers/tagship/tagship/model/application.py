"""One deployable thing, its one production target, and how its team wants it released.

The field names are the document's own (`remindEvery`, not `remind_every`): one name everywhere, from the YAML in a team's
repository to the ledger. `documents.py` validates; this file has types, bounds, defaults, and an `EXAMPLE` of
what the schema shows: a part of which every field is a noun of its own needs none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, get_args

import annotated_types as at

from tagship.health import AlarmCheck, Check
from tagship.model.fields import (
    ALARM_NAME,
    CONFIG,
    FUNCTION_NAME,
    REGION,
    WINDOW,
    WINDOW_WORDS,
    ByType,
    Duration,
    Example,
    Matching,
    Switch,
    rebuilt,
)
from tagship.model.release import APPLICATION_NAME, APPLICATION_NAME_WORDS, MAIL_ADDRESS, REPOSITORY, TAG
from tagship.targets import TargetSpec

_OF_AN_APPLICATION = r"^tagship/(development|staging|production)/[a-z][a-z0-9-]{1,39}/"


class SecretName(Matching):
    """A secret's name: by it, the secret belongs to one application in one stage, for one service (`aws/secrets.py`)."""

    __slots__ = ("service",)

    def __init__(self, service: str, title: str) -> None:
        super().__init__(
            rf"{_OF_AN_APPLICATION}{service}[A-Za-z0-9/_+=.@-]{{0,100}}$",
            f"the application's secret for {title}, whose name begins with tagship/<stage>/<application>/{service}",
        )
        self.service = service


SLACK_SECRET = SecretName("slack", "Slack")
GITHUB_SECRET = SecretName("github", "GitHub")

SIGNING_KEY = Matching(
    r"^(arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:)?alias/tagship-[A-Za-z0-9/_-]{1,200}$",
    "the alias of a KMS key, alias/tagship-…, or the ARN of one",
)
"""A KMS key by its alias, since the stack's right to verify is a right on such aliases."""
SigningAlgorithm = Literal["ECDSA_SHA_256", "RSASSA_PSS_SHA_256"]

Stage = Literal["development", "staging", "production"]
Bake = Annotated[int, Duration(), at.Ge(0), at.Le(1200)]
Percent = Annotated[int, at.Ge(1), at.Le(100)]
OnTimeout = Literal["rollback", "continue"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AllAtOnce:
    """All traffic in one step."""

    __pydantic_config__ = CONFIG

    type: Literal["all-at-once"]
    """The kind of strategy."""
    bake: Bake = 0
    """Seconds during which health is checked before the release is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """A first share, then all."""

    __pydantic_config__ = CONFIG
    EXAMPLE: ClassVar[Example] = {"type": "canary", "percent": 10, "bake": "PT5M"}

    type: Literal["canary"]
    """The kind of strategy."""
    percent: Annotated[int, at.Ge(1), at.Le(99)] = 10
    """The first share of the traffic, in percent."""
    bake: Bake = 300
    """Seconds at the first share, during which health is checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """Equal shares, one after the other."""

    __pydantic_config__ = CONFIG

    type: Literal["linear"]
    """The kind of strategy."""
    percent: Annotated[int, at.Ge(1), at.Le(99)] = 20
    """How much each step adds, in percent; the last step adds the rest."""
    bake: Bake = 60
    """Seconds at each share, during which health is checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """How long a paused rollout waits for a person, and what happens if nobody answers."""

    __pydantic_config__ = CONFIG
    EXAMPLE: ClassVar[Example] = {"timeout": "PT1H", "onTimeout": "rollback"}

    timeout: Annotated[int, Duration(), at.Ge(1), at.Le(43_200)] = 3_600
    """How long the rollout waits for an answer, in seconds; at most 12 hours. This is not deployment time."""
    onTimeout: OnTimeout = "rollback"
    """What happens then: the release is rolled back, or it continues if it is healthy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One share of the traffic and its bake."""

    __pydantic_config__ = CONFIG

    percent: Percent
    """The candidate's share, in percent."""
    bake: Bake = 0
    """Seconds at this share, during which health is checked."""
    pause: Annotated[Pause | None, Switch()] = None
    """Whether the rollout waits for a person after this bake: `true`, or the time-out and what happens then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """A list of shares, increasing, ending at 100."""

    __pydantic_config__ = CONFIG

    type: Literal["steps"]
    """The kind of strategy."""
    steps: Annotated[tuple[Step, ...], at.MinLen(1), at.MaxLen(100)]
    """The shares, increasing, ending at 100."""


Strategy = AllAtOnce | Canary | Linear | Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRule:
    """So many of a group, or of these people, must approve."""

    __pydantic_config__ = CONFIG
    EXAMPLE: ClassVar[Example] = {"group": "platform", "required": 1}

    group: Annotated[str, Matching(APPLICATION_NAME, APPLICATION_NAME_WORDS)] | None = None
    """The group whose members count: a separate document, applied with `tagship apply`."""
    approvers: Annotated[tuple[Annotated[str, MAIL_ADDRESS], ...], at.MaxLen(20)] = ()
    """The mail addresses that count, instead of a group."""
    required: Annotated[int, at.Ge(1), at.Le(20)] = 1
    """How many of them must approve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalPolicy:
    """Who approves, and how long they have."""

    __pydantic_config__ = CONFIG
    EXAMPLE: ClassVar[Example] = {
        "approvers": ["ana@example.com", "bo@example.com", "chi@example.com"],
        "required": 2,
        "rules": None,
        "countInEveryRule": False,
        "extraForWarnings": 1,
        "authorMayApprove": False,
        "expires": "PT4H",
        "remindEvery": "PT1H",
        "reasonToApprove": False,
        "escalateTo": ["head-of-sales@example.com"],
    }

    approvers: Annotated[tuple[Annotated[str, MAIL_ADDRESS], ...], at.MaxLen(20)] = ()
    """The approvers' mail addresses; each gets a personal link. Addresses that differ only after `+` are one person."""
    required: Annotated[int, at.Ge(1), at.Le(20)] = 1
    """How many of them must approve; one rejection ends the release."""
    rules: Annotated[tuple[ApprovalRule, ...], at.MaxLen(10)] = ()
    """Several rules that must all be met, instead of `approvers` and `required`, which are the short form of one."""
    countInEveryRule: bool = False
    """Whether an approval counts in every rule that names the person. Otherwise one person meets one rule only."""
    extraForWarnings: Annotated[int, at.Ge(0), at.Le(5)] = 0
    """At most how many more approvals the plan's warnings require: one for each warning, by people who meet no rule."""
    authorMayApprove: bool = False
    """Whether the author may approve their own release."""
    expires: Annotated[int, Duration(), at.Ge(1), at.Le(604_800)] = 14_400
    """Seconds after which a release without a decision ends EXPIRED."""
    remindEvery: Annotated[int, Duration(), at.Ge(1), at.Le(604_800)] = 3_600
    """Seconds between reminders to approvers who have not answered; at most 200 reminders until it expires."""
    reasonToApprove: bool = False
    """Whether an approval needs a reason too; a rejection always needs one."""
    escalateTo: Annotated[tuple[Annotated[str, MAIL_ADDRESS], ...], at.MaxLen(20)] = ()
    """Mail addresses that are notified, from the second reminder on, that nobody has decided; they get no link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What is monitored after a release has succeeded."""

    __pydantic_config__ = CONFIG
    EXAMPLE: ClassVar[Example] = {"seconds": "PT30M", "alarms": ["storefront-5xx"]}

    seconds: Annotated[int, Duration(), at.Ge(0), at.Le(86_400)] = 0
    """How long after success a firing alarm still rolls the release back, in seconds."""
    alarms: Annotated[tuple[Annotated[str, ALARM_NAME], ...], at.MaxLen(50)] = ()
    """The alarms, in the target's account and region."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How Tagship checks that a version works."""

    __pydantic_config__ = CONFIG
    EXAMPLE: ClassVar[Example] = {"every": 30}

    checks: Annotated[tuple[Annotated[Check, ByType()], ...], at.MinLen(1), at.MaxLen(20)]
    """The checks, run in parallel during a bake and at its end. No data is never healthy, so at least one is required."""
    every: Annotated[int, Duration(), at.Ge(1), at.Le(300)] = 30
    """Seconds between two health checks during a bake."""
    watch: Watch = field(default_factory=Watch)
    """What is monitored after a release has succeeded."""

    @property
    def alarms(self) -> tuple[str, ...]:
        """What checks and the watch name, each once."""
        checks = [name for check in self.checks if isinstance(check, AlarmCheck) for name in check.names]
        return tuple(dict.fromkeys([*checks, *self.watch.alarms]))

    def alarms_read(self, *, no_data: str) -> frozenset[str]:
        """The alarms of those checks that count one without data as this."""
        reading = [check for check in self.checks if isinstance(check, AlarmCheck)]
        return frozenset(name for check in reading if check.noData == no_data for name in check.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class TagRules:
    """Which tags may be released."""

    __pydantic_config__ = CONFIG
    EXAMPLE: ClassVar[Example] = {"pattern": "v*", "preReleases": False}

    pattern: Annotated[
        str,
        Matching(r"^@?[A-Za-z0-9*?][A-Za-z0-9._/@*?+-]{0,199}$", "a pattern like v*, v2.* or storefront/v*"),
    ] = "v*"
    """What the git tag must look like: `*` for anything, `?` for one character. In a monorepo: `storefront/v*`."""
    preReleases: bool = False
    """Whether a pre-release (`v2.0.0-rc.1`) may be released."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """The key that signs releases."""

    __pydantic_config__ = CONFIG
    EXAMPLE: ClassVar[Example] = {
        "key": "alias/tagship-release-signing",
        "algorithm": "ECDSA_SHA_256",
        "required": True,
    }

    key: Annotated[str, SIGNING_KEY]
    """The KMS key that signs `release.json`: its alias, `alias/tagship-…`, or the ARN of that alias."""
    algorithm: SigningAlgorithm = "ECDSA_SHA_256"
    """The signing algorithm."""
    required: bool = True
    """Whether an unsigned release is refused; a signature that exists must be valid either way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where releases may come from."""

    __pydantic_config__ = CONFIG
    EXAMPLE: ClassVar[Example] = {
        "repository": "acme/storefront",
        "attestation": "required",
    }

    repository: Annotated[str, REPOSITORY]
    """The only repository that releases may come from: `owner/name`."""
    attestation: Literal["optional", "required"] = "optional"
    """Whether a release needs a build attestation, the artifact `provenance`; one that exists must match either way."""
    builder: (
        Annotated[str, Matching(r"^https://[^\s@?#]{1,300}(@[^\s@?#]{1,200})?$", "a builder's address")]
        | None
    ) = None
    """The builder that the attestation must name; the default is any workflow of the repository, run for the tag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """The stage in which a release must have succeeded before."""

    __pydantic_config__ = CONFIG
    EXAMPLE: ClassVar[Example] = {
        "stage": "staging",
        "key": "alias/tagship-promotion",
        "algorithm": "ECDSA_SHA_256",
    }

    stage: Literal["development", "staging"]
    """The stage in which the same bytes must have succeeded."""
    key: Annotated[str, SIGNING_KEY]
    """The KMS key that signs `promotion.json`: its alias, `alias/tagship-…`, or the ARN of that alias."""
    algorithm: SigningAlgorithm = "ECDSA_SHA_256"
    """The signing algorithm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomGate:
    """The team's own function also decides."""

    __pydantic_config__ = CONFIG
    EXAMPLE: ClassVar[Example] = {"function": "storefront-gate"}

    function: Annotated[str, FUNCTION_NAME]
    """The function, in the target's account; it answers `{"passed": true}`, or `false` with `reasons`, in 30 seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """Additional conditions that a release must meet before anyone is asked to approve."""

    __pydantic_config__ = CONFIG
    EXAMPLE: ClassVar[Example] = {
        "windows": ["Mon-Thu 09:00-16:00 Europe/Berlin"],
        "whenClosed": "wait",
    }

    tags: TagRules = field(default_factory=TagRules)
    """Which tags may be released."""
    signature: Signature | None = None
    """The key that signs releases; without it, signatures are not checked."""
    provenance: Provenance | None = None
    """The repository that releases may come from; without it, any."""
    promotion: Promotion | None = None
    """The stage in which a release must have succeeded before; without it, none."""
    custom: CustomGate | None = None
    """The team's own gate; without it, none."""
    windows: Annotated[tuple[Annotated[str, Matching(WINDOW, WINDOW_WORDS)], ...], at.MaxLen(20)] = ()
    """When traffic may start to move: days, times and a time zone. Without a window, at any time."""
    whenClosed: Literal["fail", "wait"] = "fail"
    """What happens to a release outside all windows or during a freeze: it fails, or it waits, for at most 7 days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectionRule:
    """A GitHub environment whose jobs run only for the release that is deployed here.

    Its GitHub App is in two secrets with fixed names: `tagship/<stage>/<application>/github-app` and `…/github-webhook`.
    """

    __pydantic_config__ = CONFIG

    environment: Annotated[
        str, Matching(r"^[^\x00-\x1f\x7f]{1,255}$", "the name of an environment of the repository")
    ]
    """The environment's name in GitHub."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHub:
    """A repository that shows releases as deployments, or whose jobs wait for them, or both."""

    __pydantic_config__ = CONFIG
    EXAMPLE: ClassVar[Example] = {
        "repository": "acme/storefront",
        "tokenSecret": "tagship/production/storefront/github",
        "api": "https://api.github.com",
        "consoleLink": False,
        "protectionRule": {"environment": "production"},
    }

    repository: Annotated[str, REPOSITORY]
    """Its owner and name."""
    tokenSecret: Annotated[str, GITHUB_SECRET] | None = None
    """The secret `tagship/<stage>/<application>/github…`: a token with write access to deployments and commit statuses."""
    api: Annotated[
        str,
        Matching(r"^(https://[^\s/?#@]+|http://127\.0\.0\.1:\d+)(/[^\s?#]*)?$", "an https address"),
        at.MaxLen(200),
    ] = "https://api.github.com"
    """The address of GitHub's API; for GitHub Enterprise another address, on a host that the stack allows."""
    consoleLink: bool = False
    """Whether GitHub shows a link to the execution in the AWS console; the link reveals the account and the execution."""
    protectionRule: ProtectionRule | None = None
    """A GitHub environment whose jobs wait until their release is deployed here; without it, none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifications:
    """Who gets notices, and which ones."""

    __pydantic_config__ = CONFIG
    EXAMPLE: ClassVar[Example] = {
        "level": "milestones",
        "emails": ["team@example.com"],
        "slackWebhookSecret": "tagship/production/storefront/slack",
    }

    level: Literal["problems", "milestones", "everything"] = "milestones"
    """`problems`: only failures; `milestones`: also approvals, starts and results; `everything`: also each traffic step."""
    emails: Annotated[tuple[Annotated[str, MAIL_ADDRESS], ...], at.MaxLen(20)] = ()
    """Mail addresses that get notices."""
    slackWebhookSecret: Annotated[str, SLACK_SECRET] | None = None
    """The secret `tagship/<stage>/<application>/slack…`: the team's Slack webhook or bot."""
    github: GitHub | None = None
    """A repository that shows releases as deployments, or whose jobs wait for them, or both."""


STAGES = get_args(Stage)
"""In the order in which a release passes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promote:
    """The next stage, to which Tagship itself brings a release that stayed current and healthy."""

    __pydantic_config__ = CONFIG
    EXAMPLE: ClassVar[Example] = {
        "to": "production",
        "after": "P1D",
        "bucket": "tagship-production-releasebucket-1a2b3c4d5e6f",
        "region": "eu-central-1",
        "role": "arn:aws:iam::123456789012:role/tagship-to-production-storefront",
        "key": "alias/tagship-promotion",
        "algorithm": "ECDSA_SHA_256",
    }

    to: Literal["staging", "production"]
    """The next stage. Its own gates and approvals decide there."""
    after: Annotated[int, Duration(), at.Ge(60), at.Le(2_592_000)]
    """How long the release must stay current and healthy before it is promoted, in seconds."""
    bucket: Annotated[
        str,
        Matching(
            r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
            "a bucket's name: the output ReleaseBucketName of the next stage's stack",
        ),
    ]
    """The release bucket of the next stage."""
    region: Annotated[str, REGION]
    """The region of that bucket, and of the key."""
    role: Annotated[
        str,
        Matching(
            r"^arn:aws[a-z-]*:iam::\d{12}:role/tagship-to-[\w+=,.@-]{1,53}$",
            "the ARN of a role whose name begins with tagship-to-",
        ),
    ]
    """The role of the next stage that may upload this application's releases: `tagship role --promoter` makes it."""
    key: Annotated[str, SIGNING_KEY] | None = None
    """The KMS key of the next stage that signs `promotion.json` for its gate `promotion`; without it, nothing is signed."""
    algorithm: SigningAlgorithm = "ECDSA_SHA_256"
    """The signing algorithm."""

    @property
    def account(self) -> str:
        """The account of the next stage."""
        return self.role.split(":")[4]

    @property
    def externalId(self) -> str:  # noqa: N802 (as the role of a target has it)
        """What the role's trust policy asks for."""
        return f"tagship-{self.to}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Which revisions `tagship retention` keeps; it deletes the older ones, and never what a rollback needs."""

    __pydantic_config__ = CONFIG
    EXAMPLE: ClassVar[Example] = {"releases": 20, "days": 90, "keep": ["v1.0.0"]}

    releases: Annotated[int, at.Ge(2), at.Le(1000)] = 20
    """The newest releases that succeeded: each of them, and what a rollback of it restores, is kept."""
    days: Annotated[int, at.Ge(0), at.Le(3650)] = 90
    """Revisions of releases that are younger than these days are kept, however many they are."""
    keep: Annotated[
        tuple[Annotated[str, Matching(TAG, "a release's tag, like v1.4.0")], ...], at.MaxLen(50)
    ] = ()
    """Tags of releases whose revisions are always kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """The configuration of one application in one stage."""

    __pydantic_config__ = CONFIG
    EXAMPLE: ClassVar[Example] = {"application": "storefront", "stage": "production"}

    application: Annotated[str, Matching(APPLICATION_NAME, APPLICATION_NAME_WORDS)]
    """The application's name: a lower-case letter, then letters, digits and `-`, 2 to 40 in all."""
    target: Annotated[TargetSpec, ByType()]
    """The deployment target."""
    approval: ApprovalPolicy
    """Who approves."""
    health: Health
    """How Tagship checks that a version works."""
    strategy: Annotated[Strategy, ByType()] = field(default_factory=lambda: Canary(type="canary"))
    """How traffic moves to the candidate."""
    gates: Gates = field(default_factory=Gates)
    """What a release must pass before anyone is asked to approve."""
    notifications: Notifications = field(default_factory=Notifications)
    """Who gets notices, and which ones."""
    retention: Retention | None = None
    """Which old revisions `tagship retention` may delete; without it, none."""
    promote: Promote | None = None
    """The next stage, to which a release is promoted after a soak; without it, nobody but a person promotes."""
    stage: Stage | None = None
    """The only stage that accepts this document. Without it, any stage accepts it."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Application:
        """From the ledger, where it is validated and contains its defaults."""
        application: Application = rebuilt(cls, data)
        return application
