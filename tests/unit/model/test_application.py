"""An application survives a round trip through the ledger."""

from __future__ import annotations

import pytest

from tagship.health import AlarmCheck, CustomCheck, HttpCheck, LambdaCheck, MetricCheck
from tagship.model.application import AllAtOnce, Application, Canary, Linear, Step, Steps
from tagship.model.documents import as_document, read_application
from tests.unit.builders import application


@pytest.mark.parametrize(
    "data, strategy",
    [
        ({"type": "all-at-once", "bake": 5}, AllAtOnce(type="all-at-once", bake=5)),
        ({"type": "canary", "percent": 7, "bake": 5}, Canary(type="canary", percent=7, bake=5)),
        ({"type": "linear", "percent": 7, "bake": 5}, Linear(type="linear", percent=7, bake=5)),
        (
            {"type": "steps", "steps": [{"percent": 7, "bake": 5}, {"percent": 100, "bake": 0}]},
            Steps(type="steps", steps=(Step(percent=7, bake=5), Step(percent=100))),
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_each_kind_of_strategy_survives_a_round_trip(data, strategy):
    written = as_document(read_application(application(strategy=data)))
    assert Application.from_dict(written).strategy == strategy


def test_each_kind_of_check_survives_a_round_trip_under_its_public_name():
    checks = [
        {"type": "http", "url": "https://example.com/health"},
        {"type": "lambda"},
        {"type": "lambda", "function": "storefront-smoke"},
        {"type": "http", "urls": ["https://a.example.com", "https://b.example.com"]},
        {"type": "alarm", "names": ["storefront-5xx"]},
        {"type": "alarm", "names": ["a", "b", "c"]},
        {"type": "metric", "name": "errors", "expression": "...", "maxIncreasePercent": 20},
        {"type": "custom", "function": "storefront-verdict"},
    ]
    written = as_document(read_application(application(health={"checks": checks})))
    read = Application.from_dict(written).health.checks
    assert [type(check) for check in read] == [
        *(HttpCheck, LambdaCheck, LambdaCheck, HttpCheck),
        *(AlarmCheck, AlarmCheck, MetricCheck, CustomCheck),
    ]
    assert [check.label("storefront") for check in read] == [
        "http https://example.com/health",
        "lambda storefront",
        "lambda storefront-smoke",
        "http https://a.example.com and 1 more",
        "alarm storefront-5xx",
        "alarm a and 2 more",
        "metric errors",
        "custom storefront-verdict",
    ]


def test_applications_are_compared_by_content():
    read = read_application(application())
    assert Application.from_dict(as_document(read)) == read
    assert Application.from_dict(as_document(read)) != read_application(
        application(strategy={"type": "linear"})
    )


def test_a_document_without_a_newer_field_gets_its_default():
    older = as_document(read_application(application()))
    del older["gates"]
    assert Application.from_dict(older) == read_application(application())
