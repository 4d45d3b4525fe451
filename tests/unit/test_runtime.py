"""What a step writes into its log."""

from __future__ import annotations

import json
import logging

from tagship.runtime import about, logger

HOSTILE = 'v1.4.0\n{"level": "INFO", "message": "done"}\r\x1b[31m\x00'


def test_hostile_text_stays_in_its_field_of_one_line() -> None:
    """Fault 52."""
    about({"application": "storefront", "tag": HOSTILE, "attempt": 1}, "one")
    record = logging.LogRecord("tagship", logging.WARNING, __file__, 1, "Not told: %s", (HOSTILE,), None)
    (formatter,) = {handler.formatter for handler in logger.handlers}
    line = formatter.format(record)
    assert not set("\n\r\x1b\x00") & set(line)
    told = json.loads(line)
    assert (told["tag"], told["message"]) == (HOSTILE, f"Not told: {HOSTILE}")
    assert (told["application"], told["attempt"], told["execution"]) == ("storefront", 1, "one")
