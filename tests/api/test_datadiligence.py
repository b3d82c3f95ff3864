"""The client that people have, unmodified, against our server: our answers come out at its other end.

It reads its key while it is imported and keeps its rules in one global, so it runs in a process of its own.
It is told our address by its class attribute, the one thing that it lets us choose.
"""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from registry.preference import Preference, Use
from registry.registrar import Draft, Registrar, WorkDraft
from registry.store import Store
from registry.urls import canonicalize_url, url_rule

SCRIPT = """
import asyncio, json, sys
import datadiligence as dd
from datadiligence.rules import SpawningAPI

address, source, *names = sys.argv[1:]
SpawningAPI.SPAWNING_AI_API_URL = address
urls = json.load(open(source))
assert dd.get_evaluator("preprocess").rules[0].is_ready()

def ask(name):
    if name.endswith("_async"):
        return asyncio.run(getattr(SpawningAPI(), name)(urls=urls))
    return getattr(dd, name)(urls=urls)

print(json.dumps({name: ask(name) for name in names}))
"""
FUNCTIONS = ("filter_allowed", "filter_allowed_async", "is_allowed", "is_allowed_async")


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(
        address: str, key: str, urls: list[str], names: tuple[str, ...]
    ) -> subprocess.CompletedProcess[str]:
        source = tmp_path / "urls.json"
        source.write_text(json.dumps(urls))
        return subprocess.run(
            [sys.executable, "-c", SCRIPT, address, str(source), *names],
            env={**os.environ, "SPAWNING_OPTS_KEY": key},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def answers(urls: list[str], kept: list[bool], names: tuple[str, ...]) -> dict[str, Any]:
    left = [url for url, keep in zip(urls, kept, strict=True) if keep]
    return {name: left if name.startswith("filter") else kept for name in names}


@pytest.fixture
def registrar(store: Store) -> Registrar:
    return Registrar(store, lambda: datetime.now(UTC))


@pytest.fixture
def here(threaded: Callable[..., str], store: Store, database_url: str) -> str:
    return threaded(database_url)


def test_it_gives_our_answers(
    here: str, registrar: Registrar, make_key: Callable[..., Any], ask: Callable[..., Any]
) -> None:
    caller = make_key(("register", "domain:*"), evidence_level=3).caller
    for said, path in (("reserved", "out"), ("conditional", "terms"), ("allowed", "in")):
        works = [WorkDraft(url=canonicalize_url(f"https://a.test/{path}"))]
        registrar.register(caller, Draft({Use.GENAI_TRAIN: Preference(said)}, works))
    rules = [url_rule("domain", "reserved.test")]
    registrar.register(caller, Draft({Use.GENAI_TRAIN: Preference.RESERVED}, rules=rules))
    kept = {
        "https://a.test/ok": True,
        "https://a.test/out": False,
        "http://WWW.a.test/out?utm_source=x": False,
        "https://a.test/terms": False,
        "https://a.test/in": True,
        "https://img.reserved.test/éxample.png": False,
        "https://a.test/éxample.png": True,
        "no url": False,
        "": True,
    }
    urls = [*kept, "https://a.test/out", "https://a.test/ok"]
    for address in ("/api/v2/query/urls/", "/api/v2/query/urls"):
        done = ask(here + address, make_key().secret, urls, FUNCTIONS)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == answers(urls, [*kept.values(), False, True], FUNCTIONS)


def test_25001_urls_leave_exactly_what_nobody_reserved(
    served: Callable[..., Any], registrar: Registrar, make_key: Callable[..., Any], ask: Callable[..., Any]
) -> None:
    server = served(workers=2)
    urls = [f"https://cdn{n % 97}.a.test/pictures/{n}.jpg?w={n % 5}" for n in range(25_001)]
    reserved = set(random.Random(1).sample(urls, 500)) | {urls[0], urls[9_999], urls[10_000], urls[-1]}
    works = [WorkDraft(url=canonicalize_url(url)) for url in sorted(reserved)]
    registrar.register(make_key().caller, Draft({Use.GENAI_TRAIN: Preference.RESERVED}, works))
    done = ask(f"{server.url}/api/v2/query/urls/", make_key().secret, urls, FUNCTIONS[:2])
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told == answers(urls, [url not in reserved for url in urls], FUNCTIONS[:2])
    assert len(told["filter_allowed"]) == 25_001 - len(reserved)


def test_it_stops_on_our_refusals(here: str, make_key: Callable[..., Any], ask: Callable[..., Any]) -> None:
    """A key that we do not know, and one for other things, must not look like consent."""
    address = f"{here}/api/v2/query/urls/"
    for key in ("TESTKEY123", make_key(("register",)).secret):
        done = ask(address, key, ["https://a.test/1"], FUNCTIONS[:1])
        assert done.returncode != 0
        assert "SpawningAIAPIError" in done.stderr
        assert done.stdout == ""
