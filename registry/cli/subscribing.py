"""``caveat receipt subscribe`` and ``unsubscribe``: being told when something that a run kept is reserved."""

from collections.abc import Sequence
from pathlib import Path

import click
from rich.markup import escape

from registry.cli.common import (
    console,
    counted,
    emit_json,
    progress_bar,
    registries,
    registry_options,
)
from registry.client.receipts import find_receipt
from registry.client.subscribing import (
    Passed,
    Subscribed,
    Telling,
    passed_by,
    subscribe,
    unsubscribe,
)
from registry.errors import InputError, ProofError
from registry.model_receipt import Signed, open_receipt

__all__ = ["subscribe_", "unsubscribe_"]

_DST = click.argument("dst", type=click.Path(exists=True, path_type=Path))
_ID_DIGITS = 32
_output_option = click.option(
    "--output", "form", type=click.Choice(["human", "json"]), default="human", show_default=True
)


@click.command("subscribe")
@_DST
@click.option("--webhook", metavar="URL", help="Send notices there, too: https, signed.")
@click.option(
    "--receipt", "with_receipt", is_flag=True, help="The badge of its published receipt tells what is found."
)
@click.option("--label", default="", help="What the feed is called.")
@click.option("--names", is_flag=True, help="Send the names of the samples; else numbers stand for them.")
@click.option(
    "--in-full", is_flag=True, help="Also where the run sent nothing in full: --private or --snapshot."
)
@registry_options
@_output_option
def subscribe_(
    dst: Path,
    webhook: str | None,
    with_receipt: bool,
    label: str,
    names: bool,
    in_full: bool,
    registry_urls: tuple[str, ...],
    key: str | None,
    form: str,
) -> None:
    """Be told when something that the run of DST kept becomes reserved.

    Of all that passed, address, SHA-256 and fingerprint are sent to the registry and KEPT THERE until
    unsubscribe. It answers with the address of a feed, for any feed reader, and with the secret that signs
    webhooks, which is shown this once. It needs an API key.

    \b
      caveat receipt subscribe my-set-clean
      caveat receipt subscribe my-set-clean --webhook https://hooks.example/caveat --receipt
    """
    signed = _receipt_of(dst)
    _require_meant(signed, in_full=in_full)
    if with_receipt and signed is None:
        raise ProofError(f"{dst} has no receipt", hint="Filter anew, then caveat receipt publish.")
    receipt = signed.sha256[:_ID_DIGITS] if with_receipt and signed is not None else None
    telling, done = Telling(webhook, receipt, label), []
    for client in registries(registry_urls, key):
        with client, progress_bar("sending") as bar:
            passed = passed_by(dst, names=names, tick=bar.advance)
            done.append((passed, subscribe(client, dst, passed, telling)))
    if form == "json":
        emit_json([one.to_wire() for _, one in done])
    else:
        _print(done)


@click.command("unsubscribe")
@_DST
@registry_options
def unsubscribe_(dst: Path, registry_urls: tuple[str, ...], key: str | None) -> None:
    """Be told of DST no more: what the registry keeps for it is deleted there."""
    for client in registries(registry_urls, key):
        with client:
            count = unsubscribe(client, dst)
        told = f"{counted(count, 'subscription')} deleted" if count else "there was no subscription"
        click.echo(f"{client.url}: {told}")


def _receipt_of(dst: Path) -> Signed | None:
    try:
        return open_receipt(find_receipt(dst)[0], [])
    except ProofError:
        return None


def _require_meant(signed: Signed | None, *, in_full: bool) -> None:
    """Require that what a run kept to itself is sent on purpose."""
    asked = {one.asked for one in signed.receipt.registries} if signed is not None else set()
    if not in_full and (quiet := asked & {"private", "snapshot"}):
        raise InputError(
            f"the run sent {'nothing' if quiet == {'snapshot'} else 'only the beginnings of keys'}, and to be"
            " told, addresses and fingerprints of all that passed are sent and kept",
            hint="Give --in-full if you want that, or ask now and then: caveat recheck.",
        )


def _print(done: Sequence[tuple[Passed, Subscribed]]) -> None:
    out = console()
    for passed, one in done:
        out.print(
            f"{escape(one.registry)} keeps {counted(one.items, 'item')} of what passed, and watches for them",
            soft_wrap=True,
        )
        left = [(passed.own, "declared as your own"), (passed.unfindable, "that it could not find")]
        for count, what in left:
            if count:
                out.print(f"left out  {counted(count, 'sample')} {what}")
        out.print(f"feed      {escape(one.feed)}", soft_wrap=True)
        if one.secret is not None:
            out.print(f"webhook   {escape(str(one.webhook))}", soft_wrap=True)
            out.print(f"secret    {escape(one.secret)}", soft_wrap=True)
            out.print(
                "Keep the secret: it is shown this once. Any library of Standard Webhooks verifies with it."
            )
    out.print("To be told no more: caveat receipt unsubscribe, with the same DST.")
