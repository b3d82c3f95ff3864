"""Copying the events of another registry, beyond the head, where no look-up sees them.

Each must say what its leaf commits to, or have been erased by a later event. Whether the leaves are those
that were signed is for the caller to find out, before the head is moved.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from registry.errors import LogError, ProofError, RegistryAnswerError, RegistryRefusedError
from registry.leaf import Leaf, parse_leaf
from registry.store import Store, Transaction, events, mirrored, payloads
from registry.store.replaying import commitment_of, replay
from registry.upstream import Upstream

__all__ = ["copy_events"]


def copy_events(store: Store, upstream: Upstream, upto: int) -> None:
    """Copy the events that are missing up to ``upto``, beyond the head.

    Raises :class:`LogError` when one does not say what its leaf commits to, :class:`RegistryAnswerError` when
    one is missing.
    """
    with store.read() as connection:
        last = mirrored.last_event(connection)
    while last < upto:
        page = [event for event in upstream.changes(last)["events"] if _number(event) <= upto]
        if [_number(event) for event in page] != list(range(last + 1, last + 1 + len(page))) or not page:
            raise RegistryAnswerError(
                f"{upstream.url}: events are missing after {last}", hint="They are asked for again."
            )
        with store.administer() as connection:
            for event in page:
                _insert(connection, event)
        last += len(page)


def _number(event: Any) -> int:
    seq = event.get("seq") if isinstance(event, dict) else None
    if type(seq) is not int:
        raise RegistryAnswerError("an event without a number")
    return seq


def _insert(connection: Connection, event: Mapping[str, Any]) -> None:
    try:
        leaf = parse_leaf(event["leaf"].encode())
        if (leaf.seq, leaf.op, leaf.record) != (event["seq"], event["op"], event["record"]):
            raise ProofError("is not the one of its leaf")
        _insert_event(Transaction(connection, leaf.seq), leaf, event)
    except (ProofError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise LogError(f"event {event.get('seq')} of the upstream cannot be taken over: {error}") from error


def _insert_event(tx: Transaction, leaf: Leaf, event: Mapping[str, Any]) -> None:
    salt, erased_by = b"", event["erased_by"]
    if leaf.op == "erase":
        payloads.erase(tx, leaf.record)
    if erased_by is None:
        if event["payload"] is None:
            raise RegistryRefusedError(
                "the upstream shows no payloads to this key", hint="Following wants the scope mirror."
            )
        salt, payload = bytes.fromhex(event["salt"]), event["payload"]
        if commitment_of(leaf, salt, payload) != leaf.commitment:
            raise ProofError("does not say what its leaf commits to")
        replay(tx, leaf, payload, event["at"])
    elif type(erased_by) is not int or erased_by <= leaf.seq:
        raise ProofError(f"was erased by {erased_by!r}")
    data = event["leaf"].encode()
    events.append(
        tx, op=leaf.op, record=leaf.record, at=event["at"], salt=salt, leaf=data, erased_by=erased_by
    )
