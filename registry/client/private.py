"""Look-ups that tell a registry the beginnings of keys and nothing else.

    private = PrivateRegistry(client)
    private.lookup([Asked("https://ada.example/a.jpg")], Use.GENAI_TRAIN)

Every key by which an item could be found, of its address and of its file, is asked for by its first
``RANGE_DIGITS`` digits; the registry answers with all keys that begin so, and what is said under them, and
which of them was meant is found out here. Beginnings are asked for sorted and once each, those of many items
together, so that which of them belong to one item is not told.

What follows is what follows from a look-up. Without an API key of scope ``lookup`` it may be stricter: whose
word takes the place of whose is not told, so no reservation gives way, and a permission that anybody's later
word could have taken back does not count. A fingerprint cannot be asked for so: a picture of which neither
address nor file is reserved is not checked.
"""

import copy
import queue
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.client.http import Asked, Known, Marks, RegistryClient
from registry.client.snapshot import question_of
from registry.client.transport import MAX_ANSWER_BYTES, wrong_answer
from registry.decision import decide, effective
from registry.errors import GrantError, InputError, RegistryAnswerError
from registry.jsontext import strict_json
from registry.keys import KEY_BYTES, distinct, key_bytes
from registry.matching import MAX_STATEMENTS, OF, RANGE_DIGITS, Question
from registry.preference import Preference, Status, Use
from registry.statement import Statement
from registry.urlkeys import KINDS, url_keys
from registry.urls import RuleKind

__all__ = ["PrivateRegistry"]

_AT_ONCE = 8
"""Requests under way at a time."""
_SOME = 512
"""Ranges in memory at a time, beside those that are kept."""
_KEPT = 100_000
"""Keys of ranges, and ranges, that are kept: some 150 MB of them at most."""
_NO_PICTURES = "pictures cannot be compared privately, and nothing is reserved by its address or its file"
_ANYBODY = "?"
_KEY = {
    of: re.compile(f"[0-9a-f]{{{length}}}", re.ASCII)
    for of, length in zip(OF, (2 * KEY_BYTES, 64), strict=True)
}
_MATCH_OF = {kind: "url" if kind is RuleKind.EXACT else str(kind) for kind in RuleKind}

_Statements = tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class _Range:
    """What is said under every key that begins alike, as of one event."""

    as_of_seq: int
    said: Mapping[bytes, _Statements]


class PrivateRegistry:
    """A registry that is asked through ``client`` by ranges; used as the client is."""

    def __init__(self, client: RegistryClient) -> None:
        self._client = client
        self._kept: OrderedDict[tuple[str, str], _Range] = OrderedDict()
        self._size = 0
        self._asking = threading.Lock()  # What is kept belongs to one thread at a time.

    def __reduce__(self) -> tuple[Any, ...]:
        return PrivateRegistry, (self._client,)

    @property
    def client(self) -> RegistryClient:
        """What it asks through."""
        return self._client

    @property
    def url(self) -> str:
        """The registry's address."""
        return self._client.url

    def check_parameters(self) -> Mapping[str, Any]:
        """Ask what the registry takes; :class:`RegistryAnswerError` when it has no ranges like ours."""
        parameters = self._client.check_parameters()
        if parameters.get("range_digits") != RANGE_DIGITS:
            raise RegistryAnswerError(
                f"{self.url} has ranges of {parameters.get('range_digits', 'no')} digits; this client asks "
                f"for ranges of {RANGE_DIGITS}",
                hint="It is of another version; look up in a snapshot instead, which sends nothing.",
            )
        return parameters

    def lookup(
        self, items: Sequence[Asked], use: Use, *, review: bool = True, grants: Sequence[str] = ()
    ) -> list[Known]:
        """Look up ``items``; one answer an item, in their order. ``review`` makes no difference.

        Raises as :meth:`registry.client.RegistryClient.lookup`, and :class:`GrantError` for any ``grants``.
        """
        del review
        if grants:
            raise GrantError("ranges do not tell what a grant covers", hint="Leave out --private.")
        parsed = [question_of(item) for item in items]
        questions = [one for one in parsed if isinstance(one, Question)]
        said: list[list[Statement]] = [[] for _ in questions]
        seqs = [self._say_of_urls(questions, said), self._say_of_files(questions, said)]
        seq = min(seqs)
        answers = iter([_known(one, about, use, seq) for one, about in zip(questions, said, strict=True)])
        return [next(answers) if isinstance(one, Question) else Known(*one, (), seq) for one in parsed]

    def mark(self, keys: NDArray[np.uint64], of: str = "rule") -> Marks:
        """Say which of ``keys: uint64[n, 2]`` anything is said under; ``of`` is ``rule`` or ``sha256``."""
        if of not in OF:
            raise InputError(f"of: expected {' or '.join(OF)}, got {of!r}")
        asked, place = distinct(keys)
        texts = key_bytes(asked)
        seq, found = self._ask(texts, of)
        return Marks(seq, np.fromiter((key in found for key in texts), np.bool_, len(texts))[place])

    def _say_of_urls(self, questions: Sequence[Question], said: list[list[Statement]]) -> int:
        places = [place for place, one in enumerate(questions) if one.url is not None]
        candidates = url_keys([one.url for one in questions if one.url is not None])
        keys = key_bytes(candidates.keys)
        seq, found = self._ask(keys, "rule")
        for key, url, kind in zip(keys, candidates.url.tolist(), candidates.kind.tolist(), strict=True):
            statements = found.get(key, {}).get(key, ())
            # The kind of rule is part of what the key is a hash of.
            self._require_matches(statements, _MATCH_OF[KINDS[kind]])
            said[places[url]] += statements
        return seq

    def _say_of_files(self, questions: Sequence[Question], said: list[list[Statement]]) -> int:
        keys = [one.sha256[:KEY_BYTES] for one in questions if one.sha256 is not None]
        seq, found = self._ask(keys, "sha256")
        for place, one in enumerate(questions):
            if one.sha256 is not None:
                statements = found.get(one.sha256[:KEY_BYTES], {}).get(one.sha256, ())
                self._require_matches(statements, "sha256")
                said[place] += statements
        return seq

    def _require_matches(self, statements: Iterable[Statement], kind: str) -> None:
        for one in statements:
            if one.match.kind != kind or not one.match.certain:
                raise wrong_answer(self.url, f"a statement by {one.match.kind} under a key of {kind}")

    def _ask(self, keys: Iterable[bytes], of: str) -> tuple[int, dict[bytes, dict[bytes, _Statements]]]:
        """Return the event of the oldest answer, and by 16 bytes of ``keys`` what is said, by whole key."""
        wanted: dict[str, set[bytes]] = {}
        for key in keys:
            wanted.setdefault(key.hex()[:RANGE_DIGITS], set()).add(key)
        found: dict[bytes, dict[bytes, _Statements]] = {}
        # Something is always asked for: an answer about nothing has its event too.
        seqs = []
        with self._asking:
            for prefix, one in self._ranges(sorted(wanted) or ["0" * RANGE_DIGITS], of):
                seqs.append(one.as_of_seq)
                for whole, statements in one.said.items():
                    if whole[:KEY_BYTES] in wanted.get(prefix, ()):
                        found.setdefault(whole[:KEY_BYTES], {})[whole] = statements
        return min(seqs), found

    def _ranges(self, prefixes: Iterable[str], of: str) -> Iterator[tuple[str, _Range]]:
        """Yield each range, fetched unless it is kept, several at a time."""
        free: queue.SimpleQueue[RegistryClient] = queue.SimpleQueue()
        for _ in range(_AT_ONCE):
            client = copy.copy(self._client)  # A connection belongs to one thread at a time.
            client.book = self._client.book
            free.put(client)

        def fetched(prefix: str) -> _Range:
            client = free.get()
            try:
                return self._read(client.fetch(f"/api/v1/range/{of}/{prefix}", MAX_ANSWER_BYTES), prefix, of)
            finally:
                free.put(client)

        remaining = iter(prefixes)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            try:
                while some := list(islice(remaining, _SOME)):
                    here = {one: self._kept[of, one] for one in some if (of, one) in self._kept}
                    new = [one for one in some if one not in here]
                    here |= zip(new, pool.map(fetched, new), strict=True)
                    for prefix in some:
                        self._keep((of, prefix), here[prefix])
                        yield prefix, here[prefix]
            finally:
                pool.shutdown(cancel_futures=True)
                while not free.empty():
                    free.get().close()

    def _keep(self, name: tuple[str, str], one: _Range) -> None:
        """Keep a range; those that were not asked for the longest go."""
        if name in self._kept:
            self._kept.move_to_end(name)
            return
        self._kept[name] = one
        self._size += 1 + len(one.said)
        while self._size > _KEPT:
            _, gone = self._kept.popitem(last=False)
            self._size -= 1 + len(gone.said)

    def _read(self, data: bytes, prefix: str, of: str) -> _Range:
        """Read a range. Raises :class:`RegistryAnswerError` unless all of it can be read."""
        try:
            wire = strict_json(data)
            seq, keys = wire["as_of_seq"], wire["keys"]
            if type(seq) is not int or seq < 0:
                raise ValueError(f"as_of_seq {seq!r}")
            said = {_key(one["key"], prefix, of): self._statements(one["statements"]) for one in keys}
            if len(said) != len(keys):
                raise ValueError("a key that stands there twice")
        except (InputError, RegistryAnswerError) as error:
            raise wrong_answer(self.url, error.message) from error
        except (KeyError, TypeError, ValueError) as error:
            raise wrong_answer(self.url, f"a range that cannot be read ({error!r})") from error
        return _Range(seq, said)

    def _statements(self, wires: Sequence[Mapping[str, Any]]) -> _Statements:
        if not isinstance(wires, list) or not wires:
            raise ValueError("a key without statements")
        return tuple(
            replace(Statement.from_wire(wire, registry=self.url), principal=_speaker(wire)) for wire in wires
        )


def _key(text: object, prefix: str, of: str) -> bytes:
    if not isinstance(text, str) or not _KEY[of].fullmatch(text) or not text.startswith(prefix):
        raise ValueError(f"{repr(text)[:80]} is no key that begins with {prefix}")
    return bytes.fromhex(text)


def _speaker(wire: Mapping[str, Any]) -> str:
    speaker = wire.get("speaker", "")
    if not isinstance(speaker, str) or speaker == _ANYBODY:
        raise TypeError("the speaker is no name")
    return speaker


def _known(question: Question, said: Sequence[Statement], use: Use, seq: int) -> Known:
    told = [replace(one, principal="") for one in _counted(said, use)[:MAX_STATEMENTS]]
    decision = decide(told, use)
    if decision.preference is not Preference.RESERVED and question.is_comparable:
        return Known(Status.NOT_CHECKED, _NO_PICTURES, (), seq)
    return Known(Status.OK, decision.reason, tuple(told), seq)


def _counted(said: Sequence[Statement], use: Use) -> list[Statement]:
    """Return what counts; where speakers are not told, nothing that restricts gives way to another's word.

    A permission counts then only if it would also if all of them were one speaker's.
    """
    counted = effective(said, use)
    if all(one.principal for one in said):
        return counted
    stands = effective([replace(one, principal=_ANYBODY) for one in said], use)
    lasting = [replace(one, principal="") for one in stands]
    return [
        one
        for one in counted
        if one.preferences[use] is not Preference.ALLOWED or replace(one, principal="") in lasting
    ]
