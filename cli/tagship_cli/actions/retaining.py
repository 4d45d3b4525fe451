"""Compares what a target keeps from earlier releases with the retention policy, with the caller's permissions."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tagship.deployment import retention
from tagship.deployment.retention import Done, Fate
from tagship.ledger import made, releases
from tagship.model.application import Application
from tagship.model.records import Revision
from tagship.targets import kind_of
from tagship.targets.kind import Keeper, Restorer
from tagship_cli.actions.planning import looked_at, signed_in
from tagship_cli.failures import Failed, trying
from tagship_cli.place import Place

if TYPE_CHECKING:
    from botocore.config import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Retaining:
    """One application's target, and the caller's identity."""

    place: Place
    configuration: Application
    keeper: Keeper
    target: Restorer
    where: str
    who: str

    @classmethod
    def of(cls, place: Place, application: str, *, target_profile: str | None) -> Retaining:
        """Raises Failed if the kind of target keeps everything, and for an account without credentials."""
        from tagship_cli.actions.deciding import whoami
        from tagship_cli.commands.plan import stored_configuration

        configuration = stored_configuration(place, application)
        spec = configuration.target
        kind = kind_of(spec)
        if kind.keeps is None:
            raise Failed(
                f"A target of type {kind.name} keeps every revision, so this command has nothing to delete. "
                "Nothing was changed."
            )
        at = signed_in(place, target_profile)
        target, where = looked_at(at, configuration)

        def client(service: str, *, config: Config | None = None, on: Sequence[str] = ()) -> Any:  # noqa: ARG001 (a person's own rights)
            return at.client(service, region=spec.region, config=config)

        keeper = kind.keeps(application=application, spec=spec, client=client)
        return cls(
            place=place,
            configuration=configuration,
            keeper=keeper,
            target=target,
            where=where,
            who=whoami(place).arn,
        )

    @property
    def application(self) -> str:
        """Its name."""
        return self.configuration.application

    @property
    def stage(self) -> str:
        """The name of its stage."""
        return self.place.stage

    def refuse_unapproved(self) -> None:
        """Raises Failed in a guarded stage if this configuration, with its policy, is not the approved one."""
        from tagship_cli.actions.guarding import unapproved

        if found := unapproved(self.place, self.application):
            raise Failed(f"Nothing was deleted: {found}")

    def look(self) -> Sequence[Fate]:
        """What would be deleted and what is kept. The ledger is read last, so that releases that just started are
        included."""
        ledger = self.place.ledger
        serving = self.target.serving()
        known = [*self._recorded(self.application), *([serving] if serving else [])]
        stored = self.keeper.stored(known)
        return retention.fates(
            self.configuration.retention,
            releases.every(ledger, self.application),
            stored,
            made=made.every(ledger, self.application),
            current=releases.current(ledger, self.application),
            serving=serving,
            now=self.place.now,
            others={name: self._recorded(name) for name in self._others()},
            stored_as=kind_of(self.configuration.target).stored_as,
        )

    def _recorded(self, application: str) -> Sequence[Revision]:
        ledger = self.place.ledger
        return retention.recorded(releases.every(ledger, application), made.every(ledger, application))

    def _others(self) -> Sequence[str]:
        """All other applications of the stage, because their targets may keep revisions in the same place."""
        from tagship_cli.views.overview import applications

        return [name for name in applications(self.place) if name != self.application]

    def apply(self, shown: Sequence[Fate]) -> Generator[Done]:
        """Deletes what the policy no longer keeps. Raises the errors of `retention.apply`."""
        with trying(f"Reading what {self.application} runs"):
            current = releases.current(self.place.ledger, self.application)
        assert current is not None, "without one, nothing is deleted"
        yield from retention.apply(
            self.place.ledger, self.keeper, current, shown, look=self.look, who=self.who
        )
