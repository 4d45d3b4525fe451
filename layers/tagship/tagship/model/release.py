"""The central noun: one tag of one application, its manifest and its pinned objects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Literal

import annotated_types as at
import semver

from tagship.model.errors import ReleaseUnreadable
from tagship.model.fields import Matching
from tagship.text.plain import shorten

APPLICATION_NAME = r"^[a-z][a-z0-9-]{1,39}$"
APPLICATION_NAME_WORDS = "a lower-case letter, then letters, digits and -, 2 to 40 in all"
MANIFEST = "release.json"
SIGNATURE = "release.json.sig"
"""The raw signature of the manifest's bytes, uploaded before it and pinned with it."""
PROMOTION = "promotion.json"
"""Confirms that the release succeeded in the previous stage; written by `tagship promote`."""
PROMOTION_SIGNATURE = "promotion.json.sig"
MANIFEST_BYTES = 262_144
"""A manifest is stored in one ledger item (DynamoDB: 400 KB) with the plan; its notes can have 40,000 characters of 4
bytes.
"""
WHY_CHARACTERS = 1000
"""The longest reason for a step that a person takes, such as a retry."""
BY_CHARACTERS = 300
"""The longest name of who ordered something. It comes from AWS, so a longer one is cut with a mark, not refused."""
NOTES_CHARACTERS = 40_000

TAG = r"^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$"
"""A rough pattern of a tag, for editors; `Tag.parse` decides."""
GIT_TAG = r"^(?!.*(\.\.|//|\.lock$|@\{))@?[A-Za-z0-9][A-Za-z0-9._/@+-]{0,199}$"
"""A git tag in the forms that teams use, also a package's full name (`@acme/storefront@1.4.0`); git itself allows more."""
_VERSION_OF_A_GIT_TAG = re.compile(
    r"(?:.*?[^0-9A-Za-z.])?v?(?P<numbers>\d{1,9}\.\d{1,9}\.\d{1,9}|\d{4}\.\d{1,9})(?P<rest>[+-].+)?", re.ASCII
)
_NAME = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]{1,100}"  # `.` and `..` would lead out of an address
REPOSITORY = Matching(rf"^{_NAME}/{_NAME}$", "owner/name")
_DOMAIN = r"(?![.-])(?!.*[.][.])(?!.*[.]$)[A-Za-z0-9.-]{1,190}"  # a trailing dot leads to the same mailbox
MAIL_ADDRESS = Matching(
    rf"^[^@\s<>\"',;:\\()\[\]]{{1,64}}@{_DOMAIN}$", "a plain mail address: name@example.com"
)
AUTHOR_ADDRESS = Matching(rf"^[^@\s<>\",;:\\()]{{1,64}}@{_DOMAIN}$", "a plain mail address: name@example.com")
"""A commit's author: also a bot's name with brackets, which mail servers take."""

_CONFIG = {"extra": "forbid", "use_attribute_docstrings": True, "strict": True}
_KEY = re.compile(r"releases/(?P<application>[^/]+)/(?P<tag>[^/]+)/release\.json")
_FILE = r"^(?!release\.json)(?!promotion\.json)(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._+-]{0,199}$"


class Status(StrEnum):
    """A release's status; every value except RUNNING is an ending, one to one with the execution's."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    INVALID = "INVALID"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    SUPERSEDED = "SUPERSEDED"
    ROLLED_BACK = "ROLLED_BACK"
    ROLLBACK_FAILED = "ROLLBACK_FAILED"
    ABORTED = "ABORTED"

    @property
    def error(self) -> str:
        """The name of the execution's error; empty if the execution does not fail."""
        return _ERRORS.get(self, "")

    @classmethod
    def of_error(cls, name: str | None) -> Status | None:
        """The ending for an execution's error."""
        return next((status for status, error in _ERRORS.items() if error == name), None)


_ERRORS = {
    Status.INVALID: "ReleaseInvalid",
    Status.REJECTED: "ReleaseRejected",
    Status.EXPIRED: "ApprovalExpired",
    Status.SUPERSEDED: "ReleaseSuperseded",
    Status.ROLLED_BACK: "ReleaseRolledBack",
    Status.ROLLBACK_FAILED: "RollbackFailed",
    Status.ABORTED: "ReleaseAborted",
}


def _match_of_git(ref: str) -> re.Match[str]:
    match = _VERSION_OF_A_GIT_TAG.fullmatch(ref) if re.search(GIT_TAG, ref) else None
    if match is None:
        raise ValueError(
            f"{ref[:128]!r} contains no version: it must end like v1.4.0, storefront/v1.4.0, "
            "storefront@1.4.0 or 2026.01.15"
        )
    return match


def family_of(ref: str) -> str:
    """The part of a git tag that all tags of one application share: what is before the version.

    Raises ValueError as `Tag.of_git` does.
    """
    return ref[: _match_of_git(ref).start("numbers")]


UNCHECKED = "The baseline was restored, but its health could not be checked."
"""The phrase in a rollback's ending if no check can test what was restored."""


@dataclass(frozen=True, slots=True, order=False)
class Tag:
    """`v` and a Semantic Versioning 2.0.0 version, ordered as SemVer orders (precedence: build metadata does not count)."""

    text: str
    version: semver.Version = field(compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> Tag:
        """Raises ValueError, with the expected form, for anything else."""
        if not text.startswith("v") or not text.isascii() or len(text) > 128:
            raise ValueError(
                f"{text[:128]!r} is not a tag: v and a semantic version, like v1.4.0 or v2.0.0-rc.1"
            )
        try:
            return cls(text, semver.Version.parse(text[1:]))
        except ValueError as error:
            raise ValueError(
                f"{text!r} is not a tag: v and a semantic version, like v1.4.0 or v2.0.0-rc.1"
            ) from error

    def newer_than(self, other: Tag) -> bool:
        """By SemVer precedence; two versions that differ only in build metadata are equally new."""
        return self.version.compare(other.version) > 0

    @classmethod
    def of_git(cls, ref: str) -> Tag:
        """The version that a git tag of any usual form names: `storefront/v1.4.0`, `@acme/storefront@1.4.0`, `2026.01`.

        Zeros in front of a number, as calendar versions have them, do not count. Raises ValueError for any other name.
        """
        match = _match_of_git(ref)
        numbers = [int(number) for number in match["numbers"].split(".")]
        version = ".".join(map(str, [*numbers, 0][:3]))
        return cls.parse(f"v{version}{match['rest'] or ''}")

    @property
    def is_pre_release(self) -> bool:
        """Whether it is a pre-release: `v2.0.0-rc.1`."""
        return self.version.prerelease is not None

    def __str__(self) -> str:
        return self.text


def parameter_name(stage: str, application: str) -> str:
    """The parameter of an application's configuration."""
    return f"/tagship/{stage}/applications/{application}"


def secret_prefix(stage: str, application: str, service: str) -> str:
    """The prefix of an application's secrets for a service, so that no other application's secret matches."""
    return f"tagship/{stage}/{application}/{service}"


def place_of(key: str) -> tuple[str, str]:
    """The application and the tag in a manifest's key.

    Raises ValueError for a key that is not `releases/<application>/<tag>/release.json` with valid names.
    """
    match = _KEY.fullmatch(key)
    if not match or not re.fullmatch(APPLICATION_NAME, match["application"]):
        raise ValueError(f"{key[:300]!r} is not releases/<application>/<tag>/release.json")
    Tag.parse(match["tag"])
    return match["application"], match["tag"]


def folder_of(application: str, tag: str) -> str:
    """The folder of a release's objects in the bucket."""
    return f"releases/{application}/{tag}/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One file of a release."""

    __pydantic_config__ = _CONFIG

    name: Annotated[str, at.MinLen(1), at.MaxLen(64)]
    """Its name, as the kind of target defines it."""
    file: Annotated[str, Matching(_FILE, "a plain file name: letters, digits, . _ + - and no path")]
    """The file's name, in the manifest's folder: letters, digits, `.`, `_`, `+` and `-`; no path."""
    sha256: Annotated[str, Matching(r"^[0-9a-f]{64}$", "64 lower-case hexadecimal digits")]
    """The file's SHA-256, 64 lower-case hexadecimal digits."""
    size: Annotated[int, at.Ge(1), at.Le(5 * 1024**4)]
    """The file's size in bytes."""


COMMITS = 30
"""How many commits a manifest names; it counts all of them."""
COMPARE = (
    r"^https://[A-Za-z0-9.-]{1,200}(:\d{1,5})?/[A-Za-z0-9._/%@~-]{1,300}/compare/[A-Za-z0-9._/%@~-]{1,300}$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One commit, as git tells it."""

    __pydantic_config__ = _CONFIG

    commit: Annotated[str, Matching(r"^[0-9a-f]{40}$", "40 lower-case hexadecimal digits")]
    """Its hash, 40 lower-case hexadecimal digits."""
    subject: Annotated[str, at.MaxLen(200)]
    """The first line of its message."""
    author: Annotated[str, at.MaxLen(100)]
    """Who wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The commits between the tag before and this one. The publisher provides them, and nobody verifies them."""

    __pydantic_config__ = _CONFIG

    since: Annotated[str, Matching(GIT_TAG, "a git tag, like v1.3.2")]
    """The git tag before this one."""
    count: Annotated[int, at.Ge(0), at.Le(1_000_000)]
    """How many commits there are in all."""
    commits: Annotated[tuple[Commit, ...], at.MaxLen(COMMITS)] = ()
    """The newest of them."""
    compare: Annotated[str, Matching(rf"^$|{COMPARE}", "an https address that compares two tags")] = ""
    """Where the two tags are compared."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Changes:
        """From the ledger, where it is already validated."""
        return cls(**{**data, "commits": tuple(Commit(**each) for each in data["commits"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """`release.json`: what a tag is made of, uploaded last."""

    __pydantic_config__ = _CONFIG

    schemaVersion: Literal[1]
    """The version of this document's format."""
    application: Annotated[str, Matching(APPLICATION_NAME, APPLICATION_NAME_WORDS)]
    """The application's name, as in its configuration."""
    tag: Annotated[str, Matching(TAG, "v and a semantic version, like v1.4.0 or v2.0.0-rc.1")]
    """`v` and a Semantic Versioning 2.0.0 version."""
    commit: Annotated[str, Matching(r"^[0-9a-f]{40}$", "40 lower-case hexadecimal digits")]
    """The commit that was built, 40 lower-case hexadecimal digits."""
    repository: Annotated[str, REPOSITORY]
    """The source repository: `owner/name`."""
    author: Annotated[str, AUTHOR_ADDRESS]
    """The mail address of the release's author, who may not approve it unless the application allows that."""
    createdAt: Annotated[
        str,
        Matching(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$", "a UTC time like 2026-11-22T10:00:00Z"),
    ]
    """When it was built, UTC: `2026-11-22T10:00:00Z`."""
    artifacts: Annotated[tuple[Artifact, ...], at.MinLen(1), at.MaxLen(50)]
    """The files, in the same folder as this manifest."""
    notes: Annotated[str, at.MaxLen(NOTES_CHARACTERS)] = ""
    """Release notes: free text, shown to approvers as plain text; messages show only the beginning."""
    parameters: Annotated[dict[str, str], at.MaxLen(100)] = field(default_factory=dict)
    """Parameters for the target, e.g. CloudFormation parameters."""
    emergency: Annotated[str, at.MaxLen(500)] = ""
    """Why this cannot wait: the release ignores freezes and windows, and every approver who may decide must approve."""
    rollbackUnsafe: Annotated[str, at.MaxLen(500)] = ""
    """Why the previous version cannot work after this release (a migration): nothing is then rolled back automatically."""
    ref: Annotated[str, Matching(f"^$|{GIT_TAG}", "a git tag, like storefront/v1.4.0")] = ""
    """The git tag in the repository, if it differs from `tag`: `storefront/v1.4.0`. It must name the same version."""
    changes: Changes | None = None
    """The commits since the tag before, for approvers; `tagship publish` takes them from git."""

    @property
    def git_tag(self) -> str:
        """The complete git tag."""
        return self.ref or self.tag

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Manifest:
        """From the ledger, where it is already validated."""
        artifacts = tuple(Artifact(**artifact) for artifact in data["artifacts"])
        changes = Changes.from_dict(data["changes"]) if data.get("changes") else None
        return cls(**{**data, "artifacts": artifacts, "changes": changes})

    def artifact(self, name: str) -> Artifact | None:
        """The artifact of this name, if the release has one."""
        return next((artifact for artifact in self.artifacts if artifact.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """A request to start a new attempt of a tag, with exactly this attempt number."""

    attempt: int
    by: str
    why: str

    @classmethod
    def from_dict(cls, data: Any) -> Retry:
        """From an execution's input.

        Raises ValueError for an invalid request.
        """
        fields = {"attempt": int, "by": str, "why": str}
        if not isinstance(data, Mapping) or set(data) != set(fields):
            raise ValueError("a retry has the fields attempt, by and why")
        if not all(type(data[name]) is kind and data[name] for name, kind in fields.items()):
            raise ValueError(
                "a retry's attempt must be a whole number of at least 1; by and why must be text"
            )
        if (length := len(data["why"])) > WHY_CHARACTERS:
            raise ValueError(
                f"a retry's why has {length:,} characters; at most {WHY_CHARACTERS:,} are allowed"
            )
        return cls(attempt=data["attempt"], by=shorten(data["by"], BY_CHARACTERS), why=data["why"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """The release state machine's input: the manifest that was uploaded."""

    bucket: str
    key: str
    version: str = ""
    """Empty for the newest."""
    retry: Retry | None = None

    @classmethod
    def from_dict(cls, data: Any) -> Upload:
        """From the execution's input, which anyone may have written.

        Raises ReleaseUnreadable for an invalid upload or an invalid `retry`.
        """
        found = data if isinstance(data, Mapping) else {}
        bucket, key, version = found.get("bucket"), found.get("key"), found.get("versionId") or ""
        if not all(isinstance(text, str) for text in (bucket, key, version)) or not bucket:
            raise ReleaseUnreadable(
                "A release needs the text fields bucket, key and versionId. Nothing was changed."
            )
        try:
            retry = Retry.from_dict(found["retry"]) if found.get("retry") is not None else None
        except ValueError as error:
            raise ReleaseUnreadable(f"{error}. Nothing was changed.") from error
        return cls(bucket=str(bucket), key=str(key), version=str(version), retry=retry)


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedObject:
    """One object in one version: the only thing that later steps read."""

    bucket: str
    key: str
    versionId: str
    size: int

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PinnedObject:
        """From the ledger."""
        return cls(**data)
