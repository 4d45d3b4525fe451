"""tagship watch: follow a release until it ends."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from tagship.text.words import listed
from tagship_cli import options
from tagship_cli.place import Place, in_a_place
from tagship_cli.views import screen

if TYPE_CHECKING:
    from tagship_cli.views.watching import Look, Watching


_BAR = 10
"""Letters of a bar."""


class Seconds(click.ParamType[int]):
    """Whole seconds, or an ISO-8601 duration."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Refuses everything else as wrong use."""
        from tagship.model.fields import seconds

        try:
            return int(value) if str(value).isdecimal() else int(str(seconds(value)))
        except ValueError:
            self.fail(f"{value!r} is neither whole seconds nor a duration like PT30M", param, ctx)


@click.command(
    epilog="""\b
Examples:
  tagship watch storefront                    the release in progress
  tagship watch storefront v1.4.0 --stage production --timeout PT30M
\b
Exits with 0 when the release ends SUCCEEDED, with 1 on any other outcome or when --timeout has passed.
Ctrl-C stops only the watching; the release continues."""
)
@click.argument("application")
@click.argument("tag", required=False)
@click.option(
    "--timeout",
    type=Seconds(),
    metavar="SECONDS",
    help="Stop watching after this time: seconds, or a duration like PT30M.",
)
@in_a_place
@options.as_json
def watch(*, place: Place, application: str, tag: str | None, timeout: int | None, as_json: bool) -> None:
    """Follow a release until it ends.

    If the release was published a moment ago, waits for it to start. With --json, prints one JSON document per line: each
    fact, then the outcome.
    """
    from tagship_cli.views.watching import TimeOver, Watching

    watching = (
        Watching(place=place, application=application, tag=tag, seconds=timeout)
        if tag
        else Watching.what_is_underway(place, application, seconds=timeout)
    )
    display = JsonLines(place) if as_json else Display(place, watching)
    again = f"tagship watch {application} {screen.one_line(watching.tag)}{place.flags()}"
    ended = ""
    try:
        for look in watching.follow():
            display.show(look)
            ended = str(look.record["status"]) if look.record and look.now is None else ""
    except (KeyboardInterrupt, TimeOver) as stopped:
        display.close()
        after = f" after {timeout} s" if isinstance(stopped, TimeOver) else ""
        screen.complain(f"Stopped watching{after}. The release continues. Watch it again: {again}")
    finally:
        display.close()
    if ended != "SUCCEEDED":
        raise click.exceptions.Exit(1)


class Display:
    """A timeline for people; on a terminal, with a last line that says where it is now."""

    def __init__(self, place: Place, watching: Watching) -> None:
        self._place = place
        self._title = f"{watching.application} {watching.tag}"
        self._live = screen.Live()
        self._begun = False
        self._shown = ""
        self._before = place.now

    def show(self, look: Look) -> None:
        """What is new, and where it is now."""
        from tagship_cli.views import story, times
        from tagship_cli.views.telling import fact_lines, headline, verdict

        if look.record is None:
            self._wait(look)
            return
        if not self._begun:
            self._begun = True
            self._before = times.moment(look.record["readAt"])
            zone = f"{times.day(self._before)}, times in {times.zone(self._before)}"
            self._live.say(*headline(look.record, self._place), screen.dim(zone))
        for fact in look.facts:
            self._live.say(*fact_lines(fact, before=self._before))
            self._before = times.moment(fact["at"])
        self._shown = ""
        if look.now is None:
            took = times.span(story.took(look.record, self._place.now))
            self._live.say("", *verdict(look.record, took))
            return
        self._live.status(self._where(look))

    def close(self) -> None:
        """Leaves a clean line."""
        self._live.clear()

    def _wait(self, look: Look) -> None:
        if look.trouble:
            text = f"{look.trouble} The release continues; trying again."
        else:
            text = f"{self._title} is not in the ledger of {self._place.stage} yet; waiting for it to start."
        if not self._begun:
            self._live.status(text)
        if text != self._shown and (look.trouble or not screen.on_terminal()):
            self._live.say(screen.wary(text))
        self._shown = text

    def _where(self, look: Look) -> str:
        from tagship_cli.views import story, times

        assert look.record is not None
        assert look.now is not None
        now = self._place.now
        text = f"{look.record['tag']} {look.now.text}"
        if look.now.waits_for:
            text += f": {listed(look.now.waits_for)}"
        if look.now.until:
            left = max(0.0, (look.now.until - now).total_seconds())
            text += f", {times.span(left)} left"
        if look.now.budget:
            return f"{text} {progress(*look.now.budget, now)}"
        return f"{text} ({times.span(story.took(look.record, now))} so far)"


def progress(began: datetime, ends: datetime, now: datetime) -> str:
    """`▓▓▓░░░░░░░ 6 min of 20 min`: how much of a budget is used."""
    from tagship_cli.views import times

    whole = max(1.0, (ends - began).total_seconds())
    used = min(max(0.0, (now - began).total_seconds()), whole)
    full = int(_BAR * used / whole)
    return f"{'▓' * full}{'░' * (_BAR - full)} {times.span(used)} of {times.span(whole)}"


class JsonLines:
    """For programs."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def show(self, look: Look) -> None:
        """Each fact, and at the end the release."""
        from tagship_cli.commands.history import plain, summary

        for fact in look.facts:
            click.echo(json.dumps({"fact": plain(fact)}))
        if look.record is not None and look.now is None:
            click.echo(json.dumps({"ended": summary(look.record, self._place.now)}))

    def close(self) -> None:
        """There is nothing to leave."""
