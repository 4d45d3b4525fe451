"""validate: every problem at once, with its file, line and field, without a network."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tagship.model.fields import REGION
from tagship_cli.actions import regions
from tagship_cli.actions.documents import Finding, read

ROOT = Path(__file__).resolve().parents[3]
NO_REGION = f"must be {REGION.words}"
VALID_RELEASE = """{
  "schemaVersion": 1,
  "application": "storefront",
  "tag": "v1.4.0",
  "commit": "8f1d5a0b6f3c4c3f8e0d2b7a9c1e5f60718293a4",
  "repository": "acme/storefront",
  "author": "dana@example.com",
  "createdAt": "2026-11-22T10:00:00Z",
  "artifacts": [
    {"name": "function", "file": "a.zip", "sha256": "%s", "size": 1}
  ]
}
""" % ("a" * 64)
VALID_APPLICATION = """# how storefront is released
application: storefront
target:
  type: lambda
  function: storefront
  account: "123456789012"
  region: eu-central-1
  role: arn:aws:iam::123456789012:role/tagship-app-storefront
  externalId: tagship-production
strategy:
  type: canary
  percent: 10
  bake: PT1M
approval:
  approvers: [ana@example.com, bo@example.com]
  required: 2
health:
  checks:
    - type: lambda
    - {type: http, url: "https://storefront.example.com/health"}
"""

LAUGHS = (
    "x0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
    + "".join(f"x{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 7))
    + "target: *a6\napproval: {}\n"
)
"""A few lines that expand to ten million values."""


def found(name: str, text: str | bytes) -> list[tuple[int, str, str]]:
    raw = text if isinstance(text, bytes) else text.encode()
    return [(each.line, each.field, each.message) for each in read(name, raw).findings]


def altered(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    "old, new, line, field, message",
    [
        ("type: canary", "type: big-bang", 11, "strategy.type", "must be one of"),
        ("  percent: 10", "  percnt: 10", 12, "strategy.percnt", "is not a field here; did you mean 'percent'?"),
        ("  percent: 10", "  percent: 0", 12, "strategy.percent", "must be greater than or equal to 1"),
        ("  percent: 10", "  percent: ten", 12, "strategy.percent", "must be a valid integer"),
        ("bake: PT1M", "bake: 1 minute", 13, "strategy.bake", "must be whole seconds or an ISO-8601 duration"),
        ("bake: PT1M", "bake: PT20M", 10, "strategy", "needs 1230 s with its bakes"),
        ('account: "123456789012"', "account: 123456789012", 6, "target.account", "must be text: put it in quotes"),
        ("  externalId: tagship-production\n", "", 3, "target.externalId", "is missing"),
        ("region: eu-central-1", "region: 2026-01-01", 7, "target.region", "is a date in YAML: put it in quotes"),
        ("region: eu-central-1", "region: eu-cnetral-1", 7, "target.region", f"{NO_REGION}; did you mean eu-central-1?"),
        ("region: eu-central-1", "region: us-esat-1", 7, "target.region", f"{NO_REGION}; did you mean us-east-1?"),
        ("region: eu-central-1", "region: Frankfurt", 7, "target.region", NO_REGION),
        ("required: 2", "required: 3", 16, "approval.required", "requires 3 approvals, but there are 2 approvers"),
        ("ana@example.com, bo", "ana, bo", 15, "approval.approvers[0]", "must be a plain mail address"),
        ("- type: lambda", "- type: lamda", 19, "health.checks[0].type", "must be one of"),
        ('url: "https:', 'url: "ftp:', 20, "health.checks[1].url", "must be an http or https address"),
        ("{type: http, url:", "{type: http, mustPass: 6, url:", 20, "health.checks[1].mustPass", "requires 6 healthy"),
        ("- type: lambda\n", "- function: x\n", 19, "health.checks[0]", "needs a type"),
        ("approval:\n", "approval: {}\nnotifications:\n", 14, "approval.approvers", "is missing"),
        ("  required: 2", "  required: 2\n  required: 1", 17, "approval.required", "appears twice, first in line 16"),
    ],
)  # fmt: skip
def test_each_problem_of_an_application_has_its_line_and_field(
    old: str, new: str, line: int, field: str, message: str
) -> None:
    problems = found("application.yaml", altered(VALID_APPLICATION, old, new))
    assert any((line, field) == problem[:2] and problem[2].startswith(message) for problem in problems), (
        problems
    )


@pytest.mark.parametrize(
    "old, new, line, field, message",
    [
        ('"tag": "v1.4.0"', '"tag": "1.4.0"', 4, "tag", "must be v and a semantic version"),
        ('"tag": "v1.4.0"', '"tag": "v1.4.0-01"', 4, "tag", "'v1.4.0-01' is not a tag"),
        (
            '"8f1d5a0b6f3c4c3f8e0d2b7a9c1e5f60718293a4"',
            '"8f1d5a0"',
            5,
            "commit",
            "must be 40 lower-case hexadecimal",
        ),
        ('"size": 1', '"size": 0', 10, "artifacts[0].size", "must be greater than or equal to 1"),
        ('"file": "a.zip"', '"file": "../a.zip"', 10, "artifacts[0].file", "must be a plain file name"),
        ('"name": "function", ', "", 10, "artifacts[0].name", "is missing"),
        ('"author": "dana@example.com",\n', "", 1, "author", "is missing"),
        ('"schemaVersion": 1', '"schemaVersion": 2', 2, "schemaVersion", "must be 1"),
        ('"application"', '"app"', 3, "app", "is not a field here"),
        ('"author"', '"tag": "v1.4.1",\n  "author"', 7, "tag", "appears twice, first in line 4"),
        ('"tag": "v1.4.0",', '"tag": "v1.4.0"', 5, "", "is not JSON: Expecting ',' delimiter"),
    ],
)
def test_each_problem_of_a_release_has_its_line_and_field(
    old: str, new: str, line: int, field: str, message: str
) -> None:
    problems = found("release.json", altered(VALID_RELEASE, old, new))
    assert any((line, field) == problem[:2] and problem[2].startswith(message) for problem in problems), (
        problems
    )


def test_all_problems_are_reported_at_once_in_line_order() -> None:
    text = VALID_APPLICATION
    for old, new in (
        ("percent: 10", "percent: 0"),
        ("PT1M", "soon"),
        ("required: 2", "required: 0"),
        ("type: lambda\n  f", "type: x\n  f"),
    ):
        text = altered(text, old, new)
    lines = [line for line, _, _ in found("application.yaml", text)]
    assert lines == sorted(lines)
    assert {4, 12, 13, 16} <= set(lines)


def test_a_duplicate_field_does_not_hide_what_else_is_wrong() -> None:
    text = altered(VALID_RELEASE, '"author"', '"tag": "1.4.1",\n  "size": 3,\n  "author"')
    fields = {field for _, field, _ in found("release.json", text)}
    assert {"tag", "size"} <= fields


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "is empty"),
        ("# nothing but a comment\n", "is empty"),
        ("just words\n", "must be an object with fields"),
        ("- a\n- list\n", "must be an object with fields"),
        ("colour: red\n", "is neither a release.json nor an application.yaml"),
        ("application: x\n\ttarget: y\n", "is not YAML: a tab where YAML requires spaces"),
        ("application: [x\n", "is not YAML: expected ',' or ']'"),
        ("target:\n  type: x\n a: y\n", "is not YAML: this line is indented differently from the other lines"),
        ("application: x\n  target: y\n", "is not YAML: a second colon in one value. Either this line is indented"),
        ("role: arn: aws\n", "is not YAML: a second colon in one value"),
        ("application: x\ntarget\nhealth: y\n", "is not YAML: a colon is missing: a field is written `name: value`"),
        ('role: "a" b\n', "is not YAML: there is more text after the end of a value"),
        ("author: @dana\n", "is not YAML: a value that starts with this character needs quotes"),
        ('role: "a\n', "is not YAML: a quote is not closed"),
        ("a: 1\n---\nb: 2\n", "is not YAML: expected a single document in the stream, but found another document"),
        ("target: 2026-13-45\n", "has a value that can't be read"),
        ("target: \x00\n", "is not YAML: it has a character that text does not have"),
        (b"target: \xff\n", "is not UTF-8 text"),
        ("target: &t [*t]\napproval: {}\n", "is nested too deeply, or too large once its anchors are written out"),
        ("target: " + "[" * 2000, "is nested too deeply"),
        (LAUGHS, "is nested too deeply, or too large once its anchors are written out"),
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_an_invalid_document_is_reported_and_never_crashes(text: str | bytes, message: str) -> None:
    problems = found("some.yaml", text)
    assert any(problem[2].startswith(message) for problem in problems), problems


def test_json_indented_with_tabs_has_line_numbers_too() -> None:
    text = json.dumps({**json.loads(VALID_RELEASE), "size": 1}, indent="\t")
    assert found("release.json", text) == [
        (
            text.split("\n").index('\t"size": 1') + 1,
            "size",
            "is a field, but not here; indent it under artifacts",
        )
    ]


def test_json_that_the_yaml_parser_cannot_read_is_validated_without_line_numbers() -> None:
    text = altered(VALID_RELEASE, '"storefront",\n  "tag"', '"store\x7ffront",\n  "tag"')
    assert found("release.json", text) == [
        (1, "application", "must be a lower-case letter, then letters, digits and -, 2 to 40 in all")
    ]


@pytest.mark.parametrize("name", ["release.yaml", "whatever.txt", "application.yaml"])
def test_a_files_content_determines_its_kind(name: str) -> None:
    assert read(name, VALID_APPLICATION.encode()).kind == "application"
    assert read(name, b'{"application": "x", "tag": "v1", "artifacts": []}').kind == "release"


def test_an_application_may_be_written_in_json() -> None:
    import yaml

    text = json.dumps(yaml.safe_load(VALID_APPLICATION))
    assert read("application.json", text.encode()).findings == ()


def test_a_manifest_must_be_json_as_the_pipeline_reads_json() -> None:
    text = "schemaVersion: 1\ntag: v1.4.0\nartifacts: []\n"
    document = read("release.yaml", text.encode())
    assert document.kind == "release"
    assert document.findings[0].message.startswith("is not JSON")


def test_a_byte_order_mark_in_an_application_is_accepted() -> None:
    assert read("application.yaml", b"\xef\xbb\xbf" + VALID_APPLICATION.encode()).findings == ()


def test_a_finding_shows_field_and_message() -> None:
    assert str(Finding(line=1, field="a.b", message="is missing")) == "a.b: is missing"
    assert str(Finding(line=1, field="", message="is empty")) == "is empty"


# ---- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "application.yaml").write_text(VALID_APPLICATION)
    (tmp_path / "release.json").write_text(VALID_RELEASE)
    return tmp_path


def run(*arguments: str, given: str | bytes | None = None) -> Any:
    from click.testing import CliRunner

    from tagship_cli.main import main

    return CliRunner().invoke(main, ["validate", *arguments], input=given)


def test_without_arguments_it_validates_the_files_it_finds(files: Path) -> None:
    result = run()
    assert result.exit_code == 0
    assert "application.yaml: valid, an application's configuration (storefront)" in result.stdout
    assert "release.json: valid, a release's manifest (storefront v1.4.0)" in result.stdout


def test_without_any_file_it_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run()
    assert result.exit_code == 2
    assert "Name a file" in result.stderr


def test_problems_have_the_format_that_editors_can_jump_to(files: Path) -> None:
    (files / "application.yaml").write_text(altered(VALID_APPLICATION, "percent: 10", "percent: 100"))
    result = run("application.yaml", "release.json")
    assert result.exit_code == 1
    assert result.stdout.startswith(
        "application.yaml:12: strategy.percent: must be less than or equal to 99\n"
    )
    assert result.stderr == "1 problem in 1 of 2 files.\n"


def test_the_same_as_json(files: Path) -> None:
    (files / "application.yaml").write_text(altered(VALID_APPLICATION, "percent: 10", "percent: 100"))
    result = run("--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["valid"] is False
    assert document["files"][0]["problems"] == [
        {"line": 12, "field": "strategy.percent", "message": "must be less than or equal to 99"}
    ]
    release = {"file": "release.json", "kind": "release", "valid": True, "problems": [], "warnings": []}
    assert document["files"][1] == release


def test_show_defaults_prints_omitted_fields(files: Path) -> None:
    result = run("application.yaml", "--show-defaults")
    assert "  alias: live\n" in result.stdout
    assert "  remindEvery: 3600\n" in result.stdout
    assert "  bake: 60\n" in result.stdout
    assert '"parameters": {}' in run("release.json", "--show-defaults").stdout


def test_standard_input_can_be_validated(files: Path) -> None:
    result = run("-", given=altered(VALID_APPLICATION, "required: 2", "required: 9"))
    assert result.exit_code == 1
    assert result.stdout.startswith("standard input:16: approval.required: ")


def test_hostile_text_is_shown_escaped(files: Path) -> None:
    (files / "application.yaml").write_text(altered(VALID_APPLICATION, "percent: 10", '"per\\e[2Jcent": 10'))
    result = run("application.yaml")
    assert "\x1b" not in result.output
    assert "[2Jcent" in result.stdout


@pytest.mark.parametrize(
    "kind", [path.parent.name for path in (ROOT / "examples").glob("*/application.yaml")]
)
def test_the_sample_applications_are_valid(kind: str) -> None:
    assert run(str(ROOT / "examples" / kind / "application.yaml")).exit_code == 0


# ---- regions ---------------------------------------------------------------------------------------------------------


def test_every_region_that_botocore_knows_has_a_region_s_form() -> None:
    """Includes those of other partitions; `aws-global` and similar are not regions."""
    names = sorted(each for each in regions.known() if "global" not in each)
    assert len(names) > 40
    assert [each for each in names if not re.search(REGION.pattern, each)] == []


def test_a_region_that_is_not_known_is_a_warning_because_it_may_be_new(stage: Any, tmp_path: Path) -> None:
    file = tmp_path / "application.yaml"
    file.write_text(altered(VALID_APPLICATION, "region: eu-central-1", "region: us-east-9"))
    result = run(str(file))
    assert result.exit_code == 0
    assert (
        "application.yaml:7: warning: target.region: us-east-9 is not in this version's list of"
        in result.stdout
    )
    (document,) = json.loads(run(str(file), "--json").stdout)["files"]
    assert (document["valid"], document["problems"]) == (True, [])
    assert [(each["line"], each["field"]) for each in document["warnings"]] == [(7, "target.region")]
    assert "; did you mean us-east-" in document["warnings"][0]["message"]
    applied = stage.run("apply", str(file), "--yes")
    assert "target.region: us-east-9 is not in this version's list" in applied.stderr
