"""What every step has around it: its settings, its clients, the ledger, a clock, and a log that says which release."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from aws_lambda_powertools import Logger

from tagship.aws.clients import Aws, Errand
from tagship.aws.rights import ClientAs
from tagship.ledger.table import Ledger
from tagship.model.errors import TagshipError
from tagship.settings import Settings

if TYPE_CHECKING:
    from tagship.model.application import (
        Application,  # its nouns cost a cold start what they are not asked for
    )

Event = dict[str, Any]
logger = Logger(service="tagship")


def name_of(execution: str) -> str:
    """An execution's own name, the last part of its ARN."""
    return execution.rsplit(":", 1)[-1]


def utc_now() -> datetime:
    """The clock that production runs on."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Everything that a step may use of the world."""

    settings: Settings
    aws: Aws = field(default_factory=Aws)
    now: Callable[[], datetime] = utc_now

    @property
    def ledger(self) -> Ledger:
        """The ledger, through the function's own role."""
        return Ledger(
            client=self.aws.client("dynamodb"),
            table=self.settings.ledger_table,
            stage=self.settings.stage,
            now=self.now,
        )

    def client_as(self, configuration: Application, *, tag: str, execution: str) -> ClientAs:
        """Makes clients in the application's role, for this execution: the only way to a target."""
        errand = Errand(
            target=configuration.target,
            application=configuration.application,
            tag=tag,
            execution=name_of(execution),
            allowed_accounts=self.settings.allowed_accounts,
            function_roles=self.settings.function_roles,
        )
        return functools.partial(self.aws.client_as, errand=errand)


@functools.cache
def _runtime() -> Runtime:
    return Runtime(settings=Settings.from_environment(os.environ))


def about(release: Mapping[str, Any], execution: Any) -> None:
    """The log's lines from here on name this release."""
    keys = {name: release.get(name) for name in ("application", "tag", "attempt")}
    logger.append_keys(**keys, execution=execution)


Step = Callable[[Event, Runtime], Event]
Handler = Callable[[Event, Any], Event]


def step(function: Step) -> Handler:
    """Makes a Lambda handler of a step: one line in the log before its work and one after, both naming the release.

    An error leaves under its own name, which is what the state machine reads.
    """

    @functools.wraps(function)
    def handler(event: Event, _context: Any) -> Event:
        about(event.get("release") or event.get("order") or event, event.get("execution"))
        try:
            result = function(event, _runtime())
        except TagshipError as error:
            logger.warning("%s: %s", type(error).__name__, error)
            raise
        except Exception:
            logger.exception("This is a defect of Tagship, or a refusal by AWS that nobody foresaw")
            raise
        logger.info("done")
        return result

    return cast("Handler", handler)
