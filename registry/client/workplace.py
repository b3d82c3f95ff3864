"""A folder of its own for a run that reads or writes at an object store."""

import shutil
import weakref
from pathlib import Path
from tempfile import mkdtemp

__all__ = ["Workplace"]


class Workplace:
    """A new folder where temporary files are; it goes with the last thing that holds on to it.

    At the latest it goes when Python ends, also by Ctrl-C. A process that is killed leaves it there.
    """

    def __init__(self) -> None:
        self.path = Path(mkdtemp(prefix="caveat-"))
        self._end = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
