"""A notice: what happened, the current release, the next steps, and a link for details."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tagship.model.facts import ENDING_KINDS, FactKind, Level
from tagship.model.proposal import is_proposal
from tagship.model.records import FactRecord, Known, RuleData
from tagship.model.rules import named, places
from tagship.model.schedule import EVERY_APPLICATION
from tagship.story.narrator import Mood, describe, ending
from tagship.text.plain import line
from tagship.text.times import moment, span, until
from tagship.text.words import console, listed

_LONGEST = 2000
"""The limit of one text, in characters; the execution has the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A fact as a notice. Every text is one line without invisible characters; each channel escapes its own markup."""

    application: str
    tag: str
    stage: str
    attempt: int
    name: str
    """The fact's name."""
    mood: Mood
    text: str
    more: tuple[str, ...]
    serves: str
    """The current release, in words; empty if this fact does not show it."""
    needed: tuple[str, ...]
    """What must be done, and by whom; empty if nothing."""
    look: str
    """The execution in AWS's console, or its name if there is no address."""

    @property
    def subject(self) -> str:
        """Its subject, the same for all notices of a release."""
        return f"{self.about} in {self.stage}"

    @property
    def about(self) -> str:
        """The release; for a fact about none (a freeze), the application, or all of them."""
        application = "every application" if self.application == EVERY_APPLICATION else self.application
        return f"{application} {self.tag}".strip()


def is_sent(fact: FactRecord, level: Level = Level.EVERYTHING) -> bool:
    """Whether people get this fact at a level; without one, whether they get it at any."""
    kind = FactKind.of(fact["name"])
    if kind is None or kind.level is None or not level.includes(kind.level):
        return False
    return fact["name"] != FactKind.HEALTH_CHECKED or fact["data"].get("verdict") != "healthy"


def notice_of(fact: FactRecord, record: Known, *, level: Level) -> Notice | None:
    """None for a fact that is not sent at this level."""
    if not is_sent(fact, level):
        return None
    words = describe(fact)
    took = ""
    if fact["name"] in ENDING_KINDS and fact["data"].get("readAt"):
        seconds = (moment(fact["at"]) - moment(fact["data"]["readAt"])).total_seconds()
        took = f", {span(round(seconds))} after it was read"
    why = fact["data"].get("why")
    because = (
        (str(why),)
        if why and fact["name"] in ENDING_KINDS and fact["name"] != FactKind.RELEASE_SUCCEEDED
        else ()
    )
    return Notice(
        application=fact["application"],
        tag=fact["tag"],
        stage=fact["stage"],
        attempt=fact["attempt"],
        name=fact["name"],
        mood=words.mood,
        text=line(f"{words.text}{took}", _LONGEST),
        more=tuple(line(more, _LONGEST) for more in words.more + because + _durations(fact)),
        serves=line(_serves(fact, record), _LONGEST),
        needed=tuple(line(needed, _LONGEST) for needed in _needed(fact, record)),
        look=console(fact["execution"]),
    )


def _durations(fact: FactRecord) -> tuple[str, ...]:
    """How long the parts of an ended release took, from the times at which they began."""
    since = fact["data"].get("durations") or {}
    if fact["name"] not in ENDING_KINDS or not isinstance(since, Mapping):
        return ()
    return tuple(
        f"{words} {span(round((moment(fact['at']) - moment(since[name])).total_seconds()))}."
        for name, words in _TOOK.items()
        if since.get(name)
    )


_TOOK = {
    "DeploymentDuration": "The deployment took",
    "RollbackDuration": "The rollback took",
    "LeadTime": "The lead time from upload to full traffic was",
}


def _serves(fact: FactRecord, record: Known) -> str:
    """Only from the fact and the plan: other sources may be newer than the fact."""
    tag, name = fact["tag"], fact["name"]
    if is_proposal(tag):
        return ""
    plan = record.get("plan")
    before = (plan["from"] if plan else None) or "the previous version"
    if name == FactKind.RELEASE_SUCCEEDED:
        return f"{tag} serves all traffic."
    if name == FactKind.RELEASE_ROLLED_BACK:
        return f"{before} serves all traffic."
    if name == FactKind.BASELINE_ADOPTED:
        return f"{fact['data']['tag'] or fact['data']['serves']} serves all traffic."
    if name == FactKind.ROLLBACK_FAILED:
        return f"Users may get {tag}, {before}, or a share of each."
    percent = fact["data"].get("percent")
    if name in (FactKind.TRAFFIC_SHIFTED, FactKind.ROLLBACK_TRIGGERED) and percent:
        return (
            f"{percent} % {tag}, {100 - percent} % {before}."
            if percent < 100
            else f"{tag} serves all traffic."
        )
    if name == FactKind.RELEASE_ABORTED and record.get("moved"):
        return f"{before} serves all traffic."
    if plan and name not in (
        FactKind.HEALTH_CHECKED,
        FactKind.BASELINE_RESTORED,
        FactKind.ROLLBACK_TRIGGERED,
        FactKind.RELEASE_PROMOTED,
        FactKind.PROMOTION_REFUSED,
    ):
        return f"{plan.get('from') or 'The previous version'} serves all traffic."
    return ""


def _each_rule(rules: Sequence[RuleData]) -> str:
    """` (1 of group platform and 1 of …)`, where there are several."""
    return f" ({listed(f'{places(rule)} of {named(rule)}' for rule in rules)})" if rules else ""


def _needed(fact: FactRecord, record: Known) -> tuple[str, ...]:
    data = fact["data"]
    if fact["name"] == FactKind.APPROVAL_REQUESTED:
        some = f"{data['required']} of {listed(data['approvers'])}{_each_rule(data.get('rules') or ())}"
        ends = until(moment(data["expiresAt"]), moment(fact["at"]))
        return (f"Approval by {some}, each with a personal link; the request expires {ends}.",)
    if fact["name"] == FactKind.APPROVERS_REMINDED and data.get("expiresAt"):
        ends = until(moment(data["expiresAt"]), moment(fact["at"]))
        return (f"Waiting for {listed(data['approvers'])}; the request expires {ends}.",)
    if fact["name"] in ENDING_KINDS:
        return tuple(
            sentence for sentence in ending(record) if not sentence.startswith("Nothing was changed")
        )
    return ()
