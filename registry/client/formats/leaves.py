"""The columns of an Arrow schema down to their leaves: through structs and lists, never into maps.

    >>> # image: struct<bytes: binary, path: string>, meta: list<struct<url: string>>
    >>> # leaves: image.bytes, image.path, meta.url

A leaf gives the values of a batch with the row of each: none, one or several a row.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from registry.client.formats.parquet_entries import pyarrow_modules

__all__ = ["Leaf", "is_binary", "leaves_of"]

_EACH = -1
_Step: TypeAlias = int
"""The number of a member of a struct, or each item of a list."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A column or a part of one: ``names`` lead to it, ``kind`` is its Arrow type.

    ``in_picture`` says that it stands beside ``bytes`` in a struct, as :mod:`datasets` stores pictures.
    """

    names: tuple[str, ...]
    kind: Any
    steps: tuple[_Step, ...] = ()
    in_picture: bool = False

    @property
    def name(self) -> str:
        """What people call it."""
        return ".".join(self.names)

    @property
    def top(self) -> str:
        """The column that it is in."""
        return self.names[0]

    def values(self, batch: Any) -> tuple[Any, NDArray[np.int64]]:
        """Return an Arrow array of its values in a batch, and the row of each in the batch."""
        from pyarrow import compute

        array = _plain(batch.column(batch.schema.get_field_index(self.top)))
        of = np.arange(len(array), dtype=np.int64)
        for step in self.steps:
            if step == _EACH:
                of = of[compute.list_parent_indices(array).to_numpy()]
                array = _plain(compute.list_flatten(array))
            else:
                array = _plain(compute.struct_field(array, [step]))
        return array, of


def leaves_of(schema: Any) -> list[Leaf]:
    """Return the leaves of an Arrow schema, in order."""
    return [leaf for field in schema for leaf in _below(Leaf((field.name,), _unwrapped(field.type)))]


def _below(leaf: Leaf) -> Iterator[Leaf]:
    arrow, _ = pyarrow_modules()
    types, kind = arrow.types, leaf.kind
    if types.is_struct(kind):
        names = [kind.field(at).name for at in range(kind.num_fields)]
        in_picture = "bytes" in names and is_binary(_unwrapped(kind.field("bytes").type))
        for at, name in enumerate(names):
            inner = _unwrapped(kind.field(at).type)
            yield from _below(Leaf((*leaf.names, name), inner, (*leaf.steps, at), in_picture))
    elif types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = _unwrapped(kind.value_type)
        yield from _below(Leaf(leaf.names, inner, (*leaf.steps, _EACH), leaf.in_picture))
    else:
        yield leaf


def is_binary(kind: Any) -> bool:
    """Say whether an Arrow type holds bytes of any length."""
    arrow, _ = pyarrow_modules()
    types = arrow.types
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))


def _unwrapped(kind: Any) -> Any:
    """Return the type of the values themselves: of a dictionary, of an extension."""
    arrow, _ = pyarrow_modules()
    if isinstance(kind, arrow.BaseExtensionType):
        return _unwrapped(kind.storage_type)
    return _unwrapped(kind.value_type) if arrow.types.is_dictionary(kind) else kind


def _plain(array: Any) -> Any:
    """Return an array of what :func:`_unwrapped` says."""
    arrow, _ = pyarrow_modules()
    if isinstance(array, arrow.ExtensionArray):
        return _plain(array.storage)
    return _plain(array.dictionary_decode()) if isinstance(array, arrow.DictionaryArray) else array
