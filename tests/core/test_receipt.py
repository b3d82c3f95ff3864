"""The receipt as a value: what it is written as, what is refused, and what others make of it."""

import base64
import copy
import hashlib
import json
from dataclasses import replace

import pymerkle
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope as TheirEnvelope
from securesystemslib.signer import SSlibKey

from registry.dsse import Envelope, keyid_of, sign
from registry.errors import ProofError
from registry.model_receipt import Trust, open_receipt
from registry.receipt import (
    PAYLOAD_TYPE,
    Counts,
    decisions_over,
    parse_statement,
    seconds_of,
    sign_receipt,
    timestamp,
)
from registry.sums import parse_sums, sums_of
from tests.runs import MAKER, RUN, configured
from tests.runs import THIEF as OTHER

RECEIPT = configured(
    replace(
        RUN,
        counts=Counts(
            samples=6, kept=3, removed=2, review=1, errors=1, unknown=3, own=0, below_evidence=0,
            removed_by={"pdq": 2}, status={"ok": 2, "malformed": 1}, preference={"reserved": 2, "none": 1},
        ),
        started="2026-11-22T05:00:00Z",
        finished="2026-11-22T05:00:09Z",
    ),
    licences=("https://licence.example/1",),
)  # fmt: skip
ENVELOPE = sign_receipt(RECEIPT, MAKER)


def changed(path, value):
    """The statement with one member other than it was, told by its path."""
    wire = copy.deepcopy(json.loads(RECEIPT.to_statement()))
    *above, last = path.split(".")
    place = wire
    for name in above:
        place = place[int(name) if name.isdigit() else name]
    if value is None:
        del place[last]
    else:
        place[int(last) if last.isdigit() else last] = value
    return rfc8785.dumps(wire)


def test_a_receipt_is_read_as_it_was_written():
    assert parse_statement(RECEIPT.to_statement()) == RECEIPT
    found = open_receipt(ENVELOPE.to_json(), [MAKER.verifier])
    assert (found.receipt, found.signer, found.trust) == (RECEIPT, MAKER.verifier, Trust.KNOWN)


def test_what_it_says_of_itself_stands_on_its_face():
    assert b"Does not show that a model was trained" in RECEIPT.to_statement()


def test_securesystemslib_verifies_the_envelope():
    key = {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": MAKER.verifier.public.hex()}}
    envelope = TheirEnvelope.from_dict(json.loads(ENVELOPE.to_json()))
    known = SSlibKey.from_dict(keyid_of(MAKER.verifier), key)
    assert list(envelope.verify([known], 1)) == [known.keyid]
    assert envelope.payload == RECEIPT.to_statement()


def test_pymerkle_has_the_same_root():
    lines = [f"line {number}".encode() for number in range(37)]
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for line in lines:
        tree.append_entry(line)
    found = decisions_over(lines, "lines")
    assert (found.count, found.root) == (37, tree.get_root().hex())


def test_the_statement_is_the_standards():
    wire = json.loads(RECEIPT.to_statement())
    assert list(wire) == ["_type", "predicate", "predicateType", "subject"]
    assert wire["_type"] == "https://in-toto.io/Statement/v1"
    assert wire["subject"] == [{"name": "output", "digest": {"dirHash": "2" * 64}}]


TAMPERED = {
    "another type": ("_type", "https://in-toto.io/Statement/v0.1", "not an in-toto statement of version 1"),
    "another predicate": ("predicateType", "https://slsa.dev/provenance/v1", "a statement of"),
    "another subject": ("subject.0.digest.dirHash", "3" * 64, "another subject than its output"),
    "a subject of another name": ("subject.0.name", "input", "another subject than its output"),
    "a further member": ("also", 1, "another subject than its output, or written anew"),
    "no predicate": ("predicate", None, "predicate: expected a JSON object"),
    "a member missing": ("predicate.counts", None, "predicate: without counts"),
    "a member too much": ("predicate.host", "pc", "predicate: with 'host'"),
    "a promise": ("predicate.about", "Shows that the model is clean.", "says what it does not show"),
    "no registry": ("predicate.registries", [], "none was asked"),
    "another way to ask": ("predicate.registries.0.asked", "kindly", "asked 'kindly'"),
    "a run that is no root": ("predicate.registries.0.runs", ["1"], "runs with '1'; expected roots over runs"),  # noqa: E501
    "a run twice": ("predicate.registries.0.runs", ["0" * 64] * 2, "runs with 'a root twice'"),
    "runs without a list": ("predicate.registries.0.runs", "0" * 64, "runs: expected a list"),
    "no word of runs": ("predicate.registries.0.runs", None, "registries.0: without runs"),
    "nobody asked": ("predicate.registries.0.url", None, "without url"),
    "a configuration of another mode": ("predicate.configuration.mode", "strict", "configuration_sha256"),
    "another digest of it": ("predicate.configuration_sha256", "0" * 64, "configuration_sha256"),
    "more kept": ("predicate.counts.kept", 4, "are not 4"),
    "fewer samples": ("predicate.counts.samples", 5, "are not 3"),
    "a status less": ("predicate.counts.status", {"ok": 2}, "status does not add up"),
    "a preference less": ("predicate.counts.preference", {}, "preference does not add up"),
    "a negative count": ("predicate.counts.review", -1, "counts.review: expected a whole number"),
    "a count that is true": ("predicate.resumed", True, "resumed: expected a whole number"),
    "a truth that is a count": ("predicate.configuration.subset", 1, "subset: expected true or false"),
    "a count that is text": ("predicate.configuration.mapping", "1", "mapping: expected a whole number"),
    "a text that is a count": ("predicate.tool.version", 1, "tool.version: expected text"),
    "control characters": ("predicate.configuration.purpose", "\x1b[31m", "purpose: expected text"),
    "a control of eight bits": ("predicate.configuration.purpose", "\x9b31m", "purpose: expected text"),
    "another end of a line": ("predicate.configuration.purpose", "a\u2028b", "purpose: expected text"),
    "writing turned round": ("predicate.configuration.purpose", "a\u202eb", "purpose: expected text"),
    "a text without end": ("predicate.tool.name", "x" * 10_001, "tool.name: expected text"),
    "a list that is text": ("predicate.configuration.licences", "x", "licences: expected a list"),
    "a root that is none": ("predicate.decisions.root", "x", "decisions: leaves"),
    "leaves of another kind": ("predicate.decisions.leaves", "trees", "decisions: leaves"),
    "a digest of another kind": ("predicate.input.digest", {"md5": "0" * 32}, "expected sha256 or dirHash"),
    "two digests": (
        "predicate.input.digest",
        {"sha256": "1" * 64, "dirHash": "1" * 64},
        "expected sha256 or dirHash",
    ),
    "no digest": ("predicate.output.digest", {}, "expected sha256 or dirHash"),
    "many files that are one": ("predicate.input.digest", {"sha256": "1" * 64}, "60 files with the"),
    "an end before the beginning": ("predicate.finished", "2026-11-22T04:59:59Z", "before it started"),
    "another form of time": ("predicate.finished", "2026-11-22T06:00:09+01:00", "not a time in UTC"),
    "a day that is none": ("predicate.finished", "2026-02-30T05:00:00Z", "not a time in UTC"),
    "a key that is none": ("predicate.maker", "maker+0+0", "not the key of a log"),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERED)
def test_what_would_not_have_been_written_is_refused_by_name(name):
    path, value, message = TAMPERED[name]
    with pytest.raises(ProofError, match=message):
        parse_statement(changed(path, value))


SAME = {
    "spaces": json.dumps(json.loads(RECEIPT.to_statement())).encode(),
    "a newline": RECEIPT.to_statement() + b"\n",
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_in_other_bytes_is_refused(name):
    with pytest.raises(ProofError, match="written anew"):
        parse_statement(SAME[name])


def test_a_member_that_stands_twice_is_refused():
    doubled = RECEIPT.to_statement().replace(b'"resumed":0', b'"resumed":0,"resumed":0')
    with pytest.raises(ProofError, match="'resumed' stands twice"):
        parse_statement(doubled)


@given(st.integers(0, len(ENVELOPE.payload) - 1), st.integers(0, 7))
def test_a_bit_of_the_statement_that_turns_is_refused(place, bit):
    payload = bytearray(ENVELOPE.payload)
    payload[place] ^= 1 << bit
    turned = Envelope(ENVELOPE.payload_type, bytes(payload), ENVELOPE.signatures)
    with pytest.raises(ProofError):
        open_receipt(turned.to_json(), [MAKER.verifier])


@given(st.integers(0, 63), st.integers(0, 7))
def test_a_bit_of_the_signature_that_turns_is_refused(place, bit):
    wire = ENVELOPE.to_wire()
    signature = bytearray(base64.b64decode(wire["signatures"][0]["sig"]))
    signature[place] ^= 1 << bit
    wire["signatures"][0]["sig"] = base64.b64encode(bytes(signature)).decode()
    for keys in ([MAKER.verifier], []):
        with pytest.raises(ProofError, match="the signature of maker is wrong"):
            open_receipt(Envelope.from_wire(wire).to_json(), keys)


def test_a_receipt_of_an_unknown_key_says_so():
    found = open_receipt(ENVELOPE.to_json(), [OTHER.verifier])
    assert (found.trust, found.signer) == (Trust.UNKNOWN, MAKER.verifier)


def test_a_receipt_that_another_signed_is_refused():
    stolen = sign(PAYLOAD_TYPE, RECEIPT.to_statement(), [OTHER])
    for keys in ([OTHER.verifier], [MAKER.verifier], []):
        with pytest.raises(ProofError, match="and not by maker"):
            open_receipt(stolen.to_json(), keys)
    with pytest.raises(ProofError, match="to be signed by"):
        sign_receipt(RECEIPT, OTHER)


def test_an_envelope_of_another_kind_is_refused():
    other = sign("application/vnd.caveat.grant+json", RECEIPT.to_statement(), [MAKER])
    with pytest.raises(ProofError, match="an envelope of 'application/vnd"):
        open_receipt(other.to_json(), [MAKER.verifier])


@given(st.integers(0, 253402300799))
def test_times_are_read_as_they_are_written(seconds):
    assert seconds_of(timestamp(seconds)) == seconds


# The list of files.


@given(
    st.dictionaries(st.text(st.characters(exclude_categories=("Cs",)), min_size=1), st.binary(), max_size=6)
)
def test_a_list_of_files_is_read_as_it_was_written(files):
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    assert parse_sums(sums_of(digests)) == digests


def test_the_list_has_the_form_of_sha256sum_and_the_digest_of_gos_h1():
    digests = {"b/c.txt": hashlib.sha256(b"c").hexdigest(), "a.txt": hashlib.sha256(b"a").hexdigest()}
    lines = sums_of(digests)
    assert lines.decode() == f"{digests['a.txt']}  a.txt\n{digests['b/c.txt']}  b/c.txt\n"


LISTS = {
    "cut off": (b"0" * 64 + b"  a.t", "cut off"),
    "no name": (b"0" * 64 + b"  \n", "line 1 is not"),
    "one space": (b"0" * 64 + b" a\n", "line 1 is not"),
    "no digest": (b"x" * 64 + b"  a\n", "line 1 is not"),
    "capitals": (b"A" * 64 + b"  a\n", "line 1 is not"),
    "not sorted": (b"0" * 64 + b"  b\n" + b"0" * 64 + b"  a\n", "not sorted"),
    "a name twice": ((b"0" * 64 + b"  a\n") * 2, "a name twice"),
    "not UTF-8": (b"0" * 64 + b"  \xff\n", "not a list of files as it is written"),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_that_would_not_have_been_written_is_refused(name):
    data, message = LISTS[name]
    with pytest.raises(ProofError, match=message):
        parse_sums(data)
