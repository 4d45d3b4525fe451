"""Definitions in the Amazon States Language: reads them from a release, compares them, and finds unversioned calls."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tagship.text.plain import line

MOST_BYTES = 1024 * 1024
"""Step Functions' size limit in bytes (UpdateStateMachine, `definition`)."""
_PLACEHOLDER = re.compile(r"\$\{([A-Za-z][A-Za-z0-9_]*)\}")
_INTEGRATION = re.compile(r"^arn:[a-z-]+:states:::")
_FUNCTION = re.compile(r"^arn:[a-z-]+:lambda:[^:]*:[^:]*:function:(?P<name>[^:]+)(:(?P<qualifier>[^:]+))?$")
_MACHINE = re.compile(
    r"^arn:[a-z-]+:states:[^:]*:[^:]*:stateMachine:(?P<name>[^:]+)(:(?P<qualifier>[^:]+))?$"
)
_LATEST = "$LATEST"
_SHOWN = (
    "Type",
    "QueryLanguage",
    "Next",
    "Default",
    "End",
    "TimeoutSeconds",
    "HeartbeatSeconds",
    "MaxConcurrency",
)
"""Fields of a state whose values are shown. Other fields may contain data, so only their names are shown."""
_INNER = ("Branches", "ItemProcessor", "Iterator")
_RUN_TIME = "chosen at run time"


class Unreadable(ValueError):
    """Not a definition; the message says why."""


def read(content: bytes, substitutions: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """Reads a definition as it would be published. Returns its text and the parsed document.

    Raises Unreadable.
    """
    if len(content) > MOST_BYTES:
        raise Unreadable("it is larger than 1 MB, the limit of Step Functions")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise Unreadable("it is not UTF-8 text") from error
    if unknown := sorted({name for name in _PLACEHOLDER.findall(text) if name not in substitutions}):
        raise Unreadable(
            f"nothing replaces {', '.join(f'${{{name}}}' for name in unknown)}: add it to the target's substitutions"
        )
    text = _PLACEHOLDER.sub(lambda found: substitutions[found[1]], text)
    document = parse(text, each_once=True)
    if not isinstance(document.get("StartAt"), str):
        raise Unreadable("it has no StartAt, so it is no definition of a state machine")
    try:
        if not dict(states_of(document)):
            raise Unreadable("it has no States")
    except RecursionError as error:
        raise Unreadable("its states are nested too deeply") from error
    return text, document


def parse(text: str, *, each_once: bool = False) -> dict[str, Any]:
    """Parses a definition's text. Raises Unreadable.

    `each_once`: refuse an object with a repeated name. JSON parsers differ in which of the two values they use, so
    approvers could see one state while Step Functions runs the other.
    """
    try:
        document = json.loads(text, object_pairs_hook=_each_once if each_once else None)
        json.dumps(document, ensure_ascii=False).encode()
    except Unreadable:
        raise
    except UnicodeEncodeError as error:
        raise Unreadable("it has half a character, a lone surrogate like \\ud800") from error
    except (ValueError, RecursionError) as error:
        raise Unreadable("it is not JSON; convert YAML before you publish it") from error
    if not isinstance(document, dict):
        raise Unreadable("it is not a JSON object")
    return document


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, number in Counter(name for name, _ in pairs).items() if number > 1)
        raise Unreadable(f"{line(twice, 80)} appears twice in one object")
    return found


def states_of(document: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every state with its name. States in a Parallel or a Map follow it, as `Each order / Charge`.

    Raises Unreadable if the document does not have the structure of states.
    """
    found = document.get("States")
    if not isinstance(found, Mapping) or not all(isinstance(each, Mapping) for each in found.values()):
        raise Unreadable(f"{within or 'it'} has no States")
    for name, state in found.items():
        path = f"{within} / {name}" if within else name
        yield path, state
        inner = [*_listed(state.get("Branches")), state.get("ItemProcessor"), state.get("Iterator")]
        for each in inner:
            if isinstance(each, Mapping):
                yield from states_of(each, path)


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def digest_of(document: Mapping[str, Any], settings: Mapping[str, object] | None = None) -> str:
    """SHA-256 of a definition, independent of its formatting, and of its settings."""
    whole = document if settings is None else {"definition": document, **settings}
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def settings_of(machine: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a version beside its definition, from DescribeStateMachine, with defaults filled in."""
    logging = machine.get("loggingConfiguration") or {}
    encryption = machine.get("encryptionConfiguration") or {}
    return {
        "Role": machine.get("roleArn") or "",
        "Type": machine.get("type") or "STANDARD",
        "Key": encryption.get("kmsKeyId") or "",
        "Logging": {
            "level": logging.get("level") or "OFF",
            "data": bool(logging.get("includeExecutionData")),
            "to": sorted(
                str((each.get("cloudWatchLogsLogGroup") or {}).get("logGroupArn"))
                for each in logging.get("destinations") or ()
            ),
        },
        "Tracing": bool((machine.get("tracingConfiguration") or {}).get("enabled")),
    }


_SETTINGS = (
    ("Role", "Role"),
    ("Key", "Encryption key"),
    ("Type", "Type"),
    ("Logging", "Logging"),
    ("Tracing", "Tracing"),
)
"""In the order in which approvers must read them."""


def settings_changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Each setting of a version that differs, in words."""
    old, new = settings_of(before), settings_of(after)
    return [
        f"{words}: {_shown(old[name]) or 'none'} → {_shown(new[name]) or 'none'}"
        for name, words in _SETTINGS
        if old[name] != new[name]
    ]


# ---- comparing -----------------------------------------------------------------------------------------------------


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The changes to the definition in words, dangerous changes first."""
    old, new = dict(states_of(before)), dict(states_of(after))
    called = [{target for state in states.values() if (target := calls(state))} for states in (old, new)]
    lines = [f"Calls for the first time: {each}" for each in sorted(called[1] - called[0])]
    lines += [f"No longer calls: {each}" for each in sorted(called[0] - called[1])]
    taken = [{role for state in states.values() if (role := _role(state))} for states in (old, new)]
    lines += [f"Takes on a role for the first time: {each}" for each in sorted(taken[1] - taken[0])]
    lines += [
        f"{words}: {_shown(before.get(name))} → {_shown(after.get(name))}"
        for name, words in (
            ("StartAt", "Starts at"),
            ("TimeoutSeconds", "Time-out of an execution (s)"),
            ("QueryLanguage", "Query language"),
            ("Version", "Version of the language"),
        )
        if before.get(name) != after.get(name)
    ]
    lines += [f"State {name}: removed" for name in old if name not in new]
    lines += [
        f"State {name}: {', '.join(changed)}"
        for name in new
        if name in old and (changed := _changed(old[name], new[name]))
    ]
    lines += [f"State {name}: added, {_kind(new[name])}" for name in new if name not in old]
    return lines


def _kind(state: Mapping[str, Any]) -> str:
    target = calls(state)
    return f"{state.get('Type', 'of no type')}{f' that calls {target}' if target else ''}"


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    found = []
    if calls(old) != calls(new):
        found.append(f"calls {calls(old) or 'nothing'} → {calls(new) or 'nothing'}")
    found += [
        f"{name} {_shown(old.get(name))} → {_shown(new.get(name))}"
        for name in _SHOWN
        if old.get(name) != new.get(name)
    ]
    others = sorted((old.keys() | new.keys()) - {*_SHOWN, *_INNER, "Comment", "Resource"})
    if names := [name for name in others if old.get(name) != new.get(name)]:
        found.append(f"{', '.join(names)} changed")
    if any(_without_states(old.get(name)) != _without_states(new.get(name)) for name in _INNER):
        found.append("how its inner states run changed")
    return found


def _without_states(value: object) -> object:
    """An inner state machine without its states, which are compared separately."""
    if isinstance(value, list):
        return [_without_states(each) for each in value]
    if isinstance(value, Mapping):
        return {name: each for name, each in value.items() if name not in ("States", "Comment")}
    return value


def _shown(value: object) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


# ---- calls ---------------------------------------------------------------------------------------------------------


def calls(state: Mapping[str, Any]) -> str:
    """What a task calls: a function, another state machine, or an API; empty if it calls nothing."""
    resource = state.get("Resource")
    if not isinstance(resource, str):
        return ""
    integration = _INTEGRATION.sub("", resource)
    if function := _asked(state, "FunctionName") if integration.startswith("lambda:") else "":
        qualifier = _asked(state, "Qualifier")
        return f"{function}:{qualifier}" if qualifier and qualifier != _RUN_TIME else function
    if integration.startswith(("states:startExecution", "states:startSyncExecution")):
        return _asked(state, "StateMachineArn") or integration
    return integration


def _role(state: Mapping[str, Any]) -> str:
    """The role that a task assumes instead of the state machine's own; empty if it assumes none."""
    given = state.get("Credentials")
    if not given:
        return ""
    role = given.get("RoleArn") if isinstance(given, Mapping) else None
    return role if isinstance(role, str) and not role.strip().startswith("{%") else _RUN_TIME


def _asked(state: Mapping[str, Any], name: str) -> str:
    """A parameter of a service integration, in JSONPath or JSONata."""
    for part in ("Arguments", "Parameters"):
        given = state.get(part)
        if isinstance(given, Mapping):
            value = given.get(name)
            if isinstance(value, str):
                return _RUN_TIME if value.strip().startswith("{%") else value
            if f"{name}.$" in given:
                return _RUN_TIME
    return ""


def unpinned(document: Mapping[str, Any]) -> Sequence[str]:
    """Each state that calls a function or a state machine without a version or an alias, in words."""
    return [f"{name} calls {target}" for name, state in states_of(document) if (target := _unpinned(state))]


def _unpinned(state: Mapping[str, Any]) -> str:
    target, resource = calls(state), str(state.get("Resource", ""))
    if target == _RUN_TIME:
        return "what is chosen at run time"
    for form in (_FUNCTION, _MACHINE):
        if found := form.match(target):
            return "" if found["qualifier"] not in (None, _LATEST) else found["name"]
    if _INTEGRATION.sub("", resource).startswith("lambda:") and target:  # a name, or `name:qualifier`
        name, _, qualifier = target.partition(":")
        return "" if qualifier not in ("", _LATEST) else name
    return ""
