"""hash.js in Chromium, under a strict policy: vectors, every kind of file, bad input, stopping, memory."""

import base64
import json
import struct
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from registry.errors import PictureError
from registry.fingerprint import query_fingerprint, registered_fingerprint
from registry.picture import decode_picture

from ..conftest import CHROMIUM
from .serving import Site, opened
from .test_hash_bad_input import png
from .test_hash_vectors import DECODE, FILES, FINGERPRINT, PDQ, ROOT

pytestmark = pytest.mark.skipif(
    not (find_spec("playwright") and CHROMIUM), reason="`make test-browser` fetches Chromium"
)

_HASH = """async ([folder, limits, options, stopAfter]) => {
  const { openHasher } = await import(`${folder}/hash.js`);
  const hasher = await openHasher(limits);
  const stopper = new AbortController();
  const told = [];
  const onResult = (result, at, done) => {
    told.push([at, done, result.status]);
    if (done === stopAfter) stopper.abort();
  };
  const files = document.querySelector("#files").files;
  const results = await hasher.hash(files, { ...options, onResult, signal: stopper.signal });
  const again = stopAfter ? await hasher.hash([...files].slice(0, 1), options) : [];
  hasher.close();
  return { decoder: hasher.decoder, notice: hasher.notice, results, told, again };
}"""
_MADE = """async (cases) => {
  const { madePixels } = await import("/tests/made.mjs");
  const { opaquePlanes } = await import("/static/hash-planes.js");
  const { pdq } = await import("/static/hash-pdq.js");
  const { hex } = await import("/static/hash-fingerprint.js");
  return cases.map(({ formula, width, height, seed }) => {
    const rgba = madePixels(formula, width, height, seed);
    const read = (y, rows) => rgba.subarray(y * width * 4, (y + rows) * width * 4);
    const { bits, mirrored, quality } = pdq(opaquePlanes({ width, height, read }, 1).white);
    return [hex(bits), hex(mirrored), quality];
  });
}"""


class Window:
    """A page with files that are chosen, and what it complained of."""

    def __init__(self, browser: Any, site: Site) -> None:
        self.page = browser.new_page()
        self.complaints: list[str] = []
        self.site = site
        self.page.on("console", lambda one: self.complaints.append(one.text))
        self.page.on("pageerror", lambda one: self.complaints.append(str(one)))
        self.page.goto(f"{site.address}/")

    def hash(
        self, files: list[Path], folder: str = "/static", *, stop_after: int = 0, **limits: float
    ) -> dict[str, Any]:
        self.page.set_input_files("#files", files)
        kinds = {"kinds": ["registered", "asked"]}
        told: dict[str, Any] = self.page.evaluate(
            _HASH, [folder, {"workers": 2, **limits}, kinds, stop_after]
        )
        return told


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with opened([]) as site:
        yield site


@pytest.fixture
def window(chromium: Any, site: Site) -> Iterator[Window]:
    window = Window(chromium, site)
    yield window
    window.page.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


def written(folder: Path, files: dict[str, bytes]) -> list[Path]:
    paths = []
    for number, data in enumerate(files.values()):
        path = folder / f"{number}.bin"
        path.write_bytes(data)
        paths.append(path)
    return paths


def test_made_pictures_hash_as_the_reference_says(window: Window) -> None:
    expected = [[one["pdq"], one["mirrored"], one["quality"]] for one in PDQ["made"]]
    assert window.page.evaluate(_MADE, PDQ["made"]) == expected


def test_every_published_file_has_its_fingerprint(window: Window, tmp_path: Path) -> None:
    paths = written(tmp_path, {one["name"]: base64.b64decode(one["file"]) for one in DECODE})
    told = window.hash([*paths, *(ROOT / one["path"] for one in FINGERPRINT)])
    assert (told["decoder"], told["notice"]) == ("browser", "")
    for case, result in zip([*DECODE, *FINGERPRINT], told["results"], strict=True):
        assert result["status"] == "ok", result
        assert result["registered"] == case["registered"]
        assert [result["width"], result["height"]] == case["size"]
    for case, result in zip(FINGERPRINT, told["results"][len(DECODE) :], strict=True):
        assert (result["sha256"], result["asked"]) == (case["sha256"], case["asked"])
    assert window.complaints == []


REFUSED = ("AVIF half-transparent", "WebP animated, half-transparent")


@pytest.fixture(scope="module")
def every_kind(chromium: Any, site: Site, folder: Path) -> dict[str, Any]:
    window = Window(chromium, site)
    told = window.hash(written(folder, FILES))
    window.page.close()
    assert window.complaints == []
    return dict(zip(FILES, told["results"], strict=True))


@pytest.mark.parametrize("kind", FILES)
def test_every_kind_of_file_hashes_as_python_says(every_kind: dict[str, Any], kind: str) -> None:
    result, data = every_kind[kind], FILES[kind]
    if kind in REFUSED:
        assert (result["status"], result["error"]["name"]) == ("error", "not-read-here")
        return
    whole = decode_picture(data)
    assert result["registered"] == registered_fingerprint(whole, data).to_wire()
    assert result["asked"] == query_fingerprint(whole, data).to_wire()
    assert (result["width"], result["height"]) == whole.size


def changed(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def spoilt(kind: str) -> bytes:
    data = FILES[kind]
    return changed(data, len(data) // 2, bytes([data[len(data) // 2] ^ 0x55]))


ODD = {
    "a GIF smaller than its frame": changed(FILES["GIF"], 6, struct.pack("<HH", 200, 150)),
    "a JPEG with more behind it": FILES["JPEG 4:2:0"] + b"more" * 50,
    "a JPEG without its end": FILES["JPEG 4:2:0"][:-2],
    "a JPEG with a changed byte": spoilt("JPEG 4:2:0"),
    "a PNG with a changed byte": spoilt("PNG"),
    "a WebP with a changed byte": spoilt("WebP"),
    "a half-transparent PNG with a changed byte": spoilt("PNG half-transparent"),
}


def test_odd_files_are_read_or_refused_as_python_does(window: Window, tmp_path: Path) -> None:
    told = window.hash(written(tmp_path, ODD))
    for (what, data), result in zip(ODD.items(), told["results"], strict=True):
        try:
            expected = registered_fingerprint(decode_picture(data), data).to_wire()
        except PictureError:
            assert (what, result["status"], result["error"]["name"]) == (what, "error", "damaged")
        else:
            assert (what, result["registered"]) == (what, expected)
    assert {one["status"] for one in told["results"]} == {"ok", "error"}


def test_a_browser_that_adds_noise_is_found_out_and_done_without(window: Window, tmp_path: Path) -> None:
    kinds = ["JPEG 4:2:0", "PNG", "PNG half-transparent", "WebP", "JPEG orientation 6", "GIF", "JPEG CMYK"]
    told = window.hash(written(tmp_path, {kind: FILES[kind] for kind in kinds}), "/noisy")
    assert told["decoder"] == "own"
    assert "true pixels" in told["notice"]
    *read, gif, cmyk = told["results"]
    for kind, result in zip(kinds, read, strict=False):
        data = FILES[kind]
        assert result["registered"] == registered_fingerprint(decode_picture(data), data).to_wire()
    for result in (gif, cmyk):
        assert result["error"]["name"] == "pixels-changed"
        assert "caveat check" in result["error"]["hint"]


def damaged(number: int) -> bytes:
    kinds = [kind for kind in FILES if kind.startswith(("JPEG", "PNG", "WebP"))]
    data = FILES[kinds[number % len(kinds)]]
    return data[: len(data) * (number + 1) // 40]


BROKEN = {
    **{f"cut off {number}": damaged(number) for number in range(24)},
    "empty": b"",
    "300 megapixels": png(20_000, 15_000),
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "video": b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41",
    "text": b"no picture",
    "AVIF, cut off": FILES["AVIF"][:400],
}


def test_thirty_broken_files_among_others_are_named_and_nothing_is_lost(
    window: Window, tmp_path: Path
) -> None:
    whole = [ROOT / one["path"] for one in FINGERPRINT]
    broken = written(tmp_path, BROKEN)
    assert len(broken) == 30
    told = window.hash([*broken[:15], *whole, *broken[15:]])
    results = [*told["results"][:15], *told["results"][31:]]
    names = {what: result.get("error", {}).get("name") for what, result in zip(BROKEN, results, strict=True)}
    assert {names.pop(what) for what in ("300 megapixels",)} == {"too-large"}
    assert {names.pop(what) for what in ("SVG", "video")} == {"not-read-here"}
    assert {names.pop(what) for what in ("text", "empty")} == {"not-a-picture"}
    assert set(names.values()) == {"damaged"}
    assert [one["registered"] for one in told["results"][15:31]] == [one["registered"] for one in FINGERPRINT]
    assert sorted(at for at, *_ in told["told"]) == list(range(46))
    assert [done for _, done, _ in told["told"]] == list(range(1, 47))


def test_stopping_keeps_what_is_done_and_names_the_rest(window: Window) -> None:
    files = [ROOT / one["path"] for one in FINGERPRINT]
    told = window.hash(files, stop_after=3)
    kept = [one for one in told["results"] if one["status"] == "ok"]
    assert 3 <= len(kept) < len(files)
    rest = [one["error"]["name"] for one in told["results"] if one["status"] == "error"]
    assert len(kept) + len(rest) == len(files)
    assert set(rest) == {"cancelled"}
    # The workers that were stopped have others in their place.
    assert told["again"][0]["status"] == "ok"


@pytest.mark.parametrize("memory", [1, 2**20, 2**40])
def test_any_budget_of_memory_hashes_everything(window: Window, memory: int) -> None:
    files = [ROOT / one["path"] for one in FINGERPRINT]
    told = window.hash(files, workers=4, memory=memory)
    assert [one["registered"] for one in told["results"]] == [one["registered"] for one in FINGERPRINT]


def test_a_picture_that_takes_too_long_is_given_up(window: Window, tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    Image.effect_noise((3000, 2500), 80).save(large, compress_level=0)
    window.page.set_input_files("#files", [large])
    result, after = window.page.evaluate(
        """async () => {
          const { openHasher } = await import("/static/hash.js");
          const hasher = await openHasher({ workers: 1 });
          const files = document.querySelector("#files").files;
          hasher.limits.seconds = 0.05;
          const [slow] = await hasher.hash(files);
          hasher.limits.seconds = 60;
          const [after] = await hasher.hash(files);
          hasher.close();
          return [slow, after];
        }"""
    )
    assert (result["status"], result["error"]["name"]) == ("error", "too-slow")
    assert after["status"] == "ok"


def test_a_second_call_at_the_same_time_is_refused_and_not_empty(window: Window) -> None:
    window.page.set_input_files("#files", [ROOT / FINGERPRINT[0]["path"]])
    first, second, after_the_end = window.page.evaluate(
        """async () => {
          const { openHasher } = await import("/static/hash.js");
          const hasher = await openHasher();
          const files = document.querySelector("#files").files;
          const why = (error) => error.message;
          const both = await Promise.all([hasher.hash(files), hasher.hash(files).catch(why)]);
          hasher.close();
          return [...both, await hasher.hash(files).catch(why)];
        }"""
    )
    assert [one["status"] for one in first] == ["ok"]
    assert "already" in second
    assert "ended" in after_the_end


def test_no_byte_of_a_picture_is_sent(window: Window, site: Site) -> None:
    site.asked.clear()
    window.hash([ROOT / one["path"] for one in FINGERPRINT])
    assert {method for method, *_ in site.asked} == {"GET"}
    assert all(path.startswith("/static/") for _, path, _ in site.asked)
    assert json.dumps(site.asked).count("?") == 0
