"""tagship role: the least-privilege role that an application's configuration needs, printed or deployed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tagship_cli.failures import Failed, trying
from tagship_cli.place import Place, as_json, in_a_place, new_session
from tagship_cli.views import screen

_WAIT = {"Delay": 2, "MaxAttempts": 90}
_SEEN_TIMES = 5
"""How often in a row IAM must show what was deployed: its answers come from several places, which differ for seconds."""
_LOOKS = 30


@click.command(
    epilog="""\b
Examples:
  tagship role application.yaml --stage production                  print it as a CloudFormation template
  tagship role application.yaml --stage production --deploy         show it, ask, and deploy it
  tagship role application.yaml --stage production --deploy --target-profile shop    … into the target's account"""
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, readable=True), metavar="FILE")
@click.option("--deploy", is_flag=True, help="Deploy the role as a stack in the target's account and region.")
@click.option(
    "--target-profile",
    metavar="NAME",
    help="The AWS profile for the target's account, if that is a different account.",
)
@click.option("--yes", "-y", is_flag=True, help="Deploy without a confirmation prompt.")
@in_a_place
@as_json
def role(
    *, place: Place, file: str, deploy: bool, target_profile: str | None, yes: bool, as_json: bool
) -> None:
    """Print or deploy the role that Tagship assumes for an application.

    The role trusts only the functions of this stage's stack, with the application's external id, for this application. It
    allows only what the target, the gates and the health checks in the configuration need.
    """
    from tagship_cli.actions import role as made
    from tagship_cli.actions.documents import read
    from tagship_cli.commands.apply import checked

    configuration = checked(read(file, Path(file).read_bytes()))
    place.refuse_a_long_name()
    template = made.template(
        configuration,
        bucket=place.output("ReleaseBucketName"),
        function_roles=place.output("FunctionRoles"),
    )
    if deploy:
        stack = f"{configuration.target.role.rsplit('/', 1)[-1]}-role"
        if not as_json:
            screen.say(screen.in_yaml(template))
        _ask(f"Deploy this as the stack {stack} in account {configuration.target.account}?", yes=yes)
        session = new_session(
            profile_name=target_profile or place.profile, region_name=configuration.target.region
        )
        _deploy(session, stack, template, account=configuration.target.account)
        _await_trust(session, template, pause=place.world.pause)
        if as_json:
            screen.result({"stack": stack, "role": configuration.target.role, "template": template})
        else:
            screen.say(f"{screen.good('Deployed')}: {configuration.target.role}, by the stack {stack}")
    elif as_json:
        screen.result(template)
    else:
        screen.say(screen.in_yaml(template))


def _ask(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(
            "This is not a terminal, so nobody can confirm: use --yes. Nothing was deployed."
        )
    if not click.confirm(question, err=True):
        raise Failed("Nothing was deployed.")


def _deploy(session: Any, stack: str, template: dict[str, Any], *, account: str) -> None:
    """Creates or updates the stack, and refuses any account other than the target's."""
    from botocore.exceptions import ClientError

    with trying("Looking up your AWS account"):
        found = session.client("sts").get_caller_identity()["Account"]
    if found != account:
        raise Failed(
            f"You are signed in to account {found}, but the target is in {account}. Nothing was deployed.\n"
            "Name a profile for that account with --target-profile."
        )
    cloudformation = session.client("cloudformation")
    given = {
        "StackName": stack,
        "TemplateBody": json.dumps(template),
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
    }
    with trying(f"Deploying the stack {stack}"):
        try:
            cloudformation.create_stack(**given)
            done = "stack_create_complete"
        except cloudformation.exceptions.AlreadyExistsException:
            try:
                cloudformation.update_stack(**given)
            except ClientError as error:
                if "No updates are to be performed" not in str(error):
                    raise
                return
            done = "stack_update_complete"
        cloudformation.get_waiter(done).wait(StackName=stack, WaiterConfig=_WAIT)


def _await_trust(session: Any, template: dict[str, Any], *, pause: Callable[[float], None]) -> None:
    """IAM is eventually consistent: until it answers with the new role and its trust everywhere, nobody can assume it."""
    from botocore.exceptions import ClientError

    wanted = template["Resources"]["Role"]["Properties"]
    iam, seen = session.client("iam"), 0
    for _ in range(_LOOKS):
        try:
            found = iam.get_role(RoleName=wanted["RoleName"])["Role"]["AssumeRolePolicyDocument"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchEntity":
                return  # who deploys by a pipeline's role may not be allowed to look; the target gate waits too
            found = None
        seen = seen + 1 if found == wanted["AssumeRolePolicyDocument"] else 0
        if seen == _SEEN_TIMES:
            return
        pause(1)
    screen.complain("IAM does not show the new role everywhere yet. Wait a minute before the first release.")
