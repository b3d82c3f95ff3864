"""A snapshot's own forms: arrays in files, the filter, the manifest. Valid and invalid, side by side."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.errors import ProofError, SnapshotError
from registry.keys import KeyTable
from registry.note import Checkpoint, Signer, format_checkpoint, sign_note
from registry.snapshot.arrays import KINDS, array_chunks, open_arrays, rows_of
from registry.snapshot.bloom import BITS_A_KEY, bloom_bits, maybe_in
from registry.snapshot.deriving import covering, derived, in_order
from registry.snapshot.manifest import FileEntry, Manifest, format_manifest, open_manifest, parse_manifest

LOG, OTHER = Signer("log.example", bytes(range(32))), Signer("log.example", bytes(32))


def keys_of(count, seed=1):
    return np.random.default_rng(seed).integers(0, 2**64, (count, 2), np.uint64)


def arrays_of(kind, count, seed=1):
    random = np.random.default_rng(seed)
    widths = {"keys": 2, "words": 1 if kind == "phash" else 4}
    found = {}
    for name, (dtype, dimensions) in KINDS[kind].items():
        shape = (count, widths[name]) if dimensions == 2 else (count,)
        found[name] = random.integers(0, 200, shape).astype(dtype)
    return found


def write(path, kind, arrays):
    path.write_bytes(b"".join(array_chunks(kind, arrays)))
    return path


# -- arrays ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "count"), [(kind, n) for kind in KINDS for n in (0, 1, 1000) if n or kind != "filter"]
)
def test_what_is_written_is_read(tmp_path, kind, count):
    arrays = arrays_of(kind, count)
    path = write(tmp_path / "a", kind, arrays)
    found = open_arrays(path, kind)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert np.array_equal(found[name], array)
        assert found[name].dtype == array.dtype
        assert not found[name].flags.writeable
    assert path.read_bytes() == b"".join(array_chunks(kind, arrays))
    assert rows_of(kind, found) == (arrays["size"][0] if kind == "filter" else count)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda data: data[:-1], "cut off|bytes, expected"),
        (lambda data: data + b"\0", "bytes, expected"),
        (lambda data: b"", "cannot be opened"),
        (lambda data: b"CAVEATSX" + data[8:], "not a file of a snapshot"),
        (lambda data: data[:8] + b"\x02" + data[9:], "of format 2"),
        (lambda data: data.replace(b'"uint64"', b'"uint32"'), "not a file of rules|cannot be read"),
        (lambda data: data.replace(b"[3,2]", b"[9,2]"), "cut off"),
        (lambda data: data.replace(b"[3,2]", b"[-,2]"), "cannot be read"),
        (lambda data: data.replace(b'"kind":"rules"', b'"kind":"files"'), "not a file of rules"),
        (lambda data: data[:150], "cut off"),
    ],
)
def test_what_was_not_written_like_this_is_refused(tmp_path, changed, message):
    path = write(tmp_path / "a", "rules", arrays_of("rules", 3))
    path.write_bytes(changed(path.read_bytes()))
    with pytest.raises(SnapshotError, match=message):
        open_arrays(path, "rules")


def test_a_missing_file_and_a_file_of_another_kind_are_refused(tmp_path):
    with pytest.raises(SnapshotError, match="cannot be opened"):
        open_arrays(tmp_path / "gone", "rules")
    with pytest.raises(SnapshotError, match="not a file of rules"):
        open_arrays(write(tmp_path / "a", "files", arrays_of("files", 3)), "rules")


def test_arrays_of_another_kind_are_not_written():
    with pytest.raises(ValueError, match="not the arrays of 'phash'"):
        list(array_chunks("phash", arrays_of("rules", 3)))


# -- the filter ------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 2000), st.integers(0, 2**32 - 1))
def test_no_key_of_a_filter_is_missed(count, seed):
    keys = keys_of(count, seed)
    assert maybe_in(bloom_bits(keys), keys).all()


def test_a_filter_takes_less_than_two_and_a_half_bytes_a_key_and_seldom_errs():
    keys, strangers = keys_of(200_000), keys_of(1_000_000, seed=2)
    bits = bloom_bits(keys)
    assert len(bits) / len(keys) <= 2.5
    assert len(bits) == -(-BITS_A_KEY * 200_000 // 64) * 8
    wrong = maybe_in(bits, strangers).mean()
    assert 0.5e-4 < wrong < 2e-4


def test_a_filter_of_nothing_knows_nothing():
    assert not maybe_in(np.empty(0, np.uint8), keys_of(3)).any()
    assert len(maybe_in(bloom_bits(keys_of(3)), keys_of(0))) == 0


# -- the manifest ----------------------------------------------------------------------------------


def checkpoint(size=12, signer=LOG):
    return sign_note(format_checkpoint(Checkpoint("log.example", size, bytes(32))), [signer])


ENTRY = FileEntry("keys", "rules", 0, 12, 3, 100, "ab" * 32)
MANIFEST = Manifest(12, 1_790_000_000, checkpoint(), LOG.verifier.text, (ENTRY,))


def test_a_manifest_is_read_as_it_was_written():
    assert parse_manifest(format_manifest(MANIFEST)) == MANIFEST
    assert open_manifest(sign_note(format_manifest(MANIFEST), [LOG]), LOG.verifier) == MANIFEST
    assert MANIFEST.origin == "log.example"
    assert ENTRY.name == "rules-0-12-abababababababab.caveat"


@pytest.mark.parametrize(
    "changed",
    [
        {"seq": -1},
        {"seq": 11},
        {"built_at": True},
        {"checkpoint": 3},
        {"log_key": None},
        {"files": (ENTRY, ENTRY)},
        *[
            {"files": (replace(ENTRY, **entry),)}
            for entry in (
                {"tier": "../keys"},
                {"tier": "filter"},
                {"kind": "../rules"},
                {"sha256": "AB" * 32},
                {"sha256": "ab" * 31},
                {"after": 12},
                {"upto": 13},
                {"rows": -1},
                {"size": 1.5},
            )
        ],
    ],
    ids=lambda changed: ",".join(changed) if "files" not in changed else str(changed["files"][-1])[9:],
)
def test_a_manifest_that_could_not_be_is_refused(changed):
    with pytest.raises(SnapshotError):
        parse_manifest(format_manifest(replace(MANIFEST, **changed)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ("{}\n", "cannot be read"),
        ("[]\n", "cannot be read"),
        (format_manifest(MANIFEST).replace('"format":1', '"format":2'), "of format 2"),
        (format_manifest(MANIFEST) + "\n", "not written like this"),
        (format_manifest(MANIFEST).replace('"seq":12', '"seq": 12'), "not written like this"),
        (format_manifest(MANIFEST).replace('"seq":12', '"seq":12,"seq":12'), "cannot be read"),
        (format_manifest(MANIFEST).replace('"seq":12', '"more":1,"seq":12'), "not written like this"),
        (format_manifest(MANIFEST).replace('"rows":3,', ""), "cannot be read"),
        (format_manifest(MANIFEST).replace('"rows":3', f'"rows":{2**53}'), "not written like this"),
    ],
)
def test_a_text_that_is_no_manifest_is_refused(text, message):
    with pytest.raises(SnapshotError, match=message):
        parse_manifest(text)


@pytest.mark.parametrize(
    ("manifest", "signer"),
    [
        (MANIFEST, OTHER),
        (replace(MANIFEST, checkpoint=checkpoint(signer=OTHER)), LOG),
        (replace(MANIFEST, checkpoint=checkpoint(size=13)), LOG),
        (replace(MANIFEST, checkpoint=format_checkpoint(Checkpoint("log.example", 12, bytes(32)))), LOG),
    ],
    ids=["manifest of another key", "checkpoint of another key", "of another state", "checkpoint not signed"],
)
def test_a_manifest_is_of_the_log_s_key_with_a_checkpoint_of_its_state(manifest, signer):
    with pytest.raises(ProofError):
        open_manifest(sign_note(format_manifest(manifest), [signer]), LOG.verifier)


def test_an_unsigned_manifest_and_a_checkpoint_in_its_place_are_refused():
    with pytest.raises(ProofError):
        open_manifest(format_manifest(MANIFEST), LOG.verifier)
    with pytest.raises(SnapshotError):
        open_manifest(checkpoint(), LOG.verifier)


# -- files made of older ones ----------------------------------------------------------------------


def entry_of(after, upto, kind="rules"):
    return replace(ENTRY, kind=kind, after=after, upto=upto)


@pytest.mark.parametrize(
    ("older", "found"),
    [
        ([(0, 10)], [(0, 10)]),
        ([(4, 10), (0, 4)], [(0, 4), (4, 10)]),
        ([(0, 4)], []),
        ([(4, 10)], []),
        ([(0, 4), (5, 10)], []),
        ([(0, 12)], []),
        ([(0, 4), (4, 10), (10, 12)], [(0, 4), (4, 10)]),
        ([], []),
    ],
)
def test_older_files_make_up_a_span_or_do_not(older, found):
    files = [entry_of(*span) for span in older] + [entry_of(0, 10, "files")]
    assert [(one.after, one.upto) for one in covering(entry_of(0, 10), files)] == found


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["rules", "files", "pdq", "phash"]),
    st.lists(st.integers(0, 40), min_size=1, max_size=3),
    st.sets(st.integers(0, 30)),
    st.integers(0, 1000),
)
def test_what_is_left_of_older_files_is_what_would_be_written(kind, counts, live, seed):
    """Of spans put together in any order, with few keys and records, so that equal ones meet."""
    random = np.random.default_rng(seed)
    parts = [
        {name: array % array.dtype.type(4) for name, array in arrays_of(kind, n, seed + at).items()}
        for at, n in enumerate(counts)
    ]
    left = np.array(sorted(live), np.int64)
    every = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    kept = random.permutation(np.flatnonzero(np.isin(every["refs"], left)))
    wanted = in_order({name: array[kept] for name, array in every.items()})
    found = derived([in_order(part) for part in parts], left)
    assert b"".join(array_chunks(kind, found)) == b"".join(array_chunks(kind, wanted))
    if kind in ("rules", "files"):
        assert np.array_equal(found["keys"], KeyTable.build(found["keys"], found["refs"]).keys)
