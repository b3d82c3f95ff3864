"""How fast pictures become fingerprints, beside what people write first and beside decoding alone.

The pictures are those of the demo, scaled to 2 and 4 megapixels and saved as JPEG at quality 90. Scaled-up
pictures are smoother than photographs, so a file holds fewer bits a pixel, and all of these decode faster.
"""

import hashlib
import io
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import imagehash
import numpy as np
import pdqhash
from PIL import Image
from timing import Item, Note, Plan, Row, at_least, cpu_seconds, milliseconds, told

from registry.fingerprint import query_fingerprint, registered_fingerprint, trim_box
from registry.pdq import luma_of, pdq
from registry.picture import decode_picture

__all__ = ["section"]

PICTURES = Path(__file__).parent.parent.parent / "registry" / "demo" / "pictures"
_SIZES = (2, 4)
_PROFILE_RUNS = 5
_PHASH_SIDE = 256
"""As registry.fingerprint reduces a question's luma before its pHash."""

_Files = Sequence[bytes]


def section(plan: Plan) -> Iterator[Item]:
    """Yield the rows of queries, registrations and PNG."""
    cv2.setNumThreads(1)
    runs = 2 if plan.quick else 7
    count = 4 if plan.quick else 8
    for size in _SIZES:
        told(f"hashing: {size} MP")
        files = _pictures(size, count, "JPEG", quality=90)
        yield from _queries(files, size, runs)
        yield from _registrations(files, size, runs)
    yield from _png(_pictures(_SIZES[0], count, "PNG"), runs)


def _queries(files: _Files, size: int, runs: int) -> Iterator[Item]:
    """Beside imagehash, pdqhash and the decoder's limit."""
    ours = _each(_question, files, runs)
    what = "whole query fingerprint: 4 forms, pHash, SHA-256"
    how = f"{size} MP JPEG q90, {_bits(files, size)}, decode included, CPU a picture"
    missed = False
    for name, work, least in (
        ("naive imagehash.phash", _naive_phash, 2.5),
        ("naive pdqhash.compute", _naive_pdq, 8.0),
        ("limit: cv2 decodes 1/8 grey", _least_decode, 0.35),
    ):
        peer = _each(work, files, runs)
        budget = at_least(peer / ours, least, f"≥ {least:g} ×")
        missed = missed or not budget.met
        yield Row(what, how, milliseconds(ours), f"{name} {milliseconds(peer)}", peer / ours, (budget,))
    yield Note(f"{size} MP query by stage: {_profile(files, ours)}", miss=missed)


def _registrations(files: _Files, size: int, runs: int) -> Iterator[Item]:
    ours = _each(_registration, files, runs)
    peer = _each(_naive_pdq, files, runs)
    yield Row(
        "registered fingerprint: up to 5 windows, pHash, SHA-256",
        f"{size} MP JPEG q90, decoded at full scale, CPU a picture",
        milliseconds(ours),
        f"naive pdqhash.compute, one window {milliseconds(peer)}",
        peer / ours,
    )


def _png(files: _Files, runs: int) -> Iterator[Item]:
    """PNG has no smaller scale: its decode is most of the time."""
    told("hashing: PNG")
    ours = _each(_question, files, runs)
    for name, work in (
        ("naive imagehash.phash", _naive_phash),
        ("naive pdqhash.compute", _naive_pdq),
        ("limit: cv2 decodes grey", _grey_decode),
    ):
        peer = _each(work, files, runs)
        yield Row(
            "whole query fingerprint: 4 forms, pHash, SHA-256",
            f"{_SIZES[0]} MP PNG, decode included, CPU a picture",
            milliseconds(ours),
            f"{name} {milliseconds(peer)}",
            peer / ours,
        )


def _each(work: Callable[[bytes], object], files: _Files, runs: int) -> float:
    """Return the CPU seconds a file."""
    return cpu_seconds(lambda: [work(data) for data in files], runs) / len(files)


def _question(data: bytes) -> object:
    return query_fingerprint(decode_picture(data, reduced=True), data)


def _registration(data: bytes) -> object:
    return registered_fingerprint(decode_picture(data), data)


def _naive_phash(data: bytes) -> object:
    return imagehash.phash(Image.open(io.BytesIO(data)))


def _naive_pdq(data: bytes) -> object:
    return pdqhash.compute(np.array(Image.open(io.BytesIO(data)).convert("RGB")))


def _least_decode(data: bytes) -> object:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)


def _grey_decode(data: bytes) -> object:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)


def _profile(files: _Files, whole: float) -> str:
    """Return the ms of each stage of a query, in the order of the product, and what is left of ``whole``."""
    least: dict[str, float] = {}
    for _ in range(_PROFILE_RUNS):
        once: dict[str, float] = defaultdict(float)
        for data in files:
            for name, seconds in _stages(data):
                once[name] += seconds / len(files)
        least = {name: min(seconds, least.get(name, seconds)) for name, seconds in once.items()}
    rest = whole - sum(least.values())
    stages = [f"{name} {seconds * 1e3:.2f}" for name, seconds in least.items()]
    return f"{', '.join(stages)}, the rest (objects, folding, noise) {rest * 1e3:+.2f} ms"


def _stages(data: bytes) -> Iterator[tuple[str, float]]:
    """Take the steps of ``query_fingerprint`` one by one; yield each with its CPU seconds."""
    clock = time.thread_time
    begin = clock()
    picture = decode_picture(data, reduced=True)
    decoded = clock()
    luma = luma_of(picture.pixels)
    grey = clock()
    pdq(luma)
    whole = clock()
    box = trim_box(luma)
    if box is not None:
        pdq(np.ascontiguousarray(luma[box[0] : box[1], box[2] : box[3]]))
    trimmed = clock()
    image = Image.fromarray(picture.pixels)
    imagehash.phash(image.reduce(max(1, min(image.size) // _PHASH_SIDE)))
    phash = clock()
    hashlib.sha256(data).digest()
    digest = clock()
    yield "decode", decoded - begin
    yield "luma", grey - decoded
    yield "PDQ of the whole, with its mirror", whole - grey
    yield "trim", trimmed - whole
    yield "pHash", phash - trimmed
    yield "SHA-256", digest - phash


def _pictures(megapixels: float, count: int, kind: str, **options: int) -> list[bytes]:
    """Return ``count`` pictures of the demo at this size, encoded."""
    return [_scaled(path, megapixels, kind, options) for path in sorted(PICTURES.glob("*/*.jpg"))[:count]]


def _scaled(path: Path, megapixels: float, kind: str, options: dict[str, int]) -> bytes:
    with Image.open(path) as image:
        factor = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
        scaled = image.resize((round(image.width * factor), round(image.height * factor)))
    packed = io.BytesIO()
    scaled.save(packed, kind, **options)
    return packed.getvalue()


def _bits(files: _Files, megapixels: float) -> str:
    return f"{8 * sum(map(len, files)) / len(files) / (megapixels * 1e6):.2f} bits a pixel"
