"""Our reader of robots.txt beside Google's own, on the files of real sites, and on the tests of Protego.

All with the grouping of Google's reader. Left out is where the two take different paths for the same: escapes
and what no address may hold, ``/robots.txt`` itself, and ``index.html``, which Google takes for its folder.
"""

import random
import re
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from jwm.robotstxt.googlebot import RobotsMatcher

from registry.signals.paths import path_of
from registry.signals.robots_file import Grouping, parse

SDIST = max((Path(sys.prefix) / "signals").glob("protego-*.tar.gz"))
SITE = "https://a.example"
PLAIN_PATH = re.compile(r"/(?!robots\.txt)[A-Za-z0-9/._?=&-]*")
NAME_LINE = re.compile(rb"^user-agent:[ \t]*([A-Za-z_-]+)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)


# -- Google's reader, on real files ----------------------------------------------------------------


def real_files() -> Iterator[tuple[str, bytes]]:
    with tarfile.open(SDIST) as archive:
        for member in archive:
            if "/tests/test_data/" in member.name and (file := archive.extractfile(member)):
                yield Path(member.name).name, file.read()


def addresses(data: bytes, rng: random.Random) -> set[str]:
    """Addresses that rules of the file are about, and two that most are not."""
    groups = (one for those in parse(data).named[Grouping.RULES].values() for one in those)
    rules = sorted({rule.path for group in groups for rule in group.rules})
    some = rng.sample(rules, min(3, len(rules)))
    paths = [
        way.rstrip("$") for rule in some for way in (rule.replace("*", "x"), rule.replace("*", "") + "abc")
    ]
    return {SITE + path for path in ["/", "/a.html", *paths] if PLAIN_PATH.fullmatch(path)}


def test_google_s_reader_says_the_same_of_real_files():
    rng, count, apart = random.Random(20261121), 0, []
    for name, data in real_files():
        if b"index.htm" in data.lower():
            continue
        named = sorted({found.decode().lower() for found in NAME_LINE.findall(data)})
        robots, matcher = parse(data), RobotsMatcher()
        for agent in [*rng.sample(named, min(3, len(named))), "nobody"]:
            for url in sorted(addresses(data, rng)):
                count += 1
                ours = robots.allows([agent], path_of(url), [Grouping.RULES])
                if ours is not matcher.OneAgentAllowedByRobots(data, agent, url):
                    apart.append((name, agent, url, ours))
    assert apart == []
    assert count > 40_000


# -- the tests of Protego after Google's description -----------------------------------------------


class Ours:
    """Our reader with the interface that those tests call."""

    def __init__(self, content: str) -> None:
        self._robots = parse(content.encode())

    @classmethod
    def parse(cls, content: str) -> "Ours":
        return cls(content)

    def can_fetch(self, url: str, user_agent: str) -> bool:
        address = url if "://" in url else SITE + url
        return self._robots.allows(names(user_agent), path_of(address), [Grouping.RULES])


def names(user_agent: str) -> list[str]:
    """The names by which a crawler goes: of each product its own, then that of its family."""
    products = re.findall(r"[A-Za-z_-]+", user_agent)
    return [name for one in products for name in (one, one.partition("-")[0])]


def their_tests() -> ModuleType:
    module = ModuleType("test_on_google_spec")
    with tarfile.open(SDIST) as archive:
        member = next(name for name in archive.getnames() if name.endswith("tests/test_on_google_spec.py"))
        file = archive.extractfile(member)
        assert file is not None
        exec(compile(file.read(), member, "exec"), module.__dict__)  # noqa: S102 - held to its hash
    module.Protego = Ours
    return module


APART = {
    ("test_user_agent_boundary_matching", "google", "googlebot-mobile"): (
        "a name matches as a whole (RFC 9309, 2.2.1; Google's reader has it so), not by its beginning"
    ),
}


def their_vectors() -> Iterator[Any]:
    for name, function in vars(their_tests()).items():
        if name.startswith("test_"):
            for mark in function.pytestmark:
                for number, values in enumerate(mark.args[1]):
                    why = APART.get((name, *values[:2]))
                    marks = [pytest.mark.xfail(reason=why, raises=AssertionError)] if why else []
                    wanted = dict(zip(mark.args[0], values, strict=True))
                    yield pytest.param(function, wanted, id=f"{name[5:]}-{number}", marks=marks)


VECTORS = list(their_vectors())


@pytest.mark.parametrize(("function", "values"), VECTORS)
def test_protego_s_vector_holds(function, values):
    function(**values)


def test_there_are_as_many_as_are_told():
    assert len(VECTORS) == 66
