"""What sites say of the works that they serve: their files, and the headers of their answers.

1. The files of an origin are fetched once: ``/robots.txt``, ``/.well-known/tdmrep.json``, ``/ai.txt``, and
   the licences that they name. An answer is kept on this machine for a day at most (RFC 9309, 2.4); that none
   came, for the run only.
2. Then each address is asked for its headers alone, unless robots.txt keeps this program out: then the site
   has said enough.
3. One host is asked one thing at a time; hosts are asked side by side. One that gives no answer five times
   in a row is not asked any more in this run, nor one for its other files whose robots.txt did not come.

What gives no answer is a fault by name. Nothing here decides what follows.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import ada_url

from registry.client.formats.files import appearing
from registry.client.side_by_side import side_by_side
from registry.errors import FetchError, InvalidUrlError, RefusedAddressError
from registry.fetch import Fetched, Fetcher
from registry.preference import Status
from registry.signals import Fault, Observation, Reading, SiteFile, joined, named_addresses, read_signals
from registry.signals import robots as robots_txt
from registry.signals.agents import Agents
from registry.signals.observation import HTML_TYPES, media_type
from registry.signals.paths import origin_of, path_of
from registry.urls import canonicalize_url

__all__ = ["DAY", "SiteCache", "Sites", "asked_file", "with_licences"]

DAY = 86_400
"""Seconds for which an answer of a site is taken to hold."""

_FILES = ("/robots.txt", "/.well-known/tdmrep.json", "/ai.txt")
_MOST_LICENCES = 5
_HOSTS_AT_ONCE = 16
_FILES_AT_HAND = 128
_MOST_SILENCES = 5
_MOST_KEPT = 80_000_000
_GONE = frozenset({404, 410})


@dataclass(frozen=True, slots=True)
class SiteCache:
    """Answers of sites, a file each in ``folder``; ``now`` gives seconds since 1970."""

    folder: Path
    now: Callable[[], float]

    def load(self, url: str) -> SiteFile | None:
        """Return what was answered in the last day; None without, and for what cannot be read."""
        try:
            digest, _, kept = self._bytes(url).partition(b"\n")
            if hashlib.sha256(kept).hexdigest().encode() != digest:
                return None
            head, _, data = kept.partition(b"\n")
            wire = json.loads(head)
            if wire["asked"] != url or not 0 <= self.now() - wire["at"] < DAY:
                return None
            return SiteFile(str(wire["url"]), int(wire["status"]), data, str(wire["content_type"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save(self, url: str, answer: SiteFile) -> None:
        """Keep an answer; a disk that does not take it costs another request later, and nothing else."""
        head = {
            "asked": url,
            "at": int(self.now()),
            "url": answer.url,
            "status": answer.status,
            "content_type": answer.content_type,
        }
        kept = json.dumps(head).encode() + b"\n" + answer.data
        place = self._place(url)
        with suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            with appearing(place) as [temporary]:
                temporary.write_bytes(hashlib.sha256(kept).hexdigest().encode() + b"\n" + kept)

    def _bytes(self, url: str) -> bytes:
        """Return a file of ours; of what lies there in its stead, a device for example, nothing."""
        place = self._place(url)
        if not place.is_file() or place.stat().st_size > _MOST_KEPT:
            return b""
        return place.read_bytes()

    def _place(self, url: str) -> Path:
        return self.folder / hashlib.sha256(url.encode()).hexdigest()


@dataclass(slots=True)
class Sites:
    """Sites as they are, or were within a day; ``agents`` are the AI crawlers that robots.txt may name."""

    fetcher: Fetcher
    cache: SiteCache
    agents: Agents
    _file: Callable[[str], SiteFile] = field(init=False, repr=False)
    _locks: dict[str, threading.Lock] = field(default_factory=dict, repr=False)
    _guard: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _whys: dict[str, str] = field(default_factory=dict, repr=False)
    _silences: dict[str, int] = field(default_factory=dict, repr=False)
    _stop: threading.Event = field(default_factory=threading.Event, repr=False)

    def __post_init__(self) -> None:
        self._file = lru_cache(_FILES_AT_HAND)(self._fetched)

    def read(self, urls: Iterable[str], tick: Callable[[], None] = lambda: None) -> dict[str, Reading]:
        """Return what the sites of these addresses say of each; ``tick`` is called after each address.

        What is no address, or gives no answer, has a fault. Whoever stops it does not wait for what is asked.
        """
        by_host: dict[str, list[str]] = {}
        for url in dict.fromkeys(urls):
            by_host.setdefault(_host_of(url), []).append(url)
        stop = self._stop = threading.Event()
        found: dict[str, Reading] = {}
        for part in side_by_side(
            lambda some: self._in_turn(some, tick, stop), list(by_host.values()), _HOSTS_AT_ONCE, stop
        ):
            found |= part
        return found

    def look(self, url: str) -> Reading:
        """Fetch an address itself, and return what it and its site say.

        HTML is taken for a page, everything else for a work.
        """
        return self._reading(url, self.fetcher.get)

    def _in_turn(
        self, urls: Sequence[str], tick: Callable[[], None], stop: threading.Event
    ) -> dict[str, Reading]:
        found = {}
        for url in urls:
            if stop.is_set():
                break
            found[url] = self._reading(url, self.fetcher.head)
            tick()
        return found

    def _reading(self, url: str, ask: Callable[[str], Fetched]) -> Reading:
        try:
            seen = Observation(url=url, site=self._site_of(url))
        except InvalidUrlError as error:
            return Reading(faults=(_fault(f"{url[:200]!r} cannot be asked: {error.message}"),))
        if _keeps_out(seen):
            return joined([self._unanswered(seen), self._said(seen)])
        try:
            answer = self._answer(url, ask)
        except FetchError as error:
            return joined([self._said(seen), Reading(faults=(_fault(error.message),))])
        said = self._said(_with_answer(seen, answer))
        return joined([said, Reading(faults=_faults(answer)), self._beyond(url, answer)])

    def _unanswered(self, seen: Observation) -> Reading:
        """Return why robots.txt gave no answer, which its reader cannot know."""
        robots = seen.site["/robots.txt"]
        why = "" if robots.status else self._whys.get(robots.url, "")
        return Reading(faults=(Fault("http", "robots.txt", Status.ERROR, why),)) if why else Reading()

    def _answer(self, url: str, ask: Callable[[str], Fetched]) -> Fetched:
        """Ask, unless the host has given no answer too often. Raises :class:`FetchError`."""
        host = _host_of(url)
        silences = self._silences.get(host, 0)
        if silences >= _MOST_SILENCES:
            raise FetchError(f"{url} was not asked: {host} gave no answer {silences} times in a row")
        try:
            answer = ask(url)
        except RefusedAddressError:
            raise
        except FetchError:
            self._silences[host] = silences + 1
            raise
        self._silences[host] = 0
        return answer

    def _beyond(self, url: str, answer: Fetched) -> Reading:
        """Return what the site says to which an address led on, if it is another one."""
        if origin_of(answer.url) == origin_of(url):
            return Reading()
        return self._said(Observation(url=answer.url, site=self._site_of(answer.url)))

    def _said(self, seen: Observation) -> Reading:
        """Fetch what the observation names, and read it all."""
        return read_signals(with_licences(seen, self._file), self.agents)

    def _site_of(self, url: str) -> Mapping[str, SiteFile]:
        """Return the files of the origin of an address. Raises :class:`InvalidUrlError`."""
        canonicalize_url(url)
        parts = urlsplit(ada_url.URL(url).href)
        root = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        with self._lock_of(root):
            first, *others = _FILES
            found = {first: self._file(root + first)}
            if not found[first].status:
                return found | {path: SiteFile(root + path, 0) for path in others}
            return found | {path: self._file(root + path) for path in others}

    def _fetched(self, url: str) -> SiteFile:
        known = self.cache.load(url)
        if known is None:
            known = self._asked(url)
            kept = _is_found(known) or robots_txt.absent(known.status)
            if kept and not self._stop.is_set():
                self.cache.save(url, known)
        return known

    def _asked(self, url: str) -> SiteFile:
        try:
            return asked_file(self.fetcher, url)
        except FetchError as error:
            self._whys[url] = error.message
            return SiteFile(url, 0)

    def _lock_of(self, origin: str) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(origin, threading.Lock())


def asked_file(fetcher: Fetcher, url: str) -> SiteFile:
    """Return what is answered at ``url``. Raises :class:`FetchError` when nothing is."""
    answer = fetcher.get(url)
    kind = media_type(answer.header("content-type"))
    return SiteFile(answer.url, answer.status, answer.data, kind)


def with_licences(seen: Observation, file_of: Callable[[str], SiteFile]) -> Observation:
    """Return the observation with the files that it names; one that does not come is a fault of the reading.

    So is each beyond the first few: an answer may name thousands.
    """
    named = {one: file_of(one) for one in named_addresses(seen)[:_MOST_LICENCES]}
    return replace(seen, site={**seen.site, **named})


def _host_of(url: str) -> str:
    """Return host and port; empty for what is no address."""
    try:
        return str(ada_url.URL(url).host)
    except ValueError:
        return ""


def _keeps_out(seen: Observation) -> bool:
    """Say whether robots.txt keeps this program from the address, or gave no answer."""
    robots = seen.site["/robots.txt"]
    if robots_txt.absent(robots.status):
        return False
    if not _is_found(robots):
        return True
    return not robots_txt.parse(robots.data).allows([robots_txt.OWN], path_of(seen.url))


def _is_found(file: SiteFile) -> bool:
    return 200 <= file.status < 300


def _with_answer(seen: Observation, answer: Fetched) -> Observation:
    if not 200 <= answer.status < 300:
        return seen
    if _is_html(answer):
        return replace(seen, headers=answer.headers, page=answer.data)
    return replace(seen, headers=answer.headers, data=answer.data)


def _faults(answer: Fetched) -> tuple[Fault, ...]:
    """Return why an answer says nothing, or not all, of a work; one that is gone has nothing to say."""
    if answer.cut:
        return (_fault(f"{answer.url}: longer than {len(answer.data):,} bytes; not all was read"),)
    if 200 <= answer.status < 300 or answer.status in _GONE:
        return ()
    return (_fault(f"{answer.url} answered {answer.status}: what its headers would say is not known"),)


def _is_html(answer: Fetched) -> bool:
    return media_type(answer.header("content-type")) in HTML_TYPES


def _fault(message: str) -> Fault:
    return Fault("http", "headers", Status.ERROR, message)
