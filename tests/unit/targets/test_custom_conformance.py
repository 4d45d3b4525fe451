"""The suite of every kind of target, on a team's own function: the example, which moves a name in Route 53."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from tagship.model.records import Revision
from tagship.model.release import Artifact, PinnedObject
from tagship.targets import custom
from tagship.targets.custom_function import CustomFunction
from tagship.targets.kind import Artifacts
from tests.unit.tables import aws_error
from tests.unit.targets.conformance import Asked, Beginning, Bench, Settling

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "custom" / "app" / "app.py"
SPEC = custom.CustomTarget(**custom.KIND.example)
NAME = f"{SPEC.settings['record']}."
OLD, NEW, BY_HAND = (f"storefront-{which}.example.com" for which in ("1", "2", "9"))


@cache
def example() -> Any:
    """The example's module."""
    spec = importlib.util.spec_from_file_location("custom_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module


class InvalidChangeBatch(Exception):
    """A record that is not as it was described, or is there already."""


class FakeRoute53:
    """One zone; a batch is taken as a whole or not at all."""

    class exceptions:  # noqa: N801 (as boto3 names it)
        """The error that a client raises."""

        InvalidChangeBatch = InvalidChangeBatch

    def __init__(self) -> None:
        self.sets: list[dict[str, Any]] = []
        self.writes = 0
        self.others: Callable[[], object] | None = None
        self.loses = False

    def list_resource_record_sets(self, *, HostedZoneId: str, StartRecordName: str, MaxItems: str) -> Any:
        found = sorted(self.sets, key=lambda each: each["Name"] != StartRecordName)
        return {"ResourceRecordSets": deepcopy(found[: int(MaxItems)])}

    def change_resource_record_sets(self, *, HostedZoneId: str, ChangeBatch: Mapping[str, Any]) -> None:
        if others := self.others:
            self.others = None
            others()
        self._change(ChangeBatch["Changes"])
        self.writes += 1
        if self.loses:
            self._change(ChangeBatch["Changes"])

    def _change(self, changes: Any) -> None:
        left = deepcopy(self.sets)
        for change in changes:
            each = change["ResourceRecordSet"]
            known = [(it["Name"], it["Type"], it.get("SetIdentifier")) for it in left]
            if change["Action"] == "DELETE":
                if each not in left:
                    raise InvalidChangeBatch("not found")
                left.remove(each)
            elif (each["Name"], each["Type"], each.get("SetIdentifier")) in known:
                raise InvalidChangeBatch("already exists")
            else:
                left.append(deepcopy(each))
        self.sets = left


class RecordBench:
    """A name that points at an old host, behind the example's function."""

    kind, spec = custom.KIND, SPEC
    actions = ("lambda:InvokeFunction",)

    def __init__(self) -> None:
        self.example, self.dns, self.refused = example(), FakeRoute53(), None
        self.at = 1_000.0
        self.dns.sets = [
            *(self.example.txt(f"{host}.", '"a host"') for host in (OLD, NEW, BY_HAND)),
            self.example.cname(NAME, OLD, 100),
        ]
        content = json.dumps({"host": NEW}).encode()
        self.objects = {"release.json": content}
        pinned = PinnedObject(bucket="releases", key="release.json", versionId="7", size=len(content))
        artifact = Artifact(name=custom.RELEASE, file="release.json", sha256="0" * 64, size=len(content))
        self.artifacts: Artifacts = {custom.RELEASE: (artifact, pinned)}

    def get_object(self, *, Bucket: str, Key: str, VersionId: str) -> dict[str, Any]:
        return {"Body": io.BytesIO(self.objects[Key])}

    def ask(self, event: Mapping[str, Any]) -> Any:
        """The function's answer to a request."""
        record = self.example.Record(SPEC.settings, dns=self.dns, s3=self, now=lambda: self.at)
        return self.example.answered(event, record)

    def invoke(self, *, FunctionName: str, InvocationType: str, Payload: str) -> dict[str, Any]:
        if self.refused:
            raise self.refused
        return {"Payload": io.BytesIO(json.dumps(self.ask(json.loads(Payload))).encode())}

    def target(self) -> CustomFunction:
        return CustomFunction(application="storefront", tag="v1.4.0", spec=SPEC, client=self)

    def state(self) -> Any:
        return deepcopy(self.dns.sets)

    def shares(self) -> dict[str, int]:
        found = [each for each in self.dns.sets if each["Name"] == NAME]
        return {each["SetIdentifier"]: each["Weight"] for each in found}

    def writes(self) -> int:
        return self.dns.writes

    def empty(self) -> None:
        self._point_at()

    def drift(self) -> None:
        self._point_at(self.example.cname(NAME, BY_HAND, 100))

    def _point_at(self, *sets: dict[str, Any]) -> None:
        self.dns.sets = [*(each for each in self.dns.sets if each["Name"] != NAME), *sets]

    def delete(self, revision: Revision) -> None:
        self.dns.sets = [each for each in self.dns.sets if each["Name"] != f"{revision['id']}."]

    def unsettle(self) -> None:
        """Route 53 always takes its time."""

    def settle(self) -> None:
        self.at += 120

    def before_write(self, others: Callable[[], object]) -> None:
        self.dns.others = others

    def lose_answers(self) -> None:
        self.dns.loses = True

    def refuse(self, action: str, *, throttled: bool = False) -> None:
        code = "TooManyRequestsException" if throttled else "AccessDeniedException"
        self.refused = aws_error(code, status=400)

    def allow(self) -> None:
        self.refused = None


class TestRecord(Asked, Beginning, Settling):
    """A team's own function."""

    def make(self) -> Bench:
        return RecordBench()

    def test_its_permissions_match_its_calls(self, bench: Bench) -> None:
        rights = custom.KIND.rights(SPEC, objects=["arn:aws:s3:::releases/*"])
        assert {action for right in rights for action in right.actions} == set(bench.actions)
