"""What imports did, to look at: runs, rows that are set aside, and where a row comes from."""

from collections.abc import Sequence
from typing import Final, Self
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.integration.models import ImportBatchModel, ImportOriginModel, ImportQuarantineModel
from server.integration.row_ids import SEPARATOR
from server.runtime.database import ReadSession
from server.runtime.errors import NotFoundError
from server.runtime.instants import iso, iso_or_none

RUNS_SHOWN: Final = 50


class ImportRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run of an import. `changed` is how many rows it was the last to find changed in the source; `report` is of a whole run."""

    id: UUID
    source: str
    state: str
    started_at: str
    ended_at: str | None
    set_aside: int
    changed: int
    report: msgspec.Raw | None = None


class QuarantinedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row that is set aside: where it is, why, and its values by column."""

    id: UUID
    source: str
    entity: str
    key: str | None
    file: str
    line: int
    reason: str
    detail: str
    values: dict[str, str]
    batch_id: UUID
    healed_batch_id: UUID | None

    @classmethod
    def of(cls, stored: ImportQuarantineModel) -> Self:
        names = [name for name in cls.__struct_fields__ if name != "values"]
        values = msgspec.json.decode(stored.row, type=dict[str, str])
        return cls(values=values, **{name: getattr(stored, name) for name in names})


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a row comes from, and the run that last found it changed there."""

    row_id: UUID
    entity: str
    source: str
    key: str
    file: str
    line: int
    batch_id: UUID
    imported_at: str


class ImportNotFoundError(NotFoundError):
    code = "import_not_found"

    def __init__(self, batch_id: UUID) -> None:
        super().__init__(f"there is no import {batch_id}; `roadbook imports list` shows them")


class OriginNotFoundError(NotFoundError):
    code = "origin_not_found"

    def __init__(self, row_id: UUID) -> None:
        super().__init__(f"row {row_id} was not imported, or is not there; check the id")


async def runs_of(session: ReadSession, *, source: str | None = None, limit: int = RUNS_SHOWN) -> list[ImportRun]:
    """The latest runs, of one source or of all, the latest first."""
    batch = ImportBatchModel
    chosen = sa.select(batch).order_by(batch.id.desc()).limit(limit)
    if source is not None:
        chosen = chosen.where(batch.source == source)
    return [await _run(session, stored, None) for stored in (await session.execute(chosen)).scalars()]


async def open_run(session: ReadSession, batch_id: UUID) -> ImportRun:
    """A run with its report. Raises ImportNotFoundError."""
    stored = await session.get(ImportBatchModel, batch_id)
    if stored is None:
        raise ImportNotFoundError(batch_id)
    return await _run(session, stored, msgspec.Raw(stored.report.encode()) if stored.report is not None else None)


async def _run(session: ReadSession, stored: ImportBatchModel, report: msgspec.Raw | None) -> ImportRun:
    counts = [
        (await session.execute(sa.select(sa.func.count()).select_from(table).where(table.batch_id == stored.id))).scalar_one()
        for table in (ImportQuarantineModel, ImportOriginModel)
    ]
    return ImportRun(
        id=stored.id,
        source=stored.source,
        state=stored.state,
        started_at=iso(stored.started_at_ms),
        ended_at=iso_or_none(stored.ended_at_ms),
        set_aside=counts[0],
        changed=counts[1],
        report=report,
    )


async def quarantined(
    session: ReadSession, *, source: str | None = None, healed: bool = False, limit: int = 200
) -> Sequence[QuarantinedRow]:
    """Rows that are set aside, or were and are healed, in the order of their ids."""
    quarantine = ImportQuarantineModel
    is_healed = quarantine.healed_batch_id.is_not(None)
    chosen = sa.select(quarantine).where(is_healed if healed else ~is_healed).order_by(quarantine.id).limit(limit)
    if source is not None:
        chosen = chosen.where(quarantine.source == source)
    return [QuarantinedRow.of(stored) for stored in (await session.execute(chosen)).scalars()]


async def origin_of(session: ReadSession, row_id: UUID) -> Origin:
    """Where a row comes from. Raises OriginNotFoundError."""
    found = sa.select(ImportOriginModel, ImportBatchModel).join(ImportBatchModel, ImportBatchModel.id == ImportOriginModel.batch_id)
    row = (await session.execute(found.where(ImportOriginModel.row_id == row_id))).one_or_none()
    if row is None:
        raise OriginNotFoundError(row_id)
    origin, batch = row
    return Origin(
        row_id=origin.row_id,
        entity=origin.entity,
        source=batch.source,
        key=origin.key.replace(SEPARATOR, " / "),
        file=origin.file,
        line=origin.line,
        batch_id=batch.id,
        imported_at=iso(batch.started_at_ms),
    )
