"""The sample application of examples/storefront on the embedded engine: installed, configured, and uploaded tag by tag."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import yaml

from local.stack import ACCOUNT, REGION, ROOT, Engine, outputs

HOME = ROOT / "examples" / "storefront"
NAME = "storefront"
_LONG_AGO = (2020, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Storefront:
    """The application as it is installed."""

    engine: Engine
    bucket: str
    stage: str
    url: str
    role: str

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
        made = outputs(engine, NAME)
        return cls(
            engine=engine,
            bucket=stack["ReleaseBucketName"],
            stage=stage,
            url=engine.function_url(made["Url"]),
            role=made["DeploymentRoleArn"],
        )

    def configure(self, **changes: Any) -> dict[str, Any]:
        """Stores its application.yaml for Tagship, with this engine's addresses and whatever else is changed."""
        document: dict[str, Any] = yaml.safe_load((HOME / "application.yaml").read_text())
        document["target"] |= {
            "account": ACCOUNT,
            "region": REGION,
            "role": self.role,
            "externalId": f"tagship-{self.stage}",
        }
        for check in document["health"]["checks"]:
            if check["type"] == "http":
                check["url"] = f"{self.url}/health"
        for key, value in changes.items():
            document[key] = {**document[key], **value}
        self.engine.client("ssm").put_parameter(
            Name=f"/tagship/{self.stage}/applications/{NAME}",
            Value=json.dumps(document),
            Type="String",
            Overwrite=True,
        )
        return document

    def publish(
        self, tag: str, *, broken: bool = False, author: str = "dana@example.com", notes: str = ""
    ) -> None:
        """Uploads a release: the artifact first, the manifest last, and nothing twice."""
        code = pack(tag, broken=broken)
        artifact = {
            "name": "function",
            "file": f"{NAME}.zip",
            "sha256": hashlib.sha256(code).hexdigest(),
            "size": len(code),
        }
        manifest = {
            "schemaVersion": 1,
            "application": NAME,
            "tag": tag,
            "commit": hashlib.sha1(tag.encode(), usedforsecurity=False).hexdigest(),
            "repository": "acme/storefront",
            "author": author,
            "createdAt": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "notes": notes,
            "artifacts": [artifact],
        }
        self._put(tag, f"{NAME}.zip", code)
        self._put(tag, "release.json", json.dumps(manifest, indent=2).encode())

    def serves(self) -> tuple[str, dict[str, float]]:
        """The alias as it stands: its own version, and the weights of others."""
        alias = self.engine.client("lambda").get_alias(FunctionName=NAME, Name="live")
        return alias["FunctionVersion"], (alias.get("RoutingConfig") or {}).get(
            "AdditionalVersionWeights"
        ) or {}

    def _put(self, tag: str, file: str, body: bytes) -> None:
        self.engine.client("s3").put_object(
            Bucket=self.bucket,
            Key=f"releases/{NAME}/{tag}/{file}",
            Body=body,
            IfNoneMatch="*",
            ChecksumSHA256=b64encode(hashlib.sha256(body).digest()).decode(),
        )


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
