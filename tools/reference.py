"""Writes the reference parts of the documents from their sources: schemas, definitions, template, the commands' help.

    .venv/bin/python -m tools.reference            write them
    .venv/bin/python -m tools.reference --check    only report which are not current

Such a part is marked in a document: `<!-- made by tools.reference: applications -->` … `<!-- end -->`. People write the
rest.
"""

from __future__ import annotations

import argparse
import functools
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import yaml

from tagship.health import kinds
from tagship_cli.actions.schema import schema
from tagship_cli.main import COMMANDS, HIDDEN, main
from tools import blast_radius

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ROOT / "docs"
_PART = re.compile(r"(<!-- made by tools\.reference: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

Schema = Mapping[str, Any]


def made(text: str) -> str:
    """A document with its generated parts updated."""
    return _PART.sub(lambda part: f"{part[1]}\n{_PARTS[part[2]]()}\n\n{part[3]}", text)


# ---- the two documents ---------------------------------------------------------------------------------------------

_CHECKS = {f"check-{name}": noun.__name__ for name, noun in kinds().items()}
"""Described on the page of checks, not in the complete reference."""
_DEFAULT_STRATEGY = "a canary of 10 % with a bake of 300 s"


def _documented(name: str, title: str) -> str:
    whole = schema(name)
    parts = [(title, whole), *_below(whole, "", whole.get("$defs", {}))]
    return "\n\n".join(f"### {heading}\n\n{_fields(part)}" for heading, part in parts)


def _below(part: Schema, path: str, definitions: Mapping[str, Schema]) -> Iterator[tuple[str, Schema]]:
    """Every part below this one with its heading, in field order."""
    for field, about in part["properties"].items():
        for where, name in _nouns(about):
            if name in _CHECKS.values():
                continue
            noun, here = definitions[name], f"{path}{field}{where}"
            kind = noun["properties"].get("type", {}).get("const")
            yield f"`{here}`" + (f", of type `{kind}`" if kind else ""), noun
            yield from _below(noun, f"{here}.", definitions)


def _nouns(about: Schema) -> Iterator[tuple[str, str]]:
    """The definitions that a field may contain; `[]` marks a list of them."""
    if "$ref" in about:
        yield "", about["$ref"].rsplit("/", 1)[-1]
    for choice in (*about.get("anyOf", ()), *about.get("oneOf", ())):
        yield from _nouns(choice)
    if "items" in about:
        yield from ((f"[]{where}", name) for where, name in _nouns(about["items"]))


def _check(kind: str) -> str:
    return _fields(schema("application")["$defs"][kind])


def _fields(part: Schema) -> str:
    rows = [
        (f"`{field}`", _kind(about), _default(field, about, part), _cell(about.get("description", "")))
        for field, about in part["properties"].items()
    ]
    return _table(("field", "value", "default", "description"), rows)


def _kind(about: Schema) -> str:
    if "const" in about or "enum" in about:
        return " or ".join(f"`{value}`" for value in about.get("enum") or (about["const"],))
    if "$ref" in about:
        return "an object, below"
    if "oneOf" in about:
        return "one of the types below"
    choices = [choice for choice in about.get("anyOf", ()) if choice.get("type") != "null"]
    if any(choice.get("format") == "duration" for choice in choices):
        return f"seconds, {_bounds(choices[0])}; or a duration like `PT5M`"
    if choices:
        return _kind(choices[0])
    return _plain_kind(about)


def _plain_kind(about: Schema) -> str:
    if "enum" in about:
        return " or ".join(f"`{choice}`" for choice in about["enum"])
    match about["type"]:
        case [*_]:
            return "text, a number, or `true` or `false`"
        case "integer":
            return f"a whole number, {_bounds(about)}"
        case "number":
            return "a number"
        case "boolean":
            return "`true` or `false`"
        case "array":
            return f"a list of {about.get('minItems', 0)} to {about['maxItems']}"
        case "object":
            return "an object"
        case _:
            return f"text, at most {about['maxLength']} characters" if "maxLength" in about else "text"


def _bounds(about: Schema) -> str:
    return f"{about['minimum']:,} to {about['maximum']:,}"


def _default(field: str, about: Schema, part: Schema) -> str:
    if field in part.get("required", ()):
        return "**required**"
    if field == "strategy":
        return _DEFAULT_STRATEGY
    value = about.get("default")
    return (
        "none"
        if value in (None, "", {}, [])
        else f"`{str(value).lower() if isinstance(value, bool) else value}`"
    )


# ---- the template --------------------------------------------------------------------------------------------------


class _Template(yaml.SafeLoader):
    """Reads CloudFormation's short forms (`!Ref`) as their argument."""


def _short(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True) if isinstance(node, yaml.MappingNode) else None


_Template.add_multi_constructor("!", _short)


@functools.cache
def template() -> Any:
    """The template as plain data, with each short form replaced by its argument. Nobody changes it."""
    return yaml.load((ROOT / "template.yaml").read_text("utf-8"), _Template)  # noqa: S506 (it is a SafeLoader)


def _parameters() -> str:
    rows = [
        (f"`{name}`", _default_in_words(about), _allowed(about), _cell(about["Description"]))
        for name, about in template()["Parameters"].items()
    ]
    return _table(("parameter", "default", "value", "description"), rows)


def _default_in_words(about: Schema) -> str:
    return f"`{about['Default']}`" if about["Default"] != "" else "empty"


def _allowed(about: Schema) -> str:
    if "AllowedValues" in about:
        return ", ".join(f"`{value}`" for value in about["AllowedValues"])
    if "MinValue" in about:
        return f"{about['MinValue']:,} to {about['MaxValue']:,}"
    return str(about.get("ConstraintDescription", "text"))


def _outputs() -> str:
    rows = [(f"`{name}`", _cell(about["Description"])) for name, about in template()["Outputs"].items()]
    return _table(("output", "use"), rows)


# ---- the definitions -----------------------------------------------------------------------------------------------


def _time_outs() -> str:
    parameters = {name: about["Default"] for name, about in template()["Parameters"].items()}
    machine_values = template()["Resources"]["ReleaseStateMachine"]["Properties"]["DefinitionSubstitutions"]
    values = {
        "${GateAttemptSeconds}": machine_values["GateAttemptSeconds"],
        "${HealthAttemptSeconds}": machine_values["HealthAttemptSeconds"],
        "${RollbackTimeoutSeconds}": parameters["RollbackTimeoutSeconds"],
    }
    sections = []
    for machine in ("release", "rollback"):
        definition = yaml.safe_load((ROOT / "statemachine" / f"{machine}.asl.yaml").read_text("utf-8"))
        rows = [_time_out(name, task, values) for name, task in _tasks(definition["States"])]
        sections.append(
            f"#### {machine}.asl.yaml\n\n"
            + _table(("state", "time-out", "retried on", "all attempts and pauses, at most"), rows)
        )
    return "\n\n".join(sections)


def _tasks(states: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, body in states.items():
        if body["Type"] == "Task":
            yield name, body
        if body["Type"] == "Map":
            yield from _tasks(body["ItemProcessor"]["States"])


def _time_out(name: str, task: Schema, values: Mapping[str, int]) -> tuple[str, str, str, str]:
    # Waiting for another rollback takes that rollback's time.
    others = [retry for retry in task["Retry"] if retry["ErrorEquals"] == ["RollbackUnderway"]]
    retries = [retry for retry in task["Retry"] if retry["MaxAttempts"] and retry not in others]
    again = "; ".join(f"{_errors(retry)}: {retry['MaxAttempts']} times" for retry in retries)
    # A call that Lambda refuses takes no time.
    refused = [retry for retry in retries if retry["ErrorEquals"] == ["Lambda.TooManyRequestsException"]]
    again += "".join(f"; also {_errors(retry)}, until the other rollback has ended" for retry in others)
    if "TimeoutSecondsPath" in task:
        return f"`{name}`", "as long as the application gives", again, "until the request expires"
    written = task["TimeoutSeconds"]
    one = written if isinstance(written, int) else values[written]
    if name == "RollBack":  # only a refused start is retried, and that takes no time
        return f"`{name}`", f"{one} s", again, f"{one} s and 7 s"
    tries = 1 + sum(int(retry["MaxAttempts"]) for retry in retries if retry not in refused)
    paused = sum(_paused(retry) for retry in retries)
    return (
        f"`{name}`",
        f"{one} s",
        again,
        f"{tries} × {one} s + {paused:.0f} s = {tries * one + paused:,.0f} s",
    )


def _errors(retry: Schema) -> str:
    names = retry["ErrorEquals"]
    if names == ["States.ALL"]:
        return "anything else"
    if "AwsUnavailable" in names:
        return "transient errors"
    return (
        "a refused start"
        if names[0].startswith("StepFunctions.")
        else ", ".join(f"`{name}`" for name in names)
    )


def _paused(retry: Schema) -> float:
    longest = float(retry.get("MaxDelaySeconds", 31_622_400))
    pauses = (
        retry["IntervalSeconds"] * float(retry["BackoffRate"]) ** count
        for count in range(retry["MaxAttempts"])
    )
    return float(sum(min(pause, longest) for pause in pauses))


# ---- the command line ----------------------------------------------------------------------------------------------


def _commands() -> str:
    # with the settings that it has when it runs, because `-h` is a help option too
    settings = {**main.context_settings, "terminal_width": 100, "max_content_width": 100}
    context = click.Context(main, info_name="tagship", **settings)
    sections = [_help("tagship", context)]
    for name in COMMANDS:
        if name in HIDDEN:
            continue
        command = main.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        sections.append(_help(f"tagship {name}", inner))
        if isinstance(command, click.Group):
            sections += [
                _help(
                    f"tagship {name} {each}",
                    click.Context(command.commands[each], info_name=each, parent=inner),
                )
                for each in command.list_commands(inner)
            ]
    return "\n\n".join(sections)


def _help(title: str, context: click.Context) -> str:
    lines = (line.rstrip() for line in context.command.get_help(context).splitlines())
    return f"## {title}\n\n```text\n" + "\n".join(lines) + "\n```"


# ---- all of it -----------------------------------------------------------------------------------------------------


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


_PARTS: Mapping[str, Callable[[], str]] = {
    "applications": lambda: _documented("application", "The application"),
    "releases": lambda: _documented("release", "The manifest"),
    **{part: partial(_check, kind) for part, kind in _CHECKS.items()},
    "parameters": _parameters,
    "outputs": _outputs,
    "time-outs": _time_outs,
    "blast-radius": lambda: blast_radius.table(template()),
    "commands": _commands,
}


def run(arguments: Sequence[str] | None = None) -> int:
    """Writes what is not current, or reports it."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.reference", description="Write the reference parts of the documents."
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail when a document is not current"
    )
    check, stale = parser.parse_args(arguments).check, 0
    for document in sorted(DOCUMENTS.rglob("*.md")):
        text = document.read_text("utf-8")
        new = made(text)
        if new == text:
            continue
        if check:
            stale = 1
            print(
                f"{document.relative_to(ROOT)} is not current. Make it anew: .venv/bin/python -m tools.reference",
                file=sys.stderr,
            )
        else:
            document.write_text(new, "utf-8")
            print(f"{document.relative_to(ROOT)} was updated")
    return stale


if __name__ == "__main__":
    sys.exit(run())
