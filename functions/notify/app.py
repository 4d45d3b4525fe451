"""notify: one fact to one channel; a channel that is down is tried again on its own, and never in a release's way."""

from __future__ import annotations

import json

from botocore.exceptions import BotoCoreError, ClientError

from tagship.ledger import notices, releases
from tagship.model.errors import TagshipError
from tagship.notices import queue
from tagship.notices.channel import NotDelivered
from tagship.notices.channels import CHANNELS, Means, readers_of
from tagship.runtime import Event, Runtime, about, logger, step
from tagship.slack.messages import MessageRefused, SlackFailed


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """The queue hands over one message at a time; one that failed comes again later."""
    return {
        "batchItemFailures": [
            {"itemIdentifier": record["messageId"]}
            for record in event["Records"]
            if not _settled(record, runtime)
        ]
    }


def _settled(record: Event, runtime: Runtime) -> bool:
    sqs = runtime.aws.client("sqs")
    try:
        _tell(json.loads(record["body"]), runtime)
    except MessageRefused as error:
        logger.error("Slack will never take this (%s); it is set aside", error)
        queue.set_aside(sqs, record, queue_url=runtime.settings.notices_set_aside)
    except (NotDelivered, SlackFailed, TagshipError, ClientError, BotoCoreError) as error:
        tries = int(record["attributes"]["ApproximateReceiveCount"])
        logger.warning("Not told, for the %d. time; it is tried again: %s", tries, error)
        queue.later(
            sqs,
            queue_url=runtime.settings.notices_queue,
            receipt=record["receiptHandle"],
            tries=tries,
            after=error.after if isinstance(error, SlackFailed) else 0,
        )
        return False
    except Exception:  # noqa: BLE001 (whatever it is, those behind it go on)
        logger.exception("Nobody can be told this; it is set aside")
        queue.set_aside(sqs, record, queue_url=runtime.settings.notices_set_aside)
    return True


def _tell(message: Event, runtime: Runtime) -> None:
    fact = notices.fact_at(runtime.ledger, message["application"], message["fact"])
    if fact is None:
        raise LookupError(f"the ledger of {message['application']} has no fact {message['fact']}")
    about(fact, fact["execution"])
    channel, reader = message["channel"], message.get("reader")
    told_to = queue.line_of(channel, reader) if reader else channel
    if notices.was_told(runtime.ledger, fact, told_to):
        return
    if reader:
        _take(channel, fact, {"configuration": {"document": {"notifications": reader}}}, runtime)
    elif (readers := _readers(channel, fact, runtime)) is not None:
        queue.one_by_one(
            fact,
            channel,
            readers,
            sqs=runtime.aws.client("sqs"),
            queue_url=runtime.settings.notices_queue,
        )
    else:
        record, configuration = releases.about(runtime.ledger, fact)
        _take(channel, fact, {**(record or {}), "configuration": configuration}, runtime)
    notices.told(runtime.ledger, fact, told_to)


def _readers(channel: str, fact: Event, runtime: Runtime) -> list[Event] | None:
    return readers_of(fact, channel, ssm=runtime.aws.client("ssm"), stage=runtime.settings.stage)


def _take(channel: str, fact: Event, record: Event, runtime: Runtime) -> None:
    means = Means(
        client=runtime.aws.client,
        ledger=runtime.ledger,
        event_bus=runtime.settings.event_bus,
        topic=runtime.settings.notification_topic,
        sender=runtime.settings.sender_address,
        slack_hosts=runtime.settings.slack_hosts,
    )
    CHANNELS[channel].take(fact, record, means)
