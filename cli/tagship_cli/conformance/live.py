"""A team's own function as a bench. Requests are those of Tagship; after each case the original revision is restored."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

from tagship.aws.invocation import invoke
from tagship.model.errors import AwsUnavailable, RetryableError, TagshipError, TargetInvalid, TargetMoved
from tagship.model.records import Revision
from tagship.targets import custom
from tagship.targets.custom_function import CustomFunction
from tagship.targets.kind import Artifacts, Kind
from tagship_cli.conformance.bench import ACTS_OF_OTHERS, Bench, Release, Unkept
from tagship_cli.conformance.cases import CASES, Case, Make
from tagship_cli.conformance.note import Note, read

SECONDS = 8.0
"""The time limit for a response, in seconds."""
CAN = frozenset({"ask", "watch"})
_BETWEEN_CASES = 10
"""More fencing numbers than any case uses."""
_TRIES = 3
"""How often an unanswered request is repeated, because the function may just have been started."""
_PAUSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What to test: a function, its settings, and a release that changes something."""

    function: str
    """The function's ARN."""
    account: str
    region: str
    settings: Mapping[str, str]
    artifacts: Artifacts
    application: str
    tag: str
    shares: bool
    """Whether its target can split traffic between two revisions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of a case."""

    case: Case
    result: Literal["passed", "failed", "not tested"]
    why: str = ""


@dataclass(slots=True)
class Watched:
    """A Lambda client that measures each response and remembers the revisions that got traffic."""

    client: Any
    clock: Callable[[], float]
    slowest: tuple[str, float] = ("nothing", 0.0)
    requests: int = 0
    given: dict[str, Revision] = field(default_factory=dict)
    """By id, the latest last."""
    before_move: Callable[[int], None] = lambda _: None
    """Called with the fencing number before each request that moves traffic."""

    def invoke(self, **request: Any) -> Any:
        """Invokes the function like the wrapped client."""
        about = json.loads(request["Payload"])
        if about.get("act") == "set_weight":
            candidate = about["candidate"]
            self.given = {
                **{each: it for each, it in self.given.items() if each != candidate["id"]},
                candidate["id"]: candidate,
            }
        if about.get("act") in ("set_weight", "restore"):
            self.before_move(int(about["fence"]))
        self.requests += 1
        began = self.clock()
        try:
            return self.client.invoke(**request)
        finally:
            self.slowest = max(
                self.slowest, (str(about.get("act")), self.clock() - began), key=lambda it: it[1]
            )


@dataclass(frozen=True, kw_only=True)
class Patient(CustomFunction):
    """Repeats a request, as the state machine does, while the function is not ready or does not answer."""

    pause: Callable[[float], None]

    def _asked(self, act: str, **about: Any) -> Mapping[str, Any]:
        unanswered, waited = 0, 0.0
        while True:
            try:
                return super()._asked(act, **about)
            except RetryableError as error:
                unanswered += isinstance(error, AwsUnavailable)
                if unanswered == _TRIES or waited >= custom.KIND.settle_seconds:
                    raise
                self.pause(_PAUSE_SECONDS)
                waited += _PAUSE_SECONDS


@dataclass(slots=True, kw_only=True)
class LiveBench:
    """The function, with its current revision."""

    trial: Trial
    client: Watched
    pause: Callable[[float], None]
    fence: int
    """The first fencing number of the next case."""
    serves: Revision
    """The original revision, which is restored after each case."""
    note: Path
    """Where a run that is killed leaves what the next one restores."""
    actions: tuple[str, ...] = ()
    spec: custom.CustomTarget = field(init=False)

    SECONDS = SECONDS

    def __post_init__(self) -> None:
        self.spec = _spec(self.trial)
        self.client.before_move = self._noted

    def _noted(self, fence: int) -> None:
        Note(
            function=self.trial.function,
            settings=self.trial.settings,
            serves=self.serves,
            given=[*self.client.given.values()],
            fence=fence,
        ).write(self.note)

    @property
    def kind(self) -> Kind:
        """Weighted only if this function's target is."""
        return replace(custom.KIND, weighted=self.trial.shares)

    @property
    def artifacts(self) -> Artifacts:
        """The release's."""
        return self.trial.artifacts

    @property
    def slowest(self) -> tuple[str, float]:
        """The slowest action, and its time in seconds."""
        return self.client.slowest

    def target(self) -> CustomFunction:
        """The adapter."""
        return _adapter(self.trial, self.client, self.pause)

    def state(self) -> Any:
        """The revision that has all traffic; None while there is no such revision."""
        return self.shares_or_none()

    def shares(self) -> dict[str, int]:
        """As the function reports them."""
        serving = self.target().serving()
        return {serving["id"]: 100} if serving else {}

    def writes(self) -> None:
        """Writes can't be counted."""

    def settle(self) -> None:
        """`stands` waits."""

    def stands(self, release: Release, percent: int) -> None:
        """Waits until the move has been applied. Raises Unkept if it takes too long, or if the shares differ."""
        fence = release.fence if percent else release.newer
        move, waited = replace(release.move(percent), fence=fence), 0
        try:
            while wait := release.target.verify_weight(move):
                if waited >= self.kind.settle_seconds:
                    raise Unkept(f"{percent} % has not settled after {waited} s.")
                self.pause(wait)
                waited += wait
        except TargetMoved as error:
            raise Unkept(f"The target does not have the candidate at {percent} %: {error}") from error

    def ask(self, request: Mapping[str, Any]) -> Any:
        """The function's response to any request."""
        event = {
            "FunctionName": self.trial.function,
            "InvocationType": "RequestResponse",
            "Payload": json.dumps({"settings": dict(self.trial.settings), **request}),
        }
        answer = invoke(self.client, event, label=self.trial.function, about="")  # type: ignore[arg-type]
        if answer.raised:
            raise Unkept(f"{answer.raised}.")
        return answer.document

    def restored(self) -> None:
        """Uses newer fencing numbers from now on, and restores the original revision if traffic was moved.

        Raises TagshipError or Unkept if that fails.
        """
        self.fence += _BETWEEN_CASES
        self._restore()
        self.note.unlink(missing_ok=True)

    def _restore(self) -> None:
        if self.is_as_before():
            return
        others = [*self.client.given.values()]
        if serving := self.target().serving() if self.shares_or_none() else None:
            others = [*(it for it in others if it["id"] != serving["id"]), serving]
        candidate, replaced = (*others[:-3:-1], None, None)[:2]
        self.target().restore(
            baseline=self.serves, candidate=candidate, replaced=replaced, fence=self.fence - 1
        )
        waited = 0.0
        while not self.is_as_before():
            if waited >= self.kind.settle_seconds:
                raise Unkept(
                    f"{self.serves['id']} does not have all of the traffic again after {waited:.0f} s."
                )
            self.pause(_PAUSE_SECONDS)
            waited += _PAUSE_SECONDS

    def is_as_before(self) -> bool:
        """Whether the original revision has all traffic."""
        return self.shares_or_none() == {self.serves["id"]: 100}

    def shares_or_none(self) -> dict[str, int] | None:
        """The shares; None while more than one revision has traffic."""
        try:
            return self.shares()
        except TargetInvalid:
            return None


def begin(
    trial: Trial,
    client: Any,
    *,
    note: Path,
    clock: Callable[[], float],
    pause: Callable[[float], None],
) -> tuple[LiveBench | None, bool]:
    """Creates the bench after a read that changes nothing; None if nothing is deployed. Also whether an earlier run was
    killed: then the first call of `restored` restores what served before that one.

    The first fencing number is the time in milliseconds since 1970. A run uses fewer numbers than milliseconds, so the
    next one begins with a larger number, however soon.

    Raises TagshipError, NotReadable.
    """
    left = read(note, function=trial.function, settings=trial.settings)
    watched = Watched(client, clock)
    serving = left.serves if left else _adapter(trial, watched, pause).serving()
    if serving is None:
        return None, False
    fence = int(clock() * 1000)
    if left:
        watched.given = {each["id"]: each for each in left.given}
        fence = max(fence, left.fence + 1)
    return LiveBench(
        trial=trial, client=watched, pause=pause, fence=fence, serves=serving, note=note
    ), left is not None


def outcomes(bench: LiveBench) -> Generator[Outcome]:
    """Runs the cases in turn. After each one, even if it fails or is stopped, the traffic is restored.

    Raises TagshipError or Unkept if the traffic can't be restored.
    """

    def make() -> LiveBench:
        bench.restored()
        return bench

    for case in CASES:
        if missing := sorted(case.needs - CAN):
            yield Outcome(case=case, result="not tested", why=ACTS_OF_OTHERS[missing[0]])
            continue
        try:
            yield _tried(case, Make(bench=cast("Callable[[], Bench]", make), can=CAN))
        finally:
            bench.restored()


def _tried(case: Case, make: Make) -> Outcome:
    try:
        case.keeps(make)
    except (Unkept, TagshipError) as error:
        got = "" if isinstance(error, Unkept) else f"Expected an answer, got {type(error).__name__}: "
        return Outcome(case=case, result="failed", why=f"{got}{error}")
    return Outcome(case=case, result="passed")


def _spec(trial: Trial) -> custom.CustomTarget:
    return custom.CustomTarget(
        type="custom",
        function=trial.function,
        account=trial.account,
        region=trial.region,
        role="",
        externalId="",
        settings=trial.settings,
    )


def _adapter(trial: Trial, client: Watched, pause: Callable[[float], None]) -> Patient:
    return Patient(
        application=trial.application, tag=trial.tag, spec=_spec(trial), client=client, pause=pause
    )
