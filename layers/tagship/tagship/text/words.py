"""Puts numbers, lists and the messages of the state machine and AWS into words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from tagship.text.plain import shorten

_LONGEST = 1000
_WITHOUT_CAUSE = {"States.Timeout": "the step timed out."}


def cause_in_words(cause: str) -> str:
    """The message in a failed function's cause (AWS gives it as JSON with a stack trace); any other text unchanged."""
    try:
        answer = json.loads(cause)
    except (ValueError, RecursionError):
        return shorten(cause, _LONGEST)
    if isinstance(answer, dict) and answer.get("errorMessage"):
        return shorten(str(answer["errorMessage"]), _LONGEST)
    if isinstance(answer, dict) and answer.get(
        "Cause"
    ):  # passed on by a Catch, or by an execution that this one started
        return cause_in_words(str(answer["Cause"]))
    if isinstance(answer, dict) and answer.get("Error"):  # AWS gives no cause for a time-out
        why = _WITHOUT_CAUSE.get(answer["Error"], "AWS gives no more details.")
        return shorten(f"{answer['Error']}: {why}", _LONGEST)
    return shorten(cause, _LONGEST)


def console(execution: str) -> str:
    """The console's page of an execution; the name unchanged if it is not an ARN."""
    if not execution.startswith("arn:aws"):
        return execution
    region = execution.split(":")[3]
    return f"https://{region}.console.aws.amazon.com/states/home?region={region}#/v2/executions/details/{execution}"


def size(number: int) -> str:
    """Bytes in the unit that fits: `412 bytes`, `12 KiB`, `4.1 MiB`."""
    if number >= 1_048_576:
        return f"{number / 1_048_576:.1f} MiB"
    return f"{number / 1024:.0f} KiB" if number >= 10_240 else count(number, "byte")


def count(number: int, one: str, many: str = "") -> str:
    """`1 file`, `2 files`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def first(lines: Sequence[str], most: int) -> list[str]:
    """At most so many of them; the last one then says how many are left out."""
    if len(lines) <= most:
        return list(lines)
    return [*lines[: most - 1], f"… and {len(lines) - most + 1} more"]


def listed(items: Iterable[object]) -> str:
    """`a, b and c`."""
    texts = [str(item) for item in items]
    return " and ".join([", ".join(texts[:-1]), texts[-1]]) if len(texts) > 1 else "".join(texts)
