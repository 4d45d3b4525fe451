"""tagship init: write an application's first configuration and its workflow for CI."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tagship_cli import options
from tagship_cli.failures import AwsRefused, Failed, trying
from tagship_cli.place import STAGES, Place, can_ask, in_a_place
from tagship_cli.views import screen

if TYPE_CHECKING:
    from tagship.targets.kind import Kind
    from tagship_cli.actions.starting import Answers

_CI = ("github", "gitlab", "none")


@click.command(
    epilog="""\b
Examples:
  tagship init                                      look up what is deployed, and ask for the rest
  tagship init greeter --type lambda --approver ana@example.com --approver bo@example.com \\
      --url https://greeter.example.com/ --stage production
  tagship init greeter --type lambda --offline --account 123456789012 --region eu-central-1 \\
      --approver ana@example.com --check metric --ci gitlab
\b
The command never overwrites a file: if one exists already, it writes nothing and exits with 1."""
)
@click.argument("application", required=False, metavar="[APPLICATION]")
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    default=".",
    metavar="FOLDER",
    help="The application's repository.  [default: this folder]",
)
@click.option("--type", "type_", metavar="TYPE", help="The type of target.  [default: the command asks you]")
@click.option(
    "--target",
    "given",
    multiple=True,
    metavar="FIELD=VALUE",
    help="A field of the target, like its name. Can be repeated.",
)
@click.option(
    "--account", metavar="ID", help="The target's AWS account.  [default: the one that you are signed in to]"
)
@click.option(
    "--approver",
    "approvers",
    multiple=True,
    metavar="ADDRESS",
    help="An approver's mail address. Can be repeated.",
)
@click.option(
    "--required",
    type=click.IntRange(1, 20),
    help="How many must approve.  [default: 1, or 2 with three or more approvers]",
)
@click.option(
    "--url", default="", metavar="URL", help="An address that answers when the application is healthy."
)
@click.option("--check", metavar="TYPE", help="The type of health check.  [default: http if you give --url]")
@click.option(
    "--artifact",
    "artifacts",
    multiple=True,
    metavar="NAME=PATH",
    help="A file that your build produces. Can be repeated.  [default: build/<application>.zip]",
)
@click.option(
    "--ci", type=click.Choice(_CI), help="The CI system of the workflow.  [default: detected from the folder]"
)
@click.option("--offline", is_flag=True, help="Make no calls to AWS; requires --account and --region.")
@in_a_place
@options.as_json
def init(
    *,
    place: Place,
    application: str | None,
    folder: Path,
    type_: str | None,
    given: tuple[str, ...],
    account: str | None,
    approvers: tuple[str, ...],
    required: int | None,
    url: str,
    check: str | None,
    artifacts: tuple[str, ...],
    ci: str | None,
    offline: bool,
    as_json: bool,
) -> None:
    """Write application.yaml, with comments, and a workflow that publishes a release when a tag is pushed.

    Reads the existing deployment and asks for the rest. It does not ask for values that you give as options.
    """
    from tagship_cli.actions import starting
    from tagship_cli.actions.publishing import named_file
    from tagship_cli.actions.source import origin

    address, repository = origin(folder)
    name = application or _asked(
        "The application's name", repository.rpartition("/")[2] or folder.resolve().name
    )
    stage = place.named_stage or _asked("The stage", STAGES[-1])
    kind = _kind(type_)
    account, region = account or _account(place, offline=offline), _region(place, offline=offline)
    fields = _fields(kind, given, starting.example_of(kind, name, account=account, region=region))
    target = starting.target_of(kind, name, stage=stage, account=account, region=region, given=fields)
    people = list(approvers) or _people()
    answers = starting.Answers(
        application=name,
        stage=stage,
        kind=kind,
        target=target,
        approvers=people,
        required=required or (2 if len(people) > 2 else 1),
        check=_check(name, check, url),
    )
    text, configuration = starting.configuration(answers)
    brought = kind.brings(configuration.target)
    named = list(artifacts) or [
        f"{each}=build/{name if each in kind.artifacts else each}.zip" for each in brought
    ]
    for each in named:
        named_file(each)
    chosen = ci or starting.ci_of(folder, address) or "none"
    files = {starting.CONFIGURATION: text}
    if chosen != "none":
        files[starting.WORKFLOWS[chosen]] = starting.workflow(chosen, answers, named)
    starting.write(folder, files)
    seen = [] if offline else list(_seen(place, answers))
    steps = _next(answers, chosen, place, repository, named)
    if as_json:
        screen.result({"written": [path.as_posix() for path in files], "seen": seen, "next": steps})
    else:
        wrote = [f"{screen.good('Written')}: {folder / path}" for path in files]
        screen.say(*wrote, *(screen.clean(each) for each in seen), "", *_advice(chosen), "Next:")
        screen.say(*(f"  {screen.clean(each)}" for each in steps))


def _asked(what: str, default: str = "") -> str:
    """The person's answer; the default if no terminal is there to ask on. Raises click's UsageError if there is no
    default."""
    if can_ask():
        return str(click.prompt(what, default=default or None, err=True))
    if not default:
        raise click.UsageError(f"{what}? This is not a terminal, so nobody can answer: use the options.")
    return default


def _kind(named: str | None) -> Kind:
    from tagship.targets import KINDS

    chosen = named or (
        next(iter(KINDS)) if len(KINDS) == 1 else _asked(f"The type of target (--type {', '.join(KINDS)})")
    )
    if chosen not in KINDS:
        raise click.BadParameter(f"{chosen!r} is not one of {', '.join(KINDS)}.", param_hint="--type")
    return KINDS[chosen]


def _fields(kind: Kind, given: tuple[str, ...], example: Mapping[str, object]) -> dict[str, str]:
    """The target's fields: those given as options, and the answers to questions."""
    from tagship_cli.actions import starting
    from tagship_cli.commands.publish import pair

    named = dict(pair(each, option="--target") for each in given)
    for name in starting.required_fields(kind):
        if name not in named:
            named[name] = _asked(f"target.{name}", starting.as_text(example[name]))
    return named


def _account(place: Place, *, offline: bool) -> str:
    if not offline:
        with _or_asked("the account"), trying("Looking up your AWS identity"):
            return str(place.client("sts").get_caller_identity()["Account"])
    return _asked("The target's AWS account, 12 digits (--account)")


def _region(place: Place, *, offline: bool) -> str:
    named = place.region or place.usual_region
    if named:
        return named
    if not offline:
        with _or_asked("the region"):
            return place.region_name
    return _asked("The target's region (--region)")


@contextmanager
def _or_asked(what: str) -> Iterator[None]:
    """If AWS can't provide the value, says so, and a person is asked instead."""
    try:
        yield
    except (AwsRefused, Failed) as refused:
        screen.complain(screen.wary(f"Could not look up {what}: {refused.message}"))


def _people() -> list[str]:
    given = _asked("Who approves? Mail addresses, separated by commas; name at least two (--approver)")
    return [each.strip() for each in given.split(",") if each.strip()]


def _check(application: str, type_: str | None, url: str) -> dict[str, object]:
    from tagship.health import kinds
    from tagship_cli.actions import starting

    if not type_ and not url and can_ask():
        url = _asked("A URL that answers when the application is healthy (empty for none)", " ").strip()
    if not (chosen := type_ or ("http" if url else "")):
        chosen = _asked(
            f"The type of health check (--check {'|'.join(kinds())}; see docs/getting-started.md)"
        )
    if chosen not in kinds():
        raise click.BadParameter(f"{chosen!r} is not one of {', '.join(kinds())}.", param_hint="--check")
    return starting.check_of(chosen, application, url=url)


def _seen(place: Place, answers: Answers) -> Iterator[str]:
    """The existing target, as the gate `target` checks it."""
    from tagship.model.errors import TagshipError
    from tagship_cli.actions import starting
    from tagship_cli.actions.planning import looked_at

    _, configuration = starting.configuration(answers)
    try:
        target, where = looked_at(place, configuration)
        found = target.check(None)
        serves = answers.kind.describe(configuration.target, target.serving())
    except (AwsRefused, Failed) as refused:
        yield f"Could not look at the target: {refused.message}"
    except TagshipError as error:
        yield f"It can't take a release yet: {error}"
    else:
        yield f"Looked at {where}: {f'it serves {serves}' if serves else 'nothing was released there yet'}. {found.said}"
        if found.warning:
            yield f"Note: {found.warning}"


def _advice(ci: str) -> list[str]:
    if ci == "none":
        return ["No workflow was written. --ci github or --ci gitlab writes one."]
    return ["Set the variables listed at the top of the workflow, then commit both files."]


def _next(answers: Answers, ci: str, place: Place, repository: str, artifacts: list[str]) -> list[str]:
    """The next three commands."""
    flags = replace(place, named_stage=answers.stage).flags()
    brought = " ".join(f"--artifact {each}" for each in artifacts)
    publish = f"tagship publish --application {answers.application} --tag v1.0.0 {brought}{flags}"
    trust = {
        "github": f"--github {repository or 'OWNER/NAME'}",
        "gitlab": f"--gitlab {repository or 'GROUP/NAME'}",
    }.get(ci)
    return [
        f"tagship role application.yaml --deploy{flags}",
        f"tagship apply application.yaml{flags}",
        f"tagship role application.yaml --publisher {trust} --deploy{flags}" if trust else publish,
    ]
