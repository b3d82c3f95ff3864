import hashlib
import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from publicsuffixlist import PSLFILE

from registry import fast, kernels, urlkeys
from registry.errors import InvalidUrlError
from registry.urlkeys import KINDS, url_keys
from registry.urls import (
    MAX_URL_LENGTH,
    TRACKING,
    RuleKind,
    candidate_keys,
    canonicalize_url,
    registered_domain,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "urls.json").read_text("utf-8"))
ASCII = [chr(code) for code in range(128)]

both_paths = pytest.mark.usefixtures("both_paths")


def key(text):
    return hashlib.sha256(text.encode()).digest()[:16]


def rows_of(found):
    """The answer as (URL, kind, key) with the key in bytes."""
    keys = [word.astype(">u8").tobytes() for word in found.keys]
    return [(int(url), KINDS[kind], one) for url, kind, one in zip(found.url, found.kind, keys, strict=True)]


def by_the_parser(texts):
    rows, errors = [], {}
    for place, text in enumerate(texts):
        try:
            rows += [(place, kind, one) for kind, one in candidate_keys(canonicalize_url(text))]
        except InvalidUrlError as error:
            errors[place] = error.message
    return rows, errors


def check(texts):
    found = url_keys(texts)
    assert (found.keys.dtype, found.url.dtype, found.kind.dtype) == (np.uint64, np.int64, np.uint8)
    assert found.keys.shape == (len(found.url), 2) == (len(found.kind), 2)
    rows, errors = by_the_parser(texts)
    assert {place: error.message for place, error in found.errors.items()} == errors
    assert rows_of(found) == rows


@both_paths
@pytest.mark.parametrize(
    ("url", "messages"),
    [
        (
            "https://example.org",
            ["exact:org,example,)/", "prefix:org,example,)/", "host:org,example,)", "domain:org,example,"],
        ),
        (
            "HTTP://WWW.a.B.co.uk.:80/x%7e/y?utm_a=1&q=%c3%a9#z",
            [
                "exact:uk,co,b,a,)/x~/y?q=%C3%A9",
                "prefix:uk,co,b,a,)/x~/",
                "prefix:uk,co,b,a,)/",
                "host:uk,co,b,a,)",
                "domain:uk,co,b,",
            ],
        ),
        (
            "http://localhost:08000/a/",
            [
                "exact:localhost,:8000)/a/",
                "prefix:localhost,:8000)/a/",
                "prefix:localhost,:8000)/",
                "host:localhost,:8000)",
            ],
        ),
        ("https://github.io/", ["exact:io,github,)/", "prefix:io,github,)/", "host:io,github,)"]),
        ("https://192.0.2.1/", ["exact:192.0.2.1)/", "prefix:192.0.2.1)/", "host:192.0.2.1)"]),
        (
            "https://例え.jp/",
            [
                "exact:jp,xn--r8jz45g,)/",
                "prefix:jp,xn--r8jz45g,)/",
                "host:jp,xn--r8jz45g,)",
                "domain:jp,xn--r8jz45g,",
            ],
        ),
        ("ftp://example.org/", None),
        ("//example.org/", None),
        ("https://", None),
        ("https://a,b.org/", None),
        ("https://a b.org/", None),
        ("https://example.org:65536/", None),
        ("https://example.org/\ud800", None),
        ("https://example.org/#\ud800", None),
        ("", None),
    ],
)
def test_a_url_has_the_keys_of_its_rules_or_an_error(url, messages):
    found = url_keys([url])
    assert (list(found.errors) == [0]) == (messages is None)
    expected = [(0, RuleKind(message.partition(":")[0]), key(message)) for message in messages or ()]
    assert rows_of(found) == expected


@both_paths
def test_nothing_has_no_keys():
    found = url_keys([])
    assert (found.keys.shape, found.url.shape, found.kind.shape, dict(found.errors)) == (
        (0, 2),
        (0,),
        (0,),
        {},
    )


@both_paths
def test_the_published_vectors_have_the_keys_of_their_canonical_form():
    cases = VECTORS["canonical"]
    check([case["input"] for case in cases] + [case["input"] for case in VECTORS["invalid"]])
    written = url_keys([case["input"] for case in cases])
    canonical = url_keys([case["output"] for case in cases])
    assert rows_of(written) == rows_of(canonical)


@both_paths
@pytest.mark.parametrize(
    "around",
    [
        *("https://a{}b.org/", "https://{}.org/", "https://a.org{}/", "https://a.org/b{}c"),
        *("https://a.org/{}", "https://a.org/?b{}c", "https://a.org/?{}", "https://a.org/#{}"),
        *("https://a.org{}", "{}https://a.org", "http{}s://a.org"),
    ],
)
def test_every_character_is_taken_everywhere_as_the_parser_takes_it(around):
    pairs = [first + second for first in ASCII for second in ("", ".", "%", "/", "a", "1")]
    check([around.format(text) for text in [*pairs, "\x80", "é", "\u3002", "\ud800", "\U0001f600"]])


@both_paths
def test_every_escape_is_taken_as_the_rules_say():
    digits = "0123456789abcdefABCDEFgG%/&"
    escapes = [f"%{high}{low}" for high in digits for low in digits] + ["%", "%4"]
    check([f"https://a.org/x{one}y/{one}?{one}" for one in escapes])
    check([f"https://a.org/?{one}" for one in escapes])


@both_paths
@pytest.mark.parametrize(
    "path",
    [
        *(".", "..", "...", "%2e", "%2E.", ".%2e", "%2e%2E", "%2e%2e%2e", ".a", "a.", "./", "../"),
        *("%2e/", "a/../b", "a/.", "a/..?b", "a/%2e?b", "a/..#b", "/../", "/", "//"),
    ],
)
def test_dot_segments_are_left_to_the_parser(path):
    check([f"https://a.org/{path}", f"https://a.org/b/{path}", f"https://a.org/?{path}"])


@both_paths
@pytest.mark.parametrize(
    "name", [*sorted(TRACKING), "utm_source", "utm_", "%75tm_a", "UTM_a", "utm", "", "x"]
)
def test_tracking_parameters_are_dropped_wherever_they_stand(name):
    names = (name, f"{name}=", f"{name}=1=2", f"x{name}", f"{name}x", f"{name}%3D", name[:-1])
    queries = [
        *("{}", "{}&", "&{}", "&&{}&&", "a&{}", "{}&a", "a&{}&b", "a=1&{}&&b=2", "{}&{}", "{}&utm_a&=&{}"),
    ]
    check([f"https://a.org/?{query.replace('{}', one)}#{one}" for query in queries for one in names])


@both_paths
@pytest.mark.parametrize(
    "port",
    [
        *("", ":", ":0", ":00", ":80", ":080", ":443", ":8443", ":65535", ":65536", ":00065535"),
        *(":1e3", ":-1", ":99999999999999999999999", "::80", ":80:80"),
    ],
)
def test_ports_are_dropped_kept_or_refused(port):
    hosts = ("a.org", "a.org.", "localhost", "1.2.3.4", "[::1]")
    for scheme in ("http", "https"):
        check([f"{scheme}://{host}{port}{end}" for host in hosts for end in ("", "/", "?", "#")])


@both_paths
@pytest.mark.parametrize(
    "host",
    [
        *("www.", "www.a", "www.a.", "www.www.a", "www.www.www.a.org", "WwW.a.org", "wwww.a.org"),
        *("www", "a..b", ".a", "a.org..", "-.org", "a_b.org", "xn--a", "XN--a.org", "a.xn--p1ai"),
        *("xn-a.org", "axn--.org", "1.org", "a.1", "a.0x1", "a.1x", "0x7f.1", "a.b."),
        *("a" * 63 + ".org", "a" * 64 + ".org", "a." * 125 + "b", "a." * 126 + "b", "a." * 127 + "b"),
    ],
)
def test_hosts_are_taken_as_the_parser_takes_them(host):
    urls = [f"https://{host}/", f"http://{host}:81/a", f"https://{host}", f"https://{host}?a"]
    check([*urls, f"https://{host}#a", f"https://u@{host}/"])


def suffixes_and_hosts():
    """Every name of the public suffix list, in ASCII, alone and with a label or more in front."""
    with open(PSLFILE, encoding="utf-8") as file:
        rules = [
            line.split()[0].lstrip("!").removeprefix("*.")
            for line in file
            if line.strip() and line[:2] != "//"
        ]
    names = {rule.encode("idna").decode() for rule in rules} | {"unknown", "a.unknown", "co.unknown"}
    return [
        host for name in sorted(names) for host in (name, f"a.{name}", f"b.a.{name}", f"www.c.b.a.{name}")
    ]


def domains_by_the_loops(hosts):
    """The registered domain of each host, by the compiled loop on its SURT text alone."""
    rules = urlkeys._rules(kernels)
    texts = [",".join(host.split(".")[::-1]) + ",)/" for host in hosts]
    ends = np.cumsum([len(text) for text in texts])
    places = np.array(
        [ends - [len(text) for text in texts], ends - 2, ends - 1, ends, ends], np.int32
    ).T.copy()
    surt = np.frombuffer("".join(texts).encode(), np.uint8).copy()
    room = 8 * len(hosts)
    data, notes = np.empty(64 * room, np.uint8), np.empty((room, 4), np.int32)
    done, count = kernels.candidates.messages(
        surt, places, 0, rules.kinds, rules.suffixes, rules.slots, data, notes
    )
    assert done == len(hosts)
    domains = [None] * len(hosts)
    for start, _, url, kind in notes[:count]:
        if KINDS[kind] is RuleKind.DOMAIN:
            message = data[64 * start : 64 * start + 300].tobytes().partition(b"\x80")[0].decode()
            domains[url] = ".".join(message.removeprefix("domain:").rstrip(",").split(",")[::-1])
    return domains


def test_every_public_suffix_gives_the_registered_domain_of_the_list():
    hosts = suffixes_and_hosts()
    assert len(hosts) > 30000
    by_list = [registered_domain.__wrapped__(host) for host in hosts]
    assert {"a.co.uk", "a.github.io", "city.kobe.jp", "www.ck", None} <= set(by_list)
    assert domains_by_the_loops(hosts) == by_list


def test_hosts_of_random_labels_have_the_registered_domain_of_the_list():
    choose = random.Random(7)
    labels = [
        *("a", "www", "co", "com", "uk", "jp", "kobe", "city", "ck", "io", "github", "compute", "amazonaws"),
        *("x" * 60, "unknown"),
    ]
    hosts = [".".join(choose.choices(labels, k=choose.randint(1, 6))) for _ in range(3000)]
    assert domains_by_the_loops(hosts) == [registered_domain.__wrapped__(host) for host in hosts]


@both_paths
@pytest.mark.parametrize("filler", ["a", "/", "%41", "%zz", "é", "/b"])
@pytest.mark.parametrize("less", [9, 8, 4, 3, 2, 1, 0, -1])
def test_the_longest_url_is_taken_and_a_longer_one_refused(filler, less):
    size = MAX_URL_LENGTH - less
    text = "http://a.org/"
    text += filler * ((size - len(text)) // len(filler))
    check(
        [text.ljust(size, "b"), text.replace("http:", "https:").ljust(size, "b"), f"{text}?utm_{'a' * less}"]
    )


@both_paths
def test_a_batch_of_all_sorts_comes_back_in_its_order():
    choose = random.Random(5)
    sorts = [
        "https://a.example.org/b/c.jpg",
        "https://a.example.org/é",
        "nothing",
        "https://b.example.co.uk/" + "d/" * 40,
        "https://c.org/" + "e/" * 1000,
        "",
    ]
    check(choose.choices(sorts[:3], k=2500))
    check(choose.choices(sorts, weights=[50, 20, 20, 50, 1, 5], k=1500))
    check(tuple(sorts))


@pytest.mark.parametrize("size", [1, 2, 40])
def test_whatever_the_room_the_answer_is_the_same(monkeypatch, size):
    monkeypatch.setattr(fast, "kernels", kernels)
    monkeypatch.setattr(urlkeys, "_ROOM", size)
    monkeypatch.setattr(urlkeys, "_BATCH", 7)
    check(["https://a.org/", "https://a.org/" + "b/" * 30, "x", "https://a.org/c/d?e"] * 20)


def test_the_usual_url_does_not_go_to_the_parser(monkeypatch):
    def refuse(text):
        raise AssertionError(text)

    texts = [
        "http://www.Example.org",
        "https://cdn.example.co.uk:8080/wp-content/uploads/2019/07/a_b-c(1).JPG?w=640&h=480&utm_source=x#top",
        "https://example.org/a%20b/%E4%BE%8B.png?url=https://example.org/&q={a|b}^`",
        "https://a.b.c.d.example.com/~user//x;y=1,2/$&+=@:|[]!*'()",
    ]
    expected = by_the_parser(texts)
    monkeypatch.setattr(fast, "kernels", kernels)
    monkeypatch.setattr(urlkeys, "canonicalize_url", refuse)
    found = url_keys(texts)
    assert (rows_of(found), dict(found.errors)) == expected


def test_digests_are_those_of_sha256():
    texts = [bytes(range(7, 7 + size % 200)) * (1 + size % 5) for size in range(700)] + [b"a" * 8200]
    padded = [
        text + b"\x80" + bytes(-(len(text) + 9) % 64) + (8 * len(text)).to_bytes(8, "big") for text in texts
    ]
    blocks = np.array([len(text) // 64 for text in padded], np.int32)
    starts = np.cumsum(blocks, dtype=np.int32) - blocks
    words = np.frombuffer(b"".join(padded), np.uint32)
    for count in (0, 1, 15, 16, 17, len(texts)):
        found = kernels.sha256.digests(words, starts[-count:][:count], blocks[-count:][:count])
        expected = [hashlib.sha256(text).digest()[:16] for text in texts[-count:][:count]]
        assert [row.astype(">u8").tobytes() for row in found] == expected


pieces = st.sampled_from(
    [
        *("a", "B", ".", "..", "...", "/", "//", "/.", "/..", "/../", "%2e", "%2E.", "%", "%4", "%zz", "%41"),
        *("%7E", "%2f", "%00", "%ff", "%25", "?", "?&", "&", "&&", "=", "#", "@", ":", ":80", ":443", ":0"),
        *(":8080", ":65536", ";a=b", "utm_", "utm_x=1", "&gclid=1", "fbclid", "%75tm_a=1", "é", "ä", "例え"),
        *(
            "ß",
            "ｅ",
            "。",
            "\u200b",
            "\xad",
            "xn--",
            "xn--a",
            "xn--exmple-cua",
            "XN--",
            "www.",
            "WWW.",
            "0x1",
        ),
        *(
            "0x7f.1",
            "1.2.3.4",
            "1",
            "[",
            "]",
            "[::1]",
            "\\",
            "^",
            "|",
            "{",
            "}",
            "`",
            "'",
            '"',
            "<",
            ">",
            "~",
        ),
        *("!", "$", "*", "(", ")", ",", "-", "_", "co.uk", "github.io", "kobe.jp", "city.kobe.jp", "www.ck"),
        *("localhost", "\ud800", "\U0001f600", "\x7f", "\x80", " ", "\t", "\n", "\r", "\0", "\x1f", ""),
    ]
)
nasty = st.tuples(
    st.sampled_from(
        [
            *("https://", "http://", "HTTP://", "hTTps://", "https:/", "https:", "https:///", "http:\\\\"),
            *(" https://", "ht\ttp://", "ftp://", "//", ""),
        ]
    ),
    st.lists(st.one_of(pieces, st.text(max_size=3)), max_size=12).map("".join),
)
labels = st.sampled_from(
    ["a", "B", "www", "x-y", "x_y", "co", "uk", "com", "io", "github", "jp", "ck", "1", "0x1", "xn--p1ai", ""]
)
likely = st.tuples(
    st.sampled_from(["http://", "https://"]),
    st.lists(labels, min_size=1, max_size=5).map(".".join),
    st.sampled_from(["", "", ".", ":", ":80", ":443", ":8080", ":70000"]),
    st.lists(st.one_of(st.just("/"), pieces), max_size=8).map("".join),
    st.lists(st.one_of(st.sampled_from(["?", "&"]), pieces), max_size=8).map("".join),
    st.sampled_from(["", "#", "#a?b", "# ", "#\ud800"]),
)


@both_paths
@given(st.lists(st.one_of(nasty, likely).map("".join), min_size=1, max_size=40))
def test_the_keys_and_errors_are_those_of_the_parser(texts):
    check(texts)
