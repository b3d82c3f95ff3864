"""Frozen dataclasses and the JSON that they are written as, member by member, nothing more and nothing less.

What a member may be follows from the annotation of its field: ``str`` (at most :data:`LONGEST` characters,
without control characters but the end of a line, and without what turns the direction of writing), ``int``
(0 to 2^53 − 1), ``bool``, another dataclass, a tuple of one of these, a mapping from text to one, and any of
them or None.
"""

import re
import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from registry.errors import ProofError

__all__ = ["LONGEST", "parsed", "wire_of"]

LONGEST = 10_000
"""Most characters of a text; a signed note of a log has some hundreds."""

_LARGEST = 2**53 - 1
_MOST = 10_000
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_T = TypeVar("_T")


def wire_of(value: Any) -> Any:
    """Return the JSON form of a dataclass."""
    if is_dataclass(value):
        return {one.name: wire_of(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {name: wire_of(one) for name, one in value.items()}
    return [wire_of(one) for one in value] if isinstance(value, tuple) else value


def parsed(kind: type[_T], wire: object, where: str) -> _T:
    """Undo :func:`wire_of` for a dataclass ``kind``. Raises :class:`ProofError`, which names the member."""
    if not isinstance(wire, Mapping):
        raise ProofError(f"{where}: expected a JSON object, got {_shown(wire)}")
    hints = get_type_hints(kind)
    missing, extra = sorted(hints.keys() - wire.keys()), sorted(wire.keys() - hints.keys())
    if missing or extra:
        what = f"without {missing[0]}" if missing else f"with {extra[0][:80]!r}, which is not of it"
        raise ProofError(f"{where}: {what}")
    return kind(**{name: _value(hint, wire[name], f"{where}.{name}") for name, hint in hints.items()})


def _value(hint: Any, wire: Any, where: str) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return None if wire is None else _value(inner[0], wire, where)
    if origin is tuple:
        listed = _sized(wire, list, where)
        return tuple(_value(inner[0], one, f"{where}.{at}") for at, one in enumerate(listed))
    if origin is not None:
        members = _sized(wire, dict, where)
        return {
            _text(name, where): _value(inner[1], one, f"{where}.{name[:80]}") for name, one in members.items()
        }
    if isinstance(hint, type) and is_dataclass(hint):
        return parsed(hint, wire, where)
    return _PLAIN[hint](wire, where)


def _sized(wire: Any, kind: type[_T], where: str) -> _T:
    if not isinstance(wire, kind) or len(wire) > _MOST:  # type: ignore[arg-type] # lists and dicts
        raise ProofError(f"{where}: expected a {kind.__name__} of at most {_MOST:,}, got {_shown(wire)}")
    return wire


def _text(wire: Any, where: str) -> str:
    if not isinstance(wire, str) or len(wire) > LONGEST or _CONTROL.search(wire):
        raise ProofError(f"{where}: expected text of at most {LONGEST:,} characters, got {_shown(wire)}")
    return wire


def _count(wire: Any, where: str) -> int:
    if type(wire) is not int or not 0 <= wire <= _LARGEST:
        raise ProofError(f"{where}: expected a whole number from 0 on, got {_shown(wire)}")
    return wire


def _truth(wire: Any, where: str) -> bool:
    if not isinstance(wire, bool):
        raise ProofError(f"{where}: expected true or false, got {_shown(wire)}")
    return wire


def _shown(wire: object) -> str:
    return repr(wire)[:80]


_PLAIN: Mapping[Any, Callable[[Any, str], Any]] = {str: _text, int: _count, bool: _truth}
