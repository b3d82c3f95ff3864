"""What a fault did: one row of the table, as text and as Markdown.

A row names the promise, the fault, how often it was injected, and what an independent check counted after
it. ``lost``: an acknowledged registration that is not there, or that any answer left out. ``doubled``: one
request that was stored twice. ``stale``: an answer from before the head that its asker knew. ``other``: what
else is not as promised, in words. A fault that cannot be injected on this machine is a row too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

__all__ = ["CannotRunError", "Outcome", "as_markdown", "as_text"]

_MOST = 5
"""Broken promises that are told in words; the others are counted."""
_HEADS = ("promise", "fault", "injected", "acknowledged", "lost", "doubled", "stale", "other", "s")


class CannotRunError(Exception):
    """This machine cannot inject the fault; says what is missing."""


@dataclass(slots=True)
class Outcome:
    """What was counted; ``seconds`` are filled in by whoever ran it."""

    injected: int = 0
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    stale: int = 0
    other: list[str] = field(default_factory=list)
    note: str = ""
    cannot: str = ""
    promise: str = ""
    fault: str = ""
    seconds: float = 0.0

    @property
    def is_kept(self) -> bool:
        """Whether the promise held; a fault that was never injected shows nothing."""
        counted = self.lost or self.doubled or self.stale or self.other
        return not counted and (self.injected > 0 or bool(self.cannot))

    def broken(self, what: str) -> None:
        """Count something that is not as promised."""
        self.other.append(" ".join(what.split()))

    def cells(self) -> list[str]:
        """Return the row as texts, in the order of the heads."""
        if self.cannot:
            return [self.promise, self.fault, "cannot run here", *["–"] * 5, f"{self.seconds:.0f}"]
        counts = (self.injected, self.acknowledged, self.lost, self.doubled, self.stale, len(self.other))
        return [self.promise, self.fault, *(f"{one:,}" for one in counts), f"{self.seconds:.0f}"]

    def remarks(self) -> list[str]:
        """Return what the figures do not tell."""
        told = [f"cannot run here: {self.cannot}"] if self.cannot else []
        told += [self.note] if self.note else []
        told += [f"BROKEN: {one}" for one in self.other[:_MOST]]
        if len(self.other) > _MOST:
            told.append(f"BROKEN: and {len(self.other) - _MOST} more")
        if not (self.injected or self.cannot):
            told.append("BROKEN: the fault was never injected, so this row shows nothing")
        return [f"{self.fault}: {one}" for one in told]


def as_text(outcomes: Sequence[Outcome]) -> str:
    """Return the table for a terminal."""
    rows = [_HEADS, *(one.cells() for one in outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    lines = ["  ".join(_padded(row, widths)).rstrip() for row in rows]
    return "\n".join([*lines, "", *_remarks(outcomes)]) + "\n"


def as_markdown(outcomes: Sequence[Outcome]) -> str:
    """Return the table for a page."""
    rows = [_HEADS, ["---", "---", *["---:"] * (len(_HEADS) - 2)], *(one.cells() for one in outcomes)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "", *(f"- {one}" for one in _remarks(outcomes))]) + "\n"


def _padded(row: Sequence[str], widths: Sequence[int]) -> Iterable[str]:
    for place, (cell, width) in enumerate(zip(row, widths, strict=True)):
        yield cell.ljust(width) if place < 2 else cell.rjust(width)


def _remarks(outcomes: Sequence[Outcome]) -> list[str]:
    return [remark for one in outcomes for remark in one.remarks()]
