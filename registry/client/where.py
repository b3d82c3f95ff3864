"""Where a run reads and where it writes: folders and files on this machine, or addresses at object stores."""

from dataclasses import dataclass
from pathlib import Path

from registry.client.formats import Format, Sharded, Table, detect
from registry.client.formats.datacomp import is_pool
from registry.client.making import Making
from registry.client.store_making import StoreMaking
from registry.client.store_shards import detect_away
from registry.client.stores import Address, place_of
from registry.client.workplace import Workplace
from registry.errors import DatasetError, FormatError, InputError

__all__ = ["Where"]


@dataclass(frozen=True, slots=True)
class Where:
    """The places of a run; ``work`` is a folder for what is fetched, where one of them is at a store."""

    source: Path | Address
    target: Path | Address
    work: Workplace | None = None

    @classmethod
    def of(cls, source: Path | Address | str, target: Path | Address | str) -> "Where":
        """Return where to read and to write.

        Raises :class:`InputError` for an address that is none, and :class:`DatasetError` for places in one
        another, and for a target on this machine that is in the way.
        """
        here, there = place_of(source), place_of(target)
        if isinstance(here, Path) and isinstance(there, Path):
            _require_apart(here.resolve(), there.resolve(), there)
        if isinstance(here, Address) and isinstance(there, Address) and here.overlaps(there):
            raise _in_one_another(here, there)
        if isinstance(there, Path):
            _require_free(there)
        else:
            there.with_name(there.name)  # A whole bucket has nothing beside it.
        is_away = isinstance(here, Address) or isinstance(there, Address)
        return cls(here, there, Workplace() if is_away else None)

    def detected(self, format_name: str, *, subset: bool) -> Format | Table | Sharded:
        """Return the dataset, of which ``subset`` asks for the uids of a pool.

        Raises :class:`FormatError` for what is not read, or not written, where it is.
        """
        if self.work is not None and subset:
            raise InputError("a subset is made of a pool on this machine", hint="Leave out --subset.")
        if isinstance(self.source, Address) and self.work is not None:
            return detect_away(self.source, format_name, self.work)
        dataset = detect(Path(str(self.source)), format_name)
        if isinstance(self.target, Address) and not isinstance(dataset, Sharded):
            raise FormatError(
                f"{self.source} is not made of shards, and only shards are written to a store",
                hint="Give a folder of .tar shards or of tables, or an output on this machine.",
            )
        if subset:
            _require_pool(Path(str(self.source)), dataset)
        return dataset

    @property
    def folder(self) -> Path | None:
        """A folder for what is fetched."""
        return None if self.work is None else self.work.path

    def making(self) -> Making | StoreMaking:
        """Return the run in the making that ends in the target."""
        if isinstance(self.target, Address) and self.work is not None:
            return StoreMaking(self.target, self.work)
        return Making(Path(str(self.target)))


def _require_pool(source: Path, dataset: Format | Table | Sharded) -> None:
    names = dataset.shards() if isinstance(dataset, Sharded) else [""]
    if dataset.name != "parquet" or not all(is_pool(source / name) for name in names):
        raise FormatError(
            f"{source} is no DataComp pool",
            hint="A pool is parquet with url and with uid, 32 hex digits. Leave out --subset.",
        )


def _require_apart(here: Path, there: Path, target: Path) -> None:
    if here == there or here in there.parents or there in here.parents:
        raise _in_one_another(here, target)


def _in_one_another(source: object, target: object) -> DatasetError:
    return DatasetError(
        f"{target} and {source} lie in one another; the source is never written to",
        hint="Give another place for the output.",
    )


def _require_free(target: Path) -> None:
    # An account whose output is not there belongs to a run that was cut short, or kept nothing.
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise DatasetError(f"{target} is there already", hint="Move it away, or give another output.")
