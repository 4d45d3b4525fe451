"""approval_page: the approval page. It shows on GET and decides on POST; it is not a step of the state machine."""

from __future__ import annotations

from tagship.approval.page.incoming import request_in
from tagship.approval.page.opening import open_page, respond
from tagship.approval.store import LedgerStore
from tagship.runtime import Event, Runtime, about, logger, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """Turns a Function URL's request into its response."""
    request = request_in(event)
    settings, client = runtime.settings, runtime.aws.client
    store = LedgerStore(
        ledger=runtime.ledger, now=runtime.now, log=logger, allowance=runtime.unsigned_presses
    )
    here = open_page(
        settings,
        client,
        store,
        host=request.headers.get("host", ""),
        now=runtime.now,
        believed=lambda record: about(record, record["execution"]),
    )
    answer = respond(
        here,
        request,
        ledger=runtime.ledger,
        settings=settings,
        client=client,
        recent=runtime.recent_secrets,
        unsigned=store.unsigned,
        log=logger,
    )
    return {
        "statusCode": answer.status,
        "headers": answer.headers,
        "cookies": list(answer.cookies),
        "body": answer.body,
    }
