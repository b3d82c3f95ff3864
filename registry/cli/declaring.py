"""Asking the maker, on a terminal, for what only they know: one question after another.

An empty answer is not stated, and ends what may be given several times.
"""

from collections.abc import Callable, Mapping
from typing import Any

import click

from registry.documents import Artist, Conveyed, Declared, Upstream, parse_declared
from registry.errors import InputError
from registry.preference import Use

__all__ = ["ask_declared"]

_USES = "/".join(Use)
_PLAIN = {
    "title": "Its title",
    "author": "Who made it",
    "contact": "How to reach you (an address or a mailbox; it will be public)",
    "licence": "Its licence",
    "url": "Where it is published (https://…)",
    "published": "Since which day (2026-11-22)",
}
_UPSTREAM = {"url": "  its address (https://…)", "licence": "  its licence"}
_SAYS = "  who is credited, allowed it, or set a condition (credited/allowed/conditional)"
_ARTIST = {"use": f"  for which use ({_USES})", "terms": "  on which terms", "contact": "  how to reach them"}
_CONVEYED = {
    "use": f"  for which use ({_USES})",
    "preference": "  what was said (reserved/conditional/allowed)",
    "terms": "  on which terms",
    "carrier": "  where it was said",
}
# What stands for the members that are not asked yet, while an answer is tried.
_TRIED: Mapping[type[Any], Mapping[str, str]] = {
    Declared: {},
    Upstream: {"name": "-"},
    Artist: {"name": "-", "terms": "-"},
    Conveyed: {"of": "-", "use": "train", "preference": "reserved"},
}

# Where an empty answer ends the questions, or is the plain case.
_ENDING = ("name", "of", "says")


def ask_declared() -> Declared:
    """Return the answers. Raises :class:`click.Abort` when the maker stops."""
    click.echo("What only you know. Leave empty what you do not want to state.", err=True)
    kind = _answer(Declared, "kind", "Is it a dataset or a model (dataset/model)", {})
    said: dict[str, Any] = {"kind": kind, **_answers(Declared, _PLAIN, {})}
    if said["kind"] != "dataset":
        said["base_model"] = _upstream("Trained from which base model")
    said["upstream"] = _several(lambda: _upstream("Made from which dataset"))
    said["artists"] = _several(_artist)
    said["conveyed"] = _several(_conveyed)
    said["purposes"] = _several(lambda: _line("Made for what"))
    said["limits"] = _several(lambda: _line("What it lacks, or should not be used for"))
    return parse_declared(said)


def _upstream(question: str) -> dict[str, str] | None:
    name = _answer(Upstream, "name", question, {})
    return {"name": name, **_answers(Upstream, _UPSTREAM, {})} if name else None


def _artist() -> dict[str, str] | None:
    name = _answer(Artist, "name", "An artist whose works are in it", {})
    if not name:
        return None
    says = _answer(Artist, "says", _SAYS, {})
    said = {"name": name, "says": says or "credited"}
    return said if said["says"] == "credited" else said | _answers(Artist, _ARTIST, said)


def _conveyed() -> dict[str, str] | None:
    of = _answer(Conveyed, "of", "A preference that came with it: of whom, or of which works", {})
    return {"of": of, **_answers(Conveyed, _CONVEYED, {"of": of})} if of else None


def _line(question: str) -> str:
    return _answer(Upstream, "name", question, {})


def _several(ask: Callable[[], Any]) -> list[Any]:
    """Ask until an answer is empty."""
    return list(iter(lambda: ask() or None, None))


def _answers(kind: type[Any], questions: Mapping[str, str], said: Mapping[str, str]) -> dict[str, str]:
    """Ask one question after another; each answer is tried with those before it."""
    found: dict[str, str] = {}
    for field, question in questions.items():
        found[field] = _answer(kind, field, question, {**said, **found})
    return found


def _answer(kind: type[Any], field: str, question: str, said: Mapping[str, str]) -> str:
    """Ask until the answer is one that a declaration of this kind may have."""
    while True:
        text: str = click.prompt(question, default="", show_default=False, err=True).strip()
        if not text and field in _ENDING:
            return text
        try:
            kind(**{**_TRIED[kind], **said, field: text})
        except InputError as error:
            click.echo(f"  {error.message}", err=True)
        else:
            return text
