"""RunHealthCheck: run one check, once, on the candidate or, after a rollback, on the baseline."""

from __future__ import annotations

from tagship.deployment.locations import location_of
from tagship.health.giving import given_to
from tagship.ledger.table import timestamp
from tagship.runtime import Event, Runtime, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """`{check, verdict, why, numbers, began}`.

    Raises AwsUnavailable if AWS throttled the check.
    """
    release, began = runtime.release(event), timestamp(runtime.now())
    check, location = release.configuration.health.checks[event["index"]], location_of(release.record)
    given = given_to(
        check,
        name=event["check"],
        record=release.record,
        target=release.configuration.target,
        subject=event["subject"],
        location=location,
        percent=release.record.get("percent", 0),
        client_as=release.client_as,
        settings=runtime.settings,
        now=runtime.now,
        allowed=runtime.settings.allowed_networks,
    )
    return check.run(given).as_dict() | {"began": began}
