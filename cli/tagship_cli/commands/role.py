"""tagship role: the role that Tagship assumes for an application, or that CI assumes to publish it; printed or deployed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from tagship_cli import options
from tagship_cli.failures import Failed, trying
from tagship_cli.place import Place, in_a_place, new_session
from tagship_cli.views import screen

if TYPE_CHECKING:
    from tagship.model.application import Application, Promotion, Signature
    from tagship_cli.actions.publisher import Trust

_WAIT = {"Delay": 2, "MaxAttempts": 90}
_SEEN_TIMES = 5
"""How many times in a row IAM must show the new role. Its servers may return different answers for some seconds."""
_LOOKS = 30


@click.command(
    epilog="""\b
Examples:
  tagship role application.yaml --stage production                  print it as a CloudFormation template
  tagship role application.yaml --stage production --deploy         show it, ask, and deploy it
  tagship role application.yaml --stage production --deploy --target-profile shop    … into the target's account
  tagship role application.yaml --stage production --publisher --github acme/storefront --deploy
  tagship role application.yaml --stage production --publisher --gitlab acme/shop/storefront --deploy
  tagship role application.yaml --stage production --promoter arn:aws:iam::111122223333:role/tagship-staging-… --deploy
  tagship role application.yaml --stage production --publisher --issuer https://ci.example.com \\
      --audience tagship --subject job:storefront:release"""
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, readable=True), metavar="FILE")
@click.option("--deploy", is_flag=True, help="Deploy the role as a stack in the target's account and region.")
@click.option(
    "--target-profile",
    metavar="NAME",
    help="The AWS profile for the target's account, if that is a different account.",
)
@click.option("--publisher", is_flag=True, help="The role that CI assumes to publish the application.")
@click.option(
    "--github", metavar="OWNER/NAME", help="With --publisher: the GitHub repository whose jobs publish."
)
@click.option(
    "--github-environment",
    default="",
    metavar="NAME",
    help="With --github: the environment of the publishing job.  [default: none; the job runs for a tag]",
)
@click.option(
    "--gitlab", metavar="GROUP/NAME", help="With --publisher: the GitLab project whose jobs publish."
)
@click.option(
    "--issuer", metavar="URL", help="With --publisher: another OIDC issuer, or the URL of your GitLab."
)
@click.option("--subject", metavar="SUB", help="With --issuer: the exact subject that its tokens must have.")
@click.option(
    "--audience", metavar="AUD", help="With --gitlab or --issuer: the audience.  [default: tagship-<stage>]"
)
@click.option(
    "--promoter",
    metavar="ROLE_ARN",
    help="The role that the previous stage assumes to promote releases to this stage. ROLE_ARN: the output "
    "PromoterRoleArn of the previous stage's stack.",
)
@click.option("--yes", "-y", is_flag=True, help="Deploy without a confirmation prompt.")
@in_a_place
@options.as_json
def role(
    *,
    place: Place,
    file: str,
    deploy: bool,
    target_profile: str | None,
    publisher: bool,
    promoter: str | None,
    yes: bool,
    as_json: bool,
    **trusted: Any,
) -> None:
    """Print or deploy the role that Tagship assumes for an application.

    The role trusts only the functions of this stage's stack, with the application's external id, for this application. It
    allows only what the target, the gates and the health checks in the configuration need.

    With --publisher, the command creates the role that CI assumes to upload releases of this application. The role trusts
    one subject of one token issuer: jobs for tags that match gates.tags.pattern, or jobs of one environment.

    With --promoter, the command creates the role that the previous stage assumes to promote releases of this application
    to this stage. The role trusts only that stage's promotion function, and only for this application.
    """
    from tagship_cli.actions import role as made
    from tagship_cli.actions.documents import bytes_of, read
    from tagship_cli.commands.apply import checked

    configuration = checked(read(file, bytes_of(file)))
    place.refuse_a_long_name()
    if publisher and promoter:
        raise click.UsageError("--publisher and --promoter make two different roles: use one at a time.")
    if promoter:
        _promoter(place, configuration, promoter, deploy=deploy, yes=yes, as_json=as_json)
        return
    if publisher:
        _publisher(
            place,
            configuration,
            _trust(place, configuration, **trusted),
            deploy=deploy,
            yes=yes,
            as_json=as_json,
        )
        return
    if given := [name for name, value in trusted.items() if value]:
        raise click.UsageError(
            f"--{given[0].replace('_', '-')} is for the role that CI assumes: add --publisher."
        )
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


def _trust(
    place: Place,
    configuration: Application,
    *,
    github: str | None,
    github_environment: str,
    gitlab: str | None,
    issuer: str | None,
    subject: str | None,
    audience: str | None,
) -> Trust:
    """The trusted token issuer and subject. Raises click's UsageError if none or several are given."""
    from tagship_cli.actions import publisher as made

    tags, audience = configuration.gates.tags.pattern, audience or f"tagship-{place.stage}"
    if sum(map(bool, (github, gitlab, subject))) != 1:
        raise click.UsageError(
            "--publisher: set who publishes, with --github, --gitlab, or --issuer and --subject."
        )
    if github:
        return made.github(github, tags=tags, environment=github_environment)
    if gitlab:
        return made.gitlab(gitlab, tags=tags, audience=audience, issuer=issuer or made.GITLAB)
    if not issuer:
        raise click.UsageError("--subject: set the issuer of the subject with --issuer.")
    return made.other(issuer, audience=audience, subject=subject or "")


def _publisher(
    place: Place, configuration: Application, trust: Trust, *, deploy: bool, yes: bool, as_json: bool
) -> None:
    from tagship_cli.actions import publisher as made

    signature = configuration.gates.signature
    where = _where(place)
    template = made.template(
        trust, application=configuration.application, key_alias=_alias(signature), **where
    )
    name = made.role_name(place.stage, configuration.application)
    arn = f"arn:{where['partition']}:iam::{where['account']}:role/{name}"
    variables = {"PUBLISHER_ROLE": arn, "RELEASE_BUCKET": where["bucket"], "AWS_REGION": place.region_name}
    result: dict[str, object] = {"stack": name, "role": arn, "variables": variables, "template": template}
    if _uploading(place, name, result, account=where["account"], deploy=deploy, yes=yes, as_json=as_json):
        screen.say(
            "The account must trust the issuer. If it does not yet, run this once per account:",
            f"  {made.provider_command(trust)}",
            "The variables of the workflow:",
            *(f"  {each} = {screen.clean(value)}" for each, value in variables.items()),
        )


def _promoter(
    place: Place,
    configuration: Application,
    function_role: str,
    *,
    deploy: bool,
    yes: bool,
    as_json: bool,
) -> None:
    from tagship_cli.actions import publisher as made

    promotion = configuration.gates.promotion
    where = _where(place)
    template = made.promoter_template(
        function_role,
        application=configuration.application,
        key_alias=_alias(promotion),
        **where,
    )
    name = made.promoter_name(place.stage, configuration.application)
    arn = f"arn:{where['partition']}:iam::{where['account']}:role/{name}"
    promote = {"to": place.stage, "bucket": where["bucket"], "region": place.region_name, "role": arn}
    promote |= {"key": promotion.key} if promotion else {}
    result: dict[str, object] = {"stack": name, "role": arn, "promote": promote, "template": template}
    if _uploading(place, name, result, account=where["account"], deploy=deploy, yes=yes, as_json=as_json):
        screen.say(
            "For application.yaml of the previous stage (after: how long a release must stay healthy first):",
            "  promote:",
            "    after: P1D",
            *(f"    {each}: {screen.clean(value)}" for each, value in promote.items()),
        )


def _where(place: Place) -> dict[str, str]:
    """The stage's values for both kinds of upload role."""
    account, partition = (place.output("FunctionRoles").split(":")[part] for part in (4, 1))
    return {
        "stage": place.stage,
        "bucket": place.output("ReleaseBucketName"),
        "account": account,
        "region": place.region_name,
        "partition": partition,
    }


def _alias(signing: Signature | Promotion | None) -> str | None:
    return signing.key.rpartition(":")[2] if signing else None


def _uploading(
    place: Place,
    name: str,
    result: dict[str, object],
    *,
    account: str,
    deploy: bool,
    yes: bool,
    as_json: bool,
) -> bool:
    """Prints the template, or deploys it as a stack with this name. Returns True if there is more to say about it."""
    template = result["template"]
    assert isinstance(template, dict)
    if not as_json:
        screen.say(screen.in_yaml(template))
    if not deploy:
        if as_json:
            screen.result(template)
        return False
    _ask(f"Deploy this as the stack {name} in account {account}?", yes=yes)
    session = new_session(profile_name=place.profile, region_name=place.region_name)
    _deploy(session, name, template, account=account)
    _await_trust(session, template, pause=place.world.pause)
    if as_json:
        screen.result(result)
        return False
    screen.say(f"{screen.good('Deployed')}: {result['role']}, by the stack {name}")
    return True


def _ask(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(
            "This is not a terminal, so nobody can confirm. Use --yes. Nothing was deployed."
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
    """Waits until IAM shows the new role and its trust consistently, because before that nobody can assume it."""
    from botocore.exceptions import ClientError

    expected_role = template["Resources"]["Role"]["Properties"]
    iam, seen = session.client("iam"), 0
    for _ in range(_LOOKS):
        try:
            found = iam.get_role(RoleName=expected_role["RoleName"])["Role"]["AssumeRolePolicyDocument"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchEntity":
                return  # a pipeline's role may lack permission to read it; the target gate waits too
            found = None
        seen = seen + 1 if found == expected_role["AssumeRolePolicyDocument"] else 0
        if seen == _SEEN_TIMES:
            return
        pause(1)
    screen.complain("IAM does not show the new role everywhere yet. Wait a minute before the first release.")
