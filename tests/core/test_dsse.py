"""Envelopes are read as strictly as they are written; a signature by a known key must be right."""

import base64
import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from registry.dsse import MAX_BYTES, Envelope, Signature, keyid_of, pae, sign, verify
from registry.errors import ProofError
from registry.note import Signer, open_note, sign_note

KIND = "application/vnd.example+json"
PAYLOAD = b'{"a":1}'
LOG = Signer("log.example/1", bytes(range(32)))
OTHER = Signer("other.example", bytes(range(32, 64)))
SIGNED = sign(KIND, PAYLOAD, [LOG])


def test_the_published_encoding():
    # The vector of the protocol's own text.
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_lengths_are_of_bytes_not_of_characters():
    assert pae("ä", b"\xff\x00") == b"DSSEv1 2 \xc3\xa4 2 \xff\x00"


@given(st.text(min_size=1), st.binary(), st.text(min_size=1), st.binary())
def test_no_two_payloads_are_signed_alike(kind, payload, other_kind, other):
    assert (pae(kind, payload) == pae(other_kind, other)) == ((kind, payload) == (other_kind, other))


@given(st.binary(max_size=300), st.sampled_from([[LOG], [OTHER], [LOG, OTHER]]))
def test_what_was_signed_comes_back(payload, signers):
    envelope = Envelope.from_json(sign(KIND, payload, signers).to_json())
    for signer in signers:
        assert verify(envelope, [signer.verifier], KIND) == payload
    assert envelope.to_json() == sign(KIND, payload, signers).to_json()


def test_each_byte_counts():
    data = SIGNED.to_json()
    for place in range(len(data)):
        for bit in (1, 32):
            changed = data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]
            with pytest.raises(ProofError):
                verify(Envelope.from_json(changed), [LOG.verifier], KIND)


def test_a_signature_by_an_unknown_key_is_let_pass():
    again = Signer.new(LOG.name)
    assert verify(sign(KIND, PAYLOAD, [again, LOG]), [LOG.verifier], KIND) == PAYLOAD


def test_a_wrong_signature_by_a_known_key_is_refused_beside_a_right_one():
    both = sign(KIND, PAYLOAD, [LOG, OTHER])
    wrong = Envelope(KIND, PAYLOAD, (both.signatures[0], Signature(both.signatures[1].keyid, bytes(64))))
    assert verify(wrong, [LOG.verifier], KIND) == PAYLOAD
    with pytest.raises(ProofError, match=r"the signature of other\.example is wrong"):
        verify(wrong, [LOG.verifier, OTHER.verifier], KIND)


def test_a_note_is_no_envelope_and_an_envelope_no_note():
    text = f"{LOG.name}\n7\n{base64.b64encode(bytes(32)).decode()}\n"
    packed = sign_note(text, [LOG]).rsplit(" ", 1)[1]
    borrowed = Envelope(
        KIND, text.encode(), (Signature(keyid_of(LOG.verifier), base64.b64decode(packed)[4:]),)
    )
    with pytest.raises(ProofError, match="is wrong"):
        verify(borrowed, [LOG.verifier], KIND)
    signature = base64.b64encode(LOG.verifier.key_hash + SIGNED.signatures[0].sig).decode()
    message = pae(KIND, PAYLOAD).decode() + "\n"
    with pytest.raises(ProofError, match="is wrong"):
        open_note(f"{message}\n— {LOG.name} {signature}\n", [LOG.verifier])


WIRE = SIGNED.to_wire()
ONE = WIRE["signatures"][0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param({"payload": WIRE["payload"] + "\n"}, "payload: not Base64", id="newline in Base64"),
        pytest.param({"payload": "e30"}, "payload: not Base64", id="no padding"),
        pytest.param({"payload": "e31="}, "payload: not Base64", id="bits after the end"),
        pytest.param({"payload": "-_-_"}, "payload: not Base64", id="the alphabet for addresses"),
        pytest.param({"payload": 7}, "payload: not Base64", id="payload of a number"),
        pytest.param({"payloadType": ""}, "payloadType: expected 1", id="no kind"),
        pytest.param({"payloadType": "a\nb"}, "payloadType: expected 1", id="kind of two lines"),
        pytest.param({"payloadType": "a" * 201}, "payloadType: expected 1", id="long kind"),
        pytest.param({"payloadType": None}, "payloadType: expected 1", id="kind null"),
        pytest.param({"signatures": []}, "signatures: expected 1 to 100", id="nobody signed"),
        pytest.param({"signatures": {}}, "signatures: expected 1 to 100", id="signatures an object"),
        pytest.param({"signatures": [ONE] * 101}, "signatures: expected 1 to 100", id="too many signed"),
        pytest.param({"signatures": [ONE, ONE]}, "two of them are by one key", id="signed twice"),
        pytest.param({"signatures": ["x"]}, r"signatures\.0: expected a JSON object", id="a text"),
        pytest.param(
            {"signatures": [ONE | {"x": 1}]}, r"signatures\.0: has keyid, sig, x", id="a member more"
        ),
        pytest.param({"signatures": [{"sig": ONE["sig"]}]}, r"signatures\.0: has sig", id="no keyid"),
        pytest.param({"signatures": [ONE | {"keyid": ""}]}, r"signatures\.0\.keyid", id="empty keyid"),
        pytest.param({"signatures": [ONE | {"sig": "AAAA"}]}, "3 bytes; a signature", id="short signature"),
        pytest.param({"x": 1}, "an envelope: has payload, payloadType, signatures, x", id="unknown member"),
    ],
)
def test_what_is_refused(change, told):
    with pytest.raises(ProofError, match=told):
        Envelope.from_wire(WIRE | change)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        pytest.param(b"", "not JSON", id="nothing"),
        pytest.param(b"[]\n", "expected a JSON object", id="a list"),
        pytest.param(b"{}\n", "has no members", id="an empty object"),
        pytest.param(b"\xff\n", "not UTF-8", id="no UTF-8"),
        pytest.param(rfc8785.dumps(WIRE), "as it is written", id="no newline at the end"),
        pytest.param(rfc8785.dumps(WIRE) + b"\n\n", "as it is written", id="two newlines"),
        pytest.param(rfc8785.dumps(WIRE) + b"\r\n", "as it is written", id="the newline of Windows"),
        pytest.param(json.dumps(WIRE).encode() + b"\n", "as it is written", id="spaces"),
        pytest.param(
            SIGNED.to_json().replace(b'{"payload"', b'{"payload":"","payload"', 1),
            "stands twice",
            id="doubled",
        ),
        pytest.param(b" " * (MAX_BYTES + 1), "at most", id="too large"),
    ],
)
def test_other_bytes_are_refused(data, told):
    with pytest.raises(ProofError, match=told):
        Envelope.from_json(data)


@pytest.mark.parametrize(
    ("keys", "kind", "told"),
    [
        pytest.param([], KIND, "not by any key that is known here", id="no keys"),
        pytest.param([OTHER.verifier], KIND, r"signed by log\.example/1\+", id="another key"),
        pytest.param([Signer(LOG.name, bytes(32)).verifier], KIND, "and not by log", id="the name alone"),
        pytest.param([LOG.verifier], KIND + "x", "expected 'application/", id="another kind"),
    ],
)
def test_what_does_not_verify(keys, kind, told):
    with pytest.raises(ProofError, match=told):
        verify(SIGNED, keys, kind)


@pytest.mark.parametrize(
    ("kind", "signers", "told"),
    [
        pytest.param(KIND, [], "expected 1 to 100", id="nobody"),
        pytest.param(KIND, [LOG, LOG], "by one key", id="one twice"),
        pytest.param("", [LOG], "payloadType", id="no kind"),
    ],
)
def test_nothing_is_signed_that_would_be_refused(kind, signers, told):
    with pytest.raises(ProofError, match=told):
        sign(kind, PAYLOAD, signers)
