"""The suite of every kind of target holds a static site."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tagship.model.records import Revision
from tagship.targets import static_site
from tagship.targets.static_site_adapter import StaticSite
from tagship.targets.static_site_function import Code
from tests.unit.tables import aws_error
from tests.unit.targets.conformance import Beginning, Bench, Settling
from tests.unit.targets.sites import ACTIONS, NEW, NOTHING, OLD, SPEC, Site, serving

BY_HAND: Revision = {"id": "b" * 16, "digest": "b" * 64, "data": {"hashed": "x", "paths": "folders"}}


class SiteBench:
    """A site on which the old release serves."""

    kind, spec = static_site.KIND, SPEC
    actions = tuple(
        sorted({action for each in ACTIONS.values() for action in each} | {"s3:GetObjectVersion"})
    )

    def __init__(self) -> None:
        self.site = Site()
        self.site.serve(OLD)
        self.artifacts = self.site.upload(NEW)
        self.site.faults.writes = 0

    def target(self) -> StaticSite:
        return self.site.target()

    def state(self) -> Any:
        """The code that serves, and the files of what it serves."""
        files = self.site.s3.objects
        seen = {it.id for it in self._code().serves}
        served = {key: files[key] for key in files if key.split("/")[1].removesuffix(".json") in seen}
        return self.site.cloudfront.copies["LIVE"], served

    def shares(self) -> dict[str, int]:
        return {it.id: it.percent for it in self._code().serves}

    def _code(self) -> Code:
        code = Code.read(self.site.cloudfront.served)
        assert code is not None
        return code

    def writes(self) -> int:
        return self.site.faults.writes

    def empty(self) -> None:
        self.site.cloudfront.by_hand(NOTHING)

    def drift(self) -> None:
        self.site.cloudfront.by_hand(serving(BY_HAND))

    def delete(self, revision: Revision) -> None:
        for key in [key for key in self.site.s3.objects if revision["id"] in key]:
            del self.site.s3.objects[key]

    def unsettle(self) -> None:
        self.site.cloudfront.slow = True

    def settle(self) -> None:
        self.site.cloudfront.settle()

    def before_write(self, others: Callable[[], object]) -> None:
        self.site.faults.others = others

    def lose_answers(self) -> None:
        self.site.faults.loses = True

    def refuse(self, action: str, *, throttled: bool = False) -> None:
        error = aws_error("Throttling", status=503) if throttled else aws_error("AccessDenied", status=403)
        self.site.faults.refused = (action, error)

    def allow(self) -> None:
        self.site.faults.refused = None


class TestStaticSite(Beginning, Settling):
    """A site behind a CloudFront function."""

    def make(self) -> Bench:
        return SiteBench()

    def test_its_permissions_match_its_calls(self, bench: Bench) -> None:
        rights = static_site.rights(SPEC, objects=["arn:aws:s3:::releases/*"])
        assert {action for right in rights for action in right.actions} == set(bench.actions)
