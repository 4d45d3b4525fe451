"""`make mutants`: makes small changes to the code that decides, and reports those that no test notices.

    make mutants [ARGS="--room lock --room gates"]

mutmut derives a module's name from its path, and the layer's path does not match its name. So the run has its own tree
in `.mutants/`, with the package at `src/tagship` and everything else from the project. Each room is mutated under its
own tests only: a mutant takes a second or less, and a room's promises are shown by its own tests.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "layers/tagship/tagship"
TREE = ROOT / ".mutants"
MUTMUT = ROOT / ".venv-mutants/bin/mutmut"

# what tests read besides the package
_BESIDE = (
    "cli",
    "examples",
    "functions",
    "layers",
    "tools",
    "schemas",
    "statemachine",
    "template.yaml",
    "tests",
)
_KILLED = ("killed", "timeout", "segfault")


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Code that decides, and its tests."""

    code: tuple[str, ...]
    """Files of the package, or patterns for them."""
    tests: tuple[str, ...]
    """Files or folders of `tests/`."""


ROOMS: Mapping[str, Room] = {
    "link": Room(
        code=("approval/link.py", "approval/quorum.py", "model/rules.py"),
        tests=(
            "unit/approval/test_link.py",
            "unit/approval/test_quorum.py",
            "unit/approval/test_request.py",
            "unit/model/test_rules.py",
            "security/test_approval_link.py",
            "security/test_slack_buttons.py",
        ),
    ),
    "lock": Room(
        code=("ledger/lock.py",),
        tests=(
            "unit/ledger/test_lock.py",
            "unit/ledger/test_lock_machine.py",
            "unit/deployment/test_retention.py",
        ),
    ),
    "rollback": Room(code=("deployment/rollback.py",), tests=("unit/deployment/test_rollback.py",)),
    "verdict": Room(
        code=("health/verdict.py", "health/sampling.py"),
        tests=("unit/health/test_verdict.py", "unit/health/test_sampling.py"),
    ),
    "signals": Room(
        code=("health/alarm.py", "health/metric.py"),
        tests=("unit/health/test_alarm.py", "unit/health/test_metric.py"),
    ),
    "rollout": Room(code=("model/rollout.py",), tests=("unit/model/test_rollout.py",)),
    "schedule": Room(code=("model/schedule.py",), tests=("unit/model/test_schedule.py",)),
    "target": Room(
        code=("targets/lambda_*.py",),
        tests=(
            "unit/targets/test_lambda_alias.py",
            "unit/targets/test_lambda_callers.py",
            "unit/targets/test_lambda_calls.py",
            "unit/targets/test_lambda_functions.py",
            "unit/targets/test_lambda_keeping.py",
            "unit/targets/test_lambda_look_into.py",
            "unit/targets/test_lambda_functions_conformance.py",
            "unit/targets/test_lambda_package.py",
            "unit/targets/test_retention.py",
            "unit/targets/test_conformance.py",
            "unit/targets/test_targets.py",
            "unit/gates/test_package.py",
            "unit/gates/test_target.py",
            "unit/health/test_kinds.py",
            "unit/health/test_lambda_invoke.py",
            "security/test_what_is_published.py",
        ),
    ),
    "gates": Room(code=("gates/*.py",), tests=("unit/gates",)),
}


def run(rooms: Sequence[str], *, children: int) -> int:
    """Mutates the rooms one after another, and prints the survivors and the share that was killed. Returns 0.

    Raises CalledProcessError if a room's tests fail on the original code.
    """
    found: dict[str, Mapping[str, str]] = {}
    for name in rooms:
        tree = _lay_out(name, ROOMS[name])
        print(f"{name}: {', '.join(ROOMS[name].code)}", flush=True)
        subprocess.run([MUTMUT, "run", "--max-children", str(children)], cwd=tree, check=True)
        found[name] = results(_said(tree, "results", "--all", "true"))
        for mutant in survivors(found[name]):
            print(_said(tree, "show", mutant))
    print(table(found))
    return 0


def results(output: str) -> dict[str, str]:
    """The result of each mutant, from mutmut's list."""
    return {
        mutant: status for mutant, _, status in (line.strip().partition(": ") for line in output.splitlines())
    }


def survivors(found: Mapping[str, str]) -> list[str]:
    """The mutants that no test noticed, including those without a test."""
    return [mutant for mutant, status in found.items() if status not in _KILLED]


def table(found: Mapping[str, Mapping[str, str]]) -> str:
    """A line for each room, and one for all."""
    counted = {name: Counter(status in _KILLED for status in each.values()) for name, each in found.items()}
    counted["all"] = sum(counted.values(), Counter())
    lines = [
        f"{name:<10}{count.total():>9}{count[True]:>8}{count[True] / max(1, count.total()):>9.1%}"
        for name, count in counted.items()
    ]
    return "\n".join([f"{'':<10}{'mutants':>9}{'killed':>8}{'share':>9}", *lines])


def _lay_out(name: str, room: Room) -> Path:
    """Creates the room's tree for mutmut, without earlier results."""
    tree = TREE / name
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(PACKAGE, tree / "src/tagship", ignore=shutil.ignore_patterns("__pycache__"))
    for each in _BESIDE:
        (tree / each).symlink_to(ROOT / each)
    settings = {
        "source_paths": ["src/tagship"],
        "only_mutate": [f"src/tagship/{each}" for each in room.code],
        "also_copy": list(_BESIDE),
        "pytest_add_cli_args_test_selection": [f"tests/{each}" for each in room.tests],
        "pytest_add_cli_args": [
            "-o",
            "pythonpath=. cli src",
            "-p",
            "tools.stable_ids",
            "-p",
            "no:cacheprovider",
        ],
        "use_git_change_detection": False,
        "timeout_constant": 4.0,  # a slow machine is not an endless loop
    }
    lines = [
        f"{key} = {json.dumps(value)}" for key, value in settings.items()
    ]  # this kind of JSON is valid TOML too
    text = "\n".join([(ROOT / "pyproject.toml").read_text(), "[tool.mutmut]", *lines, ""])
    (tree / "pyproject.toml").write_text(text)
    return tree


def _said(tree: Path, *arguments: str) -> str:
    return subprocess.run(
        [MUTMUT, *arguments], cwd=tree, check=True, capture_output=True, text=True
    ).stdout.rstrip()


def main() -> int:
    """As `make mutants` runs it."""
    parser = argparse.ArgumentParser(
        prog="make mutants", description="Which breaks of the code no test notices."
    )
    parser.add_argument("--room", action="append", choices=ROOMS, help="only this; may be repeated")
    parser.add_argument("--children", type=int, default=1, help="how many mutants are tried at once (1)")
    options = parser.parse_args()
    try:
        return run(options.room or list(ROOMS), children=options.children)
    except subprocess.CalledProcessError as error:
        print(f"{error.stderr or ''}{error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
