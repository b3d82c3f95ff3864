"""``caveat filter`` over S3, with real pictures and tables, a real registry, and moto as the store.

What it leaves there is what it leaves in a folder, byte for byte; whichever request fails, and wherever the
client is killed, the output counts only when it is whole.
"""

import hashlib
import io
import json
import os
import re
import signal
import subprocess
import tarfile
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from registry.client import Options, filter_dataset
from registry.client.receipts import RECEIPT, check_decisions, check_output, find_receipt
from registry.client.stores import Address, create, fetch, listed, put
from registry.demo.training_set import PICTURES
from registry.errors import StoreError
from registry.model_checks import Result
from registry.model_receipt import open_receipt
from registry.note import Signer

from ..conftest import CAVEAT, DOMAIN

pytestmark = pytest.mark.filterwarnings("default")

SIGNED = Options(workers=1, signer=Signer("maker", bytes(range(32))))


def tar(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def table(number, rows=30):
    urls = [f"https://{DOMAIN if n % 3 == 0 else 'free.example'}/{number}/{n}.jpg" for n in range(rows)]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"URL": urls, "text": [f"t{n}" for n in range(rows)]}), sink, row_group_size=8)
    return sink.getvalue().to_pybytes()


@pytest.fixture
def tables():
    return {**{f"part/{number}.parquet": table(number) for number in range(3)}, "README.md": "about"}


@pytest.fixture
def shards(kit, copies):
    """Real pictures: each artist's own, copies of them, and pictures of nobody."""
    artists = [(f"{n:02}.jpg", path.read_bytes()) for n, path in enumerate(sorted(PICTURES.rglob("*.jpg")))]
    half = len(artists) // 2
    return {
        "00000.tar": tar([*artists[:half], *((f"{50 + n}.png", kit.free(n)) for n in range(3))]),
        "00001.tar": tar([*artists[half:], ("90.png", kit.free(90))]),
        "00002.tar": tar([(f"{name}.{kind}", data) for name, kind, data in named(copies)]),
        "00003.tar": tar([("a.png", kit.free(99)), ("a.txt", b"of nobody")]),
        "list.txt": "00002.tar\n",
        "README.md": "about",
    }


def named(copies):
    return [(name, "webp" if name == "square" else "jpg", data) for name, data in copies.items()]


@pytest.fixture
def run(live, client_of):
    def go(source, target, options=SIGNED, **more):
        return filter_dataset(source, target, [client_of(live.url)], options=options, **more)

    return go


def decisions_of(account):
    single = [data for name, data in sorted(account.items()) if re.fullmatch(r"decisions/.*\.jsonl", name)]
    of_tables = {name: data for name, data in account.items() if re.search(r"\.(parquet|keep)$", name)}
    return account.get("decisions.jsonl", b"".join(single)), of_tables, account["shards.txt"]


def check_whole(store, target):
    """Every report of a shard names objects that are there, whole, and the receipt is of all of them."""
    output, account = store.below(target), store.below(f"{target}.caveat")
    assert "run.json" in account
    named = set()
    for name in [name for name in account if name.startswith("shards/") and name.endswith(".json")]:
        for one in json.loads(account[name])["objects"]:
            data = (output if one["of"] == "output" else account)[one["name"]]
            assert (len(data), hashlib.sha256(data).hexdigest()) == (one["size"], one["sha256"])
            named.add((one["of"], one["name"]))
    assert {name for of, name in named if of == "output"} == {n for n in output if n.endswith((".tar", "et"))}
    check_receipt(output, account, store.below("set"))


def check_receipt(output, account, source):
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "clean")
        for place, files in ((target, output), (target.with_name("clean.caveat"), account)):
            for name, data in files.items():
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                (place / name).write_bytes(data)
        data, found = find_receipt(target)
        receipt = open_receipt(data, []).receipt
        checks = [check_decisions(receipt, found), check_output(receipt, target, found)]
        assert [one.result for one in checks] == [Result.OK, Result.OK], checks
    sums = "".join(f"{hashlib.sha256(source[name]).hexdigest()}  {name}\n" for name in sorted(source))
    assert account["input.sha256"].decode() == sums
    assert receipt.input.digest == {"dirHash": hashlib.sha256(sums.encode()).hexdigest()}
    assert receipt.counts.samples == json.loads(account["run.json"])["samples"]


def counted(account):
    """What a receipt says that is the same for the same run elsewhere."""
    receipt = open_receipt(account[RECEIPT], []).receipt
    return receipt.input, receipt.output, receipt.decisions, receipt.counts, receipt.configuration


@pytest.mark.parametrize(("dataset", "workers"), [("shards", 2), ("tables", 1)])
def test_s3_leaves_what_a_folder_leaves(store, run, kit, tmp_path, request, dataset, workers):
    files = request.getfixturevalue(dataset)
    source = store.plant(files)
    here, options = kit.plant(tmp_path / "set", files), replace(SIGNED, workers=workers)
    local = run(here, tmp_path / "local")
    expected, decided = kit.tree(tmp_path / "local"), decisions_of(kit.tree(tmp_path / "local.caveat"))
    assert 0 < local.kept < local.samples
    away = run(source, f"{store.address}/clean", options)
    run(source, tmp_path / "clean")
    run(here, f"{store.address}/up")
    assert store.below("clean") == store.below("up") == kit.tree(tmp_path / "clean") == expected
    accounts = store.below("clean.caveat"), store.below("up.caveat"), kit.tree(tmp_path / "clean.caveat")
    assert [decisions_of(account) for account in accounts] == [decided] * 3
    assert [counted(account) for account in accounts] == [counted(kit.tree(tmp_path / "local.caveat"))] * 3
    assert ("data:image/jpeg" in accounts[0]["report.html"].decode()) == (dataset == "shards")
    assert (away.counts, away.reasons, away.kept) == (local.counts, local.reasons, local.kept)
    assert [one.to_wire() for one in away.notable] == [one.to_wire() for one in local.notable]
    for target in ("clean", "up"):
        check_whole(store, target)


def test_shares_by_several_machines_have_one_receipt(store, run, kit, tmp_path, shards):
    source, target = store.plant(shards), f"{store.address}/clean"
    run(kit.plant(tmp_path / "set", shards), tmp_path / "local")
    for number in (2, 1, 3):
        run(source, target, replace(SIGNED, share=(number, 3), signer=None))
    assert RECEIPT not in store.below("clean.caveat")
    store.door.seen.clear()
    assert run(source, target).resumed == 4
    # Of the shards nothing is read again but the pictures that the report shows.
    fetched = [path.rpartition("/")[2] for method, path in store.door.seen if method == "GET"]
    assert {name for name in fetched if name.endswith(".tar?")} == {"00000.tar?", "00002.tar?"}
    check_whole(store, "clean")
    assert counted(store.below("clean.caveat")) == counted(kit.tree(tmp_path / "local.caveat"))


def test_an_object_that_changes_between_shards_is_filtered_again(store, run, shards):
    source, target = store.plant(shards), f"{store.address}/clean"
    run(source, target, replace(SIGNED, share=(1, 2)))
    store.plant({"00002.tar": shards["00003.tar"]})
    assert run(source, target).resumed == 1
    check_whole(store, "clean")


def test_ray_filters_over_s3(store, run, kit, tmp_path, tables):
    source = store.plant(tables)
    run(kit.plant(tmp_path / "set", tables), tmp_path / "local")
    summary = run(source, f"{store.address}/clean", replace(SIGNED, engine="ray", workers=2))
    assert summary.kept == 60
    assert store.below("clean") == kit.tree(tmp_path / "local")
    check_whole(store, "clean")


# The command.


@pytest.fixture
def words(live):
    def make(source, target, *more):
        return [CAVEAT, "filter", source, target, "--registry", live.url, "--workers", "2", *more]

    return make


def environment(tmp_path, **more):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("CAVEAT_", "XDG_"))}
    return {**clean, "HOME": str(tmp_path), "TMPDIR": str(tmp_path / "tmp"), "COLUMNS": "200", **more}


def test_the_command_over_s3(store, words, tmp_path, shards):
    (tmp_path / "tmp").mkdir()
    source, target = store.plant(shards), f"{store.address}/clean"
    command = words(source, target, "--output", "json")
    done = subprocess.run(command, capture_output=True, text=True, env=environment(tmp_path), check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    told = json.loads(done.stdout)
    assert (told["source"], told["target"]) == (source, target)
    assert told["account"] == f"{target}.caveat"
    assert {one["path"].partition("/")[0] for one in told["notable"]} == {"00000.tar", "00002.tar"}
    check_whole(store, "clean")
    assert list((tmp_path / "tmp").iterdir()) == []
    again = subprocess.run(command, capture_output=True, text=True, env=environment(tmp_path), check=False)
    assert again.returncode == 3
    assert "is there already" in again.stderr
    sarif = words(source, f"{store.address}/other", "--output", "sarif", "--dry-run")
    done = subprocess.run(sarif, capture_output=True, text=True, env=environment(tmp_path), check=True)
    [log] = json.loads(done.stdout)["runs"]
    assert log["originalUriBaseIds"]["SRC"]["uri"] == f"{source}/"
    places = {one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in log["results"]}
    assert places == {"00000.tar", "00002.tar"}


@pytest.mark.parametrize(
    ("source", "target", "more", "why"),
    [
        ("s3://no-such-bucket/a", "s3://{bucket}/clean", {}, "could not be listed"),
        ("s3://{bucket}/none", "s3://{bucket}/clean", {}, "nothing is below"),
        ("s3://{bucket}/set", "s3://no-such-bucket/clean", {}, "could not be listed"),
        (
            "s3://{bucket}/set",
            "s3://{bucket}/c",
            {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"},
            "could not be",
        ),
        ("s3://{bucket}/set", "s3://{bucket}", {}, "lie in one another"),
    ],
    ids=["no bucket", "no prefix", "no bucket to write", "no server", "whole bucket"],
)
def test_what_cannot_be_reached_is_told_by_name(store, words, tmp_path, tables, source, target, more, why):
    (tmp_path / "tmp").mkdir()
    store.plant(tables)
    command = words(source.format(bucket=store.bucket), target.format(bucket=store.bucket))
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(tmp_path, **more), check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (3, False), done.stderr
    assert why in done.stderr
    assert set(store.below("set")) == set(tables)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_client_that_is_killed_goes_on_where_it_was(store, words, kit, tmp_path, run, shards, how):
    (tmp_path / "tmp").mkdir()
    source, target = store.plant(shards), f"{store.address}/clean"
    run(kit.plant(tmp_path / "set", shards), tmp_path / "local")
    expected, ended = kit.tree(tmp_path / "local"), Counter()
    command = words(source, target, "--output", "json")
    for at in (8, 20, 30, 40, 45, 50, 60, 70):
        store.door.seen.clear()
        with subprocess.Popen(
            command, stdout=-3, stderr=-3, env=environment(tmp_path), start_new_session=True
        ) as client:
            end = time.monotonic() + 90
            while len(store.door.seen) < at and client.poll() is None:
                assert time.monotonic() < end
                time.sleep(0.002)
            if client.poll() is None:
                ended["killed"] += 1
                os.killpg(client.pid, how)
        account = store.below("clean.caveat")
        if "run.json" in account:
            break
    assert ended["killed"] >= 2
    if "run.json" not in account:
        told = subprocess.run(command, capture_output=True, text=True, env=environment(tmp_path), check=False)
        assert told.returncode == 0, told.stderr
    assert store.below("clean") == expected
    check_whole(store, "clean")
    if how is signal.SIGINT:
        time.sleep(0.5)  # The workers are on their way.
        assert list((tmp_path / "tmp").iterdir()) == []


# Failing requests.


def test_whichever_request_is_refused_the_output_counts_only_when_it_is_whole(
    store, run, kit, tmp_path, tables
):
    files = {name: tables[name] for name in ("part/0.parquet", "README.md")}
    source, target = store.plant(files), f"{store.address}/clean"
    run(kit.plant(tmp_path / "set", files), tmp_path / "local")
    expected, outcomes, number = kit.tree(tmp_path / "local"), Counter(), 0
    while True:
        number += 1
        store.door.reset()
        store.clear("clean", "clean.caveat")
        store.door.seen.clear()
        store.door.shut = lambda count, *_, number=number: 403 if count == number else None
        try:
            run(source, target)
        except StoreError as error:
            outcomes["refused"] += bool(error.hint)
        else:
            outcomes["whole"] += 1
        seen = list(store.door.seen)
        asked = len(seen)
        store.door.reset()
        if "run.json" in store.below("clean.caveat"):
            assert store.below("clean") == expected
            check_whole(store, "clean")
            # Nothing was refused, or what was is asked again; or the last word, that all is there, was lost.
            assert asked < number or seen[number - 1] in seen[number:] or "run.json" in seen[number - 1][1]
        else:
            run(source, target)
            assert store.below("clean") == expected
            check_whole(store, "clean")
        if asked < number:
            break
    assert outcomes["refused"] >= 20


@pytest.mark.parametrize("how", [500, 503, "cut"])
def test_requests_that_fail_once_are_asked_again(store, run, kit, tmp_path, tables, how):
    source = store.plant(tables)
    run(kit.plant(tmp_path / "set", tables), tmp_path / "local")
    # Asking again waits a little longer each time.
    store.door.shut = lambda count, *_: how if count % 12 == 0 else None
    try:
        run(source, f"{store.address}/clean")
    except StoreError:
        # An answer that is broken off is not always asked for again: then it is an error, by name.
        assert how == "cut"
        store.door.reset()
        run(source, f"{store.address}/clean")
    store.door.reset()
    assert store.below("clean") == kit.tree(tmp_path / "local")
    check_whole(store, "clean")


@pytest.mark.parametrize("how", [403, "cut"])
@pytest.mark.parametrize("page", [1, 2, 3])
def test_a_listing_that_breaks_off_is_an_error_and_never_shorter(store, tables, page, how):
    files = {**tables, **{f"more/{n}.parquet": b"x" for n in range(6)}}
    place = Address(store.plant(files))
    store.door.shut = lambda count, *_: how if count >= page else None
    with pytest.raises(StoreError, match="could not be listed"):
        listed(place)
    store.door.reset()
    assert set(listed(place)) == set(files)
    assert len(store.door.seen) == 3


def test_bytes_that_break_off_are_an_error_and_never_shorter(store, tmp_path):
    place = Address(store.plant({"a.tar": b"x" * 2**20}))
    found = listed(place)["a.tar"]
    store.door.shut = lambda count, method, path: "cut" if "a.tar" in path and method == "GET" else None
    with pytest.raises(StoreError, match=r"could not be fetched|bytes came"):
        fetch(place, found, tmp_path / "a.tar")
    store.door.reset()
    fetch(place, found, tmp_path / "a.tar")
    assert (tmp_path / "a.tar").stat().st_size == 2**20


def test_a_large_object_that_is_not_put_whole_is_not_there(store, tmp_path):
    place, large = Address(f"{store.address}/large"), tmp_path / "large"
    large.write_bytes(os.urandom(2**20) * 120)  # In three parts of 50 MiB.
    store.door.shut = lambda count, method, path: 403 if "partNumber=2" in path else None
    with pytest.raises(StoreError, match="could not be written"):
        put(large, place)
    assert [path for method, path in store.door.seen if "partNumber" in path]
    store.door.reset()
    assert store.below("large") == {}
    assert listed(Address(store.address)) == {}
    found, digest = put(large, place)
    assert (found.size, digest) == (120 * 2**20, hashlib.sha256(large.read_bytes()).digest())


def test_a_client_that_is_killed_while_it_puts_a_large_object_leaves_none(store, tmp_path):
    large = tmp_path / "large"
    large.write_bytes(os.urandom(2**20) * 120)
    script = (
        "import sys; from pathlib import Path; from registry.client.stores import Address, put;"
        "put(Path(sys.argv[1]), Address(sys.argv[2]))"
    )
    command = [CAVEAT.with_name("python"), "-c", script, large, f"{store.address}/large"]
    with subprocess.Popen(command, env=environment(tmp_path, TMPDIR=str(tmp_path))) as client:
        end = time.monotonic() + 60
        while not any("partNumber" in path for _, path in store.door.seen):
            assert time.monotonic() < end
            assert client.poll() is None
            time.sleep(0.002)
        client.kill()
    assert listed(Address(store.address)) == {}


def test_of_two_who_write_on_the_condition_that_nothing_is_there_one_does(store):
    place = Address(f"{store.address}/settings.json")
    assert create(place, b"mine") == b"mine"
    assert create(place, b"yours") == b"mine"
