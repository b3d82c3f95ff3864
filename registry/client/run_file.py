"""``run.json`` in an account: what was run, and what came of it, for those who look at it again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from registry.client.formats.files import write_synced
from registry.client.summary import FilterSummary
from registry.client.verdicts import Rules
from registry.errors import CaveatError, DatasetError
from registry.jsontext import strict_json
from registry.preference import Mode, Use

__all__ = ["Run", "has_run", "read_run", "write_run"]

_NAME = "run.json"


@dataclass(frozen=True, slots=True)
class Run:
    """A run as its account tells it: ``as_of_seq`` is by registry, the earliest event of its answers.

    ``rules`` are those of the run, but for the terms that it met, the evidence that it asked for and the
    grants that it held; ``was_eased`` says that any of these may have kept something.
    """

    format: str
    rules: Rules
    sites_asked: bool
    was_eased: bool
    as_of_seq: Mapping[str, int]


def write_run(account: Path, summary: FilterSummary) -> None:
    """Write the summary of a run into its account."""
    data = json.dumps(summary.to_wire(), ensure_ascii=False, indent=1).encode()
    write_synced(account / _NAME, data + b"\n")


def has_run(account: Path) -> bool:
    """Say whether an account tells of its run; one of files that were filtered in place does not."""
    return (account / _NAME).exists()


def read_run(account: Path) -> Run:
    """Return the run of an account. Raises :class:`DatasetError` when it cannot be read."""
    path = account / _NAME
    try:
        wire = strict_json(path.read_bytes())
        rules = Rules(
            Use(wire["use"]),
            Mode(wire["mode"]),
            wire["organisation"],
            wire["purpose"],
            wire["possible_copies"],
        )
        as_of_seq = {str(url): int(seq) for url, seq in wire["as_of_seq"].items()}
        was_eased = bool(wire["granted"] or wire["min_evidence"] or wire["licences"])
        return Run(wire["format"], rules, bool(wire["site_signals"]), was_eased, as_of_seq)
    except (OSError, CaveatError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{path} cannot be read: {error!r}",
            hint="It was damaged, or is of an earlier version: filter the dataset again.",
        ) from error
