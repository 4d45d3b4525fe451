"""The adapter of target `step-functions`. The candidate is a published version; traffic moves by the alias's weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tagship.aws.calls import REFUSED_CREDENTIALS, calling
from tagship.model.errors import (
    BaselineMissing,
    CandidateNotReady,
    NotStable,
    PlanChanged,
    TagshipError,
    TargetInvalid,
    TargetMoved,
)
from tagship.model.records import Revision
from tagship.model.release import Artifact, PinnedObject
from tagship.targets import step_functions_definition as definitions
from tagship.targets.kind import (
    Artifacts,
    Change,
    Finding,
    Made,
    Move,
    Opened,
    Prepared,
    about_to_publish,
    brought,
)
from tagship.targets.step_functions import DEFINITION, StepFunctionsTarget, machine_arn
from tagship.targets.step_functions_alias import NOT_THERE, Alias, Routes, Standing, described
from tagship.targets.step_functions_executions import bypassing, try_out, unfinished, used
from tagship.text.plain import line
from tagship.text.words import first, listed

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient
    from mypy_boto3_stepfunctions.type_defs import ListStateMachineVersionsInputTypeDef

_PACE_SECONDS = 2
_MOST_VERSIONS = 1000
"""The limit of versions of a state machine (service quotas, "Published state machine versions")."""
_NEARLY_FULL = 900
_DIAGNOSTICS = 10
_MOST_CHARACTERS = 100_000
"""The limit of all differences in bytes: they pass between steps (256 KB), and the ledger stores them in one item (400
KB)."""

_PUBLISHING: Mapping[str, type[TagshipError]] = {
    **NOT_THERE,
    "InvalidDefinition": TargetInvalid,
    "ValidationException": TargetInvalid,
    "ServiceQuotaExceededException": TargetInvalid,
    # Somebody, or a duplicate, changed the state machine between our read and our write.
    "ConflictException": CandidateNotReady,
}


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class StateMachine:
    """One alias of one state machine, for one release."""

    application: str
    tag: str
    spec: StepFunctionsTarget
    states: SFNClient
    trying: SFNClient
    """For the synthetic execution: a client that waits longer and does not retry."""
    s3: Any
    now: Callable[[], datetime] = field(default=_utc_now, compare=False)

    # ---- before approval -------------------------------------------------------------------------------------------

    def check(self, current: Revision | None) -> Finding:
        """Checks the state machine, its role, its alias, its quota of versions, and executions that bypass the alias."""
        machine = self._machine()
        self._allowed_role(machine)
        alias = self._alias.look()
        self._one_version(alias)
        said = self._undrifted(alias, current)
        room, direct = self._room(), self._bypassing(machine)
        remedy = f"Start executions with the alias {self._alias.arn}, not with {self._arn}"
        return Finding(said=said, warning=f"{room} {direct}".strip(), remedies=[remedy] if direct else [])

    def _allowed_role(self, machine: Mapping[str, Any]) -> None:
        if machine["roleArn"] not in self.spec.executionRoles:
            raise TargetInvalid(
                f"{self._release}: {self.spec.stateMachine} runs with the role {machine['roleArn']}, which is not among the "
                "target's executionRoles. Nothing was changed. Give it one of them, or add this role to the "
                "application's configuration."
            )

    def _undrifted(self, alias: Standing | None, recorded: Revision | None) -> str:
        if recorded is None or not self._is_ours(recorded):
            return f"{self.spec.stateMachine} can be changed."
        if alias is None or list(alias.routes) != [recorded["id"]]:
            raise TargetMoved(
                f"{self._release}: {self._alias.name} points at {described(alias)}, but according to the ledger version "
                f"{recorded['id']} is deployed: someone else moved the alias. Tagship did not overwrite it. To restore "
                f"version {recorded['id']}: {self._alias.by_hand(recorded['id'])}"
            )
        return f"{self.spec.stateMachine} can be changed, and {self._alias.name} has not changed since the last release."

    def _one_version(self, alias: Standing | None) -> None:
        if alias is not None and len(alias.routes) != 1:
            raise TargetInvalid(
                f"{self._release}: {self._alias.name} points at {described(alias)}. Send all its traffic to one version "
                f"first: {self._alias.by_hand('<version>')}. Nothing was changed."
            )

    def _room(self) -> str:
        """A warning if the quota of versions is nearly used up, else empty."""
        number = self._count()
        delete = "Delete old versions (`tagship retention` shows which)"
        if number >= _MOST_VERSIONS:
            raise TargetInvalid(
                f"{self._release}: {self.spec.stateMachine} has {number} versions, as many as Step Functions "
                f"allows. Nothing was changed. {delete}, then retry the release."
            )
        if number >= _NEARLY_FULL:
            return (
                f"{self.spec.stateMachine} has {number} of at most {_MOST_VERSIONS} versions. {delete}; "
                "executions that run on them continue."
            )
        return ""

    def _count(self) -> int:
        """How many versions there are, over all pages."""
        request: ListStateMachineVersionsInputTypeDef = {
            "stateMachineArn": self._arn,
            "maxResults": _MOST_VERSIONS,
        }
        number = 0
        while True:
            with calling(f"{self._release}: counting the versions of {self.spec.stateMachine}", **NOT_THERE):
                page = self.states.list_state_machine_versions(**request)
            number += len(page["stateMachineVersions"])
            if not page.get("nextToken"):
                return number
            request["nextToken"] = page["nextToken"]

    def _bypassing(self, machine: Mapping[str, Any]) -> str:
        """A warning if executions are started without the alias, else empty."""
        if machine.get("type") == "EXPRESS":
            return ""
        found = bypassing(self.states, self.spec, now=self.now(), release=self._release)
        if not found:
            return ""
        many = "1 execution was" if len(found) == 1 else f"{len(found)} executions were"
        return (
            f"In the last 7 days {many} started on {self.spec.stateMachine} itself and not through the alias (the "
            f"newest: {', '.join(found[:3])}). Such executions get a new release at once, before its health is "
            f"checked, and a rollback does not reach them. Point their callers at the alias {self.spec.alias}."
        )

    def dry_run(self, artifacts: Artifacts) -> Finding:
        """Has Step Functions validate the definition, which creates nothing."""
        text, _ = self._asked(artifacts)
        machine = self._machine()
        with calling(
            f"{self._release}: validating the definition", ValidationException=TargetInvalid, **NOT_THERE
        ):
            found = self.states.validate_state_machine_definition(
                definition=text, type=machine["type"], severity="WARNING"
            )
        messages: dict[str, list[str]] = {"ERROR": [], "WARNING": []}
        for each in found["diagnostics"]:
            at = f" at {each['location']}" if each.get("location") else ""
            messages[each["severity"]].append(line(f"{each['code']}: {each['message']}{at}", 300))
        if found["result"] != "OK":
            raise TargetInvalid(
                f"{self._release}: Step Functions does not accept the definition. Nothing was changed. "
                f"{' '.join(first(messages['ERROR'], _DIAGNOSTICS)) or 'It gave no reason.'}"
            )
        warning = (
            f"Step Functions warns: {' '.join(first(messages['WARNING'], _DIAGNOSTICS))}"
            if messages["WARNING"]
            else ""
        )
        return Finding(said="Step Functions accepts the definition.", warning=warning)

    def look_into(self, artifacts: Artifacts, opened: Opened) -> tuple[str, Sequence[str]]:
        """Checks that it is a definition, with the substitutions applied."""
        artifact, pinned = self._brought(artifacts)
        with opened(pinned) as file:
            content = file.read(definitions.MOST_BYTES + 1)
        try:
            _, document = definitions.read(content, self.spec.substitutions)
        except definitions.Unreadable as error:
            return "", [f"{artifact.file} is not a valid definition: {error}."]
        number = len(list(definitions.states_of(document)))
        states = "1 state" if number == 1 else f"{number} states"
        return f"{artifact.file} defines {states}, beginning with {document['StartAt']}.", []

    def restorable(self, current: Revision | None) -> Finding | None:
        """Checks that the current version exists and has the recorded definition."""
        alias = self._alias.look()
        self._one_version(alias)
        if alias is None:
            return None
        (version,) = alias.routes
        if current and self._is_ours(current) and current["id"] == version:
            self.exists(current)
        else:
            self._machine(version, missing=BaselineMissing)
        return Finding(said=f"version {version} of {self.spec.stateMachine}")

    def plan(self, artifacts: Artifacts, parameters: Mapping[str, str], *, weighted: bool) -> Change:  # noqa: ARG002 (a definition takes none; any two versions can share traffic)
        """Compares the current version with the release's definition and the state machine's settings."""
        _, document = self._asked(artifacts)
        alias = self._alias.look()
        self._one_version(alias)
        latest = self._machine()
        self._allowed_role(latest)
        candidate = self._revision("", document, latest)
        candidate["data"] = {
            **candidate["data"],
            "settings": definitions.digest_of(definitions.settings_of(latest)),
            "revisionId": _revision_id(latest),
        }
        warnings = self._warnings(document)
        unqualified = (
            "Executions that are started without the alias use the new definition as soon as the release is approved, "
            "before its health is checked."
        )
        if alias is None:
            return Change(
                baseline=None,
                candidate=candidate,
                summary=[
                    f"{self._alias.name} does not exist; it will be created and will send all traffic to the new version.",
                    "Nothing serves traffic now: a rollback would remove the alias again.",
                    f"Role: {latest['roleArn']}",
                    unqualified,
                ],
                warnings=warnings,
            )
        (version,) = alias.routes
        serving = self._machine(version, missing=BaselineMissing)
        before = _parsed(serving)
        baseline = self._revision(version, before, serving)
        baseline["etag"] = alias.etag
        if baseline["digest"] == candidate["digest"]:
            return Change(
                baseline=baseline,
                candidate=baseline,
                nothingToChange=True,
                summary=[
                    f"Nothing to change: {self._alias.name} already runs this definition, as version {version}."
                ],
            )
        return Change(
            baseline=baseline,
            candidate=candidate,
            summary=[
                f"{self._alias.name}: version {version} → a new version",
                *definitions.settings_changed(serving, latest),
                *(self._differences(before, document) or ["Definition: no state changes what it does."]),
                "Running executions stay on their version until they end, also after a rollback.",
                unqualified,
            ],
            warnings=[*warnings, *self._foreign(latest, serving, candidate)],
        )

    def _differences(self, before: Mapping[str, Any], document: Mapping[str, Any]) -> list[str]:
        found = definitions.differences(before, document)
        if sum(map(len, found)) > _MOST_CHARACTERS:
            raise TargetInvalid(
                f"{self._release}: the definition changes so much ({len(found)} differences) that no request for approval "
                "can list it. Nothing was changed. Release the change in several parts."
            )
        return found

    def _foreign(
        self, latest: Mapping[str, Any], serving: Mapping[str, Any], candidate: Revision
    ) -> Sequence[str]:
        """Warns if the state machine has a definition that is not in use and that no release made."""
        stands = _definition(latest)
        if stands in (_definition(serving), candidate["data"]["definition"]):
            return ()
        newest = self._newest()
        if newest and _definition(newest) == stands and newest.get("description", "").startswith("tagship "):
            return ()  # it was released, and rolled back
        return (
            (
                f"Someone else changed the definition of {self.spec.stateMachine} itself: it is not the current version's, "
                "and no release made it. This release replaces it."
            ),
        )

    def _warnings(self, document: Mapping[str, Any]) -> Sequence[str]:
        found = [line(each, 160) for each in definitions.unpinned(document)]
        warning = (
            f"{listed(found)} without a version or an alias. Running executions use new code as soon as it is "
            "deployed there, and a rollback of this release does not restore the old code. Name a version or an "
            "alias in the definition."
        )
        return (warning,) if found else ()

    # ---- the candidate ---------------------------------------------------------------------------------------------

    def prepare(self, artifacts: Artifacts, candidate: Revision, made: Made) -> Prepared:
        """Publishes the version, compares it with what was approved, and runs the synthetic execution."""
        text, document = self._asked(artifacts)
        latest = self._as_approved(document, self._machine(), candidate, "would be")
        made(about_to_publish(candidate))  # should this step die before it can record the version's number
        try:
            version = self._published(text, latest, candidate)
        except CandidateNotReady:
            return Prepared(wait=_PACE_SECONDS)
        made({**candidate, "id": version})
        try:
            published = self._machine(version, missing=BaselineMissing)
        except BaselineMissing:  # reads lag behind writes for a moment
            return Prepared(wait=_PACE_SECONDS)
        self._as_approved(_parsed(published), published, candidate, "is")
        if self.spec.synthetic:
            wait = try_out(
                self.trying,
                self.spec,
                self.spec.synthetic,
                version=version,
                express=published.get("type") == "EXPRESS",
                tag=self.tag,
                now=self.now(),
                release=self._release,
            )
            if wait:
                return Prepared(wait=wait)
        return Prepared(candidate={**candidate, "id": version})

    def _published(self, text: str, latest: Mapping[str, Any], candidate: Revision) -> str:
        """Updates and publishes in one call. A definition that is already there is published once, at exactly its
        revision."""
        stands = _definition(latest) == candidate["data"]["definition"]
        newest = self._newest() if stands else None
        if newest and newest.get("revisionId") == latest.get("revisionId"):
            return _number(newest["stateMachineArn"])
        with calling(f"{self._release}: publishing a version of {self.spec.stateMachine}", **_PUBLISHING):
            if stands:
                published = self.states.publish_state_machine_version(
                    stateMachineArn=self._arn, revisionId=_revision_id(latest), description=self._mark
                )
                return _number(published["stateMachineVersionArn"])
            self._undisturbed(latest, candidate)
            # The role is left out, so that a concurrent change of it shows in the version.
            updated = self.states.update_state_machine(
                stateMachineArn=self._arn, definition=text, publish=True, versionDescription=self._mark
            )
            return _number(updated["stateMachineVersionArn"])

    def _undisturbed(self, latest: Mapping[str, Any], candidate: Revision) -> None:
        """Raises PlanChanged unless this is the planned revision, or the one that an earlier attempt made."""
        planned = candidate["data"]
        made = (_definition(latest), definitions.digest_of(definitions.settings_of(latest)))
        if _revision_id(latest) != planned["revisionId"] and made != (
            planned["definition"],
            planned["settings"],
        ):
            raise PlanChanged(
                f"{self._release}: someone else changed {self.spec.stateMachine} after the plan was made. Tagship did not "
                "overwrite it, and no traffic was moved. Publish a new tag to plan and approve it again."
            )

    def _as_approved(
        self, document: Mapping[str, Any], machine: Mapping[str, Any], candidate: Revision, verb: str
    ) -> Mapping[str, Any]:
        """Raises PlanChanged if definition or settings differ from the approved candidate's."""
        if definitions.digest_of(document, definitions.settings_of(machine)) != candidate["digest"]:
            raise PlanChanged(
                f"{self._release}: the version that {verb} published is not the one that was approved: the definition, the "
                f"role or another setting of {self.spec.stateMachine} differs. No traffic was moved. Publish a new tag to "
                "plan and approve it again."
            )
        return machine

    # ---- traffic ---------------------------------------------------------------------------------------------------

    def verify_unchanged(self, move: Move) -> None:
        """Checks the alias, and the candidate's version; before there is one, the state machine."""
        self._as_expected(self._alias.look(), self._alias.fences(), move)
        if move.candidate["id"]:
            self._still_there(move.candidate, TargetInvalid)
        else:
            self._undisturbed(self._machine(), move.candidate)

    def set_weight(self, move: Move) -> str:
        """Tags the fencing number and the intent, reads again, writes the alias, and reads the tags again."""
        alias, fences, routes = self._alias.look(), self._alias.fences(), _wanted(move)
        if self._as_expected(alias, fences, move):
            return alias.etag if alias else ""
        self._still_there(move.candidate, TargetInvalid)
        self._alias.mark(fences, move.fence, routes)
        alias = self._alias.look()
        if self._as_expected(alias, self._alias.fences(), move):
            return alias.etag if alias else ""
        if move.percent == 100 and move.baseline:  # until now this alias points at it
            self._alias.hold(move.baseline["id"], move.fence)
        return self._alias.write(alias, routes, move.fence)

    def _as_expected(self, alias: Standing | None, fences: Mapping[int, str], move: Move) -> bool:
        """Whether an earlier attempt has already done it."""
        self._alias.refuse_older(alias, fences, move.fence)
        if alias is None:
            if move.etag:
                raise TargetMoved(
                    f"{self._release}: {self._alias.name} was deleted after the plan was made. Tagship changed nothing."
                )
            return False
        if alias.routes == _wanted(move) and alias.fence == move.fence:
            return True
        if alias.etag != move.etag:
            raise TargetMoved(self._moved(alias))
        return False

    def verify_weight(self, move: Move) -> int:
        """Waits until the alias reads as written: Step Functions is eventually consistent."""
        alias = self._alias.look()
        if alias is None:
            if move.baseline is None:
                return _PACE_SECONDS
            raise TargetMoved(
                f"{self._release}: {self._alias.name} no longer exists. Tagship changed nothing."
            )
        ours = {each["id"] for each in (move.baseline, move.candidate) if each}
        if not set(alias.routes) <= ours:
            raise TargetMoved(self._moved(alias))
        return 0 if alias.routes == _wanted(move) else _PACE_SECONDS

    # ---- the baseline ----------------------------------------------------------------------------------------------

    def exists(self, revision: Revision) -> None:
        """Checks that the version exists and has the recorded definition."""
        self._still_there(revision, BaselineMissing)

    def _still_there(self, revision: Revision, missing: type[TargetInvalid | BaselineMissing]) -> None:
        if not revision["id"]:
            raise missing(f"{self._release}: no version of {self.spec.stateMachine} was published yet.")
        found = self._machine(revision["id"], missing=missing)
        if _definition(found) != revision["data"]["definition"]:
            raise missing(
                f"{self._release}: version {revision['id']} of {self.spec.stateMachine} does not have the definition that "
                "was recorded: the state machine was created again."
            )

    def serving(self) -> Revision | None:
        """The version that has all of the alias's traffic."""
        alias = self._alias.look()
        self._one_version(alias)
        if alias is None:
            return None
        (version,) = alias.routes
        found = self._machine(version, missing=BaselineMissing)
        return self._revision(version, _parsed(found), found)

    def restore(
        self,
        *,
        baseline: Revision | None,
        candidate: Revision | None,
        fence: int,
        replaced: Revision | None = None,
    ) -> str:
        """Gives the baseline all traffic in one write. If nothing was deployed before the release, removes the alias.

        It lists the executions that still run on the candidate, because they cannot be undone.
        """
        ours = {each["id"] for each in (baseline, candidate, replaced) if each}
        routes: Routes = {baseline["id"]: 100} if baseline else {}
        alias, fences = self._standing_on(ours, fence, baseline)
        if baseline:
            self._still_there(baseline, BaselineMissing)
        elif alias is not None:
            self._refuse_to_delete(alias)
        stood = dict(alias.routes if alias else {}) == routes
        if not stood or (alias is not None and alias.fence != fence):
            self._alias.mark(fences, fence, routes)
            alias, _ = self._standing_on(ours, fence, baseline)
            try:
                self._alias.write(alias, routes, fence)
            except TargetMoved as error:  # changed since it was read: read again
                raise NotStable(str(error)) from error
        elif fence not in fences:  # nothing to move; a late step must still be refused
            self._alias.mark(fences, fence, routes)
        return f"{self._restored(baseline, stood=stood)} {self._not_undone(baseline, candidate)}".strip()

    def _standing_on(
        self, ours: set[str], fence: int, baseline: Revision | None
    ) -> tuple[Standing | None, dict[int, str]]:
        alias, fences = self._alias.look(), self._alias.fences()
        self._alias.refuse_older(alias, fences, fence)
        if alias is not None and not set(alias.routes) <= ours:
            raise TargetMoved(
                f"{self._moved(alias)} To restore the baseline by hand: "
                f"{self._alias.by_hand(baseline['id'] if baseline else '')}"
            )
        return alias, fences

    def _restored(self, baseline: Revision | None, *, stood: bool) -> str:
        if baseline is None:
            return f"{self._alias.name} was removed again: nothing served traffic before this release."
        if stood:
            return f"{self._alias.name} already sent all traffic to version {baseline['id']}."
        return f"{self._alias.name} sends all traffic to version {baseline['id']} again."

    def _not_undone(self, baseline: Revision | None, candidate: Revision | None) -> str:
        if not candidate or not candidate["id"] or (baseline and candidate["id"] == baseline["id"]):
            return ""
        return unfinished(self.states, self.spec, candidate["id"], release=self._release)

    def _refuse_to_delete(self, alias: Standing) -> None:
        """Raises BaselineMissing if executions are started with the alias: without it they would fail."""
        if used(self.states, self._alias.arn, release=self._release):
            raise BaselineMissing(
                f"{self._release}: nothing served traffic before this release, but executions were started with "
                f"{self._alias.name} since. The alias was therefore not removed: it points at {described(alias)}. Publish a "
                f"fix, or remove the alias: {self._alias.by_hand('')}"
            )

    # ---- reading ---------------------------------------------------------------------------------------------------

    def _machine(
        self, version: str = "", *, missing: type[TargetInvalid | BaselineMissing] = TargetInvalid
    ) -> Mapping[str, Any]:
        arn = f"{self._arn}:{version}" if version else self._arn
        what = f"version {version} of {self.spec.stateMachine}" if version else self.spec.stateMachine
        with calling(
            f"{self._release}: looking at {what}",
            **{**NOT_THERE, "StateMachineDoesNotExist": missing, "ResourceNotFound": missing},
        ):
            found: Mapping[str, Any] = self.states.describe_state_machine(stateMachineArn=arn)
        if found.get("status", "ACTIVE") != "ACTIVE":
            raise missing(f"{self._release}: {self.spec.stateMachine} is being deleted. Nothing was changed.")
        return found

    def _newest(self) -> Mapping[str, Any] | None:
        """The most recently published version."""
        what = f"{self._release}: looking at the newest version of {self.spec.stateMachine}"
        with calling(what, **NOT_THERE):
            found = self.states.list_state_machine_versions(stateMachineArn=self._arn, maxResults=1)
        newest = [_number(each["stateMachineVersionArn"]) for each in found["stateMachineVersions"]]
        return self._machine(newest[0]) if newest else None

    def _revision(self, version: str, document: Mapping[str, Any], machine: Mapping[str, Any]) -> Revision:
        return {
            "id": version,
            "digest": definitions.digest_of(document, definitions.settings_of(machine)),
            "data": {"of": self._alias.arn, "definition": definitions.digest_of(document)},
        }

    def _is_ours(self, recorded: Revision) -> bool:
        """Whether the record belongs to this alias. The configuration may have changed since."""
        return recorded["data"].get("of") == self._alias.arn

    def _brought(self, artifacts: Artifacts) -> tuple[Artifact, PinnedObject]:
        return brought(artifacts, DEFINITION, kind="step-functions", release=self._release)

    def _asked(self, artifacts: Artifacts) -> tuple[str, dict[str, Any]]:
        artifact, pinned = self._brought(artifacts)
        with calling(f"{self._release}: reading {artifact.file}", **REFUSED_CREDENTIALS):
            body = self.s3.get_object(Bucket=pinned.bucket, Key=pinned.key, VersionId=pinned.versionId)[
                "Body"
            ]
            content = body.read(definitions.MOST_BYTES + 1)
        try:
            return definitions.read(content, self.spec.substitutions)
        except definitions.Unreadable as error:
            raise TargetInvalid(
                f"{self._release}: {artifact.file} is not a valid definition: {error}. Nothing was changed."
            ) from error

    # ---- words -----------------------------------------------------------------------------------------------------

    @property
    def _alias(self) -> Alias:
        return Alias(application=self.application, tag=self.tag, spec=self.spec, states=self.states)

    @property
    def _arn(self) -> str:
        return machine_arn(self.spec)

    @property
    def _release(self) -> str:
        return f"{self.application} {self.tag}".rstrip()

    @property
    def _mark(self) -> str:
        return f"tagship {self._release}"

    def _moved(self, alias: Standing) -> str:
        return (
            f"{self._release}: {self._alias.name} was changed by someone else after the plan was made: it points at "
            f"{described(alias)}. Tagship did not overwrite it."
        )


def _number(arn: str) -> str:
    """The number in a version's ARN."""
    return arn.rpartition(":")[2]


def _parsed(machine: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return definitions.parse(machine["definition"])
    except definitions.Unreadable as error:
        raise TargetInvalid(
            f"The definition of {machine['stateMachineArn']} cannot be read: {error}. Nothing was changed."
        ) from error


def _definition(machine: Mapping[str, Any]) -> str:
    return definitions.digest_of(_parsed(machine))


def _revision_id(machine: Mapping[str, Any]) -> str:
    """A state machine that was never updated has none; `INITIAL` stands for it (PublishStateMachineVersion)."""
    return str(machine.get("revisionId") or "INITIAL")


def _wanted(move: Move) -> Routes:
    if move.baseline is None or move.percent == 100:
        return {move.candidate["id"]: 100}
    if move.percent == 0:
        return {move.baseline["id"]: 100}
    return {move.baseline["id"]: 100 - move.percent, move.candidate["id"]: move.percent}
