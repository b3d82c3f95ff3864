"""``caveat receipt card``: a receipt told as the documents that platforms and readers know.

On a terminal it asks what only the maker knows, once: the answers are kept in a file. Without a terminal it
asks nothing, and what is missing is told as not stated.
"""

import sys
from pathlib import Path

import click

from registry.cli.declaring import ask_declared
from registry.cli.publishing import refuse_in_the_way, write_all
from registry.client.bundles import find_bundle
from registry.client.documents import DECLARED, DOCUMENTS, read_declared, told_of, write_document
from registry.documents import Declared, declared_json

__all__ = ["card"]


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--declared",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="What only you know, JSON or TOML.  [default: declared.json beside the receipt]",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(list(DOCUMENTS)),
    default="card",
    show_default=True,
    help="What to write.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write it.  [default: standard output]",
)
@click.option("--replace", is_flag=True, help="Write over the file that is there.")
def card(path: Path, file: Path | None, kind: str, out: Path | None, replace: bool) -> None:
    """Write a card, or another document, from a receipt: as for show, a model with one in it among them.

    Each line says whether it was measured by the tool, declared by you, or inherited from upstream. On a
    terminal you are asked for what only you know; an empty answer is told as not stated. The answers are
    kept, and used the next time.

    \b
      caveat receipt card my-set-clean -o card.md
      caveat receipt card lora.safetensors --format civitai -o description.html
    """
    found = find_bundle(path)
    receipt, account = found.receipt, found.account
    # Nobody is asked in vain: a receipt that is not right has no documents.
    told_of(receipt)
    if out is not None:
        refuse_in_the_way([out], replace=replace)
    told = told_of(receipt, _declared(file, account))
    text = DOCUMENTS[kind](told)
    if out is None:
        click.echo(text, nl=False)
    else:
        write_all({out: text.encode()}, replace=replace)
        click.echo(f"written {out}", err=True)


def _declared(file: Path | None, account: Path | None) -> Declared:
    """Return what is declared: in a file, by the answers on a terminal, or nothing."""
    place = file or (None if account is None else account / DECLARED)
    is_there = place is not None and place.exists()
    if place is not None and (is_there or (file is not None and not sys.stdin.isatty())):
        return read_declared(place)
    if not sys.stdin.isatty():
        return Declared()
    declared = ask_declared()
    if place is None:
        click.echo("The answers are not kept: name a file with --declared.", err=True)
    else:
        write_document(place, declared_json(declared))
        click.echo(f"The answers are in {place}; edit them there.", err=True)
    return declared
