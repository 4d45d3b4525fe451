"""Sends messages in parallel: each has its own attempt, all share one deadline, and none waits for another.

A channel that is slow or hangs delays only its own messages, never the step.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from botocore.exceptions import ClientError

from tagship.aws.calls import code_of, is_unavailable
from tagship.slack.messages import SlackFailed

SENT = "sent"
SECONDS = 15
"""For all messages of a step together; the sending functions have 28 s (template.yaml)."""
AT_ONCE = 50
"""More than the maximum of 20 approvers and 20 people on the escalation list, by mail and on Slack."""
LATE = "no answer in time"

Clock = Callable[[], float]


class Outbox:
    """The messages of one step."""

    def __init__(self, *, seconds: float = SECONDS, clock: Clock = time.monotonic) -> None:
        self._ends = clock() + seconds
        self._clock = clock
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._underway: dict[str, Future[object]] = {}
        self.passing: set[str] = set()
        """The messages whose failure may pass: a retry may help."""

    def send(self, name: str, job: Callable[[], object]) -> None:
        """Starts at once; `name` is the key of the result."""
        self._underway[name] = self._pool.submit(job)

    def asked[T](self, job: Callable[[], T]) -> T:
        """What has to be known before more can be sent; what is underway goes on meanwhile.

        Raises what the job raises, and TimeoutError at the deadline.
        """
        return self._pool.submit(job).result(timeout=max(0.0, self._ends - self._clock()))

    def results(self) -> dict[str, str]:
        """By name: `sent`, or the reason why not. Messages that still hang at the deadline are abandoned."""
        wait(self._underway.values(), timeout=max(0.0, self._ends - self._clock()))
        self._pool.shutdown(wait=False, cancel_futures=True)
        errors = {
            name: future.exception() if future.done() and not future.cancelled() else TimeoutError()
            for name, future in self._underway.items()
        }
        self.passing |= {name for name, error in errors.items() if error is not None and _passes(error)}
        return {name: reason_of(error) for name, error in errors.items()}


def reason_of(error: BaseException | None) -> str:
    """`sent`, or the reason in a few words, without an address or a link."""
    match error:
        case None:
            return SENT
        case SlackFailed():
            return error.reason
        case ClientError():
            return code_of(error) or "refused"
        case TimeoutError():
            return LATE
        case _:
            return type(error).__name__


def _passes(error: BaseException) -> bool:
    match error:
        case SlackFailed():
            return error.passes
        case TimeoutError():
            return True
        case _:
            return isinstance(error, Exception) and is_unavailable(error)
