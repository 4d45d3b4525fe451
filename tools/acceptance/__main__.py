"""`make acceptance PROFILE=… REGION=…`: creates a stage in a real account, runs its releases, and removes it.

It costs less than a dollar: about a thousand requests, a KMS key for a week, a minute or two of one provisioned
execution. Without a profile it runs on the embedded engine, which tests the program and lists what the engine can't
show.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tools.acceptance import targets
from tools.acceptance.questions import QUESTIONS, Asked
from tools.acceptance.removal import remove
from tools.acceptance.report import Report
from tools.acceptance.sample import Sample, wait_for
from tools.acceptance.site import InAccount, OnEngine, Site
from tools.stack import LocalError

RELEASES = "Releases"
STOPPED = ("Tagship.Abort", "ana@example.com: the acceptance run stops it")
STATUS_SECONDS = 60
REQUEST_SECONDS = 60
"""For gates and plan, with cold starts everywhere."""
_TIMES = "How long it takes"


def run(site: Site, file: Path) -> int:
    """Returns 0 if everything was as expected and nothing remains."""
    report = Report(where=site.name, began=datetime.now(UTC))
    sample = Sample(site=site, stack={}, name=f"acceptance-{secrets.token_hex(3)}")
    try:
        print(f"Deploying {site.stack} into {site.name} …", flush=True)
        stack = site.deploy()
        sample = Sample(site=site, stack=stack, name=sample.name)
        sample.install()
        sample.configure()
        with _statuses(sample, report):
            _releases(sample, report)
        for question in (*QUESTIONS, *targets.QUESTIONS):
            question(Asked(sample=sample, report=report))
    except (LocalError, ClientError, BotoCoreError) as error:
        report.expect(RELEASES, "the run", "comes to its end", f"ended early: {error}")
    finally:
        print("Removing everything …", flush=True)
        report.remains += remove(site, application=sample.name)
        site.close()
        file.write_text(report.as_markdown(now=datetime.now(UTC)))
        print(f"The report: {file}", flush=True)
    return 0 if report.is_good else 1


def _releases(sample: Sample, report: Report) -> None:
    """The releases: first, good, broken, rejected, stopped in the console, and rolled back by the watch."""
    for tag, broken, ends in (
        ("v1.0.0", False, "SUCCEEDED"),
        ("v1.1.0", False, "SUCCEEDED"),
        ("v1.2.0", True, "ROLLED_BACK"),
    ):
        before = sample.serves()
        _timed(sample, report, tag, broken=broken)
        by = sample.decide(tag, "approve")
        report.expect(RELEASES, f"{tag}, approved by {by}", ends, sample.ending(tag))
        if broken:
            report.expect(RELEASES, f"what serves after {tag}", before, sample.serves())
    sample.publish("v1.3.0")
    by = sample.decide("v1.3.0", "reject")
    report.expect(RELEASES, f"v1.3.0, rejected by {by}", "REJECTED", sample.ending("v1.3.0"))
    sample.publish("v1.4.0")
    execution = sample.waits("v1.4.0")
    error, cause = STOPPED
    sample.site.client("stepfunctions").stop_execution(executionArn=execution, error=error, cause=cause)
    report.expect(RELEASES, "v1.4.0, stopped in the console's way", "ABORTED", sample.ending("v1.4.0"))
    sample.publish("v1.5.0")
    sample.decide("v1.5.0", "approve")
    report.expect(RELEASES, "v1.5.0, approved", "SUCCEEDED", sample.ending("v1.5.0"))
    sample.sound(sample.alarm, "ALARM")
    back = wait_for(
        lambda: (sample.record("v1.5.0") or {}).get("status") == "ROLLED_BACK" or None, "the watch's rollback"
    )
    report.expect(RELEASES, "v1.5.0, when its alarm fired in the watch", "True", str(back))
    sample.sound(sample.alarm, "OK")


def _timed(sample: Sample, report: Report, tag: str, *, broken: bool) -> None:
    began = time.monotonic()
    sample.publish(tag, broken=broken)
    sample.waits(tag)
    seconds, what = time.monotonic() - began, f"{tag}, from the upload to the request"
    if sample.site.is_real:
        report.measure(
            _TIMES, what, f"under {REQUEST_SECONDS} s", f"{seconds:.1f} s", right=seconds < REQUEST_SECONDS
        )
    else:
        report.not_shown(_TIMES, what, f"under {REQUEST_SECONDS} s", f"{seconds:.1f} s on this machine")


@contextmanager
def _statuses(sample: Sample, report: Report) -> Iterator[None]:
    """Collects EventBridge's events of ended executions in its own queue."""
    events, sqs, name = sample.site.client("events"), sample.site.client("sqs"), f"{sample.name}-statuses"
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allowed = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    sqs.set_queue_attributes(
        QueueUrl=queue, Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [allowed]})}
    )
    pattern = {
        "source": ["aws.states"],
        "detail": {
            "stateMachineArn": [sample.stack["ReleaseStateMachineArn"]],
            "status": ["ABORTED", "FAILED"],
        },
    }
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
    try:
        yield
        _judged(sample, report, sqs, queue)
    finally:
        events.remove_targets(Rule=name, Ids=["queue"])
        events.delete_rule(Name=name)
        sqs.delete_queue(QueueUrl=queue)


def _judged(sample: Sample, report: Report, sqs: Any, queue: str) -> None:
    chapter, found = "Events of executions", dict[str, Any]()

    def read() -> bool | None:
        for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=2).get(
            "Messages", []
        ):
            detail = json.loads(message["Body"])["detail"]
            found[detail["status"]] = detail
        return True if {"ABORTED", "FAILED"} <= set(found) else None

    try:
        wait_for(read, "the events", seconds=STATUS_SECONDS)
    except LocalError:
        report.expect(
            chapter, "events of an aborted and of a failed execution", "both", ", ".join(found) or "none"
        )
        return
    aborted = found["ABORTED"]
    report.expect(
        chapter,
        "the input of an aborted execution",
        "there",
        "there" if aborted.get("input") else "not there",
    )
    words = (aborted.get("error"), aborted.get("cause"))
    if sample.site.is_real or words == STOPPED:
        report.expect(
            chapter,
            "with which words it was stopped",
            " ".join(STOPPED),
            " ".join(str(each) for each in words),
        )
    else:
        report.not_shown(
            chapter, "with which words it was stopped", " ".join(STOPPED), "the engine leaves them out"
        )


def main() -> int:
    """As `make acceptance` runs it."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.acceptance", description="Take Tagship through its releases in an account."
    )
    parser.add_argument("--profile", default="", help="the AWS profile; without one, the embedded engine")
    parser.add_argument("--region", default="eu-central-1")
    parser.add_argument("--stack", default="tagship-acceptance", help="a stack that does not exist yet")
    parser.add_argument("--sender", default="", help="a verified address in SES, which mails come from")
    parser.add_argument(
        "--approver", default="", help="an address that you read; you are asked for the links that it gets"
    )
    parser.add_argument("--report", type=Path, default=Path("acceptance.md"))
    options = parser.parse_args()
    try:
        if not options.profile:
            return run(OnEngine(), options.report)
        asks = bool(options.approver) and sys.stdin.isatty()
        site = InAccount(
            profile=options.profile,
            region=options.region,
            stack=options.stack,
            approver=options.approver or "acceptance@example.com",
            sender=options.sender or "tagship@example.com",
            ask=input if asks else None,
        )
        return run(site, options.report)
    except (LocalError, BotoCoreError, ClientError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
