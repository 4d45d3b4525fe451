"""tagship replay: tell again what channels could not be told."""

from __future__ import annotations

from typing import Any

import click

from tagship.text.words import count
from tagship_cli.failures import Failed, trying
from tagship_cli.place import Place, as_json, in_a_place
from tagship_cli.views import screen

_RUNNING = "RUNNING"


@click.command(
    epilog="""\b
Examples:
  tagship replay                             what was set aside, everywhere
  tagship replay storefront                  every fact of an application that a channel has not taken
  tagship replay storefront --tag v1.4.0     those of one release
\b
Whoever was told of something is not told again."""
)
@click.argument("application", required=False)
@click.option("--tag", metavar="TAG", help="Only what happened to this release.")
@in_a_place
@as_json
def replay(*, place: Place, application: str | None, tag: str | None, as_json: bool) -> None:
    """Tell the bus, the topic, Slack, mail and GitHub what they could not be told.

    Without an application, the notices that were set aside go back into their queue: do that when what stood in their way
    is mended. With one, its facts are queued again from the ledger: for what was lost before it came into the queue.
    """
    if tag and not application:
        raise click.UsageError("--tag needs an application.")
    if application:
        number = _queued(place, application, tag)
        told = f"{count(number, 'fact')} of {screen.clean(application)} queued again."
    else:
        _moved_back(place)
        number, told = None, "What was set aside goes back into its queue."
    if as_json:
        screen.result({"application": application, "tag": tag, "stage": place.stage, "facts": number})
    else:
        screen.say(told, screen.dim("Whoever was told of something is not told again."))


def _queued(place: Place, application: str, tag: str | None) -> int:
    from tagship.notices import queue
    from tagship.notices.channels import wanting

    url = place.output("NoticesQueueUrl")
    number = 0
    with trying(f"Queueing the facts of {application}"):
        ledger = place.ledger
        facts: Any = ledger.facts_of(application, tag) if tag else ledger.facts_in_order(application)
        for fact in facts:
            queue.publish(fact, wanting(fact["name"]), sqs=place.client("sqs"), queue_url=url)
            number += 1
    if not number:
        raise Failed(
            f"The ledger of {place.stage} has no facts of {' '.join(filter(None, (application, tag)))}."
        )
    return number


def _moved_back(place: Place) -> None:
    source = place.output("NoticesSetAsideArn")
    with trying("Moving notices back into their queue"):
        sqs = place.client("sqs")
        tasks = sqs.list_message_move_tasks(SourceArn=source).get("Results", [])
        if not any(task["Status"] == _RUNNING for task in tasks):  # a second one would be refused
            sqs.start_message_move_task(SourceArn=source)
