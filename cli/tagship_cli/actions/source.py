"""The source of a release: what git knows about the published commit."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tagship.model.release import COMMITS, COMPARE, GIT_TAG, Tag, family_of

_OWNER_AND_NAME = re.compile(r"(?:^|[/:])([A-Za-z0-9._-]+)/([A-Za-z0-9._-]+?)(?:\.git)?/?$")
_NOREPLY = re.compile(r"(^|[@.+-])no-?reply([@.-]|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The commit, its repository and its author; unknown values are empty."""

    commit: str = ""
    repository: str = ""
    author: str = ""
    warnings: tuple[str, ...] = ()


def from_git(folder: Path, *, commit: str, tag: str) -> Source:
    """Reads a commit from the git repository around this folder; the checked-out commit if none is named."""
    full = _git(folder, "rev-parse", "--verify", "--quiet", f"{commit or 'HEAD'}^{{commit}}")
    if not full:
        return Source(commit=commit, repository=_repository(folder))
    return Source(
        commit=full,
        repository=_repository(folder),
        author=_git(folder, "log", "-1", "--format=%aE", full),
        warnings=tuple(_warnings(folder, full, named=bool(commit), tag=tag)),
    )


def changes_since_the_last_tag(
    folder: Path, *, commit: str, tag: str, environment: Mapping[str, str]
) -> dict[str, Any] | None:
    """The commits between the tag before `tag` and this commit, as in a manifest; None if git knows no earlier tag.

    `tag` is the full git tag. In a monorepo, only tags of the same application count, and before a final version no
    pre-releases, which production may never have had. A shallow clone knows none.
    """
    before = _git(folder, "describe", "--tags", "--abbrev=0", *_before(tag), commit)
    if not re.search(GIT_TAG, before):
        return None
    log = _git(
        folder, "log", "-z", f"--max-count={COMMITS}", "--format=%H%x00%s%x00%aN", f"{before}..{commit}", "--"
    )
    parts = log.split("\0")  # git allows every character but this one in a subject and in a name
    commits = [
        {"commit": full, "subject": subject[:200], "author": author[:100]}
        for full, subject, author in zip(parts[::3], parts[1::3], parts[2::3], strict=False)
    ]
    count = _git(folder, "rev-list", "--count", f"{before}..{commit}", "--")
    compare = _compare(folder, before, tag, environment)
    return {
        "since": before,
        "count": int(count) if count.isdecimal() else len(commits),
        "commits": commits,
        **({"compare": compare} if re.fullmatch(COMPARE, compare) else {}),
    }


def _before(tag: str) -> list[str]:
    """The patterns of tags that can be the one before this tag."""
    try:
        family, final = family_of(tag), not Tag.of_git(tag).is_pre_release
    except ValueError:
        family, final = tag, False
    return [
        f"--match={family}[0-9]*",
        f"--exclude={tag}",
        *([f"--exclude={family}[0-9]*-*"] if final else []),
    ]


def _compare(folder: Path, before: str, tag: str, environment: Mapping[str, str]) -> str:
    """The address that compares two tags, from CI's environment or the repository's origin; empty for unknown hosts."""
    span = f"{quote(before, safe='/@~')}...{quote(tag, safe='/@~')}"
    if environment.get("GITHUB_SERVER_URL") and environment.get("GITHUB_REPOSITORY"):
        return f"{environment['GITHUB_SERVER_URL']}/{environment['GITHUB_REPOSITORY']}/compare/{span}"
    if environment.get("CI_PROJECT_URL"):
        return f"{environment['CI_PROJECT_URL']}/-/compare/{span}"
    address, repository = origin(folder)
    for host, path in (("github.com", "compare"), ("gitlab.com", "-/compare")):
        if re.search(rf"(@|//){re.escape(host)}[:/]", address):
            return f"https://{host}/{repository}/{path}/{span}"
    return ""


def origin(folder: Path) -> tuple[str, str]:
    """The origin of the repository around this folder: its address, and `owner/name`; both empty if unknown."""
    return _git(folder, "remote", "get-url", "origin"), _repository(folder)


def is_noreply(address: str) -> bool:
    """Whether the address is a placeholder that hides the person. Tagship could not detect that such a person approves
    their own release."""
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
    """The output of git; empty if git is missing or fails, because options can replace it."""
    git = shutil.which("git")
    if git is None:
        return ""
    done = subprocess.run(  # noqa: S603 (git, with arguments that can't be options: each begins with a fixed word)
        [git, "-C", str(folder), *arguments], capture_output=True, check=False, timeout=30
    )
    return done.stdout.decode(errors="replace").strip(" \r\n") if done.returncode == 0 else ""
