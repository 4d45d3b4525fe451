"""The ledger and the clock of the unit tests."""

from __future__ import annotations

from tests.unit.conftest import clock, ledger

__all__ = ["clock", "ledger"]
