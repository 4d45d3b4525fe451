"""GitHub: the token for deployments, and the App whose protection rule lets jobs wait for a release."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from tagship.aws.calls import code_of
from tagship.model.application import Application
from tagship.notices.channel import NotDelivered
from tagship.notices.github import TOKEN, exchange
from tagship.notices.github_app import App, AppInvalid
from tagship_cli.actions.doctor.finding import Finding, Subject, ok, warning, wrong
from tagship_cli.failures import trying

_MADE = "Create it as described in docs/github-jobs.md."
_EVENT = "deployment_protection_rule"
_SHORT, _LONG = 20, 200


def examine(subject: Subject, configuration: Application) -> Iterator[Finding]:
    """Whether its secrets have the right form, and GitHub agrees with them; nothing that is in them is shown."""
    github, name = configuration.notifications.github, configuration.application
    if github and github.tokenSecret:
        yield from _token(subject, name, github.tokenSecret)
    if github and github.protectionRule:
        yield from _environment(subject, name, github.protectionRule.environment)
        yield from _webhook_secret(subject, name)
        yield from _app(subject, name, github.api)


def _token(subject: Subject, name: str, secret: str) -> Iterator[Finding]:
    found = _text(subject, secret)
    if found is None:
        yield wrong(
            name,
            f"There is no secret {secret}, so GitHub gets no notices.",
            "Create it as described in docs/notifications.md.",
        )
    elif not found:
        yield wrong(
            name, f"The secret {secret} is empty, so GitHub gets no notices.", "Write the token into it."
        )
    elif not TOKEN.fullmatch(found):
        yield wrong(
            name,
            f"The secret {secret} does not contain a GitHub token, so GitHub gets no notices.",
            "Write the token into it, as described in docs/notifications.md.",
        )
    else:
        yield ok(name, f"The secret {secret} exists and has the right form.")


def _environment(subject: Subject, name: str, environment: str) -> Iterator[Finding]:
    """Only the stack's own publisher is known; an application's own one may have the same fault."""
    if subject.parameters.get("PublisherEnvironment", "").casefold() == environment.casefold():
        yield wrong(
            name,
            f"The job that publishes runs in the environment {environment}, so it waits for the release that it is "
            "about to publish.",
            "Give the waiting jobs a separate environment, and name it in "
            "notifications.github.protectionRule.environment.",
        )


def _webhook_secret(subject: Subject, name: str) -> Iterator[Finding]:
    secret = f"tagship/{subject.stage}/{name}/github-webhook"
    found = _text(subject, secret)
    if found is None:
        yield wrong(name, f"There is no secret {secret}, so every GitHub job waits for ever.", _MADE)
    elif not (_SHORT <= len(found) <= _LONG and found.isascii() and found.isprintable() and " " not in found):
        yield wrong(
            name,
            f"The secret {secret} is not {_SHORT} to {_LONG} printable characters, so every GitHub job waits for ever.",
            "Write the App's webhook secret into it, and nothing else.",
        )
    else:
        yield ok(name, f"The secret {secret} exists and has the right form.")


def _app(subject: Subject, name: str, api: str) -> Iterator[Finding]:
    secret = f"tagship/{subject.stage}/{name}/github-app"
    text = _text(subject, secret)
    if text is None:
        yield wrong(name, f"There is no secret {secret}, so no GitHub job is answered.", _MADE)
        return
    try:
        token = App.of(text).token(subject.now())
    except AppInvalid as error:
        yield wrong(name, f"The secret {secret} {error}, so no GitHub job is answered.", _MADE)
        return
    try:
        status, app = _asked(f"{api}/app", token)
        _, hook = _asked(f"{api}/app/hook/config", token)
    except NotDelivered as error:
        yield warning(
            name,
            f"Not checked: the GitHub App, because {error}",
            "Run the check again when GitHub answers. Jobs wait until then, and are answered afterwards.",
        )
        return
    if status != 200:
        yield wrong(
            name,
            f"GitHub does not accept the private key in {secret} ({status}), so no GitHub job is answered.",
            "Generate a private key on the App's settings page, and write it with the App's id into the secret.",
        )
        return
    yield from _settings(subject, name, app, str(hook.get("url", "")))


def _settings(subject: Subject, name: str, app: Mapping[str, Any], hook: str) -> Iterator[Finding]:
    """What the App's settings page says."""
    permissions, events = app.get("permissions") or {}, app.get("events") or []
    lacks = [] if permissions.get("deployments") == "write" else ["Deployments: Read and write"]
    lacks += [] if permissions.get("actions") in ("read", "write") else ["Actions: Read-only"]
    if lacks:
        yield wrong(
            name,
            f"The GitHub App lacks the permission {' and '.join(lacks)}, so no GitHub job is answered.",
            "Add it under Repository permissions, and accept it where the App is installed.",
        )
    if _EVENT not in events:
        yield wrong(
            name,
            "The GitHub App is not subscribed to the event Deployment protection rule, so every GitHub job waits for ever.",
            "Subscribe it under Permissions & events.",
        )
    wanted = f"{subject.outputs.get('ApprovalUrl', '').rstrip('/')}/github/{name}"
    if hook.rstrip("/") != wanted:
        yield wrong(
            name,
            f"The GitHub App sends its webhook to {hook or 'no address'}, so every GitHub job waits for ever.",
            f"Set its Webhook URL to {wanted}",
        )
    elif not lacks and _EVENT in events:
        yield ok(name, f"The GitHub App has the right key and permissions, and sends its webhook to {wanted}")


def _asked(url: str, token: str) -> tuple[int, Mapping[str, Any]]:
    """Raises NotDelivered if GitHub cannot answer now."""
    answer = exchange("GET", url, token=token)
    if answer.status >= 500:
        raise NotDelivered(f"GitHub answered {answer.status}.")
    body = answer.json()
    return answer.status, body if isinstance(body, dict) else {}


def _text(subject: Subject, secret: str) -> str | None:
    """The secret's text; None if there is no such secret."""
    with trying(f"Looking at the secret {secret}"):
        try:
            found = subject.client("secretsmanager").get_secret_value(SecretId=secret)
        except ClientError as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
            return None
    return str(found.get("SecretString", "")).strip()
