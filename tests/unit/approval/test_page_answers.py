"""Each request to the page, and its one answer."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tagship.approval.errors import TooManyRequests
from tagship.approval.page.form import MAX_BODY
from tagship.model.errors import AlreadyDecided, ApprovalClosed, ApprovalExpired, AwsUnavailable, TokenDead
from tests.unit.approval.builders import (
    ANA,
    BO,
    CHI,
    NOW,
    Browser,
    approved,
    link,
    rejected,
    sample,
    site,
    text_of,
)


def test_an_approval_is_recorded_and_the_missing_ones_are_named():
    here = site()
    page = Browser(here).decide("approve", "Looks right.")
    assert page.status == 200
    assert here.record["decisions"] == [
        {"approver": ANA, "decision": "approve", "reason": "Looks right.", "at": NOW.isoformat()}
    ]
    assert "Your approval is recorded" in page.body
    assert "needs 1 more approval before Mon 23 Nov 2026, 14:00 UTC" in text_of(page.body)
    assert here.deliver.delivered == []


def test_the_last_approval_resumes_the_release():
    here = site(decisions=[approved(BO, 8)])
    page = Browser(here).decide("approve")
    assert page.status == 200
    assert here.record["status"] == "APPROVED"
    assert here.deliver.delivered == [here.record["id"]]
    assert "starts the deployment" in text_of(page.body)


def test_a_rejection_ends_the_release_immediately():
    here = site()
    page = Browser(here).decide("reject", "The basket is broken.")
    assert page.status == 200
    assert here.record["status"] == "REJECTED"
    assert here.deliver.delivered == [here.record["id"]]
    assert "Your rejection is recorded" in page.body


@pytest.mark.parametrize("reason", ["", "   ", "\r\n\t "])
def test_a_rejection_requires_a_reason_and_the_form_says_so(reason):
    here = site()
    page = Browser(here).decide("reject", reason)
    assert page.status == 400
    assert "Say why you reject it" in page.body
    assert 'aria-invalid="true"' in page.body
    assert here.store.writes == 0


@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_a_reason_that_is_too_long_is_refused_and_not_cut(decision):
    here = site()
    page = Browser(here).decide(decision, "x" * 2001)
    assert page.status == 400
    assert "2,001 characters" in page.body
    assert here.store.writes == 0


def test_a_line_break_in_a_reason_of_maximum_length_counts_as_one_character():
    here = site()
    assert Browser(here).decide("reject", "\r\n".join(["x" * 999] * 2) + "y").status == 200
    assert len(here.record["decisions"][0]["reason"]) == 2000


def test_the_entered_text_is_kept_when_the_form_is_shown_again():
    page = Browser(site()).decide("approve", "<b>" + "x" * 2000)
    assert "\n&lt;b&gt;xxx" in page.body


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_get_changes_nothing(method):
    """Fault 15."""
    here = site()
    page = Browser(here).open(method)
    assert page.status == 200
    assert (page.body == "") == (method == "HEAD")
    assert (here.store.writes, here.store.refusals, here.deliver.delivered) == (0, [], [])


def test_a_double_click_is_one_decision_with_the_same_answer():
    """Fault 16."""
    here = site()
    ana = Browser(here)
    first, second = ana.decide(), ana.send()
    assert (first.status, second.status) == (200, 200)
    assert first.body == second.body
    assert here.store.writes == 1


def test_the_second_of_two_concurrent_clicks_gets_the_same_answer():
    """Fault 16, when the first is written between the second's reading and writing."""
    here = site()
    ana = Browser(here)
    ana.open()
    here.store.before_decide = ana.send
    page = ana.send()
    assert page.status == 200
    assert "Your approval is recorded" in page.body
    assert here.store.writes == 1


def test_a_decision_is_final():
    here = site()
    ana = Browser(here)
    ana.decide("approve")
    page = ana.send("reject", "I was wrong.")
    assert page.status == 409
    assert "You have already decided" in page.body
    assert [made["decision"] for made in here.record["decisions"]] == ["approve"]


def test_of_concurrent_approve_and_reject_the_first_counts_and_the_page_shows_it():
    """Fault 17."""
    here = site(required=1)
    ana, bo = Browser(here, ANA), Browser(here, BO)
    ana.open(), bo.open()
    here.store.before_decide = lambda: bo.send("reject", "Not today.")
    page = ana.send("approve")
    assert page.status == 409
    assert "This release was rejected" in page.body
    assert "bo@example.com rejected" in text_of(page.body)
    assert here.record["status"] == "REJECTED"
    assert here.store.writes == 1


@pytest.mark.parametrize(
    "status, answer, says",
    [
        ("SUPERSEDED", 409, "A newer release replaced this one"),
        ("OUTDATED", 409, "This release is planned again"),
        ("CLOSED", 409, "This request is closed"),
        ("EXPIRED", 410, "This approval request has expired"),
    ],
)
def test_a_decision_for_a_request_that_just_ended_is_reported(status, answer, says):
    here = site()
    ana = Browser(here)
    ana.open()
    here.store.before_decide = lambda: here.store.put(here.record | {"status": status})
    page = ana.send("approve")
    assert page.status == answer
    assert says in page.body
    assert here.store.writes == 0


@pytest.mark.parametrize(
    "error, answer", [(ApprovalExpired, 410), (ApprovalClosed, 409), (AlreadyDecided, 409)]
)
def test_the_ledgers_clock_decides_if_clocks_differ(error, answer):
    here = site()
    ana = Browser(here)
    ana.open()

    def refuse():
        raise error("says the ledger")

    here.store.before_decide = refuse
    assert ana.send("approve").status == answer
    assert here.store.writes == 0


def test_a_stale_page_is_refused_and_shown_again_with_the_entered_text():
    here = site()
    ana, bo = Browser(here, ANA), Browser(here, BO)
    ana.open()
    bo.decide()
    page = ana.send("approve", "Fine.")
    assert page.status == 409
    assert "Something has changed since you opened this page" in page.body
    assert "Fine." in page.body
    assert here.store.writes == 1
    assert ana.decide("approve").status == 200


@pytest.mark.parametrize("field", ["digest", "plan", "warnings", "gates", "notes", "changes"])
def test_a_page_is_stale_if_anything_it_showed_has_changed(field):
    here = site()
    ana = Browser(here)
    ana.open()
    token = link(here.record | {"digest": "0" * 64})
    changed = {"digest": "0" * 64, "plan": {}, "warnings": ["An alarm is firing now."], "changes": None}
    here.store.put(here.record | {field: changed.get(field, [])})
    ana.token = token if field == "digest" else ana.token
    assert ana.send().status == 409
    assert here.store.writes == 0


def test_a_reminder_does_not_make_a_page_stale():
    here = site()
    ana = Browser(here)
    ana.open()
    here.store.put(here.record | {"askedAt": "2026-11-23T11:00:00Z", "delivered": False, "sent": {}})
    assert ana.send().status == 200


@pytest.mark.parametrize(
    "changes, answer, says",
    [
        (
            {"status": "APPROVED", "decisions": [approved(BO, 1), approved(CHI, 2)]},
            409,
            "This release is approved",
        ),
        (
            {"status": "REJECTED", "decisions": [rejected(BO, 1, reason="no")]},
            409,
            "This release was rejected",
        ),
        ({"status": "SUPERSEDED", "closedBy": "Superseded by v2."}, 409, "Superseded by v2."),
        ({"status": "CLOSED", "closedBy": "Stopped by ops."}, 409, "Stopped by ops."),
        ({"status": "A-NEW-ONE"}, 409, "This request is closed"),
        ({"status": "EXPIRED"}, 410, "This approval request has expired"),
        ({"expiresAt": NOW.isoformat()}, 410, "This approval request has expired"),
        ({"decisions": [approved(BO, 1), approved(CHI, 2)]}, 409, "This release is approved"),
    ],
)
def test_a_request_that_can_no_longer_be_decided_has_a_calm_page(changes, answer, says):
    here = site(**changes)
    ana = Browser(here)
    seen = ana.open()
    ana.form = "0" * 64
    sent = ana.send("approve")
    assert (seen.status, sent.status) == (answer, answer)
    assert says in seen.body
    assert says in sent.body
    assert "<form" not in seen.body
    assert here.store.writes == 0


def test_the_page_shows_who_decided_what_and_why():
    page = Browser(site(status="REJECTED", decisions=[rejected(BO, 9, reason="Broken basket.")])).open()
    text = text_of(page.body)
    assert "bo@example.com rejected, Mon 23 Nov 2026, 10:09 UTC Broken basket." in text
    assert "chi@example.com did not decide" in text


def test_the_author_can_view_but_not_decide():
    """Fault 20."""
    here = site(author=" Ana@Example.com", required=1)
    ana = Browser(here)
    page = ana.open()
    assert page.status == 200
    assert "<form" not in page.body
    ana.form = "0" * 64
    page = ana.send("approve")
    assert page.status == 403
    assert "your own approval does not count" in page.body
    assert here.store.writes == 0
    assert here.store.refusals == [(here.record["id"], "the author's own release", "192.0.2.7")]


def test_the_author_can_decide_if_configured():
    here = site(author=ANA, required=1, authorMayApprove=True)
    assert Browser(here).decide().status == 200
    assert here.record["status"] == "APPROVED"


def test_the_next_click_resumes_a_release_after_a_crash():
    """Fault 23."""
    here = site(required=1)
    here.deliver.raises = RuntimeError("the process dies")
    ana = Browser(here)
    with pytest.raises(RuntimeError):
        ana.decide()
    assert (here.record["status"], here.deliver.delivered) == ("APPROVED", [])
    here.deliver.raises = None
    page = ana.send()
    assert page.status == 200
    assert here.deliver.delivered == [here.record["id"]]
    assert here.store.writes == 1


def test_another_approvers_click_resumes_it_too():
    """Fault 23."""
    here = site(status="APPROVED", decisions=[approved(BO, 1), approved(CHI, 2)])
    ana = Browser(here, form="0" * 64)
    page = ana.send()
    assert page.status == 409
    assert here.deliver.delivered == [here.record["id"]]


def test_an_undelivered_decision_can_be_delivered_again_from_the_page():
    here = site(required=1)
    here.deliver.raises = AwsUnavailable("throttled")
    ana = Browser(here)
    page = ana.decide()
    assert page.status == 503
    assert page.headers["Retry-After"] == "10"
    assert "Try again" in page.body
    here.deliver.raises = None
    assert ana.send().status == 200
    assert here.deliver.delivered == [here.record["id"]]


def test_a_dead_token_is_reported_and_nothing_is_recorded():
    """Fault 22."""
    here = site(required=1)
    here.waits = lambda request: request["id"] != here.record["id"]
    page = Browser(here).decide()
    assert page.status == 409
    assert "had ended before you decided. Nothing was recorded" in text_of(page.body)
    assert here.store.writes == 0


def test_a_token_that_dies_at_the_last_moment_is_reported():
    """Fault 22."""
    here = site(required=1)
    here.waits = lambda _: True
    here.deliver.raises = TokenDead("gone")
    page = Browser(here).decide()
    assert page.status == 409
    assert "was not waiting for it" in text_of(page.body)


def test_a_second_click_succeeds_although_the_first_used_the_token():
    here = site(required=1)
    ana = Browser(here)
    ana.decide()
    here.deliver.raises = TokenDead("used")
    page = ana.send()
    assert page.status == 200
    assert "Your approval is recorded" in page.body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"decision=approve",
        b"decision=perhaps&form=" + b"0" * 64,
        b"decision=APPROVE&form=" + b"0" * 64,
        b"decision=approve&form=",
        b"decision=approve&form=" + b"0" * 63,
        b"decision=approve&form=" + b"G" * 64,
        b"decision=approve&decision=reject&form=" + b"0" * 64,
        b"decision=approve&form=" + b"0" * 64 + b"&form=" + b"0" * 64,
        b"decision=approve&approver=bo&form=" + b"0" * 64,
        b"decision=approve&form=" + b"0" * 64 + b"&reason=%ff%fe",
        b"decision=approve&form=" + b"0" * 64 + b"&reason=\xc3\xa4",
        b"decision=approve;form=" + b"0" * 64,
        b'{"decision": "approve"}',
        b"&".join(b"x%d=1" % n for n in range(1000)),
        b"\x00" * 100,
    ],
)
def test_a_body_that_the_form_would_not_send_is_malformed(body):
    here = site()
    page = Browser(here).post(body)
    assert page.status == 400
    assert "Nothing was recorded" in page.body
    assert here.store.writes == 0


@pytest.mark.parametrize(
    "more", [b"&reason", b"&", b"&reason=%ff", b"&more=1", b"&reason=a&reason=b", b"&reason=\xff"]
)
def test_a_good_form_with_trailing_data_is_malformed(more):
    here = site()
    ana = Browser(here)
    ana.open()
    good = f"decision=approve&number={ana.number}&form={ana.form}".encode()
    assert ana.post(good + more).status == 400
    assert here.store.writes == 0
    assert ana.post(good).status == 200


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/json",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded; charset=utf-16",
        "application/x-www-form-urlencoded2",
    ],
)
def test_another_content_type_is_malformed(content_type):
    here = site()
    assert Browser(here).decide(headers={"Content-Type": content_type}).status == 400
    assert here.store.writes == 0


def test_a_charset_and_any_header_case_are_accepted():
    here = site()
    ana = Browser(here)
    ana.open()
    sent = {"CONTENT-TYPE": "application/x-www-form-urlencoded; charset=UTF-8"}
    body = f"form={ana.form}&number={ana.number}&decision=approve".encode()
    page = here.request("POST", query=f"t={ana.token}", headers=sent, body=body)
    assert page.status == 200


def test_a_huge_body_is_refused():
    here = site()
    ana = Browser(here)
    ana.open()
    page = ana.send(reason="x" * MAX_BODY)
    assert page.status == 413
    assert "The form is too large" in page.body
    assert here.store.writes == 0


def test_the_longest_reason_in_the_longest_script_fits_the_form():
    here = site()
    assert Browser(here).decide("reject", "ä" * 2000).status == 200


@pytest.mark.parametrize(
    "method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "post", ""]
)
def test_other_methods_are_not_allowed(method):
    here = site()
    page = here.request(method, query=f"t={link(here.record)}")
    assert page.status == 405
    assert page.headers["Allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize(
    "path", ["/", "/approvals", "/approvals/", "/approvals/x/y", "/favicon.ico", "//approvals/x"]
)
def test_other_paths_are_not_found(path):
    assert site().request(path=path).status == 404


def test_too_many_requests_get_429_with_retry_after():
    here = site()

    def get(*_):
        raise TooManyRequests(retry_after=30)

    here.store.get = get
    page = here.request(query=f"t={link(sample())}")
    assert page.status == 429
    assert page.headers["Retry-After"] == "30"


def test_an_unavailable_ledger_or_kms_is_reported_calmly():
    here = site()
    ana = Browser(here)
    here.kms.fails_with = "ThrottlingException"
    page = ana.open()
    assert page.status == 503
    assert "it counts only once" in page.body


def test_a_link_can_be_viewed_until_a_week_after_its_approval_ended():
    here = site(status="EXPIRED")
    here.now = NOW + timedelta(days=7)
    assert Browser(here).open().status == 410
    here.now = NOW + timedelta(days=9)
    assert Browser(here).open().status == 403


# ---- after the approval --------------------------------------------------------------------------------------------

RUNNING = {"status": "RUNNING", "phase": "deployment"}


def approved_site(release, **changes):
    here = site(decisions=[approved(ANA, 1), approved(BO, 2)], status="APPROVED", **changes)
    here.release_of = lambda record: release
    return here


@pytest.mark.parametrize("approver, status", [(ANA, 200), (CHI, 409)], ids=["who decided", "who came late"])
def test_the_progress_page_refreshes_only_if_requested(approver, status):
    browser = Browser(approved_site(RUNNING | {"percent": 10}), approver)
    page = browser.open()
    assert page.status == status
    assert "10 % of the traffic goes to v1.4.0" in text_of(page.body)
    assert "Refresh" not in page.headers
    assert f'href="?t={browser.token}&amp;follow=1"' in page.body
    followed = browser.site.request(query=f"t={browser.token}&follow=1")
    assert followed.headers["Refresh"] == "10"
    assert "Stop following" in followed.body
    assert browser.site.store.writes == 0


@pytest.mark.parametrize(
    "release, words",
    [
        ({"status": "RUNNING", "phase": "approval"}, "checks once more that nothing has changed"),
        (RUNNING, "The first traffic moves now"),
        (
            RUNNING | {"percent": 100},
            "All traffic goes to v1.4.0. The release is done when its health checks pass.",
        ),
        ({"status": "SUCCEEDED", "why": "x"}, "v1.4.0 serves all traffic and is healthy."),
        ({"status": "ROLLED_BACK", "why": "<b>sick</b>"}, "v1.3.2 serves all traffic again and is healthy."),
        ({"status": "ROLLBACK_FAILED", "why": "w"}, "Operators have been alerted."),
        ({"status": "ABORTED", "why": "w"}, "The release was stopped; v1.3.2 still serves all traffic."),
        ({"status": "INVALID", "why": "w"}, "The release ended INVALID. Nothing was changed."),
    ],
    ids=lambda value: value.get("status", "") if isinstance(value, dict) else "",
)
def test_the_releases_progress_is_one_sentence(release, words):
    browser = Browser(approved_site(release))
    page = browser.site.request(query=f"t={browser.token}&follow=1")
    assert words in text_of(page.body)
    assert ("Refresh" in page.headers) is (release["status"] == "RUNNING")
    assert (browser.token in page.body) is (release["status"] == "RUNNING")
    assert "<b>sick" not in page.body


@pytest.mark.parametrize("status", ["OPEN", "REJECTED", "EXPIRED", "SUPERSEDED", "CLOSED"])
def test_the_page_never_repeats_a_link_that_can_still_decide_or_has_nothing_to_follow(status):
    here = site(status=status)
    here.release_of = lambda record: RUNNING
    browser = Browser(here)
    page = here.request(query=f"t={browser.token}&follow=1")
    assert browser.token not in page.body
    assert "Refresh" not in page.headers


def test_an_approval_requires_a_reason_if_the_application_does():
    here = site(reasonToApprove=True)
    page = Browser(here).decide("approve", " ")
    assert page.status == 400
    assert "this application requires a reason" in text_of(page.body)
    assert "Required to approve and to reject" in text_of(page.body)
    assert Browser(here).decide("approve", "I looked at the plan.").status == 200


def test_too_many_forms_get_429_and_record_nothing():
    here = site()
    ana = Browser(here)
    ana.open()

    def too_many(*_):
        raise TooManyRequests(retry_after=12)

    here.store.sent = too_many
    page = ana.send("approve")
    assert (page.status, page.headers["Retry-After"]) == (429, "12")
    assert here.store.writes == 0
    assert ana.open().status == 200


def test_a_visit_is_logged_only_after_its_link_is_verified():
    here = site()
    Browser(here, token=link(here.record)[:-2] + "xx").open()
    Browser(here, token="none").open()
    assert here.believed == []
    Browser(here).open()
    assert here.believed == [here.record["tag"]]
