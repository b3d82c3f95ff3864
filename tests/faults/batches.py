"""An import as a partner's client knows it: its parts, what it sends, and what must be there afterwards."""

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from registry.import_claim import Claim, digest_of, statement_of
from registry.listing import NDJSON
from registry.note import sign_note
from tests.faults.service import PARTNER

__all__ = ["BEGIN", "Batch"]

BEGIN = {"namespace": "faults", "preferences": {"genai-train": "reserved"}, "label": "faults"}
Work = tuple[str, str, str]
"""Title, URL and SHA-256."""


@dataclass
class Batch:
    """The works of one import, part by part; ``seq`` is 0 until it is acknowledged as complete."""

    parts: list[list[Work]]
    id: str = ""
    seq: int = 0
    stored: dict[int, dict[str, Any]] = field(default_factory=dict)
    """The acknowledgement of each part."""

    @classmethod
    def new(cls, parts: int, works: int) -> "Batch":
        """Make one up."""
        return cls([[_work() for _ in range(works)] for _ in range(parts)])

    @property
    def works(self) -> list[Work]:
        """All works, in their order."""
        return [work for part in self.parts for work in part]

    def body(self, number: int) -> bytes:
        """Return the body of part ``number``, from 1."""
        names = ("title", "url", "sha256")
        lines = (dict(zip(names, work, strict=True)) for work in self.parts[number - 1])
        return "".join(json.dumps(line) + "\n" for line in lines).encode()

    def path(self, rest: str = "") -> str:
        """Return the address of the import, or of a thing in it."""
        return f"/api/v1/imports/{self.id}{rest}"

    def put(self, number: int) -> tuple[str, str, str, str]:
        """Return method, path, body and media type of the request that stores a part."""
        return "PUT", self.path(f"/parts/{number}"), self.body(number).decode(), NDJSON

    def complete(self) -> tuple[str, str, str]:
        """Return method, path and body of the request that makes it visible."""
        bodies = [hashlib.sha256(self.body(number)).digest() for number in range(1, len(self.parts) + 1)]
        claim = Claim(len(bodies), len(self.works), digest_of(bodies))
        note = sign_note(statement_of("faults", self.id, claim), [PARTNER])
        said = {"parts": claim.parts, "works": claim.works, "digest": claim.digest.hex(), "note": note}
        return "POST", self.path("/complete"), json.dumps(said)


def _work() -> Work:
    name = secrets.token_hex(8)
    return f"No. {name}", f"https://{name}.example.org/1.jpg", hashlib.sha256(name.encode()).hexdigest()
