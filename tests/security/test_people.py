"""One person has one vote, however many addresses lead to their mailbox."""

from __future__ import annotations

import pytest

from tagship.approval.identity import CLAIMED, identity_of
from tagship.approval.quorum import is_author, missing, outcome, voters
from tagship.approval.signin.login import _same_mail
from tagship.ledger import approvals, releases
from tagship.ledger.table import Ledger
from tagship.model.documents import DocumentInvalid, read_application
from tagship.model.errors import AlreadyDecided
from tagship.model.people import person
from tests.security.test_slack_buttons import SECRET, FakeSecrets, Workspace, secret
from tests.slack_server import slack
from tests.unit.approval.builders import ANA, BO, CHI, approved, sample, site
from tests.unit.builders import EXECUTION, application, record, sha256
from tests.unit.tables import Clock, ledger_table

ALSO_ANA = "ana+2@example.com"


@pytest.mark.parametrize(
    "address",
    [
        *(ALSO_ANA, "ANA@Example.com", " ana@example.com ", "ana+a+b@example.com", "\uff21na+@example.com"),
        *("ana@example.com.", "ana+2@EXAMPLE.com."),
    ],
)  # fmt: skip
def test_a_plus_address_belongs_to_the_same_mailbox(address):
    assert person(address) == ANA


@pytest.mark.parametrize(
    "address", ["+2@example.com", "anna@example.com", "ana@example.org", "a.na@example.com", ""]
)
def test_other_mailboxes_are_other_people(address):
    assert person(address) != ANA
    assert person(address) == address


@pytest.mark.parametrize(
    "address", ["a.na@gmail.com", "A.N.A+2@Gmail.com", "ana@googlemail.com", "an.a@googlemail.com."]
)
def test_gmail_ignores_dots(address):
    """Google documents this for these two domains only: nobody else can have the address with other dots."""
    assert person(address) == "ana@gmail.com"


@pytest.mark.parametrize(
    "address", ["a.na@mail.gmail.com", "a.na@notgmail.com", "a.na@gmail.co", "a.na@example.com"]
)
def test_elsewhere_a_dot_makes_another_mailbox(address):
    assert person(address) == address


@pytest.mark.parametrize("twin", ["ana@example.com.", "ana@example..com", "ana@.example.com"])
def test_an_address_with_a_malformed_domain_is_invalid(twin):
    with pytest.raises(DocumentInvalid, match="a plain mail address"):
        read_application(application(approval={"approvers": [ANA, twin], "required": 2}))


def test_gmail_dots_do_not_make_a_second_approver():
    twins = ["ana@gmail.com", "a.na@googlemail.com"]
    with pytest.raises(DocumentInvalid, match="one person with one vote"):
        read_application(application(approval={"approvers": twins, "required": 2}))


def test_two_addresses_of_one_person_are_one_voter():
    record = sample(
        approvers=[ANA, ALSO_ANA, BO], required=2, decisions=[approved(ANA, 1), approved(ALSO_ANA, 2)]
    )
    assert voters(record) == [ANA, BO]
    assert missing(record) == [BO]
    assert outcome(record) == "open"


def test_an_author_cannot_approve_with_another_address():
    record = sample(author=ALSO_ANA, approvers=[ANA, BO], required=1, decisions=[approved(ANA, 1)])
    assert is_author(record, ANA)
    assert outcome(record) == "open"


def test_a_policy_that_lists_both_addresses_is_refused_with_a_reason():
    policy = {"approvers": [ANA, BO, ALSO_ANA], "required": 2}
    with pytest.raises(DocumentInvalid) as refused:
        read_application(application(approval=policy))
    assert [str(problem) for problem in refused.value.problems] == [
        f"approval.approvers: contains {ANA} and {ALSO_ANA}, who count as one person with one vote"
    ]


def test_a_slack_press_under_another_address_is_the_same_persons():
    with slack() as here:
        users = {"U0ANA": ALSO_ANA, "U0ANB": ANA}
        work = Workspace(
            site(slack=SECRET, required=2),
            here,
            FakeSecrets(secret(channel=here.url(), users=users)),
        )
        work.press(user="U0ANA")
        work.press(user="U0ANB")
    assert [made["approver"] for made in work.here.record["decisions"]] == [ANA]
    assert work.here.record["status"] == "OPEN"


def test_a_sign_in_with_another_address_of_the_mailbox_is_the_same_person():
    assert _same_mail(ALSO_ANA, ANA.upper())
    assert not _same_mail("anna+ana@example.com", ANA)
    assert not _same_mail("an\u00e1@example.com", "an\u00e1+2@example.com"), (
        "not ASCII: exactly, or not at all"
    )


def test_an_identity_proves_its_mailbox_regardless_of_a_plus_suffix():
    user = f"arn:aws:iam::123456789012:user/{ALSO_ANA}"
    assert identity_of(user, ANA) == user
    assert identity_of(user, CHI).startswith(CLAIMED)


def test_the_ledger_accepts_one_decision_per_person():
    clock = Clock()
    with ledger_table() as client:
        ledger = Ledger(
            client=client, table="ledger", stage="production", now=clock, pause=lambda seconds: None
        )
        releases.claim(ledger, record(manifest=None, objects={}, configuration={}))
        request = sample(
            id="mzxw6ytboi", digest=sha256(b"plan"), approvers=[ANA, ALSO_ANA, BO], execution=EXECUTION
        )
        approvals.request(ledger, request, execution=EXECUTION)  # type: ignore[arg-type]
        decide = {"decision": "approve", "reason": "", "judge": outcome}
        approvals.decide(ledger, "mzxw6ytboi", approver=ANA, **decide)
        with pytest.raises(AlreadyDecided):
            approvals.decide(ledger, "mzxw6ytboi", approver=ALSO_ANA, **decide)
