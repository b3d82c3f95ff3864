"""Receipts of runs that asked a registry, and models that carry them, for the tests that are shown them."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import safetensors.numpy
from flask.testing import FlaskClient

from api import create_app
from api.settings import Settings
from registry.model_receipt import attached, bind, open_receipt
from registry.note import Signer
from registry.receipt import (
    Asked,
    Configuration,
    Content,
    Counts,
    Receipt,
    Tool,
    decisions_over,
    sign_receipt,
    timestamp,
)
from registry.safetensors import parse_header, tensor_hash, with_metadata

NOW, DAY = 1_795_000_000, 86_400
MAKER, THIEF = Signer("maker", bytes(range(32))), Signer("maker", bytes(32))
TOOL = Tool(name="caveat", version="0.1.0")
HOW = Configuration(
    format="kohya", use="genai-train", mode="eu-art4", mapping=1, fingerprint=1, strict_bits=31,
    review_bits=47, phash_bits=6, possible_copies=True, site_signals=False, licences=(), min_evidence=0,
    own_works=None, own_works_count=0, grants=(), organisation="", purpose="", subset=False,
)  # fmt: skip
ASKED = Asked(url="https://r.example", origin="log.example", as_of_seq=2, asked="full", checkpoint=None)
RUN = Receipt(
    maker=MAKER.verifier.text, tool=TOOL, configuration=HOW, configuration_sha256=HOW.sha256,
    input=Content(digest={"dirHash": "1" * 64}, files=60, bytes=1000),
    output=Content(digest={"dirHash": "2" * 64}, files=40, bytes=500),
    decisions=decisions_over([b"a"], "lines"),
    counts=Counts(
        samples=30, kept=20, removed=9, review=1, errors=1, unknown=20, own=0, below_evidence=0,
        removed_by={"pdq": 9}, status={"ok": 9, "error": 1}, preference={"reserved": 9, "none": 1},
    ),
    registries=(ASKED,),
    started=timestamp(NOW - 60), finished=timestamp(NOW), resumed=0,
)  # fmt: skip
KOHYA = {
    "ss_training_started_at": str(NOW + 60.5),
    "ss_num_train_images": "200",
    "ss_dataset_dirs": json.dumps({"10_cosy": {"n_repeats": 10, "img_count": 20}}),
}
_TENSORS = {"up": np.arange(30, dtype=np.float16).reshape(5, 6), "down": np.arange(7, dtype=np.float32)}


@dataclass
class Clock:
    """The service's clock, which a test sets: seconds since 1970."""

    seconds: int

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)


@contextmanager
def timed(make_app: Callable[..., Any], settings: Settings, clock: Clock) -> Iterator[FlaskClient]:
    """A client of the service that has this clock."""
    client: FlaskClient = make_app(log=settings.log).test_client()
    app = create_app(settings, clock)
    client.application.extensions["caveat"] = app.extensions["caveat"]
    yield client
    app.extensions["caveat"].store.close()


def run_of(checkpoint: str | None, as_of_seq: int = 2, **other: Any) -> Receipt:
    """The receipt of a run that asked the registry when its log had this checkpoint."""
    return replace(RUN, registries=(replace(ASKED, checkpoint=checkpoint, as_of_seq=as_of_seq),), **other)


def envelope_of(run: Receipt, signer: Signer = MAKER) -> dict[str, Any]:
    return sign_receipt(run, signer).to_wire()


def header_of(run: Receipt, metadata: Mapping[str, str] = KOHYA, signer: Signer = MAKER) -> tuple[bytes, str]:
    """The header of a model that a trainer wrote, with the receipt attached, and its tensor hash."""
    file = safetensors.numpy.save(_TENSORS, dict(metadata))
    header = parse_header(file)
    tensors = tensor_hash([file[header.size :]])
    receipt = sign_receipt(run, signer)
    binding = bind(open_receipt(receipt.to_json(), []), tensors, signer, TOOL, timestamp(NOW + 3600))
    return with_metadata(file, attached(header.metadata or {}, receipt, binding)), tensors
