"""Checks that every kind runs on an uploaded zip file before it unpacks anything."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import IO

_DIRECTORY_BYTES = 16 * 1024 * 1024
_END = struct.Struct("<4s4H2LH")
_SHOWN = 5
UNREADABLE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    NotImplementedError,
    ValueError,
    OSError,
    EOFError,
)
"""The exceptions that zipfile raises for a file that it can't read."""


def unreadable(file: IO[bytes]) -> str:
    """Why the zip's directory can't be read; empty if it can. Reads only the end of the file, where the directory's
    size is."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 65_557))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        return "It is not a zip file. Package it as a zip."
    entries, length = _END.unpack_from(tail, at)[4:6]
    if entries == 0xFFFF or length > min(_DIRECTORY_BYTES, size):
        return "It has too many files to inspect. Package fewer files."
    return ""


def wrong_names(files: Sequence[zipfile.ZipInfo]) -> list[str]:
    """Files that would be unpacked outside the target folder and files that need a password, in words."""
    outside = [
        it.filename for it in files if it.filename.startswith("/") or ".." in PurePosixPath(it.filename).parts
    ]
    locked = [it.filename for it in files if it.flag_bits & 1]
    problems = []
    if outside:
        problems.append(
            f"It has paths that lead outside the package: {shown(outside)}. Create the zip inside the folder."
        )
    if locked:
        problems.append(f"It is encrypted: {shown(locked)}. Create the zip without a password.")
    return problems


def shown(names: Sequence[str]) -> str:
    """The first few names, and the number of the others."""
    rest = len(names) - _SHOWN
    return ", ".join(map(plain, names[:_SHOWN])) + (f" and {rest} more" if rest > 0 else "")


def plain(text: str) -> str:
    """Cleans text that somebody else wrote, so that it can be part of a sentence."""
    return re.sub(r"[^ -~]", "?", text)[:200].rstrip(".")
