"""Reads the external documents, a release's manifest, an application's configuration, a group: all errors at once, by
field.

The only module that imports pydantic.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import Annotated, Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema

from tagship.aws.hosts import address_problem
from tagship.aws.rights import Location
from tagship.health import Check
from tagship.model.application import (
    STAGES,
    Application,
    ApprovalPolicy,
    Gates,
    Health,
    SecretName,
    Steps,
    Strategy,
)
from tagship.model.fields import ByType
from tagship.model.group import Group
from tagship.model.pausing import MOST_PAUSES
from tagship.model.people import person
from tagship.model.records import PinnedGroup
from tagship.model.release import MANIFEST_BYTES, Manifest, Tag, secret_prefix
from tagship.model.rollout import traffic_steps
from tagship.model.rules import MOST_PEOPLE, everyone, lacking, named, places, rules_of
from tagship.model.schedule import window
from tagship.targets import KINDS, kind_of
from tagship.text.plain import line
from tagship.text.words import count

MAX_DEPTH = 20
_PARAMETER_NAME = 255
"""CloudFormation's limit. The ledger stores no name that is empty."""
_NAME = 500
"""How many characters of a field's name are shown."""
_MOST_PROBLEMS = 200
"""How many problems are put into words: more help nobody, and would take longer than a step has."""
MOST_REMINDERS = 200
"""Each takes about 20 events of the execution's history, which holds 25,000 (Step Functions' quota)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong with one field; an empty path means the document as a whole."""

    path: tuple[str | int, ...]
    message: str

    @property
    def field(self) -> str:
        """The path as people write it: `artifacts[0].sha256`."""
        text = ""
        for part in self.path:
            if isinstance(part, int):
                text += f"[{part}]"
            else:
                shown = line(part, _NAME)
                text += f".{shown}" if text else shown
        return text

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.path else self.message


class DocumentInvalid(ValueError):
    """The document is invalid; contains every problem."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(map(str, self.problems)))


def read_manifest(raw: bytes) -> Manifest:
    """Parses a manifest.

    Raises DocumentInvalid, and nothing else whatever the bytes are.
    """
    data = _read_json(raw)
    manifest: Manifest = _validated(Manifest, data)
    if problems := [*_manifest_problems(manifest), *_artifact_problems(manifest)]:
        raise DocumentInvalid(problems)
    return manifest


def _manifest_problems(manifest: Manifest) -> Iterator[Problem]:
    try:
        Tag.parse(manifest.tag)
    except ValueError as error:
        yield Problem(path=("tag",), message=str(error))
    if manifest.ref and (problem := _ref_problem(manifest)):
        yield Problem(path=("ref",), message=problem)
    try:
        datetime.fromisoformat(manifest.createdAt)
    except ValueError:
        yield Problem(path=("createdAt",), message="has a day or a time that does not exist")
    if any(not 0 < len(name) <= _PARAMETER_NAME for name in manifest.parameters):
        message = f"must have names of 1 to {_PARAMETER_NAME} characters"
        yield Problem(path=("parameters",), message=message)
    if manifest.emergency and not manifest.emergency.strip():
        yield Problem(path=("emergency",), message="must say why this cannot wait")
    if manifest.rollbackUnsafe and not manifest.rollbackUnsafe.strip():
        yield Problem(
            path=("rollbackUnsafe",), message="must say why the previous version cannot serve again"
        )


def _artifact_problems(manifest: Manifest) -> Iterator[Problem]:
    for what in ("name", "file"):
        seen: set[str] = set()
        for index, artifact in enumerate(manifest.artifacts):
            value = getattr(artifact, what)
            if value in seen:
                yield Problem(path=("artifacts", index, what), message=f"contains {value!r} twice")
            seen.add(value)


def _ref_problem(manifest: Manifest) -> str:
    try:
        named = Tag.of_git(manifest.ref)
    except ValueError as error:
        return str(error)
    return "" if str(named) == manifest.tag else f"names version {named}, but tag is {manifest.tag}"


def read_application(
    data: object, *, stage: str = "", github_hosts: Sequence[str] | None = None
) -> Application:
    """Parses an application's configuration from YAML or JSON data.

    `stage` and `github_hosts` are those of the stack that will use it, if they are known.

    Raises DocumentInvalid with every problem at once: a valid part is still judged if others are not valid.
    """
    try:
        application: Application = _validated(Application, data)
    except DocumentInvalid as error:
        raise DocumentInvalid([*error.problems, *_of_valid_parts(data)]) from error
    problems = [it for part, judge in _JUDGES.items() for it in judge(getattr(application, part))]
    problems += _promotion_problems(application)
    problems += _notification_problems(application, stage or application.stage or "", github_hosts)
    if problems := [*problems, *_target_cannot(application)]:
        raise DocumentInvalid(problems)
    return application


def read_group(data: object, *, stage: str = "") -> Group:
    """The group in this data; `stage` is that of the stack that will use it, where it is known.

    Raises DocumentInvalid, with every problem at once.
    """
    group: Group = _validated(Group, data)
    problems = []
    if twice := _twice(("members",), group.members):
        problems.append(twice)
    if group.required > len(group.members):
        message = f"requires {group.required} approvals, but there are {len(group.members)} members"
        problems.append(Problem(path=("required",), message=message))
    if stage and group.stage not in (None, stage):
        message = f"is {group.stage}, but this is the stage {stage}"
        problems.append(Problem(path=("stage",), message=message))
    if problems:
        raise DocumentInvalid(problems)
    return group


def _of_valid_parts(data: object) -> Iterator[Problem]:
    """Problems between fields, in each part that is valid by itself."""
    given = data if isinstance(data, Mapping) else {}
    hints = get_type_hints(Application, include_extras=True)
    for part, judge in _JUDGES.items():
        with suppress(ValidationError, TypeError, ValueError, RecursionError):
            yield from judge(_part(hints[part]).validate_json(json.dumps(given.get(part))))
    policy = given.get("approval")
    if isinstance(policy, Mapping) and not _is_valid(hints["approval"], policy):  # else it was judged whole
        approvers, required = policy.get("approvers"), policy.get("required", 1)
        if isinstance(approvers, list) and type(required) is int:
            yield from _more_than_there_are(("approval", "required"), required, len(approvers))
    health = given.get("health")
    checks = health.get("checks") if isinstance(health, Mapping) else None
    for index, check in enumerate(checks if isinstance(checks, list) else ()):
        with suppress(ValidationError, TypeError, ValueError, RecursionError):
            read = _part(Annotated[Check, ByType()]).validate_json(json.dumps(check))
            if not _is_valid(hints["health"], health):  # else they were judged with it
                yield from _of_check(index, read.problems())


def _is_valid(hint: object, value: object) -> bool:
    try:
        _part(hint).validate_json(json.dumps(value))
    except (ValidationError, TypeError, ValueError, RecursionError):
        return False
    return True


def _target_problems(target: Location) -> Iterator[Problem]:
    if (owner := target.role.split(":")[4]) != target.account:
        message = f"is in account {owner}, but target.account is {target.account}"
        yield Problem(path=("target", "role"), message=message)
    for path, message in kind_of(target).problems(target):
        yield Problem(path=("target", *path), message=message)


def _target_cannot(application: Application) -> Iterator[Problem]:
    """What strategy and checks need from a target, and targets of this kind do not have."""
    kind = kind_of(application.target)
    if not kind.weighted and any(step.percent < 100 for step in traffic_steps(application.strategy, 0)):
        message = (
            f"shifts traffic in steps, but a target of type {kind.name} can only move at once: use {{type: "
            "all-at-once}"
        )
        yield Problem(path=("strategy",), message=message)
    subject = kind.subject(application.target, None)
    for index, check in enumerate(application.health.checks):
        yield from _of_check(index, check.lacks(subject))


def _promotion_problems(application: Application) -> Iterator[Problem]:
    """A promotion leads to a later stage, so never in a circle, and only of what somebody watched."""
    if (promote := application.promote) is None:
        return
    if application.stage is None:
        message = "is required by promote: it says from which stage a release is promoted"
        yield Problem(path=("stage",), message=message)
    elif STAGES.index(promote.to) <= STAGES.index(application.stage):
        message = f"must be a stage after {application.stage}"
        yield Problem(path=("promote", "to"), message=message)
    watch = application.health.watch
    if not (watch.seconds and watch.alarms):
        message = "is required by promote, with seconds and alarms: without them, nothing shows that a release stays healthy"
        yield Problem(path=("health", "watch"), message=message)


def _policy_problems(policy: ApprovalPolicy) -> Iterator[Problem]:
    yield from _rules_problems(policy) if policy.rules else _short_form_problems(policy)
    if policy.countInEveryRule and policy.extraForWarnings:
        message = (
            "needs approvals from people who count in no rule, so it can't be used with countInEveryRule"
        )
        yield Problem(path=("approval", "extraForWarnings"), message=message)
    if policy.expires > policy.remindEvery * MOST_REMINDERS:
        yield Problem(
            path=("approval", "remindEvery"),
            message=(
                f"would remind more than {MOST_REMINDERS} times in {policy.expires} s; use at least "
                f"{-(-policy.expires // MOST_REMINDERS)} s"
            ),
        )


def _short_form_problems(policy: ApprovalPolicy) -> Iterator[Problem]:
    """Of `approvers` and `required`, which stand for one rule."""
    path = ("approval", "required")
    if not policy.approvers:
        message = "is missing: name approvers, or rules"
        yield Problem(path=("approval", "approvers"), message=message)
    elif twice := _twice(("approval", "approvers"), policy.approvers):
        yield twice
    elif policy.required > len(policy.approvers):
        yield from _more_than_there_are(path, policy.required, len(policy.approvers))
    else:
        yield from _too_few(policy)


def _rules_problems(policy: ApprovalPolicy) -> Iterator[Problem]:
    """How many a group has is not known here: `policy_problem` says it where groups are."""
    found = list(_each_rule(policy))
    if policy.approvers or policy.required != 1:
        field = "approvers" if policy.approvers else "required"
        found.append(
            Problem(path=("approval", field), message="must be set in each rule, because there are rules")
        )
    if not found and not any(rule.group for rule in policy.rules):
        found += _too_few(policy)
    yield from found


def _each_rule(policy: ApprovalPolicy) -> Iterator[Problem]:
    for index, rule in enumerate(policy.rules):
        path = ("approval", "rules", index)
        if bool(rule.group) == bool(rule.approvers):
            yield Problem(path=path, message="must name either a group or approvers")
        elif twice := _twice((*path, "approvers"), rule.approvers):
            yield twice
        elif rule.approvers:
            yield from _more_than_there_are((*path, "required"), rule.required, len(rule.approvers))


def _too_few(policy: ApprovalPolicy) -> Iterator[Problem]:
    if problem := policy_problem(asdict(policy), {}):
        yield Problem(path=("approval",), message=problem)


def policy_problem(policy: Mapping[str, Any], groups: Mapping[str, PinnedGroup]) -> str:
    """Why nobody can meet an `approval` with these groups, whoever the author is; empty if somebody can."""
    rules = rules_of(policy, groups)
    people = everyone(rules)
    if len(people) > MOST_PEOPLE:
        return f"names {len(people)} people; at most {MOST_PEOPLE} can be asked"
    every = bool(policy.get("countInEveryRule"))
    if short := lacking(rules, people, in_every_rule=every):
        rule, number = short[0]
        more = count(number, "more person", "more people")
        once = "" if every else ", because each person counts in one rule only"
        whom = count(len(people), "person", "people")
        return f"can't be met by the {whom} that it names: {named(rule)} needs {more}{once}"
    extra, spare = policy.get("extraForWarnings", 0), len(people) - sum(map(places, rules))
    if extra and extra > spare:
        return f"asks for up to {count(extra, 'more approval')} for warnings, but only {spare} of its people would be left"
    return ""


def _more_than_there_are(path: tuple[str | int, ...], required: int, approvers: int) -> Iterator[Problem]:
    if required > approvers > 0:
        yield Problem(
            path=path, message=f"requires {required} approvals, but there are {approvers} approvers"
        )


def _twice(path: tuple[str | int, ...], addresses: Sequence[str]) -> Problem | None:
    if twice := _one_person(addresses):
        message = f"contains {twice[0]} and {twice[1]}, who count as one person with one vote"
        return Problem(path=path, message=message)
    return None


def _one_person(addresses: Sequence[str]) -> tuple[str, str] | None:
    """Addresses that lead to the same mailbox, if there are any."""
    known: dict[str, str] = {}
    for address in addresses:
        if (who := person(address)) in known:
            return known[who], address
        known[who] = address
    return None


def _gates_problems(gates: Gates) -> Iterator[Problem]:
    yield from _windows(gates.windows)
    if gates.signature and gates.promotion and _same_key(gates.signature.key, gates.promotion.key):
        yield Problem(
            path=("gates", "promotion", "key"),
            message=(
                "is also gates.signature.key: anyone who signs releases could then also claim that they "
                "succeeded in the previous stage"
            ),
        )


def _same_key(one: str, other: str) -> bool:
    """By alias; an alias without an account is in this stack's own account, and may be the same as the other one."""
    if one.startswith("arn:") and other.startswith("arn:"):
        return one == other
    return one.rpartition(":")[2] == other.rpartition(":")[2]


def _notification_problems(
    application: Application, stage: str, github_hosts: Sequence[str] | None
) -> Iterator[Problem]:
    """Secrets of another application, and addresses that a token must not be sent to."""
    github = application.notifications.github
    if github and (
        problem := address_problem(
            github.api, github_hosts, setting="GitHubHosts", loopback=stage in ("", "development")
        )
    ):
        yield Problem(path=("notifications", "github", "api"), message=problem)
    if github and not (github.tokenSecret or github.protectionRule):
        yield Problem(path=("notifications", "github"), message="needs tokenSecret, protectionRule, or both")
    for path, service, name in _secrets(application.notifications):
        prefix = secret_prefix(stage or name.split("/")[1], application.application, service)
        if not name.startswith(prefix):
            message = f"must be a secret of {application.application}: its name must begin with {prefix}"
            yield Problem(path=("notifications", *path), message=message)


def _secrets(noun: Any, *above: str) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Each named secret, with its field and its service."""
    hints = get_type_hints(type(noun), include_extras=True)
    for it in fields(noun):
        value, path = getattr(noun, it.name), (*above, it.name)
        if is_dataclass(value):
            yield from _secrets(value, *path)
        for mark in _marks(hints[it.name]):
            if value and isinstance(mark, SecretName):
                yield path, mark.service, value


def _marks(hint: Any) -> Iterator[object]:
    yield from getattr(hint, "__metadata__", ())
    for argument in get_args(hint):
        yield from _marks(argument)


def _strategy_problems(strategy: Strategy) -> Iterator[Problem]:
    if isinstance(strategy, Steps):
        shares = [step.percent for step in strategy.steps]
        if shares != sorted(set(shares)) or shares[-1] != 100:
            yield Problem(path=("strategy", "steps"), message=f"must increase and end at 100, not {shares}")
        if strategy.steps[-1].pause:
            message = "has no later step to wait for: the last step can't pause; pause an earlier one"
            yield Problem(path=("strategy", "steps", len(shares) - 1, "pause"), message=message)
        if (pauses := sum(step.pause is not None for step in strategy.steps)) > MOST_PAUSES:
            message = f"pauses {pauses} times, but a release can pause at most {MOST_PAUSES} times"
            yield Problem(path=("strategy", "steps"), message=message)


def _windows(texts: Sequence[str]) -> Iterator[Problem]:
    for index, text in enumerate(texts):
        try:
            window(text)
        except ValueError as error:
            yield Problem(path=("gates", "windows", index), message=str(error))


def _health_problems(health: Health) -> Iterator[Problem]:
    for index, check in enumerate(health.checks):
        yield from _of_check(index, check.problems())
    if health.watch.seconds and not health.watch.alarms:
        yield Problem(path=("health", "watch", "alarms"), message="is empty, so nothing would be monitored")


def _of_check(index: int, problems: Iterable[tuple[str, str]]) -> Iterator[Problem]:
    for name, message in problems:
        yield Problem(path=("health", "checks", index, *name.split(".")), message=message)


_JUDGES: Mapping[str, Callable[[Any], Iterable[Problem]]] = {
    "target": _target_problems,
    "approval": _policy_problems,
    "health": _health_problems,
    "gates": _gates_problems,
    "strategy": _strategy_problems,
}
"""Problems that involve several fields, by the part of the application that they are in."""


def as_document(noun: Manifest | Application | Group | ApprovalPolicy) -> dict[str, Any]:
    """The document with every default, as the ledger stores it."""
    document: dict[str, object] = json.loads(json.dumps(asdict(noun)))
    return document


def schema_of(kind: type) -> dict[str, object]:
    """The JSON Schema (draft 2020-12) of a document."""
    name = {Manifest: "release", Group: "group"}.get(kind, "application")
    schema = _adapter(kind).json_schema(schema_generator=GenerateJsonSchema)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:tagship:schema:{name}:1",
        **schema,
    }


@cache
def _part(hint: Any) -> TypeAdapter[Any]:
    return TypeAdapter(hint)


@cache
def _adapter(kind: type) -> TypeAdapter[object]:
    return TypeAdapter(kind)


def _read_json(raw: bytes) -> object:
    if len(raw) > MANIFEST_BYTES:
        raise _whole(f"is larger than {MANIFEST_BYTES // 1024} KiB")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _whole(f"is not UTF-8 (byte {error.start})") from error
    try:
        data: object = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise _whole(f"is not JSON: {error.msg} in line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise _whole(f"is nested deeper than {MAX_DEPTH} levels") from error
    except DocumentInvalid:
        raise
    except ValueError as error:
        raise _whole("has a number of more than 4,300 digits") from error  # Python's own limit
    return data


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result: dict[str, object] = {}
    for name, value in pairs:
        if name in result:
            raise _whole(f"has the field {name[:100]!r} twice")
        result[name] = value
    return result


def _no_constant(text: str) -> object:
    raise _whole(f"is not JSON: {text} is not a number")


def _depth(data: object) -> int:
    """Without recursion: the data may be nested very deeply."""
    deepest, level = 0, [data]
    while level:
        deepest += 1
        level = [child for node in level for child in _children(node)]
    return deepest


def _children(node: object) -> Iterable[object]:
    return node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()


def _whole(message: str) -> DocumentInvalid:
    return DocumentInvalid([Problem(path=(), message=message)])


def _validated(kind: type, data: object) -> Any:
    if not isinstance(data, Mapping):
        raise _whole("must be an object with fields")
    try:
        text = json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError as error:
        raise _whole(f"is nested deeper than {MAX_DEPTH} levels") from error
    except (TypeError, ValueError) as error:
        raise _whole(f"has a value that JSON does not support: {error}") from error
    if _depth(data) > MAX_DEPTH:
        raise _whole(f"is nested deeper than {MAX_DEPTH} levels")
    try:
        return _adapter(kind).validate_json(text)
    except ValidationError as error:
        details = error.errors(include_url=False)[:_MOST_PROBLEMS]
        raise DocumentInvalid([_problem(kind, it) for it in details if not _echo(it, details)]) from error


_CHECKS = (("health",), ("health", "checks"))
_CHOOSE = (
    "is missing: choose how Tagship checks that a version works. For any function: {type: metric, …}, which "
    "reads its errors and never invokes it. For a web address: {type: http, url: …}. For a function that "
    "answers Tagship's health check event: {type: lambda}. docs/health.md explains each one"
)


def _echo(detail: Any, details: Sequence[Any]) -> bool:
    """A list with wrong members is also reported as too short, as if they were missing."""
    here = detail["loc"]
    return detail["type"] == "too_short" and any(
        other["loc"][: len(here)] == here and len(other["loc"]) > len(here) for other in details
    )


def _problem(kind: type, detail: Any) -> Problem:
    path = _written_path(detail["loc"])
    match detail["type"]:
        case "missing" | "missing_keyword_only_argument":
            message = _CHOOSE if path in _CHECKS else "is missing"
        case "too_short" if path in _CHECKS:
            message = _CHOOSE
        case "unexpected_keyword_argument" | "extra_forbidden":
            message = _unknown(kind, detail["loc"])
        case "union_tag_not_found":
            message = "needs a type"
        case "union_tag_invalid":
            path, message = (*path, "type"), f"must be one of {detail['ctx']['expected_tags']}"
        case "too_short" | "too_long":
            limit = detail["ctx"].get("min_length", detail["ctx"].get("max_length"))
            message = f"must have at {'least' if detail['type'] == 'too_short' else 'most'} {limit}"
        case "bool_type" | "bool_parsing":
            message = "must be true or false"
        case _:
            message = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
            message = message.removeprefix("String ")
            message = message[0].lower() + message[1:]
            if not message.startswith(("must", "asks", "has", "is", "needs", "should")):
                message = f"must be {message}"
    return Problem(path=path, message=message)


def _written_path(location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """pydantic puts a union's chosen member into the path; people know only the fields that they wrote."""
    match location:
        case ("target", str(kind), *below) if kind in KINDS and len(KINDS) > 1:
            return ("target", *below)
        case ("strategy", _, *below):
            return ("strategy", *below)
        case ("health", "checks", int(index), _, *below):
            return ("health", "checks", index, *below)
        case _:
            return location


def _unknown(kind: type, location: tuple[str | int, ...]) -> str:
    """With the most similar field name at this place, or else anywhere."""
    name = str(location[-1])
    near = difflib.get_close_matches(name, _fields_at(kind, location[:-1]), n=1, cutoff=0.6)
    near = near or difflib.get_close_matches(name, _field_names(kind), n=1, cutoff=0.6)
    if near and near[0] == name:
        homes = _homes(kind, name) if len(location) == 1 else ()
        return "is a field, but not here" + (f"; indent it under {' or '.join(homes)}" if homes else "")
    return "is not a field here" + (f"; did you mean {near[0]!r}?" if near else "")


def _fields_at(kind: type, location: tuple[str | int, ...]) -> list[str]:
    """Along pydantic's path, which contains the `type` of a union's chosen member."""
    here = [kind]
    for part in location:
        if isinstance(part, int):
            continue
        hints = [get_type_hints(noun, include_extras=True) for noun in here]
        chosen = [noun for noun, its in zip(here, hints, strict=True) if part in get_args(its.get("type"))]
        here = chosen or [noun for its in hints if part in its for noun in _nouns_in(its[part])]
    return [field.name for noun in here for field in fields(noun)]


def _nouns_in(hint: object) -> Iterator[type]:
    """The nouns that a field can hold, without their fields."""
    if is_dataclass(hint) and isinstance(hint, type):
        yield hint
    for argument in get_args(hint):
        yield from _nouns_in(argument)


def _homes(kind: type, name: str) -> tuple[str, ...]:
    """The document's own fields that hold a field of this name."""
    return tuple(
        field
        for field, hint in get_type_hints(kind, include_extras=True).items()
        if any(inner.name == name for noun in _nouns_in(hint) for inner in fields(noun))
    )


@cache
def _field_names(kind: type) -> tuple[str, ...]:
    """Every field name of a document, at any level."""
    names: dict[str, None] = {}
    waiting, done = [kind], set()
    while waiting:
        hint = waiting.pop()
        if hint in done:
            continue
        done.add(hint)
        if is_dataclass(hint) and isinstance(hint, type):
            hints = get_type_hints(hint, include_extras=True)
            names.update(dict.fromkeys(field.name for field in fields(hint)))
            waiting.extend(hints.values())
        waiting.extend(
            argument for argument in get_args(hint) if is_dataclass(argument) or get_args(argument)
        )
    return tuple(names)
