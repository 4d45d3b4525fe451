"""LocalStack's Step Functions provider with corrections, made in memory while it starts.

It runs in its own environment (.venv-interpreter), where its version is pinned; `places.interpreted` starts it. Its
code is independent of the embedded engine, and its authors compare its answers with those of AWS. No file of the
package is changed. It ends when its standard input does, so that no test run leaves one behind.
"""

import functools
import os
import runpy
import sys
import threading
from importlib.metadata import version
from types import SimpleNamespace

from localstack.services.stepfunctions.asl.component.common.error_name.states_error_name import (
    StatesErrorName,
)
from localstack.services.stepfunctions.asl.component.common.error_name.states_error_name_type import (
    StatesErrorNameType,
)
from localstack.services.stepfunctions.asl.component.common.retry import retrier_decl
from localstack.services.stepfunctions.asl.component.eval_component import EvalComponent
from localstack.services.stepfunctions.asl.component.state.state_execution.state_task import (
    local_mock_eval_utils as mocking,
)
from localstack.services.stepfunctions.asl.parse.asl_parser import AmazonStateLanguageParser
from localstack.services.stepfunctions.asl.utils import json_path

VERSION = "2026.3.0"


def let_a_mock_throw_an_error_of_the_states_language() -> None:
    """A mocked Throw may name `States.Timeout`, as in Step Functions Local; the stock provider refuses the name."""
    custom = mocking.CustomErrorName

    def named(name: str) -> object:
        if name.startswith("States."):
            return StatesErrorName(StatesErrorNameType.from_name(name))
        return custom(name)

    mocking.CustomErrorName = named


def parse_a_path_once() -> None:
    """The stock provider parses a path whenever it reads it, which takes most of its time; its parser is not thread-safe."""
    parse, lock = functools.cache(json_path.parse), threading.Lock()

    def once(path: str) -> object:
        with lock:
            return parse(path)

    json_path.parse = once


def read_a_definition_once() -> None:
    """The stock provider parses a machine's whole definition for each execution, which takes most of what is left."""
    parse, lock = functools.cache(AmazonStateLanguageParser.parse), threading.Lock()

    def once(definition: str) -> object:
        with lock:
            return parse(definition)

    AmazonStateLanguageParser.parse = staticmethod(once)
    # What an execution counts its tries by: the stock one is made at its first use, which two executions may do at once.
    EvalComponent.heap_key = property(lambda self: str(id(self)))


def retry_without_a_pause() -> None:
    """130 tries that wait 15 s each take half an hour; the tests count the tries, and tests/template adds up the pauses."""
    retrier_decl.time = SimpleNamespace(sleep=lambda seconds: None)


def end_with_the_parent() -> None:
    """Ends this process when its standard input is closed."""

    def watch() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    if version("localstack-core") != VERSION:
        sys.exit(f"These corrections are for LocalStack {VERSION}, and this is {version('localstack-core')}.")
    let_a_mock_throw_an_error_of_the_states_language()
    parse_a_path_once()
    read_a_definition_once()
    retry_without_a_pause()
    end_with_the_parent()
    runpy.run_module("localstack.runtime.main", run_name="__main__")
