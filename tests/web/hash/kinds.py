"""One picture saved in every kind of file that a browser may decode otherwise than Pillow."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

__all__ = ["KINDS", "files_of"]

_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="8"/></rdf:RDF></x:xmpmeta>'
)


def files_of(image: Image.Image) -> Iterator[tuple[str, bytes]]:
    """Yield the name of each kind, and ``image`` saved so."""
    for name, make in KINDS.items():
        yield name, make(image.convert("RGB"))


def _saved(image: Image.Image, kind: str, **how: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def _faded(image: Image.Image) -> Image.Image:
    """With every degree of transparency, from the left to the right."""
    ramp = np.tile(np.linspace(0, 255, image.width).astype(np.uint8), (image.height, 1))
    image.putalpha(Image.fromarray(ramp))
    return image


def _cut_out(image: Image.Image) -> Image.Image:
    """With a corner that is not there."""
    alpha = np.full((image.height, image.width), 255, np.uint8)
    alpha[: image.height // 4, : image.width // 3] = 0
    image.putalpha(Image.fromarray(alpha))
    return image


def _exchanged() -> bytes:
    """A colour profile under which red is green: a decoder that obeys it is found out."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack_from(">I", profile, 128)[0]
    at = {bytes(profile[132 + 12 * n : 136 + 12 * n]): 136 + 12 * n for n in range(count)}
    red, green = at[b"rXYZ"], at[b"gXYZ"]
    profile[red : red + 8], profile[green : green + 8] = profile[green : green + 8], profile[red : red + 8]
    return bytes(profile)


def _png(samples: NDArray[np.uint16], colour: int, *more: tuple[bytes, bytes]) -> bytes:
    """A PNG of 16 bits a sample, ``samples: uint16[h, w, channels]``."""
    height, width = samples.shape[:2]
    rows = samples.astype(">u2").reshape(height, -1).view(np.uint8)
    data = zlib.compress(np.hstack([np.zeros((height, 1), np.uint8), rows]).tobytes(), 1)
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    chunks = [(b"IHDR", head), *more, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def _sixteen(image: Image.Image) -> NDArray[np.uint16]:
    low = np.arange(image.width, dtype=np.uint16)[None, :, None] % 256
    return np.asarray(image).astype(np.uint16).reshape(image.height, image.width, -1) * 256 + low


def _moving(image: Image.Image, kind: str) -> bytes:
    second = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return _saved(image, kind, save_all=True, append_images=[second], duration=100, loop=0)


_Make = Callable[[Image.Image], bytes]
KINDS: dict[str, _Make] = {
    "JPEG 4:2:0": lambda image: _saved(image, "JPEG", quality=85, subsampling=2),
    "JPEG 4:2:2": lambda image: _saved(image, "JPEG", quality=85, subsampling=1),
    "JPEG 4:4:4": lambda image: _saved(image, "JPEG", quality=92, subsampling=0),
    "JPEG progressive": lambda image: _saved(image, "JPEG", quality=75, progressive=True),
    "JPEG grey": lambda image: _saved(image.convert("L"), "JPEG", quality=85),
    "JPEG CMYK": lambda image: _saved(image.convert("CMYK"), "JPEG", quality=85),
    "JPEG with a colour profile": lambda image: _saved(image, "JPEG", quality=85, icc_profile=_exchanged()),
    "JPEG orientation 3": lambda image: _saved(image, "JPEG", quality=85, exif=_exif(3)),
    "JPEG orientation 5": lambda image: _saved(image, "JPEG", quality=85, exif=_exif(5)),
    "JPEG orientation 6": lambda image: _saved(image, "JPEG", quality=85, exif=_exif(6)),
    "JPEG orientation 8 in XMP": lambda image: _saved(image, "JPEG", quality=85, xmp=_XMP.encode()),
    "PNG": lambda image: _saved(image, "PNG"),
    "PNG grey": lambda image: _saved(image.convert("L"), "PNG"),
    "PNG of 1 bit": lambda image: _saved(image.convert("1"), "PNG"),
    "PNG palette": lambda image: _saved(image.quantize(64), "PNG"),
    "PNG palette, transparent": lambda image: _saved(image.quantize(64), "PNG", transparency=5),
    "PNG half-transparent": lambda image: _saved(_faded(image), "PNG"),
    "PNG cut out": lambda image: _saved(_cut_out(image), "PNG"),
    "PNG grey, half-transparent": lambda image: _saved(_faded(image.convert("L")), "PNG"),
    "PNG grey of 16 bits": lambda image: _png(_sixteen(image.convert("L")), 0),
    "PNG of 16 bits": lambda image: _png(_sixteen(image), 2),
    "PNG with gamma": lambda image: _png(_sixteen(image), 2, (b"gAMA", struct.pack(">I", 100_000))),
    "PNG with a colour profile": lambda image: _saved(image, "PNG", icc_profile=_exchanged()),
    "PNG orientation 6": lambda image: _saved(image, "PNG", exif=_exif(6)),
    "PNG animated": lambda image: _moving(image, "PNG"),
    "WebP": lambda image: _saved(image, "WEBP", quality=80),
    "WebP lossless": lambda image: _saved(image, "WEBP", lossless=True, method=0),
    "WebP half-transparent": lambda image: _saved(_faded(image), "WEBP", quality=80),
    "WebP orientation 6": lambda image: _saved(image, "WEBP", quality=80, exif=_exif(6)),
    "WebP animated": lambda image: _moving(image, "WEBP"),
    "WebP animated, half-transparent": lambda image: _moving(_faded(image), "WEBP"),
    "GIF": lambda image: _saved(image.quantize(128), "GIF"),
    "GIF transparent": lambda image: _saved(image.quantize(128), "GIF", transparency=7),
    "GIF animated": lambda image: _moving(image.quantize(128), "GIF"),
    "BMP": lambda image: _saved(image, "BMP"),
    "BMP palette": lambda image: _saved(image.quantize(64), "BMP"),
    "AVIF": lambda image: _saved(image, "AVIF", quality=75, speed=10),
    "AVIF half-transparent": lambda image: _saved(_faded(image), "AVIF", quality=75, speed=10),
    "AVIF orientation 6": lambda image: _saved(image, "AVIF", quality=75, speed=10, exif=_exif(6)),
}
