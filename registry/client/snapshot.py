"""Look-ups in a snapshot on this machine: the same answers as the registry's, and nothing is sent.

    with Snapshot.open("caveat-snapshot") as snapshot:
        snapshot.lookup([Asked("https://ada.example/a.jpg")], Use.GENAI_TRAIN)

Answers hold as of the event of the snapshot. Every file is checked whole when it is opened; one that is
damaged, not signed by the pinned key, or older than allowed is an error by name, never “unknown”.

With the tier ``filter`` alone a key that may be registered asks for a review, and any other is unknown. A
picture of which only the file was compared, because the tier ``pictures`` is not here, is not checked.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from registry.client.http import MARKS, Asked, Known, Marks
from registry.decision import decide, effective
from registry.errors import GrantError, InputError, ProofError, SnapshotError, StaleSnapshotError
from registry.fingerprint import VERSION
from registry.matching import MAX_NEAR, MAX_STATEMENTS, TOO_PLAIN, Found, Question, find, marked
from registry.note import Verifier
from registry.preference import Preference, Status, Use
from registry.snapshot.folder import Seen, open_files, open_seen, seen, tiers_here
from registry.snapshot.manifest import Manifest, files_of, open_manifest, read_note
from registry.snapshot.records import Records
from registry.snapshot.search import MAYBE, SnapshotIndex
from registry.statement import Match, Statement
from registry.urls import canonicalize_url

__all__ = ["DAY", "MAX_AGE_DAYS", "PINNED", "Snapshot", "known_key", "open_signed", "question_of"]

DAY = 86_400
MAX_AGE_DAYS = 7
"""Days that a snapshot may be old unless another number is asked for."""
PINNED = "log.key"
"""The file in a pulled folder with the key of the log by which everything later is checked."""

_AHEAD = 3_600
"""Seconds by which a registry's clock may go before ours."""
_LABEL = "a filter, which may err"
_AGAIN = "Fetch a newer one: caveat snapshot pull DIR."
_NO_PICTURES = "the snapshot here has no pictures to compare with; fetch its tier pictures"


def known_key(folder: Path, given: str | None = None) -> Verifier | None:
    """Return the key by which the snapshot in ``folder`` is checked: ``given``, or the one pinned there.

    Raises :class:`ProofError` when they are two, :class:`SnapshotError` when the pinned one cannot be read.
    """
    try:
        pinned = (folder / PINNED).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        pinned = ""
    except (OSError, UnicodeDecodeError) as error:
        raise SnapshotError(f"{folder / PINNED} cannot be read: {error}") from error
    if given and pinned and given != pinned:
        raise ProofError(
            f"the key that was given is not {pinned}, which is pinned in {folder}",
            hint="If the log has a new key that you trust, fetch into another folder.",
        )
    return Verifier.parse(given or pinned) if given or pinned else None


def open_signed(folder: Path, given: str | None = None) -> Manifest:
    """Return the manifest of the snapshot in ``folder``, signed as it must be."""
    note, known = read_note(folder / "manifest"), known_key(folder, given)
    if known is None:
        raise ProofError(
            f"no key to check {folder} with", hint="Give --log-key; the registry's operator publishes it."
        )
    return open_manifest(note, known)


class _Opened(NamedTuple):
    """Where the files lie, as they were seen before they were checked."""

    folder: Path
    files: tuple[Seen, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An open snapshot; answers as :class:`registry.client.RegistryClient` does.

    ``url`` names it in accounts; ``tiers`` are those that are here.

    One that is pickled, for another process, opens the same files there. They are checked again, byte by
    byte, unless they are the very files that were checked here and nobody has written to them since.
    """

    manifest: Manifest
    tiers: tuple[str, ...]
    url: str
    _index: SnapshotIndex = field(repr=False)
    _records: Records = field(repr=False)
    _opened: _Opened = field(repr=False)

    @classmethod
    def open(
        cls,
        folder: Path | str,
        *,
        log_key: str | None = None,
        max_age: float = MAX_AGE_DAYS,
        now: Callable[[], float] = time.time,
    ) -> "Snapshot":
        """Check and open the snapshot in ``folder``; ``max_age`` is in days.

        Raises :class:`ProofError`, :class:`SnapshotError`, :class:`StaleSnapshotError`.
        """
        folder = Path(folder)
        manifest = open_signed(folder, log_key)
        _require_fresh(folder, manifest, max_age, now())
        tiers = tiers_here(folder, manifest)
        if not {"keys", "filter"}.intersection(tiers):
            raise SnapshotError(f"{folder} has neither keys nor filter", hint=_AGAIN)
        entries = files_of(manifest, _answering(tiers))
        # Looked at before they are checked: whatever is done to them from here on shows.
        opened = _Opened(folder.resolve(), seen(folder, entries))
        return cls._of(manifest, tuple(tiers), opened, open_files(folder, entries))

    @classmethod
    def _of(
        cls, manifest: Manifest, tiers: tuple[str, ...], opened: _Opened, parts: Mapping[str, Any]
    ) -> "Snapshot":
        kinds = {"keys": ("rules", "files"), "pictures": ("pdq", "phash"), "filter": ("filter",)}
        found = {kind: parts.get(kind, []) for tier in _answering(tiers) for kind in kinds[tier]}
        index, records = SnapshotIndex(found), Records(parts.get("records", []))
        return cls(manifest, tiers, f"snapshot of {manifest.origin}", index, records, opened)

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened_anew, (self.manifest, self.tiers, self._opened)

    def __enter__(self) -> "Snapshot":
        return self

    def __exit__(self, *_: object) -> None:
        return

    @property
    def as_of_seq(self) -> int:
        """The event up to which everything here holds."""
        return self.manifest.seq

    def check_parameters(self) -> Mapping[str, Any]:
        """Say what it was built with; :class:`SnapshotError` when our fingerprints are not comparable."""
        version = self.manifest.fingerprint_version
        if version != VERSION:
            raise SnapshotError(
                f"a snapshot of fingerprint version {version}; this client makes version {VERSION}",
                hint="Update the client: pip install --upgrade caveat-registry.",
            )
        return {"fingerprint_versions": [version], "max_marks": MARKS}

    def lookup(
        self, items: Sequence[Asked], use: Use, *, review: bool = True, grants: Sequence[str] = ()
    ) -> list[Known]:
        """Look up ``items``; one answer an item, in their order.

        Without ``review`` possible copies, which ask for a second look, are not searched for. Raises
        :class:`GrantError` for any ``grants``: a snapshot does not tell which were taken back.
        """
        if grants:
            raise GrantError("a snapshot does not tell which grants hold", hint="Leave out --snapshot.")
        parsed = [question_of(item) for item in items]
        questions = [one for one in parsed if isinstance(one, Question)]
        found, incomplete = find(self._index, questions, review=review)
        answers = iter(
            [
                self._known(question, matches, use, complete=place not in incomplete)
                for place, (question, matches) in enumerate(zip(questions, found, strict=True))
            ]
        )
        return [next(answers) if isinstance(one, Question) else self._unanswered(*one) for one in parsed]

    def mark(self, keys: NDArray[np.uint64], of: str = "rule") -> Marks:
        """Say which of ``keys: uint64[n, 2]`` anything stands under, ``of`` ``rule`` or ``sha256``.

        Of the tier ``filter`` alone, under which anything may stand.
        """
        return Marks(self.as_of_seq, marked(self._index, keys, of))

    def _known(self, question: Question, matches: Found, use: Use, *, complete: bool) -> Known:
        said = [self._statement(ref, match, use) for (ref, _), match in sorted(matches.items(), key=_place)]
        told = [replace(one, principal="") for one in effective(said, use)[:MAX_STATEMENTS]]
        decision = decide(told, use)
        # What was not compared could only make the answer stricter: a reservation stands, anything else not.
        if decision.preference is not Preference.RESERVED:
            if not complete:
                return self._unanswered(
                    Status.ERROR,
                    f"near to more than {MAX_NEAR} registered pictures; not all were looked at",
                )
            if not self._index.has_pictures and question.is_comparable:
                return self._unanswered(Status.NOT_CHECKED, _NO_PICTURES)
        return Known(Status.OK, decision.reason, tuple(told), self.as_of_seq)

    def _statement(self, ref: int, match: Match, use: Use) -> Statement:
        if ref == MAYBE:
            doubtful = replace(match, certain=False)
            return Statement({use: Preference.RESERVED}, doubtful, label=_LABEL, registry=self.url)
        return self._records.statement(ref, match, self.url)

    def _unanswered(self, status: Status, reason: str) -> Known:
        return Known(status, reason, (), self.as_of_seq)


def _opened_anew(manifest: Manifest, tiers: tuple[str, ...], opened: _Opened) -> Snapshot:
    entries = files_of(manifest, _answering(tiers))
    return Snapshot._of(manifest, tiers, opened, open_seen(opened.folder, entries, opened.files))


def _answering(tiers: Sequence[str]) -> list[str]:
    """Return the tiers from which answers come: keys take the place of the filter."""
    return [tier for tier in tiers if tier != "parquet" and (tier != "filter" or "keys" not in tiers)]


def _require_fresh(folder: Path, manifest: Manifest, max_age: float, now: float) -> None:
    age = now - manifest.built_at
    if age > max_age * DAY:
        raise StaleSnapshotError(
            f"{folder} was built {age / DAY:.1f} days ago, and may be {max_age:g} days old", hint=_AGAIN
        )
    if age < -_AHEAD:
        raise StaleSnapshotError(
            f"{folder} will be built in {-age / DAY:.1f} days by the clock of this machine",
            hint="Set the clock right: how old the snapshot is cannot be said.",
        )


def question_of(item: Asked) -> Question | tuple[Status, str]:
    """Return the question of an item, or why there is none, as the service words it."""
    try:
        url = None if item.url is None else canonicalize_url(item.url)
    except InputError as error:
        return Status.MALFORMED, error.message
    if url is None and item.fingerprint is None:
        return Status.MALFORMED, "none of url, sha256 and fingerprint is given"
    sha256 = None if item.fingerprint is None else item.fingerprint.sha256
    question = Question(url, sha256, item.fingerprint)
    return (Status.NOT_CHECKED, TOO_PLAIN) if question.too_plain else question


def _place(found: tuple[tuple[int, str], Match]) -> int:
    return found[0][0]
