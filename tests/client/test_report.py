"""The report of large runs: every page small, the whole bounded, every link leading somewhere."""

import gc
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from registry.client import Rules
from registry.client.formats import Sample
from registry.client.report import CARDS, FIRST, LINES, MAX_CARDS, MAX_LINES, write_report
from registry.client.summary import FilterSummary
from registry.client.verdicts import Verdict
from registry.decision import decide
from registry.fingerprint import query_fingerprint
from registry.picture import decode_picture
from registry.preference import Action, Preference, Status, Use
from registry.statement import Match, Statement

RESERVED = Statement(
    {Use.GENAI_TRAIN: Preference.RESERVED},
    Match("pdq", True, 3, "full", "mirror"),
    label="Ada & Sons <ada>",
    title="A work with a title of some length",
    record="r" * 26,
    registry="https://registry.example",
)


class Page(HTMLParser):
    """Collects links, anchors, pictures, table rows and cards of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.ids, self.tags, self.text = [], set(), [], path.read_text("utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        self.ids |= {given["id"]} if "id" in given else set()
        if tag == "a":
            self.links.append(given["href"])

    @property
    def entries(self):
        return self.tags.count("tr") + self.text.count('<li class="card')


def _alive() -> int:
    return sum(isinstance(one, Verdict) for one in gc.get_objects())


class Many(list):
    """Verdicts that are made when they are asked for, one by one, and may be read once."""

    def __init__(self, action, count, path):
        super().__init__()
        self.action, self.count, self.path = action, count, path
        self.most_alive = 0
        data = path.read_bytes()
        self.fingerprint = query_fingerprint(decode_picture(data), data)
        self.decision = decide([RESERVED], Use.GENAI_TRAIN)

    def __iter__(self) -> Iterator[Verdict]:
        before = _alive()
        for number in range(self.count):
            sample = Sample(f"10_a concept/a file name as downloads have it {number:09}.png", self.path)
            yield Verdict(
                sample, Status.OK, self.action, self.decision.reason, self.decision, self.fingerprint
            )
            if number % 20_000 == 1_000:
                self.most_alive = max(self.most_alive, _alive() - before)

    def __getitem__(self, _):
        raise AssertionError("the report picks none out")


def summary_of(notable, **more):
    found = FilterSummary(
        source=Path(more.pop("source", "set")), target=None, format="folder", why="", rules=Rules(),
        registries=("https://registry.example",), notable=notable, **more,
    )  # fmt: skip
    found.counts[Action.REMOVE] = notable.count if isinstance(notable, Many) else 0
    return found


@pytest.fixture
def noise(tmp_path, kit):
    """A picture whose thumbnail is as large as any."""
    pixels = np.random.default_rng(5).integers(0, 256, (176, 176, 3), dtype=np.uint8)
    return kit.plant(tmp_path, {"noise.png": kit.packed(Image.fromarray(pixels))}) / "noise.png"


def pages(path):
    further = sorted(path.with_suffix("").glob("*.html"))
    return {one.relative_to(path.parent).as_posix(): Page(one) for one in (path, *further)}


def test_a_report_of_100_000_removals_is_small_in_every_page_and_as_a_whole(tmp_path, noise):
    many = Many(Action.REMOVE, 100_000, noise)
    write_report(tmp_path / "report.html", summary_of(many, source=tmp_path / "set"))
    sizes = {p: p.stat().st_size for p in [tmp_path / "report.html", *(tmp_path / "report").iterdir()]}
    assert max(sizes.values()) < 2.5e6
    assert sum(sizes.values()) < 50e6
    assert many.most_alive < 10
    told = pages(tmp_path / "report.html")
    assert sum(page.entries for page in told.values()) == 100_000
    assert sum(page.tags.count("img") for page in told.values()) == MAX_CARDS
    assert told["report.html"].tags.count("img") == FIRST
    assert told["report/removed-2.html"].tags.count("img") == CARDS
    assert told["report/removed-10.html"].tags.count("img") == 0
    assert told["report/removed-10.html"].entries == LINES


def test_every_link_leads_to_a_page_and_every_page_is_reached(tmp_path, noise):
    left_out = {f"caption {n}.txt": "of a removed picture" for n in range(FIRST + LINES + 1)}
    path = tmp_path / "report.html"
    write_report(path, summary_of(Many(Action.REVIEW, MAX_CARDS + 1, noise), left_out=left_out))
    told, seen, todo = pages(path), set(), ["report.html"]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        for link in told[name].links:
            file, _, anchor = link.partition("#")
            there = (path.parent / name).parent / file
            found = there.resolve().relative_to(path.parent.resolve()).as_posix()
            assert found in told, f"{name}: {link}"
            assert not anchor or anchor in told[found].ids
            todo.append(found)
    assert seen == told.keys()
    assert {"report/to-look-at-10.html", "report/went-along-3.html"} <= seen
    assert sum(page.entries for page in told.values()) == MAX_CARDS + 1 + len(left_out)


def test_every_page_is_private_runs_nothing_and_fetches_nothing(tmp_path, noise):
    write_report(tmp_path / "report.html", summary_of(Many(Action.REMOVE, MAX_CARDS + 1, noise)))
    for name, page in pages(tmp_path / "report.html").items():
        body = re.sub(r"<[^>]+>", "", page.text.partition("<body>")[2]).strip()
        assert body.startswith("Private: shows works that you may not share."), name
        assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & set(page.tags)
        assert not re.search(r"@import|url\(|://registry\.example/", page.text)


def test_a_part_beyond_its_largest_size_says_where_the_rest_is(tmp_path, monkeypatch):
    most = 3 * LINES
    assert most < MAX_LINES
    monkeypatch.setattr("registry.client.report.MAX_LINES", most)
    left_out = {f"{n:07}.txt": "w" for n in range(most + 7)}
    write_report(tmp_path / "report.html", summary_of([], left_out=left_out))
    told = pages(tmp_path / "report.html")
    assert sum(page.entries for page in told.values()) == most
    assert "… and 7 more; the decisions" in told["report.html"].text
    assert f"<small>{most + 7:,}</small>" in told["report.html"].text


COUNTS = {
    # removals: further pages
    "none": (0, 0),
    "one": (1, 0),
    "a full first page": (FIRST, 0),
    "one more": (FIRST + 1, 1),
    "all cards": (MAX_CARDS, 8),
    "one more than cards": (MAX_CARDS + 1, 9),
    "a full page of names": (MAX_CARDS + LINES, 9),
    "and one": (MAX_CARDS + LINES + 1, 10),
}


@pytest.mark.parametrize(("count", "further"), COUNTS.values(), ids=COUNTS)
def test_pages_begin_when_the_one_before_is_full(tmp_path, kit, count, further):
    small = kit.plant(tmp_path, {"a.png": kit.free(1, 32)}) / "a.png"
    write_report(tmp_path / "report.html", summary_of(Many(Action.REMOVE, count, small)))
    told = pages(tmp_path / "report.html")
    assert len(told) - 1 == further
    assert sum(page.entries for page in told.values()) == count
    assert (tmp_path / "report").exists() == bool(further)


def test_a_smaller_report_leaves_no_page_of_the_one_before(tmp_path, kit):
    small = kit.plant(tmp_path, {"a.png": kit.free(1, 32)}) / "a.png"
    for count in (FIRST + 1, 1):
        write_report(tmp_path / "report.html", summary_of(Many(Action.REMOVE, count, small)))
    assert not (tmp_path / "report").exists()


HOSTILE = ["<script>alert(1)</script>.png", 'a" onload="x.png', "\u202egnp.exe", "$title ${body}.png", "&lt;"]


@pytest.mark.parametrize("name", HOSTILE, ids=["tag", "quote", "right-to-left", "template", "entity"])
def test_names_and_reasons_are_text_and_nothing_else(tmp_path, name):
    verdict = Verdict(Sample(name), Status.ERROR, Action.ERROR, f"reason of {name}")
    more = {"left_out": {name: f"why {name}"}, "source": tmp_path / name.replace("/", "_")}
    write_report(tmp_path / "report.html", summary_of([verdict] * (MAX_CARDS + 1), **more))
    for page in pages(tmp_path / "report.html").values():
        assert "script" not in page.tags
        assert 'onload="' not in page.text
        text = re.sub(r"<[^>]+>", "", page.text.partition("<body>")[2])
        assert (
            name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
            in text
        )
        assert page.text.count("<bdi>") == page.text.count("</bdi>") >= page.entries
