"""The header of a safetensors file, against the library that everybody reads and writes it with."""

import hashlib
import json

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import ModelError
from registry.safetensors import (
    MAX_HEADER_BYTES,
    auto_v2,
    auto_v3,
    header_size,
    parse_header,
    require_complete,
    tensor_hash,
    with_metadata,
)

TENSORS = {
    "lora_unet_down.alpha": np.array(4, np.float16),
    "lora_unet_down.weight": np.arange(24, dtype=np.float32).reshape(4, 6),
    "lora_unet_up.weight": np.arange(10, dtype=np.int8),
    "nothing": np.zeros((0, 3), np.float32),
}
PLAIN = {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}
NEXT = {"dtype": "U8", "shape": [2], "data_offsets": [2, 4]}


def framed(text):
    text = text if isinstance(text, bytes) else text.encode()
    return len(text).to_bytes(8, "little") + text


def header(**members):
    return framed(json.dumps(members))


def split(file):
    size = header_size(file)
    return file[:size], file[size:]


@pytest.fixture(
    scope="module", params=[None, {}, {"ss_seed": "7", "ä": "“€”\n\u2028😀"}], ids=["none", "no", "some"]
)
def written(request):
    return request.param, safetensors.numpy.save(TENSORS, request.param)


def test_a_header_that_the_library_wrote_says_what_it_reads(written):
    metadata, file = written
    found = parse_header(file)
    assert (found.metadata or None) == (metadata or None)
    assert {name: one.shape for name, one in found.tensors.items()} == {
        name: one.shape for name, one in TENSORS.items()
    }
    assert found.size + found.data_size == len(file)
    require_complete(found, len(file))


def test_edited_metadata_leave_every_tensor_as_it_was(written, tmp_path):
    _, file = written
    before, data = split(file)
    told = {"caveat.receipt": "a" * 1001, "quote": '"\\'}
    after = with_metadata(before, told)
    path = tmp_path / "model.safetensors"
    path.write_bytes(after + data)
    assert len(after) % 8 == 0
    with safetensors.safe_open(path, "np") as opened:
        assert opened.metadata() == told
        for name, one in TENSORS.items():
            np.testing.assert_array_equal(opened.get_tensor(name), one)
    assert list(parse_header(after).tensors) == list(parse_header(before).tensors)


def test_the_same_metadata_are_written_as_the_library_writes_them(written):
    metadata, file = written
    before, _ = split(file)
    if metadata is not None:
        assert with_metadata(before, parse_header(before).metadata or {}) == before


def test_the_tensor_hash_is_kohyas_and_does_not_change_with_the_header(written):
    _, file = written
    before, data = split(file)
    # sd-scripts: skip eight bytes and the header that they announce, hash what follows in pieces.
    offset = int.from_bytes(file[:8], "little") + 8
    assert tensor_hash([file[offset : offset + 5], file[offset + 5 :]]) == hashlib.sha256(data).hexdigest()
    edited = with_metadata(before, {"a": "b"}) + data
    whole = [hashlib.sha256(one).hexdigest() for one in (file, edited)]
    assert auto_v2(whole[0]) != auto_v2(whole[1])
    hashes = [tensor_hash([split(one)[1]]) for one in (file, edited)]
    assert hashes[0] == hashes[1]
    assert (len(auto_v2(whole[0])), len(auto_v3(hashes[0]))) == (10, 12)


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=50), max_size=5))
def test_what_is_written_into_a_header_is_read_from_it(metadata):
    try:
        metadata_bytes = json.dumps(metadata, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        with pytest.raises(ModelError, match="surrogate"):
            with_metadata(header(a=PLAIN), metadata)
        return
    after = with_metadata(header(a=PLAIN), metadata)
    assert parse_header(after).metadata == metadata
    assert with_metadata(after, metadata) == after
    assert metadata_bytes


GOOD = {
    "no tensor": header(),
    "metadata only": header(__metadata__={"a": "b"}),
    "no metadata": header(__metadata__=None, a=PLAIN),
    "in another order": header(b=NEXT, a=PLAIN),
    "of no bytes, anywhere": header(a=PLAIN, z={"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}),
    "half bytes": header(a={"dtype": "F4", "shape": [4], "data_offsets": [0, 2]}),
    "spaces after it": framed(json.dumps({"a": PLAIN}) + " " * 9),
}
BAD = {
    "nothing": (b"", "0 bytes: too short"),
    "seven bytes": (b"\x02" + bytes(6), "7 bytes: too short"),
    "empty": (bytes(8), "announces 0 bytes"),
    "100 MB and one": ((MAX_HEADER_BYTES + 1).to_bytes(8, "little"), "permits 100,000,000"),
    "the longest length": (b"\xff" * 8, "announces 18,446,744,073,709,551,615 bytes"),
    "cut off": (header(a=PLAIN)[:-1], "are there"),
    "not JSON": (framed("{not json"), "not JSON"),
    "a list": (framed("[1]"), "begins with"),
    "spaces before it": (framed(" {}"), "begins with"),
    "not UTF-8": (framed(b'{"\xff":1}'), "not UTF-8"),
    "NaN": (framed('{"__metadata__":{"a":NaN}}'), "NaN is not JSON"),
    "deep": (framed('{"a":' + "[" * 100_000), "nested too deeply"),
    "a tensor twice": (
        framed(f'{{"a":{json.dumps(PLAIN)},"a":{json.dumps(PLAIN)}}}'),
        "'a' stands twice",
    ),
    "metadata twice": (framed('{"__metadata__":{},"__metadata__":{}}'), "'__metadata__' stands twice"),
    "a key of metadata twice": (framed('{"__metadata__":{"k":"1","k":"2"}}'), "'k' stands twice"),
    "metadata of a number": (header(__metadata__={"k": 1}), "__metadata__.k is int"),
    "metadata of an object": (header(__metadata__={"k": {}}), "__metadata__.k is dict"),
    "metadata that is text": (header(__metadata__="x"), "not a JSON object"),
    "half a surrogate": (framed('{"__metadata__":{"k":"\\ud800"}}'), "surrogate"),
    "a tensor that is a number": (header(a=1), "has not dtype"),
    "a member too much": (header(a={**PLAIN, "x": 1}), "has not dtype"),
    "an unknown type": (header(a={**PLAIN, "dtype": "F7"}), "type that is not read here: 'F7'"),
    "a type that is a list": (header(a={**PLAIN, "dtype": []}), "type that is not read here"),
    "a negative side": (header(a={**PLAIN, "shape": [-2]}), "has the shape"),
    "a side of a half": (header(a={**PLAIN, "shape": [2.0]}), "has the shape"),
    "a side that is true": (header(a={**PLAIN, "shape": [True]}), "has the shape"),
    "a thousand sides": (header(a={**PLAIN, "shape": [2**62] * 1000}), "has the shape"),
    "sides without measure": (header(a={**PLAIN, "shape": [2**62] * 64}), "of the shape"),
    "a negative offset": (header(a={**PLAIN, "data_offsets": [-2, 0]}), "lies at"),
    "an end before its beginning": (header(a={**PLAIN, "data_offsets": [2, 0]}), "lies at"),
    "three offsets": (header(a={**PLAIN, "data_offsets": [0, 1, 2]}), "lies at"),
    "another size than its shape": (header(a={**PLAIN, "shape": [3]}), "has 2 bytes"),
    "an overlap": (header(a=PLAIN, b={**PLAIN, "data_offsets": [1, 3]}), "overlaps another"),
    "two in one place": (header(a=PLAIN, b=PLAIN), "overlaps another"),
    "a hole": (header(a=PLAIN, b={**PLAIN, "data_offsets": [3, 5]}), "leaves a hole"),
    "a hole at the beginning": (header(a=NEXT), "leaves a hole"),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_what_the_format_permits_is_read(name):
    data = GOOD[name]
    found = parse_header(data)
    safetensors.deserialize(data + bytes(found.data_size))


@pytest.mark.parametrize("name", BAD)
def test_what_the_format_forbids_is_refused_by_name(name):
    data, message = BAD[name]
    with pytest.raises(ModelError, match=message):
        parse_header(data)


@pytest.mark.parametrize(
    ("size", "message"), [(-1, "cut off, or still being written"), (1, "something is appended")]
)
def test_a_file_of_another_size_than_its_header_says_is_refused(size, message):
    data = header(a=PLAIN)
    found = parse_header(data)
    with pytest.raises(ModelError, match=message):
        require_complete(found, found.size + found.data_size + size)
    with pytest.raises(safetensors.SafetensorError):
        safetensors.deserialize(data + bytes(found.data_size + size))


def test_a_header_does_not_grow_beyond_what_the_format_permits():
    with pytest.raises(ModelError, match="would have"):
        with_metadata(header(a=PLAIN), {"k": "x" * MAX_HEADER_BYTES})
