"""Consent signals: what a work, its headers and its site say themselves, read under one model.

One file a protocol; each reads one kind of text into statements by that protocol's own rules, and says its
version. What follows from them is decided in :mod:`registry.decision`, and nowhere else. Here they are all
asked together:

- :func:`read_embedded` reads what a file says itself, and the ``.xmp`` files beside it;
- :func:`read_signals` reads that and all else that was seen of an asset;
- :func:`named_addresses` says which further files the observation names, so that they can be fetched.

A file that is named and was not observed, or could not be had, is a fault: it may reserve.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import ada_url

from registry.preference import Status
from registry.signals import (
    ai_txt,
    aipref,
    c2pa,
    content_signal,
    directives,
    iptc,
    licences,
    page,
    robots,
    rsl,
    tdmrep,
)
from registry.signals.agents import Agents
from registry.signals.observation import Fault, Observation, Origin, Reading, SiteFile, joined, statement
from registry.statement import Quality, Speaker, Statement

__all__ = [
    "Agents",
    "Fault",
    "Observation",
    "Origin",
    "Reading",
    "SiteFile",
    "joined",
    "named_addresses",
    "read_embedded",
    "read_signals",
    "statement",
]

_SIDECAR = "xmp sidecar"
_NOTHING = tdmrep.TdmRep()


def read_embedded(data: bytes, sidecars: Sequence[bytes] = ()) -> Reading:
    """Return what a file says itself, and the ``.xmp`` files beside it; ``data`` is the file as it came."""
    beside = (_beside(_xmp(iptc.read_embedded(b"", sidecar))) for sidecar in sidecars)
    return joined([_xmp(iptc.read_embedded(data)), *beside, c2pa.read(data)])


def read_signals(observation: Observation, agents: Agents | None = None) -> Reading:
    """Return all that was said of an asset; ``agents`` are the AI crawlers that robots.txt may name."""
    sidecars = (observation.sidecar,) if observation.sidecar else ()
    inside = read_embedded(observation.data, sidecars) if observation.data or sidecars else Reading()
    seen = page.read(observation.page) if observation.page else page.Page()
    return joined(
        [
            inside,
            aipref.read_headers(observation.headers),
            content_signal.read_headers(observation.headers),
            directives.read_headers(observation.headers),
            *_page(seen),
            _tdmrep(observation, seen),
            *_site(observation, agents or Agents.default()),
            *_rsl(observation, seen),
        ]
    )


def named_addresses(observation: Observation) -> tuple[str, ...]:
    """Return the addresses of the RSL documents that headers, page and robots.txt name, each once.

    :func:`read_signals` looks for them under these in ``observation.site``. One that is no address is left
    out here, and is a fault there.
    """
    seen = page.read(observation.page) if observation.page else page.Page()
    found = (_absolute(address, observation.url) for address, _ in _named(observation, seen))
    return tuple(dict.fromkeys(address for address in found if address))


def _xmp(embedded: iptc.Embedded) -> Reading:
    """Return what all XMP of one file says: IPTC's property, TDMRep, licences."""
    if not embedded.raw:
        return embedded.reading
    tdm = tdmrep.combine(embedded=tdmrep.read_xmp(embedded.tdm, embedded.raw))
    origin = Origin(licences.PROTOCOL, licences.VERSION, "xmp", embedded.raw, Speaker.EMBEDDED)
    return joined([embedded.reading, tdm, licences.read_licences(embedded.licences, origin)])


def _beside(reading: Reading) -> Reading:
    """Return what a sidecar says, under its own name."""
    return Reading(
        tuple(
            replace(one, signal=replace(one.signal, carrier=_SIDECAR)) if one.signal else one
            for one in reading.statements
        ),
        tuple(replace(fault, carrier=_SIDECAR) for fault in reading.faults),
    )


def _page(seen: page.Page) -> Iterator[Reading]:
    """Read the page's directives and licences; a licence is that of its text, so it permits no picture."""
    yield directives.read_page(seen)
    yield Reading(faults=seen.faults)
    origin = Origin(licences.PROTOCOL, licences.VERSION, "page", seen.data, Speaker.HOST)
    reading = licences.read_licences(seen.licences, origin)
    yield replace(reading, statements=tuple(_inferred(one) for one in reading.statements))


def _inferred(one: Statement) -> Statement:
    signal = one.signal
    if signal is None or signal.quality is not Quality.EXACT:
        return one
    return replace(one, signal=replace(signal, quality=Quality.INFERRED))


def _tdmrep(observation: Observation, seen: page.Page) -> Reading:
    """Read what the host says by TDMRep; what the file says of itself is read beside it."""
    site_file = observation.site.get(tdmrep.PATH)
    return tdmrep.combine(
        file=tdmrep.read_file(site_file, observation.url) if site_file else _NOTHING,
        headers=tdmrep.read_headers(observation.headers),
        page=tdmrep.read_page(seen),
        policies=observation.site,
    )


def _site(observation: Observation, agents: Agents) -> Iterator[Reading]:
    if "/robots.txt" in observation.site:
        yield robots.read(observation.site["/robots.txt"], observation.url, agents)
    if "/ai.txt" in observation.site:
        yield ai_txt.read(observation.site["/ai.txt"], observation.url)


# -- RSL -------------------------------------------------------------------------------------------


def _rsl(observation: Observation, seen: page.Page) -> Iterator[Reading]:
    for text in seen.rsl_inline:
        yield rsl.read(text, observation.url, _rsl_origin("page", text))
    for address, carrier in _named(observation, seen):
        yield _document(observation, address, carrier)


def _document(observation: Observation, address: str, carrier: str) -> Reading:
    site_file = observation.site.get(_absolute(address, observation.url))
    if site_file is None:
        return _unread(f"{address[:200]} is named, and was not read", carrier)
    if not 200 <= site_file.status < 300:
        answer = f"answered {site_file.status}" if site_file.status else "gave no answer"
        return _unread(f"{address[:200]} is named, and {answer}", carrier)
    return rsl.read(site_file.data, observation.url, _rsl_origin("rsl", site_file.data))


def _unread(message: str, carrier: str) -> Reading:
    return Reading(faults=(Fault(rsl.PROTOCOL, carrier, Status.ERROR, f"RSL: {message}"),))


def _rsl_origin(carrier: str, raw: bytes) -> Origin:
    return Origin(rsl.PROTOCOL, rsl.VERSION, carrier, raw, Speaker.HOST)


def _named(observation: Observation, seen: page.Page) -> list[tuple[str, str]]:
    """Return the addresses of RSL documents as they are written, with the carrier that names them first."""
    named = [(address, "header") for address in rsl.header_links(observation.headers)]
    named += [(address, "page") for address in seen.rsl_links]
    named += [(address, robots.CARRIER) for address in _of_robots(observation.site.get("/robots.txt"))]
    return list({_absolute(one[0], observation.url) or one[0]: one for one in reversed(named)}.values())[::-1]


def _of_robots(site_file: SiteFile | None) -> list[str]:
    if site_file is None or not 200 <= site_file.status < 300 or len(site_file.data) > robots.LARGEST:
        return []
    found = robots.parse(site_file.data)
    return [*found.licences("*"), *found.licences(robots.OWN)]


def _absolute(address: str, base: str) -> str:
    """Return an address as seen from ``base``, as WHATWG writes it; empty when it is none."""
    try:
        return ada_url.join_url(base, address) if base else ada_url.URL(address).href
    except ValueError:
        return ""
