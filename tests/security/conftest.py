"""A ledger table and parameters in memory, as for the unit tests."""

from __future__ import annotations

from tests.unit.conftest import clock, ledger
from tests.unit.notices.test_everywhere import ssm

__all__ = ["clock", "ledger", "ssm"]
