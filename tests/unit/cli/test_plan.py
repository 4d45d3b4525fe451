"""`tagship plan` shows what a release would change, before it is uploaded; it changes nothing."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from tagship.model.errors import CandidateNotReady
from tagship.targets import cloudformation_stack
from tagship.targets.cloudformation_update import Stack
from tagship_cli.actions import planning
from tagship_cli.actions.planning import _plain
from tagship_cli.place import Place
from tests.unit.cli.conftest import Stage, application
from tests.unit.targets.functions import FakeFunctions, FakeLambda
from tests.unit.targets.stacks import NEW, FakeStacks

FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:storefront:$LATEST"


@pytest.fixture
def functions(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> FakeLambda:
    """The target, in the account that asks."""
    made = FakeLambda()
    made.latest["FunctionArn"] = FUNCTION
    client = stage.client("sts")
    monkeypatch.setattr(
        client, "get_caller_identity", lambda: {"Account": "123456789012", "Arn": "arn:aws:iam::1:user/me"}
    )
    real = Place.client
    monkeypatch.setattr(
        Place,
        "client",
        lambda self, service, **more: made if service == "lambda" else real(self, service, **more),
    )
    return made


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return written(tmp_path / "storefront.zip", "index.py", "def handler(event, context):\n    return {}\n")


def written(path: Path, name: str, code: str) -> Path:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = 0o644 << 16
        archive.writestr(entry, code)
    path.write_bytes(made.getvalue())
    return path


def asked(stage: Stage, package: Path, *more: str) -> Any:
    options = ("--application", "storefront", "--artifact", f"function={package}", "--stage", "development")
    return stage.run("plan", *options, *more)


def test_it_shows_the_changes_of_each_function_that_is_released(
    stage: Stage, functions: FakeLambda, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = FakeLambda("storefront-worker")
    worker.latest |= {"FunctionArn": FUNCTION.replace("storefront", "storefront-worker"), "Timeout": 60}
    both = FakeFunctions({"storefront": functions, "storefront-worker": worker})
    real = Place.client
    monkeypatch.setattr(
        Place,
        "client",
        lambda self, service, **more: both if service == "lambda" else real(self, service, **more),
    )
    stage.configure(target=application()["target"] | {"others": [{"function": "storefront-worker"}]})
    result = asked(stage, package)
    assert result.exit_code == 0, result.output
    assert "2 functions move together, in this order: storefront, then storefront-worker" in result.output
    assert "storefront-worker: Configuration: time-out (s) 10 → 60" in result.output


def test_it_shows_the_changes_the_traffic_steps_and_the_approvers(
    stage: Stage, functions: FakeLambda, package: Path
) -> None:
    stage.configure()
    functions.latest["MemorySize"] = 512
    before = (dict(functions.versions), dict(functions.aliases))
    result = asked(stage, package)
    assert result.exit_code == 0, result.output
    assert "storefront in development: changes that this release would make" in result.output
    assert "  - Configuration: memory (MB) 256 → 512" in result.output
    assert "  - Code: " in result.output
    assert "10 % of traffic, bakes for 5 min; then 100 % of traffic" in result.output
    assert "2 of 3 approvers: ana@example.com, bo@example.com and chi@example.com" in result.output
    assert (functions.versions, functions.aliases) == before
    assert functions.writes == []
    assert "bypass" not in result.output
    functions.addresses[""] = "https://abc.lambda-url.eu-central-1.on.aws/"
    warned = " ".join(asked(stage, package).output.split())
    assert "! Some callers bypass the alias and call storefront directly: the function URL" in warned
    assert "create-function-url-config --function-name storefront --qualifier live" in warned


@pytest.mark.parametrize(
    "closed, then",
    [
        ("fail", "The gate calendar would refuse it."),
        ("wait", "A release that is published now waits after its approval."),
    ],
)
def test_it_says_that_deployments_are_not_allowed_now(
    stage: Stage, functions: FakeLambda, package: Path, closed: str, then: str
) -> None:
    stage.configure(gates={"whenClosed": closed})
    assert then not in asked(stage, package).output
    frozen = stage.run("freeze", "storefront", "--until", "P3D", "--reason", "Sale", "--stage", "development")
    assert frozen.exit_code == 0, frozen.output
    result = asked(stage, package)
    assert "storefront is frozen until" in result.output
    assert then in " ".join(result.output.split())
    assert result.exit_code == 0


def test_a_package_that_cannot_start_exits_with_one(
    stage: Stage, functions: FakeLambda, tmp_path: Path
) -> None:
    stage.configure()
    result = asked(stage, written(tmp_path / "broken.zip", "other.py", "x = 1\n"))
    assert result.exit_code == 1
    assert "index" in result.output


def test_markdown_is_one_comment_with_all_values_escaped(
    stage: Stage, functions: FakeLambda, package: Path
) -> None:
    stage.configure(approval={"approvers": ["ana_b@example.com", "bo@example.com"]})
    result = asked(stage, package, "--markdown")
    assert result.exit_code == 0, result.output
    hidden, first, *_ = result.output.splitlines()
    assert hidden == "<!-- tagship plan: storefront development -->"
    assert first == "### Tagship: storefront → development"
    assert "| deployed | nothing by Tagship yet |" in result.output
    assert "ana\\_b\\@<!-- -->example.com" in result.output


@pytest.mark.parametrize(
    "text, shown",
    [
        ("State @acme/oncall: new", "State \\@<!-- -->acme/oncall: new"),
        ("Calls acme/shop#1", "Calls acme/shop\\#<!-- -->1"),
        ("see https://evil.example", "see https://<!-- -->evil.example"),
        ("see WWW.evil.example", "see WWW.<!-- -->evil.example"),
        ("exe.gnp\u202e <img>", "exe.gnp⟨U+202E⟩ \\<img\\>"),
    ],
)
def test_a_plan_comment_contains_no_mentions_and_no_links(text: str, shown: str) -> None:
    """GitHub looks for mentions and links when Markdown's own escapes are gone."""
    assert _plain(text) == shown


def test_a_configuration_file_that_is_not_applied_can_be_used(
    stage: Stage, functions: FakeLambda, package: Path, tmp_path: Path
) -> None:
    file = tmp_path / "application.yaml"
    document = application(strategy={"type": "all-at-once"})
    file.write_text(yaml.safe_dump(document))
    result = asked(stage, package, "--file", str(file), "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [step["percent"] for step in found["steps"]] == [100]
    assert (found["application"], found["nothingToChange"], found["problems"]) == ("storefront", False, [])


def test_without_a_configuration_it_says_what_to_do(
    stage: Stage, functions: FakeLambda, package: Path
) -> None:
    result = asked(stage, package)
    assert result.exit_code == 1
    assert "development has no application storefront. Nothing was changed." in result.stderr


def test_a_target_in_another_account_needs_another_identity(
    stage: Stage, functions: FakeLambda, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.configure()
    monkeypatch.setattr(stage.client("sts"), "get_caller_identity", lambda: {"Account": "999999999999"})
    result = asked(stage, package)
    assert result.exit_code == 1
    assert (
        "You are signed in to account 999999999999, but the target of storefront is in 123456789012"
        in result.stderr
    )


def test_a_kind_that_reads_the_artifact_reads_the_local_file(
    stage: Stage, functions: FakeLambda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And AWS is given the time that it takes to compute the change."""
    stacks, slow = FakeStacks(), [CandidateNotReady("computing")]
    real, plan = Place.client, Stack.plan
    monkeypatch.setattr(
        Place,
        "client",
        lambda self, service, **more: (
            stacks if service in ("cloudformation", "s3") and more else real(self, service, **more)
        ),
    )

    def planned(self: Stack, *asked: Any, **more: Any) -> Any:
        if slow:
            raise slow.pop()
        return plan(self, *asked, **more)

    monkeypatch.setattr(Stack, "plan", planned)
    document = application(strategy={"type": "all-at-once"})
    document["target"] = dict(cloudformation_stack.KIND.example)
    document["health"] = {"checks": [{"type": "http", "url": "https://example.com/"}]}
    configured, file = tmp_path / "application.yaml", tmp_path / "template.json"
    configured.write_text(yaml.safe_dump(document))
    file.write_text(NEW)
    options = ("--application", "storefront", "--artifact", f"template={file}", "--stage", "development")
    result = stage.run("plan", *options, "--file", str(configured))
    assert result.exit_code == 0, result.output
    assert "Changes AWS::SSM::Parameter Price" in result.output
    assert stacks.uploads.keys() == {("releases", "releases/storefront/v1.4.0/template.json", "7")}
    assert stacks.writes == 0


def test_a_range_of_a_local_file_is_read_as_from_s3(tmp_path: Path) -> None:
    (tmp_path / "site.zip").write_bytes(b"0123456789")
    s3 = planning._WithFiles(FakeStacks(), {"site.zip": tmp_path / "site.zip"})
    asked = {"Bucket": planning._NOT_UPLOADED, "Key": "site.zip", "VersionId": planning._NOT_UPLOADED}
    assert s3.get_object(**asked)["Body"].read() == b"0123456789"
    assert s3.get_object(**asked, Range="bytes=2-4")["Body"].read() == b"234"
    with pytest.raises(ClientError):
        s3.get_object(**{**asked, "Bucket": "releases"})
