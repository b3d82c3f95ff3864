"""Somebody at a browser without scripts, who lodges works; and files that are no pictures."""

import io
import re
import struct
import zlib
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from api.web.holder import COOKIE
from tests.web.test_pages import BROWSER

__all__ = ["ADDRESS", "SVG", "VIDEO", "Person", "file", "huge_png", "preference_of", "record_of"]

ADDRESS = "https://ada.example/works/1.jpg"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
VIDEO = b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(100)


def huge_png() -> bytes:
    """A PNG that says that it has 300 megapixels, and has none."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 15_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


class Person:
    """Somebody at a browser without scripts."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def get(self, path: str) -> Any:
        return self.client.get(path, headers=BROWSER)

    def token(self, path: str = "/register") -> str:
        [token, *_] = re.findall(r'name="form" value="([^"]+)"', self.get(path).text)
        return token

    def send(self, path: str = "/register", token: str = "", **fields: Any) -> Any:
        data = {"form": token or self.token(), "genai-train": "reserved", **fields}
        return self.client.post(path, data=data, headers=BROWSER, content_type="multipart/form-data")

    def press(self, path: str, **fields: str) -> Any:
        return self.client.post(path, data={"form": self.token(), **fields}, headers=BROWSER)

    @property
    def code(self) -> str:
        cookie = self.client.get_cookie(COOKIE)
        return "" if cookie is None else cookie.value


def file(path: Path) -> tuple[io.BytesIO, str]:
    return io.BytesIO(path.read_bytes()), path.name


def record_of(page: Any) -> str:
    return str(re.findall(r"/record/([a-z2-7]{26})", page.text)[0])


def preference_of(client: FlaskClient, **item: Any) -> str:
    body = {"items": [{"id": "1", **item}]}
    return str(client.post("/api/v1/lookup", json=body).get_json()["results"][0]["preference"])
