"""RunGate: run one gate, or several at the same time, once, on the pinned objects."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from tagship import gates
from tagship.approval.quorum import voters
from tagship.gates import Case
from tagship.ledger import freezes, releases
from tagship.model.application import Application
from tagship.model.records import Revision
from tagship.runtime import Event, Runtime, logger, step
from tagship.targets import kind_of, target_of


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """`{results}`, each `{gate, verdict, why, remedy, warning, seen, cause}`.

    Raises AwsUnavailable, LedgerBusy, and what a gate raises that has the task to itself.
    """
    release, ledger = event["release"], runtime.ledger
    releases.read_ahead(ledger, release["application"], release["tag"], releases.CURRENT)
    record = releases.get(ledger, release["application"], release["tag"])
    case = Case.of(
        record,
        current=releases.current(ledger, release["application"]),
        now=runtime.now(),
        settings=runtime.settings,
        client=runtime.aws.client,
        role=partial(runtime.client_as, tag=release["tag"], execution=event["execution"]),
        look_at=target_of,
        voters=voters,
        ask_what_serves=partial(_ask_what_serves, runtime, event),
        freezes=lambda: freezes.standing(ledger, release["application"]),
    )
    return {"results": gates.run(event["gate"], case, pause=runtime.pause, log=logger.warning)}


def _ask_what_serves(
    runtime: Runtime, event: Event, configuration: Application, revision: Revision | None
) -> Mapping[str, Mapping[str, object]]:
    from tagship.health import beforehand  # only one of the gates needs it

    release, target = event["release"], configuration.target
    return beforehand.ask_baseline(
        configuration.health.checks,
        target,
        kind_of(target).subject(target, revision),
        application=release["application"],
        tag=release["tag"],
        revision=revision,
        client_as=runtime.client_as(configuration, tag=release["tag"], execution=event["execution"]),
        allowed=runtime.settings.allowed_networks,
        now=runtime.now,
    )
