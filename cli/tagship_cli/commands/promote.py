"""tagship promote: copy a release, byte for byte, from a stage where it succeeded to the next."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tagship_cli import options
from tagship_cli.actions.signing import sign_options
from tagship_cli.failures import Failed
from tagship_cli.place import Place, between_two_places
from tagship_cli.views import screen

if TYPE_CHECKING:
    from tagship_cli.actions.publishing import Folder


@click.command(
    epilog="""\b
Examples:
  tagship promote storefront v1.4.0 --from staging --to production --sign alias/tagship-promotion
  tagship promote storefront v1.4.0 --from staging --from-profile staging \\
      --to production --to-profile production --sign alias/tagship-promotion
\b
The signature of release.json is copied unchanged. --sign also uploads a signed promotion.json, which states where and
when the release succeeded; the gate `promotion` requires it. The command uses the key with the identity of the
--to stage. You can run it again: files that are already there are not uploaded again."""
)
@click.argument("application")
@click.argument("tag")
@between_two_places
@sign_options("promotion.json")
@options.as_json
def promote(
    *,
    origin: Place,
    destination: Place,
    application: str,
    tag: str,
    key: str | None,
    algorithm: str,
    as_json: bool,
) -> None:
    """Promote a release that succeeded in one stage to the next.

    Copies exactly the bytes that were released there: the artifacts first, then release.json, which starts the release in
    the next stage. Refuses a release that did not end SUCCEEDED.
    """
    from tagship_cli.actions.promoting import Origin, statement
    from tagship_cli.actions.publishing import Folder

    if origin.stage == destination.stage:
        raise click.UsageError(f"--from and --to must differ; both are {origin.stage}.")
    release = Origin.of(origin, application, tag)
    with tempfile.TemporaryDirectory(prefix="tagship-") as temporary:
        fetched = release.fetched(Path(temporary))
        bucket = destination.output("ReleaseBucketName")
        folder = Folder(s3=destination.client("s3"), bucket=bucket, release=fetched, exact=True)
        found = folder.look()
        if found.manifest not in (None, fetched.body):
            raise Failed(
                f"{fetched.title} was published in {destination.stage} separately, with a different "
                f"release.json. Nothing was copied.\nPromote a different tag."
            )
        extra_files = () if found.published else release.signature()
        if key and not found.published:
            extra_files += statement(release, folder, destination, key=key, algorithm=algorithm)
        if not as_json:
            title = screen.bold(fetched.title)
            screen.say(f"Promoting {title} from {origin.stage} to {destination.stage}")
        outcomes: list[dict[str, object]] = []

        def on_object(name: str, size: int, outcome: str) -> None:
            outcomes.append({"file": name, "size": size, "outcome": outcome})
            if not as_json:
                screen.say(f"  {name:<32} {size:>13,} B  {outcome}")

        new = folder.upload(found, on_object, extra_files)
    if as_json:
        screen.result(_result(folder, origin, destination, outcomes, new=new))
    else:
        screen.say(*_goodbye(folder, destination, new=new))


def _goodbye(folder: Folder, destination: Place, *, new: bool) -> list[str]:
    title = folder.release.title
    watch = f"tagship watch {title}{destination.flags()}"
    if not new:
        message = f"{title} was already promoted to {destination.stage}; no new release starts."
        return [screen.wary(message), f"See its outcome: {watch}"]
    return [f"{screen.good('Promoted')} to {screen.clean(folder.address)}", f"Watch it: {watch}"]


def _result(
    folder: Folder, origin: Place, destination: Place, outcomes: list[dict[str, object]], *, new: bool
) -> dict[str, object]:
    manifest = folder.release.manifest
    return {
        "application": manifest.application,
        "tag": manifest.tag,
        "from": origin.stage,
        "to": destination.stage,
        "address": folder.address,
        "digest": folder.release.digest,
        "promoted": new,
        "promotedBefore": not new,
        "objects": outcomes,
    }
