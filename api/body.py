"""Request bodies: strict JSON, checked against a model.

A doubled member, NaN, or a body that is not UTF-8 is refused: two readers could read it differently.
"""

import json
from typing import Any, TypeVar

from flask import request
from pydantic import BaseModel, ConfigDict, ValidationError

from registry.errors import InputError, UnsupportedMediaTypeError

__all__ = ["Body", "read_body", "strict_json"]

Model = TypeVar("Model", bound=BaseModel)


class Body(BaseModel):
    """A request body: members that are not known are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_body(model: type[Model]) -> Model:
    """Read the JSON body of the request as ``model``.

    Raises :class:`InputError` that names the place, or :class:`UnsupportedMediaTypeError`.
    """
    if not request.is_json:
        raise UnsupportedMediaTypeError(
            f"expected application/json, got {request.mimetype or 'no Content-Type'}",
            hint="Send the header 'Content-Type: application/json'.",
        )
    try:
        return model.model_validate(strict_json(request.get_data()))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "body"
        raise InputError(f"{place}: {first['msg']}") from error


def strict_json(data: bytes) -> Any:
    """Parse JSON; raises :class:`InputError` for anything that two parsers could read differently."""
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_no_doubles, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise InputError(f"the body is not UTF-8: byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise InputError(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from error
    except ValueError as error:
        raise InputError(f"the body is not JSON that is read here: {error}") from error
    except RecursionError as error:
        raise InputError("the body is nested too deeply") from error


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise InputError(f"the member {double!r} stands twice in one object")
    return members


def _no_constant(name: str) -> Any:
    raise InputError(f"the body holds {name}, which is not JSON")
