"""The entry point: the list of commands, and one clear sentence and exit code for every error."""

from __future__ import annotations

import errno
import io
import os
import sys
from importlib import import_module

import click

from tagship_cli.failures import Failed, trying
from tagship_cli.place import PLACE, STAGE_VARIABLE, STAGES, checkout, place_options

COMMANDS = {
    "init": (
        "tagship_cli.commands.init",
        "Write an application's first configuration and its CI workflow.",
    ),
    "publish": ("tagship_cli.commands.publish", "Upload a release: artifacts first, release.json last."),
    "promote": ("tagship_cli.commands.promote", "Promote a release that succeeded in one stage to the next."),
    "plan": ("tagship_cli.commands.plan", "Show what a release would change, before it is uploaded."),
    "validate": ("tagship_cli.commands.validate", "Check release.json and application.yaml, offline."),
    "preview": ("tagship_cli.commands.preview", "Preview what approvers will receive."),
    "conformance": (
        "tagship_cli.commands.conformance",
        "Test your own deployer function against the custom target protocol.",
    ),
    "role": (
        "tagship_cli.commands.role",
        "Print or deploy the role that Tagship assumes for an application.",
    ),
    "apply": ("tagship_cli.commands.apply", "Store an application's configuration for a stage."),
    "groups": (
        "tagship_cli.commands.groups",
        "Show groups of approvers, and which applications need them.",
    ),
    "doctor": ("tagship_cli.commands.doctor", "Find problems with a stage, and show how to fix them."),
    "status": (
        "tagship_cli.commands.status",
        "Show what is deployed, what is in progress and who it is waiting on.",
    ),
    "show": ("tagship_cli.commands.show", "Show everything about one release, on screen or as a page."),
    "history": ("tagship_cli.commands.history", "List an application's releases and their outcomes."),
    "watch": ("tagship_cli.commands.watch", "Follow a release until it ends."),
    "approve": ("tagship_cli.commands.decide", "Approve a release that is waiting for approval."),
    "reject": ("tagship_cli.commands.decide", "Reject a release that is waiting for approval."),
    "rollback": ("tagship_cli.commands.rollback", "Roll back a release and restore the version before it."),
    "adopt": (
        "tagship_cli.commands.adopt",
        "Make the current version the baseline, after a change by hand.",
    ),
    "retention": (
        "tagship_cli.commands.retention",
        "Show which old revisions are no longer needed, and delete them.",
    ),
    "pause": ("tagship_cli.commands.pause", "Pause a rollout before its next traffic step."),
    "resume": ("tagship_cli.commands.pause", "Continue a paused rollout."),
    "abort": ("tagship_cli.commands.abort", "Stop a release that is in progress."),
    "retry": ("tagship_cli.commands.retry", "Start a release again after it ended without success."),
    "freeze": ("tagship_cli.commands.freeze", "Block new releases in a stage for a limited time."),
    "unfreeze": ("tagship_cli.commands.freeze", "Lift a freeze early."),
    "calendar": ("tagship_cli.commands.calendar", "Show when an application may be deployed."),
    "report": ("tagship_cli.commands.report", "Report DORA's four keys and approval latency for a period."),
    "audit": ("tagship_cli.commands.audit", "Verify that an application's history was not changed."),
    "replay": ("tagship_cli.commands.replay", "Resend notifications that failed."),
    "local": ("tagship_cli.commands.local", "Run Tagship on this machine, without an AWS account."),
    "schemas": ("tagship_cli.commands.schemas", "Write the JSON Schemas of both documents."),
}
"""Each command's module and its line in the help; the module is loaded when the command is run."""

HIDDEN = frozenset({"schemas"})
"""Commands for developers of Tagship itself."""
CHECKOUT_ONLY = frozenset({"local"})
"""Commands that need a checkout of the repository."""


class Tagship(click.Group):
    """Loads a command only when it is used, and explains AWS errors in a sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """In the order in which a release needs them."""
        hidden = HIDDEN if checkout() else HIDDEN | CHECKOUT_ONLY
        return [name for name in COMMANDS if name not in hidden]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (click's)
        """The command; None if there is none with this name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(COMMANDS[cmd_name][0]), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggests the command that was probably meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            if not near:
                raise
            raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> object:
        """Runs the command, and explains errors of AWS and of this machine that the command did not handle."""
        for stream in (sys.stdout, sys.stderr):  # a legacy code page has no arrow and no check mark
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        try:
            with trying():
                return super().invoke(ctx)
        except OSError as error:
            if error.errno == errno.EPIPE or not error.strerror:
                raise  # click ends quietly if the output's reader has gone
            raise Failed(
                f"{error.filename or 'The output'} can't be read or written: {error.strerror}."
            ) from error


@click.group(
    cls=Tagship,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="""\b
Exit codes: 0 success, 1 the release or check failed, 2 wrong usage, 3 AWS error.
Options and examples of a command: tagship publish --help""",
)
@place_options
@click.version_option(package_name="tagship", message="tagship %(version)s")
@click.pass_context
def main(
    ctx: click.Context, *, stage: str | None, stack: str | None, region: str | None, profile: str | None
) -> None:
    """Ship tagged releases safely: publish a tag, get it approved, and watch it reach production or roll back."""
    ctx.meta[PLACE] = {
        "stage": stage or _stage_of_environment(),
        "stack": stack,
        "region": region,
        "profile": profile,
        "usual_region": os.environ.get("AWS_REGION"),
    }


def _stage_of_environment() -> str | None:
    stage = os.environ.get(STAGE_VARIABLE)
    if stage and stage not in STAGES:
        raise click.UsageError(f"{STAGE_VARIABLE} is {stage!r}; it must be one of {', '.join(STAGES)}.")
    return stage


if __name__ == "__main__":
    main()
