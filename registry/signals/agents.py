"""The names by which AI crawlers are addressed in robots.txt: a dated list, which a newer file can replace.

A file is JSON: ``{"version": "2026-11-21", "agents": [{"token", "kind", "operator", "source"}, …]}``, UTF-8,
at most ``MAX_BYTES``. ``kind`` says what the operator's crawler is for:

- ``training``: what it takes goes into models, or into datasets that others train on;
- ``assistant``: it takes pages when a person asks an assistant something;
- ``search``: it makes an index from which an AI answers.

A name may stand there that no crawler sends (``Google-Extended``): sites address it all the same. What a list
leaves out is not known to be for AI; general tools such as Scrapy are left out on purpose.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from importlib import resources
from typing import Any

from registry.errors import InputError
from registry.jsontext import strict_json

__all__ = ["MAX_AGENTS", "MAX_BYTES", "Agent", "AgentKind", "Agents"]

MAX_BYTES = 1_000_000
MAX_AGENTS = 2_000

_TOKEN = re.compile(r"[A-Za-z0-9._-]+(?: [A-Za-z0-9._-]+)*")
_DAY = re.compile(r"20[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])")
_LONGEST = {"token": 64, "kind": 16, "operator": 100, "source": 400}
_HINT = "The file that comes with this release, registry/signals/agents.json, shows the form."


class AgentKind(StrEnum):
    """What an AI crawler is for."""

    TRAINING = "training"
    ASSISTANT = "assistant"
    SEARCH = "search"


@dataclass(frozen=True, slots=True)
class Agent:
    """One name: as its operator writes it, whose it is, and how that is known."""

    token: str
    kind: AgentKind
    operator: str
    source: str


@dataclass(frozen=True, slots=True)
class Agents:
    """A list of names. ``version`` is the day on which it was made, ``YYYY-MM-DD``."""

    version: str
    agents: tuple[Agent, ...]

    @classmethod
    def load(cls, data: bytes) -> "Agents":
        """Read a file. Raises :class:`InputError`, which says where, for what we would not have written."""
        if len(data) > MAX_BYTES:
            raise _wrong("", f"{len(data)} bytes; at most {MAX_BYTES} are read")
        top = _members(strict_json(data), "the file", {"version", "agents"})
        version, listed = top["version"], top["agents"]
        if not isinstance(version, str) or not _DAY.fullmatch(version):
            raise _wrong("version", f"expected a day such as 2026-11-21, got {_shown(version)}")
        if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_AGENTS:
            raise _wrong("agents", f"expected a list of 1 to {MAX_AGENTS}, got {_shown(listed)}")
        agents = tuple(_agent(one, f"agents[{place}]") for place, one in enumerate(listed))
        _refuse_doubles(agents)
        return cls(version, agents)

    @classmethod
    def default(cls) -> "Agents":
        """Return the list that is shipped with this release."""
        return _shipped()

    def of(self, *kinds: AgentKind) -> tuple[Agent, ...]:
        """Return the names of these kinds, in the order of the list."""
        return tuple(agent for agent in self.agents if agent.kind in kinds)


@lru_cache(maxsize=1)
def _shipped() -> Agents:
    return Agents.load(resources.files("registry").joinpath("signals", "agents.json").read_bytes())


def _agent(value: object, place: str) -> Agent:
    members = _members(value, place, set(_LONGEST))
    texts = {name: _text(members[name], f"{place}.{name}", longest) for name, longest in _LONGEST.items()}
    if not _TOKEN.fullmatch(texts["token"]):
        raise _wrong(
            f"{place}.token", f"expected letters, digits, '.', '_', '-', got {_shown(texts['token'])}"
        )
    if texts["kind"] not in set(AgentKind):
        kinds = ", ".join(AgentKind)
        raise _wrong(f"{place}.kind", f"expected one of {kinds}, got {_shown(texts['kind'])}")
    return Agent(texts["token"], AgentKind(texts["kind"]), texts["operator"], texts["source"])


def _refuse_doubles(agents: tuple[Agent, ...]) -> None:
    first: dict[str, int] = {}
    for place, agent in enumerate(agents):
        known = first.setdefault(agent.token.lower(), place)
        if known != place:
            raise _wrong(f"agents[{place}].token", f"{agent.token!r} stands in agents[{known}] already")


def _members(value: object, place: str, names: set[str]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(place, f"expected an object, got {_shown(value)}")
    if value.keys() != names:
        odd = ", ".join(sorted(value.keys() ^ names))[:200]
        wanted = ", ".join(sorted(names))
        raise _wrong(place, f"expected the members {wanted}; missing or unknown: {odd}")
    return value


def _text(value: object, place: str, longest: int) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= longest or not value.isprintable():
        raise _wrong(place, f"expected a text of 1 to {longest} characters, got {_shown(value)}")
    return value


def _wrong(place: str, what: str) -> InputError:
    at = f", at {place}" if place else ""
    return InputError(f"not a list of AI crawlers{at}: {what}", hint=_HINT)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
