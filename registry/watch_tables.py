"""What is stored of subscriptions: the tables, without logic.

They are no events: nobody's record changes when somebody watches for it, so the log does not tell of them, a
mirror has none, and all of a subscription is deleted when its owner says so. Times are seconds since 1970,
UTC. Values are checked before they come here, as for :mod:`registry.tables`.
"""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Text
from sqlmodel import Field, SQLModel

__all__ = ["Subscription", "SubscriptionBlock", "SubscriptionDelivery", "SubscriptionNotice"]


class Subscription(SQLModel, table=True):
    """Somebody who is told when what passed may not be used any more.

    ``as_of_seq`` is the event up to which the items had passed, ``receipt`` the published receipt of that
    run, ``webhook`` where notices are sent, with ``secret`` signing them; ``hook_state`` is empty, ``on`` or
    ``gone``. ``notices`` is the number of the last one. ``fault`` says why the items could not be held
    against what is new, ``fault_at`` since when.
    """

    __tablename__ = "subscription"

    id: str = Field(primary_key=True, max_length=32)
    principal_id: str = Field(foreign_key="principal.id", index=True, max_length=32)
    label: str = Field(max_length=200)
    use: str = Field(max_length=16)
    mode: str = Field(max_length=16)
    as_of_seq: int = Field(sa_column=Column(BigInteger, nullable=False))
    receipt: str | None = Field(default=None, index=True, max_length=32)
    webhook: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    hook_state: str = Field(max_length=8)
    secret: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    items: int = Field(sa_column=Column(BigInteger, nullable=False))
    notices: int = Field(sa_column=Column(BigInteger, nullable=False))
    at: int = Field(sa_column=Column(BigInteger, nullable=False))
    fault: str = Field(sa_column=Column(Text, nullable=False))
    fault_at: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))


class SubscriptionBlock(SQLModel, table=True):
    """The items of one request: ``wires`` as they were sent, ``packed`` by what they can be found.

    ``checked_seq`` is the event up to which they were held against everything, null before the first time.
    ``sha256`` tells the same part that is sent again from another one.
    """

    __tablename__ = "subscription_block"

    subscription_id: str = Field(primary_key=True, foreign_key="subscription.id", max_length=32)
    part: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    items: int
    checked_seq: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True, index=True))
    sha256: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    packed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    wires: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class SubscriptionNotice(SQLModel, table=True):
    """What became of one item: ``kind`` is reserved, free, not_checked or before.

    ``item`` is the subscriber's own id, at ``place`` of ``part``; ``seq`` the event as of which ``result``,
    JSON in the shape of a look-up's, holds. ``standing`` is true for the last notice of each item.
    """

    __tablename__ = "subscription_notice"
    __table_args__ = (Index("ix_subscription_notice_item", "subscription_id", "standing", "part", "place"),)

    subscription_id: str = Field(primary_key=True, foreign_key="subscription.id", max_length=32)
    number: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    part: int
    place: int
    item: str = Field(sa_column=Column(Text, nullable=False))
    kind: str = Field(max_length=12)
    standing: bool
    seq: int = Field(sa_column=Column(BigInteger, nullable=False))
    at: int = Field(sa_column=Column(BigInteger, nullable=False))
    result: str = Field(sa_column=Column(Text, nullable=False))


class SubscriptionDelivery(SQLModel, table=True):
    """One webhook with the notices ``first`` to ``last``; ``state`` is pending, done or failed.

    It is sent when ``due_at`` has come, and given up three days after ``begun_at``; ``fault`` is why it did
    not arrive the last time.
    """

    __tablename__ = "subscription_delivery"
    __table_args__ = (Index("ix_subscription_delivery_due", "state", "due_at"),)

    id: str = Field(primary_key=True, max_length=40)
    subscription_id: str = Field(foreign_key="subscription.id", index=True, max_length=32)
    first: int = Field(sa_column=Column(BigInteger, nullable=False))
    last: int = Field(sa_column=Column(BigInteger, nullable=False))
    state: str = Field(max_length=8)
    tries: int
    begun_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    due_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    fault: str = Field(sa_column=Column(Text, nullable=False))
