"""``caveat snapshot build``: what the registry says, as files for those who look up on their own machine."""

import time
from pathlib import Path

import click

from api.commands.common import DATA, DATABASE, existing, read_settings
from registry.errors import SettingsError
from registry.log_folder import LogFolder
from registry.snapshot_builder import SnapshotBuilder
from registry.snapshot_folder import SnapshotFolder

__all__ = ["snapshot"]


@click.group()
def snapshot() -> None:
    """Build snapshots of the registry."""


@snapshot.command("build")
@DATA
@DATABASE
def snapshot_build(data: Path | None, database: str | None) -> None:
    """Build a signed snapshot as of the log's last checkpoint, and delete old ones.

    To be run at least once a day, and after an erasure: clients refuse a snapshot that is a week old, and one
    of 30 days is no longer served. Where nothing has happened since the last one, that is dated anew. The
    folder is DATA/snapshots, or CAVEAT_SNAPSHOTS; CAVEAT_SNAPSHOT_KEEP of them are kept.
    """
    settings = read_settings(data, database)
    if settings.snapshots is None:
        raise SettingsError("no folder for the snapshots is named", hint="Set CAVEAT_SNAPSHOTS to one.")
    if settings.log is None:
        raise SettingsError(
            "no folder for the log is named, and a snapshot is signed by its key", hint="Set CAVEAT_LOG."
        )
    builder = SnapshotBuilder(existing(settings), LogFolder(settings.log), SnapshotFolder(settings.snapshots))
    built = builder.build(int(time.time()), settings.snapshot_keep)
    size = sum(entry.size for entry in built.manifest.files)
    click.echo(
        f"{'dated anew' if built.renewed else 'built'}: snapshot {built.manifest.seq}, "
        f"{len(built.manifest.files)} files, {size / 1e6:,.1f} MB"
    )
    for seq in built.deleted:
        click.echo(f"deleted: snapshot {seq}")
