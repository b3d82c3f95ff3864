"""``caveat log verify``: holding a registry's log to what it signed before."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from registry.cli.common import (
    CLEAN,
    INCOMPLETE,
    counted,
    emit_json,
    log_key_option,
    progress_bar,
    registries,
)
from registry.client.export import Checked, check_document, events_after
from registry.client.http import RegistryClient
from registry.client.log import Found, Trust, origin_of, read_entries, require_beginning
from registry.client.log_memory import LogMemory, look, visit
from registry.errors import InputError, ProofError
from registry.jsontext import strict_json
from registry.leaf import Leaf
from registry.note import Checkpoint, Verifier
from registry.tiles import TileReader

__all__ = ["keys_of", "log", "memory_at"]


@click.group()
def log() -> None:
    """Check a registry's transparency log; operators publish theirs."""


@log.command("verify")
@click.argument(
    "evidence", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="[EVIDENCE]…"
)
@click.option(
    "--registry",
    "registry_urls",
    multiple=True,
    metavar="URL",
    help="Registry to ask; may be given several times.  [env: CAVEAT_REGISTRY]",
)
@log_key_option
@click.option("--full", is_flag=True, help="Read every entry, and make the root from them.")
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of what is kept of the log.  [default: one a log, in your data folder]",
)
@click.option("--output", type=click.Choice(["human", "json"]), default="human", show_default=True)
@click.pass_context
def verify(
    ctx: click.Context,
    evidence: tuple[Path, ...],
    registry_urls: tuple[str, ...],
    log_key: str | None,
    full: bool,
    state: Path | None,
    output: str,
) -> None:
    """Check that a registry's log goes on from what it was, and that evidence stands in it.

    The last checkpoint that held is kept on this machine, and must be the beginning of the next. The key is
    the one that you give, or the one kept from the first time.

    EVIDENCE files, as `caveat export` writes them, are checked by what is kept, and nobody is asked; with
    --registry they are held against the log as it is now, too; with --full that they leave nothing out.

    \b
      caveat log verify --registry https://registry.example
      caveat log verify ada.json --log-key log.example+…
    """
    memory, given = memory_at(state), Verifier.parse(log_key) if log_key else None
    documents = [_read(path) for path in evidence]
    asks = bool(registry_urls) or not documents
    wires: list[dict[str, Any]] = []
    for client in registries(registry_urls, None) if asks else ():
        wires.append(_visit(client, memory, given, documents, full=full))
    checked = [
        _checked(path, document, memory, given) for path, document in zip(evidence, documents, strict=True)
    ]
    if output == "json":
        proven = [_wire(path, one) for path, one in zip(evidence, checked, strict=True)]
        emit_json({"logs": wires, "evidence": proven})
    else:
        for wire in wires:
            _tell(wire)
        for path, one in zip(evidence, checked, strict=True):
            _tell_evidence(path, one)
    ctx.exit(INCOMPLETE if any(one.pending for one in checked) else CLEAN)


def memory_at(state: Path | None) -> LogMemory:
    """Return what is kept of logs: in ``state``, or in the user's data folder."""
    return LogMemory(_data_folder() / "logs", state)


def keys_of(memory: LogMemory, origin: str, given: Verifier | None) -> tuple[Verifier, ...]:
    """Return the keys by which documents of the log ``origin`` are checked: given, kept, or none."""
    if given is not None:
        return (given,)
    kept = memory.load(origin)
    return () if kept is None else kept.keys


def _data_folder() -> Path:
    if sys.platform in ("darwin", "win32"):
        return Path(click.get_app_dir("caveat"))
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "caveat"


def _visit(
    client: RegistryClient,
    memory: LogMemory,
    given: Verifier | None,
    documents: Sequence[dict[str, Any]],
    *,
    full: bool,
) -> dict[str, Any]:
    """Check a registry's log, and that the documents' checkpoints are its beginnings; return the account."""
    seen = look(client)
    records = [document.get("evidence", document).get("record") for document in documents]
    leaves: list[Leaf] = []

    def notice(leaf: Leaf) -> None:
        if leaf.record in records:
            leaves.append(leaf)

    def read_all(found: Found) -> None:
        with progress_bar("reading entries", found.checkpoint.size) as bar:
            read_entries(found.checkpoint, seen.fetch, bar.advance, notice)

    found, path = visit(seen, memory, given, read_all if full else lambda _: None)
    reader = TileReader(found.checkpoint.size, seen.fetch)
    later: list[Leaf] = []
    for document in documents:
        checked = check_document(document, found.kept.keys)
        if checked.checkpoint is not None:
            _require_in(checked.checkpoint, found.checkpoint, reader)
        later += events_after(checked, leaves, found.checkpoint.size) if full else []
    return _account(client.url, found, path, full=full) | {
        "later": [{"record": leaf.record, "seq": leaf.seq, "op": leaf.op} for leaf in later]
    }


def _account(registry: str, found: Found, path: Path, *, full: bool) -> dict[str, Any]:
    return {
        "registry": registry,
        "origin": found.checkpoint.origin,
        "size": found.checkpoint.size,
        "root": found.checkpoint.root.hex(),
        "key": found.kept.keys[0].text,
        "trust": str(found.trust),
        "announced": None if found.announced is None else found.announced.text,
        "before": None if found.before is None else found.before.size,
        "full": full,
        "state": str(path),
    }


def _require_in(earlier: Checkpoint, now: Checkpoint, reader: TileReader) -> None:
    if earlier.size > now.size:
        raise ProofError(
            f"the evidence is under a checkpoint of {earlier.size:,} events, and the log shows {now.size:,}",
            hint="If this is a mirror, ask again once it has caught up. If not, show both to others.",
        )
    require_beginning(earlier, now, reader)


def _read(path: Path) -> dict[str, Any]:
    try:
        document = strict_json(path.read_bytes())
    except InputError as error:
        raise InputError(f"{path}: {error.message}", hint=error.hint) from error
    if not isinstance(document, dict) or not isinstance(document.get("evidence", document), dict):
        raise InputError(f"{path}: neither an export nor evidence")
    return document


def _checked(path: Path, document: dict[str, Any], memory: LogMemory, given: Verifier | None) -> Checked:
    note = document.get("evidence", document).get("checkpoint")
    keys = keys_of(memory, origin_of(note), given) if isinstance(note, str) else ()
    if isinstance(note, str) and not keys:
        raise ProofError(
            f"{path}: no key of the log {origin_of(note)!r} is known here",
            hint="Give it with --log-key, or visit the log first: caveat log verify --registry URL.",
        )
    try:
        return check_document(document, keys)
    except ProofError as error:
        raise ProofError(f"{path}: {error.message}", hint=error.hint) from error


def _wire(path: Path, one: Checked) -> dict[str, Any]:
    return {
        "file": str(path),
        "record": one.record,
        "origin": None if one.checkpoint is None else one.checkpoint.origin,
        "size": None if one.checkpoint is None else one.checkpoint.size,
        "events": [
            {"seq": e.leaf.seq, "op": e.leaf.op, "logged": e.logged, "shown": e.payload is not None}
            for e in one.events
        ],
    }


def _tell(wire: dict[str, Any]) -> None:
    click.echo(f"sound: {wire['origin']}, {counted(wire['size'], 'event')}, root {wire['root']}")
    if wire["before"] is not None:
        click.echo(f"  goes on from the {counted(wire['before'], 'event')} kept before")
    if wire["full"]:
        click.echo("  every entry was read, and they make this root")
    for event in wire["later"]:
        click.echo(f"  has more of {event['record']} than its document: event {event['seq']:,} {event['op']}")
    if wire["announced"] is not None:
        click.echo(f"  signed by a new key, which the log announces: {wire['announced']}")
    if wire["trust"] == Trust.FIRST:
        click.echo(
            f"  its key was not known here, and is trusted from now on: {wire['key']}\n"
            "  To be sure, compare it with what the operator publishes elsewhere, or with others who ask."
        )
    click.echo(f"  kept in {wire['state']}")


def _tell_evidence(path: Path, one: Checked) -> None:
    size = 0 if one.checkpoint is None else one.checkpoint.size
    under = (
        "no checkpoint" if one.checkpoint is None else f"{one.checkpoint.origin}, {counted(size, 'event')}"
    )
    click.echo(f"{path}: {'not all proven' if one.pending else 'sound'}: {one.record}, under {under}")
    for event in one.events:
        told = "said as shown" if event.payload is not None else "erased, or not shown"
        told += "" if event.logged else ", not proven yet"
        click.echo(f"  event {event.leaf.seq:,} {event.leaf.op}: {told}")
