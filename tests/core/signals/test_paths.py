import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import InvalidUrlError
from registry.signals.paths import matches, origin_of, path_of, path_pattern, specificity, spelling

TABLE = [
    # RFC 9309, 2.2.2
    ("/foo/bar?baz=quz", "/foo/bar?baz=quz", True),
    ("/foo/bar?baz=https://foo.bar", "/foo/bar?baz=https%3A%2F%2Ffoo.bar", True),
    ("/foo/bar?baz=https%3A%2F%2Ffoo.bar", "/foo/bar?baz=https://foo.bar", True),
    ("/foo/bar/\u30c4", "/foo/bar/%E3%83%84", True),
    ("/foo/bar/%E3%83%84", "/foo/bar/\u30c4", True),
    ("/foo/bar/%e3%83%84", "/foo/bar/%E3%83%84", True),
    ("/foo/bar/%62%61%7A", "/foo/bar/baz", True),
    ("/foo/bar/baz", "/foo/bar/%62%61%7A", True),
    # RFC 9309, 2.2.3
    ("/path/file-with-a-%2A.html", "/path/file-with-a-*.html", True),
    ("/path/file-with-a-%2A.html", "/path/file-with-a-x.html", False),
    ("/path/foo-%24", "/path/foo-$", True),
    ("/path/foo-%24", "/path/foo-", False),
    # plain beginnings
    ("/", "/", True),
    ("/", "/a/b?c", True),
    ("/a", "/ab", True),
    ("/a/", "/a", False),
    ("/a", "/A", False),
    ("/b", "/a/b", False),
    ("a", "/a", False),
    ("", "/a", True),
    # stars
    ("*", "/", True),
    ("/*", "/", True),
    ("*.jpg", "/a/b.jpg", True),
    ("*.jpg", "/a/b.jpg?c", True),
    ("/*.jpg", "/.jpg", True),
    ("/a*b*c", "/a-b-c", True),
    ("/a*b*c", "/a-c-b", False),
    ("/a**b", "/ab", True),
    ("/a*a", "/a", False),
    ("/*/x", "/a/b/x", True),
    ("/*/x", "/a?b=/x", True),
    # the end
    ("/$", "/", True),
    ("/$", "/a", False),
    ("/a$", "/a", True),
    ("/*.jpg$", "/a.jpg", True),
    ("/*.jpg$", "/a.jpg.jpg", True),
    ("/*.jpg$", "/a.jpg?b", False),
    ("/*a$", "/a", True),
    ("/a*a$", "/a", False),
    ("/a*$", "/abc", True),
    ("$", "/", False),
    ("*$", "/a", True),
    ("/a$b", "/a$b", True),
    ("/a$b", "/a", False),
    ("/a$$", "/a$", True),
    ("/a$$", "/a", False),
    # escapes
    ("/a%2fb", "/a%2Fb", True),
    ("/a%2Fb", "/a/b", False),
    ("/a?b=%2F", "/a?b=/", True),
    ("/f?x[]=", "/f?x%5B%5D=1", True),
    ("/a b", "/a%20b", True),
    ("/a|b", "/a%7Cb", True),
    ("/a:b", "/a%3Ab", True),
    ("/100%", "/100%25", True),
    ("/100%", "/100%", True),
    ("/%*", "/%E3%83%84", True),
    ("/%zz", "/%zz", True),
    ("/%zz", "/%25zz", False),
    ("/\udce9", "/%E9", True),
    ("/\ud800", "/?", True),
]


@pytest.mark.parametrize(
    ("pattern", "path", "covered"), TABLE, ids=[ascii(f"{pattern} at {path}") for pattern, path, _ in TABLE]
)
def test_matches(pattern, path, covered):
    assert matches(pattern, path) is covered


@pytest.mark.parametrize(
    ("pattern", "octets"),
    [
        ("/", 1),
        ("/a", 2),
        ("/a*", 3),
        ("/a$", 3),
        ("", 0),
        ("/é", 7),
        ("/%c3%a9", 7),
        ("/%61", 2),
        ("/a:b", 4),
    ],
)
def test_specificity(pattern, octets):
    assert specificity(pattern) == octets


@pytest.mark.parametrize(
    ("url", "path", "origin"),
    [
        ("https://a.example/b/c?d#e", "/b/c?d", "a.example"),
        ("https://a.example", "/", "a.example"),
        ("https://a.example?b", "/?b", "a.example"),
        ("https://a.example/b?", "/b?", "a.example"),
        ("http://A.example:80/b/../c", "/c", "a.example"),
        ("https://a.example:8443/b", "/b", "a.example:8443"),
        ("https://name:word@a.example/b", "/b", "a.example"),
        ("https://a.example/\u00e9 *$", "/%C3%A9%20%2A%24", "a.example"),
        ("https://b\u00fccher.example/%7ea", "/~a", "xn--bcher-kva.example"),
    ],
)
def test_path_and_origin_of_an_address(url, path, origin):
    assert (path_of(url), origin_of(url)) == (path, origin)


@pytest.mark.parametrize(
    "url", ["", "a.png", "/a", "ftp://a.example/b", "data:image/png,", "https://", "file:///a"]
)
@pytest.mark.parametrize("function", [path_of, origin_of])
def test_what_is_no_address_is_refused(function, url):
    with pytest.raises(InvalidUrlError):
        function(url)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/" + "*a" * 50_000, "/" + "a" * 50_000),
        ("/" + "*a" * 50_000 + "b$", "/" + "a" * 50_000),
        ("*" * 100_000, "/" + "a" * 50_000),
        ("/*" + "ab" * 20_000 + "c", "/" + "ab" * 100_000),
        ("/" + "%" * 100_000, "/" + "%" * 100_000),
    ],
    ids=["stars and letters", "stars and an end", "stars", "a long part", "signs of escapes"],
)
def test_hostile_patterns_are_matched_in_time(pattern, path, timed):
    with timed(1):
        matches(pattern, path)


PATTERNS = st.text("ab/*$?%2F.", max_size=12)
WRITTEN = st.text("ab/?%2F.$*\u00e9", max_size=12).map("/{}".format)


@given(PATTERNS, WRITTEN)
def test_a_pattern_is_what_a_regular_expression_says(pattern, path):
    body, end = (pattern[:-1], r"\Z") if pattern.endswith("$") else (pattern, "")
    # Its parts in the one spelling, the stars as they are.
    parts = [*path_pattern(pattern).parts]
    wanted = re.match(".*".join(map(re.escape, parts)) + end, spelling(path), re.DOTALL)
    assert matches(pattern, path) is bool(wanted)
    assert ("*" in body) is (len(parts) > 1)


@given(WRITTEN)
def test_one_spelling_is_enough(path):
    assert spelling(spelling(path)) == spelling(path)


@given(st.text(max_size=30))
def test_any_text_is_spelled_in_ascii(text):
    assert spelling(text).isascii()


@given(WRITTEN.filter(lambda path: "*" not in path and "$" not in path))
def test_a_path_covers_itself_and_what_is_below(path):
    assert matches(path, path)
    assert matches(path, f"{path}abc") or path.rstrip("0123456789ABCDEFabcdef").endswith("%")
