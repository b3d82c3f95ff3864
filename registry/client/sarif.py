"""A run as SARIF 2.1.0 (OASIS, 2020), for code scanning: one rule a cause, one result a notable sample.

What is removed or could not be checked is an ``error``, what a person should look at a ``warning``, what
stays although something was said of it a ``note``. Places are relative to the source (``SRC``); the sample
of an archive or a row of a table is a logical location in its file. A rule is a cause of the decisions
(``sha256``, ``tdmrep``), or ``not-checked``.

Code scanning takes at most ``MAX_RESULTS`` results. Where there are more, the most severe are given, and a
notification says how many were left out: never in silence.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import registry
from registry.client.away import AwayPlace
from registry.client.cards import kind_of
from registry.client.stores import Address
from registry.client.summary import FilterSummary
from registry.client.verdicts import Verdict
from registry.preference import Action

__all__ = ["MAX_RESULTS", "SCHEMA", "sarif_log"]

MAX_RESULTS = 25_000
"""Most results in one run."""

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
"""Where the schema of the log is published."""

NOT_CHECKED = "not-checked"

_LEVELS = {Action.REMOVE: "error", Action.ERROR: "error", Action.REVIEW: "warning", Action.KEEP: "note"}
_MOST_SEVERE_FIRST = (Action.REMOVE, Action.ERROR, Action.REVIEW, Action.KEEP)


def sarif_log(summary: FilterSummary) -> dict[str, Any]:
    """Return the log of a run with one entry in ``runs``, as JSON values."""
    results, left = _most_severe(summary.notable)
    rules: dict[str, int] = {}
    told = [_result(verdict, summary.source, rules) for verdict in results]
    driver = {
        "name": "Caveat",
        "semanticVersion": registry.__version__,
        "rules": [_rule(name) for name in rules],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"SRC": {"uri": _uri(summary.source).rstrip("/") + "/"}},
        "invocations": [_invocation(summary, left)],
        "results": told,
        "properties": summary.counted(),
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


@dataclass(slots=True)
class _Most:
    """Up to so many verdicts of each action, in their order, and how many there were."""

    held: list[Verdict]
    count: int = 0


def _most_severe(verdicts: Iterable[Verdict]) -> tuple[list[Verdict], int]:
    """Return at most ``MAX_RESULTS`` verdicts, the most severe first, and how many were left out."""
    by_action = {action: _Most([]) for action in _MOST_SEVERE_FIRST}
    for verdict in verdicts:
        some = by_action[verdict.action]
        some.count += 1
        if len(some.held) < MAX_RESULTS:
            some.held.append(verdict)
    ordered = [verdict for some in by_action.values() for verdict in some.held]
    return ordered[:MAX_RESULTS], max(sum(some.count for some in by_action.values()) - MAX_RESULTS, 0)


def _invocation(summary: FilterSummary, left: int) -> dict[str, Any]:
    notes: list[dict[str, Any]] = []
    if left:
        more = (
            f"{left:,} more results than a log may have are left out here; the decisions of the run have all."
        )
        notes.append({"level": "warning", "message": {"text": more}})
    if summary.errors:
        some = f"{summary.errors:,} samples could not be checked or read, and are not in the output."
        notes.append({"level": "error", "message": {"text": some}})
    # Complete or absent: a run that failed leaves no log.
    return {"executionSuccessful": True, "toolExecutionNotifications": notes}


def _rule(name: str) -> dict[str, Any]:
    if name == NOT_CHECKED:
        text, help_ = "could not be checked or read", "Silence is not consent: mend the file, or take it out."
    else:
        text = f"{kind_of(name)}"
        help_ = (
            "A record of a registry or a signal of the work speaks of this sample; the message says which."
        )
    return {
        "id": name,
        "name": "".join(part.capitalize() for part in name.split("-")),
        "shortDescription": {"text": f"Found by: {text}" if name != NOT_CHECKED else text.capitalize()},
        "help": {"text": help_},
    }


def _result(verdict: Verdict, source: Path | Address, rules: dict[str, int]) -> dict[str, Any]:
    name = NOT_CHECKED if verdict.action is Action.ERROR else verdict.cause
    return {
        "ruleId": name,
        "ruleIndex": rules.setdefault(name, len(rules)),
        "level": _LEVELS[verdict.action],
        "message": {"text": f"{verdict.sample.name}: {verdict.reason}"},
        "locations": [_location(verdict, source)],
        # What tells the result from others in the next run, in whatever order they come.
        "partialFingerprints": {"sample/v1": sha256(f"{name}\0{verdict.sample.key}".encode()).hexdigest()},
        "properties": {"action": str(verdict.action)},
    }


def _location(verdict: Verdict, source: Path | Address) -> dict[str, Any]:
    """Return the file of a sample below the source, and within it the sample where it is not the whole."""
    key, path = verdict.sample.key, verdict.sample.path
    file = key
    if isinstance(source, Address):
        if isinstance(place := verdict.sample.place, AwayPlace):
            file = place.text.removeprefix(f"{source}/")
    elif path is not None and path.absolute().is_relative_to(_base(source)):
        file = path.absolute().relative_to(_base(source)).as_posix()
    elif path is None and source.is_file():
        file = source.name
    location: dict[str, Any] = {
        "physicalLocation": {"artifactLocation": {"uri": quote(file, safe="/"), "uriBaseId": "SRC"}}
    }
    if file != key:
        told = f"row {key}" if key.isdigit() else key
        location["logicalLocations"] = [{"fullyQualifiedName": told, "kind": "member"}]
    return location


def _uri(source: Path | Address) -> str:
    return str(source) if isinstance(source, Address) else _base(source).as_uri()


def _base(source: Path) -> Path:
    return source.absolute().parent if source.is_file() else source.absolute()
