"""A fresh world for every flow test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.flow.harness import World
from tests.flow.harness import world as make_world


@pytest.fixture
def world() -> Iterator[World]:
    """One stage in this process; see the harness."""
    with make_world() as built:
        yield built
