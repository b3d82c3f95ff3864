"""What travels with each answer: header fields, as web servers are told to send them, and a page's metadata.

``X-Robots-Tag: noai, noimageai`` reserves what AI may do; it never permits. ``Content-Signal`` has no form as
a header. The values hold no apostrophes, dollars or line ends, so a server's file holds them as they are.
"""

from collections.abc import Callable, Mapping, Sequence
from html import escape

from registry.errors import InputError
from registry.preference import Preference, Use
from registry.signals import aipref
from registry.signals.writing.choice import Choice, Written, address, stricter, told, worded
from registry.signals.writing.robots import content_usage_value
from registry.signals.writing.site import policy_notes, tdm_reservation

__all__ = ["SERVERS", "fields", "headers", "meta"]

Field = tuple[str, str]

_NOAI = {"noai, noimageai": (Use.TRAIN, Use.GENAI_TRAIN, Use.AI_INPUT, Use.AI_INDEX)}
_RSL_TYPE = "application/rsl+xml"


def fields(choice: Choice, *, policy: str = "", licence: str = "") -> list[Field]:
    """Return the header fields that say ``choice``, in order, each name once.

    ``policy`` is the address of a TDMRep policy in place of the terms, ``licence`` that of an RSL file.
    """
    found = [("X-Robots-Tag", word) for word in _noai(choice)]
    usage = content_usage_value(choice)
    found += [("Content-Usage", usage)] if usage else []
    found += _tdm(choice, policy)
    if licence:
        found.append(("Link", f'<{address(licence)}>; rel="license"; type="{_RSL_TYPE}"'))
    if not found:
        raise InputError("no header would say anything of what you chose")
    return found


def _noai(choice: Choice) -> list[str]:
    return [word for word, value in worded(choice, _NOAI).items() if value is Preference.RESERVED]


def _tdm(choice: Choice, policy: str) -> list[Field]:
    try:
        value, _ = tdm_reservation(choice)
    except InputError:
        return []
    found = [("tdm-reservation", "0" if value is Preference.ALLOWED else "1")]
    if value is Preference.CONDITIONAL:
        found.append(("tdm-policy", address(policy or choice.terms)))
    return found


def _carried(choice: Choice, *, usage: bool) -> dict[Use, Preference]:
    noai = {use: Preference.RESERVED for word in _noai(choice) for use in _NOAI[word]}
    tdm = tdm_reservation(choice)[1] if _tdm(choice, "") else {}
    return stricter(noai, tdm, told(worded(choice, aipref.CURRENT), aipref.CURRENT) if usage else {})


# -- servers ---------------------------------------------------------------------------------------


def headers(choice: Choice, *, server: str = "plain", policy: str = "", licence: str = "") -> Written:
    """Return the header fields in the words of ``server``, one of ``SERVERS``.

    Raises :class:`InputError` for another server, or when nothing would be said.
    """
    if server not in SERVERS:
        raise InputError(f"no server {server!r} is known", hint=f"Known are {', '.join(SERVERS)}.")
    form, place = SERVERS[server]
    text = "\n".join(form(fields(choice, policy=policy, licence=licence))) + "\n"
    return Written("headers", text, _carried(choice, usage=True), place, policy_notes(choice, policy))


def _plain(found: Sequence[Field]) -> list[str]:
    return [f"{name}: {value}" for name, value in found]


def _nginx(found: Sequence[Field]) -> list[str]:
    lines = [f"add_header {name} {_quoted(value)} always;" for name, value in found]
    # An add_header in an inner block of nginx takes all those of the outer ones away.
    return ["# Repeat these lines in each location that has an add_header of its own.", *lines]


def _apache(found: Sequence[Field]) -> list[str]:
    # A percent sign begins a format in mod_headers.
    lines = [
        f"Header always {_verb(name)} {name} {_quoted(value.replace('%', '%%'))}" for name, value in found
    ]
    return ["<IfModule mod_headers.c>", *(f"  {line}" for line in lines), "</IfModule>"]


def _verb(name: str) -> str:
    return "merge" if name in ("X-Robots-Tag", "Link") else "set"


def _cloudflare(found: Sequence[Field]) -> list[str]:
    return ["/*", *(f"  {name}: {value}" for name, value in found)]


def _quoted(value: str) -> str:
    return f"'{value}'"


SERVERS: Mapping[str, tuple[Callable[[Sequence[Field]], list[str]], str]] = {
    "plain": (_plain, "the answers of every host that serves your works, pictures among them"),
    "nginx": (_nginx, "the server { } block of nginx; then nginx -t, and reload"),
    "apache": (_apache, ".htaccess in the root of your site, or the <VirtualHost>; mod_headers must be on"),
    "cloudflare": (_cloudflare, "the file _headers in the root of what Cloudflare Pages (or Netlify) serves"),
}
"""Server → how it is told, and where."""


# -- a page ----------------------------------------------------------------------------------------


def meta(choice: Choice, *, policy: str = "", licence: str = "") -> Written:
    """Return the elements for the head of each HTML page. Raises :class:`InputError` when there are none."""
    found = [("robots", word) for word in _noai(choice)] + _tdm(choice, policy)
    lines = [f'<meta name="{name}" content="{escape(value)}">' for name, value in found]
    if licence:
        lines.append(f'<link rel="license" type="{_RSL_TYPE}" href="{escape(address(licence))}">')
    if not lines:
        raise InputError("no metadata of a page would say anything of what you chose")
    place = "the <head> of every page in which your works stand"
    notes = ("metadata speak of the page; for the picture files send headers as well",)
    return Written(
        "meta",
        "\n".join(lines) + "\n",
        _carried(choice, usage=False),
        place,
        (*notes, *policy_notes(choice, policy)),
    )
