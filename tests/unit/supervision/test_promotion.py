"""When a release is promoted to the next stage, when never, and that two concurrent runs promote once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagship.deployment.completing import complete
from tagship.ledger import freezes, promotions, releases
from tagship.ledger.lock import Holder
from tagship.ledger.table import Fact, Ledger, timestamp
from tagship.model.application import STAGES, Promote
from tagship.model.documents import DocumentInvalid, read_application
from tagship.model.errors import CredentialsRefused
from tagship.model.facts import FactKind
from tagship.model.records import PromotionRecord, ReleaseKey
from tagship.model.release import Status
from tagship.model.schedule import Freeze
from tagship.supervision import handover
from tagship.supervision.handover import Handover, rights
from tagship.supervision.promotion import Next, Promotions, judge
from tests.unit.builders import (
    APPLICATION,
    CODE,
    EXECUTION,
    application,
    changed,
    configured,
    locations,
    manifest,
    record,
    sha256,
)
from tests.unit.tables import NOW, aws_error, client_of

HERE, THERE = "releases-staging", "releases-production"
ROLE = "arn:aws:iam::000000000000:role/tagship-to-production-storefront"
PROMOTE = {"to": "production", "after": "P1D", "bucket": THERE, "region": "us-east-1", "role": ROLE}
STAGING = application(
    stage="staging",
    health={
        "checks": [{"type": "lambda"}],
        "watch": {"seconds": "P1D", "alarms": ["storefront-5xx"]},
    },
    promote=PROMOTE,
)
DAY = timedelta(days=1)


@pytest.fixture
def staging(ledger: Ledger) -> Ledger:
    """The settings of a stage before production; both have a bucket."""
    for bucket in (HERE, THERE):
        client_of("s3").create_bucket(Bucket=bucket)
        client_of("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return replace(ledger, stage="staging")


def succeeded(
    ledger: Ledger, tag: str, *, promote: dict[str, Any] | None = None, unchanged: bool = False
) -> ReleaseKey:
    """A release that serves all traffic there now."""
    folder, s3 = f"releases/{APPLICATION}/{tag}/", client_of("s3")
    found = manifest(tag=tag, notes="", parameters={})
    body = json.dumps(found).encode()
    pinned = {
        name: {
            "bucket": HERE,
            "key": folder + name,
            "versionId": s3.put_object(Bucket=HERE, Key=folder + name, Body=content)["VersionId"],
            "size": len(content),
        }
        for name, content in (("storefront.zip", CODE), ("release.json", body))
    }
    new = record(
        tag=tag,
        stage="staging",
        execution=f"{EXECUTION}-{tag}",
        digest=sha256(body),
        release=pinned.pop("release.json"),
        manifest=found,
        objects=pinned,
        configuration=configured(STAGING | {"promote": promote or PROMOTE}),
        plan={"from": None, "to": "2", "nothingToChange": unchanged, "locations": locations("1", "2")},
    )
    releases.claim(ledger, new)  # type: ignore[arg-type]
    key = ReleaseKey(application=APPLICATION, tag=tag, attempt=1)
    complete(ledger, key, execution=f"{EXECUTION}-{tag}")
    return key


def look(ledger: Ledger, after: timedelta = DAY, meet: Callable[..., Handover] | None = None) -> list[str]:
    """What happens this long after the success."""
    later = replace(ledger, now=lambda: ledger.now() + after)

    def with_our_own_role(promote: Promote, found: Any) -> Handover:
        clients = {name: client_of(service) for name, service in CLIENTS}
        return Handover(record=found, promote=promote, **clients)

    return list(Promotions(ledger=later, now=later.now(), meet=meet or with_our_own_role).each())


CLIENTS = (("source", "s3"), ("destination", "s3"), ("kms", "kms"))


def sent(tag: str) -> dict[str, bytes]:
    """The release in the next stage's bucket."""
    prefix = f"releases/{APPLICATION}/{tag}/"
    found = client_of("s3").list_objects_v2(Bucket=THERE, Prefix=prefix).get("Contents", ())
    return {
        each["Key"].removeprefix(prefix): client_of("s3")
        .get_object(Bucket=THERE, Key=each["Key"])["Body"]
        .read()
        for each in found
    }


def ended(ledger: Ledger, tag: str) -> list[tuple[str, str]]:
    """How its promotion ended: nothing, or one fact."""
    names = (FactKind.RELEASE_PROMOTED, FactKind.PROMOTION_REFUSED)
    facts = ledger.facts_of(APPLICATION, tag)
    return [(it["name"], it["data"].get("why", "")) for it in facts if it["name"] in names]


def happens(ledger: Ledger, name: FactKind, tag: str, **data: object) -> None:
    ledger.record(Fact(application=APPLICATION, tag=tag, attempt=1, name=name, data=data))


# ---- a release that is promoted ------------------------------------------------------------------------------------


def test_the_same_bytes_are_copied_once_with_the_manifest_last(staging: Ledger) -> None:
    """Fault 124."""
    succeeded(staging, "v1.0.0")
    assert look(staging, DAY - timedelta(seconds=1)) == []
    assert look(staging) == ["storefront v1.0.0: promoted to production"]
    there = sent("v1.0.0")
    assert there["storefront.zip"] == CODE
    found = releases.get(staging, APPLICATION, "v1.0.0")
    assert sha256(there["release.json"]) == found["digest"]
    versions = client_of("s3").list_object_versions(Bucket=THERE)["Versions"]
    at = {each["Key"].rsplit("/", 1)[1]: each["LastModified"] for each in versions}
    assert at["storefront.zip"] <= at["release.json"]
    assert look(staging) == []
    assert len(client_of("s3").list_object_versions(Bucket=THERE)["Versions"]) == 2
    assert ended(staging, "v1.0.0") == [("Release Promoted", "")]
    known = promotions.get(staging, APPLICATION, "v1.0.0")
    assert known is not None and known["ended"] == "Release Promoted"


def test_an_unwatched_release_is_not_promoted(staging: Ledger) -> None:
    """A tag with the same code ends the watch of the one before; otherwise its alarms would be ignored."""
    succeeded(staging, "v1.0.0")
    succeeded(staging, "v1.0.1", unchanged=True)
    (did,) = look(staging)
    assert did.startswith("storefront v1.0.0: not promoted to production: v1.0.1 replaced it")
    assert (sent("v1.0.0"), sent("v1.0.1")) == ({}, {})


@pytest.mark.parametrize("name", ["release.json", "storefront.zip"])
def test_a_huge_object_at_the_destination_counts_as_different_and_is_not_read(
    staging: Ledger, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Otherwise a publisher there could use up the function's memory or time, and block every promotion."""
    monkeypatch.setattr(handover, "MOST_BYTES", 2_000_000)
    key = f"releases/{APPLICATION}/v1.0.0/{name}"
    client_of("s3").put_object(Bucket=THERE, Key=key, Body=bytes(3_000_000))
    succeeded(staging, "v1.0.0")
    read: list[int] = []

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(client_of("s3"), name)

        def get_object(self, **asked: Any) -> Any:
            found = client_of("s3").get_object(**asked)
            body = found["Body"].read()

            class Body:
                def read(self, most: int = len(body)) -> bytes:
                    read.append(min(most, len(body)))
                    return body[:most]

                def iter_chunks(self, _size: int) -> list[bytes]:
                    read.append(len(body))
                    return [body]

            return {**found, "Body": Body()}

    def meet(promote: Promote, found: Any) -> Handover:
        there: Any = Counting()
        return Handover(
            record=found, promote=promote, source=client_of("s3"), destination=there, kms=client_of("kms")
        )

    (did,) = look(staging, meet=meet)
    assert "different" in did
    assert sum(read) < 2_000_000


def test_two_concurrent_runs_promote_once(staging: Ledger) -> None:
    """Fault 124."""
    succeeded(staging, "v1.0.0")
    inner: list[str] = []

    class Slow(Handover):
        def publish(self) -> None:
            inner.extend(look(staging))  # the other one is quicker
            Handover.publish(self)

    def meet(promote: Promote, found: Any) -> Handover:
        return Slow(record=found, promote=promote, **{name: client_of(it) for name, it in CLIENTS})

    assert look(staging, meet=meet) == inner == ["storefront v1.0.0: promoted to production"]
    assert len(client_of("s3").list_object_versions(Bucket=THERE)["Versions"]) == 2
    assert len(ended(staging, "v1.0.0")) == 1


def test_an_interrupted_run_continues_and_a_started_release_is_never_reported_as_not_started(
    staging: Ledger,
) -> None:
    """Fault 124."""
    succeeded(staging, "v1.0.0")

    class Dying(Handover):
        def publish(self) -> None:
            Handover.publish(self)
            raise SystemExit

    def meet(promote: Promote, found: Any) -> Handover:
        return Dying(record=found, promote=promote, **{name: client_of(it) for name, it in CLIENTS})

    with pytest.raises(SystemExit):
        look(staging, meet=meet)
    assert ended(staging, "v1.0.0") == []
    succeeded(staging, "v1.1.0")  # it would be refused if it had not started there
    assert look(staging, timedelta(0)) == ["storefront v1.0.0: promoted to production"]
    assert ended(staging, "v1.0.0") == [("Release Promoted", "")]


def test_a_release_that_a_person_already_promoted_is_found(staging: Ledger) -> None:
    succeeded(staging, "v1.0.0")
    for name in ("storefront.zip", "release.json"):
        key = f"releases/{APPLICATION}/v1.0.0/{name}"
        client_of("s3").put_object(
            Bucket=THERE, Key=key, Body=client_of("s3").get_object(Bucket=HERE, Key=key)["Body"].read()
        )
    assert look(staging) == ["storefront v1.0.0: promoted to production"]
    assert len(client_of("s3").list_object_versions(Bucket=THERE)["Versions"]) == 2


def test_a_statement_is_signed_and_an_interrupted_runs_statement_is_reused(staging: Ledger) -> None:
    kms = client_of("kms")
    key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/tagship-promotion", TargetKeyId=key)
    succeeded(staging, "v1.0.0", promote=PROMOTE | {"key": "alias/tagship-promotion"})
    failing = {"left": 1}

    class Interrupted(Handover):
        def _signed(self, raw: bytes) -> bytes:
            if failing["left"]:
                failing["left"] -= 1
                raise SystemExit
            return Handover._signed(self, raw)

    def meet(promote: Promote, found: Any) -> Handover:
        return Interrupted(record=found, promote=promote, **{name: client_of(it) for name, it in CLIENTS})

    with pytest.raises(SystemExit):
        look(staging, meet=meet)
    first = sent("v1.0.0")["promotion.json"]
    assert look(staging, DAY * 2, meet=meet) == ["storefront v1.0.0: promoted to production"]
    there = sent("v1.0.0")
    assert there["promotion.json"] == first
    assert json.loads(first)["promotedBy"] == ROLE
    assert kms.verify(
        KeyId="alias/tagship-promotion",
        Message=hashlib.sha256(first).digest(),
        MessageType="DIGEST",
        Signature=there["promotion.json.sig"],
        SigningAlgorithm="ECDSA_SHA_256",
    )["SignatureValid"]


# ---- one that is not -----------------------------------------------------------------------------------------------


def test_a_replaced_release_is_refused_and_the_new_one_has_its_own_time(staging: Ledger) -> None:
    """Fault 125."""
    succeeded(staging, "v1.0.0")
    succeeded(staging, "v1.1.0")
    (said,) = look(staging, timedelta(minutes=1))
    assert said.startswith("storefront v1.0.0: not promoted to production: v1.1.0 replaced it at Mon 23 Nov")
    assert ended(staging, "v1.0.0")[0][0] == "Promotion Refused"
    assert sent("v1.0.0") == {}
    assert look(staging) == ["storefront v1.1.0: promoted to production"]


def test_a_rolled_back_release_is_refused_and_so_is_the_restored_one(staging: Ledger) -> None:
    """Fault 125: v1.0.0 serves again, but was not current all the time."""
    succeeded(staging, "v1.0.0")
    succeeded(staging, "v1.1.0")
    happens(staging, FactKind.ROLLBACK_TRIGGERED, "v1.1.0", trigger="operator", why="odd")
    assert [said.split(":")[0] for said in look(staging)] == ["storefront v1.0.0", "storefront v1.1.0"]
    assert sent("v1.0.0") == sent("v1.1.0") == {}
    assert "its rollback began" in ended(staging, "v1.1.0")[0][1]


def test_an_alarm_while_large_files_are_copied_still_stops_it(staging: Ledger) -> None:
    """Fault 125."""
    succeeded(staging, "v1.0.0")

    class Slow(Handover):
        def prepare(self, **given: Any) -> None:
            Handover.prepare(self, **given)
            happens(staging, FactKind.ALARM_FIRED, "v1.0.0", alarm="storefront-5xx", why="", did="notified")

    def meet(promote: Promote, found: Any) -> Handover:
        return Slow(record=found, promote=promote, **{name: client_of(it) for name, it in CLIENTS})

    (said,) = look(staging, meet=meet)
    assert "not promoted to production: the alarm storefront-5xx fired at" in said
    assert set(sent("v1.0.0")) == {"storefront.zip"}, "nothing starts without its manifest"


def test_other_bytes_under_the_tag_are_refused_and_never_overwritten(staging: Ledger) -> None:
    """Fault 124."""
    succeeded(staging, "v1.0.0")
    client_of("s3").put_object(Bucket=THERE, Key=f"releases/{APPLICATION}/v1.0.0/release.json", Body=b"{}")
    assert "already published in production, with a different release.json" in look(staging)[0]
    succeeded(staging, "v1.1.0")
    client_of("s3").put_object(Bucket=THERE, Key=f"releases/{APPLICATION}/v1.1.0/storefront.zip", Body=b"x")
    assert "storefront.zip already exists with different bytes" in look(staging)[0]
    assert (sent("v1.0.0"), sent("v1.1.0")) == ({"release.json": b"{}"}, {"storefront.zip": b"x"})


@pytest.mark.parametrize(
    "error, said, open_still",
    [
        (CredentialsRefused("The role cannot be assumed.", "Make it."), "not promoted to production: The", 0),
        (aws_error("AccessDenied", status=403), "not promoted to production: AWS refused (AccessDenied)", 0),
        (aws_error("SlowDown", status=503), "will retry later", 1),
    ],
)
def test_a_refusal_is_final_and_an_outage_is_retried(
    staging: Ledger, error: Exception, said: str, open_still: int
) -> None:
    succeeded(staging, "v1.0.0")

    class Failing:
        def __getattr__(self, _name: str) -> Any:
            return self

        def __call__(self, **_: Any) -> Any:
            raise error

    def meet(promote: Promote, found: Any) -> Handover:
        if isinstance(error, CredentialsRefused):
            raise error
        clients: Any = {name: Failing() for name, _ in CLIENTS}
        return Handover(record=found, promote=promote, **clients)

    (did,) = look(staging, meet=meet)
    assert did.startswith(f"storefront v1.0.0: {said}")
    assert len(list(promotions.open_ones(staging))) == open_still
    assert sent("v1.0.0") == {}


def test_an_unreadable_item_does_not_block_the_others(staging: Ledger) -> None:
    """The page's function may write an open item; this one has no destination, and comes first."""
    bad = {"pk": f"APPLICATION#{APPLICATION}", "sk": "PROMOTION#v0.0.1", "open": "promotion"}
    forged = bad | {"kind": "promotion", "application": APPLICATION, "tag": "v0.0.1"}
    fact = Fact(
        application=APPLICATION, tag="v0.0.1", attempt=1, name=FactKind.ALARM_FIRED, data={"alarm": ""}
    )
    staging.record(fact, staging.put(forged))
    succeeded(staging, "v1.0.0")
    with pytest.raises(ExceptionGroup) as raised:
        look(staging)
    assert len(raised.value.exceptions) == 1
    assert sent("v1.0.0")
    assert ended(staging, "v1.0.0") == [("Release Promoted", "")]


def test_a_second_success_before_an_alarm_does_not_hide_it(staging: Ledger) -> None:
    """An attacker with code in the page's function can append facts, but not make an unhealthy release healthy."""
    succeeded(staging, "v1.0.0")
    happens(staging, FactKind.ALARM_FIRED, "v1.0.0", alarm="storefront-5xx")
    forged = Fact(
        application=APPLICATION,
        tag="v1.0.0",
        attempt=1,
        name=FactKind.RELEASE_SUCCEEDED,
        key="again",
        data={"status": Status.SUCCEEDED},
    )
    staging.record(forged)
    (did,) = look(staging)
    assert did.startswith("storefront v1.0.0: not promoted to production")
    assert sent("v1.0.0") == {}


# ---- the decision alone --------------------------------------------------------------------------------------------

DUE = NOW + DAY
WAITING = PromotionRecord(
    application=APPLICATION,
    tag="v1.0.0",
    attempt=1,
    to="production",
    since=timestamp(NOW),
    due=timestamp(DUE),
)
FREEZE = Freeze(
    id="1", application=APPLICATION, reason="audit", author="kim", starts=NOW, ends=NOW + 30 * DAY
)
BUSY = Holder(tag="v2.0.0", attempt=1, execution="x", fence=2, leaseEnds=timestamp(NOW + 2 * DAY), since="")


def judged(now: Any, **given: Any) -> tuple[Next, str]:
    facts = {"since": (), "frozen": (), "holder": None} | {
        name: given.pop(name) for name in ("since", "frozen", "holder") if name in given
    }
    found: Any = {"status": Status.SUCCEEDED, "attempt": 1} | given
    return judge(WAITING, found, now=now, **facts)  # type: ignore[arg-type]


@given(
    st.timedeltas(timedelta(0), timedelta(days=20)),
    st.sampled_from(Status),
    st.sampled_from([1, 2]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_it_is_promoted_only_if_all_conditions_hold(
    passed: timedelta, status: Status, attempt: int, frozen: bool, busy: bool, barred: bool
) -> None:
    given: dict[str, Any] = {"status": status, "attempt": attempt}
    given |= {"barred": {"why": "leak", "by": "kim", "at": ""}} if barred else {}
    step, why = judged(
        NOW + passed, frozen=[FREEZE] if frozen else [], holder=BUSY if busy else None, **given
    )
    well = (status, attempt, frozen, busy, barred) == (Status.SUCCEEDED, 1, False, False, False)
    assert (step is Next.PROMOTE) == (well and DAY <= passed <= 8 * DAY)
    assert why or step is Next.PROMOTE


def test_a_freeze_or_another_release_delays_it_for_at_most_a_week(staging: Ledger) -> None:
    assert judged(DUE, frozen=[FREEZE])[0] is Next.WAIT
    assert judged(DUE, holder=BUSY) == (Next.WAIT, "v2.0.0 is in progress")
    step, why = judged(DUE + 8 * DAY, frozen=[FREEZE])
    assert step is Next.REFUSE
    assert why.startswith("it could not be promoted within 7 days: deployments are frozen until")
    succeeded(staging, "v1.0.0")
    freezes.freeze(staging, FREEZE)
    assert look(staging) == []
    assert ended(staging, "v1.0.0") == []


def test_another_tags_rollback_does_not_block_it(staging: Ledger) -> None:
    succeeded(staging, "v1.0.0")
    happens(staging, FactKind.ROLLBACK_TRIGGERED, "v1.1.0", trigger="health", why="sick")
    assert look(staging) == ["storefront v1.0.0: promoted to production"]


# ---- valid configurations ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes, problem",
    [
        ({"stage": "production"}, "promote.to: must be a stage after production"),
        ({"promote.to": "staging"}, "promote.to: must be a stage after staging"),
        ({"stage": None}, "stage: is required by promote"),
        ({"health.watch": {}}, "health.watch: is required by promote"),
        ({"promote.role": "arn:aws:iam::000000000000:role/admin"}, "promote.role: must be the ARN of a role"),
    ],
)
def test_a_promotion_goes_forward_and_only_from_watched_stages(changes: dict[str, Any], problem: str) -> None:
    """Fault 126: so there is no cycle of stages."""
    with pytest.raises(DocumentInvalid) as refused:
        read_application(changed(STAGING, changes))
    assert any(str(it).startswith(problem) for it in refused.value.problems), refused.value.problems


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_can_be_promoted_to_itself_indirectly(stage: str) -> None:
    """Fault 126."""
    leads = {
        here: [to for to in STAGES if _is_valid(changed(STAGING, {"stage": here, "promote.to": to}))]
        for here in STAGES
    }
    reached, ahead = set[str](), list(leads[stage])
    while ahead:
        reached.add(here := ahead.pop())
        ahead += leads[here]
    assert stage not in reached


def _is_valid(document: dict[str, Any]) -> bool:
    try:
        read_application(document)
    except DocumentInvalid:
        return False
    return True


def test_the_session_can_write_only_this_release() -> None:
    promote = read_application(STAGING).promote
    assert promote is not None
    found: Any = record(tag="v1.0.0")
    (upload,) = rights(promote, found)
    assert upload.actions == ("s3:PutObject", "s3:GetObject")
    assert upload.on == (f"arn:aws:s3:::{THERE}/releases/{APPLICATION}/v1.0.0/*",)
    signing = rights(replace(promote, key="alias/tagship-promotion"), found)[1]
    assert signing.actions == ("kms:Sign",)
