"""One function of target `lambda`. The candidate is a published version; traffic moves by the alias's weights.

`lambda_functions.py` moves one or several of them together; the protocols document what each method raises.

Every change of the alias has the fencing number in its description and AWS's own precondition (`RevisionId`). So a
manual change is detected and not overwritten, and the alias itself refuses a late holder of the lock.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import ClientError

from tagship.aws.calls import REFUSED_CREDENTIALS, calling, code_of
from tagship.aws.rights import function_arn
from tagship.model.errors import (
    AwsUnavailable,
    BaselineMissing,
    CandidateNotReady,
    LockLost,
    NotStable,
    PlanChanged,
    TargetInvalid,
    TargetMoved,
)
from tagship.model.records import Revision
from tagship.model.release import Artifact, PinnedObject
from tagship.targets.archive import shown
from tagship.targets.kind import (
    Artifacts,
    Change,
    Finding,
    Made,
    Move,
    Opened,
    about_to_publish,
    brought,
)
from tagship.targets.lambda_alias import LambdaTarget
from tagship.targets.lambda_callers import callers, callers_past_aliases, in_words
from tagship.targets.lambda_configuration import differences, digest_of
from tagship.targets.lambda_keeping import hold
from tagship.targets.lambda_parts import OF
from tagship.text.words import size

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import AliasConfigurationResponseTypeDef as Alias
    from mypy_boto3_lambda.type_defs import CreateAliasRequestTypeDef, UpdateFunctionCodeRequestTypeDef
    from mypy_boto3_lambda.type_defs import FunctionConfigurationResponseTypeDef as Configuration

_FENCE = re.compile(r"\bfence (\d+)\b")
_REFUSED = REFUSED_CREDENTIALS
_AT_ONCE = 3
"""Reads of the function that are made at the same time."""
_FIRST_SECONDS, _PACE_SECONDS = 1, 2
"""Seconds between two checks of a target that has not settled: after an upload, which is fast, and after any other
change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LambdaFunction:
    """One alias of one function, for one release. Revisions are of this function alone."""

    application: str
    tag: str
    spec: LambdaTarget
    artifact: str
    """The name of the artifact with its code."""
    client: LambdaClient

    # ---- before approval -------------------------------------------------------------------------------------------

    def check(self, current: Revision | None) -> Finding:
        """Checks the function and its alias. A failed update is a warning, because the next one may fix it."""
        expected, version = function_arn(self.spec, self.spec.function), current["id"] if current else None
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            latest = pool.submit(self._configuration, "$LATEST")
            alias = pool.submit(self._alias)
            past = pool.submit(
                callers_past_aliases, self.client, arn=expected, current=version, about=self._release
            )
            warnings = self._changeable(latest.result(), expected)
            said = self._undrifted(alias.result(), current)
            bypassing, fixed = past.result()
        if bypassing:
            warnings.append(
                f"Some callers bypass the alias and call {self.spec.function} directly: {in_words(bypassing)}. "
                "They get a new release at once, before its health is checked, and a rollback does not reach "
                f"them. Point them at the alias {self.spec.alias}."
            )
        if fixed:
            warnings.append(
                f"Some callers call a version of {self.spec.function} itself: {in_words(fixed)}. Neither releases nor "
                f"rollbacks reach them. Point them at the alias {self.spec.alias}."
            )
        where = (self.spec.function, self.spec.alias, self.spec.region)
        remedies = [f"{each.said}: {each.moved_to(*where)}" for each in (*bypassing, *fixed)]
        return Finding(said=said, warning=" ".join(warnings), remedies=remedies)

    def _changeable(self, latest: Configuration, expected: str) -> list[str]:
        """Warnings about the function itself. Raises TargetInvalid, CandidateNotReady."""
        found = latest["FunctionArn"]
        if str(found).removesuffix(":$LATEST") != expected:
            raise TargetInvalid(f"{self._release}: AWS returned {found} instead of {expected}.")
        if latest.get("State") == "Failed":
            raise TargetInvalid(
                f"{self._release}: function {self.spec.function} is in state Failed: "
                f"{_reason(latest, 'StateReason')}"
            )
        if latest.get("State") == "Pending" or latest.get("LastUpdateStatus") == "InProgress":
            raise CandidateNotReady(
                f"{self._release}: {self.spec.function} is being changed by someone else. Retry the release "
                "when that change is done."
            )
        if latest.get("LastUpdateStatus") != "Failed":
            return []
        return [
            f"The last update of {self.spec.function} failed: {_reason(latest, 'LastUpdateStatusReason')}."
        ]

    def _undrifted(self, alias: Alias | None, recorded: Revision | None) -> str:
        self._one_version(alias)
        if recorded is None:
            return f"{self.spec.function} can be changed."
        if alias is None:
            raise TargetMoved(
                f"{self._release}: {self.name} does not exist, but according to the ledger it serves "
                f"version {recorded['id']}. Tagship changed nothing. Create the alias again: "
                f"{self._by_hand(recorded['id'], make=True)}"
            )
        if alias["FunctionVersion"] != recorded["id"]:
            raise TargetMoved(
                f"{self._release}: {self.name} points at {_described(alias)}, but according to the ledger "
                f"version {recorded['id']} is deployed: someone else moved the alias. Tagship did not "
                f"overwrite it. To restore version {recorded['id']}: {self._by_hand(recorded['id'])}"
            )
        return f"{self.spec.function} can be changed, and {self.name} has not changed since the last release."

    def dry_run(self, artifacts: Artifacts) -> int:
        """Lambda's own dry run of the upload: it validates the request, and that the role may read the code.

        Returns the code's size in bytes, because Lambda's dry run does not check the storage quota.
        """
        artifact, pinned = self._uploaded(artifacts)
        with self._uploading():
            self.client.update_function_code(**self._upload_of(pinned) | {"DryRun": True})
        return artifact.size

    def look_into(self, artifacts: Artifacts, opened: Opened) -> tuple[str, Sequence[str]]:
        """Checks the package for the function's current handler and runtime."""
        from tagship.targets import lambda_package  # only one gate uses it

        artifact, pinned = self._uploaded(artifacts)
        if pinned.size > lambda_package.MOST_UNZIPPED:
            return "", [f"{artifact.file} is larger than Lambda's limit for unzipped code. Remove files."]
        latest = self._configuration("$LATEST")
        if latest.get("PackageType", "Zip") != "Zip":
            return f"{self.spec.function} is a container image, which this gate does not inspect.", []
        handler, runtime = latest["Handler"], latest["Runtime"]
        layers = [layer["CodeSize"] for layer in latest.get("Layers") or ()]
        with opened(pinned) as file:
            found = lambda_package.look_into(file, handler=handler, runtime=runtime, layers=layers)
        files = "1 file" if found.files == 1 else f"{found.files} files"
        said = f"{artifact.file} has {files}, {size(found.unzipped)} unzipped, and handler {handler}."
        if found.ambiguous:
            said += (
                f" It contains {shown(found.ambiguous)} more than once, with different contents: AWS does not document "
                "which one Lambda keeps."
            )
        return said, [f"{artifact.file}: {problem}" for problem in found.problems]

    def restorable(self, current: Revision | None) -> Finding | None:
        """Checks that the current version exists, can be invoked, and has the recorded code."""
        alias = self._alias()
        self._one_version(alias)
        if alias is None:
            return None
        version = str(alias["FunctionVersion"])
        found = self._configuration(version, missing=BaselineMissing)
        if found.get("State") == "Failed":
            raise BaselineMissing(
                f"{self._release}: version {version} of {self.spec.function}, which is serving traffic, is in "
                f"state Failed: {_reason(found, 'StateReason')}"
            )
        if current and current["id"] == version and current["data"]["codeSha256"] != found["CodeSha256"]:
            raise BaselineMissing(
                f"{self._release}: version {version} of {self.spec.function} does not have the code that the "
                "ledger recorded: the function was recreated."
            )
        said = f"version {version} of {self.spec.function} (code {_short(found['CodeSha256'])})"
        asleep = found.get("State") == "Inactive"
        return Finding(said=said, warning=self._asleep(version, found) if asleep else "")

    def plan(self, artifacts: Artifacts, *, weighted: bool) -> Change:
        """Compares the current version with what would be published: the pinned code and `$LATEST`'s configuration."""
        artifact, _ = self._uploaded(artifacts)
        code = base64.b64encode(bytes.fromhex(artifact.sha256)).decode()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            reading = pool.submit(self._configuration, "$LATEST")
            provisioned = pool.submit(self._has_provisioned_concurrency) if weighted else None
            alias = self._alias()
            self._one_version(alias)
            serving = self._configuration(str(alias["FunctionVersion"])) if alias else None
            latest = self._readable(reading.result())
        candidate: Revision = {"id": "", "digest": digest_of(latest, code), "data": self._data(code)}
        if alias is None or serving is None:
            return Change(
                baseline=None,
                candidate=candidate,
                summary=[
                    (
                        f"{self.name} does not exist; it will be created and will send all traffic to the new "
                        f"version ({_size(artifact)})."
                    ),
                    "Nothing serves traffic now: a rollback would remove the alias again.",
                ],
            )
        self._readable(serving)
        baseline: Revision = {
            "id": str(alias["FunctionVersion"]),
            "digest": digest_of(serving, serving["CodeSha256"]),
            "etag": alias["RevisionId"],
            "data": self._data(serving["CodeSha256"]),
        }
        if baseline["digest"] == candidate["digest"]:
            return Change(
                baseline=baseline,
                candidate=baseline,
                nothingToChange=True,
                summary=[
                    (
                        f"Nothing to change: {self.name} already runs this code and configuration, as version "
                        f"{baseline['id']}."
                    )
                ],
            )
        if provisioned:
            self._refuse_weights(serving, latest, provisioned)
        changed = differences(serving, latest)
        if serving["CodeSha256"] != code:
            changed.append(f"Code: {_short(serving['CodeSha256'])} → {_short(code)} ({_size(artifact)})")
        else:
            changed.append("Code: unchanged; only the configuration changes.")
        return Change(
            baseline=baseline,
            candidate=candidate,
            summary=[f"{self.name}: version {baseline['id']} → a new version", *changed],
        )

    def _refuse_weights(
        self, serving: Configuration, latest: Configuration, provisioned: Future[bool]
    ) -> None:
        """Refuses what Lambda would refuse, or not complete, once both versions share the traffic (UpdateAlias,
        `RoutingConfig`)."""
        dead_letters = [(each.get("DeadLetterConfig") or {}).get("TargetArn") for each in (serving, latest)]
        differs = [
            what
            for what, same in (
                ("role", serving.get("Role") == latest.get("Role")),
                ("dead-letter queue", dead_letters[0] == dead_letters[1]),
            )
            if not same
        ]
        if differs:
            raise TargetInvalid(
                f"{self._release}: the {' and the '.join(differs)} of {self.spec.function} changed, and Lambda "
                "cannot split traffic between versions that differ in it. Nothing was changed. Use the "
                "strategy all-at-once for this release, or make that change in a separate release."
            )
        if provisioned.result():
            raise TargetInvalid(
                f"{self._release}: {self.name} has provisioned concurrency, and Lambda cannot split traffic "
                "on such an alias. Nothing was changed. Use the strategy all-at-once, or remove the "
                "provisioned concurrency."
            )

    def _has_provisioned_concurrency(self) -> bool:
        try:
            with calling(f"{self._release}: looking at the concurrency of {self.name}", **_REFUSED):
                self.client.get_provisioned_concurrency_config(
                    FunctionName=self.spec.function, Qualifier=self.spec.alias
                )
        except ClientError as error:
            if code_of(error) in (
                "ProvisionedConcurrencyConfigNotFoundException",
                "ResourceNotFoundException",
            ):
                return False
            raise
        return True

    # ---- the candidate ---------------------------------------------------------------------------------------------

    def as_approved(self, candidate: Revision) -> Configuration:
        """The configuration that the candidate has or will have. Raises PlanChanged if it is not the approved one."""
        if version := candidate["id"]:
            return self._as_approved(self._configuration(version), candidate, None, "was")
        code = candidate["data"]["codeSha256"]
        return self._as_approved(self._configuration("$LATEST"), candidate, code, "would be")

    def prepare(self, artifacts: Artifacts, candidate: Revision, made: Made, latest: Configuration) -> int:
        """Uploads and publishes, and compares the version with the approval. `latest` is the result of `as_approved`.

        Returns the seconds to wait before the next call; 0 once the version is active.
        """
        if candidate["id"]:
            return self._seconds_until_active(candidate["id"], latest, pace=_PACE_SECONDS)
        _, pinned = self._uploaded(artifacts)
        code = candidate["data"]["codeSha256"]
        if latest.get("LastUpdateStatus") == "InProgress":
            return _PACE_SECONDS
        if latest.get("LastUpdateStatus") == "Failed" and latest["CodeSha256"] == code:
            raise TargetInvalid(
                f"{self._release}: Lambda rejected the code of {self.spec.function}: "
                f"{_reason(latest, 'LastUpdateStatusReason')}. No traffic was moved."
            )
        made(about_to_publish(candidate))  # should this step die before it can record the version's number
        try:
            version = self._publish(latest, code, pinned)
            found = self._configuration(version, missing=CandidateNotReady)
        except CandidateNotReady:
            # Somebody, or a duplicate, changed it since it was read; or the version cannot be read yet, and publishing again
            # gives the same one.
            return _PACE_SECONDS
        made({**candidate, "id": version})
        published = self._as_approved(found, candidate, None, "is")
        pace = _FIRST_SECONDS if self.uploads(candidate, latest) else _PACE_SECONDS
        return self._seconds_until_active(version, published, pace=pace)

    @staticmethod
    def uploads(candidate: Revision, latest: Configuration) -> bool:
        """Whether making the candidate from this configuration uploads code."""
        return not candidate["id"] and latest["CodeSha256"] != candidate["data"]["codeSha256"]

    def look_again(self, made: Revision, pace: int) -> int:
        """0 once the version that was made is active, otherwise `pace`, the seconds to wait.

        Raises TargetInvalid if it never will be.
        """
        return self._seconds_until_active(made["id"], self._configuration(made["id"]), pace=pace)

    def _seconds_until_active(self, version: str, published: Configuration, *, pace: int) -> int:
        """0 once this version is active, otherwise `pace`. Raises TargetInvalid if it never will be."""
        if published.get("State") == "Failed":
            raise TargetInvalid(
                f"{self._release}: version {version} of {self.spec.function} did not become active: "
                f"{_reason(published, 'StateReason')}. No traffic was moved."
            )
        if (
            published.get("State") == "Inactive"
        ):  # an attempt some weeks ago made it, and AWS makes no second one
            raise TargetInvalid(
                f"{self._asleep(version, published)} Then retry the release. No traffic was moved."
            )
        return pace if published.get("State") == "Pending" else 0

    def _publish(self, latest: Configuration, code: str, pinned: PinnedObject) -> str:
        """Publishes, in one call with the upload if the code is new. AWS makes no second version of unchanged code and
        configuration."""
        if latest["CodeSha256"] != code:
            with self._uploading():
                made = self.client.update_function_code(
                    **self._upload_of(pinned) | {"RevisionId": latest["RevisionId"], "Publish": True}
                )
            if made["CodeSha256"] != code:
                raise PlanChanged(
                    f"{self._release}: the uploaded code is not the code that was approved. No traffic was "
                    "moved."
                )
            if str(made.get("Version", "$LATEST")) != "$LATEST":
                return str(made["Version"])
        with calling(
            f"{self._release}: publishing a version of {self.spec.function}",
            InvalidParameterValueException=CandidateNotReady,
            ResourceConflictException=CandidateNotReady,
            PreconditionFailedException=CandidateNotReady,
            **_REFUSED,
        ):
            # CodeSha256 is a precondition: only the code in the manifest can be published.
            version = self.client.publish_version(
                FunctionName=self.spec.function,
                CodeSha256=code,
                Description=f"tagship {self.application} {self.tag}",
            )
        return str(version["Version"])

    def _as_approved(
        self, found: Configuration, candidate: Revision, code: str | None, verb: str
    ) -> Configuration:
        """Raises PlanChanged if code or configuration differ from the approved candidate's."""
        if digest_of(self._readable(found), code or found["CodeSha256"]) != candidate["digest"]:
            raise PlanChanged(
                f"{self._release}: the version that {verb} published is not the one that was approved: the "
                f"configuration of {self.spec.function} changed after the plan was made. No traffic was moved. "
                "Publish a new tag to plan and approve it again."
            )
        return found

    # ---- traffic ---------------------------------------------------------------------------------------------------

    def verify_candidate(self, move: Move) -> None:
        """Checks the candidate: its version, or `$LATEST`'s configuration while there is no version."""
        version = move.candidate["id"]
        if not version:
            self.as_approved(move.candidate)
        elif self._configuration(version)["CodeSha256"] != move.candidate["data"]["codeSha256"]:
            raise TargetMoved(
                f"{self._release}: version {version} of {self.spec.function} does not have the code that was "
                "planned."
            )

    def look(self, move: Move) -> tuple[Alias | None, str]:
        """The alias, and its etag if an earlier attempt has already moved it. Raises the errors of the protocol's
        `set_weight`."""
        alias = self._alias()
        wanted = _weights(move.baseline, move.candidate, move.percent)
        return alias, self._as_expected(alias, wanted, move.etag, move.fence)

    def hold(self, move: Move) -> None:
        """Points another alias at the baseline before the alias leaves it, so that no clean-up tool can delete it."""
        if move.percent == 100 and move.baseline:  # until now this alias points at it
            hold(
                self.client,
                function=self.spec.function,
                alias=self.spec.alias,
                version=move.baseline["id"],
                release=self._release,
                fence=move.fence,
            )

    def set_weight(self, move: Move, alias: Alias | None) -> str:
        """Writes the alias once. AWS refuses the write if the alias has changed since it was read. Returns its new
        etag."""
        return self._write(alias, _weights(move.baseline, move.candidate, move.percent), move.fence)

    def _as_expected(
        self, alias: Alias | None, wanted: tuple[str, dict[str, float]], expected: str, fence: int
    ) -> str:
        """The alias's etag if an earlier attempt has already written it; else empty."""
        if alias is None:
            if expected:
                raise TargetMoved(
                    f"{self._release}: {self.name} was deleted after the plan was made. Tagship changed "
                    "nothing."
                )
            return ""
        if _standing(alias) == wanted and _fence(alias) == fence:
            return str(alias["RevisionId"])
        self._refuse_older(alias, fence)
        if alias["RevisionId"] != expected:
            raise TargetMoved(self._moved(alias))
        return ""

    def verify_weight(self, move: Move) -> int:
        """Checks that the version that traffic moves to can be invoked, and that the alias reads as written.

        While provisioned concurrency moves to the new version, Lambda itself keeps the old one as the alias's
        additional version with all of the weight; that is waited for.
        """
        serving = _weights(move.baseline, move.candidate, move.percent)
        version = max(serving[1], default=serving[0])  # the version that traffic moved to
        configuration = self._configuration(version)
        if configuration.get("State") == "Failed":
            raise TargetInvalid(
                f"{self._release}: version {version} of {self.spec.function} failed to become active: "
                f"{_reason(configuration, 'StateReason')}"
            )
        alias = self._alias()
        if alias is None:
            raise TargetMoved(f"{self._release}: {self.name} no longer exists. Tagship changed nothing.")
        stands, weights = _standing(alias)
        ours = {each["id"] for each in (move.baseline, move.candidate) if each}
        if not {stands, *weights} <= ours:
            raise TargetMoved(self._moved(alias))
        ready = configuration.get("State") != "Pending" and (stands, weights) == serving
        return 0 if ready else _PACE_SECONDS

    # ---- the baseline ----------------------------------------------------------------------------------------------

    def exists(self, revision: Revision) -> None:
        """Checks that the version exists and has the recorded code."""
        found = self._configuration(revision["id"], missing=BaselineMissing)
        if found["CodeSha256"] != revision["data"]["codeSha256"]:
            raise BaselineMissing(
                f"{self._release}: version {revision['id']} of {self.spec.function} does not have the code "
                "that was recorded."
            )
        if found.get("State") in ("Inactive", "Pending"):
            raise BaselineMissing(f"{self._asleep(revision['id'], found)} Then roll back again.")

    def serving(self) -> Revision | None:
        """The version that has all of the alias's traffic."""
        alias = self._alias()
        self._one_version(alias)
        if alias is None:
            return None
        version = str(alias["FunctionVersion"])
        found = self._readable(self._configuration(version, missing=BaselineMissing))
        code = found["CodeSha256"]
        return {"id": version, "digest": digest_of(found, code), "data": self._data(code)}

    def look_before_restoring(self, fence: int) -> Alias | None:
        """The alias. Raises LockLost if a higher fencing number has been used."""
        alias = self._alias()
        if alias is not None:
            self._refuse_older(alias, fence)
        return alias

    def restore(
        self,
        alias: Alias | None,
        *,
        baseline: Revision | None,
        candidate: Revision | None,
        fence: int,
        replaced: Revision | None = None,
    ) -> str:
        """Gives the baseline all traffic in one write. If nothing was deployed before the release, removes the alias.

        It also writes an alias that already has the right weights, unless this fencing number wrote it: the new
        `RevisionId` then refuses the release's late writes.
        """
        ours = {revision["id"] for revision in (baseline, candidate, replaced) if revision}
        if alias is not None:
            version, weights = _standing(alias)
            if not {version, *weights} <= ours:
                raise TargetMoved(
                    f"{self._moved(alias)} To restore the baseline by hand: "
                    f"{self._by_hand(baseline['id'] if baseline else None)}"
                )
        if baseline is None:
            if alias is not None:
                self._refuse_to_delete(alias)
                with calling(f"{self._release}: deleting {self.name}", **_REFUSED):
                    self.client.delete_alias(FunctionName=self.spec.function, Name=self.spec.alias)
            return f"{self.name} was removed again: nothing served traffic before this release."
        wanted: tuple[str, dict[str, float]] = (baseline["id"], {})
        stood = alias is not None and _standing(alias) == wanted
        if alias is None or not _stands_or_moves_to(wanted[0], alias) or _fence(alias) != fence:
            try:
                self._write(alias, wanted, fence)
            except TargetMoved as error:  # changed since it was read: read again
                raise NotStable(str(error)) from error
            alias = self._alias()
            if alias is None or not _stands_or_moves_to(wanted[0], alias):
                raise NotStable(
                    f"{self._release}: {self.name} is not restored: it points at {_described(alias)}."
                )
        if stood:
            return f"{self.name} already sent all traffic to version {baseline['id']}."
        if _standing(alias) != wanted:
            return (
                f"{self.name} will send all traffic to version {baseline['id']} again as soon as Lambda has "
                "moved the provisioned concurrency there."
            )
        return f"{self.name} sends all traffic to version {baseline['id']} again."

    def _refuse_to_delete(self, alias: Alias) -> None:
        """Raises BaselineMissing if the alias has callers by now, because their permissions would be deleted with it."""
        if attached := callers(
            self.client,
            arn=function_arn(self.spec, self.spec.function),
            qualifier=self.spec.alias,
            about=self._release,
        ):
            raise BaselineMissing(
                f"{self._release}: nothing served traffic before this release, but {self.name} now has "
                f"callers: {in_words(attached)}. The alias was therefore not removed: it points at "
                f"{_described(alias)}. Publish a fix, or remove the alias: {self._by_hand(None)}"
            )

    # ---- the alias -------------------------------------------------------------------------------------------------

    def _alias(self) -> Alias | None:
        try:
            with calling(f"{self._release}: looking at {self.name}", **_REFUSED):
                alias: Alias = self.client.get_alias(FunctionName=self.spec.function, Name=self.spec.alias)
                return alias
        except ClientError as error:
            if code_of(error) == "ResourceNotFoundException":
                return None
            raise

    def _write(self, alias: Alias | None, wanted: tuple[str, dict[str, float]], fence: int) -> str:
        version, weights = wanted
        request: CreateAliasRequestTypeDef = {
            "FunctionName": self.spec.function,
            "Name": self.spec.alias,
            "FunctionVersion": version,
            # far below Lambda's 256 characters with any names, so the number is never cut off
            "Description": f"tagship {self.application} {self.tag}, fence {fence}",
            "RoutingConfig": {"AdditionalVersionWeights": weights},
        }
        try:
            with calling(
                f"{self._release}: moving {self.name}",
                PreconditionFailedException=TargetMoved,
                # Of an alias to create: it exists by now. Of one to change: another change of the function is in progress.
                ResourceConflictException=TargetMoved if alias is None else AwsUnavailable,
                ResourceNotFoundException=BaselineMissing,
                **_REFUSED,
            ):
                if alias is None:
                    return str(self.client.create_alias(**request)["RevisionId"])
                return str(self.client.update_alias(**request, RevisionId=alias["RevisionId"])["RevisionId"])
        except TargetMoved:
            # boto3 retries a lost response, and the retry finds its own write.
            found = self._alias()
            if found is not None and _standing(found) == wanted and _fence(found) == fence:
                return str(found["RevisionId"])
            raise

    def _refuse_older(self, alias: Alias, fence: int) -> None:
        if _fence(alias) > fence:
            raise LockLost(
                f"{self._release}: {self.name} was changed with the newer fencing number {_fence(alias)}, so "
                f"{fence} can no longer change it."
            )

    # ---- reading ---------------------------------------------------------------------------------------------------

    def _data(self, code: str) -> dict[str, str]:
        return {"codeSha256": code, OF: self.spec.of}

    def _readable(self, found: Configuration) -> Configuration:
        """Raises TargetInvalid if the role may not read the variables: what can't be compared can't be approved."""
        if problem := (found.get("Environment") or {}).get("Error"):
            raise TargetInvalid(
                f"{self._release}: the environment variables of {self.spec.function} cannot be read "
                f"({problem.get('ErrorCode')}), so they cannot be compared. Nothing was changed. Allow "
                f"{self.spec.role} to decrypt with the function's key (kms:Decrypt), then publish a new tag."
            )
        return found

    def _one_version(self, alias: Alias | None) -> None:
        """Raises TargetInvalid if traffic is split, or goes to `$LATEST`."""
        if alias is None:
            return
        version, weights = _standing(alias)
        if weights or version == "$LATEST":
            raise TargetInvalid(
                f"{self._release}: {self.name} points at {_described(alias)}. Send all its traffic to one "
                f"published version first: {self._by_hand('<version>')}. Nothing was changed."
            )

    def _configuration(
        self,
        version: str,
        *,
        missing: type[TargetInvalid | BaselineMissing | CandidateNotReady] = TargetInvalid,
    ) -> Configuration:
        try:
            with calling(
                f"{self._release}: looking at version {version} of {self.spec.function}",
                **{**_REFUSED, "ResourceNotFoundException": missing},
            ):
                return self.client.get_function_configuration(
                    FunctionName=self.spec.function, Qualifier=version
                )
        except missing as error:
            if version != "$LATEST":
                raise
            where = f"account {self.spec.account}, {self.spec.region}"
            raise missing(
                f"{self._release}: there is no function {self.spec.function} in {where}. Nothing was changed. Create it "
                "first, with the tool that manages your infrastructure."
            ) from error

    def _uploaded(self, artifacts: Artifacts) -> tuple[Artifact, PinnedObject]:
        return brought(artifacts, self.artifact, kind="lambda", release=self._release)

    def _uploading(self) -> AbstractContextManager[None]:
        return calling(
            f"{self._release}: uploading the code of {self.spec.function}",
            PreconditionFailedException=CandidateNotReady,
            ResourceConflictException=CandidateNotReady,
            InvalidParameterValueException=TargetInvalid,
            CodeStorageExceededException=TargetInvalid,
            CodeVerificationFailedException=TargetInvalid,
            InvalidCodeSignatureException=TargetInvalid,
            **_REFUSED,
        )

    def _upload_of(self, pinned: PinnedObject) -> UpdateFunctionCodeRequestTypeDef:
        return {
            "FunctionName": self.spec.function,
            "S3Bucket": pinned.bucket,
            "S3Key": pinned.key,
            "S3ObjectVersion": pinned.versionId,
        }

    def _asleep(self, version: str, found: Configuration) -> str:
        """Only an invocation activates an inactive version, and only its team knows a harmless one, so Tagship sends
        none."""
        where = f"--function-name {self.spec.function} --qualifier {version} --region {self.spec.region}"
        return (
            f"{self._release}: version {version} of {self.spec.function} cannot serve now: it is in the state "
            f"{found.get('State')}. Lambda makes a version inactive that was not invoked for some weeks (14 days with "
            f"SnapStart). Wake it with a harmless request, which fails once: aws lambda invoke {where} out.json. "
            f"Wait for it: aws lambda wait published-version-active {where}."
        )

    # ---- words -----------------------------------------------------------------------------------------------------

    @property
    def _release(self) -> str:
        return f"{self.application} {self.tag}".rstrip()

    @property
    def name(self) -> str:
        """The alias's name for messages."""
        return f"the alias {self.spec.alias} of {self.spec.function}"

    def _moved(self, alias: Alias) -> str:
        return (
            f"{self._release}: {self.name} was changed by someone else after the plan was made: it points at "
            f"{_described(alias)}. Tagship did not overwrite it."
        )

    def _by_hand(self, version: str | None, *, make: bool = False) -> str:
        """The command that points the alias at this version; without a version, the one that removes it."""
        where = f"--function-name {self.spec.function} --name {self.spec.alias} --region {self.spec.region}"
        if not version:
            return f"aws lambda delete-alias {where}"
        return (
            f"aws lambda {'create' if make else 'update'}-alias {where} --function-version {version} "
            "--routing-config AdditionalVersionWeights={}"
        )


def _standing(alias: Alias) -> tuple[str, dict[str, float]]:
    weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    return str(alias["FunctionVersion"]), {str(version): float(weight) for version, weight in weights.items()}


def _stands_or_moves_to(version: str, alias: Alias) -> bool:
    """Whether the version has all traffic, or gets it once Lambda has moved the provisioned concurrency.

    Until then Lambda itself gives all weight to the version that had it.
    """
    stands, weights = _standing(alias)
    return stands == version and list(weights.values()) in ([], [1.0])


def _weights(baseline: Revision | None, candidate: Revision, percent: int) -> tuple[str, dict[str, float]]:
    if baseline is None or percent == 100 or candidate["id"] == baseline["id"]:  # it stays as it is
        return candidate["id"], {}
    if percent == 0:
        return baseline["id"], {}
    return baseline["id"], {candidate["id"]: percent / 100}


def _fence(alias: Alias) -> int:
    match = _FENCE.search(alias.get("Description") or "")
    return int(match[1]) if match else 0


def _described(alias: Alias | None) -> str:
    if alias is None:
        return "nothing"
    version, weights = _standing(alias)
    shares = (f"{round(weight * 100)} % to version {other}" for other, weight in weights.items())
    return ", ".join([f"version {version}", *shares])


def _reason(configuration: Configuration, name: Literal["StateReason", "LastUpdateStatusReason"]) -> str:
    return str(configuration.get(name) or "no reason given").removesuffix(".")


def _short(digest: str) -> str:
    return base64.b64decode(digest).hex()[:12]


def _size(artifact: Artifact) -> str:
    return size(artifact.size)
