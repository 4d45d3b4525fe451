"""A team sees what its approvers will get, for its own document, before anybody gets it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

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


def test_previews_of_an_own_file_say_nothing_that_only_the_sample_has(tmp_path):
    file = written(
        tmp_path,
        **{
            "target.function": "basket-api",
            "target.alias": "prod",
            "approval.approvers": ["eve@example.com", "fay@example.com", "gil@example.com"],
            "strategy": {
                "type": "linear",
                "percent": 25,
                "bake": 240,
            },
            "health.checks": [{"type": "alarm", "names": ["basket-errors"]}],
        },
    )
    result = run(file, "--html", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    written_ = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    for name, text in written_.items():
        for foreign in (
            "storefront",
            "bo@example.com",
            "chi@example.com",
            "Mon-Thu",
            "alias/tagship-release-signing",
        ):
            assert foreign not in text, f"{name}: {foreign}"
    for name in ("page-ask-paused.html", "mail-paused.txt"):
        assert "25 %" in written_[name] and "50 %" in written_[name]
        assert "1 of 4" in written_[name]
    assert "basket-errors" in written_["page-ask-paused.html"]
    assert "The alarm basket-errors is firing now" in written_["page-ask-warnings.html"]
    assert "alias prod of basket-api" in written_["mail-approval.txt"]
    assert "not configured" in written_["page-ask.html"].lower()


def test_an_application_that_moves_all_traffic_at_once_has_no_preview_of_a_pause(tmp_path):
    file = written(tmp_path, strategy={"type": "all-at-once", "bake": 300})
    assert run(file, "--html", str(tmp_path / "out")).exit_code == 0
    assert not [path.name for path in (tmp_path / "out").iterdir() if "paused" in path.name]


@pytest.mark.parametrize(
    "kind, planned",
    [
        ("cloudformation", "tack orders: 3 changes by the change set"),
        ("ecs", "ervice catalog of the cluster shop: catalog:41 → a new revision"),
        ("static-site", "unction website-releases: site 061456db9093a096 → a new one"),
        ("custom", "hop.example.com: storefront-1.example.com → storefront-2.example.com"),
    ],
)
def test_each_kind_of_target_has_its_own_preview_plan(tmp_path, kind, planned):
    example = Path(__file__).parents[3] / "examples" / kind / "application.yaml"
    result = run(str(example), "--html", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    mail = (tmp_path / "out" / "mail-approval.txt").read_text()
    assert planned in mail
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
