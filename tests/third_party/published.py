"""A registry of its own with a published log, which keeps every checkpoint that was ever signed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from filling import fill, write_all_kinds

from registry.log_folder import LogFolder
from registry.migrations import migrate
from registry.note import Signer
from registry.publisher import Publisher
from registry.store import Store, events
from registry.store.engine import database_url

__all__ = ["ACKNOWLEDGED_ALONE", "Published"]

ACKNOWLEDGED_ALONE = 1_000
"""Events that the registrar writes, one by one; those after them come by the thousand."""


@dataclass
class Published:
    """A registry on SQLite in ``home``, its log in ``home/log``, and its checkpoints in files, by size."""

    home: Path
    store: Store
    signer: Signer
    checkpoints: dict[int, Path] = field(default_factory=dict)

    @classmethod
    def new(cls, home: Path, signer: Signer) -> "Published":
        home.mkdir(exist_ok=True)
        store = Store.open(database_url(home))
        migrate(store)
        LogFolder(home / "log").write_signer(signer)
        return cls(home, store, signer)

    @property
    def log(self) -> Path:
        return self.home / "log"

    @property
    def key(self) -> str:
        """What others check the log with."""
        return self.signer.verifier.text

    @property
    def ever_signed(self) -> list[Path]:
        return list(self.checkpoints.values())

    def write(self, size: int) -> None:
        """Let things happen until there are ``size`` events."""
        write_all_kinds(self.store, min(size, ACKNOWLEDGED_ALONE) - self.store.head())
        fill(self.store, size)

    def publish(self, into: Path | None = None) -> None:
        """Publish what happened, in the log or, from the first event on, in another folder."""
        current, *retiring = LogFolder(self.log).signers()
        done = Publisher(self.store, LogFolder(into or self.log), current, retiring).publish()
        assert done is not None
        if into is None:
            self.checkpoints[done.size] = self.home / f"checkpoint-{done.size}"
            self.checkpoints[done.size].write_bytes((self.log / "checkpoint").read_bytes())

    def grow(self, sizes: Sequence[int]) -> "Published":
        for size in sizes:
            self.write(size)
            self.publish()
        return self

    def leaves(self) -> list[bytes]:
        with self.store.read() as connection:
            return events.leaves_between(connection, 0, self.store.head())
