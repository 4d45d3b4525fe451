"""`make demo`: a sample application is released three times on this machine, by the deployed stack, with no test double.

v1.0.0 is the first, v1.1.0 takes over from it, v1.2.0 passes its gates, is approved, and is broken. Approvers are the two
people of its application.yaml: each opens the real link of the real mail and presses a button of the real page. Meanwhile
customers keep asking the storefront, and the output says who answered them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tagship.ledger import releases
from tagship.ledger.table import Ledger
from tools.people import decide, link_in, newest_to
from tools.stack import ACCOUNT, REGION, ROOT, STAYING, Engine, LocalError, build, deploy
from tools.storefront import NAME, Storefront
from tools.timeline import TOLD, Moment, Share, Timeline, wait_for_execution
from tools.traffic import Traffic, flowing, shares

STAGE = "production"
BAKE_SECONDS = 8
RELEASE_SECONDS = 600
DECIDE_SECONDS = 14_400
STARTED_SECONDS = 30
MAIL_SECONDS = 30
AFTERWARDS_SECONDS = 2.0
CANARY = 10
CANARY_FROM, CANARY_TO = 2.0, 25.0
"""A share of 10 % of some hundred requests, as chance may have it."""
BUDGETS = {"gates": 300, "traffic": 1200, "health": 300, "rollback": 600}
"""Seconds, as the stack promises them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What is released, and how it must end."""

    tag: str
    about: str
    ends: str
    execution: str
    serves: str
    broken: bool = False


RELEASES = (
    Release(
        tag="v1.0.0",
        about="the first release",
        ends="SUCCEEDED",
        execution="SUCCEEDED",
        serves="v1.0.0",
    ),
    Release(
        tag="v1.1.0",
        about="a good one: a canary, then everything",
        ends="SUCCEEDED",
        execution="SUCCEEDED",
        serves="v1.1.0",
    ),
    Release(
        tag="v1.2.0",
        about="a broken one: it passes its gates and is approved, and then it is unhealthy",
        ends="ROLLED_BACK",
        execution="FAILED ReleaseRolledBack",
        serves="v1.1.0",
        broken=True,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the last table."""

    what: str
    expected: str
    seen: str
    right: bool


@dataclass(slots=True)
class Demo:
    """One run."""

    engine: Engine
    stack: dict[str, str]
    storefront: Storefront
    approvers: Sequence[str]
    step: bool
    rows: list[Row] = field(default_factory=list)

    def release(self, release: Release, traffic: Traffic) -> bool:
        """From the upload to the ending, told while it happens; whether it ended as it must."""
        say(f"\n{NAME} {release.tag}, {release.about}\n")
        before, published = self.storefront.serves(), time.time()
        self.storefront.publish(release.tag, broken=release.broken, notes=f"{release.tag}: {release.about}.")
        timeline = wait_for_execution(
            self.engine.client("stepfunctions"),
            machine=self.stack["ReleaseStateMachineArn"],
            key=f"releases/{NAME}/{release.tag}/release.json",
            seconds=STARTED_SECONDS,
        )
        for moment in timeline.follow(seconds=DECIDE_SECONDS if self.step else RELEASE_SECONDS):
            if moment.left is None:
                if moment.state == "RequestApproval":
                    self._approve(release.tag)
            elif moment.state in TOLD:
                tell(moment, since=published)
        ended = time.time()
        self._sum_up(timeline, traffic)
        time.sleep(AFTERWARDS_SECONDS)  # customers go on, and the last rows look at who answers them
        self._judge(release, timeline, traffic, before=before, ended=ended)
        return ending(timeline) == release.execution

    def _approve(self, tag: str) -> None:
        """Each approver opens the link of their own mail and approves; with --step, people at this machine do."""
        for who in self.approvers:
            link = link_in(self._mail_to(who, tag))
            if self.step:
                say(f"           {who} may decide here:\n             {link}")
                continue
            answer = decide(link, decision="approve")
            if answer.status != 200:
                raise LocalError(f"The approval page answered {who} with {answer.status}.")
            say(f"           {who} opened the link of the mail and approved ({link.split('?')[0]})")

    def _mail_to(self, who: str, tag: str) -> Any:
        deadline = time.monotonic() + MAIL_SECONDS
        while time.monotonic() < deadline:
            if mail := newest_to(self.engine.mails(), who=who, application=NAME, tag=tag):
                return mail
            time.sleep(0.2)
        raise LocalError(f"No mail about {tag} reached {who} within {MAIL_SECONDS} seconds.")

    def _sum_up(self, timeline: Timeline, traffic: Traffic) -> None:
        say(f"\n  ended    {ending(timeline)}" + (f": {timeline.cause}" if timeline.cause else ""))
        say(
            "  took     "
            + ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in timeline.phases.items())
        )
        for share in timeline.shares:
            say(f"  traffic  while the candidate had {share.percent:>3} %: {answered(traffic, share)}")

    def _judge(
        self, release: Release, timeline: Timeline, traffic: Traffic, *, before: tuple[str, Any], ended: float
    ) -> None:
        tag = release.tag
        self._expect(f"{tag} in the ledger", release.ends, self._status(tag))
        self._expect(f"{tag} as an execution", release.execution, ending(timeline))
        self._expect_canary(tag, timeline, traffic)
        highest = max((share.percent for share in timeline.shares), default=0)
        self._expect(f"{tag} got at most", f"{CANARY if release.broken else 100} %", f"{highest} %")
        afterwards = traffic.between(ended, time.time())
        self._expect(f"after {tag} customers see", f"{release.serves} 100.0 %", told(afterwards))
        late = [phase for phase, seconds in BUDGETS.items() if timeline.phases.get(phase, 0) > seconds]
        self._expect(f"{tag} over its budgets", "nothing", ", ".join(late) or "nothing")
        if release.broken:
            self._expect(
                f"after {tag} the alias is",
                alias_in_words(*before),
                alias_in_words(*self.storefront.serves()),
            )
        else:
            failed = sum(request.status != 200 for request in traffic.requests)
            self._expect(f"failed requests until {tag} serves", "0", str(failed))

    def _expect(self, what: str, expected: str, seen: str) -> None:
        self.rows.append(Row(what=what, expected=expected, seen=seen, right=expected == seen))

    def _expect_canary(self, tag: str, timeline: Timeline, traffic: Traffic) -> None:
        canary = next((share for share in timeline.shares if share.percent == CANARY), None)
        asked = traffic.between(canary.start, canary.end) if canary else []
        percent = shares(asked).get(tag, 0.0)
        self.rows.append(
            Row(
                what=f"{tag} answered at {CANARY} %",
                expected=f"{CANARY_FROM:.0f} to {CANARY_TO:.0f} %",
                seen=f"{percent:.1f} % of {len(asked)}",
                right=CANARY_FROM <= percent <= CANARY_TO,
            )
        )

    def _status(self, tag: str) -> str:
        ledger = Ledger(
            client=self.engine.client("dynamodb"),
            table=self.stack["LedgerTableName"],
            stage=STAGE,
            now=lambda: datetime.now(UTC),
        )
        return str(releases.get(ledger, NAME, tag)["status"])


def run(*, keep: bool = False, step: bool = False) -> int:
    """The whole demo; 0 if everything was as expected.

    Raises LocalError when this machine lacks something, or something did not happen in time.
    """
    began = time.monotonic()
    folder = STAYING if keep else Path(tempfile.mkdtemp(prefix="tagship-demo-"))
    if keep and Engine.running(folder):
        raise LocalError("An embedded engine is running already: stop it first, with `tagship local down`.")
    say("building the stack with the SAM CLI (about half a minute when something has changed)")
    build()
    say("starting the embedded engine")
    engine = Engine.start(folder, stay=keep)
    as_expected = False
    try:
        say("deploying the stack with the SAM CLI")
        stack = deploy(engine, stage=STAGE)
        say(f"installing the sample application {NAME}")
        storefront = Storefront.install(engine, stage=STAGE, stack=stack)
        document = storefront.configure(strategy={"percent": CANARY, "bake": BAKE_SECONDS})
        demo = Demo(
            engine=engine,
            stack=stack,
            storefront=storefront,
            approvers=document["approval"]["approvers"][: document["approval"]["required"]],
            step=step,
        )
        with flowing(storefront.url) as traffic:
            for release in RELEASES:
                if not demo.release(release, traffic):
                    say(f"\n{release.tag} did not end as it must, so nothing more is released.")
                    break
        as_expected = show(demo.rows)
        say(f"\nThe demo took {time.monotonic() - began:.0f} s.")
        if keep:
            say(look_around(engine, storefront, stack))
        elif not as_expected:
            say(f"The engine's log: {folder / 'engine.log'}")
        return 0 if as_expected else 1
    finally:
        if not keep:
            engine.stop(forget=as_expected)


def say(text: str) -> None:
    """To the reader, at once."""
    print(text, flush=True)


def tell(moment: Moment, *, since: float) -> None:
    """One line of the timeline: when, how long, what."""
    at = (moment.left or moment.entered) - since
    say(f"  {at:>6.1f} s  {moment.state:<16} {moment.words}")


def answered(traffic: Traffic, share: Share) -> str:
    """Who answered in a span of time, and how many requests there were."""
    requests = traffic.between(share.start, share.end)
    failed = sum(request.status >= 500 for request in requests)
    errors = f", {failed} of them with an error" if failed else ""
    return f"{told(requests)} of {len(requests)} requests{errors}"


def told(requests: list[Any]) -> str:
    """The share of each version, in words."""
    if not requests:
        return "nobody asked"
    return ", ".join(f"{version} {percent:.1f} %" for version, percent in shares(requests).items())


def ending(timeline: Timeline) -> str:
    """An execution's status, and its error if it has one."""
    return " ".join(part for part in (timeline.status, timeline.error) if part)


def alias_in_words(version: str, weights: Mapping[str, float]) -> str:
    """What an alias points at."""
    return f"version {version}" + "".join(
        f" and {weight:.0%} version {other}" for other, weight in weights.items()
    )


def show(rows: Sequence[Row]) -> bool:
    """The table of what was expected and seen; whether all of it is right."""
    widths = [max(len(getattr(row, name)) for row in rows) for name in ("what", "expected", "seen")]
    say(f"\n  {'':<{widths[0]}}  {'expected':<{widths[1]}}  {'seen':<{widths[2]}}")
    for row in rows:
        mark = "as expected" if row.right else "DIFFERENT"
        say(f"  {row.what:<{widths[0]}}  {row.expected:<{widths[1]}}  {row.seen:<{widths[2]}}  {mark}")
    return all(row.right for row in rows)


def look_around(engine: Engine, storefront: Storefront, stack: dict[str, str]) -> str:
    """What somebody types who wants to see more."""
    log = (engine.folder / "engine.log").relative_to(ROOT)
    return f"""
Everything goes on running. To look around:

  the storefront   {storefront.url}
  the mails        {engine.endpoint}/_ministack/ses/messages
  the log          {log}

  export AWS_ENDPOINT_URL={engine.endpoint} AWS_REGION={REGION} TAGSHIP_STAGE={STAGE}
  export AWS_ACCESS_KEY_ID={ACCOUNT} AWS_SECRET_ACCESS_KEY=test
  .venv/bin/tagship status {NAME}
  .venv/bin/tagship history {NAME}
  aws stepfunctions list-executions --state-machine-arn {stack["ReleaseStateMachineArn"]}

Stop it with:  .venv/bin/tagship local down"""


def main() -> int:
    """As `make demo` runs it."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.demo", description="Release a sample application three times."
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave everything running, and say how to look around"
    )
    parser.add_argument(
        "--step", action="store_true", help="stop before each approval, for a person to decide"
    )
    options = parser.parse_args()
    try:
        return run(keep=options.keep, step=options.step)
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
