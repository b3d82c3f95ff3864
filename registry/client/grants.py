"""Files of grants: reading one, and checking it against the registries that a run asks.

The keys of a registry's log are those kept from an earlier visit (``caveat log verify``) that it still shows;
where none are kept, those that it shows now, trusted the first time, which is said.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from registry.client.granted import HeldGrant, HeldGrants, utc
from registry.client.http import RegistryClient
from registry.client.log import known_keys
from registry.client.log_memory import LogMemory
from registry.client.verdicts import Registry
from registry.dsse import Envelope, keyid_of
from registry.errors import (
    CaveatError,
    GrantError,
    InputError,
    ProofError,
    RegistryAnswerError,
    RegistryRefusedError,
)
from registry.grant import Grant, open_grant
from registry.note import Verifier
from registry.preference import Use

__all__ = [
    "GrantKeys",
    "check_standing",
    "hold_grants",
    "keys_at",
    "read_grant_file",
    "require_usable",
    "signers_of",
]

_LARGEST = 1_000_000


@dataclass(frozen=True, slots=True)
class GrantKeys:
    """By what the grants of the registry at ``client`` are checked; ``is_new`` where no key was kept."""

    client: RegistryClient
    keys: tuple[Verifier, ...]
    is_new: bool

    @property
    def names(self) -> str:
        """The keys, for people."""
        return ", ".join(keyid_of(one) for one in self.keys)

    def signed(self, envelope: Envelope) -> bool:
        """Say whether the envelope names one of the keys."""
        own = {keyid_of(one) for one in self.keys}
        return any(one.keyid in own for one in envelope.signatures)


def read_grant_file(path: Path) -> Envelope:
    """Return the envelope in a file. Raises :class:`ProofError` that names the file, and OSError."""
    with path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ProofError(f"{path}: more than {_LARGEST:,} bytes, so no grant")
    try:
        return Envelope.from_json(data)
    except ProofError as error:
        raise _named(path, error) from error


def keys_at(client: RegistryClient, memory: LogMemory, given: Verifier | None = None) -> GrantKeys:
    """Return by what grants of a registry are checked: the key ``given``, those kept, or new ones.

    Raises :class:`GrantError` where it keeps no log, :class:`ProofError` where it shows none that is known.
    """
    try:
        shown = known_keys(client.log_keys())
    except RegistryRefusedError as error:
        raise GrantError(
            f"{client.url} shows no keys of a log, by which a grant is checked: {error.message}"
        ) from error
    origin = shown[0].name
    memory.require_same(client.url, origin)
    kept = memory.load(origin)
    if given is None and kept is None:
        return GrantKeys(client, tuple(shown), True)
    known = (given,) if given is not None else () if kept is None else kept.keys
    keys = tuple(one for one in shown if one in known)
    if not keys:
        raise ProofError(
            f"the log of {client.url} is signed by {shown[0].text}, which is not a key that is known here",
            hint="caveat log verify --registry URL says whether the log has announced it.",
        )
    return GrantKeys(client, keys, False)


def hold_grants(
    paths: Iterable[Path],
    registries: Sequence[Registry],
    use: Use | None,
    memory: LogMemory,
    now: Callable[[], float],
) -> tuple[HeldGrants, list[GrantKeys]]:
    """Read and check every file; returns the grants, and by whose keys they were checked.

    ``use`` None takes one for any use: what it is not for, the registry does not mark.

    Raises :class:`GrantError` and :class:`ProofError` that name the file, and :class:`RegistryError`.
    """
    paths = list(paths)
    if not paths:
        return HeldGrants(), []
    known = [keys_at(_asked_openly(one), memory) for one in registries]
    held = HeldGrants.of([_held(path, known, use, now()) for path in paths])
    for one in known:
        _require_able(one.client, len(held.ids_at(one.client.url)))
    return held, [one for one in known if held.ids_at(one.client.url)]


def check_standing(client: RegistryClient, grant: Grant) -> None:
    """Raise :class:`GrantError` when the registry has seen the grant taken back, or states it otherwise."""
    try:
        told = client.show_grant(grant.id)
    except RegistryRefusedError as error:
        raise GrantError(
            f"{client.url} does not know grant {grant.id}: {error.message}",
            hint="Whoever gave it may have erased the reservation. Ask them.",
        ) from error
    _require_same(client, grant, told)
    if told["state"] != "granted":
        raise GrantError(
            f"grant {grant.id} was taken back, with event {told.get('seq')} of {grant.registry}",
            hint="Ask whoever gave it for another, or run without it.",
        )


def _held(path: Path, known: Sequence[GrantKeys], use: Use | None, now: float) -> HeldGrant:
    envelope = read_grant_file(path)
    try:
        own = signers_of(envelope, known)
        grant = open_grant(envelope, own[0].keys)
        require_usable(grant, use, now)
        for one in own:
            check_standing(one.client, grant)
    except (GrantError, ProofError, RegistryAnswerError) as error:
        raise _named(path, error) from error
    return HeldGrant(grant, tuple(one.client.url for one in own))


def signers_of(envelope: Envelope, known: Sequence[GrantKeys]) -> list[GrantKeys]:
    """Return those whose key signed a grant. Raises :class:`GrantError` when it is none of them."""
    own = [one for one in known if one.signed(envelope)]
    if not own:
        raise _foreign(envelope, known)
    return own


def require_usable(grant: Grant, use: Use | None, now: float) -> None:
    """Raise :class:`GrantError` unless a grant is valid ``now``, for ``use`` if one is asked for."""
    if use is not None and use not in grant.uses:
        permitted = ", ".join(grant.uses)
        raise GrantError(f"permits {permitted}, and this is asked for {use}", hint="Ask for a grant for it.")
    if now < grant.valid_from:
        raise GrantError(f"is valid only from {utc(grant.valid_from)} on")
    if now >= grant.valid_until:
        raise GrantError(
            f"was valid until {utc(grant.valid_until)}",
            hint="Ask whoever gave it for another, or run without it.",
        )


def _require_same(client: RegistryClient, grant: Grant, told: Mapping[str, object]) -> None:
    try:
        same = Grant.from_wire(told["grant"]) == grant and told["state"] in ("granted", "revoked")
    except (InputError, KeyError) as error:
        raise RegistryAnswerError(f"{client.url} answered a grant that cannot be read ({error!r})") from error
    if not same:
        raise GrantError(f"{client.url} states grant {grant.id} otherwise than the file does")


def _require_able(client: RegistryClient, count: int) -> None:
    """Raise :class:`GrantError` unless the registry can be asked about so many grants at once."""
    most = client.check_parameters().get("max_grants", 0) if count else 0
    if type(most) is not int or most < count:
        few = f"takes {most} grants in a look-up, and these are {count}" if most else "knows no grants"
        raise GrantError(f"{client.url} {few}", hint="Name fewer, or ask its operator to update it.")


def _asked_openly(registry: Registry) -> RegistryClient:
    if not isinstance(registry, RegistryClient):
        raise GrantError(
            f"{registry.url} cannot say which grants were taken back",
            hint="Grants want a registry that is asked openly: leave out --snapshot and --private.",
        )
    return registry


def _foreign(envelope: Envelope, known: Sequence[GrantKeys]) -> GrantError:
    by = ", ".join(one.keyid for one in envelope.signatures)
    asked = "; ".join(f"{one.client.url} by {one.names}" for one in known)
    return GrantError(
        f"is signed by {by}, and the registries that are asked sign otherwise: {asked}",
        hint="Ask the registry that it is of. If its log has a new key: caveat log verify, which follows its "
        "announcement, then caveat grant show ID -o FILE.",
    )


def _named(path: Path, error: CaveatError) -> CaveatError:
    return type(error)(f"{path}: {error.message}", hint=error.hint)
