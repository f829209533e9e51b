"""The two logs. Down: where each row was last changed. Up: every intent with its verdict.

`change_log` keeps the latest version of each row, not its history: a change points at the transaction that made it,
and `change_commit` says where that transaction stands in the order of commits. So sealing a transaction writes one
row, however many rows it changed.
"""

from uuid import UUID

from sqlalchemy import Index, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from server.runtime.database import Base


class ChangeHeadModel(Base):
    """One row: the identity of the log, its last position, and the oldest cursor that can still be served.

    Superseded versions of rows are kept for every place from `history_floor` on. An intent from before `forgotten_before_ms`
    may have had a verdict that was forgotten.
    """

    __tablename__ = "change_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[UUID]
    head: Mapped[int]
    floor: Mapped[int]
    forgotten_before_ms: Mapped[int] = mapped_column(server_default="0")
    history_floor: Mapped[int] = mapped_column(server_default="0")


class ChangeCommitModel(Base):
    """A transaction that changed synced rows. `commit_seq` is dense and in order of commit; null until it is sealed."""

    __tablename__ = "change_commit"

    change: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    commit_seq: Mapped[int | None] = mapped_column(unique=True)
    committed_at_ms: Mapped[int | None]


class ChangeLogModel(Base):
    """The latest change of a row: in which bucket it is (or was, when deleted), and by which transaction.

    `checksum` is what the row counts for in the sums of its bucket; null where it counts for nothing: it is deleted, or on
    SQLite not sealed yet.
    """

    __tablename__ = "change_log"
    __table_args__ = (Index("ix_change_log_walk", "entity", "change", "row_id"), Index("ix_change_log_change", "change"))

    entity: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    row_id: Mapped[UUID] = mapped_column(primary_key=True)
    bucket: Mapped[str]
    change: Mapped[int]
    deleted: Mapped[int] = mapped_column(SmallInteger)
    checksum: Mapped[int | None]


class BucketSumModel(Base):
    """What a transaction did to a range of a bucket: rows and checksums that came, less those that went.

    The sum over all of a range's changes is what the range holds. A transaction writes rows of its own alone, so that no
    writer waits for another; a job adds up what is old under change 0.
    """

    __tablename__ = "bucket_sum"

    bucket: Mapped[str] = mapped_column(primary_key=True)
    range: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    change: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    rows: Mapped[int]
    checksum: Mapped[int]


class ChangeLeaveModel(Base):
    """The last time a row left a bucket that it was in."""

    __tablename__ = "change_leave"
    __table_args__ = (Index("ix_change_leave_walk", "entity", "change", "row_id"), Index("ix_change_leave_change", "change"))

    entity: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    row_id: Mapped[UUID] = mapped_column(primary_key=True)
    bucket: Mapped[str] = mapped_column(primary_key=True)
    change: Mapped[int]


class RowHistoryModel(Base):
    """A version of a row that was superseded: written by `since_change`, and replaced or deleted by `until_change`.

    `body` has its columns as JSON, `key_id` is what the entity's versions are looked up by.
    """

    __tablename__ = "row_history"
    __table_args__ = (Index("ix_row_history_until", "entity", "until_change"),)

    entity: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    key_id: Mapped[UUID] = mapped_column(primary_key=True)
    row_id: Mapped[UUID] = mapped_column(primary_key=True)
    until_change: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    since_change: Mapped[int]
    body: Mapped[str]


class IntentRecordModel(Base):
    """An intent and its verdict. The primary key is the dedupe: it is inserted before anything is done."""

    __tablename__ = "intent_record"
    __table_args__ = (
        Index("ix_intent_record_subject_id", "subject_id"),
        Index("ix_intent_record_received_at_ms", "received_at_ms"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    digest: Mapped[bytes]
    kind: Mapped[str]
    schema_version: Mapped[int]
    body: Mapped[bytes]
    subject_id: Mapped[UUID | None]
    user_id: Mapped[UUID]
    device_id: Mapped[UUID]
    captured_at_ms: Mapped[int]
    time_zone: Mapped[str]
    clock_skew_ms: Mapped[int | None]
    decided_at_cursor: Mapped[int]
    rules_version: Mapped[int]
    received_at_ms: Mapped[int]
    outcome: Mapped[str]
    verdict: Mapped[bytes]
    commit_seq: Mapped[int]


class IntentFailureModel(Base):
    """How often the server itself failed on an intent that has no verdict yet."""

    __tablename__ = "intent_failure"

    intent_id: Mapped[UUID] = mapped_column(primary_key=True)
    failures: Mapped[int]
    last_error: Mapped[str]
