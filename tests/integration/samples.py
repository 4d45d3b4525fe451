"""A sample application that is released on the deployed stack, as its team and its approver see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from tagship.ledger.table import unpacked
from tests.conftest import Stack
from tests.integration.conftest import wait_for
from tools import people


class Publisher(Protocol):
    """The CI of a sample."""

    def publish(self, tag: str, *, broken: bool = False) -> object: ...


@dataclass(slots=True, kw_only=True)
class Released:
    """Publishes releases of an application, and reads from the ledger how they ended."""

    stack: Stack
    application: str
    ci: Publisher

    def publish(self, tag: str, *, broken: bool = False) -> str:
        """Publishes a release; returns the link in the approver's mail about it."""
        self.ci.publish(tag, broken=broken)

        def newest() -> Any:
            assert self.record(tag).get("status", "RUNNING") == "RUNNING", self.record(tag).get("why")
            return people.newest_to(
                self.stack.mails(), who="ana@example.com", application=self.application, tag=tag
            )

        return people.link_in(wait_for(newest, f"the mail about {tag}"))

    def ended(self, tag: str) -> dict[str, Any]:
        """A release's record when it has ended."""

        def look() -> Any:
            found = self.record(tag)
            return found if found.get("status", "RUNNING") != "RUNNING" else None

        return dict(wait_for(look, f"the end of {tag}"))

    def record(self, tag: str) -> dict[str, Any]:
        """A release's record in the ledger; empty before it was read."""
        return self._item(f"RELEASE#{tag}")

    def locked(self) -> bool:
        """Whether a release holds the application's lock."""
        return "tag" in self._item("LOCK")

    def _item(self, sk: str) -> dict[str, Any]:
        key = {"pk": {"S": f"APPLICATION#{self.application}"}, "sk": {"S": sk}}
        answer = self.stack.client("dynamodb").get_item(
            TableName=self.stack.outputs["LedgerTableName"], Key=key, ConsistentRead=True
        )
        return unpacked(answer["Item"]) if "Item" in answer else {}
