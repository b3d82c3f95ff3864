"""The folder of index files: the list is read as it was written, or refused; a segment is what it says."""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.errors import SegmentError, StorageError, StorageFullError
from registry.fingerprint import Fingerprint, hash_words, pack_windows
from registry.index import Entries, FrozenIndex, Index, RowKeys, place_of
from registry.index_folder import IndexFolder, Part, mark_of
from registry.keys import key_words
from registry.segments import open_segment, write_segment

LIST = "current.json"


@pytest.fixture
def small_disk(disk_of: Callable[[str], Path]) -> Path:
    """A disk of 512 KiB."""
    return disk_of("size=512k")


def key_of(seq: int) -> bytes:
    return mark_of(b"key %d" % seq).encode()[:16]


def picture_of(seq: int) -> bytes:
    return bytes.fromhex(mark_of(b"picture %d" % seq))


def rows_of(after: int, upto: int) -> list[RowKeys]:
    """For each event: a rule, a file, and a picture with two windows and a pHash."""
    made = []
    for seq in range(after + 1, upto + 1):
        picture = picture_of(seq)
        windows = {"full": picture, "start": picture[::-1]}
        packed = pack_windows(Fingerprint(1, 100, picture[:8], windows), dict.fromkeys(windows, seq % 32))
        made.append(RowKeys(place_of(seq, 0, is_rule=False), key_of(seq), key_of(seq) * 2, packed))
    return made


def written(folder: IndexFolder, *ends: int) -> list[Part]:
    """Write and publish segments that end with these events."""
    parts: list[Part] = []
    folder.publish(parts)
    for after, upto in pairwise([0, *ends]):
        parts.append(folder.write(Entries.of(rows_of(after, upto)), after, upto, mark_of(b"leaf %d" % upto)))
        folder.publish(parts)
    return parts


def names(folder: IndexFolder) -> list[str]:
    return sorted(path.name for path in folder.path.iterdir())


def assert_holds(folder: IndexFolder, parts: Sequence[Part]) -> None:
    """The list is ``parts``, and what each of them holds is found."""
    assert folder.parts() == list(parts)
    for part in folder.parts():
        assert_answers(folder.open(part), part)


def assert_answers(frozen: FrozenIndex, part: Part) -> None:
    index, seqs = Index([frozen]), range(part.after + 1, part.upto + 1)
    places = [place_of(seq, 0, is_rule=False) for seq in seqs]
    keys = key_words([key_of(seq) for seq in seqs])
    pictures = hash_words([picture_of(seq) for seq in seqs])
    assert index.rules(keys).record.tolist() == places
    assert index.files(keys).record.tolist() == places
    near = index.near_pdq(pictures, 0, 10)
    assert (near.place.tolist(), near.radius.tolist()) == (places, [seq % 32 for seq in seqs])
    assert index.near_phash(pictures[:, :1], 0, 10).place.tolist() == places
    assert len(frozen) == part.size == 5 * len(places)


def put_list(folder: IndexFolder, text: bytes) -> None:
    folder.path.mkdir(parents=True, exist_ok=True)
    (folder.path / LIST).write_bytes(text)


def put_parts(folder: IndexFolder, *parts: Any) -> None:
    listed = [asdict(part) if isinstance(part, Part) else part for part in parts]
    put_list(folder, json.dumps({"format": 1, "parts": listed}).encode())


def assert_refused(folder: IndexFolder) -> None:
    """By the list, or at the latest when its segments are opened."""
    with pytest.raises(SegmentError):
        opened(folder)


def opened(folder: IndexFolder) -> list[FrozenIndex]:
    return [folder.open(part) for part in folder.parts()]


MARKS = st.binary(min_size=32, max_size=32)


class TestList:
    def test_there_is_none_at_first(self, folder: IndexFolder) -> None:
        for _ in range(2):
            assert (folder.version(), folder.parts()) == (None, [])
            folder.path.mkdir(exist_ok=True)

    @pytest.mark.parametrize("ends", [(), (1,), (3,), (5, 7, 8)], ids=str)
    def test_what_was_published_is_read(self, folder: IndexFolder, ends: tuple[int, ...]) -> None:
        parts = written(folder, *ends)
        assert_holds(folder, parts)
        assert_holds(IndexFolder(folder.path), parts)
        assert names(folder) == sorted([LIST, *(part.file for part in parts)])

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
    @given(
        st.lists(st.tuples(st.integers(0, 2**32), st.binary(min_size=32, max_size=32), st.integers(0, 2**40)))
    )
    def test_of_any_contents(self, folder: IndexFolder, drawn: list[tuple[int, bytes, int]]) -> None:
        parts, after = [], 0
        for count, mark, size in drawn[:100]:
            upto = after + count
            parts.append(Part(f"events-{after}-{upto}.caveat", after, upto, mark.hex(), size))
            after = upto
        folder.publish(parts)
        assert folder.parts() == parts

    def test_the_version_changes_whenever_the_list_does(self, folder: IndexFolder) -> None:
        seen = {folder.version()}
        for ends in ((1,), (1,), (1, 2), ()):
            written(folder, *ends)
            assert folder.version() == folder.version()
            seen.add(folder.version())
        assert len(seen) == 5

    def test_an_empty_list_is_no_index(self, folder: IndexFolder) -> None:
        written(folder, 2)
        folder.publish([])
        assert (folder.parts(), names(folder)) == ([], [LIST])


GOOD = Part("events-0-2.caveat", 0, 2, mark_of(b"leaf 2"), 10)
NEXT = Part("events-2-3.caveat", 2, 3, mark_of(b"leaf 3"), 5)


def member(part: Part = GOOD, **changed: Any) -> dict[str, Any]:
    return {**asdict(part), **changed}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in asdict(GOOD).items() if key != name}


def listing(**changed: Any) -> bytes:
    return json.dumps({"format": 1, "parts": [asdict(GOOD)], **changed}).encode()


LISTS = {
    "empty": b"",
    "a line": b"\n",
    "zeros": bytes(400),
    "no text": b"\xff\xfe\xfa",
    "no JSON": b"{format: 1}",
    "null": b"null",
    "a number": b"1",
    "text": b'"parts"',
    "a list": b"[]",
    "an object without members": b"{}",
    "too deep": b"[" * 100_000,
    "two of them": listing() + listing(),
    "no format": json.dumps({"parts": []}).encode(),
    "format 0": listing(format=0),
    "format 2": listing(format=2),
    "format of text": listing(format="1"),
    "format null": listing(format=None),
    "no parts": b'{"format": 1}',
    "parts null": listing(parts=None),
    "parts a number": listing(parts=5),
    "parts text": listing(parts="events-0-2.caveat"),
    "parts an object": listing(parts=asdict(GOOD)),
    "a part null": listing(parts=[None]),
    "a part of text": listing(parts=["events-0-2.caveat"]),
    "a part as a list": listing(parts=[list(asdict(GOOD).values())]),
    **{f"a part without {field.name}": listing(parts=[without(field.name)]) for field in fields(Part)},
    "a part with more": listing(parts=[member(more=1)]),
    "not from the first event on": listing(parts=[asdict(NEXT)]),
    "a gap": listing(parts=[asdict(GOOD), member(NEXT, after=3, upto=4)]),
    "overlapping": listing(parts=[asdict(GOOD), member(NEXT, after=1)]),
    "twice": listing(parts=[asdict(GOOD), asdict(GOOD)]),
    "in another order": listing(parts=[asdict(NEXT), asdict(GOOD)]),
}

OF_ANOTHER_TYPE = {
    "file null": {"file": None},
    "file a number": {"file": 5},
    "file a list": {"file": ["events-0-2.caveat"]},
    "file empty": {"file": ""},
    "file a point": {"file": "."},
    "file with a zero": {"file": "events-0-2.caveat\0"},
    "after text": {"after": "0"},
    "after null": {"after": None},
    "after false": {"after": False},
    "after below zero": {"after": -1},
    "upto text": {"upto": "2"},
    "upto null": {"upto": None},
    "upto a fraction": {"upto": 2.0},
    "upto a list": {"upto": [2]},
    "upto before after": {"upto": -1},
    "mark null": {"mark": None},
    "mark a number": {"mark": 5},
    "mark a list": {"mark": []},
    "mark an object": {"mark": {}},
    "size text": {"size": "10"},
    "size null": {"size": None},
    "size a fraction": {"size": 10.0},
    "size below zero": {"size": -1},
}


class TestRefusedLists:
    @pytest.mark.parametrize("text", LISTS.values(), ids=LISTS)
    def test_a_list_that_we_would_not_have_written(self, folder: IndexFolder, text: bytes) -> None:
        written(folder, 2, 3)
        put_list(folder, text)
        with pytest.raises(SegmentError, match=LIST):
            folder.parts()

    @pytest.mark.parametrize("changed", OF_ANOTHER_TYPE.values(), ids=OF_ANOTHER_TYPE)
    def test_a_part_with_a_member_of_another_type(self, folder: IndexFolder, changed: dict[str, Any]) -> None:
        put_parts(folder, *written(folder, 2))
        assert len(folder.parts()) == 1
        put_parts(folder, member(written(folder, 2)[0], **changed))
        assert_refused(folder)

    def test_a_list_cut_off_anywhere(self, folder: IndexFolder) -> None:
        parts = written(folder, 2, 3)
        whole = (folder.path / LIST).read_bytes()
        for end in range(len(whole.rstrip())):
            put_list(folder, whole[:end])
            with pytest.raises(SegmentError, match=LIST):
                folder.parts()
        put_list(folder, whole)
        assert_holds(folder, parts)

    def test_a_list_that_is_no_file(self, folder: IndexFolder) -> None:
        (folder.path / LIST).mkdir(parents=True)
        with pytest.raises(SegmentError, match=LIST):
            folder.parts()

    def test_a_folder_that_is_no_folder(self, tmp_path: Path) -> None:
        """The index was never there: that is said once the list is read, not when it is looked for."""
        (tmp_path / "file").write_bytes(b"x")
        for path in (tmp_path / "file", tmp_path / "file" / "index"):
            folder = IndexFolder(path)
            assert folder.version() is None
            with pytest.raises(SegmentError, match=LIST):
                folder.parts()

    @pytest.mark.parametrize("step", ["../other/", "{outside}/"], ids=["relative", "absolute"])
    def test_a_segment_outside_of_the_folder(self, folder: IndexFolder, tmp_path: Path, step: str) -> None:
        """It may be sound, but nobody here wrote it, and nobody keeps or deletes it."""
        other = IndexFolder(tmp_path / "other")
        (part,) = written(other, 2)
        put_parts(folder, member(part, file=step.format(outside=other.path) + part.file))
        assert_refused(folder)


CHANGES = {
    "one fewer": lambda array: array[:-1],
    "one more": lambda array: np.concatenate([array, array[:1]]),
    "none": lambda array: array[:0],
    "another type": lambda array: array.astype(np.uint16),
    "another dimension": lambda array: array[..., None],
}


class TestSegments:
    def test_a_segment_that_is_missing(self, folder: IndexFolder) -> None:
        parts = written(folder, 2, 3)
        (folder.path / parts[1].file).unlink()
        assert_answers(folder.open(folder.parts()[0]), parts[0])
        with pytest.raises(SegmentError, match=parts[1].file):
            folder.open(folder.parts()[1])

    @pytest.mark.parametrize(
        "changed",
        [{"after": 1}, {"upto": 3}, {"mark": "0" * 64}, {"mark": ""}, {"size": 9}],
        ids=lambda changed: next(iter(changed)),
    )
    def test_a_segment_that_is_not_what_the_list_says(
        self, folder: IndexFolder, changed: dict[str, Any]
    ) -> None:
        (part,) = written(folder, 2)
        with pytest.raises(SegmentError, match="other events"):
            folder.open(replace(part, **changed))

    def test_segments_that_changed_their_names(self, folder: IndexFolder) -> None:
        one, other = written(folder, 2, 4)
        (folder.path / one.file).replace(folder.path / "between")
        (folder.path / other.file).replace(folder.path / one.file)
        (folder.path / "between").replace(folder.path / other.file)
        for part in folder.parts():
            with pytest.raises(SegmentError, match="other events"):
                folder.open(part)

    def test_a_segment_that_says_more_of_itself(self, folder: IndexFolder) -> None:
        (part,) = written(folder, 2)
        rewritten(folder, part, {}, meta={**meta_of(part), "more": 1})
        with pytest.raises(SegmentError, match="other events"):
            folder.open(part)

    def test_it_is_read_again_as_it_was_rewritten(self, folder: IndexFolder) -> None:
        """So that the tests below fail for what they changed."""
        (part,) = written(folder, 2)
        rewritten(folder, part, {})
        assert_answers(folder.open(part), part)

    @pytest.mark.parametrize("way", ["left out", *CHANGES])
    def test_a_sound_segment_with_an_array_that_we_would_not_have_written(
        self, folder: IndexFolder, way: str
    ) -> None:
        """A later release could write one under the same format, and a search would leave its bounds."""
        (part,) = written(folder, 2)
        sound, accepted = folder.open(part).arrays, []
        for name, array in sound.items():
            changed = None if way == "left out" else CHANGES[way](array)
            rewritten(folder, part, {**sound, name: changed})
            with contextlib.suppress(SegmentError):
                folder.open(part)
                accepted.append(name)
        assert accepted == []


def meta_of(part: Part) -> dict[str, Any]:
    return {name: value for name, value in asdict(part).items() if name != "file"}


def rewritten(
    folder: IndexFolder,
    part: Part,
    changes: dict[str, np.ndarray[Any, Any] | None],
    meta: dict[str, Any] | None = None,
) -> None:
    """Write the segment again, with arrays that differ or are left out."""
    path = folder.path / part.file
    arrays: dict[str, Any] = {**open_segment(path).arrays, **changes}
    layout = {name: (array.dtype.name, array.shape) for name, array in arrays.items() if array is not None}
    with write_segment(path, meta or meta_of(part), layout) as new:
        for name, array in new.items():
            array[...] = arrays[name]


class TestPublishing:
    def test_segments_that_the_list_does_not_name_are_deleted_and_nothing_else(
        self, folder: IndexFolder
    ) -> None:
        one, two, three = written(folder, 2, 4, 5)
        kept = ["notes.txt", "caveat", "registry.sqlite", "events-0-2.caveat.old"]
        for name in [*kept, "events-0-9.caveat", "x.caveat"]:
            (folder.path / name).write_bytes(b"x")
        merged = folder.write(Entries.of(rows_of(2, 5)), 2, 5, three.mark)
        assert two.file in names(folder)
        folder.publish([one, merged])
        assert names(folder) == sorted([LIST, one.file, merged.file, *kept])
        assert_holds(folder, [one, merged])

    def test_a_segment_of_a_listed_name_gets_another_one(self, folder: IndexFolder) -> None:
        """So that whoever has mapped the one sees that this is the other."""
        seen: list[Part] = []
        for _ in range(12):
            seen.append(folder.write(Entries.of(rows_of(0, 2)), 0, 2, "ab" * 32))
            folder.publish(seen[-1:])
            assert_holds(folder, seen[-1:])
        assert [part.file for part in seen[:3]] == [f"events-0-2{one}.caveat" for one in ("", "-2", "-3")]
        assert len({part.file for part in seen}) == len(seen)

    @pytest.mark.parametrize(
        "again", ["-", "-0", "-1", "-02", "--2", "-2-2", "-x", "-2\n", "-1234567890", "-²"]
    )
    def test_a_name_that_nobody_writes_is_refused(self, folder: IndexFolder, again: str) -> None:
        put_parts(folder, member(written(folder, 2)[0], file=f"events-0-2{again}.caveat"))
        assert_refused(folder)

    def test_a_segment_counts_once_it_is_listed(self, folder: IndexFolder) -> None:
        parts = written(folder, 2)
        version = folder.version()
        new = folder.write(Entries.of(rows_of(2, 3)), 2, 3, "ab" * 32)
        assert (folder.version(), folder.parts()) == (version, parts)
        folder.publish([*parts, new])
        assert_holds(folder, [*parts, new])

    def test_a_reader_keeps_its_segment_when_it_is_deleted_or_written_again(
        self, folder: IndexFolder
    ) -> None:
        (part,) = written(folder, 3)
        frozen = folder.open(part)
        folder.write(Entries.of(rows_of(3, 6)), 0, 3, "another")
        assert_answers(frozen, part)
        folder.publish([])
        assert names(folder) == [LIST]
        assert_answers(frozen, part)

    def test_whoever_reads_meanwhile_sees_the_old_list_or_the_new_one(self, folder: IndexFolder) -> None:
        lists = [written(folder, 2), [GOOD, NEXT], []]
        failures: list[object] = []
        stop = threading.Event()

        def read() -> None:
            while not stop.is_set():
                try:
                    found = folder.parts()
                except SegmentError as error:
                    failures.append(error)
                else:
                    if found not in lists:
                        failures.append(found)

        threads = [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        for number in range(150):
            folder.publish(lists[number % 3])
        stop.set()
        for thread in threads:
            thread.join()
        assert failures == []

    @pytest.mark.parametrize("step", ["fsync", "replace"])
    def test_killed_while_publishing_the_old_list_stays(self, folder: IndexFolder, step: str) -> None:
        parts = written(folder, 2, 3)
        left = killed(folder, step, "folder.publish([])")
        assert left != [], "the process did not come to the temporary file"
        assert_holds(folder, parts)
        folder.publish(parts[:1])
        assert_holds(folder, parts[:1])

    @pytest.mark.parametrize(
        "code", ["folder.publish([])", "folder.write(Entries.of([]), 3, 4, 'm')"], ids=["list", "segment"]
    )
    def test_what_a_killed_process_left_is_cleared_away(self, folder: IndexFolder, code: str) -> None:
        """A segment half written takes as much room as a whole one: a few of them fill the disk."""
        parts = written(folder, 2, 3)
        assert killed(folder, "fsync", code) != []
        folder.publish(parts)
        assert names(folder) == sorted([LIST, *(part.file for part in parts)])

    @pytest.mark.parametrize("step", ["fsync", "replace"])
    def test_an_error_on_the_way_leaves_the_old_list_and_no_other_file(
        self, folder: IndexFolder, step: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        parts = written(folder, 2)
        before = names(folder)

        def no_answer(*_: object) -> None:
            raise OSError(errno.EIO, "the disk does not answer")

        with monkeypatch.context() as patch:
            patch.setattr(os, step, no_answer)
            with pytest.raises(StorageError, match="answer"):
                folder.publish([])
        assert_holds(folder, parts)
        assert names(folder) == before


KILLED = """
import os, signal, sys
from pathlib import Path
from registry.index import Entries
from registry.index_folder import IndexFolder
folder = IndexFolder(Path(sys.argv[1]))
setattr(os, sys.argv[2], lambda *_: os.kill(os.getpid(), signal.SIGKILL))
"""


def killed(folder: IndexFolder, step: str, code: str) -> list[str]:
    """Run ``code`` in a process that is killed at its first ``os.step``; return the files that it left."""
    before = names(folder)
    command = [sys.executable, "-c", KILLED + code, str(folder.path), step]
    assert subprocess.run(command, check=False, timeout=60).returncode == -signal.SIGKILL
    return [name for name in names(folder) if name not in before]


class TestFullDisk:
    def test_a_segment_that_has_no_room_leaves_list_and_files_as_they_were(self, small_disk: Path) -> None:
        folder = IndexFolder(small_disk / "index")
        parts = written(folder, 2)
        before = names(folder)
        with pytest.raises(StorageFullError, match=r"events-2-4002\.caveat"):
            folder.write(Entries.of(rows_of(2, 4002)), 2, 4002, "m")
        assert names(folder) == before
        assert_holds(folder, parts)

    def test_a_list_that_has_no_room_is_a_full_disk_and_the_old_one_stays(self, small_disk: Path) -> None:
        folder = IndexFolder(small_disk / "index")
        parts = written(folder, 2)
        before = names(folder)
        filled(small_disk)
        with pytest.raises(StorageFullError):
            folder.publish(parts)
        assert_holds(folder, parts)
        assert names(folder) == before
        (small_disk / "filler").unlink()
        folder.publish([])
        assert names(folder) == [LIST]


def filled(disk: Path) -> None:
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
