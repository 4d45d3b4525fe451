"""The stage that a command works on: one stack, one region, one identity. AWS is called only when needed."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tagship.text.words import listed
from tagship_cli.failures import AwsRefused, Failed, trying
from tagship_cli.options import Command, Option, together

if TYPE_CHECKING:
    from botocore.config import Config

    from tagship.aws.clients import Aws
    from tagship.ledger.table import Ledger

STAGES = ("development", "staging", "production")
STAGE_VARIABLE = "TAGSHIP_STAGE"
LONGEST_STACK = 22
"""The longest stack name, in characters. CloudFormation shortens role names at 64, and
`<stack>-RemindApproversFunctionRole-<12 random>` must fit."""
PLACE = "tagship_cli.place"
"""The key under which click keeps the options given before the command."""


def utc_now() -> datetime:
    """The clock for commands that people run."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything outside the command and AWS; tests replace it."""

    now: Callable[[], datetime] = utc_now
    pause: Callable[[float], None] = time.sleep


@dataclass(slots=True, kw_only=True)
class Place:
    """A stage, its stack's outputs, and its AWS clients."""

    named_stage: str | None = None
    """The given options. Without any, the stage is looked up when it is first needed."""
    named_stack: str | None = None
    region: str | None = None
    profile: str | None = None
    usual_region: str | None = None
    """The environment's AWS_REGION, which boto3 does not read."""
    world: World = field(default_factory=World)
    _aws: Aws | None = None
    _outputs: dict[str, str] | None = None

    @property
    def stage(self) -> str:
        """The named stage, else the named stack's, else the only deployed one.

        Raises AwsRefused if none is deployed here, click's UsageError if there are several and no terminal to ask on.
        """
        if self.named_stage is None:
            self.named_stage = self._stage_of_stack() if self.named_stack else self._deployed_stage()
        return self.named_stage

    @property
    def stack(self) -> str:
        """The stage's CloudFormation stack."""
        return self.named_stack or stack_of(self.stage)

    @property
    def now(self) -> datetime:
        """The current time, from this command's clock."""
        return self.world.now()

    def client(self, service: str, *, region: str | None = None, config: Config | None = None) -> Any:
        """A client with the chosen identity, in the chosen region or in this one."""
        try:
            if region is None or region == self.region_name:
                return self.aws.client(service, config=config) if config else self.aws.client(service)
            return new_session(profile_name=self.profile, region_name=region).client(service, config=config)
        except ValueError as error:
            if not str(error).startswith("Invalid endpoint"):
                raise
            raise AwsRefused(
                f"{error}.\nCheck AWS_ENDPOINT_URL, and endpoint_url in your AWS configuration."
            ) from error

    @property
    def aws(self) -> Aws:
        """The AWS clients, each created on first use."""
        if self._aws is None:
            from tagship.aws.clients import Aws

            with trying("Reading the AWS configuration of this machine"):
                region = self.region or self.usual_region
                self._aws = Aws(session=new_session(profile_name=self.profile, region_name=region))
        return self._aws

    def output(self, name: str) -> str:
        """One of the stack's outputs.

        Raises AwsRefused if there is no such stack here, or if it is not Tagship's.
        """
        if self._outputs is None:
            self._outputs = self._described()
        if name not in self._outputs:
            raise AwsRefused(
                f"The stack {self.stack} has no output {name}. It is not a Tagship stack, or it has an "
                f"older version.\nName Tagship's stack with --stack, or deploy this version of Tagship."
            )
        return self._outputs[name]

    def listed(self, name: str) -> list[str]:
        """A comma-separated output; empty if the stack does not have it."""
        self.output("LedgerTableName")  # checks that the stack is Tagship's
        assert self._outputs is not None
        return [each.strip() for each in self._outputs.get(name, "").split(",") if each.strip()]

    @property
    def guards_configuration(self) -> bool:
        """Whether the stage requires approved configurations. False if nothing is deployed yet."""
        if self._outputs is None and self.found() is None:
            return False
        return self.listed("ConfigurationGuarded") == ["true"]

    @property
    def ledger(self) -> Ledger:
        """The stage's ledger."""
        from tagship.ledger.table import Ledger

        return Ledger(
            client=self.client("dynamodb"),
            table=self.output("LedgerTableName"),
            stage=self.stage,
            now=self.world.now,
            pause=self.world.pause,
        )

    @property
    def region_name(self) -> str:
        """The region in which the clients work."""
        return str(self.client("cloudformation").meta.region_name)

    def refuse_a_long_name(self) -> None:
        """Raises Failed if the stack's name is so long that CloudFormation shortens its role names, which trust
        policies must match."""
        if len(self.stack) > LONGEST_STACK:
            raise Failed(
                f"The stack's name {self.stack} has {len(self.stack)} characters. CloudFormation cuts the names of roles at "
                "64 characters, so no application's role would trust this stack's functions. Nothing was written.\n"
                f"Deploy the stack under a name of at most {LONGEST_STACK} characters, and remove this one."
            )

    def flags(self) -> str:
        """The flags that a suggested command needs to reach this stage. The stage is always named."""
        text = f" --stage {self.stage}"
        if self.stack != stack_of(self.stage):
            text += f" --stack {self.stack}"
        if self.region:
            text += f" --region {self.region}"
        if self.profile:
            text += f" --profile {self.profile}"
        return text

    def found(self) -> dict[str, Any] | None:
        """The stack as CloudFormation describes it; None if it is not deployed."""
        return self._stack_named(self.stack)

    def described(self) -> dict[str, Any]:
        """The stack as CloudFormation describes it. Raises AwsRefused if it is not deployed here."""
        found = self.found()
        if found is None:
            raise self._no_stack(self.stack, self.stage)
        return found

    def _described(self) -> dict[str, str]:
        found = self.described()
        return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}

    def _stack_named(self, name: str) -> dict[str, Any] | None:
        """CloudFormation's description of a stack; None if it does not exist."""
        from botocore.exceptions import ClientError

        with trying(f"Reading the stack {name}"):
            try:
                found: dict[str, object] = self.client("cloudformation").describe_stacks(StackName=name)[
                    "Stacks"
                ][0]
            except ClientError as error:
                if "does not exist" not in str(error):
                    raise
                return None
        return found

    def _no_stack(self, name: str, stage: str) -> AwsRefused:
        return AwsRefused(
            f"There is no stack {name} in {self.region_name} for your AWS identity.\nCheck --stage, "
            f"--stack, --region and --profile, or deploy it: "
            f"sam build && sam deploy --config-env {stage}"
        )

    def _stage_of_stack(self) -> str:
        assert self.named_stack is not None
        found = self._stack_named(self.named_stack)
        if found is None:
            raise self._no_stack(self.named_stack, STAGES[0])
        given = {each["ParameterKey"]: each["ParameterValue"] for each in found.get("Parameters", [])}
        if given.get("Stage") not in STAGES:
            raise click.UsageError(f"The stack {self.named_stack} does not name its stage. Set --stage.")
        return str(given["Stage"])

    def _deployed_stage(self) -> str:
        try:
            found = [stage for stage in STAGES if self._stack_named(stack_of(stage)) is not None]
        except AwsRefused as refused:
            raise AwsRefused(
                f"{refused.message}\nNo stage was named, and looking for it failed. Set --stage or "
                f"{STAGE_VARIABLE}."
            ) from refused
        if len(found) == 1:
            return found[0]
        if not found:
            raise AwsRefused(
                f"No stage of Tagship is deployed in {self.region_name} for your AWS identity: there is no "
                f"stack "
                f"{' or '.join(stack_of(stage) for stage in STAGES)}.\n"
                "Check --region and --profile, name the stack with --stack, or deploy a stage: "
                f"sam build && sam deploy --config-env {STAGES[0]}"
            )
        if can_ask():
            return str(click.prompt("Which stage?", type=click.Choice(found), err=True))
        raise click.UsageError(
            f"Which stage? {listed(found)} are deployed in {self.region_name}. Set --stage or "
            f"{STAGE_VARIABLE}."
        )


def new_session(*, profile_name: str | None, region_name: str | None) -> Any:
    """Creates a boto3 session. boto3 is imported only when AWS is needed."""
    import boto3

    return boto3.session.Session(profile_name=profile_name, region_name=region_name)


def can_ask() -> bool:
    """Whether somebody is at a terminal."""
    return sys.stdin.isatty()


def checkout() -> Path | None:
    """The repository that this package runs from; None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "template.yaml").is_file() and (root / "tools").is_dir() else None


def stack_of(stage: str) -> str:
    """The default name of a stage's stack."""
    return f"tagship-{stage}"


place_options = together(
    click.option(
        "--stage",
        type=click.Choice(STAGES),
        metavar="STAGE",
        help=f"{', '.join(STAGES[:-1])} or {STAGES[-1]}.  "
        f"[env var: {STAGE_VARIABLE}; default: the only deployed stage]",
    ),
    click.option(
        "--stack", metavar="NAME", help="The stage's CloudFormation stack.  [default: tagship-<stage>]"
    ),
    click.option(
        "--region", metavar="REGION", help="The AWS region.  [default: from your AWS configuration]"
    ),
    click.option(
        "--profile", metavar="NAME", help="The AWS profile.  [default: from your AWS configuration]"
    ),
)
"""Options that may also be given before the command."""


def in_a_place(command: Command) -> Command:
    """Adds the options that select a stage to a command, and passes it the selected `place`."""

    @place_options
    @click.pass_context
    @functools.wraps(command)
    def placed(ctx: click.Context, /, **given: Any) -> object:
        # Options after the command take precedence, then options before it, then the environment.
        before = ctx.meta.get(PLACE, {})
        named = {name: given.pop(name) or before.get(name) for name in _NAMES}
        return command(place=_place(ctx, named), **given)

    return placed


def _one_of_two(way: str, about: str) -> Option:
    return together(
        click.option(
            f"--{way}",
            f"{way}_stage",
            type=click.Choice(STAGES),
            metavar="STAGE",
            required=True,
            help=about,
        ),
        click.option(
            f"--{way}-stack",
            metavar="NAME",
            help=f"The CloudFormation stack of the --{way} stage.  [default: tagship-<stage>]",
        ),
        click.option(f"--{way}-region", metavar="REGION", help=f"The AWS region for the --{way} stage."),
        click.option(f"--{way}-profile", metavar="NAME", help=f"The AWS profile for the --{way} stage."),
    )


def between_two_places(command: Command) -> Command:
    """Adds the options that select two stages to a command, and passes it `origin` and `destination`.

    Region and profile may be given once before the command, for both. Stage and stack may not, because they always
    differ.
    """

    @_one_of_two("from", "The stage where the release succeeded.")
    @_one_of_two("to", "The stage to promote the release to.")
    @click.pass_context
    @functools.wraps(command)
    def placed(ctx: click.Context, /, **given: Any) -> object:
        before = ctx.meta.get(PLACE, {})
        both = {name: before.get(name) for name in ("region", "profile")}
        origin, destination = (
            _place(ctx, {name: given.pop(f"{way}_{name}") or both.get(name) for name in _NAMES})
            for way in ("from", "to")
        )
        return command(origin=origin, destination=destination, **given)

    return placed


_NAMES = ("stage", "stack", "region", "profile")


def _place(ctx: click.Context, named: dict[str, str | None]) -> Place:
    return Place(
        named_stage=named["stage"],
        named_stack=named["stack"],
        region=named["region"],
        profile=named["profile"],
        usual_region=ctx.meta.get(PLACE, {}).get("usual_region"),
        world=ctx.ensure_object(World),
    )
