"""Checks the two documents as people write them: every problem at once, each with its line."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike

import click
import yaml

from tagship.model.application import Application
from tagship.model.documents import (
    DocumentInvalid,
    Problem,
    as_document,
    read_application,
    read_group,
    read_manifest,
)
from tagship.model.fields import REGION
from tagship.model.group import Group
from tagship.model.release import Manifest
from tagship.model.rollout import seconds_needed, time_to_see, traffic_steps
from tagship.targets import kind_of
from tagship_cli.actions import regions
from tagship_cli.failures import Failed

LONGEST_DEPLOYMENT = 1200
"""The maximum of a stack's DeploymentTimeoutSeconds."""
MOST_BYTES = 256 * 1024
_TOO_DEEP = "is nested too deeply"
_TOO_LARGE = "is nested too deeply, or too large once its anchors are written out"
_MOST_VALUES = 100_000
_DEEPEST = 50
_RELEASE_FIELDS = {"schemaVersion", "tag", "commit", "repository", "author", "createdAt", "artifacts"}
_GROUP_FIELDS = {"group", "members"}
_APPLICATION_FIELDS = {"target", "strategy", "approval", "gates", "health", "notifications"}

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A problem and its place; an empty field means the document as a whole."""

    line: int
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document that was read."""

    name: str
    """The file, as the person named it."""
    kind: str = ""
    """`release`, `application` or `group`, by its content; empty if it is none of them."""
    data: object = None
    """Its text."""
    noun: Manifest | Application | Group | None = None
    """The parsed document, if it is valid."""
    findings: tuple[Finding, ...] = field(default=())
    warnings: tuple[Finding, ...] = field(default=())
    """What may be wrong with a valid document."""

    @property
    def whole(self) -> dict[str, object] | None:
        """The document with all defaults, if it is valid."""
        return as_document(self.noun) if self.noun else None


def bytes_of(file: str | PathLike[str]) -> bytes:
    """The file's bytes, or as many as show that it is too large. `-` is standard input.

    Raises Failed if it can't be read.
    """
    try:
        with click.open_file(file, "rb") as opened:
            return bytes(opened.read(MOST_BYTES + 1))
    except OSError as error:
        raise Failed(f"{file} can't be read: {error.strerror}.") from error


def read(name: str, raw: bytes, *, stage: str = "") -> Document:
    """A document, or its problems, from any bytes."""
    if len(raw) > MOST_BYTES:
        message = f"is larger than {MOST_BYTES // 1024} KiB"
        return Document(
            name=name, kind=_kind_of_name(name), findings=(Finding(line=1, field="", message=message),)
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        return Document(name=name, findings=(Finding(line=line, field="", message="is not UTF-8 text"),))
    try:
        root, data = _parsed(text, is_json=_is_json(name, text))
    except _Unreadable as error:
        return Document(name=name, kind=_kind_of_name(name), findings=(error.finding,))
    kind = _kind(name, data)
    twice = list(_twice(root))
    if not kind:
        return Document(name=name, data=data, findings=(*twice, _neither(data)))
    try:
        data, unlike_json = _plain(data)
    except _Unreadable as error:
        return Document(name=name, kind=kind, findings=(*twice, error.finding))
    noun, problems = _judged(kind, raw, data, well_formed=not twice, stage=stage)
    remaining = [*unlike_json.values(), *(problem for problem in problems if problem.path not in unlike_json)]
    findings = [*twice, *(_found(root, data, problem) for problem in remaining)]
    return Document(
        name=name,
        kind=kind,
        data=data,
        noun=noun if not findings else None,
        findings=tuple(sorted(findings, key=lambda finding: finding.line)),
        warnings=() if findings else tuple(_unknown_regions(root, data)),
    )


class _Unreadable(Exception):
    """The only problem that can be reported about the document."""

    def __init__(self, message: str, line: int = 1) -> None:
        self.finding = Finding(line=line, field="", message=message)
        super().__init__(message)


def _is_json(name: str, text: str) -> bool:
    """JSON begins with `{`, and so does a YAML file in flow style."""
    if name.endswith((".yaml", ".yml")):
        return False
    return name.endswith(".json") or text.lstrip()[:1] == "{"


def _parsed(text: str, *, is_json: bool) -> tuple[yaml.Node, object]:
    """The tree with line numbers, and the data.

    Raises _Unreadable.
    """
    if not text.strip():
        raise _Unreadable("is empty")
    try:
        return _from_json(text) if is_json else _from_yaml(text)
    except RecursionError as error:
        raise _Unreadable(_TOO_DEEP) from error


def _from_json(text: str) -> tuple[yaml.Node, object]:
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise _Unreadable(f"is not JSON: {error.msg} (column {error.colno})", error.lineno) from error
    except ValueError as error:  # a number of thousands of digits
        raise _Unreadable(f"has a value that can't be read: {str(error).partition(';')[0]}") from error
    try:  # JSON may be indented with tabs, YAML may not; line numbers stay the same
        root = yaml.compose(text.replace("\t", " "), Loader=yaml.SafeLoader)
        return root or yaml.MappingNode("", []), data
    except yaml.YAMLError:
        return yaml.MappingNode("", []), data  # JSON that the YAML parser can't read: no line numbers


def _from_yaml(text: str) -> tuple[yaml.Node, object]:
    try:
        _bounded(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            raise _Unreadable("is empty")
        if _written_out(root, {}) > _MOST_VALUES:
            raise _Unreadable(_TOO_LARGE)
        return root, yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        raise _Unreadable(*_yaml_words(error)) from error
    except yaml.YAMLError as error:
        raise _Unreadable("is not YAML: it has a character that text does not have") from error
    except ValueError as error:  # a number or a date that Python cannot represent
        raise _Unreadable(f"has a value that can't be read: {str(error).partition(';')[0]}") from error


def _bounded(text: str) -> None:
    """Checks the parser's events only, whose number is limited by the text's length; builds nothing."""
    deep = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        deep += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if deep > _DEEPEST:
            raise _Unreadable(_TOO_DEEP)


def _written_out(node: yaml.Node, known: dict[int, int]) -> int:
    """The number of values after expanding every alias and merge key. Each node is counted once.

    Raises _Unreadable for a node that contains itself.
    """
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = 0
        below = (
            (part for pair in node.value for part in pair)
            if isinstance(node, yaml.MappingNode)
            else node.value
        )
        known[id(node)] = 1 + sum(_written_out(part, known) for part in below)
    elif not known[id(node)]:
        raise _Unreadable(_TOO_LARGE)
    return known[id(node)]


def _yaml_words(error: yaml.MarkedYAMLError) -> tuple[str, int]:
    mark = error.problem_mark or error.context_mark
    problem = error.problem or "it can't be read"
    if "'\\t'" in problem:
        problem = "a tab where YAML requires spaces"
    if problem.startswith("but "):
        problem = f"{error.context}, {problem}"
    problem = next((words for pattern, words in _YAML_WORDS if re.search(pattern, problem)), problem)
    return f"is not YAML: {problem}", mark.line + 1 if mark else 1


_YAML_WORDS = (
    (
        r"expected <block end>, but found '(<block mapping start>|<block sequence start>|-|\?)'",
        "this line is indented differently from the other lines of its group",
    ),
    (
        r"expected <block end>",
        "there is more text after the end of a value. Put the whole value in one pair of quotes",
    ),
    (
        r"mapping values are not allowed here",
        "a second colon in one value. Either this line is indented too far, or the value needs quotes",
    ),
    (r"could not find expected ':'", "a colon is missing: a field is written `name: value`"),
    (r"cannot start any token", "a value that starts with this character needs quotes"),
    (r"while scanning a quoted scalar|unexpected end of stream", "a quote is not closed"),
)
"""What a person can do about the YAML parser's most frequent problems, by its words."""


def _kind(name: str, data: object) -> str:
    fields = set(data) if isinstance(data, Mapping) else set()
    if fields & _GROUP_FIELDS:
        return "group"
    release, application = len(fields & _RELEASE_FIELDS), len(fields & _APPLICATION_FIELDS)
    if release == application:
        return _kind_of_name(name) if fields else ""
    return "release" if release > application else "application"


def _kind_of_name(name: str) -> str:
    file = re.split(r"[/\\]", name)[-1]
    return next((kind for kind in ("release", "application") if file.startswith(kind)), "")


def _neither(data: object) -> Finding:
    message = (
        "is neither a release.json nor an application.yaml nor a group: it has no field of any"
        if isinstance(data, Mapping)
        else "must be an object with fields"
    )
    return Finding(line=1, field="", message=message)


def _judged(
    kind: str, raw: bytes, data: object, *, well_formed: bool, stage: str
) -> tuple[Manifest | Application | Group | None, tuple[Problem, ...]]:
    """The same problems that the release would report when it is read."""
    try:
        if kind == "release":
            # Problems with the raw bytes would hide all others, so only the data is validated here.
            return read_manifest(raw if well_formed else json.dumps(data).encode()), ()
        if kind == "group":
            return read_group(data, stage=stage), ()
        application = read_application(data, stage=stage)
    except DocumentInvalid as error:
        return None, error.problems
    floor, step_seconds = time_to_see(application.health), kind_of(application.target).step_seconds
    needed = seconds_needed(traffic_steps(application.strategy, step_seconds, floor=floor))
    if needed > LONGEST_DEPLOYMENT:
        message = (
            f"needs {needed} s with its bakes{_raised(floor)}, but a deployment can take at most "
            f"{LONGEST_DEPLOYMENT} s: shorten the bakes or use fewer steps"
        )
        return None, (Problem(path=("strategy",), message=message),)
    return application, ()


def _raised(floor: int) -> str:
    return f" (each at least {floor} s, so that alarms and metrics can react)" if floor else ""


def _found(root: yaml.Node, data: object, problem: Problem) -> Finding:
    message = problem.message
    if not problem.path:
        in_words = re.search(r" in line (\d+), column \d+$", message)
        if in_words:
            return Finding(line=int(in_words[1]), field="", message=message[: in_words.start()])
        return Finding(line=1, field="", message=message)
    if message == f"must be {REGION.words}" and isinstance(region := _value(data, problem.path), str):
        message += regions.meant(region)
    if message == "must be a valid string" and isinstance(_value(data, problem.path), int | float):
        message = "must be text: put it in quotes"
    return Finding(line=_line(root, problem.path), field=problem.field, message=message)


def _unknown_regions(root: yaml.Node, data: object) -> Iterator[Finding]:
    """Regions may be new, or wrong."""
    for name in ("target", "promote"):
        path = (name, "region")
        region = _value(data, path)
        if isinstance(region, str) and (warning := regions.warning(region)):
            yield Finding(line=_line(root, path), field=".".join(path), message=warning)


def _line(root: yaml.Node, path: Path) -> int:
    """The line of the field's name, of the list's item, or of the nearest parent of a missing one."""
    node, mark = root, root.start_mark
    for part in path:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == part), None)
            if pair is None:
                break
            mark, node = pair[0].start_mark, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            mark = node.start_mark
        else:
            break
    return int(mark.line) + 1 if mark else 1


def _value(data: object, path: Path) -> object:
    for part in path:
        if isinstance(data, Mapping):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return None
    return data


def _twice(root: yaml.Node) -> Iterator[Finding]:
    """Duplicate fields: YAML and JSON would silently use the last one."""
    waiting: list[tuple[Path, yaml.Node]] = [((), root)]
    done: set[int] = set()
    while waiting:
        path, node = waiting.pop()
        if id(node) in done:
            continue
        done.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += [((*path, index), item) for index, item in enumerate(node.value)]
        if not isinstance(node, yaml.MappingNode):
            continue
        seen: dict[object, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            waiting.append(((*path, name), value))
            if name in seen and isinstance(key, yaml.ScalarNode) and name != "<<":
                where = Problem(path=(*path, name), message="").field
                yield Finding(line=line, field=where, message=f"appears twice, first in line {seen[name]}")
            seen.setdefault(name, line)


def _plain(data: object) -> tuple[object, dict[Path, Problem]]:
    """The data in JSON's types, and values of other types that YAML produced, by path.

    Raises _Unreadable if the document would be infinite.
    """
    problems: dict[Path, Problem] = {}
    left = [_MOST_VALUES]

    def plain(value: object, path: Path) -> object:
        left[0] -= 1
        if left[0] < 0 or len(path) > _DEEPEST:
            raise _Unreadable(_TOO_LARGE)
        if isinstance(value, Mapping):
            return {str(name): plain(inner, (*path, str(name))) for name, inner in value.items()}
        if isinstance(value, list):
            return [plain(inner, (*path, index)) for index, inner in enumerate(value)]
        if value is None or isinstance(value, str | int | float):
            return value
        what = "a date" if isinstance(value, dt.date) else f"{type(value).__name__}"
        problems[path] = Problem(path=path, message=f"is {what} in YAML: put it in quotes")
        return str(value)

    return plain(data, ()), problems
