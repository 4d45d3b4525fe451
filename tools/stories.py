"""The stories of `make demo`: for each kind of target, three releases, the expected ending of each, and the lesson."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from tools.stack import Engine
from tools.traffic import Answer


class Sample(Protocol):
    """A sample application on the embedded engine."""

    @property
    def name(self) -> str:
        """Its name in application.yaml."""

    @property
    def url(self) -> str:
        """The address that customers use."""

    def configure(self, **changes: Any) -> Mapping[str, Any]:
        """Stores its application.yaml with these changes, and returns the stored document."""

    def publish(self, tag: str, *, broken: bool = False, notes: str = "") -> None:
        """Publishes a version with the command line. Raises LocalError if the command fails."""

    def standing(self) -> str:
        """The current state of the target, in words."""

    def ask(self, number: int, /) -> Answer:
        """Sends one customer's request. Raises OSError if nothing answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One release of a story, and its expected ending."""

    tag: str
    about: str
    """The heading."""
    short: str
    """The line on the first screen."""
    why: str
    """The explanation, before the release starts."""
    look: str
    """What to read afterwards: a file and its subject."""
    broken: bool = False

    @property
    def ends(self) -> str:
        """The expected status in the ledger."""
        return "ROLLED_BACK" if self.broken else "SUCCEEDED"

    @property
    def execution(self) -> str:
        """The expected status and error of the execution."""
        return "FAILED ReleaseRolledBack" if self.broken else "SUCCEEDED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """The demo of one kind of target."""

    shown: str
    """The application, in words."""
    needs: str = ""
    """A program that the engine needs on the PATH to run it."""
    sample: str
    """The module and name of its class, such as `tools.storefront:Storefront`."""
    canary: bool
    """Whether the kind can split traffic between two releases."""
    opens: bool = False
    """Whether nothing answers before the first release."""
    moving: str = ""
    """What ShiftTraffic does, for a kind that cannot split traffic."""
    stands: str
    """The beginning of a sentence that `Sample.standing` completes."""
    strategy: Mapping[str, Any]
    first: str
    """The duration with a build."""
    again: str
    """The duration without a build."""
    releases: Sequence[Release]
    seen: Sequence[str]
    """What the demo has shown, if every check passed."""

    def install(self, engine: Engine, *, stage: str, stack: Mapping[str, str]) -> Sample:
        """Installs the application on this engine."""
        module, _, name = self.sample.partition(":")
        made: Sample = getattr(import_module(module), name).install(engine, stage=stage, stack=stack)
        return made


CANARY = 10
BAKE_SECONDS = 8
_SHARED = {"percent": CANARY, "bake": BAKE_SECONDS}
_FLOW = "statemachine/release.asl.yaml is the whole flow; each state's code is in functions/<state>/app.py"
_FIRST = (
    "Nothing is deployed yet. Before approval, gates check the upload: is the tag valid, do the files match the "
    "manifest, can the target be changed? Only then do both approvers get a personal link by mail."
)

LAMBDA = Story(
    shown="a small web shop, the storefront",
    sample="tools.storefront:Storefront",
    canary=True,
    stands="the alias is",
    strategy=_SHARED,
    first="about two and a half minutes",
    again="about a minute and a half",
    releases=(
        Release(
            tag="v1.0.0",
            about="the first release",
            short="the first version",
            why=_FIRST,
            look=_FLOW,
        ),
        Release(
            tag="v1.1.0",
            about="a good version takes over",
            short="a good version takes over, without an error for any customer",
            why="A new version first gets 10 % of the traffic (the canary). Only if it stays healthy does it get the "
            "rest, so a mistake would reach few customers. Two customers send requests all the time; watch which version "
            "answers them.",
            look="docs/health.md: the health checks, and when a release counts as healthy",
        ),
        Release(
            tag="v1.2.0",
            about="a broken version that all approvers have approved",
            short="a broken version that passes its gates and is approved: rolled back",
            why="Gates and people can be wrong. This version answers every request with an error, which shows only "
            "when customers use it. Tagship detects it at 10 %, restores v1.1.0 automatically, and checks that v1.1.0 is "
            "healthy.",
            look="statemachine/rollback.asl.yaml and docs/rollback.md: what a rollback restores, and what to do if it fails",
            broken=True,
        ),
    ),
    seen=(
        "v1.0.0 and v1.1.0 reached every customer, and no customer saw an error.",
        "v1.2.0 was approved and broken. It never got more than 10 % of the traffic, and v1.1.0 serves everyone again.",
        "Nobody was needed for the rollback. The ledger and the executions say the same.",
    ),
)

STATIC_SITE = Story(
    shown="a small website behind CloudFront",
    needs="node",
    sample="tools.website:Website",
    canary=True,
    opens=True,
    stands="visitors get",
    strategy=_SHARED,
    first="about two and a half minutes",
    again="about a minute and a half",
    releases=(
        Release(
            tag="v1.0.0",
            about="the site opens",
            short="the site opens: until now its address answers 503",
            why="Nothing is deployed yet, and the site's address answers 503. First an approver opens a link in a mail. "
            "Then Tagship copies the files into a separate folder for this release, and changes the CloudFront function "
            "so that visitors get them.",
            look=_FLOW,
        ),
        Release(
            tag="v1.1.0",
            about="a good version takes over",
            short="a good version takes over, without an error for any visitor",
            why="The CloudFront function gives 10 % of the visitors the new version (the canary), and each of them "
            "stays with it. Only if it stays healthy does everyone get it. Both versions keep their files, so no "
            "page is half new.",
            look="docs/targets/static-site.md: how visitors are divided, and what the edge caches",
        ),
        Release(
            tag="v1.2.0",
            about="a broken version that an approver has approved",
            short="a page without its content, approved by mistake: rolled back",
            why="A build went wrong: the first page has lost its content, and another page is missing. The plan warns "
            "about the missing page, but the release is approved anyway. The health check requests the new version itself, "
            "and fails at 10 %.",
            look="docs/rollback.md: what a rollback restores, and what to do if it fails",
            broken=True,
        ),
    ),
    seen=(
        "v1.0.0 opened the site, and v1.1.0 took over without an error for any visitor.",
        "v1.2.0 was approved and broken. At most 10 % of the visitors got it, and everyone gets v1.1.0 again.",
        "Nobody was needed for the rollback. The ledger and the executions say the same.",
    ),
)

CLOUDFORMATION = Story(
    shown="a stack with a queue for orders",
    sample="tools.orders:Orders",
    canary=False,
    moving="CloudFormation executes the change set that was approved",
    stands="the queue keeps orders for",
    strategy={"bake": BAKE_SECONDS},
    first="about two and a half minutes",
    again="about a minute and a half",
    releases=(
        Release(
            tag="v1.0.0",
            about="the queue keeps orders for 5 days",
            short="the queue keeps orders for 5 days instead of 4",
            why="The team has already created the stack. Tagship makes a change set, shows an approver what it would "
            "do, and executes exactly this change set. Two customers send orders all the time.",
            look=_FLOW,
        ),
        Release(
            tag="v1.1.0",
            about="the queue keeps orders for 7 days",
            short="7 days, without losing any customer's order",
            why="The next update. CloudFormation computes its plan before approval: what changes, what "
            "is replaced, what is deleted. If someone else changes the stack after the plan, this change set can "
            "no longer be executed.",
            look="docs/targets/cloudformation.md: what an approver sees, and what a rollback restores",
        ),
        Release(
            tag="v1.2.0",
            about="14 days, in an update that fails half-way",
            short="14 days, in an update that fails half-way: rolled back",
            why="The update also creates a parameter whose name is already used. A change set cannot detect that, "
            "so the release passes its gates and is approved. The update fails after the queue was changed, and the "
            "previous state of the stack is restored.",
            look="docs/rollback.md: what a rollback restores, and what to do if it fails",
            broken=True,
        ),
    ),
    seen=(
        "v1.0.0 and v1.1.0 updated the stack with the change sets that were approved, and no order was refused.",
        "v1.2.0 was approved and failed half-way. The queue keeps orders for 7 days again.",
        "Nobody was needed for the rollback. The ledger and the executions say the same.",
    ),
)

STEP_FUNCTIONS = Story(
    shown="a state machine that runs the orders of a shop",
    sample="tools.checkout:Checkout",
    canary=True,
    opens=True,
    stands="the alias sends orders to",
    strategy={"percent": CANARY, "bake": 15},
    first="about three minutes",
    again="about two minutes",
    releases=(
        Release(
            tag="v1.0.0",
            about="the shop opens",
            short="the shop opens: until now the state machine has no alias",
            why="The state machine exists, but nobody can order yet: its alias is missing. Tagship publishes the definition "
            "as a version, runs one synthetic order on it, and only then creates the alias. An approver opens a link in "
            "a mail first.",
            look=_FLOW,
        ),
        Release(
            tag="v1.1.0",
            about="every order gets a parcel",
            short="every order gets a parcel, and no customer's order fails",
            why="The plan lists which states are new and what they call. The alias then gives 10 % of new orders to the new "
            "version (the canary). Orders that are running stay on the version they began with. CloudWatch counts how "
            "the orders of each version end, and this decides whether the release is healthy.",
            look="docs/targets/step-functions.md: what an approver sees, and what a rollback can't undo",
        ),
        Release(
            tag="v1.2.0",
            about="a definition that fails customers' orders, although an approver has approved it",
            short="a definition that fails real orders, approved by mistake: rolled back",
            why="The new definition reads each order's weight. The synthetic order has one, so it succeeds; customers' "
            "orders have none, so they fail. That shows only when customers order. Tagship detects it at 10 %, and sends "
            "all new orders to v1.1.0 again.",
            look="docs/rollback.md: what a rollback restores, and what to do if it fails",
            broken=True,
        ),
    ),
    seen=(
        "v1.0.0 created the alias, and v1.1.0 took over. No customer's order failed.",
        "v1.2.0 was approved and broken. At most 10 % of the orders ran on it, and new orders run on v1.1.0 again.",
        "Nobody was needed for the rollback. The ledger and the executions say the same.",
    ),
)

CUSTOM = Story(
    shown="a name in Route 53, which the team's own function moves",
    sample="tools.record:Record",
    canary=True,
    stands="the name points at",
    strategy=_SHARED,
    first="about two and a half minutes",
    again="about a minute and a half",
    releases=(
        Release(
            tag="v1.0.0",
            about="Tagship takes over the name",
            short="the name moves from the old host to the first one",
            why="Tagship does not know Route 53. The team's function does: it plans, moves and restores when Tagship "
            "calls it with a small JSON protocol. Tagship controls the order, the approvals, the time and "
            "the record.",
            look="examples/custom/app/app.py is the whole function; docs/targets/custom.md explains the protocol",
        ),
        Release(
            tag="v1.1.0",
            about="a good version takes over",
            short="a good version takes over, without an error for any customer",
            why="The record is weighted: the new host first gets 10 % (the canary). Only if it stays healthy does it "
            "get the rest. Two customers resolve the name all the time, by these weights; watch which host "
            "answers them.",
            look=_FLOW,
        ),
        Release(
            tag="v1.2.0",
            about="a broken version that an approver has approved",
            short="a broken version that passes its gates and is approved: rolled back",
            why="Gates and people can be wrong. This host answers every request with an error, which shows only when "
            "customers use it. Tagship detects it at 10 %, and calls the function to restore v1.1.0.",
            look="docs/rollback.md: what a rollback restores, and what to do if it fails",
            broken=True,
        ),
    ),
    seen=(
        "v1.0.0 and v1.1.0 reached every customer, and no customer saw an error.",
        "v1.2.0 was approved and broken. It never got more than 10 % of the traffic, and v1.1.0 serves everyone again.",
        "Nobody was needed for the rollback. The ledger and the executions say the same.",
    ),
)

ECS = Story(
    shown="a service on ECS, the catalog of a shop",
    sample="tools.service:Service",
    canary=False,
    moving="ECS replaces the tasks",
    stands="the service runs",
    strategy={"bake": BAKE_SECONDS},
    first="about two and a half minutes",
    again="about a minute and a half",
    releases=(
        Release(
            tag="v1.0.0",
            about="the first release replaces the tasks that the team deployed by hand",
            short="ECS replaces the tasks that the team deployed by hand",
            why="The service exists and runs two tasks. Tagship shows an approver what changes in the task definition, and "
            "only then registers it and lets ECS replace the tasks. There are no containers on this machine: a small "
            "server answers two customers as the images of the running tasks would.",
            look=_FLOW,
        ),
        Release(
            tag="v1.1.0",
            about="a good version takes over",
            short="a good version takes over, without an error for any customer",
            why="Each image is pinned by its digest, so what was approved is what runs. ECS replaces the tasks with the "
            "service's own strategy, and Tagship waits until all of them run.",
            look="docs/targets/ecs.md: what an approver sees, and what a rollback restores",
        ),
        Release(
            tag="v1.2.0",
            about="a broken version that an approver has approved",
            short="tasks that start and answer with errors: rolled back",
            why="These tasks start, so ECS reports no problem, but they answer every request with an error. The health "
            "check detects it, and Tagship deploys the task definition of v1.1.0 again.",
            look="docs/rollback.md: what a rollback restores, and what to do if it fails",
            broken=True,
        ),
    ),
    seen=(
        "v1.0.0 and v1.1.0 reached every customer, and no customer saw an error.",
        "v1.2.0 was approved and broken. The service runs v1.1.0's task definition again.",
        "Nobody was needed for the rollback. The ledger and the executions say the same.",
    ),
)

STORIES: Mapping[str, Story] = {
    "lambda": LAMBDA,
    "cloudformation": CLOUDFORMATION,
    "static-site": STATIC_SITE,
    "step-functions": STEP_FUNCTIONS,
    "ecs": ECS,
    "custom": CUSTOM,
}
"""By the kind of target (`target.type` in application.yaml)."""


def unshown(kind: str) -> str:
    """Why this machine can't run the demo of a kind, with a list of those that it can run; empty if it can."""
    lacks = {name for name, story in STORIES.items() if story.needs and shutil.which(story.needs) is None}
    known = ", ".join(name for name in STORIES if name not in lacks)
    if kind in lacks:
        return f"A demo of {kind} needs {STORIES[kind].needs} on the PATH. Available without it: {known}."
    if kind not in STORIES:
        return f"There is no kind of target named {kind!r}. Available: {known}."
    return ""
