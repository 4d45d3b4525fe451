"""tagship conformance: test a team's own deployer function against every promise of the `custom` protocol."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tagship_cli import options
from tagship_cli.failures import Failed, trying
from tagship_cli.place import PLACE, Place, World, can_ask
from tagship_cli.views import screen

if TYPE_CHECKING:
    from tagship_cli.conformance.live import LiveBench, Outcome, Trial

_SIGNS = {"passed": screen.good, "failed": screen.bad, "not tested": screen.dim}


@click.command(
    epilog="""\b
Example:
  tagship conformance arn:aws:lambda:eu-central-1:123456789012:function:storefront-deployer --file trial.yaml
\b
The file names what to try, on a target that only tests use:
  settings: {zone: Z0123456789ABCDEFGHIJ, record: shop.staging.example.com}
  artifacts:
    release: {bucket: storefront-trial, key: release.json, versionId: 3sL4kqtJlcpXroDTDmJ}
\b
docs/targets/custom.md explains each line of the file and of the result."""
)
@click.argument("function", metavar="FUNCTION_ARN")
@click.option(
    "--file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    metavar="FILE",
    help="The settings that the function gets, and a release that changes something.",
)
@click.option("--region", metavar="REGION", help="The AWS region.  [default: the function's own]")
@click.option("--profile", metavar="NAME", help="The AWS profile.  [default: from your AWS configuration]")
@click.option("--yes", "-y", is_flag=True, help="Move the target without a confirmation prompt.")
@options.as_json
@click.pass_context
def conformance(
    ctx: click.Context,
    *,
    function: str,
    file: Path,
    region: str | None,
    profile: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Test whether your own deployer function meets every guarantee of the custom target protocol.

    The command invokes the function with your own identity, as Tagship would: with repeated and late requests, older
    fencing numbers, and revisions that do not exist. It moves real traffic on the target, and restores the target
    afterwards. It exits with 1 if the function breaks a guarantee.
    """
    from tagship_cli.actions.trying_out import read_trial
    from tagship_cli.conformance.note import path_of

    trial = read_trial(function, file)
    before = ctx.meta.get(PLACE, {})
    place = Place(
        region=region or before.get("region") or trial.region,
        profile=profile or before.get("profile"),
        world=ctx.ensure_object(World),
    )
    bench, was_killed = _begun(place, trial, path_of(file))
    _ask(bench, was_killed=was_killed, yes=yes)
    if was_killed:
        _clean_up(bench)
    found, problem = _run(bench, quiet=as_json)
    broken = [each for each in found if each.result == "failed"]
    if as_json:
        screen.result(_document(bench, found, problem))
    else:
        _sum_up(bench, found, problem)
    if problem:
        raise Failed(
            f"The target could not be restored: {problem}\n"
            f"Check the target now. Before this command, {bench.serves['id']} had all of its traffic."
        )
    if broken:
        raise click.exceptions.Exit(1)


def _begun(place: Place, trial: Trial, note: Path) -> tuple[LiveBench, bool]:
    """Also whether an earlier run was killed, which left `note`."""
    from tagship.aws.clients import ASKED_BRIEFLY
    from tagship_cli.conformance.live import begin
    from tagship_cli.conformance.note import NotReadable

    if not os.access(note.parent, os.W_OK):
        raise Failed(
            f"{note.parent} can't be written, but the command keeps a note there to clean up after itself if it is killed. "
            "Nothing was changed."
        )
    try:
        with trying(f"Asking {trial.function} for its current revision"):
            client = place.client("lambda", config=ASKED_BRIEFLY)
            bench, was_killed = begin(
                trial,
                client,
                note=note,
                clock=lambda: place.world.now().timestamp(),
                pause=place.world.pause,
            )
    except NotReadable as error:
        raise Failed(
            f"{error}. An earlier run may have been killed, and its target must be restored first. Nothing was changed.\n"
            "Run the command with the function and settings of that run, or restore the target and delete the file."
        ) from error
    if bench is None:
        raise Failed(
            f"{trial.function} reports that nothing serves traffic yet. Nothing was changed.\n"
            "Point the target at a revision first, so that there is something to restore."
        )
    return bench, was_killed


def _clean_up(bench: LiveBench) -> None:
    """Restores what served before a run that was killed."""
    from tagship.model.errors import TagshipError
    from tagship_cli.conformance.bench import Unkept

    try:
        bench.restored()
    except (TagshipError, Unkept) as error:
        raise Failed(
            f"An earlier run was killed, and {bench.serves['id']}, the previous revision, could not be restored: {error}\n"
            f"Check the target now. {bench.note} names the candidates that may still have traffic."
        ) from error
    screen.complain(f"An earlier run was killed. Restored {screen.clean(bench.serves['id'])}.")


def _ask(bench: LiveBench, *, was_killed: bool, yes: bool) -> None:
    trial, serves = bench.trial, screen.clean(bench.serves["id"])
    when = "served before an earlier run that was killed" if was_killed else "serves now"
    announcement = (
        screen.bold(f"This moves a real target: what {trial.function} deploys."),
        *(f"  {name}: {screen.clean(value)}" for name, value in trial.settings.items()),
        f"  - {serves} {when}. The function makes a candidate, which gets 1 to 100 % of the traffic, several times.",
        f"  - After each case, and when you press Ctrl-C, all traffic returns to {serves}. The candidate is not deleted.",
        "  - The command sends about 200 requests. It waits for about 15 moves, as long as your target takes.",
        f"  - The target keeps fencing numbers from {bench.fence} on. The function then refuses smaller ones, so Tagship",
        "    can no longer release to this target: use a target that only tests use.",
    )
    if yes:
        return
    if not can_ask():
        raise click.UsageError(
            "This moves a real target. This is not a terminal, so nobody can confirm. Use --yes."
        )
    screen.complain(*announcement)
    if not click.confirm("Go on?", err=True):
        raise Failed("Nothing was changed.")


def _run(bench: LiveBench, *, quiet: bool) -> tuple[list[Outcome], str]:
    """Every outcome, and why the traffic could not be restored; empty if it was."""
    from tagship.model.errors import TagshipError
    from tagship_cli.conformance.bench import Unkept
    from tagship_cli.conformance.live import outcomes

    found = []
    try:
        # Close it here: after a Ctrl-C, the restore must be reported too.
        with _stopped_as_by_a_person(), closing(outcomes(bench)) as trying_out:
            for outcome in trying_out:
                found.append(outcome)
                if not quiet:
                    screen.say(*_lines(outcome))
    except (TagshipError, Unkept) as error:
        return found, str(error)
    return found, ""


@contextmanager
def _stopped_as_by_a_person() -> Iterator[None]:
    """The first SIGTERM, such as from a cancelled CI job, acts as Ctrl-C. A second one does not interrupt the restore."""

    def stop(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _lines(outcome: Outcome) -> list[str]:
    case = outcome.case
    sign = f"{_SIGNS[outcome.result](f'{outcome.result:<9}')}  "
    if outcome.result == "not tested":
        return screen.paragraph(f"{case.name}: {outcome.why}", indent=11, first=sign)
    lines = screen.paragraph(case.name, indent=11, first=sign)
    if outcome.result == "failed":
        lines += screen.paragraph(outcome.why, indent=13, first=f"{'':11}- ")
        lines += screen.paragraph(f"Remedy, in {case.act}: {case.remedy}", indent=13, first=f"{'':11}- ")
    return lines


def _sum_up(bench: LiveBench, found: list[Outcome], problem: str) -> None:
    count = {result: sum(each.result == result for each in found) for result in _SIGNS}
    act, seconds = bench.slowest
    screen.say(
        "",
        f"{count['passed']} guarantees passed, {count['failed']} failed, {count['not tested']} could not be tested.",
        f"{bench.client.requests} requests; the slowest answer, to {act}, took {seconds:.1f} s.",
    )
    if not problem:
        screen.say(f"{screen.clean(bench.serves['id'])} serves all traffic, as before.")


def _document(bench: LiveBench, found: list[Outcome], problem: str) -> dict[str, object]:
    act, seconds = bench.slowest
    return {
        "function": bench.trial.function,
        "region": bench.trial.region,
        "kept": not problem and all(each.result != "failed" for each in found),
        "cases": [
            {
                "name": each.case.name,
                "act": each.case.act,
                "result": each.result,
                "why": each.why,
                "remedy": each.case.remedy if each.result == "failed" else "",
            }
            for each in found
        ],
        "requests": bench.client.requests,
        "slowest": {"act": act, "seconds": round(seconds, 3)},
        "serves": bench.serves["id"],
        "putBack": not problem,
        "problem": problem,
    }
