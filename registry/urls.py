"""URLs and the rules that name sets of them.

Two spellings of one address must meet in one key, or an opt-out is lost; two addresses must not,
or somebody else's picture is reserved. The rule list, in its order:

1. parse by the WHATWG URL standard (``ada-url``); absolute ``http`` or ``https`` only;
2. ``http`` becomes ``https``; user, password and fragment are dropped, and the default port with them;
3. final dots of the host are dropped, and leading ``www.`` labels while a dotted name remains;
4. ``%xx`` of an unreserved character is decoded, other escapes are written in upper case, and a ``%`` that
   begins none becomes ``%25``;
5. the tracking parameters of ``TRACKING`` are dropped from the query, the rest keeps its order;
   an empty query is dropped.

Nothing else: path case, trailing slashes, parameter order and size parameters stay as they are.

A rule reserves one URL (``exact``), everything below a folder (``prefix``), one host (``host``),
or a registered domain with all hosts under it (``domain``). Rules are written in SURT order
(``org,example,)/gallery/``) and keyed by 16 bytes of SHA-256, so a look-up of one URL is a look-up
of the few keys of :func:`candidate_keys`.

    >>> canonicalize_url("http://WWW.Example.org:80/%7Eada/../a.jpg?utm_source=x#top")
    'https://example.org/a.jpg'
    >>> url_rule("domain", "Example.org").surt
    'org,example,'
"""

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NewType

import ada_url
from publicsuffixlist import PublicSuffixList

from registry.errors import InvalidRuleError, InvalidUrlError

__all__ = [
    "KEY_BYTES",
    "MAX_URL_LENGTH",
    "TRACKING",
    "CanonicalUrl",
    "RuleKind",
    "UrlRule",
    "candidate_keys",
    "canonicalize_url",
    "exact_key",
    "host_of",
    "registered_domain",
    "url_rule",
]

CanonicalUrl = NewType("CanonicalUrl", str)

KEY_BYTES = 16
MAX_URL_LENGTH = 8192
TRACKING = frozenset({"fbclid", "gclid", "igshid", "mc_cid", "mc_eid", "msclkid", "yclid"})
"""Query parameters that never change what is served; every ``utm_…`` belongs to them."""

_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_HOST_NAME = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\\\[\]]+)(?::[0-9]+)?")


class RuleKind(StrEnum):
    """How much a URL rule covers, narrowest first."""

    EXACT = "exact"
    PREFIX = "prefix"
    HOST = "host"
    DOMAIN = "domain"


_KEY_BEGINNINGS = {kind: f"{kind}:" for kind in RuleKind}


@dataclass(frozen=True, slots=True)
class UrlRule:
    """A set of URLs: its kind and its SURT text."""

    kind: RuleKind
    surt: str

    @property
    def key(self) -> bytes:
        """The 16 bytes under which the rule is stored and looked up."""
        return _key(self.kind, self.surt)

    @property
    def host(self) -> str:
        """The host or domain that the rule speaks about, without the port."""
        name = self.surt.partition(")")[0]
        if name.startswith("["):
            return name.partition("]")[0] + "]"
        name = name.partition(":")[0]
        return name if _IPV4.fullmatch(name) else ".".join(name.rstrip(",").split(",")[::-1])

    @property
    def text(self) -> str:
        """The rule as people write it: a URL, a folder URL, a host or a domain."""
        authority, bracket, path = self.surt.partition(")")
        port = re.search(r":[0-9]+\Z", authority)
        name = self.host + (port[0] if port else "")
        return f"https://{name}{path}" if bracket and path else name


def canonicalize_url(text: str) -> CanonicalUrl:
    """Return the one spelling under which ``text`` is stored and looked up.

    Idempotent. Raises :class:`InvalidUrlError` for anything but an absolute http(s) URL of at most
    ``MAX_URL_LENGTH`` characters.
    """
    if len(text) > MAX_URL_LENGTH:
        raise InvalidUrlError(f"a URL of {len(text)} characters; at most {MAX_URL_LENGTH} are taken")
    try:
        parts = ada_url.parse_url(text, ("protocol", "hostname", "port", "pathname", "search"))
    except ValueError as error:
        raise InvalidUrlError(f"not a URL: {_shown(text)}") from error
    if parts["protocol"] not in ("http:", "https:"):
        raise InvalidUrlError(f"not an http or https URL: {_shown(text)}")
    host = _canonical_host(parts["hostname"])
    if not host or "," in host:
        raise InvalidUrlError(f"a URL without a host that can be registered: {_shown(text)}")
    port = f":{parts['port']}" if parts["port"] not in ("", "443") else ""
    url = f"https://{host}{port}{_normal_escapes(parts['pathname'])}{_query(parts['search'])}"
    if len(url) > MAX_URL_LENGTH:
        raise InvalidUrlError(
            f"a URL of {len(url)} characters once escaped; at most {MAX_URL_LENGTH} are taken"
        )
    return CanonicalUrl(url)


def host_of(url: CanonicalUrl) -> str:
    """Return the host of a canonical URL, without the port."""
    return _host_without_port(url[8 : _path_start(url)])


@lru_cache(maxsize=65536)
def registered_domain(host: str) -> str | None:
    """Return the domain that one party registered, or None for an address or a public suffix.

    By the public suffix list shipped with ``publicsuffixlist``, private section included:
    ``a.b.example.co.uk`` → ``example.co.uk``, ``ada.github.io`` → itself, ``github.io`` → None.
    """
    if host.startswith("[") or _IPV4.fullmatch(host) or "." not in host:
        return None
    return _suffixes().privatesuffix(host)


def url_rule(kind: RuleKind | str, value: str) -> UrlRule:
    """Build the rule of ``kind`` from what a person writes.

    ``exact`` takes a URL, ``prefix`` a URL that ends in a slash, ``host`` and ``domain`` a name or a
    URL of it. Raises :class:`InvalidRuleError` or :class:`InvalidUrlError`.
    """
    try:
        kind = RuleKind(kind)
    except ValueError as error:
        raise InvalidRuleError(
            f"no kind of rule {_shown(kind)}", hint=f"Kinds: {', '.join(RuleKind)}."
        ) from error
    if kind in (RuleKind.HOST, RuleKind.DOMAIN):
        return UrlRule(kind, _name_rule(kind, value))
    url = canonicalize_url(value)
    if kind is RuleKind.PREFIX and ("?" in url or not url.endswith("/")):
        raise InvalidRuleError(
            f"a prefix rule names a folder: {_shown(value)} does not end in '/'",
            hint="End the address with a slash, or lodge it as an exact URL.",
        )
    return UrlRule(kind, _surt(url))


def exact_key(url: CanonicalUrl) -> bytes:
    """Return the key of the one URL."""
    return _key(RuleKind.EXACT, _surt(url))


def candidate_keys(url: CanonicalUrl) -> list[tuple[RuleKind, bytes]]:
    """Return every key that a rule covering ``url`` can have, narrowest first.

    One exact key, one a folder of the path, one for the host, one for the registered domain if the
    host has one.
    """
    start = _path_start(url)
    host, host_key, domain_key = _host_part(url[8:start])
    surt = f"{host}){url[start:]}"
    keys = [(RuleKind.EXACT, _key(RuleKind.EXACT, surt))]
    end = surt.find("?")
    end = len(surt) if end < 0 else end
    first = len(host) + 1
    while (end := surt.rfind("/", first, end)) >= 0:
        keys.append((RuleKind.PREFIX, _key(RuleKind.PREFIX, surt[: end + 1])))
    keys.append((RuleKind.HOST, host_key))
    if domain_key is not None:
        keys.append((RuleKind.DOMAIN, domain_key))
    return keys


@lru_cache(maxsize=65536)
def _host_part(authority: str) -> tuple[str, bytes, bytes | None]:
    """Return the SURT text of host and port, the key of the host, and that of its registered domain."""
    host = _host_without_port(authority)
    surt = _reversed(host) + authority[len(host) :]
    domain = registered_domain(host)
    domain_key = None if domain is None else _key(RuleKind.DOMAIN, _reversed(domain))
    return surt, _key(RuleKind.HOST, f"{surt})"), domain_key


def _name_rule(kind: RuleKind, value: str) -> str:
    text = value if "//" in value else f"https://{value}/"
    if "//" not in value and not _HOST_NAME.fullmatch(value):
        raise InvalidRuleError(f"not a host name: {_shown(value)}")
    url = canonicalize_url(text)
    if url[_path_start(url) :] != "/":
        raise InvalidRuleError(
            f"a {kind} rule takes a name, not a path: {_shown(value)}",
            hint="Lodge a folder with a prefix rule, one address with an exact one.",
        )
    if kind is RuleKind.HOST:
        return _surt(url)[:-1]
    host = host_of(url)
    domain = registered_domain(host)
    if url != f"https://{host}/":
        raise InvalidRuleError(f"a domain rule takes no port: {_shown(value)}")
    if domain is None:
        raise InvalidRuleError(
            f"{host} is a public suffix or an address: a domain rule on it would cover everybody under it",
            hint="Name your own domain under it, or lodge a host rule.",
        )
    if domain != host:
        raise InvalidRuleError(
            f"{host} is a host of the registered domain {domain}",
            hint=f"Lodge a host rule for {host}, or a domain rule for {domain}.",
        )
    return _reversed(domain)


def _canonical_host(host: str) -> str:
    host = host.rstrip(".")
    while host.startswith("www.") and "." in host[4:]:
        host = host[4:]
    return host


def _normal_escapes(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        if match[1] is None:
            return "%25"
        character = chr(int(match[1], 16))
        return character if character in _UNRESERVED else match[0].upper()

    return _ESCAPE.sub(one, text) if "%" in text else text


def _query(search: str) -> str:
    if not search:
        return ""
    pairs = _normal_escapes(search[1:]).split("&")
    kept = [pair for pair in pairs if not _is_tracking(pair.partition("=")[0])]
    return "?" + "&".join(kept) if any(kept) else ""


def _is_tracking(name: str) -> bool:
    return name in TRACKING or name.startswith("utm_")


def _path_start(url: CanonicalUrl) -> int:
    return url.index("/", 8)


def _surt(url: CanonicalUrl) -> str:
    start = _path_start(url)
    return f"{_host_part(url[8:start])[0]}){url[start:]}"


def _host_without_port(authority: str) -> str:
    return authority if authority.endswith("]") else authority.rpartition(":")[0] or authority


def _reversed(host: str) -> str:
    if host.startswith("[") or _IPV4.fullmatch(host):
        return host
    return ",".join(host.split(".")[::-1]) + ","


def _key(kind: RuleKind, surt: str) -> bytes:
    return hashlib.sha256((_KEY_BEGINNINGS[kind] + surt).encode()).digest()[:KEY_BYTES]


def _shown(text: str) -> str:
    return repr(text if len(text) <= 120 else text[:117] + "…")


@lru_cache(maxsize=1)
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()
