"""The fields of the EU's template for the public summary of training content, as far as a run can fill them.

Most makers of a fine-tuned model are not bound by it; the export is voluntary, and no legal advice. Fields
that neither a receipt nor a declaration can answer are listed as such, with what is missing.

Source: Regulation (EU) 2024/1689, Article 53(1)(d); the Commission's explanatory notice and template.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from registry.documents.declared import Declared
from registry.documents.escaping import WHO_VOUCHES, markdown_item, markdown_text
from registry.documents.facts import NOT_STATED, Fact, Source, Told, are_pictures, sections_of
from registry.oneline import one_line

__all__ = ["eu_template"]

_UNKNOWN = (
    ("1.1", "Authorised representative", "only the provider knows"),
    ("1.2", "Date of placement on the Union market", "only the provider knows"),
    ("1.3", "Training data size", "the range in the template is for the whole training, not for one set"),
    ("1.3", "Types of content, languages, latest date of collection", "not looked at by the filter"),
    (
        "2.1–2.2",
        "Whether a source is public, private or commercially licensed",
        "the maker sorts the sources",
    ),
    ("2.3", "Crawlers, their behaviour, period, most relevant domain names", "the filter crawls nothing"),
    ("2.4", "User data", "only the provider knows"),
    ("2.5", "Synthetic data", "not looked at by the filter"),
    ("2.6", "Other sources of data", "only the provider knows"),
    ("3.1", "Signatory of the Code of Practice", "only the provider knows"),
    ("3.2", "Removal of illegal content", "the filter does not look for it"),
)


@dataclass(frozen=True, slots=True)
class _Field:
    number: str
    fact: Fact


def eu_template(told: Told) -> str:
    """Return the fields as Markdown: those that are filled, then those that cannot be."""
    lines = [
        "# Public summary of training content: what a filter run can tell",
        "",
        "Numbers are those of the template under Article 53(1)(d) of Regulation (EU) 2024/1689. "
        f"{WHO_VOUCHES}",
        "",
        f"> {markdown_text(told.receipt.about)}",
        "",
        *(markdown_item(one.fact, one.number) for one in sorted(_fields(told), key=lambda one: one.number)),
        "",
        "## What it cannot tell",
        "",
        "| Field | What | Why not |",
        "|---|---|---|",
        *(f"| {number} | {what} | {why} |" for number, what, why in _UNKNOWN),
    ]
    return "\n".join(lines) + "\n"


def _fields(told: Told) -> Iterator[_Field]:
    consents, run, origins, _ = (part.facts for part in sections_of(told))
    yield from (_Field("1.1", one) for one in _provider(told.declared))
    yield _Field("1.2", _said("Versioned model name", _model(told.declared)))
    yield from (_Field(_number(one), one) for one in origins)
    yield _Field("1.3", _modality(told))
    yield _Field("1.3", _size(told))
    yield from (_Field("3.1", one) for one in (_protocols(told), *consents, *run))
    yield from (_Field("3.3", _said("Made for", one)) for one in told.declared.purposes)
    yield from (_Field("3.3", _said("Limits", one)) for one in told.declared.limits)


def _provider(declared: Declared) -> Iterator[Fact]:
    yield _said("Provider name", declared.author)
    yield _said("Contact", declared.contact)


def _model(declared: Declared) -> str:
    return declared.title if declared.kind == "model" else ""


def _number(fact: Fact) -> str:
    """Return the field of a line about origins: dependencies of the model, sources, or reservations."""
    return {"Base model": "1.2", "Made from": "2.1–2.2"}.get(fact.name, "3.1")


def _modality(told: Told) -> Fact:
    text = "image: each sample was read as a picture" if are_pictures(told.receipt) else NOT_STATED
    return Fact("Modality", text, Source.MEASURED)


def _size(told: Told) -> Fact:
    output = told.receipt.output
    text = f"{told.receipt.counts.kept:,} samples, {output.bytes:,} bytes"
    return Fact("Size of this set", text, Source.MEASURED)


def _protocols(told: Told) -> Fact:
    how = told.receipt.configuration
    places = ["in the registries below"]
    places += ["in the works themselves"] if are_pictures(told.receipt) else []
    places += ["at their sites"] if how.site_signals else []
    text = f"looked for reservations for {one_line(how.use)} {', '.join(places)}"
    return Fact("Measures to respect reservations", text, Source.MEASURED)


def _said(name: str, text: str) -> Fact:
    return Fact(name, text or NOT_STATED, Source.DECLARED)
