"""Finds and deletes the versions that earlier releases left on a state machine, unless something still uses them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from tagship.aws.calls import calling, code_of, message_of
from tagship.model.errors import TargetInvalid
from tagship.model.records import Revision
from tagship.targets.kind import Stored, is_unnumbered
from tagship.targets.step_functions import StepFunctionsTarget, alias_arn, machine_arn
from tagship.targets.step_functions_alias import NOT_THERE
from tagship.targets.step_functions_definition import digest_of, parse, settings_of
from tagship.targets.step_functions_executions import running
from tagship.text.words import listed

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """The versions of one state machine, read with the caller's permissions."""

    application: str
    spec: StepFunctionsTarget
    states: SFNClient

    def stored(self, known: Sequence[Revision]) -> Sequence[Stored]:
        """A version belongs to a release only if it has the recorded definition; the state machine may have been
        recreated.

        A version whose number was not recorded, because the step died, belongs to the release that was about to publish
        exactly its definition and settings.
        """
        aliases = self._aliases()
        ours = [each for each in known if self._is_ours(each)]
        numbered = {each["digest"] for each in ours if each["id"]}
        unnumbered = [each for each in ours if is_unnumbered(each, numbered)]
        found = []
        for number in sorted(self._numbers(), key=int):
            recorded = [each for each in ours if each["id"] == number]
            definition, digest = self._digests(number) if recorded or unnumbered else ("", "")
            revisions = [each for each in recorded if each["data"]["definition"] == definition]
            revisions = revisions or [each for each in unnumbered if each["digest"] == digest]
            uses = [f"the alias {name} points at it" for name in aliases.get(number, ())]
            if revisions and not uses:  # the other versions are kept anyway
                names = running(self.states, self.spec, number, release=self.application) or ()
                uses += [f"executions are running on it, {names[0]} among them"] if names else []
            found.append(Stored(name=f"version {number}", revisions=revisions, used=listed(uses)))
        return found

    def delete(self, stored: Stored) -> None:
        """Deletes one version. Step Functions refuses one that an alias points at; running executions continue."""
        version = stored.name.removeprefix("version ")
        if not version.isdecimal():
            raise TargetInvalid(
                f"{self.application}: {stored.name} of {self.spec.stateMachine} was not deleted: it has no version number. "
                "This is a bug in Tagship: please report it."
            )
        if not stored.revisions:
            raise TargetInvalid(
                f"{self.application}: version {version} of {self.spec.stateMachine} was not deleted: no release in the "
                "ledger made it. If nobody needs it, delete it by hand: aws stepfunctions delete-state-machine-version "
                f"--state-machine-version-arn {machine_arn(self.spec)}:{version} --region {self.spec.region}"
            )
        try:
            with self._calling(f"deleting version {version} of {self.spec.stateMachine}"):
                self.states.delete_state_machine_version(
                    stateMachineVersionArn=f"{machine_arn(self.spec)}:{version}"
                )
        except ClientError as error:
            if code_of(error) == "ResourceNotFound":
                return
            raise TargetInvalid(
                f"{self.application}: version {version} of {self.spec.stateMachine} was not deleted: AWS refused "
                f"({code_of(error)}): {message_of(error)}"
            ) from error

    def _is_ours(self, revision: Revision) -> bool:
        return revision["data"].get("of") == alias_arn(self.spec)

    def _digests(self, number: str) -> tuple[str, str]:
        """Of the definition alone, and with the settings."""
        with self._calling(f"looking at version {number} of {self.spec.stateMachine}"):
            found = self.states.describe_state_machine(stateMachineArn=f"{machine_arn(self.spec)}:{number}")
        document = parse(found["definition"])
        return digest_of(document), digest_of(document, settings_of(found))

    def _numbers(self) -> Iterator[str]:
        for page in self._pages("list_state_machine_versions", "versions"):
            for each in page["stateMachineVersions"]:
                yield each["stateMachineVersionArn"].rpartition(":")[2]

    def _aliases(self) -> Mapping[str, list[str]]:
        """The names of the aliases that point at each version, with any share of the traffic."""
        found: dict[str, list[str]] = {}
        for page in self._pages("list_state_machine_aliases", "aliases"):
            for each in page["stateMachineAliases"]:
                arn = each["stateMachineAliasArn"]
                with self._calling(f"looking at {arn}"):
                    alias = self.states.describe_state_machine_alias(stateMachineAliasArn=arn)
                for route in alias["routingConfiguration"]:
                    version = route["stateMachineVersionArn"].rpartition(":")[2]
                    found.setdefault(version, []).append(arn.rpartition(":")[2])
        return found

    def _pages(self, operation: str, what: str) -> Iterator[Mapping[str, Any]]:
        request: dict[str, str] = {"stateMachineArn": machine_arn(self.spec)}
        while True:
            with self._calling(f"looking at the {what} of {self.spec.stateMachine}"):
                page = getattr(self.states, operation)(**request)
            yield page
            if not page.get("nextToken"):
                return
            request["nextToken"] = page["nextToken"]

    def _calling(self, what: str) -> AbstractContextManager[None]:
        return calling(f"{self.application}: {what}", **NOT_THERE)
