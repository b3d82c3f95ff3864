"""What we write, our readers read as it was meant, and so do others who know nothing of us."""

import json
import shlex
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

import http_sf
import pytest
from defusedxml import ElementTree
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from protego import Protego

from registry.errors import InputError, InvalidUrlError
from registry.preference import Preference, Use
from registry.signals import ai_txt, aipref, directives, page, robots, rsl, tdmrep
from registry.signals.agents import AgentKind, Agents
from registry.signals.observation import Origin, Reading, SiteFile
from registry.signals.robots_file import Grouping
from registry.signals.writing import headers as writing_headers
from registry.signals.writing import robots as writing_robots
from registry.signals.writing import site
from registry.signals.writing.choice import (
    DEFAULT_RESERVED,
    Choice,
    Loss,
    Written,
    address,
    choice,
    losses,
    origin,
    stricter,
)
from registry.statement import Quality, Speaker

SITE = "https://ada.example"
URL = f"{SITE}/works/sunflower.jpg"
TERMS = f"{SITE}/licence"
R, C, A = Preference.RESERVED, Preference.CONDITIONAL, Preference.ALLOWED
ALL = tuple(Use)
TDM, TRAIN, GENAI, INPUT, INDEX, SEARCH = ALL
AGENTS = Agents.default()


def chosen(text: str = "") -> Choice:
    """R, C, A or - for each use in its order: ``RRRRR-``."""
    words = {"R": R, "C": C, "A": A}
    said = {use: words[one] for use, one in zip(ALL, text, strict=True) if one != "-"}
    return Choice(said, TERMS if C in said.values() else "")


def shown(preferences: Mapping[Use, Preference]) -> str:
    return "".join(preferences[use].name[0] if use in preferences else "-" for use in ALL)


CHOICES = st.text("RCA-", min_size=6, max_size=6).map(chosen)


# -- what was chosen -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reserve", "allow", "condition", "expected"),
    [
        pytest.param((), (), (), "RRRRR-", id="nothing said: all but search"),
        pytest.param((), (SEARCH,), (), "RRRRRA", id="one allowed"),
        pytest.param((), (TDM, SEARCH), (GENAI,), "ARCRRA", id="one allowed, one on terms"),
        pytest.param((GENAI,), (), (), "--R---", id="one reserved: no more is"),
        pytest.param((GENAI, GENAI), (TDM,), (), "A-R---", id="the same twice"),
        pytest.param((SEARCH,), (), (), "-----R", id="search alone"),
    ],
)
def test_a_choice(
    reserve: tuple[Use, ...], allow: tuple[Use, ...], condition: tuple[Use, ...], expected: str
) -> None:
    assert shown(choice(reserve, allow, condition, TERMS).preferences) == expected


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        pytest.param(((GENAI,), (GENAI,)), InputError, "genai-train", id="reserved and allowed"),
        pytest.param(((), (TDM,), (TDM,), TERMS), InputError, "tdm", id="allowed and on terms"),
        pytest.param(((), (), (TDM,)), InputError, "no terms", id="on no terms"),
        pytest.param(((), (), (), "licence"), InvalidUrlError, "not a URL", id="terms that are no address"),
        pytest.param(((), (), (), "mailto:a@b.example"), InvalidUrlError, "mailto", id="another scheme"),
        pytest.param(((), (), (), "https://a:b@c.example"), InvalidUrlError, "user", id="a user name"),
        pytest.param(((), (), (), f"https://a.example/{'a' * 9000}"), InvalidUrlError, "at most", id="long"),
    ],
)
def test_what_is_no_choice(arguments: tuple[object, ...], error: type[InputError], says: str) -> None:
    with pytest.raises(error, match=says):
        choice(*arguments)  # type: ignore[arg-type]


def test_the_default_is_everything_but_search() -> None:
    assert set(DEFAULT_RESERVED) == set(Use) - {SEARCH}


@given(st.text("/?#&='\"$\\`<>{}|^,;% \t\n\r€ab", max_size=30))
def test_an_address_has_no_sign_of_any_file(tail: str) -> None:
    try:
        spelled = address(f"https://ada.example/{tail}")
    except InvalidUrlError:
        return
    assert not set(spelled) & set("\"'$\\`<>{}|^, \t\r\n")
    assert spelled.isascii()
    assert address(spelled) == spelled


@pytest.mark.parametrize("text", ["https://ada.example", "https://ada.example/", "HTTPS://ADA.example:443"])
def test_a_site(text: str) -> None:
    assert origin(text) == SITE


@pytest.mark.parametrize("text", ["https://ada.example/works", "ada.example", "https://ada.example/?a", ""])
def test_what_is_no_site(text: str) -> None:
    with pytest.raises(InvalidUrlError):
        origin(text)


# -- what is lost ----------------------------------------------------------------------------------

WRITERS = {
    "robots": lambda one: writing_robots.robots(one),
    "robots --agents": lambda one: writing_robots.robots(one, agents=AGENTS),
    "ai-txt": site.ai_txt,
    "tdmrep": site.tdmrep,
    "rsl": lambda one: site.rsl(one, site=SITE),
    "headers": lambda one: writing_headers.headers(one),
    "meta": lambda one: writing_headers.meta(one),
}

# Chosen → what each protocol carries of it, in the order of the uses: tdm, train, genai-train, ai-input,
# ai-index, search. "none" is an error: nothing would be said.
CARRIED = {
    "RRRRR-": {
        "robots": "-RRRR-",
        "robots --agents": "-RRRR-",
        "ai-txt": "RRR---",
        "tdmrep": "RRRRR-",
        "rsl": "-RRRR-",
        "headers": "RRRRR-",
        "meta": "RRRRR-",
    },
    "RRRRRA": {
        "robots": "-RRRRA",
        "robots --agents": "-RRRRA",
        "ai-txt": "RRR---",
        "tdmrep": "RRRRR-",
        "rsl": "RRRRRA",
        "headers": "RRRRRA",
        "meta": "RRRRR-",
    },
    "--R---": {
        "robots": "-RR---",
        "robots --agents": "-RR---",
        "ai-txt": "RRR---",
        "tdmrep": "RRRRR-",
        "rsl": "-RR---",
        "headers": "RRRRR-",
        "meta": "RRRRR-",
    },
    "AARAAA": {
        "robots": "-RRAAA",
        "robots --agents": "-RRAAA",
        "ai-txt": "RRR---",
        "tdmrep": "RRRRR-",
        "rsl": "RRRAAA",
        "headers": "RRRRRA",
        "meta": "RRRRR-",
    },
    "AAAAAA": {
        "robots": "-AAAAA",
        "robots --agents": "-AAAAA",
        "ai-txt": "AAA---",
        "tdmrep": "AAA---",
        "rsl": "RAAAAA",
        "headers": "AAAAAA",
        "meta": "AAA---",
    },
    "CCCCC-": {
        "robots": "-RRRR-",
        "robots --agents": "-RRRR-",
        "ai-txt": "RRR---",
        "tdmrep": "CCCCC-",
        "rsl": "RCCCCR",
        "headers": "CRRRR-",
        "meta": "CRRRR-",
    },
    "RCCRRA": {
        "robots": "-RRRRA",
        "robots --agents": "-RRRRA",
        "ai-txt": "RRR---",
        "tdmrep": "RRRRR-",
        "rsl": "RCCRRA",
        "headers": "RRRRRA",
        "meta": "RRRRR-",
    },
    "R-----": {
        "robots": "none",
        "robots --agents": "none",
        "ai-txt": "RRR---",
        "tdmrep": "RRRRR-",
        "rsl": "none",
        "headers": "RRRRR-",
        "meta": "RRRRR-",
    },
    "-----R": {
        "robots": "-----R",
        "robots --agents": "-----R",
        "ai-txt": "none",
        "tdmrep": "none",
        "rsl": "-----R",
        "headers": "-----R",
        "meta": "none",
    },
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("said", CARRIED)
def test_what_is_carried(said: str, name: str) -> None:
    expected = CARRIED[said][name]
    if expected == "none":
        with pytest.raises(InputError, match="would say"):
            WRITERS[name](chosen(said))
        return
    assert shown(WRITERS[name](chosen(said)).carried) == expected


@pytest.mark.parametrize(
    ("meant", "told", "says"),
    [
        (R, None, "reserved, and not said"),
        (C, None, "on your terms, and not said"),
        (A, None, "allowed, and not said"),
        (C, R, "on your terms, and said to be reserved"),
        (A, R, "allowed, and said to be reserved"),
        (A, C, "allowed, and said to be on your terms"),
        (None, R, "said to be reserved too"),
        (None, C, "said to be on your terms too"),
    ],
)
def test_what_is_lost_is_told_in_words(meant: Preference | None, told: Preference | None, says: str) -> None:
    assert Loss(TDM, meant, told).sentence.startswith(f"tdm: {says}")


@given(CHOICES, st.sampled_from(sorted(WRITERS)))
def test_nothing_permits_more_than_was_meant(said: Choice, name: str) -> None:
    try:
        written = WRITERS[name](said)
    except InputError:
        return
    for use, told in written.carried.items():
        meant = said.preferences.get(use)
        assert told is not A or meant is A
        assert meant is None or told.restriction >= meant.restriction
    for loss in losses(said, written.carried):
        assert loss.sentence


# -- what we write, we read ------------------------------------------------------------------------


def heard(*readings: Reading) -> dict[Use, Preference]:
    """What follows for each use: the strictest of all that was said to the letter, or follows from it."""
    statements = [one for reading in readings for one in reading.statements]
    assert [fault for reading in readings for fault in reading.faults] == []
    assert {one.signal.quality for one in statements if one.signal} <= {Quality.EXACT, Quality.INFERRED}
    return stricter(*(one.preferences for one in statements))


def lines(text: str) -> list[tuple[str, str]]:
    pairs = (line.partition(":") for line in text.splitlines())
    return [(name, value.strip()) for name, _, value in pairs]


def heard_in_headers(text: str) -> dict[Use, Preference]:
    found = lines(text)
    tdm = tdmrep.combine(headers=tdmrep.read_headers(found))
    return heard(directives.read_headers(found), aipref.read_headers(found), tdm)


def heard_in_page(text: str) -> dict[Use, Preference]:
    found = page.read(f"<!doctype html><head>{text}</head>".encode())
    return heard(directives.read_page(found), tdmrep.combine(page=tdmrep.read_page(found)))


def file(path: str, text: str) -> SiteFile:
    return SiteFile(SITE + path, 200, text.encode("utf-8", "surrogateescape"), "text/plain")


def heard_in_rsl(text: str) -> dict[Use, Preference]:
    return heard(
        rsl.read(text.encode(), URL, Origin("rsl", "1.0", "license.xml", text.encode(), Speaker.HOST))
    )


def heard_in_robots(text: str) -> dict[Use, Preference]:
    return heard(robots.read(file("/robots.txt", text), URL, AGENTS))


READERS = {
    "robots": heard_in_robots,
    "robots --agents": heard_in_robots,
    "ai-txt": lambda text: heard(ai_txt.read(file("/ai.txt", text), URL)),
    "tdmrep": lambda text: heard(tdmrep.combine(tdmrep.read_file(file(tdmrep.PATH, text), URL))),
    "rsl": heard_in_rsl,
    "headers": heard_in_headers,
    "meta": heard_in_page,
}


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=60, deadline=None)
@given(said=CHOICES)
def test_what_is_written_is_read_as_what_is_carried(name: str, said: Choice) -> None:
    try:
        written = WRITERS[name](said)
    except InputError:
        return
    assert shown(READERS[name](written.text)) == shown(written.carried)


def statements(written: Written, name: str) -> Iterable[str]:
    origin_ = Origin("rsl", "1.0", "license.xml", b"", Speaker.HOST)
    if name == "rsl":
        return [one.terms for one in rsl.read(written.text.encode(), URL, origin_).statements]
    found = tdmrep.read_file(file(tdmrep.PATH, written.text), URL)
    return [one.terms for one in tdmrep.combine(found).statements]


@pytest.mark.parametrize("name", ["rsl", "tdmrep"])
def test_terms_are_read_as_they_were_given(name: str) -> None:
    assert TERMS in statements(WRITERS[name](chosen("CCCCC-")), name)


# -- what others make of it ------------------------------------------------------------------------


def test_content_usage_is_a_dictionary_to_http_sf() -> None:
    value = writing_robots.content_usage_value(chosen("RRRRRA"))
    members = http_sf.parse(value.encode(), tltype="dictionary")
    assert {key: str(token) for key, (token, _) in members.items()} == {
        "train-ai": "n",
        "ai-use": "n",
        "search": "y",
    }


def test_rsl_is_namespaced_xml() -> None:
    root = ElementTree.fromstring(site.rsl(chosen("RCRRRA"), site=SITE).text.encode())
    space = {"r": site.RSL_NAMESPACE}
    assert root.tag == f"{{{site.RSL_NAMESPACE}}}rsl"
    [content] = root.findall("r:content", space)
    assert content.get("url") == f"{SITE}/"
    assert [one.text for one in content.findall("r:license/r:prohibits", space)] == [
        "ai-train ai-input ai-index"
    ]
    assert [one.text for one in content.findall("r:license/r:permits", space)] == ["search"]


def test_tdmrep_is_an_array_with_numbers() -> None:
    assert json.loads(site.tdmrep(chosen("CCCCCA")).text) == [
        {"location": "/", "tdm-reservation": 1, "tdm-policy": TERMS}
    ]
    assert json.loads(site.tdmrep(chosen("AAA---")).text) == [{"location": "/", "tdm-reservation": 0}]


@settings(max_examples=60, deadline=None)
@given(CHOICES)
def test_protego_keeps_out_whom_we_name_and_nobody_else(said: Choice) -> None:
    try:
        written = writing_robots.robots(said, agents=AGENTS, licence=f"{SITE}/license.xml")
    except InputError:
        return
    read = Protego.parse(written.text)
    restricted = {use for use, value in said.preferences.items() if value in (R, C)}
    for agent in AGENTS.agents:
        kept_out = bool(restricted & set(robots.RESERVED_BY[agent.kind])) and " " not in agent.token
        assert read.can_fetch(URL, agent.token) is not kept_out
    assert read.can_fetch(URL, "Googlebot")
    assert read.can_fetch(URL, "Mozilla/5.0")


@pytest.mark.parametrize("server", writing_headers.SERVERS)
def test_a_server_is_told_the_same_fields(server: str) -> None:
    said, licence = Choice({TDM: C}, "https://ada.example/a%20b?x=%C3%A4&y=1"), f"{SITE}/license.xml"
    fields = writing_headers.fields(said, licence=licence)
    text = writing_headers.headers(said, server=server, licence=licence).text
    assert told_to[server](text) == fields
    assert ("tdm-policy", said.terms) in fields
    assert rsl.header_links(fields) == (licence,)


def words(text: str, first: str) -> list[list[str]]:
    found = (shlex.split(line) for line in text.splitlines() if line.strip().startswith(first))
    return [line[1:] for line in found]


told_to = {
    "plain": lines,
    "nginx": lambda text: [(name, value) for name, value, _ in words(text, "add_header")],
    "apache": lambda text: [(name, value.replace("%%", "%")) for *_, name, value in words(text, "Header")],
    "cloudflare": lambda text: lines("\n".join(one.strip() for one in text.splitlines()[1:])),
}


def test_a_policy_is_an_odrl_offer_whose_assigner_our_reader_finds() -> None:
    address_ = f"{SITE}/.well-known/tdm-policy.json"
    assigner = site.Assigner("Ada Müller", "studio@ada.example", SITE)
    text = site.tdm_policy(chosen("CCCCC-"), assigner, address_)
    policy = json.loads(text)
    assert (policy["@type"], policy["uid"]) == ("Offer", address_)
    assert policy["permission"] == [{"action": "tdm:mine", "duty": [{"action": "obtainConsent"}]}]
    found = tdmrep.read_file(file(tdmrep.PATH, site.tdmrep(chosen("CCCCC-"), policy=address_).text), URL)
    [one] = tdmrep.combine(found, policies={address_: SiteFile(address_, 200, text.encode())}).statements
    assert (one.label, one.contact, one.terms) == ("Ada Müller", "mailto:studio@ada.example", address_)


@pytest.mark.parametrize(
    ("said", "assigner", "says"),
    [
        pytest.param("RCCCC-", site.Assigner("Ada", "a@ada.example"), "not on terms", id="reserved"),
        pytest.param("CCCCC-", site.Assigner("", "a@ada.example"), "who reserves", id="nobody"),
        pytest.param("CCCCC-", site.Assigner("Ada"), "how to reach", id="out of reach"),
        pytest.param("CCCCC-", site.Assigner("Ada", "ada.example"), "mail address", id="no mail address"),
        pytest.param("CCCCC-", site.Assigner("Ada", "", "ada"), "not a URL", id="no address"),
    ],
)
def test_what_is_no_policy(said: str, assigner: site.Assigner, says: str) -> None:
    with pytest.raises(InputError, match=says):
        site.tdm_policy(chosen(said), assigner, f"{SITE}/policy.json")


def test_another_server_is_an_error() -> None:
    with pytest.raises(InputError, match="'lighttpd'"):
        writing_headers.headers(chosen("RRRRR-"), server="lighttpd")


# -- into a robots.txt that is there ---------------------------------------------------------------

OURS = "Content-Signal: ai-input=no, ai-train=no\nContent-Usage: train-ai=n, ai-use=n\n"
BLOCK = f"{writing_robots.BEGIN}\n{OURS}{writing_robots.END}\n"
ANEW = f"{writing_robots.BEGIN}\n\nUser-agent: *\nAllow: /\n{OURS}{writing_robots.END}\n"


def merged(existing: str, **options: object) -> Written:
    data = existing.encode("utf-8", "surrogateescape")
    return writing_robots.robots(chosen("RRRRR-"), existing=data, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            "User-agent: *\nDisallow: /a\n\nUser-agent: B\nDisallow: /\n",
            f"User-agent: *\nDisallow: /a\n{BLOCK}\nUser-agent: B\nDisallow: /\n",
            id="after the rules for everybody",
        ),
        pytest.param(
            "User-agent: *\nDisallow: /a\nCrawl-delay: 5\nAllow: /a/b\nSitemap: https://ada.example/s.xml\n",
            "User-agent: *\nDisallow: /a\nCrawl-delay: 5\nAllow: /a/b\n"
            f"{BLOCK}Sitemap: https://ada.example/s.xml\n",
            id="after the last of them",
        ),
        pytest.param(
            "User-agent: B\nDisallow: /\n",
            f"User-agent: B\nDisallow: /\n{ANEW}",
            id="no group for everybody",
        ),
        pytest.param("# mine\n", f"# mine\n{ANEW}", id="a comment alone"),
        pytest.param("User-agent: *\nDisallow:", f"User-agent: *\nDisallow:\n{BLOCK}", id="no last line end"),
        pytest.param(
            "User-agent: *\r\nDisallow: /a\r\n",
            f"User-agent: *\r\nDisallow: /a\r\n{BLOCK}".replace("\r\n", "\n").replace("\n", "\r\n"),
            id="line ends of Windows",
        ),
        pytest.param(
            "user-AGENT : *  # all\ndisALLOW: /a # b\n",
            f"user-AGENT : *  # all\ndisALLOW: /a # b\n{BLOCK}",
            id="written otherwise",
        ),
        pytest.param(
            "User-agent: *\nDisallow: /caf\udce9\n",
            f"User-agent: *\nDisallow: /caf\udce9\n{BLOCK}",
            id="no UTF-8",
        ),
        pytest.param("User-agent: *\n", f"User-agent: *\n{ANEW}", id="a group without rules"),
        pytest.param(
            f"User-agent: *\nDisallow: /a\n{BLOCK.replace('=no', '=yes')}",
            f"User-agent: *\nDisallow: /a\n{BLOCK}",
            id="what we wrote before is replaced",
        ),
    ],
)
def test_a_merge(before: str, after: str) -> None:
    assert merged(before).text == after
    assert merged(after).text == after


@pytest.mark.parametrize(
    ("before", "says"),
    [
        pytest.param(
            "User-agent: *\nX: y\nUser-agent: B\nDisallow: /\n", "two ways", id="two ways to read it"
        ),
        pytest.param("User-agent: B\n", "without a change", id="an unfinished group at the end"),
        pytest.param(
            "User-agent: B\nDisallow: /\nUser-agent: B\nUser-agent: *\n",
            "says to 'b'",
            id="an unfinished group that others share",
        ),
        pytest.param("User-agent: *\nDisalow: /a\n", "without a change", id="a rule that some do not read"),
        pytest.param(f"{writing_robots.BEGIN}\nUser-agent: *\n", "counterpart", id="a block without its end"),
        pytest.param("User-agent: *\0\n", "NUL", id="no text"),
        pytest.param("#" * 600_000, "more than", id="longer than is read"),
    ],
)
def test_a_file_into_which_nothing_is_written(before: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        merged(before)


def test_a_merge_leaves_named_crawlers_as_they_are_and_says_so() -> None:
    before = "User-agent: GPTBot\nAllow: /\n\nUser-agent: CCBot\nDisallow: /\n\nUser-agent: *\nDisallow: /a\n"
    written = merged(before, agents=AGENTS)
    read = Protego.parse(written.text)
    assert read.can_fetch(URL, "GPTBot")
    assert not read.can_fetch(URL, "CCBot")
    assert not read.can_fetch(URL, "ClaudeBot")
    assert [note for note in written.notes if note.startswith("GPTBot: ") and "lets them in" in note]
    assert not [note for note in written.notes if "CCBot" in note or "ccbot" in note]


def test_what_the_file_says_already_is_told() -> None:
    written = merged("User-agent: *\nDisallow: /a\nContent-Signal: ai-train=yes\n")
    assert [note for note in written.notes if "'Content-Signal: ai-train=yes' already" in note]


NAMES = ("*", "GPTBot", "Foo", "Bar")
PATHS = ("/", "/a", "/a/b.jpg", "/b?c", "/x.pdf")
ROWS = st.one_of(
    st.sampled_from(NAMES).map("User-agent: {}".format),
    st.tuples(st.sampled_from(("Allow", "Disallow")), st.sampled_from(("", "/", "/a", "/*.pdf$", "/a/"))).map(
        ": ".join
    ),
    st.sampled_from(("", "# a comment", "Crawl-delay: 5", "Sitemap: https://ada.example/s.xml", "nonsense")),
    st.sampled_from(
        ("Content-Usage: /a train-ai=y", "Content-Signal: search=yes", "License: https://a.example/")
    ),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(ROWS, max_size=10), st.sampled_from(("\n", "\r\n")), CHOICES, st.booleans())
@example(["User-agent: *", "Disallow: /"], "\n", chosen("RRRRR-"), True)
def test_a_merge_changes_nothing_of_what_was_said_to_others(
    rows: list[str], end: str, said: Choice, named: bool
) -> None:
    before, agents = end.join(rows).encode(), AGENTS if named else None
    try:
        written = writing_robots.robots(said, existing=before, agents=agents)
    except InputError:
        assume(False)
    after = written.text.encode()
    assert writing_robots.robots(said, existing=after, agents=agents).text.encode() == after
    old, new = robots.parse(before), robots.parse(after)
    theirs, ours = Protego.parse(before.decode()), Protego.parse(written.text)
    kept_out = {one.token for one in AGENTS.agents} if named else set()
    for name in (*NAMES[2:], "Other", *(("GPTBot",) if named and old.names("GPTBot") else ())):
        for path in PATHS:
            assert new.allows([name], path) == old.allows([name], path)
            assert ours.can_fetch(SITE + path, name) == theirs.can_fetch(SITE + path, name)
    for grouping in Grouping:
        for name in set(old.named[grouping]) - {"*"}:
            if all("*" not in group.names for group in old.named[grouping][name]):
                assert [
                    (one.rules, len(one.usages), len(one.lines)) for one in new.named[grouping][name]
                ] == [(one.rules, len(one.usages), len(one.lines)) for one in old.named[grouping][name]]
    assert [one for one in kept_out if old.names(one) and not new.names(one)] == []


def test_every_kind_of_crawler_has_a_use() -> None:
    assert set(robots.RESERVED_BY) == set(AgentKind)


def test_the_places_are_paths() -> None:
    assert urlsplit(f"{SITE}{tdmrep.PATH}").path in site.tdmrep(chosen("RRRRR-")).place
