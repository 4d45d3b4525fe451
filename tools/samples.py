"""Sample data for the pictures of the command line's pages: a rolled-back release, and a month of releases."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import yaml

from tagship.ledger.table import timestamp
from tagship.model.records import FactRecord, ReleaseRecord, RequestRecord
from tagship_cli.pages.release import release_page
from tagship_cli.pages.report import report_page
from tagship_cli.place import Place, World
from tagship_cli.views import measures
from tagship_cli.views.measures import Decision, Deployment, Ending, Incident, Span, Story
from tagship_cli.views.reporting import Report
from tagship_cli.views.showing import Machine, Shown
from tools.draw import ROOT

NOW = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
"""A Monday."""
_EXECUTION = "arn:aws:states:eu-central-1:123456789012:execution:tagship-production-release:6f1c"
_BACK = "arn:aws:states:eu-central-1:123456789012:execution:tagship-production-rollback:6f1c-back"
_APPLICATIONS = {"storefront": 1.1, "checkout": 0.4, "search": 0.3}
"""Each application's releases per day."""
_DAYS = 30


def shown_release() -> str:
    """The page of `tagship show --html` for a canary whose health check failed."""
    place = Place(named_stage="production", world=World(now=lambda: NOW))
    return release_page(
        Shown(
            record=cast("ReleaseRecord", _record()),
            facts=cast("list[FactRecord]", list(_facts())),
            approval=cast("RequestRecord", _approval()),
        ),
        _machines(),
        place,
    )


def report() -> str:
    """The page of `tagship report --html` for a month of three applications."""
    span = Span(since=NOW - timedelta(days=_DAYS), until=NOW)
    stories = {name: _story(name, often) for name, often in _APPLICATIONS.items()}
    together = list(stories.values())
    return report_page(
        Report(
            stage="production",
            span=span,
            made=NOW,
            together=measures.keys(together, span),
            by_application={name: measures.keys([story], span) for name, story in stories.items()},
            parts=[measures.keys(together, part) for part in span.parts()],
        )
    )


# ---- a release -----------------------------------------------------------------------------------------------------


def _at(minutes: float) -> str:
    return timestamp(NOW - timedelta(minutes=30) + timedelta(minutes=minutes))


def _record() -> dict[str, Any]:
    return {
        "application": "storefront",
        "tag": "v1.4.0",
        "attempt": 1,
        "status": "ROLLED_BACK",
        "why": "http https://storefront.example.com/health: 5 of 5 answers had the status 500 instead of 200.",
        "readAt": _at(0),
        "endedAt": _at(25.4),
        "execution": _EXECUTION,
        "manifest": {
            "repository": "acme/storefront",
            "commit": "9c1b77de5a02" + "0" * 28,
            "author": "dana@example.com",
            "notes": "The basket keeps its content when somebody signs in.",
            "artifacts": [{"file": "storefront.zip", "sha256": "4f2a91c0" * 8, "size": 4_298_112}],
        },
        "plan": {
            "from": "v1.3.2",
            "summary": [
                "the alias live of storefront: version 41 → version 42",
                "Code: 4f2a91c08d11 → 9c1b77de5a02 (4.1 MiB)",
            ],
        },
        "gates": [
            {
                "gate": "manifest",
                "verdict": "passed",
                "why": "Valid, with 1 artifact.",
                "remedy": "",
            },
            {
                "gate": "tag",
                "verdict": "passed",
                "why": "v1.4.0 is newer than v1.3.2, which production runs.",
                "remedy": "",
            },
            {
                "gate": "integrity",
                "verdict": "passed",
                "why": "Size and SHA-256 of 1 artifact match (from S3's checksum).",
                "remedy": "",
            },
        ],
    }


def _approval() -> dict[str, Any]:
    people = {"ana@example.com": "Looks right.", "bo@example.com": ""}
    return {
        "application": "storefront",
        "tag": "v1.4.0",
        "stage": "production",
        "author": "dana@example.com",
        "status": "APPROVED",
        "required": 2,
        "approvers": ["ana@example.com", "bo@example.com", "chi@example.com"],
        "decisions": [
            {"approver": who, "decision": "approve", "reason": why, "at": _at(10)}
            for who, why in people.items()
        ],
    }


def _check(verdict: str, why: str) -> dict[str, Any]:
    check = {"check": "http https://storefront.example.com/health", "verdict": verdict, "why": why}
    return {"verdict": verdict, "checks": [check]}


def _facts() -> Iterator[dict[str, Any]]:
    gates = _record()["gates"]
    bad = _check("unhealthy", "5 of 5 answers had the status 500 instead of 200.")
    good = _check("healthy", "5 of 5 answers were right, the slowest after 112 ms.")
    vote = {"decision": "approve", "reason": ""}
    facts: list[tuple[float, str, str, dict[str, Any]]] = [
        (0, "Release Read", "", {"commit": "9c1b77de5a02", "author": "dana@example.com"}),
        (0.02, "Lock Acquired", "", {"fence": 118}),
        (0.2, "Gates Passed", "", {"results": gates}),
        (0.4, "Deployment Planned", "", {"from": "v1.3.2", "summary": _record()["plan"]["summary"]}),
        (0.5, "Approval Requested", "", {"approvers": _approval()["approvers"]}),
        (6, "Approval Given", "ana@example.com", vote | {"reason": "Looks right.", "status": "OPEN"}),
        (18, "Approval Granted", "bo@example.com", vote | {"status": "APPROVED"}),
        (
            18.1,
            "Deployment Started",
            "",
            {"steps": [{"percent": 10}, {"percent": 100}], "deadline": _at(38.1)},
        ),
        (18.2, "Traffic Shifted", "", {"percent": 10, "bake": 300, "step": 1, "of": 2}),
        (24.9, "Health Checked", "", bad | {"subject": "candidate", "step": 1}),
        (25, "Rollback Triggered", "", {"trigger": "health", "why": _record()["why"], "percent": 10}),
        (
            25.1,
            "Baseline Restored",
            "",
            {"what": "all traffic goes to version 41", "seconds": 6, "served": []},
        ),
        (25.3, "Health Checked", "", good | {"subject": "baseline", "step": 0}),
        (25.4, "Release Rolled Back", "", {}),
    ]
    for minutes, name, who, data in facts:
        yield {
            "name": name,
            "tag": "v1.4.0",
            "attempt": 1,
            "at": _at(minutes),
            "who": who or "tagship",
            "execution": _EXECUTION,
            "data": data,
        }


def _machines() -> list[Machine]:
    deployed = ("ShiftTraffic", "Shifted", "Bake", "CheckHealth", "JudgeHealth", "WhatNext")
    approved = (
        "PlanDeployment",
        "AnythingToChange",
        "RequestApproval",
        "HowDecided",
        "RecheckRelease",
        "MayBegin",
    )
    ways = {
        "release": (
            *("ReadRelease", "WhatWasRead", "AcquireLock", "RunGates", "JudgeGates", "GatesPassed"),
            *approved,
            *deployed,
            *("HealthFailed", "RollBack", "Failed"),
        ),
        "rollback": (
            *("RestoreBaseline", "AnythingServes", "AwaitStable", "CheckHealth", "JudgeHealth", "Healthy"),
            *("WhoAsked", "RolledBack", "EndRelease", "DidItWork", "Succeeded"),
        ),
    }
    found = []
    for name, way in ways.items():
        definition = yaml.safe_load((ROOT / "statemachine" / f"{name}.asl.yaml").read_text("utf-8"))
        found.append(
            Machine(
                name=f"tagship-production-{name}",
                execution=_EXECUTION,
                states=definition["States"],
                start=definition["StartAt"],
                entered=way,
            )
        )
    return found


# ---- a month -------------------------------------------------------------------------------------------------------


def _story(application: str, often: float) -> Story:
    chance = random.Random(application)  # noqa: S311 (the same picture each time, no secret)
    story = Story()
    for number in range(round(often * _DAYS)):
        at = NOW - timedelta(days=_DAYS * (number + chance.random()) / (often * _DAYS))
        whose = {"application": application, "tag": f"v1.{number}.0"}
        story.decisions.append(Decision(**whose, at=at, seconds=chance.uniform(300, 5400)))
        failed = chance.random() < 0.1
        refused = not failed and chance.random() < 0.12
        ended = "ROLLED_BACK" if failed else "INVALID" if refused else "SUCCEEDED"
        story.endings.append(Ending(**whose, status=ended, at=at))
        if refused:
            continue
        lead = None if failed else chance.uniform(1500, 10_000)
        story.deployments.append(Deployment(**whose, at=at, failed=failed, lead=lead))
        if failed:
            back = at + timedelta(seconds=chance.uniform(120, 600))
            story.incidents.append(Incident(**whose, began=at, ended=back))
    return story
