"""What the tests of the core share: Hypothesis' settings, the demo pictures, and pictures as file bytes."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from PIL import Image

from registry import fast
from registry.picture import Picture, decode_picture

settings.register_profile("core", deadline=None, max_examples=40, database=None)
settings.load_profile("core")

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["compiled", "numpy"], scope="module")
def both_paths(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run every test that uses it with the compiled loops and with numpy."""
    assert fast.kernels is not None, "the development set installs [fast]"
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "numpy":
            patch.setattr(fast, "kernels", None)
        yield


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
        file = io.BytesIO()
        image.save(file, kind, **options)
        return file.getvalue()

    return encoded


@pytest.fixture(scope="session")
def png() -> Callable[..., bytes]:
    """A PNG from its header fields, raw lines (each with its filter byte) and chunks before them."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def made(
        width: int, height: int, depth: int, colour: int, lines: bytes, *chunks: tuple[bytes, bytes]
    ) -> bytes:
        header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
        parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
        return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)

    return made


@pytest.fixture(scope="session")
def demo() -> dict[str, tuple[bytes, Picture]]:
    """The 16 demo pictures by their path in the repository: the file and its pixels."""
    found = {}
    for path in sorted((ROOT / "registry" / "demo" / "pictures").rglob("*.jpg")):
        data = path.read_bytes()
        found[path.relative_to(ROOT).as_posix()] = (data, decode_picture(data))
    return found
