"""Notes are read as strictly as they are written; a signature by a known key must be right."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import ProofError
from registry.note import (
    Checkpoint,
    Signer,
    Verifier,
    format_checkpoint,
    open_note,
    parse_checkpoint,
    sign_note,
)

# The example of Go's documentation of sumdb/note.
PUBLISHED_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PUBLISHED_SIGNER = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PUBLISHED_TEXT = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
)
PUBLISHED_NOTE = (
    PUBLISHED_TEXT + "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXg"
    "KvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
LOG = Signer("log.example/1", bytes(range(32)))
WITNESS = Signer("witness.example", bytes(range(32, 64)))
TEXT = "log.example/1\n7\n" + base64.b64encode(bytes(32)).decode() + "\n"


def test_the_published_note():
    verifier = Verifier.parse(PUBLISHED_KEY)
    assert verifier.text == PUBLISHED_KEY
    assert open_note(PUBLISHED_NOTE, [verifier]) == (PUBLISHED_TEXT, [verifier])
    signer = Signer.parse(PUBLISHED_SIGNER)
    assert (signer.text, signer.verifier) == (PUBLISHED_SIGNER, verifier)
    assert sign_note(PUBLISHED_TEXT, [signer]) == PUBLISHED_NOTE


def test_a_note_is_opened_by_each_key_that_signed_it():
    note = sign_note(TEXT, [LOG, WITNESS])
    for keys in ([LOG], [WITNESS], [LOG, WITNESS]):
        verifiers = [one.verifier for one in keys]
        assert open_note(note, verifiers) == (TEXT, verifiers)


def test_a_signature_by_an_unknown_key_is_let_pass():
    again = Signer.new(LOG.name)
    assert open_note(sign_note(TEXT, [again, LOG]), [LOG.verifier]) == (TEXT, [LOG.verifier])


def test_a_private_key_is_not_shown():
    assert LOG.private.hex() not in repr(LOG)
    assert str(LOG.private) not in repr(LOG)


@given(st.integers(0, 10_000))
def test_a_note_with_another_character_anywhere_is_refused(place):
    note = sign_note(TEXT, [LOG])
    place %= len(note)
    changed = note[:place] + chr(ord(note[place]) ^ 1) + note[place + 1 :]
    with pytest.raises(ProofError):
        open_note(changed, [LOG.verifier])


SIGNED = sign_note(TEXT, [LOG])
LINE = SIGNED[len(TEXT) + 1 :]


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n",
        "\n\n",
        TEXT,
        TEXT + "\n",
        TEXT + LINE,
        SIGNED + "\n",
        SIGNED[:-1],
        SIGNED.replace("\n", "\r\n"),
        SIGNED.replace("— ", "- "),
        TEXT + "\n" + LINE.replace(LOG.name, "an other name"),
        TEXT + "\n" + LINE[:-2] + "\n",
        TEXT + "\n— " + LOG.name + " \n",
        TEXT + "\n— " + LOG.name + " " + base64.b64encode(LOG.verifier.key_hash).decode() + "\n",
        TEXT + "\n" + LINE * 101,
        TEXT + "\0\n" + LINE,
        "x" * 1_000_001 + "\n\n" + LINE,
    ],
    ids=lambda note: repr(note[-30:]),
)
def test_what_is_no_note_is_refused(note):
    with pytest.raises(ProofError):
        open_note(note, [LOG.verifier])


def test_a_note_that_nobody_known_signed_is_refused():
    with pytest.raises(ProofError, match=r"not signed by witness\.example"):
        open_note(SIGNED, [WITNESS.verifier])
    with pytest.raises(ProofError, match="not signed by anybody"):
        open_note(SIGNED, [])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        PUBLISHED_KEY.replace("PeterNeumann", "Peter Neumann"),
        PUBLISHED_KEY.replace("c74f20a3", "c74f20a4"),
        PUBLISHED_KEY.replace("c74f20a3", "C74F20A3"),
        PUBLISHED_KEY.replace("+AR", "+AB"),
        PUBLISHED_KEY[:-1],
        PUBLISHED_KEY + "=",
        PUBLISHED_KEY + "\n",
        "+" + PUBLISHED_KEY,
    ],
    ids=repr,
)
def test_another_key_is_refused(text):
    with pytest.raises(ProofError):
        Verifier.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "PRIVATE+KEY+",
            PUBLISHED_KEY,
            PUBLISHED_SIGNER[:-1],
            PUBLISHED_SIGNER + "\n",
            PUBLISHED_SIGNER[8:],
        ),
        PUBLISHED_SIGNER.replace("c74f", "c74e"),
        PUBLISHED_SIGNER.replace("+AY", "+BY"),
        PUBLISHED_SIGNER[:-4],
    ],
    ids=range(9),
)
def test_another_private_key_is_refused_and_not_shown(text):
    with pytest.raises(ProofError, match="private key") as caught:
        Signer.parse(text)
    assert "AYEKFALV" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u2003b"])
def test_a_name_that_no_note_can_carry_is_refused(name):
    with pytest.raises(ProofError, match="name"):
        Signer.new(name)


@given(st.integers(0, 2**60), st.binary(min_size=32, max_size=32))
def test_a_checkpoint_is_read_as_it_was_written(size, root):
    checkpoint = Checkpoint("log.example/1", size, root)
    assert parse_checkpoint(format_checkpoint(checkpoint)) == checkpoint
    assert parse_checkpoint(format_checkpoint(checkpoint) + "an extension\n") == checkpoint


ROOT = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "log\n",
        f"log\n7\n{ROOT}",
        f"\n7\n{ROOT}\n",
        f"log\n07\n{ROOT}\n",
        f"log\n+7\n{ROOT}\n",
        f"log\n-7\n{ROOT}\n",
        f"log\n٧\n{ROOT}\n",
        f"log\n7 \n{ROOT}\n",
        f"log\n{'9' * 30}\n{ROOT}\n",
        f"log\n7\n{ROOT[:-1]}\n",
        f"log\n7\n{base64.b64encode(bytes(31)).decode()}\n",
        f"log\n7\n{ROOT}\n\nmore\n",
    ],
    ids=repr,
)
def test_what_is_no_checkpoint_is_refused(text):
    with pytest.raises(ProofError, match="checkpoint"):
        parse_checkpoint(text)
