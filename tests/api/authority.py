"""A timestamp authority: OpenSSL's own, behind a small server, with certificates made for the test."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_CONFIG = """
[tsa]
default_tsa = tsa_config
[tsa_config]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ordering = no
tsa_name = yes
ess_cert_id_chain = no
"""


def openssl(folder: Path, *command: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["openssl", *command], cwd=folder, capture_output=True, check=True)


@dataclass(frozen=True)
class Authority:
    """Where it answers, and the folder with its root certificate, ``ca.pem``; ``asked`` are the requests."""

    url: str
    folder: Path
    asked: list[bytes]

    def verify(self, data: bytes, reply: bytes) -> bytes:
        """Let OpenSSL verify a token over ``data``; return what it says."""
        (self.folder / "data").write_bytes(data)
        (self.folder / "reply.tsr").write_bytes(reply)
        verify = ["ts", "-verify", "-data", "data", "-in", "reply.tsr", "-CAfile", "ca.pem"]
        return openssl(self.folder, *verify).stdout


def make_certificates(folder: Path) -> None:
    """Make a root and a certificate for timestamps."""
    new = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    root = ["-x509", "-days", "2", "-subj", "/CN=root", "-keyout", "ca.key", "-out", "ca.pem"]
    openssl(folder, *new, *root)
    openssl(folder, *new, *["-subj", "/CN=clock", "-keyout", "tsa.key", "-out", "tsa.csr"])
    (folder / "usage").write_text(
        "extendedKeyUsage=critical,timeStamping\nkeyUsage=critical,digitalSignature\n"
    )
    sign = "x509 -req -in tsa.csr -CA ca.pem -CAkey ca.key -days 2 -extfile usage -out tsa.pem"
    openssl(folder, *sign.split())
    (folder / "tsa.cnf").write_text(_CONFIG.format(folder=folder))
    (folder / "serial").write_text("01\n")


@contextmanager
def answering(answer: Callable[[bytes], tuple[int, bytes]]) -> Iterator[str]:
    """Answer requests by ``answer``; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, body = answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def authority(folder: Path) -> Iterator[Authority]:
    """Serve OpenSSL's authority, with certificates in ``folder``."""
    make_certificates(folder)
    asked: list[bytes] = []

    def answer(query: bytes) -> tuple[int, bytes]:
        asked.append(query)
        (folder / "query.tsq").write_bytes(query)
        command = "ts -reply -queryfile query.tsq -config tsa.cnf -section tsa_config -out reply"
        openssl(folder, *command.split())
        return 200, (folder / "reply").read_bytes()

    with answering(answer) as url:
        yield Authority(url, folder, asked)
