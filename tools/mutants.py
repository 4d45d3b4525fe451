"""`make mutants`: breaks the code that decides, a little at a time, and tells which breaks no test notices.

    make mutants [ARGS="--room lock --room gates"]

mutmut reads a module's name from its path, and the layer's path is not its name. So the run has a tree of its own in
`.mutants/`, in which the package lies at `src/tagship` and everything else is the project's. Each room is broken under its
own tests only: a mutant costs a second or less, and what a room promises is shown in the room.
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

# what tests read beside the package
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
    """Code that decides, and the tests that hold it."""

    code: tuple[str, ...]
    """Files of the package, or patterns of them."""
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
            "unit/targets/test_lambda_calls.py",
            "unit/targets/test_lambda_package.py",
            "unit/targets/test_conformance.py",
            "unit/targets/test_targets.py",
            "unit/gates/test_target.py",
            "security/test_what_is_published.py",
        ),
    ),
    "gates": Room(code=("gates/*.py",), tests=("unit/gates",)),
}


def run(rooms: Sequence[str], *, children: int) -> int:
    """Breaks the rooms one after another, and prints what survived and the share that was killed; 0 whatever it is.

    Raises CalledProcessError when a room's tests fail on code that is whole.
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


def results(said: str) -> dict[str, str]:
    """What became of each mutant, from mutmut's own list of them."""
    return {
        mutant: status for mutant, _, status in (line.strip().partition(": ") for line in said.splitlines())
    }


def survivors(found: Mapping[str, str]) -> list[str]:
    """The mutants that no test noticed, those without any test among them."""
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
    """The room's own tree, as mutmut understands it; what an earlier run found is forgotten."""
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
        "pytest_add_cli_args": ["-o", "pythonpath=. cli src", "-p", "no:cacheprovider"],
        "use_git_change_detection": False,
        "timeout_constant": 4.0,  # a busy machine is no endless loop
    }
    lines = [
        f"{key} = {json.dumps(value)}" for key, value in settings.items()
    ]  # JSON of this kind is TOML too
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
