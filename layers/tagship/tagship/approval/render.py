"""Templates to text. Jinja2 is imported at the first rendering: a cold start does not wait for it.

Every value that a template prints passes `visible` and, in HTML, is escaped; a template can forget neither.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagship.text import visible

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **values: object) -> str:
    """One template with these values."""
    return _environment().get_template(template).render(**values)


@cache
def style() -> str:
    """The page's one style sheet, as it stands between `<style>` and `</style>`."""
    return (_TEMPLATES / "page.css").read_text(encoding="utf-8")


@cache
def style_hash() -> str:
    """What the content security policy lets pass: this style sheet and no other."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(style().encode()).digest()).decode() + "'"


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
    from markupsafe import Markup

    def harmless(value: Any) -> Any:
        return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=select_autoescape(disabled_extensions=("txt",), default=True),
        undefined=StrictUndefined,
        finalize=harmless,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["style"] = Markup(style())  # noqa: S704 - our own file, and the policy names its hash
    return environment
