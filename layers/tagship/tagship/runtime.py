"""What every step uses: its settings, its clients, the ledger, a clock, and a log that names the release."""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_bytes
from typing import TYPE_CHECKING, Any, cast

from aws_lambda_powertools import Logger

from tagship.aws.clients import LEDGER, Aws, Errand
from tagship.aws.rights import ClientAs
from tagship.aws.secrets import RecentSecrets
from tagship.ledger import releases
from tagship.ledger.table import HEAD, Fact, Ledger
from tagship.ledger.visits import Allowance
from tagship.model.errors import EventNotUnderstood, TagshipError
from tagship.model.facts import FactKind
from tagship.model.records import CurrentRecord, ReleaseRecord
from tagship.settings import Settings
from tagship.text.plain import visible

if TYPE_CHECKING:  # loaded when a step needs them: not every cold start pays for them
    from tagship.model.application import Application
    from tagship.model.release import PinnedObject
    from tagship.targets import Target
    from tagship.targets.kind import Kind

Event = dict[str, Any]


def _serialized(entry: Mapping[str, object]) -> str:
    """A log line as JSON. Text from others, in a message or an error, cannot hide anything in it."""
    shown = {name: visible(value) if isinstance(value, str) else value for name, value in entry.items()}
    return visible(json.dumps(shown, default=str, separators=(",", ":"), ensure_ascii=False))


logger = Logger(service="tagship", json_serializer=_serialized)


def name_of(execution: str) -> str:
    """An execution's own name, the last part of its ARN."""
    return execution.rsplit(":", 1)[-1]


def utc_now() -> datetime:
    """The clock in production."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Everything outside itself that a step can use."""

    settings: Settings
    aws: Aws = field(default_factory=Aws)
    now: Callable[[], datetime] = utc_now
    pause: Callable[[float], None] = time.sleep
    random: Callable[[int], bytes] = token_bytes
    """This many random bytes."""
    recent_secrets: RecentSecrets = field(default_factory=RecentSecrets)
    unsigned_presses: Allowance = field(default_factory=Allowance)
    """How many of these this process may record: anyone can cause them."""

    @property
    def ledger(self) -> Ledger:
        """The ledger, with the function's own role."""
        return Ledger(
            client=self.aws.client("dynamodb", config=LEDGER),
            table=self.settings.ledger_table,
            stage=self.settings.stage,
            now=self.now,
            pause=self.pause,
        )

    def client_as(self, configuration: Application, *, tag: str, execution: str) -> ClientAs:
        """Creates clients with the application's role, for this execution: the only access to a target."""
        errand = Errand(
            target=configuration.target,
            application=configuration.application,
            tag=tag,
            execution=name_of(execution),
            allowed_accounts=self.settings.allowed_accounts,
            function_roles=self.settings.function_roles,
        )
        return functools.partial(self.aws.client_as, errand=errand)

    def release(self, event: Event) -> Release:
        """The release of a step's event."""
        key = event["release"]
        return self.release_of(
            key["application"], key["tag"], attempt=key["attempt"], execution=event["execution"]
        )

    def release_of(self, application: str, tag: str, *, attempt: int, execution: str) -> Release:
        """A release by its name; nothing is read until it is needed."""
        return Release(runtime=self, application=application, tag=tag, attempt=attempt, execution=execution)


@dataclass(frozen=True, kw_only=True)
class Release:
    """The release that a step works on, as in the ledger when the step first read it."""

    runtime: Runtime
    application: str
    tag: str
    attempt: int
    """The attempt that the caller means; the record may have a newer one."""
    execution: str

    @property
    def title(self) -> str:
        """`storefront v1.4.0`."""
        return f"{self.application} {self.tag}"

    @functools.cached_property
    def ledger(self) -> Ledger:
        """The ledger, for this invocation alone."""
        return self.runtime.ledger

    def read_ahead(self, *also: str) -> None:
        """Reads with one request what the step reads next: the record, the last fact, and more of its application by sort
        key.
        """
        releases.read_ahead(self.ledger, self.application, self.tag, HEAD, *also)

    @functools.cached_property
    def record(self) -> ReleaseRecord:
        """Read once, on first use.

        Raises ApplicationUnknown if the ledger has none.
        """
        return releases.get(self.ledger, self.application, self.tag)

    @functools.cached_property
    def configuration(self) -> Application:
        """The application's configuration as the release pinned it; only for a release whose configuration is valid."""
        from tagship.model.application import Application

        document = self.record["configuration"]["document"]
        assert document is not None
        return Application.from_dict(document)

    @property
    def current(self) -> CurrentRecord | None:
        """The release in production now."""
        return releases.current(self.ledger, self.application)

    @property
    def client_as(self) -> ClientAs:
        """Creates clients with the application's role, for this release and execution."""
        return self.runtime.client_as(self.configuration, tag=self.tag, execution=self.execution)

    def target(self, *, objects: Iterable[PinnedObject] = ()) -> Target:
        """The target's adapter, with the application's role; `objects` are the ones that may be uploaded to it.

        Raises CredentialsRefused if the role cannot be assumed.
        """
        from tagship.targets import target_of

        return target_of(
            self.configuration.target,
            application=self.application,
            tag=self.tag,
            client_as=self.client_as,
            objects=objects,
        )

    @property
    def kind(self) -> Kind:
        """The kind of the application's target."""
        from tagship.targets import kind_of

        return kind_of(self.configuration.target)

    @property
    def where(self) -> str:
        """A short description of the target."""
        return self.kind.where(self.configuration.target)

    def fact(self, name: FactKind, *, key: str = "", data: Mapping[str, object]) -> Fact:
        """A fact about this release, to be recorded."""
        return Fact(
            application=self.application,
            tag=self.tag,
            attempt=self.attempt,
            name=name,
            key=key,
            execution=self.execution,
            data=data,
        )


@functools.cache
def _runtime() -> Runtime:
    return Runtime(settings=Settings.from_environment(os.environ))


def about(release: Mapping[str, object], execution: object) -> None:
    """From here on, the log's lines name this release."""
    keys = {name: release.get(name) for name in ("application", "tag", "attempt")}
    logger.append_keys(**keys, execution=execution)


def _subject(event: Event) -> Mapping[str, object]:
    """What an event is about, if it says so."""
    named = (event.get("release"), event.get("order"), event)
    return next((each for each in named if isinstance(each, Mapping) and each), {})


Step = Callable[[Event, Runtime], Event]
Handler = Callable[[Event, Any], Event]


def step(function: Step) -> Handler:
    """Makes a step's Lambda handler: logs one line before its work and one after, both with the release.

    Errors keep their own names, which the state machine matches.
    """

    @functools.wraps(function)
    def handler(event: Event, _context: object) -> Event:
        try:
            if not isinstance(event, dict):
                raise EventNotUnderstood(f"The event must be an object, not {type(event).__name__}.")
            about(_subject(event), event.get("execution"))
            result = function(event, _runtime())
        except TagshipError as error:
            logger.warning("%s: %s", type(error).__name__, error)
            raise
        except Exception:
            logger.exception("Unexpected error: a bug in Tagship or an unhandled AWS error")
            raise
        logger.info("done")
        return result

    return cast("Handler", handler)
