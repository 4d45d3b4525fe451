"""The verifiable parts of the documents: links work, names exist, examples are valid, pictures are current."""

from __future__ import annotations

import ast
import json
import re
import shlex
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import boto3
import click
import pytest
import yaml
from click.testing import CliRunner
from moto import mock_aws

from tagship.gates import GATES, Gate
from tagship.health import AnyCheck, kinds
from tagship.model.documents import read_application
from tagship.model.facts import FactKind
from tagship.model.fields import rebuilt
from tagship.model.release import Status, parameter_name
from tagship.notices.channel import Channel
from tagship.notices.channels import CHANNELS
from tagship.story.narrator import _WORDS
from tagship.targets import KINDS
from tagship.targets.kind import Kind
from tagship_cli.main import COMMANDS, main
from tests.matrix import GRID
from tests.template.cloudformation import template
from tests.template.definitions import MACHINES, ROOT, load
from tools import draw, reference, site

PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")],
    key=lambda page: page.relative_to(ROOT).as_posix(),
)
PICTURES = ROOT / "docs" / "images"
_LINK = re.compile(r"(?<!\\)(!?)\[([^\]\n]*)\]\(([^)\s]+)\)")
_CODE = re.compile(r"```.*?```|<!--.*?-->", re.DOTALL)
_NOT_THERE = "There is no such command yet"

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def anchors(page: Path) -> set[str]:
    """GitHub's anchors for a page's headings."""
    headings = re.findall(r"^#{1,6} +(.+?) *$", _CODE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[tuple[str, str, str]]:
    """Whether it is a picture, its text, and its target."""
    for picture, words, target in _LINK.findall(_CODE.sub("", page.read_text())):
        if not target.startswith(("http://", "https://")):
            yield picture, words, target


# ---- links ---------------------------------------------------------------------------------------------------------


@every_page
def test_every_link_leads_to_an_existing_page_and_heading(page: Path) -> None:
    for _, _, target in links(page):
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        assert found.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(found), target


@every_page
def test_every_picture_has_a_text_alternative(page: Path) -> None:
    for picture, words, target in links(page):
        assert not picture or len(words) > 20, target


def test_every_picture_is_shown_somewhere() -> None:
    shown = {(page.parent / target).resolve() for page in PAGES for _, _, target in links(page)}
    assert set(PICTURES.iterdir()) <= shown


def test_every_page_can_be_reached_from_the_readme() -> None:
    waiting, found = [ROOT / "README.md"], set()
    while waiting:
        page = waiting.pop()
        if page in found or page.suffix != ".md":
            continue
        found.add(page)
        waiting += [(page.parent / target.partition("#")[0]).resolve() for _, _, target in links(page)]
    assert set(PAGES) <= found


def test_the_sites_navigation_lists_every_page_once_under_a_reader() -> None:
    home, *sections = navigation()
    assert home == ("Home", ["README.md"])
    listed = [page for _, pages in sections for page in pages]
    assert sorted(["README.md", *listed]) == [page.relative_to(ROOT).as_posix() for page in PAGES]
    readers = re.findall(
        r"^\| ([a-z].+?) \| ", (ROOT / "README.md").read_text().partition("## Read on")[2], re.MULTILINE
    )
    assert len(sections) == len(readers) - 1 > 5  # less the table's heading


def navigation() -> list[tuple[str, list[str]]]:
    """The tabs of the site, each with the pages under it."""
    text = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]

    def listed(entry: object) -> list[str]:
        match entry:
            case str():
                return [entry]
            case list():
                return [page for each in entry for page in listed(each)]
            case dict():
                return [page for each in entry.values() for page in listed(each)]
        raise TypeError(entry)

    return [(title, listed(below)) for tab in yaml.safe_load(text) for title, below in tab.items()]


def test_every_link_on_the_site_leads_to_an_existing_page_or_picture() -> None:
    """A link to a source file leads to a page that shows it."""
    files = {(ROOT / path): text for path, text in site.files()}
    pictures = set(PICTURES.iterdir())
    shown = [path for path in files if path not in PAGES]
    assert shown and all(path.with_suffix("").read_text().rstrip() in files[path] for path in shown)
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s#:]+)[)#]", _CODE.sub("", files[page])):
            found = (page.parent / target).resolve()
            assert found in files or found in pictures, target


# ---- names ---------------------------------------------------------------------------------------------------------


@every_page
def test_every_named_test_exists(page: Path) -> None:
    for path, name in re.findall(r"`(tests/[\w/.]+)(?:::(\w+))?`", page.read_text()):
        assert (ROOT / path).exists(), path
        assert not path.endswith("/") or any((ROOT / path).rglob("test_*.py")), path
        assert not name or f"def {name}(" in (ROOT / path).read_text(), name


@every_page
def test_every_named_command_exists(page: Path) -> None:
    for paragraph in page.read_text().split("\n\n"):
        named = set(re.findall(r"(?:`|^|\.venv/bin/)tagship ([a-z]+)", paragraph, re.MULTILINE))
        assert named <= set(COMMANDS) or _NOT_THERE in paragraph, named - set(COMMANDS)


@every_page
def test_every_named_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z]+)", page.read_text(), re.MULTILINE)) <= targets


@every_page
def test_every_placeholder_for_an_output_names_one(page: Path) -> None:
    asked = re.findall(r"<([A-Z]\w+(?:Name|Arn|Url))>", page.read_text())
    assert set(asked) <= set(template()["Outputs"])


@every_page
def test_no_page_names_a_path_on_somebodys_machine(page: Path) -> None:
    assert not re.search(r"(?<![\w.])/(?:work|tmp|home|root|Users)/", page.read_text())


def test_the_architecture_page_describes_every_state() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    for machine in MACHINES:
        for name, body in load(machine)["States"].items():
            if body["Type"] in ("Task", "Map"):
                assert f"`{name}`" in text, name


def test_the_operations_page_describes_every_ending_fact_and_metric() -> None:
    text = "".join((ROOT / "docs" / name).read_text() for name in ("operations.md", "reference.md"))
    for status in set(Status) - {Status.RUNNING}:
        assert f"`{status}`" in text, status
    for name in _WORDS:
        assert name in text, name
    for name in {kind.counts for kind in FactKind if kind.counts}:
        assert f"`{name}`" in text, name


def test_every_engine_correction_is_documented_with_what_depends_on_it() -> None:
    starts = (ROOT / "tools" / "engine.py").read_text().partition("def main()")[2].partition("if ")[2]
    corrections = re.findall(r"^    (\w+)\(\)$", starts.partition('if "--with-parent"')[0], re.MULTILINE)
    text = (ROOT / "docs" / "contributing" / "what-is-proven-where.md").read_text()
    assert len(re.findall(r"^\| \d+ \|", text, re.MULTILINE)) == len(corrections) > 5


def test_the_architecture_page_lists_every_ledger_item_and_every_package() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    rooms = ROOT / "layers" / "tagship" / "tagship"
    code = "".join(path.read_text() for path in (rooms / "ledger").glob("*.py"))
    items = set(re.findall(r'"([A-Z]{4,})(?:#[^"]*)?"', code)) - set(Status)
    items -= {"OPEN", "APPROVED", "CLOSED"}  # of a request for approval
    assert {"FACT", "LOCK", "PROOF", "CONFIGURATION"} <= items
    assert {item for item in items if f"`{item}#" not in text and f"`{item}`" not in text} == set()
    house = text.partition("## The house")[2].partition("## Engines")[0]
    places = {path.name for path in rooms.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert {place for place in places if f"  {place}/" not in house or f"`{place}`" not in house} == set()


def test_the_evidence_page_has_the_size_of_the_fault_matrix() -> None:
    text = (ROOT / "docs" / "contributing" / "what-is-proven-where.md").read_text()
    assert f"read from the definitions: {len(GRID)} cells" in text


def test_the_cost_page_counts_the_templates_resources() -> None:
    text = (ROOT / "docs" / "cost.md").read_text()
    resources = template()["Resources"].values()
    alarms = [it["Properties"] for it in resources if it["Type"] == "AWS::CloudWatch::Alarm"]
    metrics = sum(len([m for m in it.get("Metrics", []) if "MetricStat" in m]) or 1 for it in alarms)
    roles = [it for it in resources if it["Type"] in ("AWS::IAM::Role", "AWS::Serverless::Function")]
    assert f"| CloudWatch alarms | {len(alarms)}, with {metrics} metrics among them |" in text
    assert f"| 5,000 | {len(alarms)} a stage |" in text
    assert f"| {len(roles)} a stage, and one or two for each application |" in text


# ---- commands ------------------------------------------------------------------------------------------------------


def commands(page: Path) -> Iterator[list[str]]:
    """Each command of Tagship in a page's shell blocks, in words."""
    for block in re.findall(r"^ *```sh\n(.*?)^ *```", page.read_text(), re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip().removeprefix(".venv/bin/").startswith("tagship "):
                yield shlex.split(line, comments=True)[1:]


def parsed(words: list[str]) -> click.Context:
    """As the command line itself parses it; runs nothing."""
    group, context = main, click.Context(main, info_name="tagship", **main.context_settings)
    while True:
        name, command, words = group.resolve_command(context, words)
        assert command and name
        if not isinstance(command, click.Group):
            return command.make_context(name, words, parent=context)
        group, context = (
            command,
            click.Context(command, info_name=name, parent=context, **command.context_settings),
        )


@every_page
def test_every_command_in_the_docs_can_be_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in commands(page):
        for file in re.findall(r"\b[\w.…/-]+\.(?:zip|yaml|jsonl?|md)\b", " ".join(words)):
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).touch()
        if "--help" not in words:
            parsed(words)


@every_page
def test_every_option_in_a_sentence_belongs_to_its_command(page: Path) -> None:
    text = _CODE.sub("", page.read_text())
    for said in re.findall(r"`(?:\.venv/bin/)?(tagship [^`\n]+)`", text):
        words = re.split(r"\s+", said)[1:]
        command: click.Command | None = main
        while isinstance(command, click.Group) and words and re.fullmatch(r"[a-z]+", words[0]):
            command = command.get_command(click.Context(command), words.pop(0))
        assert command is not None, said
        known = {option for it in command.params for option in (*it.opts, *it.secondary_opts)}
        given = {word for word in words if re.fullmatch(r"--[a-z-]+", word)}
        assert given <= known | {"--help"}, said


def texts_in(path: Path) -> Iterator[str]:
    """Each text that a module makes, with the values that go in named between braces."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(it.value)
                if isinstance(it, ast.Constant)
                else f"{{{re.sub(r'\W+', '_', ast.unparse(it))}}}"
                for it in node.values
            )


def test_every_command_suggested_by_the_code_names_the_stage() -> None:
    """At night the one that is pasted must not ask another stage."""
    asks = [name for name in COMMANDS if any(it.name == "stage" for it in _command(name).params)]
    typed = re.compile(rf"tagship (?:{'|'.join(asks)}) \{{[^.;:]*")
    rooms = [ROOT / "layers" / "tagship" / "tagship", ROOT / "cli" / "tagship_cli"]
    found = [
        (path.name, command)
        for path in (path for room in rooms for path in room.rglob("*.py"))
        for text in texts_in(path)
        for command in typed.findall(text)
    ]
    assert len(found) > 10
    bare = [it for it in found if not re.search(r"--(stage|from|file)\b|flags|about|lift|export", it[1])]
    assert bare == []


def _command(name: str) -> click.Command:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    return command


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "runbooks").iterdir()), ids=lambda page: page.stem)
def test_every_command_in_a_runbook_names_its_stage(page: Path) -> None:
    text = page.read_text()
    inline = [shlex.split(it)[1:] for it in re.findall(r"`(tagship [a-z]+ [^`]+)`", text)]
    for words in [*commands(page), *inline]:
        command = main.get_command(click.Context(main), words[0])
        takes_a_stage = command is not None and any(it.name == "stage" for it in command.params)
        assert not takes_a_stage or "--stage" in words or "--from" in words, " ".join(words)


def test_the_readmes_commands_without_an_account_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    readme = ROOT / "README.md"
    (tmp_path / "application.yaml").write_text(*applications(readme))
    with zipfile.ZipFile(tmp_path / "storefront.zip", "w") as package:
        package.writestr("index.py", "code")
    offline = [words for words in commands(readme) if words[0] in ("validate", "publish")]
    assert [words[0] for words in offline] == ["validate", "publish"]
    for words in offline:
        if words[0] == "publish":  # in CI, which knows these
            words += [
                "--dry-run",
                "--bucket",
                "releases",
                "--commit",
                "8" * 40,
                "--author",
                "ana@example.com",
            ]
            words += ["--repository", "acme/storefront"]
        with mock_aws():
            boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="releases")
            boto3.client("ssm", region_name="us-east-1").put_parameter(  # as `tagship apply` has left it
                Name=parameter_name("production", "storefront"),
                Value=json.dumps(yaml.safe_load(*applications(readme))),
                Type="String",
            )
            ran = CliRunner().invoke(
                main, [*words, "--region", "us-east-1"] if words[0] == "publish" else words
            )
        assert ran.exit_code == 0, ran.output


# ---- faults ------------------------------------------------------------------------------------------------------------

_FAULT = re.compile(r"^\| (\d+) \| [^|]+ \| [^|]+ \| ([^|]+) \| ([^|]*) ?\|$", re.MULTILINE)
_NAMES_FAULTS = re.compile(r"\bFaults? (\d+(?:(?:, | and )\d+)*)")
_ENGINES = {
    "flow": "flow",
    "integration": "engine",
    "runtime": "runtime",
    "security": "unit",
    "template": "template",
    "unit": "unit",
}


def faults() -> dict[int, tuple[list[str], list[str]]]:
    """Of each line of the page: the files whose tests show it, and the engines."""
    rows = _FAULT.findall((ROOT / "docs" / "faults.md").read_text())
    return {int(row[0]): (re.findall(r"`(tests/[^`]+)`", row[1]), re.findall(r"\w+", row[2])) for row in rows}


def faults_named_in(path: Path) -> set[int]:
    return {
        int(number)
        for named in _NAMES_FAULTS.findall(path.read_text())
        for number in re.findall(r"\d+", named)
    }


def test_faults_are_numbered_without_gaps() -> None:
    lines = re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "faults.md").read_text(), re.MULTILINE)
    assert [int(number) for number in lines] == list(range(1, len(lines) + 1)) == list(faults())


@pytest.mark.parametrize("number", faults())
def test_every_fault_has_tests_or_is_marked_as_untested(number: int) -> None:
    files, engines = faults()[number]
    for file in files:
        assert number in faults_named_in(ROOT / file), file
    assert engines == list(dict.fromkeys(_ENGINES[file.split("/")[1]] for file in files))
    text = (ROOT / "docs" / "faults.md").read_text()
    assert files or re.search(rf"^\| {number} \|.*\| not yet\b", text, re.MULTILINE)


def test_every_fault_number_in_a_test_exists_on_the_page() -> None:
    for path in (ROOT / "tests").rglob("test_*.py"):
        assert faults_named_in(path) <= set(faults()), path


# ---- examples ------------------------------------------------------------------------------------------------------


def applications(page: Path) -> list[str]:
    """The configurations that a page shows."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    return [block for block in blocks if "\napplication: " in f"\n{block}"]


@every_page
def test_every_shown_application_is_valid(page: Path) -> None:
    for block in applications(page):
        read_application(yaml.safe_load(block))


def test_every_shown_extension_is_valid() -> None:
    """Each example is a valid starting point for a copy."""
    blocks = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs" / "extending.md").read_text(), re.MULTILINE | re.DOTALL
    )
    gate, check, channel = (_run(block, f"tests.shown{number}") for number, block in enumerate(blocks))
    assert isinstance(gate.GATE, Gate) and gate.GATE.shares
    shown = next(it for it in vars(check).values() if hasattr(it, "LOOKS_BACK"))
    read = rebuilt(shown, dict(shown.EXAMPLE))
    known = {*vars(AnyCheck), *AnyCheck.__annotations__}
    assert {name for name in known if not name.startswith("_")} <= set(dir(read))
    assert read.label("storefront").startswith(read.type) and read.seconds and not read.problems()
    assert [right.statement()["Effect"] for right in read.rights(None, None)] == ["Allow"]
    failed, shifted = ({"name": name, "data": {}} for name in ("Rollback Failed", "Traffic Shifted"))
    assert channel.CHANNEL.wants(failed) and not channel.CHANNEL.wants(shifted)


@pytest.mark.parametrize("record", [Gate, AnyCheck, Channel, Kind], ids=lambda it: it.__name__)
def test_the_extension_page_describes_every_field_of_an_extension(record: type) -> None:
    text = (ROOT / "docs" / "extending.md").read_text()
    said = {name for name in (*vars(record), *record.__annotations__) if not name.startswith("_")}
    assert said and {name for name in said if not re.search(rf"\b{name}\b", text)} == set()


def _run(source: str, name: str) -> ModuleType:
    module = ModuleType(name)
    sys.modules[name] = module  # where a dataclass looks its annotations up
    exec(source, vars(module))
    return module


def headings(page: str) -> str:
    """A page's headings, one a line."""
    return "\n".join(re.findall(r"^##+ .*", (ROOT / "docs" / page).read_text(), re.MULTILINE))


def test_every_extension_point_is_described_on_its_page() -> None:
    """`make check` reminds the author of a new one."""
    for name in GATES:
        assert f"## `{name}`" in headings("gates.md"), name
    for name in kinds():
        assert f"## `{name}`" in headings("health.md"), name
        assert f"made by tools.reference: check-{name} -->" in (ROOT / "docs" / "health.md").read_text()
    table = (ROOT / "docs" / "notifications.md").read_text().partition("| channel |")[2].partition("\n\n")[0]
    for name in CHANNELS:
        assert re.search(rf"^\|[^|]*\b{name}\b", table, re.IGNORECASE | re.MULTILINE), name
    targets = (ROOT / "docs" / "applications.md").read_text().partition("## Kinds of targets")[2]
    for name, kind in KINDS.items():
        assert f"`target`, of type `{name}`" in headings("applications.md"), name
        for artifact in kind.artifacts:
            assert f"`{artifact}`" in targets.partition("\n## ")[0], artifact


def test_ten_lines_are_enough_for_an_application() -> None:
    first, *_ = applications(ROOT / "docs" / "applications.md")
    assert len(first.splitlines()) == 10


# ---- what is drawn and made ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", MACHINES)
def test_every_state_machine_picture_is_current(machine: str) -> None:
    assert (PICTURES / f"{machine}.svg").read_text() == draw.draw(machine), ".venv/bin/python -m tools.draw"


@every_page
def test_generated_parts_of_pages_are_current(page: Path) -> None:
    text = page.read_text()
    assert reference.made(text) == text, ".venv/bin/python -m tools.reference"
