"""What is called, and what never is: real sockets on this machine, names answered by the test."""

import gzip
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from registry import fetch
from registry.errors import FetchError, RefusedAddressError
from registry.fetch import SITE_SIGNALS, Fetcher, is_public
from registry.http_answer import decoded

HERE = replace(SITE_SIGNALS, private=True, largest=10_000, read_seconds=1, total_seconds=2, redirects=2)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str, dict[str, str]]]

    def do_GET(self) -> None:
        type(self).seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
        status, headers, body = ROUTES.get(self.path, (404, {}, b"no"))
        if self.path == "/no-head" and self.command == "HEAD":
            status, body = 405, b""
        self.send_response(status)
        for name, value in headers.items():
            for one in value.split("\n"):
                self.send_header(name, one)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.path == "/slow":
            with suppress(OSError):
                for byte in body:
                    time.sleep(0.5)
                    self.wfile.write(bytes([byte]))
            return
        self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - the library's name

    def log_message(self, *_: Any) -> None:
        return


ROUTES: dict[str, tuple[int, dict[str, str], bytes]] = {
    "/plain": (200, {"X-Robots-Tag": "noai\nnoindex"}, b"words"),
    "/large": (200, {}, b"x" * 10_001),
    "/bomb": (200, {"Content-Encoding": "gzip"}, gzip.compress(b"x" * 50_000_000)),
    "/slow": (200, {}, b"slowly"),
    "/no-head": (200, {"tdm-reservation": "1"}, b"x" * 9_000),
    "/there": (301, {"Location": "/plain"}, b""),
    "/round": (302, {"Location": "/round"}, b""),
    "/away": (302, {"Location": "http://169.254.169.254/latest"}, b""),
    "/file": (302, {"Location": "file:///etc/passwd"}, b""),
    "/error": (503, {}, b"later"),
}


@pytest.fixture
def site() -> Iterator[str]:
    Handler.seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    fetcher = Fetcher(HERE)
    yield fetcher
    fetcher.close()


def test_an_answer_comes_with_its_headers_in_order(site, fetcher):
    answer = fetcher.get(f"{site}/plain")
    assert (answer.status, answer.data, answer.cut) == (200, b"words", False)
    assert [value for name, value in answer.headers if name.lower() == "x-robots-tag"] == ["noai", "noindex"]
    [(_, _, headers)] = Handler.seen
    assert headers["user-agent"].startswith("caveat/")
    assert not {"cookie", "authorization", "referer"} & set(headers)


def test_any_status_is_an_answer(site, fetcher):
    assert (fetcher.get(f"{site}/error").status, fetcher.get(f"{site}/absent").status) == (503, 404)


@pytest.mark.parametrize("path", ["/large", "/bomb"])
def test_a_body_is_cut_where_the_policy_ends(site, fetcher, path):
    answer = fetcher.get(site + path)
    assert (len(answer.data), answer.cut) == (10_000, True)


def test_who_sends_drop_by_drop_is_not_waited_for(site, fetcher):
    with pytest.raises(FetchError, match="within 2 s"):
        fetcher.get(f"{site}/slow")


def raw(write: Callable[[socket.socket], object]) -> Iterator[str]:
    """Serve bytes that no server of a library would send: ``write`` has the connection to itself."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.recv(65_536)
                    write(connection)

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    listener.close()


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
GZIP = OK + b"Content-Encoding: gzip\r\n\r\n"
NOAI = b"X-Robots-Tag: noai\r\nContent-Length: 0\r\n\r\n"


def forever(first: bytes, again: bytes, pause: float = 0.01) -> Callable[[socket.socket], None]:
    def write(connection: socket.socket) -> None:
        connection.sendall(first)
        while True:
            connection.sendall(again)
            time.sleep(pause)

    return write


@pytest.mark.parametrize(
    "write",
    [
        forever(OK, b"X", 0.2),
        forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        forever(CHUNKED, b"1\r\nx\r\n", 0.2),
        forever(CHUNKED + b"1\r\nx\r\n0\r\n", b"X: y\r\n"),
        forever(GZIP, gzip.compress(b"")),
    ],
    ids=["headers", "continue", "chunks", "trailers", "empty members of gzip"],
)
def test_what_never_ends_has_an_end(write):
    fetcher = Fetcher(replace(HERE, total_seconds=0.7))
    for url in raw(write):
        began = time.monotonic()
        with pytest.raises(FetchError, match=r"not all came within 0\.7 s"):
            fetcher.get(url)
        assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (OK + b"no header\r\n" + NOAI, "a header line that cannot be read"),
        (OK + b"X-A : 1\r\n" + NOAI, "a header line that cannot be read"),
        (OK + "X-Ä: 1\r\n".encode() + NOAI, "a header line that cannot be read"),
        (OK + b"X-A: 1\r\n" * 101 + NOAI, "more than 100 headers"),
        (OK + b"X-A: " + b"a" * 70_000 + b"\r\n" + NOAI, "when reading header line"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK + NOAI, "an interim answer, 103"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "an interim answer, 101"),
        (b"\x1b[31mwords\n", r"it is not HTTP: '\\x1b\[31mwords"),
        (OK + b"Content-Length: 9\r\n\r\nwords", "5 bytes read, 4 more expected"),
        (OK + b"Transfer-Encoding: gzip\r\n\r\nwords", "Transfer-Encoding 'gzip' is not read"),
        (CHUNKED + b"zz\r\nwords", "IncompleteRead"),
        (OK + b"Content-Encoding: br\r\n\r\nwords", "Content-Encoding 'br' is not read"),
        (OK + b"Content-Encoding: gzip, gzip\r\n\r\nwords", "'gzip, gzip' is not read"),
        (GZIP + b"words", "its gzip cannot be read"),
        (GZIP + gzip.compress(b"words")[:-1], "its body ends in the midst"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\n\r\n", "leads on to .*no address"),
        (b"HTTP/1.1 302 Found\r\nLocation: //[x]/\r\n\r\n", "leads on to .*no address"),
        (b"", "closed connection without response"),
    ],
    ids=[
        "no colon",
        "blank before the colon",
        "name beyond ASCII",
        "too many headers",
        "too long a header",
        "interim answer",
        "another protocol",
        "no HTTP",
        "body cut",
        "unknown transfer coding",
        "bad chunk",
        "brotli",
        "twice gzip",
        "no gzip",
        "gzip cut",
        "redirect to half an address",
        "redirect to no address",
        "nothing",
    ],
)
def test_an_answer_that_is_not_whole_is_none(answer, why):
    for url in raw(lambda connection: connection.sendall(answer)):
        with pytest.raises(FetchError, match=why):
            Fetcher(HERE).get(url)


@pytest.mark.parametrize("coding", ["identity", "gzip", "X-GZIP", "deflate"])
@pytest.mark.parametrize("words", [b"", b"words", b"x" * 9_999, b"x" * 10_000, b"x" * 10_001])
def test_bodies_are_decoded_and_cut(coding, words):
    sent = {"identity": words, "deflate": zlib.compress(words)}.get(coding, gzip.compress(words))
    half = len(sent) // 2
    assert decoded([sent[:half], sent[half:]], coding, 10_000) == words
    assert decoded([sent, b""], coding, 3) == words[:4]


def test_gzip_may_have_several_members():
    sent = gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two")
    assert decoded([bytes([byte]) for byte in sent], "gzip", 100) == b"one two"


def test_a_redirect_may_have_letters_beyond_ascii():
    seen = []

    def write(connection: socket.socket) -> None:
        seen.append(True)
        first = "HTTP/1.1 302 Found\r\nLocation: /ü\r\nConnection: close\r\n\r\n".encode()
        connection.sendall(first if len(seen) == 1 else OK + NOAI)

    for url in raw(write):
        assert Fetcher(HERE).get(url).url == f"{url}%C3%BC"


def test_head_asks_for_no_body_and_get_stands_in_for_it(site, fetcher):
    assert fetcher.head(f"{site}/plain").data == b""
    answer = fetcher.head(f"{site}/no-head")
    assert (answer.status, answer.header("TDM-Reservation"), answer.data) == (200, "1", b"")
    assert [one[0] for one in Handler.seen] == ["HEAD", "HEAD", "GET"]


def test_redirects_are_followed_up_to_the_policys_number(site, fetcher):
    answer = fetcher.get(f"{site}/there")
    assert (answer.url, answer.data) == (f"{site}/plain", b"words")
    with pytest.raises(FetchError, match="more than 2 redirects"):
        fetcher.get(f"{site}/round")


def test_a_redirect_to_a_file_is_not_followed(site, fetcher):
    with pytest.raises(RefusedAddressError, match="not an address of the web"):
        fetcher.get(f"{site}/file")


def test_nobody_there_is_an_error_by_name(fetcher):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(FetchError, match="refused"):
        fetcher.get(f"http://127.0.0.1:{port}/")


def answering(*addresses: str) -> Callable[[str, int], list[tuple[Any, ...]]]:
    def resolve(host: str, port: int) -> list[tuple[Any, ...]]:
        kind = (socket.SOCK_STREAM, 6, "")
        return [
            (socket.AF_INET6, *kind, (one, port, 0, 0))
            if ":" in one
            else (socket.AF_INET, *kind, (one, port))
            for one in addresses
        ]

    return resolve


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 - refused
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "198.18.0.1",
        "168.63.129.16",
        "::1",
        "::",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::7f00:1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "fc00::1",
        "ff02::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "64:ff9b::7f00:1",
    ],
)
def test_an_address_that_is_not_public_is_never_called(address):
    assert not is_public(address)
    fetcher = Fetcher(SITE_SIGNALS, answering("93.184.215.14", address))
    with pytest.raises(RefusedAddressError, match="is not a public address"):
        fetcher.get("http://innocent.example/")


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.215.14", "2606:4700::1111"])
def test_a_public_address_is_called(address):
    assert is_public(address)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1/", "not a public address"),
        ("http://2130706433/", "not a public address"),
        ("http://0x7f.1/", "not a public address"),
        ("http://[::1]/", "not a public address"),
        ("http://localhost/", "not a public address"),
        ("http://user:secret@127.0.0.1/", "not a public address"),
        ("http://8.8.8.8:22/", "only the ports 80 and 443"),
        ("https://8.8.8.8:8443/", "only the ports 80 and 443"),
        ("ftp://8.8.8.8/", "not an address of the web"),
        ("file:///etc/passwd", "not an address of the web"),
        ("//8.8.8.8/", "not an address of the web"),
        ("", "not an address of the web"),
    ],
)
def test_hostile_addresses_are_refused(url, why):
    with pytest.raises(RefusedAddressError, match=why):
        Fetcher(SITE_SIGNALS).get(url)


def test_a_redirect_inside_is_refused_too(site, monkeypatch):
    port = int(site.rpartition(":")[2])
    monkeypatch.setattr(fetch, "is_public", lambda address: address == "127.0.0.1" or is_public(address))
    monkeypatch.setattr(fetch, "_PORTS", frozenset({80, 443, port}))
    fetcher = Fetcher(replace(HERE, private=False))
    assert fetcher.get(f"{site}/there").data == b"words"
    with pytest.raises(RefusedAddressError, match=r"169\.254\.169\.254 is not a public address"):
        fetcher.get(f"{site}/away")


def test_a_name_is_resolved_once_for_each_connection_and_the_checked_address_is_called(site):
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[tuple[Any, ...]]:
        asked.append(host)
        return answering("127.0.0.1")(host, port)

    fetcher = Fetcher(HERE, resolve)
    url = site.replace("127.0.0.1", "rebinding.example")
    assert fetcher.get(f"{url}/plain").data == b"words"
    fetcher.close()
    assert fetcher.get(f"{url}/plain").data == b"words"
    assert asked == ["rebinding.example"] * 2
