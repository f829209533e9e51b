"""Tables of what imports did: each run, where each row came from, and the rows that were set aside. They never travel."""

from uuid import UUID

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from server.runtime.database import Base


class ImportBatchModel(Base):
    """A run of an import. `report` is JSON, and there when it is completed."""

    __tablename__ = "import_batch"
    __table_args__ = (Index("ix_import_batch_source", "source", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    source: Mapped[str]
    state: Mapped[str]
    started_at_ms: Mapped[int]
    ended_at_ms: Mapped[int | None]
    report: Mapped[str | None]


class ImportOriginModel(Base):
    """Where a row comes from. `digest` is of what the source says of it; `batch_id` the run that last found it changed."""

    __tablename__ = "import_origin"

    row_id: Mapped[UUID] = mapped_column(primary_key=True)
    entity: Mapped[str]
    key: Mapped[str]
    file: Mapped[str]
    line: Mapped[int]
    digest: Mapped[bytes]
    batch_id: Mapped[UUID] = mapped_column(ForeignKey("import_batch.id"), index=True)


class ImportQuarantineModel(Base):
    """A row that was set aside, with its values as JSON, until it is accepted or its file comes without it.

    Its id follows from the source, the entity, the values and the reason: the same row set aside again is the same.
    """

    __tablename__ = "import_quarantine"
    __table_args__ = (Index("ix_import_quarantine_source", "source", "entity"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    source: Mapped[str]
    entity: Mapped[str]
    key: Mapped[str | None]
    file: Mapped[str]
    line: Mapped[int]
    reason: Mapped[str]
    detail: Mapped[str]
    row: Mapped[str]
    batch_id: Mapped[UUID] = mapped_column(ForeignKey("import_batch.id"), index=True)
    healed_batch_id: Mapped[UUID | None] = mapped_column(ForeignKey("import_batch.id"))
