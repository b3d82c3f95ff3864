import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import CaveatError, InvalidRuleError, InvalidUrlError
from registry.urls import (
    KEY_BYTES,
    MAX_URL_LENGTH,
    TRACKING,
    RuleKind,
    UrlRule,
    candidate_keys,
    canonicalize_url,
    exact_key,
    host_of,
    registered_domain,
    url_rule,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "urls.json").read_text("utf-8"))


def by_name(case):
    return case["name"]


def by_rule(case):
    return f"{case['kind']} {case['input']!r}"


@pytest.mark.parametrize("case", VECTORS["canonical"], ids=by_name)
def test_each_spelling_has_one_canonical_form(case):
    assert canonicalize_url(case["input"]) == case["output"]
    assert canonicalize_url(case["output"]) == case["output"]


@pytest.mark.parametrize("case", VECTORS["invalid"], ids=by_name)
def test_what_is_no_http_url_is_refused(case):
    with pytest.raises(InvalidUrlError):
        canonicalize_url(case["input"])


def test_a_lone_surrogate_is_refused():
    with pytest.raises(InvalidUrlError):
        canonicalize_url("https://example.org/\ud800")


def test_the_longest_url_is_taken_and_one_character_more_is_refused():
    longest = "https://example.org/".ljust(MAX_URL_LENGTH, "a")
    assert MAX_URL_LENGTH == 8192
    assert canonicalize_url(longest) == longest
    with pytest.raises(InvalidUrlError, match="8193 characters"):
        canonicalize_url(longest + "a")


def test_an_error_shows_no_more_than_the_beginning_of_a_long_url():
    with pytest.raises(InvalidUrlError) as caught:
        canonicalize_url("ftp://example.org/" + "a" * 5000)
    assert "ftp://example.org/a" in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("name", [*sorted(TRACKING), "utm_source", "utm_"])
def test_each_tracking_parameter_is_dropped_wherever_it_stands(name):
    for query in (f"{name}=1&a=2&b", f"a=2&{name}&b", f"a=2&b&{name}=x%20y"):
        assert canonicalize_url(f"https://example.org/?{query}") == "https://example.org/?a=2&b"


@pytest.mark.parametrize("case", VECTORS["registered_domains"], ids=lambda case: case["host"])
def test_the_registered_domain_is_that_of_one_party(case):
    assert registered_domain(case["host"]) == case["domain"]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://a.example.org/b:c", "a.example.org"),
        ("https://example.org:8443/", "example.org"),
        ("https://[::1]/a:b", "[::1]"),
        ("https://[::1]:8443/", "[::1]"),
        ("https://192.0.2.1:81/", "192.0.2.1"),
    ],
)
def test_the_host_comes_without_its_port(url, host):
    assert host_of(canonicalize_url(url)) == host


@pytest.mark.parametrize("case", VECTORS["rules"], ids=by_rule)
def test_a_rule_has_its_surt_text_and_shows_what_people_write(case):
    rule = url_rule(case["kind"], case["input"])
    assert (rule.kind, rule.surt, rule.text) == (RuleKind(case["kind"]), case["surt"], case["text"])
    assert url_rule(case["kind"], rule.text) == rule
    if case["kind"] != "domain":
        assert rule.host == host_of(
            canonicalize_url(rule.text if "//" in rule.text else f"https://{rule.text}/")
        )


@pytest.mark.parametrize("case", VECTORS["invalid_rules"], ids=by_rule)
def test_a_rule_that_covers_nothing_or_everybody_is_refused(case):
    with pytest.raises({"rule": InvalidRuleError, "url": InvalidUrlError}[case["error"]]):
        url_rule(case["kind"], case["input"])


@pytest.mark.parametrize("suffix", ["github.io", "co.uk"])
def test_the_refusal_of_a_public_suffix_says_what_to_do(suffix):
    with pytest.raises(InvalidRuleError, match="public suffix") as caught:
        url_rule("domain", suffix)
    assert "Name your own domain" in caught.value.hint


def test_a_key_is_16_bytes_of_sha256_over_kind_and_surt():
    rule = url_rule("domain", "example.org")
    assert rule.key == hashlib.sha256(b"domain:org,example,").digest()[:16]
    assert len(rule.key) == KEY_BYTES == 16
    assert UrlRule(RuleKind.HOST, rule.surt).key != rule.key
    assert (
        exact_key(canonicalize_url("http://www.example.org/a"))
        == url_rule("exact", "https://example.org/a").key
    )


@pytest.mark.parametrize(
    ("url", "rules"),
    [
        (
            "https://a.example.org/x/y.jpg?q=/1/",
            [
                ("exact", "https://a.example.org/x/y.jpg?q=/1/"),
                ("prefix", "https://a.example.org/x/"),
                ("prefix", "https://a.example.org/"),
                ("host", "a.example.org"),
                ("domain", "example.org"),
            ],
        ),
        (
            "https://example.org:8443/x/",
            [
                ("exact", "https://example.org:8443/x/"),
                ("prefix", "https://example.org:8443/x/"),
                ("prefix", "https://example.org:8443/"),
                ("host", "https://example.org:8443/"),
                ("domain", "example.org"),
            ],
        ),
        (
            "https://github.io/",
            [("exact", "https://github.io/"), ("prefix", "https://github.io/"), ("host", "github.io")],
        ),
        (
            "https://[::1]/a",
            [("exact", "https://[::1]/a"), ("prefix", "https://[::1]/"), ("host", "https://[::1]/")],
        ),
    ],
)
def test_a_url_is_looked_up_under_every_rule_that_covers_it_narrowest_first(url, rules):
    expected = [(RuleKind(kind), url_rule(kind, value).key) for kind, value in rules]
    assert candidate_keys(canonicalize_url(url)) == expected


@pytest.mark.parametrize(
    ("kind", "rule", "url"),
    [
        ("exact", "https://example.org/a", "https://example.org/A"),
        ("exact", "https://example.org/a", "https://example.org/a/"),
        ("exact", "https://example.org/a?w=1", "https://example.org/a?w=2"),
        ("prefix", "https://example.org/a/", "https://example.org/ab/c"),
        ("prefix", "https://example.org/a/", "https://example.org/?/a/"),
        ("prefix", "https://example.org/a/", "https://images.example.org/a/b"),
        ("host", "example.org", "https://images.example.org/"),
        ("host", "example.org", "https://example.org:8443/"),
        ("domain", "example.org", "https://example.org.evil.com/"),
        ("domain", "ada.github.io", "https://ben.github.io/"),
    ],
)
def test_a_rule_does_not_cover_its_neighbours(kind, rule, url):
    assert url_rule(kind, rule).key not in [key for _, key in candidate_keys(canonicalize_url(url))]


LABELS = st.text("abcXYZ0159-é例", min_size=1, max_size=6).map(lambda text: f"a{text}a")
HOSTS = st.one_of(
    st.lists(LABELS, min_size=1, max_size=3).map(lambda labels: ".".join([*labels, "org"])),
    st.just("192.0.2.7"),
    st.just("[2001:db8::7]"),
).flatmap(lambda host: st.sampled_from([host, host + "."] if host.endswith("g") else [host]))
# A lone "%" before an escape, an escaped tracking name and http://…:443 are left out on purpose.
PIECES = st.sampled_from(
    ["a", "B", "~", "%7E", "%2f", "%41", "é", " ", "/", "//", "/./", "/../", ")", ",", "'", "|"]
)
PATHS = st.lists(PIECES, max_size=8).map(lambda pieces: "/" + "".join(pieces))
PAIRS = st.sampled_from(["a=1", "b", "", "utm_x=1", "gclid=%41", "q=%7e%2F", "c==", "d=?", "e=é"])
URLS = st.builds(
    lambda scheme, user, www, host, port, path, pairs, fragment: (
        f"{scheme}://{user}{www if host[0] == 'a' else ''}{host}{port}{path}?{'&'.join(pairs)}{fragment}"
    ),
    st.sampled_from(["http", "https", "HTTPS"]),
    st.sampled_from(["", "ada@", "ada:b%40@"]),
    st.sampled_from(["", "www.", "WWW.www."]),
    HOSTS,
    st.sampled_from(["", ":80", ":8443"]),
    PATHS,
    st.lists(PAIRS, max_size=4),
    st.sampled_from(["", "#", "#top?a"]),
)


def canonical_or_none(text):
    try:
        return canonicalize_url(text)
    except InvalidUrlError:
        return None


@given(URLS)
def test_canonicalizing_again_changes_nothing(text):
    url = canonical_or_none(text)
    assert url is None or canonicalize_url(url) == url


@given(URLS)
def test_a_canonical_url_is_plain_https_without_user_www_or_fragment(text):
    url = canonical_or_none(text)
    if url is not None:
        assert url.startswith("https://")
        assert url.isascii()
        assert not url.startswith("https://www.")
        assert "#" not in url
        assert "@" not in url
        assert not set(url) & set(" \t\n")


@given(URLS)
def test_every_rule_made_from_a_url_covers_it(text):
    url = canonical_or_none(text)
    if url is not None:
        keys = dict.fromkeys(candidate_keys(url))
        folder = url.partition("?")[0].rpartition("/")[0] + "/"
        assert (RuleKind.EXACT, exact_key(url)) in keys
        assert (RuleKind.PREFIX, url_rule("prefix", folder).key) in keys
        domain = registered_domain(host_of(url))
        assert (domain is None) == (RuleKind.DOMAIN not in {kind for kind, _ in keys})
        if domain is not None:
            assert (RuleKind.DOMAIN, url_rule("domain", domain).key) in keys


@given(st.sampled_from(["exact", "prefix"]), URLS)
def test_the_text_of_a_rule_gives_the_rule_again(kind, text):
    try:
        rule = url_rule(kind, text)
    except CaveatError:
        return
    assert url_rule(kind, rule.text) == rule


@given(st.text(max_size=60))
def test_any_text_is_taken_or_refused_by_name(text):
    for value in (text, f"https://{text}"):
        url = canonical_or_none(value)
        assert url is None or url.startswith("https://")


def test_a_host_rule_with_a_port_reads_back_its_own_text():
    rule = url_rule("host", "https://example.org:8080/")
    assert url_rule("host", rule.text) == rule


def test_an_unknown_kind_of_rule_is_refused_by_name():
    with pytest.raises(InvalidRuleError, match="bogus"):
        url_rule("bogus", "x")
