"""``caveat export``: everything that a registry holds about what one lodged, with the proof of it."""

import json
from pathlib import Path
from typing import Any

import click

from registry.cli.common import (
    CLEAN,
    INCOMPLETE,
    counted,
    log_key_option,
    only_registry,
    progress_bar,
    registry_options,
)
from registry.cli.log import keys_of, memory_at
from registry.client.export import Checked, check_document, fetch_export
from registry.client.log import known_keys, origin_of
from registry.client.log_memory import write_private
from registry.errors import ProofError
from registry.note import Verifier

__all__ = ["export"]


@click.command()
@click.argument("id_", metavar="ID")
@click.option(
    "--to",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write.  [default: standard output]",
)
@click.option(
    "--wait",
    default=60,
    show_default=True,
    type=click.IntRange(0),
    help="Seconds to wait at most until the log covers the last event.",
)
@log_key_option
@registry_options
@click.pass_context
def export(
    ctx: click.Context,
    id_: str,
    target: Path | None,
    wait: int,
    log_key: str | None,
    registry_urls: tuple[str, ...],
    key: str | None,
) -> None:
    """Write down all that the registry holds about the reservation ID, with the proof of it.

    Reservation, works, rules, history and the evidence of the log, as one JSON document. It is checked before
    it is written, and again, by anybody and without the registry, with `caveat log verify FILE`.
    """
    client = only_registry(registry_urls, key)
    with progress_bar("waiting for the log", wait) as bar:
        document = fetch_export(client, id_, wait, bar.advance)
    checked = _checked(document, Verifier.parse(log_key) if log_key else None)
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    if target is None:
        click.echo(text, nl=False)
    else:
        write_private(target, text)
    _tell(checked, target)
    ctx.exit(INCOMPLETE if checked.pending else CLEAN)


def _checked(document: dict[str, Any], given: Verifier | None) -> Checked:
    note = document["evidence"].get("checkpoint")
    keys: tuple[Verifier, ...] = ()
    if isinstance(note, str):
        keys = keys_of(memory_at(None), origin_of(note), given)
        if not keys:
            keys = tuple(known_keys(document["log_keys"] or {})[:1])
            click.echo(
                f"the log's key is not known here: {keys[0].text}\n"
                "To be sure of it: caveat log verify --registry URL --log-key KEY.",
                err=True,
            )
    try:
        return check_document(document, keys)
    except ProofError as error:
        hint = error.hint or "caveat log verify --registry URL says whether the log has another key by now."
        raise ProofError(f"nothing was written: {error.message}", hint=hint) from error


def _tell(checked: Checked, target: Path | None) -> None:
    where = "" if target is None else f"{target}: "
    said = f"{where}{counted(len(checked.events), 'event')} of {checked.record}"
    click.echo(said, err=target is None)
    for event in checked.pending:
        click.echo(
            f"  event {event.leaf.seq:,} {event.leaf.op} is under no checkpoint yet; export again later",
            err=True,
        )
