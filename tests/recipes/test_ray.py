"""``--engine ray``, on a real Ray of two workers: it leaves what one process leaves, byte for byte."""

import json
import os
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from registry.client import Options, RegistryClient, filter_dataset
from registry.client.countersigning import BUNDLE
from registry.client.engines import _in_full
from registry.client.sharding import ShardSpec
from registry.countersignature import Bundle, open_countersignature
from registry.errors import DatasetError, RegistryUnreachableError
from registry.log_folder import LogFolder
from registry.model_receipt import open_receipt
from registry.note import Signer
from registry.preference import Action, Preference, Use
from registry.publisher import Publisher
from registry.registrar import Draft, Registrar
from registry.urls import url_rule

pytestmark = pytest.mark.filterwarnings("default")
_PLACES = ("target", "account")
RAY, LOCAL = Options(engine="ray", workers=2), Options(workers=1)


@pytest.fixture
def registry(store, make_key, threaded, tmp_path):
    """A registry where a domain is reserved."""
    caller = make_key(("register", "domain:*"), 1).caller
    draft = Draft({Use.GENAI_TRAIN: Preference.RESERVED}, [], [url_rule("domain", "hers.example")])
    Registrar(store, lambda: datetime.now(UTC)).register(caller, draft)
    with RegistryClient(threaded(str(tmp_path)), retries=0) as client:
        yield client


@pytest.fixture
def tables(tmp_path):
    """Five tables of addresses, every third of them reserved."""
    folder = tmp_path / "set"
    folder.mkdir()
    for number in range(5):
        write(folder, number, [""] if number == 3 else [])
    return folder


def write(folder, number, more=()):
    hosts = ["hers.example" if n % 3 == 0 else "free.example" for n in range(30)]
    urls = [f"https://{host}/{number}/{n}.jpg" for n, host in enumerate(hosts)]
    pq.write_table(pa.table({"url": [*urls, *more]}), folder / f"{number}.parquet")


def tree(root):
    """Every file below ``root`` with its bytes; the page for people has the time and the name in it.

    What names the places of the output is the same without them.
    """
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and path.name != "report.html")
    found = {path.relative_to(root).as_posix(): path.read_bytes() for path in files}
    run = json.loads(found.pop("run.json", b"{}"))
    return found | {"run": {name: value for name, value in run.items() if name not in _PLACES}}


@pytest.fixture(scope="module")
def cluster():
    """A Ray that is there already, and whose workers stand in another folder."""
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield ray
    ray.shutdown()


def same(tables, registry, tmp_path):
    here = filter_dataset(tables, tmp_path / "here", [registry], options=LOCAL)
    there = filter_dataset(tables, tmp_path / "there", [registry], options=RAY)
    assert (there.kept, there.counts[Action.REMOVE], there.errors) == (100, 50, 1)
    assert there.counts == here.counts
    assert there.as_of_seq == here.as_of_seq
    assert tree(tmp_path / "there") == tree(tmp_path / "here")
    assert tree(tmp_path / "there.caveat") == tree(tmp_path / "here.caveat")
    assert [v.to_wire() for v in there.notable] == [v.to_wire() for v in here.notable]


def test_a_ray_of_our_own_leaves_what_one_process_leaves(registry, tables, tmp_path):
    same(tables, registry, tmp_path)


class TestOnARayThatIsThere:
    @pytest.fixture(autouse=True)
    def _there(self, cluster):
        assert cluster.is_initialized()

    def test_it_leaves_the_same_from_another_folder(self, registry, tables, tmp_path, monkeypatch, cluster):
        monkeypatch.chdir(tmp_path)
        there = filter_dataset("set", "there", [registry], options=RAY)
        assert there.kept == 100
        same(tables, registry, tmp_path / "more")
        assert cluster.is_initialized()

    def test_its_tasks_are_countersigned_together(self, store, registry, tables, tmp_path, threaded):
        folder, log, maker = LogFolder(tmp_path / "log"), Signer.new("log.example"), Signer.new("maker")
        folder.write_signer(log)
        Registrar(store, lambda: datetime.now(UTC)).announce_key("key", log.verifier.text)
        Publisher(store, folder, log).publish()
        signing = replace(RAY, signer=maker)
        with RegistryClient(threaded(str(tmp_path), CAVEAT_LOG=str(folder.path)), retries=0) as client:
            summary = filter_dataset(tables, tmp_path / "out", [client], options=signing)
        assert summary.countersigned == {client.url: ""}
        bundle = Bundle.from_json((summary.account / BUNDLE).read_bytes())
        signed = open_receipt(bundle.receipt.to_json(), [maker.verifier])
        [envelope] = bundle.countersignatures
        said = open_countersignature(envelope, signed, [log.verifier])
        assert (said.runs, said.requests >= 5) == (5, True)

    def test_a_shard_that_fails_ends_the_run_by_name_and_it_goes_on(self, registry, tables, tmp_path):
        stopping = Options(engine="ray", workers=1, stop_on_error=True)
        with pytest.raises(DatasetError, match="the row has no URL; nothing was written") as caught:
            filter_dataset(tables, tmp_path / "out", [registry], options=stopping)
        assert type(caught.value) is DatasetError
        assert "--on-error set-aside" in caught.value.hint
        assert not (tmp_path / "out").exists()
        write(tables, 3)
        summary = filter_dataset(tables, tmp_path / "out", [registry], options=RAY)
        assert summary.resumed >= 1
        assert (summary.kept, summary.errors) == (100, 0)

    def test_a_registry_that_is_gone_is_told_by_name(self, registry, tables, tmp_path, monkeypatch):
        # It answers here, when the run begins, and is not reached from the workers.
        class Near(RegistryClient):
            def __reduce__(self):
                return _away, ()

        with Near(registry.url, retries=0) as near, pytest.raises(RegistryUnreachableError) as caught:
            filter_dataset(tables, tmp_path / "out", [near], options=RAY)
        assert type(caught.value) is RegistryUnreachableError
        assert "then run the same command again" in caught.value.hint
        summary = filter_dataset(tables, tmp_path / "out", [registry], options=RAY)
        assert (summary.kept, summary.target) == (100, tmp_path / "out")

    def test_a_worker_that_falls_is_told_by_name(self, registry, tables, tmp_path):
        class Falling(RegistryClient):
            def __reduce__(self):
                return os._exit, (9,)

        with Falling(registry.url, retries=0) as falling, pytest.raises(DatasetError, match="a task of Ray"):
            filter_dataset(tables, tmp_path / "out", [falling], options=RAY)
        assert not (tmp_path / "out").exists()


def _away():
    return RegistryClient("http://127.0.0.1:9", retries=0, timeout=2)


def test_places_are_sent_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sent = _in_full(ShardSpec(tmp_path.relative_to(tmp_path), "parquet", "a", None, None))
    assert (sent.source, sent.output) == (tmp_path, None)
