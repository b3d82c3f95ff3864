import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.decision import decide
from registry.preference import Preference, Status, Use
from registry.signals import page, tdmrep
from registry.signals.observation import SiteFile

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "signals" / "tdmrep.json").read_text("utf-8"))
URL = "https://example.org/a/b.jpg"
FILE_URL = "https://example.org/.well-known/tdmrep.json"


def site_file(given, url=FILE_URL):
    url = given.get("url", url)
    return SiteFile(url, given["status"], given["body"].encode(), given["content_type"])


def array(data, url=FILE_URL):
    return SiteFile(url, 200, json.dumps(data).encode(), "application/json")


def read(case):
    file = tdmrep.read_file(site_file(case["file"]), case["url"]) if "file" in case else tdmrep.TdmRep()
    return tdmrep.combine(
        file,
        tdmrep.read_headers(tuple(map(tuple, case.get("headers", [])))),
        tdmrep.read_page(page.read(case.get("page", "").encode())),
        tdmrep.read_xmp(case.get("xmp", {}), b"<x:xmpmeta/>"),
        {url: site_file(one, url) for url, one in case.get("policies", {}).items()},
    )


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_what_the_carriers_say_is_combined(case, check_reading):
    check_reading(read(case), case)


def test_a_carrier_that_says_nothing_is_the_default():
    assert tdmrep.combine() == read({"url": URL})
    assert tdmrep.combine().statements == ()


@pytest.mark.parametrize(("more", "faults"), [(0, 0), (1, 1)])
def test_a_file_that_is_too_large_is_a_fault(more, faults):
    data = b'[{"location":"/","tdm-reservation":1}]'
    data += b" " * (tdmrep.LARGEST - len(data) + more)
    found = tdmrep.read_file(SiteFile(FILE_URL, 200, data, "application/json"), URL)
    assert [one.status for one in found.faults] == [Status.MALFORMED] * faults
    assert found.reservation is (None if faults else True)


def test_a_policy_that_is_too_large_names_nobody():
    offer = json.dumps({"assigner": {"vcard:fn": "Ada"}}).encode()
    policies = {
        "p": SiteFile("p", 200, offer + b" " * (tdmrep.LARGEST - len(offer))),
        "q": SiteFile("q", 200, offer + b" " * tdmrep.LARGEST),
    }
    for policy, name in (("p", "Ada"), ("q", "")):
        headers = tdmrep.read_headers([("tdm-reservation", "1"), ("tdm-policy", policy)])
        (one,) = tdmrep.combine(headers=headers, policies=policies).statements
        assert (one.label, one.terms) == (name, policy)


def test_an_address_of_terms_that_is_too_long_leaves_it_reserved():
    for length, value in ((8192, Preference.CONDITIONAL), (8193, Preference.RESERVED)):
        policy = "https://example.org/".ljust(length, "x")
        for told in (
            tdmrep.combine(headers=tdmrep.read_headers([("tdm-reservation", "1"), ("tdm-policy", policy)])),
            tdmrep.combine(tdmrep.read_file(array([entry("/", 1) | {"tdm-policy": policy}]), URL)),
        ):
            assert set(told.statements[0].preferences.values()) == {value}


def test_many_entries_are_gone_through_quickly():
    entries = array([entry(f"/{at}/*x*y*z$", 1) for at in range(15_000)] + [entry("/", 0)])
    tdmrep.read_file(entries, URL)
    began = time.process_time()
    for at in range(10):
        assert tdmrep.read_file(entries, f"https://example.org/a/{at}.jpg").reservation is False
    assert time.process_time() - began < 3


def entry(location, reservation):
    return {"location": location, "tdm-reservation": reservation}


VALUES = st.sampled_from(["0", "1", "2", "true", "no", "", "1, 1", "0, 0", "0,1"])
FILES = st.lists(st.builds(entry, st.sampled_from(["/", "/a/", "/b/", "*.jpg$"]), st.sampled_from([0, 1, 2])))


def decided(reading):
    return decide(reading.statements, Use.GENAI_TRAIN).preference


@given(VALUES, st.lists(VALUES, max_size=2), FILES)
def test_page_and_xmp_never_lift_what_the_host_says(value, headers, entries):
    host = (
        tdmrep.read_file(array(entries), URL),
        tdmrep.read_headers([("tdm-reservation", one) for one in headers]),
    )
    alone = decided(tdmrep.combine(*host))
    around = tdmrep.read_page(page.read(f'<meta name="tdm-reservation" content="{value}">'.encode()))
    inside = tdmrep.read_xmp({"tdm-reservation": value})
    for more in ((around,), (tdmrep.TdmRep(), inside), (around, inside)):
        assert decided(tdmrep.combine(*host, *more)).restriction >= alone.restriction


@given(FILES)
def test_the_first_that_matches_decides(entries):
    found = tdmrep.read_file(array(entries), URL)
    values = [one["tdm-reservation"] for one in entries if one["location"] != "/b/"]
    assert found.reservation is ({0: False, 1: True}.get(values[0]) if values else None)


@given(VALUES, VALUES)
def test_only_a_clean_zero_of_the_host_permits(first, second):
    reading = tdmrep.combine(headers=tdmrep.read_headers([("tdm-reservation", v) for v in (first, second)]))
    assert Preference.ALLOWED not in {v for one in reading.statements for v in one.preferences.values()}
    assert (decided(reading) is Preference.RESERVED) is any(
        part.strip() in ("1", "true") for value in (first, second) for part in value.split(",")
    )


@given(st.binary(max_size=60), st.sampled_from(["text/html", "application/json", ""]))
def test_any_bytes_are_a_file_no_file_or_a_fault(data, kind):
    for begin in (b"", b"[", b'[{"location":"/","tdm-reservation":', b"\xef\xbb\xbf"):
        found = tdmrep.read_file(SiteFile(FILE_URL, 200, begin + data, kind), URL)
        assert all(one.status is Status.MALFORMED for one in found.faults)
