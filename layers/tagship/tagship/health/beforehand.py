"""Puts the checks to what serves before a release, so that people know before they approve what a rollback could show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import fields, replace
from datetime import datetime
from functools import partial
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from tagship.aws.clients import ASKED_ONCE
from tagship.aws.rights import ClientAs, Location
from tagship.health import Check, CheckResult, Given
from tagship.health.verdict import REASON, can_answer
from tagship.model.errors import TagshipError
from tagship.model.records import Revision
from tagship.targets.kind import Subject
from tagship.text.plain import line

SECONDS = 12
"""All checks together: far inside the gate's own time. What has not answered by then is not known."""


def ask(
    checks: Sequence[Check], given: Callable[[Check], Given], *, seconds: float = SECONDS
) -> Mapping[str, dict[str, Any]]:
    """By the check's name: `{answers, why}`. Checks that look back are not asked; what can't be asked now is left out."""
    asking = [check for check in checks if not check.LOOKS_BACK]
    if not asking:
        return {}
    pool = ThreadPoolExecutor(max_workers=len(asking))
    try:
        waiting = [pool.submit(_once, check, given(check)) for check in asking]
        wait(waiting, timeout=seconds)
        found = [each.result() for each in waiting if each.done()]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return {
        result.check: {"answers": can_answer(result), "why": line(result.why, REASON)}
        for result in found
        if result
    }


def ask_baseline(
    checks: Sequence[Check],
    target: Location,
    asked: Subject,
    *,
    application: str,
    tag: str,
    revision: Revision | None,
    client_as: ClientAs,
    allowed: Sequence[IPv4Network | IPv6Network],
    now: Callable[[], datetime],
) -> Mapping[str, dict[str, Any]]:
    """Asks what serves, which a rollback would restore, each check with its own rights."""

    def given(check: Check) -> Given:
        return Given(
            name=check.label(application),
            application=application,
            tag=tag,
            client=partial(client_as, may=check.rights(target, asked), config=ASKED_ONCE),
            subject="baseline",
            asked=asked,
            baseline=revision,
            allowed=allowed,
            now=now,
        )

    return ask(checks, given)


def _once(check: Check, given: Given) -> CheckResult | None:
    """One request is enough to know whether the question is understood; None where it could not be put."""
    once: dict[str, Any] = {"requests": 1, "mustPass": 1}
    single = replace(check, **once) if once.keys() <= {each.name for each in fields(check)} else check
    try:
        return single.run(given)
    except TagshipError:
        return None
