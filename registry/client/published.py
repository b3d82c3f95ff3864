"""Publishing the receipt of a run: on the log of a registry that was asked, with the records that it names.

What is published says to everybody what the receipt says, and what the registry answered to the run. With the
records that were honoured it says so to those whose works were left out; who these are the registry tells a
run only with a key, and the decisions have them from there. The same receipt is published once, and may be
sent again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from registry.client.contents import decision_files, lines_of
from registry.client.countersigning import BUNDLE, countersign, public_url, read_tickets
from registry.client.formats.files import write_synced
from registry.client.formats.parquet_entries import pyarrow_modules
from registry.client.http import RegistryClient
from registry.client.run_tickets import RunTickets
from registry.client.transport import wrong_answer
from registry.countersignature import Bundle, Countersignature, parse_countersignature
from registry.dsse import Envelope
from registry.errors import CaveatError, DatasetError, ProofError
from registry.jsontext import strict_json
from registry.model_receipt import open_receipt
from registry.preference import Action, Preference
from registry.receipt import Receipt

__all__ = ["Named", "PublishedReceipt", "named_in", "publish"]

_AT_ONCE = 1000
"""Records of each kind that are named in one request."""
_RESTRICTING = (Preference.RESERVED, Preference.CONDITIONAL)


@dataclass(frozen=True, slots=True)
class Named:
    """Identifiers of reservations that were ``honoured``, and of grants by which works were used."""

    honoured: tuple[str, ...] = ()
    consents: tuple[str, ...] = ()

    def parts(self) -> Iterator[dict[str, list[str]]]:
        """Yield both, so many at a time as a request may name; once where there are none."""
        parts = [
            [list(ids[at : at + _AT_ONCE]) for at in range(0, len(ids), _AT_ONCE)]
            for ids in (self.honoured, self.consents)
        ]
        for honoured, consents in list(zip_longest(*parts, fillvalue=[])) or [([], [])]:
            some = {"honoured": honoured, "consents": consents}
            yield {name: ids for name, ids in some.items() if ids}


@dataclass(frozen=True, slots=True)
class PublishedReceipt:
    """Where a receipt was published: at the registry of this address, with event ``seq``."""

    registry: str
    id: str
    seq: int
    named: Named = field(default_factory=Named)

    @property
    def page(self) -> str:
        """The address of its page."""
        return f"{self.registry}/receipt/{self.id}"

    @property
    def markdown(self) -> str:
        """Its badge for a model card."""
        return f"[![caveat receipt]({self.registry}/badge/{self.id}.svg)]({self.page})"

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON form."""
        named = {"honoured": list(self.named.honoured), "consents": list(self.named.consents)}
        place = {"registry": self.registry, "id": self.id, "seq": self.seq}
        return {**place, "page": self.page, "markdown": self.markdown, **named}


def publish(
    client: RegistryClient, account: Path, receipt: bytes, named: Named | None = None
) -> PublishedReceipt:
    """Publish a receipt of this account at a registry, and keep what it countersigned in the bundle.

    Raises :class:`ProofError` where nothing proves that this registry was asked, :class:`RegistryError`, and
    OSError when the bundle cannot be written.
    """
    named, url = named or Named(), public_url(client.url)
    first, *others = _tickets_of(read_tickets(account), url)
    envelopes, done = [], None
    for some in named.parts():
        told = countersign(client, first, receipt, {"publish": True, **some})
        envelopes, done = [told.envelope], told.published
    # One countersignature is shown; the others are for whoever is given the bundle.
    envelopes += [countersign(client, part, receipt).envelope for part in others]
    _keep(account, receipt, envelopes)
    try:
        id_, seq = done["id"], done["seq"]  # type: ignore[index] # a TypeError where it is None
        if (
            not isinstance(id_, str)
            or type(seq) is not int
            or not open_receipt(receipt, []).sha256.startswith(id_)
        ):
            raise TypeError(f"{id_!r} with event {seq!r}")
    except (KeyError, TypeError) as error:
        raise wrong_answer(client.url, f"without saying where the receipt was published ({error})") from error
    return PublishedReceipt(url, id_, seq, named)


def named_in(account: Path, receipt: Receipt, url: str) -> Named:
    """Return what the decisions of a run say of records at the registry of this address.

    Honoured are records that restrict the use, because of which a sample was removed, from events on as of
    which the registry answered; a grant was used where a sample is kept because of it. Empty where the
    registry told the run no identifiers. Raises :class:`DatasetError` for decisions that cannot be read.
    """
    as_of = next((one.as_of_seq for one in receipt.registries if one.url == url and one.runs), None)
    honoured, consents = set(), set()
    try:
        for action, statements, lifted in _decisions(account):
            if action == Action.REMOVE:
                honoured |= {one["record"] for one in statements if _restricts(one, receipt, url, as_of)}
            consents |= {
                one["grant"] for one in lifted if public_url(one["registry"]) == url and one["grant"]
            }
    except (CaveatError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{account} holds decisions that cannot be read: {error!r}", hint="They were changed or damaged."
        ) from error
    return Named(tuple(sorted(honoured - {""})), tuple(sorted(consents)))


def _restricts(one: Mapping[str, Any], receipt: Receipt, url: str, as_of: int | None) -> bool:
    told = public_url(one["registry"]) == url and bool(one["record"])
    held = as_of is not None and told and one["seq"] <= as_of
    return held and one["preferences"].get(receipt.configuration.use) in _RESTRICTING


_Statements = list[Mapping[str, Any]]


def _decisions(account: Path) -> Iterator[tuple[str, _Statements, _Statements]]:
    """Yield the action, the statements that decided and those that a grant lifted, of what was told of."""
    lines, files = decision_files(account)
    for line in lines_of(lines):
        wire = strict_json(line)
        lifted = wire.get("lifted", []) if wire["cause"] == "grant" else []
        yield wire["action"], wire.get("statements", []), lifted
    tables = [one for one in files if one.suffix == ".parquet"]
    yield from chain.from_iterable(map(_of_table, tables))


def _of_table(path: Path) -> Iterator[tuple[str, _Statements, _Statements]]:
    _, parquet = pyarrow_modules()
    with parquet.ParquetFile(path) as table:
        for batch in table.iter_batches(columns=["action", "statements"]):
            said = zip(*(batch.column(at).to_pylist() for at in range(2)), strict=True)
            # Of many rows alike the same is said: it is read once.
            for action, text in dict.fromkeys(said):
                yield action, strict_json(text.encode()), []


def _tickets_of(tickets: RunTickets, url: str) -> list[list[str]]:
    parts = tickets.parts(url)
    if not parts:
        asked = ", ".join(tickets.kept) or "none"
        raise ProofError(
            f"there are no tickets of {url}: nothing proves that this run asked it",
            hint=f"Name one of those that gave some, with --registry: {asked}.",
        )
    return parts


def _keep(account: Path, receipt: bytes, envelopes: list[Envelope]) -> None:
    """Write the bundle with these countersignatures, and those of others that were there."""
    path, whole = account / BUNDLE, {_place(one): one for one in _bundled(account, receipt)}
    whole |= {_place(one): one for one in envelopes}
    write_synced(path, Bundle(Envelope.from_json(receipt), tuple(whole.values())).to_json())


def _bundled(account: Path, receipt: bytes) -> tuple[Envelope, ...]:
    try:
        bundle = Bundle.from_json((account / BUNDLE).read_bytes())
    except FileNotFoundError:
        return ()
    return bundle.countersignatures if bundle.receipt == Envelope.from_json(receipt) else ()


def _place(envelope: Envelope) -> tuple[str, str]:
    said: Countersignature = parse_countersignature(envelope.payload)
    return said.registry, said.run
