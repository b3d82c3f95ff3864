"""JSON as text: from elsewhere read only when every reader would read the same, our own in canonical form.

A doubled member (most readers keep the last), NaN and infinities (which are not JSON), and text that is not
UTF-8 are refused.
"""

import json
import re
from collections import Counter
from typing import Any

import rfc8785

from registry.errors import InputError

__all__ = ["canonical_json", "strict_json"]

_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), check_circular=False)
_BEYOND_UTF16_UNITS = re.compile("[\U00010000-\U0010ffff]")


def canonical_json(value: Any) -> bytes:
    """Return the canonical text (RFC 8785) of a value without floats and with integers below 2**53.

    The accounts of a run are made of millions of these; the standard library writes them as the RFC asks, and
    ten times faster than what can write any value. Only the order of names may differ, by characters
    beyond U+FFFF.
    """
    text = _ENCODER.encode(value)
    return rfc8785.dumps(value) if _BEYOND_UTF16_UNITS.search(text) else text.encode()


def strict_json(data: bytes) -> Any:
    """Parse JSON; raises :class:`InputError`, which says what is wrong and where."""
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_no_doubles, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8: byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except ValueError as error:
        raise InputError(f"not JSON that is read here: {error}") from error
    except RecursionError as error:
        raise InputError("JSON that is nested too deeply") from error


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        double, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise InputError(f"the member {double[:80]!r} stands twice in one object")
    return members


def _no_constant(name: str) -> Any:
    raise InputError(f"{name} is not JSON")
