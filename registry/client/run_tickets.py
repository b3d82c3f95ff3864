"""The tickets of a filter run: kept in a book a registry while a part of it asks, one ticket at its end.

    with keeping(registries, wanted=True) as tickets:
        …                               look-ups of one shard, or of a whole dataset
    tickets.kept["https://r.example"]   its ticket, none when nothing was asked

Each part is a run of its own, since its numbers are given out in one process; its ticket lies in the report
of the shard until all are put together. What goes wrong with tickets stops nothing: it is kept as a fault,
and said where the registry would have countersigned.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from registry.client.http import RegistryClient
from registry.client.private import PrivateRegistry
from registry.client.snapshot import Snapshot
from registry.client.ticket_book import TicketBook
from registry.client.verdicts import Registry
from registry.errors import ProofError, RegistryError
from registry.tickets import MAX_TICKETS, read_ticket, root_of_runs

__all__ = ["RunTickets", "client_of", "keeping"]

_SNAPSHOT = "a snapshot was asked, and nothing was sent"
_TWICE = "it is named twice, and each of its requests has one number"
_TOO_OLD = "it is too old to give tickets"
_NO_KEY = "it gives no tickets: it has no key to sign with, as a mirror"


@dataclass(slots=True)
class RunTickets:
    """By the address of each registry its tickets, one a part in their order, or what went wrong."""

    kept: dict[str, list[str]] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)

    def join(self, part: "RunTickets", urls: Sequence[str], name: str) -> None:
        """Add those of a part of the run, ``name``, that was to ask the registries at ``urls``."""
        for url in urls:
            if url in part.faults:
                self.faults.setdefault(url, part.faults[url])
            elif url in part.kept:
                self.kept.setdefault(url, []).extend(part.kept[url])
            else:
                self.faults.setdefault(url, f"{name or 'a part'} was filtered without keeping tickets")

    def parts(self, url: str) -> list[list[str]]:
        """Return the tickets of a registry, so many at a time as it countersigns; none after a fault."""
        kept = [] if url in self.faults else self.kept.get(url, [])
        return [kept[at : at + MAX_TICKETS] for at in range(0, len(kept), MAX_TICKETS)]

    def roots(self, url: str) -> tuple[str, ...]:
        """Return the roots by which a receipt names the runs of these parts, hexadecimal."""
        return tuple(root_of_runs(read_ticket(one).run for one in part).hex() for part in self.parts(url))

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"kept": self.kept, "faults": self.faults}

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> "RunTickets":
        """Undo :meth:`to_wire`. Raises TypeError, KeyError, AttributeError, and :class:`ProofError`."""
        kept, faults = dict(wire["kept"]), dict(wire["faults"])
        for one in (text for tickets in kept.values() for text in tickets):
            read_ticket(one)
        return cls(kept, faults)


def client_of(registry: Registry) -> RegistryClient | None:
    """Return through what a registry is asked over HTTP; None where nothing is sent."""
    if isinstance(registry, PrivateRegistry):
        return registry.client
    return registry if isinstance(registry, RegistryClient) else None


@contextmanager
def keeping(registries: Sequence[Registry], *, wanted: bool) -> Iterator[RunTickets]:
    """Keep the tickets of what the block asks, if ``wanted``; they are there when the block has ended."""
    tickets, books = RunTickets(), {}
    for one in registries if wanted else ():
        client, fault = client_of(one), _fault_of(one)
        if one.url in books:
            fault = _TWICE
        if fault or client is None:
            tickets.faults[one.url] = fault
        else:
            books[one.url] = (client, client.keep_tickets())
    try:
        yield tickets
        for url, (client, book) in books.items():
            if url not in tickets.faults:
                _close(tickets, client, book)
    finally:
        for client, _ in books.values():
            client.book = None


def _fault_of(registry: Registry) -> str:
    """Return why a registry will give no tickets, empty when it does, by the parameters that it has told."""
    client = client_of(registry)
    if client is None:
        return _SNAPSHOT if isinstance(registry, Snapshot) else "it gives no tickets"
    return "" if client.max_tickets else (_TOO_OLD if client.max_tickets is None else _NO_KEY)


def _close(tickets: RunTickets, client: RegistryClient, book: TicketBook) -> None:
    """Have the tickets of a part changed for one."""
    url = client.url
    try:
        # Nothing is asked under the numbers of requests that failed, so that the run has no gap.
        for _ in book.missing():
            client.ask_nothing()
        tickets.kept[url] = book.closed()
    except (RegistryError, ProofError) as error:
        tickets.faults[url] = error.message
