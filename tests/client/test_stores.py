"""Datasets at object stores, here in a store that fsspec keeps in memory: read, filtered, put up, resumed.

``s3/`` beside this has the same over S3.
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from registry.client import Options, Progress, Rules, filter_dataset
from registry.client.sharding import parse_report
from registry.client.stores import Address, create, delete, fetch, listed, place_of, put, read, read_part
from registry.client.workplace import Workplace
from registry.errors import CaveatError, DatasetError, FormatError, InputError, StoreError
from registry.preference import Action, Mode

from .conftest import DOMAIN
from .test_shards import tar

CALLS = ("find", "info", "get_file", "put_file", "cat_file", "pipe_file", "rm_file")


class Flaky(MemoryFileSystem):
    """A store that can be told at which call it fails, and how."""

    protocol = "flaky"
    store: ClassVar = {}
    pseudo_dirs: ClassVar = [""]
    seen: ClassVar = Counter()
    fails = staticmethod(lambda call, path: None)

    @classmethod
    def _strip_protocol(cls, path):
        return MemoryFileSystem._strip_protocol(path.removeprefix("flaky://"))

    def _asked(self, call, path):
        Flaky.seen[call] += 1
        Flaky.fails(call, path)

    def find(self, path, **options):
        self._asked("find", path)
        return super().find(path, **options)

    def info(self, path, **options):
        self._asked("info", path)
        return super().info(path, **options)

    def get_file(self, path, to, **options):
        self._asked("get_file", path)
        return super().get_file(path, to, **options)

    def put_file(self, file, path, **options):
        self._asked("put_file", path)
        return super().put_file(file, path, **options)

    def cat_file(self, path, **options):
        self._asked("cat_file", path)
        return super().cat_file(path, **options)

    def pipe_file(self, path, value, **options):
        self._asked("pipe_file", path)
        return super().pipe_file(path, value, **options)

    def rm_file(self, path):
        self._asked("rm_file", path)
        return super().rm_file(path)


@pytest.fixture
def store():
    import fsspec

    fsspec.register_implementation("flaky", Flaky, clobber=True)
    Flaky.store.clear()
    Flaky.pseudo_dirs[:] = [""]
    Flaky.seen.clear()
    yield Flaky
    Flaky.fails = staticmethod(lambda call, path: None)
    Flaky.store.clear()


def plant(files, prefix="/b/set"):
    for name, content in files.items():
        Flaky().pipe_file(f"{prefix}/{name}", content.encode() if isinstance(content, str) else content)
    Flaky.seen.clear()


def below(prefix):
    """Every object below a prefix, with its bytes."""
    return {
        path.removeprefix(f"{prefix}/"): file.getvalue()
        for path, file in sorted(Flaky.store.items())
        if path.startswith(f"{prefix}/")
    }


@pytest.fixture
def shards(kit, copies):
    """Four shards: the second loses a sample, the third all of them; and texts beside them."""
    rows = pa.table({"key": ["10", "11"], "url": ["https://a.example/10", "https://a.example/11"]})
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink)
    return {
        "a/0.tar": tar([(f"0{n}.png", kit.free(n)) for n in range(3)]),
        "a/1.tar": tar([("10.png", kit.free(10)), ("11.jpg", copies["jpeg"]), ("11.txt", b"hers")]),
        "a/1.parquet": sink.getvalue().to_pybytes(),
        "a/1_stats.json": json.dumps({"count": 2, "successes": 2, "status_dict": {"success": 2}}),
        "b/2.tar": tar([("20.jpg", copies["jpeg"])]),
        "b/3.tar": b"no archive at all",
        "README.md": "about",
        "list.txt": "10\n11\n",
        "model.exe": b"MZ",
    }


@pytest.fixture
def tables():
    """Three tables of addresses, every third row reserved."""
    files = {}
    for number in range(3):
        urls = [f"https://{DOMAIN if n % 3 == 0 else 'free.example'}/{number}/{n}.jpg" for n in range(30)]
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"URL": urls, "text": [f"t{n}" for n in range(30)]}), sink, row_group_size=8)
        files[f"part/{number}.parquet"] = sink.getvalue().to_pybytes()
    return files | {"README.md": "about"}


@pytest.fixture
def run(live, client_of):
    def go(source, target, options=Options(workers=1), **more):  # noqa: B008 - frozen
        return filter_dataset(source, target, [client_of(live.url)], options=options, **more)

    return go


SRC, DST = "flaky://b/set", "flaky://b/clean"

# Addresses.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://bucket/a/b", "s3://bucket/a/b"),
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ("S3A://Bucket/a", "s3://Bucket/a"),
        ("gs://bucket", "gs://bucket"),
        (
            "abfs://container@account.dfs.core.windows.net/a",
            "abfs://container@account.dfs.core.windows.net/a",
        ),
        ("plain/path", None),
        ("C:\\data", None),
        ("a:b", None),
    ],
)
def test_what_is_written_as_an_address_is_one(text, expected):
    place = place_of(text)
    assert (str(place) if isinstance(place, Address) else None) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("s3://", "no address"),
        ("s3:///a", "bucket and prefix"),
        ("s3://bucket//a", "bucket and prefix"),
        ("s3://bucket/../a", "bucket and prefix"),
        ("s3://bucket/a/./b", "bucket and prefix"),
        ("s3://bucket/a?versionId=1", "bucket and prefix"),
        ("s3://bucket/a\nb", "bucket and prefix"),
        ("zip://a.zip::s3://bucket/b", "bucket and prefix"),
        ("s3://key:secret@bucket/a", "password"),
        ("https://host/a", "no address of an object store"),
        ("file:///data", "no address of an object store"),
    ],
)
def test_an_address_that_is_none_is_refused(text, why):
    with pytest.raises(InputError, match=why) as caught:
        place_of(text)
    assert caught.value.hint
    assert "secret" not in str(caught.value)


NAMES = st.from_regex(r"\A[a-z0-9-]{1,8}(/[a-z0-9.-]{0,5}[a-z0-9]){0,3}\Z")


@given(NAMES, NAMES)
def test_places_overlap_in_both_directions_or_in_none(one, two):
    first, second = Address(f"s3://b/{one}"), Address(f"s3://b/{two}")
    assert first.overlaps(second) == second.overlaps(first)
    assert first.overlaps(first / "x")
    assert not first.overlaps(first.with_name(f"{first.name}.caveat"))
    assert place_of(str(first)) == first


def test_a_whole_bucket_has_nothing_beside_it():
    with pytest.raises(InputError, match="whole bucket"):
        Address("s3://bucket").with_name("other")


# What a store is asked.


def test_objects_are_listed_fetched_put_and_deleted(store, tmp_path):
    plant({"a/1": b"one", "b": b""})
    place = Address(SRC)
    found = listed(place)
    assert {name: one.size for name, one in found.items()} == {"a/1": 3, "b": 0}
    fetch(place, found["a/1"], tmp_path / "x/1")
    assert (tmp_path / "x/1").read_bytes() == b"one"
    there, digest = put(tmp_path / "x/1", place / "c")
    assert (there.size, digest.hex()[:8]) == (3, "7692c3ad")
    assert listed(place)["c"].mark == there.mark
    assert (read(place / "c"), read_part(place / "c", 1, 2)) == (b"one", b"ne")
    assert create(place / "d", b"first") == b"first"
    assert create(place / "d", b"second") == b"first"
    delete([place / "c", place / "never there"])
    assert set(listed(place)) == {"a/1", "b", "d"}
    assert list(listed(place / "b")) == [""]
    assert listed(Address("flaky://b/nothing")) == {}


@pytest.mark.parametrize("name", ["../up", "a/../../up", "a//b", "a\\b", "a\tb"])
def test_names_that_no_file_could_have_are_refused(store, name):
    store.store[f"/b/set/{name}"] = store.store.get("/") or _file(b"x")
    with pytest.raises(DatasetError, match="no file could have"):
        listed(Address(SRC))


def _file(data):
    from fsspec.implementations.memory import MemoryFile

    return MemoryFile(Flaky(), "x", data)


def test_an_object_that_is_another_than_was_listed_is_not_taken(store, tmp_path):
    plant({"a": b"one", "b": b"two", "c": b"three"})
    place, found = Address(SRC), listed(Address(SRC))
    plant({"a": b"new"})
    del store.store["/b/set/b"]
    for name in "ab":
        with pytest.raises(DatasetError, match=rf"set/{name} changed during the run"):
            fetch(place, found[name], tmp_path / name)
    with pytest.raises(StoreError, match="2 of 9 bytes came"):
        read_part(place / "c", 3, 9)


def test_bytes_that_do_not_come_are_missed(store, tmp_path, monkeypatch):
    plant({"a": b"all of it"})
    place, found = Address(SRC), listed(Address(SRC))["a"]
    monkeypatch.setattr(Flaky, "get_file", lambda self, path, to: Path(to).write_bytes(b"half"))
    with pytest.raises(StoreError, match="4 of 9 bytes came"):
        fetch(place, found, tmp_path / "a")


def test_a_store_that_tells_no_versions_is_refused(store, monkeypatch):
    plant({"a": b"one"})
    bare = {"/b/set/a": {"name": "/b/set/a", "size": 3, "type": "file"}}
    monkeypatch.setattr(Flaky, "find", lambda self, path, **_: bare)
    with pytest.raises(StoreError, match="no size or no version"):
        listed(Address(SRC))


@pytest.mark.parametrize(
    ("address", "missing", "hint"),
    [
        (SRC, ["fsspec", "fsspec.core"], "caveat-registry[s3]"),
        ("s3://bucket/a", ["s3fs"], "caveat-registry[s3]"),
        ("nosuch://bucket/a", [], "another protocol"),
    ],
)
def test_what_is_not_installed_is_named(store, monkeypatch, address, missing, hint):
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError) as caught:
        listed(Address(address))
    assert hint in caught.value.hint


# Whole runs.


def account_of(files):
    """What must be the same however a run was done: decisions, and the account of what went."""
    lines = b"".join(files[name] for name in sorted(files) if re.fullmatch(r"decisions/.*\.jsonl", name))
    return {
        "decisions": files.get("decisions.jsonl", lines),
        "shards": files["shards.txt"],
        **{name: data for name, data in files.items() if re.fullmatch(r"decisions/.*\.(parquet|keep)", name)},
    }


def told(summary):
    wire = {**summary.to_wire(), "notable": [one.to_wire() for one in summary.notable]}
    return {name: wire[name] for name in wire if name not in ("source", "target", "account", "why")}


@pytest.mark.parametrize("dataset", ["shards", "tables"])
@pytest.mark.parametrize(
    ("from_store", "to_store"), [(True, True), (True, False), (False, True)], ids=["both", "from", "to"]
)
def test_a_store_leaves_what_a_folder_leaves(
    store, run, kit, tmp_path, request, dataset, from_store, to_store
):
    files = request.getfixturevalue(dataset)
    plant(files)
    here = kit.plant(tmp_path / "set", files)
    local = run(here, tmp_path / "local")
    summary = run(SRC if from_store else here, DST if to_store else tmp_path / "clean")
    output = below("/b/clean") if to_store else kit.tree(tmp_path / "clean")
    account = below("/b/clean.caveat") if to_store else kit.tree(tmp_path / "clean.caveat")
    assert output == kit.tree(tmp_path / "local")
    before = account_of(kit.tree(tmp_path / "local.caveat"))
    after = account_of(account)
    if from_store:
        # Reasons name places, and these are others.
        before["decisions"] = before["decisions"].replace(str(here).encode(), SRC.encode())
    assert after == before
    now, then = told(summary), told(local)
    assert json.dumps(now).replace(SRC, str(here)) == json.dumps(then)
    assert str(summary.target) == (DST if to_store else str(tmp_path / "clean"))
    report = account["report.html"].decode()
    assert ("data:image/jpeg" in report) == (dataset == "shards")
    assert "caveat-" not in json.dumps(now)
    if to_store:
        assert json.loads(account["run.json"])["kept"] == summary.kept
        check_whole("/b/clean")


def check_whole(target):
    """Every report of a shard names objects that are there, whole."""
    import hashlib

    account = below(f"{target}.caveat")
    for name in [name for name in account if name.startswith("shards/") and name.endswith(".json")]:
        report = parse_report(account[name], name)
        assert report.objects
        for one in report.objects:
            data = below(target if one["of"] == "output" else f"{target}.caveat")[one["name"]]
            assert (len(data), hashlib.sha256(data).hexdigest()) == (one["size"], one["sha256"])


def test_the_decisions_on_tables_are_removals_and_bits(store, run, tables):
    plant(tables)
    summary = run(SRC, DST)
    assert (summary.samples, summary.counts[Action.REMOVE]) == (90, 30)
    account = below("/b/clean.caveat")
    bits = np.frombuffer(account["decisions/part/1.parquet.keep"], np.uint8)
    assert np.unpackbits(bits, count=30).tolist() == [n % 3 != 0 for n in range(30)]
    gone = pq.read_table(pa.BufferReader(account["decisions/part/1.parquet.parquet"]))
    assert gone["row"].to_pylist() == list(range(0, 30, 3))


def test_a_dry_run_writes_nothing_and_tells_the_same(store, run, shards):
    plant(shards)
    before = below("")
    dry = run(SRC, DST, Options(workers=1, dry_run=True))
    assert below("") == before
    assert not {"put_file", "pipe_file", "rm_file"} & Flaky.seen.keys()
    wet = run(SRC, DST)
    assert told(dry) == told(wet)


def test_an_output_that_is_there_is_refused_and_stays(store, run, tables):
    plant(tables)
    run(SRC, DST)
    before = below("")
    for options in (Options(workers=1), Options(workers=1, resume=False)):
        with pytest.raises(DatasetError, match="of a run that has ended"):
            run(SRC, DST, options)
    plant({"foreign.txt": "not ours"}, "/b/other")
    for options in (Options(workers=1), Options(workers=1, resume=False)):
        with pytest.raises(DatasetError, match="no run of this program"):
            run(SRC, "flaky://b/other", options)
    assert below("") == {**before, "b/other/foreign.txt": b"not ours"}


def test_shares_are_put_together_by_one_run_more(store, run, tables, kit, tmp_path):
    plant(tables)
    local = run(kit.plant(tmp_path / "set", tables), tmp_path / "local")
    for number in (1, 2):
        summary = run(SRC, DST, Options(workers=1, share=(number, 2)))
        assert (summary.shared, summary.target) == (True, None)
        assert "run.json" not in below("/b/clean.caveat")
    assert summary.waiting == 0
    Flaky.seen.clear()
    summary = run(SRC, DST)
    assert (summary.resumed, summary.kept) == (3, local.kept)
    assert below("/b/clean") == kit.tree(tmp_path / "local")


def test_other_options_are_refused_and_anew_is_anew(store, run, tables):
    plant(tables)
    run(SRC, DST, Options(workers=1, share=(1, 2)))
    with pytest.raises(DatasetError, match="another mode: 'eu-art4', and now 'strict'") as caught:
        run(SRC, DST, rules=Rules(mode=Mode.STRICT))
    assert "--no-resume" in caught.value.hint
    summary = run(SRC, DST, Options(workers=1, resume=False), rules=Rules(mode=Mode.STRICT))
    assert (summary.resumed, summary.kept, summary.target) == (0, 0, None)
    assert below("/b/clean") == {}
    assert json.loads(below("/b/clean.caveat")["run.json"])["target"] is None


def test_other_options_are_refused_where_nothing_is_written_on_a_condition(store, run, tables, monkeypatch):
    def piped(self, path, value, mode="overwrite", **options):
        if mode == "create":
            raise NotImplementedError("no conditions here")
        MemoryFileSystem.pipe_file(self, path, value, mode, **options)

    monkeypatch.setattr(Flaky, "pipe_file", piped)
    plant(tables)
    run(SRC, DST, Options(workers=1, share=(1, 2)))
    with pytest.raises(DatasetError, match="another mode: 'eu-art4', and now 'strict'"):
        run(SRC, DST, rules=Rules(mode=Mode.STRICT))
    assert run(SRC, DST).resumed == 2


def test_a_number_in_a_text_beside_tables_names_no_row(store, run, tables, kit, tmp_path):
    files = {**tables, "README.md": b"This set has " + b" ".join(b"%d" % n for n in range(40)) + b" columns"}
    plant(files)
    run(SRC, DST)
    run(kit.plant(tmp_path / "set", files), tmp_path / "local")
    assert "README.md" in below("/b/clean")
    assert below("/b/clean") == kit.tree(tmp_path / "local")


def test_a_store_by_another_of_its_names_is_the_same_place():
    assert Address("gs://b/x").overlaps(Address("gcs://b/x/y"))
    assert not Address("gs://b/x").overlaps(Address("gcs://b/xy"))


def test_a_shard_that_changed_or_is_not_whole_is_filtered_again(store, run, shards, kit, tmp_path):
    plant(shards)
    run(SRC, DST, Options(workers=1, share=(1, 1)))
    changed = {"a/0.tar": tar([("99.png", kit.free(99))])}
    plant(changed)
    plant({"a/1.tar": b"by somebody else"}, "/b/clean")
    plant({"left over.txt": b"of an end that failed"}, "/b/clean")
    for name in ("/b/set/b/2.tar", "/b/clean.caveat/decisions/b/3.tar.jsonl"):
        del store.store[name]
    summary = run(SRC, DST)
    assert summary.resumed == 0
    left = {**shards, **changed}
    del left["b/2.tar"]
    run(kit.plant(tmp_path / "set", left), tmp_path / "local")
    assert below("/b/clean") == kit.tree(tmp_path / "local")
    assert not [name for name in below("/b/clean.caveat") if "b/2" in name]
    check_whole("/b/clean")


def test_a_source_that_changes_under_way_ends_the_run_by_name(store, run, tables, monkeypatch):
    plant(tables)

    def change(call, path):
        if call == "get_file" and path.endswith("1.parquet"):
            Flaky.fails = staticmethod(lambda call, path: None)
            plant({"part/1.parquet": tables["part/2.parquet"]})

    store.fails = staticmethod(change)
    with pytest.raises(DatasetError, match=r"part/1\.parquet changed during the run"):
        run(SRC, DST)
    assert "run.json" not in below("/b/clean.caveat")
    assert run(SRC, DST).resumed == 1


def test_an_output_that_changes_under_way_never_counts(store, run, tables):
    plant(tables)
    progress = Progress(confirm=lambda _: plant({"part/1.parquet": b"other"}, "/b/clean") is None)
    with pytest.raises(DatasetError, match=r"part/1\.parquet is not what its shard's report says"):
        run(SRC, DST, progress=progress)
    assert "run.json" not in below("/b/clean.caveat")
    assert run(SRC, DST).resumed == 2
    check_whole("/b/clean")


def test_saying_no_leaves_nothing(store, run, tables):
    plant(tables)
    before = below("")
    summary = run(SRC, DST, rules=Rules(mode=Mode.STRICT), progress=Progress(confirm=lambda _: False))
    assert (summary.target, summary.account) == (None, None)
    assert below("") == before


REFUSED = {
    "nothing": ({}, FormatError, "nothing is below"),
    "pictures": ({"a.png": b"x"}, FormatError, "neither .tar shards nor tables only"),
    "tars and pictures": ({"a.tar": b"x", "a.png": b"x"}, FormatError, "neither .tar shards nor tables only"),
    "a zip": ({"a.zip": b"x"}, FormatError, "neither .tar shards nor tables only"),
    "two kinds of tables": ({"a.csv": b"x", "b.parquet": b"x"}, FormatError, "two formats at once"),
    "packed shards": ({"a.tar.gz": b"x"}, FormatError, "compressed tar"),
    "hidden ones only": ({".a/b.tar": b"x"}, FormatError, "nothing is below"),
}


@pytest.mark.parametrize(("files", "error", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_read_at_a_store_is_refused_by_name(store, run, files, error, why):
    plant(files)
    with pytest.raises(error, match=re.escape(why)) as caught:
        run(SRC, DST)
    assert caught.value.hint
    assert below("/b/clean.caveat") == {}


def test_places_that_cannot_be_are_refused_by_name(store, run, tables, kit, tmp_path):
    plant(tables)
    pictures = kit.plant(tmp_path / "pictures", {"a.png": kit.free(1)})
    table = kit.plant(tmp_path / "set", tables) / "part/1.parquet"
    for source, target, options, why in [
        (SRC, f"{SRC}/clean", {}, "lie in one another"),
        (f"{SRC}/part", SRC, {}, "lie in one another"),
        (SRC, "flaky://b2", {}, "a whole bucket"),
        (pictures, DST, {}, "not made of shards"),
        (table, DST, {}, "not made of shards"),
        (f"{SRC}/part/1.parquet", DST, {}, "is one object"),
        (SRC, DST, {"subset": True}, "a pool on this machine"),
        (SRC, tmp_path / "pictures", {}, "there already"),
    ]:
        with pytest.raises(CaveatError, match=why):
            run(source, target, Options(workers=1, **options))
    with pytest.raises(FormatError, match="not of format csv"):
        run(SRC, DST, format_name="csv")
    assert below("/b/clean") == below("/b/clean.caveat") == {}


def test_the_samples_are_those_of_a_folder(store, shards, tables, kit, tmp_path):
    from registry.client.formats import detect
    from registry.client.store_shards import detect_away

    for name, files in {"one": shards, "two": tables}.items():
        plant(files, f"/b/{name}")
        folder = detect(kit.plant(tmp_path / name, files))
        away = detect_away(Address(f"flaky://b/{name}"), "auto", Workplace())
        assert [one.key for one in away.samples()] == [one.key for one in folder.samples()]
        assert [away.shard(one).size for one in away.shards()] == [
            folder.shard(one).size for one in folder.shards()
        ]


def test_nothing_stays_on_this_machine(store, run, shards, tmp_path, monkeypatch):
    (tmp_path / "t").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "t"))
    plant(shards)
    summary = run(SRC, DST)
    assert len(list(summary.notable)) == 4  # They are read from there as long as somebody may ask.
    del summary
    assert list((tmp_path / "t").iterdir()) == []


# Failing calls.


def failing_at(number, calls=CALLS):
    """Fail at the n-th call of these kinds, and never again."""
    seen = Counter()

    def fail(call, path):
        if call in calls:
            seen["all"] += 1
            if seen["all"] == number:
                raise OSError(f"the store fell over at {call}")

    return staticmethod(fail), seen


def test_whichever_call_fails_the_output_counts_only_when_it_is_whole(store, run, tables, kit, tmp_path):
    files = {name: tables[name] for name in ("part/0.parquet", "README.md")}
    plant(files)
    run(kit.plant(tmp_path / "set", files), tmp_path / "local")
    expected = kit.tree(tmp_path / "local")
    outcomes, number = Counter(), 0
    while True:
        number += 1
        for name in [name for name in store.store if not name.startswith("/b/set/")]:
            del store.store[name]
        store.fails, seen = failing_at(number)
        try:
            run(SRC, DST)
        except StoreError as error:
            outcomes["failed"] += bool(error.hint and "the store fell over at" in error.message)
        else:
            outcomes["whole"] += 1
        account = below("/b/clean.caveat")
        if "run.json" in account:
            assert below("/b/clean") == expected
        if seen["all"] < number:
            break
        store.fails = staticmethod(lambda call, path: None)
        if "run.json" not in account:
            run(SRC, DST)
            assert below("/b/clean") == expected
            check_whole("/b/clean")
    # Without harm fail: writing on a condition, which is then tried without, and what the store asks itself.
    assert outcomes["whole"] < 10
    assert outcomes["failed"] > 25
