"""The adapter of target `static-site`. The candidate is a folder in the bucket; a CloudFront function splits the
traffic.

CloudFront keeps two copies of a function: the editable one (DEVELOPMENT), and the active one (LIVE), which changes only
when the first is published. Both writes send the ETag of the editable copy, so only its last edit can be published:
CloudFront itself refuses a late holder of the lock, and a manual change is not overwritten.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from tagship.aws.calls import REFUSED_CREDENTIALS, calling
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
from tagship.targets.archive import shown
from tagship.targets.kind import Artifacts, Change, Finding, Made, Move, Opened, Prepared, brought
from tagship.targets.static_site import HEADER, RELEASES, SITE, StaticSiteTarget, place_of
from tagship.targets.static_site_bucket import Bucket, Upload
from tagship.targets.static_site_function import RUNTIME, Code, Serving
from tagship.targets.static_site_package import (
    MOST_BYTES,
    Files,
    changed_names,
    differences,
    differing,
    files_of,
    hashed_pattern,
    is_hashed,
    look_into,
    removals,
)
from tagship.text.plain import line
from tagship.text.words import count, listed, size

if TYPE_CHECKING:
    from mypy_boto3_cloudfront import CloudFrontClient
    from mypy_boto3_s3 import S3Client

_ID_CHARACTERS = 16
"""The number of characters of the digest that name a folder and that people read."""
_UPLOAD_SECONDS = 10
"""How long, in seconds, one call may start new uploads. The longest S3 call may follow and still end within the
function's timeout."""
_PACE_SECONDS = 2
"""The seconds between two checks of a function that is being published."""
_LIVE: Literal["LIVE"] = "LIVE"
_EDITED: Literal["DEVELOPMENT"] = "DEVELOPMENT"
_PRECONDITIONS = dict.fromkeys(("PreconditionFailed", "InvalidIfMatchVersion"), TargetMoved)
_UNUSED, _SPREADING = "UNASSOCIATED", "IN_PROGRESS"
"""The status of a function that no distribution uses, and of one that is on its way to the edge locations
(DescribeFunction).

CloudFront documents no list of statuses, so any other one counts as deployed; the code itself is read back to verify
it.
"""


class _Shared(TypedDict):
    """The folder that a release shares with an earlier one; no base if it shares none."""

    base: str
    differs: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One of the function's two copies."""

    text: str
    etag: str
    """CloudFront's ETag, which a write must send."""
    code: Code | None
    """None if Tagship did not write the code."""

    @property
    def version(self) -> str:
        """The version that a move expects. It is a hash of the code, because publishing may change CloudFront's ETag."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticSite:
    """One site, for one release."""

    application: str
    tag: str
    spec: StaticSiteTarget
    s3: S3Client
    cloudfront: CloudFrontClient

    # ---- before approval -------------------------------------------------------------------------------------------

    def check(self, current: Revision | None) -> Finding:
        """Checks both copies of the function, and that a distribution uses it."""
        live, edited, status = self._copy(_LIVE), self._copy(_EDITED), self._status()
        if status == _UNUSED:
            raise TargetInvalid(
                f"{self._release}: no distribution uses {self._name}. Associate it with the distribution's cache behavior, "
                "as viewer request, then publish a new tag."
            )
        if status == _SPREADING:
            raise CandidateNotReady(
                f"{self._release}: {self._name} is being published by someone else (its status is {status}). "
                "Retry the release when that is done."
            )
        if edited.text != live.text and edited.code is None:
            raise TargetInvalid(
                f"{self._release}: {self._name} has an unpublished edit. Tagship did not overwrite it. Save "
                "the edit elsewhere and undo it, then publish a new tag."
            )
        serving = self._one_release(live)
        if current is None or not self._is_ours(current):
            return Finding(said=f"{self._name} can be changed.")
        if serving is None or serving.id != current["id"]:
            raise TargetMoved(
                f"{self._release}: {self._name} serves {_described(live)}, but according to the ledger "
                f"site {current['id']} is deployed: someone else changed it. Tagship did not overwrite it."
            )
        return Finding(said=f"{self._name} can be changed, and serves the last release.")

    def dry_run(self, artifacts: Artifacts) -> Finding:
        """CloudFront can't test code that is not uploaded."""
        self._site(artifacts)
        return Finding(said="")

    def look_into(self, artifacts: Artifacts, opened: Opened) -> tuple[str, Sequence[str]]:
        """Checks that the package is a complete site."""
        artifact, pinned = self._site(artifacts)
        if pinned.size > MOST_BYTES:
            return "", [f"{artifact.file} is larger than {MOST_BYTES // 1024**2} MB. Remove files."]
        with opened(pinned) as file:
            said, problems = look_into(file, pattern=self._pattern)
        return f"{artifact.file}: {said}", [f"{artifact.file}: {problem}" for problem in problems]

    def restorable(self, current: Revision | None) -> Finding | None:  # noqa: ARG002 (the code names its release)
        """Checks that every file of the current release exists with its content."""
        serving = self._one_release(self._copy(_LIVE))
        if serving is None:
            return None
        files = self._verify(self._revision(serving), missing=BaselineMissing)
        self._bucket.verify_hashed(files, hashed=serving.hashed, missing=BaselineMissing)
        return Finding(said=f"site {serving.id} ({len(files)} files)")

    def plan(self, artifacts: Artifacts, parameters: Mapping[str, str], *, weighted: bool) -> Change:  # noqa: ARG002 (a site takes none, and any share)
        """Compares the package's zip directory with the current release's file list. Reads no file."""
        artifact, pinned = self._site(artifacts)
        live = self._copy(_LIVE)
        serving = self._one_release(live)
        baseline = self._revision(serving) | {"etag": live.version} if serving else None
        if baseline and serving and baseline["digest"] == self._digest(artifact, base=serving.base):
            said = f"Nothing to change: {self._name} already serves this site, as {baseline['id']}."
            return Change(baseline=baseline, candidate=baseline, nothingToChange=True, summary=[said])
        candidate = self._planned(artifact)
        after = self._directory(artifact, pinned)
        to = f"a new one ({count(len(after), 'file')}, {size(sum(file.size for file in after.values()))})"
        if serving is None:
            summary = [
                f"{self._name}: nothing has been released; it will serve {to}",
                "Nothing is served now: after a rollback, nothing would be served again",
            ]
            return Change(baseline=None, candidate=candidate, summary=summary)
        before = self._bucket.listing(serving.id, missing=BaselineMissing).files
        candidate = self._planned(artifact, against=serving.id, **self._shared_with(serving, before, after))
        changed = changed_names(before, after, pattern=self._pattern)
        if kept := [path for path in changed if is_hashed(path, serving.hashed)]:
            raise TargetInvalid(
                f"{self._release}: {shown(kept)}: target.hashed or the name says that the name contains a hash, so "
                f"browsers cache the file for a year, but its content differs from site {serving.id}. Nothing was changed. "
                "Give it a name that changes with its content, then publish a new tag."
            )
        summary = [f"{self._name}: site {serving.id} → {to}", *self._settings(serving)]
        summary += differences(before, after, pattern=self._pattern)
        return Change(
            baseline=baseline,
            candidate=candidate,
            summary=summary,
            warnings=removals(before, after, pattern=self._pattern),
        )

    def _shared_with(self, serving: Serving, before: Files, after: Files) -> _Shared:
        """The release whose folder has the files that do not change, and the paths that are not read from it.

        It is the current release or, if that reads from a base itself, this base: so it is never more than one folder
        further. Without one, all files are uploaded or copied into the new release's own folder.
        """
        base = serving.base or serving.id
        if serving.base:
            before = self._bucket.listing(base, missing=BaselineMissing).files
        differs = differing(before, after, pattern=self._pattern)
        if serving.hashed != self._pattern or differs is None:
            return {"base": "", "differs": []}
        return {"base": base, "differs": differs}

    def _settings(self, serving: Serving) -> list[str]:
        changes = []
        if serving.paths != self.spec.paths:
            changes.append(f"Setting: paths {serving.paths} → {self.spec.paths}")
        if serving.hashed != self._pattern:
            changes.append(
                "Setting: which files have a hash in their name, so that browsers cache them for a year"
            )
        return changes

    # ---- the candidate ---------------------------------------------------------------------------------------------

    def prepare(self, artifacts: Artifacts, candidate: Revision, made: Made) -> Prepared:
        """Uploads the site into its own folder, in as many calls as needed, and verifies it."""
        artifact, pinned = self._site(artifacts)
        data = candidate["data"]
        against, base, differs = data["against"], data.get("base", ""), data.get("differs", [])
        if self._planned(artifact, against=against, base=base, differs=differs) != candidate:
            raise PlanChanged(
                f"{self._release}: the files to upload are not the approved ones. No traffic was moved. "
                "Publish a new tag to plan and approve it again."
            )
        site: Revision = {**candidate, "id": candidate["digest"][:_ID_CHARACTERS]}
        made(site)  # before the first file: what is uploaded in part must be found, too
        try:
            self._verify(site, missing=BaselineMissing)
        except BaselineMissing:
            upload = Upload(
                site=site["id"],
                digest=site["digest"],
                hashed=data["hashed"],
                against=against,
                base=base,
                differs=frozenset(differs),
            )
            if not self._bucket.fill(upload, pinned, seconds=_UPLOAD_SECONDS):
                return Prepared(wait=1)
        return Prepared(candidate=site)

    # ---- traffic ---------------------------------------------------------------------------------------------------

    def verify_unchanged(self, move: Move) -> None:
        """Checks the function, and the candidate's files."""
        self._as_expected(self._copy(_LIVE), self._copy(_EDITED), _shares(move), move.etag, move.fence)
        if move.candidate["id"]:
            self._verify(move.candidate, missing=TargetInvalid)

    def set_weight(self, move: Move) -> str:
        """Edits the function once, has CloudFront test it before it is public, and publishes it."""
        live, edited, serves = self._copy(_LIVE), self._copy(_EDITED), _shares(move)
        if self._as_expected(live, edited, serves, move.etag, move.fence):
            return live.version
        self._verify(move.candidate, missing=TargetInvalid)
        return self._write(edited, serves, move.fence, try_out=move.candidate)

    def _as_expected(
        self, live: Copy, edited: Copy, serves: tuple[Serving, ...], expected: str, fence: int
    ) -> bool:
        """Whether an earlier attempt has already done it."""
        if live.code and live.code.serves == serves and live.code.fence == fence:
            return True
        self._refuse_older((live, edited), fence)
        serving = bool(live.code is None or live.code.serves)
        if live.version != expected if serving else bool(expected):
            raise TargetMoved(self._moved(live))
        if edited.text != live.text and edited.code is None:
            raise TargetMoved(
                f"{self._release}: {self._name} has an unpublished edit by someone else. Tagship did not "
                "overwrite it."
            )
        return False

    def verify_weight(self, move: Move) -> int:
        """Checks that the function's code is as written, and that all edge locations have it."""
        live = self._copy(_LIVE)
        if live.code is None or live.code.serves != _shares(move):
            raise TargetMoved(self._moved(live))
        status = self._status()
        if status == _UNUSED:
            raise TargetInvalid(f"{self._release}: no distribution uses {self._name} anymore.")
        return _PACE_SECONDS if status == _SPREADING else 0

    # ---- the baseline ----------------------------------------------------------------------------------------------

    def exists(self, revision: Revision) -> None:
        """Checks that its files are in its folder."""
        self._verify(revision, missing=BaselineMissing)

    def serving(self) -> Revision | None:
        """The release that has all traffic."""
        serving = self._one_release(self._copy(_LIVE))
        return self._revision(serving) if serving else None

    def restore(
        self,
        *,
        baseline: Revision | None,
        candidate: Revision | None,
        fence: int,
        replaced: Revision | None = None,
    ) -> str:
        """Gives the baseline all traffic in one publication. If nothing was deployed before the release, nothing serves
        again.

        It also writes a function that already serves only the baseline, unless this fencing number wrote it: CloudFront
        then refuses anything that the release may still try to publish. An unpublished manual edit does not block it.
        """
        live, edited = self._copy(_LIVE), self._copy(_EDITED)
        self._refuse_older((live, edited), fence)
        ours = {revision["id"] for revision in (baseline, candidate, replaced) if revision}
        if live.code is None or not {it.id for it in live.code.serves} <= ours:
            raise TargetMoved(f"{self._moved(live)} To restore it by hand, see docs/targets/static-site.md.")
        wanted = (Serving.of(baseline, 100),) if baseline else ()
        if baseline:
            self._verify(baseline, missing=BaselineMissing)
        stood = live.code.serves == wanted
        if not stood or live.code.fence != fence:
            try:
                self._write(edited, wanted, fence)
            except TargetMoved as error:  # changed since it was read: read again
                raise NotStable(str(error)) from error
            live = self._copy(_LIVE)
            if live.code is None or live.code.serves != wanted:
                raise NotStable(
                    f"{self._release}: {self._name} is not restored: it serves {_described(live)}."
                )
        if baseline is None:
            return f"{self._name} serves nothing again, as before this release."
        lost = " An unpublished edit was replaced." if edited.code is None else ""
        if stood:
            return f"{self._name} already sent all traffic to site {baseline['id']}.{lost}"
        return f"{self._name} sends all traffic to site {baseline['id']} again.{lost}"

    # ---- the function ----------------------------------------------------------------------------------------------

    def _write(
        self, edited: Copy, serves: tuple[Serving, ...], fence: int, *, try_out: Revision | None = None
    ) -> str:
        """Edits and publishes. CloudFront refuses each write if the editable copy has changed since it was read."""
        code = Code(application=self.application, tag=self.tag, fence=fence, serves=serves)
        text = code.text()
        written = Copy(text=text, etag="", code=code).version
        if edited.text != text:
            edited, refused = self._edit(edited, text)
            if refused and self._copy(_LIVE).text == text:
                return written
        try:
            for serving in serves:
                if try_out and try_out["id"] == serving.id:
                    self._try_out(edited, serving)
            with self._calling(f"publishing {self._name}", **_PRECONDITIONS):
                self.cloudfront.publish_function(Name=self.spec.function, IfMatch=edited.etag)
        except TargetMoved:  # a duplicate published it, or our own attempt whose response was lost
            if self._copy(_LIVE).text != text:
                raise
        return written

    def _edit(self, edited: Copy, text: str) -> tuple[Copy, bool]:
        """Returns the editable copy with this text, and whether CloudFront refused the edit because the text was
        already there.

        boto3 retries a lost response and then finds its own write; a duplicate finds it too. The ETag is read again: in
        the response to the edit, boto3 looks for it under another name (`ETtag`) than CloudFront documents.
        """
        refused: TargetMoved | None = None
        try:
            with self._calling(f"editing {self._name}", **_PRECONDITIONS):
                self.cloudfront.update_function(
                    Name=self.spec.function,
                    IfMatch=edited.etag,
                    FunctionConfig={
                        "Comment": f"tagship {self.application} {self.tag}"[:128],
                        "Runtime": RUNTIME,
                    },
                    FunctionCode=text.encode(),
                )
        except TargetMoved as error:
            refused = error
        found = self._copy(_EDITED)
        if found.text != text:
            raise refused or TargetMoved(
                f"{self._release}: {self._name} was edited by someone else at the same time."
            )
        return found, refused is not None

    def _try_out(self, edited: Copy, serving: Serving) -> None:
        """Has CloudFront run the editable copy for a request that selects a release, so that visitors never get code
        that fails.

        A rollback skips this: its code has run before, and it must not wait.
        """
        request = {
            "method": "GET",
            "uri": "/",
            "querystring": {},
            "headers": {"host": {"value": "www.example.com"}, HEADER: {"value": serving.id}},
            "cookies": {},
        }
        event = {
            "version": "1.0",
            "context": {"eventType": "viewer-request"},
            "viewer": {"ip": "198.51.100.1"},
            "request": request,
        }
        with self._calling(f"trying out {self._name}", **_PRECONDITIONS):
            found = self.cloudfront.test_function(
                Name=self.spec.function,
                IfMatch=edited.etag,
                Stage=_EDITED,
                EventObject=json.dumps(event).encode(),
            )["TestResult"]
        output = json.loads(found.get("FunctionOutput") or "{}")
        if (
            found.get("FunctionErrorMessage")
            or output.get("request", {}).get("uri") != f"/{RELEASES}{serving.folder('index.html')}/index.html"
        ):
            raise TargetInvalid(
                f"{self._release}: CloudFront can't run {self._name} as it should: "
                f"{line(found.get('FunctionErrorMessage') or found.get('FunctionOutput') or 'no answer', 300)}. "
                "It was not published, so visitors are not affected. This is a bug in Tagship: please report "
                "it."
            )

    def _copy(self, stage: Literal["LIVE", "DEVELOPMENT"]) -> Copy:
        with self._calling(f"looking at {self._name}", NoSuchFunctionExists=TargetInvalid):
            answer = self.cloudfront.get_function(Name=self.spec.function, Stage=stage)
            text = answer["FunctionCode"].read().decode("utf-8", errors="replace")
        return Copy(text=text, etag=answer["ETag"], code=Code.read(text))

    def _status(self) -> str:
        with self._calling(f"looking at {self._name}", NoSuchFunctionExists=TargetInvalid):
            answer = self.cloudfront.describe_function(Name=self.spec.function, Stage=_LIVE)
        return str(answer["FunctionSummary"].get("Status", ""))

    def _refuse_older(self, copies: Sequence[Copy], fence: int) -> None:
        newest = max(copy.code.fence for copy in copies if copy.code) if any(it.code for it in copies) else 0
        if newest > fence:
            raise LockLost(
                f"{self._release}: {self._name} was changed with the newer fencing number {newest}, so {fence} "
                "can no longer change it."
            )

    def _one_release(self, live: Copy) -> Serving | None:
        """Raises TargetInvalid if Tagship did not write the function, or if several releases share the traffic."""
        if live.code is None:
            raise TargetInvalid(
                f"{self._release}: the code of {self._name} was not written by Tagship. Nothing was changed. "
                "Replace it with the code in docs/targets/static-site.md and publish the function, then "
                "publish a new tag."
            )
        if len(live.code.serves) > 1:
            raise TargetInvalid(
                f"{self._release}: {self._name} serves {_described(live)}. Send all traffic to one release "
                "first (see docs/targets/static-site.md). Nothing was changed."
            )
        return live.code.serves[0] if live.code.serves else None

    def _calling(self, what: str, **refusals: type[TagshipError]) -> AbstractContextManager[None]:
        return calling(f"{self._release}: {what}", **{**REFUSED_CREDENTIALS, **refusals})

    # ---- revisions -------------------------------------------------------------------------------------------------

    def _planned(
        self, artifact: Artifact, *, against: str = "", base: str = "", differs: Sequence[str] = ()
    ) -> Revision:
        return {
            "id": "",
            "digest": self._digest(artifact, base=base),
            "data": {
                "hashed": self._pattern,
                "paths": self.spec.paths,
                "of": place_of(self.spec),
                "against": against,
                **_based(base, differs),
            },
        }

    def _digest(self, artifact: Artifact, *, base: str) -> str:
        """The base is part of it: the same package on another base is another folder."""
        whole = f"{artifact.sha256}\n{self._pattern}\n{self.spec.paths}" + (f"\n{base}" if base else "")
        return hashlib.sha256(whole.encode()).hexdigest()

    def _revision(self, serving: Serving) -> Revision:
        data = {"hashed": serving.hashed, "paths": serving.paths, "of": place_of(self.spec)}
        data |= _based(serving.base, serving.differs)
        return {"id": serving.id, "digest": serving.digest, "data": data}

    def _verify(self, revision: Revision, *, missing: type[TagshipError]) -> Files:
        data = revision["data"]
        return self._bucket.verify(
            revision["id"],
            hashed=data["hashed"],
            base=data.get("base", ""),
            differs=frozenset(data.get("differs", ())),
            missing=missing,
        )

    def _is_ours(self, recorded: Revision) -> bool:
        """Whether the record belongs to this site. The application's target may have changed since."""
        return bool(recorded["data"].get("of", place_of(self.spec)) == place_of(self.spec))

    def _site(self, artifacts: Artifacts) -> tuple[Artifact, PinnedObject]:
        return brought(artifacts, SITE, kind="static-site", release=self._release)

    def _directory(self, artifact: Artifact, pinned: PinnedObject) -> Files:
        try:
            return files_of(self._bucket.opened(pinned))
        except ValueError as error:
            raise TargetInvalid(f"{self._release}: {artifact.file}: {error} Nothing was changed.") from error

    @property
    def _pattern(self) -> str:
        return hashed_pattern(self.spec.hashed)

    @property
    def _bucket(self) -> Bucket:
        return Bucket(client=self.s3, name=self.spec.bucket, title=self._release)

    # ---- words -----------------------------------------------------------------------------------------------------

    @property
    def _release(self) -> str:
        return f"{self.application} {self.tag}".rstrip()

    @property
    def _name(self) -> str:
        return f"the function {self.spec.function}"

    def _moved(self, live: Copy) -> str:
        return (
            f"{self._release}: {self._name} was changed by someone else after the plan was made: it serves "
            f"{_described(live)}. Tagship did not overwrite it."
        )


def _based(base: str, differs: Sequence[str]) -> dict[str, Any]:
    """Nothing, if all files of a release are in its own folder."""
    return {"base": base, "differs": list(differs)} if base else {}


def _shares(move: Move) -> tuple[Serving, ...]:
    """The candidate comes first, so that a larger share only adds visitors to it."""
    baseline, percent = move.baseline, 100 if move.baseline is None else move.percent
    shares = [(move.candidate, percent), *([(baseline, 100 - percent)] if baseline else [])]
    return tuple(Serving.of(revision, share) for revision, share in shares if share)


def _described(live: Copy) -> str:
    if live.code is None:
        return "code that Tagship did not write"
    return listed(f"{it.percent} % site {it.id}" for it in live.code.serves) or "nothing"
