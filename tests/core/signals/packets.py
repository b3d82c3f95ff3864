"""Packets of XMP and pictures with them, for the tests of whoever reads or writes XMP."""

import hashlib
import io
import struct
import zlib
from collections.abc import Iterable

from PIL import Image, PngImagePlugin

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")
PLUS = "http://ns.useplus.org/ldf/xmp/1.0/"
VOCABULARY = "http://ns.useplus.org/ldf/vocab/"
STANDARD = b"http://ns.adobe.com/xap/1.0/\0"
EXTENDED = b"http://ns.adobe.com/xmp/extension/\0"
BEGIN = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
END = '<?xpacket end="w"?>'
NAMESPACES = {
    "plus": PLUS,
    "tdm": "http://www.w3.org/ns/tdmrep/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "cc": "http://creativecommons.org/ns#",
    "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
    "xmpNote": "http://ns.adobe.com/xmp/note/",
    "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
}


def packet(elements: str = "", attributes: str = "", wrapped: bool = True) -> str:
    """A packet whose one description has these attributes and elements."""
    names = "".join(
        f' xmlns:{prefix}="{address}"'
        for prefix, address in NAMESPACES.items()
        if f"{prefix}:" in elements + attributes
    )
    text = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about=""{names} {attributes}>{elements}</rdf:Description>'
        "</rdf:RDF></x:xmpmeta>"
    )
    return f"{BEGIN}{text}{END}" if wrapped else text


def mined(code: str, form: str = "attribute") -> bytes:
    """A packet with this value of plus:DataMining, in one of the two forms that RDF has for it."""
    uri = VOCABULARY + code
    text = {
        "attribute": packet(attributes=f'plus:DataMining="{uri}"'),
        "element": packet(f"<plus:DataMining>{uri}</plus:DataMining>"),
    }[form]
    return text.encode()


def image() -> Image.Image:
    return Image.radial_gradient("L").resize((24, 16)).convert("RGB")


def picture(kind: str, xmp: bytes = b"", **options: object) -> bytes:
    """A small picture, with the packet where Pillow puts it."""
    return saved(image(), kind, xmp, **options)


def saved(image: Image.Image, kind: str, xmp: bytes = b"", **options: object) -> bytes:
    """The picture as a file, with the packet where Pillow puts it."""
    made = io.BytesIO()
    if xmp and kind == "PNG":
        texts = PngImagePlugin.PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", xmp.decode())
        options["pnginfo"] = texts
    elif xmp and kind == "TIFF":
        options["tiffinfo"] = {700: xmp}
    elif xmp:
        options["xmp"] = xmp
    image.save(made, kind, **options)
    return made.getvalue()


def segment(content: bytes, marker: int = 0xE1) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def jpeg(*segments: bytes) -> bytes:
    """A JPEG with these segments right after its first marker."""
    whole = picture("JPEG")
    return whole[:2] + b"".join(segments) + whole[2:]


def extended(raw: bytes, size: int = 40_000, total: int | None = None) -> tuple[str, list[bytes]]:
    """The GUID of this Extended XMP, and its segments."""
    guid = hashlib.md5(raw, usedforsecurity=False).hexdigest().upper()
    pieces = [
        segment(EXTENDED + guid.encode() + struct.pack(">II", total or len(raw), at) + raw[at : at + size])
        for at in range(0, len(raw), size)
    ]
    return guid, pieces


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(*chunks: bytes, late: bool = False) -> bytes:
    """A PNG with these chunks after its header, or before its end."""
    whole = picture("PNG")
    at = len(whole) - 12 if late else 33
    return whole[:at] + b"".join(chunks) + whole[at:]


def profile(raw: bytes, name: bytes = b"xmp", length: int | None = None) -> bytes:
    """The text that ImageMagick writes for a profile."""
    digits = raw.hex().encode()
    lines = b"\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    return b"\n" + name + b"\n%8d\n" % (len(raw) if length is None else length) + lines + b"\n"


def itxt(text: bytes, packed: bool = False, keyword: bytes = b"XML:com.adobe.xmp") -> bytes:
    content = zlib.compress(text) if packed else text
    return chunk(b"iTXt", keyword + b"\0" + (b"\1" if packed else b"\0") + b"\0\0\0" + content)


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WebP with these chunks after its picture."""
    whole = picture("WEBP")
    rest = b"".join(
        kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
        for kind, content in chunks
    )
    return b"RIFF" + struct.pack("<I", len(whole) - 8 + len(rest)) + whole[8:] + rest


def tiff(*directories: Iterable[tuple[int, int, bytes]], order: str = "<", big: bool = False) -> bytes:
    """A TIFF of directories only, each with entries (tag, type of one byte, value)."""
    count, entry, offset = ("Q", "HHQ", "Q") if big else ("H", "HHI", "I")
    wide = struct.calcsize(order + offset)
    mark = b"II" if order == "<" else b"MM"
    head = struct.pack(order + "HHH", 43, 8, 0) if big else struct.pack(order + "H", 42)
    out = bytearray(mark + head + struct.pack(order + offset, 0))
    link = len(out) - wide
    for entries in directories:
        packed = []
        for tag, kind, value in entries:
            place = value.ljust(wide, b"\0")
            if len(value) > wide:
                place = struct.pack(order + offset, len(out))
                out += value
            packed.append(struct.pack(order + entry, tag, kind, len(value)) + place)
        out[link : link + wide] = struct.pack(order + offset, len(out))
        out += struct.pack(order + count, len(packed)) + b"".join(packed)
        link = len(out)
        out += struct.pack(order + offset, 0)
    return bytes(out)
