"""GitHub asks whether a job may run: the webhook of a deployment protection rule, at `/github/<application>`.

GitHub signs the body with the App's webhook secret. The address names the application, and so the secret: a request that
another application's App signed is refused. A signed request is only recorded here; `notify` answers it, since the key of
the GitHub App is nothing that a function which anyone can call should have.

A signature has no time in it, so a request can be replayed. That changes nothing: the job is recorded once, by GitHub's id
of its deployment, and the answer follows from the ledger, not from the request.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from tagship.approval.page.answers import PageResponse, security_headers
from tagship.approval.page.page import PageRequest
from tagship.aws.calls import code_of
from tagship.aws.secrets import ApplicationSecrets, SecretReader, secret
from tagship.ledger import jobs
from tagship.ledger.table import Ledger, timestamp
from tagship.model.errors import RetryableError
from tagship.model.job import WAITS_FOR, Job

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

SECRET = "github-webhook"  # noqa: S105 (the end of a secret's name)
"""`tagship/<stage>/<application>/github-webhook`. Its name is fixed: it is read before anything in a request is trusted."""
MAX_BODY = 1024 * 1024
"""GitHub's own limit is 25 MB, for other events. This one carries a repository, a deployment and some pull requests."""
_PATH = re.compile(r"/github/([a-z][a-z0-9-]{1,39})")
_SIGNATURE = re.compile(r"sha256=[0-9a-f]{64}")
_WEBHOOK_SECRET = re.compile(r"[!-~]{20,200}")
_EVENT = "deployment_protection_rule"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REF = re.compile(r"[!-~]{1,250}")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,255}")


class Refused(Exception):
    """The answer to a request that is not recorded. `words` is empty for one that is not signed."""

    def __init__(self, status: int, reason: str, *, words: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.words = words


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbox:
    """The dependencies for handling a request."""

    ledger: Ledger
    secrets: SecretReader
    """Caches secrets for some seconds, because anyone can send a request."""
    ssm: Callable[[], SSMClient]
    """Made only for a signed request."""
    guarded: bool
    """Whether the stage guards configurations."""
    now: datetime


def respond(request: PageRequest, inbox: Inbox, *, log: Any) -> PageResponse:
    """One answer for one request; a second delivery of the same one has the same answer.

    Only GitHub, which signed the request, reads why it was refused: its App shows that under "Recent deliveries".
    """
    try:
        application = _signed_for(request, inbox)
        words = _received(request, application, inbox)
    except Refused as error:
        log.warning("A request for a GitHub job was refused: %s", error)
        return _text(error.status, error.words)
    except RetryableError as error:
        log.warning("A request for a GitHub job could not be recorded: %s", error)
        return _text(503, "Tagship could not record this request. Redeliver it.")
    return _text(202, words)


def _signed_for(request: PageRequest, inbox: Inbox) -> str:
    """The application whose GitHub App signed the request.

    Raises Refused, before any call if it cannot be GitHub's at all, and in the same way for an unknown application.
    """
    match = _PATH.fullmatch(request.path)
    given = _headers(request).get("x-hub-signature-256", "")
    if match is None or request.method != "POST" or not _SIGNATURE.fullmatch(given):
        raise Refused(403, "not signed")
    if len(request.body) > MAX_BODY:
        raise Refused(403, "too large")
    key = _webhook_secret(match[1], inbox)
    right = "sha256=" + hmac.digest(key.encode(), request.body, "sha256").hex()
    if not hmac.compare_digest(right, given):
        raise Refused(403, f"not signed with the secret of {match[1]}")
    return match[1]


def _webhook_secret(application: str, inbox: Inbox) -> str:
    stage = inbox.ledger.stage
    reader = ApplicationSecrets(client=inbox.secrets, stage=stage, application=application, service=SECRET)
    try:
        key = secret(reader, f"tagship/{stage}/{application}/{SECRET}")
    except (ClientError, BotoCoreError) as error:
        code = code_of(error) if isinstance(error, ClientError) else type(error).__name__
        raise Refused(403, f"{application} has no secret {SECRET} that can be read: {code}") from error
    if not _WEBHOOK_SECRET.fullmatch(key):
        raise Refused(403, f"the secret {SECRET} of {application} has not 20 to 200 printable characters")
    return key


def _received(request: PageRequest, application: str, inbox: Inbox) -> str:
    """Records what GitHub asks. Raises Refused, and what the ledger raises."""
    event = _headers(request).get("x-github-event", "")
    if event != _EVENT:  # a ping, or that the App was installed
        return f"Nothing to do for {event[:40]}."
    job, callback, created = parsed(request.body, inbox.now)
    if inbox.now - created > WAITS_FOR:
        raise Refused(410, f"{application}: stale", words="GitHub no longer waits for this job.")
    rule = jobs.rule_of(inbox.ledger, inbox.ssm(), application, guarded=inbox.guarded)
    if rule is None:
        words = f"{application} has no notifications.github.protectionRule in {inbox.ledger.stage}."
        raise Refused(404, words, words=words)
    if not rule.is_about(job):
        words = f"{application} answers for {rule.environment} of {rule.repository}, not for this job."
        raise Refused(403, words, words=words)
    if callback.casefold() != rule.callback(job.run).casefold():
        words = f"{application} answers to {rule.api}, and this request names another address."
        raise Refused(403, words, words=words)
    jobs.opened(inbox.ledger, application, job)
    return f"Recorded: {application} answers when the release has ended."


def parsed(body: bytes, now: datetime) -> tuple[Job, str, datetime]:
    """The job, where GitHub wants the answer, and when its deployment was made (now, if it does not say).

    Raises Refused for what GitHub would not send.
    """
    try:
        return _job_in(json.loads(body), now)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        words = "This is not the payload of a deployment protection rule that is requested."
        raise Refused(400, "malformed", words=words) from error


def _job_in(payload: Any, now: datetime) -> tuple[Job, str, datetime]:
    deployment, callback = payload["deployment"], _matching(_REF, payload["deployment_callback_url"])
    run = re.search(r"/runs/([0-9]{1,18})/deployment_protection_rule$", callback)
    if payload["action"] != "requested" or run is None:
        raise ValueError("another action, or no run")
    ref = _either(payload, deployment, "ref").removeprefix("refs/tags/")
    created = datetime.fromisoformat(str(deployment["created_at"])) if "created_at" in deployment else now
    if created.tzinfo is None:
        raise ValueError("a time without a zone")
    job = Job(
        id=_number(deployment["id"]),
        run=int(run[1]),
        installation=_number(payload["installation"]["id"]),
        repository=_matching(_REF, payload["repository"]["full_name"]),
        environment=_matching(_NAME, payload["environment"]),
        ref=_matching(_REF, ref),
        commit=_matching(_COMMIT, _either(payload, deployment, "sha")),
        at=timestamp(now),
    )
    return job, callback, created


def _either(payload: Mapping[str, Any], deployment: Mapping[str, Any], name: str) -> str:
    """GitHub says it of the run, of its deployment, or of both; then both must be the same."""
    values = {str(each[name]) for each in (payload, deployment) if each.get(name) is not None}
    (only,) = values
    return only


def _number(value: object) -> int:
    if type(value) is not int or not 0 < value < 10**18:
        raise ValueError("not an id")
    return value


def _matching(pattern: re.Pattern[str], value: object) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError("not such a text")
    value.encode()  # a lone surrogate cannot be stored
    return value


def _headers(request: PageRequest) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def _text(status: int, words: str) -> PageResponse:
    return PageResponse(status, security_headers() | {"Content-Type": "text/plain; charset=utf-8"}, words)
