"""A Lambda function's configuration as a whole: its digest with the code, and how two versions differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

_DANGEROUS = (
    ("Role", "role"),
    ("Handler", "handler"),
    ("Runtime", "runtime"),
    ("Layers", "layers"),
    ("DeadLetterQueue", "dead-letter queue"),
    ("Network", "network (VPC)"),
    ("Key", "encryption key"),
    ("FileSystems", "file systems"),
    ("SnapStart", "SnapStart"),
    ("OwnRuntime", "customer-managed runtime"),
    ("Capacity", "capacity provider"),
    ("Tenancy", "tenant isolation"),
)
_OTHER = (
    ("Architectures", "architecture"),
    ("Memory", "memory (MB)"),
    ("Timeout", "time-out (s)"),
    ("Storage", "temporary storage (MB)"),
    ("Tracing", "tracing"),
    ("Logging", "logging"),
    ("Image", "image configuration"),
    ("Durable", "durable execution"),
    ("Accelerator", "accelerator"),
)
SETTINGS = (*_DANGEROUS, *_OTHER)
"""The compared settings with their names for people. Those that change what the code may do, or which code runs, come
first."""


def settings_of(found: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in a response of GetFunctionConfiguration, without the version's own fields (its number, its dates)."""
    network = found.get("VpcConfig") or {}
    return {
        "Role": found.get("Role") or "",
        "Handler": found.get("Handler") or "",
        "Runtime": found.get("Runtime") or "",
        "Layers": [layer["Arn"] for layer in found.get("Layers") or ()],
        "DeadLetterQueue": (found.get("DeadLetterConfig") or {}).get("TargetArn") or "",
        "Network": sorted([*(network.get("SubnetIds") or ()), *(network.get("SecurityGroupIds") or ())])
        + (["IPv6"] if network.get("Ipv6AllowedForDualStack") else []),
        "Key": found.get("KMSKeyArn") or "",
        "FileSystems": [_file_system(each) for each in found.get("FileSystemConfigs") or ()],
        "SnapStart": (found.get("SnapStart") or {}).get("ApplyOn") or "None",
        "Architectures": list(found.get("Architectures") or ["x86_64"]),
        "Memory": found.get("MemorySize") or 128,
        "Timeout": found.get("Timeout") or 3,
        "Storage": (found.get("EphemeralStorage") or {}).get("Size") or 512,
        "Tracing": (found.get("TracingConfig") or {}).get("Mode") or "PassThrough",
        "OwnRuntime": found.get("RuntimeConfig") or {},
        "Capacity": found.get("CapacityProviderConfig") or {},
        "Tenancy": found.get("TenancyConfig") or {},
        "Durable": found.get("DurableConfig") or {},
        "Accelerator": found.get("AcceleratorConfig") or {},
        "Logging": {"LogFormat": "Text", **(found.get("LoggingConfig") or {})},
        "Image": (found.get("ImageConfigResponse") or {}).get("ImageConfig") or {},
        "Variables": dict((found.get("Environment") or {}).get("Variables") or {}),
    }


def _file_system(mounted: Mapping[str, Any]) -> str:
    """`arn:… at /mnt/data`, and any further fields."""
    rest = {name: value for name, value in mounted.items() if name not in ("Arn", "LocalMountPath") and value}
    mount = f"{mounted['Arn']} at {mounted['LocalMountPath']}"
    return f"{mount} {json.dumps(rest, sort_keys=True)}" if rest else mount


def digest_of(found: Mapping[str, object], code: str) -> str:
    """SHA-256 over code (Lambda's CodeSha256) and the whole configuration, values of variables included."""
    whole = {"code": code, **settings_of(found)}
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def differences(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """Each setting that differs, in words, dangerous ones first; variables by their names, never their values."""
    old, new = settings_of(before), settings_of(after)
    lines = [
        f"Configuration: {words} {_shown(old[name])} → {_shown(new[name])}"
        for name, words in _DANGEROUS
        if old[name] != new[name]
    ]
    lines += _variables(old["Variables"], new["Variables"])
    lines += [
        f"Configuration: {words} {_shown(old[name])} → {_shown(new[name])}"
        for name, words in _OTHER
        if old[name] != new[name]
    ]
    return lines


def is_dangerous(line: str) -> bool:
    """Whether a line of `differences` is about a setting that changes what the code may do, or which code runs."""
    return line.startswith(tuple(f"Configuration: {words} " for _, words in _DANGEROUS))


def _variables(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    changes = (
        ("added", sorted(new.keys() - old.keys())),
        ("removed", sorted(old.keys() - new.keys())),
        ("changed", sorted(name for name in old.keys() & new.keys() if old[name] != new[name])),
    )
    return [f"Environment variables {what}: {', '.join(names)}" for what, names in changes if names]


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return json.dumps(value, sort_keys=True) if value else "none"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value)) or "none"
    return str(value) or "none"
