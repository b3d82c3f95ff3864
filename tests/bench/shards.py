"""Real pictures in tar shards, filtered: `python tests/bench/shards.py`, after `make bench-recall`.

The pictures are those that `corpus.py` has unpacked, as img2dataset writes them: at most 768 pixels wide and
high, JPEG at quality 90, a caption and JSON beside each, a thousand a shard. Every hundredth is registered.
The filter is timed beside what people write first, a pHash by imagehash and a question over HTTP a picture,
and beside decoding alone, both on some of the same pictures, in the same run. Prints a table in Markdown.
"""

import argparse
import io
import json
import resource
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import imagehash
from corpus import add_cache_option
from PIL import Image
from service import serving
from timing import told

from registry.client import Asked, FilterSummary, Options, RegistryClient, filter_dataset
from registry.client.lodging import Lodged, lodge, work_of
from registry.client.pictures import hash_files
from registry.fingerprint import VERSION, Fingerprint
from registry.picture import decode_picture
from registry.preference import Action, Use

_ENDINGS = {".jpg", ".jpeg", ".png", ".webp"}
_LEAST_BYTES, _MOST_BYTES = 8_000, 4_000_000
_SIDE, _SHARD, _EVERY, _SOME = 768, 1000, 100, 400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_cache_option(parser)
    parser.add_argument("--count", type=int, default=10_000, help="pictures (10,000)")
    options = parser.parse_args()
    shards = made_shards(options.cache, options.count)
    with tempfile.TemporaryDirectory(dir=options.cache, prefix="filtering-") as name:
        folder = Path(name)
        with serving(folder / "data") as served:
            client = RegistryClient(served.address, served.key)
            lodged = _lodged(client, _members(shards, _EVERY), folder)
            for row in _rows(shards, client, folder, options.count, lodged):
                print(row, flush=True)


def made_shards(cache: Path, count: int) -> Path:
    """Return the folder of shards, made once."""
    folder = cache / f"shards-{count}"
    if folder.exists():
        return folder
    found = sorted((cache / "unpacked").rglob("*"))
    found = [path for path in found if path.suffix.lower() in _ENDINGS and path.is_file()]
    found = [path for path in found if _LEAST_BYTES < path.stat().st_size < _MOST_BYTES]
    if len(found) < count:
        raise SystemExit(f"{len(found):,} pictures in {cache}: make bench-recall fetches some thousand")
    making = folder.with_name(f"{folder.name}.partial")
    making.mkdir(parents=True, exist_ok=True)
    told(f"shards: packing {count:,} of {len(found):,} pictures")
    with ProcessPoolExecutor() as pool:
        pictures = (one for one in pool.map(_jpeg, found, chunksize=16) if one is not None)
        for shard in range(-(-count // _SHARD)):
            _pack(making / f"{shard:05}.tar", shard * _SHARD, pictures, min(_SHARD, count - shard * _SHARD))
    making.rename(folder)
    return folder


def _jpeg(path: Path) -> bytes | None:
    """Return a picture as img2dataset would store it, None for one that is not read."""
    try:
        with Image.open(path) as image:
            image.thumbnail((_SIDE, _SIDE))
            out = io.BytesIO()
            image.convert("RGB").save(out, "JPEG", quality=90)
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    return out.getvalue()


def _pack(path: Path, first: int, pictures: Iterator[bytes], count: int) -> None:
    with tarfile.open(path, "w") as archive:
        for number in range(first, first + count):
            key = f"{number:09}"
            url = {"url": f"https://photos{number % 97}.example.org/{number}.jpg", "key": key}
            texts = ((".json", json.dumps(url).encode()), (".txt", b"a caption"))
            for ending, data in ((".jpg", next(pictures)), *texts):
                member = tarfile.TarInfo(key + ending)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


def _members(shards: Path, step: int) -> list[bytes]:
    """Return every so many-th picture of the shards."""
    found = []
    for path in sorted(shards.glob("*.tar")):
        with tarfile.open(path) as archive:
            for member in [one for one in archive if one.name.endswith(".jpg")][::step]:
                read = archive.extractfile(member)
                assert read is not None
                found.append(read.read())
    return found


def _lodged(client: RegistryClient, pictures: Sequence[bytes], folder: Path) -> int:
    paths = []
    for number, data in enumerate(pictures):
        paths.append(folder / f"{number}.jpg")
        paths[-1].write_bytes(data)
    works = [work_of(one) for one in hash_files(paths, registered=True)]
    lodge(client, {"preferences": {"genai-train": "reserved"}}, works, Lodged(client.url))
    return len(works)


def _rows(shards: Path, client: RegistryClient, folder: Path, count: int, lodged: int) -> Iterator[str]:
    some = _members(shards, max(1, count // _SOME))
    naive = _each(some, lambda data: _naive(data, client))
    decoded = _each(some, lambda data: decode_picture(data, reduced=True))
    yield "| what | wall s | CPU s | pictures/s | naive, a picture | decoding alone | kept | removed |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for workers in (1, 2):
        told(f"shards: filtering with {workers} workers")
        wall, cpu, summary = _filtered(shards, folder / f"clean-{workers}", client, workers)
        each = wall / count
        yield (
            f"| {workers} workers, {count:,} pictures, {lodged} registered | {wall:.1f} | {cpu:.1f} | "
            f"{count / wall:,.0f} | {naive / each:.2f} × of {naive * 1000:.1f} ms | "
            f"{decoded / each:.2f} × of {decoded * 1000:.2f} ms | {summary.kept:,} | "
            f"{summary.counts[Action.REMOVE]:,} |"
        )


def _naive(data: bytes, client: RegistryClient) -> None:
    phash = bytes.fromhex(str(imagehash.phash(Image.open(io.BytesIO(data)))))
    client.lookup([Asked(fingerprint=Fingerprint(VERSION, 100, phash, {}))], Use.GENAI_TRAIN)


def _each(pictures: Sequence[bytes], work: Callable[[bytes], object]) -> float:
    """Return seconds a picture."""
    work(pictures[0])
    began = time.perf_counter()
    for data in pictures:
        work(data)
    return (time.perf_counter() - began) / len(pictures)


def _filtered(
    shards: Path, target: Path, client: RegistryClient, workers: int
) -> tuple[float, float, FilterSummary]:
    before, began = _cpu(), time.perf_counter()
    summary = filter_dataset(shards, target, [client], options=Options(workers=workers))
    return time.perf_counter() - began, _cpu() - before, summary


def _cpu() -> float:
    """Return the seconds of processor time of this process and of those that it started and saw end."""
    spent = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in spent)


if __name__ == "__main__":
    main()
