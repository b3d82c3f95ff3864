"""A file system that keeps what was synced, and nothing else: ``python -m tests.faults.lossy MOUNT STATE``.

Files and folders live in memory, twice: as they are, and as the disk has them. fsync of a file makes its
bytes last, fsync of a folder the names in it; nothing else does. That is POSIX to the letter; a real disk
keeps more, but not always the same more. Making the folder ``.cut`` cuts the power: from then on every call
fails, and what the disk has is written to STATE, from where the next mount goes on. The folder
``.cut-torn`` does too, but then each page that was not synced, and the names in each folder, may have
reached the disk or not.
"""

import errno
import functools
import os
import pickle
import random
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mfusepy

__all__ = ["CUT", "TORN", "Lossy"]

CUT, TORN = ".cut", ".cut-torn"
_PAGE = 4096


@dataclass(eq=False)
class Node:
    """A file or a folder: as it is, and as the disk has it."""

    mode: int
    number: int = 0
    data: bytearray = field(default_factory=bytearray)
    kept: bytes = b""
    names: dict[str, "Node"] = field(default_factory=dict)
    kept_names: dict[str, "Node"] = field(default_factory=dict)
    changed: int = field(default_factory=time.time_ns)

    def sync(self) -> None:
        self.kept, self.kept_names = bytes(self.data), dict(self.names)

    def lose(self, torn: bool, seen: set["Node"]) -> None:
        """Become what the disk has."""
        if self in seen:
            return
        seen.add(self)
        if torn:
            self.kept = _torn(self.kept, bytes(self.data))
            self.kept_names = random.choice([self.kept_names, self.names])
        self.data, self.names = bytearray(self.kept), dict(self.kept_names)
        for one in self.names.values():
            one.lose(torn, seen)


def _torn(old: bytes, new: bytes) -> bytes:
    """Take each page from one or the other."""
    size = len(random.choice([old, new]))
    pages = (random.choice([old, new])[at : at + _PAGE] for at in range(0, max(len(old), len(new)), _PAGE))
    return b"".join(page.ljust(_PAGE, b"\0") for page in pages)[:size].ljust(size, b"\0")


class Lossy(mfusepy.Operations):  # type: ignore[misc] # no types
    """The calls of the kernel; paths are absolute in the mount."""

    use_ns = True

    def __init__(self, state: Path) -> None:
        self._state = state
        root = Node(stat.S_IFDIR | 0o755, 1)
        self._root: Node = pickle.loads(state.read_bytes()) if state.exists() else root  # noqa: S301 - our own
        self._open: dict[int, Node] = {}
        self.dead = False
        self._count = 10**6

    def mkdir(self, path: str, mode: int) -> int:
        if path.lstrip("/") in (CUT, TORN):
            return self._cut(torn=path.lstrip("/") == TORN)
        self._new(path, stat.S_IFDIR | mode)
        return 0

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        return self._opened(self._new(path, stat.S_IFREG | mode))

    def open(self, path: str, flags: int) -> int:
        node = self._node(path)
        if flags & os.O_TRUNC:
            node.data = bytearray()
        return self._opened(node)

    def opendir(self, path: str) -> int:
        return self._opened(self._node(path))

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return bytes(self._open[fh].data[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        node = self._open[fh]
        if len(node.data) < offset:
            node.data.extend(bytes(offset - len(node.data)))
        node.data[offset : offset + len(data)] = data
        node.changed = time.time_ns()
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        node = self._node(path) if fh is None else self._open[fh]
        del node.data[length:]
        node.data.extend(bytes(length - len(node.data)))
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self._open[fh].sync()
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        self._open[fh].sync()
        return 0

    def release(self, path: str, fh: int) -> int:
        self._open.pop(fh, None)
        return 0

    releasedir = release

    def flush(self, path: str, fh: int) -> int:
        return 0

    def unlink(self, path: str) -> int:
        folder, name = self._place(path)
        del folder.names[name]
        return 0

    def rmdir(self, path: str) -> int:
        if self._node(path).names:
            raise mfusepy.FuseOSError(errno.ENOTEMPTY)
        return self.unlink(path)

    def rename(self, old: str, new: str, flags: int = 0) -> int:
        node = self._node(old)
        self.unlink(old)
        folder, name = self._place(new)
        folder.names[name] = node
        return 0

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *self._node(path).names]

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        node = self._open[fh] if fh in self._open else self._node(path)
        times = dict.fromkeys(("st_atime", "st_mtime", "st_ctime"), node.changed)
        owner = {"st_uid": os.getuid(), "st_gid": os.getgid()}
        shape = {"st_mode": node.mode, "st_size": len(node.data), "st_ino": node.number, "st_nlink": 1}
        return {**shape, **times, **owner}

    def chmod(self, path: str, mode: int) -> int:
        node = self._node(path)
        node.mode = stat.S_IFMT(node.mode) | mode
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        return 0

    def utimens(self, path: str, times: Any = None) -> int:
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        return {"f_bsize": _PAGE, "f_frsize": _PAGE, "f_blocks": 10**6, "f_bfree": 10**6, "f_bavail": 10**6}

    def _cut(self, *, torn: bool) -> int:
        self.dead = True
        self._root.lose(torn, set())
        self._state.write_bytes(pickle.dumps(self._root))
        return 0

    def _opened(self, node: Node) -> int:
        self._count += 1
        self._open[self._count] = node
        return self._count

    def _new(self, path: str, mode: int) -> Node:
        folder, name = self._place(path)
        self._count += 1
        folder.names[name] = made = Node(mode, self._count)
        return made

    def _place(self, path: str) -> tuple[Node, str]:
        folder, _, name = path.rpartition("/")
        return self._node(folder), name

    def _node(self, path: str) -> Node:
        node = self._root
        for name in filter(None, path.split("/")):
            if name not in node.names:
                raise mfusepy.FuseOSError(errno.ENOENT)
            node = node.names[name]
        return node


def _unless_cut(call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def guarded(self: Lossy, *arguments: Any) -> Any:
        if self.dead:
            raise mfusepy.FuseOSError(errno.EIO)
        return call(self, *arguments)

    return guarded


for _name, _call in list(vars(Lossy).items()):
    if not _name.startswith("_") and callable(_call):
        setattr(Lossy, _name, _unless_cut(_call))


if __name__ == "__main__":
    # The pickled state names this module, not __main__.
    from tests.faults import lossy

    mfusepy.FUSE(lossy.Lossy(Path(sys.argv[2])), sys.argv[1], foreground=True, nothreads=True, fsname="lossy")
