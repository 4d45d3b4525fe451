"""GitHub: the release as a deployment of its commit, with its states, and the commit's own status.

GitHub has no idempotency key, so this first searches for what exists already, by the text that Tagship wrote into it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from tagship.aws import web
from tagship.aws.hosts import address_problem
from tagship.aws.secrets import SecretRefused, secret
from tagship.ledger.table import Ledger
from tagship.model.facts import ENDINGS, FactKind, Level
from tagship.model.records import Known
from tagship.model.release import Status
from tagship.notices.channel import Channel, Fact, Means, NotDelivered, notifications, secrets_of
from tagship.notices.notice import Notice, notice_of
from tagship.text.plain import line

API = "https://api.github.com"
_ENDED = {
    Status.SUCCEEDED: "success",
    Status.SUPERSEDED: "inactive",
    Status.ROLLBACK_FAILED: "error",
    Status.ABORTED: "error",
}
"""Every other ending is a failure."""
_STATES: dict[str, str] = {
    FactKind.RELEASE_READ: "pending",
    FactKind.APPROVAL_REQUESTED: "pending",
    FactKind.DEPLOYMENT_STARTED: "in_progress",
    **{kind: _ENDED.get(status, "failure") for status, kind in ENDINGS.items()},
}
"""A deployment's states by facts (GitHub's REST API, "Create a deployment status")."""
FACTS: frozenset[str] = frozenset(_STATES)
_COMMIT = {
    "pending": "pending",
    "in_progress": "pending",
    "success": "success",
    "inactive": "failure",
    "error": "error",
}
"""A commit has fewer states; the others are failures."""
TOKEN = re.compile(r"(?:gh[pous]_|github_pat_)[A-Za-z0-9_.-]{20,1000}")
"""A token by GitHub's prefixes (its documentation, "GitHub's token formats"): personal, OAuth, user and installation tokens.
Nothing else is ever sent, so that no other service's secret is."""
_DESCRIPTION = 140
"""Characters that GitHub takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """The address of the API, and a token that can write deployments and commit statuses."""

    name: str
    token: str = field(repr=False)
    api: str = API

    def ask(self, method: str, path: str, data: Any = None, *, taken: tuple[int, ...]) -> Any:
        """One request; raises NotDelivered for any status other than `taken`."""
        answer = self.send(method, path, data)
        if answer.status not in taken:
            raise NotDelivered(refusal(answer, self.name))
        return answer.json()

    def send(self, method: str, path: str, data: Any = None) -> web.Answer:
        """One request and GitHub's answer, whatever it is. Raises NotDelivered if there is none."""
        return exchange(method, f"{self.api}/repos/{self.name}/{path}", data, token=self.token)


def exchange(method: str, url: str, data: Any = None, *, token: str) -> web.Answer:
    """One request to GitHub's API. Raises NotDelivered if there is no answer."""
    try:
        return web.send(
            url,
            to="GitHub",
            method=method,
            data=data,
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {token}",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )
    except web.RequestFailed as failed:
        raise NotDelivered(str(failed)) from None


def refusal(answer: web.Answer, about: str) -> str:
    """What GitHub refused, in its own words."""
    body = answer.json()
    words = line(body.get("message", "")) if isinstance(body, dict) else ""
    return f"GitHub answered {answer.status} for {about}: {words or 'no reason given'}"


def tell(notice: Notice, *, commit: str, repository: Repository, console_link: bool = False) -> None:
    """The fact as the deployment's newest state and the commit's status; `console_link` adds a link to the execution.

    Raises NotDelivered.
    """
    state = _STATES[notice.name]
    description = line(f"{notice.tag}: {notice.text}", _DESCRIPTION)
    linked = console_link and notice.look.startswith("https://")
    log = {"log_url": notice.look} if linked else {}
    deployment = _deployment(notice, commit, repository)
    there = repository.ask("GET", f"deployments/{deployment}/statuses?per_page=100", taken=(200,))
    if not any((it["state"], it["description"]) == (state, description) for it in there):
        repository.ask(
            "POST",
            f"deployments/{deployment}/statuses",
            {
                "state": state,
                "description": description,
                "environment": notice.stage,
                "auto_inactive": True,
                **log,
            },
            taken=(201,),
        )
    repository.ask(
        "POST",
        f"statuses/{commit}",
        {
            "state": _COMMIT.get(state, "failure"),
            "context": f"tagship/{notice.stage}/{notice.application}",
            "description": description,
            **({"target_url": notice.look} if linked else {}),
        },
        taken=(201,),
    )


def _deployment(notice: Notice, commit: str, repository: Repository) -> int:
    """The deployment of this attempt; created if there is none."""
    ours = {"tagship": {"application": notice.application, "tag": notice.tag, "attempt": notice.attempt}}
    query = urlencode({"sha": commit, "environment": notice.stage, "per_page": 100}, quote_via=quote)
    for found in repository.ask("GET", f"deployments?{query}", taken=(200,)):
        if _payload(found) == ours:
            return int(found["id"])
    made = repository.ask(
        "POST",
        "deployments",
        {
            "ref": commit,
            "environment": notice.stage,
            "description": line(notice.subject, _DESCRIPTION),
            "payload": ours,
            "auto_merge": False,
            "required_contexts": [],
            "production_environment": notice.stage == "production",
        },
        taken=(201,),
    )
    return int(made["id"])


def _payload(deployment: Mapping[str, object]) -> object:
    """GitHub returns an object either as an object or as the text that was sent."""
    payload = deployment.get("payload")
    try:
        return json.loads(payload) if isinstance(payload, str) else payload
    except ValueError:
        return None


def take(fact: Fact, record: Known, means: Means) -> None:
    """Raises NotDelivered."""
    wanted = notifications(record).get("github")
    manifest = record.get("manifest")
    if (
        wanted
        and wanted.get("tokenSecret")
        and manifest
        and (notice := notice_of(fact, record, level=Level.EVERYTHING))
    ):
        tell(
            notice,
            commit=manifest["commit"],
            repository=_repository(fact, record, means, wanted),
            console_link=wanted.get("consoleLink", False),
        )


def _repository(fact: Fact, record: Known, means: Means, wanted: Mapping[str, Any]) -> Repository:
    """Raises NotDelivered if the token must not be sent there (before reading it), or if it is not a GitHub token."""
    api, name, development = wanted["api"], wanted["tokenSecret"], means.ledger.stage == "development"
    if problem := address_problem(api, means.github_hosts, setting="GitHubHosts", loopback=development):
        raise NotDelivered(f"GitHub: its address {problem}.")
    try:
        token = secret(secrets_of(fact, record, means, "github"), name)
    except SecretRefused as error:
        raise NotDelivered(f"GitHub: {error}.") from None
    if not TOKEN.fullmatch(token):
        raise NotDelivered(
            f"GitHub: the secret {name} does not contain a GitHub token (ghp_…, github_pat_…, ghs_…)."
        )
    return Repository(name=wanted["repository"], token=token, api=api)


def has_recipients(_: Fact, record: Known, __: Ledger) -> bool:
    """Whether the application names a token, and the release a commit."""
    wanted = notifications(record).get("github")
    return bool(wanted and wanted.get("tokenSecret") and record.get("manifest"))


CHANNEL = Channel(wants=lambda fact: fact["name"] in FACTS, take=take, has_recipients=has_recipients)
