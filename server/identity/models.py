"""Who may use the server: users with a role, their sessions and their devices. Secrets are kept as digests only."""

from uuid import UUID

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from server.runtime.database import Base


class UserModel(Base):
    """A person or a system. A rep's user names its rep, a buyer's user its company."""

    __tablename__ = "user_account"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    login: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    role: Mapped[str]
    password_hash: Mapped[str]
    active: Mapped[bool]
    rep_id: Mapped[UUID | None] = mapped_column(ForeignKey("rep.id"))
    customer_id: Mapped[UUID | None] = mapped_column(ForeignKey("customer.id"))
    created_at_ms: Mapped[int]


class SessionModel(Base):
    """A signed-in session of the API: the SHA-256 of its token, and when it ends."""

    __tablename__ = "user_session"

    token_digest: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user_account.id"), index=True)
    created_at_ms: Mapped[int]
    expires_at_ms: Mapped[int]


class EnrolmentCodeModel(Base):
    """A code that turns into one device, once."""

    __tablename__ = "enrolment_code"

    code_digest: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user_account.id"), index=True)
    created_by_id: Mapped[UUID]
    created_at_ms: Mapped[int]
    expires_at_ms: Mapped[int]
    used_at_ms: Mapped[int | None]


class DeviceModel(Base):
    """A device. The incarnation rotates with each push; a caller that shows another one is a copy.

    `wipe_key` is shown to a device that was lost, and to no other: it holds the key's digest and obeys who has the key.
    `proof_id` is of the proof that support waits for.
    """

    __tablename__ = "device"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user_account.id"), index=True)
    name: Mapped[str]
    token_digest: Mapped[bytes] = mapped_column(unique=True)
    incarnation: Mapped[bytes]
    previous_incarnation: Mapped[bytes]
    number_prefix: Mapped[str] = mapped_column(unique=True)
    enrolled_at_ms: Mapped[int]
    last_seen_ms: Mapped[int | None]
    last_cursor: Mapped[int | None]
    revoked_at_ms: Mapped[int | None]
    revoked_reason: Mapped[str | None]
    forked_from_id: Mapped[UUID | None]
    wipe_key: Mapped[bytes | None]
    wiped_at_ms: Mapped[int | None]
    proof_id: Mapped[UUID | None]


class NumberPrefixModel(Base):
    """One row: the last number that a prefix was made of. A prefix is never given twice."""

    __tablename__ = "number_prefix"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last: Mapped[int]


class AttemptModel(Base):
    """How often something that takes a secret failed since a moment, by what was tried and from where."""

    __tablename__ = "attempt"

    key: Mapped[str] = mapped_column(primary_key=True)
    failures: Mapped[int]
    since_ms: Mapped[int] = mapped_column(index=True)
