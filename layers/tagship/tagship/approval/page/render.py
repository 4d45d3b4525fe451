"""The page's templates, and its style sheet."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tagship.text.rendering import environment

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **values: object) -> str:
    """Renders one template with these values."""
    return _environment().get_template(template).render(**values)


@cache
def style() -> str:
    """The style sheet, exactly as it appears between `<style>` and `</style>`."""
    return (_TEMPLATES / "page.css").read_text(encoding="utf-8")


@cache
def style_hash() -> str:
    """The hash of the style sheet, for the content security policy. It allows no other style sheet."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(style().encode()).digest()).decode() + "'"


@cache
def _environment() -> Environment:
    from markupsafe import Markup

    return environment(_TEMPLATES, style=Markup(style()))  # noqa: S704 - our own file, and the policy names its hash
