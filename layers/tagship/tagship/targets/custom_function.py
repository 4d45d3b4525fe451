"""The adapter of target `custom`: each action of the protocols in `kind` is one invocation of the team's function.

A request has the action, the release and an idempotency key. A request that moves traffic also has the fencing number.
A response has the action's result, or an error by name. Any other response is refused, and the release does not
continue.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from botocore.exceptions import ClientError

from tagship.aws.calls import REFUSED_CREDENTIALS, code_of
from tagship.aws.invocation import invoke, refused
from tagship.model.errors import (
    AwsUnavailable,
    BaselineMissing,
    CandidateNotReady,
    CredentialsRefused,
    LockLost,
    NotStable,
    PlanChanged,
    TagshipError,
    TargetInvalid,
    TargetMoved,
)
from tagship.model.records import Revision
from tagship.targets.custom import RELEASE, CustomTarget
from tagship.targets.kind import Artifacts, Change, Finding, Made, Move, Opened, Prepared, brought
from tagship.text.plain import line
from tagship.text.words import first

SCHEMA_VERSION = 1
"""The version of the request and response format."""
ERRORS: Mapping[str, type[TagshipError]] = {
    each.__name__: each
    for each in (
        AwsUnavailable,
        BaselineMissing,
        CandidateNotReady,
        CredentialsRefused,
        LockLost,
        NotStable,
        PlanChanged,
        TargetInvalid,
        TargetMoved,
    )
}
"""The errors that a function may return instead of a result, by name."""
_LINES, _CHARACTERS = 100, 500
"""The most entries and the most characters that one text of the function may have."""
_MOST_WAIT_SECONDS = 60
"""The longest wait between two checks, in seconds, whatever the function asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomFunction:
    """One target behind a team's function, for one release."""

    application: str
    tag: str
    spec: CustomTarget
    client: Any

    # ---- before approval -------------------------------------------------------------------------------------------

    def check(self, current: Revision | None) -> Finding:
        """Asks the function whether its target can be changed and matches the ledger."""
        return self._finding("check", self._asked("check", current=current))

    def dry_run(self, artifacts: Artifacts) -> Finding:
        """There is no dry run other than the function's plan."""
        self._brought(artifacts)
        return Finding(said="")

    def look_into(self, artifacts: Artifacts, opened: Opened) -> tuple[str, Sequence[str]]:  # noqa: ARG002 (the function opens it)
        """Asks the function whether it accepts the uploaded artifact."""
        answer = self._asked("look_into", artifacts=self._brought(artifacts))
        problems = answer.get("problems", [])
        if not isinstance(problems, list):
            raise self._unusable("look_into", "problems is not a list")
        return self._words("look_into", answer), [line(each, _CHARACTERS) for each in first(problems, _LINES)]

    def restorable(self, current: Revision | None) -> Finding | None:
        """Checks that the current revision can be restored later. Returns None if nothing is deployed."""
        serving = self.serving()
        if serving is None:
            return None
        if current and current["id"] == serving["id"] and current["digest"] != serving["digest"]:
            raise BaselineMissing(
                f"{self._release}: {serving['id']}, which is serving traffic, is not what the ledger recorded "
                "under that name."
            )
        self.exists(serving)
        return Finding(said=serving["id"])

    def plan(self, artifacts: Artifacts, parameters: Mapping[str, str], *, weighted: bool) -> Change:
        """Asks the function what would change. The function must not change anything."""
        answer = self._asked(
            "plan", artifacts=self._brought(artifacts), parameters=dict(parameters), weighted=weighted
        )
        summary, nothing = answer.get("summary"), answer.get("nothingToChange", False)
        if not isinstance(summary, list) or not summary:
            raise self._unusable("plan", "summary is not a list of at least one line")
        if not isinstance(nothing, bool):
            raise self._unusable("plan", "nothingToChange is neither true nor false")
        candidate = self._revision("plan", answer, "candidate")
        if candidate is None:
            raise self._unusable("plan", "candidate is missing")
        return Change(
            baseline=self._revision("plan", answer, "baseline"),
            candidate=candidate,
            nothingToChange=nothing,
            summary=[line(each, _CHARACTERS) for each in first(summary, _LINES)],
        )

    # ---- the candidate and traffic ---------------------------------------------------------------------------------

    def prepare(self, artifacts: Artifacts, candidate: Revision, made: Made) -> Prepared:
        """Has the function make the candidate, and checks that it is the approved one."""
        answer = self._asked("prepare", artifacts=self._brought(artifacts), candidate=candidate)
        if wait := self._wait("prepare", answer):
            return Prepared(wait=wait)
        ready = self._revision("prepare", answer, "candidate")
        if ready is None or not ready["id"]:
            raise self._unusable("prepare", "there is neither a candidate with an id nor a time to wait")
        made(ready)
        if ready["digest"] != candidate["digest"]:
            raise PlanChanged(
                f"{self._release}: {self.spec.function} made {ready['id']}, whose digest is not the approved "
                "one. No traffic was moved. Publish a new tag to plan and approve it again."
            )
        return Prepared(candidate=ready)

    def verify_unchanged(self, move: Move) -> None:
        """Asks the function whether its target is unchanged since the last check."""
        self._asked("verify_unchanged", **_moving(move))

    def set_weight(self, move: Move) -> str:
        """Has the function give the candidate its share of traffic; returns the target's etag."""
        etag = self._asked("set_weight", **_moving(move)).get("etag")
        if not isinstance(etag, str) or not etag:
            raise self._unusable("set_weight", "etag is missing")
        return etag

    def verify_weight(self, move: Move) -> int:
        """Returns 0 when the function confirms the move, else the seconds to wait."""
        answer = self._asked("verify_weight", **_moving(move))
        if "wait" not in answer:
            raise self._unusable("verify_weight", "wait is missing")
        return self._wait("verify_weight", answer)

    # ---- the baseline ----------------------------------------------------------------------------------------------

    def exists(self, revision: Revision) -> None:
        """Asks the function whether it still has this revision."""
        self._asked("exists", revision=revision)

    def serving(self) -> Revision | None:
        """The revision that has all traffic."""
        return self._revision("serving", self._asked("serving"), "revision")

    def restore(
        self,
        *,
        baseline: Revision | None,
        candidate: Revision | None,
        fence: int,
        replaced: Revision | None = None,
    ) -> str:
        """Has the function give the baseline all traffic."""
        answer = self._asked(
            "restore", baseline=baseline, candidate=candidate, replaced=replaced, fence=fence
        )
        return self._words("restore", answer)

    # ---- invoking --------------------------------------------------------------------------------------------------

    def _asked(self, act: str, **about: Any) -> Mapping[str, Any]:
        """Invokes the function and returns the action's result.

        Raises the error that the function returned by name. Raises AwsUnavailable if the function failed or did not
        answer, since every action can be retried. Raises TargetInvalid for a response that is not valid.
        """
        about = {name: value for name, value in about.items() if value is not None}
        what = {"act": act, "application": self.application, "tag": self.tag, **about}
        key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
        request = {
            "source": "tagship",
            "schemaVersion": SCHEMA_VERSION,
            "idempotencyKey": key,
            "settings": dict(self.spec.settings),
            **what,
        }
        try:
            answer = invoke(
                self.client,
                {
                    "FunctionName": self.spec.function,
                    "InvocationType": "RequestResponse",
                    "Payload": json.dumps(request),
                },
                label=self.spec.function,
                about=f"to {act}, for {self._release}",
            )
        except ClientError as error:
            kind = CredentialsRefused if code_of(error) in REFUSED_CREDENTIALS else TargetInvalid
            raise kind(f"{self._release}: {refused(error, self.spec.function)}") from error
        if answer.raised:
            raise AwsUnavailable(f"{self._release}: asked to {act}, {answer.raised}.")
        document = answer.document
        if not isinstance(document, Mapping):
            raise self._unusable(act, "it is not a JSON object, or too long")
        if "error" in document:
            raise self._refusal(act, document["error"])
        return document

    def _refusal(self, act: str, error: Any) -> TagshipError:
        named = error.get("name") if isinstance(error, Mapping) else None
        if not isinstance(named, str) or named not in ERRORS:
            return self._unusable(act, f"its error has none of the names {', '.join(ERRORS)}")
        message = line(error.get("message") or "no message", _CHARACTERS)
        return ERRORS[named](f"{self._release}: {self.spec.function}: {message}")

    def _unusable(self, act: str, why: str) -> TargetInvalid:
        return TargetInvalid(
            f"{self._release}: {self.spec.function} gave no usable answer to {act!r}: {why}."
        )

    # ---- reading responses -----------------------------------------------------------------------------------------

    def _finding(self, act: str, answer: Mapping[str, Any]) -> Finding:
        return Finding(said=self._words(act, answer), warning=line(answer.get("warning") or "", _CHARACTERS))

    def _words(self, act: str, answer: Mapping[str, Any]) -> str:
        said = answer.get("said")
        if not isinstance(said, str) or not said:
            raise self._unusable(act, "said is missing")
        return line(said, _CHARACTERS)

    def _wait(self, act: str, answer: Mapping[str, Any]) -> int:
        wait = answer.get("wait", 0)
        if isinstance(wait, bool) or not isinstance(wait, int) or wait < 0:
            raise self._unusable(act, "wait is not a number of seconds")
        return min(wait, _MOST_WAIT_SECONDS)

    def _revision(self, act: str, answer: Mapping[str, Any], name: str) -> Revision | None:
        found = answer.get(name)
        if found is None:
            return None
        form: Sequence[tuple[str, Callable[[object], bool]]] = (
            ("id", lambda it: isinstance(it, str) and len(it) <= 255),
            ("digest", lambda it: isinstance(it, str) and 0 < len(it) <= 255),
            ("etag", lambda it: it is None or (isinstance(it, str) and len(it) <= 255)),
            ("data", _is_data),
        )
        if not isinstance(found, Mapping):
            raise self._unusable(act, f"{name} is not an object")
        for part, fits in form:
            if not fits(found.get(part)):
                raise self._unusable(act, f"{name}.{part} is missing or has the wrong format")
        revision: Revision = {"id": found["id"], "digest": found["digest"], "data": found.get("data") or {}}
        if found.get("etag") is not None:
            revision["etag"] = found["etag"]
        return revision

    def _brought(self, artifacts: Artifacts) -> dict[str, Any]:
        brought(artifacts, RELEASE, kind="custom", release=self._release)
        return {
            name: {**asdict(artifact), "object": asdict(pinned)}
            for name, (artifact, pinned) in artifacts.items()
        }

    @property
    def _release(self) -> str:
        return f"{self.application} {self.tag}".rstrip()


def _is_data(value: object) -> bool:
    """Whether it is a small mapping of short texts, because the ledger stores it."""
    if value is None:
        return True
    texts = [*value.keys(), *value.values()] if isinstance(value, Mapping) else [None]
    return len(texts) <= 2 * _LINES and all(
        isinstance(each, str) and len(each) <= _CHARACTERS for each in texts
    )


def _moving(move: Move) -> dict[str, Any]:
    return {
        "baseline": move.baseline,
        "candidate": move.candidate,
        "percent": move.percent,
        "etag": move.etag,
        "fence": move.fence,
    }
