"""What is written is read, by us, Exiv2 and Pillow; the pixels and all else in the file stay as they were."""

import io
import random
import re
import struct

import pyexiv2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from registry.errors import InputError
from registry.signals.containers import find_packets
from registry.signals.iptc import CONSTRAINTS, USES, VOCABULARY, DataMining, read_embedded
from registry.signals.parts import picture_kind
from registry.signals.writing import places
from registry.signals.writing.xmp import XmpRights, write_packet, write_preferences
from registry.signals.xmp import DC, PLUS, RIGHTS, TDM, as_utf8, parse
from tests.core.signals.packets import (
    EXTENDED,
    FORMATS,
    STANDARD,
    chunk,
    extended,
    image,
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

PROHIBITED = XmpRights(DataMining.PROHIBITED)
FULL = XmpRights(
    DataMining.SEE_CONSTRAINT,
    constraints="Ask <me> & “Ada” first",
    web_statement="https://example.org/terms?a=1&b=2",
    reservation=True,
    policy="https://example.org/policy.json",
)
POINTED_TO = packet(
    "<Iptc4xmpExt:EmbdEncRightsExpr><rdf:Bag><rdf:li Iptc4xmpExt:EncRightsExpr='e'/></rdf:Bag>"
    "</Iptc4xmpExt:EmbdEncRightsExpr><Iptc4xmpExt:LinkedEncRightsExpr><rdf:Bag>"
    "<rdf:li Iptc4xmpExt:LinkedRightsExpr='https://example.org/odrl'/></rdf:Bag></Iptc4xmpExt:LinkedEncRightsExpr>"
).encode()


def pixels(data: bytes) -> tuple:
    with Image.open(io.BytesIO(data)) as opened:
        return opened.mode, opened.size, opened.tobytes()


def by_exiv2(data: bytes) -> dict:
    with pyexiv2.ImageData(data) as opened:
        return opened.read_xmp()


def by_pillow(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as opened:
        opened.load()
        found = opened.info.get("xmp") or opened.info.get("XML:com.adobe.xmp")
        return found.encode() if isinstance(found, str) else found


def said(data: bytes) -> list[str]:
    embedded = read_embedded(data)
    assert embedded.reading.faults == ()
    return [one.signal.said for one in embedded.reading.statements]


@pytest.mark.parametrize("code", list(DataMining), ids=str)
@pytest.mark.parametrize("form", ["new", "attribute", "element", "described"])
@pytest.mark.parametrize("kind", FORMATS)
def test_every_value_is_written_into_every_format(kind, form, code):
    there = {"new": b"", "described": POINTED_TO}.get(form) or (
        b"" if form == "new" else mined("DMI-X", form)
    )
    if form == "described" or code not in (DataMining.SEE_EMBEDDED, DataMining.SEE_LINKED):
        values = XmpRights(code, constraints="Ask" if code in CONSTRAINTS else "")
        before = picture(kind, there)
        written = write_preferences(before, values)
        assert said(written) == ([str(code)] if USES[code] else [])
        assert by_exiv2(written)["Xmp.plus.DataMining"] == VOCABULARY + code
        assert parse(by_pillow(written))[PLUS, "DataMining"] == (VOCABULARY + code,)
        assert pixels(written) == pixels(before)
        assert picture_kind(written) == kind.lower()


@pytest.mark.parametrize("kind", FORMATS)
def test_all_that_is_named_is_written(kind):
    written = write_preferences(picture(kind), FULL)
    found = by_exiv2(written)
    assert found["Xmp.plus.OtherConstraints"] == {'lang="x-default"': FULL.constraints}
    assert found["Xmp.xmpRights.WebStatement"] == FULL.web_statement
    embedded = read_embedded(written)
    assert embedded.tdm == {"tdm-reservation": ("1",), "tdm-policy": (FULL.policy,)}
    assert [one.terms for one in embedded.reading.statements] == [FULL.constraints]


@pytest.mark.parametrize("kind", FORMATS)
def test_writing_twice_is_writing_once(kind):
    once = write_preferences(picture(kind, POINTED_TO), FULL)
    again = write_preferences(once, FULL)
    assert [one.raw for one in find_packets(again).packets] == [one.raw for one in find_packets(once).packets]
    assert said(write_preferences(again, PROHIBITED)) == ["DMI-PROHIBITED"]


@pytest.mark.parametrize("kind", FORMATS)
def test_what_exiv2_wrote_beside_it_stays(kind):
    there = {
        "Xmp.dc.title": {'lang="x-default"': "A & B", 'lang="de"': "Ä"},
        "Xmp.dc.subject": ["one", "two"],
        "Xmp.xmp.CreatorTool": "x\ny",
        "Xmp.plus.DataMining": f"{VOCABULARY}DMI-ALLOWED",
    }
    with pyexiv2.ImageData(picture(kind)) as opened:
        opened.modify_xmp(there)
        opened.modify_exif({"Exif.Image.Artist": "Ada"})
        opened.modify_iptc({"Iptc.Application2.Caption": "c"}) if kind in ("JPEG", "TIFF") else None
        before = opened.get_bytes()
    kept = by_exiv2(before)
    written = write_preferences(before, PROHIBITED)
    assert by_exiv2(written) == {**kept, "Xmp.plus.DataMining": f"{VOCABULARY}DMI-PROHIBITED"}
    with pyexiv2.ImageData(written) as after, pyexiv2.ImageData(before) as first:
        exif, before_exif = after.read_exif(), first.read_exif()
        # In a TIFF the packet is an entry among those of Exif.
        assert {**exif, "Exif.Image.XMLPacket": ""} == {**before_exif, "Exif.Image.XMLPacket": ""}
        assert exif["Exif.Image.Artist"] == "Ada"
        assert after.read_iptc() == first.read_iptc()
    assert pixels(written) == pixels(before)


# -- the packet ------------------------------------------------------------------------------------

KEPT = {
    "attributes with character references": ("", 'dc:title="a&#xA;b" dc:rights="plus:DataMining = \'x\'"'),
    "comments and instructions": ("<!-- c --><?p i?><dc:title>a</dc:title>", ""),
    "an ingredient's own value": (
        f"<xmpMM:Pantry><rdf:Bag><rdf:li><rdf:Description plus:DataMining='{VOCABULARY}DMI-ALLOWED'/>"
        "</rdf:li></rdf:Bag></xmpMM:Pantry>",
        "",
    ),
    "another namespace's DataMining": ("<dc:DataMining>a</dc:DataMining>", 'dc:DataMining="b"'),
    "a text with the sign >": ("", 'dc:title="a > b"'),
}


@pytest.mark.parametrize("old", ["", f'plus:DataMining="{VOCABULARY}DMI-ALLOWED"'], ids=["new", "changed"])
@pytest.mark.parametrize("name", KEPT)
def test_the_rest_of_the_packet_stays_byte_for_byte(name, old):
    elements, attributes = KEPT[name]
    before = packet(elements, f"{attributes} {old}").encode()
    written = write_packet(before, PROHIBITED)
    kept = re.sub(rb"\s+" + old.encode(), b"", before) if old else before
    head, _, tail = kept.partition(b"</rdf:RDF>")
    assert written.startswith(head)
    assert written.endswith(b"</rdf:RDF>" + tail)
    assert f"{VOCABULARY}DMI-PROHIBITED" in parse(written)[PLUS, "DataMining"]


OLD = {
    "attribute": packet(attributes=f'plus:DataMining="{VOCABULARY}DMI-ALLOWED"'),
    "attribute with single quotes": packet(attributes=f"plus:DataMining = '{VOCABULARY}DMI-ALLOWED'"),
    "attribute of another prefix": packet(attributes='plus:DataMining="x"').replace("plus", "p-1"),
    "element": packet("<plus:DataMining>x</plus:DataMining>"),
    "element with resource": packet('<plus:DataMining rdf:resource="x"/>'),
    "element with children": packet(
        "<plus:DataMining><rdf:Bag><rdf:li>x</rdf:li></rdf:Bag></plus:DataMining>"
    ),
    "several": packet("<plus:DataMining>x</plus:DataMining><plus:DataMining>y</plus:DataMining>"),
    "https namespace": packet(attributes='plus:DataMining="x"').replace("http://ns.use", "https://ns.use"),
    "no description": packet().replace('<rdf:Description rdf:about="" ></rdf:Description>', ""),
    "an empty root": packet(wrapped=False).replace(
        '><rdf:Description rdf:about="" ></rdf:Description></rdf:RDF>', " />"
    ),
    "an empty root without a space": packet(wrapped=False).replace(
        '><rdf:Description rdf:about="" ></rdf:Description></rdf:RDF>', "/>"
    ),
    "an empty meta": '<x:xmpmeta xmlns:x="adobe:ns:meta/"/>',
    "nothing": "",
    "utf-16": packet("<plus:DataMining>x</plus:DataMining>"),
    "declared latin-1": '<?xml version="1.0" encoding="ISO-8859-1"?>'
    + packet("<dc:title>ü</dc:title>", wrapped=False),
}
ENCODED = {"utf-16": "utf-16", "declared latin-1": "latin-1"}


@pytest.mark.parametrize("name", OLD)
def test_older_values_give_way(name):
    before = OLD[name].encode(ENCODED.get(name, "utf-8"))
    written = write_packet(before, XmpRights(DataMining.SEE_CONSTRAINT, constraints="Für 𝄞"))
    found = parse(written)
    assert found[PLUS, "DataMining"] == (f"{VOCABULARY}DMI-PROHIBITED-SEECONSTRAINT",)
    assert found[PLUS, "OtherConstraints"] == ("Für 𝄞",)
    roots = re.findall(rb"<rdf:RDF.*?</rdf:RDF>", write_packet(as_utf8(before), PROHIBITED), re.DOTALL)
    assert [one.count(b"DMI-PROHIBITED") for one in roots] == [1]
    if "title" in OLD[name]:
        assert found[DC, "title"] == ("ü",)


def test_the_new_description_is_about_the_same():
    before = packet("<dc:title>a</dc:title>").replace('about=""', 'about="uuid:1&amp;2"').encode()
    assert write_packet(before, PROHIBITED).count(b'rdf:about="uuid:1&amp;2"') == 2


def test_what_is_not_named_stays():
    before = write_packet(b"", FULL)
    after = parse(write_packet(before, XmpRights(DataMining.PROHIBITED)))
    before_properties = parse(before)
    assert {name for name in after if after[name] != before_properties[name]} == {(PLUS, "DataMining")}


def test_a_reservation_that_is_lifted_takes_its_policy_along():
    after = read_embedded(
        b"", write_packet(write_packet(b"", FULL), XmpRights(DataMining.ALLOWED, reservation=False))
    )
    assert after.tdm == {"tdm-reservation": ("0",)}


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), min_size=1))
def test_any_text_is_written_as_it_is(text):
    values = XmpRights(DataMining.PROHIBITED, constraints=f"a{text}b")
    assert parse(write_packet(b"", values))[PLUS, "OtherConstraints"] == (f"a{text}b",)


ELEMENTS = st.sampled_from(
    [
        "<dc:title>a</dc:title>",
        "<dc:title rdf:resource='b'/>",
        "<plus:DataMining>x</plus:DataMining>",
        "<plus:DataMining rdf:resource='y'/>",
        "<plus:OtherConstraints>z</plus:OtherConstraints>",
        "<tdm:reservation>1</tdm:reservation>",
        "<xmpMM:Pantry rdf:parseType='Resource'><dc:rights>c</dc:rights></xmpMM:Pantry>",
        "<!-- <plus:DataMining> -->",
        "\n ",
    ]
)
ATTRIBUTES = ('dc:rights="d"', "plus:DataMining='>'", 'tdm:policy="e"', "plus:Licensor = 'f'")
DESCRIPTIONS = st.tuples(st.lists(ELEMENTS, max_size=4), st.lists(st.sampled_from(ATTRIBUTES), unique=True))


@given(st.lists(DESCRIPTIONS, min_size=1, max_size=3))
def test_in_any_packet_the_new_values_stand_alone_and_all_others_stay(drawn):
    descriptions = [packet("".join(inner), " ".join(outer), wrapped=False) for inner, outer in drawn]
    inside = [one.partition('syntax-ns#">')[2].partition("</rdf:RDF>")[0] for one in descriptions]
    before = descriptions[0].replace(inside[0], "".join(inside)).encode()
    written = write_packet(before, FULL)
    told = {
        (PLUS, "DataMining"): f"{VOCABULARY}{FULL.data_mining}",
        (PLUS, "OtherConstraints"): FULL.constraints,
    }
    told |= {
        (TDM, "reservation"): "1",
        (TDM, "policy"): FULL.policy,
        (RIGHTS, "WebStatement"): FULL.web_statement,
    }
    kept = {name: values for name, values in parse(before).items() if name not in told}
    assert parse(written) == {**kept, **{name: (value,) for name, value in told.items()}}
    assert write_packet(written, FULL) == written


@pytest.mark.parametrize("kind", FORMATS)
@given(seed=st.integers(0, 2**32), cut=st.floats(0.5, 1))
def test_into_a_damaged_picture_it_is_written_or_refused(kind, seed, cut):
    data, draw = bytearray(picture(kind, mined("DMI-ALLOWED"))), random.Random(seed)
    del data[int(cut * len(data)) :]
    for _ in range(draw.randrange(4)):
        data[draw.randrange(min(len(data), 200))] = draw.randrange(256)
    try:
        written = write_preferences(bytes(data), PROHIBITED)
    except InputError as error:
        assert error.message  # noqa: PT017 - anything else that is raised fails the test
    else:
        assert "DMI-PROHIBITED" in said(written)


# -- what is refused -------------------------------------------------------------------------------

C2PA = {
    "jpeg": jpeg(segment(b"JP\0\1\0\0\0\1" + struct.pack(">I4s", 40, b"jumb") + bytes(32), 0xEB)),
    "png": png(chunk(b"caBX", b"\0\0\0\x28jumb" + bytes(32))),
    "webp": webp((b"C2PA", b"\0\0\0\x28jumb" + bytes(32))),
    "tiff": tiff([(0xCD41, 7, b"\0\0\0\x28jumb" + bytes(32))]),
}
FULL_GUID, FULL_PIECES = extended(mined("DMI-ALLOWED"))
INDEX = segment(b"MPF\0MM\0*\0\0\0\x08", 0xE2)
REFUSED = {
    **{f"C2PA in {kind}": (data, PROHIBITED, "C2PA manifest") for kind, data in C2PA.items()},
    "gif": (picture("GIF"), PROHIBITED, "no JPEG, PNG, WebP or TIFF"),
    "nothing": (b"", PROHIBITED, "no JPEG"),
    "jpeg cut off": (picture("JPEG")[:200], PROHIBITED, "JPEG is damaged at byte"),
    "png cut off": (picture("PNG")[:-20], PROHIBITED, "PNG is damaged at byte"),
    "webp cut off": (picture("WEBP")[:-4], PROHIBITED, "WEBP is damaged at byte 12"),
    "webp without a picture": (b"RIFF\x0e\0\0\0WEBPJUNK\2\0\0\0ab", PROHIBITED, "begins with b'JUNK'"),
    "webp without anything": (b"RIFF\x04\0\0\0WEBP", PROHIBITED, "WEBP is damaged"),
    "tiff without a directory": (b"II*\0\xff\0\0\0", PROHIBITED, "no directory"),
    "xmp that is broken": (png(itxt(b"<a>")), PROHIBITED, "not well-formed"),
    "xmp that is cut short": (picture("JPEG", mined("DMI-X"))[:60], PROHIBITED, "cut short"),
    "xmp that is no RDF": (png(itxt(b"<a b:c='d' xmlns:b='e'/>")), PROHIBITED, "no rdf:RDF"),
    "no room in the segment": (
        jpeg(segment(STANDARD + packet("<dc:title>" + "x" * 65_000 + "</dc:title>").encode())),
        PROHIBITED,
        "65502 fit",
    ),
    "extended xmp says otherwise": (jpeg(*FULL_PIECES), PROHIBITED, "Extended XMP"),
    "exif says otherwise": (
        jpeg(segment(b"Exif\0\0" + tiff([(700, 1, mined("DMI-ALLOWED"))]))),
        PROHIBITED,
        "TIFF entry at byte",
    ),
    "an index before the packet": (
        jpeg(INDEX, segment(STANDARD + mined("DMI-ALLOWED"))),
        PROHIBITED,
        "index of several pictures",
    ),
    "a policy without a reservation": (
        picture("PNG"),
        XmpRights(DataMining.PROHIBITED, policy="https://example.org"),
        "no reservation",
    ),
    "constraints that are not there": (
        picture("PNG"),
        XmpRights(DataMining.SEE_CONSTRAINT),
        "OtherConstraints",
    ),
    "an expression that is not there": (picture("PNG"), XmpRights(DataMining.SEE_LINKED), "LinkedRightsExpr"),
    "a control character": (
        picture("PNG"),
        XmpRights(DataMining.PROHIBITED, constraints="a\x07"),
        "plus:OtherConstraints: U+0007 at character 1",
    ),
    "half a pair": (picture("PNG"), XmpRights(DataMining.PROHIBITED, web_statement="\ud800"), "U+D800"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_written_is_refused_by_name(name):
    data, values, says = REFUSED[name]
    with pytest.raises(InputError) as raised:
        write_preferences(data, values)
    assert says in raised.value.message
    assert raised.value.hint or "XMP is" in raised.value.message


def test_a_classic_tiff_does_not_grow_beyond_its_offsets(monkeypatch):
    monkeypatch.setattr(places, "_MAX_CLASSIC", 1000)
    with pytest.raises(InputError, match="beyond 4 GiB"):
        write_preferences(picture("TIFF"), PROHIBITED)
    write_preferences(tiff([(256, 1, b"\1")], big=True), PROHIBITED)


# -- the places ------------------------------------------------------------------------------------


def without(data: bytes, *gone: bytes) -> bytes:
    for one in gone:
        assert data.count(one) == 1
        data = data.replace(one, b"")
    return data


def fresh() -> bytes:
    return write_packet(b"", PROHIBITED)


def test_in_a_jpeg_it_stands_after_exif_and_nothing_else_moves():
    head = segment(b"JFIF\0\1\1\0\0\1\0\1\0\0", 0xE0) + segment(b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0")
    rest = segment(b"ICC_PROFILE\0\1\1", 0xE2) + INDEX
    before = jpeg(head, rest) + b"after the end"
    written = write_preferences(before, PROHIBITED)
    ours = segment(STANDARD + fresh())
    assert written.index(ours) == 2 + len(head)
    assert without(written, ours) == before


def test_padding_gives_way_when_a_segment_is_full():
    full = packet("<dc:title>a</dc:title>").replace("<?xpacket end", " " * 65_000 + "<?xpacket end").encode()
    written = write_preferences(jpeg(segment(STANDARD + full)), PROHIBITED)
    (one,) = find_packets(written).packets
    assert len(one.raw) < 2000
    assert said(written) == ["DMI-PROHIBITED"]


def test_extended_xmp_is_kept():
    raw = packet("<dc:title>long</dc:title>", wrapped=False).encode()
    guid, pieces = extended(raw)
    main = packet(attributes=f'xmpNote:HasExtendedXMP="{guid}"').encode()
    written = write_preferences(jpeg(segment(STANDARD + main), *pieces), PROHIBITED)
    assert [one.raw for one in find_packets(written).packets][1:] == [raw]
    assert written.count(EXTENDED) == len(pieces)
    assert said(written) == ["DMI-PROHIBITED"]


@pytest.mark.parametrize(
    "two",
    [
        jpeg(segment(STANDARD + mined("DMI-ALLOWED")), segment(STANDARD + mined("DMI-X", "element"))),
        png(itxt(mined("DMI-ALLOWED"), packed=True), itxt(mined("DMI-X")), late=True),
        png(chunk(b"tEXt", b"Raw profile type xmp\0" + profile(mined("DMI-X"))), itxt(mined("DMI-ALLOWED"))),
        webp((b"XMP ", mined("DMI-ALLOWED")), (b"XMP\0", mined("DMI-X"))),
    ],
    ids=["jpeg", "png", "png with a profile", "webp"],
)
def test_of_two_packets_both_are_changed(two):
    written = write_preferences(two, PROHIBITED)
    assert len(find_packets(written).packets) == 2
    assert said(written) == ["DMI-PROHIBITED"]
    assert pixels(written) == pixels(two)


def test_in_a_png_it_stands_after_the_header_and_nothing_else_moves():
    before = png(chunk(b"tEXt", b"Title\0t")) + b"after the end"
    written = write_preferences(before, PROHIBITED)
    assert written.index(itxt(fresh())) == 33
    assert without(written, itxt(fresh())) == before


SIMPLE = {
    "lossy": {"quality": 50},
    "lossless": {"lossless": True},
    "lossless with alpha": {"lossless": True, "alpha": True},
    "lossy with alpha": {"quality": 50, "alpha": True},
    "animated": {"save_all": True, "append_images": [image().rotate(90)]},
}


@pytest.mark.parametrize("name", SIMPLE)
@pytest.mark.parametrize("size", [(24, 16), (1, 1), (301, 7)], ids=["small", "one", "odd"])
def test_a_webp_of_every_kind_becomes_an_extended_one(name, size):
    options = dict(SIMPLE[name])
    picture_ = image().resize(size)
    if options.pop("alpha", False):
        picture_.putalpha(Image.linear_gradient("L").resize(size))
    if "append_images" in options:
        options["append_images"] = [picture_.rotate(90)]
    made = io.BytesIO()
    picture_.save(made, "WEBP", **options)
    before = made.getvalue() + b"after the end"
    written = write_preferences(before, PROHIBITED)
    assert pixels(written) == pixels(before)
    assert written.endswith(b"after the end")
    with pyexiv2.ImageData(written) as opened:
        assert (opened.get_pixel_width(), opened.get_pixel_height()) == size
        assert opened.read_xmp()["Xmp.plus.DataMining"].endswith("DMI-PROHIBITED")
    assert written.index(b"VP8X") == 12
    assert written[20] & 4


@pytest.mark.parametrize(
    "options", [{}, {"compression": "tiff_lzw"}, {"save_all": True}], ids=["raw", "lzw", "pages"]
)
def test_a_tiff_keeps_its_bytes_and_its_pages(options):
    if options.get("save_all"):
        options = {**options, "append_images": [image().rotate(90)]}
    before = picture("TIFF", **options)
    written = write_preferences(before, PROHIBITED)
    assert written[8 : len(before)] == before[8:]
    with Image.open(io.BytesIO(written)) as after, Image.open(io.BytesIO(before)) as first:
        assert after.n_frames == first.n_frames
        for page in range(first.n_frames):
            after.seek(page)
            first.seek(page)
            assert after.tobytes() == first.tobytes()


@pytest.mark.parametrize("big", [False, True], ids=["classic", "big"])
@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big endian"])
@pytest.mark.parametrize("there", [b"", b"x" * 3, mined("DMI-ALLOWED")], ids=["new", "in the entry", "there"])
def test_a_tiff_of_every_form_is_written(big, order, there):
    entries = [(256, 1, b"\1"), *([(700, 1, there)] if len(there) > 3 else []), (34_000, 1, b"a value kept")]
    written = write_preferences(tiff(entries, [(256, 1, b"\2")], order=order, big=big), PROHIBITED)
    assert said(written) == ["DMI-PROHIBITED"]
    assert b"a value kept" in written
    assert b"DMI-ALLOWED" not in written
    assert len(find_packets(written).packets) == 1


def test_in_a_tiff_the_packet_stays_where_it_fits():
    there = packet(attributes=f'plus:DataMining="{VOCABULARY}DMI-X"').replace(
        "<?xpacket e", " " * 2000 + "<?xpacket e"
    )
    before = tiff([(700, 1, there.encode())])
    shorter = before.replace(b" " * 1000, b"", 1)
    assert len(shorter) < len(before)
    written = write_preferences(before, PROHIBITED)
    assert said(written) == ["DMI-PROHIBITED"]
    assert b"DMI-X" not in written
