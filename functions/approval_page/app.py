"""approval_page: what an approver opens. It shows on GET, decides on POST, and is no step of the state machine."""

from __future__ import annotations

import functools
from typing import Any

from tagship.approval.link import LinkVerifier, known_keys
from tagship.approval.page import page
from tagship.approval.page.incoming import request_in
from tagship.approval.request.delivery import deliver
from tagship.approval.store import LedgerStore
from tagship.aws.calls import calling
from tagship.ledger import approvals
from tagship.runtime import Event, Runtime, about, logger, step

SLACK = "/slack/actions"


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """From a Function URL's request to its answer."""
    request = request_in(event)
    settings = runtime.settings
    stepfunctions = runtime.aws.client("stepfunctions")
    here = page.Page(
        store=LedgerStore(ledger=runtime.ledger, now=runtime.now, log=logger),
        verifier=LinkVerifier(
            runtime.aws.client("kms"),
            known_keys(settings.link_key, *settings.other_link_keys),
            stage=settings.stage,
        ),
        deliver=functools.partial(deliver, runtime.ledger, stepfunctions),
        now=runtime.now(),
        base_url=settings.approval_base_url,
        waits=functools.partial(_waits, runtime),
        login=_login(runtime, request) if settings.oidc_issuer or settings.oidc_client_id else None,
        release_of=functools.partial(approvals.release_of, runtime.ledger),
        believed=lambda record: about(record, record["execution"]),
    )
    answer = _slack(runtime, request, here) if request.path == SLACK else page.answered(here, request)
    return {
        "statusCode": answer.status,
        "headers": answer.headers,
        "cookies": list(answer.cookies),
        "body": answer.body,
    }


def _waits(runtime: Runtime, approval_id: str) -> bool:
    """Whether the release's execution is still there to hear the decision."""
    request = approvals.get(runtime.ledger, approval_id)
    if request is None:
        return False
    with calling("Looking at the execution that waits"):
        answer = runtime.aws.client("stepfunctions").describe_execution(executionArn=request["execution"])
    return str(answer["status"]) == "RUNNING"


def _slack(runtime: Runtime, request: page.PageRequest, here: page.Page) -> page.PageResponse:
    """A button in Slack; what that needs is loaded when somebody presses one."""
    from tagship.approval.page import slack_actions

    hosts = runtime.settings.slack_hosts
    secrets = runtime.aws.client("secretsmanager")
    return slack_actions.respond(request, here, secrets=secrets, hosts=hosts, log=logger)


def _login(runtime: Runtime, request: page.PageRequest) -> Any:
    """The sign-in, and what it needs of libraries, only where a stage asks for one."""
    from tagship.approval.signin.login import login_of

    return login_of(runtime.settings, runtime.ledger, host=request.headers.get("host", ""))
