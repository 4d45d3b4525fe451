"""tagship doctor: find problems with a stage, its account and its applications, and show how to fix them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from tagship_cli import options
from tagship_cli.failures import trying
from tagship_cli.place import Place, in_a_place
from tagship_cli.views import screen

if TYPE_CHECKING:
    from tagship_cli.actions.doctor import Finding, Subject

_REACH_SECONDS = 5


@click.command(
    epilog="""\b
Examples:
  tagship doctor --stage production                  check everything
  tagship doctor storefront --stage production       check the stage and one application
  tagship doctor --stage production --json"""
)
@click.argument("applications", nargs=-1, metavar="[APPLICATION]...")
@in_a_place
@options.as_json
def doctor(*, place: Place, applications: tuple[str, ...], as_json: bool) -> None:
    """Find problems with a stage, and show how to fix them.

    Each check is ok, a warning or wrong, and shows what to do. A check that could not run is a warning. The command changes
    nothing. It exits with 1 if something is wrong.
    """
    from tagship_cli.actions.doctor import Verdict, examine

    found = list(examine(_subject(place), applications))
    if as_json:
        screen.result({"stage": place.stage, "findings": [each.as_dict() for each in found]})
    else:
        screen.say(*_lines(found))
    if any(each.verdict is Verdict.WRONG for each in found):
        raise click.exceptions.Exit(1)


def _subject(place: Place) -> Subject:
    from tagship_cli.actions.doctor import Subject

    stack = place.described()
    with trying("Looking up your AWS identity"):
        account = str(place.client("sts").get_caller_identity()["Account"])
    return Subject(
        stage=place.stage,
        account=account,
        flags=place.flags(),
        stack=stack,
        outputs={each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])},
        parameters={
            each["ParameterKey"]: each.get("ParameterValue", "") for each in stack.get("Parameters", [])
        },
        now=place.world.now,
        client=place.client,
        reach=_reach,
    )


def _reach(host: str) -> None:
    """Any response is enough."""
    from tagship.aws import web

    try:
        web.send(f"https://{host}/", to=host, method="HEAD", seconds=_REACH_SECONDS, plain_http=())
    except web.RequestFailed as failed:
        raise OSError(str(failed)) from failed


def _lines(found: Sequence[Finding]) -> list[str]:
    shown: dict[str, Any] = {"ok": screen.good, "warning": screen.wary, "wrong": screen.bad}
    lines: list[str] = []
    about = ""
    for each in found:
        if each.about != about:
            about = each.about
            lines += ["", screen.bold(about)] if lines else [screen.bold(about)]
        lines += screen.paragraph(
            each.said, indent=10, first=f"  {shown[each.verdict](f'{each.verdict:<7}')} "
        )
        if each.remedy:
            lines += screen.paragraph(each.remedy, indent=10, first=" " * 8 + "→ ")
    counted = Counter(each.verdict for each in found)
    return [*lines, "", _summary(counted)]


def _summary(counted: Counter[Any]) -> str:
    parts = [f"{counted[name]} {name}" for name in ("wrong", "warning", "ok") if counted[name]]
    text = ", ".join(parts).replace("warning", "warnings" if counted["warning"] > 1 else "warning") + "."
    if counted["wrong"]:
        return screen.bad(text)
    return screen.wary(text) if counted["warning"] else screen.good(text)
