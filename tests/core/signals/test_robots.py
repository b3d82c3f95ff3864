import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protego import Protego

from registry.preference import Preference, Scope, Use
from registry.signals import SiteFile
from registry.signals.agents import Agents
from registry.signals.paths import path_of
from registry.signals.robots import LARGEST, POLICIES, parse, read
from registry.signals.robots_file import READ, Grouping

VECTORS = Path(__file__).parents[2] / "vectors" / "signals" / "robots.json"
CASES = json.loads(VECTORS.read_text(encoding="utf-8"))["cases"]
AGENTS = Agents.default()
URL = "https://a.example/img/a.png"


def site_file(data: bytes | str, status: int = 200, url: str = "https://a.example/robots.txt") -> SiteFile:
    return SiteFile(url, status, data.encode() if isinstance(data, str) else data)


def with_protocol(case):
    return {**case, "expect": [{"protocol": "robots", **one} for one in case["expect"]]}


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_vectors(case, check_reading):
    data = bytes.fromhex(case["hex"]) if "hex" in case else case["text"].encode()
    found = site_file(data, case.get("status", 200), case.get("site", "https://a.example/robots.txt"))
    reading = read(found, case["url"], AGENTS)
    check_reading(reading, with_protocol(case))
    for one in reading.statements:
        assert one.signal.speaker == "host"
        assert one.signal.carrier == "robots.txt"
        one.to_wire()["signal"]["said"].encode()  # Half of a pair would be no text.
    assert all(fault.message and fault.carrier == "robots.txt" for fault in reading.faults)


def test_names_of_vectors_are_told_apart():
    assert len({case["name"] for case in CASES}) == len(CASES)


# -- what is said, and how far it reaches ----------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "said", "scope"),
    [
        (["User-agent: *", "Disallow: /"], "crawl_disallowed: User-agent: *, Disallow: /", Scope.HOST),
        (
            ["User-agent: caveat", "Disallow: /img"],
            "crawl_disallowed: User-agent: caveat, Disallow: /img",
            Scope.PREFIX,
        ),
        (["User-agent: gptbot", "Disallow: /"], "User-agent: GPTBot, Disallow: /", Scope.HOST),
        (
            ["User-agent: CCBot", "User-agent: GPTBot", "Disallow: /img/"],
            "User-agent: GPTBot, CCBot, Disallow: /img/",
            Scope.PREFIX,
        ),
        (
            [f"User-agent: {agent.token}" for agent in AGENTS.agents if agent.kind == "training"]
            + ["Disallow: /"],
            "User-agent: GPTBot, ClaudeBot, anthropic-ai, Claude-Web, CCBot and 29 more, Disallow: /",
            Scope.HOST,
        ),
    ],
    ids=["everybody", "own name", "one crawler", "two crawlers", "many crawlers"],
)
def test_words_and_scope(lines, said, scope):
    (one,) = read(site_file("\n".join(lines)), URL, AGENTS).statements
    assert (one.signal.said, one.scope) == (said, scope)


def test_no_answer_says_so():
    reading = read(site_file(b"", 0), URL, AGENTS)
    assert reading.faults[0].message == "/robots.txt: no answer"
    assert "no answer" in reading.statements[0].signal.said


def test_another_list_of_crawlers_is_obeyed():
    own = Agents.load(
        b'{"version": "2026-01-01", "agents": [{"token": "NewBot", "kind": "training", "operator": "x",'
        b' "source": "x"}]}'
    )
    found = site_file("User-agent: NewBot\nDisallow: /\n")
    assert read(found, URL, AGENTS).statements == ()
    assert set(read(found, URL, own).statements[0].preferences) == {Use.TRAIN, Use.GENAI_TRAIN}


# -- licences, and other uses of the file ----------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "agent", "licences"),
    [
        (["License: https://a.example/l.xml", "User-agent: *", "Allow: /"], "*", ["https://a.example/l.xml"]),
        (["User-agent: *", "License: https://a.example/l.xml"], "*", ["https://a.example/l.xml"]),
        (["User-agent: GPTBot", "License: https://a.example/l.xml"], "*", []),
        (
            ["User-agent: GPTBot", "License: https://a.example/l.xml"],
            "gptbot",
            ["https://a.example/l.xml"],
        ),
        (
            ["User-agent: GPTBot", "Disallow: /", "", "License: https://a.example/l.xml"],
            "*",
            ["https://a.example/l.xml"],
        ),
        (
            ["License: https://a.example/1", "License: https://a.example/2", "User-agent: *", "Allow: /"],
            "*",
            ["https://a.example/1", "https://a.example/2"],
        ),
        (["User-agent: *", "Disallow: /"], "*", []),
    ],
    ids=["before", "in the group", "another group", "named", "after an empty line", "two", "none"],
)
def test_licences(lines, agent, licences):
    assert parse("\n".join(lines).encode()).licences(agent) == licences


def test_an_address_can_be_told_whatever_its_octets():
    (address,) = parse(b"License: https://a.example/\xe9\n").licences("*")
    assert address.encode() == "https://a.example/\ufffd".encode()


def test_content_usage_gives_the_values_that_hold():
    robots = parse(
        b"User-agent: *\nAllow: /\nContent-Usage: a=n\nContent-Usage: /img/ b=n\nContent-Usage: /img/ c=n\n"
    )
    assert robots.content_usage("*", "/img/a.png") == ["b=n", "c=n"]
    assert robots.content_usage("*", "/") == ["a=n"]


@pytest.mark.parametrize(
    ("agents", "allowed"),
    [
        (["googlebot-news", "googlebot"], False),
        (["googlebot"], True),
        (["GoogleBot"], True),
        (["other"], False),
        ([], False),
    ],
    ids=["first name", "second name", "case", "everybody", "no name"],
)
def test_the_first_name_that_a_group_has_decides(agents, allowed):
    robots = parse(
        b"User-agent: googlebot\nAllow: /\nUser-agent: googlebot-news\nDisallow: /\n"
        b"User-agent: *\nDisallow: /\n"
    )
    assert robots.allows(agents, "/a") is allowed


@pytest.mark.parametrize(
    ("between", "by_rules", "by_lines"),
    [
        ("", False, False),
        ("# a comment", False, False),
        ("Sitemap: https://a.example/s.xml", False, False),
        ("Host: a.example", False, False),
        ("no line", False, False),
        ("Content-Usage: train-ai=n", False, True),
        ("Content-Signal: ai-train=no", False, True),
        ("License: https://a.example/l.xml", False, True),
        ("Crawl-delay: 1", False, True),
        ("Something: else", False, True),
        ("Disallow:", True, True),
        ("Allow: /b", True, True),
    ],
)
def test_what_ends_a_run_of_names(between, by_rules, by_lines):
    robots = parse(f"User-agent: first\n{between}\nUser-agent: second\nDisallow: /\n".encode())
    assert robots.allows(["first"], "/a", [Grouping.RULES]) is by_rules
    assert robots.allows(["first"], "/a", [Grouping.LINES]) is by_lines
    assert robots.allows(["first"], "/a") is (by_rules and by_lines)
    assert not any(robots.allows(["second"], "/a", [one]) for one in Grouping)


# -- bounds ----------------------------------------------------------------------------------------


def test_a_file_that_is_cut_is_recorded():
    rules = b"User-agent: *\nDisallow: /text/\n"
    long = rules + b"# filler\n" * (READ // 9 + 1)
    whole = read(site_file(rules + b"#\n" * 10), URL, AGENTS)
    assert whole.statements == ()
    for tail, late in ((b"", b""), (b"", b"Disallow: /img/\n")):
        (note,) = read(site_file(long + tail + late), URL, AGENTS).statements
        assert set(note.preferences.values()) == {Preference.UNKNOWN}
        assert note.signal.quality == "malformed"
        assert f"the first {READ} are read" in note.signal.said


def test_what_stands_within_the_limit_counts_and_no_half_line():
    head = b"User-agent: *\nDisallow: /img/\n"
    filler = b"#" * (READ - len(head) - len(b"\nDisallow: /tex")) + b"\n"
    robots = parse(head + filler + b"Disallow: /text/\nDisallow: /late/\n")
    assert robots.cut
    assert not robots.allows(["x"], "/img/a.png")
    assert robots.allows(["x"], "/texture")


def test_at_least_500_kib_are_read():
    data = b"#" * (500 * 1024 - 40) + b"\nUser-agent: *\nDisallow: /\n"
    assert not parse(data + b"#" * 10**6).allows(["x"], "/a")


def test_a_file_too_large_is_a_fault_by_name():
    reading = read(site_file(bytes(200_000_000)), URL, AGENTS)
    assert reading.statements == ()
    assert reading.faults[0].status == "malformed"
    assert f"200000000 bytes; at most {LARGEST} are taken" in reading.faults[0].message


def test_too_many_policies_are_a_fault_and_what_keeps_out_stays():
    lines = [f"Content-Usage: x{n}=n" for n in range(POLICIES + 1)]
    reading = read(site_file("\n".join(["User-agent: *", "Disallow: /", *lines])), URL, AGENTS)
    assert [fault.status for fault in reading.faults] == ["malformed"]
    assert [one.signal.quality for one in reading.statements] == ["inferred"]


@pytest.mark.parametrize(
    "data",
    [
        b"User-agent: *\n" + b"Disallow: /" + b"*a" * 100_000 + b"\n",
        b"User-agent: *\nDisallow: /x\n" * 17_000,
        b"User-agent: gptbot\nDisallow: /*a*b\n" * 15_000,
        b"".join(b"User-agent: b%d\nDisallow: /%d\n" % (n, n) for n in range(15_000)),
        b"User-agent: *\n" + b"".join(b"Content-Usage: /%d a=n\n" % n for n in range(22_000)),
        b"User-agent: " + b" " * 400_000 + b"x",
        b"\r" * READ,
        b"a" * READ,
        b":" * READ,
    ],
    ids=["stars", "groups", "repeated", "names", "usages", "blanks", "line ends", "no line", "colons"],
)
def test_hostile_files_are_read_in_time(data, timed):
    with timed(4):
        reading = read(site_file(data), "https://a.example/" + "a" * 8000, AGENTS)
    assert len(reading.statements) <= 3


# -- laws ------------------------------------------------------------------------------------------

NAMES = ["*", "caveat", "GPTBot", "CCBot", "ChatGPT-User", "FooBot"]
PATHS = ["/", "/img/", "/img/a.png", "/*.png$", "/text/", "*", "/*/a", "/i"]
LINES = st.one_of(
    st.sampled_from(NAMES).map("User-agent: {}".format),
    st.sampled_from(PATHS).map("Disallow: {}".format),
    st.sampled_from(PATHS).map("Allow: {}".format),
    st.sampled_from(["Content-Usage: train-ai=n", "Content-Signal: ai-train=yes", "Crawl-delay: 1", ""]),
)
FILES = st.lists(LINES, max_size=12)


def reserved(lines):
    statements = read(site_file("\n".join(lines)), URL, AGENTS).statements
    return {use for one in statements for use, value in one.preferences.items() if value == "reserved"}


@given(st.binary(max_size=300) | FILES.map(lambda lines: "\n".join(lines).encode()))
def test_any_bytes_are_read(data):
    reading = read(site_file(data), URL, AGENTS)
    for one in reading.statements:
        json.dumps(one.to_wire()).encode()


@given(FILES.map(lambda lines: [line for line in lines if "CCBot" not in line]))
def test_a_further_group_that_keeps_out_reserves_and_lifts_nothing(lines):
    closed = [*lines, "Disallow: /none/", "User-agent: CCBot", "Disallow: /img/a.png"]
    assert reserved(lines) | {Use.TRAIN, Use.GENAI_TRAIN} <= reserved(closed)


@given(FILES)
def test_the_stricter_grouping_counts(lines):
    robots = parse("\n".join(lines).encode())
    for name in NAMES:
        both = robots.allows([name], "/img/a.png")
        assert both == all(robots.allows([name], "/img/a.png", [one]) for one in Grouping)


@given(FILES, st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from(["", "\ufeff"]))
def test_line_ends_and_marks_change_nothing(lines, end, mark):
    assert reserved(lines) == {
        use
        for one in read(site_file(mark + end.join(lines)), URL, AGENTS).statements
        for use, value in one.preferences.items()
        if value == "reserved"
    }


PLAIN = st.lists(
    st.tuples(
        st.sampled_from(["*", "FooBot", "BarBot", "GPTBot"]),
        st.lists(
            st.tuples(
                st.sampled_from(["Allow", "Disallow"]),
                st.lists(st.sampled_from(["/", "a", "b", "*", ".png"]), max_size=5).map("".join),
                st.sampled_from(["", "$"]),
            ),
            min_size=1,
            max_size=5,
        ),
    ),
    max_size=4,
)


@given(
    PLAIN,
    st.lists(st.sampled_from(["a", "b", "/", ".png", "?"]), max_size=6).map("".join),
    st.sampled_from(["foobot", "gptbot", "other"]),
)
def test_another_reader_says_the_same_where_both_groupings_agree(groups, path, agent):
    lines = []
    for name, rules in groups:
        lines.append(f"User-agent: {name}")
        lines += [f"{kind}: /{rule}{end}" for kind, rule, end in rules]
    text, url = "\n".join(lines), f"https://a.example/{path}"
    # It takes a dollar at the end for a character too, so the addresses have none.
    assert parse(text.encode()).allows([agent], path_of(url)) == Protego.parse(text).can_fetch(url, agent)


@pytest.mark.parametrize(
    "data",
    [
        "User-agent: "
        + ", ".join(one.token for one in AGENTS.agents)
        + "\n"
        + "Disallow: /*a*b*c*d\n" * 22_000,
        ("User-agent: " + ", ".join(one.token for one in AGENTS.agents) + "\nDisallow: x\n") * 200,
        "User-agent: *\n" + "Disallow: /a,/b,/c\n" * 25_000,
        "User-agent: " + "a," * 250_000 + "\nDisallow: /\n",
    ],
    ids=["a list and many rules", "many lists", "many lists of paths", "a long list"],
)
def test_what_is_salvaged_costs_little_time(data, timed):
    with timed(2):
        read(site_file(data), f"https://a.example/{'abcd' * 1000}", AGENTS)
