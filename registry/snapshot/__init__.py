"""A dated, signed set of files with everything that a registry says: for look-ups without asking it.

    manifest          what follows, signed by the log's key: :mod:`registry.snapshot.manifest`
    filter/…          one Bloom filter over all exact keys, in parts; open to all
    keys/…            the exact keys, each with the record that carries it
    pictures/…        the perceptual hashes, each with its own radius and its record
    records/…         what each record says
    parquet/…         the same as tables, for DuckDB, Polars and Spark

A snapshot is the state as of one event, the last one that its checkpoint covers. Each file speaks of the
rows that a span of events brought, and carries the beginning of its own SHA-256 in its name: what did not
change since an earlier snapshot has the same name, and is not fetched again.

Reading only; what is written stands in :mod:`registry.snapshot_folder`.
"""

from registry.snapshot.manifest import (
    TIERS,
    FileEntry,
    Manifest,
    format_manifest,
    open_manifest,
    parse_manifest,
    read_note,
)
from registry.snapshot.search import SnapshotIndex

__all__ = [
    "TIERS",
    "FileEntry",
    "Manifest",
    "SnapshotIndex",
    "format_manifest",
    "open_manifest",
    "parse_manifest",
    "read_note",
]
