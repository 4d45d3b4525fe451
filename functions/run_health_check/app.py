"""RunHealthCheck: one check, once, on the candidate or, after a rollback, on the baseline."""

from __future__ import annotations

from functools import partial

from tagship import health
from tagship.application import Application
from tagship.aws import ASKED_ONCE
from tagship.ledger import releases
from tagship.ledger.table import timestamp
from tagship.runtime import Event, Runtime, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """`{check, verdict, why, numbers, began}`.

    Raises AwsUnavailable when AWS throttled the check.
    """
    release, began = event["release"], timestamp(runtime.now())
    record = releases.get(runtime.ledger, release["application"], release["tag"])
    configuration = Application.from_dict(record["configuration"]["document"])
    check, target = configuration.health.checks[event["index"]], configuration.target
    client_as = runtime.client_as(configuration, tag=release["tag"], execution=event["execution"])
    given = health.Given(
        name=event["check"],
        application=release["application"],
        tag=release["tag"],
        client=partial(client_as, may=health.rights(check, target), config=ASKED_ONCE),
        function=target.function,
        version=record["plan"][event["subject"]]["version"],
        allowed=runtime.settings.allowed_networks,
    )
    return health.run(check, given).as_dict() | {"began": began}
