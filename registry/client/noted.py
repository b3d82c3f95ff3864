"""Verdicts on the disk: what a shard's run leaves for the report, and reads back when a run is resumed.

A line is that of ``decisions.jsonl`` with the place of the picture beside it, so that the report can show it.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

from registry.client.away import AwayPlace
from registry.client.formats import Sample
from registry.client.formats.cell import Cell
from registry.client.place import Place
from registry.client.verdicts import Verdict
from registry.decision import Decision
from registry.errors import CaveatError, DatasetError
from registry.fingerprint import QUERY_FORMS, parse_fingerprint
from registry.jsontext import canonical_json, strict_json
from registry.preference import Action, Mode, Preference, Status, Use
from registry.signals import Fault, Reading
from registry.statement import Statement

__all__ = ["Notes", "verdict_of", "write_notes"]


def write_notes(path: Path, verdicts: Iterable[Verdict]) -> None:
    """Write verdicts to ``path``, a line each."""
    with path.open("wb") as out:
        for verdict in verdicts:
            place = verdict.sample.picture
            line = {"verdict": verdict.to_wire(), "place": None if place is None else _wire_of(place)}
            out.write(canonical_json(line) + b"\n")


class Notes(Sequence[Verdict]):
    """The verdicts in some files of lines, in their order, read when they are asked for."""

    holds: object = None
    """What must stay as long as these do: the folder of the files, where it is a temporary one."""

    def __init__(self) -> None:
        self._paths: list[Path] = []
        self._which, self._at = array("L"), array("Q")

    def add(self, path: Path) -> None:
        """Add the lines of a file."""
        at, number = 0, len(self._paths)
        self._paths.append(path)
        with path.open("rb") as lines:
            for line in lines:
                self._which.append(number)
                self._at.append(at)
                at += len(line)

    def moved(self, old: Path, new: Path) -> None:
        """Look for the files from now on under another folder."""
        self._paths = [new / path.relative_to(old) for path in self._paths]

    def __len__(self) -> int:
        return len(self._at)

    @overload
    def __getitem__(self, index: int) -> Verdict: ...

    @overload
    def __getitem__(self, index: slice) -> list[Verdict]: ...

    def __getitem__(self, index: int | slice) -> Verdict | list[Verdict]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        path = self._paths[self._which[index]]
        with path.open("rb") as lines:
            lines.seek(self._at[index])
            return _read(lines.readline(), path)

    def __iter__(self) -> Iterator[Verdict]:
        for path in self._paths:
            with path.open("rb") as lines:
                for line in lines:
                    yield _read(line, path)


def verdict_of(wire: Mapping[str, Any]) -> Verdict:
    """Return the verdict of a line of ``decisions.jsonl``, whose picture is not at hand.

    Raises KeyError, TypeError or ValueError, and :class:`registry.errors.CaveatError`.
    """
    return _verdict(wire, None)


def _read(line: bytes, path: Path) -> Verdict:
    try:
        note = strict_json(line)
        return _verdict(note["verdict"], None if note["place"] is None else _place_of(note["place"]))
    except (CaveatError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{path}: a line that cannot be read ({error!r})",
            hint="It was damaged or written by another version: run again with --no-resume.",
        ) from error


def _verdict(wire: Mapping[str, Any], place: Place | None) -> Verdict:
    keys, archive = wire["keys"], place is not None and place.size is not None
    fingerprint = None
    if "fingerprint" in keys:
        fingerprint = parse_fingerprint(keys["fingerprint"], QUERY_FORMS)
        if "sha256" in keys:
            fingerprint = replace(fingerprint, sha256=bytes.fromhex(keys["sha256"]))
    is_cell = isinstance(place, Cell)
    path = None if place is None or is_cell else place.path
    sample = Sample(
        wire["path"], path, tuple(keys.get("urls", ())), place=place if archive or is_cell else None
    )
    return Verdict(
        sample,
        Status(wire["status"]),
        Action(wire["action"]),
        wire["reason"],
        _decision(wire) if "preference" in wire else None,
        fingerprint,
        wire["as_of_seq"],
        _reading(wire),
        wire.get("own", ""),
        tuple(Statement.from_wire(one, registry=one["registry"]) for one in wire.get("below_evidence", ())),
    )


def _decision(wire: Mapping[str, Any]) -> Decision:
    statements = tuple(Statement.from_wire(one, registry=one["registry"]) for one in wire["statements"])
    # What goes with another was kept for itself.
    action = Action.KEEP if wire["cause"] == "another" else Action(wire["action"])
    use, mode, preference = Use(wire["use"]), Mode(wire["mode"]), Preference(wire["preference"])
    lifted = tuple(Statement.from_wire(one, registry=one["registry"]) for one in wire.get("lifted", ()))
    return Decision(use, mode, preference, action, statements, wire["reason"], lifted=lifted)


def _reading(wire: Mapping[str, Any]) -> Reading:
    faults = tuple(
        Fault(one["protocol"], one["carrier"], Status(one["status"]), one["message"])
        for one in wire.get("faults", ())
    )
    return Reading(tuple(Statement.from_wire(one) for one in wire.get("signals", ())), faults)


def _wire_of(place: Place) -> list[Any]:
    if isinstance(place, Cell):
        return [str(place.path), place.column, place.row, place.item]
    path = place.text if isinstance(place, AwayPlace) else str(place.path)
    return [path, place.offset, place.size, place.unpacked, place.crc]


def _place_of(wire: list[Any]) -> Place:
    path, *rest = wire
    if isinstance(rest[0], str):
        column, row, item = rest
        return Cell(Path(path), column=column, row=row, item=item)
    if "://" in path:  # No path has two slashes side by side.
        offset, size, *_ = rest
        return AwayPlace(Path(path), offset, size, text=path)
    return Place(Path(path), *rest)
