"""What a text of XML would cost, told before a parser reads it.

Expat writes out the namespace of every element and attribute, so one long address and many short names ask
for more memory than any machine has; and Python is called for each of them. So names are counted by the marks
that no name is without, and namespaces are short.
"""

import re

from registry.preference import Status
from registry.signals.parts import UnreadableError

__all__ = ["MAX_DECLARATIONS", "MAX_NAMESPACE", "check_namespaces", "marks"]

MAX_NAMESPACE = 1_000
"""Bytes of a namespace, and of its prefix."""

MAX_DECLARATIONS = 20_000
"""Namespaces that one text declares."""

_XMLNS = b"xmlns"
_LONG = re.compile(
    rb"xmlns(?:"
    rb":[^\s=<>&\"']{%d}"
    rb"|(?::[^\s=<>&\"']*)?\s*=\s*(?:\"[^\"]{%d}|'[^']{%d})"
    rb")" % (MAX_NAMESPACE, MAX_NAMESPACE, MAX_NAMESPACE)
)
_ENCODING = re.compile(rb"<\?xml\s[^>]{0,100}?encoding\s{0,9}=\s{0,9}[\"']([A-Za-z0-9._-]{1,40})")


def marks(text: bytes) -> int:
    """Return how many tags and attributes a text has at most."""
    return text.count(b"<") + text.count(b"=")


def check_namespaces(text: bytes) -> None:
    """Raise :class:`UnreadableError` for namespaces too long or too many, or that cannot be looked for."""
    _check_encoding(text)
    if text.count(_XMLNS) > MAX_DECLARATIONS:
        raise UnreadableError(f"XML that declares more than {MAX_DECLARATIONS} namespaces", Status.ERROR)
    at = text.find(_XMLNS)
    while at >= 0:
        if _LONG.match(text, at):
            raise UnreadableError(
                f"XML with a namespace of more than {MAX_NAMESPACE} bytes at byte {at}", Status.ERROR
            )
        at = text.find(_XMLNS, at + len(_XMLNS))


def _check_encoding(text: bytes) -> None:
    """Refuse an encoding in which ASCII is not written as ASCII, such as EBCDIC: nothing is found in it."""
    named = _ENCODING.search(text[:400])
    encoding = named[1].decode("ascii") if named else "utf-8"
    if b"\0" in text:
        raise UnreadableError(f"XML is not well-formed: it has a NUL at byte {text.index(0)}")
    try:
        same = b"xmlns<=".decode(encoding) == "xmlns<="
    except (LookupError, UnicodeError):
        return
    if not same:
        raise UnreadableError(f"XML in the encoding {encoding}, which is not read", Status.ERROR)
