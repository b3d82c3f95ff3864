"""What people ask by: an address, a folder of addresses, a host, or a registered domain.

https://ada.example/a.jpg      this address
https://ada.example/gallery/   every address below it
img.ada.example                every address on this host
ada.example                    every address on it and on its hosts
"""

from typing import NamedTuple

from registry.urls import (
    CanonicalUrl,
    RuleKind,
    canonicalize_url,
    exact_key,
    registered_domain,
    url_rule,
)

__all__ = ["Query", "read_query"]


class Query(NamedTuple):
    """What is asked: ``kind`` is url, prefix, host or domain.

    ``key`` (16 bytes) is that of the address, the host or the domain, ``below`` how the addresses of a folder
    begin, and ``address`` what a registry is asked about.
    """

    kind: str
    key: bytes
    below: str
    address: CanonicalUrl


def read_query(text: str) -> Query:
    """Read what is asked. Raises :class:`InvalidUrlError`, :class:`InvalidRuleError`."""
    if "://" not in text:
        host = url_rule(RuleKind.HOST, text).host
        kind = RuleKind.DOMAIN if registered_domain(host) == host else RuleKind.HOST
        return Query(str(kind), url_rule(kind, text).key, "", canonicalize_url(f"https://{host}/"))
    url = canonicalize_url(text)
    if not url.endswith("/") or "?" in url:
        return Query("url", exact_key(url), "", url)
    front = url[: url.index("/", 8) + 1]
    key = url_rule(RuleKind.HOST, front).key
    return Query("host", key, "", url) if url == front else Query("prefix", key, url, url)
