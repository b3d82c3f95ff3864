"""Backups of a running registry, and what follows when an older one is put back.

An acknowledged event is not lost in silence: the log's folder remembers how many were ever signed. A database
that has fewer is refused until the missing ones were fetched from a mirror, which had copied them, or until
the operator accepts the loss, and the log begins anew under another name.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url

from registry.copying import copy_events
from registry.disk import disk_errors, make_folder, sync_folder
from registry.errors import ConflictError, LogError, ProofError, SettingsError, StorageError
from registry.leaf import Leaf, parse_leaf
from registry.log_folder import LogFolder
from registry.merkle import leaf_hash, root_of
from registry.note import Checkpoint, open_note, parse_checkpoint
from registry.store import Store, events, mirrored
from registry.store.engine import copy_sqlite, is_in_use
from registry.tiles import ENTRIES, HASHES_A_TILE, Tile, unpack_entries
from registry.upstream import Upstream

__all__ = [
    "Missing",
    "back_up",
    "find_missing",
    "replay",
    "require_newest",
    "require_unused",
    "restore",
    "set_aside",
]

_EVENTS_AT_ONCE = 65_536
_PG_RESTORE = ("--clean", "--if-exists", "--no-owner", "--single-transaction")
_PATIENCE_SECONDS = 15
"""What was told to stop ends within a few."""
_NAMED = 5
"""Missing events that are named in a message."""


def back_up(store: Store, target: Path) -> None:
    """Write a copy of the database as it stands, while it goes on being written to.

    Of SQLite a database file, of PostgreSQL what ``pg_dump`` writes in its custom format. ``target`` appears
    whole or not at all. Raises :class:`StorageError`.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with disk_errors(f"the backup {target}"):
            make_folder(target.parent)
            if store.engine.dialect.name == "sqlite":
                copy_sqlite(store.engine, temporary)
            else:
                _run_tool(store, "pg_dump", "--format=custom", f"--file={temporary}")
            _sync(temporary)
            temporary.replace(target)
            sync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def require_unused(store: Store, patience: float = _PATIENCE_SECONDS) -> None:
    """Wait ``patience`` seconds for others to leave the database. Raises :class:`ConflictError` if they stay.

    A service would go on writing to what is put aside here, and what publishes its log would sign that anew.
    """
    store.close()
    end = time.monotonic() + patience
    while is_in_use(store.engine):
        if time.monotonic() > end:
            raise ConflictError(
                "others are connected to the database", hint="Stop the service, and what else uses it."
            )
        time.sleep(0.2)


def restore(store: Store, source: Path, patience: float = _PATIENCE_SECONDS) -> None:
    """Put a copy that :func:`back_up` wrote in the place of the database, which nobody may be using.

    What was there of SQLite stays beside it, as ``registry.sqlite.replaced``. Raises :class:`StorageError`,
    :class:`SettingsError`, and what :func:`require_unused` raises.
    """
    if not source.is_file():
        raise SettingsError(f"there is no backup {source}")
    require_unused(store, patience)
    if store.engine.dialect.name != "sqlite":
        _run_tool(store, "pg_restore", *_PG_RESTORE, str(source))
        return
    store.close()
    path = Path(str(store.engine.url.database))
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with disk_errors(f"the database {path}"):
        make_folder(path.parent)
        shutil.copyfile(source, temporary)
        _sync(temporary)
        path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
        for suffix in ("-wal", ""):  # a write-ahead log is there only if the database could not be read
            old, aside = (path.with_name(name + suffix) for name in (path.name, f"{path.name}.replaced"))
            aside.unlink(missing_ok=True)
            if old.exists():
                old.replace(aside)
        temporary.replace(path)
        sync_folder(path.parent)


@dataclass(frozen=True, slots=True)
class Missing:
    """Events that were signed and are not in the database: ``after < seq <= upto``, and their leaves."""

    after: int
    upto: int
    leaves: tuple[Leaf, ...]

    def __str__(self) -> str:
        named = ", ".join(f"{leaf.seq} ({leaf.op} {leaf.record})" for leaf in self.leaves[:_NAMED])
        more = ", …" if len(self.leaves) > _NAMED else ""
        return f"{self.upto - self.after:,} acknowledged events after {self.after:,}: {named}{more}"


def find_missing(store: Store, folder: LogFolder) -> Missing | None:
    """Return what the log's folder says was signed and the database does not have.

    Raises :class:`LogError` when the database has another event than the last one that was signed.
    """
    signed, head = _last_signed(folder), store.head()
    if signed is None or signed.size == 0:
        return None
    if head < signed.size:
        return Missing(head, signed.size, tuple(map(parse_leaf, _leaves(folder, head, signed.size))))
    with store.read() as connection:
        here = events.leaves_between(connection, signed.size - 1, signed.size)
    published = list(_leaves(folder, signed.size - 1, signed.size))
    if published:
        same = published == here
    else:
        same = root_of(map(leaf_hash, _all_leaves(store, signed.size))) == signed.root
    if not same:
        raise LogError(
            f"event {signed.size:,} is another one than was signed",
            hint="Another database was put in this one's place; restore the right one.",
        )
    return None


def require_newest(store: Store, folder: LogFolder) -> None:
    """Raise :class:`LogError` that says what is missing, if events are that were signed once."""
    lost = find_missing(store, folder)
    if lost is not None:
        raise LogError(
            f"the database is an older copy. Missing are {lost}",
            hint="caveat db restore --from-mirror URL fetches them; "
            "--accept-older begins a new log without them.",
        )


def replay(store: Store, folder: LogFolder, upstream: Upstream) -> int:
    """Fetch missing events from a mirror, up to the last checkpoint of this log that it has.

    Returns the new head. Raises :class:`LogError` when they are not those that were signed.
    """
    head = store.head()
    try:
        held = parse_checkpoint(open_note(upstream.checkpoint(), folder.verifiers())[0])
    except ProofError as error:
        raise LogError(f"{upstream.url} is no mirror of this log: {error.message}") from error
    if held.size <= head:
        return head
    copy_events(store, upstream, held.size)
    root = root_of(map(leaf_hash, _all_leaves(store, held.size)))
    with store.administer() as connection:
        if root == held.root:
            mirrored.move_head(connection, held.size)
        else:
            mirrored.discard_beyond(connection, head)
    if root != held.root:
        raise LogError(f"the events of {upstream.url} are not those that were signed; nothing was taken over")
    return held.size


def set_aside(folder: LogFolder) -> Path:
    """Move the folder of a log that cannot go on beside itself; returns where it is now."""
    signed = _last_signed(folder)
    target = folder.path.with_name(f"{folder.path.name}.abandoned-{0 if signed is None else signed.size}")
    with disk_errors(f"the folder {folder.path}"):
        folder.path.replace(target)
        sync_folder(target.parent)
    return target


def _last_signed(folder: LogFolder) -> Checkpoint | None:
    note, known = folder.checkpoint(), [folder.signed()]
    if note is not None:
        known.append(parse_checkpoint(open_note(note, folder.verifiers())[0]))
    return max((one for one in known if one is not None), key=lambda one: one.size, default=None)


def _leaves(folder: LogFolder, after: int, upto: int) -> Iterator[bytes]:
    """Yield the published leaves of the events ``after < seq <= upto``, as far as they can be read."""
    for number in range(after // HASHES_A_TILE, -(-upto // HASHES_A_TILE)):
        first = number * HASHES_A_TILE
        try:
            bundle = unpack_entries(folder.read_tile(Tile(ENTRIES, number, min(HASHES_A_TILE, upto - first))))
        except ProofError:
            return
        yield from bundle[max(after - first, 0) : upto - first]


def _all_leaves(store: Store, upto: int) -> Iterator[bytes]:
    for begin in range(0, upto, _EVENTS_AT_ONCE):
        with store.read() as connection:
            yield from events.leaves_between(connection, begin, min(begin + _EVENTS_AT_ONCE, upto))


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _run_tool(store: Store, tool: str, *options: str) -> None:
    """Run one of PostgreSQL's own tools on the database; the password does not stand in its arguments."""
    url = make_url(store.engine.url.render_as_string(hide_password=False)).set(drivername="postgresql")
    environment = {**os.environ, **({"PGPASSWORD": str(url.password)} if url.password else {})}
    address = url.set(password=None).render_as_string(hide_password=False)
    try:
        done = subprocess.run(  # noqa: S603 - the tool of that name
            [tool, f"--dbname={address}", *options],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise SettingsError(f"there is no {tool} here", hint="Install PostgreSQL's client tools.") from error
    if done.returncode:
        raise StorageError(f"{tool} failed: {done.stderr.strip()[-500:]}")
