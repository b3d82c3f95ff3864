"""The tickets of a run, kept while it asks: numbers given out, tickets taken in, merged as they come.

Any number of threads ask at once. Each request gets a number of its own; the number of one that failed is
given to the next. As soon as 4,096 tickets that follow each other are there the registry changes them for
one, and 4,096 of these for one again, so that what is kept does not grow with the run.

Nothing here stops the run: what goes wrong with tickets is kept as ``fault``, and said when the run is to be
countersigned.
"""

import heapq
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Sequence

from registry.errors import ProofError, RegistryError
from registry.tickets import Ticket, format_run, merge, message_hash, read_ticket

__all__ = ["AT_ONCE", "TicketBook"]

AT_ONCE = 4096
"""Tickets that are changed for one: a power of two."""


class TicketBook:
    """The tickets of one run; ``merge`` has the registry change ``at_once`` of them for one."""

    def __init__(self, merge: Callable[[Sequence[str]], str], at_once: int = AT_ONCE) -> None:
        self.run = secrets.token_bytes(16)
        self.fault = ""
        self._merge, self._at_once = merge, at_once
        self._lock = threading.Lock()
        self._next = 0
        self._free: list[int] = []
        self._levels: list[dict[int, str]] = []
        self._held: list[Counter[int]] = []

    def take(self) -> int:
        """Return the number of a request that is about to be sent."""
        with self._lock:
            if self._free:
                return heapq.heappop(self._free)
            self._next += 1
            return self._next - 1

    def give_back(self, number: int) -> None:
        """Say that the request of this number was not answered; the next one has it."""
        with self._lock:
            heapq.heappush(self._free, number)

    def header(self, number: int) -> str:
        """Return the header that asks for the ticket of a request."""
        return format_run(self.run, number)

    def keep(self, number: int, ticket: str | None, asked: bytes, answered: bytes) -> None:
        """Keep the ticket of a request, which must be about what was asked and answered, to the byte."""
        fault = self._fault_of(number, ticket, asked, answered)
        if fault or ticket is None:
            self._fail(fault)
        elif not self.fault:
            self._add(0, number, ticket)

    def missing(self) -> list[int]:
        """Return the numbers of requests that nobody has: nothing was answered to them."""
        with self._lock:
            return sorted(self._free)

    def whole(self) -> list[str]:
        """Return the tickets of the whole run in their order.

        Raises :class:`ProofError` when one is missing, or something went wrong with one.
        """
        with self._lock:
            if self.fault:
                raise ProofError(self.fault)
            found = [one for level in reversed(self._levels) for _, one in sorted(level.items())]
        reached = 0
        for one in map(read_ticket, found):
            if one.begin != reached:
                raise ProofError(f"the ticket of request {reached} of this run is missing")
            reached = one.end
        if reached != self._next or not found:
            raise ProofError(
                "there is no ticket: nothing was asked"
                if not found
                else f"the ticket of request {reached} of this run is missing"
            )
        return found

    def closed(self) -> list[str]:
        """Return the one ticket of the whole run, changed for all of them; none when nothing was asked.

        Raises as :meth:`whole`, and :class:`RegistryError`.
        """
        if not self._next:
            return []
        found = self.whole()
        return found if len(found) == 1 else [self._changed(found)]

    def _changed(self, tickets: Sequence[str]) -> str:
        """Return the ticket that the registry gives for these, which must stand for them and no others."""
        changed = self._merge(tickets)
        if read_ticket(changed) != merge([read_ticket(one) for one in tickets]):
            raise ProofError("the registry changed tickets for one that does not stand for them")
        return changed

    def _fault_of(self, number: int, ticket: str | None, asked: bytes, answered: bytes) -> str:
        if ticket is None:
            return f"the registry gave no ticket with its answer to request {number}"
        try:
            said = read_ticket(ticket)
        except ProofError as error:
            return error.message
        if not self._is_of(said, number, asked, answered):
            return (
                f"the ticket of request {number} is not about what was asked and answered: something between "
                "here and the registry changes addresses or bodies"
            )
        return ""

    def _is_of(self, said: Ticket, number: int, asked: bytes, answered: bytes) -> bool:
        hashes = message_hash(self.run, asked), message_hash(self.run, answered)
        place = (self.run, number, number + 1)
        return (said.run, said.begin, said.end) == place and (said.asked, said.answered) == hashes

    def _add(self, level: int, place: int, ticket: str) -> None:
        with self._lock:
            full = self._filled(level, place, ticket)
        if not full:
            return
        # Not under the lock: others go on asking meanwhile.
        try:
            changed = self._changed(full)
        except (RegistryError, ProofError) as error:
            self._fail(f"the registry did not change tickets for one: {error.message}")
        else:
            self._add(level + 1, place // self._at_once, changed)

    def _filled(self, level: int, place: int, ticket: str) -> list[str]:
        """Put a ticket in its place; return its whole block, taken out, when this was the last of it."""
        if level == len(self._levels):
            self._levels.append({})
            self._held.append(Counter())
        kept, block = self._levels[level], place // self._at_once
        kept[place] = ticket
        self._held[level][block] += 1
        if self._held[level][block] < self._at_once:
            return []
        del self._held[level][block]
        return [kept.pop(one) for one in range(block * self._at_once, (block + 1) * self._at_once)]

    def _fail(self, fault: str) -> None:
        with self._lock:
            self.fault = self.fault or fault
            # They are of no use any more.
            self._levels, self._held = [], []
