"""What Slack shows of an approval, in blocks: to a channel without any link, to one approver with their own.

Slack reads markup in `mrkdwn` text: `<…>` makes links and mentions, so `&`, `<` and `>` of other people's text are escaped,
and `verbatim` keeps Slack from finding names, channels and addresses in the rest. What stands on the phone's lock screen
(`text`) is escaped too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from tagship.approval import quorum
from tagship.approval.mail import LINK
from tagship.approval.quorum import Record
from tagship.approval.view import View, view
from tagship.text import line, moment, shorten

Message = dict[str, Any]
Block = dict[str, Any]

SECTION_AT_MOST = 2900
"""Slack takes 3,000 characters; escaping has been counted."""
_HEADER_AT_MOST = 150
_LINES = 6
_NOTES = 600
_OUTCOMES = {
    "Approval Granted": (":white_check_mark:", "Approved"),
    "Approval Rejected": (":no_entry:", "Rejected"),
    "Approval Expired": (":hourglass:", "Not decided in time"),
    "Approval Superseded": (":fast_forward:", "Superseded"),
    "Approval Closed": (":heavy_minus_sign:", "No longer waits"),
}
"""The facts that end a request, and how they look."""
FOLLOWED = frozenset(_OUTCOMES)


def announcement(record: Record, *, now: datetime) -> Message:
    """For the team's channel: everything but a link, which would let anybody in the channel decide in another's name."""
    shown = view(record, approver="", now=now)
    asked = ", ".join(line(voter) for voter in quorum.voters(record))
    plural = "" if shown["required"] == 1 else "s"
    return _message(
        _title("Approval wanted", shown),
        *_about(record, shown),
        _context(
            f"Asked: {escaped(asked)}. {shown['required']} approval{plural} needed; one rejection ends it. "
            "Each has a personal link, which is not posted here."
        ),
    )


def invitation(record: Record, *, link: str, now: datetime, reminder: bool = False) -> Message:
    """For one approver's own conversation, with the link that decides in their name.

    Raises ValueError for a link that is no approval page's address.
    """
    if not LINK.fullmatch(link):
        raise ValueError("the link of a message must be an approval page's own address")
    shown = view(record, approver="", now=now)
    stands = f"{shown['approvals']} of {shown['required']} so far. " if reminder else ""
    return _message(
        _title("Reminder: your approval is wanted" if reminder else "Your approval is wanted", shown),
        _section(
            f"{stands}*<{link}|Look at it and decide>*\nThe link is yours alone. Opening it decides nothing."
        ),
        *_about(record, shown),
    )


def follow_up(record: Record, fact: Mapping[str, Any], *, now: datetime) -> Message:
    """For the channel, when a request has ended; `fact` is one of `FOLLOWED`."""
    shown = view(record, approver="", now=now)
    sign, words = _OUTCOMES[fact["name"]]
    blocks = [_section(f"{sign} {_what_now(shown, fact)}")]
    if shown["votes"]:
        said = [
            f"{escaped(vote['who'])} {vote['words']}"
            + (f": “{escaped(shorten(line(vote['reason'], 400), 400))}”" if vote["reason"] else "")
            for vote in shown["votes"]
        ]
        blocks.append(_section(_bullets(said)))
    return _message(_title(words, shown), *blocks)


def escaped(text: str) -> str:
    """Slack's own three, and nothing else (its documentation on formatting)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _what_now(shown: View, fact: Mapping[str, Any]) -> str:
    release = f"*{escaped(shown['application'])} {escaped(shown['tag'])}*"
    stage, why = escaped(shown["stage"]), escaped(line(fact["data"].get("why") or "", 500))
    match fact["name"]:
        case "Approval Granted":
            return (
                f"{release} has the approvals that it needs. Tagship checks once more that nothing has changed, "
                "then deploys it."
            )
        case "Approval Rejected":
            return f"{release} does not go to {stage}. Nothing was changed there."
        case "Approval Expired":
            return f"{release} did not get its approvals in time. Nothing was changed in {stage}."
        case "Approval Superseded":
            return f"{release} no longer waits: a newer release took its place. Nothing was changed for it."
        case _:
            return f"{release} no longer waits for approval. {why}".strip()


def _about(record: Record, shown: View) -> list[Block]:
    """Warnings first, as on the page and in the mail."""
    blocks = []
    if shown["warnings"]:
        blocks.append(
            _section(f":warning: *Look at this first*\n{_bullets(map(escaped, shown['warnings']))}")
        )
    version = (
        f"{shown['from_tag']} → {shown['tag']}" if shown["from_tag"] else f"{shown['tag']}, the first release"
    )
    facts = [("Version", escaped(version)), ("Author", escaped(shown["author"]))]
    if shown["commit"]:
        facts.append(("Commit", _commit(shown)))
    if shown["ends"]:
        facts.append(("Ends", _in_the_readers_zone(record["expiresAt"], shown["ends"]["clock"])))
    blocks.append({"type": "section", "fields": [_text(f"*{name}*\n{value}", 2000) for name, value in facts]})
    if shown["nothing_to_change"]:
        blocks.append(
            _section(
                f"*What changes*\nNothing: what this release brings is what {escaped(shown['stage'])} already runs."
            )
        )
    else:
        blocks.append(
            _section(f"*What changes*\n{_bullets(_first(shown['changes'], shown['changes_rest']))}")
        )
        blocks.append(_section(f"*How traffic moves*\n{_bullets(step['words'] for step in shown['steps'])}"))
    blocks.append(_section(f"*What was checked*\n{_gates(shown)}"))
    if shown["notes"]:
        blocks.append(_section(f"*Notes*\n{escaped(shorten(shown['notes'], _NOTES))}"))
    return blocks


def _commit(shown: View) -> str:
    """A link only where `view` made one, of parts that it had checked."""
    where = f" in {escaped(shown['repository'])}" if shown["repository"] else ""
    if shown["commit_url"]:
        return f"<{shown['commit_url']}|{shown['commit']}>{where}"
    return f"{escaped(shown['commit'])}{where}"


def _in_the_readers_zone(iso: str, utc: str) -> str:
    """Slack writes it in each reader's own time zone; the UTC after the bar is for what can't."""
    return f"<!date^{int(moment(iso).timestamp())}^{{date_short_pretty}} {{time}}|{utc}>"


def _gates(shown: View) -> str:
    if shown["all_passed"]:
        names = ", ".join(escaped(gate["name"]) for gate in shown["gates"])
        return f"All {len(shown['gates'])} gates passed: {names}"
    told = [
        f"{escaped(gate['name'])} {gate['words']}" + (f": {escaped(gate['why'])}" if gate["why"] else "")
        for gate in shown["gates"]
    ]
    return _bullets(told) if told else "No gate has reported anything."


def _first(changes: Sequence[str], rest: Sequence[str]) -> list[str]:
    more = len(changes) + len(rest) - _LINES
    told = [escaped(change) for change in changes[:_LINES]]
    return (
        [*told, f"and {more} more, on the page"] if more > 0 else told or ["The plan names no single change."]
    )


def _bullets(texts: Iterable[str]) -> str:
    return "\n".join(f"• {text}" for text in texts)


def _title(what: str, shown: View) -> str:
    return f"{what}: {shown['application']} {shown['tag']} for {shown['stage']}"


def _message(title: str, *blocks: Block) -> Message:
    title = line(title, _HEADER_AT_MOST)
    return {
        "text": escaped(title),
        "mrkdwn": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": title, "emoji": False}},
            *blocks,
        ],
    }


def _section(text: str) -> Block:
    return {"type": "section", "text": _text(text, SECTION_AT_MOST)}


def _context(text: str) -> Block:
    return {"type": "context", "elements": [_text(text, SECTION_AT_MOST)]}


def _text(text: str, limit: int) -> Block:
    return {"type": "mrkdwn", "text": _cut(text, limit), "verbatim": True}


def _cut(text: str, limit: int) -> str:
    """Cut where it hurts nothing: not within an `&lt;` or a `<…>`, which stand in the beginning of a text anyway."""
    if len(text) <= limit:
        return text
    head = text[: limit - 1]
    if "&" in head[-5:] and ";" not in head[head.rfind("&") :]:
        head = head[: head.rfind("&")]
    return head + "…"
