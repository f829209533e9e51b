"""Capture, after the fact, what passed the triggers by: with them off, or by a defect of theirs.

What a recount finds is logged as changed now, so that it travels to every device like any other change.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from server.changelog.log import raise_history_floor, seal, take_place
from server.changelog.sums import ADD_UP, bucket_sql, checksum_sql, range_sql
from server.changelog.superseded import KEPT_BY
from server.runtime.database import WriteSession
from sync_protocol.entities import SYNCED, Synced

_INTO: Final = "INSERT INTO bucket_sum (bucket, range, change, rows, checksum)"
_NAMED_MAX: Final = 10_000
"""How many ids or buckets one statement names; both engines end at some thirty thousand parameters."""

T = TypeVar("T")


async def mend(session: WriteSession, buckets: list[str], now_ms: int) -> int:
    """Log the rows of these buckets that the log is wrong about, make the sums those of the rows, and return how many."""
    await take_place(session, now_ms)
    mender = await _Mender.of(session)
    mended: dict[str, int] = {}
    for synced in SYNCED:
        if synced.bucket.kind in {bucket.partition(":")[0] for bucket in buckets}:
            mended[synced.name] = await mender.mend_entity(synced)
    await mender.correct_sums(buckets)
    if any(mended.get(name) for name in KEPT_BY):  # nobody knows what these rows were before
        await raise_history_floor(session, (await seal(session)).head)
    return sum(mended.values())


class _Mender:
    """Mends within one transaction, under its place in the log."""

    def __init__(self, session: WriteSession, change: int, *, is_sqlite: bool) -> None:
        self._session, self._change, self._is_sqlite = session, change, is_sqlite

    @classmethod
    async def of(cls, session: WriteSession) -> "_Mender":
        is_sqlite = session.get_bind().dialect.name == "sqlite"
        own = "SELECT head + 1 FROM change_head" if is_sqlite else "SELECT capture_change()"
        return cls(session, int((await session.execute(sa.text(own))).scalar_one()), is_sqlite=is_sqlite)

    async def mend_entity(self, synced: Synced) -> int:
        """Log what is wrong of one entity. Rows are locked and looked at again, so that no newer change is covered."""
        suspected = await self._wrong(synced)
        if not suspected:
            return 0
        if not self._is_sqlite:
            for some in _portions(suspected):
                await self._run(f"SELECT 1 FROM {synced.name} WHERE id IN :ids FOR UPDATE", ids=some)
        known = set(suspected)
        wrong = [each for each in await self._wrong(synced) if each in known]
        for some in _portions(wrong):
            for statement in self._statements(synced):
                await self._run(statement, ids=some, change=self._change)
        return len(wrong)

    async def _wrong(self, synced: Synced) -> list[Any]:
        """The ids of rows that the log does not know as they are, and of rows that it knows and that are not there."""
        expected = checksum_sql(synced, "t", is_sqlite=self._is_sqlite)
        bucket = bucket_sql(synced, "t", is_sqlite=self._is_sqlite)
        sql = f"""
            SELECT t.id FROM {synced.name} t LEFT JOIN change_log l ON l.entity = {synced.number} AND l.row_id = t.id
             WHERE l.row_id IS NULL OR l.deleted = 1 OR l.checksum IS NULL OR l.bucket <> {bucket} OR l.checksum <> {expected}
            UNION ALL
            SELECT l.row_id FROM change_log l LEFT JOIN {synced.name} t ON t.id = l.row_id
             WHERE l.entity = {synced.number} AND l.deleted = 0 AND t.id IS NULL
        """
        return list((await self._session.execute(sa.text(sql))).scalars())

    def _statements(self, synced: Synced) -> list[str]:
        number, sqlite = synced.number, self._is_sqlite
        bucket, place = bucket_sql(synced, "t", is_sqlite=sqlite), range_sql(synced, "row_id", is_sqlite=sqlite)
        checksum = "NULL" if sqlite else checksum_sql(synced, "t", is_sqlite=False)
        logged = f"entity = {number} AND row_id IN :ids"
        counted = f"FROM change_log WHERE {logged} AND checksum IS NOT NULL GROUP BY 1, 2 {ADD_UP}"
        statements = [
            f"{_INTO} SELECT bucket, {place}, :change, -count(*), -sum(checksum) {counted}",
            f"""
            INSERT INTO change_leave (entity, row_id, bucket, change)
            SELECT {number}, l.row_id, l.bucket, :change FROM change_log l JOIN {synced.name} t ON t.id = l.row_id
             WHERE l.entity = {number} AND l.row_id IN :ids AND l.bucket <> {bucket}
            ON CONFLICT (entity, row_id, bucket) DO UPDATE SET change = excluded.change
            """,
            f"UPDATE change_log SET deleted = 1, change = :change, checksum = NULL WHERE {logged}",
            f"""
            INSERT INTO change_log (entity, row_id, bucket, change, deleted, checksum)
            SELECT {number}, t.id, {bucket}, :change, 0, {checksum} FROM {synced.name} t WHERE t.id IN :ids
            ON CONFLICT (entity, row_id) DO UPDATE SET bucket = excluded.bucket, change = excluded.change,
               deleted = excluded.deleted, checksum = excluded.checksum
            """,
        ]
        if not sqlite:  # where sealing adds what the rows count for
            statements.append(f"{_INTO} SELECT bucket, {place}, :change, count(*), sum(checksum) {counted}")
        return statements

    async def correct_sums(self, buckets: list[str]) -> None:
        """Add to the sums of these buckets what they lack of the rows in the log."""
        place = "CASE entity " + " ".join(
            f"WHEN {synced.number} THEN {range_sql(synced, 'row_id', is_sqlite=self._is_sqlite)}" for synced in SYNCED
        )
        sql = f"""
            {_INTO} SELECT bucket, range, :change, sum(rows), sum(checksum) FROM (
                SELECT bucket, {place} END AS range, 1 AS rows, checksum FROM change_log
                 WHERE bucket IN :ids AND checksum IS NOT NULL
                UNION ALL
                SELECT bucket, range, -rows, -checksum FROM bucket_sum WHERE bucket IN :ids
            ) AS lacking GROUP BY bucket, range HAVING sum(rows) <> 0 OR sum(checksum) <> 0 {ADD_UP}
        """
        for some in _portions(buckets):
            await self._run(sql, ids=some, change=self._change)

    async def _run(self, sql: str, **parameters: Any) -> None:
        named = {name: parameters[name] for name in parameters if f":{name}" in sql}
        await self._session.execute(sa.text(sql).bindparams(sa.bindparam("ids", expanding=True)), named)


def _portions(named: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(named), _NAMED_MAX):
        yield named[start : start + _NAMED_MAX]
