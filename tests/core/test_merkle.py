"""Roots and proofs of RFC 6962, against its own recursive words and against published trees."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import ProofError
from registry.merkle import (
    EMPTY_ROOT,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    require_consistency,
    require_inclusion,
    root_hash,
    root_of,
)

LEAVES = [
    bytes.fromhex(text)
    for text in (
        *("", "00", "10", "2021", "3031", "40414243", "5051525354555657"),
        "606162636465666768696a6b6c6d6e6f",
    )
]
"""The leaves, and below the roots, of the test data that Certificate Transparency's projects share."""
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def made(count):
    return [hashlib.sha256(str(n).encode()).digest() for n in range(count)]


class Held:
    """A HashReader over leaf hashes in memory, that counts what it is asked for."""

    def __init__(self, hashes):
        self.hashes, self.asked = hashes, 0

    def read(self, level, index):
        self.asked += 1
        part = self.hashes[index << level : (index + 1) << level]
        assert len(part) == 1 << level
        return by_the_rfc(part)


def by_the_rfc(hashes):
    """RFC 6962 §2.1, word for word."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = split(len(hashes))
    return hashlib.sha256(b"\x01" + by_the_rfc(hashes[:k]) + by_the_rfc(hashes[k:])).digest()


def path_by_the_rfc(m, hashes):
    """RFC 6962 §2.1.1."""
    if len(hashes) == 1:
        return []
    k = split(len(hashes))
    if m < k:
        return [*path_by_the_rfc(m, hashes[:k]), by_the_rfc(hashes[k:])]
    return [*path_by_the_rfc(m - k, hashes[k:]), by_the_rfc(hashes[:k])]


def proof_by_the_rfc(m, hashes, whole=True):
    """RFC 6962 §2.1.2."""
    if m == len(hashes):
        return [] if whole else [by_the_rfc(hashes)]
    k = split(len(hashes))
    if m <= k:
        return [*proof_by_the_rfc(m, hashes[:k], whole), by_the_rfc(hashes[k:])]
    return [*proof_by_the_rfc(m - k, hashes[k:], False), by_the_rfc(hashes[:k])]


def split(count):
    k = 1
    while 2 * k < count:
        k *= 2
    return k


@pytest.mark.parametrize("size", range(len(ROOTS)))
def test_the_published_roots(size):
    hashes = [leaf_hash(leaf) for leaf in LEAVES[:size]]
    assert root_of(hashes).hex() == ROOTS[size]
    assert root_hash(Held(hashes), size).hex() == ROOTS[size]
    assert EMPTY_ROOT.hex() == ROOTS[0]


def test_leaves_and_nodes_are_told_apart():
    left, right = made(2)
    assert leaf_hash(left + right) != node_hash(left, right)


@given(st.integers(0, 300))
def test_a_root_is_that_of_the_rfc(size):
    hashes = made(size)
    assert root_of(hashes) == root_hash(Held(hashes), size) == by_the_rfc(hashes)


@pytest.mark.parametrize("size", [*range(1, 35), 64, 100, 255, 256, 257])
def test_every_leaf_is_shown_to_be_in(size):
    hashes = made(size)
    root = by_the_rfc(hashes)
    for index, one in enumerate(hashes):
        proof = inclusion_proof(Held(hashes), index, size)
        assert proof == path_by_the_rfc(index, hashes)
        require_inclusion(one, index, size, proof, root)


@pytest.mark.parametrize("second", [*range(35), 64, 100, 256, 257])
def test_every_beginning_is_shown_to_be_one(second):
    hashes = made(second)
    for first in range(second + 1):
        proof = consistency_proof(Held(hashes), first, second)
        assert proof == (proof_by_the_rfc(first, hashes) if 0 < first < second else [])
        require_consistency(first, second, by_the_rfc(hashes[:first]), by_the_rfc(hashes), proof)


@given(st.data(), st.integers(1, 200))
def test_no_other_leaf_place_size_root_or_proof_is_taken(data, size):
    hashes = made(size)
    index = data.draw(st.integers(0, size - 1))
    proof, root = path_by_the_rfc(index, hashes), by_the_rfc(hashes)
    other = hashlib.sha256(b"other").digest()
    wrong = [
        (other, index, size, proof, root),
        (hashes[index], index, size, proof, other),
        (hashes[index], index, size, [*proof, other], root),
        (hashes[index], size, size, proof, root),
        (hashes[index], -1, size, proof, root),
    ]
    if size > 1:
        changed = data.draw(st.integers(0, size - 1).filter(lambda n: n != index))
        wrong += [
            (hashes[index], changed, size, proof, root),
            (hashes[index], index, size, proof[:-1], root),
            (hashes[index], index, size, [other, *proof[1:]], root),
        ]
    for one in wrong:
        with pytest.raises(ProofError):
            require_inclusion(*one)


@given(st.data(), st.integers(2, 200))
def test_no_other_tree_is_taken_for_the_beginning(data, second):
    hashes = made(second)
    first = data.draw(st.integers(1, second - 1))
    old, new, proof = by_the_rfc(hashes[:first]), by_the_rfc(hashes), proof_by_the_rfc(first, hashes)
    other = hashlib.sha256(b"other").digest()
    forked = [*hashes[: first - 1], other]
    for one in (
        (first, second, by_the_rfc(forked), new, proof),
        (first, second, old, other, proof),
        (first, second, old, new, [*proof, other]),
        (first, second, old, new, proof[:-1]),
        (first, second, old, new, [other, *proof[1:]]),
        (second, first, new, old, proof),
        (first, first, old, new, []),
        (first, first, old, old, [other]),
        (0, second, old, new, []),
        (-1, second, old, new, proof),
    ):
        with pytest.raises(ProofError):
            require_consistency(*one)


def test_a_proof_asks_for_few_hashes():
    hashes = made(1000)
    for ask, first in ((inclusion_proof, 500), (consistency_proof, 513)):
        held = Held(hashes)
        ask(held, first, 1000)
        assert held.asked <= 40


@pytest.mark.parametrize(("index", "size"), [(0, 0), (-1, 5), (5, 5), (6, 5)])
def test_no_path_leads_from_a_leaf_that_is_not_there(index, size):
    with pytest.raises(ProofError, match=f"leaf {index} is not in a tree of {size}"):
        inclusion_proof(Held(made(10)), index, size)


@pytest.mark.parametrize(("first", "second"), [(-1, 5), (6, 5)])
def test_no_proof_leads_back(first, second):
    with pytest.raises(ProofError, match="not the beginning"):
        consistency_proof(Held(made(10)), first, second)
