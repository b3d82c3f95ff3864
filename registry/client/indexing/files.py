"""Picture files looked up in the index of a dataset."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from registry.client.pictures import Hashed, hash_files
from registry.dataset_index import Answer, OpenIndex
from registry.preference import Status

__all__ = ["DatasetIndex"]


class DatasetIndex(OpenIndex):
    """An index that is open, every part of it checked; ``listing`` says what is in it."""

    def find_pictures(self, paths: Sequence[Path], *, limit: int = 20, workers: int = 1) -> Iterator[Answer]:
        """Yield the answer for each picture file, in order; at most ``limit`` samples are named in each."""
        for path, hashed in zip(paths, hash_files(paths, registered=True, workers=workers), strict=True):
            yield self._of_file(str(path), hashed, limit)

    def _of_file(self, name: str, hashed: Hashed, limit: int) -> Answer:
        if hashed.fingerprint is None:
            return Answer(name, Status.ERROR, hashed.error)
        return self.find_picture(name, hashed.fingerprint, limit=limit)
