"""What an HTML page says about itself: metadata, licences, RSL.

It finds, wherever they stand in the first ``LARGEST`` bytes:

1. ``<meta name="…" content="…">`` (or ``property``, ``http-equiv``) of the names in ``METAS``, also several
   at once and as they are spelt in other carriers;
2. links with ``rel=license``: those of the type ``application/rsl+xml`` lead to RSL, others to a licence;
3. ``<script type="application/rsl+xml">``, RSL in the page itself.

The page is read once, from the front, as a browser would: a comment, a quote or a script that is never closed
swallows what follows it. What the words found mean, their own readers say.
"""

import codecs
import re
from dataclasses import dataclass, field
from functools import lru_cache
from html.parser import HTMLParser

from registry.preference import Status
from registry.signals.observation import Fault, media_type

__all__ = ["LARGEST", "METAS", "RSL_TYPE", "Page", "read"]

LARGEST = 2_000_000
"""Bytes of a page that are read; a page whose head goes on after them is a fault."""

METAS = frozenset({"robots", "caveat", "tdm-reservation", "tdm-policy"})
_SPELT = {
    "x-robots-tag": "robots",
    **{f"tdm{mark}{name}": f"tdm-{name}" for mark in ":_" for name in ("reservation", "policy")},
}
RSL_TYPE = "application/rsl+xml"

_COMMENT_END = re.compile("--!?>")
_UTF_16 = (
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)


@dataclass(frozen=True, slots=True)
class Page:
    """What was found, each in the order of the page.

    ``metas`` are names (lower case) and contents; ``rsl_links`` and ``licences`` are addresses as they are
    written, which can be relative; ``rsl_inline`` is XML, in UTF-8. ``data`` is the page.
    """

    metas: tuple[tuple[str, str], ...] = ()
    rsl_links: tuple[str, ...] = ()
    rsl_inline: tuple[bytes, ...] = ()
    licences: tuple[str, ...] = ()
    data: bytes = field(default=b"", repr=False)
    faults: tuple[Fault, ...] = ()

    def contents(self, name: str) -> tuple[str, ...]:
        """Return the contents of all ``meta`` elements of this name."""
        return tuple(content for key, content in self.metas if key == name)


@lru_cache(maxsize=16)
def read(data: bytes) -> Page:
    """Read a page; of one longer than ``LARGEST`` the beginning, with a fault if its head goes on."""
    parser = _Parser()
    # Never closed: at its close the parser of the standard library goes through an unclosed construct
    # again and again, and what stands in one is nothing to a browser either.
    parser.feed(_text(data[:LARGEST]))
    cut = len(data) > LARGEST and not parser.head_ended
    return Page(
        tuple(parser.metas),
        tuple(parser.rsl_links),
        tuple(parser.rsl_inline),
        tuple(parser.licences),
        data,
        (_too_large(len(data)),) if cut else (),
    )


def _text(data: bytes) -> str:
    """Decode; every other encoding of the web writes tags in ASCII, like UTF-8."""
    encoding = next((name for start, name in _UTF_16 if data.startswith(start)), "utf-8-sig")
    return data.decode(encoding, "replace")


def _too_large(size: int) -> Fault:
    message = f"a page of {size} bytes whose head does not end within the first {LARGEST}"
    return Fault("html", "page", Status.MALFORMED, message)


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.metas: list[tuple[str, str]] = []
        self.rsl_links: list[str] = []
        self.rsl_inline: list[bytes] = []
        self.licences: list[str] = []
        self.head_ended = False
        self._script: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # Of an attribute that stands twice, the first counts (HTML, 13.2.5.33).
        values = {name: value or "" for name, value in reversed(attrs)}
        if tag == "meta":
            self._meta(values)
        elif tag in ("link", "a", "area"):
            self._link(values)
        elif tag == "script" and _is_rsl(values):
            self._script = []
        elif tag == "body":
            self.head_ended = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "head":
            self.head_ended = True
        elif tag == "script" and self._script is not None:
            self.rsl_inline.append("".join(self._script).strip().encode("utf-8", "replace"))
            self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            self._script.append(data)

    def parse_comment(self, i: int, report: bool = True) -> int:
        """Pass over a comment as HTML defines its end; the library wants ``-->`` whatever stands before."""
        del report
        for short in (">", "->"):
            if self.rawdata.startswith(short, i + 4):
                return i + 4 + len(short)
        end = _COMMENT_END.search(self.rawdata, i + 4)
        return end.end() if end else -1

    def parse_marked_section(self, i: int, report: bool = True) -> int:
        """Pass over ``<![…>``, which HTML takes for a comment, and at which the library would stop."""
        del report
        return self.rawdata.find(">", i) + 1 or -1

    def _meta(self, values: dict[str, str]) -> None:
        every = " ".join(values.get(name, "") for name in ("name", "property", "http-equiv"))
        words = dict.fromkeys(every.lower().replace(",", " ").split())
        for name in dict.fromkeys(_SPELT.get(one, one) for one in words):
            if name in METAS:
                self.metas.append((name, values.get("content", "").strip()))

    def _link(self, values: dict[str, str]) -> None:
        href = values.get("href", "").strip()
        if href and "license" in values.get("rel", "").lower().split():
            (self.rsl_links if _is_rsl(values) else self.licences).append(href)


def _is_rsl(values: dict[str, str]) -> bool:
    return media_type(values.get("type", "")) == RSL_TYPE
