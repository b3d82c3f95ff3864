"""The pages as people meet them: light or dark, on a phone, with the keyboard alone, without scripts."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..conftest import ADA, STRANGER, Datasets
from ..test_check import damage
from .conftest import Visit

SUNFLOWER = ADA / "sunflower.jpg"
PAGES = [
    "/",
    "/check",
    "/check?q=ada.example",
    "/check?q=https%3A%2F%2Fada.example%2Fa.jpg&use=train",
    "/check?q=https%3A%2F%2Fnobody.example%2F",
]
WRONG = {"/check?q=ftp%3A%2F%2Fx": 422, "/nowhere": 404}


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_usable_by_everybody(visit: Callable[..., Visit], scheme: str, width: int) -> None:
    seen = visit(width, scheme)
    for path in PAGES:
        page = seen.go(path)
        assert seen.violations() == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    for picture in (SUNFLOWER, STRANGER):
        seen.go("/check")
        seen.send(picture)
        assert seen.violations() == []
    assert seen.complaints == []
    assert {one.removeprefix(seen.site)[:1] for one in seen.asked} == {"/"}
    for path, status in WRONG.items():
        seen.go(path)
        assert seen.violations() == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        # The browser itself notes the status.
        assert all(f"status of {status}" in one for one in seen.complaints), path
        seen.complaints.clear()


def test_the_reader_chooses_light_or_dark(visit: Callable[..., Visit]) -> None:
    grounds = {
        scheme: visit(scheme=scheme).go("/").evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    }
    assert grounds["light"] != grounds["dark"]


@pytest.mark.parametrize("script", [True, False], ids=["with scripts", "without scripts"])
class TestChecking:
    """Everything works alike where scripts are off: there are none."""

    def test_by_address_and_by_domain(self, visit: Callable[..., Visit], script: bool) -> None:
        seen = visit(script=script)
        page = seen.go("/")
        page.fill("#q", "https://ada.example/a.jpg")
        page.click("button:text-is('Check')")
        page.wait_for_selector("#verdict")
        assert seen.text("#verdict") == "Reserved"
        assert "for this very address" in seen.text()
        page.fill("#q", "ada.example")
        page.click("button:text-is('Check')")
        page.wait_for_selector("#verdict:text-is('Under conditions')")
        assert "30 addresses under this domain, of 31 in the dataset" in seen.text()
        assert page.locator(".dataset li").count() == 10
        page.click("text=/check?q=ada.example")
        assert seen.text("#verdict") == "Under conditions"

    def test_a_use_is_chosen(self, visit: Callable[..., Visit], script: bool) -> None:
        seen = visit(script=script)
        page = seen.go("/check")
        page.fill("#q", "https://ada.example/a.jpg")
        page.select_option("#use", "search")
        page.click("button:text-is('Check')")
        page.wait_for_selector("#verdict")
        assert seen.text("#verdict") == "Unknown"
        assert "No record is not consent" in seen.text()
        assert page.input_value("#use") == "search"

    def test_by_picture(self, visit: Callable[..., Visit], script: bool) -> None:
        seen = visit(script=script)
        seen.go("/check")
        assert "The picture is sent to this server" in seen.text()
        seen.send(SUNFLOWER)
        assert seen.text("#verdict") == "Reserved"
        assert "10_cosy/img_001.jpg – a copy beyond reasonable doubt" in seen.text()
        assert seen.page.url == f"{seen.site}/check"
        seen.send(STRANGER)
        assert seen.text("#verdict") == "Unknown"
        assert "Not found among 17 pictures" in seen.text()

    def test_what_is_wrong_stands_at_its_field(
        self, visit: Callable[..., Visit], script: bool, tmp_path: Path
    ) -> None:
        seen = visit(script=script)
        page = seen.go("/check")
        page.fill("#q", "ftp://ada.example/")
        page.click("button:text-is('Check')")
        page.wait_for_selector("#q-wrong")
        assert page.get_attribute("#q", "aria-describedby") == "q-wrong q-help"
        assert page.input_value("#q") == "ftp://ada.example/"
        (tmp_path / "broken.jpg").write_bytes(b"no picture")
        page.set_input_files("#picture", tmp_path / "broken.jpg")
        page.click("text=Send and check")
        page.wait_for_selector("#picture-wrong")
        assert "ot a picture" in seen.text("#picture-wrong")


def focused(page: Any) -> str:
    return str(page.evaluate("(document.activeElement.id || document.activeElement.textContent.trim())"))


def test_with_the_keyboard_alone(visit: Callable[..., Visit]) -> None:
    seen = visit()
    page = seen.go("/")
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    page.keyboard.press("Enter")
    reached = []
    for _ in range(3):
        page.keyboard.press("Tab")
        reached.append(focused(page))
        style, width = page.evaluate(
            "(s => [s.outlineStyle, parseFloat(s.outlineWidth)])(getComputedStyle(document.activeElement))"
        )
        assert (style, width >= 2) == ("solid", True)
    assert reached == ["q", "use", "Check"]
    page.focus("#q")
    page.keyboard.type("ada.example")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#verdict")
    assert page.url.endswith("q=ada.example&use=train")


def test_a_damaged_index_is_named_on_the_page(
    visit: Callable[..., Visit], threaded: Any, database_url: str, datasets: Datasets, tmp_path: Path
) -> None:
    folder = tmp_path / "broken.caveat-index"
    shutil.copytree(datasets.addresses, folder)
    damage(folder, "a bit")
    at = threaded(database_url, CAVEAT_DATASET_INDEXES=str(folder))
    seen = visit(at=at)
    seen.go("/check?q=ada.example")
    assert "No answer. The index of the dataset broken is missing" in seen.text(".dataset")
    assert "Not found" not in seen.text()
    assert seen.violations() == []


def test_a_page_weighs_little(visit: Callable[..., Visit]) -> None:
    for path in PAGES:
        seen = visit()
        weights: list[int] = []
        seen.page.on("response", lambda one, kept=weights: kept.append(len(one.body())))
        seen.go(path)
        seen.page.wait_for_load_state("networkidle")
        assert 2 <= len(weights) <= 5
        assert sum(weights) <= 100_000
