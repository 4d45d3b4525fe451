"""Builds the approval page of a stage; optional parts are loaded only if they are on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from tagship.approval.link import LinkVerifier, known_keys
from tagship.approval.page.answers import PageResponse
from tagship.approval.page.page import Page, PageRequest, answered
from tagship.approval.request.delivery import deliver, waits
from tagship.approval.store import LedgerStore
from tagship.aws.secrets import RecentSecrets
from tagship.ledger import approvals
from tagship.ledger.table import Ledger
from tagship.model.records import RequestRecord
from tagship.settings import Settings

SLACK = "/slack/actions"
GITHUB = "/github/"


def open_page(
    settings: Settings,
    client: Callable[[str], Any],
    store: LedgerStore,
    *,
    host: str,
    now: Callable[[], datetime],
    believed: Callable[[RequestRecord], None],
) -> Page:
    """`host` is the name that the browser requested; `believed` is called with the request once the link is verified."""
    ledger, stepfunctions = store.ledger, client("stepfunctions")
    keys = known_keys(settings.link_key, *settings.other_link_keys)
    login = None
    if settings.oidc_issuer or settings.oidc_client_id:
        from tagship.approval.signin.login import login_of

        login = login_of(settings, ledger, host=host)
    return Page(
        store=store,
        verifier=LinkVerifier(client("kms"), keys, stage=settings.stage),
        deliver=partial(deliver, ledger, stepfunctions),
        now=now(),
        base_url=settings.approval_base_url,
        waits=partial(waits, stepfunctions),
        login=login,
        release_of=partial(approvals.release_of, ledger),
        believed=believed,
    )


def respond(
    here: Page,
    request: PageRequest,
    *,
    ledger: Ledger,
    settings: Settings,
    client: Callable[[str], Any],
    recent: RecentSecrets,
    unsigned: Callable[[str, str, str], None],
    log: Any,
) -> PageResponse:
    """The answer to a browser, to a Slack button, or to GitHub: for the last two, `recent` and `unsigned` limit the cost of
    unsigned requests.
    """
    if request.path.startswith(GITHUB):
        return _of_github(
            request, ledger=ledger, settings=settings, client=client, recent=recent, now=here.now, log=log
        )
    if request.path != SLACK:
        return answered(here, request)
    from tagship.approval.page import slack_actions

    slacks = slack_actions.Workspaces(
        secrets=recent.of(client=client("secretsmanager")),
        stage=settings.stage,
        hosts=settings.slack_hosts,
        unsigned=unsigned,
    )
    return slack_actions.respond(request, here, slacks=slacks, log=log)


def _of_github(
    request: PageRequest,
    *,
    ledger: Ledger,
    settings: Settings,
    client: Callable[[str], Any],
    recent: RecentSecrets,
    now: datetime,
    log: Any,
) -> PageResponse:
    from tagship.approval.page import github_jobs

    inbox = github_jobs.Inbox(
        ledger=ledger,
        secrets=recent.of(client=client("secretsmanager")),
        ssm=lambda: client("ssm"),
        guarded=settings.guards_configuration,
        now=now,
    )
    return github_jobs.respond(request, inbox, log=log)
