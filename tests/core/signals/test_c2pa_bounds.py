"""What a manifest may cost, what is fetched for it, and what happens without the library."""

import builtins
import contextlib
import io
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context

import c2pa as library
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.preference import Status
from registry.signals import c2pa, jumbf
from registry.signals.manifests import pieces
from registry.signals.observation import Reading
from registry.signals.parts import UnreadableError
from tests.core.signals.certificates import credential
from tests.core.signals.signing import (
    PERMITS,
    RESERVES,
    VALID,
    assertion,
    built,
    only,
    permits,
    picture,
    signed,
)


@pytest.mark.parametrize("head", ["5affffffff", "7affffffff", "7a7fffffff", "5b0000000200000000"])
def test_a_string_that_claims_gigabytes_is_refused_before_the_library_sees_it(head):
    terms = "x" * 40
    entries = {"cawg.ai_training": {"use": "constrained", "constraint_info": terms}}
    data = bytearray(signed(picture("PNG"), assertion(entries)))
    at = data.index(terms.encode()) - 2
    data[at : at + len(head) // 2] = bytes.fromhex(head)
    [fault] = c2pa.read(bytes(data)).faults
    assert fault.status is Status.MALFORMED
    assert "bytes past its box" in fault.message


def test_a_packed_manifest_is_refused_by_name():
    settings = dict(c2pa.library_settings())
    settings["core"] = {**settings["core"], "prefer_compress_manifests": True}
    data = signed(signed(picture(), assertion(RESERVES)), assertion(RESERVES), settings=settings)
    [fault] = c2pa.read(data).faults
    assert (fault.status, fault.message) == (
        Status.ERROR,
        "a manifest that is packed (brob), which is not read",
    )


def test_a_file_above_the_limit_is_refused_by_name():
    data = signed(picture(), assertion(RESERVES))
    [fault] = c2pa.read(data + bytes(c2pa.MAX_FILE)).faults
    assert fault.status is Status.ERROR
    assert str(c2pa.MAX_FILE) in fault.message
    chunk = (c2pa.MAX_MANIFEST + 8).to_bytes(4, "big") + b"caBX" + bytes(c2pa.MAX_MANIFEST + 8) + bytes(4)
    plain = picture("PNG")
    [fault] = c2pa.read(plain[:33] + chunk + plain[33:]).faults
    assert fault.status is Status.ERROR
    assert str(c2pa.MAX_MANIFEST) in fault.message


BOX = (8).to_bytes(4, "big") + b"free"


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ((8 * (jumbf.MAX_BOXES + 9)).to_bytes(4, "big") + b"jumb" + BOX * (jumbf.MAX_BOXES + 8), "boxes"),
        (b"".join((8 * n).to_bytes(4, "big") + b"jumb" for n in range(40, 0, -1)), "within each other"),
        ((8 + jumbf.MAX_ITEMS + 1).to_bytes(4, "big") + b"cbor" + bytes(jumbf.MAX_ITEMS + 1), "CBOR items"),
        ((7).to_bytes(4, "big") + b"jumb", "does not lie within"),
        ((99).to_bytes(4, "big") + b"jumb", "does not lie within"),
        (b"\0\0\0\1jumb" + b"\xff" * 8, "does not lie within"),
        (b"jum", "does not lie within"),
        ((10).to_bytes(4, "big") + b"cbor" + b"\x79\x01", "past its box"),
    ],
    ids=["many", "deep", "items", "small", "large", "64 bits", "short", "cut length"],
)
def test_a_store_that_is_broken_or_costs_too_much_is_refused(bad, says):
    with pytest.raises(UnreadableError, match=says):
        jumbf.check_store(bad)


@pytest.mark.parametrize("data", ["00000000", "0000000166726565", "6a756d62"])
def test_the_rest_of_a_box_and_a_long_size_are_boxes(data):
    jumbf.check_store(b"\0\0\0\0free" + bytes.fromhex(data))
    jumbf.check_store(b"\0\0\0\1free" + (16).to_bytes(8, "big") + BOX)


@given(st.binary(max_size=400))
def test_any_store_is_refused_by_name_or_passes(data):
    with contextlib.suppress(UnreadableError):
        assert jumbf.check_store(data) is None


@pytest.mark.parametrize(
    "start", [b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF\xff\xff\xff\x7fWEBP", b"\0\0\0\x08ftyp", b""]
)
@given(data=st.binary(max_size=200), mark=st.sampled_from([b"", b"jumb", b"caBX", b"C2PA", b"c2pa"]))
def test_any_bytes_are_told_to_carry_a_manifest_or_not(start, data, mark):
    whole = start + data + mark + data
    assert c2pa.has_manifest(whole) == bool(list(pieces(whole)))
    assert not permits(c2pa.read(whole))


@pytest.mark.parametrize(
    ("unit", "start"),
    [
        (b"\xff\xe1\0\2", b"\xff\xd8"),
        (b"\0\0\0\0tEXt\0\0\0\0", b"\x89PNG\r\n\x1a\n"),
        (b"\0\0\0\x08free", b"\0\0\0\x08ftyp"),
    ],
    ids=["jpeg", "png", "avif"],
)
def test_a_manifest_behind_a_million_parts_is_found(unit, start):
    data = start + unit * 200_000
    assert not c2pa.has_manifest(data)
    marks = {b"\xff\xd8": b"jumb", b"\0\0\0\x08ftyp": bytes.fromhex("d8fec3d61b0e483c92975828877ec481")}
    assert c2pa.has_manifest(data + marks.get(start, b"caBX") + unit * 9)


@pytest.mark.parametrize(
    ("kind", "at", "bad"),
    [("JPEG", 4, "0fff"), ("PNG", 8, "00000fff"), ("AVIF", 0, "00000fff"), ("TIFF", 4, "ffffffff")],
    ids=["jpeg", "png", "avif", "tiff"],
)
def test_where_the_structure_of_a_file_is_broken_its_manifest_is_a_fault(kind, at, bad):
    data = bytearray(signed(picture(kind), assertion(RESERVES)))
    data[at : at + len(bad) // 2] = bytes.fromhex(bad)
    assert c2pa.has_manifest(bytes(data))
    assert c2pa.read(bytes(data)).faults


def boxed(kind: bytes, body: bytes) -> bytes:
    return (8 + len(body)).to_bytes(4, "big") + kind + body


@pytest.mark.parametrize(("label", "faults"), [(b"other", 0), (b"c2pa.alike", 1)])
def test_jumbf_of_another_kind_says_nothing_unless_it_might_be_a_manifest(label, faults):
    content = bytes.fromhex("6a736f6e00110010800000aa00389b71")
    other = boxed(b"jumb", boxed(b"jumd", content + b"\x03" + label + b"\0") + boxed(b"json", b"{}"))
    payload = b"JP\0\1\0\0\0\1" + other
    plain = picture()
    data = plain[:2] + b"\xff\xeb" + (2 + len(payload)).to_bytes(2, "big") + payload + plain[2:]
    reading = c2pa.read(data)
    assert [one.status for one in reading.faults] == [Status.MALFORMED] * faults
    assert reading.statements == ()


# -- what is fetched -------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """An address that answers 404, and what was asked of it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        do_POST = do_GET  # noqa: N815 - the name that http.server calls

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}", asked
        serving.shutdown()
        thread.join()


def remote(data: bytes, address: str, *, embedded: bool) -> bytes:
    issued = credential()
    info = library.C2paSignerInfo("es256", issued.chain, issued.key, None)

    def prepare(builder: library.Builder) -> None:
        builder.set_remote_url(address)
        if not embedded:
            builder.set_no_embed()

    with library.Signer.from_info(info) as signer:
        return built(data, [assertion(RESERVES)], signer, c2pa.library_settings(), prepare)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_manifest_that_is_kept_elsewhere_is_an_error_and_is_not_fetched(server, kind):
    address, asked = server
    data = remote(picture(kind), f"{address}/kept.c2pa", embedded=False)
    assert not c2pa.has_manifest(data)
    [fault] = c2pa.read(data).faults
    assert fault.status is Status.ERROR
    assert f"{address}/kept.c2pa" in fault.message
    assert only(c2pa.read(remote(picture(kind), address, embedded=True)))[1] == VALID
    assert asked == []
    # With our settings the library does not ask either; had it been let, the server would hear of it.
    with (
        library.Context.from_dict(dict(c2pa.library_settings())) as context,
        pytest.raises(library.C2paError, match="must fetch"),
    ):
        library.Reader(io.BytesIO(data), context=context)
    assert asked == []
    with pytest.raises(library.C2paError):
        library.Reader(io.BytesIO(data))
    assert asked == ["/kept.c2pa"]


def test_no_status_of_a_certificate_is_fetched(server):
    address, asked = server
    data = signed(picture(), assertion(RESERVES), by=credential(ocsp=f"{address}/ocsp"))
    assert only(c2pa.read(data, trust_anchors=credential().root))[1] == VALID
    assert asked == []


# -- without the library, and in other processes ---------------------------------------------------


def test_without_the_extra_a_manifest_is_an_error_that_says_what_to_install(monkeypatch):
    data = signed(picture(), assertion(PERMITS))
    monkeypatch.setitem(sys.modules, "c2pa", None)
    [fault] = c2pa.read(data).faults
    assert fault.status is Status.ERROR
    assert "pip install 'caveat-registry[c2pa]'" in fault.message
    assert c2pa.has_manifest(data)
    assert c2pa.read(picture()) == Reading()


def test_a_library_that_cannot_be_loaded_is_an_error_by_name(monkeypatch):
    real = builtins.__import__

    def broken(name, *rest):
        if name == "c2pa":
            raise OSError("libc2pa_c.so: cannot open shared object file")
        return real(name, *rest)

    data = signed(picture(), assertion(PERMITS))
    monkeypatch.setattr(builtins, "__import__", broken)
    [fault] = c2pa.read(data).faults
    assert fault.status is Status.ERROR
    assert "cannot open shared object file" in fault.message


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_reads_as_its_parent_does():
    data = signed(picture(), assertion(RESERVES))
    here = c2pa.read(data)
    with ProcessPoolExecutor(1, get_context("fork")) as pool:
        assert pool.submit(c2pa.read, data).result() == here
