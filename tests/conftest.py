"""Shared by all tests: the markers, and the one deployed stack that the tests of a deployed stack use."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tools.stack import STAGE, Engine, Mail, deploy

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TESTS = Path(__file__).parent
ON_THE_ENGINE = {"engine", "stack"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks each test by its folder, and keeps the tests of the deployed stack in one worker, because they share one
    engine. It runs first, because the hook that reads the groups is registered later and would be called before this
    one."""
    for item in items:
        kind, *rest = item.path.relative_to(TESTS).parts
        if rest:
            item.add_marker(kind)
        if ON_THE_ENGINE & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group("engine"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The machine's own Chromium."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium on this machine: install Debian's package chromium, or Google Chrome")
    from playwright.sync_api import sync_playwright

    quiet = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=quiet)
        yield browser
        browser.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Tagship as it is deployed on the engine, seen from the outside."""

    engine: Engine
    stage: str
    outputs: dict[str, str]

    def client(self, service: str) -> Any:
        """A boto3 client of the engine."""
        return self.engine.client(service)

    def mails(self, *, to: str = "", about: str = "") -> list[Mail]:
        """The mails that were sent, oldest first: to somebody, with some words in their subject."""
        return [mail for mail in self.engine.mails() if to in mail.to and about in mail.subject]


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Engine]:
    """The embedded engine, empty at the start of the session.

    Raises FileExistsError in a second worker: then the tests of the deployed stack were not kept together.
    """
    if worker_id != "master":
        (tmp_path_factory.getbasetemp().parent / "the-one-engine").touch(exist_ok=False)
    engine = Engine.start(tmp_path_factory.mktemp("engine"))
    yield engine
    engine.stop()


@pytest.fixture(scope="session")
def stack(engine: Engine) -> Stack:
    """Tagship, built and deployed by the SAM CLI once for the session."""
    return Stack(engine=engine, stage=STAGE, outputs=deploy(engine))
