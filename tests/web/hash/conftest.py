"""hash.js in Node: one process for all tests, asked over its standard input."""

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

NODE = shutil.which("node")
RUNNER = Path(__file__).parent / "runner.mjs"


class Node:
    """Asks hash.js; an error of its own comes back as ``{"error": …}``."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self._process.stdin.flush()
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told

    def file(self, data: bytes) -> dict[str, Any]:
        return self.ask("file", data=base64.b64encode(data).decode())

    def header(self, data: bytes) -> dict[str, Any]:
        return self.ask("header", data=base64.b64encode(data).decode())

    def pixels(
        self, rgb: NDArray[np.uint8], black: NDArray[np.uint8] | None = None, orientation: int = 1
    ) -> Any:
        height, width = rgb.shape[:2]
        return self.ask(
            "pixels",
            width=width,
            height=height,
            rgba=opaque(rgb),
            black=None if black is None else opaque(black),
            orientation=orientation,
        )["answer"]


def opaque(rgb: NDArray[np.uint8]) -> str:
    rgba = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
    return base64.b64encode(rgba.tobytes()).decode()


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    if NODE is None:
        pytest.skip("Node runs hash.js; it comes with `make test-browser`")
    with subprocess.Popen(
        [NODE, str(RUNNER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        yield Node(process)
        assert process.stdin is not None
        process.stdin.close()
