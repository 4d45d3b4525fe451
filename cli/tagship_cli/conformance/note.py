"""Records the original revision in a file next to the trial, so that the next run can clean up after a killed one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tagship.model.records import Revision


class NotReadable(Exception):
    """The file is not a note, or is of another function or of other settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """The revision to restore, the candidates that may have traffic, and the highest fencing number in use."""

    function: str
    settings: Mapping[str, str]
    serves: Revision
    given: Sequence[Revision]
    fence: int

    def write(self, path: Path) -> None:
        """Replaces the file in one operation, so that it is whole whenever the command is killed."""
        written = path.with_name(f"{path.name}.new")
        written.write_text(json.dumps(asdict(self), indent=2) + "\n")
        written.replace(path)


def path_of(trial: Path) -> Path:
    """The note's path."""
    return trial.with_name(f"{trial.name}.restore.json")


def read(path: Path, *, function: str, settings: Mapping[str, str]) -> Note | None:
    """The note of a run that was killed; None if there is none.

    Raises NotReadable.
    """
    try:
        content = path.read_text()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise NotReadable(f"{path} can't be read: {error}") from error
    try:
        note = Note(**json.loads(content))
    except (ValueError, TypeError) as error:
        raise NotReadable(f"{path} is not a note of this command: {error}") from error
    if (note.function, dict(note.settings)) != (function, dict(settings)):
        raise NotReadable(f"{path} is of {note.function} with other settings")
    return note
