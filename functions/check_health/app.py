"""CheckHealth: ask all checks once, at the same time, of the candidate or, after a rollback, of the baseline."""

from __future__ import annotations

from functools import partial

from tagship.deployment.locations import location_of
from tagship.health.giving import given_to
from tagship.health.together import checks_for, look
from tagship.ledger.table import timestamp
from tagship.runtime import Event, Runtime, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """`{results}`, each `{check, verdict, why, numbers, began}`.

    Raises AwsUnavailable if AWS throttled a check.
    """
    release, subject, began = runtime.release(event), event["subject"], timestamp(runtime.now())
    given = partial(
        given_to,
        record=release.record,
        target=release.configuration.target,
        subject=subject,
        location=location_of(release.record),
        percent=release.record.get("percent", 0),
        client_as=release.client_as,
        settings=runtime.settings,
        now=runtime.now,
        allowed=runtime.settings.allowed_networks,
    )
    checks = checks_for(release.configuration.health.checks, subject=subject)
    results = look([(check, given(check)) for check in checks])
    return {"results": [result.as_dict() | {"began": began} for result in results]}
