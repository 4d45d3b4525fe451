"""Finds and deletes the templates that earlier releases left in a stack's bucket."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from tagship.aws.calls import REFUSED_CREDENTIALS, calling, code_of, message_of
from tagship.model.errors import TargetInvalid
from tagship.model.records import Revision
from tagship.targets.cloudformation_stack import StackTarget
from tagship.targets.kind import Stored

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ListObjectsV2RequestTypeDef

_ENDING = ".template"


@dataclass(frozen=True, slots=True, kw_only=True)
class Templates:
    """The stored templates of one stack, read with the caller's permissions."""

    application: str
    spec: StackTarget
    s3: S3Client

    def stored(self, known: Sequence[Revision]) -> Sequence[Stored]:
        """Releases that differ only in their parameters share one template."""
        return [
            Stored(
                name=f"template {digest[:12]}",
                revisions=[each for each in known if each["data"].get("template") == digest],
                size=size,
            )
            for digest, size in self._kept()
        ]

    def delete(self, stored: Stored) -> None:
        """In a versioned bucket, the object's version stays until the bucket's lifecycle rule removes it."""
        (digest,) = {revision["data"]["template"] for revision in stored.revisions}
        key = f"{self._folder}{digest}{_ENDING}"
        try:
            with self._calling(f"deleting {key}"):
                self.s3.delete_object(Bucket=self.spec.bucket, Key=key)
        except ClientError as error:
            raise TargetInvalid(
                f"{self.application}: {key} in {self.spec.bucket} was not deleted: AWS refused ({code_of(error)}): "
                f"{message_of(error)}"
            ) from error

    def _kept(self) -> Iterator[tuple[str, int]]:
        """Digests and sizes in bytes, oldest first."""
        found = []
        request: ListObjectsV2RequestTypeDef = {"Bucket": self.spec.bucket, "Prefix": self._folder}
        while True:
            with self._calling(f"listing {self._folder}"):
                page = self.s3.list_objects_v2(**request)
            found += [each for each in page.get("Contents", ()) if each["Key"].endswith(_ENDING)]
            if not page.get("IsTruncated"):
                break
            request["ContinuationToken"] = page["NextContinuationToken"]
        for each in sorted(found, key=lambda it: it["LastModified"]):
            yield each["Key"].removeprefix(self._folder).removesuffix(_ENDING), each["Size"]

    @property
    def _folder(self) -> str:
        return f"tagship/{self.spec.stack}/"

    def _calling(self, what: str) -> AbstractContextManager[None]:
        return calling(
            f"{self.application}: {what} (bucket {self.spec.bucket})",
            **REFUSED_CREDENTIALS,
            NoSuchBucket=TargetInvalid,
        )
