"""A registry with Ada's works in it, and two datasets with copies of them, as the pages show them."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from registry.client import index_dataset
from registry.client.lodging import work_of
from registry.client.pictures import hash_files
from registry.demo.training_set import PICTURES, make_training_set

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
"""Beside headless and an empty profile, which Playwright sees to."""

ADA, STRANGER = PICTURES / "ada", PICTURES / "ben/elephant.jpg"
SCOPES = ("register", "lookup", "domain:ada.example")


@dataclass(frozen=True)
class Datasets:
    """Indexes: of pictures, of addresses."""

    pictures: Path
    addresses: Path

    @property
    def all(self) -> tuple[Path, ...]:
        return self.pictures, self.addresses

    @property
    def setting(self) -> str:
        return os.pathsep.join(map(str, self.all))


@pytest.fixture(scope="session")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Datasets:
    folder = tmp_path_factory.mktemp("datasets")
    make_training_set(folder / "cosy-cats")
    rows = [f"https://img{n % 2}.ada.example/works/{n}.jpg,Painting {n}\n" for n in range(30)]
    rows += ["https://other.example/<b>bold.jpg,x\n"]
    (folder / "urls.csv").write_text("url,text\n" + "".join(rows), encoding="utf-8")
    made = [index_dataset(folder / name, workers=1).folder for name in ("cosy-cats", "urls.csv")]
    return Datasets(*made)


@pytest.fixture
def app(make_app: Callable[..., Flask], datasets: Datasets) -> Flask:
    return make_app(dataset_indexes=datasets.all)


def reservations() -> list[dict[str, Any]]:
    """Bodies of what Ada lodges: her works, a domain and a folder under conditions."""
    works = [work_of(one) for one in hash_files(sorted(ADA.glob("*.jpg")), registered=True)]
    works.append({"url": "https://ada.example/a.jpg"})
    return [
        {
            "preferences": {"train": "reserved", "genai-train": "reserved"},
            "label": "Ada Secret",
            "works": works,
        },
        {
            "preferences": {"genai-train": "conditional"},
            "terms": "https://ada.example/terms",
            "rules": [{"kind": "domain", "value": "ada.example"}],
        },
    ]


@pytest.fixture
def ada(client: Any, make_key: Callable[..., Any]) -> Any:
    """The key of Ada, whose works are lodged."""
    key = make_key(SCOPES, 1)
    for body in reservations():
        answer = client.post("/api/v1/reservations", json=body, headers=key.headers)
        assert answer.status_code == 201, answer.text
    return key


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """One browser for all packages of tests: a process can drive one only."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield browser
        browser.close()
