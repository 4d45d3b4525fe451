"""Control characters are made visible, colour is for terminals only, and the help is fast and complete."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tagship.model.release import Status
from tagship.text import words
from tagship_cli.main import COMMANDS, HIDDEN, main
from tagship_cli.views import screen

ROOT = Path(__file__).resolve().parents[3]
EVIL = "\x1b]0;owned\x07\x1b[2J\x1b[31m\r\x08\x9b2J\u202e\u2066\x00"
SGR = re.compile(r"\x1b\[[0-9;]*m")


def harmless(text: str) -> bool:
    """No control sequence is left except our own colours."""
    return not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", SGR.sub("", text))


# ---- hostile text --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize(
    "arguments",
    [
        ("history", "storefront"),
        ("history", "storefront", "--tag", "v1.4.0"),
        ("status", "storefront"),
        ("watch", "storefront", "v1.4.0"),
    ],
)
def test_hostile_text_from_the_ledger_is_shown_escaped(
    stage: Any, arguments: tuple[str, ...], color: bool
) -> None:
    """Fault 52."""
    made = stage.release(author=f"dana{EVIL}@example.com", notes=EVIL)
    made.locked().gated(failing="tag", why=EVIL, remedy=EVIL).fact(f"Some{EVIL}Fact", {"why": EVIL})
    made.ended(Status.INVALID, f"It says {EVIL} and ends.")
    output = stage.run(*arguments, color=color).output
    assert harmless(output)
    assert "owned" in output
    assert "\x1b[31m⟨" not in output.replace("\x1b[31m\x1b[1m", "")


def test_in_json_control_characters_are_escaped(stage: Any) -> None:
    stage.release(notes=EVIL).locked().ended(Status.INVALID, EVIL)
    said = stage.run("history", "storefront", "--json").stdout
    assert harmless(said)
    assert json.loads(said)["releases"][0]["why"] == EVIL


@given(st.text())
def test_only_colour_codes_reach_the_terminal(text: str) -> None:
    for paint in (screen.bold, screen.dim, screen.good, screen.bad, screen.wary, screen.clean):
        assert harmless(paint(text))
    assert all(harmless(line) for line in screen.paragraph(text, indent=4))


@given(st.text())
def test_uncleaned_text_is_cleaned_before_it_is_printed(text: str) -> None:
    assert not re.search(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]", screen._harmless(text))
    assert not re.search(r"\x1b(?!\[[0-9;]*m)", screen._harmless(text))


# ---- lines ---------------------------------------------------------------------------------------------------------


def test_a_table_has_columns_and_the_last_one_takes_the_remaining_width(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(screen, "width", lambda: 30)
    rows = [(screen.bold("v1.0.0"), "x" * 60), ("v1.10.0", "short")]
    assert [click.unstyle(line) for line in screen.table(("tag", "why"), rows)] == [
        "tag      why",
        "v1.0.0   " + "x" * 20 + "…",
        "v1.10.0  short",
    ]


def test_a_paragraph_is_wrapped_on_a_terminal_and_addresses_stay_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(screen, "width", lambda: 40)
    address = "https://example.com/a-very-long-address/that-can-be-copied"
    assert screen.paragraph(f"one two three four five six seven {address}", indent=4) == [
        "    one two three four five six seven",
        f"    {address}",
    ]


@pytest.mark.parametrize(
    "items, text", [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_lists_are_joined_as_in_plain_english(items: list[str], text: str) -> None:
    assert words.listed(items) == text


def test_colour_is_used_only_on_terminals_and_if_wanted(stage: Any) -> None:
    stage.release().succeeded()
    assert "\x1b[" in stage.run("history", "storefront", color=True).stdout
    assert "\x1b[" not in stage.run("history", "storefront").stdout
    assert "\x1b[" not in stage.run("history", "storefront", color=True, env={"NO_COLOR": "1"}).stdout


# ---- help ----------------------------------------------------------------------------------------------------------


def commands() -> list[tuple[str, click.Command]]:
    context = click.Context(main)
    found = [(name, main.get_command(context, name)) for name in COMMANDS]
    assert all(command for _, command in found)
    nested = [
        (f"{name} {inner}", group.commands[inner])
        for name, group in found
        if isinstance(group, click.Group)
        for inner in group.commands
    ]
    return [*[(name, command) for name, command in found if command], *nested]


@pytest.mark.parametrize(
    "name, command", commands(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_commands_help_has_an_example(stage: Any, name: str, command: click.Command) -> None:
    output = stage.run(*name.split(), "--help").stdout
    assert f"tagship {name}" in output.split("Example")[1]
    assert command.help
    assert all(option.help for option in command.params if isinstance(option, click.Option))


@pytest.mark.parametrize(
    "name",
    [
        "publish",
        "validate",
        "apply",
        "status",
        "history",
        "watch",
        "approve",
        "reject",
        "rollback",
        "retry",
        "abort",
        "freeze",
        "unfreeze",
        "promote",
        "report",
        "show",
        "replay",
        "audit verify",
        "local up",
        "local down",
    ],
)
def test_every_command_with_a_result_can_print_it_as_json(stage: Any, name: str) -> None:
    assert "--json" in stage.run(*name.split(), "--help").stdout


def test_the_help_lists_the_commands_in_order_without_those_for_developers(stage: Any) -> None:
    output = stage.run("--help").stdout
    names = re.findall(r"^  ([a-z]+) {2,}[A-Z]", output, re.MULTILINE)
    assert names == [name for name in COMMANDS if name not in HIDDEN]
    assert "Exit codes: 0 success, 1 the release or check failed, 2 wrong usage, 3 AWS error." in output


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["publish", "--help"], ["watch", "--help"]])
def test_help_loads_only_what_it_needs(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom tagship_cli.main import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        "print([name for name in ('boto3', 'botocore', 'pydantic', 'yaml', 'jinja2', 'aws_lambda_powertools') "
        "if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'layers/tagship'}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.strip() == "[]"
    assert done.stdout


@pytest.mark.parametrize(
    "typed, offered",
    [
        ("tagship his", ["history"]),
        ("tagship audit ", ["export", "verify"]),
        ("tagship history --stage ", ["development", "staging", "production"]),
        ("tagship history --status ROLL", ["ROLLED_BACK", "ROLLBACK_FAILED"]),
    ],
)
def test_shell_completion_suggests_the_next_words(typed: str, offered: list[str]) -> None:
    words = {
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split(" ")) - 1),
        "_TAGSHIP_COMPLETE": "bash_complete",
    }
    result = CliRunner().invoke(main, prog_name="tagship", env=words)
    assert [each.partition(",")[2].upper() for each in result.stdout.split()] == [
        each.upper() for each in offered
    ]
