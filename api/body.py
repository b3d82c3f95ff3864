"""Request bodies: strict JSON (:mod:`registry.jsontext`), checked against a model."""

from enum import StrEnum
from typing import Annotated, TypeVar

from flask import request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from registry.errors import InputError, UnsupportedMediaTypeError
from registry.jsontext import strict_json

__all__ = ["Body", "Text", "Word", "read_body"]

Model = TypeVar("Model", bound=BaseModel)
_Vocabulary = TypeVar("_Vocabulary", bound=StrEnum)

Word = Annotated[_Vocabulary, Field(strict=False)]
"""A word of a vocabulary: JSON has no other form for it than its text."""


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("the character U+0000 cannot be stored")
    return text


Text = Annotated[str, AfterValidator(_without_nul)]
"""Text for people."""


class Body(BaseModel):
    """A request body: members that are not known are refused, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


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
