"""Croissant metadata of a filtered set, with its RAI vocabulary: JSON-LD of schema.org's ``Dataset``.

The files are not listed: a receipt has the digest of all of them together, and does not name them. Whoever
publishes them lets their host add ``distribution`` and ``recordSet``. Nor is it guessed whether the author is
a person or an organisation: they stand in ``creditText``.

Source: Croissant 1.0, Croissant RAI 1.0.
"""

import json
from typing import Any

from registry.documents.facts import NOT_STATED, Fact, Source, Told, digest_text, name_of, sections_of

__all__ = ["croissant"]

_CONFORMS_TO = ("http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0")
_OURS = (
    *("citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject", "fileSet"),
    *("format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet"),
    *("references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField"),
    "transform",
)
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    **{name: f"cr:{name}" for name in _OURS},
}
"""The context that the specification gives, to the letter: readers compare it."""


def croissant(told: Told) -> str:
    """Return the JSON-LD."""
    return json.dumps(_dataset(told), indent=2, ensure_ascii=False) + "\n"


def _dataset(told: Told) -> dict[str, Any]:
    declared = told.declared
    consents, run, origins, maker = ([one.labelled for one in part.facts] for part in sections_of(told))
    stated = {
        "url": declared.url,
        "license": declared.licence,
        "creditText": declared.author,
        "datePublished": declared.published,
    }
    return {
        "@context": dict(sorted(_CONTEXT.items())),
        "@type": "sc:Dataset",
        "name": name_of(told),
        "description": "\n".join([_INTRO, *consents, *maker, told.receipt.about]),
        "conformsTo": list(_CONFORMS_TO),
        "dateCreated": told.receipt.finished,
        "identifier": digest_text(told.receipt.output),
        **{name: one for name, one in stated.items() if one},
        "rai:dataCollection": "\n".join(origins),
        "rai:dataPreprocessingProtocol": [*consents, *run],
        "rai:dataCollectionMissingData": _missing(told).labelled,
        "rai:dataUseCases": _each(declared.purposes, "Made for"),
        "rai:dataLimitations": [told.receipt.about, *_each(declared.limits, "Limits")],
    }


_INTRO = (
    "Each line says who vouches for it: measured by the tool, declared by the maker, inherited from upstream."
)


def _missing(told: Told) -> Fact:
    counts = told.receipt.counts
    return Fact(
        "Not in the set", f"{counts.removed:,} left out, {counts.errors:,} set aside", Source.MEASURED
    )


def _each(lines: tuple[str, ...], name: str) -> list[str]:
    return [Fact(name, one, Source.DECLARED).labelled for one in lines or (NOT_STATED,)]
