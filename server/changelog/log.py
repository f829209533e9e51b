"""The log's head, its sealing, its epoch and its retention."""

from typing import Any, Final, cast
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.changelog.models import (
    BucketSumModel,
    ChangeCommitModel,
    ChangeHeadModel,
    ChangeLeaveModel,
    ChangeLogModel,
    RowHistoryModel,
)
from server.changelog.sums import COMPACT_POSTGRES_SQL, COMPACT_SQL, seal_sums_sql
from server.changelog.superseded import KEPT_BY, place_sql
from server.runtime.database import Database, ReadSession, WriteSession
from sync_protocol.entities import SYNCED
from sync_protocol.wire.messages import LogPlace

_BY_NUMBER: Final = {synced.number: synced for synced in SYNCED}
_DAY_MS: Final = 86_400_000
_NOTES_MAX: Final = 1_000
_FOLLOWS: Final = ChangeCommitModel.change == ChangeHeadModel.head + 1
_HEAD: Final = sa.select(
    ChangeHeadModel.epoch, ChangeHeadModel.head, ChangeHeadModel.floor, ChangeCommitModel.change, ChangeCommitModel.committed_at_ms
).outerjoin(ChangeCommitModel, ChangeCommitModel.commit_seq == ChangeHeadModel.head)
_SEAL: Final = sa.update(ChangeHeadModel).where(sa.exists().where(_FOLLOWS)).values(head=ChangeHeadModel.head + 1)
_UNSEALED: Final = (
    sa.select(ChangeLogModel.entity, ChangeLogModel.change).where(ChangeLogModel.change == ChangeHeadModel.head + 1).distinct()
)
_HAS_UNSEALED: Final = sa.select(sa.exists().where(_FOLLOWS)).select_from(ChangeHeadModel)


class Head(msgspec.Struct, frozen=True):
    """Where the log stands: its identity, its last position and the oldest cursor it can serve.

    `mark`, the change and the time of the last commit, tells it from another in its place, after a restore by hand; None where
    the log is empty or has forgotten that commit.
    """

    epoch: UUID
    head: int
    floor: int
    mark: tuple[int, int] | None = None

    @property
    def place(self) -> LogPlace | None:
        """The last commit, as a device is told of it."""
        return LogPlace(epoch=self.epoch, commit_seq=self.head, committed_at_ms=self.mark[1]) if self.mark is not None else None


async def seal(session: WriteSession) -> Head:
    """Give the transaction its place in the log and return the head, which is that place where it has one; its last statement.

    A transaction that changed no synced row takes no place. On PostgreSQL the deferred trigger would do it at commit;
    asking for it here lets the caller learn the place before it commits.
    """
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(
            sa.text("SET CONSTRAINTS capture_seal IMMEDIATE")
        )  # a transaction that has a place holds the head from here on
        return await read_head(session)
    await _seal_sums(session)
    await session.execute(_SEAL)
    return await read_head(session)


async def _seal_sums(session: WriteSession) -> None:
    """On SQLite, let the rows of the change that is about to be sealed count in the sums of their buckets."""
    touched = (await session.execute(_UNSEALED)).all()
    connection = await session.connection()
    for entity, change in touched:
        for statement in seal_sums_sql(_BY_NUMBER[entity]) if entity in _BY_NUMBER else ():
            await connection.exec_driver_sql(statement, (change,))


async def has_sums_to_compact(session: ReadSession) -> bool:
    """Whether adding up is worth a transaction."""
    noted = sa.select(BucketSumModel.change).where(BucketSumModel.change > 0).offset(_NOTES_MAX).limit(1)
    return (await session.execute(noted)).first() is not None


async def compact_sums(session: WriteSession) -> None:
    """Add up what transactions noted of each range, so that reading a sum stays cheap. Nobody waits for it on PostgreSQL."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    for statement in COMPACT_SQL if is_sqlite else (COMPACT_POSTGRES_SQL,):
        await session.execute(sa.text(statement))
    await session.execute(sa.delete(BucketSumModel).where(BucketSumModel.change == 0, BucketSumModel.rows == 0))


async def take_place(session: WriteSession, now_ms: int) -> None:
    """Let this transaction have a place in the log though it may change no row that travels, for what devices must be past."""
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(sa.text("SELECT capture_change()"))
        return
    following = sa.select(ChangeHeadModel.head + 1, ChangeHeadModel.head + 1, sa.literal(now_ms))
    unmade = ~sa.exists().where(ChangeCommitModel.change == ChangeHeadModel.head + 1)
    columns = ["change", "commit_seq", "committed_at_ms"]
    await session.execute(sa.insert(ChangeCommitModel).from_select(columns, following.where(unmade)))


async def seal_before_commit(session: WriteSession) -> None:
    """For `Database`: seal on SQLite; PostgreSQL's own trigger does it at commit, holding the lock for less long."""
    if session.get_bind().dialect.name == "sqlite":
        await seal(session)


async def read_head(session: ReadSession) -> Head:
    """The head as this session's snapshot shows it."""
    row = (await session.execute(_HEAD)).one()
    return Head(row.epoch, row.head, row.floor, (row.change, row.committed_at_ms) if row.change is not None else None)


async def place_of(session: ReadSession, epoch: UUID, commit_seq: int) -> LogPlace | None:
    """A commit as a device is told of it; None where the log has forgotten it."""
    query = sa.select(ChangeCommitModel.committed_at_ms).where(ChangeCommitModel.commit_seq == commit_seq)
    committed_at_ms = (await session.execute(query)).scalar()
    return LogPlace(epoch=epoch, commit_seq=commit_seq, committed_at_ms=committed_at_ms) if committed_at_ms is not None else None


async def seal_foreign_writes(database: Database) -> None:
    """On SQLite, give what another program wrote its place. Called before the log is read; one look-up where there is nothing."""
    if not database.is_sqlite:
        return
    async with database.read() as session:
        found = await has_unsealed(session)
    if found:
        async with database.write() as session:
            await seal(session)


async def has_unsealed(session: ReadSession) -> bool:
    """Whether this snapshot of a SQLite database has changes without a place; PostgreSQL seals every commit itself."""
    if session.get_bind().dialect.name != "sqlite":
        return False
    return bool((await session.execute(_HAS_UNSEALED)).scalar_one())


async def rotate_epoch(session: WriteSession, epoch: UUID) -> None:
    """Make this another log, after a restore: every device resyncs and offers again what it had acknowledged."""
    await session.execute(sa.update(ChangeHeadModel).values(epoch=epoch))


async def forget_versions(session: WriteSession, *, now_ms: int, history_days: int) -> int:
    """Forget versions of rows that were superseded before the days of history, raise its floor, and return how many."""
    floor = await _last_before(session, now_ms - history_days * _DAY_MS)
    if floor is None:
        return 0
    until: sa.ColumnElement[int] = sa.literal_column(place_sql("row_history.until_change"))
    youngest = sa.select(sa.func.max(ChangeCommitModel.change)).where(ChangeCommitModel.commit_seq <= floor).scalar_subquery()
    entities = [synced.number for synced in SYNCED if synced.name in KEPT_BY]
    old = (RowHistoryModel.entity.in_(entities), RowHistoryModel.until_change <= youngest, until <= floor)
    versions = await _forget(session, sa.delete(RowHistoryModel).where(*old))
    await raise_history_floor(session, floor)
    return versions


async def raise_history_floor(session: WriteSession, floor: int) -> None:
    """Let nothing before this place be read as of it any more. What others commit waits from here on."""
    lower = ChangeHeadModel.history_floor < floor
    await session.execute(sa.update(ChangeHeadModel).where(lower).values(history_floor=floor))


async def age_out(session: WriteSession, *, now_ms: int, retention_days: int) -> int:
    """Forget tombstones and leaves older than the retention, raise the floor, and return how many were forgotten.

    Commits behind the floor of history stay: they say how long a superseded version stood.
    """
    floor = await _last_before(session, now_ms - retention_days * _DAY_MS)
    if floor is None:
        return 0
    expired = sa.select(ChangeCommitModel.change).where(ChangeCommitModel.commit_seq <= floor)
    tombstones = await _forget(
        session, sa.delete(ChangeLogModel).where(ChangeLogModel.deleted == 1, ChangeLogModel.change.in_(expired))
    )
    leaves = await _forget(session, sa.delete(ChangeLeaveModel).where(ChangeLeaveModel.change.in_(expired)))
    history_floor = sa.select(ChangeHeadModel.history_floor).scalar_subquery()
    needed = sa.exists().where(ChangeLogModel.change == ChangeCommitModel.change)
    unneeded = (ChangeCommitModel.commit_seq <= floor, ChangeCommitModel.commit_seq <= history_floor, ~needed)
    await session.execute(sa.delete(ChangeCommitModel).where(*unneeded))
    await session.execute(sa.update(ChangeHeadModel).where(ChangeHeadModel.floor < floor).values(floor=floor))
    return tombstones + leaves


async def _last_before(session: WriteSession, instant_ms: int) -> int | None:
    """The place of the last commit before this instant."""
    old = sa.select(sa.func.max(ChangeCommitModel.commit_seq)).where(ChangeCommitModel.committed_at_ms < instant_ms)
    return (await session.execute(old)).scalar()


async def _forget(session: WriteSession, statement: sa.Delete) -> int:
    result = cast("sa.CursorResult[Any]", await session.execute(statement))
    return result.rowcount
