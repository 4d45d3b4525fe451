"""How often a step asks the ledger, in one canary release: every request is time until a mail or a rollback."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Any
from unittest.mock import patch

from tests.flow.harness import World, client_of
from tests.flow.test_endings import sick_from

READS = ("GetItem", "TransactGetItems", "Query")


@contextmanager
def reads(world: World) -> Iterator[Counter[str]]:
    """The requests that read the ledger, by function."""
    counted: Counter[str] = Counter()
    running: ContextVar[str] = ContextVar("running", default="")

    def named(folder: str, handler: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            token = running.set(folder)
            try:
                return handler(*arguments)
            finally:
                running.reset(token)

        return call

    def count(model: Any, **_: Any) -> None:
        if model.name in READS and running.get():
            counted[running.get()] += 1

    def submit(pool: ThreadPoolExecutor, job: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        """A step's threads count as the step."""
        return own_submit(pool, copy_context().run, job, *arguments, **more)

    own_submit = ThreadPoolExecutor.submit
    events, handlers = client_of("dynamodb").meta.events, dict(world.handlers)
    world.handlers.update({folder: named(folder, handler) for folder, handler in handlers.items()})
    events.register("before-call.dynamodb", count)
    try:
        with patch.object(ThreadPoolExecutor, "submit", submit):
            yield counted
    finally:
        events.unregister("before-call.dynamodb", count)
        world.handlers.update(handlers)


GOOD = {
    "read_release": 1,
    "acquire_lock": 2,  # and the releases that wait
    "run_gate": 3,  # one task, and the freezes in two partitions
    "judge_gates": 1,
    "plan_deployment": 2,  # the current release after the target
    "request_approval": 1,
    "approval_page": 5,  # its GET; and of the POST the request, the head, the request with its decision, and the release
    "recheck_release": 6,  # what is proven needs the record first, the facts, and the proofs; and freezes in two partitions
    "prove_candidate": 1,
    "shift_traffic": 2,
    "await_stable": 0,  # ShiftTraffic has looked
    "check_health": 2,
    "judge_health": 2,
    "complete_release": 1,
}
"""The requests of one canary release that read the ledger, by function, in all its visits."""


def test_each_step_reads_what_it_needs_of_the_ledger_together(world: World) -> None:
    world.configure(strategy={"type": "canary", "percent": 10, "bake": 0})
    world.release("v1.0.0")
    with reads(world) as counted:
        assert world.release("v1.1.0").status == "SUCCEEDED"
    assert {name: counted[name] for name in GOOD} == GOOD
    world.health = sick_from(4)
    with reads(world) as counted:
        assert world.release("v1.2.0").error == "ReleaseRolledBack"
    assert counted["restore_baseline"] == 2
