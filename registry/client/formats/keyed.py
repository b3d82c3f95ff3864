"""Tar members by key, as the loaders of WebDataset group them, and what sets a key aside.

The key is the name up to the first dot of its last part. Members of one key stand side by side; where they do
not, loaders see two samples, and the key is set aside. Texts of a sample are UTF-8, its ``.json`` is strict.
A member of a kind that cannot be checked sets its sample aside: it could be a picture under another name.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from registry.client.formats.beside import urls_in
from registry.client.formats.tarred import Member, members_of
from registry.client.pictures import PICTURE_SUFFIXES
from registry.client.place import Place
from registry.errors import DatasetError, InputError

__all__ = ["MAX_TEXT_BYTES", "Group", "base_of", "checked_urls", "groups_of", "place_of", "suffix_of"]

MAX_TEXT_BYTES = 16 * 1024 * 1024
"""A larger text sets its sample aside."""

_KEY = re.compile(r"((?:.*/|)[^.]+)[.][^/]*", re.DOTALL)
_UTF8 = frozenset({".txt", ".caption", ".json"})
_BESIDE = _UTF8 | frozenset(
    {".xmp", ".cls", ".cls2", ".index", ".inx", ".id", ".transcript", ".text", ".url", ".tags", ".bbox"}
    | {".npy", ".npz", ".pt", ".pth", ".ten", ".tb", ".safetensors", ".pyd", ".pickle", ".pkl", ".cbor"}
    | {".mp", ".msg", ".msgpack", ".width", ".height"}
)


@dataclass(slots=True)
class Group:
    """The members of one key; a folder, and what has no key, is a group of its own."""

    key: str
    members: list[Member] = field(default_factory=list)
    fault: str = ""
    is_folder: bool = False

    @property
    def pictures(self) -> list[Member]:
        """The members that are pictures."""
        return [one for one in self.members if suffix_of(one.name) in PICTURE_SUFFIXES and not one.is_folder]

    def names(self, shard: str) -> set[str]:
        """Return the names by which it goes in accounts: its key and its members, below the shard."""
        return {f"{shard}/{self.key}", *(f"{shard}/{one.name}" for one in self.members)}


def groups_of(path: Path) -> list[Group]:
    """Return the keys of the shard at ``path``, in its order. Raises :class:`DatasetError`."""
    groups: dict[tuple[bool, str], Group] = {}
    last: Group | None = None
    for member in members_of(path):
        match = None if member.is_folder else _KEY.fullmatch(member.name)
        if match is None and not member.is_folder and base_of(member.name).startswith("."):
            continue  # Loaders pass over hidden members, and so does the reading of folders.
        key = match[1] if match else member.name
        group = groups.setdefault((member.is_folder, key), Group(key, is_folder=member.is_folder))
        group.fault = group.fault or _fault(member, group, last, keyed=match is not None)
        group.members.append(member)
        last = group
    return list(groups.values())


def _fault(member: Member, group: Group, last: Group | None, *, keyed: bool) -> str:
    if member.fault:
        return f"{member.name}: {member.fault}"
    if not keyed and not member.is_folder:
        return f"{member.name} belongs to no sample: its name has no ending"
    if group.members and group is not last:
        return "its members are not side by side, so loaders see two samples"
    return ""


def checked_urls(path: Path, group: Group) -> tuple[str, ...]:
    """Return the addresses that its texts give; raises :class:`DatasetError` for what sets a key aside."""
    if group.fault:
        raise DatasetError(group.fault)
    urls: tuple[str, ...] = ()
    for member in group.members:
        suffix = suffix_of(member.name)
        if suffix not in PICTURE_SUFFIXES | _BESIDE:
            raise DatasetError(f"it holds {member.name}, a kind of file that cannot be checked")
        if suffix in _UTF8:
            urls += _urls_of(path, member)
    return urls


def _urls_of(path: Path, member: Member) -> tuple[str, ...]:
    try:
        text = place_of(path, member).read(MAX_TEXT_BYTES)
        text.decode("utf-8")
        return urls_in(text) if suffix_of(member.name) == ".json" else ()
    except OSError as error:
        raise DatasetError(f"its {member.name} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"its {member.name} is not UTF-8: byte {error.start}") from error
    except InputError as error:
        raise DatasetError(f"its {member.name} cannot be read: {error.message}") from error


def place_of(path: Path, member: Member, sidecars: tuple[Place, ...] = ()) -> Place:
    """Return where in the archive at ``path`` a member's bytes are."""
    return Place(path, member.offset, member.size, sidecars=sidecars)


def suffix_of(name: str) -> str:
    """Return the last ending of a name, in lower case."""
    return PurePosixPath(name).suffix.lower()


def base_of(name: str) -> str:
    """Return the last part of a name."""
    return name.rpartition("/")[2]
