"""The package gate looks into what was pinned, as the target's kind says, and runs nothing of it."""

from __future__ import annotations

from typing import Any

import pytest

from tagship.gates import Verdict, package
from tagship.model.errors import AwsUnavailable, TargetInvalid
from tests.unit.gates.cases import FakeTarget, case
from tests.unit.gates.test_integrity import s3_with


class Looking(FakeTarget):
    """A target that reads its artifacts."""

    problems: tuple[str, ...] = ()
    found: Any = None

    def look_into(self, artifacts: Any, opened: Any) -> Any:
        if "look_into" in self.raises:
            raise self.raises["look_into"]
        _, pinned = artifacts["function"]
        with opened(pinned) as file:
            self.found = file.read()
        return "storefront.zip has 1 file.", self.problems


def test_the_pinned_object_is_inspected():
    target, s3 = Looking(), s3_with()
    result = package.check(case(target=target, s3=s3))
    assert (result.verdict, result.why) == (Verdict.PASSED, "storefront.zip has 1 file.")
    assert target.found in s3.objects.values()


def test_all_problems_are_reported_at_once():
    """Fault 84."""
    target = Looking()
    target.problems = ("It has no handler.", "It is too large.")
    result = package.check(case(target=target, s3=s3_with()))
    assert (result.verdict, result.why) == (Verdict.FAILED, "It has no handler. It is too large.")


def test_the_targets_refusal_is_shown():
    target = Looking(raises={"look_into": TargetInvalid("There is no function.")})
    result = package.check(case(target=target, s3=s3_with()))
    assert (result.why, result.cause) == ("There is no function.", "target")


def test_an_unavailable_aws_is_retried():
    target = Looking(raises={"look_into": AwsUnavailable("throttled")})
    with pytest.raises(AwsUnavailable):
        package.check(case(target=target, s3=s3_with()))
