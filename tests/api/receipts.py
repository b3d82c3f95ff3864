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
    Receipt,
    sign_receipt,
    timestamp,
)
from registry.safetensors import parse_header, tensor_hash, with_metadata
from registry.tickets import root_of_runs
from tests import runs
from tests.runs import MAKER, NOW, TOOL

ASKING = (bytes(range(16)), *(bytes([number] * 16) for number in range(1, 10)))
"""What the tickets of the tests call the runs."""
ASKED = replace(
    runs.ASKED, origin="log.example", as_of_seq=2, runs=tuple(root_of_runs([one]).hex() for one in ASKING)
)
RUN = replace(runs.RUN, registries=(ASKED,))
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


def header_of(
    run: Receipt, metadata: Mapping[str, str] = KOHYA, signer: Signer = MAKER, at: int = NOW + 3600
) -> tuple[bytes, str]:
    """The header of a model that a trainer wrote, with the receipt attached, and its tensor hash."""
    file = safetensors.numpy.save(_TENSORS, dict(metadata))
    header = parse_header(file)
    tensors = tensor_hash([file[header.size :]])
    receipt = sign_receipt(run, signer)
    binding = bind(open_receipt(receipt.to_json(), []), tensors, signer, TOOL, timestamp(at))
    return with_metadata(file, attached(header.metadata or {}, receipt, binding)), tensors
