"""A notice as a pack: the letter, and what proves what it says, in one zip file. Nothing is sent anywhere.

letter.md, letter.pdf    the letter, to be read and changed, or to be sent as it is
evidence.pdf             what the registry tells people of the record
evidence.json            the same for machines, checked here by the key of the log
checkpoint               the signed state of the log under which the proofs hold
proof.txt                leaves and hashes, for who checks by hand
"""

import io
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from registry.client.export import Checked, check_document
from registry.client.http import RegistryClient
from registry.errors import InputError, RegistryAnswerError, RegistryRefusedError
from registry.note import Verifier
from registry.paper.evidence_sheet import JSON_NAME, json_of
from registry.paper.markdown import markdown_of
from registry.paper.notice import Enclosed, Notice, notice_sheet, proof_lines
from registry.paper.pdf import pdf_of
from registry.paper.standing import standing_of

__all__ = ["Found", "fetch_found", "pack_of"]

_PAUSE = 1.0
_PDF = b"%PDF-"


@dataclass(frozen=True, slots=True)
class Found:
    """What a registry holds of an own record: the evidence, and its paper; ``keys`` are its log's, if any."""

    registry: str
    evidence: Mapping[str, Any]
    paper: bytes
    keys: tuple[str, ...]


def fetch_found(
    client: RegistryClient,
    id_: str,
    works: Sequence[str],
    seconds: float,
    tick: Callable[[], None] = lambda: None,
) -> Found:
    """Fetch the evidence of an own record, unchecked.

    Waits until the log covers its last event, at most ``seconds``, and not at all where no log is published.
    ``works`` are asked for by name where the record is an import. Raises RegistryError, and
    :class:`InputError` for a record of which the key that asks may not see what was said.
    """
    keys = _keys(client)
    named = works if _is_import(client.evidence(id_)) else ()
    end = time.monotonic() + (seconds if keys else 0)
    while True:
        evidence = client.evidence(id_, named)
        if all(event["proof"] is not None for event in _events(evidence)) or time.monotonic() + _PAUSE > end:
            break
        tick()
        time.sleep(_PAUSE)
    if not _is_told(evidence):
        raise InputError(
            f"what record {id_} says is not shown to this key",
            hint="Use the key that lodged it: a notice is for the one whose works they are.",
        )
    paper = client.evidence_paper(id_, named)
    if not paper.startswith(_PDF):
        raise RegistryAnswerError(
            f"{client.url} answered something else than a PDF for the evidence of {id_}"
        )
    return Found(client.url, evidence, paper, keys)


def pack_of(found: Found, notice: Notice, verifiers: Sequence[Verifier], made: int) -> tuple[bytes, Checked]:
    """Return the zip file, and the evidence as it was checked by the log's keys.

    ``made`` is in seconds since 1970. Raises :class:`registry.errors.ProofError` for evidence that does not
    hold, :class:`InputError`, and :class:`registry.errors.SettingsError` without the extra ``[pdf]``.
    """
    checked = check_document(found.evidence, verifiers)
    keys = tuple(one.text for one in verifiers)
    proof = "\n".join(proof_lines(found.evidence, keys)) + "\n"
    files = {"evidence.pdf": found.paper, JSON_NAME: json_of(found.evidence), "proof.txt": proof.encode()}
    if found.evidence["checkpoint"] is not None:
        files["checkpoint"] = found.evidence["checkpoint"].encode()
    digests = tuple((name, sha256(data).hexdigest()) for name, data in files.items())
    enclosed = Enclosed(found.evidence, found.registry, keys, digests, made)
    letter = notice_sheet(notice, enclosed)
    written = {"letter.md": markdown_of(letter).encode(), "letter.pdf": pdf_of(letter)}
    return _zipped({**written, **files}, made), checked


def _zipped(files: Mapping[str, bytes], made: int) -> bytes:
    at = datetime.fromtimestamp(made, UTC)
    date = (at.year, at.month, at.day, at.hour, at.minute, at.second)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as pack:
        for name, data in files.items():
            pack.writestr(zipfile.ZipInfo(name, date), data, zipfile.ZIP_DEFLATED)
    return written.getvalue()


def _keys(client: RegistryClient) -> tuple[str, ...]:
    try:
        keys = client.log_keys().get("keys")
    except RegistryRefusedError:
        return ()
    if not isinstance(keys, list) or not all(isinstance(one, str) for one in keys):
        raise RegistryAnswerError(f"{client.url} answered no keys of its log")
    return tuple(keys)


def _is_import(evidence: Mapping[str, Any]) -> bool:
    return any(event["op"] == "part" for event in _events(evidence))


def _events(evidence: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the events of a document that is not checked yet."""
    events = evidence.get("events")
    named = ("op", "proof", "payload", "at", "seq")
    if not isinstance(events, list) or not all(
        isinstance(event, dict) and all(name in event for name in named) for event in events
    ):
        raise RegistryAnswerError("the registry answered no evidence of this kind")
    return events


def _is_told(evidence: Mapping[str, Any]) -> bool:
    try:
        return standing_of(evidence).is_told
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RegistryAnswerError(f"the registry answered no evidence of this kind: {error!r}") from error
