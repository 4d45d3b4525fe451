"""The alias of a state machine: its routing, and who changed it.

Step Functions has no conditional writes on an alias. So each holder of the lock first writes a tag of the state machine
with its fencing number and the routing that it is about to write. Then it reads, writes, and reads the tags again. Of
two concurrent writers at least one sees the other, and the older one writes the routing in the newer one's tag. The
alias's description has the number too, written together with the routing. So a manual change is detected, and a writer
recognizes its own write.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from tagship.aws.calls import REFUSED_CREDENTIALS, calling, code_of
from tagship.model.errors import (
    AwsUnavailable,
    BaselineMissing,
    LockLost,
    TagshipError,
    TargetInvalid,
    TargetMoved,
)
from tagship.targets.step_functions import StepFunctionsTarget, alias_arn, machine_arn

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

Routes = Mapping[str, int]
"""The share of each version, in percent; empty if the alias does not exist."""
NOT_THERE: Mapping[str, type[TagshipError]] = {
    **REFUSED_CREDENTIALS,
    "StateMachineDoesNotExist": TargetInvalid,
    "StateMachineDeleting": TargetInvalid,
    "InvalidArn": TargetInvalid,
    "KmsAccessDeniedException": TargetInvalid,
    "KmsInvalidStateException": TargetInvalid,
}
_REFUSED: Mapping[str, type[TagshipError]] = {
    **NOT_THERE,
    "ConflictException": TargetMoved,
    "ResourceNotFound": BaselineMissing,
    "ServiceQuotaExceededException": TargetInvalid,
}
_FENCE = "tagship:fence:"
_WRITTEN = re.compile(r"\bfence (\d+)\b")
_TURNS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An alias as it was read."""

    routes: Routes
    description: str

    @property
    def fence(self) -> int:
        """The fencing number in the alias's description; 0 if Tagship has never written the alias."""
        found = _WRITTEN.search(self.description)
        return int(found[1]) if found else 0

    @property
    def etag(self) -> str:
        """A hash of the routing and of the description, which names the writer."""
        return hashlib.sha256(f"{_text(self.routes)}|{self.description}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """The alias of one state machine, for one release."""

    application: str
    tag: str
    spec: StepFunctionsTarget
    states: SFNClient

    # ---- reading ---------------------------------------------------------------------------------------------------

    def look(self) -> Standing | None:
        """None if there is no alias. Raises TargetInvalid, CredentialsRefused, AwsUnavailable."""
        try:
            with calling(f"{self._release}: looking at {self.name}", **NOT_THERE):
                found = self.states.describe_state_machine_alias(stateMachineAliasArn=self.arn)
        except ClientError as error:
            if code_of(error) == "ResourceNotFound":
                return None
            raise
        routes = {
            each["stateMachineVersionArn"].rpartition(":")[2]: int(each["weight"])
            for each in found["routingConfiguration"]
            if each["weight"]
        }
        return Standing(routes=routes, description=found.get("description") or "")

    def fences(self) -> dict[int, str]:
        """The fencing numbers in the tags, each with the routing that its holder intended."""
        with calling(f"{self._release}: looking at the tags of {self.spec.stateMachine}", **_REFUSED):
            tags = self.states.list_tags_for_resource(resourceArn=machine_arn(self.spec))["tags"]
        written = {str(each.get("key")): str(each.get("value")) for each in tags}
        return {
            int(number): text
            for key, text in written.items()
            if key.startswith(_FENCE) and (number := key.removeprefix(_FENCE)).isdigit()
        }

    def refuse_older(self, standing: Standing | None, fences: Mapping[int, str], fence: int) -> None:
        """Raises LockLost if a newer fencing number exists."""
        newest = max((*fences, standing.fence if standing else 0), default=0)
        if newest > fence:
            raise LockLost(
                f"{self._release}: {self.name} was changed with the newer fencing number {newest}, so {fence} can no "
                "longer change it."
            )

    # ---- writing ---------------------------------------------------------------------------------------------------

    def mark(self, fences: Mapping[int, str], fence: int, routes: Routes) -> None:
        """Writes the fencing number and the intended routing as a tag, then removes older tags."""
        if fences.get(fence) != _text(routes):
            with calling(f"{self._release}: marking {self.spec.stateMachine}", **_REFUSED):
                self.states.tag_resource(
                    resourceArn=machine_arn(self.spec),
                    tags=[{"key": f"{_FENCE}{fence}", "value": _text(routes)}],
                )
        if older := [f"{_FENCE}{each}" for each in fences if each < fence]:
            with calling(f"{self._release}: unmarking {self.spec.stateMachine}", **_REFUSED):
                self.states.untag_resource(resourceArn=machine_arn(self.spec), tagKeys=older)

    def write(self, standing: Standing | None, routes: Routes, fence: int) -> str:
        """Writes the alias, then checks the tags again; returns the alias's etag.

        Raises LockLost if a newer fencing number, or a newer step of the same release, appeared meanwhile; the alias is then
        routed as the newer one intended. Raises BaselineMissing if a version no longer exists.
        """
        self._write(standing, routes, fence)
        mine = (fence, _text(routes))
        wrote = mine
        for _ in range(_TURNS):
            newest = max(self.fences().items(), default=mine)
            if newest[0] < fence or newest == wrote:
                break
            self._write(self.look(), _routes(newest[1]), newest[0])
            wrote = newest
        if wrote != mine:
            raise LockLost(
                f"{self._release}: {self.name} was moved with the fencing number {wrote[0]} at the same time. Tagship undid "
                "the late move."
            )
        return Standing(routes=routes, description=self._description(fence)).etag

    def _write(self, standing: Standing | None, routes: Routes, fence: int) -> None:
        if not routes:
            if standing is not None:
                self._delete()
            return
        request: dict[str, Any] = {
            "description": self._description(fence),
            "routingConfiguration": [
                {"stateMachineVersionArn": f"{machine_arn(self.spec)}:{version}", "weight": weight}
                for version, weight in routes.items()
            ],
        }
        # Of an alias to create: it exists by now. Of one to change: another change of the state machine is in progress.
        conflict = TargetMoved if standing is None else AwsUnavailable
        with calling(f"{self._release}: moving {self.name}", **{**_REFUSED, "ConflictException": conflict}):
            if standing is None:
                self.states.create_state_machine_alias(name=self.spec.alias, **request)
            else:
                self.states.update_state_machine_alias(stateMachineAliasArn=self.arn, **request)

    def _delete(self) -> None:
        try:
            with calling(f"{self._release}: deleting {self.name}", **NOT_THERE):
                self.states.delete_state_machine_alias(stateMachineAliasArn=self.arn)
        except ClientError as error:
            if code_of(error) != "ResourceNotFound":  # a duplicate has deleted it
                raise

    def hold(self, version: str, fence: int) -> None:
        """Points a separate alias, which nobody calls, at the baseline, so that Step Functions refuses to delete that
        version.

        So no clean-up tool can remove what a rollback needs. The next release points the alias at its own baseline.

        Raises BaselineMissing if the version is already gone.
        """
        name = f"tagship-baseline-of-{self.spec.alias}"
        request: dict[str, Any] = {
            "description": f"keeps what a rollback of {self._release} restores, fence {fence}",
            "routingConfiguration": [
                {"stateMachineVersionArn": f"{machine_arn(self.spec)}:{version}", "weight": 100}
            ],
        }
        what = f"{self._release}: keeping version {version} of {self.spec.stateMachine} for a rollback"
        try:
            with calling(what, **NOT_THERE):
                self.states.update_state_machine_alias(
                    stateMachineAliasArn=f"{machine_arn(self.spec)}:{name}", **request
                )
        except ClientError as error:
            if code_of(error) != "ResourceNotFound":
                raise
            with calling(what, **_REFUSED):
                self.states.create_state_machine_alias(name=name, **request)

    # ---- words -----------------------------------------------------------------------------------------------------

    @property
    def arn(self) -> str:
        """The ARN with which callers start executions."""
        return alias_arn(self.spec)

    @property
    def name(self) -> str:
        """The alias's name for messages."""
        return f"the alias {self.spec.alias} of {self.spec.stateMachine}"

    def by_hand(self, version: str) -> str:
        """The command that gives one version all traffic; without a version, the one that removes the alias."""
        of = f"--state-machine-alias-arn {self.arn} --region {self.spec.region}"
        if not version:
            return f"aws stepfunctions delete-state-machine-alias {of}"
        return (
            f"aws stepfunctions update-state-machine-alias {of} --routing-configuration "
            f"stateMachineVersionArn={machine_arn(self.spec)}:{version},weight=100"
        )

    def _description(self, fence: int) -> str:
        return f"tagship {self._release}, fence {fence}"

    @property
    def _release(self) -> str:
        return f"{self.application} {self.tag}".rstrip()


def described(standing: Standing | None) -> str:
    """`version 11 with 90 %, version 12 with 10 %`."""
    if standing is None:
        return "nothing"
    return ", ".join(
        f"version {version}{'' if share == 100 else f' with {share} %'}"
        for version, share in standing.routes.items()
    )


def _text(routes: Routes) -> str:
    """The value of a tag: `11=90 12=10`."""
    return " ".join(f"{version}={share}" for version, share in sorted(routes.items())) or "none"


def _routes(text: str) -> Routes:
    return {
        version: int(share)
        for version, is_, share in (each.partition("=") for each in text.split())
        if is_ and share.isdigit()
    }
