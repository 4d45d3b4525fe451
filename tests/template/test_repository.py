"""Everything that is installed or runs in CI is pinned, and no file names a machine or registry."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LAYERS = sorted(ROOT.glob("layers/*/requirements.txt"))
LOCKS = [*sorted(ROOT.glob("requirements/*.txt")), *LAYERS]
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yaml"))


def pinned(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", lock.read_text(), re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_package_is_locked_with_version_and_hash(lock: Path) -> None:
    packages = re.split(r"\n(?=\S)", re.sub(r"^ *#.*\n", "", lock.read_text(), flags=re.MULTILINE).strip())
    assert packages
    assert [
        package
        for package in packages
        if not re.search(r"==\S+.*--hash=sha256:[0-9a-f]{64}", package, re.DOTALL)
    ] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_lock_file_names_a_package_index(lock: Path) -> None:
    assert not re.search(r"://|--(extra-)?index-url|--find-links", lock.read_text())


@pytest.mark.parametrize("lock", LAYERS, ids=lambda path: path.parent.name)
def test_tests_run_with_the_layers_package_versions(lock: Path) -> None:
    layer, development = pinned(lock), pinned(ROOT / "requirements/dev.txt")
    assert {name: development.get(name) for name in layer} == layer


def test_no_package_is_in_two_layers() -> None:
    """Lambda merges layers, so the last one would win."""
    first, second = (set(pinned(lock)) for lock in LAYERS)
    assert not first & second


def test_the_launcher_corrects_the_installed_version() -> None:
    [corrected] = re.findall(r'^VERSION = "(.+)"$', (ROOT / "tools/engine.py").read_text(), re.MULTILINE)
    assert pinned(ROOT / "requirements/engine.txt")["ministack"] == corrected


def test_the_corrected_interpreter_is_the_pinned_one() -> None:
    launcher = (ROOT / "tests/integration/stepfunctions_local/interpreter.py").read_text()
    (corrected,) = re.findall(r'^VERSION = "(.+)"$', launcher, re.MULTILINE)
    assert pinned(ROOT / "requirements/interpreter.txt")["localstack-core"] == corrected


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_with_their_version_in_a_comment(workflow: Path) -> None:
    used = re.findall(r"uses: *(.+)", workflow.read_text())
    assert used
    assert [each for each in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_are_read_only_except_the_release_job(workflow: Path) -> None:
    """That job runs nothing of the repository: `test_ci_examples.py` holds it."""
    document = yaml.safe_load(workflow.read_text())
    assert document["permissions"] == {"contents": "read"}
    writes = [
        name
        for name, job in document["jobs"].items()
        if job.get("permissions", {"contents": "read"}) != {"contents": "read"}
    ]
    assert writes == {"release.yaml": ["release"]}.get(workflow.name, [])


def test_ci_publishes_with_the_tested_versions() -> None:
    alone, development = (pinned(ROOT / f"requirements/{name}.txt") for name in ("cli", "dev"))
    assert {name: development.get(name) for name in alone} == alone


def test_ci_can_be_run() -> None:
    assert os.access(ROOT / ".ci/run", os.X_OK)
