"""A Lambda function as AWS keeps one: versions, weighted aliases, revisions as preconditions, updates that take time."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from botocore.exceptions import ClientError

from tagship.model.release import Artifact, PinnedObject
from tagship.targets.kind import Target
from tagship.targets.lambda_alias import KIND, LambdaTarget
from tests.unit.builders import application, sha256
from tests.unit.tables import aws_error

BUCKET, KEY = "releases", "releases/storefront/v1.4.0/storefront.zip"
CONFIGURATION: dict[str, Any] = {
    "Role": "arn:aws:iam::000000000000:role/storefront",
    "Handler": "index.handler",
    "Runtime": "python3.13",
    "MemorySize": 256,
    "Timeout": 10,
    "Architectures": ["x86_64"],
    "Environment": {"Variables": {"TABLE": "orders", "TOKEN": "s3cr3t"}},
}
OLD, NEW, FOREIGN = b"code of v1.3.0", b"code of v1.4.0", b"code by hand"


_PUBLISHED = (
    "CodeSha256",
    "Layers",
    "DeadLetterConfig",
    "SnapStart",
    "VpcConfig",
    "KMSKeyArn",
    *CONFIGURATION,
)


def digest(code: bytes) -> str:
    """As Lambda writes it."""
    return base64.b64encode(hashlib.sha256(code).digest()).decode()


@dataclass
class FakeLambda:
    """One function, `storefront`, whose version 1 is the old code and serves behind the alias `live`."""

    name: str = "storefront"
    uploads: dict[tuple[str, str, str], bytes] = field(default_factory=lambda: {(BUCKET, KEY, "7"): NEW})
    """The objects in S3, by bucket, key and version."""
    versions: dict[str, dict[str, Any]] = field(default_factory=dict)
    aliases: dict[str, dict[str, Any]] = field(default_factory=dict)
    takes: str = "Successful"
    """The status of a code update: `Successful`, `InProgress` until it is changed, or `Failed`."""
    becomes: str = "Active"
    """The state of a version when it is published."""
    provisioned: bool = False
    """Whether the alias has provisioned concurrency."""
    provisioned_versions: list[str] = field(default_factory=list)
    """Versions that have provisioned concurrency of their own."""
    permitted: dict[str, list[str]] = field(default_factory=dict)
    """Whom the policy lets in, by qualifier; the unqualified function is empty text."""
    triggers: dict[str, list[str]] = field(default_factory=dict)
    """The sources of its event source mappings, by qualifier."""
    addresses: dict[str, str] = field(default_factory=dict)
    """Its function URLs, by qualifier."""
    code_used: int = 0
    """Bytes of the account's storage for code that are used."""
    code_quota: int = 75 * 1024**3
    """Bytes of the account's storage for code."""
    calls: list[str] = field(default_factory=list)
    before: dict[str, Callable[[], object]] = field(default_factory=dict)
    """Actions of others right before an operation, once."""
    refuses: dict[str, ClientError] = field(default_factory=dict)
    revisions: Any = field(default_factory=lambda: (f"revision {number}" for number in itertools.count(1)))

    def __post_init__(self) -> None:
        self.latest = {
            "FunctionArn": self._arn("$LATEST"),
            "CodeSha256": digest(OLD),
            "RevisionId": next(self.revisions),
            "LastUpdateStatus": "Successful",
            **CONFIGURATION,
        }
        self.publish()
        self.point("1")

    # ---- what people do ----------------------------------------------------------------------------------------------

    def publish(self) -> str:
        """A version of the code as it is."""
        newest = max(self.versions, key=int, default="")
        if newest and all(self.versions[newest].get(name) == self.latest.get(name) for name in _PUBLISHED):
            return newest  # AWS makes no second version of what has not changed
        version = str(len(self.versions) + 1)
        self.versions[version] = {
            **{name: self.latest[name] for name in _PUBLISHED if name in self.latest},
            "Version": version,
            "State": self.becomes,
            "StateReason": "its init failed" if self.becomes == "Failed" else "",
        }
        return version

    def point(self, version: str, *, weights: dict[str, float] | None = None, description: str = "") -> None:
        """The alias is written by hand."""
        self.aliases["live"] = self._alias(version, weights or {}, description)

    def by_hand(self) -> str:
        """Somebody publishes other code, which no release knows."""
        self.latest |= {"CodeSha256": digest(FOREIGN), "RevisionId": next(self.revisions)}
        return self.publish()

    @property
    def serving(self) -> tuple[str, dict[str, float]] | None:
        """The alias's routing; None if there is no alias."""
        alias = self.aliases.get("live")
        return (
            (alias["FunctionVersion"], alias["RoutingConfig"]["AdditionalVersionWeights"]) if alias else None
        )

    @property
    def writes(self) -> list[str]:
        """Writes to the function, without reads and without keeping the baseline."""
        return [call for call in self.calls if not call.startswith("get_")]

    # ---- the API -----------------------------------------------------------------------------------------------------

    def get_alias(self, *, FunctionName: str, Name: str) -> dict[str, Any]:
        self._called("get_alias", FunctionName)
        if Name not in self.aliases:
            raise aws_error("ResourceNotFoundException", status=404, message=f"Cannot find alias {Name}")
        return dict(self.aliases[Name])

    def get_function_configuration(self, *, FunctionName: str, Qualifier: str) -> dict[str, Any]:
        self._called("get_function_configuration", FunctionName)
        if Qualifier == "$LATEST":
            return dict(self.latest)
        return dict(self._version(Qualifier))

    def update_function_code(
        self,
        *,
        FunctionName: str,
        S3Bucket: str,
        S3Key: str,
        S3ObjectVersion: str,
        RevisionId: str | None = None,
        DryRun: bool = False,
        Publish: bool = False,
    ) -> dict[str, Any]:
        self._called("get_ready (a dry run)" if DryRun else "update_function_code", FunctionName)
        if RevisionId is not None:
            self._precondition(RevisionId, self.latest)
        if (S3Bucket, S3Key, S3ObjectVersion) not in self.uploads:
            raise aws_error("InvalidParameterValueException", message="S3 Error Code: NoSuchVersion")
        if DryRun:
            return self.latest | {"CodeSha256": digest(self.uploads[S3Bucket, S3Key, S3ObjectVersion])}
        self.latest |= {
            "CodeSha256": digest(self.uploads[S3Bucket, S3Key, S3ObjectVersion]),
            "RevisionId": next(self.revisions),
            "LastUpdateStatus": self.takes,
            "LastUpdateStatusReason": "the layer is gone" if self.takes == "Failed" else "",
        }
        if Publish and self.takes == "Successful":
            return dict(self.versions[self.publish()])
        return dict(self.latest)

    def get_provisioned_concurrency_config(self, *, FunctionName: str, Qualifier: str) -> dict[str, Any]:
        self._called("get_provisioned_concurrency_config", FunctionName)
        if not self.provisioned:
            raise aws_error("ProvisionedConcurrencyConfigNotFoundException", status=404)
        return {"RequestedProvisionedConcurrentExecutions": 1}

    def get_account_settings(self) -> dict[str, Any]:
        self._called("get_account_settings", self.name)
        return {
            "AccountLimit": {"TotalCodeSize": self.code_quota},
            "AccountUsage": {"TotalCodeSize": self.code_used},
        }

    def get_policy(self, *, FunctionName: str, Qualifier: str = "") -> dict[str, Any]:
        self._called("get_policy", FunctionName)
        if Qualifier not in self.permitted:
            raise aws_error("ResourceNotFoundException", status=404)
        statements = [
            {
                "Sid": "{odd}",
                "Effect": "Allow",
                "Principal": {"Service": who},
                "Action": "lambda:InvokeFunction",
                "Resource": self._arn(Qualifier),
            }
            for who in self.permitted[Qualifier]
        ]
        return {"Policy": json.dumps({"Statement": statements})}

    def get_function_url_config(self, *, FunctionName: str, Qualifier: str = "") -> dict[str, Any]:
        self._called("get_function_url_config", FunctionName)
        if Qualifier not in self.addresses:
            raise aws_error("ResourceNotFoundException", status=404)
        return {"FunctionUrl": self.addresses[Qualifier], "AuthType": "AWS_IAM"}

    def list_event_source_mappings(self, *, FunctionName: str = "", **more: str) -> dict[str, Any]:
        """By a name, only what is mapped to exactly that; without one, everything. One mapping a page."""
        name, _, wanted = FunctionName.partition(":")
        self._called("get_event_source_mappings", name or self.name)
        found = [
            {
                "FunctionArn": self._arn(qualifier),
                "EventSourceArn": source,
                "UUID": f"uuid-of-{source.rpartition(':')[2]}",
            }
            for qualifier, sources in self.triggers.items()
            for source in sources
            if not FunctionName or qualifier == wanted
        ]
        at = int(more.get("Marker", 0))
        return {"EventSourceMappings": found[at : at + 1]} | (
            {"NextMarker": str(at + 1)} if at + 1 < len(found) else {}
        )

    def publish_version(self, *, FunctionName: str, CodeSha256: str, Description: str) -> dict[str, Any]:
        self._called("publish_version", FunctionName)
        if self.latest["LastUpdateStatus"] == "InProgress":
            raise aws_error("ResourceConflictException", status=409, message="An update is in progress")
        if CodeSha256 != self.latest["CodeSha256"]:
            raise aws_error("InvalidParameterValueException", message="CodeSha256 does not match")
        known = set(self.versions)
        version = self.publish()
        if version not in known:
            self.versions[version]["Description"] = Description
        return dict(self.versions[version])

    def create_alias(
        self,
        *,
        FunctionName: str,
        Name: str,
        FunctionVersion: str,
        Description: str,
        RoutingConfig: dict[str, Any],
    ) -> dict[str, Any]:
        self._called("create_alias", FunctionName, holds=Name != "live")
        if Name in self.aliases:
            raise aws_error("ResourceConflictException", status=409, message=f"Alias already exists: {Name}")
        return self._put(Name, FunctionVersion, Description, RoutingConfig)

    def update_alias(
        self,
        *,
        FunctionName: str,
        Name: str,
        FunctionVersion: str,
        Description: str,
        RoutingConfig: dict[str, Any],
        RevisionId: str | None = None,
    ) -> dict[str, Any]:
        self._called("update_alias", FunctionName, holds=Name != "live")
        if Name not in self.aliases:
            raise aws_error("ResourceNotFoundException", status=404, message=f"Cannot find alias {Name}")
        if RevisionId is not None:
            self._precondition(RevisionId, self.aliases[Name])
        return self._put(Name, FunctionVersion, Description, RoutingConfig)

    def delete_alias(self, *, FunctionName: str, Name: str) -> None:
        self._called("delete_alias", FunctionName)
        self.aliases.pop(Name, None)

    def list_versions_by_function(self, *, FunctionName: str, Marker: str = "") -> dict[str, Any]:
        self._called("get_versions", FunctionName)
        latest = [] if Marker else [{**self.latest, "Version": "$LATEST"}]
        ordered = sorted(self.versions, key=int)
        page = [number for number in ordered if int(number) > int(Marker or 0)][:3]
        more = {"NextMarker": page[-1]} if page and page[-1] != ordered[-1] else {}
        return {"Versions": [*latest, *({**self.versions[it], "CodeSize": 1_048_576} for it in page)], **more}

    def list_aliases(self, *, FunctionName: str) -> dict[str, Any]:
        self._called("get_aliases", FunctionName)
        return {"Aliases": [{"Name": name, **alias} for name, alias in self.aliases.items()]}

    def list_provisioned_concurrency_configs(self, *, FunctionName: str) -> dict[str, Any]:
        self._called("get_provisioned_concurrency_configs", FunctionName)
        return {
            "ProvisionedConcurrencyConfigs": [
                {"FunctionArn": self._arn(version)} for version in self.provisioned_versions
            ]
        }

    def delete_function(self, *, FunctionName: str, Qualifier: str) -> None:
        self._called("delete_function", FunctionName)
        for name, alias in self.aliases.items():
            if Qualifier in (alias["FunctionVersion"], *alias["RoutingConfig"]["AdditionalVersionWeights"]):
                raise aws_error(
                    "ResourceConflictException", status=409, message=f"referenced by alias {name}"
                )
        del self.versions[Qualifier]

    def _arn(self, qualifier: str) -> str:
        arn = f"arn:aws:lambda:us-east-1:000000000000:function:{self.name}"
        return f"{arn}:{qualifier}" if qualifier else arn

    def _called(self, operation: str, function: str, *, holds: bool = False) -> None:
        """`holds`: whether it concerns the alias that keeps the baseline, not the serving alias."""
        if function != self.name:
            raise aws_error(
                "ResourceNotFoundException", status=404, message=f"Function not found: {function}"
            )
        self.calls.append("get_held" if holds else operation)
        if operation in self.before and not holds:
            self.before.pop(operation)()
        if operation in self.refuses:
            raise self.refuses[operation]

    def _version(self, version: str) -> dict[str, Any]:
        if version not in self.versions:
            raise aws_error(
                "ResourceNotFoundException", status=404, message=f"Function not found: {self.name}:{version}"
            )
        return self.versions[version]

    def _precondition(self, revision: str, of: dict[str, Any]) -> None:
        if revision != of["RevisionId"]:
            raise aws_error(
                "PreconditionFailedException", status=412, message="The RevisionId provided does not match"
            )

    def _put(self, name: str, version: str, description: str, routing: dict[str, Any]) -> dict[str, Any]:
        weights = routing["AdditionalVersionWeights"]
        for each in (version, *weights):
            self._version(each)
        if len(weights) > 1 or version in weights or not all(0 <= weight <= 1 for weight in weights.values()):
            raise aws_error("InvalidParameterValueException", message="Invalid weights")
        if len(description) > 256 or not re.fullmatch(r"[^\n]*", description):
            raise aws_error("ValidationException", message="Invalid description")
        self.aliases[name] = self._alias(version, weights, description)
        return dict(self.aliases[name])

    def _alias(self, version: str, weights: dict[str, float], description: str) -> dict[str, Any]:
        return {
            "FunctionVersion": version,
            "RoutingConfig": {"AdditionalVersionWeights": dict(weights)},
            "Description": description,
            "RevisionId": next(self.revisions),
        }


@dataclass
class FakeFunctions:
    """Several functions behind one client: each call goes to the one that it names."""

    each: dict[str, FakeLambda]
    moves: list[str] = field(default_factory=list)
    """The functions whose alias `live` was written, in that order, refused writes too."""

    @classmethod
    def of(cls, *names: str) -> FakeFunctions:
        return cls({name: FakeLambda(name) for name in names})

    def __getitem__(self, name: str) -> FakeLambda:
        return self.each[name]

    def __getattr__(self, operation: str) -> Any:
        def asked(**request: Any) -> Any:
            name = request.get("FunctionName", next(iter(self.each))).partition(":")[0]
            if operation in ("create_alias", "update_alias", "delete_alias") and request["Name"] == "live":
                self.moves.append(name)
            return getattr(self.each[name], operation)(**request)

        return asked

    def list_event_source_mappings(self, *, FunctionName: str = "", **more: str) -> dict[str, Any]:
        """Without a name, those of every function, on one page."""
        if FunctionName:
            named = self.each[FunctionName.partition(":")[0]]
            return named.list_event_source_mappings(FunctionName=FunctionName, **more)
        found: list[Any] = []
        for each in self.each.values():
            page: dict[str, Any] = {"NextMarker": "0"}
            while marker := page.get("NextMarker"):
                page = each.list_event_source_mappings(Marker=marker)
                found += page["EventSourceMappings"]
        return {"EventSourceMappings": found}


def target(
    client: Any,
    *,
    tag: str = "v1.4.0",
    spec: LambdaTarget | None = None,
    pause: Callable[[float], object] = lambda _: None,
    **changes: Any,
) -> Target:
    """The adapter, on this client; its pauses take no time."""
    configured = spec or LambdaTarget(**application()["target"] | changes)
    made: Any = KIND.make(
        application="storefront", tag=tag, spec=configured, client=lambda _service, **_: client
    )
    patient: Target = replace(made, pause=pause)
    return patient


def artifacts(
    code: bytes = NEW, *, name: str = "function", key: str = KEY
) -> dict[str, tuple[Artifact, PinnedObject]]:
    """A release's artifacts."""
    artifact = Artifact(name=name, file="storefront.zip", sha256=sha256(code), size=len(code))
    return {name: (artifact, PinnedObject(bucket=BUCKET, key=key, versionId="7", size=len(code)))}
