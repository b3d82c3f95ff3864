"""The filter end to end, against a served registry with works of two artists and a gallery in it."""

import json
import re
from html.parser import HTMLParser
from urllib.parse import urlsplit

import numpy as np
import pyarrow.parquet as pq
import pytest
import rfc8785

from registry.client import Options, Progress, Rules, filter_dataset
from registry.errors import InputError, RegistryRefusedError
from registry.preference import Action, Mode, Use

FOLDERS = ["folder", "kohya", "jsonl", "csv_metadata", "control_from_another_row", "emptied_metadata"]
TABLES = ["table_csv", "table_tsv", "table_parquet"]


@pytest.fixture(scope="session", params=FOLDERS)
def folder_run(request, run_of):
    return run_of(request.param)


@pytest.fixture(scope="session", params=TABLES)
def table_run(request, run_of):
    return run_of(request.param)


@pytest.fixture(scope="session", params=FOLDERS + TABLES)
def run(request, run_of):
    return run_of(request.param)


def lines(run):
    return (run.account / "decisions.jsonl").read_bytes().splitlines(keepends=True)


class Page(HTMLParser):
    """Collects what a page would fetch or run, and its pictures."""

    def __init__(self, text):
        super().__init__()
        self.fetched, self.pictures = [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.pictures += tag == "img"
        if tag in ("script", "link", "iframe", "object", "embed", "base", "form"):
            self.fetched.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "data", "poster", "action") and not value.startswith(
                "data:"
            ):
                self.fetched.append(f"{tag} {name}={value}")


# Folders and tables alike.


def test_the_source_is_as_it_was(run, kit):
    assert kit.tree(run.source) == run.before


@pytest.mark.parametrize("name", [*FOLDERS, "table_csv", "table_tsv"])
def test_the_output_holds_what_may_stay_and_nothing_else(run_of, name, kit):
    run = run_of(name)
    case = run.case
    expected = {name: run.before[name] for name in case.kept}
    expected |= {name: content.encode() for name, content in case.rewritten.items()}
    assert kit.tree(run.target) == expected


def test_nothing_is_left_beside_output_and_account(run, kit):
    name = run.target.name
    assert kit.leftovers(run.target.parent, "set", name) == {f"{name}.caveat"}


def test_the_report_opens_with_that_it_is_private_and_fetches_nothing(run):
    text = (run.account / "report.html").read_text("utf-8")
    page = Page(text)
    assert page.fetched == []
    assert not re.search(r"@import|url\(", text)
    body = re.sub(r"<[^>]+>", "", text.partition("<body>")[2]).strip()
    assert body.startswith("Private: shows works that you may not share.")


def test_counts_add_up(run):
    wire = run.summary.to_wire()
    went_along = {path for path in wire["left_out"] if path.endswith((".png", ".jpg", ".webp"))}
    assert wire["samples"] == sum(run.summary.counts[action] for action in Action)
    assert wire["kept"] == wire["samples"] - wire["removed"] - wire["errors"] - len(went_along)
    assert wire["errors"] == run.case.errors
    assert sum(wire["removed_by"].values()) == wire["removed"]


# Folders.


def test_no_reserved_work_is_in_the_output_by_brute_force(folder_run, live):
    assert live.reserved_in(folder_run.target) == set()


def test_the_brute_force_sees_the_copies_in_the_source(folder_run, live):
    removed = {
        v.sample.key for v in folder_run.summary.notable if v.action is Action.REMOVE and v.sample.path
    }
    by_likeness = {
        v.sample.key
        for v in folder_run.summary.notable
        if v.decision is not None and v.decision.matched_by in ("pdq", "sha256")
    }
    assert by_likeness <= live.reserved_in(folder_run.source) <= removed
    assert by_likeness


def test_the_copies_that_are_missed_are_those_that_are_known_to_be(folder_run):
    stayed = {path for path in folder_run.case.kept if "elephant.png" in path}
    assert stayed == folder_run.case.missed


def test_nothing_derived_from_a_removed_work_is_left(folder_run, kit):
    removed = {
        v.sample.key.rpartition(".")[0] for v in folder_run.summary.notable if v.action is Action.REMOVE
    }
    readers = {path.rpartition(".")[0] for path in folder_run.case.kept if path.endswith(".png")}
    left = [
        path for path, data in kit.tree(folder_run.target).items()
        for stem in removed - readers
        if path.rpartition(".")[0] == stem or data == f"derived from {stem.rpartition('/')[2]}".encode()
    ]  # fmt: skip
    assert left == []


def test_decisions_are_one_canonical_line_a_sample(folder_run):
    found = lines(folder_run)
    wires = [json.loads(line) for line in found]
    assert [rfc8785.dumps(wire) + b"\n" for wire in wires] == found
    assert len({wire["path"] for wire in wires}) == len(found) == folder_run.summary.to_wire()["samples"]
    for wire in wires:
        assert (wire["status"] == "ok") == ("preference" in wire)
        assert wire["reason"]
        if wire["reason"].startswith("Goes with another: "):
            assert (wire["action"], wire["preference"]) == ("remove", "unknown")
        elif wire["action"] == "remove":
            assert wire["preference"] == "reserved"
            assert wire["statements"][0]["registry"] == folder_run.summary.registries[0]
            assert wire["match"]["kind"]


def test_a_sample_stands_in_the_output_exactly_when_the_decisions_keep_it(folder_run, kit):
    wires = [json.loads(line) for line in lines(folder_run)]
    kept = {wire["path"] for wire in wires if wire["action"] in ("keep", "review")}
    assert kept == {wire["path"] for wire in wires} & kit.tree(folder_run.target).keys()
    assert len(kept) == folder_run.summary.kept


def test_what_went_and_why_is_told_of_every_file_that_is_not_in_the_output(folder_run, kit):
    decided = {
        wire["path"] for wire in map(json.loads, lines(folder_run)) if wire["action"] in ("remove", "error")
    }
    left_out = folder_run.summary.left_out
    gone = folder_run.before.keys() - kit.tree(folder_run.target).keys()
    assert gone - decided - left_out.keys() == set()
    assert all(left_out.values())


def test_the_report_has_a_thumbnail_of_each_removed_picture(folder_run):
    removed = [v for v in folder_run.summary.notable if v.action is Action.REMOVE and v.sample.path]
    page = Page((folder_run.account / "report.html").read_text("utf-8"))
    assert page.pictures == len(removed) > 0


@pytest.mark.parametrize("review", [True, False])
def test_it_says_whether_possible_copies_were_looked_for(filter_, tmp_path, kit, review):
    summary = filter_(kit.plant(tmp_path / "set", {"a.png": kit.free(1)}), rules=Rules(review=review))
    assert summary.to_wire()["possible_copies"] is review
    report = (tmp_path / "clean.caveat/report.html").read_text("utf-8")
    assert ("not looked for (--no-review)" in report) is not review


def test_file_times_are_kept(run_of):
    run = run_of("folder")
    for name in run.case.kept:
        assert (run.target / name).stat().st_mtime_ns == (run.source / name).stat().st_mtime_ns


# Tables.


def test_the_keep_bitmap_and_the_removed_rows_tell_the_same(table_run):
    samples = table_run.summary.to_wire()["samples"]
    bits = np.unpackbits(np.frombuffer((table_run.account / "decisions/00000.keep").read_bytes(), np.uint8))
    rows = pq.read_table(table_run.account / "decisions/00000.parquet").to_pylist()
    assert np.flatnonzero(bits[:samples] == 0).tolist() == [row["row"] for row in rows]
    assert not bits[samples:].any()
    assert bits.sum() == table_run.summary.kept
    for row in rows:
        reserved = (urlsplit(row["url"] or "").hostname or "").endswith("gallery.example")
        assert row["action"] == ("remove" if reserved else "error")
        assert row["preference"] == ("reserved" if reserved else None)
        assert bool(json.loads(row["statements"])) is reserved


def test_kept_parquet_rows_keep_their_order_and_the_schema_its_metadata(run_of):
    run = run_of("table_parquet")
    before, after = pq.read_table(run.source), pq.read_table(run.target)
    kept = [
        row for row in before.to_pylist()
        if row["url"] and not urlsplit(row["url"]).hostname.endswith("gallery.example")
    ]  # fmt: skip
    assert after.to_pylist() == kept
    assert after.schema.equals(before.schema, check_metadata=True)
    assert b"huggingface" in after.schema.metadata


# What hides behind names and columns.


def test_a_reserved_work_named_like_a_mask_is_found(filter_, tmp_path, kit, copies):
    files = {"a.png": kit.free(1), "a_mask.png": copies["jpeg"], "a.mask.jpg": copies["same"]}
    summary = filter_(kit.plant(tmp_path / "set", files))
    assert kit.tree(tmp_path / "clean").keys() == {"a.png"}
    assert summary.counts[Action.REMOVE] == 2


ADDRESSES = {
    "a row of a mask": (
        [{"file_name": "a.png"}, {"file_name": "a_mask.png", "url": "https://gallery.example/x"}], {"a.png"}
    ),
    "two rows of one file": (
        [{"file_name": "a.png", "url": f"https://{host}.example/a"} for host in ("gallery", "free")],
        {"a_mask.png"},
    ),
    "two rows of one file, the other way round": (
        [{"file_name": "a.png", "url": f"https://{host}.example/a"} for host in ("free", "gallery")],
        {"a_mask.png"},
    ),
    "a control picture named first": (
        [
            {"control_file_name": "a_mask.png", "file_name": "a.png", "url": "https://gallery.example/a"},
            {"control_file_name": "c.png", "file_name": "a.png", "url": None},
            {"control_file_name": "c.png", "file_name": "c.png", "url": None},
        ],
        {"c.png"},
    ),
    "the second column of addresses": (
        [{"file_name": "a.png", "url": "https://free.example/", "image_url": "https://gallery.example/"}],
        {"a_mask.png"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rows", "kept"), ADDRESSES.values(), ids=ADDRESSES)
def test_every_address_of_a_picture_is_asked(filter_, tmp_path, kit, rows, kept):
    files = {"a.png": kit.free(1), "a_mask.png": kit.free(2)}
    files |= {"c.png": kit.free(3)} if kept == {"c.png"} else {}
    files["metadata.jsonl"] = "".join(json.dumps(row) + "\n" for row in rows)
    filter_(kit.plant(tmp_path / "set", files))
    output = kit.tree(tmp_path / "clean")
    assert "a.png" not in output or "a.png" in kept
    assert kept >= output.keys() - {"metadata.jsonl"}
    assert b"gallery.example" not in output.get("metadata.jsonl", b"")


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ('\ufeff"a,b",url,src2\n', '"x,y",https://gallery.example/1,https://free.example/\n'),
        ('\ufeff"url","caption"\r\n', '"https://gallery.example/1","x"\r\n'),
        ("url,image_url\n", "https://free.example/2,https://gallery.example/2\n"),
    ],
    ids=["BOM before a quoted comma", "BOM before quotes", "two columns of addresses"],
)
def test_no_reserved_address_of_a_csv_is_kept(filter_, tmp_path, kit, head, row):
    kept = row.replace("gallery.example", "free.example")
    kit.plant(tmp_path, {"urls.csv": head + row + kept})
    filter_(tmp_path / "urls.csv", "clean.csv")
    assert (tmp_path / "clean.csv").read_bytes() == (head + kept).encode()


def test_a_loose_list_that_names_a_removed_work_does_not_come_along(filter_, tmp_path, kit, copies):
    lists = {
        "meta_lat.json": '{"10_x/a.jpg": {"caption": "a secret"}}',
        "data.jsonl": '{"image_path": "10_x/a.jpg"}',
    }
    files = {
        "10_x/a.jpg": copies["jpeg"],
        "10_x/b.png": kit.free(1),
        "other.json": '{"10_x/b.png": {}}',
        **lists,
    }
    summary = filter_(kit.plant(tmp_path / "set", files))
    assert kit.tree(tmp_path / "clean").keys() == {"10_x/b.png", "other.json"}
    assert summary.left_out.keys() == lists.keys()


# Modes and switches.


@pytest.fixture
def small(tmp_path, kit, copies):
    """One free picture, one copy of a lodged work."""
    files = {"a.png": kit.free(1), "a.txt": "A", "b.jpg": copies["jpeg"], "b.txt": "B"}
    return kit.plant(tmp_path / "set", files)


@pytest.fixture
def filter_(live, tmp_path):
    def run(source, target="clean", **options):
        with live.client(options.pop("key", "maker")) as client:
            return filter_dataset(
                source, tmp_path / target, [client], **({"options": Options(workers=1)} | options)
            )

    return run


def test_strict_mode_leaves_out_what_nobody_has_spoken_of(small, filter_, tmp_path, kit):
    summary = filter_(small, rules=Rules(mode=Mode.STRICT))
    assert summary.target is None
    assert summary.counts[Action.REMOVE] == 2
    assert summary.reasons["unknown"] == 1
    assert kit.leftovers(tmp_path, "set") == {"clean.caveat"}


def test_when_nothing_is_left_the_account_is_written_and_no_output(filter_, kit, copies, tmp_path):
    source = kit.plant(tmp_path / "set", {"b.jpg": copies["same"], "b.txt": "B"})
    summary = filter_(source)
    assert (summary.target, summary.kept) == (None, 0)
    assert kit.leftovers(tmp_path, "set") == {"clean.caveat"}
    assert kit.tree(tmp_path / "clean.caveat").keys() == {"decisions.jsonl", "report.html", "run.json"}


def test_a_table_of_nothing_but_reserved_rows_leaves_no_output(filter_, kit, tmp_path):
    kit.plant(tmp_path, {"urls.csv": "url\nhttps://gallery.example/a.jpg\n"})
    assert filter_(tmp_path / "urls.csv", "clean.csv").target is None
    assert kit.leftovers(tmp_path, "urls.csv") == {"clean.csv.caveat"}


@pytest.mark.parametrize("named", [{}, {"organisation": "Lab"}, {"purpose": "Study"}])
def test_research_mode_wants_to_know_who_and_what_for(named):
    with pytest.raises(InputError, match="organisation and a purpose"):
        Rules(mode=Mode.RESEARCH_ART3, **named)


def test_research_mode_records_reservations_and_keeps_all(small, filter_, tmp_path, kit):
    rules = Rules(mode=Mode.RESEARCH_ART3, organisation="Lab <b>", purpose="Study")
    summary = filter_(small, rules=rules)
    assert kit.tree(tmp_path / "clean") == kit.tree(small)
    assert (summary.counts[Action.KEEP], summary.counts[Action.REMOVE]) == (2, 0)
    assert summary.notable[0].decision.preference == "reserved"
    assert "Lab &lt;b&gt; — Study" in (tmp_path / "clean.caveat/report.html").read_text("utf-8")


def test_a_use_that_nobody_reserved_takes_nothing_out(small, filter_, tmp_path, kit):
    filter_(small, rules=Rules(use=Use.SEARCH))
    assert kit.tree(tmp_path / "clean") == kit.tree(small)


def test_a_dry_run_counts_and_writes_nothing(small, filter_, tmp_path, kit):
    summary = filter_(small, options=Options(workers=1, dry_run=True))
    assert (summary.kept, summary.counts[Action.REMOVE]) == (1, 1)
    assert summary.left_out.keys() == {"b.txt"}
    assert kit.leftovers(tmp_path, "set") == set()


def test_saying_no_writes_nothing(small, filter_, tmp_path, kit):
    filter_(small, progress=Progress(confirm=lambda _: False))
    assert kit.leftovers(tmp_path, "set") == set()


def test_without_a_key_the_same_works_go(small, live, tmp_path, kit, client_of):
    filter_dataset(small, tmp_path / "clean", [client_of(live.url)], options=Options(workers=1))
    assert kit.tree(tmp_path / "clean").keys() == {"a.png", "a.txt"}


def test_a_wrong_key_is_an_error_and_not_an_answer(small, live, tmp_path, kit, client_of):
    with pytest.raises(RegistryRefusedError, match="401"):
        filter_dataset(
            small, tmp_path / "clean", [client_of(live.url, key="cav_test_wrong")], options=Options(workers=1)
        )
    assert kit.leftovers(tmp_path, "set") == set()


def test_of_two_registries_the_more_restrictive_wins(small, live, tmp_path, kit, client_of, fake):
    registries = [client_of(fake().url), client_of(live.url)]
    for number, order in enumerate((registries, registries[::-1])):
        filter_dataset(small, tmp_path / f"clean{number}", order, options=Options(workers=1))
        assert kit.tree(tmp_path / f"clean{number}").keys() == {"a.png", "a.txt"}


def test_the_same_run_twice_decides_the_same(small, filter_, tmp_path, kit):
    filter_(small, "one")
    filter_(small, "two")
    assert kit.tree(tmp_path / "one") == kit.tree(tmp_path / "two")
    first, second = ((tmp_path / f"{n}.caveat/decisions.jsonl").read_bytes() for n in ("one", "two"))
    assert first == second


def test_filtering_the_output_again_changes_nothing(small, filter_, tmp_path, kit):
    filter_(small)
    filter_(tmp_path / "clean", "again")
    assert kit.tree(tmp_path / "again") == kit.tree(tmp_path / "clean")


def test_worker_processes_decide_as_one_process_does(live, tmp_path, kit, copies, client_of):
    files = {f"{n:02}.png": kit.free(n, 64) for n in range(48)} | {"copy.jpg": copies["jpeg"]}
    source = kit.plant(tmp_path / "set", files)
    ticks = []
    filter_dataset(
        source,
        tmp_path / "clean",
        [client_of(live.url)],
        options=Options(workers=2),
        progress=Progress(tick=lambda: ticks.append(1)),
    )
    assert kit.tree(tmp_path / "clean").keys() == files.keys() - {"copy.jpg"}
    assert len(ticks) == 49
