"""An application's configuration in Parameter Store: reads, compares and writes it, with the name of the writer."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from tagship.aws.calls import code_of
from tagship.model.proposal import DOCUMENT_BYTES
from tagship.model.release import parameter_name
from tagship_cli.failures import Failed, trying
from tagship_cli.views.screen import in_yaml

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The stored configuration of an application; version 0 if there is none."""

    name: str
    version: int = 0
    text: str = ""
    data: object = None
    """The parsed text; None if it is not JSON."""
    digest: str = ""
    """The digest of a group, as stored in the ledger."""


def stored(ssm: SSMClient, *, stage: str, application: str) -> Stored:
    """The stored configuration."""
    from botocore.exceptions import ClientError

    name = parameter_name(stage, application)
    with trying(f"Reading the parameter {name}"):
        try:
            found = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]
        except ClientError as error:
            if code_of(error) == "ParameterNotFound":
                return Stored(name=name)
            raise
    try:
        data = json.loads(found["Value"])
    except ValueError:
        data = None
    return Stored(name=name, version=found["Version"], text=found["Value"], data=data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One of the versions in Parameter Store."""

    version: int
    at: datetime
    by: str
    """The identity that AWS recorded as the writer."""


def versions(ssm: SSMClient, *, stage: str, application: str) -> list[Version]:
    """The last hundred, newest first; empty if there are none."""
    from botocore.exceptions import ClientError

    name = parameter_name(stage, application)
    with trying(f"Reading the history of the parameter {name}"):
        try:
            pages = ssm.get_paginator("get_parameter_history").paginate(Name=name)
            found = [each for page in pages for each in page["Parameters"]]
        except ClientError as error:
            if code_of(error) == "ParameterNotFound":
                return []
            raise
    made = [
        Version(version=each["Version"], at=each["LastModifiedDate"], by=each["LastModifiedUser"])
        for each in found
    ]
    return sorted(made, key=lambda each: each.version, reverse=True)


def difference(before: Stored, data: object) -> list[str]:
    """A unified diff in YAML; empty if both are equal, in whatever order."""
    if before.version and before.data == data:
        return []
    old = in_yaml(_ordered_like(data, before.data)) if before.data is not None else before.text
    origin = f"{before.name} (version {before.version})" if before.version else "/dev/null"
    return list(
        difflib.unified_diff(
            old.splitlines() if before.version else [],
            in_yaml(data).splitlines(),
            fromfile=origin,
            tofile=f"{before.name} (new)",
            lineterm="",
        )
    )


def write(ssm: SSMClient, before: Stored, data: object, *, who: str) -> int:
    """Returns the version that was written.

    Raises Failed if the configuration is larger than a parameter can be, or if someone else created it meanwhile.
    """
    from botocore.exceptions import ClientError

    text = text_of(data)
    with trying(f"Writing the parameter {before.name}"):
        try:
            answer = ssm.put_parameter(
                Name=before.name,
                Value=text,
                Type="String",
                Tier="Intelligent-Tiering",
                Overwrite=before.version > 0,
                Description=f"Written with tagship apply by {who}"[:1024],
            )
        except ClientError as error:
            if code_of(error) == "ParameterAlreadyExists":
                raise Failed(
                    f"Someone else changed {before.name} a moment ago. Nothing was written.\nRun the command "
                    "again to see the difference."
                ) from error
            raise
    return int(answer["Version"])


def text_of(data: object) -> str:
    """The text to store; raises Failed if it is larger than a parameter can be."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode()) > DOCUMENT_BYTES:
        raise Failed(
            f"The configuration has {len(text.encode()):,} bytes, but Parameter Store accepts at most "
            f"{DOCUMENT_BYTES:,}. "
            "Nothing was written.\nShorten it: use fewer checks or shorter texts."
        )
    return text


def _ordered_like(model: object, data: object) -> object:
    """The data with its fields in the model's order, so that a diff shows only changes."""
    if isinstance(model, Mapping) and isinstance(data, Mapping):
        names = [*(name for name in model if name in data), *(name for name in data if name not in model)]
        return {name: _ordered_like(model.get(name), data[name]) for name in names}
    if isinstance(model, list) and isinstance(data, list):
        return [
            _ordered_like(model[index] if index < len(model) else None, item)
            for index, item in enumerate(data)
        ]
    return data
