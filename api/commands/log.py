"""``caveat log``: publishing the transparency log, and looking after its files and key."""

import secrets
import sys
from pathlib import Path

import click

from api.commands.common import DATA, DATABASE, existing, follow, read_settings
from api.settings import Settings
from registry.errors import LogError, SettingsError
from registry.log_folder import LogFolder
from registry.note import Signer, open_note, parse_checkpoint
from registry.publisher import Publisher, fsck

__all__ = ["log"]


@click.group()
def log() -> None:
    """Publish and check the transparency log."""


@log.command("publish")
@DATA
@DATABASE
@click.option("--follow", "go_on", is_flag=True, help="Go on, and publish whatever happens.")
def log_publish(data: Path | None, database: str | None, go_on: bool) -> None:
    """Put the events that are new into the log, and sign its new state.

    The first time a key is made; CAVEAT_LOG_ORIGIN names the log, such as log.example. `caveat serve`
    runs this by itself. Where gunicorn is started in another way, run it with --follow beside it, once for
    all machines. The folder is DATA/log, or CAVEAT_LOG.
    """
    settings = read_settings(data, database)
    folder = _log_folder(settings)
    store = existing(settings)

    def publish() -> None:
        with folder.writing():
            done = Publisher(store, folder, _signer(settings, folder)).publish()
        if done is not None:
            click.echo(f"log: {done.size:,} events, root {done.root.hex()}", err=go_on)
        elif not go_on:
            click.echo("nothing new to publish")

    if go_on:
        follow("log not published", publish)
    else:
        publish()


@log.command("fsck")
@DATA
@DATABASE
def log_fsck(data: Path | None, database: str | None) -> None:
    """Make every file of the log anew from the events, and compare; exit code 2 when one differs."""
    settings = read_settings(data, database)
    folder = _log_folder(settings)
    note, signer = folder.checkpoint(), folder.signer()
    if note is None or signer is None:
        raise LogError("nothing has been published yet", hint="caveat log publish does that.")
    state = parse_checkpoint(open_note(note, [signer.verifier])[0])
    wrong = list(fsck(existing(settings), folder, state.size))
    for one in wrong:
        click.echo(one)
    if wrong:
        click.echo(f"{len(wrong)} files are not what the events make them", err=True)
        sys.exit(2)
    click.echo(f"sound: {state.size:,} events, root {state.root.hex()}")


@log.command("key")
@DATA
@DATABASE
def log_key(data: Path | None, database: str | None) -> None:
    """Print the public key with which others check the log."""
    signer = _log_folder(read_settings(data, database)).signer()
    if signer is None:
        raise LogError("the log has no key yet", hint="caveat log publish makes one.")
    click.echo(signer.verifier.text)


def _log_folder(settings: Settings) -> LogFolder:
    if settings.log is None:
        raise SettingsError("no folder for the log is named", hint="Set CAVEAT_LOG to one.")
    return LogFolder(settings.log)


def _signer(settings: Settings, folder: LogFolder) -> Signer:
    signer = folder.signer()
    if signer is None:
        signer = Signer.new(settings.log_origin or f"{secrets.token_hex(8)}.caveat.invalid")
        folder.write_signer(signer)
        click.echo(f"log: new key {signer.verifier.text}", err=True)
    return signer
