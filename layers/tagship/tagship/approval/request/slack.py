"""The Slack messages of an approval, in blocks: for a channel without any link, for one approver with a personal link.

Slack reads markup in `mrkdwn` text: `<…>` makes links and mentions, so `&`, `<` and `>` of other people's text are
escaped, and `verbatim` keeps Slack from finding names, channels and addresses in the rest. The text on the phone's lock
screen (`text`) is escaped too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tagship.approval import quorum
from tagship.approval.page.form import MAX_REASON
from tagship.approval.page.view import View, view
from tagship.approval.request.mail import LINK
from tagship.model.records import RequestRecord
from tagship.slack.messages import (
    SECTION_AT_MOST,
    Block,
    Message,
    bullets,
    context,
    escaped,
    markup,
    message,
    section,
)
from tagship.text.plain import cut_at_a_line, line
from tagship.text.times import moment
from tagship.text.words import first

_LINES, _WARNINGS, _LINE = 6, 12, 180
_NOTES = 600
_COMMITS = 5
_PEOPLE = 20


def announcement(record: RequestRecord, *, now: datetime, buttons: str = "") -> Message:
    """The message for the team's channel. It has no link, because anybody in the channel could then decide in another's
    name.

    With buttons, only approvers whose Slack account is known can decide; anybody else gets an error. `buttons` is their
    token, empty for a message without buttons.
    """
    shown = view(record, approver="", now=now)
    approvers = ", ".join(first([line(voter) for voter in quorum.voters(record)], _PEOPLE))
    return message(
        _title("Rollout paused" if shown["pause"] else "Approval needed", shown),
        *_about(record, shown),
        *_rules(shown),
        context(
            f"Approvers: {escaped(approvers)}. {_needed(shown)} "
            "Each approver has a personal link, which is not posted here."
        ),
        *(_buttons(record, shown, buttons) if buttons else ()),
    )


def _needed(shown: View) -> str:
    if shown["pause"]:
        return "One answer decides."
    plural = "" if shown["required"] == 1 else "s"
    return f"{shown['required']} approval{plural} needed; one rejection ends it."


def _paused(shown: View) -> list[Block]:
    """The share of the traffic, why it is paused, how the candidate is, and what happens without an answer."""
    pause = shown["pause"]
    if pause is None:
        return []
    share, after = f"{pause['percent']} % of traffic", f"next {pause['next_percent']} %"
    lines = [f"{share} goes to {escaped(shown['tag'])} (step {pause['step']}), {after}"]
    if pause["by"]:
        lines.append(f"Ordered by {escaped(pause['by'])}: {escaped(pause['why'])}")
    lines += [
        f"{escaped(check['name'])} {check['verdict']}"
        + (f": {escaped(check['why'])}" if check["why"] else "")
        for check in pause["checks"]
    ]
    until = f" ({shown['ends']['clock']})" if shown["ends"] else ""
    lines.append(f"Without an answer {pause['then']}{until}")
    return [section(f"*The rollout is paused*\n{bullets(lines)}")]


def invitation(record: RequestRecord, *, link: str, now: datetime, reminder: bool = False) -> Message:
    """For one approver's own conversation, with the link that decides in their name.

    Raises ValueError for a link that is no approval page's address.
    """
    if not LINK.fullmatch(link):
        raise ValueError("the link of a message must be an approval page's own address")
    shown = view(record, approver="", now=now)
    stands = f"{shown['approvals']} of {shown['required']} so far. " if reminder else ""
    return message(
        _title(_wanted(shown, reminder=reminder), shown),
        section(
            f"{stands}*<{link}|Review and decide>*\nThis link is only for you. Opening it decides nothing."
        ),
        *_about(record, shown),
        *_rules(shown),
    )


def _wanted(shown: View, *, reminder: bool) -> str:
    if shown["pause"]:
        return "Rollout paused, your answer is needed"
    return "Reminder: your approval is needed" if reminder else "Your approval is needed"


def _rules(shown: View) -> list[Block]:
    """The rules that still need people, if there are several."""
    if not shown["rules"]:
        return []
    lines = [
        f"{escaped(rule['name'])}: {len(rule['met'])} of {rule['required']}"
        + "".join(f" ({escaped(why)})" for why in rule["why"])
        for rule in shown["rules"]
    ]
    return [section(f"*Each rule must be met*\n{bullets(lines)}")]


def _buttons(record: RequestRecord, shown: View, token: str) -> list[Block]:
    """A field for the reason, and two buttons with the request's id and a token. Both are useless without Slack's
    signature."""
    reason = {
        "type": "input",
        "block_id": "reason",
        "optional": True,
        "label": {
            "type": "plain_text",
            "text": f"Reason (required to {'roll back' if shown['pause'] else 'reject'})",
        },
        "element": {
            "type": "plain_text_input",
            "action_id": "reason",
            "multiline": True,
            "max_length": MAX_REASON,
        },
    }
    words_of = ("Continue", "Roll back") if shown["pause"] else ("Approve", "Reject")
    pair = (("approve", "primary", words_of[0]), ("reject", "danger", words_of[1]))
    elements = [
        {
            "type": "button",
            "action_id": decision,
            "style": style,
            "text": {"type": "plain_text", "text": line(f"{words} {shown['tag']}", 75), "emoji": False},
            "value": f"{record['id']}.{token}",
        }
        for decision, style, words in pair
    ]
    return [reason, {"type": "actions", "block_id": "decision", "elements": elements}]


def _about(record: RequestRecord, shown: View) -> list[Block]:
    """Warnings first, as on the page and in the mail."""
    blocks = _paused(shown)
    if shown["warnings"]:
        blocks.append(
            section(f":warning: *Read this first*\n{bullets(_first(shown['warnings'], _WARNINGS))}")
        )
    kind = "configuration" if shown["is_configuration"] else "release"
    version = (
        f"{shown['from_tag']} → {shown['tag']}" if shown["from_tag"] else f"{shown['tag']}, the first {kind}"
    )
    facts = [("Version", escaped(version)), ("Author", escaped(shown["author"]))]
    if shown["ref"]:
        facts.append(("Git tag", escaped(shown["ref"])))
    if shown["commit"]:
        facts.append(("Commit", _commit(shown)))
    if shown["before"]:
        facts.append(("Attempt", escaped(f"{shown['attempt']}. {shown['before']}")))
    if shown["ends"]:
        facts.append(("Ends", _in_the_readers_zone(record["expiresAt"], shown["ends"]["clock"])))
    blocks.append(
        {"type": "section", "fields": [markup(f"*{name}*\n{value}", 2000) for name, value in facts]}
    )
    if shown["nothing_to_change"]:
        blocks.append(
            section(
                f"*What changes*\nNothing: {escaped(shown['stage'])} already runs the contents of this release."
            )
        )
    else:
        lines = _first([*shown["changes"], *shown["changes_rest"]], _LINES)
        listed = bullets(lines or ([] if shown["changes_above"] else ["The plan lists no changes."]))
        blocks.append(section("\n".join(filter(None, ("*What changes*", listed, shown["changes_above"])))))
        if shown["steps"]:
            how = "How it is rolled out" if shown["at_once"] else "How traffic moves"
            blocks.append(section(f"*{how}*\n{bullets(step['words'] for step in shown['steps'])}"))
    if shown["commits_since"]:
        blocks.append(section(_commits(shown)))
    blocks.append(section(_gates("*What was checked*", shown)))
    if shown["notes"]:
        blocks.append(section(f"*Notes*\n{escaped(cut_at_a_line(shown['notes'], _NOTES))}"))
    return blocks


def _commits(shown: View) -> str:
    """The newest commits, as text; Slack itself collapses long text."""
    head = f"*{escaped(shown['commits_count'])} since {escaped(shown['commits_since'])}*"
    named = [
        f"{escaped(each['subject'])} ({escaped(each['author'])})" for each in shown["commits"][:_COMMITS]
    ]
    host = shown["compare_url"].split("/")[2] if shown["compare_url"] else ""
    link = f"\n<{shown['compare_url']}|Compare on {host}>" if host else ""
    return cut_at_a_line(f"{head}\n{bullets(named)}", _NOTES) + link


def _commit(shown: View) -> str:
    """A link only if `view` made one from checked parts."""
    where = f" in {escaped(shown['repository'])}" if shown["repository"] else ""
    if shown["commit_url"]:
        return f"<{shown['commit_url']}|{shown['commit']}>{where}"
    return f"{escaped(shown['commit'])}{where}"


def _in_the_readers_zone(iso: str, utc: str) -> str:
    """Slack shows the time in each reader's zone; the UTC text after the bar is the fallback."""
    return f"<!date^{int(moment(iso).timestamp())}^{{date_short_pretty}} {{time}}|{utc}>"


def _gates(head: str, shown: View) -> str:
    unused = shown["gates_not_configured"]
    aside = f"\nNot configured: {', '.join(map(escaped, unused))}" if unused else ""
    if shown["all_passed"]:
        names = ", ".join(escaped(gate["name"]) for gate in shown["gates"])
        count = len(shown["gates"])
        return f"{head}\n{count} {'gate' if count == 1 else 'gates'} passed: {names}{aside}"
    lines = [
        f"{escaped(gate['name'])} {gate['words']}" + (f": {escaped(gate['why'])}" if gate["why"] else "")
        for gate in shown["gates"]
    ]
    if not lines:
        return f"{head}\nNo gate has reported a result."
    return f"{head}\n{bullets(_fitting(lines, SECTION_AT_MOST - len(head) - len(aside) - 1))}{aside}"


def _fitting(lines: Sequence[str], room: int) -> list[str]:
    """The first lines of a list, as many as fit into `room` characters, and the number of the others."""
    for kept in range(len(lines), 0, -1):
        more = len(lines) - kept
        found = [*lines[:kept], f"and {more} more, on the page"] if more else list(lines)
        if len(bullets(found)) <= room:
            return found
    return [f"{len(lines)} results, on the page"]


def _first(lines: Sequence[str], most: int) -> list[str]:
    """The first lines, each cut so that the number of the others is not cut from the section's end."""
    shown = [escaped(line(each, _LINE)) for each in lines[:most]]
    more = len(lines) - most
    return [*shown, f"and {more} more, on the page"] if more > 0 else shown


def _title(what: str, shown: View) -> str:
    return f"{what}: {shown['application']} {shown['tag']} for {shown['stage']}"
