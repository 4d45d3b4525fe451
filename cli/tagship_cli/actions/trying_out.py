"""The trial file of `tagship conformance`, which a team writes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import annotated_types as at
import yaml
from pydantic import TypeAdapter, ValidationError

from tagship.model.fields import CONFIG
from tagship.model.release import Artifact, PinnedObject
from tagship.targets import custom
from tagship_cli.actions.documents import bytes_of
from tagship_cli.conformance.live import Trial
from tagship_cli.failures import Failed

EXAMPLE = """\
settings: {zone: Z0123456789ABCDEFGHIJ, record: shop.staging.example.com}
artifacts:
  release: {bucket: storefront-trial, key: release.json, versionId: 3sL4kqtJlcpXroDTDmJ}
"""
_ARN = re.compile(r"arn:aws[\w-]*:lambda:(?P<region>[\w-]+):(?P<account>\d{12}):function:[\w-]+(:[\w$-]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialObject:
    """A version of an object in S3. The function reads it with its own role."""

    __pydantic_config__ = CONFIG

    bucket: Annotated[str, at.MinLen(3)]
    key: Annotated[str, at.MinLen(1)]
    versionId: Annotated[str, at.MinLen(1)]
    size: int = 0
    """The size in bytes."""
    sha256: str = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialDocument:
    """The trial file's content."""

    __pydantic_config__ = CONFIG

    artifacts: Mapping[str, TrialObject]
    settings: Mapping[str, str] = field(default_factory=dict)
    shares: bool = True
    application: str = "conformance"
    tag: str = "v0.0.0"


def read_trial(function: str, file: Path) -> Trial:
    """Reads the trial. Raises Failed if the function is not named by its ARN, or if the file is not valid."""
    named = _ARN.fullmatch(function)
    if named is None:
        raise Failed(
            f"{function} is not the ARN of a Lambda function. Nothing was sent.\n"
            "It looks like arn:aws:lambda:eu-central-1:123456789012:function:storefront-deployer."
        )
    document = _read(file)
    if custom.RELEASE not in document.artifacts:
        raise Failed(
            f"{file}: artifacts has no {custom.RELEASE!r}. Nothing was sent.\nA valid file:\n{EXAMPLE}"
        )
    return Trial(
        function=function,
        account=named["account"],
        region=named["region"],
        settings=document.settings,
        artifacts={name: _artifact(name, each) for name, each in document.artifacts.items()},
        application=document.application,
        tag=document.tag,
        shares=document.shares,
    )


def _read(file: Path) -> TrialDocument:
    try:
        data: Any = yaml.safe_load(bytes_of(file).decode())
        return TypeAdapter(TrialDocument).validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, each['loc'])) or 'the file'}: {each['msg']}" for each in error.errors()]
        raise Failed(
            f"{file} is not valid: {'; '.join(wrong)}. Nothing was sent.\nA valid file:\n{EXAMPLE}"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Failed(f"{file} is not YAML: {error}\nNothing was sent.") from error


def _artifact(name: str, each: TrialObject) -> tuple[Artifact, PinnedObject]:
    file = each.key.rsplit("/", 1)[-1]
    return (
        Artifact(name=name, file=file, sha256=each.sha256, size=each.size),
        PinnedObject(bucket=each.bucket, key=each.key, versionId=each.versionId, size=each.size),
    )
