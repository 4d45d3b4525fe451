"""Target `lambda`: a function behind an alias. The candidate is a published version; traffic moves by the alias's weights.

Every change of the alias carries the fencing number in its description and AWS's own precondition (`RevisionId`), so that a
change made by hand is seen and not overwritten, and a late holder of the lock is refused by the alias itself.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from tagship.aws.calls import REFUSED_CREDENTIALS, calling, code_of
from tagship.aws.rights import Right, function_arn
from tagship.model.application import LambdaTarget
from tagship.model.errors import (
    BaselineMissing,
    CandidateNotReady,
    LockLost,
    NotStable,
    TargetInvalid,
    TargetMoved,
)
from tagship.model.records import Revision
from tagship.model.release import Artifact, PinnedObject
from tagship.targets.kind import Change

_ARTIFACT = "function"
_FENCE = re.compile(r"\bfence (\d+)\b")
_REFUSED = REFUSED_CREDENTIALS


def rights(target: LambdaTarget, *, objects: Iterable[str]) -> tuple[Right, ...]:
    """What this adapter asks of the application's role.

    `objects` are the ARNs of the code that may be uploaded; where there is none, nothing may be.
    """
    arn = function_arn(target, target.function)
    on, uploads = (arn, f"{arn}:*"), tuple(objects)
    may = [
        Right(name="LookAtTheFunction", actions=("lambda:GetFunctionConfiguration",), on=on),
        Right(
            name="MoveTheTraffic",
            # An application without the alias gets it with its first release, and loses it again if that is rolled back.
            actions=("lambda:GetAlias", "lambda:CreateAlias", "lambda:UpdateAlias", "lambda:DeleteAlias"),
            on=on,
        ),
    ]
    if uploads:
        may += [
            Right(
                name="PrepareTheCandidate",
                actions=("lambda:UpdateFunctionCode", "lambda:PublishVersion"),
                on=on,
            ),
            Right(name="ReadThePinnedCode", actions=("s3:GetObjectVersion",), on=uploads),
        ]
    return tuple(may)


@dataclass(frozen=True, slots=True, kw_only=True)
class LambdaFunction:
    """One alias of one function, for one release."""

    application: str
    tag: str
    target: LambdaTarget
    client: Any

    def plan(self, artifacts: Mapping[str, tuple[Artifact, PinnedObject]]) -> Change:
        """Uploads the code and publishes a version, unless production runs the same bytes."""
        artifact, pinned = self._uploaded(artifacts)
        wanted = base64.b64encode(bytes.fromhex(artifact.sha256)).decode()
        alias = self._alias()
        baseline = self._baseline(alias)
        if baseline and baseline["codeSha256"] == wanted:
            return Change(
                baseline=baseline,
                candidate=baseline,
                nothingToChange=True,
                summary=[
                    f"Nothing to change: {self._name} runs this very code already, as version {baseline['version']}."
                ],
            )
        version = self._published(wanted, pinned)
        return Change(
            baseline=baseline,
            candidate={"version": version, "codeSha256": wanted, "of": self._of},
            nothingToChange=False,
            summary=self._summary(baseline, version, wanted, artifact),
        )

    def ready(self, recorded: Revision | None) -> tuple[str, str]:
        """Looks at the function and its alias; a failed update is a warning, since the next one may mend it."""
        latest = self._configuration("$LATEST")
        expected, found = function_arn(self.target, self.target.function), latest["FunctionArn"]
        if str(found).removesuffix(":$LATEST") != expected:
            raise TargetInvalid(f"{self._release}: AWS found {found} where {expected} was asked for.")
        if latest.get("State") == "Failed":
            raise TargetInvalid(
                f"{self._release}: the function {self.target.function} is in the state Failed: "
                f"{_reason(latest, 'StateReason')}"
            )
        if latest.get("State") == "Pending" or latest.get("LastUpdateStatus") == "InProgress":
            raise CandidateNotReady(
                f"{self._release}: {self.target.function} is being changed by somebody else just now. Publish again when it "
                "is done."
            )
        warning = ""
        if latest.get("LastUpdateStatus") == "Failed":
            warning = f"The last update of {self.target.function} failed: {_reason(latest, 'LastUpdateStatusReason')}"
        return self._undrifted(recorded), warning

    def _undrifted(self, recorded: Revision | None) -> str:
        alias = self._alias()
        self._one_version(alias)
        if recorded is None or not self._is_ours(recorded):
            return f"{self.target.function} can be changed."
        if alias is None:
            raise TargetMoved(
                f"{self._release}: {self._name} is gone, and by the ledger production runs version {recorded['version']}. "
                f"Tagship did not touch it. Make it again: {self._by_hand(recorded, make=True)}"
            )
        if alias["FunctionVersion"] != recorded["version"]:
            raise TargetMoved(
                f"{self._release}: {self._name} points at {_told(alias)}, and by the ledger production runs version "
                f"{recorded['version']}: somebody else moved it. Tagship did not overwrite it. Put it back, then publish a "
                f"new tag: {self._by_hand(recorded)}"
            )
        return f"{self.target.function} can be changed, and {self._name} is where the last release left it."

    def rehearse(self, artifacts: Mapping[str, tuple[Artifact, PinnedObject]]) -> str:
        """Lambda's own dry run of the upload: it validates the request, and that the role may read the code."""
        _, pinned = self._uploaded(artifacts)
        with self._uploading():
            self.client.update_function_code(**self._upload_of(pinned), DryRun=True)
        return "The upload was rehearsed."

    def restorable(self, recorded: Revision | None) -> str | None:
        """The version that serves exists, can be invoked, and has the code that was recorded."""
        alias = self._alias()
        self._one_version(alias)
        if alias is None:
            return None
        version = str(alias["FunctionVersion"])
        found = self._configuration(version, missing=BaselineMissing)
        if found.get("State") == "Failed":
            raise BaselineMissing(
                f"{self._release}: version {version} of {self.target.function}, which serves, is in the state Failed: "
                f"{_reason(found, 'StateReason')}"
            )
        if (
            recorded
            and self._is_ours(recorded)
            and recorded["version"] == version
            and recorded["codeSha256"] != found["CodeSha256"]
        ):
            raise BaselineMissing(
                f"{self._release}: version {version} of {self.target.function} has other code than the ledger recorded: the "
                "function was made anew."
            )
        return f"version {version} of {self.target.function} (code {_short(found['CodeSha256'])})"

    def unmoved(
        self, *, baseline: Revision | None, candidate: Revision, percent: int, expected: str, fence: int
    ) -> None:
        """Looks at the alias, and at the candidate's code."""
        self._as_expected(self._alias(), _weights(baseline, candidate, percent), expected, fence)
        if self._configuration(candidate["version"])["CodeSha256"] != candidate["codeSha256"]:
            raise TargetMoved(
                f"{self._release}: version {candidate['version']} of {self.target.function} has other code than was planned."
            )

    def shift(
        self, *, baseline: Revision | None, candidate: Revision, percent: int, expected: str, fence: int
    ) -> str:
        """One write of the alias, refused by AWS if the alias is not the one that was looked at."""
        alias = self._alias()
        wanted = _weights(baseline, candidate, percent)
        if self._as_expected(alias, wanted, expected, fence):
            assert alias is not None  # it stands as wanted
            return str(alias["RevisionId"])
        return self._write(alias, wanted, fence)

    def _as_expected(
        self, alias: dict[str, Any] | None, wanted: tuple[str, dict[str, float]], expected: str, fence: int
    ) -> bool:
        """Whether an earlier try has done it already."""
        if alias is None:
            if expected:
                raise TargetMoved(
                    f"{self._release}: {self._name} is gone since the plan was made. Tagship did not touch it."
                )
            return False
        if _standing(alias) == wanted and _fence(alias) == fence:
            return True
        self._refuse_older(alias, fence)
        if alias["RevisionId"] != expected:
            raise TargetMoved(self._moved(alias))
        return False

    def settled(self, *, baseline: Revision | None, candidate: Revision, percent: int) -> None:
        """The candidate can be invoked, and the alias reads as it was written."""
        serving = _weights(baseline, candidate, percent)
        version = max(serving[1], default=serving[0])  # the one that traffic moved to
        configuration = self._configuration(version)
        if configuration.get("State") == "Failed":
            raise TargetInvalid(
                f"{self._release}: version {version} of {self.target.function} failed to become active: "
                f"{_reason(configuration, 'StateReason')}"
            )
        if configuration.get("State") == "Pending":
            raise NotStable(f"{self._release}: version {version} of {self.target.function} is pending.")
        alias = self._alias()
        if alias is None or _standing(alias) != serving:
            raise NotStable(f"{self._release}: {self._name} does not read as it was written: {_told(alias)}.")

    def held(self, revision: Revision) -> None:
        """The version exists, and has the code that was recorded."""
        version = revision["version"]
        found = self._configuration(version, missing=BaselineMissing)
        if found["CodeSha256"] != revision["codeSha256"]:
            raise BaselineMissing(
                f"{self._release}: version {version} of {self.target.function} has other code than was recorded."
            )

    def restore(
        self,
        *,
        baseline: Revision | None,
        candidate: Revision | None,
        fence: int,
        replaced: Revision | None = None,
    ) -> str:
        """All traffic to the baseline in one write; where nothing served before the release, the alias goes again.

        An alias that stands as wanted is written too, unless this very number did it: what the release may still be about to
        do is refused by the new `RevisionId`.
        """
        alias = self._alias()
        ours = {revision["version"] for revision in (baseline, candidate, replaced) if revision}
        if alias is not None:
            self._refuse_older(alias, fence)
            version, weights = _standing(alias)
            if not {version, *weights} <= ours:
                raise TargetMoved(
                    f"{self._moved(alias)} To restore the baseline by hand: {self._by_hand(baseline)}"
                )
        if baseline is None:
            if alias is not None:
                with calling(f"Deleting {self._name}", **_REFUSED):
                    self.client.delete_alias(FunctionName=self.target.function, Name=self.target.alias)
            return f"{self._name} is gone again: nothing served before this release."
        wanted: tuple[str, dict[str, float]] = (baseline["version"], {})
        stood = alias is not None and _standing(alias) == wanted
        if alias is None or not stood or _fence(alias) != fence:
            try:
                self._write(alias, wanted, fence)
            except TargetMoved as error:  # written by another between our look and our write: look again
                raise NotStable(str(error)) from error
            if (read_back := self._alias()) is None or _standing(read_back) != wanted:
                raise NotStable(
                    f"{self._release}: {self._name} does not read as restored: {_told(read_back)}."
                )
        return (
            f"{self._name} gave all traffic to version {baseline['version']} already."
            if stood
            else f"{self._name} gives all traffic to version {baseline['version']} again."
        )

    # ---- the alias -------------------------------------------------------------------------------------------------

    def _alias(self) -> dict[str, Any] | None:
        try:
            with calling(f"{self._release}: looking at {self._name}", **_REFUSED):
                alias: dict[str, Any] = self.client.get_alias(
                    FunctionName=self.target.function, Name=self.target.alias
                )
                return alias
        except ClientError as error:
            if code_of(error) == "ResourceNotFoundException":
                return None
            raise

    def _write(self, alias: dict[str, Any] | None, wanted: tuple[str, dict[str, float]], fence: int) -> str:
        version, weights = wanted
        request = {
            "FunctionName": self.target.function,
            "Name": self.target.alias,
            "FunctionVersion": version,
            # far below Lambda's 256 characters, whatever the names: the number is never cut off
            "Description": f"tagship {self.application} {self.tag}, fence {fence}",
            "RoutingConfig": {"AdditionalVersionWeights": weights},
        }
        with calling(
            f"{self._release}: moving {self._name}",
            PreconditionFailedException=TargetMoved,
            ResourceConflictException=TargetMoved,
            ResourceNotFoundException=BaselineMissing,
            **_REFUSED,
        ):
            if alias is None:
                return str(self.client.create_alias(**request)["RevisionId"])
            return str(self.client.update_alias(**request, RevisionId=alias["RevisionId"])["RevisionId"])

    def _refuse_older(self, alias: dict[str, Any], fence: int) -> None:
        if _fence(alias) > fence:
            raise LockLost(
                f"{self._release}: {self._name} was changed under the newer fencing number {_fence(alias)}; "
                f"{fence} may change nothing any more."
            )

    # ---- plan ------------------------------------------------------------------------------------------------------

    def _baseline(self, alias: dict[str, Any] | None) -> Revision | None:
        self._one_version(alias)
        if alias is None:
            return None
        version = str(alias["FunctionVersion"])
        configuration = self._configuration(version)
        return {
            "version": version,
            "codeSha256": configuration["CodeSha256"],
            "of": self._of,
            "state": alias["RevisionId"],
        }

    def _is_ours(self, recorded: Revision) -> bool:
        """Whether what was recorded was of this alias: an application may have been given another function since."""
        return bool(recorded.get("of", self._of) == self._of)

    @property
    def _of(self) -> str:
        return f"{function_arn(self.target, self.target.function)}:{self.target.alias}"

    def _one_version(self, alias: dict[str, Any] | None) -> None:
        """Raises TargetInvalid where traffic is split, or goes to what is not a version."""
        if alias is None:
            return
        version, weights = _standing(alias)
        if weights or version == "$LATEST":
            raise TargetInvalid(
                f"{self._release}: {self._name} points at {_told(alias)}. Give all its traffic to one published version "
                f"first: {self._by_hand({'version': '<version>'})}. Nothing was changed."
            )

    def _configuration(
        self, version: str, *, missing: type[TargetInvalid | BaselineMissing] = TargetInvalid
    ) -> dict[str, Any]:
        with calling(
            f"{self._release}: looking at version {version} of {self.target.function}",
            **{**_REFUSED, "ResourceNotFoundException": missing},
        ):
            configuration: dict[str, Any] = self.client.get_function_configuration(
                FunctionName=self.target.function, Qualifier=version
            )
            return configuration

    def _published(self, wanted: str, pinned: PinnedObject) -> str:
        latest = self._configuration("$LATEST")
        if latest["CodeSha256"] != wanted and latest.get("LastUpdateStatus") != "InProgress":
            with self._uploading():
                latest = self.client.update_function_code(
                    **self._upload_of(pinned), RevisionId=latest["RevisionId"]
                )
        if latest.get("LastUpdateStatus") == "InProgress":
            raise CandidateNotReady(f"{self._release}: {self.target.function} is still taking the code.")
        if latest.get("LastUpdateStatus") == "Failed":
            raise TargetInvalid(
                f"{self._release}: {self.target.function} did not take the code: "
                f"{_reason(latest, 'LastUpdateStatusReason')}. No traffic was moved."
            )
        with calling(
            f"{self._release}: publishing a version of {self.target.function}",
            InvalidParameterValueException=CandidateNotReady,
            ResourceConflictException=CandidateNotReady,
            **_REFUSED,
        ):
            # CodeSha256 is a precondition: what is published is what the manifest names, or nothing.
            version = self.client.publish_version(
                FunctionName=self.target.function,
                CodeSha256=wanted,
                Description=f"tagship {self.application} {self.tag}",
            )
        return str(version["Version"])

    def _uploaded(
        self, artifacts: Mapping[str, tuple[Artifact, PinnedObject]]
    ) -> tuple[Artifact, PinnedObject]:
        if _ARTIFACT not in artifacts:
            raise TargetInvalid(
                f"{self._release}: a lambda target needs an artifact named {_ARTIFACT!r}; "
                f"the manifest has {', '.join(sorted(artifacts))}. Nothing was changed."
            )
        return artifacts[_ARTIFACT]

    def _uploading(self) -> AbstractContextManager[None]:
        return calling(
            f"{self._release}: uploading the code of {self.target.function}",
            PreconditionFailedException=CandidateNotReady,
            ResourceConflictException=CandidateNotReady,
            InvalidParameterValueException=TargetInvalid,
            CodeStorageExceededException=TargetInvalid,
            **_REFUSED,
        )

    def _upload_of(self, pinned: PinnedObject) -> dict[str, str]:
        return {
            "FunctionName": self.target.function,
            "S3Bucket": pinned.bucket,
            "S3Key": pinned.key,
            "S3ObjectVersion": pinned.versionId,
        }

    def _summary(self, baseline: Revision | None, version: str, wanted: str, artifact: Artifact) -> list[str]:
        size = (
            f"{artifact.size / 1_048_576:.1f} MiB" if artifact.size >= 1_048_576 else f"{artifact.size} bytes"
        )
        if baseline is None:
            return [
                f"{self._name} does not exist yet; it will be made and give all traffic to version {version} ({size}).",
                "Nothing serves now: a rollback would remove the alias again.",
            ]
        return [
            f"{self._name}: version {baseline['version']} → version {version}",
            f"Code: {_short(baseline['codeSha256'])} → {_short(wanted)} ({size})",
        ]

    # ---- words -----------------------------------------------------------------------------------------------------

    @property
    def _release(self) -> str:
        return f"{self.application} {self.tag}"

    @property
    def _name(self) -> str:
        return f"the alias {self.target.alias} of {self.target.function}"

    def _moved(self, alias: dict[str, Any]) -> str:
        return (
            f"{self._release}: {self._name} was changed by somebody else since the plan was made: it points at "
            f"{_told(alias)}. Tagship did not overwrite it."
        )

    def _by_hand(self, baseline: Revision | None, *, make: bool = False) -> str:
        where = (
            f"--function-name {self.target.function} --name {self.target.alias} --region {self.target.region}"
        )
        if baseline is None:
            return f"aws lambda delete-alias {where}"
        return (
            f"aws lambda {'create' if make else 'update'}-alias {where} --function-version {baseline['version']} "
            "--routing-config AdditionalVersionWeights={}"
        )


def _standing(alias: Mapping[str, Any]) -> tuple[str, dict[str, float]]:
    weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    return str(alias["FunctionVersion"]), {str(version): float(weight) for version, weight in weights.items()}


def _weights(baseline: Revision | None, candidate: Revision, percent: int) -> tuple[str, dict[str, float]]:
    if baseline is None or percent == 100:
        return candidate["version"], {}
    if percent == 0:
        return baseline["version"], {}
    return baseline["version"], {candidate["version"]: percent / 100}


def _fence(alias: Mapping[str, Any]) -> int:
    match = _FENCE.search(alias.get("Description") or "")
    return int(match[1]) if match else 0


def _told(alias: Mapping[str, Any] | None) -> str:
    if alias is None:
        return "nothing"
    version, weights = _standing(alias)
    shares = "".join(f", {round(weight * 100)} % to version {other}" for other, weight in weights.items())
    return f"version {version}{shares}"


def _reason(configuration: Mapping[str, Any], name: str) -> str:
    return str(configuration.get(name) or "no reason given")


def _short(digest: str) -> str:
    return base64.b64decode(digest).hex()[:12]
