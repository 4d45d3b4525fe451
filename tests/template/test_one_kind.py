"""Knowledge of one kind of target is only in its own files; all other code uses its record.

A kind's files are in `targets` and begin with its name: `lambda_alias.py`, `static_site.py`, `static_site_bucket.py`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tagship.targets import KINDS
from tagship.targets.kind import Kind

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "layers" / "tagship" / "tagship"
LIST = LIBRARY / "targets" / "__init__.py"
"""The one line."""
PLACES = sorted(
    (
        *LIBRARY.rglob("*.py"),
        *LIBRARY.rglob("*.html"),
        *(ROOT / "functions").rglob("*.py"),
        *(ROOT / "cli" / "tagship_cli").rglob("*.py"),
        *(ROOT / "cli" / "tagship_cli").rglob("*.html"),
        *(ROOT / "statemachine").glob("*.yaml"),
    )
)
WORDS = {
    "lambda": r"alias(es)?|\$LATEST|FunctionVersion|CodeSha256|codeSha256|RoutingConfig",
    "cloudformation": r"change ?[sS]ets?|changeSets?",
    "ecs": r"task ?[dD]efinitions?|taskDefinitions?",
    "static-site": r"CloudFront|cloudfront",
    "step-functions": r"alias(es)?|\$LATEST|stateMachineVersionArn|routingConfiguration",
}
"""Further terms for a kind's own files only, besides the AWS operations in its permissions."""
OTHERS = re.compile(
    r"alias/tagship-|KMS|kms|yaml|YAML|merge key|an alias without an account|By the alias|\*id001"
)
"""A KMS key has an alias too, and so has YAML."""
USED_BY_TAGSHIP_TOO = re.compile(
    r"(s3|iam|sts|cloudwatch|kms|logs|sqs|sns|dynamodb|secretsmanager):"
    r"|cloudformation:(DescribeStacks|GetTemplate|ValidateTemplate|CreateStack|UpdateStack)$"
    r"|states:(StartExecution|StopExecution|DescribeExecution|ListExecutions)$"
    r"|lambda:(InvokeFunction|GetAccountSettings)$"
)
"""Operations that Tagship itself or a team's own function uses for every target."""
ELSEWHERE = {
    "custom": {"cli/tagship_cli/conformance/live.py", "cli/tagship_cli/actions/trying_out.py"},
}
"""A kind's files outside the layer: the command that tests a team's own function."""
SAME_NAME = {
    "lambda": {"health/lambda_invoke.py"},
    "custom": {"health/custom.py", "gates/custom.py"},
}
"""Same names that are not kinds of target: the health checks `lambda` and `custom`, and the gate `custom`."""


def prefix(kind: Kind) -> str:
    """How its files begin."""
    return kind.name.replace("-", "_")


def is_of(kind: Kind, path: Path) -> bool:
    """Whether it is one of the kind's own files."""
    if named(path) in ELSEWHERE.get(kind.name, ()):
        return True
    return path.parent.name == "targets" and f"{path.stem}_".startswith(f"{prefix(kind)}_")


def operations(kind: Kind) -> set[str]:
    """Every AWS operation that only this kind's permissions name, in IAM's and in boto3's spelling."""
    spec = kind.spec(**kind.example)
    asked = {action for right in kind.rights(spec, objects=["arn:aws:s3:::x/*"]) for action in right.actions}
    alone = {action.split(":")[1] for action in asked if not USED_BY_TAGSHIP_TOO.match(action)}
    return alone | {re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", each).lower() for each in alone}


def words(kind: Kind, owner: Kind | None) -> re.Pattern[str]:
    """All exclusive terms of a kind: its model, modules, operations and words.

    `owner` is the kind that a file belongs to. Terms that both kinds use (two have an alias) are allowed there too.
    """
    known = {kind.spec.__name__, *operations(kind)} - (operations(owner) if owner else set())
    imported = rf"targets(\.| import ){prefix(kind)}(_\w+)?"
    its_own = set(WORDS.get(kind.name, imported).split("|"))
    its_own -= set(WORDS.get(owner.name, "").split("|")) if owner else set()
    its_words = "|".join((*map(re.escape, sorted(known)), imported, *sorted(its_own)))
    return re.compile(rf"(?<![\w$])({its_words})(?!\w)")


def written_names(text: str) -> Iterator[str]:
    """Every text that a module writes out, but those that choose a client of boto3's by its service."""
    tree = ast.parse(text)
    services = {
        id(node.args[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and node.args
        and re.fullmatch(r"client(_as)?", getattr(node.func, "attr", getattr(node.func, "id", "")))
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in services:
            yield node.value


def named(path: Path) -> str:
    """From the library's root, or the project's."""
    return str(path.relative_to(LIBRARY if path.is_relative_to(LIBRARY) else ROOT))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_kinds_files_start_with_its_name(kind: Kind) -> None:
    its_own = [path for path in LIST.parent.glob("*.py") if is_of(kind, path)]
    stands = {
        part.__module__.rpartition(".")[2] for part in (kind.spec, kind.make, kind.rights, kind.subject)
    }
    assert stands <= {path.stem for path in its_own}
    text = "\n".join(path.read_text() for path in its_own)
    unsaid = [word for word in WORDS.get(kind.name, "").split("|") if word and not re.search(word, text)]
    assert not unsaid, "not a word of its own"


@pytest.mark.parametrize("path", PLACES, ids=named)
def test_no_other_module_uses_one_kinds_terms(path: Path) -> None:
    text = path.read_text()
    for kind in KINDS.values():
        if is_of(kind, path):
            continue
        its_words = words(kind, owner=next((each for each in KINDS.values() if is_of(each, path)), None))
        found = [
            f"{path.name}:{number}: {line.strip()}"
            for number, line in enumerate(text.splitlines(), 1)
            if its_words.search(line)
            and not OTHERS.search(line)
            and not (path == LIST and (".KIND" in line or line.startswith("from tagship.targets import ")))
        ]
        assert not found, f"it is the kind's to say: {kind.name}"


@pytest.mark.parametrize("path", PLACES, ids=named)
def test_no_other_module_checks_which_kind_it_is(path: Path) -> None:
    kinds = {
        kind.name
        for kind in KINDS.values()
        if not is_of(kind, path) and named(path) not in SAME_NAME.get(kind.name, ())
    }
    if path.suffix == ".py":
        assert not kinds & set(written_names(path.read_text())), "ask its record instead"
    else:
        asked = re.compile(rf"(: |[\"'])({'|'.join(map(re.escape, sorted(kinds)))})([\"']|$)", re.MULTILINE)
        assert not asked.search(path.read_text()), "ask its record instead"
