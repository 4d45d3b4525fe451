"""Finds and deletes the folders that earlier releases left in a site's bucket, and hashed files that only they load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from tagship.aws.calls import REFUSED_CREDENTIALS, calling, code_of, message_of
from tagship.model.errors import TargetInvalid
from tagship.model.records import Revision
from tagship.targets.kind import Stored
from tagship.targets.static_site import IMMUTABLE, LISTINGS, RELEASES, StaticSiteTarget, place_of
from tagship.targets.static_site_bucket import Bucket, Listing
from tagship.targets.static_site_package import is_hashed
from tagship.text.plain import line

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

_AT_ONCE = 1000
"""The most keys in one call (DeleteObjects)."""
_ENDINGS = (".part.json", ".json")
"""Of the list of files of a partial upload, and of a complete release."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sites:
    """The releases in one site's bucket, read with the caller's permissions."""

    application: str
    spec: StaticSiteTarget
    s3: S3Client

    def stored(self, known: Sequence[Revision]) -> Sequence[Stored]:
        """Lists every release, including partial uploads, but not the base of another one. The ledger says which release
        is still in progress."""
        sizes, listings = self._sizes(), list(self._listings())
        bases = {listing.base for listing in listings}
        return [
            Stored(
                name=f"site {site}",
                revisions=[
                    each
                    for each in known
                    if each["id"] == site and each["data"].get("of") == place_of(self.spec)
                ],
                size=sizes.get(site, 0),
            )
            for site in sorted((sizes.keys() | {listing.site for listing in listings}) - bases)
        ]

    def delete(self, stored: Stored) -> None:
        """Deletes its folder, then hashed files in no other file list, and its own list last, so that the call can be
        repeated."""
        (site,) = {revision["id"] for revision in stored.revisions}
        hashed = {revision["data"]["hashed"] for revision in stored.revisions}
        if not site or "/" in site:
            raise TargetInvalid(f"{self.application}: {stored.name} is not a site. It was not deleted.")
        listings = list(self._listings())
        if using := sorted(it.site for it in listings if it.base == site):
            raise TargetInvalid(
                f"{self.application}: site {using[0]} reads files from the folder of {stored.name}. It was not deleted."
            )
        others = {path for listing in listings if listing.site != site for path in listing.files}
        own = {path for listing in listings if listing.site == site for path in listing.files}
        lists = [f"{LISTINGS}{site}{ending}" for ending in _ENDINGS]
        alone = [path for path in own if path not in others and any(is_hashed(path, each) for each in hashed)]
        self._delete(f"{RELEASES}{site}/{path}" for path in self._bucket.sizes(f"{RELEASES}{site}/"))
        self._delete(f"{IMMUTABLE}{path}" for path in alone)
        self._delete(lists)

    def _listings(self) -> Iterator[Listing]:
        for name in self._bucket.sizes(LISTINGS):
            yield self._bucket.listed(_site_of(name), f"{LISTINGS}{name}")

    def _sizes(self) -> Mapping[str, int]:
        """The size in bytes of each release's own folder."""
        sizes: dict[str, int] = {}
        for path, size in self._bucket.sizes(RELEASES).items():
            site = path.partition("/")[0]
            sizes[site] = sizes.get(site, 0) + size
        return sizes

    def _delete(self, keys: Iterator[str] | Sequence[str]) -> None:
        left = list(keys)
        for at in range(0, len(left), _AT_ONCE):
            objects: list[ObjectIdentifierTypeDef] = [{"Key": key} for key in left[at : at + _AT_ONCE]]
            try:
                with calling(f"{self.application}: deleting from {self.spec.bucket}", **REFUSED_CREDENTIALS):
                    answer = self.s3.delete_objects(
                        Bucket=self.spec.bucket, Delete={"Objects": objects, "Quiet": True}
                    )
            except ClientError as error:
                raise TargetInvalid(
                    f"{self.application}: the bucket {self.spec.bucket} keeps it: AWS refused ({code_of(error)}): "
                    f"{message_of(error)}"
                ) from error
            if refused := answer.get("Errors"):
                first = f"{refused[0].get('Key')}: {refused[0].get('Message')}"
                raise TargetInvalid(
                    f"{self.application}: {len(refused)} objects in {self.spec.bucket} were not deleted, the first "
                    f"{line(first, 300)}"
                )

    @property
    def _bucket(self) -> Bucket:
        return Bucket(client=self.s3, name=self.spec.bucket, title=self.application)


def _site_of(name: str) -> str:
    """The release that a list of files is of."""
    for ending in _ENDINGS:
        name = name.removesuffix(ending)
    return name
