"""A mutation run's code and tests exist, and its results are counted correctly; the run itself is not tested."""

from __future__ import annotations

import subprocess
import sys

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


TWICE = """
import sys, pytest

class Ids:
    def pytest_collection_modifyitems(self, items):
        print("ids", [item.name for item in items])

for _ in range(2):
    pytest.main(["-qq", "-p", "tools.stable_ids", "-c", "/dev/null", sys.argv[1]], plugins=[Ids()])
"""


def test_a_test_keeps_its_id_however_often_pytest_runs_in_one_process(tmp_path):
    file = tmp_path / "test_ids.py"
    file.write_text(
        "import pytest\n\n"
        "@pytest.mark.parametrize('text', ['a → b', b'\\xff', 'plain'], ids=str)\n"
        "def test_text(text): ...\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", TWICE, str(file)],
        cwd=ROOT,
        env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    first, second = (line for line in said.splitlines() if line.startswith("ids"))
    assert first == second
    assert "test_text[plain]" in first
