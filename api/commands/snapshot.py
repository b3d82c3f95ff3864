"""``caveat snapshot build``: what the registry says, as files for those who look up on their own machine."""

import time
from dataclasses import dataclass
from pathlib import Path

import click

from api.commands.common import DATA, DATABASE, existing, follow, read_settings
from registry.errors import SettingsError
from registry.log_folder import LogFolder
from registry.snapshot_builder import Built, SnapshotBuilder
from registry.snapshot_folder import SnapshotFolder

__all__ = ["snapshot"]

_REST_SECONDS = 300
"""Between two attempts to build: one that fails may have written for an hour before it did."""


@click.group()
def snapshot() -> None:
    """Build snapshots of the registry."""


@snapshot.command("build")
@DATA
@DATABASE
@click.option("--follow", "go_on", is_flag=True, help="Go on, and build every CAVEAT_SNAPSHOT_HOURS.")
def snapshot_build(data: Path | None, database: str | None, go_on: bool) -> None:
    """Build a signed snapshot as of the log's last checkpoint, and delete old ones.

    To be run at least once a day, and after an erasure: clients refuse a snapshot that is a week old, and one
    of 30 days is no longer served. Where nothing has happened since the last one, that is dated anew. The
    folder is DATA/snapshots, or CAVEAT_SNAPSHOTS; CAVEAT_SNAPSHOT_KEEP of them are kept.

    With --follow it waits until the newest is 24 hours old, or CAVEAT_SNAPSHOT_HOURS, and so on. `caveat
    serve` runs that by itself where CAVEAT_SNAPSHOTS is set.
    """
    settings = read_settings(data, database)
    if settings.snapshots is None:
        raise SettingsError("no folder for the snapshots is named", hint="Set CAVEAT_SNAPSHOTS to one.")
    if settings.log is None:
        raise SettingsError(
            "no folder for the log is named, and a snapshot is signed by its key", hint="Set CAVEAT_LOG."
        )
    builder = SnapshotBuilder(existing(settings), LogFolder(settings.log), SnapshotFolder(settings.snapshots))
    if go_on:
        follow("snapshot not built", _Timer(builder, settings.snapshot_hours, settings.snapshot_keep).step)
    else:
        _tell(builder.build(int(time.time()), settings.snapshot_keep))


@dataclass
class _Timer:
    """Builds when a snapshot is due, going by the date in the newest: so a restart changes nothing."""

    builder: SnapshotBuilder
    hours: int
    keep: int
    rests_until: float = 0.0

    def step(self) -> None:
        """Build a snapshot if one is due. Between two attempts there is a rest, however the clock is put."""
        if time.monotonic() < self.rests_until or not self.builder.is_due(
            int(time.time()), 3600 * self.hours
        ):
            return
        self.rests_until = time.monotonic() + _REST_SECONDS
        _tell(self.builder.build(int(time.time()), self.keep), err=True)


def _tell(built: Built, err: bool = False) -> None:
    size = sum(entry.size for entry in built.manifest.files)
    click.echo(
        f"{'dated anew' if built.renewed else 'built'}: snapshot {built.manifest.seq}, "
        f"{len(built.manifest.files)} files, {size / 1e6:,.1f} MB",
        err=err,
    )
    for seq in built.deleted:
        click.echo(f"deleted: snapshot {seq}", err=err)
