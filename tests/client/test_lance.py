"""Lance datasets, written and loaded by Lance itself: planted rows, and what is left of them in the files."""

import json
import re
import shutil
import sys
from contextlib import nullcontext
from datetime import timedelta

import lance
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.client import Options, filter_dataset
from registry.client.formats import detect
from registry.client.formats.lance_files import LanceFiles
from registry.client.inplace import filter_in_place
from registry.client.pictures import hash_files
from registry.demo.training_set import PICTURES
from registry.errors import DatasetError, FormatError, RegistryUnreachableError

from .conftest import DOMAIN


def keeping(keep):
    """Keep of rows what ``keep`` says, as they come."""
    return lambda rows: nullcontext((keep(some), beside) for some, beside in rows)


FREE, HERS = "https://free.example/{}.jpg", f"https://img.{DOMAIN}/{{}}.jpg"


@pytest.fixture
def filter_(live, tmp_path):
    def run(source, target="clean.lance", **options):
        with live.client() as client:
            return filter_dataset(source, tmp_path / target, [client], options=Options(workers=1, **options))

    return run


def of_urls(size, first=0):
    """Rows of which every fourth is hers, with a secret that is nowhere else."""
    numbers = range(first, first + size)
    urls = [(HERS if n % 4 == 1 else FREE).format(n) for n in numbers]
    vectors = pa.array([[float(n)] * 4 for n in numbers], pa.list_(pa.float32(), 4))
    fields = [
        pa.field("url", pa.string(), nullable=False),
        pa.field("n", pa.int64(), metadata={"lance-schema:unenforced-primary-key": "true"}, nullable=False),
        pa.field("secret", pa.binary(64)),
        pa.field("vector", vectors.type),
    ]
    columns = [pa.array(urls), pa.array(numbers, pa.int64()), pa.array(map(secret, numbers), pa.binary(64))]
    return pa.table(
        [*columns, vectors], schema=pa.schema(fields, metadata={"huggingface": "{}", "mine": "x"})
    )


def secret(number):
    return np.random.default_rng(number).bytes(64)


def everything(folder):
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def rows_of(path):
    scanner = lance.dataset(str(path)).scanner(blob_handling="all_binary")
    return [row for batch in scanner.to_batches() for row in batch.to_pylist()]


def told(account):
    """What became of each row: the bits, and the action of those that went."""
    gone = pq.read_table(account / "decisions/00000.parquet").to_pylist()
    return {row["row"]: row["action"] for row in gone}


@pytest.mark.parametrize("version", ["2.0", "2.1", "2.2"])
def test_reserved_rows_are_in_no_file_of_the_output_nor_are_deleted_ones(filter_, tmp_path, kit, version):
    source = tmp_path / "urls.lance"
    lance.write_dataset(of_urls(40), source, max_rows_per_file=16, data_storage_version=version)
    lance.write_dataset(of_urls(20, 40), source, mode="append")
    data = lance.dataset(source)
    data.delete("n IN (0, 17, 42)")
    data.create_scalar_index("n", "BTREE")
    data.tags.create("first", 1)
    before, there = kit.tree(source), [n for n in range(60) if n not in (0, 17, 42)]
    summary = filter_(source)
    assert kit.tree(source) == before
    clean = lance.dataset(tmp_path / "clean.lance")
    kept = [n for n in there if n % 4 != 1]
    assert clean.to_table().equals(of_urls(60).take(kept))
    assert clean.schema.equals(data.schema, check_metadata=True)
    assert (clean.data_storage_version, clean.version, len(clean.versions())) == (version, 1, 1)
    assert [one.count_rows() for one in clean.get_fragments()] == [11, 12, 6, 14]
    old, new = everything(source), everything(tmp_path / "clean.lance")
    assert all(secret(n) in old for n in range(60))
    assert [n for n in range(60) if secret(n) in new] == kept
    assert told(summary.account) == {row: "remove" for row, n in enumerate(there) if n % 4 == 1}
    bits = np.unpackbits(np.fromfile(summary.account / "decisions/00000.keep", np.uint8), count=57)
    assert bits.tolist() == [n % 4 != 1 for n in there]
    assert summary.why == (
        "has url, at version 4; what does not come along: 3 other versions, 3 deleted rows, the index n_idx, "
        "the tag first"
    )
    assert (summary.format, summary.samples, summary.kept) == ("lance", 57, len(kept))


def blobs_1(values):
    field = pa.field("image", pa.large_binary(), metadata={"lance-encoding:blob": "true"})
    return field, pa.array(values, pa.large_binary()), "2.0"


def blobs_2(values):
    return lance.blob_field("image"), lance.blob_array(values), "2.2"


def in_structs(values):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [None if one is None else {"bytes": one, "path": "a.png"} for one in values]
    return pa.field("image", kind), pa.array(rows, kind), "2.2"


def in_lists(values):
    rows = [None if one is None else [one] for one in values]
    return pa.field("image", pa.list_(pa.binary())), pa.array(rows, pa.list_(pa.binary())), "2.1"


def plain(values):
    return pa.field("jpg", pa.binary()), pa.array(values, pa.binary()), "2.1"


PICTURES_IN = {
    "structs": in_structs,
    "bytes": plain,
    "lists": in_lists,
    "blobs": blobs_1,
    "blobs of the second kind": blobs_2,
}


@pytest.mark.parametrize("form", PICTURES_IN.values(), ids=PICTURES_IN)
def test_pictures_in_rows_are_compared_wherever_they_stand(filter_, tmp_path, kit, copies, form, live):
    values = [kit.free(n) for n in range(8)]
    for place, name in ((1, "jpeg"), (4, "mirror"), (6, "framed")):
        values[place] = copies[name]
    values[2], values[5] = b"no picture", None
    field, array, version = form(values)
    source = tmp_path / "pictures.lance"
    table = pa.table(
        [array, pa.array(range(8))], pa.schema([field, ("n", pa.int64())], {"huggingface": "{}"})
    )
    lance.write_dataset(table, source, max_rows_per_file=5, data_storage_version=version)
    lance.dataset(source).delete("n = 0")
    summary = filter_(source)
    clean = tmp_path / "clean.lance"
    assert rows_of(clean) == [row for row in rows_of(source) if row["n"] in (3, 7)]
    assert lance.dataset(clean).schema.equals(lance.dataset(source).schema, check_metadata=True)
    assert told(summary.account) == {0: "remove", 1: "error", 3: "remove", 4: "error", 5: "remove"}
    left = everything(clean)
    assert not any(copies[name] in left for name in ("jpeg", "mirror", "framed"))
    assert all(values[n] in left for n in (3, 7))
    # The report shows what went, read once more from the dataset.
    report = (summary.account / "report.html").read_text()
    assert report.count("data:image/") == 3
    kit.plant(tmp_path / "again", {f"{n}.png": one for n, one in enumerate(_bytes_in(rows_of(clean)))})
    assert live.reserved_in(tmp_path / "again") == set()


def _bytes_in(rows):
    for row in rows:
        value = next(value for name, value in row.items() if name != "n")
        value = value[0] if isinstance(value, list) else value
        yield value["bytes"] if isinstance(value, dict) else value


def test_hashes_in_columns_are_looked_up(filter_, tmp_path):
    [work] = hash_files([PICTURES / "ben/tuxedo-cat.jpg"], registered=True)
    near = (int.from_bytes(work.fingerprint.phash, "big") ^ 3).to_bytes(8, "big").hex()
    table = pa.table(
        {
            "sha256": [work.fingerprint.sha256.hex(), "0" * 64, "no digest", None],
            "phash": [None, near, None, "00ff00ff00ff00ff"],
        }
    )
    lance.write_dataset(table, tmp_path / "hashes.lance")
    summary = filter_(tmp_path / "hashes.lance")
    assert told(summary.account) == {0: "remove", 2: "error"}
    assert summary.counts["review"] == 1
    assert lance.dataset(tmp_path / "clean.lance").to_table().equals(table.take([1, 3]))


def test_a_dataset_of_which_nothing_stays_has_no_output(filter_, tmp_path, kit):
    lance.write_dataset(of_urls(60).take([1, 5]), tmp_path / "hers.lance")
    summary = filter_(tmp_path / "hers.lance")
    assert (summary.target, summary.kept) == (None, 0)
    assert kit.leftovers(tmp_path, "hers.lance") == {"clean.lance.caveat"}


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_written_are_the_rows_that_are_kept(tmp_path, data):
    size = data.draw(st.integers(1, 40))
    kept = data.draw(st.lists(st.booleans(), min_size=size, max_size=size))
    deleted = data.draw(st.sets(st.integers(0, size - 1), max_size=size - 1))
    source, target = tmp_path / "source.lance", tmp_path / "target.lance"
    for path in (source, target):
        shutil.rmtree(path, ignore_errors=True)
    lance.write_dataset(of_urls(size), source, max_rows_per_file=data.draw(st.integers(1, size)))
    if deleted:
        lance.dataset(source).delete(f"n IN ({', '.join(map(str, deleted))})")
    there = [n for n in range(size) if n not in deleted]
    seen = []

    def keep(rows):
        seen.extend(rows.urls.values)
        return np.array([kept[there[rows.first + at]] for at in range(len(rows))])

    table = detect(source)
    assert table.size == len(there)
    table.rewrite(target, keeping(keep))
    whole = of_urls(size)
    assert seen == [whole["url"][n].as_py() for n in there]
    stay = [n for n in there if kept[n]]
    assert lance.dataset(target).to_table().equals(whole.take(stay)) if stay else not target.exists()


def test_a_value_that_stands_there_once_is_read_in_small_pieces(tmp_path):
    """A megabyte that fills 2000 rows, 2 GB unpacked, in a few MB of files."""
    size, long = 2000, "x" * (1 << 20)
    schema = pa.schema([("url", pa.string()), ("text", pa.string())])
    parts = (
        pa.record_batch([pa.array([FREE.format(n)] * 50), pa.array([long] * 50)], schema) for n in range(40)
    )
    lance.write_dataset(pa.RecordBatchReader.from_batches(schema, parts), tmp_path / "long.lance")
    assert len(everything(tmp_path / "long.lance")) < 100 << 20
    files = LanceFiles(tmp_path / "long.lance")
    largest = rows = 0
    for batch in files.batches(files.fragments()[0], None):
        largest, rows = max(largest, batch.nbytes), rows + batch.num_rows
    assert rows == size
    assert largest <= 64 + 16 << 20


# What is refused, by name.


def a_shallow_clone(folder):
    lance.write_dataset(of_urls(4), folder / "whole.lance").shallow_clone(str(folder / "set.lance"), 1)


def blobs_elsewhere(folder):
    (folder / "blob.bin").write_bytes(b"elsewhere")
    array = lance.blob_array([f"file://{folder}/blob.bin", b"here"])
    table = pa.table([array], schema=pa.schema([lance.blob_field("image")]))
    more = {"data_storage_version": "2.2", "allow_external_blob_outside_bases": True}
    lance.write_dataset(table, folder / "set.lance", **more)


def old_files(folder):
    lance.write_dataset(of_urls(4).select(["url"]), folder / "set.lance", data_storage_version="legacy")


def no_keys(folder):
    lance.write_dataset(of_urls(4).select(["n", "vector"]), folder / "set.lance")


def two_of_a_name(folder):
    lance.write_dataset(pa.table({"url": ["a"], "URL": ["b"]}), folder / "set.lance")


def half_a_manifest(folder):
    lance.write_dataset(of_urls(4), folder / "set.lance")
    _halve(folder / "set.lance/_versions", "*.manifest")


def half_a_file(folder):
    lance.write_dataset(of_urls(4), folder / "set.lance")
    _halve(folder / "set.lance/data", "*.lance")


def no_file(folder):
    lance.write_dataset(of_urls(4), folder / "set.lance")
    shutil.rmtree(folder / "set.lance/data")


def no_versions(folder):
    (folder / "set.lance/_versions").mkdir(parents=True)


def a_folder_of_datasets(folder):
    lance.write_dataset(of_urls(4), folder / "set.lance/train.lance")


def _halve(folder, names):
    [path] = folder.glob(names)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


REFUSED = {
    a_shallow_clone: "has its data elsewhere, in .*whole.lance",
    blobs_elsewhere: "blobs of the column image lie elsewhere",
    old_files: "first format, 0.1",
    no_keys: "no column of URLs; its columns are n, vector",
    two_of_a_name: "2 columns of one name: 'url' and 'URL'",
    half_a_manifest: "cannot be read as a Lance dataset",
    half_a_file: "cannot be read as a Lance dataset",
    no_file: "cannot be read as a Lance dataset",
    no_versions: "cannot be read as a Lance dataset",
    a_folder_of_datasets: "holds the Lance dataset train.lance",
}


@pytest.mark.parametrize(("make", "message"), REFUSED.items(), ids=lambda one: getattr(one, "__name__", ""))
def test_what_cannot_be_read_is_refused_by_name_and_nothing_appears(filter_, tmp_path, kit, make, message):
    make(tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(DatasetError, match=message) as caught:
        filter_(tmp_path / "set.lance")
    assert "set.lance" in caught.value.message
    assert kit.leftovers(tmp_path, *before) == set()


def test_without_pylance_it_says_what_to_install(tmp_path, monkeypatch):
    lance.write_dataset(of_urls(4), tmp_path / "set.lance")
    monkeypatch.setitem(sys.modules, "lance", None)
    with pytest.raises(FormatError, match="need pylance") as caught:
        detect(tmp_path / "set.lance")
    assert "caveat-registry[lance]" in caught.value.hint


def test_in_place_is_refused_since_lance_keeps_what_it_deletes(live, tmp_path, kit):
    lance.write_dataset(of_urls(4), tmp_path / "set.lance")
    before = kit.tree(tmp_path)
    with (
        live.client() as client,
        pytest.raises(FormatError, match="of format lance; only folders of pictures"),
    ):
        filter_in_place(tmp_path / "set.lance", tmp_path / "away", [client])
    assert kit.tree(tmp_path) == before


def test_by_hand_only_the_last_of_three_steps_takes_rows_out_of_the_files(tmp_path):
    """The steps in docs/reference/formats.md, with too few rows deleted for Lance to compact by itself."""
    path = tmp_path / "set.lance"
    lance.write_dataset(of_urls(100), path)
    data = lance.dataset(path)
    data.delete("n = 1")
    assert secret(1) in everything(path)
    data.optimize.compact_files(materialize_deletions=True, materialize_deletions_threshold=0.0)
    assert secret(1) in everything(path)
    data.cleanup_old_versions(older_than=timedelta(0), delete_unverified=True)
    assert [n for n in range(100) if secret(n) not in everything(path)] == [1]


def test_an_error_while_rows_are_judged_comes_through_as_it_is(tmp_path):
    lance.write_dataset(of_urls(4), tmp_path / "set.lance")

    def keep(rows):
        raise RegistryUnreachableError("away")

    with pytest.raises(RegistryUnreachableError, match="away"):
        detect(tmp_path / "set.lance").rewrite(tmp_path / "clean.lance", keeping(keep))


def test_a_version_that_goes_while_it_is_read_is_an_error_by_name(tmp_path):
    lance.write_dataset(of_urls(4), tmp_path / "set.lance")
    found = detect(tmp_path / "set.lance")
    shutil.rmtree(tmp_path / "set.lance")
    lance.write_dataset(of_urls(4), tmp_path / "other.lance")
    with pytest.raises(DatasetError, match="cannot be read as a Lance dataset"):
        found.rewrite(None, keeping(lambda rows: np.ones(len(rows), bool)))


def test_the_command_announces_what_does_not_come_along(caveat, live, tmp_path):
    lance.write_dataset(of_urls(8), tmp_path / "set.lance")
    lance.dataset(tmp_path / "set.lance").delete("n = 0")
    run = caveat("filter", "set.lance", "clean.lance", "--registry", live.url, "--output", "json")
    assert run.returncode == 0, run.stderr
    line = "it has url, at version 2; what does not come along: 1 other version, 1 deleted row"
    assert line in re.sub(r"\s+", " ", run.stderr)
    summary = json.loads(run.stdout)
    assert (summary["format"], summary["samples"], summary["kept"]) == ("lance", 7, 5)
    assert caveat("formats").stdout.count("\nlance ") == 1
