"""The receipt of a filter run: what was filtered, against which state of whom, and what came of it.

An in-toto Statement whose subject is the output, inside of a DSSE envelope signed with the maker's key. It is
made to be published: it counts, and names no work, no file, no person and no machine. The names stay with the
maker, in the account; the receipt has their digests.

    caveat filter … → Receipt → statement → DSSE envelope → receipt.dsse.json, model.safetensors

A receipt shows that somebody with this key filtered a set with these digests against a dated state. It does
not show that a model was trained on that set, nor that the counts are true; it says so itself.

Read strictly: what is accepted is what :meth:`Receipt.to_statement` would have written, RFC 8785.

Source: in-toto Statement v1 and DigestSet (``sha256``, ``dirHash``); DSSE; RFC 6962 for the decisions.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import rfc8785

from registry import dsse
from registry.dsse import Envelope
from registry.errors import InputError, ProofError
from registry.jsontext import strict_json
from registry.merkle import leaf_hash, root_of
from registry.note import Signer, Verifier
from registry.strictly import parsed, wire_of

__all__ = [
    "ABOUT",
    "MAPPING_VERSION",
    "PAYLOAD_TYPE",
    "PREDICATE",
    "STATEMENT",
    "Asked",
    "Configuration",
    "Content",
    "Counts",
    "Decisions",
    "Receipt",
    "Tool",
    "decisions_over",
    "digest_of",
    "parse_statement",
    "predicate_of",
    "seconds_of",
    "sign_receipt",
    "statement_of",
    "timestamp",
]

STATEMENT = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
PREDICATE = "urn:caveat:receipt:1"
"""What the statement says; a name that claims nobody's domain."""

MAPPING_VERSION = 1
"""Number of the rules by which signals and records become decisions; another when one of them changes."""

ABOUT = (
    "Shows that the holder of this key says that the input was filtered into the output, so configured, "
    "against the states named here. Does not show that a model was trained on the output, nor that what is "
    "counted here is true."
)
"""What every receipt says of itself, to the letter."""

_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", re.ASCII)
_ALGORITHMS = ("sha256", "dirHash")
_ASKED = ("full", "marks", "private", "snapshot")
_LEAVES = ("lines", "files")


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A file (``sha256``) or a folder (``dirHash``) by its digest; ``bytes`` are those of all its files."""

    digest: Mapping[str, str]
    files: int
    bytes: int

    def __post_init__(self) -> None:
        [algorithm, *more] = self.digest or [""]
        if more or algorithm not in _ALGORITHMS or not _HEX.fullmatch(self.digest[algorithm]):
            raise ProofError(
                f"a digest {repr(dict(self.digest))[:120]}; expected sha256 or dirHash, 64 digits"
            )
        if algorithm == "sha256" and self.files != 1:
            raise ProofError(f"{self.files} files with the digest of one")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """What did it."""

    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Everything that changes what is kept.

    ``mapping`` and ``fingerprint`` are versions. ``strict_bits``, ``review_bits`` and ``phash_bits`` are the
    radii within which a picture is a copy, may be one, and may be one by its pHash. ``own_works`` is the
    digest of what was declared as the maker's own, None without, and ``own_works_count`` counts its keys.
    ``grants`` are the SHA-256 of the grants' identifiers: whoever knows one of those can ask what it covers.
    """

    format: str
    use: str
    mode: str
    mapping: int
    fingerprint: int
    strict_bits: int
    review_bits: int
    phash_bits: int
    possible_copies: bool
    site_signals: bool
    licences: tuple[str, ...]
    min_evidence: int
    own_works: str | None
    own_works_count: int
    grants: tuple[str, ...]
    organisation: str
    purpose: str
    subset: bool

    @property
    def sha256(self) -> str:
        """What tells this configuration from others: SHA-256 of its RFC 8785 form, hexadecimal."""
        return digest_of(rfc8785.dumps(wire_of(self)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """The RFC 6962 ``root`` over what was decided.

    ``leaves`` are ``lines``, those of ``decisions.jsonl`` without their ends, or ``files``, the lines that
    ``sha256sum`` prints of the files below ``decisions/``.
    """

    leaves: str
    count: int
    root: str

    def __post_init__(self) -> None:
        if self.leaves not in _LEAVES or not _HEX.fullmatch(self.root):
            raise ProofError(f"decisions: leaves {self.leaves!r} and root {self.root[:70]!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What became of the samples.

    ``errors`` were set aside: they could not be checked or read; ``granted`` are kept because of a grant.
    ``removed_by`` counts the kinds of match and protocols; ``status`` and ``preference`` count what is not in
    the output, ``none`` where there is none.
    """

    samples: int
    kept: int
    removed: int
    review: int
    errors: int
    unknown: int
    own: int
    granted: int = 0
    below_evidence: int
    removed_by: Mapping[str, int]
    status: Mapping[str, int]
    preference: Mapping[str, int]

    def __post_init__(self) -> None:
        if self.kept != self.samples - self.removed - self.errors:
            raise ProofError(
                f"counts: {self.samples} samples less {self.removed} removed and {self.errors} set aside "
                f"are not {self.kept}"
            )
        gone = self.removed + self.errors
        for name in ("status", "preference"):
            if sum(getattr(self, name).values()) != gone:
                raise ProofError(f"counts: {name} does not add up to the {gone} that are not in the output")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One registry: up to which event its answers hold, and how it was asked.

    ``asked`` is ``full``, ``marks`` (which keys it knows at all, and in full about those), ``private`` (the
    beginnings of keys) or ``snapshot`` (nothing was sent). ``origin`` is the name of its log and
    ``checkpoint`` the log's signed state at the end of the run, both as it gave them and None where it did
    not; ``as_of_seq`` is None when it was asked about nothing. ``runs`` says which tickets are of this run:
    roots over what they call the runs (:func:`registry.tickets.root_of_runs`), each over 10,000 of them at
    most; none where no tickets were kept.
    """

    url: str | None
    origin: str | None
    as_of_seq: int | None
    asked: str
    checkpoint: str | None
    runs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.asked not in _ASKED:
            raise ProofError(f"registries: asked {self.asked[:40]!r}; expected one of {', '.join(_ASKED)}")
        wrong = next((one for one in self.runs if not _HEX.fullmatch(one)), None)
        if wrong is not None or len(set(self.runs)) < len(self.runs):
            raise ProofError(
                f"registries: runs with {(wrong or 'a root twice')[:70]!r}; expected roots over runs"
            )
        if self.runs and self.asked == "snapshot":
            raise ProofError("registries: a snapshot with runs; nothing was sent, so it gave no tickets")
        if self.url is None and self.origin is None:
            raise ProofError("registries: one has neither an address nor the name of a log")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A run. ``maker`` is the public key that signs; times are RFC 3339 in UTC, to the second.

    ``resumed`` counts shards that an earlier run with the same configuration had done.
    """

    about: str = ABOUT
    maker: str
    tool: Tool
    configuration: Configuration
    configuration_sha256: str
    input: Content
    output: Content
    decisions: Decisions
    counts: Counts
    registries: tuple[Asked, ...]
    started: str
    finished: str
    resumed: int

    def __post_init__(self) -> None:
        if self.about != ABOUT:
            raise ProofError(f"about: says {self.about[:80]!r}; a receipt says what it does not show")
        if self.configuration_sha256 != self.configuration.sha256:
            raise ProofError("configuration_sha256: not that of the configuration beside it")
        if not self.registries:
            raise ProofError("registries: none was asked")
        if seconds_of(self.started) > seconds_of(self.finished):
            raise ProofError(f"finished {self.finished}, before it started {self.started}")
        Verifier.parse(self.maker)

    def to_statement(self) -> bytes:
        """Return the statement: RFC 8785, without a newline."""
        subject = {"name": "output", "digest": dict(self.output.digest)}
        return statement_of(subject, PREDICATE, wire_of(self))


def parse_statement(payload: bytes) -> Receipt:
    """Undo :meth:`Receipt.to_statement`. Raises :class:`ProofError`, which names the member."""
    try:
        wire = strict_json(payload)
    except InputError as error:
        raise ProofError(f"not a statement: {error.message}") from error
    receipt = parsed(Receipt, predicate_of(wire, PREDICATE), "predicate")
    if receipt.to_statement() != payload:
        raise ProofError(
            "not a receipt as it is written: another subject than its output, or written anew",
            hint="Take the file as the filter wrote it.",
        )
    return receipt


def statement_of(subject: Mapping[str, Any], kind: str, predicate: Any) -> bytes:
    """Return an in-toto statement about one subject: RFC 8785, without a newline."""
    return rfc8785.dumps(
        {"_type": STATEMENT, "subject": [dict(subject)], "predicateType": kind, "predicate": predicate}
    )


def predicate_of(wire: Any, kind: str) -> Any:
    """Return the predicate of a statement of this kind. Raises :class:`ProofError`."""
    if not isinstance(wire, Mapping) or wire.get("_type") != STATEMENT:
        raise ProofError("not an in-toto statement of version 1")
    if wire.get("predicateType") != kind:
        raise ProofError(f"a statement of {repr(wire.get('predicateType'))[:80]}; expected {kind!r}")
    return wire.get("predicate")


def sign_receipt(receipt: Receipt, signer: Signer) -> Envelope:
    """Return the signed receipt. Raises :class:`ProofError` unless it names this key as the maker's."""
    if receipt.maker != signer.verifier.text:
        raise ProofError(f"a receipt of {receipt.maker[:60]}, to be signed by {signer.verifier.text}")
    statement = receipt.to_statement()
    # Read back as anybody would: what would be refused is not signed.
    parse_statement(statement)
    return dsse.sign(PAYLOAD_TYPE, statement, [signer])


def digest_of(data: bytes) -> str:
    """Return the SHA-256, hexadecimal: of a statement it is what other statements name it by."""
    return hashlib.sha256(data).hexdigest()


def decisions_over(leaves: Iterable[bytes], kind: str) -> Decisions:
    """Return the Merkle tree hash over ``leaves``, which are of this kind."""
    count = 0

    def hashes() -> Iterable[bytes]:
        nonlocal count
        for one in leaves:
            count += 1
            yield leaf_hash(one)

    root = root_of(hashes()).hex()
    return Decisions(leaves=kind, count=count, root=root)


def timestamp(seconds: int) -> str:
    """Return seconds since 1970 as RFC 3339 in UTC."""
    return f"{np.datetime64(seconds, 's')}Z"


def seconds_of(text: str) -> int:
    """Undo :func:`timestamp`. Raises :class:`ProofError`."""
    try:
        seconds = int(np.datetime64(text[:-1], "s").astype(np.int64)) if _TIME.fullmatch(text) else -1
    except ValueError:
        seconds = -1
    if seconds < 0:
        raise ProofError(f"not a time in UTC: {text[:40]!r}; expected one as in 2026-11-22T05:00:00Z")
    return seconds
