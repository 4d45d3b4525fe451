"""Arguments and files that nobody gives in good faith: each command refuses them in a sentence, and prints nothing raw."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NASTY = "\udcff\x1b[2J\x07\u202egnp\n../*"
"""Not UTF-8, terminal sequences, a right-to-left override, a line break, a path and a pattern."""
NAMED = [
    ["status"],
    ["history"],
    ["show", "{}", "v1.4.0"],
    ["show", "storefront", "{}"],
    ["watch", "{}", "v1.4.0", "--timeout", "1"],
    ["watch", "storefront", "{}", "--timeout", "1"],
    ["history", "storefront", "--tag", "{}"],
    ["history", "storefront", "--author", "{}"],
    ["history", "storefront", "--since", "{}"],
    ["report", "--application", "{}"],
    ["approve", "{}", "v1.4.0", "--as", "ana@example.com"],
    ["approve", "storefront", "v1.4.0", "--as", "{}"],
    ["approve", "storefront", "v1.4.0", "--as", "ana@example.com", "--reason", "{}"],
    ["reject", "storefront", "v1.4.0", "--as", "bo@example.com", "--reason", "{}"],
    ["rollback", "{}", "--reason", "x", "--yes"],
    ["rollback", "storefront", "{}", "--reason", "x", "--yes"],
    ["rollback", "storefront", "--to", "{}", "--reason", "x", "--yes"],
    ["retry", "{}", "v1.4.0", "--reason", "x", "--yes"],
    ["retry", "storefront", "{}", "--reason", "x", "--yes"],
    ["abort", "storefront", "{}", "--reason", "x", "--yes"],
    ["adopt", "{}", "--reason", "x", "--yes"],
    ["freeze", "{}", "--until", "PT1H", "--reason", "x"],
    ["freeze", "storefront", "--until", "{}", "--reason", "x"],
    ["freeze", "storefront", "--until", "PT1H", "--reason", "{}"],
    ["unfreeze", "{}", "--reason", "x"],
    ["unfreeze", "storefront", "--id", "{}", "--reason", "x"],
    ["calendar", "{}"],
    ["groups", "{}"],
    ["retention", "{}"],
    ["audit", "verify", "{}"],
]


def test_no_argument_crashes_a_command_or_reaches_the_terminal_raw(stage: Any) -> None:
    stage.configure()
    stage.release().waiting()
    for words in NAMED:
        arguments = [NASTY if word == "{}" else word for word in words]
        result = stage.run(*arguments, *([] if "{}" in words else [NASTY]))  # raises what a command raises
        assert result.exit_code in (0, 1, 2, 3), words
        assert not {"\x1b", "\x07", "\u202e", "\udcff"} & set(result.output), words


@pytest.mark.parametrize(
    "command",
    [
        ["validate"],
        ["apply"],
        ["role"],
        ["preview", "approval"],
        ["plan", "--application", "storefront", "--artifact", "function={code}", "--file"],
        ["freeze", "--all", "--from-ics"],
        ["conformance", "arn:aws:lambda:eu-central-1:123456789012:function:deployer", "--file"],
        ["publish", "{release}", "--notes-file"],
    ],
    ids=lambda words: words[0],
)
def test_an_endless_or_unreadable_file_is_refused(stage: Any, tmp_path: Path, command: list[str]) -> None:
    stage.configure()
    (tmp_path / "code.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    release = [
        "--application",
        "storefront",
        "--tag",
        "v1.4.0",
        "--artifact",
        f"function={tmp_path}/code.zip",
    ]
    release += ["--commit", "a" * 40, "--repository", "acme/storefront", "--author", "dana@example.com"]
    words = [word.replace("{code}", f"{tmp_path}/code.zip") for word in command if word != "{release}"]
    words[1:1] = release if command[0] == "publish" else []
    (tmp_path / "binary").write_bytes(b"application: \xff")
    for file in ("/dev/zero", "/proc/self/mem", str(tmp_path / "binary")):
        result = stage.run(*words, file)
        assert result.exit_code in (1, 2), result.output


def test_output_to_a_legacy_code_page_or_a_full_disk_is_no_traceback() -> None:
    command = [sys.executable, "-m", "tagship_cli.main", "preview", "approval"]
    legacy = subprocess.run(command, capture_output=True, env={"PYTHONIOENCODING": "latin-1"}, check=False)
    assert (legacy.returncode, legacy.stderr) == (0, b"")
    assert b"\\u2192" in legacy.stdout
    with open("/dev/full", "wb") as full:  # noqa: PTH123 (a device)
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr == b"The output can't be read or written: No space left on device.\n"


def test_a_folder_that_cannot_be_made_and_an_endpoint_that_is_no_url_are_named(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stage.run("preview", "approval", "--html", "/proc/x").stderr.startswith(
        "/proc/x can't be read or written:"
    )

    def nowhere(service: str, region: str | None, profile: str | None) -> Any:
        raise ValueError("Invalid endpoint: nonsense")

    monkeypatch.setattr("tests.unit.cli.conftest.made_client", nowhere)
    result = stage.run("status")
    assert (result.exit_code, result.stderr.split("\n")[0]) == (3, "Invalid endpoint: nonsense.")
    assert "Check AWS_ENDPOINT_URL" in result.stderr
