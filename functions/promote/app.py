"""promote: every 15 minutes, bring releases that stayed current and healthy for long enough to the next stage."""

from __future__ import annotations

from tagship.aws.clients import UPLOADING, Errand
from tagship.model.application import Promote
from tagship.model.records import ReleaseRecord
from tagship.runtime import Event, Runtime, step
from tagship.supervision.handover import Handover, rights
from tagship.supervision.promotion import Promotions


@step
def handler(_event: Event, runtime: Runtime) -> Event:
    """What it did, in words; usually nothing. Two concurrent runs do everything once."""

    def meet(promote: Promote, record: ReleaseRecord) -> Handover:
        errand = Errand(
            target=promote,
            application=record["application"],
            tag=record["tag"],
            execution="promotion",
            # The function's own role says which roles it may assume: those of promotions, and no target's.
            allowed_accounts=frozenset({promote.account}),
            function_roles=runtime.settings.function_roles,
        )
        may = rights(promote, record)
        return Handover(
            record=record,
            promote=promote,
            source=runtime.aws.client("s3", config=UPLOADING),
            destination=runtime.aws.client_as("s3", may=may, errand=errand, config=UPLOADING),
            kms=runtime.aws.client_as("kms", may=may, errand=errand),
        )

    promotions = Promotions(ledger=runtime.ledger, now=runtime.now(), meet=meet)
    return {"did": [*promotions.each()]}
