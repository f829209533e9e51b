"""Who refers to a row, and whether what a row refers to is there. What is found is held until the transaction ends."""

from uuid import UUID

import sqlalchemy as sa

from server.pricing.administered import Kind
from server.runtime.database import Base, ReadSession
from sync_protocol.values import Row


async def missing_references(session: ReadSession, kind: Kind, row: Row) -> dict[str, str]:
    """Each field that names a row that is not there, with its remedy. Those that are there cannot be deleted meanwhile."""
    faults = {}
    for name, target in kind.references.items():
        wanted = getattr(row, name)
        if wanted is None:
            continue
        held = sa.select(target).where(target == wanted).with_for_update(read=True, key_share=True)
        if (await session.execute(held)).first() is None:
            faults[name] = f"names no {target.table.name}; check the id"
    return faults


async def referrers_of(session: ReadSession, kind: Kind, row_id: UUID) -> dict[str, tuple[int, UUID]]:
    """How many rows of each table refer to the row, and the first of them. Lock the row before: then nobody begins to."""
    found: dict[str, tuple[int, UUID]] = {}
    for table in Base.metadata.sorted_tables:
        keys = [key for key in table.foreign_keys if key.column.table is kind.table]
        if not keys:
            continue
        refers = sa.or_(*(key.parent == row_id for key in keys))
        identifier = next(iter(table.primary_key))
        counted = (await session.execute(sa.select(sa.func.count()).select_from(table).where(refers))).scalar_one()
        if counted:
            first = sa.select(identifier).where(refers).order_by(identifier).limit(1)
            found[table.name] = (counted, (await session.execute(first)).scalar_one())
    return found
