"""Runs over tables looked at again, against a registry in which things are lodged and withdrawn."""

import json
import shutil

import lance
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from registry.client import Options, RegistryClient, Rules, filter_dataset
from registry.client.lodging import work_of
from registry.client.pictures import hash_files
from registry.client.recheck import recheck
from registry.errors import DatasetError, InputError
from registry.preference import Mode

from .conftest import DOMAIN, alike_to_all, said

RESERVED = {"train": "reserved", "genai-train": "reserved"}
FREE, HERS = "https://free.example/{}.jpg", f"https://img.{DOMAIN}/{{}}.jpg"


@pytest.fixture
def lodged(live):
    """Lodge addresses or works as one reservation, to be withdrawn at the end."""
    made = []

    def lodge_them(*works):
        wires = [{"url": one} if isinstance(one, str) else one for one in works]
        with RegistryClient(live.url, live.keys["ada"]) as client:
            made.append(client.register({"preferences": RESERVED, "label": "Late", "works": wires})["id"])
        return made[-1]

    yield lodge_them
    for id_ in made:
        withdraw(live, id_)


def withdraw(live, id_):
    with RegistryClient(live.url, live.keys["ada"]) as client:
        client.withdraw(id_)


def urls(name):
    """Rows 1 and 5 are hers, row 3 has no address."""
    return [None if n == 3 else (HERS if n in (1, 5) else FREE).format(f"{name}/{n}") for n in range(12)]


def write(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"url": pa.array(values, pa.string()), "n": range(len(values))})
    if path.suffix == ".lance":
        lance.write_dataset(table, path)
    elif path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=5)
    else:
        text = "".join(f"{url or ''},{n}\n" for n, url in enumerate(values))
        path.write_text(f"url,n\n{text}", "utf-8")


@pytest.fixture
def filtered(live, tmp_path):
    """Write tables, and filter them: one, or a folder of them."""

    def run(suffix, tables=("",), rules=Rules(), **options):  # noqa: B008 - frozen
        names = {f"set/{name}{suffix}" if name else f"set{suffix}": name for name in tables}
        for path, name in names.items():
            write(tmp_path / path, urls(name or "one"))
        places = [tmp_path / (one if tables[0] else f"{one}{suffix}") for one in ("set", "clean")]
        with live.client() as client:
            filter_dataset(*places, [client], rules=rules, options=Options(workers=1, **options))
        return places

    return run


@pytest.fixture
def again(live):
    def run(target, **more):
        with live.client() as client:
            return recheck(target, [client], **more)

    return run


def keys(verdicts):
    return [verdict.sample.key for verdict in verdicts]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".lance"])
def test_rows_that_were_kept_are_asked_about_as_the_output_has_them(filtered, again, lodged, suffix, live):
    _, target = filtered(suffix)
    assert again(target).asked == 0
    lodged(FREE.format("one/4"), FREE.format("one/11"), HERS.format("one/1"))
    found = again(target)
    # The output has the rows 0, 2, 4, 6, 7, 8, 9, 10, 11 of the source.
    assert (keys(found.reserved), found.asked, found.read) == (["2", "8"], 9, target)
    assert [found.to_look_at, found.free, found.failed] == [[], [], []]
    assert [verdict.sample.urls for verdict in found.reserved] == [
        (FREE.format("one/4"),),
        (FREE.format("one/11"),),
    ]
    assert found.as_of_seq[live.url] > found.since[live.url]
    assert "Late" in found.reserved[0].reason


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".lance"])
def test_with_the_source_what_is_free_now_is_told_too(filtered, again, lodged, live, suffix):
    before = lodged(FREE.format("one/7"), FREE.format("one/8"))
    source, target = filtered(suffix)
    lodged(FREE.format("one/0"), FREE.format("one/8"))
    withdraw(live, before)
    found = again(target, source=source)
    assert (keys(found.reserved), keys(found.free)) == (["0"], ["7"])
    # Row 3 was set aside, and was never checked.
    assert (found.asked, found.failed, found.read) == (11, [], source)


def test_folders_of_tables_are_told_of_table_by_table(filtered, again, lodged, tmp_path):
    source, target = filtered(".parquet", ("a/00000", "b/00000"))
    (source / "x.exe").write_bytes(b"came later")
    assert again(target).asked == 0
    lodged(FREE.format("b/00000/2"), FREE.format("a/00000/0"))
    assert keys(again(target).reserved) == ["a/00000.parquet/0", "b/00000.parquet/1"]
    assert keys(again(target, source=source).reserved) == ["a/00000.parquet/0", "b/00000.parquet/2"]


def test_what_lies_beside_tables_hides_none_of_them(live, tmp_path, again, lodged):
    """A file that is set aside beside tables has a line of its own among the decisions."""
    write(tmp_path / "set/a.csv", urls("a"))
    (tmp_path / "set/x.exe").write_bytes(b"what is it")
    with live.client() as client:
        filter_dataset(tmp_path / "set", tmp_path / "clean", [client], options=Options(workers=1))
    assert (tmp_path / "clean.caveat/decisions.jsonl").exists()
    lodged(FREE.format("a/2"))
    assert keys(again(tmp_path / "clean").reserved) == ["a.csv/1"]


def test_a_table_of_which_nothing_was_kept_is_asked_about_with_the_source_alone(
    live, tmp_path, again, lodged
):
    before = lodged(FREE.format("b/0"))
    write(tmp_path / "set/a.csv", urls("a"))
    write(tmp_path / "set/b.csv", [FREE.format("b/0")])
    with live.client() as client:
        filter_dataset(tmp_path / "set", tmp_path / "clean", [client], options=Options(workers=1))
    assert not (tmp_path / "clean/b.csv").exists()
    withdraw(live, before)
    assert again(tmp_path / "clean").asked == 9
    found = again(tmp_path / "clean", source=tmp_path / "set")
    assert (keys(found.free), found.asked) == (["b.csv/0"], 12)


def test_what_a_run_asked_is_asked_again(filtered, again, lodged):
    who = {"organisation": "Lab", "purpose": "study"}
    _, target = filtered(".csv", rules=Rules(mode=Mode.RESEARCH_ART3, **who))
    lodged(FREE.format("one/0"))
    assert (again(target).asked, again(target).reserved) == (11, [])


def test_strictly_what_nobody_speaks_of_any_more_goes(filtered, tmp_path, fake, client_of, unknown):
    allowing = alike_to_all("allowed", "Yes.", said(preferences={"genai-train": "allowed"}, evidence_level=3))
    write(tmp_path / "set.csv", [FREE.format(n) for n in range(3)])
    client = client_of(fake(allowing, unknown).url)
    options, rules = Options(workers=1), Rules(mode=Mode.STRICT)
    summary = filter_dataset(
        tmp_path / "set.csv", tmp_path / "clean.csv", [client], rules=rules, options=options
    )
    assert summary.kept == 3
    assert keys(recheck(tmp_path / "clean.csv", [client]).reserved) == ["0", "1", "2"]


def test_weak_evidence_counts_as_it_is_said_to(filtered, again, lodged):
    _, target = filtered(".csv")
    lodged(FREE.format("one/0"))
    assert keys(again(target).reserved) == ["0"]
    assert again(target, min_evidence=3).reserved == []


def test_pictures_in_rows_are_compared_once_more(live, tmp_path, kit, again, lodged):
    pictures = [kit.free(9100 + n) for n in range(4)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = pa.array([{"bytes": one, "path": "a.png"} for one in pictures], kind)
    pq.write_table(pa.table({"image": rows}), tmp_path / "set.parquet")
    with live.client() as client:
        filter_dataset(
            tmp_path / "set.parquet", tmp_path / "clean.parquet", [client], options=Options(workers=1)
        )
    kit.plant(tmp_path, {"mine.png": pictures[2]})
    lodged(*map(work_of, hash_files([tmp_path / "mine.png"], registered=True)))
    assert keys(again(tmp_path / "clean.parquet").reserved) == ["2"]


def test_what_sites_said_is_not_taken_for_free(filtered, again, lodged, live):
    before = lodged(FREE.format("one/7"))
    source, target = filtered(".csv")
    path = target.with_name(f"{target.name}.caveat") / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"site_signals": True}))
    withdraw(live, before)
    found = again(target, source=source)
    assert (found.free, found.asked) == ([], 8)


def test_what_the_registry_cannot_answer_is_named(filtered, fake, client_of):
    _, target = filtered(".csv")

    def failing(body):
        wire = {"status": "error", "preference": None, "reason": "Not now.", "statements": []}
        return 200, {"as_of_seq": 9, "results": [{"id": one["id"], **wire} for one in body["items"]]}, {}

    found = recheck(target, [client_of(fake(failing).url)])
    assert keys(found.failed) == [str(n) for n in range(9)]


# What does not fit, by name.


def row_more(source, target, account):
    text = target.read_text()
    target.write_text(f"{text}https://free.example/new.jpg,99\n")


def row_less(source, target, account):
    target.write_text(target.read_text().rsplit("\n", 2)[0] + "\n")


def no_output(source, target, account):
    target.unlink()


def no_run(source, target, account):
    (account / "run.json").unlink()


def half_a_run(source, target, account):
    (account / "run.json").write_text('{"use": "train"')


def no_bits(source, target, account):
    (account / "decisions/00000.keep").unlink()


def half_the_bits(source, target, account):
    (account / "decisions/00000.keep").write_bytes(b"\xff")


def a_folder(source, target, account):
    target.unlink()
    shutil.copytree(account, target)


UNFIT = {
    row_more: "does not have the rows that the decisions are about",
    row_less: "does not have the rows that the decisions are about",
    no_output: "clean.csv is not there, and the decisions on tables do not have",
    no_run: r"run\.json cannot be read",
    half_a_run: r"run\.json cannot be read",
    no_bits: r"00000\.keep: No such file",
    half_the_bits: "does not have the rows that the decisions are about",
    a_folder: r"clean\.csv/00000 is not there",
}


@pytest.mark.parametrize(("harm", "message"), UNFIT.items(), ids=lambda one: getattr(one, "__name__", ""))
def test_what_does_not_fit_is_an_error_by_name(filtered, again, lodged, tmp_path, harm, message):
    source, target = filtered(".csv")
    lodged(FREE.format("one/0"))
    harm(source, target, tmp_path / "clean.csv.caveat")
    with pytest.raises(DatasetError, match=message):
        again(target)


def test_decisions_that_do_not_fit_the_source_are_an_error_by_name(filtered, again, lodged, tmp_path):
    source, target = filtered(".csv")
    lodged(FREE.format("one/0"))
    (tmp_path / "clean.csv.caveat/decisions/00000.keep").write_bytes(b"\xff\xff\xff\xff")
    with pytest.raises(DatasetError, match="do not fit together"):
        again(target, source=source)


def test_a_subset_has_no_keys_and_wants_the_source(live, tmp_path, again, lodged):
    table = pa.table({"uid": [f"{n:032x}" for n in range(12)], "url": urls("pool")})
    pq.write_table(table, tmp_path / "pool.parquet")
    with live.client() as client:
        options = Options(workers=1, subset=True)
        filter_dataset(tmp_path / "pool.parquet", tmp_path / "kept.npy", [client], options=options)
    lodged(FREE.format("pool/0"))
    with pytest.raises(DatasetError, match="is a subset") as refused:
        again(tmp_path / "kept.npy")
    assert "--source" in refused.value.hint
    assert keys(again(tmp_path / "kept.npy", source=tmp_path / "pool.parquet").reserved) == ["0"]


def test_files_have_their_keys_in_the_decisions_and_want_no_source(live, tmp_path, kit, again):
    kit.plant(tmp_path / "set", {"a.png": kit.free(1)})
    with live.client() as client:
        filter_dataset(tmp_path / "set", tmp_path / "clean", [client], options=Options(workers=1))
    with pytest.raises(InputError, match="is not of tables"):
        again(tmp_path / "clean", source=tmp_path / "set")


def test_the_command_says_what_to_do(filtered, caveat, live, lodged):
    before = lodged(FREE.format("one/7"))
    _, target = filtered(".parquet")
    at = ("--registry", live.url, "--key", live.keys["maker"])
    still = caveat("recheck", target, *at)
    assert (still.returncode, "all stands as it was" in still.stdout) == (0, True)
    lodged(FREE.format("one/4"))
    withdraw(live, before)
    found = caveat("recheck", target, *at)
    assert found.returncode == 1
    assert "1 reserved now, 0 to look at, 0 free now, 0 not checked; of 8 samples" in found.stdout
    assert "To take these out: caveat filter" in found.stdout
    wire = json.loads(caveat("recheck", target, *at, "--source", "set.parquet", "--output", "json").stdout)
    assert [[one["path"] for one in wire[what]] for what in ("reserved", "free")] == [["4"], ["7"]]
    assert wire["read"] == "set.parquet"
