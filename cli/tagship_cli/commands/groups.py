"""tagship groups: the groups of approvers, their members, and the applications that name them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from tagship.text.words import count, listed
from tagship_cli import options
from tagship_cli.failures import Failed
from tagship_cli.place import Place, in_a_place
from tagship_cli.views import screen

if TYPE_CHECKING:
    from tagship.model.records import ApprovedConfiguration

_INDENT = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A group as it is now, and who needs it."""

    name: str
    stored: ApprovedConfiguration | None
    """None if a rule names a group that was never applied."""
    used: Mapping[str, int]
    """How many members must approve, by application."""

    @property
    def members(self) -> Sequence[str]:
        return tuple(self.stored["document"]["members"]) if self.stored else ()

    @property
    def required(self) -> int:
        return int(self.stored["document"].get("required", 1)) if self.stored else 0

    def as_dict(self) -> dict[str, object]:
        return {
            "group": self.name,
            "applied": self.stored is not None,
            "members": list(self.members),
            "required": self.required,
            "since": self.stored["since"] if self.stored else "",
            "by": list(self.stored["by"]) if self.stored else [],
            "usedBy": dict(self.used),
        }


@click.command(
    epilog="""\b
Examples:
  tagship groups --stage production                     every group that an application's rules name
  tagship groups platform --stage production            one group, whether or not an application names it
  tagship groups --stage production --json"""
)
@click.argument("group", required=False)
@in_a_place
@options.as_json
def groups(*, place: Place, group: str | None, as_json: bool) -> None:
    """Show groups of approvers: their members, and which applications need how many of them.

    Without GROUP, show every group that the `approval.rules` of an application in the stage name.
    """
    from tagship.model.proposal import scope_of
    from tagship_cli.actions import proposing

    used, unreadable = _used(place)
    names = [group] if group else sorted(used)
    found = [
        _Found(name=name, stored=proposing.in_force(place, scope_of(name)), used=used.get(name, {}))
        for name in names
    ]
    if group and not (found[0].stored or found[0].used):
        raise Failed(
            f"{place.stage} has no group {group}, and no application names one.\n"
            f"Apply it: tagship apply FILE{place.flags()}"
        )
    if as_json:
        result = {
            "stage": place.stage,
            "groups": [each.as_dict() for each in found],
            "unreadable": unreadable,
        }
        screen.result(result)
        return
    if not found:
        screen.say(f"No application in {place.stage} names a group in `approval.rules`.")
    for number, each in enumerate(found):
        screen.say(*([""] if number else []), *_lines(each, place))
    for name in unreadable:
        screen.complain(
            f"{name} is not included: its configuration is not valid. See: tagship doctor {name}{place.flags()}"
        )


def _used(place: Place) -> tuple[dict[str, dict[str, int]], list[str]]:
    """By group and application, how many must approve; and the applications whose configuration is not valid."""
    from tagship_cli.commands.plan import stored_configuration
    from tagship_cli.views import overview

    used: dict[str, dict[str, int]] = {}
    unreadable = []
    for application in overview.applications(place):
        try:
            rules = stored_configuration(place, application).approval.rules
        except Failed:
            unreadable.append(application)
            continue
        for rule in rules:
            if rule.group:
                used.setdefault(rule.group, {})[application] = rule.required
    return used, unreadable


def _lines(found: _Found, place: Place) -> list[str]:
    from tagship_cli.views import times

    title = f"{screen.bold(screen.clean(found.name))} in {place.stage}"
    users = [f"{name} ({required} must approve)" for name, required in found.used.items()]
    rows = {"used by": listed(users) if users else "no application"}
    if found.stored is None:
        missing = f"not applied, so these applications cannot be released: tagship apply FILE{place.flags()}"
        rows = {"missing": missing, **rows}
    else:
        since = times.since(times.moment(found.stored["since"]), place.now)
        by = f", by {listed(found.stored['by'])}" if found.stored["by"] else ""
        rows = {
            "members": listed(found.members),
            "changes": f"{count(found.required, 'member')} must approve them, in a stage that guards configurations",
            "since": f"{since}{by}",
            **rows,
        }
    return [
        title,
        *(
            line
            for label, text in rows.items()
            for line in screen.paragraph(text, indent=_INDENT, first=f"  {label}")
        ),
    ]
