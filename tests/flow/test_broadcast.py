"""What `broadcast` guarantees for notices, and what those of one good release cost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer
from botocore.client import BaseClient
from botocore.exceptions import EndpointConnectionError

from tagship import runtime as runtime_module
from tagship.ledger import jobs, releases
from tagship.ledger.table import Ledger
from tagship.model.facts import FactKind
from tagship.model.job import Job
from tagship.model.records import FactRecord
from tagship.runtime import Runtime
from tagship.settings import Settings
from tests.flow.harness import World, client_of, load_handler
from tests.flow.test_events import notified, waiting
from tests.unit import builders
from tests.unit.tables import Clock, aws_error, ledger_table

SLACK = {"slackWebhookSecret": "tagship/production/storefront/slack"}
MAIL = {"emails": ["team@example.com"]}
GITHUB = {"github": {"repository": "acme/storefront", "tokenSecret": "tagship/production/storefront/github"}}
PEOPLE = ["topic", "slack", "mail"]
STAGED = [FactKind.DEPLOYMENT_STARTED, FactKind.RELEASE_ROLLED_BACK]
DONE: dict[str, Any] = {"batchItemFailures": []}
UNAVAILABLE = aws_error("ServiceUnavailable", status=503)


@dataclass
class Queue:
    """A FIFO queue: whatever has a known deduplication id is accepted and not kept again."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    aside: list[Any] = field(default_factory=list)
    rejects: Callable[[str], bool] = lambda group: False
    down: bool = False

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        if self.down:
            raise UNAVAILABLE
        known = {each["MessageDeduplicationId"] for each in self.messages}
        accepted = [each for each in Entries if not self.rejects(each["MessageGroupId"])]
        self.messages += [each for each in accepted if each["MessageDeduplicationId"] not in known]
        failed = [{"Id": each["Id"], "Code": "InternalError"} for each in Entries if each not in accepted]
        return {"Successful": [{"Id": each["Id"]} for each in accepted], "Failed": failed}

    def send_message(self, *, QueueUrl: str, MessageBody: str) -> None:
        self.aside.append(json.loads(MessageBody))

    def channels(self) -> list[str]:
        """The channels of the queued messages."""
        return [json.loads(each["MessageBody"])["channel"] for each in self.messages]

    def of(self, channel: str) -> list[str]:
        """The facts that are queued for a channel, in order."""
        bodies = [json.loads(each["MessageBody"]) for each in self.messages]
        return [body["fact"].split("#")[3] for body in bodies if body["channel"] == channel]


@dataclass
class Bus:
    """Accepts events; `fails` is raised, or answered for the entry."""

    events: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0
    fails: Exception | str = ""

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        self.asked += 1
        if isinstance(self.fails, Exception):
            raise self.fails
        if self.fails:
            return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": self.fails}]}
        self.events += [json.loads(each["Detail"]) for each in Entries]
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}

    def names(self) -> list[str]:
        """The facts on the bus, in order."""
        return [each["name"] for each in self.events]


@dataclass
class Table:
    """DynamoDB; as often as `conflicts` says, it refuses to read several items at once."""

    client: Any
    asked: Counter[str] = field(default_factory=Counter)
    partitions: set[str] = field(default_factory=set)
    """Of the items that were read."""
    conflicts: int = 0
    down: bool = False

    def __getattr__(self, name: str) -> Any:
        def ask(**request: Any) -> Any:
            self.asked[name] += 1
            gets = [each["Get"] for each in request.get("TransactItems", ())] or [request]
            self.partitions |= {get["Key"]["pk"]["S"] for get in gets}
            if self.down:
                raise UNAVAILABLE
            if name == "transact_get_items" and self.conflicts:
                self.conflicts -= 1
                raise aws_error("TransactionCanceledException")
            return getattr(self.client, name)(**request)

        return ask


@dataclass
class Here:
    """The function with a queue, a bus and a ledger in memory."""

    handler: Any
    table: Table
    queue: Queue = field(default_factory=Queue)
    bus: Bus = field(default_factory=Bus)
    sequence: int = 0

    def client(self, service: str, **_: Any) -> Any:
        return {"sqs": self.queue, "events": self.bus, "dynamodb": self.table}[service]

    @property
    def ledger(self) -> Ledger:
        return Ledger(client=self.table.client, table="ledger", stage="production", now=Clock())

    def release(self, configuration: Any = None, **notifications: Any) -> FactRecord:
        """A release in the ledger, whose application has these notifications; answers with its first fact."""
        pinned = builders.configured(builders.application(notifications={"level": "milestones"}))
        pinned["document"]["notifications"] |= notifications
        record: Any = builders.record(configuration=configuration or pinned)
        releases.claim(self.ledger, record)
        return self.ledger.facts_of("storefront", builders.TAG)[0]

    def record(self, *names: str, event: str = "INSERT", **changes: Any) -> list[dict[str, Any]]:
        """More facts of the release, as the stream delivers them."""
        (first, *_) = self.ledger.facts_of("storefront", builders.TAG)
        sk = first["sk"]  # type: ignore[typeddict-item]
        return [
            record_of(
                first
                | {"name": name, "sk": sk.replace("Release Read", name), "digest": f"{name} {event}"}
                | changes,
                event,
            )
            for name in names
        ]

    def takes(self, *records: dict[str, Any]) -> Any:
        return self.handler({"Records": list(records)}, None)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    settings = Settings(
        stage="production",
        ledger_table="ledger",
        event_bus="tagship",
        notices_queue="notices",
        broadcast_failures="failures",
    )
    with ledger_table() as client:
        built = Here(handler=load_handler("broadcast"), table=Table(client))
        made: Any = Runtime(settings=settings, aws=built, now=Clock(), pause=lambda _: None)  # type: ignore[arg-type]
        monkeypatch.setattr(runtime_module, "_runtime", lambda: made)
        yield built


def record_of(fact: Any, event: str = "INSERT") -> dict[str, Any]:
    """A fact of the ledger as the stream delivers it."""
    image = {name: TypeSerializer().serialize(value) for name, value in fact.items()}
    keys = {name: image[name] for name in ("pk", "sk")}
    change = {"SequenceNumber": fact["name"], "Keys": keys, "NewImage": image}
    return {"eventName": event, "dynamodb": change}


# ---- channels that an application uses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "notifications, channels",
    [
        ({}, ["topic"]),
        (SLACK, ["topic", "slack"]),
        (MAIL, ["topic", "mail"]),
        (GITHUB, ["topic", "github"]),
        (SLACK | MAIL | GITHUB, ["topic", "slack", "mail", "github"]),
        (SLACK | MAIL | GITHUB | {"level": "problems"}, ["topic", "github"]),
        ({"emails": [], "github": {"repository": "acme/storefront"}}, ["topic"]),
    ],
    ids=["none", "slack", "mail", "github", "all", "below the level", "no recipient"],
)
def test_only_channels_with_a_recipient_get_a_message(here: Here, notifications: Any, channels: Any) -> None:
    here.release(**notifications)
    assert here.takes(*here.record(FactKind.DEPLOYMENT_STARTED)) == DONE
    assert here.queue.channels() == channels
    assert here.table.asked == {"transact_get_items": 1}
    assert here.table.partitions == {"APPLICATION#storefront"}, "its role can read no others"


def test_the_outcome_of_a_request_goes_to_its_slack_channel_at_any_level(here: Here) -> None:
    here.release(**SLACK, **MAIL, level="problems")
    here.takes(*here.record(FactKind.APPROVAL_GRANTED))
    assert here.queue.channels() == ["topic", "slack"]


def test_a_fact_that_nobody_is_notified_of_is_one_request(here: Here) -> None:
    here.release(**SLACK, **MAIL)
    healthy = here.record(FactKind.HEALTH_CHECKED, data={"verdict": "healthy", "checks": []})
    here.takes(*here.record(FactKind.LOCK_ACQUIRED), *healthy)
    assert here.bus.names() == ["Lock Acquired", "Health Checked"]
    assert (here.queue.messages, here.table.asked) == ([], {})


@pytest.mark.parametrize(
    "configuration",
    [
        {"version": 1, "document": None, "problems": ["It has no target."]},
        {"version": 1, "document": {"notifications": "none"}, "problems": []},
        {"version": 1, "document": {"notifications": {"github": "acme"}}, "problems": []},
        "nothing that Tagship writes",
    ],
    ids=["invalid", "no mapping", "no mapping further down", "no configuration"],
)
def test_without_a_readable_configuration_notify_decides(here: Here, configuration: Any) -> None:
    here.release(configuration)
    assert here.takes(*here.record(FactKind.DEPLOYMENT_STARTED)) == DONE
    assert here.queue.channels() == [*PEOPLE, "github", "github-jobs"]
    assert (here.queue.aside, here.bus.names()) == ([], ["Deployment Started"])


def test_for_a_release_that_the_ledger_does_not_have_notify_decides(here: Here) -> None:
    here.release()
    assert here.takes(*here.record(FactKind.DEPLOYMENT_STARTED, tag="v9.9.9")) == DONE
    assert here.queue.channels() == [*PEOPLE, "github", "github-jobs"]


@pytest.mark.parametrize("application", ["storefront", "*"])
def test_for_a_fact_about_no_release_notify_decides(here: Here, application: str) -> None:
    here.release()
    here.takes(*here.record(FactKind.FROZEN, tag="", application=application))
    assert here.queue.channels() == PEOPLE
    assert (here.table.asked, here.bus.names()) == ({}, ["Frozen"])


def test_a_fact_waits_in_the_stream_while_the_ledger_cannot_be_read(here: Here) -> None:
    """Fault 50."""
    here.release(**MAIL)
    records = here.record(*STAGED)
    here.table.down = True
    assert here.takes(*records) == {"batchItemFailures": [{"itemIdentifier": "Deployment Started"}]}
    assert (here.queue.messages, here.bus.asked) == ([], 0)
    here.table.down = False
    assert here.takes(*records) == DONE
    assert here.queue.of("mail") == here.bus.names() == STAGED


# ---- GitHub's jobs --------------------------------------------------------------------------------------------------


def asks(here: Here) -> None:
    """A job that waits for the release."""
    job = Job(
        id=1,
        run=2,
        installation=3,
        repository="acme/storefront",
        environment="production",
        ref=builders.TAG,
        commit="c" * 40,
        at=here.ledger.now().isoformat(),
    )
    assert jobs.opened(here.ledger, "storefront", job)


def test_a_releases_facts_are_queued_for_jobs_once_a_job_has_asked(here: Here) -> None:
    here.release()
    before, after = here.record(FactKind.DEPLOYMENT_STARTED, FactKind.RELEASE_SUCCEEDED)
    here.takes(before)
    asks(here)
    here.takes(*here.record(FactKind.JOB_WAITING), after)
    assert here.queue.of("github-jobs") == ["Job Waiting", "Release Succeeded"]


def test_a_job_that_asks_between_two_facts_of_a_batch_is_seen(here: Here) -> None:
    """The second read is refused, because someone writes: nothing that was read for the first fact may answer it."""
    here.release()
    granted, started = here.record(FactKind.APPROVAL_GRANTED, FactKind.DEPLOYMENT_STARTED)
    put = here.bus.put_events

    def then_a_job_asks(**request: Any) -> Any:
        answer = put(**request)
        if len(here.bus.events) == 1:
            asks(here)
            here.table.conflicts = 1
        return answer

    here.bus.put_events = then_a_job_asks  # type: ignore[method-assign]
    assert here.takes(granted, started) == DONE
    assert here.queue.of("github-jobs") == ["Deployment Started"]
    assert here.table.asked == {"transact_get_items": 2, "get_item": 2}


# ---- the event bus --------------------------------------------------------------------------------------------------


def test_a_fact_is_put_on_the_bus_with_its_digest_and_not_queued_for_it(here: Here) -> None:
    fact = here.release()
    (record,) = here.record(FactKind.RELEASE_READ, digest=fact["digest"])
    for _ in range(2):  # the stream may deliver a record twice
        assert here.takes(record) == DONE
    assert [each["digest"] for each in here.bus.events] == [fact["digest"]] * 2
    assert here.queue.channels() == ["topic"]


@pytest.mark.parametrize(
    "failure",
    [
        aws_error("ThrottlingException"),
        aws_error("InternalException", status=500),
        aws_error("AccessDeniedException"),
        EndpointConnectionError(endpoint_url="https://events"),
        "ThrottlingException",
    ],
    ids=["throttled", "down", "not allowed", "not reached", "entry rejected"],
)
def test_what_the_bus_does_not_accept_is_queued_and_holds_up_nothing(here: Here, failure: Any) -> None:
    """Fault 50: it is asked once for a batch, so that a bus that does not answer delays Slack and mail once."""
    here.release(**SLACK, **MAIL)
    here.bus.fails = failure
    assert here.takes(*here.record(*STAGED)) == DONE
    assert here.queue.of("bus") == here.queue.of("slack") == here.queue.of("mail") == STAGED
    assert (here.bus.asked, here.queue.aside) == (1, [])
    here.bus.fails = ""
    here.takes(*here.record(FactKind.RELEASE_RETRIED))
    assert (here.bus.names(), here.queue.of("bus")) == (["Release Retried"], STAGED)


def test_a_fact_waits_in_the_stream_while_neither_the_bus_nor_the_queue_accepts_it(here: Here) -> None:
    """Fault 50."""
    here.release()
    here.bus.fails, here.queue.down = "InternalFailure", True
    (record,) = here.record(FactKind.LOCK_ACQUIRED)
    assert here.takes(record) == {"batchItemFailures": [{"itemIdentifier": "Lock Acquired"}]}
    here.queue.down = False
    assert here.takes(record) == DONE
    assert here.queue.of("bus") == ["Lock Acquired"]


def test_a_changed_fact_is_queued_for_the_bus_and_set_aside(here: Here) -> None:
    """What leaves the queue is recorded, so that a fact that is changed again and again is not one event each time."""
    here.release()
    assert here.takes(*here.record(FactKind.DEPLOYMENT_STARTED, event="MODIFY")) == DONE
    assert (here.bus.asked, here.queue.of("bus")) == (0, ["Deployment Started"])
    assert [each["condition"] for each in here.queue.aside] == ["FactChanged"]


# ---- order ----------------------------------------------------------------------------------------------------------


def test_nothing_overtakes_a_fact_of_which_the_queue_rejected_a_part(here: Here) -> None:
    """Fault 50: the record is retried, what was accepted is not queued again, and the bus gets each fact once."""
    here.release(**SLACK, **MAIL)
    records = here.record(*STAGED)
    here.queue.rejects = lambda group: group.startswith("slack")
    for _ in range(3):
        assert here.takes(*records) == {"batchItemFailures": [{"itemIdentifier": "Deployment Started"}]}
    assert here.queue.channels() == ["topic", "mail"]
    assert here.bus.asked == 0, "it would get the fact with every retry"
    here.queue.rejects = lambda group: False
    assert here.takes(*records) == DONE
    for channel in PEOPLE:
        assert here.queue.of(channel) == STAGED
    assert here.bus.names() == STAGED
    groups = {each["MessageGroupId"] for each in here.queue.messages}
    assert groups == {f"{channel}-storefront" for channel in PEOPLE}


# ---- the cost -------------------------------------------------------------------------------------------------------


@contextmanager
def requests(patch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """The requests to AWS, by operation."""
    counted: Counter[str] = Counter()
    ask = BaseClient._make_api_call

    def asked(client: Any, name: str, parameters: Any) -> Any:
        counted[name] += 1
        return ask(client, name, parameters)

    with patch.context() as counting:
        counting.setattr(BaseClient, "_make_api_call", asked)
        yield counted


def test_the_notices_of_a_good_release_are_a_few_requests(
    world: World, queues: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a team that has mail, no Slack and no GitHub. Queued for every channel, they were 48 messages."""
    world.configure(notifications=MAIL)
    assert world.release("v1.0.0").status == "SUCCEEDED"
    facts = world.ledger.facts_of("storefront", "v1.0.0")
    assert len(facts) == 14
    with requests(monkeypatch) as counted:
        for fact in facts:
            assert world.handlers["broadcast"]({"Records": [record_of(fact)]}, None) == DONE
    assert counted == {"PutEvents": 14, "TransactGetItems": 7, "SendMessageBatch": 7}
    sent: Counter[str] = Counter()
    with requests(monkeypatch) as counted:
        while messages := waiting(queues["notices"]):
            for message in messages:
                assert notified(world, message)
                sent[json.loads(message["body"])["channel"]] += 1
                client_of("sqs").delete_message(
                    QueueUrl=queues["notices"], ReceiptHandle=message["receiptHandle"]
                )
    assert sent == {"topic": 7, "mail": 4}
    for operation in ("ReceiveMessage", "DeleteMessage"):  # Lambda's own, in AWS
        del counted[operation]
    assert counted == {"TransactGetItems": 11, "Publish": 7, "SendRawEmail": 4, "UpdateItem": 11}
