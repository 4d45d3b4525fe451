"""Claims, once in the ledger, what starts a release: an upload, or a proposed change of the configuration."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tagship.intake.configuration import with_groups
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
    """The outcome of claiming, and the record in the ledger. `bind` computes the digest that an approval is bound to.

    Raises ReleaseUnreadable if the upload names no application and tag, or if the order is invalid.
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
        grouped=partial(with_groups, ledger=ledger, guarded=settings.guards_configuration),
    )
    return releases.claim(ledger, found, retry=upload.retry)
