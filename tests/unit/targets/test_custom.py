"""Responses of a team's own function are read within limits; its requests are as documented."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from tagship.model.errors import AwsUnavailable, BaselineMissing, PlanChanged, TagshipError, TargetInvalid
from tagship.targets.custom_function import ERRORS, CustomFunction
from tagship.targets.kind import Move
from tests.unit.tables import aws_error
from tests.unit.targets.test_custom_conformance import SPEC, RecordBench, example

OLD = {"id": "old", "digest": "d1", "data": {}}
NEW = {"id": "", "digest": "d2", "data": {}}
MADE = {**NEW, "id": "new"}
MOVE = Move(baseline=OLD, candidate=MADE, percent=10, etag="e1", fence=7)  # type: ignore[arg-type]
ARTIFACTS = RecordBench().artifacts
ASK: dict[str, Any] = {
    "check": lambda it: it.check(None),
    "look_into": lambda it: it.look_into(ARTIFACTS, None),
    "plan": lambda it: it.plan(ARTIFACTS, {"a": "b"}, weighted=True),
    "prepare": lambda it: it.prepare(ARTIFACTS, NEW, lambda _: None),
    "verify_unchanged": lambda it: it.verify_unchanged(MOVE),
    "set_weight": lambda it: it.set_weight(MOVE),
    "verify_weight": lambda it: it.verify_weight(MOVE),
    "exists": lambda it: it.exists(OLD),
    "serving": lambda it: it.serving(),
    "restore": lambda it: it.restore(baseline=OLD, candidate=MADE, fence=8),
}


class Function:
    """A function that gives one response and remembers its requests."""

    def __init__(self, answer: Any, *, raised: bool = False) -> None:
        self.answer = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.raised = raised
        self.requests: list[dict[str, Any]] = []

    def invoke(self, *, Payload: str, **_: Any) -> dict[str, Any]:
        self.requests.append(json.loads(Payload))
        error = {"FunctionError": "Unhandled"} if self.raised else {}
        return {"Payload": io.BytesIO(self.answer), **error}


def adapter(client: Any) -> CustomFunction:
    return CustomFunction(application="storefront", tag="v1.4.0", spec=SPEC, client=client)


@pytest.mark.parametrize("act", ASK)
def test_each_request_names_its_subject_and_equal_requests_have_the_same_key(act: str) -> None:
    function = Function({"error": {"name": "AwsUnavailable"}})
    for _ in range(2):
        with pytest.raises(AwsUnavailable):
            ASK[act](adapter(function))
    first, second = function.requests
    assert first == second
    assert first["act"] == act
    assert (first["source"], first["schemaVersion"]) == ("tagship", 1)
    assert (first["application"], first["tag"]) == ("storefront", "v1.4.0")
    assert first["settings"] == dict(SPEC.settings)
    assert ("fence" in first) == (act in ("verify_unchanged", "set_weight", "verify_weight", "restore"))


def test_requests_with_other_numbers_shares_or_releases_have_other_keys() -> None:
    function = Function({"etag": "e"})
    moves = [MOVE, Move(baseline=OLD, candidate=MADE, percent=100, etag="e1", fence=7)]  # type: ignore[arg-type]
    moves.append(Move(baseline=OLD, candidate=MADE, percent=10, etag="e1", fence=8))  # type: ignore[arg-type]
    for move in moves:
        adapter(function).set_weight(move)
    CustomFunction(application="storefront", tag="v2.0.0", spec=SPEC, client=function).set_weight(MOVE)  # type: ignore[arg-type]
    assert len({request["idempotencyKey"] for request in function.requests}) == 4


@pytest.mark.parametrize("act", ASK)
@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_returned_by_name(act: str, name: str) -> None:
    with pytest.raises(ERRORS[name], match=r"storefront v1.4.0: storefront-deployer: because"):
        ASK[act](adapter(Function({"error": {"name": name, "message": "because"}})))


@pytest.mark.parametrize("act", ASK)
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"null",
        b"[]",
        b'"yes"',
        b"true",
        b"[" * 50_000,
        b'{"a": "' + b"x" * 70_000 + b'"}',
        {"error": "TargetMoved"},
        {"error": {"name": "Succeeded"}},
        {"error": {"name": ["TargetMoved"]}},
        {"error": None},
    ],
    ids=repr,
)
def test_an_invalid_response_lets_nothing_through(act: str, answer: Any) -> None:
    """Fault 62."""
    with pytest.raises(TargetInvalid, match="no usable answer"):
        ASK[act](adapter(Function(answer)))


@pytest.mark.parametrize("act", ASK)
def test_a_function_that_raises_is_retried(act: str) -> None:
    with pytest.raises(AwsUnavailable, match="KeyError: zone"):
        ASK[act](adapter(Function({"errorType": "KeyError", "errorMessage": "zone"}, raised=True)))


@pytest.mark.parametrize(
    "act, answer",
    [
        ("check", {}),
        ("check", {"said": 7}),
        ("look_into", {"said": "x", "problems": "none"}),
        ("plan", {}),
        ("plan", {"summary": [], "candidate": NEW}),
        ("plan", {"summary": ["x"]}),
        ("plan", {"summary": ["x"], "candidate": NEW, "nothingToChange": "no"}),
        ("plan", {"summary": ["x"], "candidate": {"id": 7, "digest": "d"}}),
        ("plan", {"summary": ["x"], "candidate": {"id": "", "digest": ""}}),
        ("plan", {"summary": ["x"], "candidate": {**NEW, "data": {"n": 1.5}}}),
        ("plan", {"summary": ["x"], "candidate": {**NEW, "data": ["n"]}}),
        ("plan", {"summary": ["x"], "candidate": {**NEW, "etag": 7}}),
        ("prepare", {}),
        ("prepare", {"candidate": NEW}),
        ("prepare", {"wait": "soon"}),
        ("prepare", {"wait": True}),
        ("set_weight", {}),
        ("set_weight", {"etag": ""}),
        ("verify_weight", {}),
        ("verify_weight", {"wait": -1}),
        ("verify_weight", {"wait": False}),
        ("restore", {}),
        ("serving", {"revision": "old"}),
    ],
)
def test_a_response_without_the_requested_field_is_invalid(act: str, answer: Any) -> None:
    with pytest.raises(TargetInvalid, match="no usable answer"):
        ASK[act](adapter(Function(answer)))


def test_the_functions_texts_are_escaped_and_limited() -> None:
    summary = ["\x1b[31mred\n" + "x" * 500] * 105
    change = adapter(Function({"summary": summary, "candidate": NEW})).plan(ARTIFACTS, {}, weighted=False)
    assert len(change.summary) == 100
    assert change.summary[-1] == "… and 6 more"
    assert adapter(Function({"said": "bad", "problems": ["x"] * 101})).look_into(ARTIFACTS, lambda _: None)[
        1
    ][-1] == (  # type: ignore[arg-type,return-value]
        "… and 2 more"
    )
    assert all(len(each) <= 500 and each.isprintable() for each in change.summary)
    assert adapter(Function({"wait": 86_400})).verify_weight(MOVE) == 60


def test_a_candidate_that_differs_from_the_approved_one_gets_no_traffic() -> None:
    with pytest.raises(PlanChanged):
        adapter(Function({"candidate": {**MADE, "digest": "d3"}})).prepare(ARTIFACTS, NEW, lambda _: None)  # type: ignore[arg-type]


def test_a_changed_revision_under_a_recorded_name_cannot_be_restored() -> None:
    with pytest.raises(BaselineMissing):
        adapter(Function({"revision": {**OLD, "digest": "other"}})).restorable(OLD)  # type: ignore[arg-type]
    assert adapter(Function({})).restorable(None) is None


def test_a_missing_function_is_an_invalid_target(monkeypatch: pytest.MonkeyPatch) -> None:
    function = Function({})

    def missing(**_: Any) -> None:
        raise aws_error("ResourceNotFoundException", status=404)

    monkeypatch.setattr(function, "invoke", missing)
    with pytest.raises(TargetInvalid, match="storefront-deployer cannot be invoked"):
        adapter(function).check(None)


def test_the_example_refuses_unknown_requests() -> None:
    for event in ({}, {"schemaVersion": 2, "act": "plan"}, {"schemaVersion": 1, "act": "__init__"}):
        assert example().answered(event, None)["error"]["name"] == "TargetInvalid"


def test_every_error_that_a_function_can_return_is_tagships_own() -> None:
    assert all(issubclass(each, TagshipError) for each in ERRORS.values())
