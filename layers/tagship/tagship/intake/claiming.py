"""What starts a release: an upload, or a change of the configuration that is proposed. Claims it once in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tagship.intake.proposing import Bind, Proposing
from tagship.intake.reading import read_release
from tagship.ledger import configurations, releases
from tagship.ledger.table import Ledger
from tagship.model.records import ReleaseRecord
from tagship.model.release import Upload
from tagship.settings import Settings


def claimed(
    order: object,
    ledger: Ledger,
    *,
    client: Callable[[str], Any],
    settings: Settings,
    execution: str,
    bind: Bind,
) -> tuple[str, ReleaseRecord]:
    """How claiming went, and the record that stands. `bind` gives the digest that an approval is bound to.

    Raises ReleaseUnreadable when the upload can't be booked to an application and a tag, or the order is none.
    """
    if isinstance(order, dict) and order.get("proposal") is not None:
        return Proposing(
            ledger=ledger,
            stage=settings.stage,
            owners=settings.configuration_owners,
            github_hosts=settings.github_hosts,
            execution=execution,
            bind=bind,
        ).claim(order["proposal"])
    upload = Upload.from_dict(order)
    found = read_release(
        s3=client("s3"),
        ssm=client("ssm"),
        stage=settings.stage,
        bucket=upload.bucket,
        key=upload.key,
        version=upload.version,
        execution=execution,
        github_hosts=settings.github_hosts,
        guard=partial(configurations.in_force, ledger) if settings.guards_configuration else None,
    )
    return releases.claim(ledger, found, retry=upload.retry)
