"""Task definitions: reads them from a release, checks them before approval, and compares them in words."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

MOST_BYTES = 64 * 1024
"""The size limit of a task definition in bytes (service quotas: "Task definition size limit")."""
_READ_ONLY = (
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "deregisteredAt",
    "registeredBy",
    "deleteRequestedAt",
)
"""Fields that ECS adds to a registered task definition (DescribeTaskDefinition)."""
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_DEFAULTS: Mapping[str, object] = {
    "essential": True,
    "cpu": 0,
    "protocol": "tcp",
    "readOnly": False,
    "hostPort": None,
}
"""Defaults that ECS fills in. With awsvpc, the host's port is the container's port."""
_TOP = {
    "taskRoleArn": "Task role",
    "executionRoleArn": "Execution role",
    "networkMode": "Network mode",
    "pidMode": "Process namespace",
    "ipcMode": "IPC namespace",
    "cpu": "CPU of the task",
    "memory": "Memory of the task",
    "runtimePlatform": "Platform",
    "ephemeralStorage": "Ephemeral storage",
    "volumes": "Volumes",
    "placementConstraints": "Placement",
    "requiresCompatibilities": "Launch types",
    "proxyConfiguration": "Proxy",
}
"""In the order in which approvers must read them."""
_CONTAINER = {
    "privileged": "privileged",
    "user": "user",
    "linuxParameters": "Linux parameters",
    "essential": "essential",
    "command": "command",
    "entryPoint": "entry point",
    "portMappings": "ports",
    "mountPoints": "mounts",
    "cpu": "CPU",
    "memory": "memory",
    "memoryReservation": "memory reservation",
    "healthCheck": "health check",
    "dependsOn": "dependencies",
}


class Unreadable(ValueError):
    """Not a task definition; the message says why."""


def read(content: bytes) -> dict[str, Any]:
    """A task definition from a release, without the fields that ECS itself adds.

    Raises Unreadable.
    """
    if len(content) > MOST_BYTES:
        raise Unreadable("it is larger than 64 KB, the limit of ECS")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Unreadable("it is not JSON") from error
    if isinstance(found, dict) and set(found) <= {"taskDefinition", "tags"} and "taskDefinition" in found:
        found = found["taskDefinition"]  # as `aws ecs describe-task-definition` prints it
    if not isinstance(found, dict):
        raise Unreadable("it is not a JSON object")
    return {name: value for name, value in found.items() if name not in (*_READ_ONLY, "tags")}


def problems(definition: Mapping[str, Any], *, family: str, roles: Sequence[str]) -> list[str]:
    """What ECS would refuse later, and what can't be approved, in words. `roles` are allowed; `family` is the current
    one."""
    from botocore.validate import ParamValidator

    report = ParamValidator().validate(dict(definition), _shape())
    if report.has_errors():
        return [line.strip() for line in report.generate_report().splitlines() if line.strip()]
    found = []
    if definition["family"] != family:
        found.append(f"Its family is {definition['family']}, but the service runs {family}.")
    found += [
        f"The image of {each.get('name')} is not pinned by its digest ({each.get('image')}): a tag can be "
        "moved after the approval. Use image@sha256:…."
        for each in definition["containerDefinitions"]
        if not _DIGEST.search(str(each.get("image", "")))
    ]
    found += [
        f"The role {definition[name]} is not among the target's taskRoles."
        for name in ("taskRoleArn", "executionRoleArn")
        if definition.get(name) and definition[name] not in roles
    ]
    if "FARGATE" in definition.get("requiresCompatibilities", ()):
        if not (definition.get("cpu") and definition.get("memory")):
            found.append("Fargate needs cpu and memory for the whole task.")
        if definition.get("networkMode") != "awsvpc":
            found.append("Fargate needs the network mode awsvpc.")
    return found


@cache
def _shape() -> Any:
    from botocore.loaders import create_loader
    from botocore.model import ServiceModel

    ecs = ServiceModel(create_loader().load_service_model("ecs", "service-2"), "ecs")
    return ecs.operation_model("RegisterTaskDefinition").input_shape


def normal(definition: Mapping[str, object]) -> dict[str, object]:
    """Removes what ECS adds or fills in, so that the requested and the registered definition can be compared."""
    kept = {name: value for name, value in definition.items() if name not in (*_READ_ONLY, "tags")}
    return dict(_pruned(kept))


def _pruned(value: Any) -> Any:
    if isinstance(value, Mapping):
        pruned = {name: _pruned(each) for name, each in sorted(value.items())}
        same_port = pruned.get("hostPort") == pruned.get("containerPort")
        return {
            name: each
            for name, each in pruned.items()
            if each not in (None, [], {}, "")
            and not (name in _DEFAULTS and each == _DEFAULTS[name])
            and not (name == "hostPort" and (same_port or each == 0))
        }
    if isinstance(value, list | tuple):
        found = [_pruned(each) for each in value]
        named = all(isinstance(each, dict) and "name" in each for each in found)
        return sorted(found, key=lambda each: str(each["name"])) if named else found
    return value


def digest_of(definition: Mapping[str, object]) -> str:
    """SHA-256 of its normal form."""
    return hashlib.sha256(json.dumps(normal(definition), sort_keys=True).encode()).hexdigest()


def differences(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """The changes in words, dangerous changes first. Values of environment variables are never shown."""
    old, new = normal(before), normal(after)
    lines = [
        f"{words}: {_shown(old.get(name))} → {_shown(new.get(name))}"
        for name, words in _TOP.items()
        if old.get(name) != new.get(name)
    ]
    olds, news = _containers(old), _containers(new)
    lines += [f"Container {name}: removed." for name in sorted(olds.keys() - news.keys())]
    lines += [
        f"Container {name}: added, {news[name].get('image')}" for name in sorted(news.keys() - olds.keys())
    ]
    for name in sorted(olds.keys() & news.keys()):
        lines += [f"Container {name}, {line}" for line in _container(olds[name], news[name])]
    described = {*_TOP, "containerDefinitions", "family"}
    lines += [
        f"{name}: changed."
        for name in sorted(old.keys() | new.keys())
        if name not in described and old.get(name) != new.get(name)
    ]
    return lines


def _container(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for what, names in (("secrets", "valueFrom"), ("environment", "value")):
        before, after = (
            {each["name"]: each.get(names) for each in side.get(what, ())} for side in (old, new)
        )
        for words, found in (
            ("removed", before.keys() - after.keys()),
            ("new", after.keys() - before.keys()),
            ("changed", {name for name in before.keys() & after.keys() if before[name] != after[name]}),
        ):
            if found:
                yield f"{what} {words}: {', '.join(sorted(found))}"
    for name, words in _CONTAINER.items():
        if old.get(name) != new.get(name):
            yield f"{words}: {_shown(old.get(name))} → {_shown(new.get(name))}"
    if old.get("image") != new.get("image"):
        yield f"image: {old.get('image', 'none')} → {new.get('image', 'none')}"
    described = {*_CONTAINER, "secrets", "environment", "image", "name"}
    for name in sorted(old.keys() | new.keys()):
        if name not in described and old.get(name) != new.get(name):
            yield f"{name}: changed"


def _containers(definition: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {str(each["name"]): each for each in definition.get("containerDefinitions", ())}


def _shown(value: object) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
