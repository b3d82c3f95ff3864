"""The real command with a folder of index files: one process builds, the workers share, nothing is lost."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from api.commands.db import db
from registry.builder import LEAST
from registry.errors import SettingsError
from registry.index_folder import IndexFolder
from registry.preference import Preference, Use
from registry.registrar import Draft, Registrar, WorkDraft
from registry.store import Store, events, reservations

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="/proc tells who is whose child, and what is mapped"
)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the served index lies; with PostgreSQL there is none unless it is named."""
    path = tmp_path / "shared-index"
    monkeypatch.setenv("CAVEAT_INDEX", str(path))
    return path


@pytest.fixture
def fill(store: Store, make_key: Callable[..., Any]) -> Callable[[int], list[str]]:
    """Register as many works as make a segment, in two events; returns some of their files."""

    def make(seed: int) -> list[str]:
        first, *others = (bytes([seed]) * 4 + os.urandom(28) for _ in range(LEAST))
        caller = make_key(("register",)).caller
        draft = Draft({Use.GENAI_TRAIN: Preference.RESERVED}, [WorkDraft(sha256=first)])
        id_ = Registrar(store, lambda: datetime.now(UTC)).register(caller, draft).id
        empty = {"reservation_id": id_, "title": "", "url": None, "url_key": None, "packed": None}
        with store.write() as tx:
            reservations.insert_works(tx, [{**empty, "sha256": value} for value in others])
            events.append(tx, op="works", record=id_, at=0, salt=b"", leaf=os.urandom(32))
        return [value.hex() for value in (first, others[0], others[-1])]

    return make


def asked(server: Any, files: list[str], headers: dict[str, str]) -> list[str | None]:
    """What the registry says of files, by whichever worker takes the request."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
    try:
        items = [{"id": str(n), "sha256": value} for n, value in enumerate(files)]
        body = json.dumps({"items": items})
        connection.request("POST", "/api/v1/lookup", body, {**headers, "Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read())
        assert response.status == 200, answer
        return [one["preference"] for one in answer["results"]]
    finally:
        connection.close()


def children(pid: int) -> dict[int, str]:
    """The command lines of a process's children; empty for one that has ended and was not waited for."""
    found = {}
    lists = (task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/children"))
    for child in " ".join(lists).split():
        try:
            found[int(child)] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except FileNotFoundError:
            continue
    return found


def builders(pid: int) -> list[int]:
    return [child for child, command in children(pid).items() if "build-index" in command]


def workers(pid: int) -> list[int]:
    return [child for child, command in children(pid).items() if command and "--follow" not in command]


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended may wait for its parent to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def mapped(pid: int, name: str) -> bool:
    return name in Path(f"/proc/{pid}/maps").read_text()


def log_of(server: Any, tmp_path: Path) -> str:
    return (tmp_path / f"serve-{server.port}.log").read_text()


def until(seen: Callable[[], Any], seconds: float = 20) -> Any:
    end = time.monotonic() + seconds
    while True:
        if value := seen():
            return value
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def test_one_process_builds_and_every_worker_takes_over_and_answers_without_it(
    served: Callable[..., Any],
    make_key: Callable[..., Any],
    fill: Callable[[int], list[str]],
    store: Store,
    index: Path,
) -> None:
    server, headers = served(workers=2), make_key(("lookup",)).headers
    until(lambda: len(workers(server.pid)) == 2)
    (builder,) = builders(server.pid)
    both = workers(server.pid)
    nothing = ["ab" * 32]
    assert asked(server, nothing, headers) == ["unknown"]

    files = fill(1)
    assert asked(server, files, headers) == ["reserved"] * len(files)
    folder = IndexFolder(index)
    (part,) = until(folder.parts)
    assert (part.after, part.upto, part.size) == (0, 2, LEAST)

    def all_have_it() -> bool:
        assert asked(server, files + nothing, headers) == [*["reserved"] * len(files), "unknown"]
        return all(mapped(pid, part.file) for pid in both)

    until(all_have_it)
    assert not mapped(builder, part.file)

    os.kill(builder, signal.SIGKILL)
    until(lambda: builder not in builders(server.pid))
    draft = Draft({Use.GENAI_TRAIN: Preference.RESERVED}, [WorkDraft(sha256=b"n" * 32)])
    Registrar(store, lambda: datetime.now(UTC)).register(make_key(("register",)).caller, draft)
    files.append((b"n" * 32).hex())
    for _ in range(6):
        assert asked(server, files + nothing, headers) == [*["reserved"] * len(files), "unknown"]
    assert workers(server.pid) == both


def test_a_builder_that_fell_is_started_again_or_at_least_the_log_names_it(
    served: Callable[..., Any], index: Path, tmp_path: Path
) -> None:
    """Else the index grows in every worker's memory, and nobody knows why."""
    server = served(workers=1)
    (builder,) = builders(server.pid)
    os.kill(builder, signal.SIGKILL)
    until(lambda: builder not in builders(server.pid))
    until(lambda: builders(server.pid) or str(builder) in log_of(server, tmp_path), 8)


def command(server_or_database: list[str], *more: str) -> list[str]:
    return [sys.executable, "-m", "api.commands", "db", "build-index", *server_or_database, *more]


@pytest.fixture
def database(database_url: str, tmp_path: Path) -> list[str]:
    return (
        ["--database", database_url] if database_url.startswith("postgresql") else ["--data", str(tmp_path)]
    )


class TestBuildIndex:
    def test_once_it_builds_whatever_there_is(
        self, store: Store, make_key: Callable[..., Any], database: list[str], index: Path
    ) -> None:
        registrar = Registrar(store, lambda: datetime.now(UTC))
        draft = Draft({Use.GENAI_TRAIN: Preference.RESERVED}, [WorkDraft(sha256=b"a" * 32)])
        registrar.register(make_key(("register",)).caller, draft)
        built = subprocess.run(command(database), capture_output=True, text=True, check=False, timeout=60)
        assert built.returncode == 0, built.stderr
        assert built.stdout == "built events-0-1.caveat: 1 keys and hashes, events 1 to 1\n"
        assert len(IndexFolder(index).parts()) == 1

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
    def test_following_it_stops_when_it_is_told_to(
        self, store: Store, database: list[str], index: Path, number: signal.Signals
    ) -> None:
        """A supervisor's stop is no failure: nothing is to be reported, and nothing restarted."""
        index.mkdir()
        (index / "current.json").write_text("no list")
        with subprocess.Popen(command(database, "--follow"), stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            # It has looked once, and waits for the next time.
            assert b"refused" in process.stderr.readline()
            time.sleep(0.1)
            process.send_signal(number)
            try:
                assert process.wait(30) == 0
            finally:
                process.kill()  # or it would be waited for without an end
            assert process.stderr.read() == b""

    def test_without_a_folder_it_says_which_setting_names_one(self, database_url: str) -> None:
        with pytest.raises(SettingsError) as caught:
            db.main(["build-index", "--database", database_url], standalone_mode=False)
        assert "CAVEAT_INDEX" in caught.value.hint


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[Path, str], None]]:
    made: list[Path] = []

    def do(path: Path, options: str) -> None:
        path.mkdir()
        arguments = ["mount", "-t", "tmpfs", "-o", options, "caveat-test", str(path)]
        try:
            subprocess.run(arguments, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no disk can be mounted here (root is needed): {error}")
        made.append(path)

    yield do
    for path in made:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def test_where_the_disk_is_full_the_service_answers_and_the_log_says_so(
    served: Callable[..., Any],
    make_key: Callable[..., Any],
    fill: Callable[[int], list[str]],
    index: Path,
    mount: Callable[[Path, str], None],
    tmp_path: Path,
) -> None:
    mount(index, "size=64k")
    files = fill(3)
    server, headers = served(workers=2), make_key(("lookup",)).headers
    (builder,) = builders(server.pid)
    until(lambda: "index not built: no space" in log_of(server, tmp_path), 30)
    for _ in range(6):
        assert asked(server, [*files, "ab" * 32], headers) == [*["reserved"] * len(files), "unknown"]
    assert builders(server.pid) == [builder]
    assert IndexFolder(index).parts() == []
    assert "Traceback" not in log_of(server, tmp_path)

    # It ends with the service, which gives its workers 30 s.
    os.kill(server.pid, signal.SIGINT)
    until(lambda: not alive(builder), 45)


@pytest.mark.parametrize("way", ["read-only", "a file"])
def test_where_nothing_can_be_written_the_builder_says_so_and_tries_again(
    fill: Callable[[int], list[str]],
    database: list[str],
    index: Path,
    mount: Callable[[Path, str], None],
    way: str,
) -> None:
    if way == "read-only":
        mount(index, "ro")
    else:
        index.write_bytes(b"x")
    fill(4)
    with subprocess.Popen(command(database, "--follow"), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            told = [process.stderr.readline() for _ in range(1 if way == "read-only" else 2)]
            assert "index not built" in told[-1], [*told, process.stderr.read()]
            time.sleep(0.2)
            assert process.poll() is None
        finally:
            process.kill()
