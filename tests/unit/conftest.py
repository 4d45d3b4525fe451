"""A ledger table in memory for tests that need one."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import pytest

from tagship.ledger.table import Ledger
from tests.unit.tables import Clock, ledger_table

# One core, sometimes shared: how long an example takes says nothing here, and wherever it runs it runs the same examples.
hypothesis.settings.register_profile("unit", deadline=None, derandomize=True)
hypothesis.settings.load_profile("unit")


@pytest.fixture
def clock() -> Clock:
    """Stands still until a test moves it."""
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> Iterator[Ledger]:
    """An empty ledger."""
    with ledger_table() as client:
        yield Ledger(client=client, table="ledger", stage="production", now=clock, pause=lambda seconds: None)
