"""The layer brings its bytecode along, so that no cold start compiles it: a third of what a function needs to start."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from tools.stack import BUILD, build

LAYERS = ("Layer", "SignInLayer")
SHARED_MEGABYTES = 26
"""What every function unpacks at a cold start, without boto3, which AWS's runtime includes."""
UNCHECKED = (0b01).to_bytes(4, "little")
"""PEP 552: found by its hash, and not compared with the source."""


def modules() -> list[Path]:
    build()
    return [
        module
        for layer in LAYERS
        for module in (BUILD / layer / "python").rglob("*.py")
        if module.stem.isidentifier()
    ]


def test_every_module_of_the_layer_has_bytecode_that_awss_python_accepts_without_reading_the_source() -> None:
    found = modules()
    assert BUILD / "Layer" / "python" / "tagship" / "runtime.py" in found
    assert BUILD / "SignInLayer" / "python" / "jwt" / "api_jwt.py" in found
    for module in found:
        bytecode = Path(importlib.util.cache_from_source(str(module))).read_bytes()
        assert bytecode[:8] == importlib.util.MAGIC_NUMBER + UNCHECKED, module


def test_the_bytecode_names_its_path_in_aws_and_not_the_build_machines() -> None:
    for module in modules():
        bytecode = Path(importlib.util.cache_from_source(str(module))).read_bytes()
        assert b"/opt/python/" in bytecode, module
        assert str(BUILD.parent).encode() not in bytecode, module


def test_the_shared_layer_contains_no_cryptography_and_stays_small() -> None:
    build()
    shared = BUILD / "Layer" / "python"
    assert not [name for name in ("jwt", "cryptography", "cffi") if (shared / name).exists()]
    size = sum(file.stat().st_size for file in shared.rglob("*") if file.is_file())
    assert size < SHARED_MEGABYTES * 1024**2, f"{size / 1024**2:.1f} MB"
