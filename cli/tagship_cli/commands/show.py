"""tagship show: everything about one release, on screen or as a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tagship.model.records import Decision
from tagship_cli import options
from tagship_cli.failures import Failed
from tagship_cli.place import Place, in_a_place
from tagship_cli.views import screen

if TYPE_CHECKING:
    from tagship_cli.views.showing import Shown

_INDENT = 14


@click.command(
    epilog="""\b
Examples:
  tagship show storefront v1.4.0 --stage production
  tagship show storefront v1.4.0 --html v1.4.0.html      a page that also draws the path it took"""
)
@click.argument("application")
@click.argument("tag")
@options.as_html
@in_a_place
@options.as_json
def show(*, place: Place, application: str, tag: str, html: Path | None, as_json: bool) -> None:
    """Show everything about one release: gates, plan, decisions, traffic, health, phase durations and outcome.

    The page also draws the state machine with the path that the release took, as long as Step Functions keeps the execution
    (90 days).
    """
    from tagship_cli.views import showing

    found = showing.gather(place, application, tag)
    if html:
        from tagship_cli.pages.release import release_page

        page = release_page(found, showing.machines(place, found), place)
        try:
            html.write_text(page, encoding="utf-8")
        except OSError as error:
            raise Failed(f"{html} can't be written: {error.strerror}.") from error
    if as_json:
        from tagship_cli.commands.history import plain, summary

        screen.result(
            {
                **summary(found.record, place.now),
                "gates": found.record.get("gates", []),
                "plan": found.record.get("plan"),
                "approval": found.approval,
                "promotion": _promotion(found),
                "githubJobs": [job.to_dict() for job in found.jobs],
                "phases": {phase.name: round(phase.seconds(place.now), 3) for phase in found.phases},
                "facts": [plain(fact) for fact in found.facts],
            }
        )
        return
    screen.say(*release_lines(found, place))
    if html:
        screen.say("", f"Page written: {screen.clean(str(html))}")


def release_lines(found: Shown, place: Place) -> list[str]:
    """Short sections. `tagship history --tag` shows the timeline."""
    from tagship_cli.views import showing, story, times
    from tagship_cli.views.telling import headline, verdict

    record, now = found.record, place.now
    lines = headline(record, place)
    lines += _section("began", times.since(times.moment(record["readAt"]), now))
    lines += _section("files", *(f"{each['file']}  {each['sha256'][:16]}…" for each in _artifacts(found)))
    lines += _section(
        "gates",
        *(
            _verdict(each["verdict"], "passed", each["gate"], each["why"])
            for each in found.record.get("gates") or ()
            if each["verdict"] != "not-configured"
        ),
        *_not_configured(found),
    )
    plan = record.get("plan")
    lines += _section("plan", *(plan["summary"] if plan else ()))
    lines += _section(
        "decisions", *(_decision(each) for each in (found.approval["decisions"] if found.approval else ()))
    )
    lines += _section("rules", *_rules(found))
    lines += _section("pause", *_pause(found))
    lines += _section("traffic", *(f"{times.clock(at)}  {percent} %" for at, percent in found.shares))
    checks = [(look["subject"], check) for look in found.checks for check in look["checks"]]
    lines += _section(
        "health",
        *(
            _verdict(check["verdict"], "healthy", f"{subject}: {check['check']}", check["why"])
            for subject, check in checks
        ),
    )
    lines += _section(
        "took", *(f"{phase.name:<20}{times.span(phase.seconds(now))}" for phase in found.phases)
    )
    lines += _section("promotion", *_promoted(found))
    lines += _section("github jobs", *showing.waiting_jobs(found, now))
    title = screen.one_line(f"{record['application']} --tag {record['tag']}")
    lines += _section("timeline", f"tagship history {title}{place.flags()}")
    if record["status"] != "RUNNING":
        lines += ["", *verdict(record, times.span(story.took(record, now)))]
    return lines


def _section(label: str, *texts: str) -> list[str]:
    return [
        line
        for number, text in enumerate(texts)
        for line in [f"  {label if number == 0 else '':<{_INDENT - 2}}{text}"]
    ]


def _artifacts(found: Shown) -> list[dict[str, str]]:
    manifest = found.record["manifest"]
    return [
        {"file": screen.one_line(each["file"], 60), "sha256": screen.one_line(each["sha256"], 64)}
        for each in (manifest["artifacts"] if manifest else ())
    ]


def _verdict(verdict: str, well: str, what: str, why: str) -> str:
    paint = screen.good if verdict == well else screen.bad
    return f"{paint(verdict)}  {screen.one_line(what, 60)}  {screen.dim(screen.one_line(why, 120))}"


def _not_configured(found: Shown) -> list[str]:
    """The gates that the application does not configure, separate from those that passed."""
    names = [each["gate"] for each in found.record.get("gates") or () if each["verdict"] == "not-configured"]
    return [screen.dim(f"not configured: {', '.join(names)}")] if names else []


def _promotion(found: Shown) -> dict[str, object] | None:
    """The next stage, the due time, and the fact that ended the promotion, if it has ended."""
    known = found.promotion
    if known is None or known["attempt"] != found.record["attempt"]:
        return None
    return {"to": known["to"], "due": known["due"], "ended": known.get("ended")}


def _promoted(found: Shown) -> list[str]:
    from tagship.text.times import clock, moment

    known = _promotion(found)
    if known is None:
        return []
    if known["ended"] is None:
        due = clock(moment(str(known["due"])))
        return [f"to {known['to']} after {due}, if it stays current and healthy"]
    endings = (fact for fact in reversed(found.facts) if fact["name"] == known["ended"])
    data: Mapping[str, object] = next((fact["data"] for fact in endings), {})
    if "why" in data:
        return [f"{screen.bad('refused')}  {screen.one_line(str(data['why']), 200)}"]
    return [f"{screen.good('promoted')}  {screen.one_line(str(data.get('address', known['to'])), 200)}"]


def _pause(found: Shown) -> list[str]:
    """The latest pause of the rollout, and how it ended."""
    from tagship_cli.views import times

    pause = found.record.get("pause")
    if pause is None:
        return []
    by = f"ordered by {pause['by']}: {pause['why']}" if pause["by"] else "by its strategy"
    state = screen.wary(pause["state"]) if pause["state"] in ("ordered", "open") else pause["state"]
    lines = [f"{state}  before step {pause['before'] + 1}, {screen.one_line(by, 200)}"]
    if pause["state"] == "open":
        lines.append(f"until {times.full(times.moment(pause['until']))}, then {pause['onTimeout']}")
    if "endedBy" in pause:
        ended = f"{pause['endedBy']}: {pause.get('endedBecause') or 'no reason given'}"
        lines.append(screen.one_line(ended, 200))
    return lines


def _rules(found: Shown) -> list[str]:
    """Each rule of the approval, if there are several, and people who have left a group since the request was sent."""
    from tagship_cli.views.story import rules

    if not found.approval:
        return []
    left = [f"{who} left the group after being asked" for who in found.approval.get("left") or ()]
    return [screen.one_line(each, 300) for each in [*rules(found.approval), *left]]


def _decision(each: Decision) -> str:
    from tagship_cli.views import times

    paint = screen.good if each["decision"] == "approve" else screen.bad
    reason = f"  “{screen.one_line(each['reason'], 120)}”" if each.get("reason") else ""
    at, who = times.clock(times.moment(each["at"])), screen.one_line(each["approver"], 60)
    return f"{at}  {who}  {paint(each['decision'])}{reason}"
