"""What recall.py says: the tables, the raw figures, the plot, and a sheet of pairs to look at."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from hashes import LUMA, PDQ_BY, SAME, SMALLER
from matplotlib.axes import Axes
from measures import Calibration, Distances, Result
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.stats import chi2

from registry.picture import decode_picture

__all__ = ["Figures", "Moved", "as_json", "as_markdown", "contact_sheet", "plot"]

Moved = tuple[str, int | None]
"""How a file was decoded to ask (hashes.SMALLER …), and by how many bits that moved the hash of the whole.

None where only one of the two passed the quality gate."""

DECIDES, REVIEW = 1.4e-7, 1e-6
"""False matches a pair that are allowed where a match decides, and where it asks for a review."""


_COLUMNS = {
    ("ours, deciding", "31"),
    ("ours", "47"),
    ("ours, 16 forms", "31"),
    ("PDQ", "31"),
    ("PDQ", "63"),
    ("pHash-64", "3"),
    ("pHash-256", "39"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """All that was measured.

    ``in_use`` are results at radii in use, ``at_limit`` at the largest radius within the limit, by the name
    among the hashes, as ``distances``; ``original_sources`` the source of each original; ``moved`` by which
    files; ``nearest`` pairs of strangers: distance, who asks, who is registered.
    """

    pictures: int
    sources: int
    transformations: list[str]
    in_use: list[Result]
    at_limit: dict[str, Result]
    original_sources: list[str]
    calibrated: list[tuple[Calibration, Result]]
    distances: dict[str, Distances]
    moved: dict[str, list[Moved]]
    nearest: list[tuple[int, str, str]]
    nearest_changed: list[tuple[int, str, str]]

    @property
    def tabled(self) -> list[Result]:
        """The results in use that have a column of their own in the wide tables."""
        return [one for one in self.in_use if (one.name, one.radius) in _COLUMNS]

    @property
    def pairs(self) -> int:
        """Pairs of strangers that were compared as they are."""
        return int(self.distances["ours"].strangers.sum())

    @property
    def changed_pairs(self) -> int:
        """Pairs of strangers of which the asking one was changed."""
        return int(self.distances["ours"].changed.sum())

    @property
    def originals(self) -> int:
        """Pictures that were changed."""
        return int(self.distances["ours"].copies.shape[1])

    def best(self, rate: float) -> Result:
        """Return the radii of their own with the highest recall within ``rate`` false matches a pair."""
        within = [one for _, one in self.calibrated if one.strangers <= rate * self.pairs]
        return max(within, key=lambda one: (one.mean, -one.strangers, -one.changed))

    def calibration(self, cap: int, margin: int) -> Result:
        """Return what was measured with this choice."""
        return dict(self.calibrated)[Calibration(cap, margin)]


# Tables


def as_markdown(figures: Figures) -> str:
    """Return the tables."""
    limit = "Each at the largest radius with at most one false match a million pairs:"
    chosen = [figures.calibration(*one) for one in ((31, 40), (59, 40), (63, 20))]
    chosen += [figures.best(DECIDES), figures.best(REVIEW)]
    own = "A radius for each window: proposed where a match decides, and for the review; as first planned; "
    own += (
        f"the highest recall within {1e6 * DECIDES:.2f} and {1e6 * REVIEW:.0f} false matches a million pairs:"
    )
    parts = [
        *_what(figures),
        *_summary(figures, "At radii in use:", figures.in_use),
        *_summary(figures, limit, list(figures.at_limit.values())),
        *_summary(figures, own, chosen),
        *_margins(figures),
        *_by_transformation(figures),
        *_by_source(figures),
        *_scale(figures),
        *_pairs("The nearest strangers, as they are:", figures.nearest[:24]),
        *_pairs("The nearest strangers, the asking one changed:", figures.nearest_changed[:24]),
    ]
    return "\n".join(parts) + "\n"


def _what(figures: Figures) -> Iterator[str]:
    ways = len(figures.transformations)
    yield f"{figures.pictures:,} pictures of {figures.sources} sources are registered."
    yield f"{figures.originals} of them, spread over the sources, changed in {ways} ways, ask: recall."
    yield f"False matches: {figures.pairs:,} ordered pairs of pictures of different sources, as they are;"
    yield f"in the last column {figures.changed_pairs:,} pairs, the asking picture changed."
    yield "± and ranges are 95 % intervals; those of the rates take pairs as independent, which they are not:"
    yield f"one plain disc can match many others. PDQ is computed by {PDQ_BY}."
    yield ""


def _summary(figures: Figures, title: str, results: Sequence[Result]) -> Iterator[str]:
    yield from (title, "")
    yield "| method | radius, bits | mean recall | false matches | a million pairs | a million, one changed |"
    yield "|---|---|---|---|---|---|"
    for one in results:
        recall = f"{one.mean:.3f} ± {one.spread:.3f}"
        rates = _rate(one.strangers, figures.pairs), _rate(one.changed, figures.changed_pairs)
        yield _line(one.name, one.radius, recall, f"{one.strangers:,}", *rates)
    yield ""


def _rate(count: int, pairs: int) -> str:
    """Return the rate a million with its exact Poisson interval; of none, the 95 % upper bound."""
    scale = 1e6 / pairs
    if not count:
        return f"< {scale * chi2.ppf(0.95, 2) / 2:.2f}"
    low, high = chi2.ppf(0.025, 2 * count) / 2, chi2.ppf(0.975, 2 * count + 2) / 2
    return f"{scale * count:.2f} ({scale * low:.2f}–{scale * high:.2f})"


def _margins(figures: Figures) -> Iterator[str]:
    caps = sorted({one.cap for one, _ in figures.calibrated})
    yield "Radii of their own, at most the cap: mean recall, and false matches (with one changed)."
    yield ""
    yield _line("margin", *(f"cap {cap}" for cap in caps))
    yield "|---" * (1 + len(caps)) + "|"
    for margin in sorted({one.margin for one, _ in figures.calibrated}):
        cells = [figures.calibration(cap, margin) for cap in caps]
        yield _line(str(margin), *(f"{one.mean:.3f}, {one.strangers} ({one.changed})" for one in cells))
    yield ""


def _by_transformation(figures: Figures) -> Iterator[str]:
    iscc = [figures.at_limit[key] for key in ("iscc64", "iscc256") if key in figures.at_limit]
    columns = [*figures.tabled]
    columns += [figures.best(REVIEW), *iscc]
    yield from ("Recall by transformation, at the radius after @:", "")
    yield _line("transformation", *(f"{one.name} @{one.radius}" for one in columns), "ours: no hash")
    yield "|---" * (2 + len(columns)) + "|"
    own = figures.distances["ours"]
    none = own.copies > own.bits
    for number, name in enumerate(figures.transformations):
        shares = (one.found[number].mean() for one in columns)
        yield _line(name, *map(_share, shares), _share(none[number].mean()))
    yield _line("**mean**", *(f"**{one.mean:.3f}**" for one in columns), f"**{none.mean():.3f}**")
    yield ""


def _by_source(figures: Figures) -> Iterator[str]:
    columns = figures.tabled
    yield from ("Mean recall by source:", "")
    yield _line("source", "originals", *(f"{one.name} @{one.radius}" for one in columns))
    yield "|---" * (2 + len(columns)) + "|"
    for source in sorted(set(figures.original_sources)):
        of_it = np.array(figures.original_sources) == source
        yield _line(source, str(of_it.sum()), *(_share(one.found[:, of_it].mean()) for one in columns))
    yield ""


def _share(value: float) -> str:
    return "0" if value == 0 else "1" if value == 1 else f"{value:.2f}".lstrip("0")


_DECODINGS = {
    SMALLER: "JPEG, decoded at a smaller scale (short side from 1,024 px)",
    LUMA: "JPEG, at its own scale, luma alone",
    SAME: "others: decoded as for registration",
}


def _scale(figures: Figures) -> Iterator[str]:
    yield "Registered at full scale as browsers do, asked as the command line does: bits between the two"
    yield from ("hashes of the whole.", "")
    yield "| files | decoding | number | median | 99 % | most | above 31 | one below the quality gate |"
    yield "|---" * 8 + "|"
    for files, moved in figures.moved.items():
        for decoding, text in _DECODINGS.items():
            of_kind = [bits for one, bits in moved if one == decoding]
            bits = np.array([one for one in of_kind if one is not None])
            if len(bits):
                far = int((bits > 31).sum())
                cells = np.median(bits), np.percentile(bits, 99), bits.max(), far, of_kind.count(None)
                yield _line(files, text, f"{len(of_kind):,}", *(f"{cell:.0f}" for cell in cells))
    yield ""


def _pairs(title: str, pairs: Sequence[tuple[int, str, str]]) -> Iterator[str]:
    yield from (title, "", "| bits | asks | registered |", "|---|---|---|")
    for distance, asks, registered in pairs:
        yield _line(str(distance), _short(asks), _short(registered))
    yield ""


def _short(path: str) -> str:
    return f"{path.split('/')[0]} … {path.rsplit('/', 1)[1]}"


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


# Raw figures


def as_json(figures: Figures) -> dict[str, Any]:
    """Return every figure: distances of copies by transformation, counts of strangers by distance."""
    plain = ("pictures", "sources", "originals", "pairs", "changed_pairs", "transformations")
    plain += ("original_sources", "moved", "nearest", "nearest_changed")
    results = [*figures.in_use, *figures.at_limit.values()]
    return {name: getattr(figures, name) for name in plain} | {
        "results": [_result(one) for one in results],
        "calibrated": [
            {"cap": choice.cap, "margin": choice.margin, **_result(one)} for choice, one in figures.calibrated
        ],
        "distances": {
            key: {
                "bits": one.bits,
                "copies": one.copies.tolist(),
                "strangers": one.strangers.tolist(),
                "changed": one.changed.tolist(),
            }
            for key, one in figures.distances.items()
        },
    }


def _result(one: Result) -> dict[str, Any]:
    return {
        "name": one.name,
        "radius": one.radius,
        "mean": one.mean,
        "spread": one.spread,
        "recall": one.found.mean(axis=1).tolist(),
        "strangers": one.strangers,
        "changed": one.changed,
    }


# Plot

_INK, _QUIET, _FAINT = "#22272e", "#5d6670", "#d8dde3"
_GREEN, _BLUE, _PINK, _ORANGE = "#00695c", "#2b7bba", "#b8478f", "#c77700"
_DOTS: Mapping[tuple[str, str], tuple[str, str, str, float]] = {
    ("pHash-64", "3"): (_PINK, "s", _PINK, -0.24),
    ("PDQ", "31"): (_BLUE, "^", _BLUE, 0),
    ("ours", "47"): (_GREEN, "o", "white", 0.24),
    ("ours, deciding", "31"): (_GREEN, "o", _GREEN, 0.24),
}
"""Name and radius → colour (told apart by the colour-blind too), marker, its filling, how far off the row it
stands, that equal values may be seen; the last on top."""
_CURVES = {
    "ours": (_GREEN, "-", (31, 47)),
    "ours16": (_GREEN, (0, (4, 2)), (31,)),
    "pdq": (_BLUE, "-", (31, 63)),
    "phash64": (_PINK, "-", (3,)),
    "phash256": (_PINK, (0, (4, 2)), (39,)),
    "iscc256": (_ORANGE, "-", ()),
}
"""Name among the hashes → colour, line, the radii that are marked on it."""
_WIDEST = 1e-5
"""False matches a pair at which the curves end."""
_POINT: dict[str, Any] = {"textcoords": "offset points", "fontsize": 9}


def plot(figures: Figures, file: Path) -> None:
    """Draw recall by transformation at the radii in use, and below it recall against false matches."""
    plt.rcParams.update({"svg.fonttype": "none", "font.family": ["DejaVu Sans", "sans-serif"]})
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(9, 15), height_ratios=(10.4, 4.6), layout="constrained", facecolor="white"
    )
    _draw_transformations(above, figures)
    _draw_rates(below, figures)
    figure.savefig(file, dpi=100, metadata={"Date": None} if file.suffix == ".svg" else None)
    plt.close(figure)


def _draw_transformations(axes: Axes, figures: Figures) -> None:
    shown = [(one, *_DOTS[key]) for key in _DOTS for one in figures.in_use if (one.name, one.radius) == key]
    recalls = np.array([one.found.mean(axis=1) for one, *_ in shown])
    order = np.lexsort(recalls)  # by the last row, what decides; then by the review band
    places = np.arange(len(order))
    axes.hlines(places, 0, 1, color=_FAINT, linewidth=0.8, zorder=1)
    for height, ((one, colour, marker, filling, lift), recall) in enumerate(zip(shown, recalls, strict=True)):
        look: dict[str, Any] = {"marker": marker, "c": filling, "edgecolors": colour, "linewidths": 1.3}
        axes.scatter(recall[order], places + lift, 34, zorder=3, **look)
        at = len(order) + 0.3 + 0.85 * height
        axes.scatter(0.02, at, 34, **look)
        text = f"{one.name}, within {one.radius} bits: {one.mean:.0%} in the mean"
        axes.text(0.04, at, text, color=colour, va="center", fontsize=9)
    axes.set_yticks(places, [figures.transformations[number] for number in order])
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.8, len(order) + 3.4))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    _dress(axes, f"Copies found, by what was done to them ({figures.originals} pictures each)")


def _draw_rates(axes: Axes, figures: Figures) -> None:
    least, ends = 1 / figures.pairs, []
    for key, (colour, line, marked) in _CURVES.items():
        rates, recall = _curve(figures.distances[key], figures.pairs)
        axes.plot(rates, recall, color=colour, linestyle=line, linewidth=1.6)
        for radius in marked:
            at = rates[radius], recall[radius]
            axes.plot(*at, "o", color=colour, markersize=6)
            axes.annotate(f"{radius}", at, (-5, 6), **_POINT, color=colour, ha="right")
        shown = rates <= _WIDEST
        ends.append((recall[shown][-1], key, colour))
    lowest = -1.0
    for recall, key, colour in sorted(ends):
        lowest = max(recall, lowest + 0.018)  # labels keep apart
        name = figures.at_limit[key].name if key in figures.at_limit else key
        axes.text(_WIDEST * 1.12, lowest, name, color=colour, fontsize=9, va="center")
    axes.axvline(REVIEW, color=_QUIET, linewidth=0.8, linestyle=":")
    axes.text(REVIEW * 1.04, 0.26, "one in a million", color=_QUIET, fontsize=8.5)
    axes.set(xscale="log", xlim=(least / 2.6, _WIDEST * 3.2), ylim=(0.25, max(end[0] for end in ends) + 0.04))
    axes.set_xticks([least / 2, 1e-7, 1e-6, 1e-5], ["none seen", "0.1", "1", "10"])
    axes.minorticks_off()
    axes.set_xlabel("false matches a million pairs of strangers", color=_QUIET)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    _dress(axes, "Mean recall against false matches; dots are radii, in bits")


def _curve(one: Distances, pairs: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return by radius: false matches a pair, NaN beyond what is drawn, and mean recall.

    Where no false match was seen, the rate is drawn at half of one.
    """
    seen = np.cumsum(one.strangers)[: one.bits]
    recall = np.cumsum(np.bincount(one.copies.ravel(), minlength=one.bits))[: one.bits] / one.copies.size
    rates = np.maximum(seen, 0.5) / pairs
    return np.where(rates <= _WIDEST, rates, np.nan), recall


def _dress(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=_INK)
    axes.tick_params(length=0, which="both", colors=_INK, labelsize=9)
    axes.grid(color="#eceff2", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)


# Pairs to look at


def contact_sheet(
    pairs: Iterable[tuple[int, str, str]], root: Path, file: Path, *, across: int = 6, side: int = 144
) -> None:
    """Write pairs beside one another, ``side`` px each, with their distance and names."""
    tiles = [_tile(pair, root, side) for pair in pairs]
    wide, high = tiles[0].size
    sheet = Image.new("RGB", (across * wide, -(-len(tiles) // across) * high), "white")
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (number % across * wide, number // across * high))
    sheet.save(file)


def _tile(pair: tuple[int, str, str], root: Path, side: int) -> Image.Image:
    distance, *paths = pair
    tile = Image.new("RGB", (2 * side + 16, side + 40), "white")
    names = " | ".join(Path(path).name[:22] for path in paths)
    ImageDraw.Draw(tile).text((2, 2), f"{distance}  {names}", "black", ImageFont.load_default(11))
    for number, path in enumerate(paths):
        image = Image.fromarray(decode_picture((root / path).read_bytes()).rgb)
        image.thumbnail((side, side))
        tile.paste(image, (number * (side + 4), 20))
    return tile
