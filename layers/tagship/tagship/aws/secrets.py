"""Secrets of other services: read when they are used, so that a rotated one is used at once, and kept nowhere."""

from __future__ import annotations

from typing import Any

from tagship.aws.calls import calling


def secret(secrets: Any, name: str) -> str:
    """The secret's text.

    Raises AwsUnavailable when it can't be read just now, and what AWS refused with otherwise.
    """
    with calling(f"Reading the secret {name}"):
        answer = secrets.get_secret_value(SecretId=name)
    return str(answer.get("SecretString", "")).strip()
