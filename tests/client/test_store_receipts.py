"""Receipts of runs at object stores: what they say is what the same run between folders says, to the byte."""

import json
import shutil
from dataclasses import replace

import pytest

from registry.client import Options, RegistryClient, filter_dataset
from registry.client.bundles import find_bundle
from registry.client.contents import decided, hashed
from registry.client.receipts import RECEIPT, check_decisions, check_output, find_receipt
from registry.client.recheck import recheck
from registry.client.store_accounts import at_hand
from registry.client.stores import Address
from registry.countersignature import Bundle, parse_countersignature
from registry.errors import DatasetError, ProofError, StoreError
from registry.model_checks import Policy, Result, check_receipt
from registry.model_receipt import open_receipt
from registry.note import Signer
from registry.receipt import Asked

from .recorder import logged_registry
from .test_stores import DST, SRC, Flaky, below, plant, run, shards, store, tables

__all__ = ["run", "shards", "store", "tables"]  # Fixtures.

SIGNER = Signer("maker", bytes(range(32)))
OPTIONS = Options(workers=1, signer=SIGNER)
ACCOUNT = "/b/clean.caveat"
NOBODY = Asked(url="x:", origin=None, as_of_seq=None, asked="full", checkpoint=None)
NAMES = (RECEIPT, "input.sha256", "output.sha256", "card.md")


@pytest.fixture
def broken_tables(tables):
    """A table that cannot be read, so that there are lines beside the bits; and what is only hashed."""
    return tables | {"part/7.parquet": b"no table", "weights.bin": b"\0" * 99, ".hidden": b"no part of it"}


def receipt_of(files):
    signed, checks = check_receipt(files[RECEIPT], Policy([SIGNER.verifier], 2**33))
    assert signed is not None, checks
    return signed.receipt


def same(receipt, decisions):
    """What must be the same however a run was done: all but times, and what a registry said at its end."""
    asked = [(one.url, one.origin, one.as_of_seq, one.asked) for one in receipt.registries]
    times = {"started": "1970-01-01T00:00:00Z", "finished": "1970-01-01T00:00:00Z"}
    return asked, replace(receipt, registries=(NOBODY,), decisions=decisions, resumed=0, **times)


def renamed(account, here, there, to):
    """Copy an account; where its decisions name the source, they name another."""
    shutil.copytree(account, to)
    lines = to / "decisions.jsonl"
    if lines.exists():
        lines.write_bytes(lines.read_bytes().replace(str(here).encode(), there.encode()))
    return to


@pytest.mark.parametrize("dataset", ["shards", "broken_tables"])
@pytest.mark.parametrize(
    ("from_store", "to_store"), [(True, True), (True, False), (False, True)], ids=["both", "from", "to"]
)
def test_a_store_has_the_receipt_of_a_folder(
    store, run, kit, tmp_path, request, dataset, from_store, to_store
):
    files = request.getfixturevalue(dataset)
    plant(files)
    here = kit.plant(tmp_path / "set", files)
    run(here, tmp_path / "local", OPTIONS)
    expected = kit.tree(tmp_path / "local.caveat")
    source, target = SRC if from_store else here, DST if to_store else tmp_path / "clean"
    run(source, target, OPTIONS)
    account = below(ACCOUNT) if to_store else kit.tree(tmp_path / "clean.caveat")
    for name in ("input.sha256", "output.sha256"):
        assert account[name] == expected[name]
    lines = decided(renamed(tmp_path / "local.caveat", here, str(source), tmp_path / "renamed"))
    then, now = receipt_of(expected), receipt_of(account)
    assert same(now, now.decisions) == same(then, lines)
    assert now.counts.errors == (2 if dataset == "shards" else 1)
    assert (SRC in account["card.md"].decode(), "## " in account["card.md"].decode()) == (False, True)


@pytest.mark.parametrize("dataset", ["shards", "broken_tables"])
def test_what_was_fetched_from_the_store_is_held_against_the_receipt(
    store, run, kit, tmp_path, request, dataset
):
    plant(request.getfixturevalue(dataset))
    run(SRC, DST, OPTIONS)
    kit.plant(tmp_path / "clean.caveat", below(ACCOUNT))
    output = kit.plant(tmp_path / "clean", below("/b/clean"))
    data, account = find_receipt(output)
    receipt = open_receipt(data, []).receipt
    checks = [check_decisions(receipt, account), check_output(receipt, output, account)]
    assert [one.result for one in checks] == [Result.OK, Result.OK], checks
    lines = max((account / "decisions").rglob("*.jsonl"))
    lines.write_bytes(lines.read_bytes().replace(b'"status"', b'"state"'))
    assert check_decisions(receipt, account).result is Result.NOT_OK


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A registry with a log, whose key countersigns."""
    yield from logged_registry(tmp_path_factory.mktemp("logged"))


def test_what_the_registry_countersigned_lies_beside_the_receipt(store, logged, shards, kit, tmp_path):
    plant(shards)
    with RegistryClient(logged.url, logged.keys["maker"], timeout=30) as client:
        filter_dataset(SRC, DST, [client], options=replace(OPTIONS, share=(1, 2)))
        summary = filter_dataset(SRC, DST, [client], options=OPTIONS)
    account = below(ACCOUNT)
    [asked] = receipt_of(account).registries
    # A ticket a shard of which anything was asked.
    assert len(account["tickets.txt"].decode().splitlines()) == 3
    assert (len(asked.runs), json.loads(account["run.json"])["not_countersigned"]) == (1, {})
    bundle = Bundle.from_json(account["receipt.bundle.json"])
    assert bundle.receipt.to_json() == account[RECEIPT]
    [said] = map(parse_countersignature, (one.payload for one in bundle.countersignatures))
    assert said.run == asked.runs[0]
    assert summary.countersigned == {logged.url: ""}


def test_nothing_is_fetched_twice_for_a_receipt(store, run, shards):
    plant(shards)
    run(SRC, DST)
    without = Flaky.seen["get_file"]
    for name in [name for name in store.store if not name.startswith("/b/set/")]:
        del store.store[name]
    Flaky.seen.clear()
    run(SRC, DST, OPTIONS)
    # Two texts and a file of no kind lie beside the shards.
    assert Flaky.seen["get_file"] == without + 3


def test_shares_leave_no_receipt_and_who_joins_them_does(store, run, tables, kit, tmp_path):
    plant(tables)
    run(kit.plant(tmp_path / "set", tables), tmp_path / "local", OPTIONS)
    then = receipt_of(kit.tree(tmp_path / "local.caveat"))
    # Without a key: what the receipt wants is taken all the same.
    for number, options in ((1, OPTIONS), (2, Options(workers=1))):
        run(SRC, DST, replace(options, share=(number, 2)))
        assert not {*NAMES, "run.json"} & below(ACCOUNT).keys()
    Flaky.seen.clear()
    run(SRC, DST, OPTIONS)
    now = receipt_of(below(ACCOUNT))
    assert now.resumed == 3
    assert same(now, now.decisions) == same(then, then.decisions)


def test_a_resumed_run_between_store_and_folder_has_the_digests_of_both(store, run, shards, kit, tmp_path):
    plant(shards)
    target = tmp_path / "clean"
    run(SRC, target, replace(OPTIONS, share=(1, 2)))
    changed = {"a/1_stats.json": b'{"count": 3, "successes": 2, "status_dict": {"success": 2}}'}
    plant(changed)
    run(SRC, target, OPTIONS)
    then = run(kit.plant(tmp_path / "set", shards | changed), tmp_path / "local", OPTIONS)
    account = kit.tree(tmp_path / "clean.caveat")
    assert receipt_of(account).resumed == 2
    for name in ("input.sha256", "output.sha256"):
        assert account[name] == (then.account / name).read_bytes()
    assert json.loads(account["run.json"])["kept"] == then.kept


def test_a_file_here_that_changes_while_its_shard_is_put_up_is_noticed(store, run, tables, kit, tmp_path):
    here = kit.plant(tmp_path / "set", tables)
    path = here / "part/1.parquet"

    def change(call, name):
        if call == "put_file" and name.endswith("part/0.parquet"):
            Flaky.fails = staticmethod(lambda call, path: None)
            path.write_bytes(tables["part/2.parquet"])

    # It is read anew for the shard it is: what was digested is what was filtered.
    store.fails = staticmethod(change)
    run(here, DST, OPTIONS)
    sums = below(ACCOUNT)["input.sha256"].decode()
    assert f"{hashed(path)[0]}  part/1.parquet" in sums


@pytest.mark.parametrize(
    ("change", "error", "why"),
    [
        ({"gone": {}}, DatasetError, "without what a receipt wants"),
        ({"input": {}}, DatasetError, "without what a receipt wants"),
        ({"input": {"b/0.tar": "0" * 64}}, DatasetError, "without what a receipt wants"),
    ],
    ids=["counts", "digests", "another's digests"],
)
def test_a_report_without_what_the_receipt_wants_is_an_error_by_name(store, run, shards, change, error, why):
    plant(shards)
    run(SRC, DST, replace(OPTIONS, share=(1, 1)))
    place = f"{ACCOUNT}/shards/a/0.tar.json"
    report = json.loads(below(ACCOUNT)["shards/a/0.tar.json"]) | change
    Flaky().pipe_file(place, json.dumps(report).encode())
    with pytest.raises(error, match=why) as caught:
        run(SRC, DST, OPTIONS)
    assert "--no-resume" in caught.value.hint
    assert not {*NAMES, "run.json"} & below(ACCOUNT).keys()


def test_leaves_that_are_not_those_of_the_shard_are_not_taken(store, run, shards):
    plant(shards)
    run(SRC, DST, replace(OPTIONS, share=(1, 1)))
    name = f"{ACCOUNT}/shards/a/0.tar.leaves"

    def swap(call, path):
        if call == "cat_file" and path == name:
            Flaky.fails = staticmethod(lambda call, path: None)
            leaves = store.store[name]
            leaves.seek(0)
            leaves.write(bytes(32))

    store.fails = staticmethod(swap)
    with pytest.raises(DatasetError, match=r"a/0\.tar\.leaves is not what its shard's report says"):
        run(SRC, DST, OPTIONS)
    assert not {*NAMES, "run.json"} & below(ACCOUNT).keys()


def test_a_run_of_which_nothing_stays_has_no_receipt(store, run, shards):
    plant({"b/2.tar": shards["b/2.tar"]})
    assert run(SRC, DST, OPTIONS).target is None
    assert "run.json" in below(ACCOUNT)
    assert not set(NAMES) & below(ACCOUNT).keys()


def test_what_lies_beside_and_changes_before_it_is_digested_is_an_error(store, run, tables):
    files = {"part/0.parquet": tables["part/0.parquet"], "weights.bin": b"x" * 99}
    plant(files)

    def change(call, path):
        if call == "get_file" and path.endswith("weights.bin"):
            Flaky.fails = staticmethod(lambda call, path: None)
            plant({"weights.bin": b"y" * 99})

    store.fails = staticmethod(change)
    with pytest.raises(DatasetError, match=r"weights\.bin changed during the run"):
        run(SRC, DST, OPTIONS)
    assert not {*NAMES, "run.json"} & below(ACCOUNT).keys()


@pytest.mark.parametrize("call", ["get_file", "cat_file", "put_file"])
def test_a_call_that_fails_while_the_receipt_is_made_leaves_none(store, run, shards, call):
    plant(shards)
    run(SRC, DST, replace(OPTIONS, share=(1, 1)))
    ends = {"get_file": "model.exe", "cat_file": ".leaves", "put_file": RECEIPT}

    def fail(asked, path):
        if asked == call and path.endswith(ends[call]):
            raise OSError("the store fell over")

    store.fails = staticmethod(fail)
    with pytest.raises(StoreError, match="the store fell over"):
        run(SRC, DST, OPTIONS)
    assert not {RECEIPT, "run.json"} & below(ACCOUNT).keys()
    store.fails = staticmethod(lambda call, path: None)
    run(SRC, DST, OPTIONS)
    assert receipt_of(below(ACCOUNT)).resumed == 4


@pytest.mark.parametrize("dataset", ["shards", "tables"])
def test_a_run_from_a_store_to_a_folder_is_rechecked_as_any(store, run, live, request, tmp_path, dataset):
    plant(request.getfixturevalue(dataset))
    summary = run(SRC, tmp_path / "clean", OPTIONS)
    with live.client() as client:
        found = recheck(tmp_path / "clean", [client])
    assert (found.reserved, found.free) == ([], [])
    assert found.since == summary.as_of_seq


# Receipts read from a store.


@pytest.mark.parametrize("below_bucket", ["clean", "clean.caveat", f"clean.caveat/{RECEIPT}"])
def test_a_receipt_at_a_store_is_read_from_there(store, run, shards, below_bucket):
    plant(shards)
    run(SRC, DST, OPTIONS)
    Flaky.seen.clear()
    with at_hand(Address(f"flaky://b/{below_bucket}"), decisions=True) as path:
        found = find_bundle(path)
        assert found.receipt == below(ACCOUNT)[RECEIPT]
        receipt = open_receipt(found.receipt, []).receipt
        if found.account is not None and path.is_dir():
            assert check_decisions(receipt, found.account).result is Result.OK
            assert not (path / "report.html").exists()
    assert not path.exists()


def test_without_decisions_only_the_receipt_is_fetched(store, run, shards):
    plant(shards)
    run(SRC, DST, OPTIONS)
    Flaky.seen.clear()
    with at_hand(Address(DST)) as path:
        assert {one.name for one in path.iterdir()} == {RECEIPT, "output.sha256"}
    assert Flaky.seen["get_file"] == 2


def test_a_receipt_that_cannot_count_is_refused_by_name(store, run, shards, tmp_path):
    plant(shards)
    run(SRC, DST, OPTIONS)
    for address in ("flaky://b/none", "flaky://b/set", "flaky://b"):
        with pytest.raises(ProofError, match="no receipt at"), at_hand(Address(address)):
            pass
    del store.store[f"{ACCOUNT}/run.json"]
    with pytest.raises(ProofError, match="has not ended"), at_hand(Address(DST)):
        pass
    plant({"large.json": bytes(65 << 20)}, "/b/other")
    with (
        pytest.raises(ProofError, match="larger than 64 MiB"),
        at_hand(Address("flaky://b/other/large.json")),
    ):
        pass
    with at_hand(tmp_path) as path:
        assert path == tmp_path


def test_the_command_shows_and_verifies_what_is_at_a_store(store, run, shards, caveat, kit, tmp_path):
    plant(shards)
    run(SRC, DST, OPTIONS)
    shown = caveat("receipt", "show", DST, "--output", "json")
    assert json.loads(shown.stdout)["input"]["files"] == len(shards)
    key = SIGNER.verifier.text
    told = caveat("receipt", "verify", DST, "--key", key, "--json")
    results = {one["name"]: one["result"] for one in json.loads(told.stdout)["checks"]}
    assert (told.returncode, results["decisions"], results["output"]) == (0, "ok", "not told")
    fetched = kit.plant(tmp_path / "fetched", below("/b/clean"))
    told = caveat("receipt", "verify", DST, "--key", key, "--output", fetched)
    assert (told.returncode, f"{DST}: nothing is wrong with it" in told.stdout) == (0, True)
    next(fetched.rglob("*.tar")).write_bytes(b"another")
    told = caveat("receipt", "verify", DST, "--key", key, "--output", fetched)
    assert (told.returncode, "1 changed (" in told.stdout) == (1, True), told.stdout
    none = caveat("receipt", "verify", SRC)
    assert (none.returncode, "no receipt at" in none.stderr) == (3, True)
