"""Installs, configures and publishes the sample application of examples/storefront on the embedded engine.

It uses the command line wherever a team does.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tagship.model.release import Tag, parameter_name
from tools.stack import ACCOUNT, REGION, ROOT, Engine, outputs
from tools.traffic import Answer, asked

HOME = ROOT / "examples" / "storefront"
NAME = "storefront"
ALARM = "storefront-errors"
_LONG_AGO = (2020, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Storefront:
    """The installed application."""

    engine: Engine
    stage: str
    url: str
    role: str
    name: str = NAME

    @classmethod
    def install(cls, engine: Engine, *, stage: str, stack: Mapping[str, str]) -> Storefront:
        """Creates its own stack: the function, its alias and address, and the role that Tagship assumes."""
        cloudformation = engine.client("cloudformation")
        cloudformation.create_stack(
            StackName=NAME,
            TemplateBody=(HOME / "template.yaml").read_text(),
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[
                {"ParameterKey": "Stage", "ParameterValue": stage},
                {"ParameterKey": "ReleaseBucketName", "ParameterValue": stack["ReleaseBucketName"]},
            ],
        )
        cloudformation.get_waiter("stack_create_complete").wait(
            StackName=NAME, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        # The engine has no metrics of functions, so its alarms have no data. In AWS this one is OK within a minute or two.
        engine.client("cloudwatch").set_alarm_state(
            AlarmName=ALARM, StateValue="OK", StateReason="Nothing has failed."
        )
        return cls.installed(engine, stage=stage)

    @classmethod
    def installed(cls, engine: Engine, *, stage: str) -> Storefront:
        """The application that was installed before."""
        made = outputs(engine, NAME)
        return cls(
            engine=engine,
            stage=stage,
            url=engine.function_url(made["Url"]),
            role=made["DeploymentRoleArn"],
        )

    def next_tag(self) -> str:
        """The first unused tag."""
        bucket = outputs(self.engine, f"tagship-{self.stage}")["ReleaseBucketName"]
        pages = (
            self.engine.client("s3")
            .get_paginator("list_objects_v2")
            .paginate(Bucket=bucket, Prefix=f"releases/{NAME}/", Delimiter="/")
        )
        used = [each["Prefix"].split("/")[2] for page in pages for each in page.get("CommonPrefixes", ())]
        newest = max((Tag.parse(tag).version for tag in used), default=None)
        return f"v{newest.bump_minor()}" if newest else "v1.0.0"

    def deciders(self) -> list[str]:
        """As many of its approvers as must approve."""
        name = parameter_name(self.stage, NAME)
        found = self.engine.client("ssm").get_parameter(Name=name)["Parameter"]
        approval = json.loads(found["Value"])["approval"]
        return [str(who) for who in approval["approvers"][: approval["required"]]]

    def packed(self, tag: str, *, broken: bool = False) -> Path:
        """A version's zip, ready to publish."""
        file = self._folder(tag) / f"{NAME}.zip"
        file.write_bytes(pack(tag, broken=broken))
        return file

    def configure(self, **changes: Any) -> dict[str, Any]:
        """Stores its application.yaml for Tagship, with this engine's addresses and these changes."""
        document: dict[str, Any] = yaml.safe_load((HOME / "application.yaml").read_text())
        document["target"] |= {
            "account": ACCOUNT,
            "region": REGION,
            "role": self.role,
            "externalId": f"tagship-{self.stage}",
        }
        for check in document["health"]["checks"]:
            if check["type"] == "http":
                # one small machine does all the work here, so responses may be slow
                check |= {"url": f"{self.url}/health", "maxLatencyMs": 10_000, "timeoutSeconds": 10}
        for key, value in changes.items():
            document[key] = {**document.get(key, {}), **value}
        written = self._folder() / "application.yaml"
        written.write_text(yaml.safe_dump(document, sort_keys=False))
        self._tagship("apply", "--stage", self.stage, "--yes", written)
        return document

    def commit(self, tag: str) -> str:
        """A commit for the tag, because the sample is in no repository."""
        return hashlib.sha1(tag.encode(), usedforsecurity=False).hexdigest()

    def publish(
        self, tag: str, *, broken: bool = False, author: str = "dana@example.com", notes: str = ""
    ) -> None:
        """Packages a version and publishes it."""
        self._tagship(
            "publish",
            *("--application", NAME, "--tag", tag, "--stage", self.stage),
            *("--artifact", f"function={self.packed(tag, broken=broken)}"),
            *("--repository", "acme/storefront", "--author", author, "--notes", notes),
            *("--commit", self.commit(tag)),
        )

    def serves(self) -> tuple[str, dict[str, float]]:
        """The alias's routing: its own version, and the weights of others."""
        alias = self.engine.client("lambda").get_alias(FunctionName=NAME, Name="live")
        return alias["FunctionVersion"], (alias.get("RoutingConfig") or {}).get(
            "AdditionalVersionWeights"
        ) or {}

    def standing(self) -> str:
        """The versions that the alias points at, in words."""
        version, weights = self.serves()
        others = "".join(f" and {weight:.0%} version {other}" for other, weight in weights.items())
        return f"version {version}{others}"

    def ask(self, _number: int) -> Answer:
        """One customer's request to its page."""
        return asked(self.url, said_by=lambda headers, _: headers.get("x-storefront-version", ""))

    def _folder(self, name: str = "") -> Path:
        folder = self.engine.folder / NAME / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _tagship(self, *arguments: str | Path) -> None:
        self.engine.tagship(*arguments, folder=self._folder())


def pack(version: str, *, broken: bool = False) -> bytes:
    """The zip of a version; the same version has the same bytes."""
    files = {
        "index.py": (HOME / "app" / "index.py").read_text(),
        "version.py": f'"""Written anew for each release."""\n\nVERSION = "{version}"\nBROKEN = {broken}\n',
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name, date_time=_LONG_AGO)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, text, compress_type=zipfile.ZIP_DEFLATED)
    return packed.getvalue()
