"""A segment is whole and as it was written, or refused; a write that fails leaves nothing."""

import errno
import gc
import json
import os
import re
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from registry import segments
from registry.errors import SegmentError, StorageError, StorageFullError
from registry.segments import FORMAT, Segment, open_segment, write_segment

KINDS = ("uint8", "uint16", "uint32", "uint64", "int64")
META = {"mark": "f" * 64, "after": 0, "upto": 2**53, "text": "Größe \u2028 \x00", "none": None, "list": [1]}
LAYOUT = {
    "bytes": ("uint8", (5000,)),
    "words": ("uint64", (600, 4)),
    "empty": ("uint32", (0, 7)),
    "places": ("int64", (3, 1)),
}


def filled(layout, seed=1):
    random = np.random.default_rng(seed)
    made = {}
    for name, (kind, shape) in layout.items():
        limits = np.iinfo(kind)
        made[name] = np.asarray(random.integers(limits.min, limits.max, shape, kind, endpoint=True))
    return made


def written(path, meta=META, layout=LAYOUT):
    """Write a segment with random contents, and return them."""
    contents = filled(layout)
    with write_segment(path, meta, layout) as arrays:
        for name, array in arrays.items():
            array[...] = contents[name]
    return contents


def assert_holds(segment, contents, meta=META):
    assert dict(segment.meta) == meta
    assert list(segment.arrays) == list(contents)
    for name, wanted in contents.items():
        got = segment.arrays[name]
        assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
        np.testing.assert_array_equal(got, wanted)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events-0-1.caveat"


@pytest.fixture
def small_disk(disk_of: Callable[[str], Path]) -> Path:
    """A disk of 2 MiB with room for 8 names."""
    return disk_of("size=2m,nr_inodes=8")


LAYOUTS = {
    "as used": LAYOUT,
    "no arrays": {},
    "one byte": {"a": ("uint8", (1,))},
    "all empty": {kind: (kind, (0,)) for kind in KINDS},
    "empty ones in between": {"a": ("uint8", (0, 4)), "b": ("int64", (2,)), "c": ("uint16", (3, 0))},
    "no dimension": {"a": ("uint64", ())},
    "every kind": {kind: (kind, (3, 5)) for kind in KINDS},
    "three dimensions": {"a": ("uint16", (2, 3, 4))},
    "a page to the byte": {"a": ("uint8", (4096,)), "b": ("uint8", (4097,)), "c": ("uint8", (4095,))},
    "a block to the byte": {"a": ("uint8", ((1 << 20) - 4096,))},
    "several blocks": {"a": ("uint64", (300_000,)), "b": ("uint8", (17,))},
    "a long header": {f"array {n} " + "x" * 200: ("uint8", (n,)) for n in range(40)},
    "odd names": {"": ("uint8", (1,)), "a.b/c": ("uint8", (2,)), "Größe \u2028": ("uint8", (3,))},
}


class TestRoundTrip:
    @pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
    @pytest.mark.parametrize("check", [True, False], ids=["checked", "unchecked"])
    def test_what_was_written_is_read(self, path, layout, check):
        contents = written(path, META, layout)
        segment = open_segment(path, check=check)
        assert isinstance(segment, Segment)
        assert segment.path == path
        assert_holds(segment, contents)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
    @given(
        layout=st.dictionaries(
            st.text(max_size=20),
            st.tuples(st.sampled_from(KINDS), st.lists(st.integers(0, 40), max_size=3).map(tuple)),
            max_size=6,
        ),
        meta=st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.booleans(), max_size=5),
    )
    def test_of_any_layout(self, path, layout, meta):
        assert_holds(open_segment((written(path, meta, layout), path)[1]), filled(layout), meta)

    def test_arrays_are_full_of_zeros_at_first(self, path):
        with write_segment(path, {}, LAYOUT) as arrays:
            assert {name: (array.dtype, array.shape) for name, array in arrays.items()} == {
                name: (np.dtype(kind), shape) for name, (kind, shape) in LAYOUT.items()
            }
            assert not any(array.any() for array in arrays.values())
        assert_holds(open_segment(path), {name: np.zeros(s, k) for name, (k, s) in LAYOUT.items()}, {})

    def test_each_array_begins_on_a_page(self, path):
        written(path)
        for array in open_segment(path).arrays.values():
            assert array.ctypes.data % 4096 == 0

    def test_the_same_contents_make_the_same_bytes(self, tmp_path):
        written(tmp_path / "a")
        written(tmp_path / "b")
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()

    def test_the_arrays_of_an_open_segment_cannot_be_written(self, path):
        written(path)
        before = path.read_bytes()
        for array in open_segment(path).arrays.values():
            assert not array.flags.writeable
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 1
            with pytest.raises(ValueError, match="WRITEABLE"):
                array.flags.writeable = True
        assert path.read_bytes() == before

    def test_an_open_segment_outlives_its_name(self, path):
        contents = written(path)
        segment = open_segment(path)
        written(path, {}, {"other": ("uint8", (3,))})
        path.unlink()
        assert_holds(segment, contents)

    def test_a_segment_takes_the_place_of_another_one(self, path):
        written(path, {"old": True})
        assert_holds(open_segment((written(path), path)[1]), filled(LAYOUT))
        assert names(path.parent) == [path.name]


def regions(data):
    """Every region of a segment, as first and last byte."""
    length = int.from_bytes(data[12:16], "little")
    header = json.loads(data[16 : 16 + length])
    found = {
        "magic": (0, 7),
        "version": (8, 11),
        "length of the header": (12, 15),
        "header": (16, 15 + length),
        "checksum of the header": (16 + length, 19 + length),
        "checksums": (header["size"], len(data) - 1),
    }
    end = 20 + length
    for name, kind, shape, place in header["arrays"]:
        found[f"padding before {name}"] = (end, place - 1)
        end = place + np.dtype(kind).itemsize * int(np.prod(shape))
        found[name] = (place, end - 1)
    found["padding at the end"] = (end, header["size"] - 1)
    return {name: span for name, span in found.items() if span[0] <= span[1]}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """The bytes of a segment of several blocks."""
    path = tmp_path_factory.mktemp("sound") / "sound"
    written(path, META, {**LAYOUT, "long": ("uint8", ((1 << 20) + 5,))})
    return path.read_bytes()


def assert_refused(path, data, reason=""):
    path.write_bytes(data)
    with pytest.raises(SegmentError) as caught:
        open_segment(path)
    assert path.name in caught.value.message
    assert reason in caught.value.message
    assert caught.value.hint


class TestDamage:
    def test_there_is_every_region(self, sound):
        covered = sorted(regions(sound).values())
        assert covered[0][0] == 0
        assert covered[-1][1] == len(sound) - 1
        assert all(last + 1 == first for (_, last), (first, _) in pairwise(covered))

    @pytest.mark.parametrize(
        "region",
        [
            *("magic", "version", "length of the header", "header", "checksum of the header"),
            *("bytes", "padding before bytes", "words", "padding before words", "places"),
            *("padding before empty", "long", "padding before long", "padding at the end", "checksums"),
        ],
    )
    def test_one_bit_turned_anywhere_is_noticed(self, path, sound, region):
        first, last = regions(sound)[region]
        random = np.random.default_rng(first)
        places = {first, last, *random.integers(first, last + 1, 12).tolist()}
        for place in places:
            damaged = bytearray(sound)
            damaged[place] ^= 1 << int(random.integers(8))
            assert_refused(path, bytes(damaged))

    def test_every_bit_before_the_header_and_behind_the_arrays(self, tmp_path):
        path = tmp_path / "small"
        written(path, {}, {"a": ("uint8", (1,))})
        data = path.read_bytes()
        spans = regions(data)
        for place in [
            *range(spans["checksum of the header"][1] + 1),
            *range(spans["checksums"][0], len(data)),
        ]:
            for bit in range(8):
                damaged = bytearray(data)
                damaged[place] ^= 1 << bit
                assert_refused(path, bytes(damaged))

    def test_unchecked_the_header_and_the_length_are_still_looked_at(self, path, sound):
        for place, match in ((3, "not a segment"), (8, "format"), (30, "header is damaged")):
            damaged = bytearray(sound)
            damaged[place] ^= 1
            path.write_bytes(damaged)
            with pytest.raises(SegmentError, match=match):
                open_segment(path, check=False)
        path.write_bytes(sound[:-1])
        with pytest.raises(SegmentError, match="cut off"):
            open_segment(path, check=False)

    def test_one_bit_turned_after_it_was_opened_is_noticed_in_its_block_when_that_is_checked_again(
        self, path, sound
    ):
        path.write_bytes(sound)
        segment = open_segment(path)
        assert segment.blocks == 2
        for name, (first, last) in regions(sound).items():
            for place in {first, last}:
                block = (place - segment.size) // 8 if name == "checksums" else place >> 20
                with path.open("r+b") as file:  # in place, as whoever has it mapped sees it
                    for turned in (sound[place] ^ 4, sound[place]):
                        file.seek(place)
                        file.write(bytes([turned]))
                        file.flush()
                        for number in range(segment.blocks):
                            if number == block and turned != sound[place]:
                                with pytest.raises(SegmentError, match=f"block {block} of 2"):
                                    segment.check(number)
                            else:
                                segment.check(number)

    def test_a_file_cut_off_anywhere_is_refused(self, path, sound):
        ends = {end for span in regions(sound).values() for one in span for end in (one, one + 1)}
        ends |= {*range(40), *np.random.default_rng(2).integers(0, len(sound), 60).tolist()}
        for end in sorted(ends - {len(sound)}):
            assert_refused(path, sound[:end])

    @pytest.mark.parametrize("more", [b"\0", b"\0" * 4, b"x" * 5000], ids=["byte", "checksum", "page"])
    def test_more_at_the_end_is_refused(self, path, sound, more):
        assert_refused(path, sound + more)

    def test_blocks_that_changed_places_are_noticed(self, path):
        written(path, {}, {"a": ("uint8", (4 << 20,))})
        data = bytearray(path.read_bytes())
        data[1 << 20 : 2 << 20], data[2 << 20 : 3 << 20] = data[2 << 20 : 3 << 20], data[1 << 20 : 2 << 20]
        assert_refused(path, bytes(data), "2 of 5 blocks")

    @pytest.mark.parametrize("version", [0, FORMAT + 1, 2**32 - 1])
    def test_another_format_is_refused_by_its_number(self, path, sound, version):
        assert_refused(path, sound[:8] + version.to_bytes(4, "little") + sound[12:], f"of format {version};")

    def test_what_is_no_file_is_refused(self, path):
        for _ in range(2):
            with pytest.raises(SegmentError, match="cannot be opened"):
                open_segment(path)
            path.mkdir(exist_ok=True)
        path.rmdir()
        path.symlink_to(path)
        with pytest.raises(SegmentError, match="cannot be opened"):
            open_segment(path)

    @pytest.mark.parametrize(
        "data",
        [b"", b"\0", b"CAVEATSG", b"CAVEATSG\1\0\0\0", b"SQLite format 3\0", bytes(10_000), b"\xff" * 10_000],
        ids=["empty", "one byte", "magic", "magic and version", "another kind", "zeros", "ones"],
    )
    def test_files_of_another_kind_are_refused(self, path, data):
        assert_refused(path, data)


GOOD = {"arrays": [["a", "uint8", [3], 4096]], "meta": {}, "size": 8192}


def of(**changed):
    return json.dumps({**GOOD, **changed}).encode()


def array(*row):
    return of(arrays=[list(row)])


HEADERS = {
    "no JSON": b"{nope",
    "no text": b"\xff\xfe\xfa",
    "nothing": b"",
    "a list": b"[]",
    "a number": b"5",
    "null": b"null",
    "too deep": b"[" * 100_000,
    "without arrays": b'{"meta": {}, "size": 8192}',
    "without meta": b'{"arrays": [], "size": 8192}',
    "without size": b'{"arrays": [], "meta": {}}',
    "size of text": of(size="8192"),
    "size below zero": of(size=-1),
    "size with a fraction": of(size=8192.0),
    "size too large": of(size=2**70),
    "meta of another kind": of(meta=[1]),
    "arrays of another kind": of(arrays={"a": 1}),
    "a row too short": array("a", "uint8", [3]),
    "a row too long": array("a", "uint8", [3], 4096, 1),
    "a name of another kind": array(["a"], "uint8", [3], 4096),
    "an unknown type": array("a", "foo", [3], 4096),
    "a type that is not written": array("a", "float64", [3], 4096),
    "objects": array("a", "O", [3], 4096),
    "a shape of text": array("a", "uint8", "33", 4096),
    "a shape below zero": array("a", "uint8", [-1], 4096),
    "a shape beyond all numbers": array("a", "uint8", [2**70], 4096),
    "a shape that overflows to zero": array("a", "uint8", [2**33, 2**33], 4096),
    "beyond the file": array("a", "uint8", [30_000], 4096),
    "over the checksums": array("a", "uint8", [4097], 4096),
    "beginning beyond the file": array("a", "uint8", [1], 30_000),
    "beginning before the file": array("a", "uint8", [3], -4),
    "over the header": array("a", "uint8", [3], 0),
    "a place of text": array("a", "uint8", [3], "4096"),
    "a place between pages": array("a", "uint64", [3], 4097),
}


@pytest.mark.parametrize("text", HEADERS.values(), ids=HEADERS)
def test_a_header_that_we_would_not_have_written_is_refused_though_its_checksum_is_right(path, text):
    assert_refused(path, with_header(text))


def test_the_header_that_they_differ_from_is_taken(path):
    path.write_bytes(with_header(of()))
    assert open_segment(path).arrays["a"].tolist() == [0, 0, 0]


def with_header(text):
    numbers = FORMAT.to_bytes(4, "little") + len(text).to_bytes(4, "little")
    data = b"CAVEATSG" + numbers + text + zlib.crc32(numbers + text).to_bytes(4, "little")
    data = data.ljust(8192, b"\0")
    return data + xxh3_64_intdigest(data).to_bytes(8, "little")


def failing(arrays, error):
    arrays["bytes"][:100] = 7
    raise error


class TestFailing:
    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
    @pytest.mark.parametrize("before", [None, b"what stood here"], ids=["no file", "a file"])
    def test_an_error_in_the_middle_leaves_everything_as_it_was(self, path, error, before):
        if before is not None:
            path.write_bytes(before)
        with pytest.raises(error), write_segment(path, META, LAYOUT) as arrays:
            failing(arrays, error)
        assert names(path.parent) == ([] if before is None else [path.name])
        assert before is None or path.read_bytes() == before

    def test_nobody_sees_a_segment_before_it_is_whole(self, path):
        with write_segment(path, META, LAYOUT):
            assert not path.exists()
            assert not list(path.parent.glob("*.caveat"))

    @pytest.mark.parametrize("step", ["replace", "fsync"])
    def test_an_error_at_the_end_leaves_no_file(self, path, step, monkeypatch):
        def no_answer(*_):
            raise OSError(errno.EIO, "the disk does not answer")

        with (
            pytest.raises(StorageError, match="cannot be written: the disk does not answer"),
            write_segment(path, META, LAYOUT),
        ):
            monkeypatch.setattr(segments.os, step, no_answer)
        assert names(path.parent) == []

    def test_a_type_that_cannot_be_read_again_is_not_written(self, path):
        with pytest.raises(SegmentError), write_segment(path, {}, {"a": ("float32", (3,))}):
            pass
        assert names(path.parent) == []

    def test_no_descriptor_stays_open(self, path):
        gc.collect()  # what other tests left open
        before = len(os.listdir("/proc/self/fd"))
        for error in (None, ValueError):
            for _ in range(5):
                try:
                    with write_segment(path, META, LAYOUT):
                        if error:
                            raise error
                except ValueError:
                    pass
                open_segment(path)
        assert len(os.listdir("/proc/self/fd")) <= before


class TestFullDisk:
    def test_a_full_disk_is_said_at_once_and_nothing_is_left(self, small_disk):
        with (
            pytest.raises(StorageFullError, match=r"large\.caveat of 3 MB") as caught,
            write_segment(small_disk / "large.caveat", {}, {"a": ("uint8", (3_000_000,))}),
        ):
            pytest.fail("there is no room to write to")
        assert isinstance(caught.value, StorageError)
        assert caught.value.hint
        assert names(small_disk) == []
        contents = written(small_disk / "small.caveat", META, {"a": ("uint8", (1_500_000,))})
        assert_holds(open_segment(small_disk / "small.caveat"), contents)

    def test_what_stood_there_before_stays(self, small_disk):
        path = small_disk / "events-0-1.caveat"
        contents = written(path)
        for name in (path.name, "events-0-2.caveat"):
            with (
                pytest.raises(StorageFullError),
                write_segment(small_disk / name, {}, {"a": ("uint64", (10**6,))}),
            ):
                pass
        assert names(small_disk) == [path.name]
        assert_holds(open_segment(path), contents)

    def test_no_room_for_one_more_name_is_a_full_disk_too(self, small_disk):
        for n in range(20):
            try:
                (small_disk / f"{n}").touch()
            except OSError:
                break
        before = names(small_disk)
        with pytest.raises(StorageFullError), write_segment(small_disk / "a.caveat", {}, LAYOUT):
            pass
        assert names(small_disk) == before


KILLED = """
import sys, time
from pathlib import Path
from registry.segments import write_segment
with write_segment(Path(sys.argv[1]), {}, {"a": ("uint8", (3_000_000,))}) as arrays:
    arrays["a"][:1_000_000] = 7
    print("halfway", flush=True)
    time.sleep(60)
"""


def test_a_process_killed_on_the_way_leaves_no_segment_and_the_next_one_writes_it(path):
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"halfway\n"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    (left,) = path.parent.iterdir()
    assert re.fullmatch(rf"\.{re.escape(path.name)}\.\d+", left.name)
    with pytest.raises(SegmentError):
        open_segment(path)
    contents = written(path)
    assert_holds(open_segment(path), contents)
    with pytest.raises(SegmentError):
        open_segment(left)
