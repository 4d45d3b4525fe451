"""AwaitStable: the target runs what it was told to; asked again, by the state machine's Retry, until it does."""

from __future__ import annotations

from tagship.ledger import releases
from tagship.ledger.table import timestamp
from tagship.model.application import Application
from tagship.model.rollout import Baking
from tagship.runtime import Event, Runtime, step
from tagship.targets import target_of


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """`{wait, until, extended}`: the bake that begins now.

    Raises NotStable until the target has settled on this share (0 percent: all traffic on the baseline).
    """
    release, percent = event["release"], event["percent"]
    record = releases.get(runtime.ledger, release["application"], release["tag"])
    plan = record["plan"]
    configuration = Application.from_dict(record["configuration"]["document"])
    target = target_of(
        configuration,
        tag=release["tag"],
        client_as=runtime.client_as(configuration, tag=release["tag"], execution=event["execution"]),
    )
    target.settled(baseline=plan["baseline"], candidate=plan["candidate"], percent=percent)
    baking = Baking.begun(event["bake"], every=event["every"], now=runtime.now())
    return {"wait": baking.wait, "until": timestamp(baking.until), "extended": baking.extended}
