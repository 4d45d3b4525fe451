"""A notice in a team's channel on Slack."""

from __future__ import annotations

from tagship.notices.notice import Notice
from tagship.slack.messages import Message, bullets, context, escaped, message, section
from tagship.text.words import count

_SIGNS = {
    "plain": ":large_blue_circle:",
    "good": ":large_green_circle:",
    "wary": ":large_yellow_circle:",
    "bad": ":red_circle:",
}
_MORE = 6


def message_of(notice: Notice) -> Message:
    """In blocks: what happened, why, what serves now, what is needed, and a link to the execution."""
    blocks = [section(f"{_SIGNS[notice.mood.value]} {escaped(notice.text)}")]
    more = [escaped(text) for text in notice.more[:_MORE]]
    if len(notice.more) > _MORE:
        more.append(f"and {count(len(notice.more) - _MORE, 'line')} more")
    if more:
        blocks.append(section(bullets(more)))
    if notice.needed:
        blocks.append(section("*What now*\n" + "\n".join(map(escaped, notice.needed))))
    last = [f"*Serves now:* {escaped(notice.serves)}"] if notice.serves else []
    if notice.look.startswith("https://"):
        last.append(f"<{notice.look}|Look at the execution>")
    if last:
        blocks.append(context("   ".join(last)))
    return message(notice.subject, *blocks)
