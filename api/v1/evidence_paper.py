"""Evidence as a paper: a PDF for people that carries the JSON for machines, and a timestamp if there is one.

The JSON that goes along is written one way, so the same state gives the same bytes and the same digest. The
timestamp is over exactly these bytes. An authority that gives none does not stop the paper: it says there why
there is none.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from hashlib import sha256
from typing import Any

from flask import Response, request

from api.state import published_log, state
from registry.errors import CaveatError
from registry.fetch import TIMESTAMP, Fetcher
from registry.paper import Attachment, Facts, Part, Text
from registry.paper.evidence_sheet import JSON_NAME, TOKEN_NAME, Account, evidence_sheet, json_of
from registry.paper.pdf import pdf_of
from registry.paper.sheet import time_of
from registry.timestamping import Stamp, Timestamper

__all__ = ["paper"]

_NONE = "This registry asks no other authority for timestamps. The times here are by its own clock."


def paper(evidence: Mapping[str, Any]) -> Response:
    """Return the evidence as PDF."""
    data = json_of(evidence)
    digest = sha256(data).hexdigest()
    files = [Attachment(JSON_NAME, "application/json", data, "the evidence, for machines")]
    stamped, reply = _stamped(data, digest)
    if reply is not None:
        files.append(
            Attachment(TOKEN_NAME, "application/timestamp-reply", reply, f"timestamp of {JSON_NAME}")
        )
    account = Account(
        registry=request.url_root.rstrip("/"),
        permalink=request.base_url.removesuffix(".pdf"),
        made=int(state().now()),
        digest=digest,
        keys=() if state().log is None else tuple(one.text for one in published_log().verifiers()),
        stamped=stamped,
        has_token=reply is not None,
    )
    name = f"evidence-{evidence['record']}.pdf"
    return Response(
        pdf_of(evidence_sheet(evidence, account), files),
        content_type="application/pdf",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        },
    )


def _stamped(data: bytes, digest: str) -> tuple[tuple[Part, ...], bytes | None]:
    """Return what the paper says of a timestamp, and the authority's answer if there is one."""
    url = state().settings.timestamp_url
    if not url:
        return (Text(f"There is no timestamp. {_NONE}"),), None
    try:
        stamp = _timestamper(url, private=state().settings.timestamp_private).stamp(data)
    except CaveatError as error:
        # The paper is right without it, and says what is missing: that is not for the reader to guess.
        told = (
            f"There is no timestamp ({type(error).__name__}): {error.message}. Ask for this document again."
        )
        return (Text(told),), None
    return _told(stamp, digest), stamp.reply


def _told(stamp: Stamp, digest: str) -> tuple[Part, ...]:
    rows = (
        ("authority", stamp.authority),
        ("time", time_of(stamp.at)),
        ("serial number", str(stamp.serial)),
        ("SHA-256", digest),
    )
    told = (
        f"The authority says that {JSON_NAME} existed at this time. Its answer (RFC 3161) is attached as "
        f"{TOKEN_NAME}. The registry has checked that it is of this file, not who signed it."
    )
    return Text(told), Facts(rows, frozenset({"SHA-256"}))


@lru_cache(maxsize=8)
def _timestamper(url: str, *, private: bool) -> Timestamper:
    return Timestamper(url, Fetcher(replace(TIMESTAMP, private=private)))
