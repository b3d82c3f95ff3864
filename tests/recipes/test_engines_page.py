"""Each recipe of docs/how-to/engines.md, as it stands there, in the real engine: all leave the same rows."""

import os
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from registry.client import RegistryClient, Snapshot
from registry.log_folder import LogFolder
from registry.note import Signer
from registry.preference import Preference, Use
from registry.publisher import Publisher
from registry.registrar import Draft, Registrar, WorkDraft
from registry.snapshot_builder import SnapshotBuilder
from registry.snapshot_folder import SnapshotFolder
from registry.urls import canonicalize_url, url_rule

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "engines.md"
BLOCKS = {
    title: re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    for title, text in re.findall(r"^#+ ([^\n]+)\n(.*?)(?=^##? |\Z)", PAGE.read_text("utf-8"), re.M | re.S)
}
BEGIN, *TITLES = BLOCKS

# URL → whether it stays.
ROWS = {
    "https://free.example/1.jpg": True,
    "https://a.example/work.jpg": False,
    "http://WWW.a.example:80/work.jpg?utm_source=x#top": False,
    "https://a.example/other.jpg": True,
    "https://b.example/folder/x/1.jpg": False,
    "https://b.example/1.jpg": True,
    "https://img.c.example/1.jpg": False,
    "https://c.example/1.jpg": True,
    "https://deep.d.example/x.jpg": False,
    "https://notd.example/x.jpg": True,
    "https://e.example/search-only.jpg": True,
    "https://é.example/1.jpg": True,
    "not an address": False,
    "": False,
}
WRITTEN = {
    "Spark": "urls-clean-spark",
    "Ray Data": "urls-clean-ray",
    "Daft": "urls-clean-daft",
    "Hugging Face datasets": "urls-clean-hf.parquet",
    "DuckDB": "urls-clean-duckdb.parquet",
    "DuckDB, with the tables of a snapshot": "urls-clean-joined.parquet",
}


@pytest.fixture
def world(store, make_key, threaded, tmp_path, monkeypatch):
    """A registry with works and rules, its snapshot, and two files of rows of addresses."""
    registrar = Registrar(store, lambda: datetime.now(UTC))
    key = make_key(("register", "lookup", "domain:*"), 1)
    lodge(registrar, key.caller)
    snapshot(store, tmp_path)
    (tmp_path / "urls").mkdir()
    urls = [*ROWS, None]
    for number, part in enumerate([urls[:6], urls[6:]]):
        table = pa.table({"url": part, "text": [f"{number}-{at}" for at in range(len(part))]})
        pq.write_table(table, tmp_path / "urls" / f"{number}.parquet")
    monkeypatch.chdir(tmp_path)
    # Where a process has a Ray of its own, Daft would run on it.
    monkeypatch.setenv("DAFT_RUNNER", "native")
    return {"url": threaded(str(tmp_path)), "key": key.secret}


def lodge(registrar, caller):
    reserved = {Use.GENAI_TRAIN: Preference.RESERVED}
    work = WorkDraft(url=canonicalize_url("https://a.example/work.jpg"))
    rules = [
        url_rule("prefix", "https://b.example/folder/"),
        url_rule("host", "img.c.example"),
        url_rule("domain", "d.example"),
    ]
    registrar.register(caller, Draft(reserved, [work], rules))
    searched = WorkDraft(url=canonicalize_url("https://e.example/search-only.jpg"))
    registrar.register(caller, Draft({Use.SEARCH: Preference.RESERVED}, [searched], []))


def snapshot(store, folder):
    log = LogFolder(folder / "log")
    log.write_signer(Signer.new("log.example"))
    Publisher(store, log, log.signers()[0]).publish()
    built = SnapshotBuilder(store, log, SnapshotFolder(folder / "snapshots")).build(int(time.time()), 99)
    (folder / "snapshots" / str(built.manifest.seq)).rename(folder / "caveat-snapshot")
    (folder / "caveat-snapshot" / "log.key").write_text(log.signers()[0].verifier.text)


@pytest.fixture(scope="session")
def spark():
    """Spark on this machine, with two workers."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    yield session
    session.stop()


@pytest.fixture
def cluster():
    """Ray on this machine, with two workers, which stand where the test does."""
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield ray
    ray.shutdown()


@pytest.fixture
def run(world, request):
    def run(title, **more):
        names = {**world, "__name__": "example"}
        if title == "Spark":
            names["spark"] = request.getfixturevalue("spark")
        if title == "Ray Data":
            request.getfixturevalue("cluster")  # After the test has changed its folder.
        for block in (*BLOCKS[BEGIN], *BLOCKS[title]):
            if title == "Spark":  # Java stays in the folder in which it began.
                block = block.replace('"urls', f'"{Path.cwd()}/urls')
            exec(compile(block, f"engines.md, {title}", "exec"), names)  # noqa: S102 - our own page
            names |= more
        return pyarrow.dataset.dataset(WRITTEN[title], format="parquet").to_table()

    return run


def test_every_recipe_is_tried():
    assert set(TITLES) == set(WRITTEN)
    assert all(BLOCKS.values())


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("title", WRITTEN)
def test_a_recipe_leaves_what_a_look_up_leaves(run, title):
    left = run(title)
    assert sorted(left["url"].to_pylist()) == sorted(url for url, stays in ROWS.items() if stays)
    assert set(left.column_names) == {"url", "text"}


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("title", [title for title in WRITTEN if "tables" not in title])
def test_with_a_snapshot_nothing_is_sent(run, title):
    left = run(title, registries=[Snapshot.open("caveat-snapshot")], url="", key="")
    assert sorted(left["url"].to_pylist()) == sorted(url for url, stays in ROWS.items() if stays)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("title", [title for title in WRITTEN if "tables" not in title])
def test_a_registry_that_is_away_fails_the_job(run, title):
    away = RegistryClient("http://127.0.0.1:9", retries=0, timeout=2)
    with pytest.raises(Exception, match="cannot be reached"):
        run(title, registries=[away])
