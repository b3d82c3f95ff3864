"""Text of others in each language of documents, so that it is text there and nothing else.

Text is one line without control characters (:mod:`registry.documents.declared` and
:func:`registry.oneline.one_line` see to it). A web address that is only an address becomes a link.
"""

import html
import re

import yaml

from registry.documents.declared import is_address
from registry.documents.facts import NOT_STATED, Fact

__all__ = [
    "WHO_VOUCHES",
    "html_text",
    "markdown_escaped",
    "markdown_item",
    "markdown_text",
    "yaml_front_matter",
]

WHO_VOUCHES = (
    "Every line says who vouches for it: **measured** by the tool, **declared** by the maker, "
    "**inherited** from upstream."
)
"""How the labels are to be read, as Markdown."""

_SPECIAL = re.compile(r"[\\`*_{}\[\]<>|~&!$]|:(?=\S)")
_LINKED = re.compile(r"[@#]|:(?=//)|\bwww(?=\.)", re.IGNORECASE)
_WORD = re.compile(r"(https?://\S+?)(?=[;,.)]?(?: |$))")


def markdown_text(text: str) -> str:
    """Return text as Markdown, CommonMark or GitHub's, for within a line or a cell of a table."""
    parts = _WORD.split(text)
    return "".join(
        f"<{part}>" if at % 2 and is_address(part) else markdown_escaped(part)
        for at, part in enumerate(parts)
    )


def markdown_escaped(text: str) -> str:
    """Return text as Markdown in which nothing is a link, a mention or markup."""
    # Some readers link addresses and mentions after they have read the rest: these are broken up.
    return _LINKED.sub(r"\g<0><!-- -->", _SPECIAL.sub(r"\\\g<0>", text))


def markdown_item(fact: Fact, number: str = "") -> str:
    """Return a line as an item of a list, its label last, with the number of a field before its name."""
    text = f"*{fact.text}*" if fact.text == NOT_STATED else markdown_text(fact.text)
    name = f"{number} {fact.name}".strip()
    return f"- **{markdown_text(name)}:** {text} · *{fact.source}*"


def html_text(text: str) -> str:
    """Return text as HTML, for between tags and within quotes."""
    return html.escape(text)


class _Dumper(yaml.SafeDumper):  # type: ignore[misc] # yaml has no types
    """YAML as people read it, where text can be nothing but text."""


def _quoted(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    # Versions 1.1 and 1.2 differ in what is a number or a truth; what is quoted is text in both.
    is_key = re.fullmatch(r"[a-z_]+", text) and text not in _WORDS
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_key else '"')


_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_Dumper.add_representer(str, _quoted)


def yaml_front_matter(members: dict[str, object]) -> str:
    """Return the front matter of a card with these members, from ``---`` to ``---``."""
    body = yaml.dump(members, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6)
    return f"---\n{body}---\n"
