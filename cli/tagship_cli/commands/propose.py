"""tagship apply in a guarded stage: proposes a change, and says where it waits for approval."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tagship.model.proposal import group_of, number_of
from tagship.text.words import count, listed
from tagship_cli.failures import Failed
from tagship_cli.place import Place
from tagship_cli.views import screen

if TYPE_CHECKING:
    from tagship_cli.actions.proposing import Proposed


def propose(
    place: Place,
    application: str,
    document: object,
    *,
    ask: Callable[[], None],
    emergency: str,
    owners: str,
    as_json: bool,
) -> None:
    """Shows the difference from the document in force, asks, and proposes it, unless an equal proposal is open.

    If someone changed the approved document in Parameter Store, it is only stored again: that needs no approval.
    """
    from tagship_cli.actions import configuration, proposing
    from tagship_cli.actions.deciding import whoami
    from tagship_cli.commands.apply import shown

    approved = proposing.in_force(place, application)
    if group := group_of(application):
        stored = base = proposing.stored_group(place, group)
        # A configuration stored while the stage was not guarded is not approved, even if nothing changes.
        changed_outside = approved is not None and not number_of(approved["tag"])
    else:
        stored = configuration.stored(place.client("ssm"), stage=place.stage, application=application)
        base = proposing.as_stored(approved, stored.name)
        changed_outside = approved is not None and stored.data != approved["document"]
    difference = configuration.difference(base, document)
    if not as_json:
        for line in (
            *(shown(difference, base, place) if difference else []),
            *(_outside(stored.name, application) if changed_outside else []),
        ):
            screen.say(line)
    if not difference and not changed_outside:
        _say_unchanged(place, base.name, as_json=as_json)
        return
    if not owners and (tag := proposing.waiting(place, application, document)):
        title = f"{application} {tag}"
        if not as_json:
            screen.say(f"{screen.bold(title)} already proposes the same change. Nothing new was proposed.")
        record = proposing.record_of(place, application, tag)
        made = proposing.found(place, application, tag, str(record["execution"]) if record else "")
    else:
        ask()
        made = proposing.propose(
            place, application, document, caller=whoami(place), emergency=emergency, owners=owners
        )
    _say(place, application, made, difference, as_json=as_json)


def _outside(name: str, application: str) -> list[str]:
    if group_of(application):
        return [
            screen.wary(
                f"The {name} was never approved. Releases whose rules name it end INVALID until it is."
            )
        ]
    return [
        screen.wary(
            f"{name} was changed outside of Tagship and is not what was approved. Releases of {application} "
            f"end INVALID until it is restored."
        )
    ]


def _say_unchanged(place: Place, name: str, *, as_json: bool) -> None:
    if as_json:
        screen.result({"stage": place.stage, "changed": False, "proposal": None, "status": None})
    else:
        screen.say(f"{screen.good('No change')}: {name} already has this content. Nothing was proposed.")


def _say(place: Place, application: str, made: Proposed, difference: list[str], *, as_json: bool) -> None:
    from tagship.approval.quorum import awaited

    request, title = made.request, f"{application} {made.tag}"
    why = str(made.record.get("why", "")) if made.record else ""
    if as_json:
        screen.result(
            {
                "stage": place.stage,
                "changed": bool(difference),
                "proposal": made.tag if made.record else None,
                "execution": made.execution,
                "status": made.status,
                "why": why,
                "waitsFor": awaited(request) if request and request["status"] == "OPEN" else [],
                "expiresAt": request["expiresAt"] if request else None,
                "difference": difference,
            }
        )
    if made.status not in ("RUNNING", "SUCCEEDED"):
        raise Failed(f"{title} ended {made.status}.\n{why}")
    if as_json:
        return
    if made.record is None:
        screen.say(screen.good("Restored: Parameter Store has the approved configuration again."))
    elif request is None or request["status"] != "OPEN":
        screen.say(screen.good(f"{title} is the current configuration."))
    else:
        screen.say(*_waits(place, title, request))


def _waits(place: Place, title: str, request: Any) -> list[str]:
    from tagship.approval.quorum import approvals, awaited, needed
    from tagship_cli.views import times

    expires = times.moment(request["expiresAt"])
    lacking = needed(request) - approvals(request)
    who = f"{count(lacking, 'approval')} of {screen.clean(listed(awaited(request)))}"
    when = f"{times.full(expires)}, {times.until(expires, place.now)}"
    return [
        f"{screen.good('Proposed')} as {screen.bold(title)}. It needs {who}.",
        f"The current configuration is used until then. The proposal expires {when}.",
        f"Watch it:  tagship watch {title}{place.flags()}",
        f"Decide:    tagship approve {title}{place.flags()}",
    ]
