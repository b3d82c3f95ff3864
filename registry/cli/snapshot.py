"""``caveat snapshot``: what a registry says, on one's own machine."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from registry.cli.asking import age_of
from registry.cli.common import (
    CLEAN,
    INCOMPLETE,
    Bar,
    emit_json,
    log_key_option,
    progress_bar,
    registries,
    registry_options,
)
from registry.client.http import RegistryClient
from registry.client.pulling import Progress, Pulled, pull_snapshot
from registry.client.snapshot import open_signed
from registry.errors import SettingsError
from registry.snapshot.folder import damage, tiers_here
from registry.snapshot.manifest import TIERS, Manifest, files_of

__all__ = ["snapshot"]

_DIRECTORY = click.argument("directory", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
_OUTPUT = click.option("--output", type=click.Choice(["human", "json"]), default="human", show_default=True)


@click.group()
def snapshot() -> None:
    """Fetch, check and describe what a registry says, to look up without asking it.

    \b
      caveat snapshot pull caveat-snapshot --registry https://registry.example
      caveat filter my-set my-set-clean --snapshot caveat-snapshot
    """


@snapshot.command("pull")
@_DIRECTORY
@registry_options
@click.option(
    "--tier",
    "tiers",
    type=click.Choice(list(TIERS)),
    multiple=True,
    default=("keys", "pictures"),
    show_default=True,
    help="What to fetch; may be given several times. filter needs no key.",
)
@log_key_option
def pull(
    directory: Path,
    registry_urls: tuple[str, ...],
    key: str | None,
    tiers: tuple[str, ...],
    log_key: str | None,
) -> None:
    """Bring the registry's latest snapshot into DIR.

    What is there already is not fetched again, and a broken-off run goes on where it was. The first time the
    log's key is taken from the registry and pinned in DIR; give --log-key to check it against one that you
    have from elsewhere. Until everything is there and checked, the snapshot that was in DIR stays in use.
    """
    clients = registries(registry_urls, key)
    if len(clients) != 1:
        raise SettingsError("a snapshot is of one registry", hint="Give one --registry.")
    [client] = clients
    with progress_bar("fetching") as bar:
        done = pull_snapshot(client, directory, tiers, log_key=log_key, progress=_progress(bar, client))
    click.echo(_told(done))


@snapshot.command("verify")
@_DIRECTORY
@log_key_option
@click.pass_context
def verify(ctx: click.Context, directory: Path, log_key: str | None) -> None:
    """Check everything about the snapshot in DIR: signatures, checkpoint, every file, every count.

    Exits with 2 when a file is not what it must be, and names it.
    """
    manifest = open_signed(directory, log_key)
    tiers = tiers_here(directory, manifest)
    entries = files_of(manifest, tiers)
    wrong = [*damage(directory, entries), *_miscounted(manifest)]
    for one in wrong:
        click.echo(one)
    if wrong:
        click.echo(f"{len(wrong)} things are not what they must be", err=True)
        ctx.exit(INCOMPLETE)
    click.echo(f"sound: {len(entries)} files of {', '.join(tiers)}; {_of(manifest)}")
    ctx.exit(CLEAN)


@snapshot.command("info")
@_DIRECTORY
@log_key_option
@_OUTPUT
def info(directory: Path, log_key: str | None, output: str) -> None:
    """Say what the snapshot in DIR is: its event, its age, its tiers and what is in them."""
    manifest = open_signed(directory, log_key)
    tiers = tiers_here(directory, manifest)
    facts = _facts(manifest, tiers)
    if output == "json":
        emit_json(facts)
        return
    click.echo(_of(manifest))
    click.echo(f"signed by {manifest.log_key}")
    for tier, fact in facts["tiers"].items():
        rows = ", ".join(f"{count:,} {kind}" for kind, count in fact["rows"].items())
        here = "" if tier in tiers else "  (not here)"
        click.echo(f"{tier:9} {fact['files']:4} files {fact['bytes'] / 1e6:12,.1f} MB  {rows}{here}")


def _progress(bar: Bar, client: RegistryClient) -> Progress:
    def begin(manifest: Manifest, size: int) -> None:
        click.echo(f"{client.url}: {_of(manifest)}; {size / 1e6:,.1f} MB to fetch", err=True)
        bar.expect(size)

    return Progress(begin, bar.advance)


def _told(done: Pulled) -> str:
    return (
        f"snapshot {done.manifest.seq}: {done.fetched} files fetched ({done.bytes / 1e6:,.1f} MB), "
        f"{done.kept} were here, {done.derived} made from those that were"
    )


def _of(manifest: Manifest) -> str:
    built = datetime.fromtimestamp(manifest.built_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return (
        f"snapshot of {manifest.origin} as of event {manifest.seq:,}, "
        f"built {built}, {age_of(manifest.built_at)} ago"
    )


def _facts(manifest: Manifest, here: Sequence[str]) -> dict[str, Any]:
    tiers = {}
    for tier in dict.fromkeys(entry.tier for entry in manifest.files):
        own = [entry for entry in manifest.files if entry.tier == tier]
        rows: Counter[str] = Counter()
        for entry in own:
            rows[entry.kind] += entry.rows
        tiers[tier] = {"files": len(own), "bytes": sum(entry.size for entry in own), "rows": dict(rows)}
    return {
        "origin": manifest.origin,
        "seq": manifest.seq,
        "built_at": manifest.built_at,
        "log_key": manifest.log_key,
        "here": list(here),
        "tiers": tiers,
    }


def _miscounted(manifest: Manifest) -> list[str]:
    """Return how the counts of the tiers contradict each other: what is in the keys is in the filter too."""
    counts: Counter[str] = Counter()
    for entry in manifest.files:
        counts[entry.tier] += entry.rows
    if counts["filter"] == counts["keys"]:
        return []
    return [f"the filter has {counts['filter']:,} keys, and the keys are {counts['keys']:,}"]
