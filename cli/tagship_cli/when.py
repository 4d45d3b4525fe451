"""A time as a person types it: a day, a time, or how long ago."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import click

_AGO = re.compile(r"(\d{1,5})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class When(click.ParamType[datetime | timedelta]):
    """`2026-11-23`; `2026-11-23T14:05`, with a zone or in the local one; or `12h`, `30d` ago."""

    name = "when"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime | timedelta:
        """Refuses everything else with a usage error."""
        if isinstance(value, datetime | timedelta):
            return value
        if ago := _AGO.fullmatch(value):
            return timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        try:
            moment = datetime.fromisoformat(value)
            return moment if moment.tzinfo else moment.astimezone()
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is neither a day (2026-11-23), a time (2026-11-23T14:05), nor an age (12h, 30d)",
                param,
                ctx,
            )
