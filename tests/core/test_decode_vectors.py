"""The published files: each decodes and hashes as it did when the version was frozen."""

import base64
import json
from pathlib import Path

import pytest

from registry.fingerprint import REGISTERED_WINDOWS, query_fingerprint, registered_fingerprint
from registry.picture import decode_picture

FILES = json.loads((Path(__file__).parents[1] / "vectors" / "decode.json").read_text("utf-8"))["files"]


@pytest.mark.usefixtures("both_paths")
@pytest.mark.parametrize("case", FILES, ids=lambda case: case["name"])
def test_a_published_file_has_its_fingerprint(case):
    data = base64.b64decode(case["file"], validate=True)
    whole = decode_picture(data)
    assert list(whole.size) == case["size"]
    assert registered_fingerprint(whole, data).to_wire() == case["registered"]
    assert query_fingerprint(decode_picture(data, reduced=True), data).to_wire() == case["asked"]


def test_the_files_show_every_rule():
    windows = {window for case in FILES for window in case["registered"].get("pdq", {})}
    assert {"full", "start", "middle", "end"} <= windows <= set(REGISTERED_WINDOWS)
    assert any(window.endswith("_black") for window in windows)
    assert len({case["registered"]["pdq"]["full"] for case in FILES}) > 1
