"""Sites are read politely: each file once, each address once, and silence is a fault."""

import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from registry.client.site import DAY, SiteCache, Sites
from registry.decision import decide
from registry.fetch import SITE_SIGNALS, Fetcher
from registry.preference import Preference, Status, Use
from registry.signals import Reading
from registry.signals.agents import Agents

from .sites import Site

HERE = replace(SITE_SIGNALS, private=True, read_seconds=1, total_seconds=2)
USE = Use.GENAI_TRAIN


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


@pytest.fixture
def other() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


@pytest.fixture
def clock() -> list[float]:
    return [1_795_000_000.0]


@pytest.fixture
def sites(tmp_path: Path, clock: list[float]) -> Sites:
    return opened(tmp_path, clock)


def opened(folder: Path, clock: list[float]) -> Sites:
    return Sites(Fetcher(HERE), SiteCache(folder / "sites", lambda: clock[0]), Agents.default())


def said(reading: Reading, use: Use = USE) -> Preference:
    return decide(reading.statements, use).preference


def test_a_site_that_says_nothing_says_nothing(site, sites):
    site.says("/a.jpg")
    [reading] = sites.read([f"{site.url}/a.jpg"]).values()
    assert reading == Reading()


@pytest.mark.parametrize(
    ("path", "body", "protocol"),
    [
        ("/robots.txt", b"User-agent: GPTBot\nDisallow: /art\n", "robots"),
        ("/robots.txt", b"User-agent: *\nAllow: /\nContent-Signal: ai-train=no\n", "content-signal"),
        ("/robots.txt", b"User-agent: *\nAllow: /\nContent-Usage: train-ai=n\n", "aipref"),
        ("/ai.txt", b"User-Agent: *\nDisallow: *.jpg\n", "ai.txt"),
        ("/.well-known/tdmrep.json", b'[{"location": "/art/*", "tdm-reservation": 1}]', "tdmrep"),
    ],
    ids=["robots", "content-signal", "content-usage", "ai.txt", "tdmrep"],
)
def test_each_file_of_a_site_is_heard(site, sites, path, body, protocol):
    site.says(path, body, Content_Type="application/json" if path.endswith("json") else "text/plain")
    site.says("/art/a.jpg")
    [reading] = sites.read([f"{site.url}/art/a.jpg"]).values()
    assert not reading.faults
    assert said(reading) is Preference.RESERVED
    assert {one.match.kind for one in reading.statements} == {protocol}


@pytest.mark.parametrize(
    "headers",
    [{"X_Robots_Tag": "NoAI"}, {"tdm_reservation": "1"}, {"Content_Usage": "train-ai=n"}],
    ids=["x-robots-tag", "tdm-reservation", "content-usage"],
)
def test_the_headers_of_an_address_are_heard(site, sites, headers):
    site.says("/a.jpg", **headers)
    site.says("/b.jpg")
    found = sites.read([f"{site.url}/a.jpg", f"{site.url}/b.jpg"])
    assert said(found[f"{site.url}/a.jpg"]) is Preference.RESERVED
    assert said(found[f"{site.url}/b.jpg"]) is Preference.UNKNOWN


def test_files_are_asked_for_once_and_addresses_once(site, sites):
    site.says("/robots.txt", b"User-agent: *\nAllow: /\n")
    urls = [f"{site.url}/{number}.jpg" for number in range(20)]
    ticks: list[None] = []
    found = sites.read([*urls, *urls], lambda: ticks.append(None))
    assert list(found) == urls
    assert len(ticks) == 20
    assert set(site.asked.values()) == {1}
    assert site.asked["HEAD", "/3.jpg"] == 1


def test_who_is_kept_out_does_not_call(site, sites):
    site.says("/robots.txt", b"User-agent: *\nDisallow: /private\n")
    site.says("/private/a.jpg")
    [reading] = sites.read([f"{site.url}/private/a.jpg"]).values()
    assert said(reading) is Preference.RESERVED
    assert not any(path == "/private/a.jpg" for _, path in site.asked)


def test_answers_are_kept_for_a_day(site, sites, clock, tmp_path):
    site.says("/robots.txt", b"User-agent: *\nAllow: /\n")
    url = f"{site.url}/a.jpg"
    sites.read([url])
    site.says("/robots.txt", b"User-agent: GPTBot\nDisallow: /\n")
    clock[0] += DAY - 1
    assert said(opened(tmp_path, clock).read([url])[url]) is Preference.UNKNOWN
    clock[0] += 1
    assert said(opened(tmp_path, clock).read([url])[url]) is Preference.RESERVED
    assert site.asked["GET", "/robots.txt"] == 2


def test_a_clock_that_was_put_back_does_not_lengthen_a_day(site, sites, clock, tmp_path):
    url = f"{site.url}/a.jpg"
    sites.read([url])
    clock[0] -= 1
    opened(tmp_path, clock).read([url])
    assert site.asked["GET", "/robots.txt"] == 2


@pytest.mark.parametrize("damage", [b"", b"{}", b"not json\nbody", b'{"asked": 1}\n'])
def test_a_damaged_answer_is_asked_for_again(site, sites, clock, tmp_path, damage):
    site.says("/robots.txt", b"User-agent: GPTBot\nDisallow: /\n")
    url = f"{site.url}/a.jpg"
    sites.read([url])
    for path in (tmp_path / "sites").iterdir():
        path.write_bytes(damage)
    assert said(opened(tmp_path, clock).read([url])[url]) is Preference.RESERVED
    assert site.asked["GET", "/robots.txt"] == 2


def test_no_bit_of_a_kept_answer_can_turn(site, sites, clock, tmp_path):
    site.says("/robots.txt", b"User-agent: GPTBot\nDisallow: /\n")
    url = f"{site.url}/a.jpg"
    sites.read([url])
    for path in (tmp_path / "sites").iterdir():
        kept = path.read_bytes()
        path.write_bytes(kept.replace(b"GPTBot", b"GPTCot").replace(b'"status": 404', b'"status": 410'))
    assert said(opened(tmp_path, clock).read([url])[url]) is Preference.RESERVED
    assert site.asked["GET", "/robots.txt"] == site.asked["GET", "/ai.txt"] == 2


def _as_folders(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _as_devices(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def _as_links_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nothing"))


@pytest.mark.skipif(os.name == "nt", reason="there are no devices to link to")
@pytest.mark.parametrize("turn", [_as_folders, _as_devices, _as_links_to_nothing])
def test_what_is_no_kept_answer_is_not_read(site, sites, clock, tmp_path, turn):
    site.says("/robots.txt", b"User-agent: GPTBot\nDisallow: /\n")
    url = f"{site.url}/a.jpg"
    sites.read([url])
    for path in (tmp_path / "sites").iterdir():
        turn(path)
    assert said(opened(tmp_path, clock).read([url])[url]) is Preference.RESERVED


def test_a_disk_that_keeps_nothing_is_no_fault(site, clock, tmp_path):
    (tmp_path / "sites").write_text("a file where the folder belongs")
    url = f"{site.url}/a.jpg"
    assert opened(tmp_path, clock).read([url])[url] == Reading(), "it answers 404 to all"


def test_robots_txt_that_fails_is_a_disallow_and_a_fault_and_is_not_kept(site, sites, clock, tmp_path):
    url = f"{site.url}/a.jpg"
    site.says("/robots.txt", status=503)
    reading = sites.read([url])[url]
    assert said(reading) is Preference.RESERVED
    assert [one.status for one in reading.faults] == [Status.ERROR]
    site.says("/robots.txt", status=404)
    assert opened(tmp_path, clock).read([url])[url] == Reading()


def test_a_host_that_is_not_there_is_a_fault(sites, site):
    site.close()
    url = f"{site.url}/a.jpg"
    assert sites.read([url])[url].faults


@pytest.mark.parametrize(
    ("status", "silent"), [(404, True), (410, True), (302, False), (403, False), (500, False)]
)
def test_an_address_that_refuses_is_a_fault_and_one_that_is_gone_is_silent(site, sites, status, silent):
    url = f"{site.url}/a.jpg"
    site.says("/a.jpg", status=status, X_Robots_Tag="noai")
    reading = sites.read([url])[url]
    assert not reading.statements
    assert (not reading.faults) is silent
    if not silent:
        assert f"answered {status}" in reading.faults[0].message


@pytest.mark.parametrize("url", ["https://", "http://[::1", "http://[x]/", "//", "http://a b/", "\x00"])
def test_what_is_no_address_is_a_fault(sites, url):
    [fault] = sites.read([url])[url].faults
    assert "cannot be asked" in fault.message


def dead_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_a_host_that_gives_no_answer_time_and_again_is_asked_no_more(site, sites):
    """A slow host with thousands of addresses would otherwise hold up a run for days."""
    dead = dead_address()
    for number in range(8):
        site.says(f"/{number}.jpg", status=301, Location=f"{dead}/")
    readings = sites.read([f"{site.url}/{number}.jpg" for number in range(8)])
    messages = [reading.faults[0].message for reading in readings.values()]
    assert ["gave no answer 5 times in a row" in one for one in messages] == [False] * 5 + [True] * 3
    assert sum(count for (method, _), count in site.asked.items() if method == "HEAD") == 5


def test_an_answer_ends_a_silence(site, sites):
    dead = dead_address()
    for number in range(9):
        site.says(f"/{number}.jpg", status=301, Location=f"{dead}/")
    site.says("/4.jpg")
    readings = sites.read([f"{site.url}/{number}.jpg" for number in range(9)])
    assert not any("in a row" in fault.message for one in readings.values() for fault in one.faults)


def test_a_host_that_is_not_there_is_called_once(sites):
    calls: list[str] = []

    def resolve(host: str, _port: int) -> list[Any]:
        calls.append(host)
        raise OSError("no such host")

    silent = replace_fetcher(sites, resolve)
    faults = silent.read(["http://absent.example/a.jpg"])["http://absent.example/a.jpg"].faults
    assert len(calls) == 1
    assert (faults[0].carrier, faults[0].message) == (
        "robots.txt",
        "http://absent.example/robots.txt: no answer (no such host)",
    )
    assert {fault.protocol for fault in faults} >= {"robots", "ai.txt", "tdmrep"}


def replace_fetcher(sites: Sites, resolve: Any) -> Sites:
    return Sites(Fetcher(HERE, resolve), sites.cache, sites.agents)


STOPPED = """
import sys
from dataclasses import replace
from pathlib import Path
from registry.client.site import SiteCache, Sites
from registry.fetch import SITE_SIGNALS, Fetcher
from registry.signals.agents import Agents
fetcher = Fetcher(replace(SITE_SIGNALS, private=True))
sites = Sites(fetcher, SiteCache(Path(sys.argv[1]), lambda: 0.0), Agents.default())
print("asking", flush=True)
sites.read([f"http://127.0.0.{host}:{sys.argv[2]}/{n}.jpg" for host in range(1, 20) for n in range(50)])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is this machine's on Linux only")
def test_who_stops_it_does_not_wait_for_slow_hosts(tmp_path):
    with socket.create_server(("", 0)) as silent:  # connects, and never answers
        port = str(silent.getsockname()[1])
        command = [sys.executable, "-c", STOPPED, str(tmp_path / "sites"), port]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
            assert run.stdout is not None
            run.stdout.readline()
            connection, _ = silent.accept()
            with connection:
                began = time.monotonic()
                run.send_signal(signal.SIGINT)
                _, errors = run.communicate(timeout=20)
                assert time.monotonic() - began < 3
    assert b"KeyboardInterrupt" in errors
    assert not list(tmp_path.glob("sites/*"))


def test_the_site_to_which_an_address_leads_on_is_heard_too(site, other, sites):
    site.says("/a.jpg", status=301, Location=f"{other.url}/b.jpg")
    other.says("/b.jpg")
    other.says("/robots.txt", b"User-agent: GPTBot\nDisallow: /\n")
    url = f"{site.url}/a.jpg"
    assert said(sites.read([url])[url]) is Preference.RESERVED


def test_a_page_is_read_with_its_metadata(site, sites):
    page = b'<html><head><meta name="tdm-reservation" content="1"></head></html>'
    site.says("/", page, Content_Type="text/html; charset=utf-8")
    reading = sites.look(f"{site.url}/")
    assert {one.match.kind for one in reading.statements} == {"tdmrep"}


def test_a_work_is_read_with_what_is_written_into_it(site, sites):
    packet = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/" rdf:about=""'
        b' plus:DataMining="http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED"/></rdf:RDF></x:xmpmeta>'
    )
    picture = io.BytesIO()
    Image.new("RGB", (64, 64)).save(picture, "JPEG", xmp=packet)
    site.says("/a.jpg", picture.getvalue(), Content_Type="image/jpeg")
    reading = sites.look(f"{site.url}/a.jpg")
    assert {one.match.kind for one in reading.statements} == {"iptc"}
    assert said(reading) is Preference.RESERVED


def test_a_licence_that_robots_txt_names_is_read(site, sites):
    licence = (
        b'<rsl xmlns="https://rslstandard.org/rsl"><content url="/"><license>'
        b'<prohibits type="usage">ai-all</prohibits></license></content></rsl>'
    )
    site.says("/robots.txt", f"License: {site.url}/l.xml\nUser-agent: *\nAllow: /\n".encode())
    site.says("/l.xml", licence, Content_Type="application/rsl+xml")
    site.says("/a.jpg")
    url = f"{site.url}/a.jpg"
    assert said(sites.read([url])[url]) is Preference.RESERVED
    assert site.asked["GET", "/l.xml"] == 1
