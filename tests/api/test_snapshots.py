"""Snapshots over HTTP: what may be fetched by whom, in parts or whole, and for how long."""

import functools
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient

from api.commands.serve import _keep_snapshots
from api.commands.snapshot import snapshot
from api.settings import Settings
from registry.errors import CaveatError
from registry.log_folder import LogFolder
from registry.note import Signer
from registry.preference import Preference, Use
from registry.publisher import Publisher
from registry.registrar import Draft, Registrar, WorkDraft
from registry.snapshot import TIERS, open_manifest
from registry.snapshot_builder import Built, SnapshotBuilder
from registry.snapshot_folder import MAX_AGE_DAYS, SnapshotFolder
from registry.store import Store
from registry.urls import canonicalize_url

RESERVED = {Use.GENAI_TRAIN: Preference.RESERVED}
DAY = 86_400
HERE = "/api/v1/snapshots"


@pytest.fixture
def log(tmp_path: Path) -> LogFolder:
    folder = LogFolder(tmp_path / "log")
    folder.write_signer(Signer.new("log.example"))
    return folder


@pytest.fixture
def build(store: Store, log: LogFolder, tmp_path: Path, make_key: Callable[..., Any]) -> Callable[..., Built]:
    """Lodge a work, publish, and build a snapshot some days ago."""
    registrar = Registrar(store, lambda: datetime(2026, 11, 21, tzinfo=UTC))
    caller = make_key(("register",)).caller

    def build(days_ago: float = 0, keep: int = 9, *, lodge: bool = True) -> Built:
        if lodge:
            url = canonicalize_url(f"https://a.example/{secrets.token_hex(4)}")
            registrar.register(caller, Draft(RESERVED, [WorkDraft(url=url, sha256=os.urandom(32))]))
        signer = log.signer()
        assert signer is not None
        Publisher(store, log, signer).publish()
        builder = SnapshotBuilder(store, log, SnapshotFolder(tmp_path / "snapshots"))
        return builder.build(int(time.time() - days_ago * DAY), keep)

    return build


@pytest.fixture
def web(make_app: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    client = make_app(snapshots=tmp_path / "snapshots").test_client()
    # Read to the end and closed, as a server does it.
    monkeypatch.setattr(client, "get", functools.partial(client.get, buffered=True))
    return client


def test_without_a_folder_or_a_build_there_is_nothing(client: FlaskClient, web: FlaskClient) -> None:
    for path in ("", "/latest/manifest", "/1/filter/x"):
        assert client.get(HERE + path).status_code == 404
    assert web.get(HERE).json == {"snapshots": []}
    assert web.get(f"{HERE}/latest/manifest").status_code == 404
    assert web.get(f"{HERE}/latest/filter/x").status_code == 404


def test_snapshots_are_listed_and_their_manifests_signed(
    web: FlaskClient, build: Callable[..., Built], log: LogFolder
) -> None:
    old, new = build(2).manifest, build().manifest
    listed = web.get(HERE).json["snapshots"]
    assert [one["seq"] for one in listed] == [new.seq, old.seq] == [2, 1]
    assert listed[0]["log_key"] == log.signers()[0].verifier.text
    assert set(listed[0]["tiers"]) == {*TIERS, "records"}
    assert listed[0]["tiers"]["filter"] == {
        "files": 1,
        "bytes": next(entry.size for entry in new.files if entry.tier == "filter"),
    }
    for name, manifest in (("latest", new), ("2", new), ("1", old)):
        answer = web.get(f"{HERE}/{name}/manifest")
        assert open_manifest(answer.text, log.signers()[0].verifier) == manifest
        assert answer.headers["Cache-Control"] == "no-cache"
        again = web.get(f"{HERE}/{name}/manifest", headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")
    for name in ("3", "01", "-1", "1.0", "..", "%2e%2e", "latest%00"):
        assert web.get(f"{HERE}/{name}/manifest").status_code == 404, name


def test_every_file_is_what_the_manifest_says_to_those_who_may_have_it(
    web: FlaskClient, build: Callable[..., Built], make_key: Callable[..., Any]
) -> None:
    manifest = build().manifest
    may, may_not = make_key(("lookup",)).headers, make_key(("register",)).headers
    for entry in manifest.files:
        path = f"{HERE}/latest/{entry.tier}/{entry.name}"
        answer = web.get(path, headers=may)
        assert answer.status_code == 200
        assert (len(answer.data), hashlib.sha256(answer.data).hexdigest()) == (entry.size, entry.sha256)
        assert answer.headers["ETag"] == f'"{entry.sha256}"'
        assert web.get(path).status_code == (200 if entry.tier == "filter" else 401)
        assert web.get(path, headers=may_not).status_code == (200 if entry.tier == "filter" else 403)
        assert web.get(path, headers={"Authorization": "API x"}).status_code == 401


def test_a_file_comes_in_parts(
    web: FlaskClient, build: Callable[..., Built], make_key: Callable[..., Any]
) -> None:
    manifest, key = build().manifest, make_key(("lookup",)).headers
    entry = next(one for one in manifest.files if one.kind == "records")
    path, tag = f"{HERE}/{manifest.seq}/records/{entry.name}", f'"{entry.sha256}"'
    whole = web.get(path, headers=key).data

    def get(**headers: str) -> Any:
        return web.get(path, headers={**key, **{name.replace("_", "-"): v for name, v in headers.items()}})

    for asked, begin, end in (("bytes=0-9", 0, 10), ("bytes=5-", 5, None), ("bytes=-3", -3, None)):
        part = get(Range=asked)
        assert (part.status_code, part.data) == (206, whole[begin:end])
        assert part.headers["Content-Range"].endswith(f"/{len(whole)}")
    assert get(Range="bytes=5-", If_Range=tag).status_code == 206
    changed = get(Range="bytes=5-", If_Range='"another"')
    assert (changed.status_code, changed.data) == (200, whole)
    assert get(Range=f"bytes={len(whole)}-").status_code == 416
    assert get(If_None_Match=tag).status_code == 304
    assert get(If_None_Match='"another"').status_code == 200


@pytest.mark.parametrize(
    "place",
    [
        "keys/manifest",
        "filter/rules",
        "../1/keys/x",
        "keys/%2e%2e%2fmanifest",
        "filter/..",
        "log/key",
        "keys/",
    ],
)
def test_nothing_but_what_the_manifest_names_is_given(
    web: FlaskClient, build: Callable[..., Built], make_key: Callable[..., Any], place: str
) -> None:
    build()
    assert web.get(f"{HERE}/latest/{place}", headers=make_key(("lookup",)).headers).status_code == 404


def test_an_old_snapshot_is_not_handed_out(
    web: FlaskClient, build: Callable[..., Built], tmp_path: Path
) -> None:
    build(MAX_AGE_DAYS + 1)
    assert web.get(HERE).json == {"snapshots": []}
    assert web.get(f"{HERE}/latest/manifest").status_code == 404
    assert web.get(f"{HERE}/1/manifest").status_code == 404
    build(MAX_AGE_DAYS - 1)
    assert web.get(f"{HERE}/latest/manifest").status_code == 200
    assert build().deleted == (1,)
    assert sorted(path.name for path in (tmp_path / "snapshots").iterdir()) == ["2", "3"]


def test_so_many_are_kept_and_one_without_news_is_dated_anew(
    web: FlaskClient, build: Callable[..., Built], tmp_path: Path
) -> None:
    deleted = [build(5 - number, keep=2).deleted for number in range(4)]
    assert deleted == [(), (), (1,), (2,)]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "snapshots" / "4").rglob("*.*")}
    again = build(keep=2, lodge=False)
    assert again.renewed
    assert again.manifest.seq == 4
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert [one["seq"] for one in web.get(HERE).json["snapshots"]] == [4, 3]
    assert web.get(HERE).json["snapshots"][0]["built_at"] == again.manifest.built_at > time.time() - 60


def test_a_damaged_snapshot_is_built_anew(build: Callable[..., Built], tmp_path: Path) -> None:
    first = build().manifest
    place = first.files[0].path(tmp_path / "snapshots" / "1")
    place.write_bytes(place.read_bytes()[:-1] + b"?")
    again = build(lodge=False)
    assert not again.renewed
    assert again.manifest.files == first.files
    assert hashlib.sha256(place.read_bytes()).hexdigest() == first.files[0].sha256
    assert [path.name for path in (tmp_path / "snapshots").iterdir()] == ["1"]


def test_a_snapshot_whose_files_are_gone_answers_404(
    web: FlaskClient, build: Callable[..., Built], tmp_path: Path
) -> None:
    entry = next(one for one in build().manifest.files if one.tier == "filter")
    shutil.rmtree(tmp_path / "snapshots" / "1" / "filter")
    assert web.get(f"{HERE}/latest/filter/{entry.name}").status_code == 404


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"CAVEAT_LOG": "log"}, "no folder for the snapshots is named"),
        ({"CAVEAT_SNAPSHOTS": "snapshots"}, "no folder for the log is named"),
        ({"CAVEAT_LOG": "log", "CAVEAT_SNAPSHOTS": "snapshots"}, "nothing has been published yet"),
        ({"CAVEAT_SNAPSHOT_KEEP": "0"}, "CAVEAT_SNAPSHOT_KEEP"),
        ({"CAVEAT_SNAPSHOT_HOURS": "1.5"}, "CAVEAT_SNAPSHOT_HOURS"),
    ],
    ids=["snapshots", "log", "unpublished", "keep", "hours"],
)
def test_a_build_without_what_it_needs_says_so(
    store: Store, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(snapshot, ["build", "--database", database_url])
    assert isinstance(done.exception, CaveatError)
    assert told in done.exception.message
    assert not (tmp_path / "snapshots").exists() or not list((tmp_path / "snapshots").iterdir())


class TestFollowing:
    @pytest.fixture
    def builder(self, store: Store, log: LogFolder, tmp_path: Path) -> SnapshotBuilder:
        return SnapshotBuilder(store, log, SnapshotFolder(tmp_path / "snapshots"))

    @pytest.fixture
    def follow(
        self, database_url: str, log: LogFolder, tmp_path: Path
    ) -> Iterator[Callable[..., subprocess.Popen[str]]]:
        """Start the real command; it is told to stop at the end, and does."""
        started: list[subprocess.Popen[str]] = []

        def start(**settings: str) -> subprocess.Popen[str]:
            named = {"CAVEAT_LOG": str(log.path), "CAVEAT_SNAPSHOTS": str(tmp_path / "snapshots")}
            command = [sys.executable, "-m", "api.commands", "snapshot", "build", "--follow"]
            process = subprocess.Popen(
                [*command, "--database", database_url],
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, **named, **settings},
            )
            started.append(process)
            return process

        yield start
        for process in started:
            process.send_signal(signal.SIGTERM)
            with process:
                assert process.wait(timeout=30) == 0

    def test_an_old_one_is_followed_by_the_next_and_the_last_few_are_kept(
        self, build: Callable[..., Built], follow: Callable[..., subprocess.Popen[str]], tmp_path: Path
    ) -> None:
        for days_ago in (3, 2, 1.1):
            build(days_ago)
        build(1.1)
        process = follow(CAVEAT_SNAPSHOT_HOURS="26", CAVEAT_SNAPSHOT_KEEP="2")
        assert process.stderr is not None
        assert process.stderr.readline().startswith("dated anew: snapshot 4, ")
        assert [process.stderr.readline() for _ in "12"] == ["deleted: snapshot 2\n", "deleted: snapshot 1\n"]
        folder = SnapshotFolder(tmp_path / "snapshots")
        assert folder.seqs() == [4, 3]
        assert abs(time.time() - folder.manifest(4).built_at) < 60

    def test_the_first_is_built_at_once(
        self, build: Callable[..., Built], follow: Callable[..., subprocess.Popen[str]], tmp_path: Path
    ) -> None:
        build()
        shutil.rmtree(tmp_path / "snapshots")
        process = follow()
        assert process.stderr is not None
        assert process.stderr.readline().startswith("built: snapshot 1, ")
        assert SnapshotFolder(tmp_path / "snapshots").seqs() == [1]

    def test_what_hinders_it_is_told_and_it_goes_on(
        self, build: Callable[..., Built], follow: Callable[..., subprocess.Popen[str]], tmp_path: Path
    ) -> None:
        build()
        shutil.rmtree(tmp_path / "snapshots")
        (tmp_path / "snapshots").write_text("no folder")
        process = follow()
        assert process.stderr is not None
        told = process.stderr.readline()
        assert told.startswith("snapshot not built: ")
        assert told.endswith("; trying again\n")
        assert process.poll() is None

    @pytest.mark.parametrize(
        ("hours_ago", "due"),
        [(0, False), (23.9, False), (24.1, True), (24 * 400, True), (-1, True), (-24 * 365, True)],
        ids=["new", "not yet", "a day", "too old to be served", "a date to come", "a year to come"],
    )
    def test_it_is_due_by_the_date_of_the_newest_whatever_the_clock_was(
        self,
        build: Callable[..., Built],
        store: Store,
        log: LogFolder,
        tmp_path: Path,
        hours_ago: float,
        due: bool,
    ) -> None:
        build(hours_ago / 24)
        builder = SnapshotBuilder(store, log, SnapshotFolder(tmp_path / "snapshots"))
        assert builder.is_due(int(time.time()), DAY) is due
        builder.build(int(time.time()), 9)
        assert not builder.is_due(int(time.time()), DAY)

    def test_nothing_is_due_before_anything_was_published(self, builder: SnapshotBuilder) -> None:
        assert not builder.is_due(DAY, 1)

    def test_a_service_without_a_log_says_that_it_builds_none(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("CAVEAT_SNAPSHOTS", "snapshots")
        _keep_snapshots(Settings("sqlite:///none", snapshots=Path("snapshots")))
        assert "no snapshots are built here" in capsys.readouterr().err
