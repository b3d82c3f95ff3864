"""Events told elsewhere, written down here as they were there: what a mirror does with the feed of changes.

The payload comes in its JSON form, bytes as hexadecimal digits; the block of an import's part in Base64.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from registry.blocks import Block
from registry.errors import InputError, ProofError
from registry.leaf import Leaf, commit
from registry.store import Transaction, events, grants, imports, mentions, payloads, principals, receipts

__all__ = ["commitment_of", "replay"]

_UNKNOWN = "unknown"
"""The principal of an import that was rolled back before it was told here."""


def commitment_of(leaf: Leaf, salt: bytes, wire: Mapping[str, Any]) -> bytes:
    """Return what the leaf of an event that says ``wire`` commits to. Raises :class:`ProofError`."""
    return _block(wire).root if leaf.op == "part" else commit(salt, wire)


def replay(tx: Transaction, leaf: Leaf, wire: Mapping[str, Any], at: int) -> None:
    """Write the rows that the event of ``leaf`` brought. Raises ValueError for an event that is not known.

    Requires that ``wire`` is what the leaf commits to.
    """
    if leaf.op in events.KEY_OPS:
        return
    if leaf.op == "part":
        _replay_part(tx, leaf.record, wire["part"], at)
    elif leaf.op in grants.OPS:
        grants.replay(tx, leaf.record, leaf.op, wire)
    elif leaf.op in receipts.OPS:
        receipts.replay(tx, leaf.record, wire)
    elif leaf.op in mentions.OPS:
        mentions.replay(tx, leaf.record, wire)
    elif leaf.op in imports.OPS:
        _replay_import(tx, leaf, wire, at)
    else:
        said = payloads.from_wire(leaf.op, wire)
        if leaf.op != "works" and said["version"] is not None:
            principals.ensure_principal(tx.connection, said["version"]["principal_id"], at)
        payloads.insert(tx, leaf.record, said)


def _block(wire: Mapping[str, Any]) -> Block:
    try:
        return Block.load(base64.b64decode(wire["part"]["block"], validate=True))
    except (binascii.Error, InputError) as error:
        raise ProofError(f"a part without a block of works: {error}") from error


def _replay_part(tx: Transaction, record: str, part: Mapping[str, Any], at: int) -> None:
    _ensure_batch(tx, record, part["principal_id"], part["namespace"], at)
    row = {"number": part["number"], "works": part["works"], "blob": base64.b64decode(part["block"])}
    row["body_sha256"] = bytes.fromhex(part["body_sha256"])
    imports.insert_part(tx, {"batch_id": record, **row})


def _ensure_batch(tx: Transaction, record: str, principal: str, namespace: str, at: int) -> None:
    principals.ensure_principal(tx.connection, principal, at)
    if imports.batch_of(tx.connection, record) is None:
        batch = {"id": record, "principal_id": principal, "namespace": namespace, "opened_at": at}
        imports.add_batch(tx.connection, {**batch, "state": imports.OPEN, "draft": "{}"})


def _replay_import(tx: Transaction, leaf: Leaf, wire: Mapping[str, Any], at: int) -> None:
    if leaf.op == "withdraw-works":
        imports.withdraw(tx, [(seq, ordinal) for seq, ordinal in wire["withdrawn"]])
    elif leaf.op == "rollback":
        # Its parts may have been erased before any of them was told here.
        _ensure_batch(tx, leaf.record, _UNKNOWN, "", at)
        imports.settle(tx, leaf.record, {"state": imports.ROLLED_BACK, **wire["rollback"]})
        imports.destroy_blobs(tx, leaf.record)
        events.destroy_salts(tx, leaf.record)
    else:
        said = {**wire["import"], "digest": bytes.fromhex(wire["import"]["digest"])}
        imports.settle(tx, leaf.record, {"state": imports.COMPLETE, **said})
        payloads.insert(tx, leaf.record, {"version": wire["version"]})
