"""``caveat log``: publishing the transparency log, and looking after its files and key."""

import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from api.commands.common import DATA, DATABASE, existing, follow, read_settings
from api.settings import Settings
from registry.errors import ConflictError, LogError, NotFoundError, SettingsError
from registry.fsck import check_rows, fsck, repair
from registry.log_folder import LogFolder
from registry.note import Signer, open_note, parse_checkpoint
from registry.publisher import Publisher
from registry.registrar import Registrar
from registry.store import Store
from registry.store.mirrored import mirrored
from registry.store.waking import Waking

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
        _require_own(store)
        with folder.writing():
            done = _publisher(settings, store, folder).publish()
        if done is not None:
            click.echo(f"log: {done.size:,} events, root {done.root.hex()}", err=go_on)
        elif not go_on:
            click.echo("nothing new to publish")

    if go_on:
        follow("log not published", publish, Waking(store))
    else:
        publish()


@log.command("fsck")
@DATA
@DATABASE
@click.option("--repair", "mend", is_flag=True, help="Write damaged and missing files of the log anew.")
def log_fsck(data: Path | None, database: str | None, mend: bool) -> None:
    """Make every file of the log anew, and hold every row to what its event committed to.

    Exit code 2 when a file differs, or a row was changed, added or deleted behind the registry's back. With
    --repair the files are mended, if the events are those that were signed; rows never are.
    """
    settings = read_settings(data, database)
    folder, store = _log_folder(settings), existing(settings)
    note = folder.checkpoint()
    if note is None:
        raise LogError("nothing has been published yet", hint="caveat log publish does that.")
    state = parse_checkpoint(open_note(note, folder.verifiers())[0])
    if mend:
        with folder.writing():
            for name in repair(store, folder, state):
                click.echo(f"{name}: written anew")
    wrong = [*fsck(store, folder, state.size), *check_rows(store)]
    for one in wrong:
        click.echo(one)
    if wrong:
        click.echo(f"{len(wrong)} findings: the log or the database is not what it was", err=True)
        sys.exit(2)
    click.echo(f"sound: {state.size:,} events, root {state.root.hex()}")


@log.group("key", invoke_without_command=True)
@DATA
@DATABASE
@click.pass_context
def log_key(ctx: click.Context, data: Path | None, database: str | None) -> None:
    """Print the public keys with which others check the log, the current one first."""
    if ctx.invoked_subcommand is None:
        for one in _keys(_log_folder(read_settings(data, database))):
            click.echo(one.verifier.text)


@log_key.command("rotate")
@DATA
@DATABASE
def log_key_rotate(data: Path | None, database: str | None) -> None:
    """Make a new key, and announce it in the log; the old one signs too until it is revoked.

    So whoever knows the old key finds the new one in the log, under a checkpoint that both signed.
    """
    settings = read_settings(data, database)
    folder, store = _log_folder(settings), _own(settings)
    with folder.writing():
        new = folder.next_signer()
        # A key that is announced and not there would be worse than one that is announced twice.
        seq = _registrar(store).announce_key("key", new.verifier.text)
        folder.adopt_next_signer()
    click.echo(f"event {seq} announces {new.verifier.text}")


@log_key.command("revoke")
@DATA
@DATABASE
@click.argument("key", metavar="KEY")
def log_key_revoke(data: Path | None, database: str | None, key: str) -> None:
    """Sign no more with an older KEY, and say so in the log. KEY is its line, or the hash in it."""
    settings = read_settings(data, database)
    folder, store = _log_folder(settings), _own(settings)
    with folder.writing():
        keys = _keys(folder)
        found = [one for one in keys if key in (one.verifier.text, one.verifier.key_hash.hex())]
        if not found:
            raise NotFoundError(f"no key {key} signs this log", hint="caveat log key shows those that do.")
        if found[0] is keys[0]:
            raise ConflictError(
                "this is the key that signs the log now", hint="Run caveat log key rotate first."
            )
        # Who knows the old key only must find the new one under a checkpoint that the old one signed too.
        _publisher(settings, store, folder).publish()
        seq = _registrar(store).announce_key("revoke-key", found[0].verifier.text)
        folder.write_signers([one for one in keys if one is not found[0]])
    click.echo(f"event {seq} revokes {found[0].verifier.text}")


def _own(settings: Settings) -> Store:
    """Open a registry whose log is its own."""
    store = existing(settings)
    _require_own(store)
    return store


def _require_own(store: Store) -> None:
    with store.read() as connection:
        known = mirrored(connection)
    if known is not None:
        raise SettingsError(
            f"this is a mirror of {known.upstream}: its log is a copy of that one",
            hint="Publish and look after keys there.",
        )


def _registrar(store: Store) -> Registrar:
    return Registrar(store, lambda: datetime.now(UTC))


def _keys(folder: LogFolder) -> list[Signer]:
    keys = folder.signers()
    if not keys:
        raise LogError("the log has no key yet", hint="caveat log publish makes one.")
    return keys


def _log_folder(settings: Settings) -> LogFolder:
    if settings.log is None:
        raise SettingsError("no folder for the log is named", hint="Set CAVEAT_LOG to one.")
    return LogFolder(settings.log)


def _publisher(settings: Settings, store: Store, folder: LogFolder) -> Publisher:
    keys = folder.signers()
    if not keys:
        keys = [Signer.new(settings.log_origin or f"{secrets.token_hex(8)}.caveat.invalid")]
        click.echo(f"log: new key {keys[0].verifier.text}", err=True)
    if [one.verifier for one in keys] != folder.verifiers():
        folder.write_signers(keys)
    return Publisher(store, folder, keys[0], keys[1:])
