"""What every kind of test shares: its marker, and the one engine that the tests of a deployed stack use together."""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ON_THE_ENGINE = {"engine", "stack"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by its folder; keep the tests of the deployed stack in one worker, because they share one engine."""
    for item in items:
        kind, *rest = item.path.relative_to(TESTS).parts
        if rest:
            item.add_marker(kind)
        if ON_THE_ENGINE & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group("engine"))
