"""`tagship conformance` on a team's function: the example keeps every promise, and each planted fault is named."""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tagship_cli.conformance.cases import CASES
from tagship_cli.conformance.live import CAN
from tagship_cli.main import main
from tagship_cli.place import Place, World
from tests.unit.targets.test_custom_conformance import NAME, NEW, OLD, SPEC, RecordBench

ARN = "arn:aws:lambda:eu-central-1:123456789012:function:storefront-deployer"


class Deployer(RecordBench):
    """The example as a Lambda client; `answers` can replace its responses."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: Callable[[dict[str, Any]], Any] = self.ask
        self.seen: list[str] = []
        self.slow = 0
        """Seconds until it answers."""

    def invoke(self, *, FunctionName: str, InvocationType: str, Payload: str) -> dict[str, Any]:
        event = json.loads(Payload)
        self.at += self.slow
        self.seen.append(event["act"])
        return {"Payload": io.BytesIO(json.dumps(self.answers(event)).encode())}


@pytest.fixture
def deployer(monkeypatch: pytest.MonkeyPatch) -> Deployer:
    made = Deployer()
    monkeypatch.setattr(Place, "client", lambda *_, **__: made)
    return made


@pytest.fixture
def trial(tmp_path: Path) -> Path:
    file = tmp_path / "trial.json"
    pinned = {"bucket": "releases", "key": "release.json", "versionId": "7"}
    file.write_text(json.dumps({"settings": dict(SPEC.settings), "artifacts": {"release": pinned}}))
    return file


def tried(deployer: Deployer, trial: Path, *more: str) -> Result:
    def pause(seconds: float) -> None:
        deployer.at += seconds

    arguments = ["conformance", ARN, "--file", str(trial), *more]
    outside = World(pause=pause, now=lambda: datetime.fromtimestamp(deployer.at, UTC))
    return CliRunner().invoke(main, arguments, obj=outside)


def results(deployer: Deployer, trial: Path) -> dict[str, Any]:
    result = tried(deployer, trial, "--yes", "--json")
    document: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == (0 if document["kept"] else 1)
    return document


def broken(document: Mapping[str, Any]) -> set[str]:
    return {each["act"] for each in document["cases"] if each["result"] == "failed"}


def test_the_example_keeps_every_promise_and_the_record_is_restored(deployer: Deployer, trial: Path) -> None:
    document = results(deployer, trial)
    assert broken(document) == set(), document
    assert [each["name"] for each in document["cases"]] == [case.name for case in CASES]
    asked = {each["name"] for each in document["cases"] if each["result"] == "passed"}
    assert asked == {case.name for case in CASES if case.needs <= CAN}
    assert (document["putBack"], document["serves"], deployer.shares()) == (True, OLD, {OLD: 100})
    assert set(deployer.seen) >= {*deployer.example.ACTS} - {"look_into"}


def test_a_second_run_right_after_the_first_has_larger_fencing_numbers(
    deployer: Deployer, trial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a target that settles at once would refuse each of its moves as late."""
    monkeypatch.setattr(deployer.example, "PROPAGATION_SECONDS", 0)
    for _ in range(2):
        assert broken(results(deployer, trial)) == set()
        deployer.at += 5


def test_it_announces_its_actions_and_does_nothing_without_a_terminal(
    deployer: Deployer, trial: Path
) -> None:
    result = tried(deployer, trial)
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert set(deployer.seen) == {"serving"}


def test_a_person_sees_each_result_and_the_current_revision(deployer: Deployer, trial: Path) -> None:
    result = tried(deployer, trial, "--yes")
    assert result.exit_code == 0, result.output
    assert "passed     A repeated request does not give the share again" in result.stdout
    assert "not tested  A candidate whose answer was lost is made once" in result.stdout
    assert "0 failed" in result.stdout
    assert f"{OLD} serves all traffic, as before." in result.stdout


Fault = Callable[[Deployer, dict[str, Any]], Any]


def ignores_the_fence(deployer: Deployer, event: dict[str, Any]) -> Any:
    """It takes each number for a new one, and each state of the target for its own."""
    deployer.dns.sets = [each for each in deployer.dns.sets if each["Name"] != f"_tagship.{NAME}"]
    if event["act"] == "set_weight":
        event["etag"] = deployer.example.Record(SPEC.settings, dns=deployer.dns, s3=deployer)._read().etag
    return deployer.ask(event)


def plans_by_the_clock(deployer: Deployer, event: dict[str, Any]) -> Any:
    answer = deployer.ask(event)
    if event["act"] == "plan":
        answer["summary"] = [f"planned at request {len(deployer.seen)}"]
    return answer


def knows_every_revision(deployer: Deployer, event: dict[str, Any]) -> Any:
    return {} if event["act"] == "exists" else deployer.ask(event)


def moves_when_it_plans(deployer: Deployer, event: dict[str, Any]) -> Any:
    answer = deployer.ask(event)
    if event["act"] == "plan":
        deployer._point_at(deployer.example.cname(NAME, NEW, 100))
    return answer


def writes_when_it_plans(deployer: Deployer, event: dict[str, Any]) -> Any:
    """Its note, which moves no traffic."""
    if event["act"] == "plan":
        record = deployer.example.Record(SPEC.settings, dns=deployer.dns, s3=deployer)
        record._write(state := record._read(), state.shares, state.fence + 1)
    return deployer.ask(event)


def restores_only_once(deployer: Deployer, event: dict[str, Any]) -> Any:
    if event["act"] == "restore" and deployer.shares() == {OLD: 100}:
        return {"error": {"name": "TargetInvalid", "message": "There is nothing to restore."}}
    return deployer.ask(event)


@pytest.mark.parametrize(
    "fault, acts",
    [
        (ignores_the_fence, {"set_weight"}),
        (plans_by_the_clock, {"plan"}),
        (knows_every_revision, {"exists"}),
        (moves_when_it_plans, {"check, plan, exists, serving"}),
        (writes_when_it_plans, {"check, plan, exists, serving"}),
        (restores_only_once, {"restore"}),
    ],
)
def test_a_broken_guarantee_is_named_with_a_remedy(
    deployer: Deployer, trial: Path, fault: Fault, acts: set[str]
) -> None:
    """Fault 62."""
    deployer.answers = lambda event: fault(deployer, event)
    document = results(deployer, trial)
    assert acts <= broken(document), document
    assert all(each["why"] and each["remedy"] for each in document["cases"] if each["result"] == "failed")


def test_a_slow_response_is_reported(deployer: Deployer, trial: Path) -> None:
    deployer.slow = 9
    document = results(deployer, trial)
    (late,) = [each for each in document["cases"] if each["result"] == "failed"]
    assert "took 9.0 s" in late["why"]


def by_a_person() -> None:
    raise KeyboardInterrupt


def by_its_ci() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("stop", [by_a_person, by_its_ci])
def test_traffic_is_restored_when_it_is_interrupted(
    deployer: Deployer, trial: Path, stop: Callable[[], None]
) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # if no handler is installed, the tests continue

    def stopping(event: dict[str, Any]) -> Any:
        answer = deployer.ask(event)
        if event["act"] == "set_weight" and "error" not in answer:
            deployer.answers = deployer.ask
            stop()
        return answer

    deployer.answers = stopping
    try:
        result = tried(deployer, trial, "--yes")
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
    assert result.exit_code == 1
    assert "guarantees passed" not in result.stdout
    assert deployer.shares() == {OLD: 100}


class Killed(BaseException):
    """Nothing runs after it, so the function is not reached either."""


@pytest.mark.parametrize("share", [1, 100])
def test_traffic_moved_by_a_killed_run_is_restored_by_the_next(
    deployer: Deployer, trial: Path, share: int
) -> None:
    """It would take the candidate for what served before, or find two revisions with traffic."""

    def killed(event: dict[str, Any]) -> Any:
        raise Killed

    def killing(event: dict[str, Any]) -> Any:
        answer = deployer.ask(event)
        if event["act"] == "set_weight" and "error" not in answer and event["percent"] >= share:
            deployer.answers = killed
            raise Killed
        return answer

    deployer.answers = killing
    with pytest.raises(Killed):
        tried(deployer, trial, "--yes")
    assert deployer.shares() != {OLD: 100}
    (left,) = trial.parent.glob("*.restore.json")
    deployer.answers = deployer.ask
    result = tried(deployer, trial, "--yes")
    assert f"An earlier run was killed. Restored {OLD}." in result.stderr
    assert result.exit_code == 0, result.output
    assert f"{OLD} serves all traffic, as before." in result.stdout
    assert deployer.shares() == {OLD: 100}
    assert not left.exists()


def test_the_note_of_another_trial_is_not_overwritten(deployer: Deployer, trial: Path) -> None:
    note = trial.with_name("trial.json.restore.json")
    note.write_text(json.dumps({"function": "other", "settings": {}, "serves": {}, "given": [], "fence": 1}))
    result = tried(deployer, trial, "--yes")
    assert result.exit_code == 1
    assert "is of other with other settings" in result.stderr
    assert (deployer.seen, note.exists()) == ([], True)


def test_a_failed_restore_is_reported_first(deployer: Deployer, trial: Path) -> None:
    error = {"error": {"name": "BaselineMissing", "message": "the old host is gone"}}
    deployer.answers = lambda event: error if event["act"] == "restore" else deployer.ask(event)
    result = tried(deployer, trial, "--yes")
    assert result.exit_code == 1
    assert "could not be restored" in result.stderr
    assert "the old host is gone" in result.stderr
    assert f"{OLD} had all of its traffic" in result.stderr


@pytest.mark.parametrize(
    "written, said",
    [
        ("artifacts: {}", "artifacts has no 'release'"),
        ("settings: {zone: 7}\nartifacts: {release: {bucket: releases}}", "key"),
        ("[", "is not YAML"),
    ],
)
def test_an_invalid_file_invokes_nothing(deployer: Deployer, tmp_path: Path, written: str, said: str) -> None:
    file = tmp_path / "trial.yaml"
    file.write_text(written)
    result = tried(deployer, file, "--yes")
    assert result.exit_code == 1
    assert said in result.stderr
    assert deployer.seen == []


def test_if_nothing_is_deployed_nothing_is_moved(deployer: Deployer, trial: Path) -> None:
    deployer.empty()
    result = tried(deployer, trial, "--yes")
    assert result.exit_code == 1
    assert "nothing serves traffic yet" in result.stderr
    assert set(deployer.seen) == {"serving"}
