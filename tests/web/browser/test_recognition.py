"""The pages of receipts, records and grants in a real browser, and what their script adds."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from registry.log_folder import LogFolder
from registry.note import Signer
from registry.publisher import Publisher
from tests.api.receipts import _TENSORS, KOHYA, envelope_of, header_of
from tests.runs import MAKER

from ..recognised import People, Recognised, recognised
from .conftest import Visit

HOME = ("register", "domain:ada.example")


@pytest.fixture
def folder(tmp_path: Path) -> LogFolder:
    made = LogFolder(tmp_path / "log")
    made.write_signer(Signer.new("log.example"))
    return made


@pytest.fixture
def site(threaded: Callable[..., str], database_url: str, store: Any, folder: LogFolder) -> str:
    return threaded(database_url, CAVEAT_LOG=str(folder.path))


@pytest.fixture
def world(site: str, store: Any, folder: LogFolder, make_key: Any) -> Recognised:
    def send(method: str, path: str, body: Any = None, headers: Any = None) -> Any:
        answer = requests.request(method, site + path, json=body, headers=headers, timeout=20)
        assert answer.status_code < 300, answer.text
        return answer.json(), answer.headers

    def state() -> str:
        Publisher(store, folder, folder.signer()).publish()
        return folder.checkpoint()

    people = People(make_key(HOME, 1).headers, make_key(("lookup",)).headers)
    return recognised(send, people, state, int(time.time()))


def paths(world: Recognised) -> list[str]:
    records = [f"/record/{world.record}", f"/record/{world.nameless}"]
    return ["/receipt", f"/receipt/{world.receipt}", *records, f"/grant/{world.grant}"]


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_usable_by_everybody(
    visit: Callable[..., Visit], world: Recognised, scheme: str, width: int
) -> None:
    seen = visit(width, scheme)
    for path in paths(world):
        page = seen.go(path)
        assert seen.violations() == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    assert seen.complaints == []
    assert {one.removeprefix(seen.site)[:1] for one in seen.asked} == {"/"}


def checked(seen: Visit) -> str:
    seen.page.click("button:text-is('Check')")
    seen.page.wait_for_selector("#verdict")
    return seen.text("#verdict")


@pytest.mark.parametrize("script", [True, False], ids=["with scripts", "without scripts"])
def test_a_receipt_is_pasted_or_chosen(
    visit: Callable[..., Visit], world: Recognised, tmp_path: Path, script: bool
) -> None:
    seen = visit(script=script)
    text = json.dumps(envelope_of(world.run))
    page = seen.go("/receipt")
    page.fill("#receipt", text)
    assert checked(seen) == "What can be checked here holds"
    (tmp_path / "receipt.dsse.json").write_text(text)
    page = seen.go("/receipt")
    page.set_input_files("#file", tmp_path / "receipt.dsse.json")
    page.fill("#key", MAKER.verifier.text)
    assert checked(seen) == "What can be checked here holds"
    assert not script or seen.violations() == []
    assert "maker+3d1f3897, which is known here" in seen.text()
    page.fill("#receipt", "no receipt")
    page.click("button:text-is('Check')")
    page.wait_for_selector("#file-wrong")
    assert page.input_value("#receipt") == "no receipt"


def model(world: Recognised, folder: Path) -> tuple[Path, int, str]:
    """A model with the receipt in it; the size of its header, and its tensor hash."""
    metadata = {**KOHYA, "ss_training_started_at": str(time.time() + 60)}
    header, tensors = header_of(world.run, metadata, at=int(time.time()))
    file = folder / "model.safetensors"
    file.write_bytes(header + b"".join(_TENSORS[name].tobytes() for name in ("down", "up")))
    return file, len(header), tensors


@pytest.mark.parametrize("script", [True, False], ids=["with scripts", "without scripts"])
def test_a_model_is_checked_with_its_tensors(
    visit: Callable[..., Visit], world: Recognised, tmp_path: Path, script: bool
) -> None:
    file, _, tensors = model(world, tmp_path)
    seen = visit(script=script)
    seen.go("/receipt").set_input_files("#file", file)
    assert checked(seen) == "What can be checked here holds"
    assert f"ound to these tensors, {tensors}" in seen.text()


HELD = """() => {
  HTMLFormElement.prototype.submit = async function () {
    const bytes = await this.elements.file.files[0].arrayBuffer();
    window.held = [bytes.byteLength, this.elements.tensor_hash.value];
  };
}"""
"""Keeps what the form would send, in the place of sending it."""


def test_of_a_model_a_script_sends_the_header_and_a_hash(
    visit: Callable[..., Visit], world: Recognised, tmp_path: Path
) -> None:
    file, size, tensors = model(world, tmp_path)
    page = visit().go("/receipt")
    page.evaluate(HELD)
    page.set_input_files("#file", file)
    page.click("button:text-is('Check')")
    # Not by wait_for_function: the page's policy lets nothing evaluate text.
    for _ in range(200):
        if page.evaluate("Boolean(window.held)"):
            break
        page.wait_for_timeout(100)
    assert page.evaluate("window.held") == [size, tensors]
    assert f"{size:,} of {file.stat().st_size:,} bytes are sent." in page.inner_text("[data-note]")


def test_what_is_to_be_copied_has_a_button(visit: Callable[..., Visit], world: Recognised) -> None:
    seen = visit()
    seen.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = seen.go(f"/receipt/{world.receipt}")
    page.click("[aria-label='Copy the badge']")
    page.wait_for_selector("text=Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.endswith(f"]({seen.site}/receipt/{world.receipt})")
    assert copied.startswith("[![filtered ")


def test_a_page_weighs_little(visit: Callable[..., Visit], world: Recognised) -> None:
    for path in paths(world):
        seen = visit()
        weights: list[int] = []
        seen.page.on("response", lambda one, kept=weights: kept.append(len(one.body())))
        seen.go(path)
        seen.page.wait_for_load_state("networkidle")
        assert sum(weights) <= 100_000
