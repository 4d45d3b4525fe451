"""Where a release comes from: what git knows of the commit that is published."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_OWNER_AND_NAME = re.compile(r"(?:^|[/:])([A-Za-z0-9._-]+)/([A-Za-z0-9._-]+?)(?:\.git)?/?$")
_NOREPLY = re.compile(r"(^|[@.+-])no-?reply([@.-]|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The commit, where it lives and who wrote it; what nobody knows is empty."""

    commit: str = ""
    repository: str = ""
    author: str = ""
    warnings: tuple[str, ...] = ()


def from_git(folder: Path, *, commit: str, tag: str) -> Source:
    """What the git repository around this folder says of a commit (the checked-out one if none is named)."""
    full = _git(folder, "rev-parse", "--verify", "--quiet", f"{commit or 'HEAD'}^{{commit}}")
    if not full:
        return Source(commit=commit, repository=_repository(folder))
    return Source(
        commit=full,
        repository=_repository(folder),
        author=_git(folder, "log", "-1", "--format=%aE", full),
        warnings=tuple(_warnings(folder, full, named=bool(commit), tag=tag)),
    )


def origin(folder: Path) -> tuple[str, str]:
    """Where the repository around this folder comes from: its address, and `owner/name`; both empty where nobody knows."""
    return _git(folder, "remote", "get-url", "origin"), _repository(folder)


def is_noreply(address: str) -> bool:
    """An address that stands for a person whom it does not name: nobody could tell that they approve their own release."""
    return bool(_NOREPLY.search(address))


def _repository(folder: Path) -> str:
    match = _OWNER_AND_NAME.search(_git(folder, "remote", "get-url", "origin"))
    return f"{match[1]}/{match[2]}" if match else ""


def _warnings(folder: Path, commit: str, *, named: bool, tag: str) -> list[str]:
    warnings = []
    if not named and _git(folder, "status", "--porcelain", "--untracked-files=no"):
        warnings.append(
            f"The working tree has changes that are not in commit {commit[:7]}; the manifest names only the "
            f"commit."
        )
    tagged = _git(folder, "rev-parse", "--verify", "--quiet", f"refs/tags/{tag}^{{commit}}")
    if tagged and tagged != commit:
        warnings.append(
            f"The git tag {tag} points to {tagged[:7]}, but the release is published from {commit[:7]}."
        )
    return warnings


def _git(folder: Path, *arguments: str) -> str:
    """What git answers, or nothing: where there is no git there are options."""
    git = shutil.which("git")
    if git is None:
        return ""
    done = subprocess.run(  # noqa: S603 (git, with arguments that can't be options: each begins with a fixed word)
        [git, "-C", str(folder), *arguments], capture_output=True, text=True, check=False, timeout=30
    )
    return done.stdout.strip() if done.returncode == 0 else ""
