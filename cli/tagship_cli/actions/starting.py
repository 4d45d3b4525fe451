"""What `tagship init` writes: an application's first configuration with comments, and a workflow for CI.

The examples come from the kinds of targets and checks, with `storefront` replaced by the new application's name.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tagship.health import kinds as checks
from tagship.model.documents import DocumentInvalid, read_application
from tagship.targets.kind import Kind
from tagship_cli.failures import Failed

if TYPE_CHECKING:
    from tagship.model.application import Application

CONFIGURATION = Path("application.yaml")
WORKFLOWS = {"github": Path(".github/workflows/tagship.yaml"), "gitlab": Path(".gitlab/tagship.yaml")}
"""The file that each CI reads, by a name that a repository does not use yet."""
_EXAMPLE = "storefront"
_PLACE = ("type", "account", "region", "role", "externalId")
_WIDTH = 110


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Values that can't be detected from a folder."""

    application: str
    stage: str
    kind: Kind
    target: Mapping[str, object]
    """The complete `target` of application.yaml."""
    approvers: Sequence[str]
    required: int
    check: Mapping[str, object]
    pattern: str = "v*"


def required_fields(kind: Kind) -> list[str]:
    """The required fields of a kind of target, other than its location."""
    required = [
        it.name for it in fields(kind.spec) if it.default is MISSING and it.default_factory is MISSING
    ]
    return [name for name in required if name not in _PLACE]


def target_of(
    kind: Kind, application: str, *, stage: str, account: str, region: str, given: Mapping[str, str]
) -> dict[str, object]:
    """The kind's example for this application and location, with the given values.

    Lists of texts are separated by commas. Other lists are given as YAML: `[{function: worker}]`.
    """
    partition = (
        "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"
    )
    place = {
        "account": account,
        "region": region,
        "role": f"arn:{partition}:iam::{account}:role/tagship-app-{application}",
        "externalId": f"tagship-{stage}",
    }
    example = example_of(kind, application, account=account, region=region)
    return {
        **example,
        **place,
        **{name: _as_given(text, example.get(name)) for name, text in given.items()},
    }


def _as_given(text: str, example: object) -> object:
    if text.startswith(("[", "{")):
        with suppress(yaml.YAMLError):  # else it is a text, and the configuration says what is wrong with it
            return yaml.safe_load(text)
    if isinstance(example, list):
        return [each.strip() for each in text.split(",") if each.strip()]
    return text


def example_of(kind: Kind, application: str, *, account: str, region: str) -> dict[str, object]:
    """The kind's example for this application, account and region."""
    there = {str(kind.example["account"]): account, str(kind.example["region"]): region}
    found: dict[str, object] = of_this(kind.example, application, there)
    return found


def as_text(value: object) -> str:
    """A field's value as a person would type it: a list with commas."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def check_of(type_: str, application: str, *, url: str = "") -> dict[str, object]:
    """The example of a health check of this type, with the fewest samples allowed."""
    example = of_this(checks()[type_].EXAMPLE, application)
    if url:
        return {"type": type_, "url": url}
    return {name: 1 if name == "minSamples" else value for name, value in example.items()}


def of_this(example: Any, application: str, there: Mapping[str, str] | None = None) -> Any:
    """Renames the example's `storefront` to another application. `there` contains further replacements."""
    if isinstance(example, Mapping):
        return {name: of_this(value, application, there) for name, value in example.items()}
    if isinstance(example, list | tuple):
        return [of_this(each, application, there) for each in example]
    if not isinstance(example, str):
        return example
    for old, new in {_EXAMPLE: application, **(there or {})}.items():
        example = example.replace(old, new)
    return example


def configuration(answers: Answers) -> tuple[str, Application]:
    """The text of application.yaml, and the parsed configuration.

    Raises Failed, with every problem, if it would not be valid.
    """
    text = _written(answers)
    try:
        return text, read_application(yaml.safe_load(text), stage=answers.stage)
    except DocumentInvalid as error:
        listing = "\n".join(f"  {problem}" for problem in error.problems)
        raise Failed(
            f"The configuration made from these answers is not valid. Nothing was written.\n{listing}"
        ) from error


def _written(answers: Answers) -> str:
    says = _descriptions(answers.kind.name)
    rows = [(f"  {_field(name, value)}", says.get(name, "")) for name, value in answers.target.items()]
    wide = max(len(text) for text, _ in rows if len(text) < _WIDTH // 2)
    target = [f"{text:<{wide}}   # {about}" if about else text for text, about in rows]
    strategy = (
        "# strategy: {type: canary, percent: 10, bake: 300}   # the default: 10 % for five minutes, then all"
        if answers.kind.weighted
        else "strategy: {type: all-at-once}   # a target of this type moves at once"
    )
    looks = checks()[str(answers.check["type"])].__doc__ or ""
    lines = [
        f"# How {answers.application} is released. `tagship validate` checks it; docs/applications.md has every field.",
        _field("application", answers.application),
        "",
        "# The target of deployments, and the role that Tagship assumes there (`tagship role` makes it).",
        "target:",
        *target,
        "",
        "# The approvers. Each approver gets a personal link by mail; a release's author does not count.",
        "approval:",
        f"  {_field('approvers', list(answers.approvers))}",
        f"  {_field('required', answers.required)}",
        "",
        f"# The health checks that a new version must pass. {looks.strip().splitlines()[0]}",
        "health:",
        "  checks:",
        f"    - {_flow(dict(answers.check))}",
        "",
        "# Optional settings; remove the # to use one.",
        strategy,
        f'# gates: {{windows: ["Mon-Thu 09:00-16:00 Europe/Berlin"], tags: {{pattern: "{answers.pattern}"}}}}',
        "# notifications: {emails: [team@example.com]}",
    ]
    return "\n".join(lines) + "\n"


@cache
def _descriptions(kind: str) -> dict[str, str]:
    """A kind's descriptions of its fields."""
    from pydantic import TypeAdapter

    from tagship.targets import KINDS

    properties = TypeAdapter(KINDS[kind].spec).json_schema().get("properties", {})
    about = {name: str(each.get("description", "")).partition("\n")[0] for name, each in properties.items()}
    return {name: text[:1].lower() + text[1:].rstrip(".") for name, text in about.items()}


def _field(name: str, value: object) -> str:
    return f"{name}: {_flow(value)}"


def _flow(value: object) -> str:
    """The value on one line, quoted if YAML would read it differently."""
    return yaml.safe_dump(
        [value], default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False
    ).strip()[1:-1]


def ci_of(folder: Path, origin: str) -> str:
    """The CI that a repository uses, detected from its files and origin; empty if unknown."""
    if (folder / ".github").is_dir() or "github" in origin:
        return "github"
    if (folder / ".gitlab-ci.yml").is_file() or (folder / ".gitlab").is_dir() or "gitlab" in origin:
        return "gitlab"
    return ""


def workflow(ci: str, answers: Answers, artifacts: Iterable[str]) -> str:
    """The text of the workflow file for this CI."""
    from tagship.text.rendering import environment

    named = [shlex.quote(each) for each in artifacts]
    return (
        environment(Path(__file__).parents[1] / "starters")
        .get_template(f"{ci}.txt")
        .render(
            application=answers.application,
            stage=answers.stage,
            region=answers.target["region"],
            pattern=answers.pattern,
            expression=f"^{re.escape(answers.pattern).replace(chr(92) + '*', '.*').replace('/', chr(92) + '/')}$",
            audience=f"tagship-{answers.stage}",
            path=WORKFLOWS[ci].as_posix(),
            artifacts=named,
            files=" and ".join(each.partition("=")[2] for each in named),
        )
    )


def write(folder: Path, texts: Mapping[Path, str]) -> None:
    """Writes all files or none. Raises Failed if one of them exists; never overwrites."""
    there = [str(path) for path in texts if (folder / path).exists() or (folder / path).is_symlink()]
    if there:
        raise Failed(
            f"{' and '.join(there)} already {'exists' if len(there) == 1 else 'exist'}. Nothing was written.\n"
            "Name another folder with --folder, or move what is there."
        )
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        with (folder / path).open("x", encoding="utf-8") as file:
            file.write(text)


__all__ = [
    "CONFIGURATION",
    "WORKFLOWS",
    "Answers",
    "as_text",
    "check_of",
    "ci_of",
    "configuration",
    "example_of",
    "required_fields",
    "target_of",
    "workflow",
    "write",
]
