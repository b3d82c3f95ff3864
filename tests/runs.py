"""Receipts of runs that nobody has done, for the tests that read, sign, send or tell them."""

from dataclasses import replace
from typing import Any

from registry.note import Signer
from registry.receipt import Asked, Configuration, Content, Counts, Receipt, Tool, decisions_over, timestamp

MAKER, THIEF = Signer("maker", bytes(range(32))), Signer("maker", bytes(32))
NOW, HOUR, DAY = 1_795_000_000, 3600, 86_400
TOOL = Tool(name="caveat", version="0.1.0")
HOW = Configuration(
    format="kohya", use="genai-train", mode="eu-art4", mapping=1, fingerprint=1, strict_bits=31,
    review_bits=47, phash_bits=6, possible_copies=True, site_signals=False, licences=(), min_evidence=0,
    own_works=None, own_works_count=0, grants=(), organisation="", purpose="", subset=False,
)  # fmt: skip
ASKED = Asked(url="https://r.example", origin=None, as_of_seq=7, asked="full", checkpoint=None)
RUN = Receipt(
    maker=MAKER.verifier.text, tool=TOOL, configuration=HOW, configuration_sha256=HOW.sha256,
    input=Content(digest={"dirHash": "1" * 64}, files=60, bytes=1000),
    output=Content(digest={"dirHash": "2" * 64}, files=40, bytes=500),
    decisions=decisions_over([b"a", b"b", b"c"], "lines"),
    counts=Counts(
        samples=30, kept=20, removed=9, review=1, errors=1, unknown=20, own=0, below_evidence=0,
        removed_by={"pdq": 9}, status={"ok": 9, "error": 1}, preference={"reserved": 9, "none": 1},
    ),
    registries=(ASKED,),
    started=timestamp(NOW - 60), finished=timestamp(NOW), resumed=0,
)  # fmt: skip


def configured(run: Receipt, **changes: Any) -> Receipt:
    """The receipt of a run that was configured otherwise."""
    how = replace(run.configuration, **changes)
    return replace(run, configuration=how, configuration_sha256=how.sha256)
