"""``caveat receipt publish``: the receipt of a run, shown to everybody by a registry that was asked."""

from collections.abc import Sequence
from pathlib import Path

import click
from rich.markup import escape

from registry.cli.common import console, counted, emit_json, registries, registry_options
from registry.client import RegistryClient
from registry.client.countersigning import public_url
from registry.client.published import Named, PublishedReceipt, named_in, publish
from registry.client.receipts import find_receipt
from registry.errors import ProofError
from registry.model_receipt import open_receipt

__all__ = ["publish_"]


@click.command("publish")
@click.argument("path", type=click.Path(exists=True, path_type=Path), metavar="DST")
@click.option(
    "--honoured",
    is_flag=True,
    help="Name the records because of which works were left out; their pages count the receipt.",
)
@click.option(
    "--consents",
    is_flag=True,
    help="Name the grants by which works were used; their pages count the receipt.",
)
@registry_options
@click.option("--output", "form", type=click.Choice(["human", "json"]), default="human", show_default=True)
def publish_(
    path: Path, honoured: bool, consents: bool, registry_urls: tuple[str, ...], key: str | None, form: str
) -> None:
    """Publish the receipt of the run that wrote DST, at the registries that it asked.

    Everybody sees it then, with what the registry answered to the run, and it becomes an event of the log. It
    needs an API key. The tickets in the account prove what was asked. With --honoured and --consents the
    decisions tell which records and grants are named; a registry tells these to a run with a key of scope
    lookup.
    """
    receipt, account = find_receipt(path)
    if account is None:
        raise ProofError(
            f"{path} is a receipt without its account, and the tickets of the run lie there",
            hint="Give the output of the run, or its account.",
        )
    with_names = (honoured, consents)
    done = [_published(one, account, receipt, with_names) for one in registries(registry_urls, key)]
    if form == "json":
        emit_json([one.to_wire() for one in done])
    else:
        _print(done, with_names)


def _published(
    client: RegistryClient, account: Path, receipt: bytes, with_names: tuple[bool, bool]
) -> PublishedReceipt:
    with client:
        found, (honoured, consents) = Named(), with_names
        if honoured or consents:
            found = named_in(account, open_receipt(receipt, []).receipt, public_url(client.url))
        return publish(client, account, receipt, Named(found.honoured * honoured, found.consents * consents))


def _print(done: Sequence[PublishedReceipt], with_names: tuple[bool, bool]) -> None:
    out = console()
    for one in done:
        out.print(f"published {escape(one.page)}, with event {one.seq:,}", soft_wrap=True)
        told = zip(with_names, (one.named.honoured, one.named.consents), _TOLD, strict=True)
        for wanted, ids, (noun, what) in told:
            if wanted:
                out.print(f"named     {counted(len(ids), noun)} {what}")
                if not ids:
                    out.print(_NONE.format(noun=noun))
        out.print("for a model card:")
        out.print(escape(one.markdown), soft_wrap=True)


_TOLD = (("record", "that were honoured"), ("grant", "by which works were used"))
_NONE = "          It told the run no {noun}: it does to a run with a key of scope lookup."
