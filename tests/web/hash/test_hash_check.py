"""The picture form of /check with its script: hashed in Chromium, looked up, nothing else sent."""

import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask, render_template_string
from PIL import Image

from ..conftest import ADA, CHROMIUM, SCOPES, STRANGER, reservations
from .serving import Site, opened

pytestmark = pytest.mark.skipif(
    not (find_spec("playwright") and CHROMIUM), reason="`make test-browser` fetches Chromium"
)
WORKS = sorted(ADA.glob("*.jpg"))
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Check</title>
{% from "forms.html" import picture_form %}<main>{{ picture_form({}, None, 20) }}</main>
<script type="module" src="/static/hash-check.js"></script></html>"""


@pytest.fixture
def site(threaded: Callable[..., str], database_url: str, make_key: Any, app: Flask) -> Iterator[Site]:
    """The form of the real page, and behind it a registry with Ada's works."""
    with opened([]) as site, app.test_request_context("/check"):
        site.registry = threaded(database_url)
        headers = make_key(SCOPES, 1).headers
        for body in reservations():
            answer = requests.post(
                f"{site.registry}/api/v1/reservations", json=body, headers=headers, timeout=20
            )
            answer.raise_for_status()
        site.pages["/check"] = render_template_string(_PAGE).encode()
        yield site


@pytest.fixture
def page(chromium: Any, site: Site) -> Iterator[Any]:
    page = chromium.new_page()
    page.goto(f"{site.address}/check")
    yield page
    page.close()


def check(page: Any, files: list[Path]) -> tuple[str, list[str]]:
    """Return what is said of all, and of each."""
    page.set_input_files("#picture", files)
    page.click("#check-here")
    page.wait_for_selector("#check-here:not([disabled])")
    return page.inner_text("#check-here-status"), page.locator("#check-here-answers li").all_inner_texts()


def test_works_and_strangers_are_told_apart_and_no_picture_is_sent(page: Any, site: Site) -> None:
    status, answers = check(page, [*WORKS, STRANGER])
    assert f"Reserved: {len(WORKS)} · Unknown: 1." in status
    assert "0 bytes of pictures were sent" in status
    for path, answer in zip([*WORKS, STRANGER], answers, strict=True):
        assert answer.startswith("Unknown" if path == STRANGER else "Reserved")
        assert path.name in answer
    [(path, size)] = [(path, size) for method, path, size in site.asked if method == "POST"]
    assert path == "/api/v1/lookup"
    assert f"and {size:,} bytes of fingerprints" in status
    assert size < 700 * len(answers)


def test_a_copy_is_known_and_a_broken_file_is_not_unknown(page: Any, tmp_path: Path) -> None:
    with Image.open(WORKS[0]) as image:
        image.resize((400, 480)).save(tmp_path / "copy.webp", quality=70)
    Image.new("RGB", (300, 300), "navy").save(tmp_path / "plain.png")
    (tmp_path / "broken.jpg").write_bytes(WORKS[0].read_bytes()[:9000])
    (tmp_path / "=1+1.svg").write_bytes(b"<svg/>")
    files = [tmp_path / name for name in ("copy.webp", "plain.png", "broken.jpg", "=1+1.svg")]
    status, answers = check(page, files)
    assert [re.split(" – ", one)[0] for one in answers] == [
        "Reserved",
        "Not compared",
        "No answer",
        "No answer",
    ]
    assert "cut off" in answers[2]
    assert "SVG" in answers[3]
    assert "Unknown:" not in status
    with page.expect_download() as download:
        page.click("text=Download the whole list")
    rows = download.value.path().read_text("utf-8").splitlines()
    assert rows[0] == "file,answer,reason"
    assert [row.split(",")[1] for row in rows[1:]] == ['"reserved"', '"not_compared"', '"error"', '"error"']
    assert rows[4].startswith('"\'=1+1.svg"')


def test_a_registry_that_does_not_answer_leaves_nothing_unknown(page: Any, site: Site) -> None:
    site.registry += "/nowhere"
    status, [answer] = check(page, [STRANGER])
    assert answer.startswith("No answer")
    assert "did not answer" in answer
    assert "Unknown:" not in status


def test_the_use_that_is_chosen_counts(page: Any) -> None:
    page.select_option("#picture-use", "search")
    _, [answer] = check(page, [WORKS[0]])
    assert answer.startswith("Unknown")
