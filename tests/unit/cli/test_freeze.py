"""freeze and unfreeze: an operator keeps releases out, sees that they are, and lets them in again."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tagship.ledger import freezes

ANA = "arn:aws:sts::123456789012:user/moto"


def frozen(stage: Any, *more: str, until: str = "PT4H", reason: str = "the sale") -> Any:
    return stage.run("freeze", *(more or ("storefront",)), "--until", until, "--reason", reason)


def ids(stage: Any, scope: str = "storefront") -> list[str]:
    return [each.id for each in freezes.of(stage.ledger, scope)]


def test_a_frozen_application_is_shown_as_frozen(stage: Any) -> None:
    stage.configure()
    result = frozen(stage)
    assert result.exit_code == 0, result.output
    assert "storefront in development is frozen until Mon 23 Nov 2026, 18:05 UTC, in 4 h" in result.stdout
    (freeze_id,) = ids(stage)
    assert f"the sale ({ANA}, id {freeze_id})" in result.stdout
    assert "Lift it early: tagship unfreeze storefront --reason '…' --stage development" in result.stdout
    output = stage.run("status", "storefront").stdout
    assert "frozen      until Mon 23 Nov 2026, 18:05 UTC, in 4 h" in output
    assert f"the sale ({ANA}, id {freeze_id})" in output
    (fact,) = stage.ledger.facts_in_order("storefront")
    assert (fact["name"], fact["who"], fact["data"]["why"]) == ("Frozen", ANA, "the sale")


def test_all_applications_can_be_frozen_at_once(stage: Any) -> None:
    stage.configure()
    result = frozen(stage, "--all", "--from", "2026-12-23", until="2027-01-04T08:00")
    assert (
        "every application in development is frozen from Wed 23 Dec 2026, 00:00 UTC until Mon 4 Jan"
        in result.stdout
    )
    output = stage.run("status", "storefront").stdout
    assert "frozen      from Wed 23 Dec 2026, 00:00 UTC until Mon 4 Jan 2027, 08:00 UTC" in output
    assert "like every application" in output


def test_a_time_without_a_zone_is_local_and_one_with_a_zone_keeps_it(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    stage.configure()
    assert "until Mon 23 Nov 2026, 18:00 CET (17:00 UTC)" in frozen(stage, until="2026-11-23T18:00").stdout
    assert "until Mon 23 Nov 2026, 20:00 CET (19:00 UTC)" in frozen(stage, until="2026-11-23T19:00Z").stdout


def test_a_second_run_does_nothing_and_says_so(stage: Any) -> None:
    stage.configure()
    frozen(stage, until="2026-11-24T18:00")
    stage.clock.pause(60)
    result = frozen(stage, until="2026-11-24T18:00")
    assert result.exit_code == 0
    assert "It is already frozen with this end and reason. Nothing was written." in result.stdout
    assert len(ids(stage)) == 1
    again = stage.run("freeze", "storefront", "--until", "2026-11-24T18:00", "--reason", "the sale", "--json")
    assert json.loads(again.stdout)["new"] is False


@pytest.mark.parametrize(
    "arguments, why",
    [
        (
            ("storefront", "--until", "later", "--reason", "r"),
            "neither a time like 2026-12-24T18:00 nor a duration",
        ),
        (("storefront", "--until", "PT", "--reason", "r"), "neither a time like"),
        (("storefront", "--until", "2026-11-23T14:05", "--reason", "r"), "must be later than now"),
        (
            ("storefront", "--until", "PT1H", "--from", "PT2H", "--reason", "r"),
            "must be later than now and later than --from",
        ),
        (("storefront", "--until", "2062-11-24", "--reason", "r"), "more than 366 days from now"),
        (("storefront", "--until", "P99999999999999D", "--reason", "r"), "neither a time like"),
        (("storefront", "--until", "PT1H", "--reason", " "), "state why"),
        (("storefront", "--until", "PT1H", "--reason", "x" * 501), "at most 500"),
        (("storefront", "--reason", "r"), "Set --until, or set --repeat"),
        (("storefront", "--all", "--until", "PT1H", "--reason", "r"), "Name an application, or use --all"),
        (("--until", "PT1H", "--reason", "r"), "Name an application, or use --all"),
    ],
)
def test_wrong_usage_is_reported_and_nothing_is_frozen(
    stage: Any, arguments: tuple[str, ...], why: str
) -> None:
    stage.configure()
    result = stage.run("freeze", *arguments)
    assert result.exit_code == 2
    assert why in result.stderr
    assert ids(stage) == ids(stage, "*") == []


def test_an_unknown_application_is_not_frozen(stage: Any) -> None:
    stage.configure()
    result = frozen(stage, "storfront")
    assert result.exit_code == 1
    assert "has no application 'storfront'" in result.stderr
    assert "Its applications: storefront." in result.stderr and "Nothing was frozen." in result.stderr


def test_a_freeze_is_lifted_with_a_reason_and_a_second_run_finds_nothing(stage: Any) -> None:
    stage.configure()
    frozen(stage)
    result = stage.run("unfreeze", "storefront", "--reason", "the sale is over")
    assert result.exit_code == 0 and "Lifted: the sale" in result.stdout
    assert ids(stage) == []
    assert "frozen" not in stage.run("status", "storefront").stdout
    again = stage.run("unfreeze", "storefront", "--reason", "the sale is over")
    assert again.exit_code == 0 and "storefront is not frozen in development" in again.stdout
    facts = [(fact["name"], fact["data"]["why"]) for fact in stage.ledger.facts_in_order("storefront")]
    assert facts == [("Frozen", "the sale"), ("Unfrozen", "the sale is over")]


def test_with_several_freezes_one_must_be_named(stage: Any) -> None:
    stage.configure()
    frozen(stage)
    frozen(stage, reason="the audit")
    result = stage.run("unfreeze", "storefront", "--reason", "over")
    assert result.exit_code == 1
    assert "storefront has 2 freezes" in result.stderr and "the audit" in result.stderr
    (audit_freeze,) = [
        each.id for each in freezes.of(stage.ledger, "storefront") if each.reason == "the audit"
    ]
    result = stage.run("unfreeze", "storefront", "--id", audit_freeze, "--reason", "over", "--json")
    assert [each["reason"] for each in json.loads(result.stdout)["lifted"]] == ["the audit"]
    result = stage.run("unfreeze", "storefront", "--id", audit_freeze, "--reason", "over")
    assert result.exit_code == 1 and f"There is no freeze {audit_freeze} of storefront" in result.stderr


def test_a_freeze_of_all_applications_is_lifted_for_all_and_not_for_one(stage: Any) -> None:
    stage.configure()
    frozen(stage, "--all")
    result = stage.run("unfreeze", "storefront", "--reason", "over")
    assert result.exit_code == 1
    assert "every application of development is frozen: the sale" in result.stderr
    assert "tagship unfreeze --all" in result.stderr
    assert len(ids(stage, "*")) == 1
    assert stage.run("unfreeze", "--all", "--reason", "over").exit_code == 0
    assert ids(stage, "*") == []


def test_lifting_an_applications_freeze_mentions_a_remaining_freeze_of_all(stage: Any) -> None:
    stage.configure()
    frozen(stage)
    frozen(stage, "--all", reason="the audit")
    result = stage.run("unfreeze", "storefront", "--reason", "over")
    assert result.exit_code == 0
    assert (
        "It is still frozen, because every application is:" in result.stdout and "the audit" in result.stdout
    )


def test_the_results_as_json(stage: Any) -> None:
    stage.configure()
    result = stage.run("freeze", "storefront", "--until", "PT4H", "--reason", "the sale", "--json")
    made = json.loads(result.stdout)
    assert made == {
        "stage": "development",
        "new": True,
        "id": ids(stage)[0],
        "application": "storefront",
        "reason": "the sale",
        "author": ANA,
        "starts": "2026-11-23T14:05:00.000Z",
        "ends": "2026-11-23T18:05:00.000Z",
    }
    (known,) = json.loads(stage.run("status", "storefront", "--json").stdout)["applications"]
    assert known["freezes"] == [{name: made[name] for name in made if name not in ("stage", "new")}]


def test_a_release_waiting_for_its_window_is_shown_as_waiting(stage: Any) -> None:
    from tagship.ledger import releases

    stage.configure()
    made = stage.release("v1.4.0").waiting().decided("ana@example.com").decided("bo@example.com")
    releases.delay(stage.ledger, made.record, why="It is frozen.", opens="2026-11-23T18:05:00.000Z")
    output = stage.run("status", "storefront").stdout
    assert "v1.4.0 is approved and is waiting for its window" in output
    assert "until Mon 23 Nov 2026, 18:05 UTC, in 4 h" in output
    history = stage.run("history", "storefront", "--tag", "v1.4.0").stdout
    assert "waits until Mon 23 Nov 2026, 18:05 UTC; no traffic moves before then" in history
    assert "It is frozen." in history


# ---- one that comes again -------------------------------------------------------------------------------------------

CHRISTMAS = ("--repeat", "FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=1", "--days", "31", "--reason", "Christmas trade")


def test_a_repeating_freeze_is_shown_with_its_next_ten_occurrences(stage: Any) -> None:
    stage.configure()
    result = stage.run("freeze", "--all", *CHRISTMAS, "--zone", "Europe/Berlin")
    assert result.exit_code == 0, result.output
    assert "frozen from Mon 30 Nov 2026, 23:00 UTC until Thu 31 Dec 2026, 23:00 UTC" in result.stdout
    assert "It repeats (FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=1, Europe/Berlin). The next times:" in result.stdout
    assert len([line for line in result.stdout.splitlines() if " – " in line]) == 10
    assert "2035-11-30 23:00 – 2035-12-31 23:00" in result.stdout
    again = stage.run("freeze", "--all", *CHRISTMAS, "--zone", "Europe/Berlin")
    assert "Nothing was written" in again.stdout
    (fact,) = stage.ledger.facts_in_order("*")
    assert fact["data"]["again"] == "FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=1"
    assert json.loads(stage.run("freeze", "--all", *CHRISTMAS, "--json").stdout)["again"] == CHRISTMAS[1]


def test_a_repeating_freeze_holds_every_year_until_it_is_lifted(stage: Any) -> None:
    stage.configure()
    assert stage.run("freeze", "storefront", *CHRISTMAS).exit_code == 0
    for year in (2026, 2027, 2040):
        at = datetime(year, 12, 24, tzinfo=UTC)
        (standing,) = freezes.standing(replace(stage.ledger, now=lambda at=at: at), "storefront")
        assert standing.covers(at)
        assert not standing.covers(at.replace(month=11))
    assert stage.run("unfreeze", "storefront", "--reason", "no trade").exit_code == 0
    assert list(freezes.of(stage.ledger, "storefront")) == []


@pytest.mark.parametrize(
    "more, said",
    [
        ((), "Set --until, or set --repeat"),
        (("--until", "PT4H", "--repeat", "FREQ=YEARLY"), "Set --until, or set --repeat"),
        (("--repeat", "FREQ=MINUTELY"), "--repeat: must be an iCalendar rule"),
        (("--repeat", "FREQ=DAILY"), "repeats before"),
        (
            ("--repeat", "FREQ=YEARLY", "--zone", "Europe/Nowhere"),
            "--zone: 'Europe/Nowhere' is not a time zone",
        ),
        (("--repeat", "FREQ=YEARLY", "--zone", "../etc/passwd"), "is not a time zone"),
        (("--repeat", "FREQ=YEARLY", "--zone", "localtime"), "is not a time zone"),
        (("--repeat", "FREQ=YEARLY", "--from", "9999-12-31T00:00Z"), "--repeat: begins in a year"),
    ],
)
def test_an_invalid_repetition_is_refused(stage: Any, more: tuple[str, ...], said: str) -> None:
    stage.configure()
    result = stage.run("freeze", "storefront", "--reason", "the sale", *more)
    assert result.exit_code == 2
    assert said in result.output
    assert list(freezes.of(stage.ledger, "storefront")) == []
