"""approve and reject: the approval page's rules, with the caller's IAM identity recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.client import BaseClient

from tagship.approval.proof import Notary, Proof
from tagship.ledger import approvals
from tagship.model.errors import AwsUnavailable, TokenDead
from tagship.model.release import Status
from tagship_cli.actions.deciding import Caller, _address
from tagship_cli.place import Place
from tests.unit.tables import aws_error

DEFINITION = json.dumps({"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 60, "End": True}}})
MOTO = "arn:aws:sts::123456789012:user/moto"


@pytest.fixture
def waiting(stage: Any) -> Any:
    """A release that waits for two of ana, bo and chi, on an execution that runs."""
    states = stage.client("stepfunctions")
    machine = states.create_state_machine(
        name="release", definition=DEFINITION, roleArn="arn:aws:iam::123456789012:role/release"
    )["stateMachineArn"]
    execution = states.start_execution(stateMachineArn=machine)["executionArn"]
    return stage.release(execution=execution, notes="new \x1b[31mcheckout").waiting()


def decide(stage: Any, decision: str, *arguments: str, **options: Any) -> Any:
    return stage.run(decision, "storefront", "v1.4.0", *arguments, **options)


def test_an_approval_is_recorded_with_the_identity_and_names_who_is_missing(stage: Any, waiting: Any) -> None:
    result = decide(stage, "approve", "--as", "ana@example.com", "--reason", "fine")
    assert result.exit_code == 0, result.output
    assert result.stdout == (
        "ana@example.com approved storefront v1.4.0.\n"
        "1 of 2 approvals so far. Still waiting for bo@example.com and chi@example.com.\n"
    )
    assert waiting.request["decisions"] == [
        {
            "approver": "ana@example.com",
            "decision": "approve",
            "reason": "fine",
            "at": "2026-11-23T14:05:00.000Z",
            "identity": f"claimed {MOTO}",
        }
    ]
    fact = stage.ledger.facts_of("storefront", "v1.4.0")[-1]
    assert (fact["name"], fact["who"], fact["data"]["identity"]) == (
        "Approval Given",
        "ana@example.com",
        f"claimed {MOTO}",
    )
    assert not waiting.request.get("delivered")


def test_a_met_quorum_resumes_the_execution(stage: Any, waiting: Any) -> None:
    decide(stage, "approve", "--as", "ana@example.com")
    result = decide(stage, "approve", "--as", "bo@example.com")
    assert "All required approvals are given: the deployment starts." in result.stdout
    assert "tagship watch storefront v1.4.0 --stage development" in result.stdout
    assert waiting.request["status"] == "APPROVED"
    assert waiting.request["delivered"] is True


def test_one_rejection_ends_it(stage: Any, waiting: Any) -> None:
    result = decide(stage, "reject", "--as", "chi@example.com", "--reason", "the migration is missing")
    assert result.exit_code == 0
    assert "chi@example.com rejected storefront v1.4.0." in result.stdout
    assert "The release ends here. Nothing was changed." in result.stdout
    assert waiting.request["status"] == "REJECTED"
    assert waiting.request["delivered"] is True


def test_a_rejection_needs_a_reason(stage: Any, waiting: Any) -> None:
    for reason in ((), ("--reason", "  \n ")):
        result = decide(stage, "reject", "--as", "ana@example.com", *reason)
        assert result.exit_code == 2
        assert "Say why you reject it" in result.stderr
    assert waiting.request["decisions"] == []


def test_a_reason_has_the_same_limit_as_on_the_page(stage: Any, waiting: Any) -> None:
    result = decide(stage, "approve", "--as", "ana@example.com", "--reason", "x" * 2001)
    assert result.exit_code == 2
    assert "the limit is 2,000" in result.stderr
    assert waiting.request["decisions"] == []


def test_one_person_has_one_vote_for_all_spellings_of_the_address(stage: Any, waiting: Any) -> None:
    decide(stage, "approve", "--as", "ana@example.com")
    result = decide(stage, "approve", "--as", " ANA@Example.com")
    assert result.exit_code == 0
    assert "ana@example.com had already approved storefront v1.4.0." in result.stdout
    assert len(waiting.request["decisions"]) == 1
    assert json.loads(decide(stage, "approve", "--as", "ana@example.com", "--json").stdout)["again"] is True


def test_a_decision_is_final(stage: Any, waiting: Any) -> None:
    decide(stage, "approve", "--as", "ana@example.com")
    result = decide(stage, "reject", "--as", "ana@example.com", "--reason", "on second thoughts")
    assert result.exit_code == 1
    assert (
        "ana@example.com has already approved storefront v1.4.0, and a decision can't be changed."
        in result.stderr
    )
    assert waiting.request["status"] == "OPEN"


def test_the_author_cannot_decide(stage: Any) -> None:
    made = stage.release(author="Bo@example.com").waiting()
    result = decide(stage, "approve", "--as", "bo@example.com")
    assert result.exit_code == 1
    assert (
        "bo@example.com is the author of storefront v1.4.0, and the author can't decide on it."
        in result.stderr
    )
    assert "These approvers can: ana@example.com and chi@example.com." in result.stderr
    assert made.request["decisions"] == []


def test_a_person_who_is_not_an_approver_cannot_decide(stage: Any, waiting: Any) -> None:
    result = decide(stage, "approve", "--as", "eve@example.com")
    assert result.exit_code == 1
    assert "eve@example.com is not an approver of storefront v1.4.0." in result.stderr
    assert waiting.request["decisions"] == []


def test_an_identity_without_a_name_must_say_who_it_is(stage: Any, waiting: Any) -> None:
    result = decide(stage, "approve")
    assert result.exit_code == 2
    assert (
        f"You are {MOTO}, which contains no mail address. Name your approver address with --as."
        in result.stderr
    )


@pytest.mark.parametrize(
    "arn, address",
    [
        ("arn:aws:sts::1:assumed-role/AWSReservedSSO_Ops_1/ana@example.com", "ana@example.com"),
        ("arn:aws:iam::1:user/people/ana@example.com", "ana@example.com"),
        ("arn:aws:sts::1:assumed-role/Ops/i-0123456789", ""),
        ("arn:aws:iam::1:root", ""),
    ],
)
def test_a_session_named_by_an_address_is_that_approver(
    stage: Any, waiting: Any, monkeypatch: pytest.MonkeyPatch, arn: str, address: str
) -> None:
    monkeypatch.setattr("moto.sts.responses.TokenResponse.get_caller_identity", lambda _: identity(arn))
    result = decide(stage, "approve")
    assert result.exit_code == (0 if address else 2)
    assert [entry["approver"] for entry in waiting.request["decisions"]] == ([address] if address else [])


def identity(arn: str) -> str:
    return (
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
        f"<Arn>{arn}</Arn><UserId>U</UserId><Account>1</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
    )


def test_a_session_with_an_address_cannot_claim_another_person() -> None:
    import click

    caller = Caller(arn="arn:aws:sts::1:assumed-role/Ops/dana@example.com", address="dana@example.com")
    assert _address(caller, "Dana@example.com") == "Dana@example.com"
    with pytest.raises(
        click.UsageError, match=r"signed in as dana@example\.com, so you can't decide as ana@example.com"
    ):
        _address(caller, "ana@example.com")


def test_a_release_that_is_not_waiting_is_reported_with_its_state(stage: Any) -> None:
    made = stage.release().locked()
    result = decide(stage, "approve", "--as", "ana@example.com")
    assert result.exit_code == 1
    assert "storefront v1.4.0 is not waiting for approval yet; its current phase is gates." in result.stderr
    made.gated(failing="tag").ended(Status.INVALID)
    result = decide(stage, "approve", "--as", "ana@example.com")
    assert "storefront v1.4.0 ended INVALID before approval was requested." in result.stderr


def test_an_unknown_release_is_reported(stage: Any) -> None:
    result = decide(stage, "approve", "--as", "ana@example.com")
    assert result.exit_code == 1
    assert "Release storefront v1.4.0 is not in the ledger" in result.stderr
    assert "`tagship history APPLICATION` lists the releases of one." in result.stderr


def test_an_approval_repeated_after_the_end_says_how_the_release_ended(stage: Any) -> None:
    stage.release().succeeded()
    result = decide(stage, "approve", "--as", "ana@example.com")
    assert result.exit_code == 0
    assert "ana@example.com had already approved storefront v1.4.0.\nIt ended SUCCEEDED." in result.stdout
    assert "the deployment starts" not in result.stdout


def test_a_late_decision_is_refused(stage: Any, waiting: Any) -> None:
    stage.clock.pause(5 * 3600)
    result = decide(stage, "approve", "--as", "ana@example.com")
    assert result.exit_code == 1
    assert "storefront v1.4.0: the approval request expired. Nothing was changed." in result.stderr
    assert waiting.request["decisions"] == []


def test_a_request_decided_by_others_is_reported_with_their_names(stage: Any, waiting: Any) -> None:
    decide(stage, "reject", "--as", "bo@example.com", "--reason", "no")
    result = decide(stage, "approve", "--as", "ana@example.com")
    assert result.exit_code == 1
    assert (
        "storefront v1.4.0 is already rejected by bo@example.com, so nobody can decide on it."
        in result.stderr
    )


def test_a_request_closed_at_the_same_moment_is_reported(
    stage: Any, waiting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe = "tagship_cli.actions.deciding.Ballot._refuse_if_dead"
    close = lambda _: approvals.close(stage.ledger, waiting.request["id"], status="SUPERSEDED", why="v1.5.0")  # noqa: E731
    monkeypatch.setattr(describe, close)
    result = decide(stage, "approve", "--as", "ana@example.com")
    assert result.exit_code == 1
    assert "is already superseded, so nobody can decide on it." in result.stderr


def test_a_dead_execution_receives_nothing_and_nothing_is_recorded(stage: Any, waiting: Any) -> None:
    stage.client("stepfunctions").stop_execution(executionArn=waiting.execution)
    result = decide(stage, "approve", "--as", "ana@example.com")
    assert result.exit_code == 1
    assert (
        "is no longer running (ABORTED): the decision would have no effect. Nothing was changed."
        in result.stderr
    )
    assert waiting.request["decisions"] == []


def test_an_execution_between_two_waits_finds_the_decision_later(
    stage: Any, waiting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting.decided("ana@example.com")

    def dead(*_: Any) -> None:
        raise TokenDead("The execution does not wait for this answer now.")

    monkeypatch.setattr("tagship_cli.actions.deciding.deliver", dead)
    result = decide(stage, "approve", "--as", "bo@example.com")
    assert result.exit_code == 0
    assert waiting.request["status"] == "APPROVED"


def test_an_undelivered_decision_is_delivered_by_running_the_command_again(
    stage: Any, waiting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting.decided("ana@example.com")

    def busy(*_: Any) -> None:
        raise AwsUnavailable("Telling the execution: AWS is unavailable just now.")

    with monkeypatch.context() as patched:
        patched.setattr("tagship_cli.actions.deciding.deliver", busy)
        result = decide(stage, "approve", "--as", "bo@example.com")
    assert result.exit_code == 3
    assert "is recorded. Run the same command again to send it to the execution." in result.stderr
    assert waiting.request["status"] == "APPROVED"
    assert not waiting.request.get("delivered")
    assert decide(stage, "approve", "--as", "bo@example.com").exit_code == 0
    assert waiting.request["delivered"] is True


def test_the_result_as_json(stage: Any, waiting: Any) -> None:
    assert json.loads(decide(stage, "approve", "--as", "ana@example.com", "--json").stdout) == {
        "application": "storefront",
        "tag": "v1.4.0",
        "stage": "development",
        "decision": "approve",
        "approver": "ana@example.com",
        "identity": MOTO,
        "proven": False,
        "again": False,
        "status": "OPEN",
        "approvals": 1,
        "required": 2,
        "waitsFor": ["bo@example.com", "chi@example.com"],
    }


@pytest.mark.parametrize("answer, decisions", [("y\n", 1), ("n\n", 0), ("\n", 0)])
def test_on_a_terminal_it_shows_the_decision_and_asks(
    stage: Any, waiting: Any, monkeypatch: pytest.MonkeyPatch, answer: str, decisions: int
) -> None:
    monkeypatch.setattr("tagship_cli.commands.decide._can_ask", lambda: True)
    result = decide(stage, "approve", "--as", "ana@example.com", given=answer)
    assert "storefront v1.4.0 in development, where v1.3.0 is deployed now" in result.stderr
    assert "- the alias live of storefront: version 6 → version 7" in result.stderr
    assert "new ⟨U+001B⟩[31mcheckout" in result.stderr
    assert f"You decide as ana@example.com, {MOTO}." in result.stderr
    assert result.exit_code == (0 if decisions else 1)
    assert len(waiting.request["decisions"]) == decisions


def test_yes_decides_without_asking(stage: Any, waiting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tagship_cli.commands.decide._can_ask", lambda: True)
    assert decide(stage, "approve", "--as", "ana@example.com", "--yes").exit_code == 0
    assert len(waiting.request["decisions"]) == 1


CHOSEN = "arn:aws:sts::123456789012:assumed-role/Developer/ana@example.com"
CENTER = "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Release_0123456789abcdef/ana@example.com"


@pytest.fixture
def in_production(stage: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same stack as another stage: what a command reads of it, with the caller that a test names."""

    def as_caller(arn: str, vouched: str = "") -> Any:
        monkeypatch.setattr(
            "tagship_cli.actions.deciding.whoami", lambda _: Caller(arn=arn, address="ana@example.com")
        )
        monkeypatch.setattr("tagship_cli.place.Place.listed", lambda *_: [vouched] if vouched else [])

    monkeypatch.setattr(stage, "stage", "production")
    return as_caller


def approve_in_production(stage: Any, decision: str = "approve", *more: str) -> Any:
    return decide(stage, decision, "--stage", "production", "--stack", "tagship-development", *more)


def test_a_self_chosen_session_name_cannot_approve_in_production(
    stage: Any, in_production: Any, waiting: Any
) -> None:
    in_production(CHOSEN)
    result = approve_in_production(stage)
    assert result.exit_code == 1
    assert "AWS does not prove that you are ana@example.com" in result.stderr
    assert waiting.request["decisions"] == []


@pytest.mark.parametrize(
    "arn, vouched", [(CENTER, ""), (CHOSEN, "arn:aws:sts::123456789012:assumed-role/Developer/*")]
)
def test_an_identity_proven_by_aws_or_the_stack_can_approve_in_production(
    stage: Any, in_production: Any, waiting: Any, arn: str, vouched: str
) -> None:
    in_production(arn, vouched)
    assert approve_in_production(stage).exit_code == 0
    assert waiting.request["decisions"][0]["identity"] == arn


def test_anybody_can_reject_and_the_identity_is_recorded_as_claimed(
    stage: Any, in_production: Any, waiting: Any
) -> None:
    in_production(CHOSEN)
    assert approve_in_production(stage, "reject", "--reason", "not today").exit_code == 0
    assert waiting.request["decisions"][0]["identity"] == f"claimed {CHOSEN}"


def test_an_approval_stores_its_proof_and_a_rejection_needs_none(stage: Any, waiting: Any) -> None:
    decide(stage, "approve", "--as", "ana@example.com")
    decide(stage, "reject", "--as", "bo@example.com", "--reason", "no")
    entries = {entry["approver"]: entry for entry in waiting.request["decisions"]}
    key = Place(named_stage="development").output("DecisionKeyArn")
    notary = Notary(kms=stage.client("kms"), link_keys={}, decision_key=key, stage="development")
    about = {"approval_id": waiting.request["id"], "digest": waiting.request["digest"]}
    kept = Proof.read(approvals.proof_of(stage.ledger, waiting.request["id"], "ana@example.com"))
    assert notary.vouches(kept, vote=entries["ana@example.com"], **about)
    assert not notary.vouches(kept, vote=entries["ana@example.com"] | {"identity": MOTO}, **about)
    assert approvals.proof_of(stage.ledger, waiting.request["id"], "bo@example.com") == {}


def test_without_permission_for_the_decision_key_nothing_is_approved(
    stage: Any, waiting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = BaseClient._make_api_call

    def refusing(client: Any, name: str, parameters: Any) -> Any:
        if name == "GenerateMac":
            raise aws_error("AccessDeniedException")
        return ask(client, name, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", refusing)
    result = decide(stage, "approve", "--as", "ana@example.com")
    assert result.exit_code == 3
    assert "Proving the approval of storefront v1.4.0. Nothing was changed: AWS refused" in result.stderr
    assert waiting.request["decisions"] == []
