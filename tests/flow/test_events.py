"""The sample events of `events/`, each given to what takes it."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
import yaml
from botocore.client import BaseClient

from tagship.ledger import freezes
from tagship.model.schedule import Freeze
from tests.flow.harness import ROOT, STAGE, World, client_of
from tests.slack_server import slack
from tests.unit.tables import aws_error

SECRET = f"tagship/{STAGE}/storefront/slack"
FILES = sorted(path.name for path in (ROOT / "events").glob("*.json"))


def load_event(name: str) -> Any:
    """A sample event by its file's name."""
    return json.loads((ROOT / "events" / name).read_text())


def test_every_sample_event_is_listed_in_the_folders_readme_and_tested_here() -> None:
    listed = re.findall(r"^\| `([\w-]+\.json)`", (ROOT / "events" / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == FILES
    tested = set(
        re.findall(r'load_event\("([\w-]+\.json)"\)', (ROOT / "tests/flow/test_events.py").read_text())
    )
    assert tested == set(FILES)


def test_the_rule_turns_an_upload_event_into_the_state_machines_input() -> None:
    class Template(yaml.SafeLoader):
        """CloudFormation's own tags, as plain data."""

    Template.add_multi_constructor("!", lambda loader, suffix, node: str(node.value))
    rule = yaml.load((ROOT / "template.yaml").read_text(), Template)["Resources"]["UploadRule"]["Properties"]
    transformer = rule["Targets"][0]["InputTransformer"]
    event = load_event("object-created.json")
    assert event["source"] in rule["EventPattern"]["source"]
    assert event["detail-type"] in rule["EventPattern"]["detail-type"]
    made = transformer["InputTemplate"]
    for name, path in transformer["InputPathsMap"].items():
        value: Any = event
        for part in path.split(".")[1:]:
            value = value[part]
        made = made.replace(f"<{name}>", json.dumps(value))
    assert json.loads(made) == load_event("release.json")


def test_a_missing_release_is_refused_with_its_key(world: World) -> None:
    order = load_event("release.json")
    client_of("s3").create_bucket(Bucket=order["bucket"])
    ended = world.ended(world.start(order))
    assert ended.error == "ReleaseInvalid"
    assert order["key"] in ended.cause


def test_a_rollback_of_an_unknown_release_is_refused(world: World) -> None:
    ended = world.ended(world.start(load_event("rollback.json"), "rollback"))
    assert ended.error == "ApplicationUnknown"
    assert "storefront v1.4.0" in ended.cause


def test_the_supervisor_ignores_an_execution_without_a_release(world: World) -> None:
    answer = world.handlers["supervise"](load_event("execution-status-change.json"), None)
    assert answer["did"] == "nothing"


def test_an_alarm_of_no_release_does_nothing(world: World) -> None:
    assert world.handlers["watch"](load_event("alarm-state-change.json"), None) == {"did": []}


def test_an_invalid_link_gets_an_answer_and_is_not_logged(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = world.handlers["approval_page"](load_event("approval-page.json"), None)
    assert answer["statusCode"] == 403
    assert "not-a-valid-link" not in capsys.readouterr().out


def test_a_fact_from_the_stream_is_queued_for_each_channel_and_counted_in_the_metrics(
    world: World, queues: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert world.handlers["broadcast"](load_event("ledger-stream.json"), None) == {"batchItemFailures": []}
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    metrics = [line for line in printed if "DeploymentSucceeded" in line]
    assert [line["DeploymentSucceeded"] for line in metrics] == [[1.0], [1.0]]
    assert [line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] for line in metrics] == [
        [["Application", "Stage"]],
        [["Stage"]],
    ]
    queued = [json.loads(message["body"])["channel"] for message in waiting(queues["notices"])]
    assert queued == ["topic", "slack", "mail", "github", "github-jobs"], "its release is not in the ledger"


def test_a_poison_stream_record_is_set_aside_and_later_facts_are_queued_once(
    world: World, queues: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Fault 51."""
    event = load_event("ledger-stream.json")
    (good,) = event["Records"]
    keys = {"pk": {"S": "APPLICATION#storefront"}, "sk": {"S": "FACT#v1.4.0#0001#Poison#"}}
    poison = {"dynamodb": {"SequenceNumber": "7", "Keys": keys, "NewImage": keys | {"kind": {"S": "fact"}}}}
    assert world.handlers["broadcast"]({"Records": [poison, good]}, None) == {"batchItemFailures": []}
    (aside,) = waiting(queues["failures"])
    assert json.loads(aside["body"])["keys"] == keys
    assert len(waiting(queues["notices"])) == 5
    assert capsys.readouterr().out.count('"DeploymentSucceeded":[1.0]') == 2


def test_facts_keep_their_order_while_the_queue_is_down(
    world: World, queues: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 50."""
    event = load_event("ledger-stream.json")
    with monkeypatch.context() as down:
        world.patch = down
        for operation in ("SendMessage", "SendMessageBatch"):
            world.refuse(operation, aws_error("ServiceUnavailable", status=503))
        failed = [{"itemIdentifier": event["Records"][0]["dynamodb"]["SequenceNumber"]}]
        assert world.handlers["broadcast"](event, None) == {"batchItemFailures": failed}
        poison = {"dynamodb": {"SequenceNumber": "7", "NewImage": {"poison": {"S": "x"}}}}
        assert world.handlers["broadcast"]({"Records": [poison]}, None) == {
            "batchItemFailures": [{"itemIdentifier": "7"}]
        }
    assert world.handlers["broadcast"](event, None) == {"batchItemFailures": []}


# ---- notices -------------------------------------------------------------------------------------------------------


def waiting(queue: str) -> list[dict[str, Any]]:
    """The event with which a queue invokes Lambda."""
    answer = client_of("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10, AttributeNames=["All"])
    return [
        {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
        }
        for message in answer.get("Messages", [])
    ]


def notified(world: World, message: dict[str, Any]) -> bool:
    """Whether the function settled it."""
    answer = world.handlers["notify"]({"Records": [message]}, None)
    assert answer["batchItemFailures"] in ([], [{"itemIdentifier": message["messageId"]}])
    return not answer["batchItemFailures"]


def message_for(channel: str, fact: str, *, tries: int = 1) -> dict[str, Any]:
    """A message as the queue hands it over."""
    return {
        "messageId": "1",
        "receiptHandle": "none",
        "body": json.dumps({"channel": channel, "application": "storefront", "fact": fact}),
        "attributes": {
            "ApproximateReceiveCount": str(tries),
            "MessageGroupId": f"{channel}-storefront",
            "MessageDeduplicationId": f"{channel}-1",
        },
    }


def queued(queues: dict[str, str], channel: str, fact: str) -> dict[str, Any]:
    """The same from the queue itself, which knows it by its receipt."""
    client_of("sqs").send_message(
        QueueUrl=queues["notices"],
        MessageBody=message_for(channel, fact)["body"],
        MessageGroupId=fact,
        MessageDeduplicationId=fact,
    )
    (message,) = waiting(queues["notices"])
    return message


def test_every_channel_is_notified_of_an_ending_once(world: World, queues: dict[str, str]) -> None:
    """Faults 50 and 52: a duplicate is notified once."""
    world.configure(notifications={"emails": ["team@example.com"]})
    world.release("v1.4.0", notes="<b>bold</b>")
    fact = "FACT#v1.4.0#0001#Release Succeeded#"
    for _ in range(2):
        assert all(
            notified(world, message_for(channel, fact)) for channel in ("bus", "topic", "mail", "github")
        )
    (notice,) = world.notices()
    assert notice.startswith(f"storefront v1.4.0 in {STAGE}: SUCCEEDED, ")
    assert "Current release: v1.4.0 serves all traffic." in notice


def test_a_failed_channel_is_retried_later(
    world: World, queues: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 50."""
    world.configure(notifications={"emails": ["team@example.com"]})
    world.release("v1.4.0")
    message = queued(queues, "mail", "FACT#v1.4.0#0001#Release Succeeded#")
    with monkeypatch.context() as down:
        world.patch = down
        world.refuse("SendRawEmail", aws_error("ServiceUnavailable", status=503))
        assert not notified(world, message)
    assert world.notices() == []
    assert notified(world, message)
    assert len(world.notices()) == 1


TEAM, GONE, OPS = "team@example.com", "gone@example.com", "ops@example.com"


def refusing_mail(world: World, *, code: str, to: str = "") -> None:
    """SES as in its sandbox: it refuses a whole message if one address is not verified."""
    ask = BaseClient._make_api_call

    def sandboxed(client: Any, name: str, parameters: Any) -> Any:
        if name == "SendRawEmail" and (not to or to in parameters["Destinations"]):
            raise aws_error(code)
        return ask(client, name, parameters)

    world.patch.setattr(BaseClient, "_make_api_call", sandboxed)


def test_a_refused_recipient_does_not_block_the_others(
    world: World, queues: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 71: a mail for each address, and what SES refuses for good is set aside at once."""
    world.configure(notifications={"emails": [TEAM, GONE, OPS]})
    world.release("v1.4.0")
    message = message_for("mail", "FACT#v1.4.0#0001#Release Succeeded#")
    with monkeypatch.context() as sandbox:
        world.patch = sandbox
        refusing_mail(world, code="MessageRejected", to=GONE)
        for _ in range(2):  # whatever comes twice is sent once
            assert notified(world, message)
        each = waiting(queues["notices"])
        assert sorted(json.loads(it["body"])["reader"]["emails"][0] for it in each) == [GONE, OPS, TEAM]
        assert len({it["attributes"]["MessageGroupId"] for it in each}) == 3
        assert all(notified(world, it) for it in each * 2)
    assert sorted(mail.destinations[0] for mail in world.sent_notices()) == [OPS, TEAM]
    aside = [json.loads(it["body"])["reader"]["emails"] for it in waiting(queues["aside"])]
    assert aside == [[GONE]]
    assert all(notice.startswith(f"storefront v1.4.0 in {STAGE}: SUCCEEDED, ") for notice in world.notices())


@pytest.mark.parametrize("code", ["MessageRejected", "InvalidParameterValue"])
def test_if_the_only_recipient_is_permanently_refused_the_notice_is_set_aside_at_once(
    world: World, queues: dict[str, str], monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """Fault 71."""
    world.configure(notifications={"emails": [GONE]})
    world.release("v1.4.0")
    message = message_for("mail", "FACT#v1.4.0#0001#Release Succeeded#")
    with monkeypatch.context() as sandbox:
        world.patch = sandbox
        refusing_mail(world, code=code)
        assert notified(world, message)
    assert [it["body"] for it in waiting(queues["aside"])] == [message["body"]]
    assert world.notices() == []


def test_recipients_get_no_message_below_their_teams_level(world: World, queues: dict[str, str]) -> None:
    world.configure(notifications={"emails": [TEAM, OPS], "level": "problems"})
    world.release("v1.4.0")
    assert notified(world, message_for("mail", "FACT#v1.4.0#0001#Release Succeeded#"))
    assert waiting(queues["notices"]) == []
    assert world.notices() == []


def test_every_failed_delivery_attempt_measures_the_notices_age(
    world: World, queues: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fault 72: SQS leaves a message that was received often out of the age of its oldest one."""
    world.configure(notifications={"emails": [TEAM]})
    world.release("v1.4.0")
    message = queued(queues, "mail", "FACT#v1.4.0#0001#Release Succeeded#")
    capsys.readouterr()
    with monkeypatch.context() as down:
        world.patch = down
        world.refuse("SendRawEmail", aws_error("ServiceUnavailable", status=503))
        answer = world.later("notify", {"Records": [message]}, hours=2)
        assert answer["batchItemFailures"]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "NoticeWaits" in line]
    (measured,) = lines
    assert 7200 <= measured["NoticeWaits"][0] < 7300
    assert measured["Stage"] == STAGE
    assert measured["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["Stage"]]


def test_evidence_that_could_not_be_stored_is_stored_once_its_bucket_is_back(
    world: World, queues: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 50: the stream asks again from the record that failed."""
    from tagship import runtime

    client_of("s3").create_bucket(Bucket="evidence")
    monkeypatch.setenv("TAGSHIP_EVIDENCE_BUCKET", "evidence")
    runtime._runtime.cache_clear()
    assert world.release("v1.4.0").status == "SUCCEEDED"
    event = load_event("ledger-stream.json")
    (record,) = event["Records"]
    fact = world.ledger.fact("storefront", "v1.4.0", 1, "Release Succeeded")
    assert fact is not None
    record["dynamodb"]["NewImage"]["seq"] = {"N": str(fact["seq"])}
    with monkeypatch.context() as down:
        world.patch = down
        world.refuse("PutObject", aws_error("ServiceUnavailable", status=503))
        failed = [{"itemIdentifier": record["dynamodb"]["SequenceNumber"]}]
        assert world.handlers["preserve"](event, None) == {"batchItemFailures": failed}
    for _ in range(2):
        assert world.handlers["preserve"](event, None) == {"batchItemFailures": []}
    assert len(client_of("s3").list_objects_v2(Bucket="evidence")["Contents"]) == 1


def test_a_releases_notices_share_a_slack_thread_and_a_freeze_goes_to_the_channel(
    world: World, queues: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Faults 50 and 52: with Slack's own errors on the way, each once, and the token in no log and no fact."""
    caplog.set_level("INFO")
    world.configure(notifications={"slackWebhookSecret": SECRET})
    with slack() as here:
        client_of("secretsmanager").create_secret(Name=SECRET, SecretString=here.bot())
        world.release("v1.4.0", notes="<!channel>")
        (asked,) = here.messages
        for name, said in (("Deployment Started", '"ratelimited"'), ("Release Succeeded", '"invalid_auth"')):
            message = queued(queues, "slack", f"FACT#v1.4.0#0001#{name}#")
            here.answers["chat.postMessage"] = (200, f'{{"ok": false, "error": {said}}}')
            assert not notified(world, message)
            here.answers.clear()
            assert notified(world, message) and notified(world, message)
        freeze(world)
        (fact,) = [it for it in world.ledger.facts_in_order("storefront") if it["name"] == "Frozen"]
        assert notified(world, message_for("slack", fact["sk"]))
        here.answers["chat.postMessage"] = (200, '{"ok": false, "error": "invalid_blocks"}')
        aside = message_for("slack", "FACT#v1.4.0#0001#Approval Granted#ana@example.com")
        assert notified(world, aside)
        assert [message["body"] for message in waiting(queues["aside"])] == [aside["body"]]
    first, last = here.threads().values()
    assert [message.get("reply_broadcast") for message in first] == [None, False, True]
    assert first[0] is asked and "Approval needed" in asked["text"]
    assert "SUCCEEDED" in str(first[2])
    assert [message["text"] for message in last] == [f"storefront in {STAGE}"]
    assert "invalid_auth: the bot's token is not valid" in caplog.text
    assert here.token not in caplog.text + str(list(world.ledger.facts_in_order("storefront")))


def test_an_undeliverable_notice_is_set_aside_and_blocks_nothing(
    world: World, queues: dict[str, str]
) -> None:
    """Fault 51."""
    assert notified(world, message_for("bus", "FACT#v9.9.9#0001#Nothing#"))
    assert notified(world, message_for("pigeon", "FACT#v9.9.9#0001#Nothing#") | {"body": "{"})
    bodies = [message["body"] for message in waiting(queues["aside"])]
    assert bodies == [message_for("bus", "FACT#v9.9.9#0001#Nothing#")["body"], "{"]


def freeze(world: World, *, application: str = "storefront") -> None:
    starts = world.ledger.now()
    wanted = Freeze(
        id="1",
        application=application,
        reason="The quarter ends.",
        author="ana@example.com",
        starts=starts,
        ends=starts + timedelta(hours=2),
    )
    freezes.freeze(world.ledger, wanted)


def test_a_freeze_notifies_the_applications_recipients(world: World, queues: dict[str, str]) -> None:
    world.configure(notifications={"emails": ["team@example.com"]})
    world.release("v1.4.0")
    freeze(world)
    (fact,) = [it for it in world.ledger.facts_in_order("storefront") if it["name"] == "Frozen"]
    assert notified(world, message_for("mail", fact["sk"]))
    (notice,) = world.notices()
    assert "frozen by ana@example.com" in notice
    assert "The quarter ends." in notice


def test_a_freeze_of_all_applications_notifies_each_recipient_once(
    world: World, queues: dict[str, str]
) -> None:
    with slack() as here:
        others = SECRET.replace("storefront", "checkout")
        for name in (SECRET, others):
            client_of("secretsmanager").create_secret(Name=name, SecretString=here.url())
        wanted = {"slackWebhookSecret": SECRET, "emails": ["team@example.com"]}
        world.configure(notifications=wanted)
        client_of("ssm").put_parameter(
            Name=f"/tagship/{STAGE}/applications/checkout",
            Value=json.dumps({"notifications": wanted | {"slackWebhookSecret": others}}),
            Type="String",
        )
        freeze(world, application="*")
        (fact,) = world.ledger.facts_in_order("*")
        for _ in range(2):  # a duplicate is notified once
            for channel in ("slack", "mail"):
                message = message_for(channel, fact["sk"])
                body = json.loads(message["body"]) | {"application": "*"}
                assert notified(world, message | {"body": json.dumps(body)})
        passed_on = waiting(queues["notices"])
        assert len(passed_on) == 3  # each application has its own secret; the shared channel is notified once
        for message in passed_on * 2:
            assert notified(world, message)
        (posted,) = here.to("channel")
    assert posted["text"] == f"every application in {STAGE}"
    (mailed,) = world.notices()
    assert "frozen by ana@example.com" in mailed
