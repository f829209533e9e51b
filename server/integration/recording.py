"""The record of an import: its run, where each row comes from, and the rows that are set aside until they heal.

A row of which the source says what it said before is not written again, so that what a person corrected since stays; where it is
gone it is made anew. All of a chunk, its rows and their record, is of one transaction.
"""

import hashlib
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.integration.bulk import CHUNK_ROWS, Counts, Table, upsert_records
from server.integration.entities import Importable
from server.integration.models import ImportBatchModel, ImportOriginModel, ImportQuarantineModel
from server.integration.refusals import SetAside
from server.integration.report import Report
from server.integration.row_ids import imported_id
from server.runtime.bulk_statements import BulkStatements
from server.runtime.database import Base, ReadSession, WriteSession

RUNNING, COMPLETED, STOPPED = "running", "completed", "stopped"
"""States of a run. One that was stopped was killed, or failed; the next run of its source says so."""

_ORIGINS: Final = Table("import_origin", ("row_id", "entity", "key", "file", "line", "digest", "batch_id"), ("row_id",))
_QUARANTINE: Final = Table(
    "import_quarantine",
    ("id", "source", "entity", "key", "file", "line", "reason", "detail", "row", "batch_id", "healed_batch_id"),
)


class Landed(NamedTuple):
    """An accepted row on its way into its table, with its key and its line in the file."""

    record: tuple[Any, ...]
    key: str
    line: int


class Recorder:
    """Writes down what one run does. `set_aside` is called on the thread that reads, everything else on the one that writes."""

    def __init__(self, batch_id: UUID, source: str) -> None:
        self.batch_id = batch_id
        self._source = source
        self._waiting: deque[SetAside] = deque()
        self._times: Counter[bytes] = Counter()
        self._open: dict[str, dict[str, list[UUID]]] = {}

    async def begin(self, session: WriteSession, now_ms: int) -> None:
        """The run begins; one of the same source that never ended was stopped."""
        runs = sa.update(ImportBatchModel).where(ImportBatchModel.source == self._source, ImportBatchModel.state == RUNNING)
        await session.execute(runs.values(state=STOPPED))
        run = {"id": self.batch_id, "source": self._source, "state": RUNNING, "started_at_ms": now_ms}
        await session.execute(sa.insert(ImportBatchModel).values(**run))

    async def rows_before(self, session: ReadSession, entities: Iterable[str]) -> dict[str, dict[str, UUID | None]]:
        """The rows that earlier runs brought and that are there, by entity and key."""
        origin, batch = ImportOriginModel, ImportBatchModel
        before: dict[str, dict[str, UUID | None]] = {}
        for entity in entities:
            table = Base.metadata.tables[entity]
            if "id" not in table.c:
                continue
            there = sa.select(origin.key, origin.row_id).join(table, table.c.id == origin.row_id)
            theirs = there.join(batch, batch.id == origin.batch_id).where(batch.source == self._source, origin.entity == entity)
            before[entity] = {key: row_id async for key, row_id in await session.stream(theirs)}
        return before

    def set_aside(self, row: SetAside) -> None:
        """A row is set aside: it is written down at the end of its step, or with a chunk when many wait."""
        self._waiting.append(row)

    async def write(self, session: WriteSession, kind: Importable, file: str, chunk: Sequence[Landed]) -> Counts:
        """Write a chunk of accepted rows. Raises RefusedRowsError."""
        if not kind.has_id:
            return await upsert_records(session, kind.table, [each.record for each in chunk])
        origins = [self._origin(kind, file, each) for each in chunk]
        known = await _known(session, origins)
        same = [origin[0] for origin in origins if _is_same(origin, known)]
        there = await _there(session, kind, same)
        changed = [each.record for each, origin in zip(chunk, origins, strict=True) if origin[0] not in there]
        counts = await upsert_records(session, kind.table, changed)
        moved = [origin for origin in origins if tuple(known.get(origin[0], ())) != origin[1:-1]]
        await upsert_records(session, _ORIGINS, sorted(moved, key=_in_order))  # in the order of the index, page after page
        await self._heal_keys(session, kind, [each.key for each in chunk])
        if len(self._waiting) >= CHUNK_ROWS:
            await self._write_waiting(session)
        return counts + Counts(unchanged=len(chunk) - len(changed))

    async def end_step(self, session: WriteSession, kind: Importable, file: str) -> None:
        """A step has read its file to the end: what it set aside is written down, and what it did not any more is healed."""
        await self._write_waiting(session)
        quarantine = ImportQuarantineModel
        gone = sa.update(quarantine).where(*self._of_earlier(kind.table.name), quarantine.file == file)
        await session.execute(gone.values(healed_batch_id=self.batch_id))

    async def end(self, session: WriteSession, report: Report, now_ms: int) -> None:
        """The run is completed."""
        run = sa.update(ImportBatchModel).where(ImportBatchModel.id == self.batch_id)
        text = msgspec.json.encode(report).decode()
        await session.execute(run.values(state=COMPLETED, ended_at_ms=now_ms, report=text))

    def _origin(self, kind: Importable, file: str, landed: Landed) -> tuple[Any, ...]:
        digest = hashlib.blake2b(msgspec.msgpack.encode(landed.record), digest_size=16).digest()
        row_id = landed.record[kind.table.columns.index("id")]
        return row_id, kind.table.name, landed.key, file, landed.line, digest, self.batch_id

    async def _heal_keys(self, session: WriteSession, kind: Importable, keys: Iterable[str]) -> None:
        """What was set aside under these keys in an earlier run is accepted by now."""
        entity = kind.table.name
        if entity not in self._open:
            self._open[entity] = await self._opened(session, entity)
        waiting = self._open[entity]
        healed = [{"healed_id": each} for key in keys if key in waiting for each in waiting.pop(key)]
        if healed:
            heal = sa.update(ImportQuarantineModel).where(ImportQuarantineModel.id == sa.bindparam("healed_id"))
            connection = await session.connection()
            await connection.execute(heal.values(healed_batch_id=self.batch_id), healed)

    async def _opened(self, session: WriteSession, entity: str) -> dict[str, list[UUID]]:
        """What earlier runs have set aside, by its keys."""
        quarantine = ImportQuarantineModel
        waiting: dict[str, list[UUID]] = {}
        found = sa.select(quarantine.key, quarantine.id).where(*self._of_earlier(entity), quarantine.key.is_not(None))
        for key, row_id in await session.execute(found):
            waiting.setdefault(str(key), []).append(row_id)
        return waiting

    def _of_earlier(self, entity: str) -> tuple[sa.ColumnElement[bool], ...]:
        quarantine = ImportQuarantineModel
        return (
            quarantine.source == self._source,
            quarantine.entity == entity,
            quarantine.batch_id != self.batch_id,
            quarantine.healed_batch_id.is_(None),
        )

    async def _write_waiting(self, session: WriteSession) -> None:
        rows = {}
        while self._waiting:
            row = self._waiting.popleft()
            said = msgspec.json.encode(row.values).decode()
            alike = hashlib.blake2b(f"{row.entity}\0{row.reason}\0{said}".encode(), digest_size=16).digest()
            self._times[alike] += 1  # of rows that are alike each is one
            row_id = imported_id(self._source, "import_quarantine", f"{alike.hex()} {self._times[alike]}")
            place = (row.entity, row.key, row.file, row.line, str(row.reason), row.detail, said)
            rows[row_id] = (row_id, self._source, *place, self.batch_id, None)
        await upsert_records(session, _QUARANTINE, list(rows.values()))


def _in_order(origin: Sequence[Any]) -> int:
    row_id: UUID = origin[0]
    return row_id.int


async def _known(session: ReadSession, origins: Sequence[tuple[Any, ...]]) -> dict[UUID, tuple[Any, ...]]:
    """What the record says of rows, by their ids, without the run."""
    statements = await BulkStatements.of(session)
    columns = _ORIGINS.columns[:-1]
    keys = [(each[0],) for each in sorted(origins, key=_in_order)]
    found = await statements.select(Base.metadata.tables[_ORIGINS.name], columns, ("row_id",), keys, as_join=True)
    return {_id(row[0]): tuple(row[1:]) for row in found}


async def _there(session: ReadSession, kind: Importable, ids: Sequence[UUID]) -> set[UUID]:
    statements = await BulkStatements.of(session)
    found = await statements.select(
        Base.metadata.tables[kind.table.name], ("id",), ("id",), [(each,) for each in ids], as_join=True
    )
    return {_id(row[0]) for row in found}


def _id(value: Any) -> UUID:
    return value if isinstance(value, UUID) else UUID(bytes=bytes(value))


def _is_same(origin: tuple[Any, ...], known: dict[UUID, tuple[Any, ...]]) -> bool:
    """Whether the source says of the row what it said before."""
    before = known.get(origin[0])
    return before is not None and bytes(before[-1]) == origin[-2]
