"""GitHub's jobs are answered once each, by the App with its own token, although GitHub or AWS fail meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tagship.ledger import jobs
from tagship.ledger.table import Ledger
from tagship.model.job import Job
from tagship.notices import github
from tagship.notices.channel import Means, NotDelivered
from tagship.notices.github_app import App, AppInvalid
from tagship.notices.github_jobs import CHANNEL
from tests.github_server import INSTALLATION, RUN, GitHub, app_secret, asking, private_key
from tests.github_server import github as started
from tests.unit.builders import locations, manifest, record, revision
from tests.unit.notices.facts import fact
from tests.unit.tables import Clock

NAME = "tagship/development/storefront/github-app"


@dataclass
class Aws:
    """Secrets Manager and Parameter Store."""

    api: str
    secrets: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    rule: dict[str, Any] | None = field(default_factory=lambda: {"environment": "production"})

    def get_secret_value(self, *, SecretId: str) -> dict[str, str]:
        self.asked.append(SecretId)
        if SecretId not in self.secrets:
            error: Any = {"Error": {"Code": "ResourceNotFoundException", "Message": "planted"}}
            raise ClientError(error, "GetSecretValue")
        return {"SecretString": self.secrets[SecretId]}

    def get_parameter(self, **_: Any) -> dict[str, Any]:
        github = {"repository": "acme/storefront", "api": self.api, "protectionRule": self.rule}
        return {"Parameter": {"Value": json.dumps({"notifications": {"github": github}})}}


@dataclass
class Here:
    """A ledger, a GitHub, and what is between them."""

    ledger: Ledger
    there: GitHub
    aws: Aws

    def asks(self, number: int = 7, **changes: Any) -> Job:
        """A job comes to wait."""
        payload = asking(self.there.api)
        job = Job(
            id=number,
            run=RUN,
            installation=INSTALLATION,
            repository="acme/storefront",
            environment="production",
            ref="v1.4.0",
            commit=payload["sha"],
            at=self.ledger.now().isoformat(),
        )
        job = Job(**job.to_dict() | changes)
        assert jobs.opened(self.ledger, "storefront", job)
        return job

    def deployed(self, **changes: Any) -> None:
        """v1.4.0 is in production, unless it ended otherwise."""
        plan = {"locations": locations("6", "7"), "nothingToChange": False}
        ended = record(status="SUCCEEDED", attempt=1, plan=plan, manifest=manifest()) | changes
        runs = {"tag": "v1.4.0", "attempt": 1, "revision": revision("7"), "since": "x"}
        for sk, item in (("RELEASE#v1.4.0", ended), ("CURRENT", runs)):
            put = self.ledger.put({"pk": "APPLICATION#storefront", "sk": sk, **item})["Put"]
            self.ledger.client.put_item(TableName=put["TableName"], Item=put["Item"])

    def means(self, hosts: tuple[str, ...] = ("127.0.0.1",)) -> Means:
        """What the channel uses."""
        unused: Any = {"event_bus": "", "topic": "", "sender": "", "slack_hosts": ()}
        return Means(client=lambda _: self.aws, ledger=self.ledger, github_hosts=hosts, **unused)

    def tell(self, name: str = "Release Succeeded", hosts: tuple[str, ...] = ("127.0.0.1",)) -> None:
        """The channel gets the facts of this name; an ending as the stream has it."""
        here = self.means(hosts)
        found: list[Any] = [it for it in self.ledger.facts_in_order("storefront") if it["name"] == name]
        for each in found or [{"application": "storefront", "tag": "v1.4.0", "name": name, "data": {}}]:
            CHANNEL.take(each, {}, here)


@pytest.fixture
def here(ledger: Ledger) -> Iterator[Here]:
    from dataclasses import replace

    with started() as there:
        aws = Aws(there.api, {NAME: app_secret()})
        yield Here(replace(ledger, stage="development"), there, aws)


@pytest.fixture
def clock() -> Clock:
    """The real time: GitHub compares its own clock with a token's."""
    from tagship.runtime import utc_now

    return Clock(utc_now())


def test_every_job_of_a_release_is_answered_once_with_one_token(here: Here) -> None:
    here.asks(1), here.asks(2)
    here.deployed()
    here.tell()
    here.tell()
    here.tell("Job Waiting")
    assert here.there.states == ["approved", "approved"]
    assert sum("access_tokens" in asked for asked in here.there.asked) == 1


def test_an_answer_is_retried_while_github_is_down_or_gives_no_token(here: Here) -> None:
    """Fault 134."""
    here.asks(1), here.asks(2)
    here.deployed()
    here.there.down = True
    with pytest.raises(NotDelivered, match="GitHub answered 503"):
        here.tell()
    here.there.down = False
    here.there.installation_token = "not a token"
    with pytest.raises(NotDelivered, match="answered without a valid token"):
        here.tell()
    here.there.installation_token = "ghs_" + "a" * 36
    here.tell()
    assert here.there.states == ["approved", "approved"]


def broken() -> str:
    """A key whose middle somebody has overwritten."""
    key = private_key()
    return key[:200] + "A" * 40 + key[240:]


WRONG = {
    "another App's id": ({"appId": "Iv23liAnother", "privateKey": private_key()}, "GitHub answered 401"),
    "a key that is none": ({"appId": "Iv23liAbCdEf", "privateKey": broken()}, "not an RSA key in PEM"),
    "only a part of the key": (
        {"appId": "Iv23liAbCdEf", "privateKey": private_key()[:900]},
        "has no privateKey",
    ),
    "no id": ({"privateKey": private_key()}, "has no appId"),
    "a token": ("ghp_" + "a" * 36, "is not JSON"),
}


@pytest.mark.parametrize("secret, words", WRONG.values(), ids=WRONG)
def test_a_wrong_app_answers_nothing_and_its_key_is_in_no_error(here: Here, secret: Any, words: str) -> None:
    here.asks()
    here.deployed()
    here.aws.secrets[NAME] = secret if isinstance(secret, str) else json.dumps(secret)
    with pytest.raises(NotDelivered, match=words) as raised:
        here.tell()
    assert not any(line in str(raised.value) for line in private_key().splitlines())
    assert here.there.reviews == []
    here.aws.secrets[NAME] = app_secret()
    here.tell()
    assert here.there.states == ["approved"]


def test_an_app_hides_its_key() -> None:
    app = App.of(app_secret())
    assert "PRIVATE" not in repr(app)
    assert App.of(json.dumps({"appId": 123456, "privateKey": private_key()})).id == "123456"
    with pytest.raises(AppInvalid):
        App.of("[" * 100_000)


def test_a_job_of_a_cancelled_run_holds_up_no_other(here: Here) -> None:
    here.asks(1)
    here.deployed()
    here.there.cancelled = True
    here.tell()
    here.there.cancelled = False
    here.asks(2)
    here.tell()
    assert here.there.states == ["approved"]


def test_another_installation_gets_no_token(here: Here) -> None:
    here.asks(installation=1)
    here.deployed()
    with pytest.raises(NotDelivered, match="GitHub answered 404 for acme/storefront"):
        here.tell()


@pytest.mark.parametrize("changes", [{"repository": "evil/storefront"}, {"environment": "staging"}])
def test_a_job_that_the_rule_is_not_about_is_not_answered(here: Here, changes: dict[str, Any]) -> None:
    """Whoever wrote it into the ledger: the page's function could."""
    here.asks(**changes)
    here.deployed()
    here.tell("Job Waiting")
    here.tell()
    assert here.there.asked == []


def test_a_run_of_another_commit_is_rejected_even_if_the_recorded_job_matches(here: Here) -> None:
    """A compromised page could name a good release for the attacker's own run."""
    here.asks()
    here.deployed()
    here.there.head_sha = "f" * 40
    here.tell()
    assert here.there.states == ["rejected"]
    assert "is for commit ffffffffffff" in here.there.reviews[0]["comment"]


def test_a_rule_that_was_taken_away_answers_nothing(here: Here) -> None:
    here.asks()
    here.deployed()
    here.aws.rule = None
    here.tell()
    assert here.there.asked == []


def test_the_key_is_not_even_read_for_an_address_that_the_stack_does_not_allow(here: Here) -> None:
    here.asks()
    here.deployed()
    with pytest.raises(NotDelivered, match="GitHubHosts"):
        here.tell(hosts=("api.github.com",))
    assert here.aws.asked == []


def test_a_job_that_github_has_given_up_is_not_answered(here: Here, clock: Clock) -> None:
    here.asks()
    here.deployed()
    clock.forward(timedelta(days=30, seconds=1).total_seconds())
    here.tell("Job Waiting")
    here.tell()
    assert here.there.asked == []


def test_a_comment_that_github_does_not_take_stops_nothing(here: Here) -> None:
    """It takes ten on one job."""
    here.asks()
    here.there.cancelled = True
    here.tell("Job Waiting")
    here.there.cancelled = False
    here.deployed()
    here.tell()
    assert here.there.states == ["approved"]


def test_an_earlier_attempts_ending_says_nothing_of_the_one_in_progress(here: Here) -> None:
    here.asks()
    here.deployed(status="RUNNING", attempt=2)
    here.tell("Release Rejected")
    assert here.there.asked == []


def test_a_rule_without_a_token_shows_no_deployments(here: Here) -> None:
    """The two options are independent."""
    configuration = {"document": {"notifications": {"github": {"repository": "acme/storefront"}}}}
    known: Any = {"manifest": manifest(), "configuration": configuration}
    github.CHANNEL.take(fact("Release Read"), known, here.means())  # type: ignore[arg-type]
    assert (here.there.asked, here.aws.asked) == ([], [])


def test_an_application_without_jobs_calls_neither_github_nor_secrets(here: Here) -> None:
    here.deployed()
    here.tell()
    assert (here.there.asked, here.aws.asked) == ([], [])
