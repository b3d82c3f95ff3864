"""Reading ahead: the next rows are read while a registry is asked about those before."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

__all__ = ["ahead"]

T = TypeVar("T")


@contextmanager
def ahead(values: Iterator[T]) -> Iterator[Iterator[T]]:
    """Have each of ``values`` made in a thread while the one before is in use; one is held besides.

    What making them raises is raised where they are taken.
    """
    with ThreadPoolExecutor(1, "reading ahead") as reader:
        yield _taken(values, reader)


def _taken(values: Iterator[T], reader: ThreadPoolExecutor) -> Iterator[T]:
    coming = reader.submit(_next, values)
    while found := coming.result():
        coming = reader.submit(_next, values)
        yield from found


def _next(values: Iterator[T]) -> list[T]:
    """Return the next value; none at the end."""
    return list(islice(values, 1))
