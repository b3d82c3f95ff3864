"""The pages in a real browser; nothing is collected until ``make test-browser`` has fetched what it takes."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import requests

from ..conftest import CHROMIUM, SCOPES, Datasets, reservations

AXE = Path(sys.prefix) / "browser/node_modules/axe-core/axe.min.js"

collect_ignore_glob = [] if find_spec("playwright") and AXE.exists() and CHROMIUM else ["*"]


@dataclass
class Visit:
    """A page that is open, and what was seen meanwhile."""

    page: Any
    site: str
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def go(self, path: str) -> Any:
        self.page.goto(self.site + path)
        return self.page

    def violations(self) -> list[str]:
        """What axe has against the page."""
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate("axe.run()")["violations"]
        return [f"{one['id']}: {[node['html'][:120] for node in one['nodes']]}" for one in found]

    def text(self, selector: str = "main") -> str:
        return " ".join(self.page.inner_text(selector).split())

    def send(self, picture: Path) -> None:
        self.page.set_input_files("#picture", picture)
        self.page.click("text=Send and check")
        self.page.wait_for_selector("#verdict")


@pytest.fixture
def site(threaded: Callable[..., str], database_url: str, make_key: Any, datasets: Datasets) -> str:
    """The address of a registry with Ada's works in it, lodged through the API."""
    url = threaded(database_url, CAVEAT_DATASET_INDEXES=datasets.setting)
    headers = make_key(SCOPES, 1).headers
    for body in reservations():
        requests.post(f"{url}/api/v1/reservations", json=body, headers=headers, timeout=20).raise_for_status()
    return url


@pytest.fixture
def visit(chromium: Any, site: str) -> Iterator[Callable[..., Visit]]:
    """Open a browser window of so many pixels, for somebody who likes it light or dark."""
    contexts = []

    def open_(width: int = 1280, scheme: str = "light", *, script: bool = True, at: str = site) -> Visit:
        context = chromium.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, java_script_enabled=script
        )
        contexts.append(context)
        seen = Visit(context.new_page(), at)
        seen.page.on("console", lambda one: seen.complaints.append(one.text))
        seen.page.on("pageerror", lambda one: seen.complaints.append(str(one)))
        seen.page.on("request", lambda one: seen.asked.append(one.url))
        return seen

    yield open_
    for context in contexts:
        context.close()
