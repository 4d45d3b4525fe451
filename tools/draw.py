"""Draws both state machines from their definitions, so that the pictures are always correct.

.venv/bin/python -m tools.draw            write docs/images/release.svg and rollback.svg
.venv/bin/python -m tools.draw --check    only say whether they are current
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

import yaml

from tagship_cli.views.layout import MARGIN, Body, Drawing, lay_out
from tagship_cli.views.picture import in_words, line, picture

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "images"
TITLES = {
    "release": "The release state machine, drawn from statemachine/release.asl.yaml",
    "rollback": "The rollback state machine, drawn from statemachine/rollback.asl.yaml",
}


def draw(machine: str) -> str:
    """The picture of a machine, from its definition file."""
    definition: Body = yaml.safe_load((ROOT / "statemachine" / f"{machine}.asl.yaml").read_text("utf-8"))
    return "\n".join(_svg(machine, lay_out(definition["States"], definition["StartAt"]))) + "\n"


# ---- style ---------------------------------------------------------------------------------------------------------

_STYLE = """
  .page { fill: #ffffff; stroke: #d0d7de }
  text { font-family: -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; font-size: 13px; fill: #1f2328 }
  .title { font-size: 15px; font-weight: 600 }
  .small { font-size: 10.5px; fill: #59636e }
  .word { font-size: 10px; fill: #424a53; stroke: #ffffff; stroke-width: 3px; paint-order: stroke }
  .box { fill: #eef4fb; stroke: #54749c; stroke-width: 1.2 }
  .choice { fill: #fff8e5; stroke: #9a7a1c }
  .pass { fill: #f6f8fa; stroke: #818b98 }
  .good { fill: #e3f5e6; stroke: #2c7a3d }
  .bad { fill: #fdebea; stroke: #b3372f }
  .line { fill: none; stroke: #6e7781; stroke-width: 1.2 }
  .spine { stroke: #2f5d93; stroke-width: 2 }
  .fails { stroke: #c2554d; stroke-dasharray: 5 3 }
  .tip { fill: #6e7781 }
  .tip.spine { fill: #2f5d93; stroke: none }
  .tip.fails { fill: #c2554d; stroke: none }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; stroke: #30363d }
    text { fill: #e6edf3 }
    .small { fill: #9198a1 }
    .word { fill: #c9d1d9; stroke: #0d1117 }
    .box { fill: #14243a; stroke: #6ea0dc }
    .choice { fill: #2b2410; stroke: #c9a53a }
    .pass { fill: #1b2129; stroke: #6e7781 }
    .good { fill: #12301a; stroke: #4cb563 }
    .bad { fill: #381513; stroke: #e5736b }
    .line { stroke: #848d97 }
    .spine { stroke: #6ea0dc }
    .fails { stroke: #e5736b }
    .tip { fill: #848d97 }
    .tip.spine { fill: #6ea0dc }
    .tip.fails { fill: #e5736b }
  }
"""


def _svg(machine: str, drawing: Drawing) -> Iterator[str]:
    width, height = (round(number) for number in drawing.size)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-labelledby="title desc">'
    )
    yield f'<title id="title">{escape(TITLES[machine])}</title>'
    yield f'<desc id="desc">{escape(in_words(drawing))}</desc>'
    yield f"<style>{_STYLE}</style>"
    yield f'<rect class="page" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>'
    yield f'<text class="title" x="{MARGIN}" y="32">{escape(machine)}.asl.yaml</text>'
    yield from picture(drawing)
    yield from _legend(height)
    yield "</svg>"


def _legend(height: float) -> Iterator[str]:
    y, x = height - 24, float(MARGIN)
    for style, words in (
        ("line spine", "the way of a good one"),
        ("line", "another answer"),
        ("line fails", "a failure: any, or those that are named"),
    ):
        yield line(style, [(x, y), (x + 30, y)])
        yield f'<text class="small" x="{x + 37:g}" y="{y + 4:g}">{words}</text>'
        x += 37 + len(words) * 5.4 + 24


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the pictures, or reports which ones are not current."""
    parser = argparse.ArgumentParser(prog="python -m tools.draw", description="Draw the pictures.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail when a picture is not current"
    )
    check = parser.parse_args(arguments).check
    stale = 0
    for machine in TITLES:
        file, picture = PICTURES / f"{machine}.svg", draw(machine)
        current = file.is_file() and file.read_text("utf-8") == picture
        if not current and check:
            print(
                f"{file.relative_to(ROOT)} is not current. Draw it anew: .venv/bin/python -m tools.draw",
                file=sys.stderr,
            )
            stale = 1
        elif not current:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(picture, "utf-8")
            print(f"{file.relative_to(ROOT)} was drawn")
    return stale


if __name__ == "__main__":
    sys.exit(main())
