"""A grant is read as strictly as it is written, and only the key of the registry that it names signs it."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from registry.dsse import Envelope, Signature, pae, sign
from registry.errors import InputError, ProofError
from registry.grant import (
    GRANT_TYPE,
    MAX_WORKS,
    Grant,
    check_grant,
    format_grant,
    open_grant,
    parse_grant,
    sign_grant,
)
from registry.note import Signer, Verifier
from registry.preference import Use

LOG = Signer("log.example", bytes(range(32)))
FOREIGN = Signer("other.example", bytes(range(32, 64)))
GRANT = Grant(
    id="a" * 26,
    registry="log.example",
    reservation="b" * 26,
    works=("9.0", "10.0", "10.3"),
    uses=(Use.GENAI_TRAIN, Use.TRAIN),
    licensee="Acme Pictures",
    licensee_url="https://acme.example/",
    valid_from=1_795_000_000,
    valid_until=1_800_000_000,
    terms="one model\nno resale",
    contact="ada@ada.example",
    seq=17,
    issued_at=1_795_000_001,
)
WIRE = GRANT.to_wire()
KEYS = [LOG.verifier]
ENVELOPE = sign_grant(GRANT, LOG)

names = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=40)
places = st.lists(
    st.tuples(st.integers(1, 10**14), st.integers(0, 10**8)), min_size=1, max_size=9, unique=True
)
grants = st.builds(
    replace,
    st.just(GRANT),
    works=st.none() | places.map(lambda found: tuple(f"{seq}.{at}" for seq, at in sorted(found))),
    uses=st.sets(st.sampled_from(list(Use)), min_size=1).map(lambda uses: tuple(sorted(uses))),
    licensee=names,
    terms=st.just("") | names,
    seq=st.integers(1, 2**53 - 1),
)


@given(grants)
def test_what_is_written_is_read_again(grant):
    assert parse_grant(format_grant(grant)) == grant
    assert open_grant(Envelope.from_json(sign_grant(grant, LOG).to_json()), KEYS) == grant


@given(grants)
def test_names_in_every_script_are_taken(grant):
    check_grant(replace(grant, licensee="انتشارات نی‌ستان"))
    check_grant(replace(grant, licensee="👩‍🎨 GmbH"))


REFUSED = {
    "no version": ({"v": None}, "v: None"),
    "the next version": ({"v": 2}, "v: 2"),
    "a version that is true": ({"v": True}, "v: True"),
    "an identifier in capitals": ({"id": "A" * 26}, "id: expected 26"),
    "a short identifier": ({"id": "a" * 25}, "id: expected 26"),
    "an identifier with a line": ({"id": "a" * 26 + "\n"}, "id: expected 26"),
    "no reservation": ({"reservation": None}, "reservation: expected 26"),
    "no registry": ({"registry": ""}, "registry: expected a text of 1"),
    "no works": ({"works": []}, "works: expected 1 to 1000"),
    "works out of order": ({"works": ["10.0", "9.0"]}, "works: expected 1 to"),
    "a work twice": ({"works": ["9.0", "9.0"]}, "works: expected 1 to"),
    "a work with a leading zero": ({"works": ["09.0"]}, "is no work"),
    "a work that is a number": ({"works": [9.0]}, "is no work"),
    "too many works": ({"works": [f"1.{at}" for at in range(MAX_WORKS + 1)]}, "works: expected a list"),
    "works as a text": ({"works": "9.0"}, "works: expected a list"),
    "no uses": ({"uses": []}, "uses: expected at least one"),
    "uses out of order": ({"uses": ["train", "genai-train"]}, "uses: expected at least one"),
    "a use twice": ({"uses": ["train", "train"]}, "uses: expected at least one"),
    "a use that is none": ({"uses": ["all"]}, "'all' is no use"),
    "a use that is a list": ({"uses": [[]]}, "is no use"),
    "a use for all": ({"uses": None}, "uses: expected a list"),
    "nobody": ({"licensee": {"name": "", "url": ""}}, "licensee: expected a text of 1"),
    "a licensee as a text": ({"licensee": "Acme"}, "licensee: expected name, url; got str"),
    "a licensee of more": ({"licensee": {"name": "A", "url": "", "key": ""}}, "got key, name, url"),
    "a licensee of two lines": ({"licensee": {"name": "A\nB", "url": ""}}, "licensee: has control"),
    "a licensee with an escape": ({"licensee": {"name": "A\x1b[2J", "url": ""}}, "licensee: has control"),
    "a licensee between spaces": ({"licensee": {"name": " A", "url": ""}}, "licensee: has control"),
    "half a surrogate pair": ({"licensee": {"name": "A\ud800", "url": ""}}, "licensee: has control"),
    "a long address": ({"licensee": {"name": "A", "url": "x" * 2001}}, "url: expected a text"),
    "an end before the beginning": ({"valid_until": 1_795_000_000}, "is not after valid_from"),
    "an end that is a text": ({"valid_until": "2027-01-01"}, "valid_until: expected an integer"),
    "an end in fractions": ({"valid_until": 1_800_000_000.0}, "valid_until: expected an integer"),
    "an end after all": ({"valid_until": 2**53}, "valid_until: expected an integer"),
    "a beginning before all": ({"valid_from": -1}, "valid_from: expected an integer"),
    "a beginning that is true": ({"valid_from": True}, "valid_from: expected an integer"),
    "no event": ({"seq": 0}, "seq: expected an integer from 1"),
    "terms of none": ({"terms": None}, "terms: expected a text"),
    "a long contact": ({"contact": "x" * 501}, "contact: expected a text"),
    "a member more": ({"transferable": True}, "a grant: expected contact, id"),
}


@pytest.mark.parametrize(("change", "told"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_grant(change, told):
    with pytest.raises(InputError, match=told):
        Grant.from_wire(WIRE | change)


@pytest.mark.parametrize("member", WIRE)
def test_a_member_less_is_refused(member):
    with pytest.raises(InputError, match="expected contact, id"):
        Grant.from_wire({name: value for name, value in WIRE.items() if name != member})


BYTES = {
    "nothing": (b"", "not JSON"),
    "no object": (b"[]", "a grant: expected"),
    "spaces": (json.dumps(WIRE).encode(), "as it is written"),
    "a newline": (rfc8785.dumps(WIRE) + b"\n", "as it is written"),
    "a member twice": (rfc8785.dumps(WIRE).replace(b'"v":1', b'"v":1,"v":1'), "stands twice"),
    "escaped letters": (rfc8785.dumps(WIRE).replace(b"Acme", b"\\u0041cme"), "as it is written"),
    "NaN": (rfc8785.dumps(WIRE).replace(b'"seq":17', b'"seq":NaN'), "NaN is not JSON"),
}


@pytest.mark.parametrize(("data", "told"), BYTES.values(), ids=BYTES)
def test_other_bytes_are_refused(data, told):
    with pytest.raises(InputError, match=told):
        parse_grant(data)


def changed(**members: object) -> Envelope:
    """The signed envelope with another payload under the same signature."""
    return replace(ENVELOPE, payload=rfc8785.dumps(WIRE | members))


TAMPERED = {
    "another licensee": (changed(licensee={"name": "Bcme", "url": ""}), KEYS, "signature of log.example is"),
    "a longer time": (changed(valid_until=1_900_000_000), KEYS, "is wrong"),
    "more uses": (changed(uses=["ai-input", "genai-train", "train"]), KEYS, "is wrong"),
    "all works": (changed(works=None), KEYS, "is wrong"),
    "another reservation": (changed(reservation="c" * 26), KEYS, "is wrong"),
    "another identifier": (changed(id="c" * 26), KEYS, "is wrong"),
    "another registry": (changed(registry="other.example"), KEYS, "is wrong"),
    "another kind of payload": (sign("application/json", format_grant(GRANT), [LOG]), KEYS, "expected 'appl"),
    "signed by a stranger": (sign(GRANT_TYPE, format_grant(GRANT), [FOREIGN]), KEYS, "and not by log"),
    "signed by a stranger of that name": (
        sign(GRANT_TYPE, format_grant(GRANT), [Signer("log.example", bytes(32))]), KEYS, "and not by log",
    ),
    "signed by another registry that is known": (
        sign(GRANT_TYPE, format_grant(GRANT), [FOREIGN]), [FOREIGN.verifier], "signed by other.example",
    ),
    "signed by another registry beside it": (
        sign(GRANT_TYPE, format_grant(GRANT), [FOREIGN]), [*KEYS, FOREIGN.verifier], "and not by log.example",
    ),
    "a signature of zeros": (
        replace(ENVELOPE, signatures=(Signature(ENVELOPE.signatures[0].keyid, bytes(64)),)), KEYS, "is wrong",
    ),
    "the signature of another grant": (
        replace(ENVELOPE, signatures=sign_grant(replace(GRANT, seq=18), LOG).signatures), KEYS, "is wrong",
    ),
    "signed, and no grant": (sign(GRANT_TYPE, b"{}", [LOG]), KEYS, "not a grant of this kind"),
    "signed, with spaces": (sign(GRANT_TYPE, json.dumps(WIRE).encode(), [LOG]), KEYS, "as it is written"),
    "signed, and no longer valid than before": (
        sign(GRANT_TYPE, rfc8785.dumps(WIRE | {"valid_until": 1}), [LOG]), KEYS, "is not after valid_from",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("envelope", "keys", "told"), TAMPERED.values(), ids=TAMPERED)
def test_what_was_tampered_with_does_not_open(envelope, keys, told):
    with pytest.raises(ProofError, match=told):
        open_grant(envelope, keys)


def test_each_byte_of_the_file_counts():
    data = ENVELOPE.to_json()
    for place in range(0, len(data), 3):
        other = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(ProofError):
            open_grant(Envelope.from_json(other), KEYS)


def test_only_its_own_registry_signs_it():
    with pytest.raises(ProofError, match=r"a grant of 'log\.example', signed by other\.example"):
        sign_grant(GRANT, FOREIGN)
    with pytest.raises(InputError, match="valid_until"):
        sign_grant(replace(GRANT, valid_until=GRANT.valid_from), LOG)


@pytest.mark.parametrize(
    ("use", "now", "covered"),
    [
        pytest.param(Use.TRAIN, GRANT.valid_from, True, id="its first second"),
        pytest.param(Use.TRAIN, GRANT.valid_from - 1, False, id="before it"),
        pytest.param(Use.TRAIN, GRANT.valid_until - 0.5, True, id="its last"),
        pytest.param(Use.TRAIN, GRANT.valid_until, False, id="after it"),
        pytest.param(Use.GENAI_TRAIN, GRANT.valid_from, True, id="the other use"),
        pytest.param(Use.TDM, GRANT.valid_from, False, id="a wider use"),
        pytest.param(Use.AI_INPUT, GRANT.valid_from, False, id="a use that is not named"),
    ],
)
def test_what_it_covers(use, now, covered):
    assert GRANT.covers(use, now) is covered


@pytest.mark.parametrize(
    ("works", "work", "covered"),
    [
        pytest.param(None, "1.0", True, id="all: a work"),
        pytest.param(None, "", True, id="all: a rule"),
        pytest.param(("9.0",), "9.0", True, id="one: it"),
        pytest.param(("9.0",), "9.1", False, id="one: another"),
        pytest.param(("9.0",), "", False, id="one: a rule"),
    ],
)
def test_which_works_it_covers(works, work, covered):
    assert replace(GRANT, works=works).covers_work(work) is covered


VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "grants.json").read_text("utf-8"))


@pytest.mark.parametrize("case", VECTORS["cases"], ids=[case["name"] for case in VECTORS["cases"]])
def test_the_vectors(case):
    """What other programs must write and read alike; Ed25519 signs the same bytes the same way."""
    signer = Signer("log.example", bytes.fromhex(VECTORS["seed"]))
    grant = Grant.from_wire(case["grant"])
    assert (VECTORS["key"], VECTORS["type"]) == (signer.verifier.text, GRANT_TYPE)
    assert format_grant(grant).decode() == case["payload"]
    assert hashlib.sha256(pae(GRANT_TYPE, format_grant(grant))).hexdigest() == case["signed_sha256"]
    assert sign_grant(grant, signer).to_json().decode() == case["file"]
    assert open_grant(Envelope.from_json(case["file"].encode()), [Verifier.parse(VECTORS["key"])]) == grant
