"""rollback: only what there is something to take back of; the real machine is in tests/integration."""

from __future__ import annotations

from typing import Any

from tagship.model.release import Status


def rollback(stage: Any, *options: str) -> Any:
    return stage.run("rollback", "storefront", "--reason", "customers complain", "--yes", *options)


def test_there_is_nothing_to_take_back_before_the_first_release(stage: Any) -> None:
    result = rollback(stage)
    assert result.exit_code == 1
    assert "No release of storefront is deployed in development" in result.stderr


def test_a_release_that_has_moved_nothing_is_not_rolled_back_but_may_be_stopped(stage: Any) -> None:
    stage.release("v1.4.0").locked()
    result = rollback(stage)
    assert result.exit_code == 1
    assert "storefront v1.4.0 has moved no traffic yet" in result.stderr
    assert "Nothing was changed." in result.stderr
    assert "tagship abort storefront v1.4.0 --stage development" in result.stderr


def test_what_production_runs_is_taken_back_even_while_another_release_waits(stage: Any) -> None:
    stage.release("v1.4.0").succeeded()
    stage.release("v1.5.0").waiting()
    result = rollback(stage, "--to", "v1.5.0")
    assert result.exit_code == 1
    assert "storefront v1.4.0 cannot be rolled back to v1.5.0: v1.5.0 ended RUNNING." in result.stderr


def test_a_rollback_without_a_reason_is_wrong_use(stage: Any) -> None:
    stage.release("v1.4.0").succeeded()
    assert stage.run("rollback", "storefront", "--yes").exit_code == 2
    assert stage.run("rollback", "storefront", "--reason", " ", "--yes").exit_code == 2
    assert stage.ledger.facts_of("storefront", "v1.4.0")[-1]["name"] == "Release Succeeded"


def test_what_a_failed_rollback_holds_comes_before_what_production_runs(stage: Any) -> None:
    stage.release("v1.4.0").succeeded()
    stage.release("v1.5.0").waiting().ended(Status.ROLLBACK_FAILED, "the alias was moved by hand")
    result = rollback(
        stage
    )  # the stage of these tests has no rollback machine: what is asked of AWS tells which release it is
    assert result.exit_code == 3
    assert "no output RollbackStateMachineArn" in result.stderr


def test_a_tag_that_is_not_what_would_be_taken_back_changes_nothing(stage: Any) -> None:
    stage.release("v1.4.0").succeeded()
    stage.release("v1.5.0").waiting().started().shifted(1).ended(Status.ROLLED_BACK, "unhealthy")
    for options in (["v1.5.0"], ["v1.5.0", "--security", "--to", "v1.4.0"]):
        result = rollback(stage, *options)
        assert result.exit_code == 1
        assert (
            "storefront v1.5.0 is not the release to roll back: that is v1.4.0, SUCCEEDED." in result.stderr
        )


def test_what_was_taken_back_before_may_still_be_barred(stage: Any) -> None:
    """The machine is asked about it, and not about what production runs now."""
    stage.release("v1.4.0").succeeded()
    stage.release("v1.5.0").waiting().started().shifted(1).ended(Status.ROLLED_BACK, "unhealthy")
    result = rollback(stage, "v1.5.0", "--security")
    assert result.exit_code == 3
    assert "no output RollbackStateMachineArn" in result.stderr
