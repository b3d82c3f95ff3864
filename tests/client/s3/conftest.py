"""An S3 server, moto's, over HTTP on this machine, with a door in front of it that can be shut on a request.

Nothing is collected where it is not installed: ``make test-s3`` sees to it.
"""

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any
from uuid import uuid4

import pytest

collect_ignore_glob = [] if all(map(find_spec, ("moto", "s3fs", "ray"))) else ["test_*"]

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    # Listings come in pages of so many, as of a thousand elsewhere.
    "MOTO_S3_DEFAULT_MAX_KEYS": "4",
}
REFUSED = b'<?xml version="1.0"?><Error><Code>%s</Code><Message>the door is shut</Message></Error>'
CODES = {403: b"AccessDenied", 500: b"InternalError", 503: b"SlowDown"}


@dataclass
class Door:
    """What stands before the server: ``shut`` is asked before each request, with its number from 1.

    It returns None to let it pass, a status to answer instead, or ``"cut"`` to break off half of the answer.
    """

    server: Any
    shut: Callable[[int, str, str], int | str | None] = lambda *_: None
    seen: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        method, path = environ["REQUEST_METHOD"], f"{environ['PATH_INFO']}?{environ.get('QUERY_STRING', '')}"
        with self.lock:
            self.seen.append((method, path))
            verdict = self.shut(len(self.seen), method, path)
        if isinstance(verdict, int):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            body = REFUSED % CODES[verdict]
            start_response(f"{verdict} No", [("Content-Length", str(len(body)))])
            return [body]
        answer = self.server(environ, start_response)
        return answer if verdict is None else cut(answer)

    def reset(self) -> None:
        self.shut = lambda *_: None
        self.seen.clear()


def cut(answer: Any) -> Iterator[bytes]:
    body = b"".join(answer)
    yield body[: len(body) // 2]
    raise ConnectionAbortedError("the answer is broken off here")


@dataclass(frozen=True)
class Store:
    """A bucket of its own at the server."""

    url: str
    bucket: str
    door: Door
    client: Any

    @property
    def address(self) -> str:
        return f"s3://{self.bucket}"

    def plant(self, files: dict[str, bytes | str], prefix: str = "set") -> str:
        for name, content in files.items():
            body = content.encode() if isinstance(content, str) else content
            self.client.put_object(Bucket=self.bucket, Key=f"{prefix}/{name}", Body=body)
        self.door.reset()
        return f"{self.address}/{prefix}"

    def below(self, prefix: str) -> dict[str, bytes]:
        """Every object below a prefix, with its bytes."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=f"{prefix}/")
        keys = [one["Key"] for page in pages for one in page.get("Contents", [])]
        read = self.client.get_object
        return {
            key.removeprefix(f"{prefix}/"): read(Bucket=self.bucket, Key=key)["Body"].read() for key in keys
        }

    def clear(self, *prefixes: str) -> None:
        for prefix in prefixes:
            for name in self.below(prefix):
                self.client.delete_object(Bucket=self.bucket, Key=f"{prefix}/{name}")


@pytest.fixture(scope="session")
def _door() -> Iterator[tuple[str, Door]]:
    before = {name: os.environ.get(name) for name in (*ENVIRONMENT, "AWS_ENDPOINT_URL_S3")}
    os.environ.update(ENVIRONMENT)
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, *_: object) -> None:
            return

    door = Door(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, door, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    os.environ["AWS_ENDPOINT_URL_S3"] = url
    yield url, door
    server.shutdown()
    thread.join()
    server.server_close()
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture
def store(_door: tuple[str, Door]) -> Iterator[Store]:
    import boto3

    url, door = _door
    door.reset()
    client = boto3.client("s3", endpoint_url=url)
    bucket = f"b-{uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    yield Store(url, bucket, door, client)
    door.reset()
    client.close()
