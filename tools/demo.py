"""`make demo`: releases a sample application three times on this machine, with the deployed stack and no test doubles.

v1.0.0 is the first release, v1.1.0 replaces it, and v1.2.0 passes its gates and is approved, but is broken. The
approvers are those in application.yaml: each opens the real link in the real mail and presses a button on the real page.
Meanwhile customers keep sending requests, and the output shows which version answered them. `stories.py` has the texts
for each kind of target.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tagship.ledger import releases
from tagship.ledger.table import Ledger
from tools.people import decide, link_in, newest_to
from tools.stack import ACCOUNT, REGION, ROOT, STAYING, Engine, LocalError, build, deploy, is_built
from tools.stories import CANARY, STORIES, Release, Sample, Story, unshown
from tools.timeline import Share, Timeline, wait_for_execution
from tools.traffic import Traffic, flowing, shares

STAGE = "production"
RELEASE_SECONDS = 600
DECIDE_SECONDS = 14_400
STARTED_SECONDS = 30
MAIL_SECONDS = 30
AFTERWARDS_SECONDS = 2.0
CANARY_FROM, CANARY_TO = 2.0, 25.0
"""The range, in percent, in which a share of 10 % of some hundred requests can lie by chance."""
BUDGETS = {"gates": 300, "traffic": 1200, "health": 300, "rollback": 600}
"""The stack's budgets, in seconds."""
OPENING = """\
Tagship takes tagged releases to production: automatic gates, approval by people, {how}, and automatic rollback.
This demo shows it with three releases of {shown}. It runs on this machine, without an AWS account.

{steps}

{total} Ctrl-C ends it at any time, and leaves nothing behind.
"""
FIRST = "This takes {total}. The build is kept, so the next run is about a minute quicker."
AGAIN = "This takes {total}. Everything is already built, so this run is quicker than the first."
CLOSING = """
What you have seen:
{seen}
All {count} checks behind these sentences passed.
"""
WIDTH, INDENT = 110, 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the table of results."""

    what: str
    expected: str
    seen: str
    right: bool


@dataclass(slots=True)
class Demo:
    """One run."""

    engine: Engine
    stack: dict[str, str]
    story: Story
    sample: Sample
    approvers: Sequence[str]
    step: bool
    rows: list[Row] = field(default_factory=list)
    opened: float = 0.0
    """The time from which no request may fail, in seconds since 1970."""

    def release(self, release: Release, traffic: Traffic) -> bool:
        """Runs one release and prints each step as it happens. Returns whether it ended as expected."""
        say(f"\n{self.sample.name} {release.tag}: {release.about}\n")
        say(textwrap.fill(release.why, WIDTH, initial_indent="  ", subsequent_indent="  ") + "\n")
        before, published = self.sample.standing(), time.time()
        self.sample.publish(release.tag, broken=release.broken, notes=f"{release.tag}: {release.about}.")
        timeline = wait_for_execution(
            self.engine.client("stepfunctions"),
            machine=self.stack["ReleaseStateMachineArn"],
            key=f"releases/{self.sample.name}/{release.tag}/release.json",
            seconds=STARTED_SECONDS,
        )
        line(0.0, f"CI uploads {release.tag}; the upload starts the state machine")
        for moment in timeline.follow(seconds=DECIDE_SECONDS if self.step else RELEASE_SECONDS):
            if moment.left is not None:
                moving = self.story.moving if moment.state == "ShiftTraffic" and not moment.failed else ""
                if words := moving or moment.words:
                    line(moment.left - published, words)
            elif moment.state == "RequestApproval":
                self._approve(release.tag)
        ended = time.time()
        self._sum_up(release, timeline, traffic)
        time.sleep(
            AFTERWARDS_SECONDS
        )  # customers continue, and the last rows check which version answers them
        self._judge(release, timeline, traffic, before=before, ended=ended)
        if ending(timeline) != release.execution:
            say(f"\n  {release.tag} should have ended {release.execution}, so nothing more is released.")
        return ending(timeline) == release.execution

    def _approve(self, tag: str) -> None:
        """Each approver opens the link in their mail and approves; with --step, the person at this machine does."""
        links = {who: link_in(self._mail_to(who, tag)) for who in self.approvers}
        if self.step:
            say(waiting(links, tag))
            return
        for who, link in links.items():
            answer = decide(link, decision="approve")
            if answer.status != 200:
                raise LocalError(f"The approval page answered {who} with {answer.status}.")
            say(f"{'':<{INDENT}}{who} opens the link in the mail and approves")

    def _mail_to(self, who: str, tag: str) -> Any:
        deadline = time.monotonic() + MAIL_SECONDS
        while time.monotonic() < deadline:
            if mail := newest_to(self.engine.mails(), who=who, application=self.sample.name, tag=tag):
                return mail
            time.sleep(0.2)
        raise LocalError(f"No mail about {tag} reached {who} within {MAIL_SECONDS} seconds.")

    def _sum_up(self, release: Release, timeline: Timeline, traffic: Traffic) -> None:
        say(f"\n  It ended {ending(timeline)}, after {timeline.phases['in all']:.0f} s.")
        for share in timeline.shares:
            had = f"had {share.percent} % of the traffic" if self.story.canary else "was rolled out"
            say(f"  While {release.tag} {had}, customers saw: {answered(traffic, share)}.")
        say(f"  To read: {release.look}.")

    def _judge(
        self, release: Release, timeline: Timeline, traffic: Traffic, *, before: str, ended: float
    ) -> None:
        tag = release.tag
        self._expect(f"{tag} in the ledger", release.ends, self._status(tag))
        self._expect(f"{tag} as an execution", release.execution, ending(timeline))
        opens = self.story.opens and release is self.story.releases[0]
        if self.story.canary:
            highest = max((share.percent for share in timeline.shares), default=0)
            if not opens:
                self._expect_canary(tag, timeline, traffic)
            self._expect(f"{tag} got at most", f"{CANARY if release.broken else 100} %", f"{highest} %")
        afterwards = traffic.between(ended, time.time())
        serves = self.story.releases[1].tag if release.broken else tag
        self._expect(f"after {tag} customers see", f"{serves} 100.0 %", shares_in_words(afterwards))
        late = [phase for phase, seconds in BUDGETS.items() if timeline.phases.get(phase, 0) > seconds]
        self._expect(f"{tag} over its budgets", "nothing", ", ".join(late) or "nothing")
        if release.broken:
            self._expect(f"after {tag} {self.story.stands}", before, self.sample.standing())
        elif opens:
            self.opened = ended
        else:
            failed = sum(request.status != 200 for request in traffic.between(self.opened, time.time()))
            self._expect(f"failed requests until {tag} serves", "0", str(failed))

    def _expect(self, what: str, expected: str, seen: str) -> None:
        self.rows.append(Row(what=what, expected=expected, seen=seen, right=expected == seen))

    def _expect_canary(self, tag: str, timeline: Timeline, traffic: Traffic) -> None:
        canary = next((share for share in timeline.shares if share.percent == CANARY), None)
        requests = traffic.between(canary.start, canary.end) if canary else []
        percent = shares(requests).get(tag, 0.0)
        self.rows.append(
            Row(
                what=f"{tag} answered at {CANARY} %",
                expected=f"{CANARY_FROM:.0f} to {CANARY_TO:.0f} %",
                seen=f"{percent:.1f} % of {len(requests)}",
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
        return str(releases.get(ledger, self.sample.name, tag)["status"])


def run(*, target: str = "lambda", keep: bool = False, step: bool = False) -> int:
    """Runs the whole demo of a kind of target.

    Returns 0 if every check passed, 2 if this machine can't run the kind, and 130 after Ctrl-C.

    Raises LocalError if this machine lacks something, or something did not happen in time.
    """
    if why := unshown(target):
        print(why, file=sys.stderr)
        return 2
    if keep and Engine.running(STAYING):
        raise LocalError("An embedded engine is running already. Stop it first: .venv/bin/tagship local down")
    try:
        return _whole(STORIES[target], keep=keep, step=step)
    except KeyboardInterrupt:
        print("\nStopped. Nothing is left running.", file=sys.stderr)
        return 130


def _whole(story: Story, *, keep: bool, step: bool) -> int:
    began, again = time.monotonic(), is_built()
    build_time = "about 30 s" if again else "about 1 min, once"
    say(opening(story, build=build_time, again=again))
    if not again:
        with working("Building the stack with the SAM CLI"):
            build()
    folder = STAYING if keep else Path(tempfile.mkdtemp(prefix="tagship-demo-"))
    engine, forget, stays = None, True, False
    try:
        with working("Starting the embedded engine"):
            engine = Engine.start(folder, stay=keep)
        with working("Deploying the stack with the SAM CLI"):
            stack = deploy(engine, stage=STAGE)
        with working("Installing the sample application"):
            sample = story.install(engine, stage=STAGE, stack=stack)
            document = sample.configure(strategy=story.strategy)
        demo = Demo(
            engine=engine,
            stack=stack,
            story=story,
            sample=sample,
            approvers=document["approval"]["approvers"][: document["approval"]["required"]],
            step=step,
        )
        with flowing(sample.ask) as traffic:
            all(demo.release(release, traffic) for release in story.releases)
        forget = show(demo.rows, story)
        then = "" if again else " The next run does not build again, and is quicker."
        say(f"The demo took {time.monotonic() - began:.0f} s.{then}")
        stays = keep
        if keep:
            say(look_around(engine, sample, stack))
        elif not forget:
            say(f"The engine's log: {folder / 'engine.log'}")
        return 0 if forget else 1
    finally:
        if engine and not stays:
            engine.stop(forget=forget)
        elif not engine:  # stopped before the engine answered
            shutil.rmtree(folder, ignore_errors=True)


def opening(story: Story, *, build: str, again: bool) -> str:
    """The first screen: the steps, and how long they take."""
    built = "the real SAM CLI deploys the real template to an embedded AWS engine"
    steps = [
        ("Build and deploy", built, build),
        *(
            (f"Release {release.tag}", release.short, "about 20 s" if release.broken else "about 30 s")
            for release in story.releases
        ),
    ]
    return OPENING.format(
        how="a canary" if story.canary else "exactly the approved change",
        shown=story.shown,
        steps="\n".join(
            f"  {number}. {what:<20}{text:<72}{seconds}"
            for number, (what, text, seconds) in enumerate(steps, start=1)
        ),
        total=AGAIN.format(total=story.again) if again else FIRST.format(total=story.first),
    )


@contextmanager
def working(what: str) -> Iterator[None]:
    """Prints what is being done, and then how long it took; on a terminal, it counts the seconds."""
    began, done = time.monotonic(), threading.Event()

    def count() -> None:
        while not done.wait(1):
            print(f"\r{what} … {time.monotonic() - began:.0f} s ", end="", flush=True)

    counting = threading.Thread(target=count, daemon=True)
    if sys.stdout.isatty():
        counting.start()
    else:
        say(f"{what} …")
    try:
        yield
    finally:
        done.set()
        if counting.is_alive():
            counting.join()
    say(f"{chr(13) if sys.stdout.isatty() else ''}{what}: {time.monotonic() - began:.0f} s  ")


def waiting(links: Mapping[str, str], tag: str) -> str:
    """The instructions for a person who decides with --step."""
    port = urlsplit(next(iter(links.values()))).port
    listed = "\n".join(f"             {who}\n               {link}" for who, link in links.items())
    return f"""
           The release now waits for you. All {len(links)} approvers must approve. One rejection ends both release and demo.
           Open each link in a browser on this machine, read the page, and press a button:
{listed}
           From another machine, forward the port first, then open the same links:
             ssh -L {port}:127.0.0.1:{port} <this machine>
           The demo continues automatically when {tag} is decided. Ctrl-C ends it and leaves nothing behind.
"""


def say(text: str) -> None:
    """Prints a text at once, without buffering."""
    print(text, flush=True)


def line(seconds: float, words: str) -> None:
    """Prints one line of the timeline: the time, and what happened."""
    text = textwrap.fill(words, WIDTH - INDENT, subsequent_indent=" " * INDENT)
    say(f"  {seconds:>6.1f} s  {text}")


def answered(traffic: Traffic, share: Share) -> str:
    """Which versions answered while a share was in effect, and how many requests there were."""
    requests = traffic.between(share.start, share.end)
    failed = sum(request.status >= 500 for request in requests)
    errors = f", {failed} of them answered with an error" if failed else ""
    return f"{shares_in_words(requests)} of {len(requests)} requests{errors}"


def shares_in_words(requests: list[Any]) -> str:
    """The share of each version, in words."""
    if not requests:
        return "no requests"
    return ", ".join(f"{version} {percent:.1f} %" for version, percent in shares(requests).items())


def ending(timeline: Timeline) -> str:
    """An execution's status, and its error if it has one."""
    return " ".join(part for part in (timeline.status, timeline.error) if part)


def show(rows: Sequence[Row], story: Story) -> bool:
    """Prints the results: a few sentences, or a table of the checks that failed. Returns whether all passed."""
    wrong = [row for row in rows if not row.right]
    if not wrong:
        say(CLOSING.format(count=len(rows), seen="\n".join(f"  - {each}" for each in story.seen)))
        return True
    widths = [max(len(getattr(row, name)) for row in wrong) for name in ("what", "expected", "seen")]
    say(f"\n{len(wrong)} of {len(rows)} checks failed:\n")
    say(f"  {'':<{widths[0]}}  {'expected':<{widths[1]}}  {'seen':<{widths[2]}}")
    for row in wrong:
        say(f"  {row.what:<{widths[0]}}  {row.expected:<{widths[1]}}  {row.seen:<{widths[2]}}")
    return False


def look_around(engine: Engine, sample: Sample, stack: dict[str, str]) -> str:
    """The commands with which a person can explore the running stage."""
    log = (engine.folder / "engine.log").relative_to(ROOT)
    return f"""
Everything is still running. To look around:

  {sample.name:<16} {sample.url}
  the log          {log}

  export AWS_ENDPOINT_URL={engine.endpoint} AWS_REGION={REGION} AWS_DEFAULT_REGION={REGION} TAGSHIP_STAGE={STAGE}
  export AWS_ACCESS_KEY_ID={ACCOUNT} AWS_SECRET_ACCESS_KEY=test
  .venv/bin/tagship status {sample.name}
  .venv/bin/tagship history {sample.name}
  .venv/bin/tagship local mails
  aws stepfunctions list-executions --state-machine-arn {stack["ReleaseStateMachineArn"]}

Stop it with:  .venv/bin/tagship local down"""


def main() -> int:
    """The command that `make demo` runs."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.demo", description="Release a sample application three times."
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave everything running, and print how to explore it"
    )
    parser.add_argument("--step", action="store_true", help="wait for a person to decide each release")
    parser.add_argument(
        "--target", default="lambda", metavar="KIND", help=f"the kind of target: {', '.join(STORIES)}"
    )
    options = parser.parse_args()
    try:
        return run(target=options.target, keep=options.keep, step=options.step)
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
