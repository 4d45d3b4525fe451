"""Where a release deploys to, from its record."""

from __future__ import annotations

import pytest

from tagship.deployment.locations import location_of
from tagship.model.errors import LockLost
from tests.unit import builders


def test_a_late_call_for_an_earlier_attempt_loses_the_lock_before_the_new_attempt_is_planned():
    with pytest.raises(LockLost, match="attempt 2 has started meanwhile"):
        location_of(builders.record(attempt=2))
