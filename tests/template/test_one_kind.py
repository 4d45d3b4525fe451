"""What only a kind of target knows stands in its own files; all others learn it from its record."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import pytest

from tagship.targets import KINDS

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "layers" / "tagship" / "tagship"
OWN = "lambda_"
"""How the files of the kind `lambda` begin, in `targets`."""
PLACES = [
    *(
        path
        for path in LIBRARY.rglob("*.py")
        if not (path.parent.name == "targets" and path.name.startswith(OWN))
    ),
    *LIBRARY.rglob("*.html"),
    *(ROOT / "functions").rglob("*.py"),
    *(ROOT / "cli").rglob("*.py"),
    *(ROOT / "statemachine").glob("*.yaml"),
]
ITS_WORDS = re.compile(
    r"\b(alias(es)?|\$LATEST|publish_version|update_alias|get_alias|FunctionVersion|CodeSha256|codeSha256|RoutingConfig)\b"
)
OTHERS = re.compile(
    r"alias/tagship-|KMS|kms|yaml|YAML|merge key|an alias without an account|By the alias|\*id001"
)
"""A KMS key has an alias too, and so has YAML."""
MAY_INVOKE = {
    "aws/invocation.py",
    "aws/rights.py",
    "health/lambda_invoke.py",
    "health/custom.py",
    "gates/custom.py",
    "cli/tagship_cli/actions/doctor/account.py",
}
"""What invokes a team's own function, whatever the target is; and what looks at the functions that Tagship is made of."""


def _named(path: Path) -> str:
    return str(path.relative_to(LIBRARY if path.is_relative_to(LIBRARY) else ROOT))


@pytest.mark.parametrize("path", PLACES, ids=_named)
def test_no_other_place_speaks_of_what_one_kind_moves(path: Path) -> None:
    found = [
        f"{path.name}:{number}: {line.strip()}"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if ITS_WORDS.search(line) and not OTHERS.search(line)
    ]
    assert not found, "it is the kind's to say"


@pytest.mark.parametrize("path", [path for path in PLACES if path.suffix == ".py"], ids=_named)
def test_no_other_place_asks_which_kind_it_is(path: Path) -> None:
    strings = {
        token.string.strip("\"'")
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
        if token.type == tokenize.STRING
    }
    asked = strings & {kind.name for kind in KINDS.values()}
    assert not asked or _named(path) in MAY_INVOKE, "ask its record instead"
    if _named(path) != "targets/__init__.py":
        assert not re.search("LambdaTarget|lambda_alias", path.read_text()), "ask its record instead"
