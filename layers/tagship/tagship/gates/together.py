"""Runs the gates of one task at the same time, each isolated from the others.

A gate that raises, or hangs past the task's time, gets the result `error`; the others keep theirs. After a transient error
only the gate that had it is repeated. The state machine could only repeat all gates of the task.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Protocol

from tagship.gates.gate import Case, Gate, GateResult, Verdict
from tagship.model.errors import RetryableError
from tagship.text.plain import line

SECONDS = 40
"""The limit of all gates of a task, in seconds: after the ledger was read, within the function's time-out."""
PAUSES = (1, 2)
"""Seconds before each repetition after a transient error, as in the state machine."""
_TRIES_OF_A_ROLE, _PAUSE_SECONDS = 5, 3
"""How long a role that AWS refuses is retried: a new role or permission is refused for some seconds."""
_REMEDY = "The gate could not answer, so it let nothing through. Look at its log, then retry the release."


class Log(Protocol):
    """Writes a line of the log."""

    def __call__(self, message: str, /, *arguments: object, exc_info: BaseException) -> None:
        """`exc_info` is the error, whose stack the line contains."""


def answer(gate: Gate, case: Case, *, pause: Callable[[float], None]) -> GateResult:
    """One gate's result. IAM is eventually consistent: right after onboarding, a refused role is retried for a short time.

    Raises what the gate raises. If it has the task to itself, the state machine repeats it, each time with all of its time.
    """
    result = gate.check(case)
    for _ in range(_TRIES_OF_A_ROLE):
        if not result.may_pass:
            break
        pause(_PAUSE_SECONDS)
        result = gate.check(case)
    return result


def answers(
    gates: Sequence[Gate],
    case: Case,
    *,
    pause: Callable[[float], None],
    log: Log,
    seconds: float = SECONDS,
) -> list[GateResult]:
    """One result for each gate, in their order. Raises nothing that a gate raises."""
    ends = time.monotonic() + seconds

    def isolated(gate: Gate) -> GateResult:
        pauses = iter(PAUSES)
        while True:
            try:
                return answer(gate, case, pause=pause)
            except Exception as error:  # noqa: BLE001 (an unexpected error in one gate does not affect the others)
                before_next = next(pauses, None) if isinstance(error, RetryableError) else None
                log("Gate %s could not answer", gate.name, exc_info=error)
                if before_next is None or time.monotonic() + before_next >= ends:
                    return _error(gate, _why(error))
                pause(before_next)

    pool = ThreadPoolExecutor(max_workers=len(gates))
    try:
        running = [pool.submit(isolated, gate) for gate in gates]
        wait(running, timeout=seconds)
        return [_result(gate, future, seconds) for gate, future in zip(gates, running, strict=True)]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _result(gate: Gate, running: Future[GateResult], seconds: float) -> GateResult:
    return running.result() if running.done() else _error(gate, f"It did not answer within {seconds:g} s.")


def _why(error: Exception) -> str:
    if isinstance(error, RetryableError):
        return str(error)
    return f"It failed ({type(error).__name__}): {line(error, 300)}"


def _error(gate: Gate, why: str) -> GateResult:
    return GateResult(gate=gate.name, verdict=Verdict.ERROR, why=why, remedy=_REMEDY)
