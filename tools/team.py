"""Acts as the team of a sample application on the embedded engine: configures the application and publishes tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tools.stack import ACCOUNT, REGION, Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """The team of one sample, with the command line."""

    engine: Engine
    stage: str
    application: str
    home: Path
    """The example's folder, with its application.yaml."""

    @property
    def folder(self) -> Path:
        """The team's working folder; it exists."""
        folder = self.engine.folder / self.application
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def document(self, **target: object) -> dict[str, Any]:
        """The example's application.yaml with this engine's addresses, and with these changes to its target."""
        document: dict[str, Any] = yaml.safe_load((self.home / "application.yaml").read_text())
        document["target"] |= {
            "account": ACCOUNT,
            "region": REGION,
            "role": f"arn:aws:iam::{ACCOUNT}:role/tagship-app-{self.application}",
            "externalId": f"tagship-{self.stage}",
            **target,
        }
        return document

    def configure(self, document: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
        """Deploys the needed roles, and stores the document with these fields changed."""
        for key, value in changes.items():
            document[key] = {**document.get(key, {}), **value}
        written = self.folder / "application.yaml"
        written.write_text(yaml.safe_dump(document, sort_keys=False))
        self._tagship("role", written, "--deploy", "--yes")
        self._tagship("apply", written, "--yes")
        return document

    def publish(self, tag: str, *more: str, artifact: str, file: Path, notes: str) -> None:
        """Publishes a tag with one artifact, and `more` options."""
        self._tagship(
            "publish",
            *("--application", self.application, "--tag", tag, "--artifact", f"{artifact}={file}"),
            *("--repository", f"acme/{self.application}", "--commit", "1" * 40),
            *("--author", "dana@example.com", "--notes", notes),
            *more,
        )

    def _tagship(self, *arguments: str | Path) -> None:
        self.engine.tagship(*arguments, "--stage", self.stage, folder=self.folder)
