"""Write pdq.json: hashes by the reference implementation of PDQ, of pictures that any language can remake.

Needs the package ``pdqhash`` 0.2.8, a source distribution that wants a C++ compiler (and numpy, Pillow and
this repository on the path):

    python tests/vectors/make_pdq.py > tests/vectors/pdq.json

The pixels of a made picture follow from its ``formula`` alone, in integers; ``FORMULAS`` words each of them,
``make_pixels`` computes them.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "registry" / "demo" / "pictures"
FORMULAS = {
    "lcg": (
        "s = seed; for each row, column, channel in this order: s = (s * 1664525 + 1013904223) mod 2^32, "
        "value = s >> 24"
    ),
    "products": "value(x, y, c) = ((x + 1) * (y + 3) * (c + 1) + 7 * x + seed) mod 256",
    "gradient": (
        "value(x, y, c) = (x * (2 + c) + y * (5 - c) + seed) * 255 / (7 * (width + height) + seed), floor"
    ),
    "tiles": (
        "value(x, y, c) = (((x * 12 / width, floor) * 97 + (y * 9 / height, floor) * 57 + c * 31 + seed) "
        "* 73 mod 251) + ((x + y) mod 5)"
    ),
    "flat": "value(x, y, c) = seed",
}
SIZES = ((5, 5), (64, 64), (63, 200), (128, 128), (129, 127), (300, 7), (640, 480), (1000, 700))
BELOW = (4, 40)


def make_pixels(formula: str, width: int, height: int, seed: int) -> NDArray[np.uint8]:
    """Return ``uint8[height, width, 3]`` by the words of ``FORMULAS``."""
    y, x, c = np.indices((height, width, 3), dtype=np.int64)
    if formula == "lcg":
        values, state = bytearray(), seed
        for _ in range(width * height * 3):
            state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
            values.append(state >> 24)
        return np.frombuffer(bytes(values), np.uint8).reshape(height, width, 3)
    if formula == "products":
        pixels = ((x + 1) * (y + 3) * (c + 1) + 7 * x + seed) % 256
    elif formula == "gradient":
        pixels = (x * (2 + c) + y * (5 - c) + seed) * 255 // (7 * (width + height) + seed)
    elif formula == "tiles":
        pixels = ((x * 12 // width) * 97 + (y * 9 // height) * 57 + c * 31 + seed) * 73 % 251 + (x + y) % 5
    elif formula == "flat":
        pixels = np.full((height, width, 3), seed)
    else:
        raise ValueError(f"expected one of {', '.join(FORMULAS)}, got {formula}")
    return pixels.astype(np.uint8)


def reference(rgb: NDArray[np.uint8]) -> dict[str, object]:
    """Return hash, hash of the mirror image, and quality, as the reference gives them."""
    import pdqhash

    bits, quality = pdqhash.compute(np.ascontiguousarray(rgb))
    eight, _ = pdqhash.compute_dihedral(np.ascontiguousarray(rgb))
    whole, mirrored = (np.packbits(np.array(one, dtype=bool)).tobytes().hex() for one in (bits, eight[5]))
    return {"pdq": whole, "mirrored": mirrored, "quality": quality}


def main() -> None:
    """Print the vectors."""
    from registry.picture import decode_picture

    made = [
        {"formula": formula, "width": width, "height": height, "seed": 11 + number}
        for number, (width, height) in enumerate(SIZES)
        for formula in ("lcg", "products", "gradient", "tiles")
        if formula != "lcg" or width * height < 100_000
    ]
    made += [{"formula": "flat", "width": 90, "height": 70, "seed": 128}]
    made += [{"formula": "products", "width": BELOW[0], "height": BELOW[1], "seed": 1}]
    for one in made:
        pixels = make_pixels(**one)
        one |= {"pixels_sha256": hashlib.sha256(pixels.tobytes()).hexdigest()} | reference(pixels)
    files = []
    for path in sorted(PICTURES.rglob("*.jpg")):
        data = path.read_bytes()
        files.append(
            {"path": path.relative_to(ROOT).as_posix(), "sha256": hashlib.sha256(data).hexdigest()}
            | reference(decode_picture(data).rgb)
        )
    about = (
        "PDQ by the reference (pdqhash 0.2.8, written by make_pdq.py): hash, hash of the mirror image "
        "(dihedral form 5), quality. 'made' pictures follow from their formula, RGB, x to the right, y down, "
        "c = 0 red, 1 green, 2 blue; pixels_sha256 is of the bytes row by row, RGB; "
        "'files' are decoded as registry.picture does. "
        "A side below 5 pixels gives quality 0 and no bits."
    )
    json.dump({"about": about, "formulas": FORMULAS, "made": made, "files": files}, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
