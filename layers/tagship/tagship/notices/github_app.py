"""A GitHub App: its id and private key, and the short-lived tokens that it gets for them.

PyJWT and cryptography are loaded when the first token is signed, and only for an application with a protection rule.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime

from tagship.notices.channel import NotDelivered
from tagship.notices.github import TOKEN, Repository, exchange, refusal

SECRET = "github-app"  # noqa: S105 (the end of a secret's name)
"""`tagship/<stage>/<application>/github-app`."""
_ID = re.compile(r"[A-Za-z0-9.]{1,64}")
_KEY = re.compile(
    r"-----BEGIN (RSA )?PRIVATE KEY-----\s[A-Za-z0-9+/=\s]{200,20000}-----END (RSA )?PRIVATE KEY-----"
)
_BACKDATED, _SECONDS = 60, 540
"""GitHub advises to backdate a token against clock drift, and takes none that lives longer than 10 minutes."""


class AppInvalid(Exception):
    """The secret does not describe a GitHub App. Says what is wrong, and quotes nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A GitHub App, as its secret has it."""

    id: str
    """Its client ID, or its App ID."""
    private_key: str = field(repr=False)

    @classmethod
    def of(cls, text: str) -> App:
        """From the secret `{"appId": "Iv23…", "privateKey": "-----BEGIN RSA PRIVATE KEY-----…"}`. Raises AppInvalid."""
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            raise AppInvalid('is not JSON of the form {"appId": "…", "privateKey": "…"}') from None
        name, key = (found.get(it) if isinstance(found, dict) else None for it in ("appId", "privateKey"))
        name = str(name) if type(name) is int else name
        if not isinstance(name, str) or not _ID.fullmatch(name):
            raise AppInvalid("has no appId: the client ID or the App ID of the GitHub App")
        if not isinstance(key, str) or not _KEY.fullmatch(key.strip()):
            raise AppInvalid(
                "has no privateKey: the complete file that GitHub generated, -----BEGIN … to END …-----"
            )
        return cls(id=name, private_key=key.strip())

    def token(self, now: datetime) -> str:
        """What proves for nine minutes that a request comes from this App. Raises AppInvalid for a broken key."""
        import jwt

        at = int(now.timestamp())
        claims = {"iat": at - _BACKDATED, "exp": at + _SECONDS, "iss": self.id}
        try:
            return jwt.encode(claims, self.private_key, algorithm="RS256")
        except (jwt.exceptions.PyJWTError, ValueError, TypeError):
            raise AppInvalid("has a privateKey that is not an RSA key in PEM") from None

    def installed(self, repository: str, *, installation: int, api: str, now: datetime) -> Repository:
        """The repository, with a token that can write its deployments and see its runs, for an hour at most.

        Raises AppInvalid, and NotDelivered if GitHub gives none: the App is not installed there, or not with this right.
        """
        url = f"{api}/app/installations/{installation}/access_tokens"
        wanted = {
            "repositories": [repository.partition("/")[2]],
            "permissions": {"actions": "read", "deployments": "write"},
        }
        answer = exchange("POST", url, wanted, token=self.token(now))
        body = answer.json()
        token = body.get("token") if isinstance(body, dict) else None
        if answer.status != 201:
            raise NotDelivered(f"{refusal(answer, repository)} (a token for the GitHub App {self.id})")
        if not isinstance(token, str) or not TOKEN.fullmatch(token):
            raise NotDelivered(f"GitHub answered without a valid token for {repository}.")
        return Repository(name=repository, token=token, api=api)
