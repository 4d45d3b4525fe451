"""Templates to text. Jinja2 is imported when the first environment is made: a cold start does not wait for it.

Every value that a template prints passes `visible` and, in HTML, is escaped; a template can forget neither.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tagship.text.plain import visible

if TYPE_CHECKING:
    from jinja2 import Environment


def environment(templates: Path, **shared: object) -> Environment:
    """For the templates in a folder; all of them know what is `shared`. A `.txt` is not escaped, everything else is."""
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
