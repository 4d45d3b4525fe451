"""The adapter of target `cloudformation`. The candidate is a change set, and executing it deploys everything at once.

Three things prevent conflicting updates. CloudFormation refuses to execute a change set if the stack was updated after
it was made. Every operation has the fencing number and its purpose in its `ClientRequestToken`, which appears on all of
its events. And a rollback deletes the candidate's change set or makes it obsolete, so a late duplicate has nothing to
execute.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from tagship.aws.calls import REFUSED_CREDENTIALS, calling, code_of, message_of
from tagship.aws.rights import partition_of
from tagship.model.errors import (
    BaselineMissing,
    CandidateNotReady,
    LockLost,
    NotStable,
    PlanChanged,
    TagshipError,
    TargetInvalid,
    TargetMoved,
)
from tagship.model.records import Revision
from tagship.model.release import Artifact, PinnedObject
from tagship.targets import cloudformation_changes as words
from tagship.targets import cloudformation_events as reports
from tagship.targets.cloudformation_stack import TEMPLATE, StackTarget
from tagship.targets.kind import Artifacts, Change, Finding, Made, Move, Opened, Prepared, brought
from tagship.text.plain import line
from tagship.text.words import listed

MOST_BYTES = 1_000_000
"""CloudFormation's size limit for a template in S3."""
_PACE_SECONDS = 5
_MISSING = ("ValidationError", "ChangeSetNotFound", "ChangeSetNotFoundException")
_NOTHING = ("didn't contain changes", "No updates are to be performed")
_NO_STACK = "does not exist"
_NESTED_LEVELS = 5
_GONE: Mapping[str, type[TagshipError]] = dict.fromkeys(
    ("NoSuchBucket", "NoSuchKey", "NoSuchVersion", "404"), TargetInvalid
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A stack and its last operation."""

    stack: Mapping[str, Any]
    token: str
    """The token of the last operation; empty if it was started without one."""
    shown: bool
    """Whether the last event agrees with the stack's status. One of them can be a moment behind the other."""

    @classmethod
    def of(cls, stack: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> Operation:
        """Built from the newest events. A stack that has not changed for 90 days has none."""
        own = next((it for it in events if it.get("PhysicalResourceId") == stack["StackId"]), None)
        newest = own or (events[0] if events else {})
        shown = not events or bool(own and own.get("ResourceStatus") == stack["StackStatus"])
        return cls(stack=stack, token=str(newest.get("ClientRequestToken") or ""), shown=shown)

    @property
    def status(self) -> str:
        """The status in CloudFormation's terms."""
        return str(self.stack["StackStatus"])

    @property
    def settled(self) -> bool:
        """Whether the stack can be updated."""
        return self.shown and self.status in reports.SETTLED

    @property
    def moving(self) -> bool:
        """Whether CloudFormation is still working, or the status and events do not agree yet."""
        return self.status.endswith("_IN_PROGRESS") or (self.status in reports.SETTLED and not self.shown)

    @property
    def etag(self) -> str:
        """Changes with every operation."""
        began = self.stack.get("LastUpdatedTime") or self.stack["CreationTime"]
        return self.token or str(began)

    @property
    def fence(self) -> int:
        """The fencing number of the operation; 0 if Tagship did not start it."""
        return reports.fence_of(self.token)

    def is_for(self, what: str) -> bool:
        """Whether Tagship started the operation for this purpose."""
        return reports.mark_of(self.token) == reports.mark(what)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """One stack, for one release."""

    application: str
    tag: str
    spec: StackTarget
    client: Callable[[str], Any]

    # ---- before approval -------------------------------------------------------------------------------------------

    def check(self, current: Revision | None) -> Finding:
        """Checks that the stack exists, that no update is running, and that template and parameters match the ledger."""
        found = self._operation()
        self._can_be_updated(found)
        if (
            current
            and current["data"].get("stack", "") == found.stack["StackId"]
            and not self._serves(found, current)
        ):
            raise TargetMoved(
                f"{self._release}: {self._name} has a different template or different parameters than the last "
                "release left: someone else updated it. Tagship did not overwrite it."
            )
        warnings = self._drifted(found.stack)
        if not found.stack.get("EnableTerminationProtection"):
            warnings.append(
                f"The stack {self.spec.stack} has no termination protection: anyone who may delete stacks can "
                "delete it and everything in it."
            )
        return Finding(said=f"{self.spec.stack} can be updated.", warning=" ".join(warnings))

    def _can_be_updated(self, found: Operation) -> None:
        about, where = f"{self._release}: {self._name} is in state {found.status}", self._where
        if found.status == reports.STUCK:
            raise TargetInvalid(
                f"{about}: a rollback of it failed. {self._failed()}. Nothing was changed. Fix the cause, then "
                f"let CloudFormation continue: aws cloudformation continue-update-rollback {where}"
            )
        if found.status == "UPDATE_FAILED":
            raise TargetInvalid(
                f"{about}: an update failed and was not rolled back. Nothing was changed. Roll it back first: "
                f"aws cloudformation rollback-stack {where}"
            )
        if found.moving and found.status != "REVIEW_IN_PROGRESS":
            raise CandidateNotReady(
                f"{about}: someone else is changing it. Retry the release when that change is done."
            )
        if not found.settled:
            raise TargetInvalid(
                f"{about}: it was never created, or can no longer be updated. Nothing was changed. Create it "
                "first with your own tool; Tagship deploys only to existing stacks."
            )

    def _drifted(self, stack: Mapping[str, Any]) -> list[str]:
        """Reads the result of the last drift detection. Tagship starts none, because it reads every resource with the
        caller's permissions."""
        drift = stack.get("DriftInformation") or {}
        when, status = drift.get("LastCheckTimestamp"), drift.get("StackDriftStatus", "NOT_CHECKED")
        if status == "IN_SYNC":
            return []
        if status != "DRIFTED":
            return [
                (
                    f"It is not known whether {self._name} has drifted: no drift detection has run on it. "
                    "Changes by hand may be overwritten."
                )
            ]
        with self._calling("looking at what has drifted"):
            answer = self._stacks.describe_stack_resource_drifts(
                StackName=self.spec.stack, StackResourceDriftStatusFilters=["MODIFIED", "DELETED"]
            )
        drifted = listed(
            f"{it['LogicalResourceId']} ({str(it['StackResourceDriftStatus']).lower()})"
            for it in answer.get("StackResourceDrifts", ())
        )
        drift_found = (
            f"{self._name} has drifted, according to the drift detection of {when}: "
            f"{drifted or 'no resource is named'}."
        )
        if self.spec.drift == "refuse":
            raise TargetInvalid(
                f"{self._release}: {drift_found} target.drift is refuse. Nothing was changed. Undo the changes by "
                "hand, run a drift detection, then publish a new tag."
            )
        if self.spec.drift == "revert":
            return [f"{drift_found} target.drift is revert: this release undoes the changes by hand."]
        return [f"{drift_found} Changes by hand may be overwritten."]

    def dry_run(self, artifacts: Artifacts) -> Finding:
        """CloudFormation has no separate dry run; the change set, which the plan makes, serves as one."""
        self._uploaded(artifacts)
        return Finding(said="")

    def look_into(self, artifacts: Artifacts, opened: Opened) -> tuple[str, Sequence[str]]:
        """Checks the template's size and encoding. CloudFormation validates its content when the change set is made."""
        artifact, pinned = self._uploaded(artifacts)
        if pinned.size > MOST_BYTES:
            return "", [
                (
                    f"{artifact.file} has {pinned.size:,} bytes; CloudFormation's limit is {MOST_BYTES:,}. "
                    "Split it into nested stacks."
                )
            ]
        with opened(pinned) as file:
            content = file.read(MOST_BYTES)
        try:
            text = content.decode()
        except UnicodeDecodeError:
            return "", [f"{artifact.file} is not UTF-8 text. Save it as UTF-8."]
        if not re.search(r"""(^|[{,])\s*["']?Resources["']?\s*:""", text, re.MULTILINE):
            return "", [f"{artifact.file} has no Resources. Upload the packaged template, not its archive."]
        return f"{artifact.file} is a template of {len(content):,} bytes.", []

    def restorable(self, current: Revision | None) -> Finding | None:
        """Checks that the current template can be read, so that the plan can keep it for a rollback."""
        found = self._operation()
        self._can_be_updated(found)
        revision, _ = self._revision(found)
        if current and current["id"] == revision["id"]:
            self.exists(current)
        return Finding(said=f"the template and the parameters that {self.spec.stack} has now")

    def plan(self, artifacts: Artifacts, parameters: Mapping[str, str], *, weighted: bool) -> Change:  # noqa: ARG002 (a stack moves at once)
        """Keeps both templates, makes the change set and describes it. Changes nothing in the stack."""
        artifact, pinned = self._uploaded(artifacts)
        body = self._read(artifact, pinned)
        found = self._operation()
        self._can_be_updated(found)
        baseline, serving = self._revision(found)
        baseline = {**baseline, "etag": found.etag}
        template = reports.template_digest(body)
        self._keep(template, body)
        self._keep(baseline["data"]["template"], serving)
        values = self._parameter_values(template, parameters, found.stack)
        name = self._change_set_name(template, values, found)
        made = self._change_set(name) or self._create(name, template, values)
        if made["Status"] in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
            raise CandidateNotReady(
                f"{self._release}: CloudFormation is still computing the change set {name}."
            )
        if made["Status"] == "FAILED":
            return self._failed_change_set(made, baseline)
        if made.get("ExecutionStatus") != "AVAILABLE":
            self._delete(made["ChangeSetId"])
            raise CandidateNotReady(
                f"{self._release}: the change set {name} is outdated and will be created again."
            )
        self._prove_template(made, template)
        changes = self._changes(made)
        self._refuse_what_the_policy_refuses(changes)
        lines, warnings = words.describe(changes)
        candidate: Revision = {
            "id": "",
            "digest": reports.digest_of(template, made.get("Parameters", ())),
            "data": {
                "stack": found.stack["StackId"],
                "changeSet": made["ChangeSetId"],
                "template": template,
                "parameters": reports.parameters_of(made.get("Parameters", ())),
            },
        }
        differing = _differing(baseline["data"]["parameters"], candidate["data"]["parameters"])
        return Change(
            baseline=baseline,
            candidate=candidate,
            summary=[
                f"{self._name}: {len(changes)} change{'s' if len(changes) != 1 else ''} by the change set {name}",
                *(lines or ["No resource changes: only outputs, metadata or rules."]),
                *differing,
            ],
            warnings=warnings,
        )

    # ---- the change set --------------------------------------------------------------------------------------------

    def _parameter_values(
        self, template: str, parameters: Mapping[str, str], stack: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """The value for each of the template's parameters: the release's, else the stack's current one, else the
        default."""
        with self._calling("reading the template's parameters", ValidationError=TargetInvalid):
            summary = self._stacks.get_template_summary(TemplateURL=self._url(template))
        taken = {it["ParameterKey"]: it for it in summary.get("Parameters", ())}
        if unknown := sorted(parameters.keys() - taken.keys()):
            raise TargetInvalid(
                f"{self._release}: the template takes no parameter {listed(unknown)}. Nothing was changed. Correct the "
                "release's parameters, then publish a new tag."
            )
        if secrets := sorted(name for name in parameters if taken[name].get("NoEcho")):
            raise TargetInvalid(
                f"{self._release}: {listed(secrets)} is a secret (NoEcho), but a release's parameters are not "
                "secret. Nothing was changed. Store it in Secrets Manager and reference it in the template."
            )
        has = reports.parameters_of(stack.get("Parameters", ()))
        values: list[dict[str, Any]] = []
        for name in sorted(taken):
            if name in parameters:
                values.append({"ParameterKey": name, "ParameterValue": parameters[name]})
            elif name in has:
                values.append({"ParameterKey": name, "UsePreviousValue": True})
            elif taken[name].get("DefaultValue") is None:
                raise TargetInvalid(
                    f"{self._release}: the template's parameter {name} has no value. Nothing was changed. Set "
                    f"it: tagship publish --parameter {name}=…"
                )
        return values

    def _change_set_name(self, template: str, values: Sequence[Mapping[str, Any]], found: Operation) -> str:
        """Deterministic for the same release and the same state of the stack, so that the change set is made only once."""
        about = (self.application, self.tag, template, list(map(dict, values)), found.etag, repr(self.spec))
        digest = hashlib.sha256(repr(about).encode()).hexdigest()[:16]
        return f"tagship-{re.sub('[^A-Za-z0-9]+', '-', self.tag)[:60].strip('-') or 'plan'}-{digest}"

    def _create(self, name: str, template: str, values: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        more: dict[str, Any] = {}
        if self.spec.alarms:
            more["RollbackConfiguration"] = {"RollbackTriggers": self._triggers, "MonitoringTimeInMinutes": 0}
        if self.spec.drift == "revert":
            more["DeploymentMode"] = "REVERT_DRIFT"
        with (
            suppress(_Exists),
            self._calling(
                f"making the change set {name}",
                AlreadyExistsException=_Exists,
                ValidationError=TargetInvalid,
                InsufficientCapabilitiesException=TargetInvalid,
            ),
        ):
            self._stacks.create_change_set(
                StackName=self.spec.stack,
                ChangeSetName=name,
                ChangeSetType="UPDATE",
                TemplateURL=self._url(template),
                Parameters=list(values),
                Capabilities=list(self.spec.capabilities),
                RoleARN=self.spec.serviceRole,
                Description=f"tagship {self.application} {self.tag}"[:1024],
                IncludeNestedStacks=True,
                ClientToken=name,
                **more,
            )
        made = self._change_set(name)
        if made is None:
            raise CandidateNotReady(
                f"{self._release}: CloudFormation does not show the change set {name} yet."
            )
        return made

    def _change_set(self, name: str) -> dict[str, Any] | None:
        """The change set with all its pages; None if it does not exist."""
        try:
            with self._calling(f"looking at the change set {name}"):
                return self._pages(StackName=self.spec.stack, ChangeSetName=name)
        except ClientError as error:
            if code_of(error) in _MISSING:
                return None
            raise

    def _pages(self, **about: str) -> dict[str, Any]:
        changes: list[Any] = []
        while True:
            page: dict[str, Any] = self._stacks.describe_change_set(**about)
            changes += page.get("Changes", ())
            if not page.get("NextToken"):
                return {**page, "Changes": changes}
            about["NextToken"] = page["NextToken"]

    def _failed_change_set(self, made: Mapping[str, Any], baseline: Revision) -> Change:
        """Handles a failed change set. One without changes also fails; that is a success here. A failed change set is
        deleted."""
        why = str(made.get("StatusReason", ""))
        self._delete(str(made["ChangeSetId"]))
        if any(text in why for text in _NOTHING):
            return Change(
                baseline=baseline,
                candidate=baseline,
                nothingToChange=True,
                summary=[f"Nothing to change: CloudFormation finds no difference to {self._name}."],
            )
        raise TargetInvalid(
            f"{self._release}: CloudFormation cannot create a change set for {self._name}: {line(why, 600)} "
            "Nothing was changed. Correct the template or the parameters, then publish a new tag."
        )

    def _changes(self, made: Mapping[str, Any], *, stack: str = "", level: int = 0) -> list[words.Change]:
        """The changes, including those of nested stacks, for which CloudFormation makes change sets too."""
        changes = words.resource_changes(made["Changes"], stack=stack)
        for each in made["Changes"]:
            resource = each.get("ResourceChange") or {}
            if not (nested := resource.get("ChangeSetId")) or level == _NESTED_LEVELS:
                continue
            name = "/".join(filter(None, (stack, resource["LogicalResourceId"])))
            with self._calling(f"looking at the change set of the nested stack {name}"):
                pages = self._pages(ChangeSetName=nested)
            changes += self._changes(pages, stack=name, level=level + 1)
        return changes

    def _prove_template(self, made: Mapping[str, Any], template: str) -> None:
        """Raises PlanChanged where CloudFormation read another template than the release pinned."""
        with self._calling("reading the change set's template"):
            answer = self._stacks.get_template(
                StackName=self.spec.stack, ChangeSetName=made["ChangeSetId"], TemplateStage="Original"
            )
        if reports.template_digest(answer["TemplateBody"]) != template:
            raise PlanChanged(
                f"{self._release}: the change set has a different template from the uploaded one: someone else "
                f"wrote to {self.spec.bucket}. Nothing was changed. Check who can write to it, then publish a "
                "new tag."
            )

    def _refuse_what_the_policy_refuses(self, changes: Sequence[words.Change]) -> None:
        with self._calling("reading the stack policy"):
            policy = self._stacks.get_stack_policy(StackName=self.spec.stack).get("StackPolicyBody") or ""
        if refused := words.refused_by(policy, changes):
            raise TargetInvalid(
                f"{self._release}: the stack policy of {self.spec.stack} does not allow {line(listed(refused), 600)}. "
                "Nothing was changed. Change the policy or the template, then publish a new tag."
            )

    def _delete(self, change_set: str) -> None:
        try:
            with self._calling("deleting a change set"):
                self._stacks.delete_change_set(StackName=self.spec.stack, ChangeSetName=change_set)
        except ClientError as error:
            if code_of(error) not in (*_MISSING, "InvalidChangeSetStatus"):
                raise

    # ---- the candidate ---------------------------------------------------------------------------------------------

    def prepare(self, artifacts: Artifacts, candidate: Revision, made: Made) -> Prepared:
        """Checks that the change set, which the plan made, still has the approved ARN and can be executed."""
        self._uploaded(artifacts)
        approved = self._change_set(candidate["data"]["changeSet"])
        if approved is None or approved.get("ExecutionStatus") != "AVAILABLE":
            raise PlanChanged(
                f"{self._release}: the change set that was approved is {_status(approved)}: {self._name} was "
                "changed after the approval. This release changed nothing. Publish a new tag to plan and "
                "approve it again."
            )
        template = candidate["data"]["template"]
        self._prove_template(approved, template)
        if reports.digest_of(template, approved.get("Parameters", ())) != candidate["digest"]:
            raise PlanChanged(
                f"{self._release}: the change set's parameters are not the approved ones. Nothing was changed. "
                "Publish a new tag."
            )
        ready: Revision = {**candidate, "id": candidate["digest"][:12]}
        made(ready)
        return Prepared(candidate=ready)

    # ---- traffic ---------------------------------------------------------------------------------------------------

    def verify_unchanged(self, move: Move) -> None:
        """Checks that no operation has started since the plan, and that the change set can still be executed."""
        if not self._done(self._operation(), move):
            self._available(move)

    def set_weight(self, move: Move) -> str:
        """Executes the approved change set and no other."""
        if self._done(self._operation(), move):
            return self._token(move)
        self._available(move)
        try:
            with self._calling(
                f"executing the change set of {self.spec.stack}",
                **dict.fromkeys(
                    ("InvalidChangeSetStatus", "InvalidChangeSetStatusException", *_MISSING), TargetMoved
                ),
            ):
                self._stacks.execute_change_set(
                    StackName=self.spec.stack,
                    ChangeSetName=move.candidate["data"]["changeSet"],
                    ClientRequestToken=self._token(move),
                )
        except TargetMoved:
            # boto3 retries a lost response, and the retry finds its own execution.
            if not self._done(self._operation(), move):
                raise
        return self._token(move)

    def _done(self, found: Operation, move: Move) -> bool:
        """Whether an earlier attempt has already done it.

        Raises LockLost, TargetMoved.
        """
        if found.token == self._token(move):
            return True
        self._refuse_older(found, move.fence)
        if found.etag != move.etag:
            raise self._moved(found)
        return False

    def _available(self, move: Move) -> None:
        made = self._change_set(move.candidate["data"]["changeSet"])
        if made is None or made.get("ExecutionStatus") != "AVAILABLE":
            raise TargetMoved(
                f"{self._release}: the change set that was approved is {_status(made)}. Tagship did not change "
                f"{self._name}. Publish a new tag to plan and approve it again."
            )

    def verify_weight(self, move: Move) -> int:
        """Waits until CloudFormation has finished. If CloudFormation rolled back by itself, it never reports the
        candidate as stable."""
        found = self._operation()
        if move.baseline is not None and move.percent == 0:
            return self._verify_restored(found, move.baseline, move.candidate)
        if not found.is_for(move.candidate["data"]["changeSet"]):
            if move.baseline and found.etag == move.baseline.get("etag"):
                return _PACE_SECONDS  # events appear a moment later
            raise self._moved(found)
        if found.settled and found.status == "UPDATE_COMPLETE":
            return 0
        if found.shown and ("ROLLBACK" in found.status or found.status.endswith("_FAILED")):
            raise TargetInvalid(
                f"{self._release}: CloudFormation could not update {self._name} ({found.status}): {self._failed()}."
            )
        return _PACE_SECONDS

    def _verify_restored(self, found: Operation, baseline: Revision, candidate: Revision) -> int:
        if found.moving:
            return _PACE_SECONDS
        if found.settled and self._serves(found, baseline):
            return 0
        if found.status == "UPDATE_COMPLETE" and found.is_for(candidate["data"].get("changeSet", "")):
            return _PACE_SECONDS  # the rollback has started; its events appear a moment later
        raise TargetInvalid(
            f"{self._release}: {self._name} was not restored to the previous version ({found.status}): "
            f"{self._failed()}. {self._by_hand(found)}"
        )

    # ---- the baseline ----------------------------------------------------------------------------------------------

    def exists(self, revision: Revision) -> None:
        """Checks that its template is kept. A revision of another kind of target, which the application had before, has
        none."""
        if "template" not in revision["data"]:
            raise BaselineMissing(
                f"{self._release}: {revision['id']} is not a version of a stack, so {self._name} cannot be restored to it."
            )
        key = self._key(revision["data"]["template"])
        with self._calling(f"looking for the template {key}", NoSuchBucket=BaselineMissing):
            answer = self.client("s3").list_objects_v2(Bucket=self.spec.bucket, Prefix=key, MaxKeys=1)
        if not answer.get("KeyCount"):
            raise BaselineMissing(
                f"{self._release}: the template s3://{self.spec.bucket}/{key}, which a rollback would restore, "
                "no longer exists."
            )

    def serving(self) -> Revision | None:
        """The stack's current template and parameters."""
        found = self._operation()
        if not found.settled:
            raise TargetInvalid(f"{self._release}: {self._name} is in state {found.status}.")
        return self._revision(found)[0]

    def restore(
        self,
        *,
        baseline: Revision | None,
        candidate: Revision | None,
        fence: int,
        replaced: Revision | None = None,
    ) -> str:
        """Cancels the update while it runs; afterwards, updates the stack to the baseline's template and parameters."""
        found = self._operation()
        self._refuse_older(found, fence)
        if baseline is None:
            raise BaselineMissing(f"{self._release}: the previous template of {self._name} is not known.")
        self._refuse_foreign(found, baseline=baseline, candidate=candidate, replaced=replaced)
        if found.status in (reports.CLEANING, reports.STUCK, "UPDATE_FAILED"):
            raise NotStable(
                f"{self._release}: {self._name} is in state {found.status} and can't be updated now. "
                f"{self._by_hand(found)}"
            )
        restoring = reports.token(fence, _restoring(baseline))
        if found.moving:
            if found.is_for(_restoring(baseline)) or "ROLLBACK" in found.status:
                return (
                    f"{self._name} is being restored by CloudFormation: it gets its previous template and "
                    "parameters again."
                )
            if not (candidate and found.is_for(candidate["data"].get("changeSet", ""))):
                raise NotStable(f"{self._release}: an operation on {self._name} has just started.")
            with self._calling(f"cancelling the update of {self.spec.stack}", ValidationError=NotStable):
                self._stacks.cancel_update_stack(StackName=self.spec.stack, ClientRequestToken=restoring)
            return f"The update of {self._name} was cancelled: it gets its previous template and parameters again."
        if self._serves(found, baseline):
            self._withdraw(found, candidate)
            return f"{self._name} has its previous template and parameters again."
        self.exists(baseline)
        if not self._update(baseline, restoring):
            return f"{self._name} has its previous template and parameters again."
        return f"{self._name} is being updated: it gets its previous template and parameters again."

    def _withdraw(self, found: Operation, candidate: Revision | None) -> None:
        """Deletes the candidate's change set.

        Raises NotStable if it is already executing and the stack does not show it yet.
        """
        change_set = candidate["data"].get("changeSet") if candidate else None
        if not change_set or found.is_for(change_set):
            return
        made = self._change_set(change_set)
        if made is None:
            return
        if made.get("ExecutionStatus") == "EXECUTE_IN_PROGRESS":
            raise NotStable(f"{self._release}: an update of {self._name} has just started.")
        self._delete(change_set)

    def _update(self, baseline: Revision, token: str) -> bool:
        """Starts the update; returns False if there is nothing to update. Its token makes repeated calls start only one
        update."""
        data = baseline["data"]
        parameters = [
            {"ParameterKey": name, "UsePreviousValue": True}
            if re.fullmatch(r"\*+", value)
            else {"ParameterKey": name, "ParameterValue": value}
            for name, value in sorted(data["parameters"].items())
        ]
        try:
            with self._calling(f"restoring {self._name}", TokenAlreadyExistsException=_Exists):
                self._stacks.update_stack(
                    StackName=self.spec.stack,
                    TemplateURL=self._url(data["template"]),
                    Parameters=parameters,
                    Capabilities=list(self.spec.capabilities),
                    RoleARN=self.spec.serviceRole,
                    # The candidate's alarms may be firing. With them, CloudFormation would undo this update at once.
                    RollbackConfiguration={"RollbackTriggers": []},
                    ClientRequestToken=token,
                )
        except _Exists:
            return True
        except ClientError as error:
            if code_of(error) != "ValidationError":
                raise
            if any(text in message_of(error) for text in _NOTHING):
                return False
            raise NotStable(f"{self._release}: restoring {self._name}: {message_of(error)}") from error
        return True

    def _refuse_foreign(
        self,
        found: Operation,
        *,
        baseline: Revision,
        candidate: Revision | None,
        replaced: Revision | None,
    ) -> None:
        """Raises TargetMoved unless the last operation was the release's, its rollback's, or the one before the
        release."""
        known = [each for each in (baseline, candidate, replaced) if each]
        ours = [_restoring(each) for each in known]
        ours += [each["data"]["changeSet"] for each in known if each["data"].get("changeSet")]
        if any(found.is_for(each) for each in ours):
            return
        if found.etag in [each.get("etag") for each in known]:
            return
        raise TargetMoved(f"{self._moved(found)} To restore the baseline by hand: {self._by_hand(found)}")

    # ---- reading ---------------------------------------------------------------------------------------------------

    def _operation(self) -> Operation:
        """Reads the stack and its last operation. Raises TargetInvalid if the stack does not exist."""
        try:
            with self._calling(f"looking at {self._name}"):
                (stack,) = self._stacks.describe_stacks(StackName=self.spec.stack)["Stacks"]
                events = self._stacks.describe_stack_events(StackName=self.spec.stack)["StackEvents"]
        except ClientError as error:
            if code_of(error) == "ValidationError" and _NO_STACK in message_of(error):
                raise TargetInvalid(
                    f"{self._release}: {self._name} does not exist. Nothing was changed. Create it first with "
                    "your own tool; Tagship deploys only to existing stacks."
                ) from error
            raise
        return Operation.of(stack, events)

    def _revision(self, found: Operation) -> tuple[Revision, object]:
        """The current revision and its template."""
        with self._calling(f"reading the template of {self.spec.stack}"):
            body = self._stacks.get_template(StackName=self.spec.stack, TemplateStage="Original")[
                "TemplateBody"
            ]
        template, given = reports.template_digest(body), found.stack.get("Parameters", ())
        digest = reports.digest_of(template, given)
        data = {
            "stack": found.stack["StackId"],
            "template": template,
            "parameters": reports.parameters_of(given),
        }
        return {"id": digest[:12], "digest": digest, "data": data}, body

    def _serves(self, found: Operation, revision: Revision) -> bool:
        """Compares template and parameters. The resolved value of a Parameter Store parameter may have changed since."""
        serving, _ = self._revision(found)
        return all(serving["data"][name] == revision["data"][name] for name in ("template", "parameters"))

    def _failed(self) -> str:
        """Why the last operation failed."""
        return reports.reasons(self._last_events())

    def _last_events(self) -> Iterator[Mapping[str, Any]]:
        more: dict[str, str] = {}
        token: str | None = None
        while True:
            with self._calling(f"reading the events of {self.spec.stack}"):
                page = self._stacks.describe_stack_events(StackName=self.spec.stack, **more)
            for event in page["StackEvents"]:
                mine = str(event.get("ClientRequestToken") or "")
                token = mine if token is None else token
                if mine != token:
                    return
                yield event
            if not page.get("NextToken"):
                return
            more = {"NextToken": page["NextToken"]}

    def _read(self, artifact: Artifact, pinned: PinnedObject) -> str:
        with self._calling(f"reading {artifact.file}", **_GONE):
            answer = self.client("s3").get_object(
                Bucket=pinned.bucket, Key=pinned.key, VersionId=pinned.versionId
            )
            content: bytes = answer["Body"].read(MOST_BYTES + 1)
        if hashlib.sha256(content).hexdigest() != artifact.sha256:
            raise PlanChanged(
                f"{self._release}: {artifact.file} is not what the manifest names. Nothing was changed."
            )
        return content.decode()

    def _keep(self, digest: str, body: object) -> None:
        """Stores the template once, under a key made from its digest."""
        text = reports.template_text(body).encode()
        with (
            suppress(_Exists),
            self._calling(f"keeping a template in {self.spec.bucket}", PreconditionFailed=_Exists, **_GONE),
        ):
            self.client("s3").put_object(
                Bucket=self.spec.bucket,
                Key=self._key(digest),
                Body=text,
                ContentType="text/plain; charset=utf-8",
                ChecksumSHA256=base64.b64encode(hashlib.sha256(text).digest()).decode(),
                IfNoneMatch="*",
            )

    def _uploaded(self, artifacts: Artifacts) -> tuple[Artifact, PinnedObject]:
        return brought(artifacts, TEMPLATE, kind="cloudformation", release=self._release)

    def _refuse_older(self, found: Operation, fence: int) -> None:
        if found.fence > fence:
            raise LockLost(
                f"{self._release}: {self._name} was changed with the newer fencing number {found.fence}, so "
                f"{fence} can no longer change it."
            )

    # ---- words and names -------------------------------------------------------------------------------------------

    @property
    def _stacks(self) -> Any:
        return self.client("cloudformation")

    def _calling(self, what: str, **refusals: type[TagshipError]) -> AbstractContextManager[None]:
        return calling(f"{self._release}: {what}", **{**REFUSED_CREDENTIALS, **refusals})

    def _token(self, move: Move) -> str:
        return reports.token(move.fence, move.candidate["data"]["changeSet"])

    def _key(self, digest: str) -> str:
        return f"tagship/{self.spec.stack}/{digest}.template"

    def _url(self, digest: str) -> str:
        ending = ".cn" if partition_of(self.spec) == "aws-cn" else ""
        return f"https://s3.{self.spec.region}.amazonaws.com{ending}/{self.spec.bucket}/{self._key(digest)}"

    @property
    def _triggers(self) -> list[dict[str, str]]:
        place = f"arn:{partition_of(self.spec)}:cloudwatch:{self.spec.region}:{self.spec.account}:alarm"
        return [{"Arn": f"{place}:{name}", "Type": "AWS::CloudWatch::Alarm"} for name in self.spec.alarms]

    @property
    def _release(self) -> str:
        return f"{self.application} {self.tag}".rstrip()

    @property
    def _name(self) -> str:
        return f"the stack {self.spec.stack}"

    @property
    def _where(self) -> str:
        return f"--stack-name {self.spec.stack} --region {self.spec.region}"

    def _moved(self, found: Operation) -> TargetMoved:
        return TargetMoved(
            f"{self._release}: {self._name} was changed by someone else after the plan was made (its last "
            f"operation is {found.token or found.etag}, its state {found.status}). Tagship did not overwrite "
            "it."
        )

    def _by_hand(self, found: Operation) -> str:
        if found.status == reports.STUCK:
            return f"Fix the cause, then: aws cloudformation continue-update-rollback {self._where}"
        if found.status == "UPDATE_FAILED":
            return f"aws cloudformation rollback-stack {self._where}"
        return f"Its templates are kept in s3://{self.spec.bucket}/tagship/{self.spec.stack}/."


class _Exists(TagshipError):
    """An earlier attempt, or a duplicate, has already done it."""


def _restoring(baseline: Revision) -> str:
    return f"restoring {baseline['digest']}"


def _status(made: Mapping[str, Any] | None) -> str:
    return "gone" if made is None else str(made.get("ExecutionStatus", "")).lower().replace("_", " ")


def _differing(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Parameters that change. A secret is asterisks on both sides, so its change is not seen."""
    names = sorted(before.keys() | after.keys())
    return [
        line(f"Parameter {name}: {before.get(name, 'none')} → {after.get(name, 'none')}", 300)
        for name in names
        if before.get(name) != after.get(name)
    ]
