"""Finds and deletes the versions that earlier releases left on functions, unless something still uses them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from tagship.aws.calls import REFUSED_CREDENTIALS, calling, code_of, message_of
from tagship.aws.rights import function_arn
from tagship.model.errors import TargetInvalid
from tagship.model.records import Revision
from tagship.targets.kind import Stored, is_unnumbered
from tagship.targets.lambda_alias import LambdaTarget
from tagship.targets.lambda_callers import Caller, callers, in_words
from tagship.targets.lambda_configuration import digest_of
from tagship.targets.lambda_parts import part_of
from tagship.text.words import listed

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import FunctionConfigurationTypeDef as Configuration

_LATEST = "$LATEST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """The published versions of one function, read with the caller's permissions."""

    application: str
    spec: LambdaTarget
    client: LambdaClient
    named: bool = False
    """Whether messages need the function's name, because there are several."""

    def stored(self, known: Sequence[Revision]) -> Sequence[Stored]:
        """A version belongs to a release only if it has the recorded code; a recreated function starts counting at 1
        again.

        A version whose number was not recorded, because the step died, belongs to the release that was about to publish
        exactly its code and configuration.
        """
        aliases, provisioned = self._aliases(), self._provisioned()
        unnumbered = self._unnumbered(known)
        found = []
        for version in sorted(self._versions(), key=lambda each: int(each["Version"])):
            number = version["Version"]
            revisions = [each for each in known if self._is(each, version)]
            revisions = revisions or self._about_to_publish(unnumbered, version)
            uses = [f"the alias {name} points at it" for name in aliases.get(number, ())]
            uses += ["it has provisioned concurrency"] if number in provisioned else []
            if revisions and not uses:  # the other versions are kept anyway
                uses = list(filter(None, [in_words(self._callers(number))]))
            stored = Stored(
                name=f"version {number}{self._ending}",
                revisions=revisions,
                stored_as=f"{number} {version['CodeSha256']}",
                used=listed(uses),
                size=version["CodeSize"],
            )
            found.append(stored)
        return found

    def delete(self, stored: Stored) -> None:
        """Deletes one version, never the function. Lambda itself refuses one that an alias points at."""
        version = stored.name.removeprefix("version ").removesuffix(self._ending)
        # Without a version number Lambda would delete the whole function.
        if not version.isdecimal():
            raise TargetInvalid(
                f"{self.application}: {stored.name} of {self.spec.function} was not deleted: it has no version number, and "
                "without one Lambda would delete the whole function. This is a bug in Tagship: please report it."
            )
        if not stored.revisions:
            raise TargetInvalid(
                f"{self.application}: version {version} of {self.spec.function} was not deleted: no release in the ledger "
                "made it. If nobody needs it, delete it by hand: aws lambda delete-function --function-name "
                f"{self.spec.function} --qualifier {version} --region {self.spec.region}"
            )
        try:
            with self._calling(f"deleting version {version} of {self.spec.function}"):
                self.client.delete_function(FunctionName=self.spec.function, Qualifier=version)
        except ClientError as error:
            if code_of(error) == "ResourceNotFoundException":
                return
            raise TargetInvalid(
                f"{self.application}: version {version} of {self.spec.function} was not deleted: AWS refused "
                f"({code_of(error)}): {message_of(error)}"
            ) from error

    def keeps(self, stored: Stored) -> bool:
        """Whether it is a version of this function."""
        return stored.name.endswith(self._ending)

    def _is(self, revision: Revision, version: Configuration) -> bool:
        part = part_of(revision, self.spec.of)
        wanted = (version["Version"], version["CodeSha256"])
        return part is not None and (part["id"], part["data"].get("codeSha256")) == wanted

    def _unnumbered(self, known: Sequence[Revision]) -> Sequence[tuple[Revision, Revision]]:
        """Revisions, with their part for this function, that were about to be published, if no number was recorded for
        that part since."""
        parts = [(each, part) for each in known if (part := part_of(each, self.spec.of))]
        numbered = {part["digest"] for _, part in parts if part["id"]}
        return [(each, part) for each, part in parts if is_unnumbered(part, numbered)]

    def _about_to_publish(
        self, unnumbered: Collection[tuple[Revision, Revision]], version: Configuration
    ) -> list[Revision]:
        code = version["CodeSha256"]
        alike = [(each, part) for each, part in unnumbered if part["data"].get("codeSha256") == code]
        if not alike:
            return []
        with self._calling(f"looking at version {version['Version']} of {self.spec.function}"):
            found = self.client.get_function_configuration(
                FunctionName=self.spec.function, Qualifier=version["Version"]
            )
        return [each for each, part in alike if part["digest"] == digest_of(found, code)]

    @property
    def _ending(self) -> str:
        return f" of {self.spec.function}" if self.named else ""

    def _versions(self) -> Iterator[Configuration]:
        for page in self._pages("list_versions_by_function", "looking at the versions of"):
            yield from (each for each in page["Versions"] if each["Version"] != _LATEST)

    def _aliases(self) -> Mapping[str, list[str]]:
        """The names of the aliases that point at each version, with any share of their traffic."""
        found: dict[str, list[str]] = {}
        for page in self._pages("list_aliases", "looking at the aliases of"):
            for alias in page["Aliases"]:
                weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
                for version in (alias["FunctionVersion"], *weights):
                    found.setdefault(version, []).append(alias["Name"])
        return found

    def _callers(self, number: str) -> Sequence[Caller]:
        return callers(self.client, arn=self._arn, qualifier=number, about=self.application)

    def _provisioned(self) -> set[str]:
        """The versions with their own provisioned concurrency. An alias's is found through the alias."""
        try:
            pages = list(self._pages("list_provisioned_concurrency_configs", "looking at the concurrency of"))
        except ClientError as error:
            if code_of(error) != "ProvisionedConcurrencyConfigNotFoundException":
                raise
            return set()  # the embedded engine's answer; AWS returns an empty list
        found = [each for page in pages for each in page["ProvisionedConcurrencyConfigs"]]
        return {each["FunctionArn"].rpartition(":")[2] for each in found}

    def _pages(self, operation: str, what: str) -> Iterator[Mapping[str, Any]]:
        request: dict[str, str] = {"FunctionName": self.spec.function}
        while True:
            with self._calling(f"{what} {self.spec.function}", ResourceNotFoundException=TargetInvalid):
                page = getattr(self.client, operation)(**request)
            yield page
            if not page.get("NextMarker"):
                return
            request["Marker"] = page["NextMarker"]

    def _calling(self, what: str, **refusals: type[TargetInvalid]) -> AbstractContextManager[None]:
        return calling(f"{self.application}: {what}", **REFUSED_CREDENTIALS, **refusals)

    @property
    def _arn(self) -> str:
        return function_arn(self.spec, self.spec.function)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllVersions:
    """The published versions of several functions."""

    parts: Sequence[Versions]

    def stored(self, known: Sequence[Revision]) -> Sequence[Stored]:
        """The versions, function by function."""
        return [each for part in self.parts for each in part.stored(known)]

    def delete(self, stored: Stored) -> None:
        """Deletes a version of the function in its name."""
        next(part for part in self.parts if part.keeps(stored)).delete(stored)
