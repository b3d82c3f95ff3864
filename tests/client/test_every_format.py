"""The same works in every layout that is published, filtered: read again by real loaders, and looked for.

Each layout holds the same pictures under the same keys; what goes must not depend on how they are stored.
"""

import io
import json
import tarfile
import zipfile

import lance
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from registry.client import Options, filter_dataset
from registry.client.http import Asked
from registry.errors import DatasetError
from registry.preference import Status, Use

from .conftest import DOMAIN, LEAVES_FILES_OPEN

pytestmark = LEAVES_FILES_OPEN

HERS = f"https://img.{DOMAIN}/9.jpg"
GONE = {"2", "4", "5"}
"""Copies of lodged works under 2 and 4, a picture of nobody at a reserved address under 5."""
BROKEN = "6"


@pytest.fixture
def works(kit, copies):
    """Key → picture, address."""
    pictures = {str(n): kit.free(9200 + n) for n in range(8)}
    pictures |= {"2": copies["jpeg"], "4": copies["mirror"], BROKEN: b"no picture at all"}
    urls = {key: HERS if key == "5" else f"https://free.example/{key}.jpg" for key in pictures}
    return {key: (pictures[key], urls[key]) for key in pictures}


def folder_of_pairs(root, works):
    """Pictures with captions, and a list of addresses: invoke-training, diffusers, imagefolder."""
    root.mkdir()
    rows = [{"file_name": f"{key}.png", "text": key, "url": url} for key, (_, url) in works.items()]
    (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for key, (data, _) in works.items():
        (root / f"{key}.png").write_bytes(data)
    return root


def metadata_in_parquet(root, works):
    folder_of_pairs(root, works)
    rows = [json.loads(line) for line in (root / "metadata.jsonl").read_text().splitlines()]
    (root / "metadata.jsonl").unlink()
    pq.write_table(pa.Table.from_pylist(rows), root / "metadata.parquet")
    return root


def downloads(root, works):
    """What img2dataset writes as files."""
    (root / "00000").mkdir(parents=True)
    for key, (data, url) in works.items():
        (root / f"00000/{key}.jpg").write_bytes(data)
        (root / f"00000/{key}.txt").write_text(key)
        (root / f"00000/{key}.json").write_text(json.dumps({"url": url, "key": key}))
    _table(root / "00000.parquet", works)
    (root / "00000_stats.json").write_text(_stats(len(works)))
    return root


def shards(root, works):
    """What img2dataset writes as webdataset."""
    root.mkdir()
    with tarfile.open(root / "00000.tar", "w") as tar:
        for key, (data, url) in works.items():
            beside = {".txt": key.encode(), ".json": json.dumps({"url": url, "key": key}).encode()}
            for ending, content in {".jpg": data, **beside}.items():
                member = tarfile.TarInfo(f"{key}{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    _table(root / "00000.parquet", works)
    (root / "00000_stats.json").write_text(_stats(len(works)))
    return root


def pictures_in_parquet(root, works):
    """What img2dataset writes as parquet."""
    root.mkdir()
    _table(root / "00000.parquet", works, jpg=[data for data, _ in works.values()])
    return root


def pictures_of_datasets(root, works):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = pa.array([{"bytes": data, "path": f"{key}.png"} for key, (data, _) in works.items()], kind)
    info = {"info": {"features": {"image": {"_type": "Image"}}}}
    root.mkdir()
    _table(root / "train.parquet", works, metadata={"huggingface": json.dumps(info)}, image=cells)
    return root


def lance_dataset(root, works):
    data = pa.array([data for data, _ in works.values()], pa.large_binary())
    place = root.with_name(f"{root.name}.lance")
    lance.write_dataset(_rows(works, image=data), place, max_rows_per_file=3)
    return place


def archive(root, works):
    """A zip of pairs, with the address in the text of nobody: a zip tells no addresses."""
    place = root.with_name(f"{root.name}.zip")
    with zipfile.ZipFile(place, "w") as out:
        for key, (data, _) in works.items():
            out.writestr(f"cats/{key}.png", data)
            out.writestr(f"cats/{key}.txt", key)
    return place


def _rows(works, **columns):
    return pa.table({"key": list(works), "url": [url for _, url in works.values()], **columns})


def _table(path, works, metadata=None, **columns):
    table = _rows(works, caption=list(works), status=["success"] * len(works), **columns)
    pq.write_table(table.replace_schema_metadata(metadata), path, row_group_size=3)


def _stats(count):
    return json.dumps({"count": count, "successes": count, "status_dict": {"success": count}})


def archive_of_pictures(root, works):
    place = root.with_name(f"{root.name}.zip")
    with zipfile.ZipFile(place, "w") as out:
        for key, (data, _) in works.items():
            out.writestr(f"cats/{key}.png", data)
    return place


LAYOUTS = {
    "imagefolder": folder_of_pairs,
    "imagefolder, parquet": metadata_in_parquet,
    "img2dataset, files": downloads,
    "img2dataset, webdataset": shards,
    "img2dataset, parquet": pictures_in_parquet,
    "parquet of datasets": pictures_of_datasets,
    "lance": lance_dataset,
    "zip": archive,
    "zip, no captions": archive_of_pictures,
}


@pytest.fixture
def filtered(live, tmp_path):
    def run(source):
        target = tmp_path / f"clean{source.suffix}"
        with live.client() as client:
            return target, filter_dataset(source, target, [client], options=Options(workers=1))

    return run


def pictures_in(target, kit, tmp_path):
    """Key → picture of every picture that can be had from an output, by other code than the filter's."""
    found = {}
    for path in [target] if target.is_file() else sorted(target.rglob("*")):
        if path.suffix in (".png", ".jpg"):
            found[path.stem] = path.read_bytes()
        elif path.suffix == ".tar":
            with tarfile.open(path) as tar:
                members = [one for one in tar if one.name.endswith(".jpg")]
                found |= {one.name.removesuffix(".jpg"): tar.extractfile(one).read() for one in members}
        elif path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if name.endswith(".png")]
                found |= {name[5:-4]: archive.read(name) for name in names}
        elif path.suffix == ".parquet":
            found |= _cells(pq.read_table(path).to_pylist())
    return found | (_cells(lance.dataset(str(target)).to_table().to_pylist()) if _is_lance(target) else {})


def _is_lance(target):
    return (target / "_versions").is_dir()


def _cells(rows):
    cells = {row.get("key"): row.get("jpg") or row.get("image") for row in rows}
    return {key: cell["bytes"] if isinstance(cell, dict) else cell for key, cell in cells.items() if cell}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_works_go_from_every_layout(filtered, works, live, kit, tmp_path, layout):
    source = LAYOUTS[layout](tmp_path / "set", works)
    before = kit.tree(source)
    target, summary = filtered(source)
    assert kit.tree(source) == before
    # A zip tells no addresses, so the picture of nobody stays.
    gone = GONE - {"5"} if layout.startswith("zip") else GONE
    left = pictures_in(target, kit, tmp_path)
    assert left == {key: data for key, (data, _) in works.items() if key not in {*gone, BROKEN}}
    counts = summary.to_wire()
    assert (counts["samples"], counts["kept"], counts["removed"], counts["errors"]) == (
        len(works), len(left), len(gone), 1,
    )  # fmt: skip
    kit.plant(tmp_path / "found", {f"{key}.png": data for key, data in left.items()})
    assert live.reserved_in(tmp_path / "found") == set()


LOADED = {
    # layout: (builder of datasets, what it is given, the column of pictures)
    "imagefolder": ("imagefolder", lambda at: {"data_dir": str(at)}, "image"),
    "imagefolder, parquet": ("imagefolder", lambda at: {"data_dir": str(at)}, "image"),
    "img2dataset, webdataset": ("webdataset", lambda at: {"data_files": f"{at}/*.tar"}, "jpg"),
    "parquet of datasets": ("parquet", lambda at: {"data_files": f"{at}/*.parquet"}, "image"),
    # Beside captions datasets would take these for pictures.
    "zip, no captions": ("imagefolder", lambda at: {"data_files": str(at), "drop_labels": True}, "image"),
}


@pytest.mark.parametrize("layout", LOADED)
def test_datasets_loads_every_kept_picture(filtered, datasets, works, kit, tmp_path, layout):
    source = LAYOUTS[layout](tmp_path / "set", works)
    target, summary = filtered(source)
    builder, where, column = LOADED[layout]
    loaded = datasets.load_dataset(builder, **where(target), split="train", cache_dir=str(tmp_path / "cache"))
    assert [row[column].size for row in loaded] == [(160, 160)] * summary.kept


def test_datasets_loads_the_rows_of_lance(filtered, datasets, works, tmp_path):
    target, summary = filtered(lance_dataset(tmp_path / "set", works))
    files = {"train": str(target / "**")}
    loaded = datasets.load_dataset(
        "lance", data_files=files, split="train", cache_dir=str(tmp_path / "cache")
    )
    assert sorted(loaded["key"]) == sorted(set(works) - {*GONE, BROKEN})
    assert len(loaded) == summary.kept


# Tables as they are published: each address that is left is asked about once more, one by one.


def laion(path, urls):
    columns = {"TEXT": ["x"] * len(urls), "similarity": np.full(len(urls), 0.3), "hash": range(len(urls))}
    pq.write_table(pa.table({"URL": urls, **columns}), path)


def coyo(path, urls):
    pq.write_table(
        pa.table({"id": range(len(urls)), "url": urls, "image_phash": ["00ff00ff00ff00ff"] * len(urls)}), path
    )


def datacomp(path, urls):
    uids = [f"{n:032x}" for n in range(len(urls))]
    pq.write_table(pa.table({"uid": uids, "url": urls, "text": ["x"] * len(urls)}), path)


def cc12m(path, urls):
    path.write_text("".join(f'{url or ""}\ta "quoted caption\n' for url in urls))


def cc3m(path, urls):
    path.write_text("".join(f"a caption\t{url or ''}\n" for url in urls))


def plain_csv(path, urls):
    path.write_text("url,caption\n" + "".join(f'{url or ""},"of\ntwo lines"\n' for url in urls))


PUBLISHED = {
    "LAION": (laion, ".parquet", 3),
    "COYO": (coyo, ".parquet", 2),
    "DataComp": (datacomp, ".parquet", 3),
    "CC12M": (cc12m, ".tsv", 3),
    "CC3M": (cc3m, ".tsv", 3),
    "CSV": (plain_csv, ".csv", 3),
}
"""What writes it, and how many rows have nothing to be looked up by, or something that is no address."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_no_row_that_is_left_is_reserved_and_none_is_lost(filtered, live, tmp_path, name):
    write, suffix, bad = PUBLISHED[name]
    urls = [HERS if n % 5 == 1 else f"https://free.example/{n}.jpg" for n in range(1200)]
    # Behind the rows by which a table without a header is known.
    urls[1100], urls[1150], urls[1190] = "no address", "https://", None
    write(tmp_path / f"set{suffix}", urls)
    target, summary = filtered(tmp_path / f"set{suffix}")
    left = _addresses(target)
    wanted = [url for url in urls if url and url != HERS and url.startswith("https://free")]
    assert [url for url in left if url] == wanted
    assert summary.counts["error"] == bad
    assert summary.kept + summary.counts["remove"] + summary.counts["error"] == len(urls)
    with live.client() as client:
        said = client.lookup([Asked(url, None) for url in left if url], Use.GENAI_TRAIN)
    assert {(one.status, one.statements) for one in said} == {(Status.OK, ())}


def _addresses(target):
    if target.suffix == ".parquet":
        table = pq.read_table(target)
        return table["URL" if "URL" in table.column_names else "url"].to_pylist()
    cells = [cell for line in target.read_text().splitlines() for cell in line.replace(",", "\t").split("\t")]
    return [cell for cell in cells if cell.startswith("https://")]


# Bad input, named; nothing appears, or the rest is complete.

REFUSED = {
    "a NUL in a CSV": ("a.csv", "url,text\nhttps://free.example/1,a\nhttps://free.example/2,\0b\n"),
    "a NUL in a TSV": ("a.tsv", "https://free.example/1\ta\nhttps://free.example/2\t\0b\n"),
    "a field of 1 MB": ("a.csv", "url,text\nhttps://free.example/1," + "x" * (1 << 20) + "x\n"),
    "a line of 1 MB": (
        "a.tsv",
        "https://free.example/1\ta\nhttps://free.example/2\t" + "x" * (1 << 20) + "\n",
    ),
}


@pytest.mark.parametrize(("name", "text"), REFUSED.values(), ids=REFUSED)
def test_a_table_that_is_damaged_is_refused_with_its_line_and_nothing_appears(
    filtered, kit, tmp_path, name, text
):
    (tmp_path / name).write_text(text)
    with pytest.raises(DatasetError, match=r"a\.[ct]sv, line \d") as caught:
        filtered(tmp_path / name)
    assert caught.value.hint
    assert kit.leftovers(tmp_path, name) == set()


MISSING = {
    "metadata.jsonl": lambda rows: "".join(json.dumps(row) + "\n" for row in rows),
    "metadata.csv": lambda rows: (
        "file_name,text\n" + "".join(f"{r['file_name']},{r['text']}\n" for r in rows)
    ),
    "metadata.parquet": lambda rows: rows,
}


@pytest.mark.parametrize("name", MISSING)
def test_a_row_that_names_a_missing_file_is_set_aside_and_the_rest_loads(
    filtered, datasets, kit, tmp_path, name
):
    rows = [{"file_name": f"{key}.png", "text": key} for key in ("a", "missing", "c")]
    kit.plant(tmp_path / "set", {"a.png": kit.free(1), "c.png": kit.free(2)})
    content = MISSING[name](rows)
    if isinstance(content, str):
        (tmp_path / "set" / name).write_text(content)
    else:
        pq.write_table(pa.Table.from_pylist(content), tmp_path / "set" / name)
    target, summary = filtered(tmp_path / "set")
    assert (summary.errors, summary.kept) == (1, 2)
    assert [one.sample.key for one in summary.notable] == ["missing.png"]
    loaded = datasets.load_dataset(
        "imagefolder", data_dir=str(target), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert sorted(row["text"] for row in loaded if row["image"].size == (160, 160)) == ["a", "c"]


def test_in_parquet_every_column_that_names_a_file_counts(filtered, datasets, kit, copies, tmp_path):
    rows = [
        {"file_name": "a.png", "control_file_name": "x.png", "text": "a"},
        {"file_name": "b.png", "control_file_name": "work.jpg", "text": "its control picture is reserved"},
        {"file_name": "c.png", "control_file_name": "y.png", "text": "c"},
    ]
    pictures = {f"{name}.png": kit.free(n) for n, name in enumerate("abcxy", 9300)}
    kit.plant(tmp_path / "set", {**pictures, "work.jpg": copies["same"]})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "set/metadata.parquet")
    target, _ = filtered(tmp_path / "set")
    assert kit.tree(target).keys() == {"a.png", "c.png", "x.png", "y.png", "metadata.parquet"}
    loaded = datasets.load_dataset(
        "imagefolder", data_dir=str(target), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert sorted((row["text"], row["control"].size) for row in loaded) == [
        ("a", (160, 160)),
        ("c", (160, 160)),
    ]


def test_in_a_zip_a_caption_of_two_pictures_stays_with_the_other(filtered, kit, copies, tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as out:
        for name, data in {"a.png": kit.free(1), "a.jpg": copies["same"], "a.txt": b"of both"}.items():
            out.writestr(name, data)
        for name, data in {
            "b.jpg": copies["jpeg"],
            "b.txt": b"alone",
            "b_0512x0512_sdxl.npz": b"made",
        }.items():
            out.writestr(name, data)
    target, _ = filtered(tmp_path / "set.zip")
    with zipfile.ZipFile(target) as archive:
        assert sorted(archive.namelist()) == ["a.png", "a.txt"]
