"""rollback: only what can be rolled back; tests/integration runs the real machine."""

from __future__ import annotations

from typing import Any

from tagship.model.release import Status


def rollback(stage: Any, *options: str) -> Any:
    return stage.run("rollback", "storefront", "--reason", "customers complain", "--yes", *options)


def test_before_the_first_release_there_is_nothing_to_roll_back(stage: Any) -> None:
    result = rollback(stage)
    assert result.exit_code == 1
    assert "No release of storefront is deployed in development" in result.stderr


def test_a_release_without_traffic_is_not_rolled_back_but_can_be_aborted(stage: Any) -> None:
    stage.release("v1.4.0").locked()
    result = rollback(stage)
    assert result.exit_code == 1
    assert "storefront v1.4.0 has moved no traffic yet" in result.stderr
    assert "Nothing was changed." in result.stderr
    assert "tagship abort storefront v1.4.0 --stage development" in result.stderr


def test_the_current_release_is_rolled_back_even_while_another_waits(stage: Any) -> None:
    stage.release("v1.4.0").succeeded()
    stage.release("v1.5.0").waiting()
    result = rollback(stage, "--to", "v1.5.0")
    assert result.exit_code == 1
    assert "storefront v1.4.0 cannot be rolled back to v1.5.0: v1.5.0 ended RUNNING." in result.stderr


def test_a_rollback_without_a_reason_is_a_usage_error(stage: Any) -> None:
    stage.release("v1.4.0").succeeded()
    assert stage.run("rollback", "storefront", "--yes").exit_code == 2
    assert stage.run("rollback", "storefront", "--reason", " ", "--yes").exit_code == 2
    assert stage.ledger.facts_of("storefront", "v1.4.0")[-1]["name"] == "Release Succeeded"


def test_a_reason_that_is_too_long_for_the_ledger_is_refused_and_not_cut(stage: Any) -> None:
    stage.release("v1.4.0").succeeded()
    for command in ("rollback", "abort", "retry", "adopt", "pause", "resume"):
        tag = [] if command == "adopt" else ["v1.4.0"]
        result = stage.run(command, "storefront", *tag, "--reason", "x" * 1001)
        assert result.exit_code == 2, command
        assert (
            "--reason: has 1,001 characters; at most 1,000 are allowed. Nothing was changed." in result.stderr
        )


def test_a_release_whose_rollback_failed_takes_precedence_over_the_current_one(stage: Any) -> None:
    stage.release("v1.4.0").succeeded()
    stage.release("v1.5.0").waiting().ended(Status.ROLLBACK_FAILED, "the alias was moved by hand")
    result = rollback(stage)  # these tests' stage has no rollback machine: the AWS call shows the release
    assert result.exit_code == 3
    assert "no output RollbackStateMachineArn" in result.stderr


def test_a_tag_other_than_the_one_to_roll_back_changes_nothing(stage: Any) -> None:
    stage.release("v1.4.0").succeeded()
    stage.release("v1.5.0").waiting().started().shifted(1).ended(Status.ROLLED_BACK, "unhealthy")
    for options in (["v1.5.0"], ["v1.5.0", "--security", "--to", "v1.4.0"]):
        result = rollback(stage, *options)
        assert result.exit_code == 1
        assert (
            "storefront v1.5.0 is not the release to roll back. The command would roll back v1.4.0, which is SUCCEEDED."
            in result.stderr
        )


def test_an_already_rolled_back_release_can_still_be_blocked(stage: Any) -> None:
    """The machine is asked about it, and not about what production runs now."""
    stage.release("v1.4.0").succeeded()
    stage.release("v1.5.0").waiting().started().shifted(1).ended(Status.ROLLED_BACK, "unhealthy")
    result = rollback(stage, "v1.5.0", "--security")
    assert result.exit_code == 3
    assert "no output RollbackStateMachineArn" in result.stderr
