"""What each route is, said beside it once: the source of ``/openapi.json``.

A view is marked with :func:`operation`; :func:`openapi` walks the application's routes and assembles the
document from the marks and the pydantic models that they name.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import Flask
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

import registry

__all__ = ["Operation", "openapi", "operation"]

View = TypeVar("View", bound=Callable[..., Any])

_MARK = "__caveat_operation__"
_REFS = "#/components/schemas/{model}"
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")


@dataclass(frozen=True, slots=True)
class Operation:
    """One route as the document tells it.

    ``scope``: empty for none, ``optional`` for a key that only adds detail. ``errors`` are the statuses that
    can be answered beside ``status``, ``also`` those that are no errors: a part, or nothing that is new;
    ``headers`` names optional request headers; ``media`` is the kind of
    the answer where it is not JSON, ``kinds`` those of a body that is not. ``later`` is answered with 202 to
    what is not done yet, and is to be asked again.
    """

    summary: str
    answer: type[BaseModel] | None = None
    body: type[BaseModel] | str | None = None
    status: int = 200
    scope: str = ""
    errors: tuple[int, ...] = ()
    also: tuple[int, ...] = ()
    headers: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    media: str = "application/json"
    kinds: tuple[str, ...] = ("text/plain",)
    later: type[BaseModel] | None = None


def operation(mark: Operation) -> Callable[[View], View]:
    """Mark a view with what it is."""

    def marked(view: View) -> View:
        setattr(view, _MARK, mark)
        return view

    return marked


def openapi(app: Flask) -> dict[str, Any]:
    """Assemble the OpenAPI 3.1 document of every marked route."""
    marks = [
        (rule, getattr(app.view_functions[rule.endpoint], _MARK))
        for rule in app.url_map.iter_rules()
        if hasattr(app.view_functions[rule.endpoint], _MARK)
    ]
    named = {m for _, mark in marks for m in (mark.body, mark.answer, mark.later) if isinstance(m, type)} | {
        Problem,
        Detail,
    }
    models = sorted(named, key=lambda model: model.__name__)
    _, schemas = models_json_schema([(model, "validation") for model in models], ref_template=_REFS)
    paths: dict[str, Any] = {}
    for rule, mark in sorted(marks, key=lambda pair: pair[0].rule):
        path = paths.setdefault(_PARAMETER.sub(r"{\1}", rule.rule), {})
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            path[method.lower()] = _described(mark, rule.rule, method)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Caveat",
            "version": registry.__version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "key": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "API <key>, or Bearer <key>",
                }
            },
        },
    }


class Problem(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    hint: str = ""


class Detail(BaseModel):
    """The compatible routes' error."""

    detail: str


def _described(mark: Operation, rule: str, method: str) -> dict[str, Any]:
    compatible = rule.startswith("/api/v2/")
    failure = ("application/json", Detail) if compatible else ("application/problem+json", Problem)
    described: dict[str, Any] = {
        "summary": mark.summary,
        "operationId": f"{method.lower()}_"
        + re.sub(r"\W+", "_", rule).strip("_")
        + ("_" if rule.endswith("/") else ""),
        "parameters": _parameters(mark, rule),
        "responses": {str(status): _content(mark.media, mark.answer) for status in (mark.status, *mark.also)}
        | {str(status): _content(*failure) for status in mark.errors},
    }
    if mark.later is not None:
        described["responses"]["202"] = _content("application/json", mark.later)
    if isinstance(mark.body, str):
        content = {kind: _content(kind, None, mark.body)["content"][kind] for kind in mark.kinds}
        described["requestBody"] = {"required": True, "content": content}
    elif mark.body is not None:
        content = _content("application/json", mark.body)["content"]
        described["requestBody"] = {"required": True, "content": content}
    if mark.scope:
        described["security"] = [{"key": []}] if mark.scope != "optional" else [{}, {"key": []}]
        described["description"] = f"Scope of the key: {mark.scope}."
    return described


def _parameters(mark: Operation, rule: str) -> list[dict[str, Any]]:
    text = {"type": "string"}
    found = [{"name": n, "in": "path", "required": True, "schema": text} for n in _PARAMETER.findall(rule)]
    found += [{"name": n, "in": "header", "required": False, "schema": text} for n in mark.headers]
    found += [{"name": n, "in": "query", "required": False, "schema": text} for n in mark.query]
    return found


def _content(kind: str, model: type[BaseModel] | None, description: str = "") -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object" if kind.endswith("json") else "string"}
    if description:
        schema["description"] = description
    if model is not None:
        schema = {"$ref": _REFS.format(model=model.__name__)}
    return {
        "description": (model.__doc__ or "").strip() if model else "",
        "content": {kind: {"schema": schema}},
    }
