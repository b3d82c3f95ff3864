"""The only writer beside imports and grants: lodging, changing and withdrawing reservations.

Each write is one transaction that takes the next sequence number, writes the rows with it, and appends an
event whose leaf commits to the record: HMAC-SHA256 under a random salt, so that destroying salt and payload
leaves a log that still verifies and tells nothing. Rows are never changed in place.

Who may say what: a key with the scope ``register`` lodges single works and addresses. Folders, hosts and
domains, which speak for many works at once, want the scope ``domain:NAME`` of the registered domain.
``allowed`` is stored at the evidence level of the key, and whether it counts is decided where it is read.
"""

import base64
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import rfc8785

from registry.calibration import Calibration, radii_of
from registry.errors import ConflictError, ForbiddenError, NotFoundError
from registry.fingerprint import Fingerprint, is_distinctive, pack_windows
from registry.preference import Preference, State, Use
from registry.store import (
    Store,
    Transaction,
    events,
    idempotency,
    imports,
    mentions,
    payloads,
    reservations,
)
from registry.store.forgetting import forget_mentions
from registry.urls import CanonicalUrl, RuleKind, UrlRule, exact_key, registered_domain

__all__ = [
    "LOG",
    "NOT_YOURS",
    "NOT_YOURS_HINT",
    "AlreadyDoneError",
    "Caller",
    "Change",
    "Draft",
    "Registered",
    "Registrar",
    "Repeatable",
    "WorkDraft",
    "may_speak_for",
    "new_id",
    "own_version",
    "require_live",
    "version_of",
]

LOG = "log"
"""The record of the events that are about the log itself."""
NOT_YOURS = "no such reservation of yours"
"""What is told of foreign and of missing reservations alike."""
NOT_YOURS_HINT = "Check the identifier, and that the key is of the one who lodged it."
_ERASED = "erased"
"""What the acknowledgement says of a reservation that is there no more."""
_NAMELESS = {"label": "", "terms": "", "contact": "", "public": False}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is writing: the principal behind a key, its scopes and its evidence level (0–4)."""

    principal_id: str
    scopes: frozenset[str]
    evidence_level: int = 0


@dataclass(frozen=True, slots=True)
class WorkDraft:
    """One work to lodge, by at least one of its keys; ``sha256`` 32 bytes."""

    title: str = ""
    url: CanonicalUrl | None = None
    sha256: bytes | None = None
    fingerprint: Fingerprint | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A reservation to lodge; ``public`` lets label, terms and contact be shown to anybody."""

    preferences: Mapping[Use, Preference]
    works: Sequence[WorkDraft] = ()
    rules: Sequence[UrlRule] = ()
    label: str = ""
    terms: str = ""
    contact: str = ""
    public: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """What to change of a reservation; None leaves it as it is."""

    preferences: Mapping[Use, Preference] | None = None
    label: str | None = None
    terms: str | None = None
    contact: str | None = None
    public: bool | None = None


@dataclass(frozen=True, slots=True)
class Repeatable:
    """An Idempotency-Key with the SHA-256 of the request that it stands for."""

    key: str
    request_sha256: bytes


@dataclass(frozen=True, slots=True)
class Registered:
    """The acknowledgement of a write.

    ``exact_only`` lists the places, in the request, of works too plain to be found by likeness.
    """

    id: str
    seq: int
    state: str
    works: int = 0
    rules: int = 0
    exact_only: tuple[int, ...] = ()

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "id": self.id,
            "seq": self.seq,
            "state": self.state,
            "works": self.works,
            "rules": self.rules,
            "exact_only": list(self.exact_only),
        }


class Registrar:
    """Writes to one store; ``now`` gives the time of each event.

    ``calibration`` gives each new window its radius; without one it is the review's.
    """

    def __init__(
        self, store: Store, now: Callable[[], datetime], calibration: Calibration | None = None
    ) -> None:
        self._store = store
        self._now = now
        self._calibration = calibration

    def register(self, caller: Caller, draft: Draft, repeat: Repeatable | None = None) -> Registered:
        """Lodge a reservation. Raises :class:`ForbiddenError`, :class:`ConflictError`, StorageError."""
        _require_authority(caller, draft.rules)
        return self.once(caller, repeat, lambda tx: self._lodge(tx, caller, draft))

    def register_together(self, caller: Caller, drafts: Sequence[Draft]) -> list[Registered]:
        """Lodge several reservations, an event each, in one transaction: all of them stand, or none."""
        for draft in drafts:
            _require_authority(caller, draft.rules)
        with self._store.write() as tx:
            done = [self._lodge(tx, caller, drafts[0])]
            done += [self._lodge(tx.following(), caller, draft) for draft in drafts[1:]]
        return done

    def add_works(
        self, caller: Caller, id_: str, works: Sequence[WorkDraft], repeat: Repeatable | None = None
    ) -> Registered:
        """Add works to an own reservation that holds."""
        rows, exact_only = _work_rows(works, self._calibration)

        def write(tx: Transaction) -> Registered:
            version = own_version(tx, caller, id_)
            require_live(version)
            self._write(tx, "works", id_, {"works": rows})
            return Registered(id_, tx.seq, version["state"], len(rows), 0, exact_only)

        return self.once(caller, repeat, write)

    def change(
        self, caller: Caller, id_: str, change: Change, repeat: Repeatable | None = None
    ) -> Registered:
        """Begin a new version of an own reservation with what is to be changed."""

        def write(tx: Transaction) -> Registered:
            version = own_version(tx, caller, id_)
            require_live(version)
            values = {**version, **_changed(change), "at": self.seconds()}
            return self._new_version(tx, "change", id_, values)

        return self.once(caller, repeat, write)

    def withdraw(self, caller: Caller, id_: str, repeat: Repeatable | None = None) -> Registered:
        """Withdraw an own reservation: from this event on it says nothing. Doing it again changes nothing."""

        def write(tx: Transaction) -> Registered:
            version = own_version(tx, caller, id_)
            if version["state"] == State.WITHDRAWN:
                raise AlreadyDoneError(Registered(id_, version["from_seq"], State.WITHDRAWN))
            values = {**version, "state": State.WITHDRAWN, "at": self.seconds()}
            return self._new_version(tx, "withdraw", id_, values)

        return self.once(caller, repeat, write)

    def erase(
        self, caller: Caller, id_: str, *, keep: bool = False, repeat: Repeatable | None = None
    ) -> Registered:
        """Destroy what an own reservation says and ever said, and the salts of its events.

        With ``keep`` works and rules are lodged anew under the same identifier, without titles, label, terms
        and contact. The log keeps leaves that tell nothing. Without, what receipts say of it goes too.
        """

        def write(tx: Transaction) -> Registered:
            version = own_version(tx, caller, id_)
            payload: dict[str, Any] = {"version": None, "works": [], "rules": []}
            if keep and imports.batch_of(tx.connection, id_) is not None:
                raise ConflictError(
                    "an import is erased whole", hint="Withdraw or erase it, and import the works anew."
                )
            if keep:
                payload = payloads.content_of(tx.connection, id_)
                payload["version"] = {**version, **_NAMELESS, "at": self.seconds()}
                payload["works"] = [{**row, "title": ""} for row in payload["works"]]
            payloads.erase(tx, id_)
            self._write(tx, "erase", id_, payload)
            if not keep:
                forget_mentions(tx, mentions.of_reservation(tx.connection, id_), self.seconds())
            state = version["state"] if keep else _ERASED
            return Registered(id_, tx.seq, state, len(payload["works"]), len(payload["rules"]))

        return self.once(caller, repeat, write)

    def announce_key(self, op: str, key: str) -> int:
        """Tell in the log that it is signed by another key, or no longer by one; returns the event.

        ``op`` is one of ``KEY_OPS``, ``key`` the public key as text.
        """
        with self._store.write() as tx:
            events.commit_to(tx, op, LOG, {"key": key}, self.seconds(), key=key)
        return tx.seq

    def _lodge(self, tx: Transaction, caller: Caller, draft: Draft) -> Registered:
        id_ = new_id()
        works, exact_only = _work_rows(draft.works, self._calibration)
        rules = [{"kind": str(rule.kind), "surt": rule.surt, "key": rule.key} for rule in draft.rules]
        version = version_of(caller, draft, self.seconds())
        self._write(tx, "register", id_, {"version": version, "works": works, "rules": rules})
        return Registered(id_, tx.seq, version["state"], len(works), len(rules), exact_only)

    def _new_version(self, tx: Transaction, op: str, id_: str, version: Mapping[str, Any]) -> Registered:
        self._write(tx, op, id_, {"version": version})
        return Registered(id_, tx.seq, version["state"])

    def _write(self, tx: Transaction, op: str, id_: str, payload: Mapping[str, Any]) -> None:
        """Write the rows of an event, and the event, which commits to them."""
        events.commit_to(tx, op, id_, payloads.insert(tx, id_, payload), self.seconds())

    def once(
        self, caller: Caller, repeat: Repeatable | None, write: Callable[[Transaction], Registered]
    ) -> Registered:
        """Write, or give the answer that the same request got before.

        ``write`` may raise :class:`AlreadyDoneError`: then nothing is written, and its answer is given.
        """
        try:
            with self._store.write() as tx:
                if repeat is not None:
                    _raise_if_done(tx, caller, repeat)
                done = write(tx)
                if repeat is not None:
                    idempotency.remember(
                        tx.connection,
                        principal_id=caller.principal_id,
                        key=repeat.key,
                        request_sha256=repeat.request_sha256,
                        answer=rfc8785.dumps(done.to_wire()).decode(),
                        at=self.seconds(),
                    )
                return done
        except AlreadyDoneError as before:
            return before.answer

    def seconds(self) -> int:
        """Return the time of an event that is written now."""
        return int(self._now().timestamp())


class AlreadyDoneError(Exception):
    """Leaves the transaction, so that no event is appended, with the answer of the first time."""

    def __init__(self, answer: Registered) -> None:
        super().__init__()
        self.answer = answer


def may_speak_for(caller: Caller, host: str) -> bool:
    """Say whether the caller's key is scoped for the registered domain (or the bare address) of ``host``."""
    return bool({"domain:*", f"domain:{registered_domain(host) or host}"} & caller.scopes)


def _raise_if_done(tx: Transaction, caller: Caller, repeat: Repeatable) -> None:
    row = idempotency.find(tx.connection, caller.principal_id, repeat.key)
    if row is None:
        return
    if bytes(row.request_sha256) != repeat.request_sha256:
        raise ConflictError(
            f"the Idempotency-Key {repeat.key!r} was used for another request",
            hint="Use a new key for a new request.",
        )
    answer = json.loads(row.answer)
    raise AlreadyDoneError(Registered(**{**answer, "exact_only": tuple(answer["exact_only"])}))


def _require_authority(caller: Caller, rules: Sequence[UrlRule]) -> None:
    for rule in rules:
        if rule.kind is RuleKind.EXACT:
            continue
        if not may_speak_for(caller, rule.host):
            name = registered_domain(rule.host) or rule.host
            raise ForbiddenError(
                f"this key may not speak for {rule.text}",
                hint=f"Ask the operator for a key with the scope domain:{name}, "
                "or lodge the pictures one by one.",
            )


def _work_rows(
    works: Sequence[WorkDraft], calibration: Calibration | None
) -> tuple[list[dict[str, Any]], tuple[int, ...]]:
    rows, exact_only = [], []
    for place, work in enumerate(works):
        print_ = work.fingerprint
        if print_ is not None and not (print_.pdq and is_distinctive(print_.quality, print_.pdq)):
            # Too plain to be told apart from others by likeness: every flat picture would match it.
            exact_only.append(place)
            print_ = replace(print_, pdq={}, phash=None)
        rows.append(
            {
                "title": work.title,
                "url": work.url,
                "url_key": None if work.url is None else exact_key(work.url),
                "sha256": work.sha256,
                "packed": None if print_ is None else _packed(print_, calibration),
            }
        )
    return rows, tuple(exact_only)


def _packed(fingerprint: Fingerprint, calibration: Calibration | None) -> bytes:
    if calibration is None:
        return pack_windows(fingerprint)
    return pack_windows(fingerprint, radii_of(fingerprint, calibration), calibration.id)


def version_of(caller: Caller, draft: Draft, at: int) -> dict[str, Any]:
    """Return the first version of a reservation, as a row has it; ``at`` in seconds since 1970."""
    return {
        "principal_id": caller.principal_id,
        "preferences": _preferences_text(draft.preferences),
        "label": draft.label,
        "terms": draft.terms,
        "contact": draft.contact,
        "public": draft.public,
        "evidence_level": caller.evidence_level,
        "state": State.VERIFIED if caller.evidence_level >= 1 else State.ASSERTED,
        "at": at,
    }


def own_version(tx: Transaction, caller: Caller, id_: str) -> dict[str, Any]:
    """Return the current version of the caller's reservation.

    Raises :class:`NotFoundError`, in which foreign and missing ones look the same.
    """
    row = reservations.current(tx.connection, id_) if "\0" not in id_ else None
    if row is None or row.principal_id != caller.principal_id:
        raise NotFoundError(NOT_YOURS, hint=NOT_YOURS_HINT)
    return dict(row._mapping)


def require_live(version: Mapping[str, Any]) -> None:
    """Raise :class:`ConflictError` for a version of a reservation that was withdrawn."""
    if version["state"] == State.WITHDRAWN:
        raise ConflictError("this reservation was withdrawn", hint="Lodge a new one.")


def _changed(change: Change) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(change, name) for name in ("label", "terms", "contact", "public")}
    if change.preferences is not None:
        values["preferences"] = _preferences_text(change.preferences)
    return {name: value for name, value in values.items() if value is not None}


def _preferences_text(preferences: Mapping[Use, Preference]) -> str:
    return rfc8785.dumps({str(use): str(value) for use, value in preferences.items()}).decode()


def new_id() -> str:
    """Return an identifier that nobody can guess."""
    return base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower()
