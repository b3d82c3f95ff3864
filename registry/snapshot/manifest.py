"""The manifest: which files a snapshot has, and as of which event, signed by the key of the log.

A C2SP signed note whose text is one line of canonical JSON (RFC 8785), which no checkpoint is::

    {"built_at":…,"checkpoint":"…","files":[{"after":0,"kind":"rules","rows":3,"sha256":"…","size":…,
     "tier":"keys","upto":12},…],"fingerprint_version":1,"format":1,"log_key":"…","seq":12}

``checkpoint`` is the whole signed note of the log's state with ``seq`` leaves; ``log_key`` the key with which
both are checked, as it was published. A file has no name of its own here: its name is made of what it is.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import rfc8785

from registry.errors import InputError, ProofError, SnapshotError
from registry.fingerprint import VERSION
from registry.jsontext import strict_json
from registry.note import Verifier, open_note, parse_checkpoint

__all__ = [
    "FORMAT",
    "TIERS",
    "FileEntry",
    "Manifest",
    "claimed",
    "files_of",
    "format_manifest",
    "open_manifest",
    "parse_manifest",
    "read_note",
]

FORMAT = 1
TIERS: Mapping[str, tuple[str, ...]] = {
    "filter": ("filter",),
    "keys": ("keys", "records"),
    "pictures": ("pictures", "records"),
    "parquet": ("parquet",),
}
"""What is fetched together → the folders of its files."""

_KINDS = {
    "filter": ("filter",),
    "keys": ("rules", "files"),
    "pictures": ("pdq", "phash"),
    "records": ("records",),
    "parquet": ("works", "rules"),
}
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_LARGEST = 2**53 - 1
_LARGEST_NOTE = 4_000_000


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file: what the events ``after < seq <= upto`` brought of ``kind``, in the folder ``tier``.

    ``rows`` counts keys, hashes, records or lines; ``size`` is in bytes; ``sha256`` hexadecimal.
    """

    tier: str
    kind: str
    after: int
    upto: int
    rows: int
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """The file's name: what it is, and the beginning of its SHA-256."""
        suffix = "parquet" if self.tier == "parquet" else "caveat"
        return f"{self.kind}-{self.after}-{self.upto}-{self.sha256[:16]}.{suffix}"

    def path(self, folder: Path) -> Path:
        """Return where the file lies in the folder of a snapshot."""
        return folder / self.tier / self.name


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a snapshot is: as of event ``seq``, ``built_at`` seconds since 1970, and its files."""

    seq: int
    built_at: int
    checkpoint: str
    log_key: str
    files: tuple[FileEntry, ...]
    fingerprint_version: int = VERSION

    @property
    def origin(self) -> str:
        """The name of the log."""
        return Verifier.parse(self.log_key).name


def files_of(manifest: Manifest, tiers: Iterable[str]) -> list[FileEntry]:
    """Return the files that belong to ``tiers``, each once."""
    folders = {folder for tier in tiers for folder in TIERS[tier]}
    return [entry for entry in manifest.files if entry.tier in folders]


def format_manifest(manifest: Manifest) -> str:
    """Return the text to sign."""
    wire = {**asdict(manifest), "format": FORMAT}
    return rfc8785.dumps(wire).decode() + "\n"


def parse_manifest(text: str) -> Manifest:
    """Undo :func:`format_manifest`. Raises :class:`SnapshotError` for anything else."""
    try:
        wire = strict_json(text.encode())
        if wire["format"] != FORMAT:
            raise SnapshotError(
                f"a snapshot of format {wire['format']!r}; this release reads {FORMAT}",
                hint="Update the client: pip install --upgrade caveat-registry.",
            )
        values = {one.name: wire[one.name] for one in fields(Manifest)}
        manifest = Manifest(**{**values, "files": tuple(FileEntry(**one) for one in wire["files"])})
        sound = _is_sound(manifest) and format_manifest(manifest) == text
    except (InputError, KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, SnapshotError):
            raise
        raise SnapshotError(f"a manifest that cannot be read: {error}") from error
    if not sound:
        raise SnapshotError("a manifest that was not written like this")
    return manifest


def open_manifest(note: str, verifier: Verifier) -> Manifest:
    """Return the manifest in a signed ``note``, once it and its checkpoint are shown to be of ``verifier``.

    Raises :class:`ProofError` when a signature is missing or wrong, or the checkpoint is of another state;
    :class:`SnapshotError` when it cannot be read.
    """
    manifest = parse_manifest(open_note(note, [verifier])[0])
    # While the log changes its key both sign; the one that is named is then as good as the one that is known.
    for one in (verifier, Verifier.parse(manifest.log_key)):
        open_note(note, [one])
        state = parse_checkpoint(open_note(manifest.checkpoint, [one])[0])
        if state.size != manifest.seq:
            raise ProofError(
                f"a manifest as of event {manifest.seq} with a checkpoint of {state.size} events"
            )
    return manifest


def claimed(note: str) -> Manifest:
    """Return the manifest in ``note``, whoever signed it. Raises :class:`SnapshotError`."""
    return parse_manifest(note.rpartition("\n\n")[0] + "\n")


def read_note(path: Path) -> str:
    """Read a signed note. Raises :class:`SnapshotError` when there is none that can be read."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_NOTE + 1)
        if len(data) > _LARGEST_NOTE:
            raise SnapshotError(f"{path}: too long for a manifest")
        return data.decode()
    except FileNotFoundError as error:
        raise SnapshotError(
            f"{path}: there is no manifest", hint="caveat snapshot pull DIR makes a snapshot."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise SnapshotError(f"{path}: cannot be read: {error}") from error


def _is_sound(manifest: Manifest) -> bool:
    texts: list[Any] = [manifest.checkpoint, manifest.log_key]
    numbers: list[Any] = [manifest.seq, manifest.built_at, manifest.fingerprint_version]
    for entry in manifest.files:
        numbers += [entry.after, entry.upto, entry.rows, entry.size]
        texts.append(entry.sha256)
        span = entry.after < entry.upto <= manifest.seq
        if entry.kind not in _KINDS.get(entry.tier, ()) or not span or not _SHA256.fullmatch(entry.sha256):
            return False
    return (
        all(type(one) is str for one in texts)
        and all(type(one) is int and 0 <= one <= _LARGEST for one in numbers)
        and len({(entry.tier, entry.name) for entry in manifest.files}) == len(manifest.files)
        and _is_gapless(manifest)
    )


def _is_gapless(manifest: Manifest) -> bool:
    """Say whether the files of each kind follow each other from the first event to the last, without a gap.

    What is missing in between would answer ``unknown``.
    """
    spans: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for entry in manifest.files:
        spans.setdefault((entry.tier, entry.kind), []).append((entry.after, entry.upto))
    return all(_follow(sorted(each), manifest.seq) for each in spans.values())


def _follow(spans: list[tuple[int, int]], end: int) -> bool:
    return [after for after, _ in spans] + [end] == [0, *(upto for _, upto in spans)]
