"""Having a run countersigned by the registries that it asked: its tickets, sent with its receipt.

    with keeping(registries, wanted=True) as tickets:
        …                               look-ups
    told = write_countersigned(account, registries, tickets, receipt)

``receipt.bundle.json`` in the account is the receipt with what the registries countersigned, for publication
as the receipt is. ``tickets.txt`` is what proves it later: a line a ticket, after the address of the registry
that gave it. Whoever has these can have another receipt countersigned with them; they stay with the maker.

The run does not depend on it: what fails here leaves the receipt as it is, and says why there is no
countersignature.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from registry.client.http import RegistryClient
from registry.client.run_tickets import RunTickets, client_of
from registry.client.transport import wrong_answer
from registry.client.verdicts import Registry
from registry.countersignature import MAX_COUNTERSIGNATURES, Bundle, Countersignature, open_countersignature
from registry.dsse import Envelope
from registry.errors import CaveatError, ProofError
from registry.merkle import root_of
from registry.model_receipt import open_receipt
from registry.note import Verifier
from registry.tickets import Ticket, merge_runs, read_ticket, root_of_runs

__all__ = [
    "BUNDLE",
    "TICKETS",
    "Countersigned",
    "countersign",
    "public_url",
    "read_tickets",
    "write_countersigned",
    "write_tickets",
]

BUNDLE, TICKETS = "receipt.bundle.json", "tickets.txt"


@dataclass(frozen=True, slots=True)
class Countersigned:
    """What a registry countersigned, and where it published the receipt, None where it did not."""

    envelope: Envelope
    published: Mapping[str, Any] | None


def countersign(
    client: RegistryClient, tickets: Sequence[str], receipt: bytes, more: Mapping[str, Any] | None = None
) -> Countersigned:
    """Have the registry say what it answered to runs of a receipt, by their tickets, run by run.

    ``more`` are further members of the request. Raises :class:`ProofError` when the tickets are not those of
    whole runs, and :class:`RegistryError`, also for a countersignature that is not about these tickets.
    """
    sent, signed = Envelope.from_json(receipt), open_receipt(receipt, [])
    runs = merge_runs([read_ticket(one) for one in tickets])
    body = {"receipt": sent.to_wire(), "tickets": list(tickets), **(more or {})}
    answer = client.tell_receipts(body)
    try:
        bundle = Bundle.from_wire(answer.get("bundle"))
        if bundle.receipt != sent or not bundle.countersignatures:
            raise ProofError("another receipt than was sent, or no countersignature")
        keys = [Verifier.parse(one) for one in client.log_keys()["keys"]]
        said = [open_countersignature(one, signed, keys) for one in bundle.countersignatures]
        found = [one for one, told in zip(bundle.countersignatures, said, strict=True) if _is_of(told, runs)]
        if not found:
            raise ProofError("it is about other requests than the tickets")
        published = answer.get("published")
        if not isinstance(published, dict | None):
            raise TypeError("published is no object")
    except (ProofError, KeyError, TypeError) as error:
        raise wrong_answer(client.url, f"a countersignature that does not hold ({error})") from error
    return Countersigned(found[0], published)


def _is_of(said: Countersignature, runs: Sequence[Ticket]) -> bool:
    roots = (root_of_runs(one.run for one in runs), root_of(one.asked for one in runs))
    found = (*roots, root_of(one.answered for one in runs))
    told = (said.run, said.asked, said.answered)
    return told == tuple(one.hex() for one in found) and said.requests == sum(one.end for one in runs)


def write_countersigned(
    account: Path, registries: Sequence[Registry], tickets: RunTickets, receipt: bytes
) -> dict[str, str]:
    """Have each registry countersign a receipt, and write bundle and tickets into the account in the making.

    Returns by address why a registry did not, empty where it did. Raises OSError.
    """
    (account / BUNDLE).unlink(missing_ok=True)
    write_tickets(account, tickets)
    told: dict[str, str] = {}
    envelopes: list[Envelope] = []
    for registry in registries:
        client, parts = client_of(registry), tickets.parts(registry.url)
        told[registry.url] = tickets.faults.get(registry.url, "" if parts else "nothing was asked")
        if len(envelopes) + len(parts) > MAX_COUNTERSIGNATURES:
            told[registry.url] = f"more than {MAX_COUNTERSIGNATURES} countersignatures of one receipt"
        if client is None or told[registry.url]:
            continue
        try:
            envelopes += [countersign(client, part, receipt).envelope for part in parts]
        except CaveatError as error:
            told[registry.url] = error.message
        except KeyboardInterrupt:
            # The output is complete: whoever does not want to wait for this has it all the same.
            told[registry.url] = "it was not waited for"
    if envelopes:
        bundle = Bundle(Envelope.from_json(receipt), tuple(envelopes))
        (account / BUNDLE).write_bytes(bundle.to_json())
    return told


def write_tickets(account: Path, tickets: RunTickets) -> None:
    """Write the tickets of a run for those alone who may read everything of its owner's."""
    path = account / TICKETS
    path.unlink(missing_ok=True)
    lines = [
        f"{public_url(url)} {one}\n" for url in tickets.kept for part in tickets.parts(url) for one in part
    ]
    if not lines:
        return
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii", newline="\n") as file:
        file.writelines(lines)


def read_tickets(account: Path) -> RunTickets:
    """Return the tickets of a run that has ended. Raises :class:`ProofError`."""
    path, tickets = account / TICKETS, RunTickets()
    try:
        lines = path.read_text("ascii").splitlines()
    except FileNotFoundError as error:
        raise ProofError(
            f"{account} holds no tickets: nothing proves what its run asked",
            hint="Runs keep them where the registry gives them: not with --snapshot or --no-countersign.",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ProofError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        url, _, text = line.rpartition(" ")
        try:
            read_ticket(text)
        except ProofError as error:
            raise ProofError(f"{path}, line {number}: {error.message}") from error
        tickets.kept.setdefault(url, []).append(text)
    return tickets


def public_url(url: str) -> str:
    """Return the address of a registry without a name and a password in it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
