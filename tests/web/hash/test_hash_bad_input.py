"""What is refused before anything is decoded, and under which name."""

import io
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from registry.errors import PictureError
from registry.picture import MAX_PIXELS, decode_picture

from .conftest import Node
from .test_hash_vectors import FILES


def png(width: int, height: int) -> bytes:
    """A PNG that is all header."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


def jpeg(width: int, height: int) -> bytes:
    return b"\xff\xd8\xff\xe0\0\4ab\xff\xc0\0\x11\x08" + struct.pack(">HH", height, width) + b"\3" + bytes(9)


def webp(width: int, height: int) -> bytes:
    sides = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<II", 10, 0) + sides


REFUSED = {
    # what: bytes, the name of the error, words of it
    "nothing": (b"", "not-a-picture", "empty"),
    "text": (b"hello, this is no picture", "not-a-picture", "not a picture"),
    "a PNG of 300 megapixels": (png(20_000, 15_000), "too-large", "20000 × 15000"),
    "a PNG of 2^31 by 2^31": (png(2**31 - 1, 2**31 - 1), "too-large", "megapixels"),
    "a JPEG of 4,294 megapixels": (jpeg(65_535, 65_535), "too-large", "65535 × 65535"),
    "a WebP of 268 megapixels": (webp(16_384, 16_384), "too-large", "16384"),
    "a GIF of 4,294 megapixels": (b"GIF89a\xff\xff\xff\xff\0\0\0", "too-large", "65535"),
    "a PNG without sides": (png(0, 10), "damaged", "0 × 10"),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"><script>x</script></svg>', "not-read-here", "SVG"),
    "SVG after a declaration": (
        b'\xef\xbb\xbf <?xml version="1.0"?>\n<!-- a --><svg></svg>',
        "not-read-here",
        "SVG",
    ),
    "MP4": (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41", "not-read-here", "video (MP4"),
    "QuickTime": (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "not-read-here", "video (MP4, QuickTime)"),
    "WebM": (b"\x1aE\xdf\xa3\x9fB\x86\x81\1", "not-read-here", "video (WebM"),
    "AVI": (b"RIFF\0\0\0\0AVI LIST", "not-read-here", "video (AVI)"),
    "HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "not-read-here", "HEIC"),
    "TIFF": (b"II*\0\x08\0\0\0\0\0", "not-read-here", "TIFF"),
    "TIFF, the other way round": (b"MM\0*\0\0\0\x08\0\0", "not-read-here", "TIFF"),
    "JPEG XL": (b"\xff\x0a\0\0", "not-read-here", "JPEG XL"),
    "Photoshop": (b"8BPS\0\1", "not-read-here", "Photoshop"),
    "PDF": (b"%PDF-1.7", "not-read-here", "PDF"),
    "ZIP": (b"PK\3\4\x14\0", "not-read-here", "ZIP"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_by_its_name(node: Node, what: str) -> None:
    data, name, words = REFUSED[what]
    for told in (node.header(data), node.file(data)):
        assert told["error"]["name"] == name
        assert words in told["error"]["message"]
        assert told["error"]["hint"]


@pytest.mark.parametrize(("width", "height", "is_read"), [(9459, 9459, True), (9460, 9460, False)])
def test_the_bound_is_that_of_python(node: Node, width: int, height: int, is_read: bool) -> None:
    assert (width * height <= MAX_PIXELS) is is_read
    told = node.header(png(width, height))
    assert ("answer" in told) is is_read


@pytest.mark.parametrize("kind", FILES)
def test_the_header_says_what_pillow_says(node: Node, kind: str) -> None:
    data = FILES[kind]
    with Image.open(io.BytesIO(data)) as image:
        expected = (image.format, image.size)
        turned = image.getexif().get(0x0112, 1)
    told = node.header(data)["answer"]
    assert (told["format"], (told["width"], told["height"])) == expected
    if told["format"] != "AVIF":
        assert told["orientation"] == turned
    assert node.header(data[:4096])["answer"]["width"] == told["width"]


CUT = [kind for kind in FILES if kind.split()[0] in ("JPEG", "PNG", "WebP")]


@pytest.mark.parametrize("kind", CUT)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_file_that_is_cut_off_has_no_fingerprint(node: Node, kind: str, share: float) -> None:
    cut = FILES[kind][: int(len(FILES[kind]) * share)]
    told = node.file(cut)
    assert told["error"]["name"] in ("damaged", "pixels-changed")
    if kind != "PNG animated":
        # Of which the first frame may be there.
        with pytest.raises(PictureError):
            decode_picture(cut)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(FILES)), st.integers(0, 400), st.binary(max_size=40), st.integers(0, 60))
def test_whatever_the_header_holds_the_answer_has_a_name(
    node: Node, kind: str, at: int, noise: bytes, cut: int
) -> None:
    data = (FILES[kind][:at] + noise + FILES[kind][at + len(noise) :])[: 500 - cut]
    told = node.header(data)
    if "answer" in told:
        assert told["answer"] is None or 0 < told["answer"]["width"] * told["answer"]["height"] <= MAX_PIXELS
    else:
        assert told["error"]["name"] in ("not-a-picture", "not-read-here", "too-large", "damaged")
