"""How a record stands after its events, put together, and how its members are told in words."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from registry.fingerprint import unpack_windows
from registry.preference import State
from registry.urls import RuleKind, UrlRule

__all__ = ["Standing", "rule_text", "said_rows", "standing_of", "work_rows"]

_LEVELS = {
    0: "nothing was checked about who lodged it",
    1: "who lodged it had shown to hold a domain or profile",
    2: "who lodged it had an account",
    3: "who lodged it had signed the works",
    4: "a third party attested who lodged it",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """How a record stands after its events: what the last version says, and all works and rules told."""

    version: Mapping[str, Any] = field(default_factory=dict)
    works: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    rules: tuple[Mapping[str, Any], ...] = ()
    imported: int = 0
    withdrawn_at: int | None = None
    is_told: bool = True

    @property
    def preferences(self) -> Mapping[str, str]:
        """What is said for which use."""
        said: Mapping[str, str] = json.loads(self.version["preferences"]) if self.version else {}
        return said

    @property
    def state(self) -> str:
        """The state in a word."""
        if self.withdrawn_at is not None:
            return str(State.WITHDRAWN)
        return str(self.version.get("state", "not shown to the key that asked"))


def standing_of(evidence: Mapping[str, Any]) -> Standing:
    """Put together what the events of a record say."""
    events = evidence["events"]
    version: Mapping[str, Any] = {}
    works: list[tuple[str, Mapping[str, Any]]] = []
    rules: list[Mapping[str, Any]] = []
    imported, withdrawn_at = 0, None
    for event in events:
        said = event["payload"] or {}
        version = said.get("version") or version
        works += [(f"{event['seq']}.{at}", row) for at, row in enumerate(said.get("works", ()))]
        rules += said.get("rules", ())
        imported += said.get("import", {}).get("works", 0)
        if event["op"] == "withdraw":
            withdrawn_at = event["at"]
    is_told = any(event["payload"] is not None for event in events if event["op"] != "part")
    return Standing(version, tuple(works), tuple(rules), imported, withdrawn_at, is_told)


def said_rows(version: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a version says, by name; nothing of none."""
    if not version:
        return
    uses: dict[str, list[str]] = {}
    for use, preference in json.loads(version["preferences"]).items():
        uses.setdefault(preference, []).append(use)
    yield from ((preference, ", ".join(named)) for preference, named in uses.items())
    for name in ("label", "terms", "contact"):
        if version[name]:
            yield ("name given" if name == "label" else name), version[name]
    level = version["evidence_level"]
    yield "evidence level", f"{level}: {_LEVELS.get(level, 'not one that this program knows')}"


def work_rows(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the keys of a work, by name; of a fingerprint its beginning."""
    if row["title"]:
        yield "title", row["title"]
    if row["url"]:
        yield "address", row["url"]
    if row["sha256"]:
        yield "SHA-256", row["sha256"]
    if row["packed"]:
        print_, _ = unpack_windows(bytes.fromhex(row["packed"]))
        begin = next((one.hex()[:16] for one in print_.pdq.values()), "")
        yield "fingerprint", f"PDQ {begin}… ({len(print_.pdq)} views of the picture)"


def rule_text(rule: Mapping[str, Any]) -> str:
    """Return the address that a rule is about, as it was lodged."""
    return UrlRule(RuleKind(rule["kind"]), rule["surt"]).text
