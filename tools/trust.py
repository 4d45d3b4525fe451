"""Draws who may assume which role; which functions work on targets is read from the template."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape

TITLE = "Who may assume which role, on which conditions, and what that role may do"
_FUNCTION = re.compile(
    r"^  (\w+)Function:\n    Type: AWS::Serverless::Function\n(.*?)(?=^  \w)", re.MULTILINE | re.DOTALL
)
_LEFT, _MIDDLE, _RIGHT = 24, 420, 720
_BOX, _LINE, _PAD, _GAP = 206, 16, 12, 22
_WIDTH = _RIGHT + _BOX + 24

Lines = Sequence[str]


def working_on_targets(template: str) -> list[str]:
    """The functions that may assume applications' roles, in the order of the template."""
    return [name for name, body in _FUNCTION.findall(template) if "sts:AssumeRole" in body]


def draw(template: str, style: str) -> str:
    """The picture, as it stands in its file."""
    return "\n".join(_svg(_rows(working_on_targets(template)), style)) + "\n"


def _rows(functions: Sequence[str]) -> list[tuple[Lines, Lines, Lines, Lines]]:
    """Who, on which conditions, takes which role, and what it may."""
    return [
        (
            ["A workflow of CI"],
            ["GitHub's token: one repository,", "its tags or one environment"],
            ["The publisher role"],
            ["puts objects below releases/", "<its application>/, signs", "with the key of one alias"],
        ),
        (
            ["EventBridge"],
            ["the service, for this account"],
            ["The upload rule's role"],
            ["starts a release"],
        ),
        (
            ["Step Functions"],
            ["the service, for this account"],
            ["One role a state machine"],
            ["calls that machine's", "functions"],
        ),
        (
            ["Lambda"],
            ["the service"],
            ["One role a function"],
            ["what its step takes;", "nothing on any target"],
        ),
        (
            ["Functions that work on targets:", *functions],
            [
                "its own role is this stack's,",
                "the external id,",
                "the tag Application,",
                "an account of AllowedAccountIds",
            ],
            ["The application's role,", "in the target's account"],
            ["releases one application;", "a session: 900 s, tagged,", "and only what this use takes"],
        ),
    ]


def _svg(rows: Sequence[tuple[Lines, Lines, Lines, Lines]], style: str) -> Iterator[str]:
    heights = [max(len(part) for part in row) * _LINE + 2 * _PAD for row in rows]
    height = 74 + sum(heights) + _GAP * len(rows)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        'role="img" aria-labelledby="title desc">'
    )
    yield f'<title id="title">{TITLE}</title>'
    yield f'<desc id="desc">{escape(_in_words(rows))}</desc>'
    yield f"<style>{style}</style>"
    yield f'<rect class="page" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="8"/>'
    for x, head in ((_LEFT, "who"), (_LEFT + _BOX + 12, "proves"), (_MIDDLE, "to take"), (_RIGHT, "may")):
        yield f'<text class="title" x="{x}" y="36">{head}</text>'
    y = 58.0
    for row, tall in zip(rows, heights, strict=True):
        who, proves, role, may = row
        target = row is rows[-1]
        yield from _box(_LEFT, y, tall, who, "box")
        yield from _arrow(_LEFT + _BOX, _MIDDLE, y + tall / 2, proves)
        yield from _box(_MIDDLE, y, tall, role, "box good" if target else "box choice")
        yield from _arrow(_MIDDLE + _BOX, _RIGHT, y + tall / 2, [])
        yield from _box(_RIGHT, y, tall, may, "box pass")
        y += tall + _GAP
    yield "</svg>"


def _box(x: float, y: float, tall: float, lines: Lines, style: str) -> Iterator[str]:
    yield f'<rect class="{style}" x="{x:g}" y="{y:g}" width="{_BOX}" height="{tall:g}" rx="5"/>'
    top = y + tall / 2 - (len(lines) - 1) * _LINE / 2 + 4.5
    for number, line in enumerate(lines):
        yield f'<text x="{x + _BOX / 2:g}" y="{top + number * _LINE:g}" text-anchor="middle">{escape(line)}</text>'


def _arrow(start: float, end: float, y: float, words: Lines) -> Iterator[str]:
    yield f'<path class="line" d="M{start:g} {y:g}L{end:g} {y:g}"/>'
    yield f'<polygon class="tip" points="{end:g},{y:g} {end - 7:g},{y - 4:g} {end - 7:g},{y + 4:g}"/>'
    top = y - 6 - (len(words) - 1) * 12
    for number, word in enumerate(words):
        yield f'<text class="small" x="{start + 8:g}" y="{top + number * 12:g}">{escape(word)}</text>'


def _in_words(rows: Sequence[tuple[Lines, Lines, Lines, Lines]]) -> str:
    """For those who don't see the picture."""
    return " ".join(
        f"{' '.join(who)} takes: {' '.join(role)}; proves: {' '.join(proves)}; may: {' '.join(may)}."
        for who, proves, role, may in rows
    )
