"""Lodging in a real browser: forty pictures hashed where they are, and everything that can come between."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from api.commands.serve import threaded_server
from api.settings import settings_from
from registry.demo.training_set import PICTURES
from registry.store import Store

from ..lodgers import SVG, VIDEO, huge_png
from .conftest import Visit

WAIT = 60_000
OUTLINE = """
(e => getComputedStyle(e.classList.contains('hidden') ? e.previousElementSibling : e).outlineStyle)(
  document.activeElement)
"""


@dataclass
class Capture:
    """Every request of a page with what was sent."""

    sent: list[tuple[str, str, bytes]] = field(default_factory=list)

    def watch(self, page: Any) -> None:
        page.on("request", lambda one: self.sent.append((one.method, one.url, one.post_data_buffer or b"")))

    @property
    def batches(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, url, body in self.sent if url.endswith("/register/batch")]


@pytest.fixture(scope="session")
def portfolio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty real pictures, one of them twice, and five files that are none."""
    folder = tmp_path_factory.mktemp("portfolio") / "works"
    (folder / "series").mkdir(parents=True)
    made = 0
    while made < 40:
        for path in sorted(PICTURES.glob("*/*.jpg")):
            if made == 40:
                break
            with Image.open(path) as picture:
                width, height = picture.size
                part = made // 16
                box = (part * width // 6, part * height // 8, width, height)
                picture.crop(box).save(
                    folder / ("series" if made % 2 else "") / f"work-{made:02}.jpg", quality=88
                )
            made += 1
    (folder / "copy.jpg").write_bytes((folder / "work-00.jpg").read_bytes())
    (folder / "cut.jpg").write_bytes((folder / "work-02.jpg").read_bytes()[:2000])
    (folder / "<b>drawing.svg").write_bytes(SVG)
    (folder / "film.mp4").write_bytes(VIDEO)
    (folder / "huge.png").write_bytes(huge_png())
    (folder / "notes.txt").write_text("not a picture")
    return folder


def preference_of(site: str, address: str) -> str:
    body = {"items": [{"id": "1", "url": address}]}
    answer = requests.post(f"{site}/api/v1/lookup", json=body, timeout=20).json()
    return str(answer["results"][0]["preference"])


def test_forty_pictures_are_lodged_where_they_are_then_withdrawn(
    visit: Callable[..., Visit], portfolio: Path
) -> None:
    seen, capture = visit(), Capture()
    capture.watch(seen.page)
    page = seen.go("/register")
    page.set_input_files("#folder", portfolio)
    assert "46 files chosen" in seen.text("[data-chosen]")
    page.fill("#label", "Ada")
    page.click("[data-submit]")
    page.wait_for_selector("#secret", timeout=WAIT)
    assert "Lodged: 40 works" in seen.text("h1")
    assert "Not lodged: 5" in seen.text()
    for name in ("cut.jpg", "<b>drawing.svg", "film.mp4", "huge.png", "notes.txt"):
        assert f"works/{name}: " in seen.text(".failed")
    assert [len(one["works"]) for one in capture.batches] == [25, 15]
    # No byte of a picture left: what was sent has fingerprints of some 400 bytes each, and no file.
    sent = b"".join(body for _, _, body in capture.sent)
    assert len(sent) < 60_000
    for path in portfolio.rglob("*.jpg"):
        assert path.read_bytes()[200:240] not in sent
    assert {url.removeprefix(seen.site)[:1] for _, url, _ in capture.sent} == {"/"}
    code = seen.text("#secret")
    assert len(code.replace("-", "").replace(" ", "")) == 32
    assert page.evaluate("localStorage.getItem('caveat-lodging')") is None
    assert seen.violations() == []
    page.click("text=Add, withdraw, take along")
    assert "Your record of 40 works" in seen.text()
    assert seen.violations() == []
    page.check("#sure-withdraw")
    page.click("button:text-is('Withdraw')")
    assert "This record is withdrawn" in seen.text()
    assert seen.complaints == []


def test_what_the_browser_lodged_is_found_by_the_command_line(
    visit: Callable[..., Visit], portfolio: Path
) -> None:
    from registry.client.pictures import hash_files

    seen = visit()
    page = seen.go("/register")
    page.set_input_files("#local", [portfolio / "work-04.jpg", portfolio / "work-06.jpg"])
    page.click("[data-submit]")
    page.wait_for_selector("#secret", timeout=WAIT)
    [hashed] = hash_files([portfolio / "work-04.jpg"])
    assert hashed.fingerprint is not None
    item = {"id": "1", "fingerprint": hashed.fingerprint.to_wire()}
    answer = requests.post(f"{seen.site}/api/v1/lookup", json={"items": [item]}, timeout=20).json()
    [result] = answer["results"]
    assert (result["preference"], result["matched_by"]) == ("reserved", "pdq")


def test_a_registry_out_of_reach_is_waited_for_and_a_reload_goes_on(
    visit: Callable[..., Visit], portfolio: Path
) -> None:
    seen, capture = visit(), Capture()
    capture.watch(seen.page)
    page = seen.go("/register")
    answers = iter([None, 503, None, "stop"])

    def between(route: Any) -> None:
        what = next(answers, "stop")
        if what == 503:
            route.fulfill(status=503, body="{}")
        elif what == "stop":
            route.abort()
        else:
            route.continue_()

    page.route("**/register/batch", between)
    page.set_input_files("#folder", portfolio)
    page.click("[data-submit]")
    page.wait_for_selector("[data-note]:has-text('cannot be reached')", timeout=WAIT)
    assert "nothing is lost" in seen.text("[data-note]")
    page.wait_for_selector("[data-lodged-count]:not(:text-is('0'))", timeout=WAIT)
    page.unroute("**/register/batch")
    page.on("dialog", lambda dialog: dialog.accept())
    seen.go("/register")
    assert "of an earlier visit are lodged" in seen.text("[data-resume]")
    assert seen.violations() == []
    page.set_input_files("#folder", portfolio)
    page.click("[data-submit]")
    page.wait_for_selector("#secret", timeout=WAIT)
    assert "Lodged: 40 works" in seen.text("h1")
    sent = [work["sha256"] for one in capture.batches for work in one["works"]]
    assert len(set(sent)) == 40


@contextmanager
def served(database: str, port: int) -> Iterator[str]:
    """A registry at a port that it had before."""
    server = threaded_server(settings_from({"CAVEAT_DATABASE": database}), "127.0.0.1", port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        server.app.extensions["caveat"].store.close()


def test_a_registry_that_is_restarted_between_batches_gets_the_rest(
    visit: Callable[..., Visit], portfolio: Path, store: Store, database_url: str
) -> None:
    with served(database_url, 0) as site:
        seen = visit(at=site)
        page = seen.go("/register")
        # The second batch waits until the registry is gone.
        held: list[Any] = []
        before = store.head()

        def hold(one: Any) -> None:
            if held or store.head() == before:
                one.continue_()
            else:
                held.append(one)

        page.route("**/register/batch", hold)
        page.set_input_files("#folder", portfolio)
        page.click("[data-submit]")
        page.wait_for_selector("[data-doing]:has-text('All hashed')", timeout=WAIT)
        page.wait_for_selector("[data-lodged-count]:text-is('25')", timeout=WAIT)
        while not held:
            page.wait_for_timeout(50)
    held[0].continue_()
    page.wait_for_selector("[data-note]:has-text('cannot be reached')", timeout=WAIT)
    with served(database_url, int(site.rpartition(":")[2])):
        page.wait_for_selector("#secret", timeout=WAIT)
        assert "Lodged: 40 works" in seen.text("h1")
    assert store.head() == before + 2


def test_stopped_it_says_how_far_it_came_and_goes_on(visit: Callable[..., Visit], portfolio: Path) -> None:
    seen = visit()
    page = seen.go("/register")
    page.set_input_files("#folder", portfolio)
    page.click("[data-submit]")
    page.wait_for_selector("[data-running]:not([hidden])")
    page.click("[data-stop]")
    page.wait_for_selector("[data-note]:has-text('Stopped.')", timeout=WAIT)
    page.click("[data-submit]")
    page.wait_for_selector("#secret", timeout=WAIT)
    assert "Lodged: 40 works" in seen.text("h1")


def test_files_none_of_which_is_a_picture_lodge_nothing(visit: Callable[..., Visit], portfolio: Path) -> None:
    seen, capture = visit(), Capture()
    capture.watch(seen.page)
    page = seen.go("/register")
    page.set_input_files("#local", [portfolio / "film.mp4", portfolio / "notes.txt"])
    page.click("[data-submit]")
    page.wait_for_selector("[data-note]:has-text('nothing was lodged')", timeout=WAIT)
    assert page.locator("[data-failed] li").count() == 2
    assert capture.batches == []
    assert seen.violations() == []
    assert seen.complaints == []


def test_without_scripts_this_server_hashes(visit: Callable[..., Visit], portfolio: Path) -> None:
    seen = visit(script=False)
    page = seen.go("/register")
    assert not page.is_visible("#here")
    page.fill("#addresses", "https://grace.example/1.jpg\nhttps://grace.example/2.jpg")
    page.set_input_files("#pictures", [portfolio / "work-08.jpg", portfolio / "film.mp4"])
    page.click("[data-submit]")
    assert "the box below was not ticked" in seen.text()
    assert page.input_value("#addresses").startswith("https://grace.example/1.jpg")
    page.set_input_files("#pictures", [portfolio / "work-08.jpg", portfolio / "film.mp4"])
    page.check("#upload")
    page.click("[data-submit]")
    assert "Lodged: 3 works" in seen.text("h1")
    assert "film.mp4: " in seen.text(".failed")
    assert preference_of(seen.site, "https://grace.example/1.jpg") == "reserved"
    page.click("text=Add, withdraw, take along")
    page.check("#sure-withdraw")
    page.click("button:text-is('Withdraw')")
    assert preference_of(seen.site, "https://grace.example/1.jpg") == "unknown"
    assert [one for one in seen.complaints if "422" not in one] == []


def test_whoever_comes_back_enters_the_code_and_adds(visit: Callable[..., Visit], portfolio: Path) -> None:
    first = visit()
    page = first.go("/register")
    page.fill("#addresses", "https://grace.example/3.jpg")
    page.click("[data-submit]")
    code = first.text("#secret").replace(" ", "")
    seen = visit(360, "dark")
    page = seen.go("/records")
    assert seen.violations() == []
    page.fill("#code", code.lower())
    page.click("text=Open")
    assert seen.violations() == []
    page.click("text=Without a name")
    page.wait_for_selector("label[for=local]")  # It is shown once the script is there.
    page.set_input_files("#local", portfolio / "work-10.jpg")
    page.click("[data-submit]")
    page.wait_for_selector("text=Works were added", timeout=WAIT)
    assert "Your record of 2 works" in seen.text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert seen.violations() == []
    assert seen.complaints == []


def test_with_the_keyboard_alone(visit: Callable[..., Visit]) -> None:
    seen = visit()
    page = seen.go("/register")
    page.focus("#genai-train")
    reached = []
    for _ in range(14):
        reached.append(
            str(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
        )
        style = page.evaluate(OUTLINE)
        assert style == "solid", reached
        page.keyboard.press("Tab")
    assert reached[:2] == ["genai-train", "train"]
    assert reached[3:8] == ["folder", "local", "addresses", "list", "Pictures that this server is to hash"]
    page.focus("#addresses")
    page.keyboard.type("https://grace.example/4.jpg")
    page.focus("[data-submit]")
    page.keyboard.press("Enter")
    page.wait_for_selector("#secret")
    assert preference_of(seen.site, "https://grace.example/4.jpg") == "reserved"


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_are_usable_by_everybody(visit: Callable[..., Visit], scheme: str, width: int) -> None:
    seen = visit(width, scheme)
    page = seen.go("/register")
    for summary in page.locator("summary").all():
        summary.click()
    assert seen.violations() == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.fill("#addresses", "javascript:alert(1)")
    page.fill("#website", "com")
    page.click("[data-submit]")
    page.wait_for_selector("#addresses-wrong")
    assert seen.violations() == []
    assert [one for one in seen.complaints if "422" not in one] == []
    page.fill("#addresses", "https://grace.example/5.jpg")
    page.fill("#website", "grace.example")
    page.click("[data-submit]")
    page.wait_for_selector("#secret")
    assert seen.violations() == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
