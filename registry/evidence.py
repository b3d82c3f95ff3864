"""Evidence: the events of one record, each with what it said and the proof that the log holds it.

    {"record": "k3…", "checkpoint": "log.example\n7\n…",
     "events": [{"seq": 7, "leaf": "{…}", "salt": "5f…", "payload": {…}, "proof": ["9a…", …]}],
     "works": [{"work": "5.17", "of": 10000, "salt": "0c…", "row": {…}, "proof": ["1e…", …]}]}

It is checked without the registry: the checkpoint by the log's key, each leaf by its audit path under the
checkpoint's root, and the payload by the commitment in its leaf. An event that was erased has neither salt
nor payload; one that the checkpoint does not cover yet has no proof.

``works`` is there for works of an import that were asked for: the leaf of a part commits to the root over
them, so each has an audit path of its own to it, ``of`` being how many works the part has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registry.errors import ProofError
from registry.leaf import Leaf, commit, parse_leaf
from registry.merkle import leaf_hash, require_inclusion
from registry.note import Checkpoint, Verifier, open_note, parse_checkpoint

__all__ = ["Proven", "check_evidence"]


@dataclass(frozen=True, slots=True)
class Proven:
    """An event of the record: its leaf, and what it said unless that was erased or is not shown.

    ``logged`` says whether the checkpoint covers it.
    """

    leaf: Leaf
    payload: Mapping[str, Any] | None
    logged: bool


def check_evidence(
    evidence: Mapping[str, Any], verifiers: Sequence[Verifier]
) -> tuple[Checkpoint | None, list[Proven]]:
    """Check ``evidence``, as the registry gives it, against the log's keys.

    Returns the checkpoint, None when nothing was published yet, and the events. Raises :class:`ProofError`
    that names the event.
    """
    try:
        note, record, events = evidence["checkpoint"], evidence["record"], evidence["events"]
        checkpoint = None if note is None else parse_checkpoint(open_note(note, verifiers)[0])
        proven = [_proven(event, record, checkpoint) for event in events]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProofError(f"not evidence of this kind: {error!r}") from error
    places = [one.leaf.seq for one in proven]
    if places != sorted(set(places)):
        raise ProofError("the events are not in order")
    _require_works(evidence, {one.leaf.seq: one.leaf for one in proven})
    return checkpoint, proven


def _require_works(evidence: Mapping[str, Any], leaves: Mapping[int, Leaf]) -> None:
    """Raise :class:`ProofError` unless each work stands in the part that it names."""
    try:
        for work in evidence.get("works", ()):
            seq, _, ordinal = work["work"].partition(".")
            leaf = leaves.get(int(seq))
            if leaf is None or leaf.scope != "part" or work["work"] != f"{int(seq)}.{int(ordinal)}":
                raise ProofError(f"work {work['work']}: there is no such part among the events")
            commitment = commit(bytes.fromhex(work["salt"]), work["row"])
            path = [bytes.fromhex(one) for one in work["proof"]]
            try:
                require_inclusion(leaf_hash(commitment), int(ordinal), work["of"], path, leaf.commitment)
            except ProofError as error:
                raise ProofError(f"work {work['work']}: {error.message}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProofError(f"not works of this kind: {error!r}") from error


def _proven(event: Mapping[str, Any], record: str, checkpoint: Checkpoint | None) -> Proven:
    data = event["leaf"].encode()
    leaf = parse_leaf(data)
    if (leaf.seq, leaf.record) != (event["seq"], record):
        raise ProofError(f"event {event['seq']}: its leaf is of event {leaf.seq} of {leaf.record}")
    payload, salt, proof = event["payload"], event["salt"], event["proof"]
    if payload is not None and commit(bytes.fromhex(salt), payload) != leaf.commitment:
        raise ProofError(f"event {leaf.seq}: says something else than its leaf commits to")
    if proof is not None:
        if checkpoint is None:
            raise ProofError(f"event {leaf.seq}: a proof without a checkpoint")
        path = [bytes.fromhex(one) for one in proof]
        try:
            require_inclusion(leaf_hash(data), leaf.seq - 1, checkpoint.size, path, checkpoint.root)
        except ProofError as error:
            raise ProofError(f"event {leaf.seq}: {error.message}") from error
    return Proven(leaf, payload, proof is not None)
