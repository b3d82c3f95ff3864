"""A site with hash.js, a page, and files to hash, under the policy that the pages of the registry have."""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import requests

__all__ = ["POLICY", "Site", "opened"]

HERE = Path(__file__).parent
STATIC = HERE.parents[2] / "api/static"
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self';"
    " img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".html": "text/html; charset=utf-8",
}
_PAGE = b"""<!doctype html><html lang="en"><title>hash.js</title><link rel="icon" href="/static/icon.svg">
<input id="files" type="file" multiple>%s</html>"""
_SCRIPT = b'<script type="module" src="/tests/page.js"></script>'

# What browsers do that add noise to what is read from a canvas: under /noisy/.
_NOISE = b"""
const { prototype } = OffscreenCanvasRenderingContext2D;
const { getImageData } = prototype;
prototype.getImageData = function (...where) {
  const image = getImageData.apply(this, where);
  for (let at = 0; at < image.data.length; at += 97) image.data[at] ^= 1;
  return image;
};
"""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over browsers that are ended while they are connected; nothing else."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Site:
    """``files`` are what ``/file/N`` gives; ``asked`` has method, path and bytes that were sent.

    ``pages`` are further pages by their path; what is posted below /api/ goes to ``registry``.
    """

    def __init__(self, files: list[Path]) -> None:
        self.files = files
        self.pages: dict[str, bytes] = {}
        self.registry = ""
        self.asked: list[tuple[str, str, int]] = []
        self.reports: Queue[Any] = Queue()
        self.address = ""

    def get(self, path: str) -> tuple[bytes, str] | None:
        """Return what is at ``path``, and its type."""
        if path in self.pages:
            return self.pages[path], _TYPES[".html"]
        if path in ("/", "/run"):
            return _PAGE % (_SCRIPT if path == "/run" else b""), _TYPES[".html"]
        if path.startswith("/file/"):
            return self.files[int(path.removeprefix("/file/"))].read_bytes(), "application/octet-stream"
        folder, _, name = path.lstrip("/").partition("/")
        file = {"static": STATIC / name, "noisy": STATIC / name, "tests": HERE / name}.get(folder)
        if file is None or not file.is_file() or ".." in path:
            return None
        noise = _NOISE if folder == "noisy" and name == "hash-worker.js" else b""
        return noise + file.read_bytes(), _TYPES.get(file.suffix, "application/octet-stream")


@contextmanager
def opened(files: list[Path]) -> Iterator[Site]:
    """Open a site on a port of its own."""
    site = Site(files)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            site.asked.append(("GET", self.path, 0))
            found = site.get(self.path.partition("?")[0])
            if found is None:
                self.send_error(404)
                return
            self._answer(*found)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            site.asked.append(("POST", self.path, len(body)))
            if self.path.startswith("/api/"):
                sent = {"Content-Type": self.headers["Content-Type"]}
                answer = requests.post(site.registry + self.path, body, headers=sent, timeout=20)
                self._answer(answer.content, answer.headers["Content-Type"], answer.status_code)
                return
            site.reports.put(json.loads(body))
            self._answer(b"", "text/plain")

        def _answer(self, body: bytes, kind: str, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Security-Policy", POLICY)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = _Server(("127.0.0.1", 0), Handler)
    site.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
