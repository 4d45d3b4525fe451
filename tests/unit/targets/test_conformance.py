"""Every kind of target keeps what `conformance.py` asks of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from tagship.model.records import Revision
from tagship.targets import KINDS
from tagship.targets.kind import Artifacts, Target
from tagship.targets.lambda_alias import LambdaTarget
from tests.unit.builders import application
from tests.unit.tables import aws_error
from tests.unit.targets.conformance import Beginning, Conformance, Settings, Settling
from tests.unit.targets.functions import BUCKET, KEY, NEW, OLD, FakeLambda, artifacts, digest, target

WRITES = ("update_function_code", "publish_version", "create_alias", "update_alias", "delete_alias")


class SlowLambda(FakeLambda):
    """A function with settings, whose alias may have provisioned concurrency, and whose client may lose responses."""

    slow = False
    loses = False
    others: Callable[[], object] | None = None

    def update_function_code(self, **request: Any) -> dict[str, Any]:
        if request.get("DryRun"):
            return super().update_function_code(**request)
        return dict(self._twice("update_function_code", partial(super().update_function_code, **request)))

    def publish_version(self, **request: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._twice(
            "publish_version", lambda: FakeLambda.publish_version(self, **request)
        )
        return answer

    def create_alias(self, **request: Any) -> dict[str, Any]:
        if request["Name"] != "live":
            return super().create_alias(**request)
        answer: dict[str, Any] = self._twice("create_alias", lambda: FakeLambda.create_alias(self, **request))
        return answer

    def update_alias(self, **request: Any) -> dict[str, Any]:
        if request["Name"] != "live":
            return super().update_alias(**request)
        stood = self.aliases.get("live", {}).get("FunctionVersion")
        answer: dict[str, Any] = self._twice("update_alias", lambda: FakeLambda.update_alias(self, **request))
        if self.slow and stood != request["FunctionVersion"]:
            # as Lambda does until the new version's provisioned concurrency is ready
            self.aliases["live"]["RoutingConfig"] = {"AdditionalVersionWeights": {stood: 1.0}}
        return answer

    def get_provisioned_concurrency_config(self, *, FunctionName: str, Qualifier: str) -> dict[str, Any]:
        self._called("get_provisioned_concurrency_config", FunctionName)
        raise aws_error("ProvisionedConcurrencyConfigNotFoundException", status=404, message=Qualifier)

    def _twice(self, operation: str, write: Callable[[], Any]) -> Any:
        if others := self.others:
            self.others = None
            others()
        try:
            answer = write()
        except ClientError:
            self.calls.remove(operation)  # nothing was written
            raise
        if not self.loses:
            return answer
        self.calls.remove(operation)  # one write for those who count
        return write()


class LambdaBench:
    """A function behind an alias, on which version 1 serves."""

    kind = KINDS["lambda"]

    def __init__(self) -> None:
        self.functions = SlowLambda()
        self.spec = LambdaTarget(**application()["target"])
        self.artifacts: Artifacts = artifacts()
        rights = self.kind.rights(self.spec, objects=[f"arn:aws:s3:::{BUCKET}/{KEY}"])
        self.actions = sorted({action for right in rights for action in right.actions})

    def target(self) -> Target:
        return target(self.functions)

    def state(self) -> Any:
        return repr((self.functions.aliases, self.functions.latest, self.functions.versions))

    def shares(self) -> dict[str, int]:
        alias = self.functions.aliases.get("live")
        if alias is None:
            return {}
        weights = {
            version: round(100 * weight)
            for version, weight in alias["RoutingConfig"]["AdditionalVersionWeights"].items()
        }
        return {alias["FunctionVersion"]: 100 - sum(weights.values())} | weights

    def writes(self) -> int:
        return sum(call in WRITES for call in self.functions.calls)

    def empty(self) -> None:
        self.functions.aliases.clear()

    def drift(self) -> None:
        self.functions.point(self.functions.by_hand())

    def reconfigure(self) -> None:
        self.functions.latest |= {
            "MemorySize": self.functions.latest["MemorySize"] * 2,
            "RevisionId": next(self.functions.revisions),
        }

    def delete(self, revision: Revision) -> None:
        del self.functions.versions[revision["id"]]

    def unsettle(self) -> None:
        self.functions.slow = True

    def settle(self) -> None:
        self.functions.slow = False
        for alias in self.functions.aliases.values():
            weights = alias["RoutingConfig"]["AdditionalVersionWeights"]
            if list(weights.values()) == [1.0]:
                weights.clear()

    def before_write(self, others: Callable[[], object]) -> None:
        self.functions.others = others

    def lose_answers(self) -> None:
        self.functions.loses = True

    def refuse(self, action: str, *, throttled: bool = False) -> None:
        error = (
            aws_error("TooManyRequestsException", status=429)
            if throttled
            else aws_error("AccessDeniedException", status=403)
        )
        for operation in OPERATIONS[action]:
            self.functions.refuses[operation] = error

    def allow(self) -> None:
        self.functions.refuses.clear()


OPERATIONS = {
    "lambda:GetAlias": ["get_alias"],
    "lambda:CreateAlias": ["create_alias"],
    "lambda:UpdateAlias": ["update_alias"],
    "lambda:DeleteAlias": ["delete_alias"],
    "lambda:GetFunctionConfiguration": ["get_function_configuration"],
    "lambda:GetProvisionedConcurrencyConfig": ["get_provisioned_concurrency_config"],
    "lambda:GetPolicy": ["get_policy"],
    "lambda:GetFunctionUrlConfig": ["get_function_url_config"],
    "lambda:GetAccountSettings": ["get_account_settings"],
    "lambda:ListEventSourceMappings": ["get_event_source_mappings"],
    "lambda:PublishVersion": ["publish_version"],
    "lambda:UpdateFunctionCode": ["update_function_code", "get_ready (a dry run)"],
    "s3:GetObjectVersion": ["update_function_code", "get_ready (a dry run)"],
}


class TestLambda(Beginning, Settings, Settling):
    """A Lambda function behind an alias."""

    def make(self) -> LambdaBench:
        return LambdaBench()


def test_every_kind_has_a_conformance_suite() -> None:
    for file in Path(__file__).parent.glob("test_*conformance.py"):
        import_module(f"{__package__}.{file.stem}")
    suites = [suite for part in Conformance.__subclasses__() for suite in part.__subclasses__()]
    assert {suite().make().kind.name for suite in suites} >= set(KINDS)


def test_the_two_releases_differ() -> None:
    assert digest(OLD) != digest(NEW)
