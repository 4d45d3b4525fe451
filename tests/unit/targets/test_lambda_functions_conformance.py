"""Several functions that move together keep what `conformance.py` asks of every target."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from itertools import zip_longest
from typing import Any

from tagship.model.records import Revision
from tagship.targets import KINDS
from tagship.targets.kind import Artifacts, Target
from tagship.targets.lambda_alias import LambdaTarget, OtherFunction
from tagship.targets.lambda_parts import parts_of
from tests.unit.builders import application
from tests.unit.tables import aws_error
from tests.unit.targets.conformance import Beginning, Settings, Settling
from tests.unit.targets.functions import BUCKET, KEY, FakeFunctions, artifacts
from tests.unit.targets.test_conformance import OPERATIONS, WRITES, SlowLambda

OWN_KEY, OWN_CODE = f"{KEY}-of-worker", b"code of the worker of v1.4.0"


class SeveralBench:
    """Functions behind aliases, each at its version 1. The worker has its own zip, the others share one."""

    kind = KINDS["lambda"]

    def __init__(self, *names: str) -> None:
        self.functions = FakeFunctions({name: SlowLambda(name) for name in names})
        others = tuple(
            OtherFunction(function=name, artifact="worker" if name == "worker" else "function")
            for name in names[1:]
        )
        self.spec = LambdaTarget(**application()["target"], others=others)
        for each in self.each:
            each.uploads[BUCKET, OWN_KEY, "7"] = OWN_CODE
        self.artifacts: Artifacts = {**artifacts(), **artifacts(OWN_CODE, name="worker", key=OWN_KEY)}
        rights = self.kind.rights(self.spec, objects=[f"arn:aws:s3:::{BUCKET}/{KEY}"])
        self.actions = sorted({action for right in rights for action in right.actions})

    @property
    def each(self) -> list[Any]:
        return list(self.functions.each.values())

    def target(self) -> Target:
        return self.kind.make(
            application="storefront",
            tag="v1.4.0",
            spec=self.spec,
            client=lambda _service, **_: self.functions,
        )

    def state(self) -> Any:
        """What callers notice: a version that was made, and that no alias points at, is nothing to them."""
        return repr([each.aliases for each in self.each])

    def shares(self) -> dict[str, int]:
        """By the ids of the revisions of all of them; an alias that stands elsewhere than the others shows."""
        rows = []
        for each in self.each:
            if alias := each.aliases.get("live"):
                weights = alias["RoutingConfig"]["AdditionalVersionWeights"]
                shares = {version: round(100 * weight) for version, weight in weights.items()}
                first = (alias["FunctionVersion"], 100 - sum(shares.values()))
                rows.append(
                    [(f"{each.name} {version}", share) for version, share in (first, *shares.items())]
                )
        found = {}
        for columns in zip_longest(*rows, fillvalue=("nothing", 0)):
            names, shares_of = zip(*columns, strict=True)
            found[", ".join(names)] = shares_of[0] if len(set(shares_of)) == 1 else -1
        return found

    def writes(self) -> Any:
        """One write of all of them counts as one."""
        return Fraction(sum(call in WRITES for each in self.each for call in each.calls), len(self.each))

    def empty(self) -> None:
        for each in self.each:
            each.aliases.clear()

    def drift(self) -> None:
        for each in self.each:
            each.point(each.by_hand())

    def reconfigure(self) -> None:
        """Only the last one, which is written last."""
        last = self.each[-1]
        last.latest |= {"MemorySize": last.latest["MemorySize"] * 2, "RevisionId": next(last.revisions)}

    def delete(self, revision: Revision) -> None:
        for each, part in zip(self.each, parts_of(revision), strict=True):
            del each.versions[part["id"]]

    def unsettle(self) -> None:
        """Only the last one takes its time."""
        self.each[-1].slow = True

    def settle(self) -> None:
        for each in self.each:
            each.slow = False
            for alias in each.aliases.values():
                weights = alias["RoutingConfig"]["AdditionalVersionWeights"]
                if list(weights.values()) == [1.0]:
                    weights.clear()

    def before_write(self, others: Callable[[], object]) -> None:
        waiting = [others]

        def once() -> None:
            if waiting:
                waiting.pop()()

        for each in self.each:
            each.others = once

    def lose_answers(self) -> None:
        for each in self.each:
            each.loses = True

    def refuse(self, action: str, *, throttled: bool = False) -> None:
        error = partial(aws_error, "TooManyRequestsException", status=429)
        denied = partial(aws_error, "AccessDeniedException", status=403)
        for each in self.each:
            for operation in OPERATIONS[action]:
                each.refuses[operation] = error() if throttled else denied()

    def allow(self) -> None:
        for each in self.each:
            each.refuses.clear()


class TestTwoFunctions(Beginning, Settings, Settling):
    """An API and its worker, each with its own zip."""

    def make(self) -> SeveralBench:
        return SeveralBench("storefront", "worker")

    def test_a_kind_says_what_it_is(self, bench: SeveralBench) -> None:  # type: ignore[override]
        change = bench.target().plan(bench.artifacts, {}, weighted=True)
        assert change.baseline is not None
        described, where = bench.kind.describe(bench.spec, change.baseline), bench.kind.where(bench.spec)
        for each in bench.each:
            assert f"version 1 of {each.name}" in described
            assert f"live of {each.name}" in where
        assert set(bench.kind.brings(bench.spec)) == set(bench.artifacts)
        assert {"id", "digest", "etag", "data"} <= set(change.baseline)
        assert list(bench.kind.subject(bench.spec, change.baseline).parts) == [it.name for it in bench.each]


class TestThreeFunctions(TestTwoFunctions):
    """Two of them share a zip. The rights of each act are those of two functions, so only one is taken away."""

    def make(self) -> SeveralBench:
        bench = SeveralBench("storefront", "worker", "mailer")
        bench.actions = ["lambda:UpdateAlias"]
        return bench
