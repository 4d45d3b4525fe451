"""tagship schemas: for developers of Tagship; write the published JSON Schemas from the models."""

from __future__ import annotations

from pathlib import Path

import click

from tagship_cli.failures import Failed
from tagship_cli.views import screen


@click.command(
    epilog="""\b
Examples:
  tagship schemas              write the files into schemas/
  tagship schemas --check      only check whether they are up to date"""
)
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("schemas"),
    show_default=True,
    metavar="FOLDER",
    help="The folder to write them to.",
)
@click.option("--check", is_flag=True, help="Write nothing; fail if a file is not up to date.")
def schemas(*, into: Path, check: bool) -> None:
    """Write the JSON Schemas of application.yaml, release.json and groups from the models that read them."""
    from tagship_cli.actions import schema

    for name in schema.KINDS:
        file, text = into / f"{name}.schema.json", schema.text(name)
        current = file.is_file() and file.read_text(encoding="utf-8") == text
        if check and not current:
            raise Failed(f"{file} is not up to date.\nUpdate it: tagship schemas")
        if not current:
            into.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        screen.say(f"{file}: {'up to date' if current else 'written'}")
