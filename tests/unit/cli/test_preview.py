"""A team sees what its approvers will get, for its own document, before anybody gets it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tagship.targets import KINDS
from tagship_cli.main import main
from tests.unit.builders import application, changed


def run(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["preview", "approval", *arguments])


def written(folder: Path, **changes: Any) -> str:
    file = folder / "application.yaml"
    file.write_text(yaml.safe_dump(changed(application(application="basket"), changes)))
    return str(file)


def test_all_previews_use_the_teams_own_people_policy_and_traffic(tmp_path):
    file = written(
        tmp_path,
        **{
            "approval.approvers": ["eve@example.com", "fay@example.com"],
            "approval.required": 2,
            "approval.reasonToApprove": True,
            "strategy": {"type": "canary", "percent": 7},
        },
    )
    result = run(file, "--stage", "staging", "--html", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"index.html", "page-ask.html", "page-expired.html", "mail-approval.txt"} <= names
    assert {"mail-escalation.html", "slack-announcement.json", "slack-invitation.json"} <= names
    assert "page-approved.html" not in names, "nobody is approved by two of two without the one who looks"
    page, mail = ((tmp_path / "out" / name).read_text() for name in ("page-ask.html", "mail-approval.txt"))
    for text in (page, mail):
        assert "basket" in text and "fay@example.com" in text and "7 % of the traffic" in text
        assert "bo@example.com" not in text
    assert "Required to approve and to reject" in page
    assert mail.startswith("Subject: Approve basket v1.4.0 for staging?")
    links = (tmp_path / "out" / "index.html").read_text()
    assert all(name in links for name in names - {"index.html"})


@pytest.mark.parametrize("kind", ["cloudformation", "ecs", "static-site", "custom"])
def test_each_kind_of_target_has_its_own_preview_plan(tmp_path, kind):
    example = Path(__file__).parents[3] / "examples" / kind / "application.yaml"
    result = run(str(example), "--html", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    mail = (tmp_path / "out" / "mail-approval.txt").read_text()
    assert KINDS[kind].planned[0].removeprefix("the ") in mail
    assert "Alias live" not in mail


def test_a_single_approver_has_no_previews_that_need_a_second(tmp_path):
    file = written(tmp_path, **{"approval.approvers": ["eve@example.com"]})
    result = run(file, "--html", str(tmp_path / "out"), "--json")
    files = {Path(name).name for name in json.loads(result.output)["files"]}
    assert {"page-ask.html", "page-recorded-approved.html"} <= files
    assert not {"page-approved.html", "page-rejected.html", "page-recorded-waiting.html"} & files


def test_without_a_folder_the_mail_and_the_message_are_printed():
    result = run("--json")
    shown = json.loads(result.output)
    assert shown["mail"]["subject"] == "Approve storefront v1.4.0 for production?"
    assert shown["slack"]["unfurl_links"] is False
    assert "Review and decide:" in run().output


def test_an_invalid_document_is_referred_to_validate(tmp_path):
    result = run(written(tmp_path, **{"approval.approvers": []}))
    assert result.exit_code == 1
    assert "tagship validate" in result.output
