"""The functions' emulators and their environment, once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.runtime.around import Around, furnished, variables_of
from tests.template.cloudformation import functions
from tools.emulator import Emulated, emulated, what_the_runtime_brings
from tools.stack import Engine, build


@pytest.fixture(scope="session")
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Around]:
    """Its own engine, so that it contains no other test's stack. The deployed stack's tests cover permissions."""
    engine = Engine.start(tmp_path_factory.mktemp("around"), options={"AUTH": "false"})
    yield furnished(engine)
    engine.stop()


@pytest.fixture(scope="session")
def emulators(around: Around, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Emulated]]:
    """Every function of the template, built, each in its own AWS runtime."""
    build()
    brought = what_the_runtime_brings(tmp_path_factory.mktemp("brought"))
    folder = tmp_path_factory.mktemp("functions")
    with ExitStack() as stack:

        def start(name: str) -> Emulated:
            variables = variables_of(name, around.values)
            return stack.enter_context(emulated(name, brought=brought, folder=folder, variables=variables))

        with ThreadPoolExecutor(4) as pool:
            started = list(pool.map(start, functions()))
        yield {function.name: function for function in started}
