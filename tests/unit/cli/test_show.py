"""tagship show: everything about one release, its page with the path in colour, and every text of it as text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tagship.ledger import jobs, promotions
from tagship.ledger.table import timestamp
from tagship.model.facts import FactKind
from tagship.model.job import Job
from tagship.model.release import Status
from tagship.text.words import console
from tagship_cli.pages.release import release_page
from tagship_cli.views import showing, times
from tagship_cli.views.showing import Machine

STATES = {
    "Begin": {"Type": "Pass", "Parameters": {}, "Next": "Which"},
    "Which": {
        "Type": "Choice",
        "Choices": [{"Variable": "$.a", "StringEquals": "b", "Next": "Good"}],
        "Default": "Bad",
    },
    "Good": {"Type": "Succeed"},
    "Bad": {"Type": "Fail", "Error": "ReleaseInvalid"},
}
HOSTILE = "<script>alert(1)</script>\x1b[31m"


def test_a_release_is_shown_section_by_section(stage: Any) -> None:
    made = stage.release().locked().gated()
    stage.clock.pause(5)
    made.planned().asked()
    stage.clock.pause(60)
    made.decided("ana@example.com", "approve", "looks good").decided("bo@example.com").started().shifted(1)
    stage.clock.pause(60)
    made.checked(1).shifted(2).checked(2).ended(Status.SUCCEEDED, "It serves all traffic.")
    output = stage.run("show", "storefront", "v1.4.0").stdout
    assert "gates       passed  manifest" in output
    assert "decisions   14:06:05  ana@example.com  approve  “looks good”" in output
    assert "traffic     14:06:05  10 %\n              14:07:05  100 %" in output
    assert "health      healthy  candidate: http https://x" in output
    assert re.search(
        r"took +waited for the lock +0 s\n +gates +0 s\n +plan +5 s\n +approval +1 min\n +deployment +1 min",
        output,
    )
    assert "storefront v1.4.0 SUCCEEDED after 2 min 5 s" in output


def test_json_contains_everything_except_tokens(stage: Any) -> None:
    stage.release().succeeded()
    result = stage.run("show", "storefront", "v1.4.0", "--json")
    document = json.loads(result.stdout)
    assert document["status"] == "SUCCEEDED"
    assert [each["approver"] for each in document["approval"]["decisions"]] == [
        "ana@example.com",
        "bo@example.com",
    ]
    assert set(document["phases"]) == {"waited for the lock", "gates", "plan", "approval", "deployment"}
    assert "taskToken" not in result.stdout


def test_github_jobs_are_shown_while_they_wait_with_since_when(stage: Any, tmp_path: Path) -> None:
    stage.release().waiting()
    job = Job(
        id=7,
        run=23,
        installation=11,
        repository="acme/storefront",
        environment="production\x1b[31m",
        ref="v1.4.0",
        commit="1f0c2d9",
        at=timestamp(stage.ledger.now()),
    )
    jobs.opened(stage.ledger, "storefront", job)
    stage.clock.pause(120)
    shown = stage.run("show", "storefront", "v1.4.0", "--html", str(tmp_path / "page.html")).stdout
    words = "environment production⟨U+001B⟩[31m of acme/storefront, run 23, waits since "
    since = f"{times.full(times.moment(job.at))}, 2 min ago"
    assert f"github jobs {words}{since}" in shown
    assert f"{words}{since}" in (tmp_path / "page.html").read_text()
    found = json.loads(stage.run("show", "storefront", "v1.4.0", "--json").stdout)
    assert [each["run"] for each in found["githubJobs"]] == [23]
    jobs.record_answer(stage.ledger, "storefront", job, "approved")
    assert "github jobs" not in stage.run("show", "storefront", "v1.4.0").stdout


@pytest.mark.parametrize(
    "ended, expected",
    [
        (None, "promotion   to production after Tue 24 Nov 2026, 14:00 UTC, if it stays current and healthy"),
        ((FactKind.RELEASE_PROMOTED, {"address": "s3://there/"}), "promotion   promoted  s3://there/"),
        ((FactKind.PROMOTION_REFUSED, {"why": "An alarm fired."}), "promotion   refused  An alarm fired."),
    ],
)
def test_a_promotion_is_shown_with_its_time_and_outcome(stage: Any, ended: Any, expected: str) -> None:
    stage.release().succeeded()
    promotion = promotions.opened(
        stage.ledger,
        {"application": "storefront", "tag": "v1.4.0", "attempt": 1},
        to="production",
        since="2026-11-23T14:00:00.000Z",
        due="2026-11-24T14:00:00.000Z",
    )["Put"]
    stage.ledger.client.put_item(TableName=promotion["TableName"], Item=promotion["Item"])
    if ended:
        (known,) = promotions.open_ones(stage.ledger)
        promotions.end(stage.ledger, known, promotions.fact_of(known, ended[0], data=ended[1]))
    assert expected in stage.run("show", "storefront", "v1.4.0").stdout
    answered = json.loads(stage.run("show", "storefront", "v1.4.0", "--json").stdout)["promotion"]
    assert answered["ended"] == (ended[0] if ended else None)


def test_an_unknown_release_is_a_failure(stage: Any) -> None:
    assert stage.run("show", "storefront", "v9.9.9").exit_code == 1


def test_the_page_is_self_contained_and_escapes_all_text(stage: Any, tmp_path: Path) -> None:
    made = stage.release(notes=HOSTILE).locked().gated(failing="tag", why=HOSTILE, remedy=HOSTILE)
    made.ended(Status.INVALID, HOSTILE)
    file = tmp_path / "release.html"
    assert stage.run("show", "storefront", "v1.4.0", "--html", str(file)).exit_code == 0
    page = file.read_text()
    assert "<script" not in page and "\x1b" not in page
    assert page.count("&lt;script&gt;") >= 4
    assert not re.search(r"src=|<link|url\(|@import", page)
    links = re.findall(r'<a href="([^"]+)">([^<]+)</a>', page)
    assert [words for _, words in links] == ["Open it in the Step Functions console"]
    assert page.count("href=") == 1
    assert links[0][0] == console(str(made.record["execution"]))
    assert "executions/details" not in re.sub(r"<[^>]+>", "", page), "the address is a link, not text"
    assert "The path through the state machine is not available" in page


def test_the_releases_path_is_coloured_and_the_rest_is_not(stage: Any) -> None:
    stage.release().locked().gated(failing="tag").ended(Status.INVALID)
    place = Here(stage)
    found = showing.gather(place, "storefront", "v1.4.0")
    machine = Machine(
        name=HOSTILE, execution="x", states=STATES, start="Begin", entered=("Begin", "Which", "Bad")
    )
    page = release_page(found, [machine], place)
    assert "<script" not in page
    went = re.findall(r'class="(?:box[^"]*went)"', page)
    assert len(went) == 3
    assert len(re.findall(r'<path class="line[^"]*went', page)) == 2
    assert 'class="box good"' in page, "what was not passed stays pale"
    assert page.index("<h2>Gates</h2>") < page.index("<details>") < page.index('class="machine"'), (
        "evidence first"
    )


def test_a_decision_is_shown_with_its_time(stage: Any) -> None:
    made = stage.release().waiting()
    stage.clock.pause(60)
    made.decided("ana@example.com")
    page = release_page(showing.gather(Here(stage), "storefront", "v1.4.0"), [], Here(stage))
    row = page.partition("ana@example.com</th>")[2].partition("</tr>")[0]
    assert "14:0" in row
    assert "2026" in row


class Here:
    """As much of a place as a page needs."""

    stage = "development"
    region_name = "eu-central-1"

    def __init__(self, stage: Any) -> None:
        self.ledger, self.now = stage.ledger, stage.clock.now()


def test_a_rollback_shows_its_traffic_share_falling(stage: Any) -> None:
    made = stage.release().waiting().started().shifted(1)
    stage.clock.pause(30)
    made.checked(1, "unhealthy").going_back().fact("Baseline Restored", {"what": "put back"})
    made.ended(Status.ROLLED_BACK)
    found = showing.gather(Here(stage), "storefront", "v1.4.0")
    assert [percent for _, percent in found.shares] == [10, 0]
    assert [phase.name for phase in found.phases][-2:] == ["deployment", "rollback"]


@pytest.mark.parametrize("answer", ["ExecutionDoesNotExist", "AccessDeniedException"])
def test_an_unreadable_execution_is_left_out(stage: Any, answer: str) -> None:
    from tests.unit.tables import aws_error

    class Forgetful(Here):
        def client(self, service: str) -> Any:
            return self

        def describe_state_machine_for_execution(self, **_: Any) -> Any:
            raise aws_error(answer)

    stage.release()
    assert showing.machines(Forgetful(stage), showing.gather(Here(stage), "storefront", "v1.4.0")) == []
