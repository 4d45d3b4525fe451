"""The examples for CI can't be run here; what can be read in them is held."""

from __future__ import annotations

import hashlib
import re
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tagship.targets import KINDS
from tagship_cli.actions import starting
from tagship_cli.main import main
from tests.template.definitions import ROOT

FOLDER = ROOT / "examples" / "github-actions"
ACTION = FOLDER / "publish" / "action.yaml"
WORKFLOW = FOLDER / "release.yaml"
PLAN_ACTION = FOLDER / "plan" / "action.yaml"
PLAN_WORKFLOW = FOLDER / "plan.yaml"
TAGSHIP = "acme/tagship"
PAGE = ROOT / "docs" / "ci.md"
RELEASE = ROOT / ".github" / "workflows" / "release.yaml"


@dataclass(frozen=True)
class Written:
    """The workflow that `tagship init` writes for GitHub."""

    name: str = "init"

    def read_text(self) -> str:
        kind = KINDS["lambda"]
        place = {"account": "123456789012", "region": "eu-central-1"}
        answers = starting.Answers(
            application="greeter",
            stage="production",
            kind=kind,
            target=starting.target_of(kind, "greeter", stage="production", given={}, **place),
            approvers=["ana@example.com"],
            required=1,
            check={"type": "http", "url": "https://greeter.example.com/"},
        )
        return starting.workflow("github", answers, ["function=build/greeter.zip"])


INIT = Written()
every_example = pytest.mark.parametrize(
    "path",
    [ACTION, WORKFLOW, PLAN_ACTION, PLAN_WORKFLOW, INIT, RELEASE],
    ids=lambda path: f"{path.name} of {path.parent.name}" if isinstance(path, Path) else path.name,
)


def loaded(path: Any) -> Any:
    return yaml.safe_load(path.read_text())


def steps(path: Any) -> Iterator[dict[str, Any]]:
    document = loaded(path)
    yield from document.get("runs", {}).get("steps", [])
    for job in document.get("jobs", {}).values():
        yield from job["steps"]


@every_example
def test_every_action_is_pinned_by_commit_with_its_version_in_a_comment(path: Any) -> None:
    used = re.findall(r"uses: *(.+)", path.read_text())
    assert used
    for each in used:
        if each.startswith(f"{TAGSHIP}/"):
            assert re.fullmatch(rf"{TAGSHIP}/examples/github-actions/(publish|plan)@0{{40}}", each), each
        else:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each), each


def test_the_same_action_has_the_same_commit_everywhere() -> None:
    pins: dict[str, set[str]] = {}
    for path in (ACTION, WORKFLOW, PLAN_ACTION, PLAN_WORKFLOW, INIT, *ROOT.glob(".github/workflows/*.yaml")):
        for name, commit in re.findall(r"uses: *([\w/-]+)@(\w{40}) #", path.read_text()):
            pins.setdefault(name, set()).add(commit)
    assert {name: len(commits) for name, commits in pins.items()} == dict.fromkeys(pins, 1)


@every_example
def test_no_expression_value_is_interpolated_into_a_script(path: Any) -> None:
    """The name of a tag or branch may be a command."""
    assert [step["run"] for step in steps(path) if "${{" in step.get("run", "")] == []


@every_example
def test_every_script_parses(path: Any) -> None:
    for step in steps(path):
        if "run" in step:
            done = subprocess.run(
                ["bash", "-n"], input=step["run"], text=True, capture_output=True, check=False
            )
            assert done.returncode == 0, done.stderr


@every_example
def test_every_option_in_a_script_exists(path: Any) -> None:
    context, checked = main.make_context("tagship", ["schemas"], resilient_parsing=True), []
    for step in steps(path):
        script = step.get("run", "")
        for name in re.findall(
            r"^ *(?:(?:\S*/)?tagship\"?|\S*/python\"? -I -m tagship_cli\.main) (\w+)", script, re.MULTILINE
        ):
            command = main.get_command(context, name)
            assert command is not None, name
            checked.append(name)
            known = {option for parameter in command.params for option in parameter.opts}
            given = re.findall(r"(?<![\w-])(--[a-z-]+)", script)
            assert given
            assert set(given) <= known
    expected = {ACTION: ["publish"], INIT: ["publish"], WORKFLOW: ["watch"], PLAN_ACTION: ["plan"]}
    assert checked == expected.get(path, [])


@pytest.mark.parametrize("action", [ACTION, PLAN_ACTION], ids=["publish", "plan"])
def test_the_action_uses_exactly_its_declared_inputs(action: Path) -> None:
    inputs = set(loaded(action)["inputs"])
    assert set(re.findall(r"inputs\.([\w-]+)", action.read_text())) == inputs
    for about in loaded(action)["inputs"].values():
        assert about["description"].endswith(".")
        assert about.get("required") is True or "default" in about


@pytest.mark.parametrize(
    "workflow, action", [(WORKFLOW, ACTION), (PLAN_WORKFLOW, PLAN_ACTION)], ids=["publish", "plan"]
)
def test_the_workflow_gives_the_action_its_required_inputs(workflow: Path, action: Path) -> None:
    (given,) = [step["with"] for step in steps(workflow) if step.get("uses", "").startswith(TAGSHIP)]
    inputs = loaded(action)["inputs"]
    assert set(given) <= set(inputs)
    assert {name for name, about in inputs.items() if about.get("required")} <= set(given)


def test_a_release_starts_from_a_tag_and_only_the_sign_in_step_gets_a_token() -> None:
    document = loaded(WORKFLOW)
    assert document[True] == {"push": {"tags": ["v*"]}}  # YAML reads `on` so
    assert document["permissions"] == {"contents": "read"}
    may = {name: job.get("permissions", {}) for name, job in document["jobs"].items()}
    assert may == {
        "build": {},
        "publish": {"contents": "read", "id-token": "write", "attestations": "write"},
        "outcome": {"contents": "read", "id-token": "write"},
    }
    for job in document["jobs"].values():
        assert job["runs-on"] and job["timeout-minutes"] <= 360
        for step in job["steps"]:
            if "actions/checkout@" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False


def test_the_action_publishes_its_inputs(tmp_path: Any) -> None:
    """Runs its last script with a fake command line that reports its arguments."""
    (script,) = [step["run"] for step in steps(ACTION) if step.get("name") == "Publish"]
    program = tmp_path / "pipx" / "venvs" / "tagship" / "bin" / "python"
    program.parent.mkdir(parents=True)
    stub(program, 'printf "%s\\n" "$@"')
    (tmp_path / "bundle").write_text("{}")
    given = {
        "APPLICATION": "storefront",
        "ARTIFACTS": "function=build/store front.zip\nassets=$(touch evil)\n",
        "ATTESTATION": str(tmp_path / "bundle"),
        "AUTHOR": "",
        "BUCKET": "releases",
        "NOTES_FILE": "CHANGES.md",
        "SIGN": "alias/tagship-release-signing",
        "STAGE": "production",
        "TAG": "v1.4.0",
    }
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        env={
            **given,
            "PATH": "/usr/bin:/bin",
            "RUNNER_TEMP": str(tmp_path),
            "GITHUB_ACTION_PATH": str(ACTION.parent),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        *("-I", "-m", "tagship_cli.main", "publish", "--application", "storefront", "--tag", "v1.4.0"),
        *("--stage", "production", "--bucket", "releases"),
        *("--artifact", "function=build/store front.zip", "--artifact", "assets=$(touch evil)"),
        *("--artifact", f"provenance={tmp_path}/provenance.jsonl"),
        *("--sign", "alias/tagship-release-signing", "--notes-file", "CHANGES.md"),
    ]
    assert not (tmp_path / "evil").exists()


def stub(path: Path, script: str) -> None:
    """A program in the place of the real one."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    "spec, ends", [("tagship[locked] @ https://x/y.whl#sha256=ab", 0), ("https://x/y.whl", 1)]
)
def test_the_action_installs_the_given_package_only_with_its_checksum(
    tmp_path: Path, spec: str, ends: int
) -> None:
    (script,) = [step["run"] for step in steps(ACTION) if step.get("name") == "Install the command line"]
    stub(tmp_path / "pipx", 'echo "$PIPX_BIN_DIR" "$@"')
    done = ran(script, tmp_path, TAGSHIP=spec, RUNNER_TEMP=str(tmp_path))
    assert done.returncode == ends
    assert done.stdout.splitlines()[0] == (
        f"{tmp_path}/tagship install --quiet {spec}"
        if not ends
        else "tagship: name the wheel with its checksum (#sha256=…)."
    )


def ran(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """As GitHub's runner runs it, with the folder's programs before all others."""
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        env={"PATH": f"{folder}:/usr/bin:/bin", **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


# ---- the plan in a pull request ------------------------------------------------------------------------------------

MARKER = "<!-- tagship plan: storefront production -->"


def script_of(name: str) -> str:
    (script,) = [step["run"] for step in steps(PLAN_ACTION) if step.get("name") == name]
    return str(script)


@pytest.mark.parametrize("status, printed", [(0, True), (1, True), (1, False), (0, False)])
def test_a_plan_that_a_gate_would_stop_is_shown_and_a_failed_plan_is_not(
    tmp_path: Path, status: int, printed: bool
) -> None:
    program = tmp_path / "pipx" / "venvs" / "tagship" / "bin" / "python"
    program.parent.mkdir(parents=True)
    says = f'echo "{MARKER}"; echo "$@"' if printed else ":"
    stub(program, f"{says}\nexit {status}")
    given = {
        "APPLICATION": "storefront",
        "ARTIFACTS": "function=build/store front.zip\n",
        "FILE": "application.yaml",
        "STAGE": "production",
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
    }
    done = ran(script_of("Plan"), tmp_path, **given)
    assert done.returncode == (0 if printed else 1)
    if printed:
        assert (tmp_path / "output").read_text() == f"status={status}\n"
        assert (
            (tmp_path / "plan.md")
            .read_text()
            .splitlines()[1]
            .endswith(
                "--application storefront --stage production --markdown "
                "--artifact function=build/store front.zip --file application.yaml"
            )
        )


@pytest.mark.parametrize(
    "known, asked",
    [
        ("", "POST repos/acme/storefront/issues/7/comments"),
        ("12\n34\n", "PATCH repos/acme/storefront/issues/comments/12"),
    ],
)
def test_the_comment_is_created_once_and_then_updated(tmp_path: Path, known: str, asked: str) -> None:
    (tmp_path / "plan.md").write_text(f"{MARKER}\n### Tagship\n")
    (tmp_path / "known").write_text(known)
    stub(
        tmp_path / "gh",
        'if [ "$2" = --paginate ]; then echo "$MARKER" >marker; cat known; else echo "$4 $5 $6 $7"; fi',
    )
    given = {
        "COMMENTS": "repos/acme/storefront/issues/7/comments",
        "COMMENT": "repos/acme/storefront/issues/comments",
        "RUNNER_TEMP": str(tmp_path),
    }
    done = ran(script_of("Comment"), tmp_path, **given)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{asked} --field body=@{tmp_path}/plan.md"]
    assert (tmp_path / "marker").read_text() == f"{MARKER}\n"


def test_a_pull_requests_build_gets_no_token_and_a_fork_gets_no_plan() -> None:
    document = loaded(PLAN_WORKFLOW)
    assert document[True] == {"pull_request": None}, "never pull_request_target"
    assert document["permissions"] == {"contents": "read"}
    may = {name: job.get("permissions", {}) for name, job in document["jobs"].items()}
    assert may == {
        "build": {},
        "plan": {"contents": "read", "id-token": "write", "pull-requests": "write"},
    }
    assert (
        document["jobs"]["plan"]["if"] == "github.event.pull_request.head.repo.full_name == github.repository"
    )


# ---- Tagship's own release -----------------------------------------------------------------------------------------


def test_a_tagship_release_is_its_wheel_with_attestation_and_checksum(tmp_path: Path) -> None:
    """Its scripts, one after the other: the wheel of the tag, its checksum, and the one line that installs it."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    wheel = f"tagship-{version}-py3-none-any.whl"
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / wheel).write_bytes(b"wheel")
    scripts = {step["name"]: step["run"] for step in steps(RELEASE) if "name" in step}
    compare, release = scripts.values()
    assert ran(compare, tmp_path, GITHUB_REF_NAME="v9.9.9").returncode == 1
    assert ran(compare, tmp_path, GITHUB_REF_NAME=f"v{version}").returncode == 0
    stub(tmp_path / "gh", 'printf "%s\\n" "$@"')
    given = {
        "GITHUB_REF_NAME": f"v{version}",
        "GITHUB_SERVER_URL": "https://github.com",
        "GH_REPO": "acme/tagship",
    }
    done = ran(release, tmp_path, **given)
    assert done.stdout.splitlines()[:5] == [
        "release",
        "create",
        f"v{version}",
        f"dist/{wheel}",
        "dist/SHA256SUMS",
    ]
    digest = hashlib.sha256(b"wheel").hexdigest()
    address = f"https://github.com/acme/tagship/releases/download/v{version}/{wheel}#sha256={digest}"
    assert f'pipx install "tagship[locked] @ {address}"' in (tmp_path / "notes.md").read_text()


def test_only_tagships_release_job_has_write_permission() -> None:
    document = loaded(RELEASE)
    assert document[True] == {"push": {"tags": ["v*"]}}
    assert document["permissions"] == {"contents": "read"}
    may = {name: job.get("permissions", {}) for name, job in document["jobs"].items()}
    assert may == {
        "build": {},
        "release": {"contents": "write", "id-token": "write", "attestations": "write"},
    }
    assert not [step for step in document["jobs"]["release"]["steps"] if "checkout" in step.get("uses", "")]


def test_ci_installs_the_versions_that_are_tested_together() -> None:
    """`make lock` renews the lock files; `locked` in pyproject.toml says the same versions."""
    pins = {
        line.rstrip("\\ ")
        for file in ("requirements/cli.txt", "layers/signin/requirements.txt")
        for line in (ROOT / file).read_text().splitlines()
        if re.match(r"[a-z]", line)
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(project["optional-dependencies"]["locked"]) == {
        it for it in pins if not it.startswith("setuptools==")
    }


def test_the_gitlab_example_is_a_valid_pipeline() -> None:
    (block,) = re.findall(
        r"^```yaml\n(# \.gitlab-ci\.yml\n.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    publish = yaml.safe_load(block)["publish"]
    assert publish["rules"] == [{"if": "$CI_COMMIT_TAG =~ /^v/"}]
    assert publish["id_tokens"]
    assert (
        subprocess.run(["bash", "-n"], input="\n".join(publish["script"]), text=True, check=False).returncode
        == 0
    )
