"""The wheel: what is in it, what it needs, and that it works where nothing of this repository is."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

import pytest
import yaml

from tagship_cli.main import CHECKOUT_ONLY, COMMANDS

ROOT = Path(__file__).parents[3]
PACKAGES = (ROOT / "layers" / "tagship" / "tagship", ROOT / "cli" / "tagship_cli")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
IMPORTED_AS = {"pyyaml": "yaml", "pyjwt": "jwt", "python_dateutil": "dateutil"}
NOT_IMPORTED = {"tzdata"}  # zoneinfo reads it where the machine has no zones


def _typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def _imports(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if _typing_only(child):
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name.split(".")[0] for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield child.module.split(".")[0]
        yield from _imports(child)


def test_the_declared_dependencies_are_the_imported_ones() -> None:
    files = [path for package in PACKAGES for path in package.rglob("*.py")]
    imported = {name for path in files for name in _imports(ast.parse(path.read_text()))}
    ours = {"tagship", "tagship_cli", "tools"}  # the tools are imported in a checkout only
    declared = {text.split(">")[0].split("[")[0].replace("-", "_") for text in PROJECT["dependencies"]}
    names = {IMPORTED_AS.get(name, name) for name in declared - NOT_IMPORTED}
    assert imported - ours - sys.stdlib_module_names == names


def test_only_the_command_for_a_checkout_imports_the_tools() -> None:
    using = [
        path.name for path in PACKAGES[1].rglob("*.py") if "tools" in _imports(ast.parse(path.read_text()))
    ]
    assert using == ["local.py"]


def run(*command: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(each) for each in command],
        cwd=cwd,
        env={"PATH": os.defpath, "HOME": str(cwd), "AWS_EC2_METADATA_DISABLED": "true", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: Any) -> Path:
    """A fresh environment with the wheel, and with this environment's packages as its dependencies."""
    place = tmp_path_factory.mktemp("installed")
    source = place / "source"
    for folder in ("cli", "layers"):
        copytree(ROOT / folder, source / folder, ignore=ignore_patterns("__pycache__", "*.egg-info"))
    for file in ("pyproject.toml", "LICENSE"):
        (source / file).write_bytes((ROOT / file).read_bytes())
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    built = run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", place, source, cwd=place)
    assert built.returncode == 0, built.stderr
    (wheel,) = place.glob("*.whl")
    venv.create(place / "venv", with_pip=False)
    done = run(*pip, "--python", place / "venv", "install", "--no-deps", wheel, cwd=place)
    assert done.returncode == 0, done.stderr
    packages = site_packages(place)
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place


def site_packages(place: Path) -> Path:
    (found,) = (place / "venv").glob("lib/python*/site-packages")
    return found


def tagship(place: Path, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return run(place / "venv" / "bin" / "tagship", *arguments, cwd=cwd or place)


def test_the_wheel_contains_two_packages_and_nothing_else(installed: Path) -> None:
    names = {path.name for path in site_packages(installed).iterdir()}
    metadata = {name for name in names if name.endswith(".dist-info")}
    assert [name.split("-")[0] for name in metadata] == ["tagship"]
    assert names - metadata - {"dependencies.pth", "__pycache__"} == {"tagship", "tagship_cli"}


def test_an_installed_command_line_runs_its_own_code(installed: Path) -> None:
    python = installed / "venv" / "bin" / "python"
    done = run(
        python,
        "-I",
        "-c",
        "import tagship, tagship_cli; print(tagship.__file__, tagship_cli.__file__)",
        cwd=installed,
    )
    assert all(path.startswith(str(site_packages(installed))) for path in done.stdout.split()), done


@pytest.mark.parametrize("command", ["", *sorted(COMMANDS)])
def test_every_installed_command_has_help(installed: Path, command: str) -> None:
    done = tagship(installed, *command.split(), "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: tagship")


def test_the_command_for_a_checkout_is_hidden_and_says_what_it_needs(installed: Path) -> None:
    listed = tagship(installed, "--help").stdout
    assert {name for name in CHECKOUT_ONLY if f"\n  {name} " in listed} == set()
    done = tagship(installed, "local", "up")
    assert done.returncode == 1
    assert "requires a checkout" in done.stderr


def test_the_installed_command_line_validates_and_previews(installed: Path) -> None:
    document = ROOT / "examples" / "storefront" / "application.yaml"
    done = tagship(installed, "validate", str(document))
    assert done.returncode == 0, done.stderr + done.stdout
    answers = ("--account", "123456789012", "--region", "eu-central-1", "--approver", "ana@example.com")
    done = tagship(
        installed,
        "init",
        "greeter",
        "--type",
        "lambda",
        "--offline",
        *answers,
        "--check",
        "metric",
        "--ci",
        "github",
    )
    assert done.returncode == 0, done.stderr + done.stdout
    done = tagship(installed, "preview", "approval", str(document), "--html", "previews")
    assert done.returncode == 0, done.stderr
    assert list((installed / "previews").glob("*.html"))


def test_the_publishing_job_imports_nothing_from_the_working_directory(
    installed: Path, tmp_path: Path
) -> None:
    """Otherwise a repository with modules of these names would run code with the job's token."""
    for name in ("tagship", "tagship_cli", "boto3", "click", "json"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('taken over')")
    action = yaml.safe_load((ROOT / "examples" / "github-actions" / "publish" / "action.yaml").read_text())
    (script,) = [step["run"] for step in action["runs"]["steps"] if step["name"] == "Publish"]
    environments = tmp_path / "runner" / "pipx" / "venvs"  # where pipx makes them, below PIPX_HOME
    environments.mkdir(parents=True)
    (environments / "tagship").symlink_to(installed / "venv")
    done = run(
        *("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script),
        cwd=tmp_path,
        APPLICATION="storefront",
        TAG="v1.4.0",
        STAGE="production",
        BUCKET="releases",
        ARTIFACTS="function=missing.zip",
        **dict.fromkeys(("ATTESTATION", "SIGN", "AUTHOR", "NOTES_FILE"), ""),
        RUNNER_TEMP=str(tmp_path / "runner"),
        PYTHONPATH=str(tmp_path),
    )
    assert "taken over" not in done.stderr + done.stdout
    assert "Set --commit" in done.stderr, done
