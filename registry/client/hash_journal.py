"""What a run has hashed, kept until it ends: the same command after a kill hashes only the rest.

The journal is a file beside the output in the making, a line a picture: which file, what would change with
it, and what came out. A line is believed only when all of that is still so: size, times and inode of the
picture and of the ``.xmp`` files beside it, and the versions of everything that hashes. Registries are asked
again about each picture, since their state is another one by now; and a copy is made only of the bytes that
were hashed, as always.

Not written down are pictures that cannot be read, files that were changed in the last seconds, since a second
change would not show in their times, and what C2PA says: that depends on the day.

    with hashers_for(target, pictures, workers) as hashers:
        process_here(dataset, judges, spec, progress, hashers, there)
"""

import hashlib
import json
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import registry
from registry.client.pictures import Hashed, Hashers, sidecar_names
from registry.client.place import Place
from registry.errors import CaveatError, DatasetError
from registry.fingerprint import QUERY_FORMS, VERSION, parse_fingerprint
from registry.signals import Reading
from registry.statement import Statement

__all__ = ["LEAST_PICTURES", "HashJournal", "JournaledHashers", "hashers_for", "journal_of"]

LEAST_PICTURES = 1000
"""Fewer are hashed again in seconds, and no journal is kept of them."""

State: TypeAlias = list[list[int] | None]
"""Size, times in nanoseconds and inode of a picture, and of each file that may speak of it; None without."""

_FORMAT = 1
_SETTLED = 2 * 10**9
"""Nanoseconds after which a further change gets another time, on every file system."""

_SUM = 16
_HASHING = ("pillow", "numpy", "defusedxml", "c2pa-python")


def journal_of(target: Path) -> Path:
    """Return where the journal of a run whose output is to be ``target`` lies."""
    return target.with_name(f".{target.name}.hashes.partial")


def hashers_for(
    target: Path, pictures: int | None, workers: int, *, resume: bool = True, keep: bool = False
) -> Hashers:
    """Return what hashes so many pictures of a run to ``target``, with a journal where they are many.

    None stands for few. Without ``resume`` what an earlier run has hashed goes; ``keep`` is as
    :class:`JournaledHashers` has it.
    """
    journal = journal_of(target)
    if not resume:
        journal.unlink(missing_ok=True)
    if (pictures or 0) < LEAST_PICTURES:
        return Hashers(workers)
    return JournaledHashers(workers, journal, keep=keep)


class HashJournal:
    """The journal at ``path``; of one that was written by another version nothing is believed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at: dict[str, int] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        head, whole = _line(_versions()), True
        try:
            whole = self._index(head)
        except FileNotFoundError:
            whole = False
        if not whole:
            path.write_bytes(head)
        self._writing: BinaryIO = path.open("ab")
        self._reading: BinaryIO = path.open("rb")
        # What was cut off ends here, and is not read.
        self._writing.write(b"\n")

    def __len__(self) -> int:
        return len(self._at)

    def recall(self, place: Place, state: State | None) -> Hashed | None:
        """Return what was written down of a picture, None where there is nothing that still holds."""
        at = self._at.get(_key(place))
        if at is None or state is None:
            return None
        self._reading.seek(at)
        wire = _parsed(self._reading.readline())
        if wire is None or wire.get("file") != _key(place) or wire.get("state") != state:
            return None
        return _hashed(place, wire)

    def remember(self, hashed: Hashed, state: State | None) -> None:
        """Write down what came out of a picture that was in ``state`` before, and is so still."""
        if hashed.fingerprint is None or state is None or _is_fleeting(hashed.reading):
            return
        if _is_fresh(state) or state_of(hashed.place) != state:
            return
        sha256 = hashed.fingerprint.sha256
        wire = {
            "file": _key(hashed.place),
            "state": state,
            "fingerprint": hashed.fingerprint.to_wire(),
            "sha256": None if sha256 is None else sha256.hex(),
            "signals": [one.to_wire() for one in hashed.reading.statements],
        }
        line = _line(wire)
        if _hashed(hashed.place, _parsed(line) or {}) == hashed:
            self._writing.write(line)

    def flush(self) -> None:
        """Hand over what was written, so that it outlives this process."""
        self._writing.flush()

    def close(self, *, delete: bool) -> None:
        """End; with ``delete`` nothing of it stays."""
        self._writing.close()
        self._reading.close()
        if delete:
            self._path.unlink(missing_ok=True)

    def _index(self, head: bytes) -> bool:
        """Take up where each picture's last line is; say whether the journal is of this version."""
        with self._path.open("rb") as lines:
            at = len(first := lines.readline())
            if first != head:
                return False
            for line in lines:
                if (wire := _parsed(line)) is not None:
                    self._at[str(wire.get("file"))] = at
                at += len(line)
        return True


class JournaledHashers(Hashers):
    """Hashers that pass over what the journal at ``path`` has, and write down the rest.

    When the block ends well the journal goes. It goes too with an error of the dataset itself, which
    would be the same with it, unless ``keep`` says that whoever runs mends one file after the other.
    """

    def __init__(self, workers: int, path: Path, *, keep: bool = False) -> None:
        super().__init__(workers)
        self._journal, self._keep = HashJournal(path), keep

    def __exit__(self, *raised: object) -> None:
        super().__exit__(*raised)
        [error] = raised[1:2] or [None]
        is_final = error is None or (isinstance(error, DatasetError) and not self._keep)
        self._journal.close(delete=is_final)

    def begin(self, paths: Sequence[Path | Place], *, registered: bool = False) -> Iterator[Hashed]:
        """Begin hashing what the journal does not have, and return all of it, in order."""
        if registered:
            return super().begin(paths, registered=registered)
        places = [path if isinstance(path, Place) else Place(path) for path in paths]
        states = [state_of(place) for place in places]
        recalled = [self._journal.recall(*one) for one in zip(places, states, strict=True)]
        todo = [place for place, one in zip(places, recalled, strict=True) if one is None]
        return self._all(recalled, states, super().begin(todo))

    def _all(
        self, recalled: Sequence[Hashed | None], states: Sequence[State | None], fresh: Iterator[Hashed]
    ) -> Iterator[Hashed]:
        for one, state in zip(recalled, states, strict=True):
            hashed = next(fresh) if one is None else one
            if one is None:
                self._journal.remember(hashed, state)
            yield hashed
        self._journal.flush()


def state_of(place: Place) -> State | None:
    """Return what changes with a picture, None where it cannot be told."""
    paths = [place.path]
    if place.size is None and place.sidecars is None:
        paths += [place.path.with_name(name) for name in sidecar_names(place.path)]
    try:
        first, *others = (_state(path) for path in paths)
    except OSError:
        return None
    return None if first is None else [first, *others]


def _state(path: Path) -> list[int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _is_fresh(state: State) -> bool:
    latest = max(max(one[1], one[2]) for one in state if one is not None)
    return time.time_ns() - latest < _SETTLED


def _is_fleeting(reading: Reading) -> bool:
    """Say whether what a picture says may be another thing later: faults, and what a certificate bounds."""
    signals = (one.signal for one in reading.statements)
    return bool(reading.faults) or any(one is None or one.protocol == "c2pa" for one in signals)


def _versions() -> dict[str, Any]:
    """Return by what hashes may differ."""
    ours = {"journal": _FORMAT, "caveat": registry.__version__, "fingerprint": VERSION}
    return {**ours, "python": [sys.version, platform.machine()], **{one: _version(one) for one in _HASHING}}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _key(place: Place) -> str:
    path = place.path.absolute()
    return str(path) if place.size is None else f"{path}\n{place.offset}\n{place.size}"


def _line(wire: Mapping[str, Any]) -> bytes:
    """Return a line: the beginning of its SHA-256, a space, and JSON."""
    text = json.dumps(wire).encode()
    return hashlib.sha256(text).hexdigest()[:_SUM].encode() + b" " + text + b"\n"


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Undo :func:`_line`; None for what was cut off or damaged."""
    found, _, text = line.rstrip(b"\n").partition(b" ")
    if hashlib.sha256(text).hexdigest()[:_SUM].encode() != found:
        return None
    wire = json.loads(text)
    return wire if isinstance(wire, dict) else None


def _hashed(place: Place, wire: Mapping[str, Any]) -> Hashed | None:
    try:
        fingerprint = parse_fingerprint(wire["fingerprint"], QUERY_FORMS)
        if (sha256 := wire["sha256"]) is not None:
            fingerprint = replace(fingerprint, sha256=bytes.fromhex(sha256))
        reading = Reading(tuple(Statement.from_wire(one) for one in wire["signals"]))
    except (CaveatError, KeyError, TypeError, ValueError):
        return None
    return Hashed(place.bare, fingerprint, reading=reading)
