"""Every hash that is compared, ours and the peers', of one picture; and a store that keeps them between runs.

Ours decodes as the product does: at full scale to register, at the reduced scale to ask. The peers get the
same upright pixels at full scale, laid on white, so that they lose nothing to orientation or transparency,
which most of them leave to their callers. Their own quality gates are not applied.
"""

import ast
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import imagehash
import iscc_core
import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, ImageChops

import registry.fingerprint
import registry.pdq
import registry.picture
from registry.fingerprint import MIN_QUALITY, has_bits, query_fingerprint, registered_fingerprint, trim_box
from registry.pdq import luma_of, pdq
from registry.picture import Picture, decode_picture

try:
    import pdqhash
except ImportError:
    pdqhash = None

__all__ = [
    "LUMA",
    "PDQ_BY",
    "SAME",
    "SMALLER",
    "HashStore",
    "Hashes",
    "code_version",
    "query_hashes",
    "registered_hashes",
]

SMALLER, LUMA, SAME = "smaller", "luma", "same"
"""How the file of a question is decoded: a JPEG at a smaller scale; a JPEG, its luma alone; as registered."""

Hashes = Mapping[str, Mapping[str, str]]
"""Method → name of the window or form → hex digits."""

PDQ_BY = "the reference (pdqhash)" if pdqhash else "our own code, bit-equal to the reference"


def registered_hashes(data: bytes) -> Hashes:
    """Return what each method keeps of a picture: ``ours`` (windows), and the peers."""
    picture = decode_picture(data)
    ours = {name: bits.hex() for name, bits in registered_fingerprint(picture, data).pdq.items()}
    return {"ours": ours, **_peers(picture.rgb)}


def query_hashes(data: bytes) -> Hashes:
    """Return what each method asks: ``ours``, and the peers.

    ``ours_deciding`` is empty for a plain picture, which asks for a review at most; ``ours16`` are turned
    forms too, ``ours_full_scale`` are of a full decode.
    ``decoded`` holds no hash: its one name says how the file was decoded for ours, by :func:`_decoding`.
    """
    reduced = decode_picture(data, reduced=True)
    # Nothing but JPEG has a smaller scale, or luma of its own.
    picture = decode_picture(data) if reduced.format == "JPEG" else reduced
    asked = query_fingerprint(reduced, data)
    forms = {name: bits.hex() for name, bits in asked.pdq.items()}
    at_full_scale = forms
    if picture is not reduced:
        at_full_scale = {name: bits.hex() for name, bits in query_fingerprint(picture, data).pdq.items()}
    return {
        "ours": forms,
        "ours_deciding": forms if asked.quality >= MIN_QUALITY else {},
        "ours16": _dihedral(reduced),
        "ours_full_scale": at_full_scale,
        "decoded": {_decoding(reduced, picture): ""},
        **_peers(picture.rgb),
    }


def _decoding(reduced: Picture, picture: Picture) -> str:
    """Return the kind of decoding: SMALLER and LUMA for JPEG files, SAME for all others."""
    if reduced.size != picture.size:
        return SMALLER
    return SAME if reduced.pixels.ndim == picture.pixels.ndim else LUMA


def _dihedral(picture: Picture) -> dict[str, str]:
    """Return the whole and the trimmed in eight ways each."""
    luma = luma_of(picture.rgb)
    parts = {"full": luma}
    if (box := trim_box(luma)) is not None:
        top, bottom, left, right = box
        parts["trim"] = luma[top:bottom, left:right]
    forms = {}
    for name, part in parts.items():
        for turns in range(4):
            one = pdq(np.ascontiguousarray(np.rot90(part, turns)))
            for way, bits in (("", one.bits), ("_mirror", one.mirrored)):
                if has_bits(bits):
                    forms[f"{name}_{90 * turns}{way}"] = bits.hex()
    return forms


def _peers(rgb: NDArray[np.uint8]) -> dict[str, dict[str, str]]:
    image = Image.fromarray(rgb)
    code = _iscc(image)
    whole = {
        "pdq": _pdq(rgb),
        "phash64": _packed(imagehash.phash(image).hash),
        "phash256": _packed(imagehash.phash(image, hash_size=16).hash),
        "iscc64": code[:8],
        "iscc256": code,
    }
    return {method: {"full": bits.hex()} for method, bits in whole.items()}


def _pdq(rgb: NDArray[np.uint8]) -> bytes:
    if pdqhash is None:
        return pdq(luma_of(rgb)).bits
    bits, _ = pdqhash.compute(np.ascontiguousarray(rgb))
    return _packed(bits)


def _iscc(image: Image.Image) -> bytes:
    """Return the 256 bits of ISCC's Image-Code; its 64-bit form is their first quarter.

    Prepared as its documentation says: on white, the border in the colour of the first pixel cut off, grey,
    32 × 32 by bicubic interpolation.
    """
    ground = Image.new("RGB", image.size, image.getpixel((0, 0)))
    difference = ImageChops.difference(image, ground)
    part = image.crop(ImageChops.add(difference, difference).getbbox())
    grey = part.convert("L").resize((32, 32), Image.Resampling.BICUBIC)
    return iscc_core.soft_hash_image_v0(np.asarray(grey).flatten().tolist(), bits=256)


def _packed(bits: NDArray[np.bool_]) -> bytes:
    return np.packbits(np.asarray(bits, bool)).tobytes()


class HashStore:
    """Hashes by picture and transformation, a line each, appended as they come.

    An interrupted run leaves what it had; a torn last line is overlooked and done again. Another
    ``version`` of the code starts another file.
    """

    def __init__(self, folder: Path, version: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"hashes-{version[:16]}.jsonl"
        self._known = dict(self._read()) if self._path.exists() else {}

    def get(self, sha256: str, name: str) -> Hashes:
        """Return what was put for the picture under ``name``; raises KeyError."""
        return self._known[sha256, name]

    def missing(self, sha256: str, names: list[str]) -> list[str]:
        """Return those of ``names`` that the picture has nothing of."""
        return [name for name in names if (sha256, name) not in self._known]

    def put(self, sha256: str, found: Mapping[str, Hashes]) -> None:
        """Keep what was ``found`` of the picture, by name."""
        with self._path.open("a", encoding="utf-8") as lines:
            for name, hashes in found.items():
                lines.write("\n" + json.dumps([sha256, name, hashes], separators=(",", ":")))
                self._known[sha256, name] = hashes

    def _read(self) -> Iterator[tuple[tuple[str, str], Hashes]]:
        with self._path.open(encoding="utf-8") as lines:
            for line in lines:
                try:
                    sha256, name, hashes = json.loads(line)
                except ValueError:
                    continue
                yield (sha256, name), hashes


def code_version(*further: Path) -> str:
    """Return a digest of the code that a hash depends on; layout, comments and docstrings do not count."""
    modules = [
        Path(module.__file__ or "") for module in (registry.fingerprint, registry.pdq, registry.picture)
    ]
    digest = hashlib.sha256(f"{PIL.__version__} {imagehash.__version__} {PDQ_BY}".encode())
    for path in (*modules, Path(__file__), *further):
        tree = ast.parse(path.read_bytes())
        for node in ast.walk(tree):
            if isinstance(body := getattr(node, "body", None), list):
                node.body = [one for one in body if not _is_bare_text(one)]
        digest.update(ast.dump(tree).encode())
    return digest.hexdigest()


def _is_bare_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
