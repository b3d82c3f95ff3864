"""Plain URLs to their SURT text, without the parser.

A URL is plain when its canonical form follows from its characters alone: ``http`` or ``https`` with two
slashes; a host of letters, digits, ``-``, ``_`` and single dots that is no IPv4 address and has no IDN label;
a port of digits; then only characters that the WHATWG parser leaves as they are, whole ``%xx`` escapes, and
no dot segments. Anything else is left to :mod:`registry.urls`, which asks the parser. Nothing is guessed
here, and nothing refused.

Helpers give the places where reading and writing go on; -1 says that the URL is not plain.
"""

import numpy as np
from numpy.typing import NDArray

from registry.kernels.borrowed import borrowed
from registry.kernels.compiled import compiled, inlined

__all__ = ["surts"]

_Bytes = NDArray[np.uint8]
_Places = NDArray[np.int32]

_LONGEST_HOST = 253

_BEGIN, _LABELS, _HOST, _PATH, _END = range(5)

_IN_HOST, _IN_PATH, _IN_QUERY, _UNRESERVED, _VISIBLE = 1, 2, 4, 8, 16


def _classes() -> _Bytes:
    """Return what each character may be; those that mean something in a path or query are in neither."""
    alike = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    unchanged = alike + ".~!$()*+,:;=@[]|"
    table = np.zeros(256, np.uint8)
    for bit, characters in (
        (_IN_HOST, alike + "."),
        (_IN_PATH, unchanged + "&'"),
        (_IN_QUERY, unchanged + "/?\\^`{}"),
        (_UNRESERVED, alike + ".~"),
        (_VISIBLE, "".join(map(chr, range(0x21, 0x7F)))),
    ):
        table[list(characters.encode())] |= bit
    return table


_CLASS = _classes()
_AMPERSAND, _BRACKET, _COLON, _COMMA, _DOT = (ord(character) for character in "&):,.")
_EQUALS, _HASH, _PERCENT, _QUESTION, _SLASH = (ord(character) for character in "=#%?/")
_HTTP = np.frombuffer(b"http", np.uint8)
_XN = np.frombuffer(b"xn--", np.uint8)
_WWW = np.frombuffer(b"www.", np.uint8)
_UTM = np.frombuffer(b"utm_", np.uint8)


@compiled
def surts(
    text: _Bytes, ends: NDArray[np.int64], tracking: _Bytes, longest: int, surt: _Bytes, places: _Places
) -> None:
    """Write the SURT texts of plain URLs to ``surt``, one behind the other, and the places in them.

    ``text: uint8[m]`` has the URLs one behind the other, ``ends: int64[n]`` where each ends. ``tracking:
    uint8[t, v]`` are the names of the parameters to drop, padded with zeros; ``longest`` is the length of the
    longest URL. Requires m < 2**31 and ``surt: uint8[m]``: a SURT text is shorter than its URL, which has a
    scheme where the other has a comma, a bracket and perhaps a slash.

    ``places: int32[n, 5]``: where the SURT text begins, where its labels end, where its part for the host
    ends, bracket included, where its path ends, and where it ends itself: -1 for a URL that is not plain.
    """
    text, ends, tracking = borrowed(text), borrowed(ends), borrowed(tracking)
    surt, places = borrowed(surt), borrowed(places)
    out = 0
    for url in range(ends.shape[0]):
        begin = ends[url - 1] if url else 0
        places[url, _BEGIN] = out
        places[url, _END] = -1
        # The canonical text is at most "s" and "/" longer, so it needs no look at the limit of its own.
        if ends[url] - begin + 2 <= longest:
            _write_surt(text, begin, ends[url], tracking, surt, places, url)
            out = max(out, places[url, _END])


@inlined
def _write_surt(
    text: _Bytes, begin: int, end: int, tracking: _Bytes, surt: _Bytes, places: _Places, url: int
) -> None:
    """Write the SURT text of ``text[begin:end]`` and its places, the end only if it is plain."""
    host = _after_scheme(text, begin, end)
    if host < 0:
        return
    at = _after_host(text, host, end)
    if at < 0:
        return
    out = _write_host(text, host, at, surt, places[url, _BEGIN])
    places[url, _LABELS] = out
    at, out = _write_port(text, at, end, host - begin == 7, surt, out)
    if at < 0:
        return
    surt[out] = _BRACKET
    out += 1
    places[url, _HOST] = out
    at, out = _write_path(text, at, end, surt, out)
    if at < 0:
        return
    places[url, _PATH] = out
    if at < end and text[at] == _QUESTION:
        at, out = _write_query(text, at, end, surt, out, tracking)
        if at < 0:
            return
    # The fragment is dropped, but text that cannot be encoded is refused even there.
    while at < end and _CLASS[text[at]] & _VISIBLE:
        at += 1
    if at == end:
        places[url, _END] = out


@compiled
def _after_scheme(text: _Bytes, at: int, end: int) -> int:
    if end - at < 8 or not _has(text, at, end, _HTTP):
        return -1
    at += 4
    if text[at] | 0x20 == 0x73:  # s
        at += 1
    # Eight characters are there; the third of these is the ninth where there is an "s".
    if at + 3 > end or text[at] != _COLON or text[at + 1] != _SLASH or text[at + 2] != _SLASH:
        return -1
    return at + 3


@compiled
def _has(text: _Bytes, at: int, end: int, word: _Bytes) -> bool:
    """Whether ``text[at:end]`` begins with ``word``, which is in lower case, in any case."""
    size = word.shape[0]
    offset = 0
    while offset < size and at + offset < end and _lower(text[at + offset]) == word[offset]:
        offset += 1
    return offset == size


@compiled
def _lower(character: int) -> int:
    return character + 32 if 65 <= character <= 90 else character


@inlined
def _after_host(text: _Bytes, begin: int, end: int) -> int:
    """Return where the host ends, its final dot included, or -1 where only the parser can tell."""
    at, label, last = begin, begin, -1
    while at < end and _CLASS[text[at]] & _IN_HOST:
        if text[at] == _DOT:
            if at == label:
                return -1
            label = at + 1
        elif at == label:
            last = at
            if _has(text, at, end, _XN):
                return -1
        at += 1
    # A last label that begins with a digit may be a number, and the host an IPv4 address.
    if last < 0 or at - begin > _LONGEST_HOST or 48 <= text[last] <= 57:
        return -1
    return at


@inlined
def _write_host(text: _Bytes, begin: int, end: int, data: _Bytes, out: int) -> int:
    """Write the labels of the host ``text[begin:end]`` from the last to the first; return the end."""
    if text[end - 1] == _DOT:
        end -= 1
    while _has(text, begin, end, _WWW):
        dotted = False
        for at in range(begin + 4, end):
            dotted |= text[at] == _DOT
        if not dotted:
            break
        begin += 4
    while end > begin:
        label = end
        while label > begin and text[label - 1] != _DOT:
            label -= 1
        for at in range(label, end):
            data[out] = _lower(text[at])
            out += 1
        data[out] = _COMMA
        out += 1
        end = label - 1
    return out


@inlined
def _write_port(text: _Bytes, at: int, end: int, http: bool, data: _Bytes, out: int) -> tuple[int, int]:
    """Write a port that is not the default one; return the places after it, or -1 as the first."""
    port = 0
    given = False
    if at < end and text[at] == _COLON:
        at += 1
        while at < end and 48 <= text[at] <= 57 and port < 65536:
            port = port * 10 + text[at] - 48
            given = True
            at += 1
    if port > 65535 or (at < end and text[at] != _SLASH and text[at] != _QUESTION and text[at] != _HASH):
        return -1, out
    if given and port != 443 and not (http and port == 80):
        data[out] = _COLON
        out += 1
        scale = 10000
        while scale > 1 and port < scale:
            scale //= 10
        while scale:
            data[out] = 48 + port // scale % 10
            out += 1
            scale //= 10
    return at, out


@inlined
def _write_path(text: _Bytes, at: int, end: int, data: _Bytes, out: int) -> tuple[int, int]:
    """Write the path, at least a slash; return the places after it."""
    if at == end or text[at] != _SLASH:
        data[out] = _SLASH
        return at, out + 1
    segment = out
    while at < end and text[at] != _QUESTION and text[at] != _HASH:
        if _CLASS[text[at]] & _IN_PATH:
            data[out] = text[at]
            out += 1
            at += 1
        elif text[at] == _SLASH:
            if _is_dots(data, segment, out):
                return -1, out
            data[out] = _SLASH
            out += 1
            at += 1
            segment = out
        else:
            at, out = _write_escape(text, at, end, data, out)
            if at < 0:
                return -1, out
    return -1 if _is_dots(data, segment, out) else at, out


@compiled
def _is_dots(data: _Bytes, begin: int, end: int) -> bool:
    if end - begin == 1:
        return data[begin] == _DOT
    return end - begin == 2 and data[begin] == _DOT and data[begin + 1] == _DOT


@compiled
def _write_escape(text: _Bytes, at: int, end: int, data: _Bytes, out: int) -> tuple[int, int]:
    """Write the escape at ``at``, or the unreserved character that it is; return the places after it."""
    if at + 2 >= end or text[at] != _PERCENT:
        return -1, out
    high, low = _digit(text[at + 1]), _digit(text[at + 2])
    if high < 0 or low < 0:
        return -1, out
    character = high * 16 + low
    if _CLASS[character] & _UNRESERVED:
        data[out] = character
        return at + 3, out + 1
    data[out] = _PERCENT
    data[out + 1] = 48 + high if high < 10 else 55 + high
    data[out + 2] = 48 + low if low < 10 else 55 + low
    return at + 3, out + 3


@compiled
def _digit(character: int) -> int:
    """Return the value of a hexadecimal digit, or -1."""
    if 48 <= character <= 57:
        return character - 48
    character = _lower(character)
    return character - 87 if 97 <= character <= 102 else -1


@inlined
def _write_query(
    text: _Bytes, at: int, end: int, data: _Bytes, out: int, tracking: _Bytes
) -> tuple[int, int]:
    """Write the query without tracking parameters, if anything is left of it; return the places after it."""
    begin = out
    data[out] = _QUESTION
    out += 1
    kept, anything = False, False
    while at < end and text[at] != _HASH:
        before = out
        if kept:
            data[out] = _AMPERSAND
            out += 1
        name = out
        at, name_end, out = _write_parameter(text, at + 1, end, data, out)
        if at < 0:
            return -1, out
        if _is_tracking(data, name, name_end, tracking):
            out = before
        else:
            kept = True
            anything |= out > name
    return at, out if anything else begin


@compiled
def _write_parameter(text: _Bytes, at: int, end: int, data: _Bytes, out: int) -> tuple[int, int, int]:
    """Write one parameter; return the places after it, and between them where its name was written to."""
    name_end = -1
    while at < end and text[at] != _AMPERSAND and text[at] != _HASH:
        if _CLASS[text[at]] & _IN_QUERY:
            if text[at] == _EQUALS and name_end < 0:
                name_end = out
            data[out] = text[at]
            out += 1
            at += 1
        else:
            at, out = _write_escape(text, at, end, data, out)
            if at < 0:
                return -1, -1, out
    return at, out if name_end < 0 else name_end, out


@compiled
def _is_tracking(data: _Bytes, begin: int, end: int, tracking: _Bytes) -> bool:
    if _same(data, begin, end, _UTM) == _UTM.shape[0]:
        return True
    size, width = end - begin, tracking.shape[1]
    for row in range(tracking.shape[0]):
        if _same(data, begin, end, tracking[row]) == size and (size == width or tracking[row, size] == 0):
            return True
    return False


@compiled
def _same(data: _Bytes, begin: int, end: int, word: _Bytes) -> int:
    """Return how many characters ``data[begin:end]`` and ``word`` have in common at their beginning."""
    size = 0
    while size < word.shape[0] and begin + size < end and data[begin + size] == word[size]:
        size += 1
    return size
