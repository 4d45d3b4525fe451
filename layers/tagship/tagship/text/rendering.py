"""Renders templates. Jinja2 is imported with the first environment, so that it does not slow down cold starts.

Every value that a template prints passes through `visible` and, in HTML, is escaped; no template can forget either.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tagship.text.plain import visible

if TYPE_CHECKING:
    from jinja2 import Environment


def environment(templates: Path, **shared: object) -> Environment:
    """For the templates in a folder; `shared` is available in all of them. A `.txt` is not escaped, everything else is."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
    from markupsafe import Markup

    def harmless(value: object) -> object:
        return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    made = Environment(
        loader=FileSystemLoader(templates),
        autoescape=select_autoescape(disabled_extensions=("txt",), default=True),
        undefined=StrictUndefined,
        finalize=harmless,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.globals.update(shared)
    return made
