"""Folders of shards and of tables: filtered one by one, resumed, shared out, and put together as one."""

import json
import os
import signal
import subprocess
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from registry.client import Options, Progress, Rules, filter_dataset
from registry.client.judged import mark_rows
from registry.client.noted import Notes, write_notes
from registry.errors import DatasetError, InputError, RegistryUnreachableError
from registry.preference import Action, Mode

from .conftest import CAVEAT, DOMAIN
from .test_shards import tar


@pytest.fixture
def shards(tmp_path, kit, copies):
    """Four shards: the second loses a sample, the third all of them; and texts beside them."""
    files = {
        "a/0.tar": tar([(f"0{n}.png", kit.free(n)) for n in range(3)]),
        "a/1.tar": tar([("10.png", kit.free(10)), ("11.jpg", copies["jpeg"]), ("11.txt", b"hers")]),
        "b/2.tar": tar([("20.jpg", copies["jpeg"])]),
        "b/3.tar": tar([("30.png", kit.free(30))]),
        "README.md": "about",
        "list.txt": "10\n11\n",
        "left.txt": "0.tar 3.tar\n",
    }
    return kit.plant(tmp_path / "set", files)


@pytest.fixture
def tables(tmp_path, kit):
    """Three tables of addresses: every third row is reserved, the second has rows that are no addresses."""
    folder = tmp_path / "set"
    for number in range(3):
        urls = [f"https://{DOMAIN if n % 3 == 0 else 'free.example'}/{number}/{n}.jpg" for n in range(30)]
        if number == 1:
            urls[4:6] = ["", "nothing"]
        (folder / "part").mkdir(parents=True, exist_ok=True)
        table = pa.table({"URL": urls, "text": [f"t{n}" for n in range(30)]})
        pq.write_table(table, folder / f"part/{number}.parquet", row_group_size=8)
    (folder / "README.md").write_text("about")
    return folder


@pytest.fixture
def run(live, client_of, tmp_path):
    def go(source, name="clean", options=Options(workers=1), **more):  # noqa: B008 - frozen
        return filter_dataset(source, tmp_path / name, [client_of(live.url)], options=options, **more)

    return go


def left_in(folder, kit):
    return {name for name in kit.tree(folder) if name != "shards.txt"}


LEFT = {"a/0.tar", "a/1.tar", "b/3.tar", "README.md", "left.txt"}


def check(summary, tmp_path, kit, name="clean"):
    """What any way of filtering the four shards leaves."""
    assert kit.tree(tmp_path / name).keys() == LEFT
    assert summary.shards == ("a/0.tar", "a/1.tar", "b/3.tar")
    assert (summary.kept, summary.counts[Action.REMOVE], summary.errors) == (5, 2, 0)
    assert {v.sample.key: v.cause for v in summary.notable} == {
        "a/1.tar/11.jpg": "pdq",
        "b/2.tar/20.jpg": "pdq",
    }
    assert summary.left_out == {
        "a/1.tar/11.txt": "its sample goes",
        "b/2.tar": "no sample is left in it",
        "list.txt": "names 11, and lists of this kind are not rewritten",
    }
    account = tmp_path / f"{name}.caveat"
    assert (account / "shards.txt").read_text().split() == ["a/0.tar", "a/1.tar", "b/3.tar"]
    lines = [json.loads(line) for line in (account / "decisions.jsonl").read_text().splitlines()]
    assert [line["path"].partition(".tar/")[0] for line in lines] == [
        "a/0", "a/0", "a/0", "a/1", "a/1", "b/2", "b/3",
    ]  # fmt: skip
    assert {path.name for path in account.iterdir()} == {
        "decisions.jsonl", "report.html", "run.json", "shards", "shards.txt",
    }  # fmt: skip
    assert "data:image/jpeg" in (account / "report.html").read_text()
    assert not list(tmp_path.glob(".*partial"))


@pytest.mark.parametrize("workers", [1, 2])
def test_shards_are_filtered_and_put_together(shards, run, tmp_path, kit, workers):
    steps = Counter()
    progress = Progress(
        begin=lambda _, total: steps.update(total=total or 0),
        tick=lambda: steps.update(ticks=1),
        done=lambda count, gone: steps.update(done=count, gone=gone),
    )
    check(run(shards, options=Options(workers=workers), progress=progress), tmp_path, kit)
    assert steps == Counter({"ticks": 7, "gone": 2} if workers == 1 else {"total": 4, "done": 4, "gone": 2})


@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_shares_are_put_together_by_one_run_more(shards, run, tmp_path, kit, count):
    kept = 0
    for number in range(1, count + 1):
        summary = run(shards, options=Options(workers=1, share=(number, count)))
        kept += summary.kept
        assert (summary.target, summary.shared) == (None, True)
        assert not (tmp_path / "clean").exists()
    assert (kept, summary.waiting) == (5, 0)
    summary = run(shards)
    assert summary.resumed == 4
    check(summary, tmp_path, kit)


def test_a_registry_that_fails_leaves_the_shards_that_were_done(
    shards, run, tmp_path, kit, fake, client_of, unknown
):
    server = fake(unknown, unknown, lambda body: (500, b"", {}))
    with pytest.raises(RegistryUnreachableError):
        filter_dataset(shards, tmp_path / "clean", [client_of(server.url)], options=Options(workers=1))
    assert kit.leftovers(tmp_path, "set") == {".clean.partial", ".clean.caveat.partial"}
    server.scripts = [unknown]
    seen = len(server.seen)
    summary = filter_dataset(shards, tmp_path / "clean", [client_of(server.url)], options=Options(workers=1))
    assert (summary.resumed, summary.kept) == (2, 7)
    assert len([one for one in server.seen[seen:] if one[1] == "/api/v1/lookup"]) == 2


def test_other_options_are_refused_and_anew_is_anew(shards, run, tmp_path, kit):
    run(shards, options=Options(workers=1, share=(1, 2)))
    with pytest.raises(DatasetError, match="another mode: 'eu-art4', and now 'strict'") as caught:
        run(shards, rules=Rules(mode=Mode.STRICT))
    assert "--no-resume" in caught.value.hint
    summary = run(shards, rules=Rules(mode=Mode.STRICT), options=Options(workers=1, resume=False))
    assert (summary.resumed, summary.kept, summary.target) == (0, 0, None)
    assert kit.tree(tmp_path / "clean.caveat").keys() >= {"decisions.jsonl", "report.html"}


def test_a_shard_that_has_changed_since_is_filtered_again(shards, run, tmp_path, kit):
    run(shards, options=Options(workers=1, share=(1, 2)))
    (shards / "a/0.tar").write_bytes(tar([("99.png", kit.free(99))]))
    summary = run(shards)
    assert (summary.resumed, summary.kept) == (1, 3)


def test_a_dry_run_writes_nothing_and_tells_the_same(shards, run, tmp_path, kit):
    dry, wet = run(shards, options=Options(workers=1, dry_run=True)), run(shards)
    assert kit.leftovers(tmp_path, "set") == {"clean", "clean.caveat"}
    assert dry.left_out == wet.left_out
    assert [v.to_wire() for v in dry.notable] == [v.to_wire() for v in wet.notable]
    assert dry.counts == wet.counts


def test_a_shard_that_cannot_be_read_is_set_aside_and_the_rest_is_complete(tables, run, tmp_path, kit):
    (tables / "part/1.parquet").write_bytes(b"PAR1 and no more")
    summary = run(tables)
    assert kit.tree(tmp_path / "clean").keys() == {"README.md", "part/0.parquet", "part/2.parquet"}
    [fault] = [v for v in summary.notable if v.action is Action.ERROR]
    assert fault.sample.key == "part/1.parquet"
    assert "the whole shard is set aside" in fault.reason
    with pytest.raises(DatasetError, match=r"1\.parquet"):
        run(tables, "again", options=Options(workers=1, stop_on_error=True))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_folder_of_tables(tables, run, tmp_path, kit, workers):
    summary = run(tables, options=Options(workers=workers))
    assert kit.tree(tmp_path / "clean").keys() == {"README.md", *(f"part/{n}.parquet" for n in range(3))}
    assert (summary.samples, summary.counts[Action.REMOVE], summary.errors) == (90, 30, 2)
    for number in range(3):
        before = pq.read_table(tables / f"part/{number}.parquet")
        after = pq.read_table(tmp_path / f"clean/part/{number}.parquet")
        keep = [n % 3 != 0 and not (number == 1 and n in (4, 5)) for n in range(30)]
        assert after.equals(before.filter(pa.array(keep)))
        bits = (tmp_path / f"clean.caveat/decisions/part/{number}.parquet.keep").read_bytes()
        assert np.unpackbits(np.frombuffer(bits, np.uint8), count=30).tolist() == keep
        gone = pq.read_table(tmp_path / f"clean.caveat/decisions/part/{number}.parquet.parquet")
        assert gone["row"].to_pylist() == [n for n in range(30) if not keep[n]]


def _one_by_one(rows, judges, *, in_marks):
    assert in_marks
    return mark_rows(rows, judges, in_marks=False)


@pytest.mark.parametrize("mode", list(Mode))
def test_rows_asked_in_marks_are_decided_as_one_by_one(tables, run, tmp_path, kit, monkeypatch, mode):
    rules = Rules(mode=mode, organisation="lab", purpose="study")
    marked = run(tables, rules=rules)
    monkeypatch.setattr("registry.client.sieve.mark_rows", _one_by_one)
    single = run(tables, "single", rules=rules)
    assert kit.tree(tmp_path / "single") == kit.tree(tmp_path / "clean") or mode is Mode.STRICT
    assert (marked.counts, marked.reasons, marked.kept) == (single.counts, single.reasons, single.kept)
    for number in range(3):
        one, two = (
            pq.read_table(tmp_path / f"{name}.caveat/decisions/part/{number}.parquet.parquet").drop(
                ["as_of_seq"]
            )
            for name in ("clean", "single")
        )
        assert one.equals(two)


def test_a_run_that_is_killed_goes_on_where_it_was(tmp_path, kit, live, copies):
    files = {
        f"{n:02}.tar": tar([(f"{n}.png", kit.free(n, 700)), (f"{n}x.jpg", copies["jpeg"])]) for n in range(12)
    }
    source = kit.plant(tmp_path / "set", files)
    command = [CAVEAT, "filter", source, tmp_path / "clean", "--registry", live.url, "--workers", "2"]
    command += ["--output", "json"]
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = tmp_path / ".clean.caveat.partial/shards"
    for wanted, how in ((2, signal.SIGKILL), (4, signal.SIGINT)):
        with subprocess.Popen(
            command, stdout=-3, stderr=-3, env=environment, start_new_session=True
        ) as process:
            end = time.monotonic() + 60
            while len(list(done.glob("*.tar.json"))) < wanted and process.poll() is None:
                assert time.monotonic() < end
                time.sleep(0.01)
            if process.poll() is None:
                os.killpg(process.pid, how)
        if (tmp_path / "clean").exists():
            pytest.skip("the machine was too fast to be killed in time")
    told = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["resumed"] >= 2
    assert kit.tree(tmp_path / "clean").keys() == files.keys()
    assert not [p.name for p in tmp_path.glob(".*partial*")]
    assert json.loads(told.stdout)["kept"] == 12


@pytest.mark.parametrize("share", [(0, 2), (3, 2), (-1, 1)])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(InputError, match="no share"):
        Options(share=share)


def test_what_is_no_folder_of_shards_has_no_share(tmp_path, kit, run):
    with pytest.raises(InputError, match="not made of shards"):
        run(kit.plant(tmp_path / "set", {"a.png": kit.free(1)}), options=Options(share=(1, 2)))


def shown(verdict):
    """Where the report finds the picture."""
    place = verdict.sample.picture
    return place and replace(place, sidecars=None)


def test_verdicts_are_read_back_as_they_were(shards, run, tmp_path, kit, copies):
    files = {"a.jpg": copies["jpeg"], "a-masklabel.png": kit.free(1), "b.png": b"none", "c.png": kit.free(2)}
    verdicts = [
        *run(kit.plant(tmp_path / "folder", files), "one").notable,
        *run(shards, "two", options=Options(workers=1, dry_run=True)).notable,
    ]
    write_notes(tmp_path / "notes.jsonl", verdicts)
    notes = Notes()
    notes.add(tmp_path / "notes.jsonl")
    assert len(verdicts) > 3
    assert [one.to_wire() for one in notes] == [one.to_wire() for one in verdicts]
    assert [one.cause for one in notes] == [one.cause for one in verdicts]
    assert [shown(one) for one in notes] == [shown(one) for one in verdicts]
    assert notes[1].to_wire() == verdicts[1].to_wire()
    assert [one.sample.key for one in notes[1:3]] == [one.sample.key for one in verdicts[1:3]]
    Path(tmp_path / "notes.jsonl").write_text("{}\n")
    with pytest.raises(DatasetError, match="cannot be read"):
        list(notes)


def test_what_an_earlier_run_wrote_of_a_shard_does_not_outlast_it(shards, run, tmp_path, kit, copies):
    run(shards, options=Options(workers=1, share=(1, 1)))
    (shards / "a/0.tar").write_bytes(tar([("00.jpg", copies["jpeg"])]))
    (shards / "b/3.tar").unlink()
    (tmp_path / ".clean.partial/of an end that failed.txt").write_text("x")
    summary = run(shards)
    assert kit.tree(tmp_path / "clean").keys() == {"a/1.tar", "README.md"}
    assert (summary.resumed, summary.shards) == (2, ("a/1.tar",))


def test_a_run_that_died_as_it_was_to_appear_is_done_again(shards, run, tmp_path, kit, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("registry.client.making.appear", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(shards)
    summary = run(shards)
    assert summary.resumed == 0
    check(summary, tmp_path, kit)


def test_a_report_that_cannot_be_written_leaves_what_was_done(shards, run, tmp_path, kit, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("registry.client.filtering.write_report", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(shards)
    assert not (tmp_path / "clean").exists()
    check(run(shards), tmp_path, kit)


def test_saying_no_leaves_nothing_of_shards(shards, run, tmp_path, kit):
    summary = run(shards, rules=Rules(mode=Mode.STRICT), progress=Progress(confirm=lambda _: False))
    assert kit.leftovers(tmp_path, "set") == set()
    assert len(list(summary.notable)) == 7
