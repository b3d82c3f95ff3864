"""Importing lists of works: cut into parts, sent some at once, signed, and gone on with after a fall.

A list is cut in the same way every time, so a part has the same bytes and the same number whenever it is
made. What stands at the registry is asked of it, compared, and not sent again. Beside the first list a small
file remembers which import this is, until it is complete.

CSV and JSON lines are cut between their rows and otherwise sent as they are; parquet needs ``[parquet]``.
"""

import contextlib
import hashlib
import io
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from registry.client.formats.entries import csv_rows
from registry.client.formats.table import pyarrow_modules
from registry.client.http import RegistryClient
from registry.errors import CaveatError, FormatError, InputError, RegistryAnswerError, RegistryRefusedError
from registry.import_claim import Claim, digest_of, statement_of
from registry.note import Signer, sign_note

__all__ = ["KINDS", "Import", "Imported", "Part", "import_lists", "parts_of", "resume_path"]

_T = TypeVar("_T")
KINDS = {
    ".csv": "text/csv",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
    ".parquet": "application/vnd.apache.parquet",
}
"""Kinds of lists by the suffix of their names."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a list: ``number`` from 1, ``works`` rows from row ``first`` (from 0) of ``file`` on."""

    number: int
    file: Path
    first: int
    works: int
    data: bytes

    @property
    def sha256(self) -> str:
        """The SHA-256 of the body, in hexadecimal digits."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class Import:
    """What to import: lists, the namespace, what is said of all works, and who signs.

    ``at_once`` parts are on the way together.
    """

    files: Sequence[Path]
    namespace: str
    reservation: Mapping[str, Any]
    signer: Signer
    at_once: int = 4


@dataclass(slots=True)
class Imported:
    """How far an import came; ``seq`` is 0 until it is visible, ``sent`` counts the parts of this run."""

    registry: str
    id: str = ""
    seq: int = 0
    parts: int = 0
    works: int = 0
    sent: int = 0
    exact_only: int = 0
    digest: str = ""
    hashes: dict[int, str] = field(default_factory=dict)


def import_lists(client: RegistryClient, wanted: Import, tick: Callable[[int], None]) -> Imported:
    """Import lists, or go on with it; ``tick`` is told of every part how many works it has.

    Raises :class:`RegistryRefusedError` and the other errors of the client, :class:`InputError` when a list
    is not what it was when the import began.
    """
    done, standing, size = _begun(client, wanted)
    path = f"/{done.id}"
    _send(client, wanted, standing, (done, size, tick))
    if not done.parts:
        client.tell_import("DELETE", path)
        resume_path(wanted.files).unlink(missing_ok=True)
        raise InputError("the lists have no works, so nothing was imported")
    bodies = [bytes.fromhex(done.hashes[number]) for number in sorted(done.hashes)]
    claim = Claim(done.parts, done.works, digest_of(bodies))
    note = sign_note(statement_of(wanted.namespace, done.id, claim), [wanted.signer])
    done.digest = claim.digest.hex()
    body = {"parts": claim.parts, "works": claim.works, "digest": done.digest, "note": note}
    while (answer := client.tell_import("POST", f"{path}/complete", body)).get("state") == "building":
        time.sleep(_whole(answer, "retry_after"))
    done.seq = _whole(answer, "seq")
    resume_path(wanted.files).unlink(missing_ok=True)
    return done


def resume_path(files: Sequence[Path]) -> Path:
    """Return the file that remembers an import of these lists."""
    return files[0].with_name(f"{files[0].name}.caveat-import")


def parts_of(files: Sequence[Path], size: int) -> Iterator[Part]:
    """Cut lists into parts of at most ``size`` works; no part has rows of two lists.

    Raises :class:`FormatError` for a list of another kind, :class:`registry.errors.DatasetError` for one that
    cannot be read.
    """
    number = 0
    for file in files:
        cut = {".csv": _csv_parts, ".parquet": _parquet_parts}.get(file.suffix.lower(), _line_parts)
        first = 0
        for data, works in cut(file, size):
            number += 1
            yield Part(number, file, first, works, data)
            first += works


def kind_of(file: Path) -> str:
    """Return the media type of a list. Raises :class:`FormatError`."""
    kind = KINDS.get(file.suffix.lower())
    if kind is None:
        raise FormatError(
            f"{file} is none of {', '.join(KINDS)}", hint="Give the list one of these suffixes, and its form."
        )
    return kind


def _begun(client: RegistryClient, wanted: Import) -> tuple[Imported, dict[int, Any], int]:
    """Begin an import, or find the one that was begun, with the parts that stand and the size of a part."""
    for file in wanted.files:
        kind_of(file)
    memory, done = resume_path(wanted.files), Imported(client.url)
    known = _remembered(memory)
    if known is not None:
        same = {"registry": client.url, "namespace": wanted.namespace, "files": _names(wanted)}
        if {name: known.get(name) for name in same} != same:
            raise InputError(
                f"{memory} is of another import: of {known.get('files')} to {known.get('registry')}",
                hint=f"Finish that one first, or take it back (caveat withdraw {known.get('id')}) and delete"
                " the file.",
            )
        done.id = str(known.get("id"))
        return done, _standing(client, done.id, memory), _whole(known, "part_works")
    answer = client.tell_import("POST", "", {"namespace": wanted.namespace, **wanted.reservation})
    if not isinstance(answer.get("id"), str):
        raise _wrong(client, "an import without an id")
    done.id, size = answer["id"], _whole(answer, "part_works")
    if answer.get("signer") != wanted.signer.verifier.text:
        client.tell_import("DELETE", f"/{done.id}")
        raise InputError(
            f"the registry expects imports signed by {answer.get('signer')}; the key here is"
            f" {wanted.signer.verifier.text}",
            hint="Name the right key with --signing-key, or ask the operator to register yours.",
        )
    written = {"registry": client.url, "namespace": wanted.namespace, "files": _names(wanted)}
    memory.write_text(json.dumps({**written, "id": done.id, "part_works": size}) + "\n", encoding="utf-8")
    return done, {}, size


def _names(wanted: Import) -> list[str]:
    return [file.name for file in wanted.files]


def _remembered(memory: Path) -> dict[str, Any] | None:
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{memory} cannot be read: {error}", hint="Delete it to begin anew.") from error
    if not isinstance(known, dict):
        raise InputError(f"{memory} is not what an import leaves", hint="Delete it to begin anew.")
    return known


def _standing(client: RegistryClient, id_: str, memory: Path) -> dict[int, Any]:
    """Return the parts that stand at the registry, by number."""
    try:
        shown = client.tell_import("GET", f"/{id_}")
    except RegistryRefusedError as error:
        raise InputError(
            f"the import that {memory} speaks of cannot be gone on with: {error.message}",
            hint="Use the key that began it, or delete the file to begin anew.",
        ) from error
    if shown.get("state") not in ("open", "complete"):
        raise InputError(f"the import {id_} is {shown.get('state')}", hint=f"Delete {memory} to begin anew.")
    try:
        return {part["part"]: part for part in shown["parts"]}
    except (KeyError, TypeError) as error:
        raise _wrong(client, f"an import that cannot be read ({error!r})") from error


_Progress = tuple[Imported, int, Callable[[int], None]]


def _send(client: RegistryClient, wanted: Import, standing: Mapping[int, Any], progress: _Progress) -> None:
    """Send the parts that do not stand, some at once."""
    done, size, tick = progress
    senders = _Senders(client, done.id, wanted.at_once)
    try:
        for part in parts_of(wanted.files, size):
            done.hashes[part.number] = part.sha256
            done.parts, done.works = done.parts + 1, done.works + part.works
            if part.number in standing:
                _require_same(part, standing[part.number], wanted)
                tick(part.works)
                continue
            while senders.under_way >= 2 * wanted.at_once:
                _taken(senders.answer(), done, tick)
            senders.send(part)
        while senders.under_way:
            _taken(senders.answer(), done, tick)
    finally:
        senders.stop()
    beyond = sorted(set(standing) - set(done.hashes))
    if beyond:
        raise _changed(wanted, f"part {beyond[0]} stands there, and the lists have {done.parts} parts")


class _Senders:
    """Threads that send parts. They keep nobody from ending: what was on the way is sent the next time."""

    def __init__(self, client: RegistryClient, id_: str, count: int) -> None:
        self._client, self._id = client, id_
        self._parts: SimpleQueue[Part | None] = SimpleQueue()
        self._answers: SimpleQueue[dict[str, Any] | BaseException] = SimpleQueue()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]
        self.under_way = 0
        for thread in self._threads:
            thread.start()

    def send(self, part: Part) -> None:
        """Let one of the threads send it."""
        self.under_way += 1
        self._parts.put(part)

    def answer(self) -> dict[str, Any]:
        """Return the next answer, in whatever order. Raises what sending it raised."""
        answer = self._answers.get()
        self.under_way -= 1
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def stop(self) -> None:
        """Send nothing more."""
        with contextlib.suppress(Empty):
            while True:
                self._parts.get_nowait()
        for _ in self._threads:
            self._parts.put(None)

    def _work(self) -> None:
        while (part := self._parts.get()) is not None:
            try:
                self._answers.put(_put(self._client, self._id, part))
            except BaseException as error:  # noqa: BLE001 - it is raised where answers are taken
                self._answers.put(error)


def _taken(answer: Mapping[str, Any], done: Imported, tick: Callable[[int], None]) -> None:
    done.sent += 1
    done.exact_only += len(answer["exact_only"])
    tick(answer["works"])


def _put(client: RegistryClient, id_: str, part: Part) -> dict[str, Any]:
    try:
        answer = client.tell_import("PUT", f"/{id_}/parts/{part.number}", part.data, kind_of(part.file))
    except CaveatError as error:
        rows = f"rows {part.first:,} to {part.first + part.works - 1:,}"
        message = f"{part.file}, part {part.number} ({rows}): {error.message}"
        raise type(error)(message, hint=error.hint) from error
    same = answer.get("sha256") == part.sha256 and answer.get("works") == part.works
    if not (same and isinstance(answer.get("exact_only"), list)):
        raise _wrong(client, f"to part {part.number} of {part.works} works: {str(answer)[:200]}")
    return answer


def _require_same(part: Part, stands: Mapping[str, Any], wanted: Import) -> None:
    if stands.get("sha256") != part.sha256:
        raise _changed(wanted, f"part {part.number} stands there with other bytes")


def _changed(wanted: Import, what: str) -> InputError:
    memory = resume_path(wanted.files)
    return InputError(
        f"the lists are not what they were when the import began: {what}",
        hint=f"Put them back as they were; or take the import back (caveat withdraw, with the identifier in"
        f" {memory}), delete that file and begin anew.",
    )


def _csv_parts(file: Path, size: int) -> Iterator[tuple[bytes, int]]:
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = csv_rows(lines, str(file))
            head = next(rows, ([], ""))[1]
            for some in _batched(rows, size):
                yield "".join(_ended(raw) for raw in (head, *(raw for _, raw in some))).encode(), len(some)
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8: byte {error.start}", hint="Save it as UTF-8.") from error


def _line_parts(file: Path, size: int) -> Iterator[tuple[bytes, int]]:
    with file.open("rb") as lines:
        filled = (line for line in lines if line.strip())
        for some in _batched(filled, size):
            yield b"".join(line if line.endswith(b"\n") else line + b"\n" for line in some), len(some)


def _parquet_parts(file: Path, size: int) -> Iterator[tuple[bytes, int]]:
    arrow, parquet = pyarrow_modules()
    try:
        with parquet.ParquetFile(file) as source:
            for batch in source.iter_batches(size):
                sink = io.BytesIO()
                parquet.write_table(arrow.Table.from_batches([batch]), sink)
                yield sink.getvalue(), batch.num_rows
    except (arrow.ArrowException, ValueError) as error:
        raise InputError(f"{file} is not a parquet file that can be read: {error}") from error


def _ended(row: str) -> str:
    """Return a row of CSV with the end of its line, which the last one of a list may lack."""
    return row if row.endswith(("\n", "\r")) else f"{row}\n"


def _batched(rows: Iterable[_T], size: int) -> Iterator[list[_T]]:
    rows = iter(rows)
    while some := list(islice(rows, size)):
        yield some


def _whole(answer: Mapping[str, Any], name: str) -> int:
    value = answer.get(name)
    if type(value) is not int or value < 0:
        raise RegistryAnswerError(f"the registry answered {name} {value!r}", hint="Try again later.")
    return value


def _wrong(client: RegistryClient, what: str) -> RegistryAnswerError:
    return RegistryAnswerError(
        f"the registry at {client.url} answered {what}", hint="Check that it is a Caveat registry."
    )
