"""Write decode.json: small files of every kind that needs a rule, and what is registered and asked of them.

    python tests/vectors/make_decode.py > tests/vectors/decode.json

The files are in the vectors, so that every language decodes the same bytes.
"""

import base64
import io
import json
import sys
from collections.abc import Iterator

import numpy as np
from PIL import Image

from registry.fingerprint import query_fingerprint, registered_fingerprint
from registry.picture import decode_picture

WIDTH, HEIGHT = 96, 72


def scene() -> Image.Image:
    """A picture with structure of many sizes, in colour."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    red = 127 + 80 * np.sin(x / 9 + y / 23) + 40 * np.cos(x * y / 700)
    green = 127 + 90 * np.sin(y / 7) * np.cos(x / 17)
    blue = 255 * ((x // 12 + y // 18) % 2) * 0.6 + 40
    return Image.fromarray(np.stack([red, green, blue], axis=2).clip(0, 255).astype(np.uint8))


def files() -> Iterator[tuple[str, bytes]]:
    """Yield a name and a file for each rule."""
    image = scene()
    exif = Image.Exif()
    exif[0x0112] = 6
    alpha = Image.fromarray(np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1)))
    clear = image.copy()
    clear.putalpha(alpha)
    palette = image.quantize(32)
    sixteen = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 256 + 77)
    yield "JPEG 4:2:0", _saved(image, "JPEG", quality=90, subsampling=2)
    yield "JPEG 4:4:4, progressive", _saved(image, "JPEG", quality=90, subsampling=0, progressive=True)
    yield "JPEG turned by EXIF orientation 6", _saved(image, "JPEG", quality=90, exif=exif)
    yield "JPEG in grey", _saved(image.convert("L"), "JPEG", quality=90)
    yield "JPEG in CMYK", _saved(image.convert("CMYK"), "JPEG", quality=90)
    yield "PNG", _saved(image, "PNG")
    yield "PNG with half-transparent pixels", _saved(clear, "PNG")
    yield "PNG with a palette, one colour of it transparent", _saved(palette, "PNG", transparency=3)
    yield "PNG in grey of 16 bits", _saved(sixteen, "PNG")
    yield "WebP, lossless", _saved(image, "WEBP", lossless=True)
    yield "GIF", _saved(palette, "GIF")


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def main() -> None:
    """Print the vectors."""
    found = []
    for name, data in files():
        registered = registered_fingerprint(decode_picture(data), data)
        asked = query_fingerprint(decode_picture(data, reduced=True), data)
        found.append(
            {
                "name": name,
                "file": base64.b64encode(data).decode(),
                "size": list(decode_picture(data).size),
                "registered": registered.to_wire(),
                "asked": asked.to_wire(),
            }
        )
    about = (
        "Small files, one a rule of decoding, and their fingerprints of version 1, as registry.fingerprint "
        "gives them; written by make_decode.py. 'file' is base64. Decoders may differ by a grey level here "
        "and there: JPEG and WebP hashes may then differ by a few bits, the others not at all."
    )
    json.dump({"about": about, "files": found}, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
