"""Renders a thread roughly as Slack does, from the messages' own blocks: for a picture, and to inspect messages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape, unescape
from typing import Any

_SIGNS = {
    ":red_circle:": "#dd2e44",
    ":large_green_circle:": "#78b159",
    ":large_yellow_circle:": "#fdcb58",
    ":large_blue_circle:": "#55acee",
}
"""Colours, because not every machine can draw the emoji."""
_STYLE = """
  body { margin: 0; padding: 20px 24px; background: #ffffff; color: #1d1c1d; max-width: 600px;
    font: 15px/1.46 -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; overflow-wrap: anywhere }
  .one { display: grid; grid-template-columns: 36px 1fr; gap: 0 10px; margin-bottom: 18px }
  .face { width: 36px; height: 36px; border-radius: 6px; background: #2f5d93; color: #ffffff; font-weight: 700;
    text-align: center; line-height: 36px }
  .who { font-weight: 700 } .when, .app, .small { color: #616061; font-size: 12px; font-weight: 400 }
  .app { background: #e8e8e8; border-radius: 3px; padding: 1px 4px; margin: 0 4px; font-size: 10px }
  h2 { font-size: 17px; margin: 2px 0 6px } p { margin: 0 0 8px; white-space: pre-line }
  .fields { display: grid; grid-template-columns: 1fr 1fr; gap: 8px; margin-bottom: 8px } .fields p { margin: 0 }
  .sign { display: inline-block; width: 13px; height: 13px; border-radius: 7px; vertical-align: -1px }
  a { color: #1264a3; text-decoration: none }
  .replies { color: #616061; font-size: 13px; border-bottom: 1px solid #dddddd; line-height: 0; margin: 4px 0 22px }
  .replies span { background: #ffffff; padding-right: 10px }
"""


Said = tuple[str, Mapping[str, Any], bool]
"""A message with its time, and whether the channel shows it too."""


def thread(messages: Sequence[Said]) -> str:
    """Renders a thread as a page."""
    first, *others = messages
    parts = [*_message(first), f'<div class="replies"><span>{len(others)} replies</span></div>']
    parts += [line for message in others for line in _message(message)]
    return f'<!doctype html><meta charset="utf-8"><style>{_STYLE}</style>{"".join(parts)}'


def _message(said: Said) -> Iterator[str]:
    at, message, also = said
    yield '<div class="one"><div class="face">T</div><div><div class="who">Tagship<span class="app">APP</span>'
    yield f'<span class="when">{escape(at)}</span></div>'
    for block in message["blocks"]:
        yield from _block(block)
    if also:
        yield '<div class="small">Also sent to the channel</div>'
    yield "</div></div>"


def _block(block: Mapping[str, Any]) -> Iterator[str]:
    match block["type"]:
        case "header":
            yield f"<h2>{escape(block['text']['text'])}</h2>"
        case "section" if "fields" in block:
            yield '<div class="fields">'
            yield from (f"<p>{_marked(field['text'])}</p>" for field in block["fields"])
            yield "</div>"
        case "section":
            yield f"<p>{_marked(block['text']['text'])}</p>"
        case "context":
            yield f'<p class="small">{_marked(block["elements"][0]["text"])}</p>'


def _marked(text: str) -> str:
    """Renders Slack's markup: bold, links, dates in words, emoji. Text that was escaped for Slack is unescaped."""
    found = escape(unescape(text), quote=False)
    found = re.sub(r"&lt;!date[^|]*\|([^&]*)&gt;", r"\1", found)
    found = re.sub(r"&lt;(https://[^|&]*)\|([^&]*)&gt;", r'<a href="\1">\2</a>', found)
    found = re.sub(r"\*([^*\n]+)\*", r"<b>\1</b>", found)
    for name, colour in _SIGNS.items():
        found = found.replace(name, f'<i class="sign" style="background: {colour}"></i>')
    return found
