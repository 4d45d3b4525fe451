"""Error names are the state machines' contract: each is unique, and is retried where it is raised, or final."""

from __future__ import annotations

import ast
import functools
import inspect

import pytest

from tagship.model import errors
from tagship.model.errors import FinalError, RetryableError, TagshipError
from tagship.model.release import Status
from tests.template.definitions import State, function_of, snake, states_of, tasks
from tests.template.sources import Module, everything_behind, module, modules

ALL = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind)}
BRANCHES = {"RetryableError", "FinalError"}
NAMED = {name: kind for name, kind in ALL.items() if name not in BRANCHES | {"TagshipError"}}

calling = [task for task in tasks() if function_of(task)]


@functools.cache
def raised_in(where: Module) -> set[str]:
    """The errors that a module raises, or tells its adapter to raise for an AWS refusal."""
    return {
        node.id
        for node in ast.walk(where.tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in NAMED
    }


def raised_by(function: str) -> set[str]:
    """The errors that a function, or anything behind it, can raise."""
    return {name for each in everything_behind(f"functions.{function}") for name in raised_in(module(each))}


def retried(task: State) -> set[str]:
    return {name for retry in task.body["Retry"] if retry["MaxAttempts"] for name in retry["ErrorEquals"]}


def test_errors_have_one_base_with_two_branches() -> None:
    assert TagshipError.__bases__ == (Exception,)
    assert RetryableError.__bases__ == (TagshipError,)
    assert FinalError.__bases__ == (TagshipError,)


@pytest.mark.parametrize("name", NAMED)
def test_every_error_is_either_retryable_or_final(name: str) -> None:
    assert NAMED[name].__bases__ in ((RetryableError,), (FinalError,))


@pytest.mark.parametrize("name", NAMED)
def test_every_error_has_a_docstring_sentence(name: str) -> None:
    assert (NAMED[name].__doc__ or "").strip().endswith(".")


def every_error() -> dict[str, str]:
    """Every error of ours in all of the code, by module."""
    return {
        f"{each.name}.{node.name}": node.name
        for each in modules()
        for node in ast.walk(each.tree)
        if isinstance(node, ast.ClassDef)
        and any(ast.unparse(base) in ALL or ast.unparse(base) == "LinkInvalid" for base in node.bases)
        and not node.name.startswith("_")
    }


def test_an_errors_name_is_unique() -> None:
    names = list(every_error().values())
    assert len(names) == len(set(names))


def test_no_error_has_the_name_of_a_python_or_aws_error() -> None:
    import builtins

    from botocore import exceptions

    assert not set(every_error().values()) & (set(vars(builtins)) | set(vars(exceptions)))


def test_every_error_is_raised_somewhere() -> None:
    used = {name for each in modules() if each.name != "tagship.model.errors" for name in raised_in(each)}
    assert set(NAMED) - used == set()


@pytest.mark.parametrize("task", calling, ids=str)
def test_a_state_whose_function_calls_aws_retries_aws_unavailable(task: State) -> None:
    assert {"AwsUnavailable", "LedgerBusy"} <= retried(task) or "States.ALL" in retried(task)


@pytest.mark.parametrize("name", [name for name, kind in NAMED.items() if issubclass(kind, RetryableError)])
def test_a_retryable_error_is_retried_in_a_state_whose_function_raises_it(name: str) -> None:
    assert any(
        name in raised_by(snake(task.name)) and ({name, "States.ALL"} & retried(task)) for task in calling
    )


@pytest.mark.parametrize("task", calling, ids=str)
def test_a_state_retries_by_name_only_what_its_function_can_raise(task: State) -> None:
    ours = {name for name in retried(task) if name in NAMED} - {"AwsUnavailable", "LedgerBusy"}
    assert ours <= raised_by(snake(task.name))


@pytest.mark.parametrize("task", calling, ids=str)
def test_a_state_retries_no_final_error_by_name(task: State) -> None:
    for name in retried(task):
        assert name not in NAMED or issubclass(NAMED[name], RetryableError)


@pytest.mark.parametrize("task", calling, ids=str)
def test_a_state_catches_by_name_only_what_its_function_can_raise(task: State) -> None:
    caught = {name for catch in task.body["Catch"] for name in catch["ErrorEquals"] if name in NAMED}
    assert caught <= raised_by(snake(task.name))


def test_a_rollback_does_not_retry_what_a_retry_cannot_fix() -> None:
    restoring = next(task for task in states_of("rollback") if task.name == "RestoreBaseline")
    (first, waiting, second) = restoring.body["Retry"]
    assert first["MaxAttempts"] == 0
    assert waiting["ErrorEquals"] == ["RollbackUnderway"]
    assert second["ErrorEquals"] == ["States.ALL"]
    assert all(issubclass(NAMED[name], FinalError) for name in first["ErrorEquals"])


def test_endings_and_their_errors_match() -> None:
    for status in Status:
        if status.error:
            assert Status.of_error(status.error) is status
    assert {status for status in Status if not status.error} == {Status.RUNNING, Status.SUCCEEDED}


def test_the_endings_have_the_documented_errors() -> None:
    assert {status.value: status.error for status in Status if status.error} == {
        "INVALID": "ReleaseInvalid",
        "REJECTED": "ReleaseRejected",
        "EXPIRED": "ApprovalExpired",
        "SUPERSEDED": "ReleaseSuperseded",
        "ROLLED_BACK": "ReleaseRolledBack",
        "ROLLBACK_FAILED": "RollbackFailed",
        "ABORTED": "ReleaseAborted",
    }
