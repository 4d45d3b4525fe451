"""notify: send one fact to one channel; a channel that is down is retried separately and never blocks a release."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

from tagship.model.errors import EventNotUnderstood, TagshipError
from tagship.notices import metrics, queue
from tagship.notices.channel import Means, NeverTaken, NotDelivered
from tagship.notices.delivery import deliver
from tagship.notices.queue import Message
from tagship.runtime import Event, Runtime, about, logger, step
from tagship.slack.messages import MessageRefused, SlackFailed


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """The queue delivers one message at a time; one that failed is delivered again later."""
    failed = [message.id for message in queue.messages_in(event) if not _settled(message, runtime)]
    return {"batchItemFailures": [{"itemIdentifier": each} for each in failed]}


def _settled(message: Message, runtime: Runtime) -> bool:
    settings, client = runtime.settings, runtime.aws.client
    means = Means(
        client=client,
        ledger=runtime.ledger,
        event_bus=settings.event_bus,
        topic=settings.notification_topic,
        sender=settings.sender_address,
        slack_hosts=settings.slack_hosts,
        github_hosts=settings.github_hosts,
        guards_configuration=settings.guards_configuration,
    )
    try:
        errand, queue_url = message.errand(), settings.notices_queue
        deliver(errand, means, queue_url=queue_url, begins=lambda it: about(it, it["execution"]))
    except (MessageRefused, NeverTaken, EventNotUnderstood) as error:
        logger.error("The channel rejects this message permanently; it is set aside: %s", error)
        queue.set_aside(client("sqs"), message, queue_url=settings.notices_set_aside)
    except (NotDelivered, SlackFailed, TagshipError, ClientError, BotoCoreError) as error:
        tries, after = message.tries, getattr(error, "after", 0)
        logger.warning("Delivery attempt %d failed; will retry: %s", tries, error)
        metrics.emit_waiting(message.sent, now=runtime.now(), stage=settings.stage)
        queue.later(
            client("sqs"),
            queue_url=settings.notices_queue,
            receipt=message.receipt,
            tries=tries,
            after=after,
        )
        return False
    except Exception:  # noqa: BLE001 (whatever it is, those behind it go on)
        logger.exception("This message cannot be processed; it is set aside")
        queue.set_aside(client("sqs"), message, queue_url=settings.notices_set_aside)
    return True
