"""A witness of a transparency log: it keeps what it saw, and lets nobody tell the past in another way.

    python witness.py ADDRESS KEY FOLDER [--every SECONDS]

Asks ADDRESS for its checkpoint again and again. One that KEY signed is accepted when tiles from the same
address show that the tree which was accepted last is the beginning of it. FOLDER/last is that one, and
FOLDER/seen has each that was ever accepted. A line of JSON tells each new verdict:

    accepted      signed, and consistent with the last one
    refused       not signed by KEY, or its tiles are not what was signed; the last one stays
    out of reach  nothing was answered; the last one stays
    forked        signed, and the leaves it was signed over are others than before
    shrank        signed, and smaller than before

The last two end the witness with code 2. What it accuses the log of lies in FOLDER/accusation: two
checkpoints, both signed with the log's key, and of a larger fork the hashes of the proof that failed: they
lead to the new root, so they fix what the new tree has in place of the old one, and not to the old root.

It has nothing of the registry in it: tlog-scales reads and checks, and pymerkle has the second opinion.
"""

import argparse
import binascii
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pymerkle
import requests
from cryptography.exceptions import InvalidSignature
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey
from tlog_scales.tlog import Checkpoint, ConsistencyProofInvalid

LARGEST_ANSWER = 17 * 2**20
SECONDS = 10
EMPTY_ROOT = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


class RefusedError(Exception):
    """What was served cannot be accepted, and accuses nobody."""


class MisbehaviourError(Exception):
    """The log signed what contradicts what it signed before; the message is ``forked`` or ``shrank``."""

    def __init__(self, message: str, path: Sequence[bytes] = ()) -> None:
        super().__init__(message)
        self.path = path


class Web:
    """The files of a log at an address, as tlog-scales asks for them."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        self.session = requests.Session()

    def get(self, *path: str) -> bytes | None:
        with self.session.get("/".join([self.address, *path]), timeout=SECONDS, stream=True) as answer:
            if answer.status_code == requests.codes.not_found:
                return None
            answer.raise_for_status()
            data = answer.raw.read(LARGEST_ANSWER + 1, decode_content=True)
        if len(data) > LARGEST_ANSWER:
            raise RefusedError(f"{'/'.join(path)} is too long")
        return bytes(data)


@dataclass(frozen=True)
class Memory:
    """What the witness keeps; every file appears whole or not at all."""

    folder: Path

    def last(self) -> str | None:
        path = self.folder / "last"
        return path.read_text(encoding="utf-8") if path.exists() else None

    def accept(self, seen: Checkpoint) -> None:
        self._write(self.folder / "seen" / f"{seen.size}", seen.serialize())
        self._write(self.folder / "last", seen.serialize())

    def accuse(self, kept: Checkpoint, seen: Checkpoint, path: Sequence[bytes]) -> None:
        self._write(self.folder / "accusation" / "kept", kept.serialize())
        self._write(self.folder / "accusation" / "served", seen.serialize())
        self._write(self.folder / "accusation" / "path", "".join(f"{one.hex()}\n" for one in path))

    def _write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".new").open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        path.with_suffix(".new").replace(path)


def opened(text: str, key: Vkey) -> Checkpoint:
    """Read a checkpoint strictly, and check who signed it."""
    try:
        seen = Checkpoint.from_text(text)
        seen.verify(key)
    except (ValueError, IndexError, RuntimeError, InvalidSignature, binascii.Error) as error:
        raise RefusedError(f"not a checkpoint signed by {key.name}: {error or 'wrong signature'}") from error
    if seen.serialize() != text or seen.origin != key.name:
        raise RefusedError(f"not a checkpoint of {key.name} as it would be written")
    return seen


def require_consistent(web: Web, kept: Checkpoint, seen: Checkpoint) -> None:
    """Raise unless the tree of ``kept`` is the beginning of that of ``seen``."""
    if seen.size < kept.size:
        raise MisbehaviourError("shrank")
    if seen.size == kept.size and seen.root_hash != kept.root_hash:
        raise MisbehaviourError("forked")
    reader = TilesReader(web)
    reader.set_size(seen.size)
    try:
        if reader.calculate_root_hash() != seen.root_hash:
            raise RefusedError("its tiles are not what was signed")
        if not kept.size:
            return
        proof = reader.get_consistency_proof(kept.size, seen.size)
        proof.check(kept.root_hash, seen.root_hash)
    except ConsistencyProofInvalid:
        raise second_opinion(reader, kept, seen, proof.node_hashes) from None
    except (RuntimeError, ValueError, IndexError) as error:
        raise RefusedError(f"its tiles cannot be read: {error}") from error


def second_opinion(
    reader: TilesReader, kept: Checkpoint, seen: Checkpoint, path: Sequence[bytes]
) -> Exception:
    """Say, from the leaves alone, whether the log or only its tiles tell another past."""
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    try:
        tree.append_entries([reader.get_entry(index) for index in range(seen.size)])
    except (RuntimeError, ValueError, IndexError) as error:
        return RefusedError(f"its leaves cannot be read: {error}")
    if tree.get_root() != seen.root_hash or tree.get_root(kept.size) == kept.root_hash:
        return RefusedError("its tiles or leaves are not what was signed")
    return MisbehaviourError("forked", path)


def look(web: Web, key: Vkey, memory: Memory) -> tuple[str, str]:
    """Ask once; return the verdict and what it is about, an empty one when there is nothing new."""
    try:
        data = web.get("checkpoint")
        if data is None:
            return "out of reach", "no checkpoint is published"
        last, text = memory.last(), data.decode("utf-8", "replace")
        if text == last:
            return "", ""
        seen = opened(text, key)
        kept = opened(last, key) if last is not None else Checkpoint(key.name, 0, EMPTY_ROOT, [])
        try:
            require_consistent(web, kept, seen)
        except MisbehaviourError as error:
            memory.accuse(kept, seen, error.path)
            return str(error), f"{kept.size} leaves before, now {seen.size}"
        memory.accept(seen)
        return "accepted", f"{seen.size}"
    except RefusedError as error:
        return "refused", str(error)
    except requests.RequestException as error:
        return "out of reach", type(error).__name__


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("address")
    parser.add_argument("key")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=float, default=1.0, metavar="SECONDS")
    asked = parser.parse_args()
    web, key, memory = Web(asked.address), Vkey.from_string(asked.key), Memory(asked.folder)
    told = ("", "")
    while True:
        verdict = look(web, key, memory)
        if verdict[0] and verdict != told:
            print(json.dumps({"verdict": verdict[0], "about": verdict[1]}), flush=True)
            told = verdict
        if verdict[0] in ("forked", "shrank"):
            return 2
        time.sleep(asked.every)


if __name__ == "__main__":
    sys.exit(main())
