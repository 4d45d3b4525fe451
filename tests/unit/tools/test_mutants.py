"""A mutation run's code and tests exist, and its results are counted correctly; the run itself is not tested."""

from __future__ import annotations

import pytest

from tools.mutants import PACKAGE, ROOMS, ROOT, results, survivors, table

SAID = """\
    tagship.ledger.lock.x_renew__mutmut_1: killed
    tagship.ledger.lock.x_renew__mutmut_2: survived
    tagship.ledger.lock.x_renew__mutmut_3: timeout
    tagship.ledger.lock.x_freed__mutmut_1: no tests
"""


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_has_code_and_tests(name):
    assert all(list(PACKAGE.glob(each)) for each in ROOMS[name].code)
    assert all((ROOT / "tests" / each).exists() for each in ROOMS[name].tests)


def test_an_undetected_mutant_survived_even_if_it_has_no_test():
    assert survivors(results(SAID)) == [
        "tagship.ledger.lock.x_renew__mutmut_2",
        "tagship.ledger.lock.x_freed__mutmut_1",
    ]


def test_the_table_has_a_line_for_each_room_and_one_for_all():
    assert table({"lock": results(SAID), "none": {}}).splitlines() == [
        "            mutants  killed    share",
        "lock              4       2    50.0%",
        "none              0       0     0.0%",
        "all               4       2    50.0%",
    ]
