"""What the ledger keeps of an application becomes the same nouns again."""

from __future__ import annotations

import pytest

from tagship.application import (
    AllAtOnce,
    Application,
    Canary,
    HttpCheck,
    LambdaCheck,
    Linear,
    Step,
    Steps,
    check_name,
)
from tagship.documents import as_document, read_application
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
def test_each_kind_of_strategy_comes_back(data, strategy):
    written = as_document(read_application(application(strategy=data)))
    assert Application.from_dict(written).strategy == strategy


def test_each_kind_of_check_comes_back_under_the_name_that_operators_read():
    checks = [
        {"type": "http", "url": "https://example.com/health"},
        {"type": "lambda"},
        {"type": "lambda", "function": "storefront-smoke"},
    ]
    written = as_document(read_application(application(health={"checks": checks})))
    http, own, smoke = Application.from_dict(written).health.checks
    assert (type(http), type(own)) == (HttpCheck, LambdaCheck)
    assert [check_name(check, "storefront") for check in (http, own, smoke)] == [
        "http https://example.com/health",
        "lambda storefront",
        "lambda storefront-smoke",
    ]


def test_an_application_is_compared_by_what_it_says():
    read = read_application(application())
    assert Application.from_dict(as_document(read)) == read
    assert Application.from_dict(as_document(read)) != read_application(
        application(strategy={"type": "linear"})
    )


def test_a_document_from_before_a_field_existed_has_its_default():
    older = as_document(read_application(application()))
    del older["gates"]
    assert Application.from_dict(older) == read_application(application())
