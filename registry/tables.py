"""What is stored: the tables, without logic.

Rows that say something carry ``from_seq`` and ``to_seq``, the events that began and ended them, and are
never changed otherwise, so that every earlier state can be looked up again. ``to_seq`` is null while the row
holds. Times are seconds since 1970, UTC. SQLModel does not validate table models: values are checked before
they come here.
"""

from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, Text, UniqueConstraint, false
from sqlmodel import Field, SQLModel

__all__ = [
    "Credential",
    "Event",
    "GrantRow",
    "Head",
    "Idempotency",
    "ImportBatch",
    "ImportPart",
    "MentionRow",
    "Mirrored",
    "Principal",
    "ReceiptRow",
    "ReservationVersion",
    "UrlRuleRow",
    "WithdrawnWork",
    "Work",
]


class Head(SQLModel, table=True):
    """One row: the number of the last event. Updated first in every write, so writes follow each other."""

    __tablename__ = "head"

    id: int = Field(default=1, primary_key=True)
    n: int = Field(sa_column=Column(BigInteger, nullable=False))


class Event(SQLModel, table=True):
    """What happened, gap-free; ``leaf`` commits to it without naming a URL or a person.

    ``erased_by`` is the event that destroyed its salt and its rows.
    """

    __tablename__ = "event"

    seq: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    op: str = Field(max_length=16)
    record: str = Field(index=True, max_length=32)
    at: int = Field(sa_column=Column(BigInteger, nullable=False))
    salt: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    leaf: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    erased_by: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True, index=True))


class Principal(SQLModel, table=True):
    """Somebody who lodges reservations; ``import_key`` is the public key that signs their imports."""

    __tablename__ = "principal"

    id: str = Field(primary_key=True, max_length=32)
    name: str = Field(max_length=200)
    created_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    import_key: str | None = Field(default=None, sa_column=Column(Text, nullable=True))


class Credential(SQLModel, table=True):
    """A key of a principal, by its SHA-256 only."""

    __tablename__ = "credential"

    id: str = Field(primary_key=True, max_length=32)
    principal_id: str = Field(foreign_key="principal.id", index=True, max_length=32)
    sha256: bytes = Field(sa_column=Column(LargeBinary, unique=True, nullable=False))
    scopes: str = Field(sa_column=Column(Text, nullable=False))
    evidence_level: int
    created_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    revoked_at: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))


class ReservationVersion(SQLModel, table=True):
    """One version of what a principal says about a set of works; ``preferences`` is JSON use → preference.

    ``public`` says that label, terms and contact may be shown to anybody.
    """

    __tablename__ = "reservation_version"
    __table_args__ = (Index("ix_reservation_to_seq", "to_seq"), Index("ix_reservation_from_seq", "from_seq"))

    reservation_id: str = Field(primary_key=True, max_length=32)
    from_seq: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    to_seq: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    principal_id: str = Field(foreign_key="principal.id", index=True, max_length=32)
    preferences: str = Field(sa_column=Column(Text, nullable=False))
    label: str = Field(max_length=200)
    terms: str = Field(sa_column=Column(Text, nullable=False))
    contact: str = Field(sa_column=Column(Text, nullable=False))
    evidence_level: int
    state: str = Field(max_length=16)
    at: int = Field(sa_column=Column(BigInteger, nullable=False))
    public: bool = Field(
        default=False, sa_column=Column(Boolean, nullable=False, server_default=false(), default=False)
    )


class Work(SQLModel, table=True):
    """One asset and its keys, named by the event that brought it and its place in it."""

    __tablename__ = "work"
    __table_args__ = (Index("ix_work_to_seq", "to_seq"),)

    from_seq: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    ordinal: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    to_seq: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    reservation_id: str = Field(index=True, max_length=32)
    title: str = Field(max_length=200)
    url: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    url_key: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    sha256: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    packed: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))


class UrlRuleRow(SQLModel, table=True):
    """A rule that reserves a set of URLs, named like a work."""

    __tablename__ = "url_rule"
    __table_args__ = (Index("ix_url_rule_to_seq", "to_seq"),)

    from_seq: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    ordinal: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    to_seq: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    reservation_id: str = Field(index=True, max_length=32)
    kind: str = Field(max_length=8)
    surt: str = Field(sa_column=Column(Text, nullable=False))
    key: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class GrantRow(SQLModel, table=True):
    """What a reservation's owner permits one licensee; ``to_seq`` is the event that took it back.

    ``works`` is a JSON list of works, null for the whole reservation, ``uses`` a JSON list of uses. It is
    valid while ``valid_from`` <= now < ``valid_until``.
    """

    __tablename__ = "grant_row"

    id: str = Field(primary_key=True, max_length=32)
    from_seq: int = Field(sa_column=Column(BigInteger, unique=True, nullable=False))
    to_seq: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True, index=True))
    reservation_id: str = Field(index=True, max_length=32)
    works: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    uses: str = Field(sa_column=Column(Text, nullable=False))
    licensee: str = Field(max_length=200)
    licensee_url: str = Field(sa_column=Column(Text, nullable=False))
    valid_from: int = Field(sa_column=Column(BigInteger, nullable=False))
    valid_until: int = Field(sa_column=Column(BigInteger, nullable=False))
    terms: str = Field(sa_column=Column(Text, nullable=False))
    contact: str = Field(sa_column=Column(Text, nullable=False))
    at: int = Field(sa_column=Column(BigInteger, nullable=False))


class ReceiptRow(SQLModel, table=True):
    """A receipt that was published, with what the registry countersigned; ``bundle`` is both as JSON.

    ``sha256`` is that of its statement, ``run`` that of the run whose requests were countersigned.
    """

    __tablename__ = "receipt_row"

    id: str = Field(primary_key=True, max_length=32)
    from_seq: int = Field(sa_column=Column(BigInteger, unique=True, nullable=False))
    sha256: str = Field(max_length=64)
    run: str = Field(max_length=64, unique=True, index=True)
    bundle: str = Field(sa_column=Column(Text, nullable=False))
    principal_id: str = Field(max_length=32)
    at: int = Field(sa_column=Column(BigInteger, nullable=False))


class MentionRow(SQLModel, table=True):
    """A record that a published receipt names: works of it were left out, or used with a grant.

    ``kind`` is honoured or consent; ``grant_id`` the grant of a consent, else empty.
    """

    __tablename__ = "mention_row"
    __table_args__ = (UniqueConstraint("receipt_id", "kind", "reservation_id", "grant_id"),)

    id: str = Field(primary_key=True, max_length=32)
    from_seq: int = Field(sa_column=Column(BigInteger, unique=True, nullable=False))
    receipt_id: str = Field(max_length=32)
    reservation_id: str = Field(index=True, max_length=32)
    kind: str = Field(max_length=10)
    grant_id: str = Field(max_length=32)
    at: int = Field(sa_column=Column(BigInteger, nullable=False))


class ImportBatch(SQLModel, table=True):
    """A partner's import under way, or done: its id becomes that of the reservation.

    ``draft`` is JSON, what is said about the works; ``parts``, ``works``, ``digest`` and ``note`` (the
    partner's signed statement of them) are null until it is complete.
    """

    __tablename__ = "import_batch"

    id: str = Field(primary_key=True, max_length=32)
    principal_id: str = Field(foreign_key="principal.id", index=True, max_length=32)
    namespace: str = Field(max_length=64)
    state: str = Field(max_length=16)
    opened_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    draft: str = Field(sa_column=Column(Text, nullable=False))
    parts: int | None = None
    works: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    digest: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    note: str | None = Field(default=None, sa_column=Column(Text, nullable=True))


class ImportPart(SQLModel, table=True):
    """Some thousand works of an import in one piece, addressed by ordinal, named by the event it is.

    ``blob`` is an Arrow stream with the columns of :class:`Work` and each work's salt.
    """

    __tablename__ = "import_part"
    __table_args__ = (UniqueConstraint("batch_id", "number"),)

    seq: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    batch_id: str = Field(foreign_key="import_batch.id", max_length=32)
    number: int
    works: int
    body_sha256: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    blob: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class WithdrawnWork(SQLModel, table=True):
    """A work of an import part that was withdrawn alone: it held until ``to_seq``."""

    __tablename__ = "withdrawn_work"

    from_seq: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    ordinal: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    to_seq: int = Field(sa_column=Column(BigInteger, nullable=False))


class Mirrored(SQLModel, table=True):
    """One row, of a mirror only: whom it follows, the last checkpoint that it verified, and when."""

    __tablename__ = "mirrored"

    id: int = Field(default=1, primary_key=True)
    upstream: str = Field(sa_column=Column(Text, nullable=False))
    verifier: str = Field(sa_column=Column(Text, nullable=False))
    note: str = Field(sa_column=Column(Text, nullable=False))
    synced_at: int = Field(sa_column=Column(BigInteger, nullable=False))


class Idempotency(SQLModel, table=True):
    """The answer that was given to a request, so that the same request gets it again."""

    __tablename__ = "idempotency"

    principal_id: str = Field(primary_key=True, max_length=32)
    key: str = Field(primary_key=True, max_length=200)
    request_sha256: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    answer: str = Field(sa_column=Column(Text, nullable=False))
    at: int = Field(sa_column=Column(BigInteger, nullable=False))
