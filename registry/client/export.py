"""Export: everything that a registry holds about one's own reservation, with the proof of it.

    {"v": 1, "registry": "https://registry.example", "reservation": {…}, "works": [{…}],
     "evidence": {…}, "log_keys": {…}}

``evidence`` and ``log_keys`` are as the registry gives them (:mod:`registry.evidence`); the other members are
what its events say, put together. :func:`check_document` holds the two to each other, so that a document in
which either was changed is refused.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registry.client.http import RegistryClient
from registry.errors import ProofError, RegistryRefusedError
from registry.evidence import Proven, check_evidence
from registry.fingerprint import unpack_windows
from registry.leaf import Leaf
from registry.note import Checkpoint, Verifier
from registry.urls import RuleKind, UrlRule

__all__ = ["Checked", "check_document", "events_after", "fetch_export"]

_VERSION = 1
_PAUSE = 1.0
_SAID = ("label", "terms", "contact", "state", "evidence_level")


@dataclass(frozen=True, slots=True)
class Checked:
    """A document that holds: its record, its events, and the checkpoint that they are under, if any."""

    record: str
    checkpoint: Checkpoint | None
    events: Sequence[Proven]

    @property
    def pending(self) -> list[Proven]:
        """The events that the checkpoint does not cover."""
        return [event for event in self.events if not event.logged]


def fetch_export(
    client: RegistryClient, id_: str, seconds: float, tick: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Fetch everything about an own reservation, unchecked.

    Waits until a checkpoint covers its last event, at most ``seconds``, and not at all where no log is
    published; ``tick`` is called before each pause. Raises :class:`registry.errors.RegistryError`, also for
    an import.
    """
    keys = _log_keys(client)
    end = time.monotonic() + (0 if keys is None else seconds)
    while True:
        evidence = client.evidence(id_)
        _require_single(id_, evidence)
        if _is_covered(evidence) or time.monotonic() + _PAUSE > end:
            break
        tick()
        time.sleep(_PAUSE)
    return {
        "v": _VERSION,
        "registry": client.url,
        "reservation": client.show(id_),
        "works": list(client.works(id_)),
        "evidence": evidence,
        "log_keys": keys,
    }


def check_document(document: Mapping[str, Any], keys: Sequence[Verifier]) -> Checked:
    """Check an export, or a bare document of evidence, by the log's ``keys``, without the registry.

    Raises :class:`ProofError` for evidence that does not hold, and for an export that says something else
    than its evidence bears out.
    """
    whole = "evidence" in document
    evidence = document["evidence"] if whole else document
    if not isinstance(evidence, Mapping):
        raise ProofError("neither an export nor evidence")
    checkpoint, events = check_evidence(evidence, keys)
    if not events:
        raise ProofError("evidence of no event: it proves nothing")
    if not all(f"{event.leaf.record}{event.leaf.op}".isprintable() for event in events):
        raise ProofError("an event of a record, or of a kind, that no registry has")
    if whole:
        try:
            _require_borne_out(document, events)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise ProofError(f"not an export of this kind: {error!r}") from error
    return Checked(evidence["record"], checkpoint, events)


def events_after(checked: Checked, leaves: Sequence[Leaf], size: int) -> list[Leaf]:
    """Return the events that the log has of the record and the document has not: later ones.

    ``leaves`` are those of the record in the log of ``size`` events. Evidence alone cannot show that nothing
    was left out, a withdrawal for example. Raises :class:`ProofError` for a document that leaves out what its
    own checkpoint covers, or has an event that is not the log's.
    """
    covered = 0 if checked.checkpoint is None else checked.checkpoint.size
    shown = {event.leaf.seq for event in checked.events}
    for event in checked.pending:
        if event.leaf.seq <= size and event.leaf not in leaves:
            raise ProofError(f"event {event.leaf.seq} of {checked.record} is not the one of the log")
    missing = [leaf for leaf in leaves if leaf.record == checked.record and leaf.seq not in shown]
    for leaf in missing:
        if leaf.seq <= covered:
            raise ProofError(
                f"the document leaves out event {leaf.seq} ({leaf.op}) of {checked.record}, "
                "which its checkpoint covers",
                hint="Somebody took it out. Ask for the whole of it.",
            )
    return missing


def _log_keys(client: RegistryClient) -> dict[str, Any] | None:
    """Return the keys of the log; None where the registry has none."""
    try:
        return client.log_keys()
    except RegistryRefusedError:
        return None


def _is_covered(evidence: Mapping[str, Any]) -> bool:
    events = evidence.get("events")
    return isinstance(events, list) and all(
        isinstance(event, dict) and event.get("proof") is not None for event in events
    )


def _require_single(id_: str, evidence: Mapping[str, Any]) -> None:
    """Raise :class:`RegistryRefusedError` for an import, whose works are told nowhere one by one."""
    told = evidence.get("events")
    if isinstance(told, list) and any(isinstance(one, dict) and one.get("op") == "part" for one in told):
        raise RegistryRefusedError(
            f"{id_} is an import, which cannot be exported",
            hint="Its file is what was lodged; the registry's answer to `complete` names its event.",
        )


def _require_borne_out(document: Mapping[str, Any], events: Sequence[Proven]) -> None:
    """Raise :class:`ProofError` unless reservation and works are what the events say, put together."""
    reservation = document["reservation"]
    if document["v"] != _VERSION:
        raise ValueError(f"version {document['v']!r}; this client reads {_VERSION}")
    version: Mapping[str, Any] = {}
    works, rules = [], []
    for event in events:
        said = event.payload or {}
        version = said.get("version") or version
        works += [_work(event.leaf.seq, place, row) for place, row in enumerate(said.get("works", ()))]
        rules += [_rule(row) for row in said.get("rules", ())]
    borne_out = {
        "id": document["evidence"]["record"],
        "preferences": json.loads(version["preferences"]),
        "history": [(event.leaf.seq, event.leaf.op) for event in events],
        "works": len(works),
        "rules": rules,
        **{name: version[name] for name in _SAID},
        # That it is not public goes without saying, in events and at registries that know no such pages.
        "public": version.get("public", False),
    }
    history = [(one["seq"], one["op"]) for one in reservation["history"]]
    told = {"public": False, **reservation, "history": history}
    wrong = [name for name, value in borne_out.items() if told[name] != value]
    wrong += [] if document["works"] == works else ["works"]
    if wrong:
        raise ProofError(
            f"the evidence of {borne_out['id']} does not bear out what the export says: {', '.join(wrong)}",
            hint="It was changed, or the reservation was while it was exported. Export it again.",
        )


def _work(seq: int, place: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a work as ``GET …/works`` tells it."""
    packed = row["packed"]
    windows = [] if packed is None else list(unpack_windows(bytes.fromhex(packed))[0].pdq)
    return {
        "work": f"{seq}.{place}",
        "title": row["title"],
        "url": row["url"],
        "sha256": row["sha256"],
        "windows": windows,
    }


def _rule(row: Mapping[str, Any]) -> dict[str, str]:
    return {"kind": row["kind"], "value": UrlRule(RuleKind(row["kind"]), row["surt"]).text}
