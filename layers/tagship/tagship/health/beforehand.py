"""Runs the checks before any traffic moves: on the current version before approval, and on the candidate before its first
share.

Each check runs once, all in parallel. With the current version, people know before they approve whether a rollback could
be verified; with the candidate, a version that cannot even answer never gets traffic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from functools import partial
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from tagship.aws.clients import ASKED_ONCE
from tagship.aws.rights import ClientAs, Location
from tagship.health import Check, CheckResult, Given, together
from tagship.health.verdict import REASON, can_answer
from tagship.model.errors import CandidateUnhealthy
from tagship.model.records import Revision
from tagship.targets.kind import Subject
from tagship.text.plain import line

SECONDS = 12
"""The limit for all checks of the current version, well within the gate's time. A check without an answer is unknown."""
CANDIDATE_SECONDS = 34
"""The limit for all checks of the candidate: as long as the client waits for one invocation, including a cold start."""


def ask(
    checks: Sequence[Check], given: Callable[[Check], Given], *, seconds: float = SECONDS
) -> Mapping[str, dict[str, object]]:
    """By the check's name: `{answers, why}`. Checks that look back, or cannot run now, are left out."""
    found = _put([check for check in checks if not check.LOOKS_BACK], given, seconds=seconds)
    return {
        result.check: {"answers": can_answer(result), "why": line(result.why, REASON)}
        for _, _, result in found
        if isinstance(result, CheckResult)
    }


def ask_baseline(
    checks: Sequence[Check],
    target: Location,
    offers: Subject,
    *,
    application: str,
    tag: str,
    revision: Revision | None,
    client_as: ClientAs,
    allowed: Sequence[IPv4Network | IPv6Network],
    now: Callable[[], datetime],
) -> Mapping[str, dict[str, object]]:
    """Runs checks on the current version, which a rollback would restore, each with its own permissions."""

    def given(check: Check) -> Given:
        return Given(
            name=check.label(application),
            application=application,
            tag=tag,
            client=partial(client_as, may=check.rights(target, offers), config=ASKED_ONCE),
            subject="baseline",
            offers=offers,
            baseline=revision,
            allowed=allowed,
            now=now,
        )

    return ask(checks, given)


def prove_candidate(
    checks: Sequence[Check],
    given: Callable[[Check], Given],
    *,
    title: str,
    seconds: float = CANDIDATE_SECONDS,
) -> Sequence[CheckResult]:
    """Runs the application's checks that can reach a candidate without traffic.

    Raises CandidateUnhealthy for an answer that does not allow traffic, and for none in time; AwsUnavailable or
    CredentialsRefused if a check could not run, and no other one stops the release.
    """
    found = _put([check for check in checks if check.ASKS_CANDIDATE], given, seconds=seconds)
    results, stopping, not_run = [], [], []
    for check, given_to, result in found:
        match result:
            case CheckResult():
                results.append(result)
                if result.verdict not in check.ASKS_CANDIDATE:
                    stopping.append(f"{result.check}: {line(result.why, REASON).rstrip('.')}")
            case None:
                stopping.append(f"{given_to.name}: no answer within {seconds:g} s")
            case _:
                not_run.append(result)
    if stopping:
        raise CandidateUnhealthy(
            f"{title}: the candidate did not pass its checks, which run before it gets any traffic. {'; '.join(stopping)}. "
            "No traffic was moved. Fix the problem, then publish a new tag; if the check was at fault, retry this one."
        )
    if not_run:
        raise not_run[0]
    return results


def make_ready(checks: Sequence[Check], given: Callable[[Check], Given]) -> None:
    """Assumes the roles of the checks that `prove_candidate` will run, and creates their clients: they invoke functions.

    Raises the errors of the first one that fails; the check raises them again when it runs.
    """
    for check in checks:
        if check.ASKS_CANDIDATE:
            given(check).client("lambda")


def _put(
    checks: Sequence[Check], given: Callable[[Check], Given], *, seconds: float
) -> list[tuple[Check, Given, together.Answer]]:
    """Runs every check once, all in parallel."""
    put = [(check, given(check)) for check in checks]
    answers = together.ask([(_once(check), given_to) for check, given_to in put], seconds=seconds)
    return [(check, given_to, answer) for (check, given_to), answer in zip(put, answers, strict=True)]


def _once(check: Check) -> Check:
    """One request is enough to see whether it understands the check."""
    once: dict[str, Any] = {"requests": 1, "mustPass": 1}
    return replace(check, **once) if once.keys() <= {each.name for each in fields(check)} else check
