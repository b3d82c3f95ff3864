"""All readers together: what is asked of which part of an observation."""

import io

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from registry.decision import decide
from registry.preference import Action, Mode, Preference, Status, Use
from registry.signals import Agents, Observation, SiteFile, named_addresses, read_embedded, read_signals
from registry.statement import Quality, Speaker
from tests.core.signals import signing

URL = "https://art.example/works/a.jpg"
RESERVING = "<plus:DataMining>http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED</plus:DataMining>"
RSL = b"""<rsl xmlns="https://rslstandard.org/rsl"><content url="/"><license>
<prohibits type="usage">ai-train</prohibits></license></content></rsl>"""
CC = "https://creativecommons.org/licenses/by/4.0/"
CC0 = "https://creativecommons.org/publicdomain/zero/1.0/"
RSL_TAG = '<link rel="license" type="application/rsl+xml" href="/l.xml">'


def packet(body):
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/" '
        'xmlns:cc="http://creativecommons.org/ns#" '
        f'xmlns:tdm="http://www.w3.org/ns/tdmrep/">{body}</rdf:Description></rdf:RDF></x:xmpmeta>'
    ).encode()


def picture(xmp=b""):
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "JPEG", **({"xmp": xmp} if xmp else {}))
    return out.getvalue()


def text(path, data, status=200, kind="text/plain"):
    return {path: SiteFile(f"https://art.example{path}", status, data, kind)}


def document(address, status=200, data=RSL):
    return {address: SiteFile(address, status, data, "application/rsl+xml")}


ROBOTS = "/robots.txt"
L = "https://art.example/l.xml"
SEEN = {
    "the file": ({"data": picture(packet(RESERVING))}, "iptc", "xmp", "reserved", "embedded"),
    "the sidecar": ({"sidecar": packet(RESERVING)}, "iptc", "xmp sidecar", "reserved", "embedded"),
    "TDMRep in the file": (
        {"data": picture(packet("<tdm:reservation>1</tdm:reservation>"))},
        "tdmrep", "xmp", "reserved", "embedded",
    ),
    "TDMRep in the sidecar": (
        {"sidecar": packet("<tdm:reservation>1</tdm:reservation>")},
        "tdmrep", "xmp sidecar", "reserved", "embedded",
    ),
    "a licence in the file": (
        {"data": picture(packet(f"<cc:license>{CC}</cc:license>"))},
        "licence", "xmp", "conditional", "embedded",
    ),
    "a licence in the sidecar": (
        {"sidecar": packet(f"<cc:license>{CC}</cc:license>")},
        "licence", "xmp sidecar", "conditional", "embedded",
    ),
    "a licence in a page": (
        {"page": f'<a rel="license" href="{CC}">CC BY</a>'.encode()},
        "licence", "page", "conditional", "host",
    ),
    "Content-Usage": (
        {"headers": (("Content-Usage", "train-ai=n"),)}, "aipref", "header", "reserved", "host",
    ),
    "X-Robots-Tag": ({"headers": (("X-Robots-Tag", "noai"),)}, "directives", "header", "reserved", "host"),
    "TDMRep in a header": ({"headers": (("TDM-Reservation", "0"),)}, "tdmrep", "header", "allowed", "host"),
    "a page": ({"page": b'<meta name="robots" content="noai">'}, "directives", "page", "reserved", "host"),
    "robots.txt": (
        {"site": text(ROBOTS, b"User-agent: GPTBot\nDisallow: /")},
        "robots", "robots.txt", "reserved", "host",
    ),
    "Content-Signal": (
        {"site": text(ROBOTS, b"User-agent: *\nContent-Signal: ai-train=no\nAllow: /")},
        "content-signal", "robots.txt", "reserved", "host",
    ),
    "ai.txt": (
        {"site": text("/ai.txt", b"User-agent: *\nDisallow: *.jpg")},
        "ai.txt", "ai.txt", "reserved", "host",
    ),
    "tdmrep.json": (
        {"site": text("/.well-known/tdmrep.json", b'[{"location": "/", "tdm-reservation": 1}]')},
        "tdmrep", "tdmrep.json", "reserved", "host",
    ),
    "RSL in a page": (
        {"page": b'<script type="application/rsl+xml">' + RSL + b"</script>"},
        "rsl", "page", "reserved", "host",
    ),
    "RSL that a page names": (
        {"page": RSL_TAG.encode(), "site": document(L)},
        "rsl", "rsl", "reserved", "host",
    ),
    "RSL that a header names": (
        {"headers": (("Link", f'<{L}>; rel="license"; type="application/rsl+xml"'),), "site": document(L)},
        "rsl", "rsl", "reserved", "host",
    ),
    "RSL that robots.txt names": (
        {"site": text(ROBOTS, f"License: {L}".encode()) | document(L)},
        "rsl", "rsl", "reserved", "host",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(SEEN))
def test_each_part_of_an_observation_is_read_by_its_own_protocol(name):
    seen, protocol, carrier, preference, speaker = SEEN[name]
    reading = read_signals(Observation(url=URL, **seen))
    assert reading.faults == ()
    [one] = [s for s in reading.statements if s.preferences.get(Use.GENAI_TRAIN) is not None]
    assert (one.signal.protocol, one.signal.carrier, one.match.kind) == (protocol, carrier, protocol)
    assert (one.preferences[Use.GENAI_TRAIN], one.signal.speaker) == (preference, speaker)


def test_every_word_of_a_signal_has_a_place_in_a_sentence():
    for seen, *_ in SEEN.values():
        for one in read_signals(Observation(url=URL, **seen)).statements:
            use = next(iter(one.preferences))
            assert ": its " not in decide([one], use, Mode.STRICT).reason


@pytest.mark.parametrize(
    ("seen", "status", "words"),
    [
        ({"sidecar": b"<x:xmpmeta"}, Status.MALFORMED, ""),
        ({"site": text(ROBOTS, b"", 503)}, Status.ERROR, "503"),
        ({"site": text(ROBOTS, b"", 0)}, Status.ERROR, "no answer"),
        ({"site": text("/ai.txt", b"", 500)}, Status.ERROR, "500"),
        ({"site": text("/.well-known/tdmrep.json", b"{}")}, Status.MALFORMED, ""),
        ({"page": RSL_TAG.encode()}, Status.ERROR, "/l.xml is named, and was not read"),
        ({"page": RSL_TAG.encode(), "site": document(L, 404)}, Status.ERROR, "is named, and answered 404"),
        ({"page": RSL_TAG.encode(), "site": document(L, 0)}, Status.ERROR, "is named, and gave no answer"),
        ({"page": RSL_TAG.encode(), "site": document(L, 200, b"<rsl")}, Status.MALFORMED, "RSL"),
        ({"site": text(ROBOTS, b"License: https://[")}, Status.ERROR, "is named, and was not read"),
    ],
    ids=[
        "sidecar cut short", "robots.txt 503", "robots.txt without an answer", "ai.txt 500",
        "tdmrep.json no array", "RSL not fetched", "RSL 404", "RSL without an answer",
        "RSL cut short", "RSL at no address",
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_a_fault_by_name(seen, status, words):
    reading = read_signals(Observation(url=URL, **seen))
    assert [one.status for one in reading.faults] == [status]
    assert words in reading.faults[0].message
    assert not any(
        value is Preference.ALLOWED for s in reading.statements for value in s.preferences.values()
    )


@pytest.mark.parametrize(
    "seen",
    [
        {},
        {"data": picture()},
        {"data": b"no picture at all"},
        {"headers": (("Content-Type", "image/jpeg"), ("Server", "x"))},
        {"page": b"<title>Nothing of the kind</title>"},
        {"site": text(ROBOTS, b"User-agent: *\nAllow: /")},
        {"site": text(ROBOTS, b"<html>", 404) | text("/ai.txt", b"<html>", 404)},
        {"site": text("/.well-known/tdmrep.json", b"<html>", 404)},
    ],
    ids=["nothing", "a picture", "no picture", "headers", "a page", "Allow", "no files", "no tdmrep.json"],
)
def test_silence_is_silence(seen):
    reading = read_signals(Observation(url=URL, **seen))
    assert (reading.statements, reading.faults) == ((), ())


def test_the_most_restrictive_of_all_carriers_decides():
    every = {"headers": (("Content-Usage", "train-ai=y"),), "data": picture(packet(RESERVING))}
    reading = read_signals(Observation(url=URL, **every))
    decision = decide(reading.statements, Use.GENAI_TRAIN)
    assert (decision.preference, decision.action, decision.matched_by) == ("reserved", Action.REMOVE, "iptc")


@pytest.mark.parametrize(
    ("seen", "preference"),
    [
        ({"page": f'<link rel="license" href="{CC0}">'.encode()}, "unknown"),
        ({"data": picture(packet(f"<cc:license>{CC0}</cc:license>"))}, "unknown"),
        ({"headers": (("Content-Usage", "train-ai=y"),)}, "allowed"),
    ],
    ids=["the licence of a page's text", "the licence in an unsigned file", "the answer that brought it"],
)
def test_what_permits_is_the_host_about_this_work(seen, preference):
    reading = read_signals(Observation(url=URL, **seen))
    assert Preference.ALLOWED in {s.preferences[Use.GENAI_TRAIN] for s in reading.statements}
    assert decide(reading.statements, Use.GENAI_TRAIN).preference == preference


def test_robots_is_asked_about_the_agents_that_are_given():
    site = text(ROBOTS, b"User-agent: NewBot\nDisallow: /")
    assert read_signals(Observation(url=URL, site=site)).statements == ()
    agents = Agents.load(
        b'{"version": "2026-11-21", "agents": [{"token": "NewBot", "kind": "training", "operator": "o",'
        b' "source": "s"}]}'
    )
    [one] = read_signals(Observation(url=URL, site=site), agents).statements
    assert (one.signal.quality, one.signal.speaker) == (Quality.INFERRED, Speaker.HOST)


def test_the_addresses_that_are_named_are_told_once_and_whole():
    link = '<l.xml>; rel="license"; type="application/rsl+xml"'
    observation = Observation(
        url=URL,
        headers=(("Link", link),),
        page=b'<link rel="license" type="application/rsl+xml" href="/works/l.xml">',
        site=text(ROBOTS, b"License: https://other.example/r.xml\nLicense: https://["),
    )
    addresses = ("https://art.example/works/l.xml", "https://other.example/r.xml")
    assert named_addresses(observation) == addresses
    fetched = {address: SiteFile(address, 200, RSL) for address in addresses}
    reading = read_signals(
        Observation(url=URL, headers=observation.headers, page=observation.page, site=fetched)
    )
    assert (len(reading.statements), reading.faults) == (1, ())


def test_a_file_and_its_sidecars_are_read_apart():
    reading = read_embedded(picture(packet(RESERVING)), [packet(RESERVING), b"<broken"])
    assert [one.signal.carrier for one in reading.statements] == ["xmp", "xmp sidecar"]
    assert [one.carrier for one in reading.faults] == ["xmp sidecar"]


CHANGES = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=8), st.integers(0, 40)), max_size=6
)
WHOLE = [picture(packet(RESERVING + f"<cc:license>{CC}</cc:license><tdm:reservation>1</tdm:reservation>"))]
WHOLE += [
    signing.signed(signing.picture(kind), signing.assertion(signing.RESERVES)) for kind in signing.FORMATS
]


@given(st.sampled_from(WHOLE), CHANGES, st.booleans())
@settings(deadline=None)
def test_whatever_the_bytes_are_there_is_a_reading_that_can_be_written_down(data, changes, beside):
    changed = bytearray(data)
    for place, bytes_, gone in changes:
        at = int(place * len(changed))
        changed[at : at + gone] = bytes_
    reading = read_embedded(bytes(changed), [bytes(changed[:500])] if beside else ())
    for one in reading.statements:
        rfc8785.dumps(one.to_wire())
        assert decide([one], Use.GENAI_TRAIN).preference is not Preference.ALLOWED
    assert all(one.message.encode() for one in reading.faults)


def bulky(inner, padding=0):
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"{inner}</rdf:Description></rdf:RDF><!--{'x' * padding}--></x:xmpmeta>"
    ).encode()


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (
            bulky(
                "".join(
                    f"<dc:rights>https://creativecommons.org/licenses/by/{at}.0/</dc:rights>"
                    for at in range(1, 1000)
                ),
                15_000_000,
            ),
            "",
        ),
        (
            bulky("<dc:rights>" + "</dc:rights><dc:rights>".join(map(str, range(2001))) + "</dc:rights>"),
            "2001 texts",
        ),
        (bulky("<a/>" * 60_000) * 8, "at most 400000 tags and attributes"),
    ],
    ids=["many statements of a large packet", "many licences", "many packets of many elements"],
)
def test_a_hostile_file_costs_little_time(data, fault, timed):
    with timed(4):
        reading = read_embedded(data)
    assert [fault in one.message for one in reading.faults] == [True] * bool(fault)
