"""Inspects a Lambda deployment package without running it: what Lambda would refuse, or could not start.

A package comes from somebody else. The size of its directory is limited before it is read, and only the handler's own
source is unpacked.
"""

from __future__ import annotations

import sys
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from tagship.targets.archive import UNREADABLE, plain, shown, unreadable, wrong_names

MOST_UNZIPPED = 250 * 1024 * 1024
"""Lambda's quota for a function and its layers, unzipped, in bytes."""
_SOURCE_BYTES = 1024 * 1024
_ENDINGS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("python", (".py", "/__init__.py", ".pyc", ".so")),
    ("nodejs", (".js", ".mjs", ".cjs")),
    ("ruby", (".rb",)),
)
"""Where each runtime looks for the handler's file. Of other runtimes, only the handler's format is known."""
_UNPACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The compression methods that Lambda can unpack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """The result of an inspection."""

    files: int = 0
    unzipped: int = 0
    problems: tuple[str, ...] = ()
    """Problems as sentences, each with a remedy; empty if there are none."""
    ambiguous: tuple[str, ...] = ()
    """Names that it contains more than once, with different contents. Some build tools write such zips, for example with
    the licences of several libraries."""


def look_into(file: IO[bytes], *, handler: str, runtime: str, layers: Sequence[int] = ()) -> Package:
    """Finds all problems of a package at once.

    `handler` and `runtime` are the function's own; if they are empty, the handler is not checked. `layers` are the zipped
    sizes of its layers, in bytes: all that Lambda says of their size. A handler that is not in the package may be in a
    layer.
    """
    if problem := unreadable(file):
        return Package(problems=(problem,))
    try:
        with zipfile.ZipFile(file) as archive:
            return _judged(archive, handler=handler, runtime=runtime, layers=layers)
    except UNREADABLE as error:
        return Package(
            problems=(f"It cannot be read as a zip file: {plain(str(error))}. Create the zip again.",)
        )


def _judged(archive: zipfile.ZipFile, *, handler: str, runtime: str, layers: Sequence[int]) -> Package:
    files = [entry for entry in archive.infolist() if not entry.is_dir()]
    unzipped = sum(entry.file_size for entry in files)
    problems = [*_names(archive.infolist())]
    if not files:
        problems.append("It is empty. Add the code to it.")
    if unzipped > MOST_UNZIPPED:
        problems.append(
            f"It has {unzipped // 1024**2} MB unzipped; Lambda's limit is {MOST_UNZIPPED // 1024**2} MB. "
            "Remove files from it, or move dependencies into a layer of the function."
        )
    elif unzipped + sum(layers) > MOST_UNZIPPED:
        problems.append(
            f"It has {unzipped // 1024**2} MB unzipped, and the function's layers have at least "
            f"{sum(layers) // 1024**2} MB. Lambda's limit for all of it is {MOST_UNZIPPED // 1024**2} MB. Remove files from "
            "it, or layers from the function."
        )
    if files and handler:
        problems += _handler(archive, files, handler=handler, runtime=runtime, layers=bool(layers))
    ambiguous = _ambiguous(files)
    first = ["bootstrap"] if runtime.startswith("provided") else _wanted(handler, runtime)
    if deciding := [name for name in ambiguous if name in first]:
        problems.append(
            f"It contains {shown(deciding)} more than once, with different contents. AWS does not document which one "
            "Lambda keeps. Delete the old zip before you create it again, and add each file once."
        )
    return Package(files=len(files), unzipped=unzipped, problems=tuple(problems), ambiguous=tuple(ambiguous))


def _ambiguous(files: Sequence[zipfile.ZipInfo]) -> list[str]:
    """The same contents twice are harmless, whichever Lambda keeps."""
    contents: dict[str, set[tuple[int, int]]] = {}
    for file in files:
        contents.setdefault(file.filename.removeprefix("./"), set()).add((file.CRC, file.file_size))
    return [name for name, found in contents.items() if len(found) > 1]


def _names(entries: Sequence[zipfile.ZipInfo]) -> list[str]:
    problems = wrong_names(entries)
    if hidden := [it.filename for it in entries if _mode(it) and not _readable(it)]:
        problems.append(
            f"Lambda cannot read {shown(hidden)}: only the owner has read permission. Run chmod -R a+rX, then "
            "create the zip again."
        )
    if packed := [it.filename for it in entries if it.compress_type not in _UNPACKED]:
        problems.append(
            f"Lambda cannot unpack {shown(packed)}: it is compressed with another method than deflate. Create the zip "
            "with the method deflate."
        )
    return problems


def _handler(
    archive: zipfile.ZipFile, files: Sequence[zipfile.ZipInfo], *, handler: str, runtime: str, layers: bool
) -> list[str]:
    entries = {entry.filename.removeprefix("./"): entry for entry in files}
    if runtime.startswith("provided"):
        return [] if layers else _bootstrap(entries)
    wanted = _wanted(handler, runtime)
    found = [name for name in wanted if name in entries]
    native = wanted and any(name.startswith(wanted[0].removesuffix("py") + "cpython-") for name in entries)
    if not wanted or found or native:
        sources = [entries[name] for name in found if name.endswith(".py") and _known(runtime)]
        return [problem for source in sources for problem in _compiled(archive, source)]
    if layers:  # it may be in a layer
        return []
    folders = {name.partition("/")[0] for name in entries}
    if len(folders) == 1 and (top := folders.pop()) and any(f"{top}/{name}" in entries for name in wanted):
        return [
            (
                f"All its files are in the folder {plain(top)}, but Lambda looks for {wanted[0]} at the top "
                "level. Zip the folder's contents, not the folder."
            )
        ]
    return [
        (
            f"The function's handler is {plain(handler)}, but {wanted[0]} is not in the package. Add that "
            "file, or correct the function's handler."
        )
    ]


def _wanted(handler: str, runtime: str) -> list[str]:
    """The possible names of the handler's file; empty if unknown or outside the package."""
    if handler.startswith("/"):
        return []
    endings = next((ends for language, ends in _ENDINGS if runtime.startswith(language)), ())
    if runtime.startswith("python"):
        module = handler.rpartition(".")[0].replace(".", "/")
    elif runtime.startswith("ruby"):
        module = handler.partition(".")[0]
    else:  # Node.js: what follows the first point of the file's name leads to the function inside the module
        folder, slash, name = handler.rpartition("/")
        file, point, _ = name.partition(".")
        module = f"{folder}{slash}{file}" if point else ""
    return [f"{module}{ending}".removeprefix("./") for ending in endings] if module else []


def _bootstrap(entries: dict[str, zipfile.ZipInfo]) -> list[str]:
    entry = entries.get("bootstrap")
    if entry is None:
        return ["The file bootstrap, which the runtime starts, is missing at the top level. Add it."]
    if _mode(entry) and not _mode(entry) & 0o001:
        return ["The file bootstrap is not executable. Run chmod a+rx bootstrap, then create the zip again."]
    return []


def _compiled(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> list[str]:
    """Compiles the source without running it: a file that does not compile can't start."""
    if entry.file_size > _SOURCE_BYTES or entry.flag_bits & 1 or entry.compress_type not in _UNPACKED:
        return []
    with archive.open(entry) as source:
        text = source.read(_SOURCE_BYTES)  # never more, whatever size the directory claims
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, entry.filename, "exec", dont_inherit=True)
    except SyntaxError as error:
        where = f" in line {error.lineno}" if error.lineno else ""
        return [
            (
                f"{plain(entry.filename)} is not valid Python{where}: {plain(error.msg)}. Fix it, then create the "
                "zip again."
            )
        ]
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        return [
            (
                f"{plain(entry.filename)} is too complex for Python to compile ({type(error).__name__}). Simplify it, "
                "then create the zip again."
            )
        ]
    return []


def _known(runtime: str) -> bool:
    """Whether this Python knows all of that runtime's language."""
    minor = runtime.removeprefix("python3.")
    return minor.isdecimal() and int(minor) <= sys.version_info.minor


def _readable(entry: zipfile.ZipInfo) -> bool:
    """By everyone; a folder must also be open to them."""
    needed = 0o005 if entry.is_dir() else 0o004
    return _mode(entry) & needed == needed


def _mode(entry: zipfile.ZipInfo) -> int:
    """Its permissions; 0 if the packing tool recorded none."""
    return entry.external_attr >> 16 & 0o777 if entry.create_system == 3 else 0
