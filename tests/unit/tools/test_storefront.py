"""The sample application answers as its README says, good or broken, and a version's package is always the same bytes."""

from __future__ import annotations

import importlib.util
import io
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tools.storefront import pack

CHECK = {"source": "tagship", "check": "health"}


def unpacked(folder: Path, monkeypatch: pytest.MonkeyPatch, *, broken: bool) -> ModuleType:
    """The application as Lambda would load it from its package."""
    with zipfile.ZipFile(io.BytesIO(pack("v1.2.3", broken=broken))) as archive:
        archive.extractall(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "version", raising=False)
    spec = importlib.util.spec_from_file_location("storefront_of_a_test", folder / "index.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.delitem(sys.modules, "version")
    return module


@pytest.fixture
def good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return unpacked(tmp_path, monkeypatch, broken=False)


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return unpacked(tmp_path, monkeypatch, broken=True)


def get(module: ModuleType, path: str) -> dict[str, Any]:
    return module.handler({"rawPath": path}, None)


def test_a_good_version_says_that_it_is_healthy(good: ModuleType) -> None:
    assert good.handler(CHECK, None) == {"healthy": True, "version": "v1.2.3"}
    assert get(good, "/health")["statusCode"] == 200


def test_a_good_version_shows_its_version_on_the_page_and_in_a_header(good: ModuleType) -> None:
    answer = get(good, "/")
    assert answer["statusCode"] == 200
    assert answer["headers"]["x-storefront-version"] == "v1.2.3"
    assert "v1.2.3" in answer["body"]


def test_there_are_no_other_pages(good: ModuleType) -> None:
    assert get(good, "/elsewhere")["statusCode"] == 404


def test_a_broken_version_says_why_it_is_not_healthy(broken: ModuleType) -> None:
    assert broken.handler(CHECK, None)["reasons"] == ["the price list can't be read"]
    assert get(broken, "/health")["statusCode"] == 503


def test_every_second_response_of_a_broken_version_is_an_error(broken: ModuleType) -> None:
    assert [get(broken, "/")["statusCode"] for _ in range(4)] == [200, 500, 200, 500]


def test_packing_a_version_again_gives_the_same_bytes() -> None:
    assert pack("v1.0.0") == pack("v1.0.0")
    assert pack("v1.0.0") != pack("v1.1.0")
