"""Real services: a mirror follows and answers; a backup is put back, and what it lacks is fetched."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from registry.log_folder import LogFolder
from registry.store import Store

WITHIN = 45
"""Seconds in which what one process does must show in another."""


def until(happens: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + WITHIN
    while time.monotonic() < end:
        if result := happens():
            return result
        time.sleep(0.1)
    pytest.fail(f"{what}: not within {WITHIN} s")


def command(*words: str, code: int = 0, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "api.commands", *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def lodge(url: str, headers: dict[str, str], name: str) -> dict[str, Any]:
    body = {"preferences": {"train": "reserved"}, "works": [{"url": f"https://ada.test/{name}"}]}
    answer = requests.post(f"{url}/api/v1/reservations", json=body, headers=headers, timeout=30)
    assert answer.status_code == 201
    return answer.json()


def ask(url: str, name: str) -> tuple[int, str | None, int]:
    body = {"use": "train", "items": [{"id": "1", "url": f"https://ada.test/{name}"}]}
    answer = requests.post(f"{url}/api/v1/lookup", json=body, timeout=30)
    if answer.status_code != 200:
        return answer.status_code, None, 0
    wire = answer.json()
    return 200, wire["results"][0]["preference"], wire["as_of_seq"]


@pytest.fixture
def upstream(served: Callable[..., Any], tmp_path: Path) -> Any:
    return served(2, None, CAVEAT_LOG=str(tmp_path / "log"), CAVEAT_LOG_ORIGIN="log.example")


@pytest.fixture
def keys(make_key: Callable[..., Any], store: Store) -> tuple[dict[str, str], str]:
    made = make_key(("register",)).headers, make_key(("mirror",)).secret
    store.close()  # a database is restored when nobody is connected to it
    return made


def test_a_mirror_follows_answers_and_falls_silent_when_it_lags(upstream, served, keys, tmp_path):
    writes, follows = keys
    first = lodge(upstream.url, writes, "one")
    mirror = served(
        2,
        tmp_path / "mirror",
        "--mirror",
        upstream.url,
        CAVEAT_MIRROR_KEY=follows,
        CAVEAT_MIRROR_MAX_LAG="12",
    )
    until(lambda: ask(mirror.url, "one")[1] == "reserved", "the mirror has it")
    assert ask(mirror.url, "two")[1] == "unknown"
    second = lodge(upstream.url, writes, "two")
    until(lambda: ask(mirror.url, "two")[1] == "reserved", "the mirror follows")
    assert ask(mirror.url, "two")[2] == second["seq"] == first["seq"] + 1
    assert requests.get(f"{mirror.url}/checkpoint", timeout=30).text.startswith("log.example\n2\n")
    refused = requests.post(
        f"{mirror.url}/api/v1/reservations",
        json={"preferences": {"train": "reserved"}, "works": [{"url": "https://ada.test/x"}]},
        headers=writes,
        timeout=30,
    )
    assert refused.status_code in (401, 403)  # it knows no keys but its own
    os.kill(upstream.pid, signal.SIGSTOP)
    os.killpg(upstream.pid, signal.SIGSTOP)
    try:
        until(lambda: ask(mirror.url, "one")[0] == 503, "a mirror that lags answers nothing")
        assert requests.get(f"{mirror.url}/readyz", timeout=30).status_code == 503
        assert requests.get(f"{mirror.url}/livez", timeout=30).status_code == 200
    finally:
        os.killpg(upstream.pid, signal.SIGCONT)
    until(lambda: ask(mirror.url, "one")[1] == "reserved", "it answers again")


def test_a_mirrors_database_is_served_as_nothing_else(upstream, served, keys, tmp_path):
    writes, follows = keys
    lodge(upstream.url, writes, "one")
    served(1, tmp_path / "mirror", "--mirror", upstream.url, CAVEAT_MIRROR_KEY=follows)
    told = command("serve", "--data", str(tmp_path / "mirror"), code=3)
    assert f"this database mirrors {upstream.url}" in told
    for act in (("publish",), ("key", "rotate")):
        told = command("log", *act, "--data", str(tmp_path / "mirror"), code=3)
        assert f"this is a mirror of {upstream.url}" in told


def test_an_older_copy_is_refused_and_made_whole_from_a_mirror(
    upstream, served, keys, tmp_path, database_url
):
    writes, follows = keys
    log = {"CAVEAT_LOG": str(tmp_path / "log")}
    where = ("--database", database_url)
    lodge(upstream.url, writes, "before")
    told = command("db", "backup", *where, str(tmp_path / "backup"), **log)
    assert "at event 1" in told
    after = lodge(upstream.url, writes, "after")
    mirror = served(1, tmp_path / "mirror", "--mirror", upstream.url, CAVEAT_MIRROR_KEY=follows)
    until(lambda: ask(mirror.url, "after")[1] == "reserved", "the mirror has it")
    os.killpg(upstream.pid, signal.SIGTERM)
    until(lambda: not is_up(upstream.url), "the upstream has ended")
    told = command("db", "restore", *where, str(tmp_path / "backup"), code=3, **log)
    assert "the database is at event 1" in told
    assert f"Missing are 1 acknowledged events after 1: 2 (register {after['id']})" in told
    refused = command("serve", *where, code=3, **log)
    assert "--from-mirror" in refused
    assert "--accept-older" in refused
    # A mirror knows no keys but its own.
    made = ("--data", str(tmp_path / "mirror"), "--name", "restore", "--scope", "mirror", "--json")
    own = json.loads(command("api-keys", "create", *made))["key"]
    told = command("db", "restore", *where, "--from-mirror", mirror.url, "--mirror-key", own, **log)
    assert "replayed up to event 2" in told
    assert "nothing that was signed is missing" in told
    again = served(2, None, **log)
    assert ask(again.url, "after") == (200, "reserved", 2)
    assert "sound: 2 events" in command("log", "fsck", *where, **log)
    assert lodge(again.url, writes, "later")["seq"] == 3


def test_an_older_copy_is_accepted_with_a_new_log(upstream, served, keys, tmp_path, database_url):
    writes, _ = keys
    log = {"CAVEAT_LOG": str(tmp_path / "log")}
    where = ("--database", database_url)
    lodge(upstream.url, writes, "before")
    command("db", "backup", *where, str(tmp_path / "backup"), **log)
    lodge(upstream.url, writes, "after")
    folder = LogFolder(tmp_path / "log")
    until(lambda: "\n2\n" in (folder.checkpoint() or ""), "the second event is signed")
    os.killpg(upstream.pid, signal.SIGTERM)
    until(lambda: not is_up(upstream.url), "the upstream has ended")
    told = command("db", "restore", *where, "--accept-older", str(tmp_path / "backup"), **log)
    assert "given up: 1 acknowledged events after 1" in told
    assert "log.example/after-1+" in told
    assert (tmp_path / "log.abandoned-2/checkpoint").exists()
    again = served(1, None, **log)
    assert ask(again.url, "after") == (200, "unknown", 2)
    until(lambda: "log.example/after-1\n2\n" in (folder.checkpoint() or ""), "the new log is signed")


def is_up(url: str) -> bool:
    try:
        return requests.get(f"{url}/livez", timeout=5).ok
    except requests.ConnectionError:
        return False
