"""tagship local: the embedded engine, for people with a checkout of the repository."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tagship_cli import options
from tagship_cli.failures import Failed
from tagship_cli.place import STAGES, checkout
from tagship_cli.views import screen

if TYPE_CHECKING:
    from tools.stack import Engine


@click.group(
    epilog="""\b
Examples:
  tagship local up          start the engine, deploy Tagship and the sample application
  tagship local demo        three releases, explained as they happen
  tagship local mails       the newest mails, with their links
  tagship local down        stop it"""
)
def local() -> None:
    """Run Tagship on this machine: the same template and code, without an AWS account and without Docker.

    Requires a checkout of Tagship's repository.
    """


@local.command(
    short_help="Start the engine, with Tagship and the sample application.",
    epilog="""\b
Examples:
  tagship local up
  tagship local up --stage production""",
)
@click.option(
    "--stage",
    type=click.Choice(STAGES),
    default=STAGES[0],
    show_default=True,
    metavar="STAGE",
    help="The stage to deploy.",
)
@options.as_json
def up(*, stage: str, as_json: bool) -> None:
    """Start the engine, deploy Tagship into it, and install the sample application.

    The engine runs until `tagship local down`. If it is already running, nothing is changed.
    """
    with _checkout():
        from tools.stack import STATE, Engine, build, deploy, outputs
        from tools.storefront import Storefront

        engine = Engine.running(STATE / "engine")
        if engine is None:
            screen.complain("Building (about half a minute when something has changed) …")
            build()
            screen.complain("Starting the embedded engine …")
            engine = Engine.start(STATE / "engine", stay=True)
            try:
                screen.complain("Deploying Tagship and the sample application …")
                Storefront.install(engine, stage=stage, stack=deploy(engine, stage=stage)).configure()
            except BaseException:
                engine.stop()
                raise
        found = next((name for name in STAGES if _deployed(engine, name)), None)
        if found is None:
            raise Failed(
                "The engine is running, but Tagship is not deployed in it.\nStart again: tagship local "
                "down, then tagship local up."
            )
        if found != stage:
            screen.complain(screen.wary(f"Note: the engine is already running the stage {found}."))
        stack = outputs(engine, f"tagship-{found}")
    if as_json:
        screen.result(
            {
                "endpoint": engine.endpoint,
                "stage": found,
                "environment": _environment(engine, found),
                "outputs": stack,
            }
        )
    else:
        screen.say(*_around(engine, found))


@local.command(
    short_help="Release a sample application three times.",
    epilog="""\b
Examples:
  tagship local demo
  tagship local demo --step                      approve on the page yourself
  tagship local demo --target cloudformation     another kind of target""",
)
@click.option(
    "--target",
    metavar="KIND",
    help="The kind of target, instead of a function. An unsupported kind makes the command list the supported ones.",
)
@click.option("--keep", is_flag=True, help="Leave everything running, and print how to explore it.")
@click.option("--step", is_flag=True, help="Pause before each approval, so that you can decide on the page.")
def demo(*, target: str | None, keep: bool, step: bool) -> None:
    """Release a sample application three times: a first release, a good one, and a broken one that is rolled back."""
    with _checkout():
        from tools.demo import run

        code = run(keep=keep, step=step, **({"target": target} if target else {}))
    raise click.exceptions.Exit(code)


@local.command(
    short_help="Show the mails that the engine captured.",
    epilog="""\b
Examples:
  tagship local mails                          the newest three
  tagship local mails ana@example.com -n 1     the newest one to ana""",
)
@click.argument("address", required=False)
@click.option(
    "-n", "number", type=click.IntRange(1), default=3, show_default=True, help="The number of mails."
)
@options.as_json
def mails(*, address: str | None, number: int, as_json: bool) -> None:
    """Show the newest mails, which the engine captures instead of sending, oldest first.

    With ADDRESS, only mails to this person. An approver's mail contains the link on which that person decides.
    """
    with _checkout():
        from tools.stack import STATE, Engine

        engine = Engine.running(STATE / "engine")
        if engine is None:
            raise Failed("No engine is running.\nStart it: tagship local up")
        kept = [mail for mail in engine.mails() if address is None or address in mail.to.split(", ")]
    shown = kept[-number:]
    if as_json:
        screen.result([{"to": it.to, "subject": it.subject, "text": it.text} for it in shown])
    elif not shown:
        screen.say(f"No mail was sent{f' to {screen.one_line(address)}' if address else ''} yet.")
    for mail in () if as_json else shown:
        screen.say(
            screen.bold(screen.one_line(f"To {mail.to}: {mail.subject}")),
            "",
            *screen.clean(mail.text.rstrip("\n")).split("\n"),
            "",
        )


@local.command(
    epilog="""\b
Example:
  tagship local down"""
)
@options.as_json
def down(*, as_json: bool) -> None:
    """Stop the engine and delete everything in it."""
    with _checkout():
        from tools.stack import STATE, Engine

        engine = Engine.running(STATE / "engine")
        if engine is not None:
            engine.stop()
    if as_json:
        screen.result({"stopped": engine is not None})
    else:
        screen.say(
            "The engine is stopped; everything in it is deleted." if engine else "No engine is running."
        )


@contextmanager
def _checkout() -> Iterator[None]:
    """Makes the checkout's tools importable.

    Raises Failed if there is no checkout, and for problems with this machine that the tools report.
    """
    root = checkout()
    if root is None:
        raise _no_checkout()
    if str(root) not in sys.path:
        sys.path.append(str(root))
    from tools.stack import LocalError

    try:
        yield
    except LocalError as error:
        raise Failed(str(error)) from error


def _no_checkout() -> Failed:
    return Failed(
        "`tagship local` requires a checkout of Tagship's repository, but this is an installed package.\n"
        "Clone the repository, run `make setup` in it, then .venv/bin/tagship local up."
    )


def _deployed(engine: Engine, stage: str) -> bool:
    from botocore.exceptions import ClientError

    try:
        engine.client("cloudformation").describe_stacks(StackName=f"tagship-{stage}")
    except ClientError:
        return False
    return True


def _environment(engine: Engine, stage: str) -> dict[str, object]:
    from tools.stack import ACCOUNT, REGION

    return {
        "AWS_ENDPOINT_URL": engine.endpoint,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": "test",
        "TAGSHIP_STAGE": stage,
    }


def _around(engine: Engine, stage: str) -> list[str]:
    from tools.storefront import Storefront

    exports = " ".join(f"{name}={value}" for name, value in _environment(engine, stage).items())
    sample = Storefront.installed(engine, stage=stage)
    tag = sample.next_tag()
    return [
        f"{screen.good('Running')}: Tagship ({stage}) and the sample application storefront, at {engine.endpoint}",
        "",
        "Use it from a shell:",
        f"  export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH",
        f"  export {exports}",
        "",
        "Release something:",
        f"  tagship publish --application storefront --tag {tag} \\",
        f"      --artifact function={shlex.quote(str(sample.packed(tag)))} \\",
        f"      --repository acme/storefront --author dana@example.com --commit {sample.commit(tag)}",
        f"  tagship watch storefront {tag}      # Ctrl-C when it waits for approval; the release continues",
        *_approvals(stage, tag, sample.deciders()),
        f"  tagship watch storefront {tag}",
        "",
        "See the mails, with their links: tagship local mails",
        "Stop it: tagship local down",
    ]


def _approvals(stage: str, tag: str, people: list[str]) -> list[str]:
    """How approvers can approve. In production, the command line requires AWS to confirm the person's identity."""
    if stage == "production":
        return [
            f"  tagship local mails {each} -n 1      # contains the link to approve on" for each in people
        ]
    return [f"  tagship approve storefront {tag} --as {each} --yes" for each in people]
