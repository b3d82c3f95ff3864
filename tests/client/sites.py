"""A site on this machine, for the tests of whoever reads what sites say."""

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Site:
    """A web server on this machine; ``routes`` are (status, headers, body) by path."""

    def __init__(self) -> None:
        self.routes: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: Counter[tuple[str, str]] = Counter()
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.asked[self.command, self.path] += 1
                status, headers, body = site.routes.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815 - the library's name

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def says(self, path: str, body: bytes = b"", status: int = 200, **headers: str) -> None:
        """Answer at ``path``; of header names an underscore stands for a hyphen."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.routes[path] = (status, named, body)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
