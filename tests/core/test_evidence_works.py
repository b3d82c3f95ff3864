"""A work of an import is proven by itself: its path to the root that the leaf of its part commits to."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from registry.blocks import Block
from registry.errors import ProofError
from registry.evidence import check_evidence
from registry.leaf import Leaf, format_leaf, plain
from registry.merkle import leaf_hash
from registry.note import Checkpoint, Signer, format_checkpoint, sign_note

SIGNER = Signer.new("log.example")
COUNT = 4


@pytest.fixture
def evidence() -> dict[str, Any]:
    """One part of four works, the only event of its log; its third work is told."""
    rows = {
        "title": pa.array([f"No. {n}" for n in range(COUNT)]),
        "url": pa.array([None] * COUNT, pa.string()),
        "url_key": pa.array([None] * COUNT, pa.binary(16)),
        "sha256": pa.array([bytes([n] * 32) for n in range(COUNT)], pa.binary(32)),
        "packed": pa.array([None] * COUNT, pa.binary()),
        "salt": pa.array([bytes([n] * 16) for n in range(COUNT)], pa.binary(16)),
    }
    block = Block.of(rows)
    leaf = format_leaf(Leaf(1, "part", "k3", block.root, "part"))
    note = sign_note(format_checkpoint(Checkpoint("log.example", 1, leaf_hash(leaf))), [SIGNER])
    event = {"seq": 1, "op": "part", "leaf": leaf.decode(), "salt": None, "payload": None, "proof": []}
    told = {
        "work": "1.2",
        "of": COUNT,
        "row": plain(block.row(2)),
        "salt": block.salt(2).hex(),
        "proof": [one.hex() for one in block.proof(2)],
    }
    return {"record": "k3", "checkpoint": note, "events": [event], "works": [told]}


def test_it_holds(evidence: dict[str, Any]) -> None:
    checkpoint, [event] = check_evidence(evidence, [SIGNER.verifier])
    assert checkpoint is not None
    assert event.logged


FORGED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "another title": lambda work: work["row"].update(title="No. 3"),
    "a member more": lambda work: work["row"].update(note="x"),
    "another salt": lambda work: work.update(salt="00" * 16),
    "another place": lambda work: work.update(work="1.1"),
    "a place that is not there": lambda work: work.update(work="1.4"),
    "another part": lambda work: work.update(work="2.2"),
    "another way of writing it": lambda work: work.update(work="1.02"),
    "no name": lambda work: work.update(work="12"),
    "another path": lambda work: work["proof"].reverse(),
    "a path too short": lambda work: work["proof"].pop(),
    "a path too long": lambda work: work["proof"].append("00" * 32),
    "no digits": lambda work: work.update(proof=["zz"]),
    "no row": lambda work: work.pop("row"),
    "no number": lambda work: work.update(of="4"),
    "no text": lambda work: work.update(work=5),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_a_forged_one_is_refused(evidence: dict[str, Any], forge: Callable[[dict[str, Any]], Any]) -> None:
    forge(evidence["works"][0])
    with pytest.raises(ProofError):
        check_evidence(evidence, [SIGNER.verifier])


def test_an_event_of_another_kind_has_no_works(evidence: dict[str, Any]) -> None:
    leaf = evidence["events"][0]["leaf"].replace('"scope":"part"', '"scope":"record"')
    note = sign_note(format_checkpoint(Checkpoint("log.example", 1, leaf_hash(leaf.encode()))), [SIGNER])
    evidence["events"][0]["leaf"], evidence["checkpoint"] = leaf, note
    with pytest.raises(ProofError, match="no such part"):
        check_evidence(evidence, [SIGNER.verifier])


@pytest.mark.parametrize("works", [5, [5], "x", None], ids=repr)
def test_works_of_another_form_are_refused(evidence: dict[str, Any], works: Any) -> None:
    evidence["works"] = works
    with pytest.raises(ProofError):
        check_evidence(evidence, [SIGNER.verifier])
