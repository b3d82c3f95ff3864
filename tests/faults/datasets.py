"""Small datasets of several formats, some of whose samples are reserved by their addresses."""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
from PIL import Image

__all__ = ["DATASETS", "tree"]

_SHARDS = 3


def tree(path: Path) -> dict[str, bytes]:
    """Return what is in a file, or in every file below a folder; empty when there is none."""
    if path.is_file():
        return {"": path.read_bytes()}
    return {one.relative_to(path).as_posix(): one.read_bytes() for one in path.rglob("*") if one.is_file()}


def _csv(folder: Path, urls: list[str]) -> str:
    (folder / "set.csv").write_text("url,caption\n" + "".join(f"{url},x\n" for url in urls))
    return "set.csv"


def _tables(folder: Path, urls: list[str]) -> str:
    (folder / "set").mkdir()
    for number in range(_SHARDS):
        table = pyarrow.table({"URL": urls[number::_SHARDS]})
        pyarrow.parquet.write_table(table, folder / "set" / f"{number}.parquet")
    return "set"


def _shards(folder: Path, urls: list[str]) -> str:
    (folder / "set").mkdir()
    for number in range(_SHARDS):
        with tarfile.open(folder / "set" / f"{number}.tar", "w") as archive:
            for place, url in enumerate(urls[number::_SHARDS]):
                for name, data in ((f"{place}.png", _picture(place)), (f"{place}.json", _told(url))):
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))
    return "set"


def _pictures(folder: Path, urls: list[str]) -> str:
    (folder / "set").mkdir()
    lines = []
    for place, url in enumerate(urls):
        (folder / "set" / f"{place}.png").write_bytes(_picture(place))
        lines.append(json.dumps({"file_name": f"{place}.png", "url": url}) + "\n")
    (folder / "set" / "metadata.jsonl").write_text("".join(lines))
    return "set"


def _zip(folder: Path, urls: list[str]) -> str:
    """Nothing in it is reserved: members of an archive have no addresses."""
    with zipfile.ZipFile(folder / "set.zip", "w") as archive:
        for place in range(len(urls)):
            archive.writestr(f"{place}.png", _picture(place))
    return "set.zip"


DATASETS: dict[str, Callable[[Path, list[str]], str]] = {
    "csv": _csv,
    "tables": _tables,
    "shards": _shards,
    "imagefolder": _pictures,
    "zip": _zip,
}
"""Format → what writes a dataset of these addresses into a folder, and returns its name there."""


def _told(url: str) -> bytes:
    return json.dumps({"url": url}).encode()


def _picture(seed: int) -> bytes:
    blocks = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(blocks).resize((96, 96)).save(out, "PNG")
    return out.getvalue()
