"""The independent interpreter, started once for all modules of this folder."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.integration.stepfunctions_local import tries
from tests.integration.stepfunctions_local.places import MOCKS, Place, interpreted


@pytest.fixture(scope="session")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Both machines on LocalStack's interpreter, with the cases of the file and those that count tries."""
    folder = tmp_path_factory.mktemp("interpreter")
    mocks = folder / "mocks.json"
    mocks.write_text(json.dumps(tries.added_to(json.loads(MOCKS.read_text()))))
    with interpreted(folder, mocks) as place:
        yield place
