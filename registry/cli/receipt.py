"""``caveat receipt``: what a filter run did, shown, verified, and put into the model that came of it."""

import json
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from registry.cli.card import card
from registry.cli.common import console, counted, emit_json
from registry.cli.places import PlaceType
from registry.cli.receipt_attach import attach
from registry.cli.receipt_publish import publish_
from registry.cli.receipt_verify import verify
from registry.cli.recheck import recheck
from registry.cli.signing import model_signer_of, signer_of, signing_key_option
from registry.cli.subscribing import subscribe_, unsubscribe_
from registry.client.bundles import Found, find_bundle
from registry.client.store_accounts import at_hand
from registry.client.stores import Address
from registry.countersignature import Countersignature, parse_countersignature
from registry.dsse import keyid_of
from registry.model_receipt import CARRIERS, Signed, open_receipt, receipt_line
from registry.receipt import Asked, Content, Receipt
from registry.strictly import wire_of

__all__ = ["receipt"]

_output_option = click.option(
    "--output", "form", type=click.Choice(["human", "json"]), default="human", show_default=True
)


@click.group()
def receipt() -> None:
    """Show, verify and attach the receipts that filter runs leave.

    \b
      caveat receipt show my-set-clean
      caveat receipt attach lora.safetensors --receipt my-set-clean
      caveat receipt verify lora.safetensors --key maker+…
    """


@receipt.command()
@click.argument("path", type=PlaceType(exists=True))
@click.option(
    "--for",
    "trainer",
    type=click.Choice(list(CARRIERS)),
    help="Print what makes this trainer name the receipt in its models, and nothing else.",
)
@_output_option
def show(path: Path | Address, trainer: str | None, form: str) -> None:
    """Show what a receipt says: a file, an account, the output beside it, or a model with one in it.

    Receipts, accounts and outputs may be at an object store, s3://bucket/prefix.

    Its signature must be right by the key that it names; whose key that is, and whether what registries
    countersigned holds, verify says.
    """
    with at_hand(path) as here:
        found = find_bundle(here)
    signed = open_receipt(found.receipt, [])
    if trainer is not None:
        click.echo(CARRIERS[trainer].format(line=receipt_line(signed.sha256)))
        return
    said = _countersigned(found)
    if form == "json":
        told = {"sha256": signed.sha256, "signed_by": signed.signer.text, **_predicate(signed)}
        emit_json({**told, "countersignatures": [wire_of(one) for one in said]})
    else:
        _print_receipt(signed, said)


@receipt.command("key")
@click.option("--model", is_flag=True, help="The key that signs folders of models, in PEM.")
@signing_key_option
def key_(*, signing_key: Path | None, model: bool) -> None:
    """Print the public key that your receipts are signed with; it is made the first time.

    Folders of models are signed with another, an elliptic one (P-256), which is kept beside it as
    model-signing.pem: model-signing takes no key of the kind that signs receipts.
    """
    if model:
        click.echo(model_signer_of(None).pem.decode(), nl=False)
    else:
        click.echo(signer_of(signing_key).verifier.text)


for command in (verify, attach, card, publish_, recheck, subscribe_, unsubscribe_):
    receipt.add_command(command)


def _predicate(signed: Signed) -> dict[str, Any]:
    wire: dict[str, Any] = json.loads(signed.receipt.to_statement())
    return {"subject": wire["subject"], **wire["predicate"]}


def _countersigned(found: Found) -> list[Countersignature]:
    return [parse_countersignature(one.payload) for one in found.countersignatures]


def _print_receipt(signed: Signed, countersigned: list[Countersignature]) -> None:
    said, out = signed.receipt, console()
    out.print(escape(said.about))
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, text in _rows(said):
        table.add_row(name, escape(text))
    for one in countersigned:
        answered = f"{counted(one.requests, 'request')} about {counted(one.items, 'item')}"
        told = f"{one.registry} answered {answered}, as of event {one.as_of_seq:,} (verify says if it holds)"
        table.add_row("countersigned", escape(told))
    table.add_row("signed by", escape(f"{keyid_of(signed.signer)} (verify says whether it is known)"))
    table.add_row("receipt", f"sha256:{signed.sha256}")
    out.print(table)


def _rows(said: Receipt) -> list[tuple[str, str]]:
    counts, how = said.counts, said.configuration
    removed = ", ".join(f"{cause} {count:,}" for cause, count in sorted(counts.removed_by.items()))
    terms = f", min evidence {how.min_evidence}" if how.min_evidence else ""
    terms += f", {counted(how.own_works_count, 'own key')} declared" if how.own_works else ""
    return [
        ("finished", f"{said.finished} (started {said.started}), by {said.tool.name} {said.tool.version}"),
        ("asked", f"for {how.use} in the mode {how.mode}, as {how.format}{terms}"),
        *(("registry", _asked(one)) for one in said.registries),
        ("samples", f"{counts.samples:,}: {counts.kept:,} kept, of these {counts.review:,} to look at"),
        ("removed", f"{counts.removed:,}" + (f" ({removed})" if removed else "")),
        ("set aside", f"{counts.errors:,} that could not be checked or read"),
        ("unspoken of", f"{counts.unknown:,}"),
        ("input", _content(said.input)),
        ("output", _content(said.output)),
        ("decisions", f"{said.decisions.count:,} {said.decisions.leaves}, root {said.decisions.root}"),
    ]


def _asked(one: Asked) -> str:
    state = "asked about nothing" if one.as_of_seq is None else f"as of event {one.as_of_seq:,}"
    log = f", log {one.origin}" if one.origin else ""
    return f"{one.url or 'a snapshot'}{log}: {state} ({one.asked})"


def _content(content: Content) -> str:
    [(name, digest)] = content.digest.items()
    return f"{counted(content.files, 'file')}, {content.bytes:,} bytes, {name} {digest}"
