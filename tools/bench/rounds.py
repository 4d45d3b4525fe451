"""A round is a good release, a broken one, and both again with the rival. One round before the first warms everything
up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from tools.bench.releases import Released, Releasing
from tools.bench.rival import Rival, aws, version_of
from tools.bench.table import COUNT, DOLLARS, MILLISECONDS, SECONDS, TIMES, Figure, Part, say

WAITS_FOR_PEOPLE = "RequestApproval"
NOTHING = 0.005
"""Seconds in states without a task."""
DOLLARS_A_TRANSITION = 0.025 / 1000
Runs = Mapping[str, Sequence[float]]


def measure(releasing: Releasing, *, runs: int) -> list[Part]:
    """All measurements of releases.

    Raises LocalError if one does not end as expected.
    """
    rival, command = Rival.prepared(releasing, "by-hand"), aws()
    measured: dict[str, list[float]] = defaultdict(list)
    states: dict[str, list[float]] = defaultdict(list)
    for number in range(runs + 1):
        say(f"releases, round {number} of {runs}" if number else "releases, to warm up")
        released, values = _round(f"v1.{number}", releasing, rival, with_script=command is not None)
        if number:
            _keep(values, measured)
            _keep(released.states, states)
    with_what = f"script of aws commands, {version_of(command)}" if command else "boto3, no aws CLI was found"
    return [
        _way_out(measured, with_what),
        _states(states),
        _way_back(measured, with_what),
        _costs(measured),
    ]


def _keep(values: Mapping[str, float], runs: dict[str, list[float]]) -> None:
    for what, value in values.items():
        runs[what].append(value)


def _round(
    version: str, releasing: Releasing, rival: Rival, *, with_script: bool
) -> tuple[Released, dict[str, float]]:
    good, broken = f"{version}.0", f"{version}.1"
    released = releasing.good(good)
    values = {
        "mail": released.mail,
        "traffic": released.traffic,
        "whole": released.whole,
        "transitions": released.transitions,
        "restored": releasing.bad(broken),
        "calls": rival.by_calls(good),
        "calls back": rival.by_calls(broken, broken=True),
    }
    if with_script:
        values["script"] = rival.by_script(f"{good}-script")
        values["script back"] = rival.by_script(f"{broken}-script", broken=True)
    return released, values


def _way_out(runs: Runs, with_what: str) -> Part:
    by_hand = Figure(
        what=f"the same by hand ({with_what})", unit=SECONDS, runs=runs.get("script", runs["calls"])
    )
    whole = Figure(what="whole release, people's time left out", unit=SECONDS, runs=runs["whole"])
    return Part(
        title="A canary release",
        figures=[
            Figure(what="upload → approval mail", unit=SECONDS, runs=runs["mail"]).at_most(0.5),
            Figure(what="approval → all traffic on the candidate", unit=SECONDS, runs=runs["traffic"]),
            whole.below(by_hand.median, words="< by hand"),
            by_hand,
            Figure(what="only the AWS calls of that script", unit=SECONDS, runs=runs["calls"]),
            Figure(
                what="… the whole release against those calls, round by round",
                unit=TIMES,
                runs=[ours / bare for ours, bare in zip(runs["whole"], runs["calls"], strict=True)],
            ).at_most(1.2),
        ],
    )


def _states(runs: Runs) -> Part:
    return Part(
        title="Where its time goes (a state's visits together)",
        figures=[
            Figure(what=name, unit=MILLISECONDS, runs=seconds)
            for name, seconds in runs.items()
            if name != WAITS_FOR_PEOPLE and max(seconds) > NOTHING
        ],
    )


def _way_back(runs: Runs, with_what: str) -> Part:
    by_hand = runs.get("script back", runs["calls back"])
    return Part(
        title="A failed health check",
        figures=[
            Figure(
                what="failed check → baseline restored", unit=MILLISECONDS, runs=runs["restored"]
            ).always_below(0.25),
            Figure(what=f"the same by hand ({with_what})", unit=MILLISECONDS, runs=by_hand),
            Figure(what="only the AWS calls of that script", unit=MILLISECONDS, runs=runs["calls back"]),
        ],
    )


def _costs(runs: Runs) -> Part:
    transitions = runs["transitions"]
    return Part(
        title="What Step Functions charges for it",
        figures=[
            Figure(what="state transitions, retries among them", unit=COUNT, runs=transitions).below(40),
            Figure(
                what="dollars",
                unit=DOLLARS,
                runs=[count * DOLLARS_A_TRANSITION for count in transitions],
            ),
        ],
    )
