"""The block for the card of a model or dataset at Hugging Face: YAML front matter, then Markdown.

The Hub reads ``base_model`` and ``datasets``, which take its own identifiers only; they are taken from
addresses at huggingface.co, and nothing else is written there. What it does not know it keeps: all of ours
is below ``optout_filter``.
"""

import re
from collections.abc import Iterator
from typing import Any

from registry.documents.declared import Declared
from registry.documents.escaping import WHO_VOUCHES, markdown_item, markdown_text, yaml_front_matter
from registry.documents.facts import Told, digest_text, sections_of
from registry.oneline import one_line
from registry.receipt import Receipt
from registry.strictly import wire_of

__all__ = ["card"]

_HUB = "https://huggingface.co/"
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}", re.ASCII)
_INHERITED = ("base_model", "upstream", "conveyed")


def card(told: Told) -> str:
    """Return the block."""
    parts = [yaml_front_matter(_front_matter(told)), "## Training data and consent", "", *_intro(told)]
    for section in sections_of(told):
        parts += ["", f"### {section.title}", "", *map(markdown_item, section.facts)]
    return "\n".join(parts) + "\n"


def _intro(told: Told) -> Iterator[str]:
    yield WHO_VOUCHES
    yield ""
    yield f"> {markdown_text(told.receipt.about)}"


def _front_matter(told: Told) -> dict[str, object]:
    declared, hub = told.declared, {}
    base = _hub_id(declared.base_model.url, "") if declared.base_model is not None else None
    if base and declared.kind != "dataset":
        hub["base_model"] = [base]
    ids = [_hub_id(url, "datasets/") for url in (declared.url, *(one.url for one in declared.upstream))]
    if any(ids) and declared.kind != "dataset":
        hub["datasets"] = list(dict.fromkeys(filter(None, ids)))
    return {**hub, "optout_filter": _ours(told)}


def _hub_id(url: str, kind: str) -> str | None:
    """Return the identifier of a repository of that kind at the Hub, None where an address is of none."""
    name = url.removeprefix(_HUB).removeprefix(kind)
    is_there = url == f"{_HUB}{kind}{name}" and _REPOSITORY.fullmatch(name)
    # Addresses of models have no word for their kind before them.
    return name if is_there and name.partition("/")[0] not in ("datasets", "spaces") else None


def _ours(told: Told) -> dict[str, object]:
    said = wire_of(told.declared)
    stated = {name: _stated(one) for name, one in said.items() if one}
    return {
        "version": 1,
        "about": told.receipt.about,
        "receipt": f"sha256:{told.signed.sha256}",
        "maker": told.signed.signer.text,
        "measured": _measured(told.receipt),
        "declared": {
            **{name: one for name, one in stated.items() if name not in _INHERITED},
            **_repeated(told.receipt),
        },
        "inherited": {name: stated[name] for name in _INHERITED if name in stated},
        "not_stated": [name for name in said if name not in stated and not _is_beside(name, told.declared)],
    }


def _stated(value: Any) -> Any:
    """Return the value without the members of which nothing is said."""
    if isinstance(value, dict):
        return {name: one for name, one in value.items() if one}
    return [_stated(one) for one in value] if isinstance(value, list) else value


def _measured(receipt: Receipt) -> dict[str, object]:
    counts, how = receipt.counts, receipt.configuration
    told: dict[str, Any] = {
        "finished": receipt.finished,
        "tool": f"{one_line(receipt.tool.name)} {one_line(receipt.tool.version)}",
        "use": one_line(how.use),
        "mode": one_line(how.mode),
        "site_signals": how.site_signals,
        "min_evidence": how.min_evidence,
        "registries": [
            {"url": one.url, "log": one.origin, "as_of_seq": one.as_of_seq, "asked": one.asked}
            for one in receipt.registries
        ],
    }
    names = ("samples", "kept", "removed", "review", "errors", "unknown", "granted", "below_evidence")
    told |= {name: getattr(counts, name) for name in names}
    return told | {
        "removed_by": {one_line(name): count for name, count in sorted(counts.removed_by.items())},
        "grants": len(how.grants),
        "output": digest_text(receipt.output),
    }


def _repeated(receipt: Receipt) -> dict[str, object]:
    """Return the words of the maker that the receipt repeats."""
    how = receipt.configuration
    said: dict[str, object] = {
        "licences_met": list(map(one_line, how.licences)),
        "own_works_kept": receipt.counts.own,
        "research_by": one_line(how.organisation),
        "research_for": one_line(how.purpose),
    }
    return {name: one for name, one in said.items() if one}


def _is_beside(name: str, declared: Declared) -> bool:
    return name == "base_model" and declared.kind == "dataset"
