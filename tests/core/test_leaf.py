"""Leaves are read strictly, and commit to every part of a payload."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import ProofError
from registry.leaf import SALT_BYTES, Leaf, commit, format_leaf, parse_leaf

LEAF = Leaf(7, "register", "k3x", bytes(range(32)))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LEAVES = st.builds(
    Leaf,
    st.integers(0, 2**40),
    TEXTS,
    TEXTS,
    st.binary(min_size=32, max_size=32),
    st.sampled_from(["record", "part", "log"]),
    TEXTS,
)


def test_the_form_is_that_of_the_reference():
    assert format_leaf(LEAF) == (
        b'{"commitment":"' + LEAF.commitment.hex().encode() + b'","op":"register","record":"k3x",'
        b'"scope":"record","seq":7,"v":1}'
    )


@given(LEAVES)
def test_a_leaf_reads_as_it_was_written(leaf):
    assert parse_leaf(format_leaf(leaf)) == leaf


def changed(**values):
    return json.dumps(json.loads(format_leaf(LEAF)) | values, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b'{"v":1}',
        b" " + format_leaf(LEAF),
        format_leaf(LEAF) + b"\n",
        json.dumps(json.loads(format_leaf(LEAF))).encode(),
        changed(v=2),
        changed(seq="7"),
        changed(seq=True),
        changed(seq=7.5),
        changed(commitment="00"),
        changed(commitment=bytes(32).hex().upper().replace("0", "A")),
        changed(key=""),
        changed(more=1),
        changed(op=None),
    ],
)
def test_anything_else_is_refused(data):
    with pytest.raises(ProofError):
        parse_leaf(data)


PAYLOAD = {"version": {"label": "Ada", "at": 5, "terms": ""}, "works": [{"sha256": b"\1" * 32, "url": None}]}


@pytest.mark.parametrize(
    "other",
    [
        {**PAYLOAD, "works": []},
        {**PAYLOAD, "version": {**PAYLOAD["version"], "label": "Adb"}},
        {**PAYLOAD, "version": {**PAYLOAD["version"], "at": 6}},
        {"works": [{"sha256": b"\1" * 31 + b"\2", "url": None}], "version": PAYLOAD["version"]},
        {**PAYLOAD, "rules": []},
    ],
)
def test_another_payload_or_salt_is_another_commitment(other):
    salt = bytes(SALT_BYTES)
    assert commit(salt, other) != commit(salt, PAYLOAD)
    assert commit(b"\1" * SALT_BYTES, PAYLOAD) != commit(salt, PAYLOAD)
    assert commit(salt, dict(reversed(PAYLOAD.items()))) == commit(salt, PAYLOAD)
