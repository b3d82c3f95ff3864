"""How often Python looks for cycles of values that nobody uses any more."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["rarely_collected"]

_NEW_VALUES = 100_000


@contextmanager
def rarely_collected() -> Iterator[None]:
    """Have it look more rarely: judging rows makes millions of values and no cycles.

    Looking after every few hundred new values, as it does by itself, took a sixth of a run over tables.
    """
    first, *others = gc.get_threshold()
    gc.set_threshold(max(first, _NEW_VALUES) if first else 0, *others)
    try:
        yield
    finally:
        gc.set_threshold(first, *others)
