"""The page of one release: its details, its path through the state machine, and the duration of each phase."""

from __future__ import annotations

from datetime import datetime, timedelta
from html import escape

from tagship.model.records import FactRecord
from tagship.story.narrator import describe as in_a_sentence
from tagship.story.narrator import ending, mood_of
from tagship.text.words import console, size
from tagship_cli.pages.report import drawn, rendered
from tagship_cli.place import Place
from tagship_cli.views import charts, story, times
from tagship_cli.views.layout import lay_out
from tagship_cli.views.picture import Path, in_words, picture
from tagship_cli.views.showing import Machine, Phase, Shown, waiting_jobs

_AROUND = 40
"""The space above the topmost box's middle and below the lowest one's, in pixels."""


def release_page(found: Shown, machines: list[Machine], place: Place) -> str:
    """Renders one page. All text from the release is escaped."""
    record, now = found.record, place.now
    status = str(record["status"])
    end = times.moment(record["endedAt"]) if record.get("endedAt") else now
    manifest, plan = record["manifest"], record.get("plan")
    return rendered(
        "release.html",
        stage=place.stage,
        title=f"{record['application']} {record['tag']}",
        status=status,
        mood=mood_of(status).value,
        why=record.get("why", ""),
        advice=[] if status == "RUNNING" else ending(record),
        about=[
            (
                "commit",
                f"{manifest['repository']} {manifest['commit'][:12]} by {manifest['author']}"
                if manifest
                else "",
            ),
            ("git tag", manifest.get("ref", "") if manifest else ""),
            ("started", times.full(times.moment(record["readAt"]))),
            ("ended", times.full(end) if record.get("endedAt") else "in progress"),
            ("duration", times.span(story.took(record, now))),
            ("previous", (plan["from"] if plan else None) or "–"),
            *(("GitHub job", job) for job in waiting_jobs(found, now)),
        ],
        execution=console(str(record["execution"])),
        notes=manifest["notes"] if manifest else "",
        artifacts=[{**each, "size": size(each["size"])} for each in manifest["artifacts"]]
        if manifest
        else [],
        phases=drawn(_bars(found.phases, now)) if found.phases else "",
        share=drawn(charts.share("Share of traffic", *_share(found, end))) if found.shares else "",
        gates=record.get("gates") or [],
        plan=plan["summary"] if plan else [],
        approval=found.approval,
        rules=story.rules(found.approval) if found.approval else [],
        decisions=[
            {**each, "at": times.full(times.moment(each["at"]))}
            for each in (found.approval["decisions"] if found.approval else ())
        ],
        checks=[(look, check) for look in found.checks for check in look["checks"]],
        timeline=[_moment(fact) for fact in found.facts],
        zone=times.zone(now),
        machines=[{"name": machine.name, "svg": drawn(_drawn(machine))} for machine in machines],
    )


def _moment(fact: FactRecord) -> dict[str, object]:
    described, at = in_a_sentence(fact), times.moment(fact["at"])
    return {
        "at": f"{times.short(at)}:{at.astimezone():%S}",
        "text": described.text,
        "mood": described.mood.value,
        "more": described.more,
    }


def _bars(phases: list[Phase], now: datetime) -> str:
    rows = [(phase.name, phase.seconds(now), times.span(phase.seconds(now))) for phase in phases]
    return charts.lengths("How long each phase took", rows)


def _share(found: Shown, end: datetime) -> tuple[list[tuple[float, int]], list[str]]:
    """Minutes since shortly before the first step, and the labels of both ends."""
    begin = found.shares[0][0] - timedelta(seconds=5)
    last = max(end, found.shares[-1][0] + timedelta(seconds=5))
    points = [(0.0, 0)] + [((at - begin).total_seconds(), percent) for at, percent in found.shares]
    points.append(((last - begin).total_seconds(), found.shares[-1][1]))
    return points, [times.clock(begin), times.clock(last)]


def _drawn(machine: Machine) -> str:
    drawing = lay_out(machine.states, machine.start)
    rows = [place.y for place in drawing.places.values()]
    top, width = round(min(rows)) - _AROUND, round(drawing.size[0])
    height = round(max(rows)) + _AROUND - top
    words = f"{machine.name}: it passed {', '.join(machine.entered)}. {in_words(drawing)}"
    parts = picture(drawing, Path.of(machine.entered))
    return (
        f'<svg class="machine" viewBox="0 {top} {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(words)}">' + "\n".join(parts) + "</svg>"
    )
