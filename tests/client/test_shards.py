"""WebDataset shards: what goes when a work goes, what hostile archives do, and what the real loaders read."""

import gzip
import io
import json
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.client import Options, Progress, filter_dataset
from registry.client.formats import brace_range, detect
from registry.client.formats.beside import Row, mended_stats
from registry.client.formats.tarred import copy_members, members_of
from registry.client.place import Place
from registry.errors import DatasetError, FormatError
from registry.preference import Action

DOMAIN = "gallery.example"
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def tar(members, form=tarfile.PAX_FORMAT):
    """Pack (name or TarInfo, bytes) pairs."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            info.size = info.size or len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def sample(key, picture, url=None, kind="jpg", **more):
    """The members of one key as img2dataset writes them."""
    told = {"url": url or f"https://free.example/{key}", "key": key, **more}
    return [
        (f"{key}.{kind}", picture),
        (f"{key}.json", json.dumps(told).encode()),
        (f"{key}.txt", f"caption of {key}".encode()),
    ]


def table(rows):
    """The table beside a shard; a row is key, url, status, error_message."""
    keys, urls, status, messages = zip(*rows, strict=True)
    found = pa.table(
        {"url": urls, "key": keys, "status": status, "error_message": pa.array(messages, pa.string())}
    ).replace_schema_metadata({"huggingface": "{}", "mine": "kept"})
    out = io.BytesIO()
    pq.write_table(found, out)
    return out.getvalue()


def contents(path):
    with tarfile.open(path) as archive:
        return {one.name: archive.extractfile(one).read() for one in archive if one.isreg()}


def shard(first, kit):
    """Three keys of nobody."""
    return [one for n in range(3) for one in sample(f"{first}000{n}", kit.free(first * 10 + n), kind="png")]


STATS = {
    "count": 6, "successes": 5, "failed_to_download": 1, "failed_to_resize": 0, "duration": 1.5,
    "status_dict": {"success": 5, "HTTP Error 404: Not Found": 1},
}  # fmt: skip


@pytest.fixture(scope="session")
def planted(live, copies, kit, tmp_path_factory):
    """An img2dataset folder of four shards, filtered: copies, several pictures a key, addresses, rows."""
    root = tmp_path_factory.mktemp("shards")
    first = [
        *sample("000000000", kit.free(1), kind="png"),
        *sample("000000001", copies["jpeg"]),
        *sample("000000002", kit.free(2), f"https://images.{DOMAIN}/2.png", kind="png"),
        *sample("000000003", kit.free(3), kind="png"),
        *sample("000000004", kit.free(4), kind="png"),
    ]
    rows = [
        *((f"00000000{n}", f"https://free.example/{n}", "success", None) for n in range(4)),
        ("000000004", f"https://{DOMAIN}/4.png", "success", None),
        ("000000005", f"https://{DOMAIN}/5.png", "failed_to_download", "HTTP Error 404: Not Found"),
    ]
    several = [
        ("a/x.input.png", kit.free(11)), ("a/x.target.jpg", copies["same"]), ("a/x.txt", b"two pictures"),
        ("a/y.input.png", kit.free(12)), ("a/y.target.png", kit.free(13)), ("a/y.txt", b"two more"),
    ]  # fmt: skip
    emptied = sample("000020000", copies["mirror"], kind="png")
    kit.plant(
        root / "set",
        {
            "00000.tar": tar(first), "00000.parquet": table(rows), "00000_stats.json": json.dumps(STATS),
            "00001.tar": tar(several), "00001_stats.json": json.dumps(
                {"count": 2, "successes": 2, "status_dict": {"success": 2}}
            ),
            "00002.tar": tar(emptied), "00002_stats.json": json.dumps(STATS),
            "00003.tar": tar(shard(7, kit)), "README.md": "about this set", "list.txt": "00002.tar",
        },
    )  # fmt: skip
    before = kit.tree(root / "set")
    with live.client() as client:
        summary = filter_dataset(root / "set", root / "clean", [client], options=Options(workers=1))
    assert kit.tree(root / "set") == before
    return root, summary


def test_all_members_of_a_removed_key_go_and_the_others_stay_byte_for_byte(planted):
    root, _ = planted
    before, after = contents(root / "set/00000.tar"), contents(root / "clean/00000.tar")
    kept = {"000000000", "000000003"}
    assert after == {name: data for name, data in before.items() if name.partition(".")[0] in kept}


def test_one_reserved_picture_of_several_takes_the_key(planted):
    root, summary = planted
    assert set(contents(root / "clean/00001.tar")) == {"a/y.input.png", "a/y.target.png", "a/y.txt"}
    assert summary.left_out["00001.tar/a/x.txt"] == "its sample goes"


def test_an_untouched_shard_is_the_same_file(planted):
    root, _ = planted
    assert (root / "clean/00003.tar").read_bytes() == (root / "set/00003.tar").read_bytes()


def test_an_emptied_shard_is_not_written_and_it_is_said(planted):
    root, summary = planted
    assert not list((root / "clean").glob("00002*"))
    assert summary.left_out["00002.tar"] == "no sample is left in it"
    assert summary.left_out["list.txt"].startswith("names 00002.tar")
    assert (root / "clean/README.md").exists()
    assert not (root / "clean/list.txt").exists()


def test_the_shards_that_are_left_are_listed_beside_the_output(planted):
    root, summary = planted
    left = ["00000.tar", "00001.tar", "00003.tar"]
    assert (root / "clean.caveat/shards.txt").read_text().split() == left == list(summary.shards)
    assert sorted(path.name for path in (root / "clean").glob("*.tar")) == left


def test_rows_of_removed_keys_go_with_failed_ones_that_are_reserved_and_the_schema_stays(planted):
    root, _ = planted
    before, after = (pq.read_table(root / where / "00000.parquet") for where in ("set", "clean"))
    assert after["key"].to_pylist() == ["000000000", "000000003"]
    assert after.schema.equals(before.schema, check_metadata=True)
    assert after.schema.metadata[b"mine"] == b"kept"


def test_statistics_count_what_is_left(planted):
    root, _ = planted
    assert json.loads((root / "clean/00000_stats.json").read_text()) == {
        **STATS, "count": 2, "successes": 2, "failed_to_download": 0,
        "status_dict": {"success": 2, "HTTP Error 404: Not Found": 0},
    }  # fmt: skip
    assert json.loads((root / "clean/00001_stats.json").read_text()) == {
        "count": 1, "successes": 1, "status_dict": {"success": 1},
    }  # fmt: skip


def test_reasons_are_told_and_removed_pictures_are_shown(planted):
    root, summary = planted
    removed = {v.sample.key: v.cause for v in summary.notable if v.action is Action.REMOVE}
    assert removed == {
        "00000.tar/000000001.jpg": "pdq",
        "00000.tar/000000002.png": "domain",
        "00000.tar/000000004.png": "domain",
        "00000.parquet/000000005": "domain",
        "00001.tar/a/x.input.png": "another",
        "00001.tar/a/x.target.jpg": "sha256",
        "00002.tar/000020000.png": "pdq",
    }
    assert (root / "clean.caveat/report.html").read_text("utf-8").count("<img") == 6


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_reads_every_kept_sample_whole(planted, monkeypatch):
    monkeypatch.setenv("WDS_SECURE", "1")
    import webdataset

    root, summary = planted
    urls = f"{root}/clean/{brace_range(summary.shards)}"
    found = list(webdataset.WebDataset(urls, shardshuffle=False, handler=webdataset.reraise_exception))
    assert [one["__key__"] for one in found] == ["000000000", "000000003", "a/y", "70000", "70001", "70002"]
    assert all({"json", "txt", "png"} <= set(one) for one in found if "/" not in one["__key__"])


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_datasets_reads_every_kept_sample_whole(planted, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    root, _ = planted
    for name, keys in {"00000": ["000000000", "000000003"], "00001": ["a/y"]}.items():
        loaded = datasets.load_dataset(
            "webdataset",
            data_files={"train": f"{root}/clean/{name}.tar"},
            split="train",
            streaming=True,
            cache_dir=str(tmp_path),
        )
        assert [row["__key__"] for row in loaded] == keys


# One shard, and what is wrong with others.


def link(kind):
    info = tarfile.TarInfo("b.png")
    info.type, info.linkname = kind, "/etc/passwd"
    return info


def huge():
    """A member that says it holds 10 GB, in a file with a hole of that size."""
    info = tarfile.TarInfo("b.png")
    info.size = 10 * 2**30
    return info.tobuf(tarfile.GNU_FORMAT)


def pax(name, **headers):
    info = tarfile.TarInfo(name)
    info.pax_headers = headers
    return info


HOSTILE = {
    # what: (members beside two good ones, the name that is set aside, what is said)
    "leads out": ([("../b.png", b"x")], "../b.png", "leads out"),
    "leads out below": ([("a/../../b.png", b"x")], "a/../../b.png", "leads out"),
    "absolute": ([("/b.png", b"x")], "/b.png", "leads out"),
    "another system's": ([("C:\\b.png", b"x")], "C:\\b.png", "leads out"),
    "a control letter": ([("b\x1b[2J.png", b"x")], "b\x1b[2J.png", "cannot be shown"),
    "not UTF-8": ([("b\udcff.png", b"x")], "b\\udcff.png", "not UTF-8"),
    "a symbolic link": ([(link(tarfile.SYMTYPE), b"")], "b.png", "a link, not a file"),
    "a hard link": ([(link(tarfile.LNKTYPE), b"")], "b.png", "a link, not a file"),
    "a device": ([(link(tarfile.CHRTYPE), b"")], "b.png", "a device, not a file"),
    "a pipe": ([(link(tarfile.FIFOTYPE), b"")], "b.png", "a pipe, not a file"),
    "sparse": (
        [(pax("b.png", **{"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}), b"1\n0\n1\n" + bytes(506))],
        "b.png",
        "a sparse file",
    ),
    "a name twice": ([("b.png", b"x"), ("b.png", b"y")], "b.png", "its name occurs twice"),
    "a key in two places": (
        [("b.png", b"x"), ("c.txt", b"c"), ("c.json", b'{"url": "https://free.example"}'), ("b.txt", b"y")],
        "b.png",
        "not side by side",
    ),
    "no ending": ([("b", b"x")], "b", "belongs to no sample"),
    "an unknown kind": ([("b.mp4", b"x")], "b", "b.mp4, a kind of file that cannot be checked"),
    "packed": ([("b.png.gz", b"x")], "b", "b.png.gz, a kind of file"),
    "no picture": ([("b.png", b"not a picture")], "b.png", "not a picture"),
    "an empty picture": ([("b.png", b"")], "b.png", "picture"),
    "texts only": ([("b.txt", b"words")], "b", "nothing to look up"),
    "a caption of another kind": ([("b.png", b"x"), ("b.txt", b"\xff")], "b.png", "not UTF-8: byte 0"),
    "json that is none": ([("b.png", b"x"), ("b.json", b"{")], "b.png", "b.json cannot be read: not JSON"),
    "two addresses in one": ([("b.json", b'{"url": "x", "url": "y"}')], "b", "stands twice"),
    "a folder of its name": ([(link(tarfile.DIRTYPE), b""), ("b.png", b"x")], "b.png", "twice"),
}


@pytest.fixture
def filtered(fake, unknown, client_of, tmp_path):
    """Filter what stands in a file, with a registry that knows nothing."""

    def run(source, name="clean", **options):
        client = client_of(fake(unknown).url)
        return filter_dataset(
            source, tmp_path / name, [client], **({"options": Options(workers=1)} | options)
        )

    return run


@pytest.mark.parametrize(("members", "name", "says"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_member_is_set_aside_by_name_and_the_rest_is_complete(
    tmp_path, filtered, kit, members, name, says
):
    good = [("a.png", kit.free(1)), ("a.txt", b"a"), ("z.png", kit.free(2))]
    path = tmp_path / "set.tar"
    path.write_bytes(tar([*good[:2], *members, good[2]]))
    summary = filtered(path, "clean.tar")
    errors = {v.sample.key: v.reason for v in summary.notable if v.action is Action.ERROR}
    assert list(errors) == [f"set.tar/{name}"]
    assert says in errors[f"set.tar/{name}"]
    assert {n: d for n, d in contents(tmp_path / "clean.tar").items() if n[0] != "c"} == dict(good)
    assert (summary.counts[Action.KEEP], summary.errors) == (2 + any(n == "c.txt" for n, _ in members), 1)
    decisions = (tmp_path / "clean.tar.caveat/decisions.jsonl").read_bytes().splitlines()
    assert f"set.tar/{name}" in {json.loads(line)["path"] for line in decisions}


BROKEN = {
    # what: (bytes made of a good archive, what is said)
    "0 bytes": (lambda _: b"", "empty file"),
    "no archive": (lambda _: b"x" * 4096, "not a tar archive"),
    "compressed": (gzip.compress, "not a tar archive"),
    "cut in a picture": (lambda data: data[:700], "unexpected end of data"),
    "cut in a header": (lambda data: data[: len(_blocks(data)) + 100], "cut off"),
    "no end mark": (lambda data: _blocks(data), "no end-of-archive mark"),
    "a spoilt header": (lambda data: _spoilt(data), "a header that cannot be read"),
    "two archives": (lambda data: data + data, "a header that cannot be read"),
    "bytes behind the end": (lambda data: data + b"x", "a header that cannot be read"),
    "a global header": (lambda data: _global() + data, "do not follow one another"),
    "a long name of 3 GB": (lambda data: _long(3 * 2**30) + data, "a header of 3,221,225,472 bytes"),
    "long names in a row": (lambda data: _long(0) * 5000 + data, "not a tar archive"),
    "a negative size": (lambda data: _negative() + data, "not a tar archive"),
}


def _blocks(data):
    """The archive without its end."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.getmembers()
        return data[: archive.offset]


def _spoilt(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        at = archive.getmembers()[-1].offset
    return data[: at + 148] + b"notoctal" + data[at + 156 :]


def _global():
    return tarfile.TarInfo.create_pax_global_header({"comment": "made by a tool"})


def _long(size):
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, size
    return info.tobuf(tarfile.GNU_FORMAT)


def _negative():
    info = tarfile.TarInfo("b.png")
    data = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    data[124:136] = b"\xff" * 10 + b"\xfe\x00"
    data[148:156] = b" " * 8
    data[148:156] = f"{sum(data[:512]):06o}\0 ".encode()
    return bytes(data)


@pytest.mark.parametrize(("make", "says"), BROKEN.values(), ids=BROKEN)
def test_a_shard_that_cannot_be_read_whole_is_set_aside_whole_with_its_table(
    tmp_path, filtered, kit, make, says
):
    good = tar([("a.png", kit.free(1)), ("a.txt", b"a"), ("b.png", kit.free(2))])
    rows = table([("a", "https://free.example/a", "success", None)])
    kit.plant(tmp_path / "set", {"00000.tar": make(good), "00000.parquet": rows, "00001.tar": good})
    summary = filtered(tmp_path / "set")
    [error] = [v for v in summary.notable if v.action is Action.ERROR]
    assert error.sample.key == "00000.tar"
    assert says in error.reason
    assert kit.tree(tmp_path / "clean") == {"00001.tar": good}
    assert summary.left_out == {"00000.parquet": "its shard goes"}


def test_an_empty_shard_is_left_out_with_its_rows_and_it_is_said(tmp_path, filtered, kit):
    good = tar([("a.png", kit.free(1))])
    rows = table([("a", "https://free.example/a", "failed_to_download", "HTTP Error 404: Not Found")])
    kit.plant(tmp_path / "set", {"00000.tar": bytes(10240), "00000.parquet": rows, "00001.tar": good})
    summary = filtered(tmp_path / "set")
    assert kit.tree(tmp_path / "clean") == {"00001.tar": good}
    assert summary.left_out == {"00000.tar": "no sample is left in it", "00000.parquet": "its shard goes"}


TABLES = {
    # what: (table, what is said)
    "no table": (b"PAR1", "not a parquet file"),
    "no column of keys": (("url",), "has no column key"),
    "no column of addresses": (("key",), "has no column url"),
}


@pytest.mark.parametrize(("columns", "says"), TABLES.values(), ids=TABLES)
def test_a_shard_whose_addresses_cannot_be_read_is_set_aside(tmp_path, filtered, kit, columns, says):
    if isinstance(columns, tuple):
        out = io.BytesIO()
        pq.write_table(pa.table({name: ["a"] for name in columns}), out)
        columns = out.getvalue()
    good = tar([("a.png", kit.free(1))])
    kit.plant(tmp_path / "set", {"00000.tar": good, "00000.parquet": columns, "00001.tar": good})
    summary = filtered(tmp_path / "set")
    [error] = [v for v in summary.notable if v.action is Action.ERROR]
    assert error.sample.key == "00000.tar"
    assert says in error.reason
    assert kit.tree(tmp_path / "clean") == {"00001.tar": good}


def test_a_key_without_its_row_is_set_aside(tmp_path, filtered, kit):
    rows = table([("a", "https://free.example/a", "success", None), ("z", None, "success", None)])
    good = tar([("a.png", kit.free(1)), ("b.png", kit.free(2))])
    kit.plant(tmp_path / "set", {"00000.tar": good, "00000.parquet": rows})
    summary = filtered(tmp_path / "set")
    assert {v.sample.key: v.reason for v in summary.notable} == {
        "00000.tar/b.png": "00000.parquet has no row of its key",
        "00000.parquet/z": "the row has no URL",
    }
    assert set(contents(tmp_path / "clean/00000.tar")) == {"a.png"}
    assert pq.read_table(tmp_path / "clean/00000.parquet")["key"].to_pylist() == ["a"]


def test_a_member_of_10_gb_is_set_aside_without_being_read(tmp_path, filtered, kit):
    path = tmp_path / "set.tar"
    good = tar([("z.png", kit.free(1))])
    with path.open("wb") as out:
        out.write(huge())
        out.seek(10 * 2**30, io.SEEK_CUR)
        out.write(good)
    summary = filtered(path, "clean.tar")
    [error] = summary.notable
    assert (error.sample.key, error.reason) == ("set.tar/b.png", "b.png: larger than 512 MiB")
    assert (tmp_path / "clean.tar").read_bytes() == good


def test_what_a_shard_says_itself_is_read_from_the_members(tmp_path, filtered, kit):
    no = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/" '
        b'plus:DataMining="http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED"/></rdf:RDF></x:xmpmeta>'
    )
    path = tmp_path / "set.tar"
    path.write_bytes(
        tar(
            [
                ("a.png", kit.free(1)),
                ("b.png", kit.free(2)),
                ("b.xmp", no),
                ("c.png", kit.free(3)),
                ("c.xmp", b""),
            ]
        )
    )
    (tmp_path / "set.xmp").write_bytes(no)  # It lies beside the shard, and speaks of no picture in it.
    summary = filtered(path, "clean.tar")
    actions = {v.sample.key: (v.action, v.reason) for v in summary.notable}
    assert actions["set.tar/b.png"][0] is Action.REMOVE
    assert actions["set.tar/c.png"][0] is Action.ERROR
    assert ".xmp member 1: it is empty" in actions["set.tar/c.png"][1]
    assert set(contents(tmp_path / "clean.tar")) == {"a.png"}


def test_hidden_members_are_passed_over_and_folders_stay(tmp_path, filtered, kit):
    folder = tarfile.TarInfo("a")
    folder.type = tarfile.DIRTYPE
    path = tmp_path / "set.tar"
    path.write_bytes(
        tar([(folder, b""), ("._a.png", b"x"), ("a/b.png", kit.free(1)), ("a.png", kit.free(2))])
    )
    summary = filtered(path, "clean.tar")
    assert (summary.kept, summary.errors) == (2, 0)
    with tarfile.open(tmp_path / "clean.tar") as archive:
        assert archive.getnames() == ["a", "a/b.png", "a.png"]


@pytest.mark.parametrize("name", ["set.tar.gz", "set.tgz", "set.tar.zst", "deep/set.TAR.XZ"])
def test_a_compressed_archive_is_refused_with_what_to_do(tmp_path, kit, name):
    kit.plant(tmp_path / "set", {name: b"x"})
    for path in (tmp_path / "set", tmp_path / "set" / name):
        with pytest.raises(FormatError, match="is a compressed tar archive") as caught:
            detect(path)
        assert "plain .tar" in caught.value.hint


def test_shards_beside_pictures_are_not_guessed_about(tmp_path, kit):
    kit.plant(tmp_path, {"00000.tar": b"", "sub/a.png": b""})
    with pytest.raises(FormatError) as caught:
        detect(tmp_path)
    assert caught.value.hint == "Say which: --format webdataset or --format folder."


def test_a_shard_that_changes_during_the_run_is_not_written(tmp_path, filtered, kit):
    path = tmp_path / "set.tar"
    path.write_bytes(tar([("a.png", kit.free(1))]))

    def change(*_):
        path.write_bytes(tar([("a.png", kit.free(2))]))

    with pytest.raises(DatasetError, match="changed during the run"):
        filtered(path, "clean.tar", progress=Progress(done=change))
    assert kit.leftovers(tmp_path, "set.tar") == set()


def test_worker_processes_read_members_where_they_lie(tmp_path, fake, unknown, client_of, kit):
    path = tmp_path / "set.tar"
    path.write_bytes(tar([(f"{n:03}.png", kit.free(n, 32)) for n in range(60)]))
    client = client_of(fake(unknown).url)
    summary = filter_dataset(path, tmp_path / "clean.tar", [client], options=Options(workers=2))
    assert summary.kept == 60
    assert (tmp_path / "clean.tar").read_bytes() == path.read_bytes()


# Laws.

names = st.text("abcä0123456789/-_", min_size=1, max_size=180).filter(
    lambda name: not name.startswith("/") and not name.endswith("/") and "//" not in name
)


@given(
    st.dictionaries(names, st.binary(max_size=1100), max_size=6),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_members_are_told_as_the_standard_library_reads_them_and_copied_byte_for_byte(
    tmp_path_factory, members, form
):
    folder = tmp_path_factory.mktemp("law")
    source, target = folder / "a.tar", folder / "b.tar"
    source.write_bytes(tar([("first.txt", b"1"), *members.items()], form))
    found = list(members_of(source))
    read = {one.name: Place(source, one.offset, one.size).read() for one in found}
    assert read == {"first.txt": b"1", **members}
    copy_members(source, target, found, {})
    assert target.read_bytes() == source.read_bytes()


@given(st.sets(st.integers(0, 1100), min_size=1, max_size=30), st.booleans())
def test_a_brace_range_expands_to_the_names(numbers, folder):
    import braceexpand

    names = sorted(f"{'train/' if folder else ''}{number:04}.tar" for number in numbers)
    assert list(braceexpand.braceexpand(brace_range(names))) == names


STATISTICS = {
    # what: (statistics, rows lost, what is left)
    "one": ({"count": 2, "successes": 2}, [Row(0, "a", ())], {"count": 1, "successes": 1}),
    "a failed one": (
        {"count": 2, "successes": 1, "failed_to_resize": 1, "status_dict": {"success": 1, "too small": 1}},
        [Row(0, "a", (), "failed_to_resize", "too small")],
        {"count": 1, "successes": 1, "failed_to_resize": 0, "status_dict": {"success": 1, "too small": 0}},
    ),
    "too few": ({"count": 0, "successes": 0}, [Row(0, "a", ())], None),
    "no counts": ({}, [Row(0, "a", ())], None),
    "no number": ({"count": True, "successes": 1}, [Row(0, "a", ())], None),
    "no object": ([], [Row(0, "a", ())], None),
    "another status": ({"count": 1, "successes": 1}, [Row(0, "a", (), "odd")], None),
}


@pytest.mark.parametrize(("stats", "lost", "left"), STATISTICS.values(), ids=STATISTICS)
def test_statistics_are_mended_or_left_out(stats, lost, left):
    found = mended_stats(json.dumps(stats).encode(), lost)
    assert (None if found is None else json.loads(found)) == left
