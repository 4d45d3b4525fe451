"""tagship replay: resend notifications that failed."""

from __future__ import annotations

from typing import Any

import click

from tagship.text.words import count
from tagship_cli import options
from tagship_cli.failures import Failed, trying
from tagship_cli.place import Place, in_a_place
from tagship_cli.views import screen

_RUNNING = "RUNNING"
_UNKNOWN = ("InvalidAction", "UnknownOperationException")


@click.command(
    epilog="""\b
Examples:
  tagship replay                             resend everything that was set aside
  tagship replay storefront                  send an application's facts to every channel that has not received them
  tagship replay storefront --tag v1.4.0     only the facts of one release
  tagship replay storefront --bus            also put the facts on the event bus
\b
A channel that has already received a notification does not receive it again. Only the event bus has no record of
what it received: with --bus it can receive a fact a second time."""
)
@click.argument("application", required=False)
@click.option("--tag", metavar="TAG", help="Only the facts of this release.")
@click.option("--bus", is_flag=True, help="Also the event bus, whether it has received these facts or not.")
@in_a_place
@options.as_json
def replay(*, place: Place, application: str | None, tag: str | None, bus: bool, as_json: bool) -> None:
    """Resend failed notifications to the topic, Slack, mail and GitHub.

    Without APPLICATION, move the notices that were set aside back into their queue. Do this after you have fixed the
    cause. With APPLICATION, queue its facts again from the ledger. Do this for facts that never reached the queue.
    """
    if (tag or bus) and not application:
        raise click.UsageError(f"{'--tag' if tag else '--bus'} requires an application.")
    if application:
        number = _queued(place, application, tag, bus=bus)
        message = f"{count(number, 'fact')} of {screen.clean(application)} queued again."
    else:
        _moved_back(place)
        number, message = None, "Notices that were set aside are moving back into their queue."
    if as_json:
        screen.result({"application": application, "tag": tag, "stage": place.stage, "facts": number})
    else:
        notes = ["A channel that has already received a notification does not receive it again."]
        if application and not bus:
            notes.append("The event bus receives nothing again without --bus.")
        screen.say(message, *map(screen.dim, notes))


def _queued(place: Place, application: str, tag: str | None, *, bus: bool) -> int:
    from tagship.notices import queue
    from tagship.notices.channels import BUS, wanting

    url = place.output("NoticesQueueUrl")
    number = 0
    with trying(f"Queueing the facts of {application}"):
        ledger = place.ledger
        facts: Any = ledger.facts_of(application, tag) if tag else ledger.facts_in_order(application)
        for fact in facts:
            channels = [channel for channel in wanting(fact) if bus or channel != BUS]
            queue.publish(fact, channels, sqs=place.client("sqs"), queue_url=url)
            number += 1
    if not number:
        raise Failed(
            f"The ledger of {place.stage} has no facts of {' '.join(filter(None, (application, tag)))}."
        )
    return number


def _moved_back(place: Place) -> None:
    from botocore.exceptions import ClientError

    from tagship.aws.calls import code_of

    source = place.output("NoticesSetAsideArn")
    with trying("Moving notices back into their queue"):
        sqs = place.client("sqs")
        try:
            tasks = sqs.list_message_move_tasks(SourceArn=source).get("Results", [])
            if not any(task["Status"] == _RUNNING for task in tasks):  # a second task would be refused
                sqs.start_message_move_task(SourceArn=source)
        except ClientError as error:
            if code_of(error) not in _UNKNOWN:
                raise
            raise Failed(
                "This queue service, like the embedded engine's, can't move messages back. Nothing was "
                f"moved.\nName an application to send its facts again: tagship replay <application>{place.flags()}"
            ) from error
