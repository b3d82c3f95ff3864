"""XMP is found wherever a format keeps it, whole or as a fault by name."""

import random
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.preference import Status
from registry.signals import containers
from registry.signals.containers import find_packets
from registry.signals.parts import picture_kind
from tests.core.signals.packets import (
    BEGIN,
    END,
    EXTENDED,
    FORMATS,
    STANDARD,
    chunk,
    extended,
    itxt,
    jpeg,
    mined,
    packet,
    picture,
    png,
    profile,
    segment,
    tiff,
    webp,
)

XMP = mined("DMI-PROHIBITED")
OTHER = mined("DMI-ALLOWED", "element")
BARE = packet(attributes='plus:DataMining="x"', wrapped=False).encode()
LONG = packet(f"<dc:title>{'long ' * 30_000}</dc:title>", wrapped=False).encode()
GUID, PIECES = extended(LONG)
EXIF = tiff([(271, 2, b"maker"), (700, 1, XMP)])


def wide(text: bytes, encoding: str) -> bytes:
    return text.decode().encode(encoding)


FOUND = {
    "jpeg": (jpeg(segment(STANDARD + XMP)), [XMP]),
    "jpeg by Pillow": (picture("JPEG", XMP), [XMP]),
    "jpeg, two packets": (jpeg(segment(STANDARD + XMP), segment(STANDARD + OTHER)), [XMP, OTHER]),
    "jpeg, packet last before the scan": (
        (lambda whole, at: whole[:at] + segment(STANDARD + XMP) + whole[at:])(
            picture("JPEG"), picture("JPEG").index(b"\xff\xda")
        ),
        [XMP],
    ),
    "jpeg, fill bytes before the marker": (jpeg(b"\xff\xff\xff" + segment(STANDARD + XMP)), [XMP]),
    "jpeg, junk before the marker": (jpeg(b"junk" + segment(STANDARD + XMP)), [XMP]),
    "jpeg, a segment header that was spoilt": (jpeg(segment(b"XMP\0://ns.adobe.com/\0" + XMP)), [XMP]),
    "jpeg, a segment header that was spoilt, without marks": (
        jpeg(segment(b"XMP\0://ns.adobe.com/\0" + BARE)),
        [BARE],
    ),
    "jpeg, in Exif": (jpeg(segment(b"Exif\0\0" + EXIF)), [XMP]),
    "jpeg, extended": (jpeg(segment(STANDARD + XMP), *PIECES), [XMP, LONG]),
    "jpeg, extended, pieces shuffled": (jpeg(*PIECES[::-1], segment(STANDARD + XMP)), [XMP, LONG]),
    "jpeg, extended, GUID in lower case": (
        jpeg(*[one.replace(GUID.encode(), GUID.lower().encode()) for one in PIECES]),
        [LONG],
    ),
    "jpeg, cut off within its pixels": (picture("JPEG", XMP)[:-100], [XMP]),
    "jpeg, a length of 0 before the packet": (jpeg(b"\xff\xe2\0\0" + segment(STANDARD + XMP)), [XMP]),
    "jpeg, a length that leads out of the file": (jpeg(b"\xff\xe2\xff\xff" + segment(STANDARD + XMP)), [XMP]),
    "png, iTXt": (png(itxt(XMP)), [XMP]),
    "png, iTXt compressed": (png(itxt(XMP, packed=True)), [XMP]),
    "png, iTXt after the pixels": (png(itxt(XMP), late=True), [XMP]),
    "png, zTXt": (png(chunk(b"zTXt", b"XML:com.adobe.xmp\0\0" + zlib.compress(XMP))), [XMP]),
    "png, raw profile in zTXt": (
        png(chunk(b"zTXt", b"Raw profile type xmp\0\0" + zlib.compress(profile(XMP)))),
        [XMP],
    ),
    "png, raw profile in tEXt": (png(chunk(b"tEXt", b"Raw profile type xmp\0" + profile(XMP))), [XMP]),
    "png, raw profile in iTXt": (png(itxt(profile(XMP), keyword=b"Raw profile type xmp")), [XMP]),
    "png, raw profile APP1": (
        png(chunk(b"tEXt", b"Raw profile type APP1\0" + profile(STANDARD + XMP, b"APP1"))),
        [XMP],
    ),
    "png, raw profile APP1 with Exif": (
        png(chunk(b"tEXt", b"Raw profile type APP1\0" + profile(b"Exif\0\0II*\0", b"APP1"))),
        [],
    ),
    "png, raw profile APP1 with neither": (
        png(chunk(b"tEXt", b"Raw profile type APP1\0" + profile(b"MMMM", b"generic profile"))),
        [],
    ),
    "png, raw profile APP1 with Exif and XMP in it": (
        png(chunk(b"tEXt", b"Raw profile type APP1\0" + profile(EXIF, b"generic profile"))),
        [XMP],
    ),
    "png, raw profile exif": (
        png(
            chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile(b"Exif\0\0" + EXIF, b"exif")))
        ),
        [XMP],
    ),
    "png, in Exif": (png(chunk(b"eXIf", EXIF)), [XMP]),
    "png, two packets": (png(itxt(XMP), itxt(OTHER), late=True), [XMP, OTHER]),
    "png, other texts": (png(itxt(XMP, keyword=b"Comment"), chunk(b"tEXt", b"no keyword")), []),
    "png, cut off within its pixels": (png(itxt(XMP))[:-40], [XMP]),
    "png, a broken chunk before the packet": (
        png(chunk(b"tEXt", b"a\0b").replace(b"tEXt", b"t\0Xt") + itxt(XMP)),
        [XMP],
    ),
    "webp": (webp((b"XMP ", XMP)), [XMP]),
    "webp, of odd length": (webp((b"XMP ", XMP + b" "), (b"XMP ", OTHER)), [XMP + b" ", OTHER]),
    "webp, beyond the size in its header": (webp((b"JUNK", b"1234")) + b"XMP " + XMP, [XMP]),
    "webp by Pillow": (picture("WEBP", XMP), [XMP]),
    "webp, the fourth letter a zero": (webp((b"XMP\0", XMP)), [XMP]),
    "webp, in Exif": (webp((b"EXIF", b"Exif\0\0" + EXIF)), [XMP]),
    "webp, in Exif without its header": (webp((b"EXIF", EXIF)), [XMP]),
    "webp, cut off after the packet": (webp((b"XMP ", XMP), (b"JUNK", b"12345678"))[:-4], [XMP]),
    "tiff by Pillow": (picture("TIFF", XMP), [XMP]),
    "tiff, little endian": (tiff([(700, 1, XMP)]), [XMP]),
    "tiff, big endian": (tiff([(700, 7, XMP)], order=">"), [XMP]),
    "bigtiff, little endian": (tiff([(256, 1, b"\1"), (700, 1, XMP)], big=True), [XMP]),
    "bigtiff, big endian": (tiff([(700, 1, XMP)], order=">", big=True), [XMP]),
    "tiff, a packet for each page": (
        tiff([(700, 1, XMP)], [(256, 1, b"\1")], [(700, 1, OTHER)]),
        [XMP, OTHER],
    ),
    "tiff, value in the entry": (tiff([(700, 1, b"<a/>")]), [b"<a/>"]),
    "tiff, directory out of the file": (b"II*\0\xff\xff\0\0" + XMP, [XMP]),
    "tiff, no directory": (b"MM\0*\0\0\0\0" + XMP, [XMP]),
    "tiff, directories in a ring": (
        (lambda one: one[:-4] + one[4:8])(tiff([(700, 1, XMP)])),
        [XMP],
    ),
    "gif": (picture("GIF")[:-1] + b"!\xff\x0bXMP DataXMP" + XMP + b"\1\xff\xfe\0\0;", [XMP]),
    "something else, utf-8": (b"?" * 99 + XMP + b"!" + OTHER, [XMP, OTHER]),
    "something else, without the packet's marks": (b"?" * 99 + BARE + b"!", [BARE]),
    "something else, the older name": (
        b"?" + BARE.replace(b"xmpmeta", b"xapmeta"),
        [BARE.replace(b"xmpmeta", b"xapmeta")],
    ),
    **{
        f"something else, {encoding}": (b"?" * 9 + wide(XMP, encoding) + b"!", [wide(XMP, encoding)])
        for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
    },
    "nothing": (b"", []),
    "no picture": (b"text", []),
    **{f"{kind} without": (picture(kind), []) for kind in FORMATS},
}


@pytest.mark.parametrize("name", FOUND)
def test_packets_are_found_whole(name):
    data, expected = FOUND[name]
    found = find_packets(data)
    assert [one.raw for one in found.packets] == expected
    assert found.faults == ()


def swapped(data: bytes, old: bytes, new: bytes) -> bytes:
    assert data.count(old) == 1
    return data.replace(old, new)


BROKEN = {
    "jpeg, cut off within the packet": (jpeg(segment(STANDARD + XMP))[:100], "cut short"),
    "jpeg, cut off within a piece": (jpeg(PIECES[0])[:200], "cut short"),
    "jpeg, a piece without its header": (jpeg(segment(EXTENDED + b"0" * 20)), "too short for its header"),
    "jpeg, a piece missing": (jpeg(PIECES[0], *PIECES[2:]), "incomplete: expected byte 40000"),
    "jpeg, the last piece missing": (jpeg(*PIECES[:-1]), "incomplete: expected 150"),
    "jpeg, a piece twice": (jpeg(PIECES[0], *PIECES), "incomplete"),
    "jpeg, two totals": (jpeg(*PIECES[:-1], extended(LONG, total=7)[1][-1]), "incomplete"),
    "jpeg, another MD5": (jpeg(*[one.replace(b"long", b"gone") for one in PIECES]), "its MD5 is not"),
    "png, cut off within the packet": (png(itxt(XMP))[:150], "cut short"),
    "png, cut off within the compressed packet": (png(itxt(XMP, packed=True))[:90], "cut short"),
    "png, zlib ends too soon": (
        png(chunk(b"zTXt", b"XML:com.adobe.xmp\0\0" + zlib.compress(XMP)[:-9])),
        "cannot be unpacked: it is cut short",
    ),
    "png, no zlib": (png(chunk(b"zTXt", b"XML:com.adobe.xmp\0\0" + XMP)), "cannot be unpacked: Error"),
    "png, no text": (png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0en")), "before its text begins"),
    "png, profile of another length": (
        png(chunk(b"tEXt", b"Raw profile type xmp\0" + profile(XMP, length=5))),
        "expected 5 bytes",
    ),
    "png, profile without a length": (
        png(chunk(b"tEXt", b"Raw profile type xmp\0\nxmp\n3c\n")),
        "expected 3c bytes",
    ),
    "png, profile not hexadecimal": (
        png(chunk(b"tEXt", b"Raw profile type xmp\0\nxmp\n    2\n3cXX\n")),
        "not hexadecimal",
    ),
    "webp, cut off within the packet": (webp((b"XMP ", XMP))[:-90], "cut short"),
    "tiff, packet out of the file": (
        swapped(
            tiff([(700, 1, XMP)]), struct.pack("<HHI", 700, 1, len(XMP)), struct.pack("<HHI", 700, 1, 10**6)
        ),
        "cut short",
    ),
    "something else, packet without its end": (b"?" + XMP.replace(END.encode(), b""), "it has no end"),
    "something else, meta without its end": (b"?" + BARE[:-5].replace(b"</x:", b""), "it has no end"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_had_is_a_fault_by_name(name):
    data, says = BROKEN[name]
    found = find_packets(data)
    assert [(one.protocol, one.status) for one in found.faults] == [("xmp", Status.MALFORMED)], found
    assert says in found.faults[0].message


def bomb(size: int) -> bytes:
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(b" " * 2**20) for _ in range(size >> 20)) + packer.flush()


BOMB = chunk(b"zTXt", b"XML:com.adobe.xmp\0\0" + bomb(2**26))
TOO_MUCH = {
    "a compressed text": png(BOMB),
    "many compressed texts": png(*[BOMB] * 40),
    "profiles that say nothing": png(
        *[
            chunk(
                b"zTXt",
                b"Raw profile type APP1\0\0" + zlib.compress(profile(b"Exif\0\0" + bytes(2**22), b"APP1"), 1),
            )
        ]
        * 3
    ),
    "one packet": b"?" + BEGIN.encode() + b" " * 2**24 + END.encode(),
    "many packets": XMP * 300,
    "many packets in segments": jpeg(*[segment(STANDARD + XMP)] * 300),
    "many segments": jpeg(*[b"\xff\xe2\0\2"] * 100_001),
    "much that is damaged": png(*[chunk(b"zTXt", b"XML:com.adobe.xmp\0\0?")] * 50),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_beyond_its_bounds_it_says_so(name):
    found = find_packets(TOO_MUCH[name])
    assert any(one.status is Status.ERROR and "at most" in one.message for one in found.faults)
    assert len(found.faults) < 20
    assert sum(len(one.raw) for one in found.packets) <= containers.MAX_XMP
    assert len(found.packets) <= containers.MAX_PACKETS


def test_more_than_is_searched_is_a_fault(monkeypatch):
    monkeypatch.setattr(containers, "MAX_SEARCHED", 1000)
    assert [one.raw for one in find_packets(b"?" * (1000 - len(XMP)) + XMP).packets] == [XMP]
    faults = find_packets(b"?" * (1001 - len(XMP)) + XMP).faults
    assert [(one.status, one.message[:19]) for one in faults] == [(Status.ERROR, "at most 1000 bytes ")]


def test_the_place_of_a_packet_is_told():
    data = png(itxt(XMP))
    (one,) = find_packets(data).packets
    assert one.place == "PNG iTXt at byte 33"
    (one,) = find_packets(jpeg(segment(STANDARD + XMP))).packets
    assert (one.place, one.at) == ("JPEG APP1 at byte 2", 2 + 4 + len(STANDARD))


@pytest.mark.parametrize(("kind", "name"), [(k, k.lower()) for k in FORMATS] + [("GIF", ""), ("BMP", "")])
def test_the_kind_is_told_by_the_first_bytes(kind, name):
    assert picture_kind(picture(kind)) == name


def test_the_guids_are_those_of_all_pieces():
    assert find_packets(jpeg(*PIECES[:-1])).guids == {GUID}
    assert find_packets(jpeg()).guids == frozenset()


WHOLE = {kind: picture(kind, XMP) for kind in (*FORMATS,)} | {"extended": FOUND["jpeg, extended"][0]}


@pytest.mark.parametrize("kind", WHOLE)
@given(cut=st.floats(0, 1))
def test_a_file_cut_anywhere_loses_no_packet_in_silence(kind, cut):
    data = WHOLE[kind]
    found = find_packets(data[: int(cut * len(data))])
    begun = XMP[:80] in data[: int(cut * len(data))]
    assert found.packets or found.faults or not begun


@pytest.mark.parametrize("kind", WHOLE)
@given(seed=st.integers(0, 2**32), flips=st.integers(1, 8))
def test_damage_anywhere_never_raises(kind, seed, flips):
    data, draw = bytearray(WHOLE[kind]), random.Random(seed)
    for _ in range(flips):
        data[draw.randrange(len(data))] = draw.randrange(256)
    find_packets(bytes(data))


@given(
    st.binary(max_size=200),
    st.sampled_from([b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF\xff\0\0\0WEBP", b"II*\0", b""]),
)
def test_any_bytes_are_read_without_an_exception(rest, head):
    found = find_packets(head + rest)
    assert b"<?xpacket" in rest or b"<x:x" in rest or not found.packets or head == b"II*\0"


def test_packed_xmp_of_a_jpeg_xl_is_a_fault():
    data = b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0\0\0\x10brobxml \x8b\0\0\0"
    assert ["packed (brob)" in one.message for one in find_packets(data).faults] == [True]
