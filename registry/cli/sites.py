"""What the commands that read sites share: the list of AI crawlers, the answers that are kept, the calls."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click

from registry.cli.common import config_path
from registry.client.formats.files import appearing
from registry.client.site import SiteCache, Sites
from registry.errors import InputError, SettingsError
from registry.fetch import SITE_SIGNALS, Fetcher
from registry.signals.agents import MAX_BYTES, Agents

__all__ = ["agents_path", "known_agents", "open_sites", "site_signals_option", "sites_if", "update_agents"]


def agents_path() -> Path:
    """Return the user's own list of AI crawlers, which need not be there."""
    return config_path().with_name("agents.json")


def known_agents() -> Agents:
    """Return the newer of the list that is shipped and the user's own. Raises :class:`InputError`."""
    shipped, path = Agents.default(), agents_path()
    if not path.exists():
        return shipped
    return max(shipped, _read(path), key=lambda one: one.version)


def update_agents(path: Path) -> Agents:
    """Take the list in ``path`` for the user's own; it must not be older than the one in use."""
    new, known = _read(path), known_agents()
    if new.version < known.version:
        raise InputError(
            f"{path} is of {new.version}, and the list in use of {known.version}",
            hint="Nothing was changed. Give a newer list.",
        )
    target = agents_path()
    with appearing(target) as [temporary]:
        temporary.write_bytes(path.read_bytes())
    return new


site_signals_option = click.option(
    "--site-signals",
    is_flag=True,
    help="Ask the sites of the URLs too: robots.txt, ai.txt, tdmrep.json, headers.",
)


@contextmanager
def sites_if(wanted: bool) -> Iterator[Sites | None]:
    """Open what reads sites if it is wanted."""
    if not wanted:
        yield None
        return
    with open_sites() as sites:
        yield sites


@contextmanager
def open_sites(largest: int = SITE_SIGNALS.largest) -> Iterator[Sites]:
    """Open what reads sites; answers of at most ``largest`` bytes are read."""
    fetcher = Fetcher(replace(SITE_SIGNALS, largest=largest))
    try:
        yield Sites(fetcher, SiteCache(_cache_folder() / "sites", time.time), known_agents())
    finally:
        fetcher.close()


def _cache_folder() -> Path:
    if sys.platform in ("darwin", "win32"):
        return Path(click.get_app_dir("caveat")) / "cache"
    named = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(named or Path.home() / ".cache") / "caveat"
    except RuntimeError as error:
        raise SettingsError(
            "no folder for the answers of sites: this user has no home",
            hint="Set HOME, or XDG_CACHE_HOME to a folder that may be written.",
        ) from error


def _read(path: Path) -> Agents:
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    try:
        return Agents.load(data)
    except InputError as error:
        raise InputError(f"{path}: {error.message}", hint=error.hint) from error
